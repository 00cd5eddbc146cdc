"""Client credentials by MSAL itself, against a small issuer that speaks HTTPS on loopback."""

import base64
import json
import logging
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, quote

import jwt
import pytest
import trustme
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import pkcs12

from smtpcheck.http_client.exchange import Limits
from smtpcheck.model.report import TokenError, TokenErrorKind
from smtpcheck.oauth import entra, session
from smtpcheck.oauth.certificate import ClientKey, load_client_key
from smtpcheck.oauth.credential import Credential
from smtpcheck.oauth.flow import Flow, IssuedToken
from smtpcheck.oauth.microsoft import Microsoft
from smtpcheck.secrets.secret import Secret

TENANT = "contoso.example"
CLIENT = "11111111-2222-3333-4444-555555555555"
SECRET = "Qx8~long+secret/value=&%<>\"'"
SCOPE = "https://outlook.office365.com/.default"
TRACE = "6dfb6f21-f5eb-4ba5-bdcd-550cb48f5600"
CORRELATION = "539a0585-61ef-4098-b6cf-710973c41a5a"

Form = dict[str, str]
Reply = tuple[int, dict[str, str], str]


def _as_json(status: int, body: object, **headers: str) -> Reply:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return status, {"Content-Type": "application/json", **named}, json.dumps(body)


def _entra_error(status: int, error: str, code: int, text: str, **headers: str) -> Reply:
    description = f"AADSTS{code}: {text} Trace ID: {TRACE} Correlation ID: {CORRELATION}"
    body = {
        "error": error,
        "error_description": description,
        "error_codes": [code],
        "trace_id": TRACE,
        "correlation_id": CORRELATION,
        "suberror": "bad_token",
    }
    return _as_json(status, body, **headers)


def _granting(_: Form) -> Reply:
    return _as_json(200, {"access_token": "the-token", "token_type": "Bearer", "expires_in": 3599})


@dataclass
class Issuer:
    """What the issuer answers, and what it was asked."""

    port: int = 0
    discovery: Callable[["Issuer"], Reply] = lambda issuer: issuer.document()
    token: Callable[[Form], Reply] = _granting
    asked: list[str] = field(default_factory=list)
    forms: list[Form] = field(default_factory=list)
    authorizations: list[str | None] = field(default_factory=list)
    drip: float | None = None
    """Seconds between two bytes of a token response."""
    released: threading.Event = field(default_factory=threading.Event)

    @property
    def authority(self) -> str:
        return f"https://localhost:{self.port}/"

    def document(self, **other: str) -> Reply:
        here = f"https://localhost:{self.port}/{TENANT}"
        names = {
            "issuer": f"{here}/v2.0",
            "token_endpoint": f"{here}/oauth2/v2.0/token",
            "authorization_endpoint": f"{here}/oauth2/v2.0/authorize",
        }
        return _as_json(200, names | other)


