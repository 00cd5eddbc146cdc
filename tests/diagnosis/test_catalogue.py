"""The catalogue is well formed: every rule can fire and adds something, is cited, and takes time linear in the text."""

import re
from collections.abc import Iterator
from dataclasses import replace
from importlib import import_module
from importlib.resources import files
from itertools import permutations
from typing import Any

import pytest
import yaml

from smtpcheck.diagnosis import evidence, facts, mail_reading, masking, matching, phase, reading
from smtpcheck.diagnosis.catalogue import RULE_FILES, load
from smtpcheck.diagnosis.explain import Catalogue, Explanation, describe
from smtpcheck.diagnosis.mail_reading import BOUNCE_FACTS, HEADER_FACTS
from smtpcheck.diagnosis.matching import Conditions, Exclusion, Rule, holds, signals_of
from smtpcheck.diagnosis.observation import Observation
from smtpcheck.diagnosis.remedy import values_of
from smtpcheck.diagnosis.screening import Expression
from smtpcheck.model.cause import Cause
from smtpcheck.model.credential import CredentialHints
from smtpcheck.model.report import Attempt, CertificateFacts, Fault, FaultKind, Finding, TlsFacts, TokenErrorKind
from smtpcheck.sandbox.scenarios import SCENARIOS
from tests.diagnosis.corpus import FORMS, cases, findings, replies

