"""Pasted text: what is read from it, what is masked, and what never happens."""

import base64
import json
import random
import string
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from smtpcheck.diagnosis.catalogue import load
from smtpcheck.diagnosis.explain import as_json, explain
from smtpcheck.diagnosis.masking import mask
from smtpcheck.diagnosis.observation import MAX_TEXT, Observation, from_case, from_text
from smtpcheck.diagnosis.phase import phase_of
from smtpcheck.diagnosis.reading import codes_of, enhanced_of, plain_text, read
from smtpcheck.model.cause import Cause

CATALOGUE = load()
REJECTED = "535 5.7.3 Authentication unsuccessful"


def _jwt(claims: dict[str, object]) -> str:
    parts = (json.dumps({"typ": "JWT", "alg": "RS256"}), json.dumps(claims), "signature of many signs " * 4)
    return ".".join(base64.urlsafe_b64encode(part.encode()).decode().rstrip("=") for part in parts)


def _login(user: str, token: str, end: str = "\x01\x01") -> str:
    return base64.b64encode(f"user={user}\x01auth=Bearer {token}{end}".encode()).decode()


GRAPH = _jwt({"aud": "https://graph.microsoft.com", "scp": "Mail.Send", "upn": "anna@example.org"})
CHALLENGE = base64.b64encode(b'{"status":"400","schemes":"Bearer","scope":"https://mail.google.com/"}').decode()
TRANSCRIPT = f"""\
S: 220 LO4P302CA0005.outlook.office365.com Microsoft ESMTP MAIL Service ready at Thu, 10 Oct 2024 22:49:55 +0000
C: EHLO host
S: 250-LO4P302CA0005.outlook.office365.com Hello [192.0.2.1]
S: 250-AUTH LOGIN XOAUTH2
S: 250 SMTPUTF8
C: AUTH XOAUTH2 {_login("anna@example.org", GRAPH)}
S: 535 5.7.3 Authentication unsuccessful [LO4P302CA0005.GBRP302.PROD.OUTLOOK.COM 2024-10-10T22:49:56.000Z]
"""
PASTED = {
    "a code": ("AADSTS7000222", "secret_expired"),
    "a link to a code": ("https://login.microsoftonline.com/error?code=700016", "app_not_in_tenant"),
    "a body": ('{"error":"invalid_client","error_codes":[7000215],"error_description":"x"}', "secret_invalid"),
    "a body in a log": (
        r'level=error msg="token: 401" body="{\"error\":\"invalid_grant\",\"error_description\":\"AADSTS700082: x\"}"',
        "refresh_token_expired_or_revoked",
    ),
    "a pretty body": (
        'google:\n{\n  "error": "invalid_grant",\n  "error_description": "Token has been expired or revoked."\n}',
        "refresh_token_expired_or_revoked",
    ),
    "a dict of Python": (
        "msal: {'error': 'unauthorized_client', 'error_description': 'AADSTS700016: Application not found'}",
        "app_not_in_tenant",
    ),
    "Python": (
        (
            "Traceback (most recent call last):\nsmtplib.SMTPAuthenticationError: (535, b'5.7.139 Authentication"
            " unsuccessful, SmtpClientAuthentication is disabled for the Tenant.')"
        ),
        "smtp_auth_disabled_tenant",
    ),
    "Python's JSON": (
        "requests.exceptions.JSONDecodeError: Expecting value: line 1 column 1 (char 0) in msal",
        "issuer_not_json",
    ),
    "Java": (
        "javax.mail.MessagingException: sun.security.validator.ValidatorException: PKIX path building failed",
        "tls_untrusted_ca",
    ),
    ".NET": (
        (
            "System.Net.Mail.SmtpException: The SMTP server requires a secure connection or the client was not"
            " authenticated. The server response was: 5.7.57 Client not authenticated to send mail. Error: 535 5.7.139"
            " Authentication unsuccessful, basic authentication is disabled."
        ),
        "basic_auth_retired",
    ),
    "MailKit": (f"MailKit.Security.AuthenticationException: 334: {CHALLENGE} smtp.gmail.com", "wrong_scope_google"),
    "Node": (
        "Error: connect ECONNREFUSED 192.0.2.1:587\n  errno: -111,\n  code: 'ESOCKET',\n  command: 'CONN'",
        "connection_refused",
    ),
    "PHP": (
        'Expected response code 250 but got code "550", with message "550 5.7.60 SMTP; Client does not have right"',
        "sender_not_allowed",
    ),
    "Go": ("x509: certificate signed by unknown authority", "tls_untrusted_ca"),
    "Go's name": ("x509: certificate is valid for a.example.org, not b.example.org", "tls_hostname_mismatch"),
    "a log": ("2026-01-02 10:00:00 S: 432 4.3.2 Concurrent connections limit exceeded.", "throttled_connections"),
    "several lines of a reply": (
        "535-5.7.8 Username and Password not\n535-5.7.8 accepted. Learn more at\n535 5.7.8  https://x x - gsmtp",
        "app_password_required",
    ),
    "a transcript": (TRANSCRIPT, "wrong_token_audience"),
    "a login without its end": (
        f"C: AUTH XOAUTH2 {_login('anna@example.org', 'EwBAA' + 'l3BAAUF' * 8, '')}\nS: {REJECTED}",
        "malformed_sasl",
    ),
    "nothing": ("nothing of the kind", "unknown"),
}


