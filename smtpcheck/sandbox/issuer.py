"""An issuer that answers like Microsoft Entra: discovery, keys, device codes, the token endpoint, and Graph beside it.

Rules of this file:
- MSAL itself must work against it, unpatched: paths, shapes and error bodies are Entra's
  (https://learn.microsoft.com/entra/identity-platform/v2-oauth2-client-creds-grant-flow).
- A client's assertion is verified as Entra does it: own certificate or federated credential, signature, names, times.
- What users come to is in `signin`, what is in the directory, in `directory`.
"""

import asyncio
import hmac
import secrets
import ssl
import time
import uuid
from collections import Counter
from collections.abc import Iterable, Mapping

from aiohttp import web
from aiohttp.typedefs import Handler

from smtpcheck.sandbox.assertion import verify_assertion
from smtpcheck.sandbox.device_page import DevicePage
from smtpcheck.sandbox.directory import App, Directory, IssuerFailure, Tenant
from smtpcheck.sandbox.entra import ERRORS, EntraError, error_body
from smtpcheck.sandbox.exchange_admin import ExchangeAdmin
from smtpcheck.sandbox.graph import Graph
from smtpcheck.sandbox.graph_directory import GraphDirectory
from smtpcheck.sandbox.graph_mail import GraphMail
from smtpcheck.sandbox.graph_send import GraphSend
from smtpcheck.sandbox.mail_store import MailStore
from smtpcheck.sandbox.message_trace import MessageTrace
from smtpcheck.sandbox.signin import DEVICE_GRANT, GRAPH, OUTLOOK, RESOURCES, SignIns
from smtpcheck.sandbox.tokens import SigningKey

__all__ = ["GRAPH", "OUTLOOK", "App", "Issuer", "IssuerFailure", "Tenant"]
_PAGE = "<html><head><title>Error</title></head><body><h2>Our services aren't available right now</h2></body></html>"
_SHUTDOWN_SECONDS = 0.1