# Named by a check's judgement, by the search for a message or by the agent, not by the reading of a failure.
ELSEWHERE = {
    Cause.AGENT_CUT_OFF,
    Cause.AGENT_OVERLOADED,
    Cause.AGENT_STALLED,
    Cause.CERTIFICATE_EXPIRING,
    Cause.CLIENT_CERTIFICATE_EXPIRING,
    Cause.FRESH_TOKEN_FAILING,
    Cause.INTERNAL,
    Cause.MAIL_BOUNCED,
    Cause.MAIL_LOST,
    Cause.MAIL_QUARANTINED,
    Cause.REFRESH_TOKEN_EXPIRING,
    Cause.SECRET_EXPIRING,
    Cause.SEND_CAP_REACHED,
    Cause.SETTING_CHANGED,
    Cause.SLOW,
    Cause.STATE_NOT_KEPT,
    Cause.UNEXPECTED_SUCCESS,
}
GRAPH = "https://graph.microsoft.com"
EXCHANGE = "https://outlook.office365.com"
FOREIGN = TlsFacts(
    "TLSv1.3", "x", CertificateFacts(0, 1, "CN=x", "CN=Proxy", (), "00", self_signed=True, verified=False)
)
FAILED = Fault(FaultKind.UNREACHABLE)
TIMES = "Current time: 2026-01-01T10:00:00.1234567Z, assertion valid from"
END = "expiry time of assertion"
SHOWN_BY: dict[str, dict[str, Any]] = {
    "audience_other": {"claims": {"aud": "https://graph.microsoft.com"}},
    "audience_right": {"claims": {"aud": EXCHANGE}},
    "id_token": {"claims": {"aud": "1", "appid": "1"}},
    "roles_missing": {"claims": {"aud": EXCHANGE, "idtyp": "app"}},
    "permission_missing": {"claims": {"aud": EXCHANGE, "roles": ["Mail.Send"]}},
    "permission_right": {"claims": {"aud": EXCHANGE, "scp": "SMTP.Send"}},
    "app_only": {"claims": {"idtyp": "app"}},
    "delegated": {"claims": {"scp": "IMAP.AccessAsUser.All", "upn": "a@example.org"}},
    "personal": {"claims": {"tid": "9188040d-6c67-4c5b-b112-36a304b66dad"}},
    "graph_send_right": {"claims": {"aud": GRAPH, "idtyp": "app", "roles": ["Mail.Send"]}},
    "graph_send_missing": {"claims": {"aud": GRAPH, "idtyp": "app", "roles": ["User.Read.All"]}},
    "graph_no_roles": {"claims": {"aud": GRAPH, "idtyp": "app"}},
    "token_before_grant": {"claims": {"iat": 1}, "granted_at": 9.0},
    "personal_address": {"sasl_user": "a@outlook.com"},
    "expired": {"claims": {"exp": 1}, "now": 9.0},
    "still_valid": {"claims": {"exp": 99}, "now": 9.0},
    "not_yet_valid": {"claims": {"nbf": 999}, "now": 9.0},
    "token_opaque": {"token_form": "opaque"},
    "user_differs": {"claims": {"upn": "b@example.org"}, "sasl_user": "a@example.org"},
    "user_same": {"claims": {"upn": "a@example.org"}, "sasl_user": "a@example.org"},
    "role_address": {"sasl_user": "info@example.org"},
    "administrator": {"claims": {"upn": "admin@example.org"}, "sasl_user": "a@example.org"},
    "user_no_address": {"sasl_user": "a"},
    "service_account_user": {"sasl_user": "a@b.iam.gserviceaccount.com"},
    "scope_graph": {"scope": "Mail.Send"},
    "scope_right": {"scope": "https://outlook.office.com/SMTP.Send"},
    "scope_names_smtp": {"scope": "https://outlook.office.com/SMTP.Send"},
    "scope_two_resources": {"scope": "User.Read https://outlook.office.com/SMTP.Send"},
    "scope_without_gmail": {"scope": "https://www.googleapis.com/auth/gmail.send"},
    "scope_gmail": {"scope": "https://mail.google.com/"},
    "scope_lacks_smtp": {"scope": "https://outlook.office.com/IMAP.AccessAsUser.All"},
    "scope_bare": {"scope": "offline_access"},
    "scope_delegated_for_app": {"scope": "https://outlook.office.com/SMTP.Send", "flow": "client_credentials"},
    "sasl_fault": {"sasl_fault": "no token"},
    "api_message": {"is_api_message": True},
    "mechanism_missing": {"ehlo": ("AUTH LOGIN",)},
    "starttls_missing": {"ehlo": ("SIZE",), "phase": "starttls"},
    "auth_offered": {"ehlo": ("AUTH LOGIN",)},
    "mx_host": {"host": "example.mail.protection.outlook.com"},
    "line_over_512": {"auth_line_length": 2000},
    "line_over_12288": {"auth_line_length": 20000},
    "clock_off": {"clock_offset": 600.0},
    "granted_lately": {"granted_at": 1.0, "now": 9.0},
    "granted_long_ago": {"granted_at": 1.0, "now": 99999.0},
    "certificate_foreign": {"tls": FOREIGN, "host": "smtp.office365.com"},
    "only_ipv6_failed": {"attempts": (Attempt("::1", 6, FAILED),), "phase": "connect"},
    "ipv4_failed": {"attempts": (Attempt("192.0.2.1", 4, FAILED),), "phase": "connect"},
    "port_465": {"port": 465},
    "mail_port": {"attempts": (Attempt("192.0.2.1", 4, FAILED),), "phase": "connect", "fault": "timeout", "port": 587},
    "odd_port": {"port": 587, "security": "implicit"},
    "status_400": {"challenge": '{"status":"400"}'},
    "status_401": {"challenge": '{"status":"401"}'},
    "no_ipv4_route": {"exception": "connect ENETUNREACH 192.0.2.1:587", "phase": "connect"},
    "login_skipped": {"skips_login": True},
    "no_token_sign": {"token_sign": False},
    "assertion_hours_off": {"exception": f"AADSTS700024: {TIMES} 2026-01-01T08:01:00Z, {END} 2026-01-01T08:11:00Z"},
    "assertion_early": {"exception": f"AADSTS700024: {TIMES} 2026-01-01T10:20:00Z, {END} 2026-01-01T10:30:00Z"},
    "assertion_reused": {"exception": f"AADSTS700024: {TIMES} 2026-01-01T04:43:00Z, {END} 2026-01-01T04:53:00Z"},
    "young_refresh_token": {"refresh_token_age": 86400.0},
    "week_old_refresh_token": {"refresh_token_age": 7 * 86400.0},
    "typ_at_jwt": {"claims": {"header_typ": "at+jwt"}},
    **{name: {"message_facts": {name: "seen"}} for name in BOUNCE_FACTS | HEADER_FACTS},
}
POSTMARK_CODES = {
    "token-code": 10,
    "signature-code": 400,
    "credits": 405,
    "inactive-code": 406,
    "pending-code": 412,
    "blocked-code": 413,
    "form-code": 300,
    "maintenance": 100,
    "rate-code": 429,
}
PATTERN_SAMPLES = {
    **{f"postmark.{rule}": f'"errorcode": {code}' for rule, code in POSTMARK_CODES.items()},
    "network.name-code": "getaddrinfo enotfound",
    "delivery.address-named": "ip=192.0.2.1",
    "delivery.spam-words": "spam rejection",
    "delivery.spam-address": "spam from 192.0.2.1",
    "fallback.bye": "* bye closing",
    "fallback.discovery": "discovery failed",
    "fallback.exception": "timeouterror: timed out",
    "fallback.issuer-waited": "timeout",
    "fallback.limits": "rate limit",
    "fallback.login": "login failed",
    "fallback.no-trust": "certificate failed",
    "fallback.spam": "spam",
    "fallback.unanswered": "timeout while reading",
    "fallback.waited": "timed out",
    "graph.ews-unauthorized": "(401) unauthorized",
    "graph.forbidden": "403 forbidden",
    "graph.unauthorized": "401 unauthorized",
    "oauth2.grant-type-text": "grant type is not allowed",
    "imap.refused-words": "auth for user x failed",
    "smtp.rate-exceeded": "the rate was exceeded",
    "smtp.hello-words": "invalid helo",
    "smtp.mechanism-words": "unsupported auth mechanism",
    "smtp.starttls-words": "does not offer starttls",
    "smtp.recipient-words": "recipient not in list",
    "mail.address-blocked": "blocked: 192.0.2.1",
    "courier.recipient": "550 User <x> unknown",
    "delivery.dmarc-words": "rejected: dmarc of example.org",
    "graph.throttled-code": "429 client error",
    "imap.gmail-400": "xoauth2 authentication error (400)",
    "imap.gmail-401": "xoauth2 authentication error (401)",
    "oauth2.unreachable-quoted": "connection to https://id.example.org refused",
    "oauth2.command": "command vault does not exist",
    "exchange.suspicious-code": "451 4.7.500 server busy",
    "exchange.banned-address": "550 5.7.606 access denied",
    "network.refused-local": "connect econnrefused 127.0.0.1:587, connection refused to localhost",
    "network.inspection": "issuer avast web/mail shield root",
    "network.hostname-go": "x509: certificate is valid for a.example.org, not b.example.org",
}
SHOWING = {
    **{
        ("kind", kind): word
        for kind, word in {
            "smtp": "smtp",
            "imap": "imap",
            "pop": "pop3",
            "issuer": "aadsts1",
            "graph": "msgraph",
            "ews": "exchangelib",
            "api": "sendgrid",
            "bounce": "reporting-mta:",
            "headers": "received-spf:",
            "dns": "getaddrinfo",
            "tls": "x509",
            "socket": "etimedout",
        }.items()
    },
    **{
        ("protocol", name): word
        for name, word in {"smtp": "smtp", "imap": "imap", "pop": "pop3", "http": "msgraph"}.items()
    },
    **{
        ("server", server): word
        for server, word in {
            "exchange": "office365",
            "hve": "smtp-hve",
            "acs": "azurecomm.net",
            "gmail": "gsmtp",
            "yahoo": "yahooinc",
            "postfix": "esmtp postfix",
            "exim": "esmtp exim",
            "sendmail": "esmtp sendmail",
            "opensmtpd": "opensmtpd",
            "courier": "courier",
            "chasquid": "chasquid",
            "haraka": "haraka",
            "dovecot": "dovecot",
            "ses": "amazonses",
            "sendgrid": "sendgrid",
            "mailgun": "mailgun",
            "postmark": "postmarkapp",
            "resend": "resend.com",
            "brevo": "brevo",
            "mailjet": "mailjet",
            "aotsend": "aotsend",
        }.items()
    },
    **{
        ("issuer", issuer): word
        for issuer, word in {
            "microsoft": "aadsts1",
            "google": "accounts.google",
            "yahoo": "api.login.yahoo",
            "keycloak": "keycloak",
            "authentik": "authentik",
            "zitadel": "zitadel",
            "glewlwyd": "glewlwyd",
            "lemonldap": "lemonldap",
            "django-oauth-toolkit": "/o/token",
            "authlib": "authlib",
            "okta": "x.okta.com",
            "auth0": "x.auth0.com",
            "other": "https://idp.example.org/token",
        }.items()
    },
    **{("alert", alert): f"alert {alert}" for alert in evidence.ALERTS},
}
"""A word that shows a property's value."""
PATTERNS = {
    f"{module.__name__}.{name}": value if isinstance(value, re.Pattern) else value.pattern
    for module in (evidence, facts, mail_reading, masking, matching, phase, reading)
    for name, value in vars(module).items()
    if isinstance(value, re.Pattern | Expression)
} | {f"evidence.{word.pattern.pattern}": word.pattern for word in evidence.WORDS}


