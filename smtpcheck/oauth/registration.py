"""A client at any issuer: how it proves itself at the token endpoint, and what it asks there.

Rules of this file:
- One request, one answer; the session's record of it is what is evaluated. PyJWT signs the assertion, and no other
  library is in between: Authlib's client omits the encoding of RFC 6749 2.3.1, and its errors may repeat the form.
- Where an issuer is configured, its discovery document (OpenID Connect Discovery 4, else RFC 8414 3) must name that
  issuer, and endpoints at its host. An endpoint on another host is used only where the configuration names it: the
  secret would go there.
- An issuer behind a proxy for TLS may call itself by another name (`issuer_name`); what it says is at that origin is
  asked for at its URL's.
- Some issuers do not decode what RFC 6749 2.3.1 has encoded for HTTP Basic. Where the method is not configured, one
  that refuses the client by Basic and offers the form is asked by the form, once for each secret.
- The document is kept until a request fails for another reason than an OAuth error.
"""

import base64
import time
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import quote_plus, urlsplit, urlunsplit

import structlog
from msgspec import structs

from smtpcheck.http_client.exchange import Fault, Response
from smtpcheck.http_client.trust import CaUnusableError
from smtpcheck.http_client.urls import host_of, is_same_origin
from smtpcheck.model.report import TokenError, TokenErrorKind
from smtpcheck.oauth.answer import TokenResponse, has_token, token_error, token_response
from smtpcheck.oauth.certificate import CertificateUnusableError, SigningKey, load_signing_key
from smtpcheck.oauth.kept_key import KeptKey
from smtpcheck.oauth.session import IssuerSession, unanswered
from smtpcheck.secrets.source import SecretSource, SecretUnreadableError

_T = TypeVar("_T")
_Key = KeptKey[tuple[SigningKey, str]]
_ENCODED = (
    "(the secret has characters that client_secret_basic encodes, RFC 6749 2.3.1, which some issuers do not decode: "
    "try auth_method: client_secret_post)"
)
_ASSERTION_TYPE = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
_ASSERTION_SECONDS = 300
_OIDC = "/.well-known/openid-configuration"
_RFC_8414 = "/.well-known/oauth-authorization-server"

_log = structlog.get_logger(__name__)


class AuthMethod(StrEnum):
    """How a client proves itself (OpenID Connect Core 9)."""

    BASIC = "client_secret_basic"
    POST = "client_secret_post"
    PRIVATE_KEY_JWT = "private_key_jwt"
    NONE = "none"


@dataclass(frozen=True, slots=True)
class Endpoints:
    """The URLs of an issuer; None where it does not say."""

    token: str | None = None
    device: str | None = None
    authorization: str | None = None
    auth_methods: frozenset[str] = frozenset()
    """How clients may prove themselves at the token endpoint; empty where the issuer does not say."""


@dataclass(frozen=True, slots=True)
class Registration:
    """What a client is registered with, and what it asks for."""

    client_id: str
    auth_method: AuthMethod
    may_change_method: bool = False
    """Whether `auth_method` is only our own first choice."""
    issuer: str | None = None
    """Its URL; None where the endpoints are configured."""
    issuer_name: str | None = None
    """What it calls itself, where that is not its URL."""
    endpoints: Endpoints = field(default_factory=Endpoints)
    """Those that are configured."""
    secret: SecretSource | None = None
    key: Path | None = None
    passphrase: SecretSource | None = None
    key_id: str | None = None
    assertion_audience: str | None = None
    scope: str = ""
    parameters: tuple[tuple[str, str], ...] = ()
    """Further ones of each token request."""
    ca_file: Path | None = None
    proxy: str | None = None

    @property
    def url(self) -> str:
        """Return what names the issuer: its URL, or that of its token endpoint."""
        return self.issuer or self.endpoints.token or ""

    @property
    def host(self) -> str:
        """Return the host that is asked for tokens."""
        return host_of(self.endpoints.token or self.issuer)


class Refusal(Exception):  # noqa: N818 - it never leaves this room
    """There is no answer of use."""

    def __init__(self, error: TokenError) -> None:
        super().__init__(error.description)
        self.error = error


