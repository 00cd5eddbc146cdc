"""Google: a service account for each mailbox, with a key or without any, and a user's login in the browser."""

import base64
import hashlib
import json
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from threading import Event
from urllib.parse import parse_qs, urlencode, urlsplit

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from google.auth import iam
from google.oauth2 import service_account

from smtpcheck.model.report import TokenError, TokenErrorKind
from smtpcheck.oauth import google_delegation
from smtpcheck.oauth.answer import TokenResponse
from smtpcheck.oauth.broker import TokenBroker
from smtpcheck.oauth.flow import IssuedToken
from smtpcheck.oauth.google_delegation import is_metadata_address
from smtpcheck.oauth.google_service_account import GoogleServiceAccount
from smtpcheck.oauth.google_user import GoogleUser
from smtpcheck.oauth.token_store import TokenStore
from smtpcheck.oauth.user_credential import Invitation
from smtpcheck.secrets.secret import Secret
from tests.worlds.https_issuer import Asked, HttpsIssuer, Reply, as_json, serving

ACCOUNT = "check@project.iam.gserviceaccount.com"
AUDIENCE = "https://oauth2.googleapis.com/token"
KEY = rsa.generate_private_key(65537, 2048)
PEM = KEY.private_bytes(
    serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
).decode()
TOKEN = as_json(200, {"access_token": "ya29.the-token", "token_type": "Bearer", "expires_in": 3599})


@pytest.fixture
def issuer(tmp_path: Path) -> Iterator[HttpsIssuer]:
    with serving(tmp_path) as issuer:
        issuer.answer("/token", TOKEN)
        issuer.discovery()
        yield issuer


def _account(issuer: HttpsIssuer, folder: Path, **info: object) -> GoogleServiceAccount:
    key = {
        "type": "service_account",
        "client_email": ACCOUNT,
        "private_key": PEM,
        "private_key_id": "k1",
        "token_uri": f"{issuer.url}/token",
    }
    file = folder / "sa.json"
    file.write_text(json.dumps(key | info))
    return GoogleServiceAccount.model_validate({"key_file": str(file), "ca_file": issuer.ca_file})


# -- service accounts -------------------------------------------------------------------------------------------------


def test_each_mailbox_gets_a_token_by_an_assertion_that_names_it(issuer: HttpsIssuer, tmp_path: Path) -> None:
    flow = _account(issuer, tmp_path).flow()
    for mailbox in ("a@example.org", "b@example.org"):
        answer = flow.request(mailbox)
        assert isinstance(answer, IssuedToken)
        assert answer.token == Secret("ya29.the-token")
        assert answer.expires_at == pytest.approx(time.time() + 3599, abs=5)
    subjects = []
    for form in issuer.forms:
        assert form["grant_type"] == "urn:ietf:params:oauth:grant-type:jwt-bearer"
        claims = jwt.decode(form["assertion"], KEY.public_key(), algorithms=["RS256"], audience=AUDIENCE)
        assert (claims["iss"], claims["scope"]) == (ACCOUNT, "https://mail.google.com/")
        subjects.append(claims["sub"])
    assert subjects == ["a@example.org", "b@example.org"]
    assert flow.issuer == "localhost"