@pytest.fixture(scope="module")
def catalogue() -> Catalogue:
    return load()


def _rows(catalogue: Catalogue) -> list[Rule | Exclusion]:
    return [*catalogue.rules, *catalogue.exclusions]


def test_every_cause_is_named_by_a_rule(catalogue: Catalogue) -> None:
    named = {cause for rule in catalogue.rules for cause in (rule.cause, *(cause for cause, _ in rule.also))}
    assert set(Cause) - named == ELSEWHERE


def test_no_text_of_a_data_file_is_cut() -> None:
    """A plain scalar ends at ` #`, a text in quotes does not."""
    cut = []
    for file in files("smtpcheck.diagnosis").iterdir():
        if file.name.endswith(".yaml"):
            text = file.read_text(encoding="utf-8")
            plain = (token for token in yaml.scan(text) if isinstance(token, yaml.ScalarToken) and token.plain)
            rests = (text[token.end_mark.index :].split("\n", 1)[0] for token in plain)
            cut += [(file.name, rest) for rest in rests if rest.lstrip().startswith("#")]
    assert cut == []


def test_ids_are_unique(catalogue: Catalogue) -> None:
    ids = [item.id for item in _rows(catalogue)]
    assert sorted(set(ids)) == sorted(ids)


def _showing(names: frozenset[str]) -> dict[str, Any]:
    """Return the fields of an observation that shows all the facts."""
    shown: dict[str, Any] = {}
    for name in sorted(names):
        for key, value in SHOWN_BY[name].items():
            shown[key] = {**shown.get(key, {}), **value} if isinstance(value, dict) else value
    if {"app_only", "audience_other"} & names and "id_token" in names:
        shown["claims"] = SHOWN_BY["id_token"]["claims"]
    if {"graph_send_right", "delegated"} <= names:
        shown["claims"] = {"aud": GRAPH, "scp": "Mail.Send", "upn": "a@example.org"}
    if "administrator" in names:
        shown["claims"] = SHOWN_BY["administrator"]["claims"]
    if {"user_differs", "role_address"} <= names:
        shown["sasl_user"] = "info@example.org"
    return shown