def _handler(issuer: Issuer) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            pass

        def do_GET(self) -> None:
            issuer.asked.append(f"GET {self.path}")
            self._answer(issuer.discovery(issuer))

        def do_POST(self) -> None:
            issuer.asked.append(f"POST {self.path}")
            body = self.rfile.read(int(self.headers["Content-Length"])).decode()
            form = {name: values[0] for name, values in parse_qs(body, keep_blank_values=True).items()}
            issuer.forms.append(form)
            self._answer(issuer.token(form))

        def _answer(self, reply: Reply) -> None:
            issuer.authorizations.append(self.headers["Authorization"])
            status, headers, body = reply
            try:
                self.send_response_only(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                if "Content-Length" not in headers:
                    self.send_header("Content-Length", str(len(body.encode())))
                self.end_headers()
                if issuer.drip is None or self.command == "GET":
                    self.wfile.write(body.encode())
                    return
                for octet in body.encode():
                    self.wfile.write(bytes([octet]))
                    issuer.released.wait(issuer.drip)
            except OSError:
                pass

    return Handler


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that leaves is a part of these tests."""


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def ca_file(authority: trustme.CA, tmp_path: Path) -> Path:
    path = tmp_path / "ca.pem"
    authority.cert_pem.write_to_path(str(path))
    return path


@pytest.fixture
def issuer(authority: trustme.CA) -> Iterator[Issuer]:
    issuer = Issuer()
    server = _Server(("127.0.0.1", 0), _handler(issuer))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(context)
    server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    issuer.port = server.server_port
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield issuer
    issuer.released.set()
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture(autouse=True)
def _no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy", "NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)


def _credential(issuer: Issuer, ca_file: Path | None, **other: object) -> Credential:
    fields: dict[str, object] = {
        "tenant": TENANT,
        "client_id": CLIENT,
        "client_secret": {"value": SECRET},
        "authority": issuer.authority,
        "ca_file": ca_file,
    }
    return Microsoft.model_validate({k: v for k, v in (fields | other).items() if v is not None})


def _ask(flow: Flow) -> TokenError:
    answer = flow.request(None)
    assert isinstance(answer, TokenError)
    return answer


# -- success ----------------------------------------------------------------------------------------------------------


def test_a_secret_gets_a_token(issuer: Issuer, ca_file: Path) -> None:
    flow = _credential(issuer, ca_file).flow()
    before = time.time()
    answer = flow.request(None)
    assert isinstance(answer, IssuedToken)
    assert answer.token == Secret("the-token")
    assert answer.expires_at == pytest.approx(before + 3599, abs=5)
    assert issuer.asked == [
        f"GET /{TENANT}/v2.0/.well-known/openid-configuration",
        f"POST /{TENANT}/oauth2/v2.0/token",
    ]
    form = issuer.forms[0]
    assert {key: form[key] for key in ("client_id", "client_secret", "grant_type", "scope")} == {
        "client_id": CLIENT,
        "client_secret": SECRET,
        "grant_type": "client_credentials",
        "scope": SCOPE,
    }


def test_making_the_flow_asks_nothing(issuer: Issuer, ca_file: Path) -> None:
    flow = _credential(issuer, ca_file, client_secret={"file": "/nowhere"}).flow()
    assert (flow.issuer, issuer.asked) == ("localhost", [])


def test_every_request_reaches_the_issuer_and_the_document_is_asked_once(issuer: Issuer, ca_file: Path) -> None:
    flow = _credential(issuer, ca_file).flow()
    for _ in range(3):
        assert isinstance(flow.request(None), IssuedToken)
    assert [line.partition(" ")[0] for line in issuer.asked] == ["GET", "POST", "POST", "POST"]


def test_a_rotated_secret_file_is_used_at_the_next_request(issuer: Issuer, ca_file: Path, tmp_path: Path) -> None:
    file = tmp_path / "secret"
    file.write_text("first\n")
    flow = _credential(issuer, ca_file, client_secret={"file": str(file)}).flow()
    flow.request(None)
    file.write_text("the second\n")
    flow.request(None)
    assert [form["client_secret"] for form in issuer.forms] == ["first", "the second"]


def test_a_token_is_not_replayed_either(issuer: Issuer, ca_file: Path) -> None:
    reply = _as_json(200, {"access_token": "t", "token_type": "Bearer", "expires_in": 3599}, Retry_After="60")
    issuer.token = lambda _: reply
    flow = _credential(issuer, ca_file).flow()
    flow.request(None)
    flow.request(None)
    assert len(issuer.forms) == 2


@pytest.mark.parametrize(
    ("expires_in", "seconds"),
    [("1200", 1200), (None, 3600), ("soon", 3600), (-5, 3600), (10**309, 3600), ("9" * 309, 3600)],
)
def test_expires_in_of_any_form(issuer: Issuer, ca_file: Path, expires_in: object, seconds: int) -> None:
    issuer.token = lambda _: _as_json(200, {"access_token": "t", "token_type": "Bearer", "expires_in": expires_in})
    answer = _credential(issuer, ca_file).flow().request(None)
    assert isinstance(answer, IssuedToken)
    assert answer.expires_at == pytest.approx(time.time() + seconds, abs=5)


def test_no_region_of_the_environment_is_asked(issuer: Issuer, ca_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MSAL_FORCE_REGION", "westeurope")
    assert isinstance(_credential(issuer, ca_file).flow().request(None), IssuedToken)


# -- what the issuer refuses ------------------------------------------------------------------------------------------


def test_the_whole_error_is_kept(issuer: Issuer, ca_file: Path) -> None:
    date = formatdate(time.time() - 600, usegmt=True)
    issuer.token = lambda _: _entra_error(401, "invalid_client", 7000215, "Invalid client secret provided.", Date=date)
    error = _ask(_credential(issuer, ca_file).flow())
    assert error == TokenError(
        kind=TokenErrorKind.OAUTH,
        at=error.at,
        endpoint=f"{issuer.authority}{TENANT}/oauth2/v2.0/token",
        http_status=401,
        error="invalid_client",
        error_codes=(7000215,),
        description=f"AADSTS7000215: Invalid client secret provided. Trace ID: {TRACE} Correlation ID: {CORRELATION}",
        suberror="bad_token",
        correlation_id=CORRELATION,
        trace_id=TRACE,
        clock_offset=error.clock_offset,
        requested_scope=SCOPE,
    )
    assert error.clock_offset == pytest.approx(-600, abs=5)


def test_an_unknown_tenant_is_told_by_the_document_request(issuer: Issuer, ca_file: Path) -> None:
    issuer.discovery = lambda _: _entra_error(400, "invalid_tenant", 90002, "Tenant 'x' not found.")
    error = _ask(_credential(issuer, ca_file).flow())
    assert (error.kind, error.http_status, error.error, error.error_codes, error.trace_id) == (
        TokenErrorKind.OAUTH,
        400,
        "invalid_tenant",
        (90002,),
        TRACE,
    )


@pytest.mark.parametrize("status", [400, 401, 403, 429, 503])
def test_no_error_is_replayed(issuer: Issuer, ca_file: Path, status: int) -> None:
    issuer.token = lambda _: _entra_error(status, "invalid_request", 70011, "No.", Retry_After="60")
    flow = _credential(issuer, ca_file).flow()
    _ask(flow)
    issuer.token = _granting
    assert isinstance(flow.request(None), IssuedToken)


@pytest.mark.parametrize(
    ("reply", "kind", "retry_after", "body"),
    [
        (_as_json(429, {"error": "slow_down"}, Retry_After="37"), TokenErrorKind.THROTTLED, 37.0, ""),
        ((503, {"Retry-After": "5"}, "<html>busy</html>"), TokenErrorKind.THROTTLED, 5.0, "<html>busy</html>"),
        ((503, {}, "<html>down</html>"), TokenErrorKind.HTTP, None, "<html>down</html>"),
        (_as_json(500, {"message": "oops"}), TokenErrorKind.HTTP, None, '{"message": "oops"}'),
        (_as_json(503, {"error": "temporarily_unavailable"}), TokenErrorKind.OAUTH, None, ""),
        ((200, {}, "<html>Please log in</html>"), TokenErrorKind.NOT_JSON, None, "<html>Please log in</html>"),
        ((403, {}, "<html>blocked</html>"), TokenErrorKind.NOT_JSON, None, "<html>blocked</html>"),
        ((302, {"Location": "https://localhost:1/"}, ""), TokenErrorKind.NOT_JSON, None, ""),
        (_as_json(200, ["a", "list"]), TokenErrorKind.NOT_JSON, None, '["a", "list"]'),
        (_as_json(200, {"token_type": "Bearer"}), TokenErrorKind.HTTP, None, '{"token_type": "Bearer"}'),
        (_as_json(200, {"access_token": ""}), TokenErrorKind.HTTP, None, '{"access_token": ""}'),
        ((200, {}, "[" * 100_000), TokenErrorKind.NOT_JSON, None, "[" * 8192),
    ],
)
def test_what_answers_amount_to(
    issuer: Issuer, ca_file: Path, *, reply: Reply, kind: TokenErrorKind, retry_after: float | None, body: str
) -> None:
    issuer.token = lambda _: reply
    error = _ask(_credential(issuer, ca_file).flow())
    assert (error.kind, error.http_status, error.retry_after, error.body) == (kind, reply[0], retry_after, body)


@pytest.mark.parametrize(
    ("reply", "kind"),
    [
        ((404, {}, "<html>no such page</html>"), TokenErrorKind.NOT_JSON),
        (_as_json(404, {"message": "no such page"}), TokenErrorKind.DISCOVERY),
        (_as_json(200, {"issuer": "x"}), TokenErrorKind.DISCOVERY),
        (
            _as_json(200, {"token_endpoint": "http://localhost/plain", "authorization_endpoint": "x"}),
            TokenErrorKind.DISCOVERY,
        ),
        (
            _as_json(200, {"token_endpoint": "https://[::1", "authorization_endpoint": "x", "issuer": "https://[::1"}),
            TokenErrorKind.DISCOVERY,
        ),
        ((502, {}, "bad gateway"), TokenErrorKind.HTTP),
        ((302, {"Location": "http://portal.example/"}, "<html>moved</html>"), TokenErrorKind.NOT_JSON),
        ((200, {}, "<html>portal</html>"), TokenErrorKind.NOT_JSON),
    ],
)
def test_what_documents_amount_to(issuer: Issuer, ca_file: Path, reply: Reply, kind: TokenErrorKind) -> None:
    issuer.discovery = lambda _: reply
    error = _ask(_credential(issuer, ca_file).flow())
    assert (error.kind, error.http_status) == (kind, reply[0])
    assert issuer.forms == []


@pytest.mark.parametrize(
    "other",
    [
        {"issuer": "https://login.example.org/x/v2.0"},
        {"token_endpoint": "https://evil.example.org/token"},
        {"token_endpoint": "https://localhost/another/port"},
        {"issuer": "https://[::1"},
    ],
)
def test_a_document_that_sends_us_elsewhere_is_refused_before_the_secret_leaves(
    issuer: Issuer, ca_file: Path, other: dict[str, str]
) -> None:
    issuer.discovery = lambda of: of.document(**other)
    assert _ask(_credential(issuer, ca_file).flow()).kind is TokenErrorKind.ISSUER_MISMATCH
    assert issuer.forms == []


def test_the_body_of_a_redirect_is_not_read(issuer: Issuer, ca_file: Path) -> None:
    """It may be a bomb: a megabyte of it makes a gigabyte, which requests would read to look for the next request."""
    issuer.token = lambda _: (302, {"Location": "https://localhost:1/", "Content-Length": "9" * 12}, "x" * 8192)
    error = _ask(_credential(issuer, ca_file).flow())
    assert (error.kind, error.http_status, error.body) == (TokenErrorKind.NOT_JSON, 302, "")


# -- what never answers -----------------------------------------------------------------------------------------------


def test_a_slow_issuer_is_a_timeout(issuer: Issuer, ca_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session, "LIMITS", Limits(seconds=0.5))

    def wait(_: Form) -> Reply:
        issuer.released.wait(30)
        return _granting(_)

    issuer.token = wait
    error = _ask(_credential(issuer, ca_file).flow())
    assert (error.kind, error.endpoint) == (TokenErrorKind.TIMEOUT, f"{issuer.authority}{TENANT}/oauth2/v2.0/token")


def test_an_answer_that_drips_ends_in_time(issuer: Issuer, ca_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session, "LIMITS", Limits(seconds=0.5))
    issuer.drip = 0.1
    error = _ask(_credential(issuer, ca_file).flow())
    assert (error.kind, error.description) == (TokenErrorKind.TIMEOUT, "no complete response within 0.5 s")


def test_an_answer_that_breaks_off(issuer: Issuer, ca_file: Path) -> None:
    issuer.token = lambda _: (200, {"Content-Length": "5000"}, "{")
    error = _ask(_credential(issuer, ca_file).flow())
    assert (error.kind, error.http_status) == (TokenErrorKind.HTTP, None)


def test_an_answer_of_a_broken_encoding(issuer: Issuer, ca_file: Path) -> None:
    issuer.token = lambda _: (200, {"Content-Encoding": "gzip"}, "this is not gzip")
    assert _ask(_credential(issuer, ca_file).flow()).kind is TokenErrorKind.HTTP


def test_an_answer_without_end_is_cut(issuer: Issuer, ca_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session, "LIMITS", Limits(octets=10_000))
    issuer.token = lambda _: (200, {}, "x" * 1_000_000)
    assert _ask(_credential(issuer, ca_file).flow()).body == "x" * 8192


def test_a_refused_connection(ca_file: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        error = _ask(_credential(Issuer(port=taken.getsockname()[1]), ca_file).flow())
    assert (error.kind, error.description) == (TokenErrorKind.REFUSED, "Connection refused")


def test_a_name_that_does_not_exist(ca_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(*_: object, **__: object) -> list[object]:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    error = _ask(_credential(Issuer(), ca_file, authority="https://issuer.invalid/").flow())
    assert (error.kind, error.description) == (TokenErrorKind.NAME_NOT_FOUND, "Name or service not known")


def test_a_certificate_of_another_ca(issuer: Issuer, tmp_path: Path) -> None:
    other = tmp_path / "other.pem"
    trustme.CA().cert_pem.write_to_path(str(other))
    error = _ask(_credential(issuer, other).flow())
    assert error.kind is TokenErrorKind.TLS
    assert "certificate verify failed" in error.description


def test_the_environment_does_not_replace_the_ca(
    issuer: Issuer, ca_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = tmp_path / "other.pem"
    trustme.CA().cert_pem.write_to_path(str(other))
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(ca_file))
    assert _ask(_credential(issuer, other).flow()).kind is TokenErrorKind.TLS
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(other))
    assert isinstance(_credential(issuer, ca_file).flow().request(None), IssuedToken)


def test_a_configured_ca_is_trusted_alone(
    issuer: Issuer, ca_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = tmp_path / "other.pem"
    trustme.CA().cert_pem.write_to_path(str(other))
    monkeypatch.setattr("requests.adapters.DEFAULT_CA_BUNDLE_PATH", str(ca_file))
    assert _ask(_credential(issuer, other).flow()).kind is TokenErrorKind.TLS


def test_no_password_of_a_netrc_file_is_sent(
    issuer: Issuer, ca_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("machine localhost login me password of-the-netrc\n")
    monkeypatch.setenv("NETRC", str(netrc))
    assert isinstance(_credential(issuer, ca_file).flow().request(None), IssuedToken)
    assert issuer.authorizations == [None, None]


@pytest.mark.parametrize("content", [None, "no certificate"])
def test_a_ca_file_that_cannot_be_used(issuer: Issuer, tmp_path: Path, content: str | None) -> None:
    file = tmp_path / "ca.pem"
    if content is not None:
        file.write_text(content)
    error = _ask(_credential(issuer, file).flow())
    assert (error.kind, str(file) in error.description, issuer.asked) == (TokenErrorKind.TLS, True, [])


@pytest.mark.parametrize("configured", [True, False])
def test_a_dead_proxy(issuer: Issuer, ca_file: Path, configured: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        proxy = f"http://user:pass-of-the-proxy@127.0.0.1:{taken.getsockname()[1]}"
        if not configured:
            monkeypatch.setenv("HTTPS_PROXY", proxy)
        credential = _credential(issuer, ca_file, proxy=proxy if configured else None)
        error = _ask(credential.flow())
    assert error.kind is TokenErrorKind.PROXY
    assert "pass-of-the-proxy" not in repr((error, credential))
    assert issuer.asked == []


def test_a_secret_that_cannot_be_read(issuer: Issuer, ca_file: Path) -> None:
    error = _ask(_credential(issuer, ca_file, client_secret={"file": "/nowhere/secret"}).flow())
    assert (error.kind, error.description) == (
        TokenErrorKind.SECRET_UNREADABLE,
        "file /nowhere/secret does not exist",
    )
    assert issuer.asked == []


# -- certificates -----------------------------------------------------------------------------------------------------

END = datetime(2031, 5, 6, tzinfo=UTC)
KEY = rsa.generate_private_key(public_exponent=65537, key_size=2048)


def _certificate(key: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey) -> x509.Certificate:
    name = x509.Name.from_rfc4514_string("CN=smtpcheck")
    builder = x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
    return builder.not_valid_before(END - timedelta(days=9000)).not_valid_after(END).sign(key, hashes.SHA256())


CERTIFICATE = _certificate(KEY)


def _pem(passphrase: bytes | None = None, key: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey = KEY) -> bytes:
    encryption = serialization.BestAvailableEncryption(passphrase) if passphrase else serialization.NoEncryption()
    return key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, encryption)


OTHER_PEM = _certificate(rsa.generate_private_key(public_exponent=65537, key_size=2048)).public_bytes(
    serialization.Encoding.PEM
)
CERTIFICATE_PEM = CERTIFICATE.public_bytes(serialization.Encoding.PEM)


def _pfx(passphrase: bytes | None) -> bytes:
    encryption = serialization.BestAvailableEncryption(passphrase) if passphrase else serialization.NoEncryption()
    return pkcs12.serialize_key_and_certificates(b"x", KEY, CERTIFICATE, None, encryption)


def _with_certificate(issuer: Issuer, ca_file: Path, file: Path, passphrase: str | None) -> Flow:
    certificate: dict[str, object] = {"file": str(file)}
    if passphrase:
        certificate["passphrase"] = {"value": passphrase}
    return _credential(issuer, ca_file, client_secret=None, client_certificate=certificate).flow()


@pytest.mark.parametrize(
    ("content", "passphrase"),
    [
        (_pem() + CERTIFICATE_PEM, None),
        (OTHER_PEM + CERTIFICATE_PEM + _pem(), None),
        (_pem(b"words") + CERTIFICATE_PEM, "words"),
        (_pem() + CERTIFICATE_PEM, "not needed"),
        (_pfx(b"words"), "words"),
        (_pfx(None), None),
    ],
    ids=["pem", "pem with chain", "encrypted pem", "pem and passphrase", "pfx", "open pfx"],
)
def test_a_certificate_signs_an_assertion_that_the_issuer_can_verify(
    issuer: Issuer, ca_file: Path, tmp_path: Path, *, content: bytes, passphrase: str | None
) -> None:
    file = tmp_path / "app.pem"
    file.write_bytes(content)
    flow = _with_certificate(issuer, ca_file, file, passphrase)
    assert isinstance(flow.request(None), IssuedToken)
    form = issuer.forms[0]
    assertion = form["client_assertion"]
    claims = jwt.decode(
        assertion, KEY.public_key(), ["PS256"], audience=f"{issuer.authority}{TENANT}/oauth2/v2.0/token"
    )
    thumbprint = base64.urlsafe_b64encode(CERTIFICATE.fingerprint(hashes.SHA256())).decode()
    assert (claims["iss"], claims["sub"], jwt.get_unverified_header(assertion)["x5t#S256"]) == (
        CLIENT,
        CLIENT,
        thumbprint,
    )
    assert "client_secret" not in form
    assert flow.lifetime.client_certificate_expires_at == END.timestamp()


@pytest.mark.parametrize(
    ("content", "passphrase", "reason"),
    [
        (None, None, "cannot be read"),
        (b"rubbish", None, "is neither PEM nor PFX with a key that can be read"),
        (_pem(b"words") + CERTIFICATE_PEM, None, "needs a passphrase"),
        (_pem(b"words") + CERTIFICATE_PEM, "wrong-words", "cannot be opened with this passphrase"),
        (_pfx(b"words"), "wrong-words", "cannot be opened with this passphrase"),
        (_pfx(b"words"), None, "needs a passphrase"),
        (_pem(), None, "has no certificate that matches its key"),
        (_pem() + OTHER_PEM, None, "has no certificate that matches its key"),
        (CERTIFICATE_PEM, None, "has no RSA key"),
        (_pem(key=ec.generate_private_key(ec.SECP256R1())), None, "has no RSA key"),
        (_pem()[:300] + b"-----END PRIVATE KEY-----", None, "is neither PEM nor PFX with a key that can be read"),
    ],
)
def test_a_certificate_that_cannot_be_used(
    issuer: Issuer, ca_file: Path, tmp_path: Path, *, content: bytes | None, passphrase: str | None, reason: str
) -> None:
    file = tmp_path / "app.pem"
    if content is not None:
        file.write_bytes(content)
    error = _ask(_with_certificate(issuer, ca_file, file, passphrase))
    assert (error.kind, reason in error.description) == (TokenErrorKind.CERTIFICATE_UNUSABLE, True), error
    assert "wrong-words" not in repr(error)
    assert issuer.asked == []


def test_an_exchanged_certificate_is_used_at_the_next_request(issuer: Issuer, ca_file: Path, tmp_path: Path) -> None:
    file = tmp_path / "app.pem"
    file.write_bytes(_pem() + CERTIFICATE_PEM)
    flow = _with_certificate(issuer, ca_file, file, None)
    flow.request(None)
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    file.write_bytes(_pem(key=key) + _certificate(key).public_bytes(serialization.Encoding.PEM))
    flow.request(None)
    assertion = issuer.forms[1]["client_assertion"]
    assert jwt.decode(assertion, key.public_key(), ["PS256"], options={"verify_aud": False})


def test_a_certificate_is_parsed_once(
    issuer: Issuer, ca_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    parsed: list[Path] = []

    def counted(path: Path, passphrase: Secret | None) -> ClientKey:
        parsed.append(path)
        return load_client_key(path, passphrase)

    monkeypatch.setattr(entra, "load_client_key", counted)
    file = tmp_path / "app.pem"
    file.write_bytes(_pem() + CERTIFICATE_PEM)
    flow = _with_certificate(issuer, ca_file, file, None)
    for _ in range(3):
        assert isinstance(flow.request(None), IssuedToken)
    assert parsed == [file]


def test_the_end_of_a_secret_is_what_the_configuration_says(issuer: Issuer, ca_file: Path) -> None:
    flow = _credential(issuer, ca_file, client_secret_expires="2027-03-01").flow()
    assert flow.lifetime.client_secret_expires_at == datetime(2027, 3, 1, tzinfo=UTC).timestamp()


# -- secrecy ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("form", [str, quote, json.dumps, lambda text: base64.b64encode(text.encode()).decode()])
@pytest.mark.parametrize("status", [200, 400, 503])
def test_an_issuer_that_echoes_what_was_sent_gives_nothing_away(
    issuer: Issuer, ca_file: Path, form: Callable[[str], str], status: int, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    echo = form(SECRET)
    issuer.token = lambda _: (status, {}, f"<html>you sent {echo}</html>")
    plain = _ask(_credential(issuer, ca_file).flow())
    issuer.token = lambda _: _as_json(status, {"error": echo, "error_description": echo, "suberror": echo})
    oauth = _ask(_credential(issuer, ca_file).flow())
    seen = repr((plain, oauth)) + caplog.text
    assert [hidden for hidden in (SECRET, echo, repr(SECRET)[1:-1]) if hidden in seen] == []
    assert plain.body == "<html>you sent [redacted]</html>" or form is json.dumps


def test_an_echoed_assertion_is_not_kept(issuer: Issuer, ca_file: Path, tmp_path: Path) -> None:
    file = tmp_path / "app.pem"
    file.write_bytes(_pem() + CERTIFICATE_PEM)
    issuer.token = lambda form: (400, {}, f"<html>{form['client_assertion']}</html>")
    error = _ask(_with_certificate(issuer, ca_file, file, None))
    assert error.body == "<html>[redacted]</html>"


def test_a_token_in_an_answer_of_another_form_is_not_kept(issuer: Issuer, ca_file: Path) -> None:
    issuer.token = lambda _: (200, {}, "access_token=opaque-token-value&expires_in=3599")
    assert _ask(_credential(issuer, ca_file).flow()).body == "access_token=[redacted]&expires_in=3599"
