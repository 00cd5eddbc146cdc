"""The embedded world: each scenario shows itself to real MSAL and smtplib, and nothing is left behind."""

import asyncio
import base64
import json
import smtplib
import ssl
import stat
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import google.auth.exceptions
import google.auth.transport.requests
import google.oauth2.credentials
import google.oauth2.service_account
import msal
import pytest
import requests
import uvloop
import yaml
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from smtpcheck.model.cause import Cause
from smtpcheck.model.report import Finding, Outcome, Report
from smtpcheck.sandbox.scenario import GMAIL, CredentialKind, Registration, Scenario
from smtpcheck.sandbox.scenarios import SCENARIOS
from smtpcheck.sandbox.smtp_session import Listener
from smtpcheck.sandbox.world import World

SEEN: dict[str, str] = {
    "healthy": "235 2.7.0",
    "healthy-sender": "250 2.1.0",
    "healthy-send": "250 2.0.0",
    "healthy-certificate": "235 2.7.0",
    "healthy-federated": "235 2.7.0",
    "healthy-user": "235 2.7.0",
    "secret-expired": "AADSTS7000222",
    "secret-wrong": "AADSTS7000215",
    "app-unknown": "AADSTS700016",
    "federated-mismatch": "AADSTS700213",
    "login-revoked": "AADSTS70008",
    "audience-wrong": "535 5.7.3",
    "smtp-auth-disabled": "535 5.7.139",
    "mailbox-right-missing": "430 4.2.0",
    "sender-refused": "554 5.2.252",
    "connections-throttled": "432 4.3.2",
    "certificate-expired": "certificate has expired",
    "starttls-missing": "STARTTLS not offered",
    "mechanism-missing": "XOAUTH2 not offered",
    "slow": "235 2.7.0",
    "silent": "timed out",
    "password": "235 2.7.0",
    "password-must-fail": "535 5.7.139",
    "mailbox-must-fail": "535 5.7.3",
    "relay-must-fail": "554 5.7.1",
    "sender-must-fail": "250 2.1.5",
    "mail-delivered": "235 2.7.0",
    "mail-late": "235 2.7.0",
    "mail-in-junk": "235 2.7.0",
    "mail-in-junk-by-rule": "235 2.7.0",
    "mail-in-junk-spamassassin": "235 2.7.0",
    "mail-rated-outbound-spam": "235 2.7.0",
    "mail-lost": "235 2.7.0",
    "mail-bounced": "235 2.7.0",
    "mail-bounced-dmarc": "235 2.7.0",
    "mail-delayed": "235 2.7.0",
    "finder-refused": "235 2.7.0",
    "graph-healthy": "400 ErrorMimeContentInvalidBase64String",
    "graph-healthy-by-smtp": "235 2.7.0",
    "graph-send": "202 ",
    "graph-consent-missing": "403 ErrorAccessDenied",
    "graph-token-old": "403 ErrorAccessDenied",
    "graph-mailbox-excluded": "403 ErrorAccessDenied",
    "graph-throttled": "429 ApplicationThrottled",
    "gmail-healthy": "400 invalidArgument",
    "gmail-scope-insufficient": "403 insufficientPermissions",
    **dict.fromkeys(
        [
            *("bare-535-unregistered", "bare-535-object-id", "bare-535-no-right", "bare-535-smtp-auth"),
            *("bare-535-no-mailbox", "bare-535-no-permission", "bare-535-tenant-switch", "inspector-blind"),
        ],
        "535 5.7.3",
    ),
    "criteria-smtp-auth": "535 5.7.139",
    "mailbox-not-opened": "430 4.2.0",
    "sender-blocked": "550 5.1.8",
    "sender-nobody-may": "554 5.2.252",
    "secret-removed": "AADSTS7000215",
    "assignment-missing": "AADSTS50105",
    "policy-refuses": "AADSTS53003",
    "consent-withdrawn": "AADSTS65001",
    "inspector-no-licence": "235 2.7.0",
    "drift": "235 2.7.0",
    "incident": "421 4.3.2",
    "mail-quarantined": "235 2.7.0",
    "google-user-suspended": "Account disabled",
    "google-no-mailbox": "535 5.7.8",
    "google-key-disabled": "Invalid JWT Signature.",
    "google-incident": "454 4.7.0",
    "ses-sandbox": "200 ProductionAccessEnabled False",
    "sendgrid-key-restricted": "200 user.profile.read",
    "aotsend-no-balance": "200 40007",
}
"""What a plain client sees last, going as deep as the check does."""