def _fitting(rule: Rule) -> Observation:
    """Return an observation that the rule is meant for."""
    asked = rule.conditions
    sets = {name: max(values) for name, values in asked.sets}
    words = [*(str(code) for code in sorted(asked.code)[:1]), *sorted(asked.enhanced)[:1]]
    shown = [SHOWING[name, value] for name, value in sets.items() if (name, value) in SHOWING]
    text = " ".join([*words, *shown, *asked.text[:1], *asked.with_text[:1], PATTERN_SAMPLES.get(rule.id, "")])
    names = {
        "phase": "phase",
        "provider": "provider",
        "flow": "flow",
        "error": "error",
        "fault": "fault",
        "security": "security",
    }
    fields: dict[str, Any] = {field: sets[name] for name, field in names.items() if name in sets}
    fields |= {"token_kind": sets["token_error"]} if "token_error" in sets else {}
    fields |= {"http_status": int(sets["status"])} if "status" in sets else {}
    seen = Observation(replies=(text,) if text.strip() else (), error_codes=tuple(sorted(asked.aadsts)[:1]))
    return replace(
        seen, **{**fields, **_showing(asked.seen), **({"phase": fields["phase"]} if "phase" in fields else {})}
    )


@pytest.mark.parametrize("rule", load().rules, ids=lambda rule: rule.id)
def test_every_rule_can_fire(rule: Rule) -> None:
    assert holds(rule.conditions, signals_of(_fitting(rule)))


