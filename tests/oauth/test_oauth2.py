"""Any OAuth2 issuer: discovery, every way in which a client proves itself, every grant."""

import base64
import contextlib
import errno
import json
import socket
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from threading import Event
from urllib.parse import unquote_plus

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes
from pydantic import ValidationError
from structlog.testing import capture_logs

from smtpcheck.http_client.exchange import Limits
from smtpcheck.model.report import TokenError, TokenErrorKind
from smtpcheck.oauth import device_login, session, token_store
from smtpcheck.oauth.answer import TokenResponse
from smtpcheck.oauth.flow import IssuedToken
from smtpcheck.oauth.oauth2 import OAuth2
from smtpcheck.oauth.token_store import TokenFile, TokenStore
from smtpcheck.oauth.user_credential import Invitation
from smtpcheck.secrets.secret import Secret
from tests.worlds.https_issuer import Asked, HttpsIssuer, Reply, as_json, serving

SECRET = "Qx8~ long+secret/value=&%<>:é"
TOKEN = as_json(200, {"access_token": "the-token", "token_type": "Bearer", "expires_in": 3599})
PENDING = as_json(400, {"error": "authorization_pending"})


@pytest.fixture
def issuer(tmp_path: Path) -> Iterator[HttpsIssuer]:
    with serving(tmp_path) as issuer:
        issuer.discovery("/t1")
        issuer.answer("/t1/token", TOKEN)
        yield issuer


@pytest.fixture
def login(tmp_path: Path) -> TokenFile:
    return TokenStore(tmp_path / "tokens").file("site")


def _credential(issuer: HttpsIssuer, /, **other: object) -> OAuth2:
    fields: dict[str, object] = {
        "type": "oauth2",
        "issuer": f"{issuer.url}/t1",
        "client_id": "client:1",
        "client_secret": {"value": SECRET},
        "ca_file": issuer.ca_file,
    }
    return OAuth2.model_validate({name: value for name, value in (fields | other).items() if value is not None})


def _user(issuer: HttpsIssuer, /, **other: object) -> OAuth2:
    imported = {"grant": "refresh_token", "refresh_token": {"value": "first"}, "client_secret": None}
    return _credential(issuer, **(imported | other))


def _error(issuer: HttpsIssuer, /, **other: object) -> TokenError:
    answer = _credential(issuer, **other).flow().request(None)
    assert isinstance(answer, TokenError)
    return answer


