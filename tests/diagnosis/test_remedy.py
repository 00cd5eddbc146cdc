"""The steps of a repair: those of others are left out, what is known is filled in, and the last one proves it."""

import re
from typing import Any

import pytest

from smtpcheck.diagnosis.catalogue import load
from smtpcheck.diagnosis.explain import describe, explain
from smtpcheck.diagnosis.observation import Observation, from_text
from smtpcheck.diagnosis.remedy import values_of
from smtpcheck.model.cause import Cause
from smtpcheck.model.credential import CredentialHints
from smtpcheck.model.report import Finding

CATALOGUE = load()
OF_MICROSOFT = re.compile(r"Entra|Get-\w+|Set-\w+|Add-\w+|microsoftonline|Exchange Online")


def _steps(cause: Cause, **values: str) -> str:
    return "\n".join(describe(Finding(cause, 0.9, "none", (), values), CATALOGUE).remedy)


@pytest.mark.parametrize(
    "cause", [Cause.SECRET_INVALID, Cause.SCOPE_INVALID, Cause.CONSENT_MISSING, Cause.ISSUER_UNAVAILABLE]
)
@pytest.mark.parametrize("issuer", ["keycloak", "authlib", "other"])
def test_no_step_of_entra_is_shown_at_another_issuer(cause: Cause, issuer: str) -> None:
    assert OF_MICROSOFT.search(_steps(cause, issuer=issuer, provider="generic")) is None


@pytest.mark.parametrize(
    "cause",
    [
        *(Cause.MAILBOX_FULL, Cause.ACCOUNT_LOCKED, Cause.FINDER_FAILED, Cause.MAIL_LOST, Cause.SENDER_NOT_ALLOWED),
        *(Cause.USER_MISMATCH, Cause.RELAY_DENIED, Cause.THROTTLED_RATE, Cause.MECHANISM_NOT_OFFERED),
    ],
)
@pytest.mark.parametrize("provider", ["generic", "google"])
def test_no_command_of_exchange_is_shown_at_another_server(cause: Cause, provider: str) -> None:
    assert OF_MICROSOFT.search(_steps(cause, provider=provider)) is None


def test_each_provider_has_its_own_page_for_app_passwords() -> None:
    pages = {name: _steps(Cause.APP_PASSWORD_REQUIRED, provider=name) for name in ("google", "yahoo", "generic")}
    assert [name for name, text in pages.items() if "myaccount.google.com" in text] == ["google"]
    assert [name for name, text in pages.items() if "login.yahoo.com" in text] == ["yahoo"]


def test_what_changes_the_whole_organisation_says_so() -> None:
    text = _steps(Cause.SENDER_NOT_ALLOWED, provider="microsoft")
    assert "changes the whole organisation" in text.partition("SendFromAliasEnabled")[0].rpartition("\n")[2]


def test_a_listed_address_changes_no_password() -> None:
    seen = Observation(
        provider="generic",
        phase="rcpt",
        fault="reply",
        replies=("554 5.7.1 Service unavailable; Client host [192.0.2.9] blocked using zen.spamhaus.org",),
    )
    told = describe(explain(seen, CATALOGUE)[0], CATALOGUE)
    assert told.cause is Cause.SENDING_IP_REJECTED
    assert "dig +short -x 192.0.2.9" in told.remedy[1]
    assert "new password" not in " ".join(told.remedy)


@pytest.mark.parametrize(
    ("seen", "command"),
    [
        ({"port": 465, "security": "implicit"}, "openssl s_client -connect mail.example.org:465"),
        ({"port": 2587, "security": "starttls"}, "openssl s_client -starttls smtp -connect mail.example.org:2587"),
        ({"port": 465}, "openssl s_client -connect mail.example.org:465"),
        ({"port": 143}, "openssl s_client -starttls imap -connect mail.example.org:143"),
        (
            {"port": 587, "phase": "token", "endpoint": "https://id.example.org:8443/token"},
            "openssl s_client -connect id.example.org:8443",
        ),
        ({"port": 587, "phase": "token", "endpoint": "https://id.example.org/token"}, "-connect id.example.org:443"),
    ],
)
def test_a_command_looks_at_the_host_that_failed_in_the_way_it_speaks(seen: dict[str, Any], command: str) -> None:
    values = values_of(Observation(host="mail.example.org", **seen))
    assert command in _steps(Cause.TLS_UNTRUSTED_CA, **values)