@pytest.mark.parametrize("name", sorted(facts.FACTS))
def test_every_fact_can_be_seen(name: str) -> None:
    provider = "google" if "gmail" in name else "microsoft"
    assert name in facts.facts(Observation(provider=provider, **_showing(frozenset({name}))))


def test_every_fact_serves_a_rule_or_an_exclusion(catalogue: Catalogue) -> None:
    items = _rows(catalogue)
    assert (
        facts.FACTS - {name for item in items for name in (*item.conditions.seen, *item.conditions.not_seen)} == set()
    )


def _narrower(one: Conditions, other: Conditions) -> bool:
    """Return whether whatever fits `one` fits `other` too."""
    sets = dict(one.sets)
    lists = [(one.code, other.code), (one.enhanced, other.enhanced), (one.aadsts, other.aadsts)]
    return (
        all(name in sets and sets[name] <= values for name, values in other.sets)
        and all(not there or (bool(here) and set(here) <= set(there)) for here, there in lists)
        and other.seen <= one.seen
        and other.not_seen <= one.not_seen
        and all(_implied(here, there) for here, there in ((one.text, other.text), (one.with_text, other.with_text)))
        and set(other.without_text) <= set(one.without_text)
        and (other.pattern is None or one.pattern == other.pattern)
    )


def _implied(here: tuple[str, ...], there: tuple[str, ...]) -> bool:
    return not there or (bool(here) and all(any(part in text for part in there) for text in here))


def _adds(rule: Rule, general: Rule) -> bool:
    given = {general.cause: general.certainty, **dict(general.also)}
    return any(given.get(cause, 0.0) < certainty for cause, certainty in ((rule.cause, rule.certainty), *rule.also))


def test_no_rule_is_shadowed_by_a_more_general_one(catalogue: Catalogue) -> None:
    pairs = permutations(catalogue.rules, 2)
    assert [
        (rule.id, general.id)
        for rule, general in pairs
        if _narrower(rule.conditions, general.conditions) and not _adds(rule, general)
    ] == []


def test_shadowing_is_seen(catalogue: Catalogue) -> None:
    general = next(rule for rule in catalogue.rules if rule.id == "exchange.sender")
    narrow = replace(general, conditions=replace(general.conditions, text=("...sendasdenied...",)), certainty=0.9)
    assert (_narrower(narrow.conditions, general.conditions), _adds(narrow, general)) == (True, False)


def _manifest(name: str) -> dict[str, Any]:
    text = files("smtpcheck.diagnosis").joinpath(f"{name}.yaml").read_text(encoding="utf-8")
    manifest: dict[str, Any] = yaml.safe_load(text)["manifest"]
    return manifest


@pytest.mark.parametrize("name", RULE_FILES)
def test_a_file_of_rules_says_what_it_is_about(name: str) -> None:
    manifest = _manifest(name)
    assert set(manifest) == {"about", "of", "references", "scenarios"}
    assert manifest["about"]
    assert manifest["references"]
    assert manifest["scenarios"]


SCENARIO_CAUSES = {scenario.name: scenario.cause for scenario in SCENARIOS if scenario.cause}
CASES = [(case, form) for form in FORMS for case in cases(form)]


