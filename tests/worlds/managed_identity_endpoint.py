"""The endpoint that gives an Azure App Service its managed identities' tokens.

Rules of this file:
- It answers in plain HTTP on loopback, at the addresses that the environment names (`IDENTITY_ENDPOINT`), to whoever
  knows the header's secret (`IDENTITY_HEADER`)
  (https://learn.microsoft.com/azure/app-service/overview-managed-identity#rest-endpoint-reference).
- Tokens are those of the issuer, valid for a day as the real ones.
"""

import hmac
import secrets
import time
import uuid
from collections.abc import Iterable
from dataclasses import dataclass, field

from aiohttp import web

from smtpcheck.sandbox.issuer import Issuer
from smtpcheck.sandbox.signin import RESOURCES

_TOKEN_SECONDS = 86400
_SHUTDOWN_SECONDS = 0.1


@dataclass(frozen=True, slots=True)
class ManagedIdentity:
    """One identity of the service."""

    client_id: str = field(default_factory=lambda: str(uuid.uuid4()))
    object_id: str = field(default_factory=lambda: str(uuid.uuid4()))
    resource_id: str = ""
    """Of one that is assigned by a user; empty for that of the system."""
    roles: tuple[str, ...] = ("SMTP.SendAsApp",)


class ManagedIdentityEndpoint:
    """The endpoint on 127.0.0.1.

    Attributes:
        header: the secret of `IDENTITY_HEADER`.
        requests: how many requests came so far.
        identities: who gets tokens; may be changed while it runs.
    """

    def __init__(self, issuer: Issuer, identities: Iterable[ManagedIdentity]) -> None:
        """Give out tokens of the issuer's first tenant."""
        self.header = secrets.token_hex(16).upper()
        self.requests = 0
        self.identities = list(identities)
        self._issuer = issuer
        self._runner: web.AppRunner | None = None
        self._port = 0

    @property
    def environment(self) -> dict[str, str]:
        """Return the variables by which the service's programs find it."""
        return {"IDENTITY_ENDPOINT": f"http://127.0.0.1:{self._port}/msi/token", "IDENTITY_HEADER": self.header}

    async def start(self) -> None:
        """Serve HTTP on a free port of 127.0.0.1."""
        app = web.Application()
        app.router.add_get("/msi/token", self._token)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=_SHUTDOWN_SECONDS)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        self._port = runner.addresses[0][1]
        self._runner = runner

    async def close(self) -> None:
        """Stop serving."""
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    async def _token(self, request: web.Request) -> web.Response:
        self.requests += 1
        if not hmac.compare_digest(request.headers.get("X-IDENTITY-HEADER", ""), self.header):
            return _refusal(401, "Unauthorized")
        if not request.query.get("api-version"):
            return _refusal(400, "The api-version is missing.")
        resource = request.query.get("resource", "").rstrip("/")
        identity = self._identity(request)
        if identity is None:
            return _refusal(
                400,
                "No User Assigned or Delegated Managed Identity found for specified ClientId/ResourceId/PrincipalId.",
            )
        if resource not in RESOURCES:
            message = (
                "An unexpected error occured while fetching the AAD Token. Please contact support with this provided "
                f"Correlation Id {uuid.uuid4()}"
            )
            return _refusal(500, message)
        now = int(time.time())
        end = now + _TOKEN_SECONDS
        token = self._issuer.mint(
            aud=resource,
            appid=identity.client_id,
            oid=identity.object_id,
            sub=identity.object_id,
            roles=list(identity.roles) or None,
            exp=end,
            app_displayname=None,
            appidacr="2",
            xms_mirid=identity.resource_id or "/subscriptions/0/resourcegroups/mail/providers/Microsoft.Web/sites/mail",
        )
        return web.json_response(
            {
                "access_token": token,
                "expires_on": str(end),
                "resource": request.query["resource"],
                "token_type": "Bearer",
                "client_id": identity.client_id,
            }
        )

    def _identity(self, request: web.Request) -> ManagedIdentity | None:
        """Return the identity that is asked for, that of the system if none is named."""
        query = request.query
        named = {
            "client_id": query.get("client_id"),
            "object_id": query.get("object_id") or query.get("principal_id"),
            "resource_id": query.get("mi_res_id"),
        }
        wanted = {name: value for name, value in named.items() if value} or {"resource_id": ""}
        for identity in self.identities:
            if all(getattr(identity, name).casefold() == value.casefold() for name, value in wanted.items()):
                return identity
        return None


def _refusal(status: int, message: str) -> web.Response:
    return web.json_response({"statusCode": status, "message": message}, status=status)
