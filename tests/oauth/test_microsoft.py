"""Microsoft beside the client secret: federated credential, the secret's end by Graph, users, managed identities."""

import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from threading import Event
from types import SimpleNamespace

import jwt
import pytest
from pydantic import ValidationError

from smtpcheck.model.report import TokenError, TokenErrorKind
from smtpcheck.oauth.answer import TokenResponse
from smtpcheck.oauth.broker import TokenBroker
from smtpcheck.oauth.flow import IssuedToken
from smtpcheck.oauth.managed_identity import ManagedIdentity
from smtpcheck.oauth.microsoft import Microsoft
from smtpcheck.oauth.microsoft_user import MicrosoftUser
from smtpcheck.oauth.token_cache import AcquiredToken
from smtpcheck.oauth.token_store import TokenFile, TokenStore
from smtpcheck.oauth.user_credential import Invitation
from smtpcheck.secrets.secret import Secret
from tests.worlds.https_issuer import Asked, HttpsIssuer, Reply, as_json, serving

SECRET = "Qx8~not-a-guid-but-a-secret"
GRAPH = "/v1.0/applications(appId='app')"
TOKEN = as_json(200, {"access_token": "the-token", "token_type": "Bearer", "expires_in": 3599})


@pytest.fixture
def issuer(tmp_path: Path) -> Iterator[HttpsIssuer]:
    with serving(tmp_path) as issuer:
        here = f"{issuer.url}/t"
        document = {
            "issuer": f"{here}/v2.0",
            "token_endpoint": f"{here}/oauth2/v2.0/token",
            "authorization_endpoint": f"{here}/oauth2/v2.0/authorize",
            "device_authorization_endpoint": f"{here}/oauth2/v2.0/devicecode",
        }
        issuer.answer("/t/v2.0/.well-known/openid-configuration", as_json(200, document))
        issuer.answer("/t/oauth2/v2.0/token", TOKEN)
        yield issuer


@pytest.fixture
def login(tmp_path: Path) -> TokenFile:
    return TokenStore(tmp_path / "tokens").file("anna")


def _application(issuer: HttpsIssuer, **other: object) -> Microsoft:
    fields: dict[str, object] = {
        "tenant": "t",
        "client_id": "app",
        "authority": issuer.url,
        "ca_file": issuer.ca_file,
    }
    return Microsoft.model_validate(fields | other)


# -- federated credential ---------------------------------------------------------------------------------------------


def test_the_assertion_is_read_again_at_each_use(issuer: HttpsIssuer, tmp_path: Path) -> None:
    file = tmp_path / "projected"
    flow = _application(issuer, client_assertion={"file": str(file)}).flow()
    for assertion in ("one\n", "another"):
        file.write_text(assertion)
        assert isinstance(flow.request(None), IssuedToken)
    assert [form["client_assertion"] for form in issuer.forms] == ["one", "another"]
    assert [asked.method for asked in issuer.asked] == ["GET", "POST", "POST"]


def test_an_assertion_that_is_missing(issuer: HttpsIssuer, tmp_path: Path) -> None:
    error = _application(issuer, client_assertion={"file": str(tmp_path / "no")}).flow().request(None)
    assert isinstance(error, TokenError)
    assert error.kind is TokenErrorKind.SECRET_UNREADABLE


# -- the end of the secret by Graph -----------------------------------------------------------------------------------


def _listed(*secrets: tuple[str, str | None, timedelta]) -> Reply:
    now = datetime.now(UTC)
    listed = [
        {"hint": hint, "displayName": name, "endDateTime": f"{now + left:%Y-%m-%dT%H:%M:%SZ}"}
        for hint, name, left in secrets
    ]
    return as_json(200, {"appId": "app", "passwordCredentials": listed})