def test_the_key_is_parsed_once_for_all_mailboxes_and_again_when_it_is_exchanged(
    issuer: HttpsIssuer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    parsed: list[str] = []
    parse = service_account.Credentials.from_service_account_info

    def counted(info: dict[str, str]) -> object:
        parsed.append(info["private_key_id"])
        return parse(info)  # type: ignore[no-untyped-call]

    monkeypatch.setattr(service_account.Credentials, "from_service_account_info", counted)
    flow = _account(issuer, tmp_path).flow()
    for mailbox in ("a@example.org", "b@example.org", "a@example.org"):
        assert isinstance(flow.request(mailbox), IssuedToken)
    _account(issuer, tmp_path, private_key_id="key-2")
    assert isinstance(flow.request("a@example.org"), IssuedToken)
    assert parsed == ["k1", "key-2"]
    keys = [jwt.get_unverified_header(form["assertion"])["kid"] for form in issuer.forms]
    assert keys == ["k1", "k1", "k1", "key-2"]


@pytest.mark.parametrize("expires_in", [10**309, 10**20, "9" * 309, "soon", None, [], -1])
def test_a_period_that_is_none_is_an_hour(issuer: HttpsIssuer, tmp_path: Path, expires_in: object) -> None:
    """What google-auth cannot count with is read by our own parser."""
    issuer.answer("/token", as_json(200, {"access_token": "ya29.a", "expires_in": expires_in}))
    answer = _account(issuer, tmp_path).flow().request("a@example.org")
    assert isinstance(answer, IssuedToken)
    assert answer.expires_at == pytest.approx(time.time() + 3600, abs=30)


@pytest.mark.parametrize(
    ("reply", "kind"),
    [
        (as_json(401, {"error": "unauthorized_client", "error_description": "x"}), TokenErrorKind.OAUTH),
        (as_json(503, {"error": "temporarily_unavailable"}), TokenErrorKind.OAUTH),
        ((500, {}, "<html>"), TokenErrorKind.HTTP),
        (as_json(429, {}, Retry_After="9"), TokenErrorKind.THROTTLED),
        ((200, {}, "<html>"), TokenErrorKind.NOT_JSON),
        (as_json(200, {"no": "token"}), TokenErrorKind.HTTP),
    ],
)
def test_a_refusal_costs_one_request(
    issuer: HttpsIssuer, tmp_path: Path, *, reply: Reply, kind: TokenErrorKind
) -> None:
    """google-auth would ask three times after a 5xx."""
    issuer.answer("/token", reply)
    error = _account(issuer, tmp_path).flow().request("a@example.org")
    assert isinstance(error, TokenError)
    assert (error.kind, error.http_status, len(issuer.asked)) == (kind, reply[0], 1)


async def test_a_deleted_key_costs_one_request_for_all_mailboxes(issuer: HttpsIssuer, tmp_path: Path) -> None:
    body = {"error": "invalid_grant", "error_description": "Invalid JWT Signature."}
    issuer.answer("/token", as_json(400, body))
    broker = TokenBroker({"a": _account(issuer, tmp_path)})
    for number in range(20):
        error = await broker.token("a", f"{number}@example.org", timeout=5)
        assert isinstance(error, TokenError)
        assert error.description == "Invalid JWT Signature."
    assert len(issuer.asked) == 1
    await broker.close()


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (None, "cannot be read (no such file or directory)"),
        ("{", "is not JSON"),
        ("[]", "is not the JSON of a service account"),
        ('{"type": "service_account"}', "has no usable key (MalformedError)"),
        (
            '{"type": "authorized_user"}',
            "is neither a service account's key nor a workload identity federation by file",
        ),
    ],
)
def test_a_key_that_cannot_be_used(issuer: HttpsIssuer, tmp_path: Path, content: str | None, reason: str) -> None:
    account = _account(issuer, tmp_path)
    if content is None:
        account.key_file.unlink()
    else:
        account.key_file.write_text(content)
    error = account.flow().request("a@example.org")
    assert isinstance(error, TokenError)
    assert error.kind is TokenErrorKind.CERTIFICATE_UNUSABLE
    assert error.description.startswith(f"{account.key_file} {reason}")