class Client:
    """Asks an issuer for one registration."""

    def __init__(self, registration: Registration) -> None:
        self._registration = registration
        self._endpoints: Endpoints | None = None
        self._key = KeptKey(registration.key, load_signing_key) if registration.key else None
        self._tried_form_with = ""

    def tokens(self, form: Mapping[str, str]) -> TokenResponse | TokenError:
        """Ask for tokens with the grant that `form` describes."""
        return self._ask(lambda conversation: conversation.tokens(form))

    def device_authorization(self) -> Response | TokenError:
        """Ask for a device code (RFC 8628 3.1)."""
        return self._ask(lambda conversation: conversation.device_authorization())

    def endpoints(self) -> Endpoints | TokenError:
        """Return the issuer's endpoints."""
        return self._ask(lambda conversation: conversation.endpoints)

    def _ask(self, question: "Callable[[_Conversation], _T]") -> _T | TokenError:
        answer = self._ask_once(question)
        if not isinstance(answer, TokenError) or answer.error != "invalid_client":
            return answer
        used = _method(self._registration, self._endpoints or Endpoints())
        if used is not AuthMethod.BASIC or self._registration.secret is None:
            return answer
        secret = self._registration.secret.read()
        if self._may_use_form() and secret.fingerprint != self._tried_form_with:
            self._tried_form_with = secret.fingerprint
            refused, self._registration = self._registration, replace(self._registration, auth_method=AuthMethod.POST)
            by_form = self._ask_once(question)
            if not isinstance(by_form, TokenError) or by_form.error != "invalid_client":
                _log.warning(
                    "client_secret_post works where client_secret_basic was refused: configure auth_method",
                    client_id=refused.client_id,
                )
                return by_form
            self._registration = refused
        elif quote_plus(secret.reveal()) != secret.reveal() and not self._may_use_form():
            return structs.replace(answer, description=f"{answer.description} {_ENCODED}".strip())
        return answer

    def _may_use_form(self) -> bool:
        offered = self._endpoints is not None and AuthMethod.POST in self._endpoints.auth_methods
        return offered and self._registration.may_change_method

    def _ask_once(self, question: "Callable[[_Conversation], _T]") -> _T | TokenError:
        registration = self._registration
        try:
            session = IssuerSession(ca_file=registration.ca_file, proxy=registration.proxy)
        except CaUnusableError as error:
            return _failure(registration, TokenErrorKind.TLS, str(error))
        try:
            conversation = _Conversation(registration, session, self._endpoints, self._key)
            self._endpoints = conversation.endpoints
            return question(conversation)
        except SecretUnreadableError as error:
            return _failure(registration, TokenErrorKind.SECRET_UNREADABLE, str(error))
        except CertificateUnusableError as error:
            return _failure(registration, TokenErrorKind.CERTIFICATE_UNUSABLE, str(error))
        except Refusal as refusal:
            if refusal.error.kind is not TokenErrorKind.OAUTH:
                self._endpoints = None
            return refusal.error
        finally:
            session.close()