async def _after_errand(issuer: HttpsIssuer, **other: object) -> tuple[float | None, str, TokenBroker]:
    credential = _application(issuer, client_secret={"value": SECRET}, read_expiry_from_graph=True, **other)
    broker = TokenBroker({"a": credential})
    await broker.side_request("a")
    assert issuer.asked == []
    assert isinstance(await broker.token("a", None, timeout=5), AcquiredToken)
    await broker.side_request("a")
    state = broker.states()[0]
    return state.client_secret_expires_at, state.client_secret_name, broker


async def test_the_secret_in_use_is_found_by_its_hint(issuer: HttpsIssuer) -> None:
    day = timedelta(days=1)
    secrets = (
        ("abc", "another", 5 * day),
        ("Qx8", "old", -day),
        ("Qx8", "spring", 30 * day),
        ("Qx8", "later", 60 * day),
    )
    issuer.answer(GRAPH, _listed(*secrets))
    end, name, broker = await _after_errand(issuer)
    assert name == "spring (Qx8...)"
    assert end == pytest.approx(time.time() + 30 * 86400, abs=5)
    graph = [asked for asked in issuer.asked if asked.path == GRAPH]
    assert [asked.headers["authorization"] for asked in graph] == ["Bearer the-token"]
    assert [form["scope"] for form in issuer.forms] == [
        "https://outlook.office365.com/.default",
        "https://graph.microsoft.com/.default",
    ]
    before = len(issuer.asked)
    await broker.side_request("a")
    assert len(issuer.asked) == before
    await broker.close()


async def test_the_expiry_is_read_again_a_day_later_whatever_the_wall_clock_says(
    issuer: HttpsIssuer, monkeypatch: pytest.MonkeyPatch
) -> None:
    issuer.answer(GRAPH, _listed(("Qx8", "spring", timedelta(days=30))))
    _, _, broker = await _after_errand(issuer)
    clocks = SimpleNamespace(time=lambda: time.time() - 365 * 86400, monotonic=time.monotonic)
    monkeypatch.setattr("smtpcheck.oauth.entra.time", clocks)
    for later, times in ((0, 1), (86_400, 2)):
        clocks.monotonic = lambda later=later: time.monotonic() + later
        await broker.side_request("a")
        assert sum(asked.path == GRAPH for asked in issuer.asked) == times
    await broker.close()


@pytest.mark.parametrize(
    "reply",
    [
        as_json(403, {"error": {"code": "Authorization_RequestDenied"}}),
        (502, {}, "<html>"),
        as_json(200, {"passwordCredentials": "x"}),
        _listed(("abc", None, timedelta(days=1))),
    ],
)
async def test_a_failure_of_graph_harms_nothing_and_is_not_repeated(issuer: HttpsIssuer, reply: Reply) -> None:
    issuer.answer(GRAPH, reply)
    end, name, broker = await _after_errand(issuer)
    before = len(issuer.asked)
    await broker.side_request("a")
    assert (end, name, broker.states()[0].success, len(issuer.asked)) == (None, "", True, before)
    await broker.close()


# -- users ------------------------------------------------------------------------------------------------------------


def _user(issuer: HttpsIssuer, **other: object) -> MicrosoftUser:
    fields = {"tenant": "t", "client_id": "app", "authority": issuer.url, "ca_file": issuer.ca_file}
    return MicrosoftUser.model_validate(fields | other)


def test_a_refresh_token_of_a_user_is_rotated(issuer: HttpsIssuer, login: TokenFile) -> None:
    bodies = [{"access_token": "a", "refresh_token": f"r{n}", "expires_in": 60} for n in (2, 3)]
    issuer.answer("/t/oauth2/v2.0/token", *(as_json(200, body) for body in bodies))
    flow = _user(issuer, refresh_token={"value": "r1"}).flow(login)
    for _ in range(2):
        assert isinstance(flow.request(None), IssuedToken)
    assert [form["refresh_token"] for form in issuer.forms] == ["r1", "r2"]
    assert set(issuer.forms[0]["scope"].split()) == {
        "https://outlook.office.com/SMTP.Send",
        "offline_access",
        "openid",
        "profile",
    }
    kept = login.read()
    assert kept is not None
    assert kept.refresh_token == Secret("r3")