EXCHANGE_SCOPE = "https://outlook.office365.com/.default"
GRAPH_SCOPE = "https://graph.microsoft.com/.default"


class Client:
    """A plain client that reads the world's configuration and does what one of its checks says."""

    def __init__(self, world: World) -> None:
        self.settings: dict[str, Any] = yaml.safe_load(world.config.read_text())
        self.folder = world.config.parent

    def see(self, name: str) -> str:
        check = next(check for check in self.settings["checks"] if check["name"] == name)
        keys = self.settings["credentials"][check["credential"]] if "credential" in check else {}
        if keys.get("type") in {"api-key", "aws"}:
            return self.ask(check, keys)
        if not keys or keys["type"] == "password":
            return self.converse_without_token(check, keys)
        token, error = self.token(check, keys)
        if "via" in check:
            return error or self.request(check, keys, token)
        try:
            return error or self.converse(check, token)
        except ssl.SSLCertVerificationError as failure:
            return failure.verify_message
        except smtplib.SMTPServerDisconnected as failure:
            return str(failure).rpartition(": ")[2]

    def ask(self, check: dict[str, Any], keys: dict[str, Any]) -> str:
        """Return what a service with a key says of the account, or of a message."""
        base, api = check["via"]["base"], check["via"]["api"]
        key = self.read(keys["key" if "key" in keys else "secret_access_key"]["file"])
        with requests.Session() as session:
            session.trust_env = False
            session.verify = str(self.folder / keys["ca_file"])
            if api == "sendgrid":
                answer = session.get(f"{base}/v3/scopes", headers={"Authorization": f"Bearer {key}"})
                return f"{answer.status_code} {' '.join(answer.json()['scopes'])}"
            if api == "aotsend":
                form = {"app_key": key, "template_id": check["via"]["template"], "to": check["recipient"]}
                answer = session.post(f"{base}/index/api/send_email", form)
                return f"{answer.status_code} {answer.json()['code']}"
            signed = AWSRequest("GET", f"{base}/v2/email/account")
            SigV4Auth(Credentials(keys["access_key_id"], key), "ses", keys["region"]).add_auth(signed)
            answer = session.get(signed.url, headers=dict(signed.headers))
            return f"{answer.status_code} ProductionAccessEnabled {answer.json()['ProductionAccessEnabled']}"

    def request(self, check: dict[str, Any], keys: dict[str, Any], token: str) -> str:
        """Return status and error of the API's answer to a message, or to what is none."""
        if check["via"]["api"] == "gmail":
            return self.request_of_gmail(check, keys, token)
        url = f"{keys['authority']}v1.0/users/{check['mailbox']}/sendMail"
        content = f"From: {check['mailbox']}\r\nTo: {check.get('recipient')}\r\n\r\nx\r\n".encode()
        body = base64.b64encode(content) if check.get("depth") == "send" else b"!"
        headers = {"Authorization": f"Bearer {token}", "Content-Type": "text/plain"}
        with requests.Session() as session:
            session.trust_env = False
            answer = session.post(url, body, headers=headers, verify=str(self.folder / keys["ca_file"]))
        return f"{answer.status_code} {answer.json()['error']['code'] if answer.content else ''}"

    def request_of_gmail(self, check: dict[str, Any], keys: dict[str, Any], token: str) -> str:
        url = f"{check['via']['base']}/gmail/v1/users/me/messages/send"
        with requests.Session() as session:
            session.trust_env = False
            headers = {"Authorization": f"Bearer {token}"}
            answer = session.post(url, json={"raw": ""}, headers=headers, verify=str(self.folder / keys["ca_file"]))
        return f"{answer.status_code} {answer.json()['error']['errors'][0]['reason']}"

    def token(self, check: dict[str, Any], keys: dict[str, Any]) -> tuple[str, str]:
        """Return a token, or why there is none."""
        with requests.Session() as session:
            session.trust_env = False
            session.verify = str(self.folder / keys["ca_file"])
            if keys["type"].startswith("google"):
                return self.google_token(check, keys, session)
            scope = keys.get("scope", GRAPH_SCOPE if "via" in check else EXCHANGE_SCOPE)
            answer = self.microsoft_token(keys, session, scope)
        return answer.get("access_token", ""), answer.get("error_description", "").partition(":")[0]

    def microsoft_token(self, keys: dict[str, Any], session: requests.Session, scope: str) -> dict[str, Any]:
        authority = keys["authority"] + keys["tenant"]
        answer: dict[str, Any]
        if keys["type"] == "microsoft-user":
            public = msal.PublicClientApplication(
                keys["client_id"], authority=authority, instance_discovery=False, http_client=session
            )
            scopes = ["https://outlook.office.com/SMTP.Send"]
            answer = public.acquire_token_by_refresh_token(self.read(keys["refresh_token"]["file"]), scopes)
            return answer
        assert keys["type"] == "microsoft"
        credential: object
        if "client_certificate" in keys:
            key, _, certificate = self.read(keys["client_certificate"]["file"]).partition("-----BEGIN CERTIFICATE")
            credential = {"private_key": key, "public_certificate": f"-----BEGIN CERTIFICATE{certificate}"}
        elif "client_assertion" in keys:
            credential = {"client_assertion": lambda: self.read(keys["client_assertion"]["file"])}
        else:
            credential = self.read(keys["client_secret"]["file"])
        client = msal.ConfidentialClientApplication(
            keys["client_id"], credential, authority, instance_discovery=False, http_client=session
        )
        answer = client.acquire_token_for_client([scope])
        return answer

    def google_token(self, check: dict[str, Any], keys: dict[str, Any], session: requests.Session) -> tuple[str, str]:
        scope = check.get("via", {}).get("scope", "https://mail.google.com/")
        credentials: Any
        if keys["type"] == "google-service-account":
            credentials = google.oauth2.service_account.Credentials.from_service_account_info(  # type: ignore[no-untyped-call]
                json.loads(self.read(keys["key_file"])), scopes=[scope], subject=check["mailbox"]
            )
        else:
            credentials = google.oauth2.credentials.Credentials(  # type: ignore[no-untyped-call]
                None,
                self.read(keys["refresh_token"]["file"]),
                None,
                f"{keys['issuer']}token",
                keys["client_id"],
                self.read(keys["client_secret"]["file"]),
            )
        try:
            credentials.refresh(google.auth.transport.requests.Request(session))
        except google.auth.exceptions.RefreshError as error:
            return "", str(error.args[1]["error_description"])
        return str(credentials.token), ""

    def converse_without_token(self, check: dict[str, Any], keys: dict[str, Any]) -> str:
        """Return the beginning of the last reply of a conversation with a password or without a login."""
        server = check["server"]
        trust = ssl.create_default_context(cafile=str(self.folder / server["ca_file"]))
        with smtplib.SMTP(server["host"], server["port"], "client.example", timeout=5) as smtp:
            smtp.starttls(context=trust)
            smtp.ehlo()
            answer = (235, b"")
            if keys:
                try:
                    answer = smtp.login(check["mailbox"], self.read(keys["password"]["file"]))
                except smtplib.SMTPAuthenticationError as error:
                    said = error.smtp_error
                    answer = (error.smtp_code, said if isinstance(said, bytes) else said.encode())
            if "recipient" in check:
                smtp.mail(check["sender"])
                answer = smtp.rcpt(check["recipient"])
            return f"{answer[0]} {answer[1].decode().partition(' ')[0]}"

    def read(self, name: str) -> str:
        return (self.folder / name).read_text()

    def converse(self, check: dict[str, Any], token: str) -> str:
        """Return the beginning of the last reply, or what ended the conversation."""
        server = check["server"]
        trust = ssl.create_default_context(cafile=str(self.folder / server["ca_file"]))
        timeout = float(check.get("timeout", "5s").removesuffix("s"))
        with smtplib.SMTP(server["host"], server["port"], "client.example", timeout=timeout) as smtp:
            smtp.ehlo()
            if not smtp.has_extn("starttls"):
                return "STARTTLS not offered"
            smtp.starttls(context=trust)
            smtp.ehlo()
            if "XOAUTH2" not in smtp.esmtp_features.get("auth", ""):
                return "XOAUTH2 not offered"
            response = f"user={check['mailbox']}\x01auth=Bearer {token}\x01\x01"
            answer = smtp.docmd("AUTH XOAUTH2", base64.b64encode(response.encode()).decode())
            if answer[0] == 334:
                answer = smtp.docmd("")
            sender = check.get("sender", check["mailbox"])
            depth = check.get("depth", "auth")
            if answer[0] == 235 and depth in {"sender", "send"}:
                answer = smtp.mail(sender)
            if answer[0] == 250 and depth == "send":
                answer = smtp.rcpt(check["recipient"])
                if answer[0] == 250:
                    answer = smtp.data(f"From: {sender}\r\n\r\nx\r\n")
            return f"{answer[0]} {answer[1].decode().partition(' ')[0]}"


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    async with World(tmp_path) as world:
        yield world