@pytest.mark.parametrize("text", PASTED)
def test_pasted_text_is_understood(text: str) -> None:
    pasted, cause = PASTED[text]
    assert str(explain(from_text(pasted), CATALOGUE)[0].cause) == cause


def test_a_transcript_gives_user_claims_and_what_the_server_offers() -> None:
    seen = from_text(TRANSCRIPT)
    assert (seen.sasl_user, seen.claims.get("aud"), seen.ehlo, seen.sasl_fault) == (
        "anna@example.org",
        "https://graph.microsoft.com",
        ("AUTH LOGIN XOAUTH2",),
        "",
    )


def test_the_scope_of_a_challenge_is_not_the_one_that_was_asked_for() -> None:
    text = (
        'scope = "https://www.googleapis.com/auth/gmail.send"\n334 {"status":"400","scope":"https://mail.google.com/"}'
    )
    assert from_text(text).scope == "https://www.googleapis.com/auth/gmail.send"


@pytest.mark.parametrize(
    ("text", "codes", "enhanced"),
    [
        ("(535, b'5.7.3 no')", {535}, {"5.7.3"}),
        ("permanent error (535): 5.7.3 no", {535}, {"5.7.3"}),
        ("MailKit 4.2.0 said: 550 5.7.60 no", {550}, {"5.7.60"}),
        ("PHPMailer 5.2.14 on 2026-04-09 at 10:35:28", set(), set()),
        ("server response was: 5.7.57 no", set(), {"5.7.57"}),
        ("S: 454 4.7.0 later", {454}, {"4.7.0"}),
        ("line 254 of file.py", set(), set()),
    ],
)
def test_codes_are_told_from_other_numbers(text: str, codes: set[int], enhanced: set[str]) -> None:
    assert (set(codes_of(text)), set(enhanced_of(text, prose=True))) == (codes, enhanced)


@pytest.mark.parametrize(
    ("text", "status"),
    [
        ("550 5.7.501 Service unavailable. Access denied", None),
        ("the gateway said 503 Service Unavailable", 503),
        ("HTTP/1.1 407 Proxy Authentication Required", 407),
    ],
)
def test_an_http_status_is_no_part_of_an_enhanced_code(text: str, status: int | None) -> None:
    assert read(text).http_status == status


def test_text_is_made_plain() -> None:
    pasted = (
        'He said \\"AADSTS1: don\\u0027t\\"\r\n550-5.7.1 one\r\n550-5.7.1 two\r\n550 5.7.1 three\n\u201cx\u2019s\u201d'
    )
    assert plain_text(pasted) == 'he said "aadsts1: don\'t" 550-5.7.1 one two three "x\'s"'