def _key(path: Path, key: PrivateKeyTypes) -> Path:
    form = (serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    path.write_bytes(key.private_bytes(*form))
    return path


# -- client credentials -----------------------------------------------------------------------------------------------


def test_the_document_is_asked_once_and_every_request_reaches_the_issuer(issuer: HttpsIssuer) -> None:
    flow = _credential(issuer, scope="mail openid", audience="https://mail", resource="urn:r", extra={"x": "y"}).flow()
    begin = time.time()
    answers = [flow.request(None) for _ in range(2)]
    first = answers[0]
    assert isinstance(first, IssuedToken)
    assert first.token == Secret("the-token")
    assert first.expires_at == pytest.approx(begin + 3599, abs=5)
    assert issuer.lines == ["GET /t1/.well-known/openid-configuration", "POST /t1/token", "POST /t1/token"]
    assert issuer.forms[0] == {
        "grant_type": "client_credentials",
        "scope": "mail openid",
        "audience": "https://mail",
        "resource": "urn:r",
        "x": "y",
    }


def test_http_basic_is_encoded_as_the_rfc_has_it(issuer: HttpsIssuer) -> None:
    """RFC 6749 2.3.1: id and secret are form-encoded first, so that a colon or a letter beyond ASCII is no trouble."""
    _credential(issuer).flow().request(None)
    scheme, _, proof = issuer.asked[-1].headers["authorization"].partition(" ")
    user, _, secret = base64.b64decode(proof).decode().partition(":")
    assert (scheme, unquote_plus(user), unquote_plus(secret)) == ("Basic", "client:1", SECRET)


def _takes_the_form_only(issuer: HttpsIssuer) -> None:
    """Answer as an issuer that does not decode what RFC 6749 2.3.1 has encoded."""
    refused = as_json(401, {"error": "invalid_client"})
    issuer.answers["/t1/token"] = lambda asked: TOKEN if asked.form.get("client_secret") == SECRET else refused


BOTH = ["client_secret_basic", "client_secret_post"]


def test_an_issuer_that_does_not_decode_basic_is_asked_by_the_form(issuer: HttpsIssuer) -> None:
    """Three of five real issuers take such a secret by the form alone; what worked is kept."""
    issuer.discovery("/t1", token_endpoint_auth_methods_supported=BOTH)
    _takes_the_form_only(issuer)
    flow = _credential(issuer).flow()
    with capture_logs() as logs:
        answers = [flow.request(None) for _ in range(2)]
    assert all(isinstance(answer, IssuedToken) for answer in answers)
    assert ["client_secret" in form for form in issuer.forms] == [False, True, True]
    assert [entry["event"].split(":")[0] for entry in logs] == [
        "client_secret_post works where client_secret_basic was refused"
    ]


def test_a_wrong_secret_is_sent_by_the_form_only_once(issuer: HttpsIssuer) -> None:
    issuer.discovery("/t1", token_endpoint_auth_methods_supported=BOTH)
    issuer.answer("/t1/token", as_json(401, {"error": "invalid_client"}))
    flow = _credential(issuer).flow()
    for _ in range(3):
        assert isinstance(flow.request(None), TokenError)
    assert ["client_secret" in form for form in issuer.forms] == [False, True, False, False]


@pytest.mark.parametrize(
    ("offered", "other"), [(BOTH, {"auth_method": "client_secret_basic"}), (None, {}), (["client_secret_basic"], {})]
)
def test_where_the_form_is_not_tried_the_error_says_what_to_configure(
    issuer: HttpsIssuer, offered: list[str] | None, other: dict[str, object]
) -> None:
    issuer.discovery("/t1", token_endpoint_auth_methods_supported=offered)
    _takes_the_form_only(issuer)
    error = _error(issuer, **other)
    assert (error.error, len(issuer.forms)) == ("invalid_client", 1)
    assert error.description.endswith("try auth_method: client_secret_post)")
    plain = _error(issuer, **other, client_secret={"value": "plain"})
    assert plain.description == ""


def test_an_issuer_that_offers_the_form_alone_is_asked_by_it(issuer: HttpsIssuer) -> None:
    issuer.discovery("/t1", token_endpoint_auth_methods_supported=["client_secret_post"])
    assert isinstance(_credential(issuer).flow().request(None), IssuedToken)
    assert [form["client_secret"] for form in issuer.forms] == [SECRET]


def test_an_issuer_behind_a_proxy_for_tls_may_call_itself_otherwise(issuer: HttpsIssuer) -> None:
    """It believes that it is asked by http, and names its endpoints so; they are asked at its URL all the same."""
    inside = f"{issuer.url}/t1".replace("https:", "http:")
    issuer.discovery("/t1", issuer=inside, token_endpoint=f"{inside}/token")
    error = _error(issuer)
    assert error.kind is TokenErrorKind.ISSUER_MISMATCH
    assert "configure issuer_name if it is right" in error.description
    assert isinstance(_credential(issuer, issuer_name=inside).flow().request(None), IssuedToken)
    assert issuer.lines[-1] == "POST /t1/token"
    issuer.discovery("/t1", issuer=inside, token_endpoint="http://elsewhere.example.org/token")
    assert _error(issuer, issuer_name=inside).kind is TokenErrorKind.ISSUER_MISMATCH


@pytest.mark.parametrize(
    "pasted", ["/t1/.well-known/openid-configuration", "/.well-known/oauth-authorization-server/t1"]
)
def test_the_address_of_the_document_stands_for_its_issuer(issuer: HttpsIssuer, pasted: str) -> None:
    assert isinstance(_credential(issuer, issuer=issuer.url + pasted).flow().request(None), IssuedToken)


@pytest.mark.parametrize("key", ["issuer", "token_endpoint", "device_endpoint", "issuer_name"])
def test_a_url_with_a_password_is_refused(issuer: HttpsIssuer, key: str) -> None:
    with pytest.raises(ValidationError, match="names a user, whose password") as caught:
        _credential(issuer, **{key: "https://anna:hunter2@id.example.org/t1"})
    assert "hunter2" not in str(caught.value)


def test_a_secret_in_the_form(issuer: HttpsIssuer) -> None:
    _credential(issuer, auth_method="client_secret_post").flow().request(None)
    assert issuer.forms == [{"grant_type": "client_credentials", "client_id": "client:1", "client_secret": SECRET}]
    assert "authorization" not in issuer.asked[-1].headers


@pytest.mark.parametrize(
    ("key", "algorithm"),
    [
        (rsa.generate_private_key(65537, 2048), "RS256"),
        (ec.generate_private_key(ec.SECP256R1()), "ES256"),
        (ec.generate_private_key(ec.SECP384R1()), "ES384"),
        (ed25519.Ed25519PrivateKey.generate(), "EdDSA"),
    ],
)
@pytest.mark.parametrize("audience", [None, "https://id.example.org"])
def test_a_signed_assertion(
    issuer: HttpsIssuer, tmp_path: Path, *, key: PrivateKeyTypes, algorithm: str, audience: str | None
) -> None:
    file = _key(tmp_path / "key.pem", key)
    credential = _credential(
        issuer, client_secret=None, client_key={"file": str(file)}, key_id="k1", assertion_audience=audience
    )
    flow = credential.flow()
    for _ in range(2):
        assert isinstance(flow.request(None), IssuedToken)
    seen = set()
    for form in issuer.forms:
        assertion = form.pop("client_assertion")
        assert jwt.get_unverified_header(assertion) == {"alg": algorithm, "kid": "k1", "typ": "JWT"}
        claims = jwt.decode(
            assertion,
            key.public_key(),  # type: ignore[arg-type]
            algorithms=[algorithm],
            audience=audience or f"{issuer.url}/t1/token",
        )
        assert (claims["iss"], claims["sub"], claims["exp"] - claims["iat"]) == ("client:1", "client:1", 300)
        seen.add(claims["jti"])
    assert len(seen) == 2
    assert issuer.forms[0] == {
        "grant_type": "client_credentials",
        "client_id": "client:1",
        "client_assertion_type": "urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
    } | {"client_assertion": issuer.forms[0]["client_assertion"]}


def test_configured_endpoints_need_no_document(issuer: HttpsIssuer) -> None:
    answer = _credential(issuer, issuer=None, token_endpoint=f"{issuer.url}/t1/token").flow().request(None)
    assert isinstance(answer, IssuedToken)
    assert issuer.lines == ["POST /t1/token"]


def test_a_document_of_rfc_8414_does_as_well(issuer: HttpsIssuer) -> None:
    del issuer.answers["/t1/.well-known/openid-configuration"]
    document = {"issuer": f"{issuer.url}/t1", "token_endpoint": f"{issuer.url}/t1/token"}
    issuer.answer("/.well-known/oauth-authorization-server/t1", as_json(200, document))
    assert isinstance(_credential(issuer).flow().request(None), IssuedToken)


# -- what is refused --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "other",
    [
        {"issuer": "https://id.example.org/t1"},
        {"issuer": None},
        {"token_endpoint": "https://evil.example.org/token"},
        {"token_endpoint": "https://[::1"},
        {"issuer": "https://[::1"},
        {"token_endpoint": "http://localhost/token"},
    ],
)
def test_a_document_that_sends_us_elsewhere_is_refused_before_the_secret_leaves(
    issuer: HttpsIssuer, other: dict[str, object]
) -> None:
    issuer.discovery("/t1", **other)
    kind = TokenErrorKind.DISCOVERY if other == {"issuer": None} else TokenErrorKind.ISSUER_MISMATCH
    assert _error(issuer).kind is kind
    assert issuer.forms == []