@pytest.mark.parametrize("new_loop", [asyncio.new_event_loop, uvloop.new_event_loop])
def test_each_scenario_shows_itself_to_a_plain_client(
    tmp_path: Path, new_loop: Callable[[], asyncio.AbstractEventLoop]
) -> None:
    """What the scenarios say can be observed from outside, with MSAL and smtplib, on both kinds of event loop."""

    async def see_all() -> dict[str, str]:
        async with World(tmp_path) as world:
            client = Client(world)
            seen = await asyncio.gather(*(asyncio.to_thread(client.see, name) for name in world.expected))
            return dict(zip(world.expected, seen, strict=True))

    with asyncio.Runner(loop_factory=new_loop) as runner:
        assert runner.run(see_all()) == SEEN


def test_the_scenarios_cover_what_must_be_shown() -> None:
    """Each scenario expects what its name says."""
    assert {scenario.name: (scenario.outcome, scenario.cause or set(scenario.warnings)) for scenario in SCENARIOS} == {
        "healthy": (Outcome.OK, set()),
        "healthy-sender": (Outcome.OK, set()),
        "healthy-send": (Outcome.OK, set()),
        "healthy-certificate": (Outcome.OK, set()),
        "healthy-federated": (Outcome.OK, set()),
        "healthy-user": (Outcome.OK, set()),
        "secret-expired": (Outcome.CRITICAL, Cause.SECRET_EXPIRED),
        "secret-wrong": (Outcome.CRITICAL, Cause.SECRET_INVALID),
        "app-unknown": (Outcome.CRITICAL, Cause.APP_NOT_IN_TENANT),
        "federated-mismatch": (Outcome.CRITICAL, Cause.FEDERATED_ASSERTION_MISMATCH),
        "login-revoked": (Outcome.CRITICAL, Cause.REFRESH_TOKEN_EXPIRED_OR_REVOKED),
        "audience-wrong": (Outcome.CRITICAL, Cause.WRONG_TOKEN_AUDIENCE),
        "smtp-auth-disabled": (Outcome.CRITICAL, Cause.SMTP_AUTH_DISABLED_TENANT),
        "mailbox-right-missing": (Outcome.CRITICAL, Cause.MAILBOX_PERMISSION_MISSING),
        "sender-refused": (Outcome.CRITICAL, Cause.SENDER_NOT_ALLOWED),
        "connections-throttled": (Outcome.CRITICAL, Cause.THROTTLED_CONNECTIONS),
        "certificate-expired": (Outcome.CRITICAL, Cause.CERTIFICATE_EXPIRED),
        "starttls-missing": (Outcome.CRITICAL, Cause.STARTTLS_NOT_OFFERED),
        "mechanism-missing": (Outcome.CRITICAL, Cause.MECHANISM_NOT_OFFERED),
        "slow": (Outcome.WARNING, {Cause.SLOW}),
        "silent": (Outcome.CRITICAL, Cause.TIMEOUT),
        "password": (Outcome.OK, set()),
        "password-must-fail": (Outcome.OK, set()),
        "mailbox-must-fail": (Outcome.OK, set()),
        "relay-must-fail": (Outcome.OK, set()),
        "sender-must-fail": (Outcome.CRITICAL, Cause.UNEXPECTED_SUCCESS),
        "mail-delivered": (Outcome.OK, set()),
        "mail-late": (Outcome.WARNING, {Cause.MAIL_LATE}),
        "mail-in-junk": (Outcome.WARNING, {Cause.MAIL_IN_JUNK}),
        "mail-in-junk-by-rule": (Outcome.WARNING, {Cause.MAIL_IN_JUNK}),
        "mail-in-junk-spamassassin": (Outcome.WARNING, {Cause.MAIL_IN_JUNK}),
        "mail-rated-outbound-spam": (Outcome.WARNING, {Cause.RATED_OUTBOUND_SPAM}),
        "mail-lost": (Outcome.CRITICAL, Cause.MAIL_LOST),
        "mail-bounced": (Outcome.CRITICAL, Cause.MAIL_BOUNCED),
        "mail-bounced-dmarc": (Outcome.CRITICAL, Cause.MAIL_BOUNCED),
        "mail-delayed": (Outcome.WARNING, {Cause.MAIL_LATE}),
        "finder-refused": (Outcome.WARNING, {Cause.FINDER_FAILED}),
        "graph-healthy": (Outcome.OK, set()),
        "graph-healthy-by-smtp": (Outcome.OK, set()),
        "graph-send": (Outcome.OK, set()),
        "graph-consent-missing": (Outcome.CRITICAL, Cause.GRAPH_PERMISSION_MISSING),
        "graph-token-old": (Outcome.CRITICAL, Cause.TOKEN_OLDER_THAN_CONSENT),
        "graph-mailbox-excluded": (Outcome.CRITICAL, Cause.EXCHANGE_APP_ACCESS_POLICY),
        "graph-throttled": (Outcome.CRITICAL, Cause.GRAPH_THROTTLED),
        "gmail-healthy": (Outcome.OK, set()),
        "gmail-scope-insufficient": (Outcome.CRITICAL, Cause.WRONG_SCOPE_GOOGLE),
        "bare-535-unregistered": (Outcome.CRITICAL, Cause.SERVICE_PRINCIPAL_NOT_REGISTERED),
        "bare-535-object-id": (Outcome.CRITICAL, Cause.WRONG_OBJECT_ID_SERVICE_PRINCIPAL),
        "bare-535-no-right": (Outcome.CRITICAL, Cause.MAILBOX_PERMISSION_MISSING),
        "bare-535-smtp-auth": (Outcome.CRITICAL, Cause.SMTP_AUTH_DISABLED_MAILBOX),
        "bare-535-no-mailbox": (Outcome.CRITICAL, Cause.MAILBOX_MISSING_OR_UNLICENSED),
        "bare-535-no-permission": (Outcome.CRITICAL, Cause.MISSING_SMTP_PERMISSION),
        "bare-535-tenant-switch": (Outcome.CRITICAL, Cause.SMTP_AUTH_DISABLED_TENANT),
        "criteria-smtp-auth": (Outcome.CRITICAL, Cause.SMTP_AUTH_DISABLED_MAILBOX),
        "mailbox-not-opened": (Outcome.CRITICAL, Cause.MAILBOX_PERMISSION_MISSING),
        "sender-blocked": (Outcome.CRITICAL, Cause.ACCOUNT_BLOCKED_OUTBOUND_SPAM),
        "sender-nobody-may": (Outcome.CRITICAL, Cause.SENDER_NOT_ALLOWED),
        "secret-removed": (Outcome.CRITICAL, Cause.SECRET_INVALID),
        "assignment-missing": (Outcome.CRITICAL, Cause.CONSENT_MISSING),
        "policy-refuses": (Outcome.CRITICAL, Cause.CONDITIONAL_ACCESS),
        "consent-withdrawn": (Outcome.CRITICAL, Cause.CONSENT_MISSING),
        "inspector-blind": (Outcome.CRITICAL, Cause.SERVICE_PRINCIPAL_NOT_REGISTERED),
        "inspector-no-licence": (Outcome.OK, set()),
        "drift": (Outcome.WARNING, {Cause.MAILBOX_PERMISSION_MISSING, Cause.SETTING_CHANGED}),
        "incident": (Outcome.CRITICAL, Cause.TRANSIENT_SERVER_ERROR),
        "mail-quarantined": (Outcome.CRITICAL, Cause.MAIL_QUARANTINED),
        "google-user-suspended": (Outcome.CRITICAL, Cause.ACCOUNT_LOCKED),
        "google-no-mailbox": (Outcome.CRITICAL, Cause.MAILBOX_MISSING_OR_UNLICENSED),
        "google-key-disabled": (Outcome.CRITICAL, Cause.SERVICE_ACCOUNT_KEY_INVALID),
        "google-incident": (Outcome.CRITICAL, Cause.TRANSIENT_SERVER_ERROR),
        "ses-sandbox": (Outcome.WARNING, {Cause.API_ACCOUNT_IN_SANDBOX}),
        "sendgrid-key-restricted": (Outcome.CRITICAL, Cause.API_KEY_NOT_PERMITTED),
        "aotsend-no-balance": (Outcome.CRITICAL, Cause.QUOTA_EXHAUSTED),
    }