def test_a_renewal_is_one_request_and_after_a_failure_the_document_is_asked_again(
    issuer: HttpsIssuer, login: TokenFile
) -> None:
    failure = as_json(400, {"error": "invalid_grant", "error_description": "AADSTS700082: inactive"})
    issuer.answer("/t/oauth2/v2.0/token", TOKEN, TOKEN, failure, TOKEN)
    flow = _user(issuer, refresh_token={"value": "r1"}).flow(login)
    for scope in ("", "https://outlook.office.com/IMAP.AccessAsUser.All", "", ""):
        flow.request(None, scope)
    assert [asked.method for asked in issuer.asked] == ["GET", "POST", "POST", "POST", "GET", "POST"]
    assert ["IMAP" in form["scope"] for form in issuer.forms] == [False, True, False, False]


def test_a_user_trusts_the_ca_file_as_it_is_now(issuer: HttpsIssuer, login: TokenFile) -> None:
    flow = _user(issuer, refresh_token={"value": "r1"}).flow(login)
    assert isinstance(flow.request(None), IssuedToken)
    issuer.ca_file.write_text("no certificate")
    error = flow.request(None)
    assert isinstance(error, TokenError)
    assert error.kind is TokenErrorKind.TLS


def test_a_dead_refresh_token_is_told_with_its_age(issuer: HttpsIssuer, login: TokenFile) -> None:
    flow = _user(issuer, refresh_token={"value": "r1"}).flow(login)
    flow.request(None)
    body = {"error": "invalid_grant", "error_description": "AADSTS700082: inactive", "error_codes": [700082]}
    issuer.answer("/t/oauth2/v2.0/token", as_json(400, body))
    for _ in range(2):
        error = flow.request(None)
        assert isinstance(error, TokenError)
        assert error.error_codes == (700082,)
        assert error.refresh_token_age == pytest.approx(0, abs=5)
    assert len(issuer.forms) == 3


def test_a_user_logs_in_by_a_device_code(issuer: HttpsIssuer) -> None:
    code = {"device_code": "dc", "user_code": "ABCD", "verification_uri": "https://x/device", "expires_in": 900}
    issuer.answer("/t/oauth2/v2.0/devicecode", as_json(200, code | {"interval": 1}))
    now = int(time.time())
    claims = {"iss": f"{issuer.url}/t/v2.0", "aud": "app", "iat": now, "exp": now + 99}
    id_token = jwt.encode(claims | {"sub": "s", "preferred_username": "anna@contoso.com"}, "k" * 32)
    granted = {"access_token": "a", "refresh_token": "r", "expires_in": 60, "id_token": id_token}
    issuer.answer("/t/oauth2/v2.0/token", as_json(400, {"error": "authorization_pending"}), as_json(200, granted))
    shown: list[Invitation] = []
    answer = _user(issuer).sign_in(shown.append, Event())
    assert isinstance(answer, TokenResponse)
    assert (answer.refresh_token, answer.account) == (Secret("r"), "anna@contoso.com")
    assert [(one.address, one.code) for one in shown] == [("https://x/device", "ABCD")]


def test_a_login_that_is_not_allowed_is_told_in_the_issuers_words(issuer: HttpsIssuer) -> None:
    body = {"error": "invalid_client", "error_description": "AADSTS7000218: secret", "error_codes": [7000218]}
    issuer.answer("/t/oauth2/v2.0/devicecode", as_json(401, body))
    answer = _user(issuer).sign_in(lambda _: None, Event())
    assert isinstance(answer, TokenError)
    assert answer.error_codes == (7000218,)


@pytest.mark.parametrize(
    ("other", "host", "url"),
    [
        ({}, "smtp.office365.com", "https://login.microsoftonline.com/common"),
        ({"tenant": "consumers"}, "smtp-mail.outlook.com", "https://login.microsoftonline.com/consumers"),
        (
            {"tenant": "organizations", "cloud": "china"},
            "smtp.partner.outlook.cn",
            "https://login.partner.microsoftonline.cn/organizations",
        ),
    ],
)
def test_work_and_personal_accounts(other: dict[str, object], host: str, url: str) -> None:
    user = MicrosoftUser.model_validate({"client_id": "app"} | other)
    assert (user.smtp_host, user.login_issuer) == (host, url)