class _Conversation:
    """The requests that one question takes."""

    def __init__(
        self, registration: Registration, session: IssuerSession, known: Endpoints | None, key: _Key | None
    ) -> None:
        self._registration = registration
        self._session = session
        self._key = key
        self.endpoints = known or self._discover()

    def tokens(self, form: Mapping[str, str]) -> TokenResponse:
        asked_at = time.time()
        answer = self._post(self._required("token", self.endpoints.token), form)
        if not has_token(answer):
            raise self._refusal(answer)
        return token_response(answer, asked_at=asked_at)

    def device_authorization(self) -> Response:
        url = self._required("device_authorization", self.endpoints.device)
        answer = self._post(url, {"scope": self._registration.scope})
        if answer.status != 200 or answer.json is None or "device_code" not in answer.json:
            raise self._refusal(answer)
        return answer

    def _post(self, url: str, form: Mapping[str, str]) -> Response:
        registration = self._registration
        headers, proof = self._proof(url)
        fields = {**dict(registration.parameters), **form, **proof}
        return self._answer("POST", url, headers, {name: value for name, value in fields.items() if value})

    def _proof(self, url: str) -> tuple[dict[str, str], dict[str, str]]:
        """Return the headers and the fields by which the client proves itself (RFC 6749 2.3, RFC 7523 2.2)."""
        registration = self._registration
        method = _method(registration, self.endpoints)
        headers = {"Accept": "application/json"}
        if method is AuthMethod.NONE:
            return headers, {"client_id": registration.client_id}
        if method is AuthMethod.PRIVATE_KEY_JWT:
            fields = {"client_assertion_type": _ASSERTION_TYPE, "client_assertion": self._assertion(url)}
            return headers, {"client_id": registration.client_id, **fields}
        assert registration.secret is not None  # noqa: S101 - the configuration has seen to it
        secret = registration.secret.read().reveal()
        if method is AuthMethod.POST:
            return headers, {"client_id": registration.client_id, "client_secret": secret}
        pair = f"{quote_plus(registration.client_id)}:{quote_plus(secret)}"
        return headers | {"Authorization": f"Basic {base64.b64encode(pair.encode()).decode()}"}, {}

    def _assertion(self, url: str) -> str:
        import jwt  # noqa: PLC0415 - only clients with a key need it

        registration = self._registration
        assert self._key is not None  # noqa: S101 - the configuration has seen to it
        key, algorithm = self._key.read(registration.passphrase.read() if registration.passphrase else None)
        now = int(time.time())
        claims = {
            "iss": registration.client_id,
            "sub": registration.client_id,
            "aud": registration.assertion_audience or url,
            "jti": str(uuid.uuid4()),
            "iat": now,
            "nbf": now,
            "exp": now + _ASSERTION_SECONDS,
        }
        headers = {"kid": registration.key_id} if registration.key_id else None
        return jwt.encode(claims, key, algorithm=algorithm, headers=headers)

    def _discover(self) -> Endpoints:
        """Return the configured endpoints, and for the rest those of the discovery document."""
        registration, configured = self._registration, self._registration.endpoints
        if registration.issuer is None:
            return configured
        answer = self._document(registration.issuer)
        document = answer.json or {}
        name = registration.issuer_name or registration.issuer
        if str(document.get("issuer")).rstrip("/") != name.rstrip("/"):
            text = f"issuer {str(document.get('issuer'))[:200]!r}, not {name}: configure issuer_name if it is right"
            raise self._mismatch(answer, text)
        token = configured.token or self._at_issuer(document.get("token_endpoint"))
        if token is not None and token != configured.token and not self._is_same_host(token):
            home = urlsplit(registration.issuer).netloc
            raise self._mismatch(
                answer, f"token_endpoint {str(token)[:200]!r}, not one at {home}: configure it if it is right"
            )
        device, authorization = (
            url if isinstance(url := self._at_issuer(document.get(key)), str) and self._is_same_host(url) else None
            for key in ("device_authorization_endpoint", "authorization_endpoint")
        )
        listed = document.get("token_endpoint_auth_methods_supported")
        methods = frozenset(each for each in listed[:32] if isinstance(each, str)) if isinstance(listed, list) else ()
        return Endpoints(
            token, configured.device or device, configured.authorization or authorization, frozenset(methods)
        )

    def _at_issuer(self, url: Any) -> Any:
        """Return a URL of the document; one at the origin of the issuer's name is at that of its URL."""
        registration = self._registration
        if registration.issuer is None or not is_same_origin(url, registration.issuer_name):
            return url
        return urlunsplit((*urlsplit(registration.issuer)[:2], *urlsplit(url)[2:]))

    def _document(self, issuer: str) -> Response:
        parts = urlsplit(issuer)
        rfc_8414 = urlunsplit((parts.scheme, parts.netloc, _RFC_8414 + parts.path.rstrip("/"), "", ""))
        for url in (issuer.rstrip("/") + _OIDC, rfc_8414):
            answer = self._answer("GET", url, {"Accept": "application/json"})
            if answer.status != 404:
                break
        document = answer.json
        if answer.status != 200 or document is None or not isinstance(document.get("issuer"), str):
            raise self._refusal(answer)
        return answer

    def _is_same_host(self, url: object) -> bool:
        return is_same_origin(url, self._registration.issuer)

    def _required(self, name: str, url: str | None) -> str:
        if url is None:
            home = self._registration.host
            text = f"neither the configuration nor the discovery document names a {name} endpoint at {home}"
            raise Refusal(_failure(self._registration, TokenErrorKind.DISCOVERY, text))
        return url

    def _mismatch(self, answer: Response, text: str) -> Refusal:
        error = token_error(answer, requested_scope=self._registration.scope)
        text = f"the discovery document names {text}"
        return Refusal(structs.replace(error, kind=TokenErrorKind.ISSUER_MISMATCH, body="", description=text))

    def _refusal(self, answer: Response) -> Refusal:
        return Refusal(token_error(answer, requested_scope=self._registration.scope))

    def _answer(
        self, method: str, url: str, headers: Mapping[str, str], form: Mapping[str, str] | None = None
    ) -> Response:
        exchange = self._session.exchange(method, url, headers=headers, body=form)
        if isinstance(exchange, Fault):
            raise Refusal(unanswered(exchange, requested_scope=self._registration.scope))
        return exchange


def _method(registration: Registration, endpoints: Endpoints) -> AuthMethod:
    """Return how the client proves itself: as configured, else by what the issuer offers."""
    offered, method = endpoints.auth_methods, registration.auth_method
    if registration.may_change_method and method is AuthMethod.BASIC and offered and method not in offered:
        return AuthMethod.POST if AuthMethod.POST in offered else method
    return method


def _failure(registration: Registration, kind: TokenErrorKind, description: str) -> TokenError:
    return TokenError(
        kind=kind,
        at=time.time(),
        endpoint=registration.url,
        description=description,
        requested_scope=registration.scope,
    )