def finding(cause: Cause) -> Finding:
    return Finding(cause, 1.0, "rule")


@pytest.mark.parametrize(
    ("outcome", "cause", "warnings", "expected"),
    [
        (Outcome.WARNING, None, (finding(Cause.SLOW),), True),
        (Outcome.WARNING, None, (finding(Cause.SECRET_EXPIRING),), False),
        (Outcome.WARNING, None, (finding(Cause.SLOW), finding(Cause.SECRET_EXPIRING)), False),
        (Outcome.OK, None, (), False),
        (Outcome.CRITICAL, Cause.TIMEOUT, (finding(Cause.SLOW),), False),
    ],
)
def test_a_report_is_as_expected_only_as_a_whole(
    outcome: Outcome, cause: Cause | None, warnings: tuple[Finding, ...], expected: bool
) -> None:
    """Outcome, cause and warnings must all be the scenario's."""
    scenario = Scenario("slow", "", warnings=frozenset({Cause.SLOW}))
    report = Report("slow", 0.0, 1.0, outcome, cause=cause, warnings=warnings)
    assert scenario.expects(report) is expected


async def test_the_configuration_is_complete(world: World, tmp_path: Path) -> None:
    """Every check has its port, and its credential where it logs in; everything lies in the folder."""
    settings = yaml.safe_load(world.config.read_text())
    assert list(settings) == ["agent", "defaults", "credentials", "checks"]
    assert settings["agent"] == {"listen": "127.0.0.1:9587", "state": str(tmp_path / "state")}
    assert [check["name"] for check in settings["checks"]] == [scenario.name for scenario in SCENARIOS]
    named = {check["credential"] for check in settings["checks"] if check["name"] != "relay-must-fail"}
    inspectors = {keys["inspect"]["by"] for keys in settings["credentials"].values() if "inspect" in keys}
    assert named | inspectors == set(settings["credentials"])
    by_smtp = [check for check in settings["checks"] if "via" not in check]
    assert {check["server"]["port"] for check in by_smtp} == set(world.ports.values())
    assert {check.get("interval") for check in settings["checks"] if check.get("depth") == "send"} == {"15m"}