@pytest.mark.parametrize(
    ("expires_in", "exp", "expected"), [(3600, 600, 600), (600, 3600, 600), (None, 600, 600), (600, 1e9, 600)]
)
def test_a_token_expires_when_the_answer_or_the_token_says_whichever_is_earlier(
    issuer: HttpsIssuer, expires_in: int | None, exp: float, expected: float
) -> None:
    """Some issuers state the lifetime of the session, and some the time in milliseconds."""
    now = time.time()
    claims = {"exp": now + exp if exp < 1e9 else now * 1000}
    token = jwt.encode(claims, "a key of thirty-two octets or more", algorithm="HS256")
    issuer.answer("/t1/token", as_json(200, {"access_token": token, "expires_in": expires_in}))
    answer = _credential(issuer).flow().request(None)
    assert isinstance(answer, IssuedToken)
    assert answer.expires_at == pytest.approx(now + expected, abs=5)


def test_a_token_that_cannot_be_sent_on_is_refused_where_it_enters(issuer: HttpsIssuer) -> None:
    """RFC 6749 A.12: a control character or a letter beyond ASCII would break the login, and is shown nowhere."""
    issuer.answer("/t1/token", as_json(200, {"access_token": "secret\x1b[2Jvalue", "expires_in": 60}))
    error = _error(issuer)
    assert "RFC 6749 A.12" in error.description
    assert "value" not in f"{error}"