def test_a_sovereign_cloud_has_no_personal_accounts() -> None:
    with pytest.raises(ValidationError, match="tenant common means personal accounts"):
        MicrosoftUser.model_validate({"client_id": "app", "cloud": "dod"})


# -- managed identities -----------------------------------------------------------------------------------------------


@pytest.fixture
def service(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[HttpsIssuer]:
    """The endpoint of an App Service: plain HTTP, known by the environment."""
    with serving(tmp_path, scheme="http") as service:
        monkeypatch.setenv("IDENTITY_ENDPOINT", f"{service.url}/msi/token")
        monkeypatch.setenv("IDENTITY_HEADER", "the-header-secret")
        monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
        monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
        yield service


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({}, {}),
        ({"client_id": "c"}, {"client_id": "c"}),
        ({"object_id": "o"}, {"object_id": "o"}),
        ({"resource_id": "/r"}, {"mi_res_id": "/r"}),
    ],
)
def test_a_managed_identity_gets_a_token(service: HttpsIssuer, fields: dict[str, str], named: dict[str, str]) -> None:
    end = int(time.time()) + 86000
    service.answer("/msi/token", as_json(200, {"access_token": "mi", "expires_on": str(end), "token_type": "Bearer"}))
    flow = ManagedIdentity.model_validate(fields).flow()
    for _ in range(2):
        answer = flow.request(None)
        assert isinstance(answer, IssuedToken)
        assert answer.token == Secret("mi")
        assert answer.expires_at == pytest.approx(end, abs=3)
    assert len(service.asked) == 2
    asked = service.asked[0]
    assert asked.query == {"api-version": "2019-08-01", "resource": "https://outlook.office365.com"} | named
    assert asked.headers["x-identity-header"] == "the-header-secret"
    assert flow.issuer == "localhost"


@pytest.mark.parametrize(
    ("reply", "kind", "body"),
    [
        (
            as_json(400, {"statusCode": 400, "message": "No identity the-header-secret"}),
            TokenErrorKind.HTTP,
            '{"statusCode": 400, "message": "No identity [redacted]"}',
        ),
        ((502, {}, "<html>"), TokenErrorKind.HTTP, "<html>"),
        ((200, {}, "<html>"), TokenErrorKind.NOT_JSON, "<html>"),
    ],
)
def test_an_identity_that_is_refused(service: HttpsIssuer, reply: Reply, kind: TokenErrorKind, body: str) -> None:
    service.answer("/msi/token", reply)
    error = ManagedIdentity().flow().request(None)
    assert isinstance(error, TokenError)
    assert (error.kind, error.body, error.http_status) == (kind, body, reply[0])


def test_a_machine_that_is_not_in_azure(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AZURE_POD_IDENTITY_AUTHORITY_HOST", "http://127.0.0.1:1")
    error = ManagedIdentity().flow().request(None)
    assert isinstance(error, TokenError)
    assert error.kind is TokenErrorKind.REFUSED


def test_what_means_nothing_to_a_managed_identity_is_refused() -> None:
    for fields in ({"client_id": "c", "object_id": "o"}, {"proxy": "http://p"}):
        with pytest.raises(ValidationError):
            ManagedIdentity.model_validate(fields)


def test_nothing_is_asked_twice_of_a_refusing_issuer(issuer: HttpsIssuer) -> None:
    def refuse(_: Asked) -> Reply:
        return as_json(400, {"error": "invalid_request"}, Retry_After="5")

    issuer.answers["/t/oauth2/v2.0/token"] = refuse
    _application(issuer, client_secret={"value": SECRET}).flow().request(None)
    assert len(issuer.forms) == 1