async def test_secret_files_are_the_owners_alone(world: World) -> None:
    """Every file that holds a secret has mode 0600, and the configuration holds none."""
    credentials = yaml.safe_load(world.config.read_text())["credentials"].values()
    names = [
        value["file"] for keys in credentials for value in keys.values() if isinstance(value, dict) and "file" in value
    ]
    names += [keys["key_file"] for keys in credentials if "key_file" in keys]
    assert len(names) == len(credentials)
    files = [world.config.parent / name for name in names]
    assert {stat.S_IMODE(path.stat().st_mode) for path in files} == {0o600}
    assert {path.read_text() for path in files} <= world.secrets()
    assert not [secret for secret in world.secrets() if secret in world.config.read_text()]


async def test_every_secret_that_existed_is_remembered(world: World) -> None:
    """Tokens, assertions, and the app's own secret behind a wrong one are all in the list for leak tests."""
    client = Client(world)
    await asyncio.to_thread(client.see, "healthy-certificate")
    minted = world.issuer.mint()
    apps = world.issuer.tenants[0].apps.values()
    assert {minted, *world.issuer.minted, *world.issuer.assertions, *(app.secret for app in apps)} <= world.secrets()
    assert (len(world.issuer.minted), len(world.issuer.assertions)) == (2, 1)