def test_what_the_issuer_says_is_printable(issuer: HttpsIssuer) -> None:
    """A lone surrogate can be encoded by nothing, and a control character moves a terminal's cursor."""
    said = {"error": "invalid_client", "error_description": "a\ud800b\x1b[2Jc"}
    issuer.answer("/t1/token", (401, {"Content-Type": "application/json"}, json.dumps(said)))
    error = _error(issuer)
    assert error.description.encode()
    assert "\\x1b[2Jc" in error.description


def test_a_token_endpoint_on_another_host_is_used_where_it_is_configured(issuer: HttpsIssuer) -> None:
    issuer.discovery("/t1", token_endpoint="https://elsewhere.example.org/token")
    answer = _credential(issuer, token_endpoint=f"{issuer.url}/t1/token").flow().request(None)
    assert isinstance(answer, IssuedToken)


@pytest.mark.parametrize(
    ("reply", "kind"),
    [
        (as_json(404, {"message": "?"}), TokenErrorKind.DISCOVERY),
        ((200, {}, "<html>portal</html>"), TokenErrorKind.NOT_JSON),
        ((502, {}, "bad gateway"), TokenErrorKind.HTTP),
        (as_json(429, {}, Retry_After="7"), TokenErrorKind.THROTTLED),
    ],
)
def test_what_documents_amount_to(issuer: HttpsIssuer, reply: Reply, kind: TokenErrorKind) -> None:
    issuer.answer("/t1/.well-known/openid-configuration", reply)
    assert _error(issuer).kind is kind


def test_a_document_without_a_token_endpoint(issuer: HttpsIssuer) -> None:
    issuer.discovery("/t1", token_endpoint=None)
    assert _error(issuer).description == (
        "neither the configuration nor the discovery document names a token endpoint at localhost"
    )


def test_the_issuers_error_is_kept_without_what_was_sent(issuer: HttpsIssuer) -> None:
    issuer.answer("/t1/token", as_json(401, {"error": "invalid_client", "error_description": f"not {SECRET!r}"}))
    error = _error(issuer)
    assert (error.kind, error.http_status, error.error) == (TokenErrorKind.OAUTH, 401, "invalid_client")
    assert error.description.startswith("not '[redacted]' (the secret has characters")
    assert error.endpoint == f"{issuer.url}/t1/token"


