"""The report that can be posted: nothing of the site stands in it, and the same thing has one name everywhere."""

import json
import uuid
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smtpcheck.cli.doctor.document import as_json
from smtpcheck.cli.doctor.evidence import Evidence
from smtpcheck.cli.doctor.redacted_bundle import Redaction, redacted
from smtpcheck.cli.doctor.result import Examined, Stage, failed
from smtpcheck.diagnosis import catalogue
from smtpcheck.model.cause import Cause
from smtpcheck.model.check import (
    Check,
    Depth,
    Phase,
    Security,
    Server,
)
from smtpcheck.model.report import (
    Attempt,
    CertificateFacts,
    Exchange,
    Fault,
    FaultKind,
    Finding,
    Outcome,
    Reply,
    Report,
    Step,
    TlsFacts,
    TokenFacts,
)
from smtpcheck.oauth.microsoft import Microsoft
from tests.worlds.samples import exchange_online

RULES = catalogue.load()

LABEL = st.from_regex(r"[a-z][a-z0-9]{2,10}(-[a-z0-9]{1,6})?", fullmatch=True)
TOP = st.sampled_from(["com", "org", "de", "local", "internal", "example"])
DOMAIN = st.builds("x{}.{}".format, LABEL, TOP)
HOST = st.builds("{}.{}".format, LABEL, DOMAIN)
LOCAL = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9+_'-]{2,12}(\.[A-Za-z0-9+=_-]{1,8})?", fullmatch=True)
ADDRESS = st.builds("{}@{}".format, LOCAL, DOMAIN)
IP = st.one_of(st.ip_addresses(v=4), st.ip_addresses(v=6)).map(str)
GUID = st.uuids().map(str)


def report(check: Check, texts: list[str], claims: dict[str, object], ip: str) -> Report:
    """Return a run in which every kind of text bears the same words."""
    said = Reply(535, "5.7.3", tuple(texts))
    greeting = Reply(220, "", (f"{check.server.host} ESMTP ready", *texts))
    certificate = CertificateFacts(
        0.0, 4e9, f"CN={check.server.host},O=Xorganisation Ltd", "CN=Public CA", (f"*.{check.server.host}",), "ab" * 32,
        self_signed=False, verified=True,
    )  # fmt: skip
    finding = Finding(Cause.USER_MISMATCH, 0.5, "x", tuple(texts), {"mailbox": check.mailbox})
    return Report(
        check=check.name,
        started_at=1.0,
        seconds=1.0,
        outcome=Outcome.CRITICAL,
        steps=(
            Step(Phase.BANNER, 0.0, 0.1, (Exchange("", greeting),)),
            Step(
                Phase.AUTH,
                0.0,
                0.1,
                (Exchange(f"AUTH {check.mailbox}", said, " ".join(texts)),),
                Fault(FaultKind.REPLY),
            ),
        ),
        cause=Cause.USER_MISMATCH,
        findings=(finding,),
        token=TokenFacts("0123456789ab", "jwt", 1.0, 2.0, "https://outlook.office365.com/.default", 9, claims, False),
        tls=TlsFacts("TLSv1.3", "AES", certificate),
        attempts=(Attempt(ip, 4, Fault(FaultKind.TIMEOUT, f"{ip}: timed out")),),
    )


def document_of(check: Check, tenant: str, client_id: str, texts: list[str], ip: str) -> tuple[str, dict[str, Any]]:
    """Return an examination redacted, as text and as values."""
    claims: dict[str, object] = {
        "tid": tenant,
        "appid": client_id,
        "oid": client_id,
        "upn": check.mailbox,
        "aud": texts,
        "roles": ["SMTP.SendAsApp"],
    }
    one = report(check, texts, claims, ip)
    credential = Microsoft.model_validate(
        {"tenant": tenant, "client_id": client_id, "client_secret": {"value": "x" * 9}}
    )
    evidence = Evidence(check, credential, 3600.0, 5.0, issuer="login.microsoftonline.com", asked=one, report=one)
    stages = [Examined(stage, (failed(" ".join(texts)),), one.findings) for stage in Stage]
    values = redacted(as_json(evidence, stages, RULES), evidence)
    return json.dumps(values, ensure_ascii=False), values


def check_of(mailbox: str, recipient: str, host: str, ehlo: str) -> Check:
    """Return a check for a mailbox at a host."""
    server = Server(host, 587, Security.STARTTLS, host, ehlo, ca_file="/etc/xsite/ca.pem")
    return exchange_online(
        "xbilling", mailbox=mailbox, recipient=recipient, server=server, depth=Depth.SEND, credential="xcontoso"
    )


SITE = st.tuples(ADDRESS, ADDRESS, HOST, HOST, GUID | DOMAIN, GUID, IP)