async def test_the_world_leaves_nothing_behind(tmp_path: Path) -> None:
    """Closing it ends its tasks and frees its ports."""
    async with World(tmp_path) as world:
        ports = [world.issuer.port, *world.ports.values()]
        await asyncio.to_thread(Client(world).see, "healthy")
    assert asyncio.all_tasks() == {asyncio.current_task()}
    for port in ports:
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection("127.0.0.1", port)


async def test_a_world_that_cannot_start_leaves_nothing(tmp_path: Path) -> None:
    """If the folder is missing, whatever was opened before is closed again."""
    world = World(tmp_path / "missing")
    with pytest.raises(FileNotFoundError):
        async with world:
            pass
    with pytest.raises(ConnectionRefusedError):
        await asyncio.open_connection("127.0.0.1", world.issuer.port)


async def test_a_scenario_is_one_row(tmp_path: Path) -> None:
    """A row of one's own, with an app of its own, becomes a check; the agent's address is as asked."""
    row = Scenario("mine", "Mine.", check={"labels": {"team": "a"}}, registration=Registration("own", roles=()))
    async with World(tmp_path, [row], "127.0.0.1:0") as world:
        client = Client(world)
        assert await asyncio.to_thread(client.see, "mine") == "535 5.7.3"
        assert client.settings["checks"][0]["labels"] == {"team": "a"}
        assert client.settings["agent"]["listen"] == "127.0.0.1:0"


