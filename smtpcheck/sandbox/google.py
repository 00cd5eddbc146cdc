"""An issuer that answers like Google: token endpoint, authorisation by browser or device, and tokeninfo.

Rules of this file:
- google-auth itself must work against it, unpatched, by the `token_uri` of a key file
  (https://developers.google.com/identity/protocols/oauth2/service-account).
- Access tokens are opaque: only the issuer knows what is behind one, and the mail server asks it.
- Everything ages by `clock`; tests set it ahead to let a refresh token die.
- There is no page of consent: the user who is `visitor` approves at once, and an empty one declines in the browser.
"""

import base64
import hashlib
import secrets
import ssl
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from urllib.parse import urlencode, urlsplit

import jwt
from aiohttp import BasicAuth, web
from aiohttp.typedefs import Handler

from smtpcheck.sandbox.device import DeviceCodes, Poll
from smtpcheck.sandbox.device_page import DevicePage
from smtpcheck.sandbox.gmail_api import Bearer, GmailApi
from smtpcheck.sandbox.google_accounts import (
    MAIL_SCOPE,
    SCOPES,
    SIGN_IN_SCOPES,
    Fault,
    GoogleClient,
    GoogleError,
    GoogleUser,
    ServiceAccount,
)
from smtpcheck.sandbox.google_admin import GoogleAdmin
from smtpcheck.sandbox.mail_store import MailStore
from smtpcheck.sandbox.tokens import SigningKey

TOKEN_ENDPOINT = "https://oauth2.googleapis.com/token"
"""Google's own, which google-auth names as audience whatever endpoint it asks."""
JWT_GRANT = "urn:ietf:params:oauth:grant-type:jwt-bearer"
DEVICE_GRANT = "urn:ietf:params:oauth:grant-type:device_code"
_EMAIL_SCOPES = frozenset({"email", "https://www.googleapis.com/auth/userinfo.email"})
_LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})
_TESTING_SECONDS = 7 * 86400
_INACTIVE_SECONDS = 182 * 86400
_CODE_SECONDS = 600
_DEVICE_CODE_SECONDS = 1800
_SKEW_SECONDS = 300
_SHUTDOWN_SECONDS = 0.1
_POLLS = {
    Poll.PENDING: Fault.PENDING,
    Poll.SLOW_DOWN: Fault.SLOW_DOWN,
    Poll.DECLINED: Fault.DECLINED,
    Poll.EXPIRED: Fault.EXPIRED,
    Poll.UNKNOWN: Fault.CODE,
}


@dataclass(frozen=True, slots=True)
class Access:
    """What is behind an access token."""

    address: str
    scopes: frozenset[str]
    client_id: str
    ends: float
    """Unix seconds."""


@dataclass(frozen=True, slots=True)
class _Code:
    """An authorisation code that waits to be redeemed."""

    client_id: str
    redirect_uri: str
    scope: str
    address: str
    challenge: str
    method: str
    ends: float


@dataclass(slots=True)
class _Grant:
    """What is behind a refresh token."""

    client_id: str
    address: str
    scope: str
    began: float
    used: float
    revoked: bool = False