class Issuer:
    """The issuer on 127.0.0.1, for one or more tenants.

    Attributes:
        token_requests: requests to the token endpoint so far, by client id.
        discovery_requests: requests for the discovery document so far, by the tenant in the path.
        minted: every access token that was issued.
        assertions: every client assertion that was received.
        lifetime: seconds that a new token of an application lives.
        device_requests: requests for a device code so far, by client id.
        sign_ins: the users' device codes and refresh tokens; there they are approved, declined and revoked.
        graph_mail: the mail that Graph shows; there it is throttled, delayed and denied.
        graph_directory: the directory that Graph shows; there it is throttled and falsified.
        exchange_admin: the administration of Exchange Online; both show the same `exchange`.
        graph_send: the mail that Graph sends; there a mailbox is excluded, missing or throttled.
    """

    def __init__(self, tenants: Iterable[Tenant], store: MailStore | None = None) -> None:
        """Serve the tenants; Graph shows the mail in `store`."""
        self.tenants = tuple(tenants)
        self._directory = Directory(self.tenants)
        self.device_requests: Counter[str] = Counter()
        self.token_requests: Counter[str] = Counter()
        self.discovery_requests: Counter[str] = Counter()
        self.minted: list[str] = []
        self.assertions: list[str] = []
        self.lifetime = 3599
        self.port = 0
        self.key = SigningKey()
        self.sign_ins = SignIns(self._directory, self.key)
        store = store or MailStore()
        applications, trace = Graph(self._directory, self.key), MessageTrace(store)
        self.graph_directory = GraphDirectory(self._directory, self.key, applications, trace)
        self.exchange_admin = ExchangeAdmin(self._directory, self.key, self.graph_directory.exchange, trace)
        self.graph_mail = GraphMail(store, self.key)
        self.graph_send = GraphSend(store, self.key)
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
        app.router.add_post("/{tenant}/oauth2/v2.0/devicecode", self._device_code)
        app.router.add_post("/{tenant}/oauth2/v2.0/token", self._token)
        self.graph_mail.serve(app)
        self.graph_directory.serve(app)
        self.exchange_admin.serve(app)
        self.graph_send.serve(app)
        DevicePage(self.sign_ins.approve, self.sign_ins.decline).serve(app)
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
        tenant = self._directory.tenant(path)
        if tenant is not None and (answer := await _meet(tenant.failure)) is not None:
            return answer
        # The issuer of many tenants has none of its own, and says so by a place to fill in.
        root, here = f"{self.url}{tenant.id if tenant else '{tenantid}'}", f"{self.url}{path}"
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
        self._directory.tenants_at(request.match_info["tenant"])
        return web.json_response({"keys": [self.key.jwk]})

    async def _device_code(self, request: web.Request) -> web.Response:
        form = await _form(request)
        self.device_requests[form.get("client_id", "")] += 1
        if (answer := await self._meet(request, form)) is not None:
            return answer
        _require(form, "client_id", "scope")
        path = request.match_info["tenant"]
        return web.json_response(self.sign_ins.authorize_device(self.url, path, form))

    async def _token(self, request: web.Request) -> web.Response:
        form = await _form(request)
        self.token_requests[form.get("client_id", "")] += 1
        try:
            if (answer := await self._meet(request, form)) is not None:
                return answer
            granted = self._grant(request.match_info["tenant"], form)
        except EntraError as error:
            self._note(request, form, error.code)
            raise
        self._note(request, form, 0)
        return web.json_response(granted, headers={"Cache-Control": "no-store"})

    def _note(self, request: web.Request, form: Mapping[str, str], code: int) -> None:
        """Write a request of a known application down in the log of sign-ins."""
        try:
            tenant = self._directory.tenant(request.match_info["tenant"])
        except EntraError:
            return
        app = tenant.apps.get(form.get("client_id", "")) if tenant is not None else None
        if tenant is not None and app is not None:
            resource = "Microsoft Graph" if form.get("scope", "").startswith(GRAPH) else "Office 365 Exchange Online"
            correlation_id = request.headers.get("client-request-id", "")
            self.graph_directory.sign_ins.note(app, tenant, code, resource=resource, correlation_id=correlation_id)

    async def _meet(self, request: web.Request, form: Mapping[str, str]) -> web.Response | None:
        """Return what the failure of the tenant or the application answers instead."""
        tenants = self._directory.tenants_at(request.match_info["tenant"])
        app = next((one.apps[client] for one in tenants if (client := form.get("client_id", "")) in one.apps), None)
        for failure in (tenants[0].failure if len(tenants) == 1 else None, app.failure if app else None):
            name = app.name if app else ""
            if (answer := await _meet(failure, client_id=form.get("client_id", ""), name=name)) is not None:
                return answer
        return None

    def _grant(self, path: str, form: Mapping[str, str]) -> dict[str, object]:
        """Return the answer to a request for a token (RFC 6749), or raise `EntraError`."""
        _require(form, "grant_type", "client_id")
        match form["grant_type"]:
            case "client_credentials":
                return self._application(path, form)
            case "refresh_token":
                _require(form, "scope", "refresh_token")
                return self.sign_ins.refresh(self.url, path, self._client_of_user(path, form), form)
            case grant if grant == DEVICE_GRANT:
                _require(form, "device_code")
                return self.sign_ins.redeem(self.url, path, self._client_of_user(path, form), form)
            case grant:
                raise EntraError(70003, grant_type=grant)

    def _application(self, path: str, form: Mapping[str, str]) -> dict[str, object]:
        """Return the answer to client credentials (RFC 6749 4.4)."""
        _require(form, "scope")
        tenant = self._directory.tenant(path)
        if tenant is None:
            raise EntraError(50059)
        app = self._directory.app(path, form["client_id"])
        self._authenticate(path, tenant, app, form)
        if app.assignment_required:
            raise EntraError(50105, client_id=app.client_id, name=app.name)
        resource = _resource(form["scope"], tenant)
        roles = app.graph_roles if resource == GRAPH else app.roles
        token = self.mint(
            aud=resource,
            tid=tenant.id,
            iat=int(time.time() - app.token_age),
            appid=app.client_id,
            app_displayname=app.name,
            oid=app.principal_id,
            sub=app.principal_id,
            roles=list(roles) or None,
        )
        lifetime = self.lifetime
        return {"token_type": "Bearer", "expires_in": lifetime, "ext_expires_in": lifetime, "access_token": token}

    def _client_of_user(self, path: str, form: Mapping[str, str]) -> App:
        """Return the application that asks in the name of a user; one without public flows has to prove itself."""
        app = self._directory.app(path, form["client_id"])
        proves = form.keys() & {"client_secret", "client_assertion"}
        if app.public and proves:
            raise EntraError(700025)
        if not app.public:
            self._authenticate(path, self._directory.tenant(path), app, form)
        return app

    def _authenticate(self, path: str, tenant: Tenant | None, app: App, form: Mapping[str, str]) -> None:
        if assertion := form.get("client_assertion"):
            self.assertions.append(assertion)
            roots = [f"{self.url}{name}" for name in (path, *([tenant.id] if tenant else []))]
            audiences = [audience for root in roots for audience in (f"{root}/oauth2/v2.0/token", f"{root}/v2.0")]
            verify_assertion(assertion, app, audiences, time.time())
            return
        if not (secret := form.get("client_secret")):
            raise EntraError(7000218)
        known = next((one for one in app.secrets() if hmac.compare_digest(secret.encode(), one.value.encode())), None)
        if known is None:
            raise EntraError(7000215, client_id=app.client_id)
        if time.time() >= known.ends or (app.secret_expired and known.value == app.secret):
            raise EntraError(7000222, client_id=app.client_id)


async def _form(request: web.Request) -> dict[str, str]:
    return {name: str(value) for name, value in (await request.post()).items()}


def _require(form: Mapping[str, str], *parameters: str) -> None:
    for parameter in parameters:
        if not form.get(parameter):
            raise EntraError(900144, parameter=parameter)


def _resource(scope: str, tenant: Tenant) -> str:
    # MSAL adds no scope of its own to client credentials, so there is one.
    resource, dot, _ = scope.partition("/.default")
    if not dot or not scope.endswith("/.default"):
        raise EntraError(1002012, scope=scope)
    if resource not in RESOURCES:
        raise EntraError(500011, resource=resource, tenant=tenant.domain)
    return resource


async def _meet(failure: IssuerFailure | None, **values: object) -> web.Response | None:
    """Return what the failure answers instead of the issuer; None if it lets the request through.

    `values` fill the text of its error.
    """
    if failure is None:
        return None
    await asyncio.sleep(failure.delay)
    if failure.html:
        headers = _retry_after(failure.retry_after)
        return web.Response(status=failure.html, text=_PAGE, content_type="text/html", headers=headers)
    if failure.code:
        raise EntraError(failure.code, retry_after=failure.retry_after, **values)
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