def test_workload_identity_federation_signs_without_a_key(
    issuer: HttpsIssuer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A projected token becomes a federated one, by which the IAM Credentials API signs the assertion."""
    (tmp_path / "projected").write_text("a projected token")
    monkeypatch.setattr(iam, "_IAM_SIGN_ENDPOINT", f"{issuer.url}/sign/{{}}")
    issuer.answer("/sts", as_json(200, {"access_token": "federated", "token_type": "Bearer", "expires_in": 3600}))
    signature = base64.b64encode(b"signed").decode()
    issuer.answer(f"/sign/{ACCOUNT}", as_json(200, {"keyId": "1", "signedBlob": signature}))
    info = {
        "type": "external_account",
        "audience": "//iam.googleapis.com/projects/1/locations/global/workloadIdentityPools/p/providers/x",
        "subject_token_type": "urn:ietf:params:oauth:token-type:jwt",
        "token_url": f"{issuer.url}/sts",
        "credential_source": {"file": str(tmp_path / "projected")},
        "token_uri": f"{issuer.url}/token",
    }
    file = tmp_path / "federation.json"
    file.write_text(json.dumps(info))
    account = GoogleServiceAccount.model_validate(
        {"key_file": str(file), "ca_file": issuer.ca_file, "service_account": ACCOUNT}
    )
    answer = account.flow().request("a@example.org")
    assert isinstance(answer, IssuedToken)
    assert issuer.lines == ["POST /sts", f"POST /sign/{ACCOUNT}", "POST /token"]
    assert issuer.forms[0]["subject_token"] == "a projected token"
    assert issuer.asked[1].headers["authorization"] == "Bearer federated"
    assertion = issuer.forms[2]["assertion"]
    claims = jwt.decode(assertion, options={"verify_signature": False})
    assert (claims["iss"], claims["sub"]) == (ACCOUNT, "a@example.org")
    assert assertion.endswith(base64.urlsafe_b64encode(b"signed").decode().rstrip("="))
    (tmp_path / "projected").unlink()
    error = account.flow().request("a@example.org")
    assert isinstance(error, TokenError)
    assert error.kind is TokenErrorKind.SECRET_UNREADABLE


def _federation(
    issuer: HttpsIssuer, folder: Path, source: dict[str, object], kind: str = "jwt"
) -> GoogleServiceAccount:
    types = {"jwt": "urn:ietf:params:oauth:token-type:jwt", "aws": "urn:ietf:params:aws:token-type:aws4_request"}
    info = {
        "type": "external_account",
        "audience": "//iam.googleapis.com/projects/1/locations/global/workloadIdentityPools/p/providers/x",
        "subject_token_type": types[kind],
        "token_url": f"{issuer.url}/sts",
        "credential_source": source,
        "token_uri": f"{issuer.url}/token",
    }
    file = folder / "federation.json"
    file.write_text(json.dumps(info))
    return GoogleServiceAccount.model_validate(
        {"key_file": str(file), "ca_file": issuer.ca_file, "service_account": ACCOUNT}
    )


@pytest.fixture
def metadata(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[HttpsIssuer]:
    """The metadata service of a cloud, at an address that the flow takes for a link-local one."""
    with serving(tmp_path, scheme="http") as service:
        monkeypatch.setattr(google_delegation, "is_metadata_address", lambda url: url.startswith(service.url))
        yield service


def _sign(issuer: HttpsIssuer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(iam, "_IAM_SIGN_ENDPOINT", f"{issuer.url}/sign/{{}}")
    issuer.answer("/sts", as_json(200, {"access_token": "federated", "token_type": "Bearer", "expires_in": 3600}))
    signature = base64.b64encode(b"signed").decode()
    issuer.answer(f"/sign/{ACCOUNT}", as_json(200, {"keyId": "1", "signedBlob": signature}))


def test_a_federation_of_azure_reads_its_token_from_the_metadata_service(
    issuer: HttpsIssuer, metadata: HttpsIssuer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _sign(issuer, monkeypatch)
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    metadata.answer("/identity", as_json(200, {"access_token": "of azure"}))
    source: dict[str, object] = {
        "url": f"{metadata.url}/identity",
        "headers": {"Metadata": "True"},
        "format": {"type": "json", "subject_token_field_name": "access_token"},
    }
    assert isinstance(_federation(issuer, tmp_path, source).flow().request("a@example.org"), IssuedToken)
    assert (metadata.lines, metadata.asked[0].headers["metadata"]) == (["GET /identity"], "True")
    assert issuer.forms[0]["subject_token"] == "of azure"


def test_a_federation_of_aws_signs_with_what_the_metadata_service_gives(
    issuer: HttpsIssuer, metadata: HttpsIssuer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _sign(issuer, monkeypatch)
    monkeypatch.setenv("AWS_REGION", "eu-central-1")
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    metadata.answer("/role", (200, {}, "mail"))
    metadata.answer("/role/mail", as_json(200, {"AccessKeyId": "A", "SecretAccessKey": "S", "Token": "T"}))
    source: dict[str, object] = {
        "environment_id": "aws1",
        "url": f"{metadata.url}/role",
        "regional_cred_verification_url": "https://sts.{region}.amazonaws.com?Action=GetCallerIdentity&Version=2011-06-15",
    }
    assert isinstance(_federation(issuer, tmp_path, source, "aws").flow().request("a@example.org"), IssuedToken)
    assert metadata.lines == ["GET /role", "GET /role/mail"]
    assert "sts.eu-central-1.amazonaws.com" in issuer.forms[0]["subject_token"]


def test_a_metadata_service_that_refuses_is_a_refusal(
    issuer: HttpsIssuer, metadata: HttpsIssuer, tmp_path: Path
) -> None:
    metadata.answer("/identity", as_json(400, {"error": "invalid_request", "error_description": "no identity"}))
    error = _federation(issuer, tmp_path, {"url": f"{metadata.url}/identity"}).flow().request("a@example.org")
    assert isinstance(error, TokenError)
    assert (error.http_status, error.description, issuer.asked) == (400, "no identity", [])


def test_a_federation_by_another_http_address_is_refused_before_it_is_asked(
    issuer: HttpsIssuer, tmp_path: Path
) -> None:
    with serving(tmp_path / "..", scheme="http") as other:
        error = _federation(issuer, tmp_path, {"url": f"{other.url}/identity"}).flow().request("a@example.org")
        assert isinstance(error, TokenError)
        assert error.kind is TokenErrorKind.CERTIFICATE_UNUSABLE
        assert "neither https nor a link-local metadata address" in error.description
        assert other.asked == []


@pytest.mark.parametrize(
    ("url", "is_one"),
    [
        ("http://169.254.169.254/latest/meta-data", True),
        ("http://169.254.170.2/v2", True),
        ("http://[fe80::1]/", True),
        ("http://[fd00:ec2::254]/latest", True),
        ("http://metadata.example.org/", False),
        ("http://169.254.169.254.example.org/", False),
        ("http://127.0.0.1/", False),
        ("http://10.0.0.1/", False),
        ("http://[::1", False),
    ],
)
def test_a_metadata_address_is_link_local(url: str, is_one: bool) -> None:
    assert is_metadata_address(url) is is_one


# -- users ------------------------------------------------------------------------------------------------------------


def _user(issuer: HttpsIssuer, **other: object) -> GoogleUser:
    fields = {
        "client_id": "id.apps.googleusercontent.com",
        "client_secret": {"value": "GOCSPX-secret"},
        "issuer": f"{issuer.url}/",
        "ca_file": issuer.ca_file,
    }
    return GoogleUser.model_validate(fields | other)


class Browser:
    """Opens what is shown, and comes back as the test says."""

    def __init__(self, *answers: dict[str, str]) -> None:
        self.query: dict[str, str] = {}
        self.statuses: list[int] = []
        self._answers = answers
        self._thread = threading.Thread(target=self._come_back)

    def show(self, invitation: Invitation) -> None:
        self.query = {name: values[0] for name, values in parse_qs(urlsplit(invitation.address).query).items()}
        self._thread.start()

    def _come_back(self) -> None:
        for answer in self._answers:
            filled = {name: self.query["state"] if value == "STATE" else value for name, value in answer.items()}
            try:
                with urllib.request.urlopen(f"{self.query['redirect_uri']}?{urlencode(filled)}", timeout=5) as page:
                    self.statuses.append(page.status)
            except urllib.error.HTTPError as error:
                self.statuses.append(error.code)
                error.close()

    def end(self) -> None:
        self._thread.join()


def test_a_user_logs_in_with_a_browser(issuer: HttpsIssuer) -> None:
    """A redirect without our state is refused, and the waiting goes on."""
    id_token = jwt.encode({"email": "anna@gmail.com"}, "k" * 32)
    body = {"access_token": "ya29.a", "refresh_token": "1//r", "expires_in": 60, "id_token": id_token}
    issuer.answer("/token", as_json(200, body))
    browser = Browser({"code": "stolen", "state": "another"}, {"code": "4/0A", "state": "STATE"})
    answer = _user(issuer).sign_in(browser.show, Event())
    browser.end()
    assert isinstance(answer, TokenResponse)
    assert (answer.refresh_token, answer.account, browser.statuses) == (Secret("1//r"), "anna@gmail.com", [400, 200])
    form = issuer.forms[0]
    digest = hashlib.sha256(form.pop("code_verifier").encode()).digest()
    assert browser.query["code_challenge"] == base64.urlsafe_b64encode(digest).decode().rstrip("=")
    assert form == {
        "grant_type": "authorization_code",
        "code": "4/0A",
        "redirect_uri": browser.query["redirect_uri"],
        "client_id": "id.apps.googleusercontent.com",
        "client_secret": "GOCSPX-secret",
    }
    wanted = ("scope", "access_type", "prompt", "code_challenge_method", "response_type")
    assert [browser.query[name] for name in wanted] == [
        "https://mail.google.com/ openid email",
        "offline",
        "consent",
        "S256",
        "code",
    ]
    assert urlsplit(browser.query["redirect_uri"]).hostname == "127.0.0.1"


def test_a_user_who_declines(issuer: HttpsIssuer) -> None:
    browser = Browser({"error": "access_denied", "state": "STATE"})
    answer = _user(issuer).sign_in(browser.show, Event())
    browser.end()
    assert isinstance(answer, TokenError)
    assert (answer.error, issuer.forms) == ("access_denied", [])


def test_a_login_that_is_given_up(issuer: HttpsIssuer) -> None:
    cancelled = Event()
    answer = _user(issuer).sign_in(lambda _: cancelled.set(), cancelled)
    assert isinstance(answer, TokenError)
    assert answer.description == "the login was not completed"


def test_a_refresh_token_that_google_does_not_rotate_keeps_its_age(issuer: HttpsIssuer, tmp_path: Path) -> None:
    """One that dies seven days after the login is of an app in testing; the age says so."""
    file = TokenStore(tmp_path / "tokens").file("gmail")
    user = _user(issuer, refresh_token={"value": "1//r"}, lifetime="7d")
    flow = user.flow(file)
    assert isinstance(flow.request(None), IssuedToken)
    login = file.read()
    assert login is not None
    week = 7 * 86400.0
    file.write(
        type(login)(
            login.refresh_token,
            login.issuer,
            login.client_id,
            login.login_at - week,
            login.issued_at - week,
            login.refreshed_at,
            imported=login.imported,
        )
    )
    flow.reload()
    assert flow.lifetime.refresh_token_expires_at == pytest.approx(time.time(), abs=5)
    body = {"error": "invalid_grant", "error_description": "Token has been expired or revoked."}

    def dead(_: Asked) -> Reply:
        return as_json(400, body)

    issuer.answers["/token"] = dead
    error = flow.request(None)
    assert isinstance(error, TokenError)
    assert error.refresh_token_age == pytest.approx(week, abs=5)
    assert issuer.forms[-1]["refresh_token"] == "1//r"
    assert issuer.forms[-1]["scope"] == "https://mail.google.com/"


def test_googles_own_endpoints() -> None:
    user = GoogleUser.model_validate({"client_id": "c", "client_secret": {"value": "s"}})
    endpoints = user.registration.endpoints
    assert (endpoints.token, endpoints.authorization, user.flow().issuer) == (
        "https://oauth2.googleapis.com/token",
        "https://accounts.google.com/o/oauth2/v2/auth",
        "oauth2.googleapis.com",
    )
