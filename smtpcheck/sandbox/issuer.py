"""An issuer that answers like Microsoft Entra: discovery, keys, and the token endpoint for client credentials.

Rules of this file:
- MSAL itself must work against it, unpatched: paths, shapes and error bodies are Entra's
  (https://learn.microsoft.com/entra/identity-platform/v2-oauth2-client-creds-grant-flow).
- A client's assertion is verified as Entra does it: registered certificate by thumbprint, signature, audience, times.
- Apps and tenants are mutable, as in a real directory: a secret may expire or an app be disabled while a check runs.
"""

import asyncio
import hmac
import secrets
import ssl
import time
import uuid
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from aiohttp import web
from aiohttp.typedefs import Handler

from smtpcheck.sandbox.assertion import verify_assertion
from smtpcheck.sandbox.entra import ERRORS, EntraError, error_body
from smtpcheck.sandbox.tokens import SigningKey

OUTLOOK = "https://outlook.office365.com"
GRAPH = "https://graph.microsoft.com"
_RESOURCES = frozenset({OUTLOOK, "https://outlook.office.com", GRAPH})
_PAGE = "<html><head><title>Error</title></head><body><h2>Our services aren't available right now</h2></body></html>"
_SHUTDOWN_SECONDS = 0.1


@dataclass(frozen=True, slots=True)
class Trouble:
    """What comes from the issuer, or from something in between, besides or instead of its answer."""

    delay: float = 0.0
    """Seconds before anything is answered."""
    code: int = 0
    """An AADSTS code of `entra.ERRORS` that every request gets."""
    html: int = 0
    """The HTTP status of a page in HTML that every request gets, as a proxy sends it."""
    retry_after: int | None = None
    """The value of Retry-After (RFC 9110 10.2.3), in seconds."""


@dataclass(slots=True)
class App:
    """One application registration."""

    client_id: str
    secret: str
    name: str = "smtpcheck"
    certificates: tuple[bytes, ...] = ()
    """Registered certificates in PEM."""
    roles: tuple[str, ...] = ("SMTP.SendAsApp",)
    """Application permissions on Exchange Online that an administrator consented to."""
    secret_expired: bool = False
    disabled: bool = False
    trouble: Trouble | None = None


@dataclass(slots=True)
class Tenant:
    """One directory; its path at the issuer is its id or its domain."""

    id: str
    domain: str
    apps: dict[str, App]
    """By client id."""
    trouble: Trouble | None = None
    """Meets discovery as well."""


