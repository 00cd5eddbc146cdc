"""What the configuration may say of credentials, and what belongs together in each cloud."""

from pathlib import Path

import pytest
from pydantic import TypeAdapter, ValidationError

from smtpcheck.model.credential import CredentialHints
from smtpcheck.oauth import CREDENTIAL_TYPES
from smtpcheck.oauth.clouds import Cloud, clouds_of_scope, clouds_of_smtp_host
from smtpcheck.oauth.microsoft import Microsoft
from smtpcheck.oauth.static_token import StaticToken

MINIMUM: dict[str, object] = {
    "type": "microsoft",
    "tenant": "contoso.onmicrosoft.com",
    "client_id": "c",
    "client_secret": {"env": "X"},
}


def _microsoft(**other: object) -> Microsoft:
    return Microsoft.model_validate(MINIMUM | other, context={"folder": Path("/etc/smtpcheck")})


@pytest.mark.parametrize(
    ("cloud", "host", "scope"),
    [
        ("global", "login.microsoftonline.com", "https://outlook.office365.com/.default"),
        ("gcc-high", "login.microsoftonline.us", "https://outlook.office365.us/.default"),
        ("dod", "login.microsoftonline.us", "https://outlook-dod.office365.us/.default"),
        ("china", "login.partner.microsoftonline.cn", "https://partner.outlook.cn/.default"),
    ],
)
def test_each_cloud_has_its_authority_and_scope(cloud: str, host: str, scope: str) -> None:
    credential = _microsoft(cloud=cloud)
    flow = credential.flow()
    assert (credential.authority_url, credential.scope, flow.issuer) == (
        f"https://{host}/contoso.onmicrosoft.com",
        scope,
        host,
    )
    assert credential.hints("contoso") == CredentialHints(
        name="contoso",
        type="microsoft",
        tenant="contoso.onmicrosoft.com",
        client_id="c",
        cloud=cloud,
        scope=scope,
    )


@pytest.mark.parametrize(
    ("host", "clouds"),
    [
        ("smtp.office365.com", {Cloud.GLOBAL}),
        ("SMTP.office365.us.", {Cloud.GCC_HIGH}),
        ("outlook-dod.office365.us", {Cloud.DOD}),
        ("smtp.partner.outlook.cn", {Cloud.CHINA}),
        ("mail.example.org", set()),
    ],
)
def test_a_mail_host_tells_its_cloud(host: str, clouds: set[Cloud]) -> None:
    assert clouds_of_smtp_host(host) == clouds


@pytest.mark.parametrize(
    ("scope", "clouds"),
    [
        ("https://outlook.office.com/SMTP.Send", {Cloud.GLOBAL}),
        ("https://outlook.office365.us/.default", {Cloud.GCC_HIGH, Cloud.DOD}),
        ("https://partner.outlook.cn/.default", {Cloud.CHINA}),
        ("https://graph.microsoft.com/.default", set()),
        ("mail", set()),
    ],
)
def test_a_scope_tells_its_clouds(scope: str, clouds: set[Cloud]) -> None:
    assert clouds_of_scope(scope) == clouds


@pytest.mark.parametrize(
    ("other", "sentence"),
    [
        ({"tenant": "common"}, "client credentials need the tenant itself, not 'common'"),
        ({"tenant": "Organizations"}, "client credentials need the tenant itself, not 'Organizations'"),
        (
            {"client_secret": None, "client_assertion": {"file": "t"}, "read_expiry_from_graph": True},
            "read_expiry_from_graph has no effect without client_secret",
        ),
        ({"tenant": "contoso.com "}, "String should match pattern"),
        ({"client_id": "c\n"}, "String should match pattern"),
        ({"client_secret": None}, "give client_secret, client_certificate or client_assertion, one of them"),
        (
            {"client_certificate": {"file": "x"}},
            "give client_secret, client_certificate or client_assertion, one of them",
        ),
        (
            {"cloud": "china", "scope": "https://outlook.office365.com/.default"},
            (
                "scope https://outlook.office365.com/.default belongs to cloud global, not to china; "
                "its scope is https://partner.outlook.cn/.default"
            ),
        ),
        ({"authority": "http://issuer.example.org"}, "String should match pattern"),
        ({"authority": "https://me:pass@issuer.example.org"}, "names a user, whose password would be shown with it"),
        ({"authority": "https://[::1"}, "is not a URL"),
        ({"proxy": "proxy.example.org:3128"}, "String should match pattern"),
        ({"cleint_id": "c"}, "Extra inputs are not permitted"),
    ],
)
def test_what_cannot_work_is_refused_before_any_network_step(other: dict[str, object], sentence: str) -> None:
    with pytest.raises(ValidationError) as caught:
        _microsoft(**other)
    assert sentence in "\n".join(error["msg"] for error in caught.value.errors())


def test_an_issuer_of_ones_own_has_the_tenant_appended_and_any_scope() -> None:
    credential = _microsoft(authority="https://localhost:8443/", scope="https://outlook.office365.us/.default")
    assert (credential.authority_url, credential.scope) == (
        "https://localhost:8443/contoso.onmicrosoft.com",
        "https://outlook.office365.us/.default",
    )


def test_every_file_of_a_credential_is_watched_and_relative_to_the_configuration() -> None:
    certificate = {"file": "app.pem", "passphrase": {"file": "words"}}
    credential = _microsoft(client_secret=None, client_certificate=certificate, ca_file="/ca.pem")
    assert credential.files() == (Path("/ca.pem"), Path("/etc/smtpcheck/app.pem"), Path("/etc/smtpcheck/words"))
    ready = StaticToken.model_validate({"from": {"file": "t"}}, context={"folder": "/etc"})
    assert ready.files() == (Path("/etc/t"),)


@pytest.mark.parametrize("kind", CREDENTIAL_TYPES)
def test_every_type_has_a_name_and_a_schema_in_which_all_but_the_name_is_described(kind: type[object]) -> None:
    schema = TypeAdapter(kind).json_schema()
    assert schema["properties"]["type"]["const"] == schema["properties"]["type"]["default"]
    undescribed = [key for key, value in schema["properties"].items() if "description" not in value]
    assert undescribed == ["type"]


@pytest.mark.parametrize(
    ("other", "known"),
    [
        ({}, False),
        ({"client_secret_expires": "2030-01-01"}, True),
        ({"read_expiry_from_graph": True}, True),
        ({"client_secret": None, "client_certificate": {"file": "app.pem"}}, True),
    ],
)
def test_how_to_make_an_unknown_end_known(other: dict[str, object], *, known: bool) -> None:
    said = _microsoft(**other).unknown_expiry
    assert said == "" if known else ("client_secret_expires" in said and "read_expiry_from_graph" in said)