@pytest.mark.parametrize(
    ("name", "scenario"), [(name, one) for name in RULE_FILES for one in _manifest(name)["scenarios"]]
)
def test_what_a_file_of_rules_names_shows_one_of_its_rules(name: str, scenario: str, catalogue: Catalogue) -> None:
    """A scenario of the sandbox, a case of the corpora, or a reply with an id."""
    named = {rule.cause for rule in catalogue.rules if rule.id.startswith(f"{name}.")}
    if scenario in SCENARIO_CAUSES:
        assert SCENARIO_CAUSES[scenario] in named
    elif shown := [findings(case, form, catalogue)[0] for case, form in CASES if case["id"] == scenario]:
        assert name in {finding.rule.partition(".")[0] for finding in shown}
    else:
        assert [row["file"] for row in replies() if row.get("id") == scenario] == [name]


@pytest.mark.parametrize("name", RULE_FILES)
def test_no_rule_of_a_file_fires_at_another_provider_server_or_issuer(name: str, catalogue: Catalogue) -> None:
    asked = {key: frozenset(values) for key, values in _manifest(name)["of"].items()}
    own = [rule for rule in catalogue.rules if rule.id.startswith(f"{name}.")]
    assert [
        rule.id
        for rule in own
        for key, values in asked.items()
        if not dict(rule.conditions.sets).get(key, frozenset("?")) <= values
    ] == []


def test_every_reference_is_a_url_or_an_rfc_and_fits(catalogue: Catalogue) -> None:
    known = {name: tuple(_manifest(name)["references"]) for name in RULE_FILES}
    assert [
        rule.id for rule in catalogue.rules if not rule.reference.startswith(known[rule.id.partition(".")[0]])
    ] == []
    assert [rule.id for rule in catalogue.rules if not re.fullmatch(r"https://\S+|RFC \d{4}", rule.reference)] == []
    own = {cause: entry.reference for cause, entry in catalogue.entries.items()}
    assert [cause for cause, text in own.items() if not re.fullmatch(r"https://\S+|RFC \d{4}", text)] == []
    assert [cause for cause, text in own.items() if cause.startswith("google_") and "google.com" not in text] == []


def repetition_faults(pattern: str) -> Iterator[str]:
    """Yield where a pattern can take more than linear time: no bound, wide within a repetition, wide beside wide."""
    yield from _walk(import_module("re._parser").parse(pattern), inside=1)


def _walk(parts: Any, inside: int) -> Iterator[str]:
    wide_before = False
    for kind, value in parts:
        name, wide = str(kind), False
        if name in {"MAX_REPEAT", "MIN_REPEAT"}:
            least, most, inner = value
            if str(most) == "MAXREPEAT":
                yield "a repetition without bound"
                continue
            if most > 1 and inside * (most - least + 1) > 512:
                yield "a wide repetition within another, or one that is too wide"
            wide = most - least >= 64
            yield from _walk(inner, inside * (most - least + 1))
        elif name == "POSSESSIVE_REPEAT":
            yield from _walk(value[2], 1)
        elif name == "SUBPATTERN":
            yield from _walk(value[3], inside)
        elif name == "BRANCH":
            for branch in value[1]:
                yield from _walk(branch, inside)
        elif name in {"ASSERT", "ASSERT_NOT"}:
            yield from _walk(value[1], 1)
        if wide and wide_before:
            yield "a wide repetition beside another"
        wide_before = wide


def test_every_pattern_is_linear(catalogue: Catalogue) -> None:
    items = _rows(catalogue)
    patterns = PATTERNS | {item.id: item.conditions.pattern for item in items if item.conditions.pattern}
    assert {name: found for name, item in patterns.items() if (found := list(repetition_faults(item.pattern)))} == {}


@pytest.mark.parametrize("pattern", ["a*", "(?:a+b)?", "(?:a{1,64}){1,64}", "[ab]{0,100}[bc]{0,100}", "x(?=a*)"])
def test_a_pattern_that_is_not_linear_is_seen(pattern: str) -> None:
    assert list(repetition_faults(pattern)) != []