@given(SITE, st.sampled_from([str.lower, str.upper, str.title]))
def test_nothing_that_the_configuration_names_stands_in_it(site: tuple[str, ...], cased: Any) -> None:
    """Whatever addresses, hosts and ids it has, in whatever words of a server, a claim or a finding they come back."""
    mailbox, recipient, host, ehlo, tenant, client_id, ip = site
    named = list(site)
    texts = [
        f"user {mailbox} at {host}",
        f"<{recipient}> [{ip}] {cased(host)}: denied for {tenant}/{client_id}",
        *(f"({cased(name)}); {name}, '{name}'" for name in named),
        f"https://{host}/{tenant}/x?login={mailbox.replace('@', '%40')}",
        mailbox.rpartition("@")[2],
    ]
    text, _ = document_of(check_of(mailbox, recipient, host, ehlo), tenant, client_id, texts, ip)
    shown = text.casefold()
    assert [
        name for name in (*named, mailbox.rpartition("@")[2], mailbox.replace("@", "%40")) if name.casefold() in shown
    ] == []


def test_the_same_thing_has_one_name_everywhere() -> None:
    """And different things have different ones; what is public stays readable."""
    tenant, client = str(uuid.UUID(int=1)), str(uuid.UUID(int=2))
    check = check_of("anna@xsite.org", "bert@xsite.org", "mail.xsite.org", "probe.xsite.org")
    texts = [
        "anna@xsite.org may not send as BERT@xsite.org at xsite.org, see https://aka.ms/smtp_auth_disabled",
        "STOREDRV.Submission.Exception:SendAsDeniedException [AM6PR01.prod.outlook.com 198.51.100.7] SMTP.Send 5.7.139",
        f"{client} in {tenant}; file /home/xsite/key.pem; set agent.listen in checks.yaml at 10:15:00",
    ]
    text, values = document_of(check, tenant, client, texts, "198.51.100.7")
    notes = values["steps"][0]["notes"][0]["text"]
    assert notes == (
        "user1@domain1.example may not send as user2@domain1.example at domain1.example, see "
        "https://aka.ms/smtp_auth_disabled STOREDRV.Submission.Exception:SendAsDeniedException "
        "[AM6PR01.prod.outlook.com ip-1] SMTP.Send 5.7.139 id-1 in id-2; file path-1; set agent.listen in checks.yaml "
        "at 10:15:00"
    )
    token = values["connection_run"]["token"]
    assert (token["claims"]["appid"], token["claims"]["tid"]) == ("id-1", "id-2")
    assert token["scope"] == "https://outlook.office365.com/.default"
    assert values["connection_run"]["attempts"][0]["address"] == "ip-1"
    assert (values["check"], values["connection_run"]["check"]) == ("check-1", "check-1")
    assert (values["steps"][6]["title"], values["connection_run"]["cause"]) == (
        "test of the connection",
        "user_mismatch",
    )
    for word in ("xsite", "xbilling", "xcontoso", "Xorganisation", "0123456789ab", "ab" * 32):
        assert word.casefold() not in text.casefold()


@pytest.mark.parametrize(
    "kept",
    [
        "https://learn.microsoft.com/entra/msal RFC 5321 4.2",
        "smtp.office365.com and smtp.gmail.com and login.microsoftonline.com",
        "Set-CASMailbox -SmtpClientAuthenticationDisabled $false; roles SMTP.SendAsApp, Mail.ReadWrite",
        "TLSv1.3 with TLS_AES_256_GCM_SHA384 until 3000-01-01 00:00 UTC at 12:34:56",
    ],
)
def test_what_tells_nothing_of_the_site_stays(kept: str) -> None:
    assert Redaction(hosts=["mail.example.org"]).text(kept) == kept


@pytest.mark.parametrize(
    "lost",
    [
        "contoso.onmicrosoft.com",
        "contoso-com.mail.protection.outlook.com",
        "contoso.sharepoint.com",
        "mx1.corp.internal",
        "someone@gmail.com",
        "2001:db8::1",
        "[IPv6:2001:db8::1]",
        "203.0.113.9",
        "fe80::1%eth0",
        "/home/anna/secret",
    ],
)
def test_what_has_the_form_of_a_name_is_replaced_though_nobody_named_it(lost: str) -> None:
    shown = Redaction().text(f"seen {lost} there")
    assert lost.strip("[]").removeprefix("IPv6:") not in shown
    assert shown.startswith("seen ")
    assert shown.endswith(" there")


def test_what_was_cut_off_is_replaced_too() -> None:
    """Evidence is quoted up to some length, wherever that falls."""
    whole = "denied for anna.smith@xsite.org at mail.xsite.org, app 11111111-2222-3333-4444-555555555555"
    redaction = Redaction(domains=["xsite.org"], hosts=["mail.xsite.org"], ids=["11111111-2222-3333-4444-555555555555"])
    shown = " ".join(redaction.text(whole[:length]) for length in range(len(whole) + 1))
    for part in ("anna.smith@", "@xsi", "mail.xsite", "11111111-2222"):
        assert part not in shown


@pytest.mark.parametrize("token", ["eyJhbGciOiJSUzI1NiJ9.eyJhIjoxfQ.c2ln", "ya29.a0AfB_byC1234567890", "x" * 60])
def test_a_token_that_slipped_in_is_masked(token: str) -> None:
    assert Redaction().text(f"seen {token} there") == "seen *** there"


@given(st.text(max_size=300))
def test_any_text_is_taken(text: str) -> None:
    shown = Redaction(hosts=["mail.example.org"], domains=["example.org"], ids=["abc-def"]).text(f"{text} abc-def")
    assert not shown.endswith("abc-def")