def test_an_issuer_that_takes_no_connection_in_time_was_not_reached(
    issuer: HttpsIssuer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(session, "LIMITS", Limits(connect_seconds=0.2))
    with socket.create_server(("127.0.0.1", 0), backlog=0) as full, contextlib.ExitStack() as stack:
        for _ in range(3):
            waiting = stack.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(full.getsockname())
        error = _error(issuer, issuer=f"https://127.0.0.1:{full.getsockname()[1]}/t1")
    assert error.kind is TokenErrorKind.CONNECT


def test_an_issuer_that_drips_its_headers_holds_nobody_for_ever(
    issuer: HttpsIssuer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(session, "LIMITS", Limits(seconds=0.5))
    issuer.drip = 0.1
    error = _error(issuer)
    assert (error.kind, error.description) == (TokenErrorKind.TIMEOUT, "no complete response within 0.5 s")


@pytest.mark.parametrize(
    ("other", "kind", "text"),
    [
        ({"client_secret": {"env": "NOT_SET_ANYWHERE"}}, TokenErrorKind.SECRET_UNREADABLE, "variable NOT_SET_ANYWHERE"),
        (
            {"client_secret": None, "client_key": {"file": "/nowhere/key"}},
            TokenErrorKind.CERTIFICATE_UNUSABLE,
            "/nowhere/key cannot be read",
        ),
        ({"ca_file": "/nowhere/ca"}, TokenErrorKind.TLS, "CA file /nowhere/ca cannot be read"),
    ],
)
def test_what_cannot_be_read(issuer: HttpsIssuer, other: dict[str, object], kind: TokenErrorKind, text: str) -> None:
    error = _error(issuer, **other)
    assert (error.kind, text in error.description) == (kind, True)
    assert issuer.forms == []


@pytest.mark.parametrize(
    ("other", "sentence"),
    [
        ({"issuer": None}, "give issuer or token_endpoint"),
        ({"client_key": {"file": "k"}}, "give client_secret or client_key, one of them"),
        ({"auth_method": "private_key_jwt"}, "auth_method private_key_jwt needs client_key"),
        ({"auth_method": "none"}, "auth_method none needs neither client_secret nor client_key"),
        ({"client_secret": None}, "grant client_credentials needs client_secret or client_key"),
        ({"lifetime": "90d"}, "lifetime has no effect with grant client_credentials"),
        ({"grant": "refresh_token"}, "grant refresh_token needs refresh_token"),
        (
            {"grant": "device_code", "issuer": None, "token_endpoint": "https://x"},
            "grant device_code needs issuer or device_endpoint",
        ),
        ({"token_endpoint": "http://x"}, "String should match pattern"),
        ({"keep_alive": 7}, "a duration needs a unit"),
    ],
)
def test_what_cannot_work_is_refused_before_any_network_step(
    issuer: HttpsIssuer, other: dict[str, object], sentence: str
) -> None:
    with pytest.raises(ValidationError) as caught:
        _credential(issuer, **other)
    assert sentence in "\n".join(error["msg"] for error in caught.value.errors())


# -- refresh tokens ---------------------------------------------------------------------------------------------------


def test_a_refresh_token_is_rotated_as_the_issuer_rotates_it(issuer: HttpsIssuer, login: TokenFile) -> None:
    tokens = [as_json(200, {"access_token": f"a{n}", "refresh_token": f"r{n}", "expires_in": 60}) for n in (2, 3)]
    issuer.answer("/t1/token", *tokens, TOKEN)
    flow = _user(issuer).flow(login)
    for _ in range(3):
        assert isinstance(flow.request(None), IssuedToken)
    assert [form["refresh_token"] for form in issuer.forms] == ["first", "r2", "r3"]
    assert isinstance(_user(issuer).flow(login).request(None), IssuedToken)
    assert issuer.forms[-1]["refresh_token"] == "r3"


def test_a_refresh_token_that_cannot_be_written_outlives_a_reload(
    issuer: HttpsIssuer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The issuer may have ended its predecessor: nothing but the memory has it until the disk takes it again."""
    store = TokenStore(tmp_path / "tokens")
    issuer.answer("/t1/token", as_json(200, {"access_token": "a", "refresh_token": "second", "expires_in": 60}), TOKEN)
    with monkeypatch.context() as full:
        full.setattr(token_store, "_replace", _disk_full)
        first = _user(issuer).flow(store.file("site"))
        assert isinstance(first.request(None), IssuedToken)
        assert (store.unwritten, first.side_request_due) == (("site",), True)
        first.side_request()
        reloaded = _user(issuer).flow(store.file("site"))
        assert isinstance(reloaded.request(None), IssuedToken)
    assert [form["refresh_token"] for form in issuer.forms] == ["first", "second"]
    reloaded.side_request()
    assert (store.unwritten, reloaded.side_request_due) == ((), False)
    written = TokenStore(tmp_path / "tokens").file("site").read()
    assert written is not None
    assert written.refresh_token == Secret("second")


def test_a_refresh_token_in_memory_is_written_at_the_stop(
    issuer: HttpsIssuer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = TokenStore(tmp_path / "tokens")
    with monkeypatch.context() as full:
        full.setattr(token_store, "_replace", _disk_full)
        _user(issuer).flow(store.file("site")).request(None)
    store.close()
    assert TokenStore(tmp_path / "tokens").file("site").read() is not None


def test_a_login_made_meanwhile_comes_before_one_in_memory(
    issuer: HttpsIssuer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = TokenStore(tmp_path / "tokens")
    with monkeypatch.context() as full:
        full.setattr(token_store, "_replace", _disk_full)
        _user(issuer).flow(store.file("site")).request(None)
    held = store.file("site").current()
    assert held is not None
    TokenStore(tmp_path / "tokens").file("site").write(replace(held, login_at=held.login_at + 1, account="new"))
    store.file("site").write_held()
    current = store.file("site").current()
    assert current is not None
    assert (current.account, store.unwritten) == ("new", ())


def _disk_full(*_: object) -> None:
    raise OSError(errno.ENOSPC, "No space left on device")


def test_a_look_at_what_is_kept_runs_no_command(issuer: HttpsIssuer, login: TokenFile, tmp_path: Path) -> None:
    """The agent looks every few seconds; the command runs when a token is asked for."""
    count = tmp_path / "count"
    flow = _user(issuer, refresh_token={"command": ["sh", "-c", f"echo x >> {count}; echo first"]}).flow(login)
    flow.reload()
    assert not count.exists()
    assert isinstance(flow.request(None), IssuedToken)
    flow.reload()
    assert (count.read_text(), flow.lifetime.refresh_token_last_refresh_at is not None) == ("x\n", True)


def test_a_new_refresh_token_in_the_configuration_comes_before_the_kept_one(
    issuer: HttpsIssuer, login: TokenFile
) -> None:
    _user(issuer).flow(login).request(None)
    _user(issuer, refresh_token={"value": "another"}).flow(login).request(None)
    assert [form["refresh_token"] for form in issuer.forms] == ["first", "another"]


def test_a_login_is_never_sent_to_another_issuer_or_for_another_client(issuer: HttpsIssuer, login: TokenFile) -> None:
    _user(issuer).flow(login).request(None)
    issuer.discovery("/t2")
    for other in ({"client_id": "another"}, {"issuer": f"{issuer.url}/t2"}):
        error = _user(issuer, **other).flow(login).request(None)
        assert isinstance(error, TokenError)
        assert error.kind is TokenErrorKind.SECRET_UNREADABLE
        assert error.description.endswith("which is not the configured one: run smtpcheck login site")
    assert len(issuer.forms) == 1


def test_the_life_of_a_refresh_token(issuer: HttpsIssuer, login: TokenFile) -> None:
    flow = _user(issuer, lifetime="90d", keep_alive="2d").flow(login)
    flow.request(None)
    now = time.time()
    another = _user(issuer, lifetime="90d", keep_alive="2d").flow(login)
    another.reload()
    assert another.lifetime == flow.lifetime
    lifetime = flow.lifetime
    assert lifetime.refresh_token_last_refresh_at == pytest.approx(now, abs=5)
    assert lifetime.refresh_token_expires_at == pytest.approx(now + 90 * 86400, abs=5)
    assert lifetime.keep_alive_at == pytest.approx(now + 2 * 86400, abs=5)


def test_what_the_issuer_says_of_the_end_comes_before_the_configuration(issuer: HttpsIssuer, login: TokenFile) -> None:
    body = {"access_token": "a", "refresh_token": "r", "expires_in": 60, "refresh_expires_in": 1800}
    issuer.answer("/t1/token", as_json(200, body))
    flow = _user(issuer, lifetime="90d").flow(login)
    flow.request(None)
    assert flow.lifetime.refresh_token_expires_at == pytest.approx(time.time() + 1800, abs=5)


def test_the_age_of_a_dead_refresh_token_is_told(issuer: HttpsIssuer, login: TokenFile) -> None:
    flow = _user(issuer).flow(login)
    flow.request(None)
    issuer.answer("/t1/token", as_json(400, {"error": "invalid_grant"}))
    error = flow.request(None)
    assert isinstance(error, TokenError)
    assert error.error == "invalid_grant"
    assert error.refresh_token_age == pytest.approx(0, abs=5)


# -- login ------------------------------------------------------------------------------------------------------------


def _device(issuer: HttpsIssuer, *replies: Reply, **other: object) -> None:
    body = {"device_code": "dc", "user_code": "AB-CD", "verification_uri": "https://x/device", "expires_in": 600}
    issuer.answer("/t1/device", as_json(200, body | {"interval": 0.01} | other))
    issuer.answer("/t1/token", *replies)


def _login(issuer: HttpsIssuer, cancelled: Event | None = None) -> tuple[TokenResponse | TokenError, list[Invitation]]:
    shown: list[Invitation] = []
    credential = _credential(issuer, grant="device_code", client_secret=None, scope="mail offline_access")
    return credential.sign_in(shown.append, cancelled or Event()), shown


def test_a_device_code_is_shown_and_waited_for(issuer: HttpsIssuer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(device_login, "_SLOWER", 0.01)
    id_token = jwt.encode({"email": "anna@example.org"}, "k" * 32)
    granted = as_json(200, {"access_token": "a", "refresh_token": "r", "expires_in": 60, "id_token": id_token})
    _device(issuer, PENDING, as_json(400, {"error": "slow_down"}), PENDING, granted)
    answer, shown = _login(issuer)
    assert isinstance(answer, TokenResponse)
    assert (answer.refresh_token, answer.account) == (Secret("r"), "anna@example.org")
    assert [(one.address, one.code) for one in shown] == [("https://x/device", "AB-CD")]
    assert issuer.lines[1:] == ["POST /t1/device", *["POST /t1/token"] * 4]
    assert issuer.forms[0] == {"client_id": "client:1", "scope": "mail offline_access"}
    assert issuer.forms[1] == {
        "grant_type": "urn:ietf:params:oauth:grant-type:device_code",
        "device_code": "dc",
        "client_id": "client:1",
    }


def test_an_issuer_in_passing_trouble_does_not_end_a_login(
    issuer: HttpsIssuer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is asked again, more slowly (RFC 8628 3.5); what is no trouble of the moment ends the login."""
    monkeypatch.setattr(device_login, "_SLOWER", 0.01)
    granted = as_json(200, {"access_token": "a", "refresh_token": "r", "expires_in": 60})
    troubles: list[Reply] = [(429, {"Retry-After": "0"}, ""), (503, {}, ""), (503, {"Retry-After": "0"}, "")]
    _device(issuer, *troubles, granted)
    assert isinstance(_login(issuer)[0], TokenResponse)
    assert issuer.lines.count("POST /t1/token") == 4
    _device(issuer, (404, {}, "nothing here"), granted)
    assert isinstance(_login(issuer)[0], TokenError)


@pytest.mark.parametrize("error", ["access_denied", "expired_token"])
def test_a_login_that_is_refused_ends_at_once(issuer: HttpsIssuer, error: str) -> None:
    _device(issuer, PENDING, as_json(400, {"error": error}))
    answer, _ = _login(issuer)
    assert isinstance(answer, TokenError)
    assert (answer.error, len(issuer.forms)) == (error, 3)


def test_a_login_that_nobody_completes_ends(issuer: HttpsIssuer) -> None:
    _device(issuer, PENDING, expires_in=0.05)
    answer, _ = _login(issuer)
    assert isinstance(answer, TokenError)
    assert answer.description == "the login was not completed: it was not approved in time"


def test_a_login_can_be_cancelled(issuer: HttpsIssuer) -> None:
    _device(issuer, PENDING, interval=600)
    cancelled = Event()

    def cancel(_: Asked) -> Reply:
        cancelled.set()
        return PENDING

    cancelled.set()
    issuer.answers["/t1/token"] = cancel
    answer, _ = _login(issuer, cancelled)
    assert isinstance(answer, TokenError)
    assert answer.description == "the login was not completed: cancelled"


def test_without_a_login_the_command_to_run_is_told(issuer: HttpsIssuer, login: TokenFile) -> None:
    error = _credential(issuer, grant="device_code").flow(login).request(None)
    assert isinstance(error, TokenError)
    assert error.description == "no login for site yet: run smtpcheck login site"
    assert issuer.asked == []