def test_texts_are_lower_case_on_one_line_as_what_they_are_looked_for_in(catalogue: Catalogue) -> None:
    items = _rows(catalogue)
    texts = [text for item in items for text in (*item.conditions.text, *item.conditions.with_text)]
    assert [text for text in texts if reading.plain_text(text) != text] == []


def test_every_fault_and_token_error_has_a_rule(catalogue: Catalogue) -> None:
    known = {
        value
        for rule in catalogue.rules
        for name, values in rule.conditions.sets
        if name in {"fault", "token_error"}
        for value in values
    }
    explained_by_another_value = {FaultKind.TOKEN, FaultKind.NOT_DELIVERED, FaultKind.ACCEPTED}
    """The token's error, the loopback's status, and a proof that was taken for a message."""
    assert {*FaultKind, *TokenErrorKind} - known == explained_by_another_value


def test_every_cause_can_be_described(catalogue: Catalogue) -> None:
    told = [describe(Finding(cause, 1.0, f"judge.{cause}"), catalogue) for cause in Cause]
    assert [item.cause for item in told if not (item.summary and item.remedy and item.tell_apart)] == []


KNOWN_BLANKS = values_of(
    Observation(
        sasl_user="a@example.org",
        sender="a@example.org",
        recipient="b@example.org",
        host="smtp.example.org",
        port=587,
        scope="mail",
        endpoint="https://id.example.org/token",
        claims={"idtyp": "app", "tid": "t", "appid": "c", "oid": "o"},
        replies=("554 5.7.1 client [192.0.2.1] rejected",),
        hints=CredentialHints(name="tokens", type="oauth2"),
        check="billing",
    )
)


def test_a_blank_in_a_remedy_is_one_that_can_be_filled(catalogue: Catalogue) -> None:
    known = {*KNOWN_BLANKS, "message_id", "setup"}
    steps = [step.text for entry in catalogue.entries.values() for step in entry.steps]
    assert {blank for step in steps for blank in re.findall(r"\{(\w+)\}", step)} - known == set()


def test_a_remedy_is_filled_with_what_is_known(catalogue: Catalogue) -> None:
    finding = Finding(
        Cause.SMTP_AUTH_DISABLED_MAILBOX, 0.97, "none", ("seen",), {"mailbox": "a@example.org", "provider": "microsoft"}
    )
    assert describe(finding, catalogue) == Explanation(
        Cause.SMTP_AUTH_DISABLED_MAILBOX,
        0.97,
        "SMTP AUTH is off for the mailbox.",
        ("seen",),
        (
            "Let setup write the script that grants it; read the script, then run it: smtpcheck setup <credential>",
            (
                "Enable it for this mailbox alone: Set-CASMailbox -Identity a@example.org"
                " -SmtpClientAuthenticationDisabled $false"
            ),
            "Check the result: Get-CASMailbox -Identity a@example.org | Format-List SmtpClientAuthenticationDisabled",
            (
                "The mailbox's value overrides the organisation's (Get-TransportConfig | Format-List"
                " SmtpClientAuthenticationDisabled), which can stay as it is."
            ),
            "Prove it: smtpcheck check <check> --depth auth",
        ),
        catalogue.entries[finding.cause].tell_apart,
        catalogue.entries[finding.cause].reference,
        retry=False,
    )


def test_what_is_not_known_is_a_placeholder(catalogue: Catalogue) -> None:
    told = describe(Finding(Cause.SECRET_EXPIRED, 0.9, "none"), catalogue)
    assert "<client id> (tenant <tenant id>)" in told.remedy[0]


@pytest.mark.parametrize(("name", "value"), sorted(SHOWING))
def test_every_kind_server_issuer_and_alert_can_be_seen(name: str, value: str) -> None:
    assert value in signals_of(Observation(exception=SHOWING[name, value])).sets[name]


def test_every_value_of_evidence_is_shown_by_a_word() -> None:
    known = {"kind": evidence.KINDS, "server": evidence.SERVERS, "issuer": evidence.ISSUERS, "alert": evidence.ALERTS}
    assert {(name, value) for name, values in known.items() for value in values} - SHOWING.keys() == set()