@pytest.mark.parametrize(
    "endpoint", ["https://id.example.org/token?client_secret=x", "https://a:b@id.example.org/", "$(x)", "file:///x"]
)
def test_an_address_that_could_carry_a_secret_or_a_command_is_not_shown(endpoint: str) -> None:
    assert "endpoint" not in values_of(Observation(endpoint=endpoint))


def test_the_steps_of_both_flows_are_shown_where_the_flow_is_not_known() -> None:
    text = _steps(Cause.MISSING_SMTP_PERMISSION, provider="microsoft")
    assert ("New-ManagementScope" in text, "delegated permission" in text) == (True, True)
    assert "delegated permission" not in _steps(
        Cause.MISSING_SMTP_PERMISSION, provider="microsoft", flow="client_credentials"
    )


@pytest.mark.parametrize(
    ("text", "first"),
    [
        ("AADSTS50105: Your administrator has configured the application to block users", "Assign the user"),
        ("AADSTS65001: The user or administrator has not consented", "Let setup write the script"),
    ],
)
def test_the_number_of_entra_decides_which_steps_are_shown(text: str, first: str) -> None:
    finding = explain(from_text(text), CATALOGUE)[0]
    remedy = describe(finding, CATALOGUE).remedy
    assert first in remedy[0]
    assert ("Users and groups" in remedy[0]) == ("API permissions" not in " ".join(remedy))


def test_every_provider_and_issuer_of_a_step_is_one_that_there_is() -> None:
    named = {
        (name, value)
        for entry in CATALOGUE.entries.values()
        for step in entry.steps
        for name, values in step.holds_for
        for value in values
    }
    providers = {"microsoft", "hve", "acs", "google", "yahoo", "other"}
    assert {value for name, value in named if name == "provider"} <= providers
    assert {value for name, value in named if name == "issuer"} <= {
        "microsoft",
        "google",
        "keycloak",
        "authentik",
        "other",
    }


def test_no_step_shows_a_token_in_an_address() -> None:
    steps = [step.text for entry in CATALOGUE.entries.values() for step in entry.steps]
    assert [step for step in steps if re.search(r"[?&]\w*token=", step)] == []


RIGHTS = [
    *(Cause.CONSENT_MISSING, Cause.MISSING_SMTP_PERMISSION, Cause.GRAPH_PERMISSION_MISSING, Cause.FINDER_FAILED),
    *(Cause.SERVICE_PRINCIPAL_NOT_REGISTERED, Cause.WRONG_OBJECT_ID_SERVICE_PRINCIPAL),
    *(Cause.MAILBOX_PERMISSION_MISSING, Cause.SMTP_AUTH_DISABLED_TENANT, Cause.SMTP_AUTH_DISABLED_MAILBOX),
    *(Cause.CERTIFICATE_CREDENTIAL_REJECTED, Cause.FEDERATED_ASSERTION_MISMATCH),
]


@pytest.mark.parametrize("cause", RIGHTS)
def test_what_is_about_rights_names_the_script_that_grants_them(cause: Cause) -> None:
    values = {"provider": "microsoft", "issuer": "microsoft", "flow": "client_credentials", "credential": "contoso"}
    assert re.search(r": smtpcheck setup contoso$", _steps(cause, **values), re.MULTILINE)


@pytest.mark.parametrize(("cloud", "more"), [("global", ""), ("gcc-high", " --cloud gcc-high")])
def test_without_a_configuration_file_the_script_is_made_from_options(cloud: str, more: str) -> None:
    hints = CredentialHints("", "microsoft", tenant="contoso.com", client_id="app-1", cloud=cloud)
    values = values_of(Observation(provider="microsoft", sasl_user="a@contoso.com", hints=hints))
    line = f"smtpcheck setup --tenant contoso.com --client-id app-1 --mailbox a@contoso.com{more}"
    values |= {"provider": "microsoft", "flow": "client_credentials"}
    steps = _steps(Cause.SMTP_AUTH_DISABLED_MAILBOX, **values)
    assert re.search(f": {line}$", steps, re.MULTILINE)