@pytest.mark.parametrize(
    "rows",
    [
        [Scenario("name-a", ""), Scenario("name-b", "", registration=Registration("g", CredentialKind.GOOGLE_USER))],
        [Scenario("a", ""), Scenario("a", "")],
        [
            Scenario("a", "", registration=Registration("r")),
            Scenario("b", "", registration=Registration("r", disabled=True)),
        ],
    ],
)
def test_rows_that_contradict_each_other_are_refused(tmp_path: Path, rows: list[Scenario]) -> None:
    """Two scenarios, or two different registrations, of one name are a mistake in the table."""
    with pytest.raises(ValueError, match=r"the (same )?name|a listener belongs to one service"):
        World(tmp_path, rows)


NOT_DELEGATED = (
    "Client is unauthorized to retrieve access tokens using this method, or client not authorized for any of the "
    "scopes requested."
)
CREDENTIAL_KINDS = {
    "federated": (Registration("federated", CredentialKind.FEDERATED), "235 2.7.0"),
    "federated-other": (Registration("federated-other", CredentialKind.FEDERATED, wrong_secret=True), "AADSTS700213"),
    "user": (Registration("user", CredentialKind.USER), "235 2.7.0"),
    "user-revoked": (Registration("user-revoked", CredentialKind.USER, revoked=True), "AADSTS70008"),
    "google-account": (Registration("google-account", CredentialKind.GOOGLE_ACCOUNT), "235 2.7.0"),
    "google-key": (Registration("google-key", CredentialKind.GOOGLE_ACCOUNT, revoked=True), "Invalid JWT Signature."),
    "google-delegation": (
        Registration("google-delegation", CredentialKind.GOOGLE_ACCOUNT, delegated=False),
        NOT_DELEGATED,
    ),
    "google-user": (Registration("google-user", CredentialKind.GOOGLE_USER), "235 2.7.0"),
    "google-user-revoked": (
        Registration("google-user-revoked", CredentialKind.GOOGLE_USER, revoked=True),
        "Token has been expired or revoked.",
    ),
}
"""Rows for every way to a token, with what a plain client sees last."""


async def test_a_row_may_go_each_way_to_a_token(tmp_path: Path) -> None:
    """Federated clients, users and service accounts, of Microsoft and Google, work or fail as the row says."""
    rows = [
        Scenario(name, "", registration=registration, server=GMAIL if registration.kind.google else Listener())
        for name, (registration, _) in CREDENTIAL_KINDS.items()
    ]
    async with World(tmp_path, rows) as world:
        seen = {name: await asyncio.to_thread(Client(world).see, name) for name in world.expected}
        assert not [secret for secret in world.secrets() if secret in world.config.read_text()]
        assert {*world.google.issued, *world.google.assertions, *world.issuer.sign_ins.issued} <= world.secrets()
    assert seen == {name: last for name, (_, last) in CREDENTIAL_KINDS.items()}


async def test_scenarios_of_one_registration_share_it_for_all_of_their_mailboxes(tmp_path: Path) -> None:
    """A service account acts for the mailbox of each of its checks."""
    shared = Registration("shared", CredentialKind.GOOGLE_ACCOUNT)
    rows = [Scenario(name, "", server=GMAIL, registration=shared) for name in ("one", "two")]
    async with World(tmp_path, rows) as world:
        seen = [await asyncio.to_thread(Client(world).see, row.name) for row in rows]
        assert world.google.token_requests.total() == 2
    assert seen == ["235 2.7.0", "235 2.7.0"]