@pytest.mark.parametrize(
    ("text", "phase"),
    [
        ("aadsts7000222", "token"),
        ("535 5.7.8 no", "auth"),
        ("530 5.7.57 client not authenticated", "mail"),
        ("relay access denied", "rcpt"),
        ("554 5.2.0 storedrv", "data"),
        ("getaddrinfo enotfound", "dns"),
        ("connect etimedout", "connect"),
        ("wrong version number", "tls"),
        ("hello", ""),
    ],
)
def test_the_phase_is_read_from_the_words(text: str, phase: str) -> None:
    assert phase_of(text) == phase


# -- masking ----------------------------------------------------------------------------------------------------------

HEX = "0123456789abcdef"
SIGNS = string.ascii_letters + string.digits
B64 = SIGNS + "+/"
URL = SIGNS + "-_"


def _some(signs: str, length: int) -> st.SearchStrategy[str]:
    """Return texts of random signs; drawn by seed, for a token does not look like the simplest of examples."""
    return st.integers(0, 2**32).map(lambda seed: "".join(random.Random(seed).choices(signs, k=length)))


def _form(template: str, *drawn: st.SearchStrategy[str]) -> st.SearchStrategy[tuple[str, str]]:
    """Return a text that holds a secret, and the secret; where the template marks it with brackets only that part."""

    def filled(parts: tuple[str, ...]) -> tuple[str, str]:
        text = template.format(*parts)
        before, _, rest = text.partition("[[")
        secret, _, after = rest.partition("]]")
        return (f"{before}{secret}{after}", secret) if rest else (text, text)

    return st.tuples(*drawn).map(filled)


SECRETS = st.one_of(
    _form("eyJ{}.eyJ{}.{}", _some(URL, 30), _some(URL, 200), _some(URL, 86)),
    _form("eyJ{}..{}.{}.{}", _some(URL, 40), _some(URL, 16), _some(URL, 300), _some(URL, 22)),
    _form("ya29.{}", _some(URL, 120)),
    _form("1//0{}", _some(URL, 80)),
    _form("GOCSPX-{}", _some(URL, 28)),
    _form("SG.{}.{}", _some(URL, 22), _some(URL, 43)),
    _form("re_{}_{}", _some(HEX, 8), _some(HEX, 24)),
    _form("xkeysib-{}-{}", _some(HEX, 64), _some(HEX, 16)),
    _form("key-{}", _some(HEX, 32)),
    _form("EwB{}", _some(B64, 400)),
    _form("M.C5{}_BAY.0.U.-{}", _some("0123456789", 2), _some(SIGNS + "!*$", 100)),
    _form("0.A{}.{}", _some(URL, 40), _some(URL, 200)),
    _form("{}8Q~{}", _some(SIGNS, 3), _some(SIGNS + "~.-_", 34)),
    _form("client_secret=[[{}]]&x=1", _some(SIGNS + "~.-_", 12)),
    _form('"refresh_token": "[[{}]]"', _some(URL, 24)),
    _form("{{'password': '[[{}]]'}}", _some(SIGNS + "!#%*", 10)),
    _form('\\"access_token\\":\\"[[{}]]\\"', _some(URL, 24)),
    _form("Authorization: Basic [[{}]]", _some(B64, 24)),
    _form("auth=Bearer [[{}]]", _some(SIGNS, 20)),
    _form("C: AUTH PLAIN [[{}]]", _some(B64, 16)),
    _form("S: 334 VXNlcm5hbWU6\nC: [[{}]]", _some(B64, 12)),
    _form("{}", _some(B64, 44)),
    _form("{}", _some("0123456789abcdef", 64)),
)


@given(
    secret=SECRETS,
    before=st.sampled_from([REJECTED, "log: ", "x\n", ""]),
    after=st.sampled_from([" end", "\n", "", '"']),
)
@settings(max_examples=400, deadline=None)
def test_no_secret_of_any_form_comes_out(secret: tuple[str, str], before: str, after: str) -> None:
    text, hidden = secret
    seen = from_text(f"{before} {text}{after}")
    assert hidden not in repr(seen)
    assert hidden not in json.dumps(as_json(explain(seen, CATALOGUE), CATALOGUE))


