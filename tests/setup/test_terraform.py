"""The script for Terraform, as a parser of its language reads it."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import hcl2
import pytest

from smtpcheck.oauth.clouds import Cloud
from smtpcheck.setup.choices import Grant
from smtpcheck.setup.key import make_key
from smtpcheck.setup.plan import SetupError
from smtpcheck.setup.planning import Wishes, microsoft_plan
from smtpcheck.setup.proofs import ProofWishes
from smtpcheck.setup.terraform import terraform_script
from tests.worlds.powershell import syntax_errors
from tests.worlds.setup import CLIENT, OTHER_CLIENT, SECRET, UNIT, application, check, loopback, settings_of

NEW = {"contoso": application(client_id="00000000-0000-0000-0000-000000000000")}


def script_of(
    folder: Path, *checks: dict[str, object], credentials: Any = None, grant: Grant = Grant.MAILBOX, **proof: Any
) -> str:
    wishes = Wishes(grant=grant, proof=ProofWishes(**proof), tenant="contoso.com")
    return terraform_script(microsoft_plan(settings_of(folder, *checks, credentials=credentials), wishes))


def blocks(script: str, kind: str) -> dict[str, dict[str, Any]]:
    """Return the blocks of a kind, by type and name without their quotation marks."""
    found = {}
    for block in hcl2.loads(script).get(kind, []):
        for type_, inner in block.items():
            for name, body in (inner if kind in {"resource", "data"} else {"": inner}).items():
                found[f"{type_}.{name}".replace('"', "").rstrip(".")] = body
    return found


def certificate(folder: Path) -> dict[str, Any]:
    return {"made": make_key(folder / "app.pem", datetime(2026, 11, 27, tzinfo=UTC)).proof}


def test_a_new_application_is_managed_with_its_certificate_and_consent(tmp_path: Path) -> None:
    script = script_of(tmp_path, check(), credentials=NEW, **certificate(tmp_path))
    resources = blocks(script, "resource")
    assert list(resources) == [
        "azuread_application_registration.app_contoso",
        "azuread_service_principal.app_contoso",
        "azuread_application_api_access.app_contoso_exchange",
        "azuread_application_certificate.app_contoso",
        "azuread_app_role_assignment.app_contoso_smtp_sendasapp",
    ]
    assignment = resources["azuread_app_role_assignment.app_contoso_smtp_sendasapp"]
    assert "data.azuread_service_principal.exchange.app_role_ids" in assignment["app_role_id"]
    assert "PRIVATE KEY" not in script and "-----BEGIN CERTIFICATE-----" in script


def test_an_existing_application_is_read_and_never_managed(tmp_path: Path) -> None:
    script = script_of(tmp_path, check(), **certificate(tmp_path))
    assert list(blocks(script, "resource")) == [
        "azuread_application_certificate.app_contoso",
        "azuread_app_role_assignment.app_contoso_smtp_sendasapp",
    ]
    data = blocks(script, "data")
    assert data["azuread_service_principal.app_contoso"]["client_id"] == f'"{CLIENT}"'


def test_a_managed_identity_as_credential(tmp_path: Path) -> None:
    script = script_of(tmp_path, check(), managed_identity=UNIT)
    federated = blocks(script, "resource")["azuread_application_federated_identity_credential.app_contoso"]
    assert federated["subject"] == f'"{UNIT}"'
    assert "/${data.azuread_client_config.current.tenant_id}/v2.0" in federated["issuer"]


def test_what_another_issuer_claims_expands_nothing(tmp_path: Path) -> None:
    script = script_of(tmp_path, check(), issuer='https://x/${file("a")}', subject='%{if true}"')
    federated = blocks(script, "resource")["azuread_application_federated_identity_credential.app_contoso"]
    assert federated["issuer"] == '"https://x/$${file(\\"a\\")}"'
    assert federated["subject"] == '"%%{if true}\\""'


def test_the_part_for_exchange_is_an_output_that_parses(tmp_path: Path) -> None:
    script = script_of(tmp_path, check("o'brien@contoso.com"), check(loopback=loopback("graph")))
    inner = script.partition('output "exchange_script" {\n  value = <<END_OF_SCRIPT\n')[2].partition("END_OF_SCRIPT")[0]
    assert "${" not in inner.replace("$${", "")
    exchange = inner.replace("$${", "${").replace("%%{", "%{")
    assert syntax_errors(exchange) == []
    assert "'o''brien@contoso.com'" in exchange
    arguments = blocks(script, "output")["exchange_arguments"]["value"]
    assert arguments.count("join(") == 2 and "app_contoso.object_id" in arguments


def test_terraform_in_another_tenant_stops(tmp_path: Path) -> None:
    postcondition = str(blocks(script_of(tmp_path), "data")["azuread_domains.tenant"])
    assert 'lower("contoso.onmicrosoft.com")' in postcondition
    guid = {"contoso": application(tenant=UNIT)}
    assert blocks(script_of(tmp_path, credentials=guid), "provider")["azuread"]["tenant_id"] == f'"{UNIT}"'


def test_credentials_whose_names_are_alike_are_two(tmp_path: Path) -> None:
    both = {"a-b": application(), "A.b": application(client_id=OTHER_CLIENT)}
    checks = [check(credential="a-b"), check("sales@contoso.com", credential="A.b")]
    assert set(blocks(script_of(tmp_path, *checks, credentials=both), "data")) >= {
        "azuread_service_principal.app_a_b",
        "azuread_service_principal.app_a_b_1",
    }


def test_a_secret_would_be_in_the_state(tmp_path: Path) -> None:
    with pytest.raises(SetupError, match="would write the new application's secret into its state"):
        script_of(tmp_path, credentials=NEW)
    assert SECRET["value"] not in script_of(tmp_path)


@pytest.mark.parametrize("cloud", Cloud)
def test_every_cloud_has_an_environment(tmp_path: Path, cloud: Cloud) -> None:
    script = script_of(tmp_path, credentials={"contoso": application(cloud=str(cloud))})
    assert blocks(script, "provider")["azuread"]["environment"]