class GoogleIssuer:
    """The issuer on 127.0.0.1.

    Attributes:
        clients: by client id; may be changed while it runs, as may accounts and users.
        accounts: service accounts by address.
        users: by address in lower case.
        token_requests: requests to the token endpoint so far, by client id or service account.
        issued: every token and code that was given out.
        assertions: every assertion that was received.
        visitor: the address of the user who signs in and approves at once, in the browser and on a device.
        clock: the time in Unix seconds.
        interval: seconds between two polls of a device that the issuer asks for.
        device_scopes: what a device may ask for. Google allows no scope of Gmail there.
        lifetime: seconds that a new access token lives.
        gmail_api: the Gmail API, at the same address; there it is throttled and disabled.
        admin: what administrators may read, at the same address.
    """

    def __init__(
        self,
        users: Iterable[GoogleUser],
        clients: Iterable[GoogleClient] = (),
        accounts: Iterable[ServiceAccount] = (),
    ) -> None:
        self.users = {user.address.casefold(): user for user in users}
        self.clients = {client.client_id: client for client in clients}
        self.accounts = {account.email: account for account in accounts}
        self.token_requests: Counter[str] = Counter()
        self.issued: list[str] = []
        self.assertions: list[str] = []
        self.visitor = ""
        self.clock: Callable[[], float] = time.time
        self.interval = 5
        self.device_scopes = SIGN_IN_SCOPES
        self.lifetime = 3599
        self.port = 0
        self._key = SigningKey()
        self._devices = DeviceCodes("BCDFGHJKLMNPQRSTVWXZ", length=8, dash=4)
        self._codes: dict[str, _Code] = {}
        self._grants: dict[str, _Grant] = {}
        self._access: dict[str, Access] = {}
        self.gmail_api = GmailApi(MailStore(), self._bearer)
        self.admin = GoogleAdmin(lambda: self.users, lambda: self.accounts, self._bearer)
        self._runner: web.AppRunner | None = None

    @property
    def url(self) -> str:
        """Return the issuer's root."""
        return f"https://localhost:{self.port}/"

    @property
    def token_uri(self) -> str:
        """Return the token endpoint, as a key file names it."""
        return f"{self.url}token"

    async def start(self, context: ssl.SSLContext, port: int = 0) -> None:
        """Serve HTTPS with the TLS context on 127.0.0.1, at a free port unless one is given."""
        app = web.Application(middlewares=[_google_errors])
        app.router.add_get("/.well-known/openid-configuration", self._discovery)
        app.router.add_get("/o/oauth2/v2/auth", self._authorize)
        app.router.add_post("/device/code", self._device_code)
        app.router.add_post("/token", self._token)
        app.router.add_post("/revoke", self._revoke)
        app.router.add_get("/tokeninfo", self._tokeninfo)
        self.gmail_api.serve(app)
        self.admin.serve(app)
        DevicePage(self.approve, self.decline).serve(app)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=_SHUTDOWN_SECONDS)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", port, ssl_context=context).start()
        self.port = runner.addresses[0][1]
        self._runner = runner

    async def close(self) -> None:
        """Stop serving; requests in flight are cancelled."""
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    def _bearer(self, token: str) -> Bearer | None:
        access = self.access(token)
        return Bearer(access.address, access.scopes) if access and self.clock() < access.ends else None

    def access(self, token: str) -> Access | None:
        """Return what is behind an access token, ended or not; None if there never was such a token."""
        return self._access.get(token)

    def approve(self, user_code: str, address: str) -> None:
        """Approve a device as the user; raise `KeyError` unless the code waits and there is such a user."""
        self._devices.decide(user_code, self.users[address.casefold()].address)

    def decline(self, user_code: str) -> None:
        """Decline a device as the user; raise `KeyError` unless the code waits."""
        self._devices.decide(user_code, None)

    def sign_in(self, client_id: str, address: str, scope: str = MAIL_SCOPE) -> str:
        """Return a refresh token as a user has it who signed in just now."""
        token = f"1//0{secrets.token_urlsafe(72)}"
        self._grants[token] = _Grant(client_id, address, scope, self.clock(), self.clock())
        self.issued.append(token)
        return token

    def revoke(self, refresh_token: str) -> None:
        """End a refresh token, as the user may in the account's settings; raise `KeyError` if there is none."""
        self._grants[refresh_token].revoked = True

    def mint(self, address: str, scopes: Iterable[str], client_id: str = "") -> str:
        """Return an access token for the mailbox; tests make those that no flow gives."""
        kind = "c.c0ASRK0G" if client_id in {account.unique_id for account in self.accounts.values()} else "a0ATi6K2"
        token = f"ya29.{kind}{secrets.token_urlsafe(720 if kind[0] == 'c' else 168)}"
        self._access[token] = Access(address, frozenset(scopes), client_id, self.clock() + self.lifetime)
        self.issued.append(token)
        return token

    async def _discovery(self, _request: web.Request) -> web.Response:
        document = {
            "issuer": self.url.rstrip("/"),
            "authorization_endpoint": f"{self.url}o/oauth2/v2/auth",
            "device_authorization_endpoint": f"{self.url}device/code",
            "token_endpoint": self.token_uri,
            "revocation_endpoint": f"{self.url}revoke",
            "response_types_supported": ["code", "token", "id_token"],
            "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": ["RS256"],
            "token_endpoint_auth_methods_supported": ["client_secret_post", "client_secret_basic"],
            "code_challenge_methods_supported": ["plain", "S256"],
            "grant_types_supported": ["authorization_code", "refresh_token", DEVICE_GRANT, JWT_GRANT],
        }
        return web.json_response(document)

    async def _authorize(self, request: web.Request) -> web.Response:
        """Send the browser back to the client's loopback address (RFC 8252 7.3) with a code, or with an error."""
        query = request.query
        client, target = self.clients.get(query.get("client_id", "")), query.get("redirect_uri", "")
        if client is None:
            raise GoogleError(Fault.CLIENT_UNKNOWN)
        if urlsplit(target).scheme != "http" or urlsplit(target).hostname not in _LOOPBACK:
            raise GoogleError(Fault.REDIRECT_URI)
        answer = {"state": query["state"]} if "state" in query else {}
        if query.get("response_type") != "code" or not (scope := _known(query.get("scope", ""))):
            answer["error"] = "invalid_request" if query.get("response_type") != "code" else "invalid_scope"
        elif not self._may_sign_in(client):
            answer["error"] = "access_denied"
        else:
            code = f"4/0A{secrets.token_urlsafe(54)}"
            challenge, method = query.get("code_challenge", ""), query.get("code_challenge_method", "plain")
            ends = self.clock() + _CODE_SECONDS
            self._codes[code] = _Code(client.client_id, target, scope, self.visitor, challenge, method, ends)
            self.issued.append(code)
            answer |= {"code": code, "scope": scope}
        raise web.HTTPFound(f"{target}{'&' if urlsplit(target).query else '?'}{urlencode(answer)}")

    def _may_sign_in(self, client: GoogleClient) -> bool:
        known = self.visitor.casefold() in self.users
        return known and (not client.testing or client.test_users is None or self.visitor in client.test_users)

    async def _device_code(self, request: web.Request) -> web.Response:
        form = await _form(request)
        client = self.clients.get(form.get("client_id", ""))
        if client is None:
            raise GoogleError(Fault.CLIENT_UNKNOWN)
        for scope in form.get("scope", "").split():
            if scope not in self.device_scopes:
                raise GoogleError(Fault.DEVICE_SCOPE, scope=scope)
        ends = self.clock() + _DEVICE_CODE_SECONDS
        code = self._devices.issue(client.client_id, form.get("scope", ""), ends, self.interval)
        self.issued.append(code.device_code)
        if self._may_sign_in(client):
            self.approve(code.user_code, self.visitor)
        return web.json_response(
            {
                "device_code": code.device_code,
                "user_code": code.user_code,
                "expires_in": _DEVICE_CODE_SECONDS,
                "interval": self.interval,
                "verification_url": f"{self.url}device",
            }
        )

    async def _token(self, request: web.Request) -> web.Response:
        form = await _form(request)
        if (header := request.headers.get("Authorization", "")).startswith("Basic "):
            basic = BasicAuth.decode(header)
            form |= {"client_id": basic.login, "client_secret": basic.password}
        headers = {"Cache-Control": "no-cache, no-store, max-age=0, must-revalidate"}
        return web.json_response(self._grant(form), headers=headers)

    def _grant(self, form: Mapping[str, str]) -> dict[str, object]:
        grant_type = form.get("grant_type", "")
        if grant_type == JWT_GRANT:
            return self._assertion(_required(form, "assertion"))
        self.token_requests[form.get("client_id", "")] += 1
        if grant_type not in {"authorization_code", "refresh_token", DEVICE_GRANT}:
            raise GoogleError(Fault.GRANT_TYPE, grant_type=grant_type)
        client = self._client(form)
        if grant_type == "authorization_code":
            return self._redeem(client, form)
        if grant_type == "refresh_token":
            return self._refresh(client, _required(form, "refresh_token"))
        found, device = self._devices.poll(_required(form, "device_code"), client.client_id, self.clock())
        if found is not Poll.APPROVED or device is None:
            raise GoogleError(_POLLS[found])
        return self._begin(client, device.user, device.scope)

    def _client(self, form: Mapping[str, str]) -> GoogleClient:
        client = self.clients.get(form.get("client_id", ""))
        if client is None:
            raise GoogleError(Fault.CLIENT_UNKNOWN)
        if client.fault is not None:
            raise GoogleError(client.fault)
        if _required(form, "client_secret") != client.secret:
            raise GoogleError(Fault.CLIENT_SECRET_WRONG)
        return client

    def _redeem(self, client: GoogleClient, form: Mapping[str, str]) -> dict[str, object]:
        """Return the answer to an authorisation code (RFC 6749 4.1.3, RFC 7636)."""
        code = self._codes.pop(_required(form, "code"), None)
        if code is None or code.client_id != client.client_id or self.clock() >= code.ends:
            raise GoogleError(Fault.CODE)
        if form.get("redirect_uri") != code.redirect_uri:
            raise GoogleError(Fault.REDIRECT_URI)
        verifier = form.get("code_verifier", "")
        digest = base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).decode().rstrip("=")
        if code.challenge and code.challenge != (digest if code.method == "S256" else verifier):
            raise GoogleError(Fault.CODE_VERIFIER)
        return self._begin(client, code.address, code.scope)

    def _begin(self, client: GoogleClient, address: str, scope: str) -> dict[str, object]:
        """Return the answer to a sign-in, with a refresh token, as clients of the kind desktop always get it."""
        token = self.sign_in(client.client_id, address, scope)
        ends = {"refresh_token_expires_in": _TESTING_SECONDS - 1} if client.testing else {}
        return self._answer(client.client_id, address, scope) | {"refresh_token": token} | ends

    def _refresh(self, client: GoogleClient, token: str) -> dict[str, object]:
        """Return the answer to a refresh token, which stays the same."""
        grant = self._grants.get(token)
        if grant is None or grant.client_id != client.client_id:
            raise GoogleError(Fault.REFRESH_TOKEN_UNKNOWN)
        now = self.clock()
        of_testing = client.testing and not set(grant.scope.split()) <= SIGN_IN_SCOPES
        dead = grant.revoked or now - grant.used >= _INACTIVE_SECONDS
        if dead or (of_testing and now - grant.began >= _TESTING_SECONDS):
            raise GoogleError(Fault.REFRESH_TOKEN_DEAD)
        self._user(grant.address)
        grant.used = now
        return self._answer(client.client_id, grant.address, grant.scope)

    def _assertion(self, assertion: str) -> dict[str, object]:
        """Return the answer to a service account's assertion (RFC 7523)."""
        self.assertions.append(assertion)
        try:
            header = jwt.get_unverified_header(assertion)
            claims: dict[str, object] = jwt.decode(assertion, options={"verify_signature": False})
        except jwt.InvalidTokenError as error:
            raise GoogleError(Fault.ASSERTION_BROKEN) from error
        self.token_requests[str(claims.get("iss"))] += 1
        account = self.accounts.get(str(claims.get("iss")))
        if account is None:
            raise GoogleError(Fault.ACCOUNT_UNKNOWN)
        if account.fault is not None or account.disabled:
            raise GoogleError(account.fault or Fault.ACCOUNT_DISABLED)
        key_id = str(header.get("kid"))
        self._check_assertion(assertion, None if key_id in account.disabled_keys else account.keys.get(key_id), claims)
        scope = _known(str(claims.get("scope", "")))
        if not scope:
            raise GoogleError(Fault.SCOPE)
        subject = str(claims.get("sub") or account.email)
        if subject != account.email:
            self._check_delegation(account, subject, frozenset(scope.split()))
        token = self.mint(subject, scope.split(), account.unique_id)
        return {"access_token": token, "expires_in": self.lifetime, "token_type": "Bearer"}

    def _check_assertion(self, assertion: str, public_pem: str | None, claims: Mapping[str, object]) -> None:
        if claims.get("aud") not in {self.token_uri, TOKEN_ENDPOINT}:
            raise GoogleError(Fault.ASSERTION_AUDIENCE)
        start, end, now = claims.get("iat"), claims.get("exp"), self.clock()
        if not isinstance(start, int) or not isinstance(end, int):
            raise GoogleError(Fault.ASSERTION_TIMES)
        if not (start - _SKEW_SECONDS <= now < end + _SKEW_SECONDS and end - start <= 3600):
            raise GoogleError(Fault.ASSERTION_TIMES)
        try:
            unjudged = {"verify_exp": False, "verify_iat": False, "verify_nbf": False, "verify_aud": False}
            jwt.decode(assertion, public_pem or "", algorithms=["RS256"], options=unjudged)  # type: ignore[arg-type]
        except (jwt.InvalidTokenError, jwt.InvalidKeyError) as error:
            raise GoogleError(Fault.ASSERTION_SIGNATURE) from error

    def _check_delegation(self, account: ServiceAccount, subject: str, scopes: frozenset[str]) -> None:
        """Raise unless domain-wide delegation lets the account act for the user with these scopes."""
        self._user(subject)
        if account.delegated is None or not scopes & account.delegated:
            raise GoogleError(Fault.NOT_DELEGATED)
        if not scopes <= account.delegated:
            raise GoogleError(Fault.SCOPE_NOT_DELEGATED)

    def _user(self, address: str) -> GoogleUser:
        user = self.users.get(address.casefold())
        if user is None:
            raise GoogleError(Fault.USER_UNKNOWN)
        if user.deleted:
            raise GoogleError(Fault.USER_DELETED)
        if user.suspended:
            raise GoogleError(Fault.USER_SUSPENDED)
        return user

    def _answer(self, client_id: str, address: str, scope: str) -> dict[str, object]:
        token = self.mint(address, scope.split(), client_id)
        answer: dict[str, object] = {
            "access_token": token,
            "expires_in": self.lifetime,
            "scope": scope,
            "token_type": "Bearer",
        }
        if "openid" in scope.split():
            answer["id_token"] = self._id_token(client_id, self._user(address), scope)
            self.issued.append(str(answer["id_token"]))
        return answer

    def _id_token(self, client_id: str, user: GoogleUser, scope: str) -> str:
        now = int(self.clock())
        email = {"email": user.address, "email_verified": True} if _EMAIL_SCOPES & set(scope.split()) else {}
        standard = {"iss": self.url.rstrip("/"), "azp": client_id, "aud": client_id, "sub": user.id}
        return self._key.sign(standard | email | {"iat": now, "exp": now + 3600})

    async def _revoke(self, request: web.Request) -> web.Response:
        """End a token as its client asks (RFC 7009)."""
        form = await _form(request)
        grant = self._grants.get(form.get("token", "") or request.query.get("token", ""))
        if grant is None or grant.revoked:
            raise GoogleError(Fault.TOKEN)
        grant.revoked = True
        return web.json_response({})

    async def _tokeninfo(self, request: web.Request) -> web.Response:
        access = self._access.get(request.query.get("access_token", ""))
        now = self.clock()
        if access is None or now >= access.ends:
            raise GoogleError(Fault.TOKEN)
        email = {"email": access.address, "email_verified": "true"} if _EMAIL_SCOPES & access.scopes else {}
        return web.json_response(
            {
                "azp": access.client_id,
                "aud": access.client_id,
                "scope": " ".join(sorted(access.scopes)),
                "exp": str(int(access.ends)),
                "expires_in": str(int(access.ends - now)),
                **email,
                "access_type": "offline",
            }
        )


def _known(scope: str) -> str:
    """Return the scope if Google knows all of it, else an empty one."""
    return scope if scope and set(scope.split()) <= SCOPES else ""


def _required(form: Mapping[str, str], parameter: str) -> str:
    if not (value := form.get(parameter)):
        raise GoogleError(Fault.PARAMETER_MISSING, parameter=parameter)
    return value


async def _form(request: web.Request) -> dict[str, str]:
    return {name: str(value) for name, value in (await request.post()).items()}


@web.middleware
async def _google_errors(request: web.Request, handler: Handler) -> web.StreamResponse:
    try:
        return await handler(request)
    except GoogleError as error:
        return web.json_response(error.body, status=error.status)