@given(secret=SECRETS)
@settings(max_examples=150, deadline=None)
def test_no_field_of_a_case_gives_a_secret_away(secret: tuple[str, str]) -> None:
    text, hidden = secret
    error = {"error": "invalid_grant", "error_description": text}
    observed = {"phase": "auth", "smtp_reply": text, "exception": text, "token_error": error, "requested_scope": text}
    found = explain(from_case({"observed": {**observed, "auth_identity": text, "ehlo": [text]}}), CATALOGUE)
    assert hidden not in json.dumps(as_json(found, CATALOGUE))


@pytest.mark.parametrize(
    "text",
    [
        "basic authentication is disabled",
        "bearer token",
        "/var/www/FreeScout/public/Logistica/overrides/swiftmailer/swiftmailer/lib",
        "https://login.microsoftonline.com/common/oauth2/v2.0/token",
        "https://github.com/PHPMailer/PHPMailer/wiki/Troubleshooting",
        "STOREDRV.Submission.Exception:SendAsDeniedException.MapiExceptionSendAsDenied",
        "Swift_Transport_Esmtp_Auth_XOAuth2Authenticator",
        "00000002-0000-0ff1-ce00-000000000000",
        "the user credentials were incorrect",
        "invalid password",
    ],
)
def test_what_says_what_failed_is_not_masked(text: str) -> None:
    assert mask(text) == text


# -- anything ---------------------------------------------------------------------------------------------------------

ANY_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=12), inner, max_size=4),
    max_leaves=12,
)
CLAIMS = ("aud", "exp", "nbf", "scp", "roles", "tid", "upn", "appid", "azp", "oid", "idtyp", "nonce", "email")
TOKEN = _jwt({"aud": "https://graph.microsoft.com"})


@given(reply=st.binary(max_size=300), error=ANY_JSON, claims=ANY_JSON, rest=ANY_JSON)
@settings(max_examples=150, deadline=None)
def test_anything_is_explained_and_no_token_comes_out(reply: bytes, error: Any, claims: Any, rest: Any) -> None:
    text = f"{reply.decode('latin-1')} {TOKEN}"
    observed = {"phase": "auth", "smtp_reply": text, "token_error": error, "token_claims": claims, "ehlo": rest}
    case = {"provider": rest, "flow": error, "observed": {**observed, "requested_scope": rest, "exception": claims}}
    found = explain(from_case(case), CATALOGUE)
    assert found and TOKEN not in str(as_json(found, CATALOGUE))


@given(claims=st.dictionaries(st.sampled_from(CLAIMS), ANY_JSON), now=st.none() | st.floats(0, 4e9))
@settings(max_examples=200, deadline=None)
def test_any_claims_are_explained(claims: dict[str, Any], now: float | None) -> None:
    seen = Observation(
        provider="microsoft", phase="auth", claims=claims, sasl_user="a@x.org", now=now, replies=(REJECTED,)
    )
    assert explain(seen, CATALOGUE)


@given(
    text=st.text(max_size=400) | st.lists(st.sampled_from([*(text for text, _ in PASTED.values()), "\n"])).map("".join)
)
@settings(max_examples=200, deadline=None)
def test_any_text_is_explained(text: str) -> None:
    assert explain(from_text(text), CATALOGUE)


@pytest.mark.parametrize(
    "piece", ["a", "eyJ", '{"', "535-5.7.8 \n", "user=a@", "scope: ", "a:", "secret=", "334 \n", "\\\\", "Ew"]
)
def test_a_text_of_any_length_is_cut_and_explained(piece: str) -> None:
    assert explain(from_text(piece * (2 * MAX_TEXT // len(piece))), CATALOGUE)


def test_the_relay_of_a_postfix_log_line_is_no_denied_relay() -> None:
    """`relay=host` stands in every line of Postfix's log; the reply within it decides."""
    line = (
        "postfix/smtp[1]: A1: to=<a@example.org>, relay=smtp.office365.com[192.0.2.1]:587, status=deferred (SASL "
        "authentication failed; server smtp.office365.com[192.0.2.1] said: 535 5.7.3 Authentication unsuccessful)"
    )
    found = explain(from_text(line), CATALOGUE)
    assert Cause.RECIPIENT_REJECTED not in [finding.cause for finding in found]