class Issuer:
    """The issuer on 127.0.0.1, for one or more tenants.

    Attributes:
        token_requests: requests to the token endpoint so far, by client id.
        discovery_requests: requests for the discovery document so far, by the tenant in the path.
        minted: every access token that was issued.
        assertions: every client assertion that was received.
        lifetime: seconds that a new token lives.
    """

    def __init__(self, tenants: Iterable[Tenant]) -> None:
        self.tenants = tuple(tenants)
        self.token_requests: Counter[str] = Counter()
        self.discovery_requests: Counter[str] = Counter()
        self.minted: list[str] = []
        self.assertions: list[str] = []
        self.lifetime = 3599
        self.port = 0
        self.key = SigningKey()
        self._runner: web.AppRunner | None = None

    @property
    def url(self) -> str:
        """Return the issuer's root, as `authority` wants it."""
        return f"https://localhost:{self.port}/"

    @property
    def public_key_pem(self) -> str:
        """Return the key that verifies its tokens."""
        return self.key.public_pem

    async def start(self, context: ssl.SSLContext, port: int = 0) -> None:
        """Serve HTTPS with the TLS context on 127.0.0.1, at a free port unless one is given."""
        app = web.Application(middlewares=[_entra_errors])
        app.router.add_get("/common/discovery/instance", self._instance)
        app.router.add_get("/{tenant}/v2.0/.well-known/openid-configuration", self._discovery)
        app.router.add_get("/{tenant}/discovery/v2.0/keys", self._keys)
        app.router.add_post("/{tenant}/oauth2/v2.0/token", self._token)
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

    def mint(self, **claims: object) -> str:
        """Return a signed token with the claims of an app-only token and these on top; None leaves a claim out."""
        now = int(time.time())
        tenant = str(claims.get("tid") or self.tenants[0].id)
        standard: dict[str, object] = {
            "aud": OUTLOOK,
            "iss": f"https://sts.windows.net/{tenant}/",
            "iat": now,
            "nbf": now,
            "exp": now + self.lifetime,
            "aio": secrets.token_urlsafe(48),
            "app_displayname": "smtpcheck",
            "appid": str(uuid.uuid4()),
            "appidacr": "1",
            "idp": f"https://sts.windows.net/{tenant}/",
            "idtyp": "app",
            "oid": (principal := str(uuid.uuid4())),
            "rh": f"1.{secrets.token_urlsafe(36)}.",
            "roles": ["SMTP.SendAsApp"],
            "sid": str(uuid.uuid4()),
            "sub": principal,
            "tid": tenant,
            "uti": secrets.token_urlsafe(16),
            "ver": "1.0",
            "wids": ["0997a1d0-0d1d-4acb-b408-d5ca73121e90"],
            "xms_ftd": secrets.token_urlsafe(48),
            "xms_idrel": "7 2",
            "xms_rd": secrets.token_urlsafe(48),
        }
        token = self.key.sign({name: value for name, value in (standard | claims).items() if value is not None})
        self.minted.append(token)
        return token

    async def _instance(self, _request: web.Request) -> web.Response:
        host = f"localhost:{self.port}"
        metadata = [{"preferred_network": host, "preferred_cache": host, "aliases": [host]}]
        endpoint = f"{self.url}common/v2.0/.well-known/openid-configuration"
        return web.json_response({"tenant_discovery_endpoint": endpoint, "api-version": "1.1", "metadata": metadata})

    async def _discovery(self, request: web.Request) -> web.Response:
        path = request.match_info["tenant"]
        self.discovery_requests[path] += 1
        tenant = self._tenant(path)
        if (answer := await _meet(tenant.trouble)) is not None:
            return answer
        root, here = f"{self.url}{tenant.id}", f"{self.url}{path}"
        document = {
            "issuer": f"{root}/v2.0",
            "token_endpoint": f"{here}/oauth2/v2.0/token",
            "authorization_endpoint": f"{here}/oauth2/v2.0/authorize",
            "device_authorization_endpoint": f"{here}/oauth2/v2.0/devicecode",
            "jwks_uri": f"{here}/discovery/v2.0/keys",
            "token_endpoint_auth_methods_supported": ["client_secret_post", "private_key_jwt", "client_secret_basic"],
            "response_types_supported": ["code", "id_token", "code id_token", "id_token token"],
            "subject_types_supported": ["pairwise"],
            "id_token_signing_alg_values_supported": ["RS256"],
            "scopes_supported": ["openid", "profile", "email", "offline_access"],
            "tenant_region_scope": "EU",
            "cloud_instance_name": "localhost",
        }
        return web.json_response(document)

    async def _keys(self, request: web.Request) -> web.Response:
        self._tenant(request.match_info["tenant"])
        return web.json_response({"keys": [self.key.jwk]})

    async def _token(self, request: web.Request) -> web.Response:
        form = {name: str(value) for name, value in (await request.post()).items()}
        self.token_requests[form.get("client_id", "")] += 1
        path = request.match_info["tenant"]
        tenant = self._tenant(path)
        app = tenant.apps.get(form.get("client_id", ""))
        for trouble in (tenant.trouble, app.trouble if app else None):
            if (answer := await _meet(trouble)) is not None:
                return answer
        return web.json_response(self._grant(path, tenant, form), headers={"Cache-Control": "no-store"})

    def _grant(self, path: str, tenant: Tenant, form: Mapping[str, str]) -> dict[str, object]:
        """Return the answer to a request for a token (RFC 6749 4.4), or raise `EntraError`."""
        for parameter in ("grant_type", "client_id", "scope"):
            if not form.get(parameter):
                raise EntraError(900144, parameter=parameter)
        if form["grant_type"] != "client_credentials":
            raise EntraError(70003, grant_type=form["grant_type"])
        app = tenant.apps.get(form["client_id"])
        if app is None:
            raise EntraError(700016, client_id=form["client_id"], tenant=tenant.domain)
        if app.disabled:
            raise EntraError(7000112, client_id=app.client_id, name=app.name)
        self._authenticate(path, tenant, app, form)
        resource = _resource(form["scope"], tenant)
        roles = app.roles if resource != GRAPH else ("Mail.Send",)
        token = self.mint(
            aud=resource, tid=tenant.id, appid=app.client_id, app_displayname=app.name, roles=list(roles) or None
        )
        lifetime = self.lifetime
        return {"token_type": "Bearer", "expires_in": lifetime, "ext_expires_in": lifetime, "access_token": token}

    def _authenticate(self, path: str, tenant: Tenant, app: App, form: Mapping[str, str]) -> None:
        if assertion := form.get("client_assertion"):
            self.assertions.append(assertion)
            roots = (f"{self.url}{name}" for name in (path, tenant.id))
            audiences = [audience for root in roots for audience in (f"{root}/oauth2/v2.0/token", f"{root}/v2.0")]
            verify_assertion(assertion, app.client_id, audiences, app.certificates, time.time())
            return
        if not (secret := form.get("client_secret")):
            raise EntraError(7000218)
        if not hmac.compare_digest(secret.encode(), app.secret.encode()):
            raise EntraError(7000215, client_id=app.client_id)
        if app.secret_expired:
            raise EntraError(7000222, client_id=app.client_id)

    def _tenant(self, path: str) -> Tenant:
        for tenant in self.tenants:
            if path.casefold() in {tenant.id.casefold(), tenant.domain.casefold()}:
                return tenant
        raise EntraError(90002, tenant=path)


def _resource(scope: str, tenant: Tenant) -> str:
    # MSAL adds no scope of its own to client credentials, so there is one.
    resource, dot, _ = scope.partition("/.default")
    if not dot or not scope.endswith("/.default"):
        raise EntraError(1002012, scope=scope)
    if resource not in _RESOURCES:
        raise EntraError(500011, resource=resource, tenant=tenant.domain)
    return resource


async def _meet(trouble: Trouble | None) -> web.Response | None:
    """Return what the trouble answers instead of the issuer; None if it lets the request through."""
    if trouble is None:
        return None
    await asyncio.sleep(trouble.delay)
    if trouble.html:
        headers = _retry_after(trouble.retry_after)
        return web.Response(status=trouble.html, text=_PAGE, content_type="text/html", headers=headers)
    if trouble.code:
        raise EntraError(trouble.code, retry_after=trouble.retry_after)
    return None


@web.middleware
async def _entra_errors(request: web.Request, handler: Handler) -> web.StreamResponse:
    try:
        return await handler(request)
    except EntraError as error:
        correlation_id = request.headers.get("client-request-id") or str(uuid.uuid4())
        body = error_body(error.code, error.values, correlation_id, time.time())
        return web.json_response(body, status=ERRORS[error.code].status, headers=_retry_after(error.retry_after))


def _retry_after(seconds: int | None) -> dict[str, str]:
    return {} if seconds is None else {"Retry-After": str(seconds)}
