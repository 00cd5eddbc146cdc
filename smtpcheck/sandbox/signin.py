"""How users come to tokens at the Entra-like issuer: device codes (RFC 8628) and refresh tokens (RFC 6749 section 6).

Rules of this file:
- A refresh token is answered with a new one and goes on working itself, as Entra's does; it dies of 90 days without
  use, by being revoked, or with its user.
- A token for a user is of one resource and holds the permissions that the application has consent for.
- What users of personal accounts get says nothing to its bearer.
"""

import base64
import json
import secrets
import time
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from smtpcheck.sandbox.device import DeviceCodes, Poll
from smtpcheck.sandbox.directory import App, Directory, Tenant, User
from smtpcheck.sandbox.entra import EntraError
from smtpcheck.sandbox.tokens import SigningKey

OUTLOOK = "https://outlook.office365.com"
GRAPH = "https://graph.microsoft.com"
RESOURCES = frozenset({OUTLOOK, "https://outlook.office.com", GRAPH})
DEVICE_GRANT = "urn:ietf:params:oauth:grant-type:device_code"
_OIDC = frozenset({"openid", "profile", "email", "offline_access"})
_CODE_SIGNS = "ABCDEFGHJKLMNPQRSTUVWXYZ23456789"
_CODE_SECONDS = 900
_INACTIVE_SECONDS = 90 * 86400
_POLLS = {Poll.PENDING: 70016, Poll.DECLINED: 65004, Poll.EXPIRED: 70020, Poll.UNKNOWN: 70018}


@dataclass(slots=True)
class _Grant:
    """What a refresh token represents."""

    client_id: str
    path: str
    address: str
    signed_in: float
    """Unix seconds of the sign-in."""
    used: float
    """Unix seconds of the last use."""
    revoked: bool = False


class SignIns:
    """The device codes and refresh tokens of one issuer.

    Attributes:
        clock: the time in Unix seconds that codes and refresh tokens age by; access tokens live in real time.
        interval: seconds between two polls that the issuer asks for.
        visitor: the address of a user who approves every device code at once; empty for nobody.
        lifetime: seconds that a new access token lives.
        issued: every access, refresh and ID token and device code that was given out.
    """

    def __init__(self, directory: Directory, key: SigningKey) -> None:
        self.clock: Callable[[], float] = time.time
        self.interval = 5
        self.visitor = ""
        self.lifetime = 3599
        self.issued: list[str] = []
        self._directory, self._key = directory, key
        self._codes = DeviceCodes(_CODE_SIGNS, length=9)
        self._grants: dict[str, _Grant] = {}

    def authorize_device(self, root: str, path: str, form: Mapping[str, str]) -> dict[str, object]:
        """Return the answer to a request for a device code; `root` is the issuer's URL."""
        app = self._directory.app(path, form["client_id"])
        _resource(form["scope"])
        code = self._codes.issue(app.client_id, form["scope"], self.clock() + _CODE_SECONDS, self.interval, path)
        self.issued.append(code.device_code)
        page = f"{root}device"
        if self.visitor:
            self.approve(code.user_code, self.visitor)
        return {
            "user_code": code.user_code,
            "device_code": code.device_code,
            "verification_uri": page,
            "expires_in": _CODE_SECONDS,
            "interval": self.interval,
            "message": f"To sign in, use a web browser to open the page {page} and enter the code {code.user_code} to "
            "authenticate.",
        }

    def approve(self, user_code: str, address: str) -> None:
        """Sign in as a user and approve; raise `KeyError` unless the code waits, `EntraError` for a user not served."""
        self._directory.user(self._codes.waiting(user_code).realm, address)
        self._codes.decide(user_code, address)

    def decline(self, user_code: str) -> None:
        """Decline as the user; raise `KeyError` unless the code waits."""
        self._codes.decide(user_code, None)

    def sign_in(self, client_id: str, address: str) -> str:
        """Return a refresh token as a user has it who signed in just now."""
        tenant, _ = self._directory.user("common", address)
        grant = _Grant(client_id, "common", address, self.clock(), self.clock())
        self.issued.append(token := self._keep(grant, personal=tenant.personal))
        return token

    def revoke(self, refresh_token: str) -> None:
        """End one refresh token; raise `KeyError` if it was never issued."""
        self._grants[refresh_token].revoked = True

    def redeem(self, root: str, path: str, app: App, form: Mapping[str, str]) -> dict[str, object]:
        """Return the answer to a poll with a device code, or raise `EntraError`."""
        now = self.clock()
        found, code = self._codes.poll(form.get("device_code", ""), app.client_id, now)
        if found is Poll.SLOW_DOWN:
            raise EntraError(70016, error="slow_down")
        if found is not Poll.APPROVED or code is None:
            raise EntraError(_POLLS[found])
        grant = _Grant(app.client_id, path, code.user, now, now)
        return self._answer(root, app, grant, {**form, "scope": code.scope})

    def refresh(self, root: str, path: str, app: App, form: Mapping[str, str]) -> dict[str, object]:
        """Return the answer to a refresh token, or raise `EntraError`."""
        grant = self._grants.get(form.get("refresh_token", ""))
        if grant is None or grant.client_id != app.client_id:
            raise EntraError(9002313)
        self._judge(path, grant)
        grant.used = self.clock()
        return self._answer(root, app, grant, form)

    def _judge(self, path: str, grant: _Grant) -> None:
        owner, user = self._owner(grant)
        if all(owner is not tenant for tenant in self._directory.tenants_at(path)):
            raise EntraError(50020, tenant=path)
        inactive = self.clock() - grant.used >= _INACTIVE_SECONDS
        withdrawn = grant.signed_in < user.valid_from
        if owner.personal and (inactive or withdrawn or grant.revoked):
            raise EntraError(70000)
        if withdrawn:
            raise EntraError(50173, issued=_time(grant.signed_in), valid_from=_time(user.valid_from))
        if inactive:
            raise EntraError(700082, issued=_time(grant.used))
        if grant.revoked:
            raise EntraError(70008)

    def _owner(self, grant: _Grant) -> tuple[Tenant, User]:
        try:
            tenant, user = self._directory.user("common", grant.address)
        except EntraError as error:
            raise EntraError(500341, tenant=grant.path) from error
        if user.disabled:
            raise EntraError(50057)
        return tenant, user

    def _answer(self, root: str, app: App, grant: _Grant, form: Mapping[str, str]) -> dict[str, object]:
        """Return the tokens that the scope asks for."""
        tenant, user = self._owner(grant)
        resource, permissions = _resource(form["scope"])
        granted = app.delegated if permissions == {".default"} else tuple(sorted(permissions))
        if not granted or not set(granted) <= set(app.delegated):
            raise EntraError(65001, client_id=app.client_id, name=app.name)
        asked = form["scope"].split()
        answer: dict[str, object] = {
            "token_type": "Bearer",
            "scope": " ".join(f"{resource}/{permission}" for permission in granted),
            "expires_in": self.lifetime,
            "ext_expires_in": self.lifetime,
            "access_token": self.mint(app, tenant, user, resource, granted),
        }
        if "offline_access" in asked:
            answer["refresh_token"] = self._keep(grant, personal=tenant.personal)
        if "openid" in asked:
            answer["id_token"] = self._id_token(root, app, tenant, user)
        if form.get("client_info"):
            info = json.dumps({"uid": user.object_id, "utid": tenant.id}).encode()
            answer["client_info"] = base64.urlsafe_b64encode(info).decode().rstrip("=")
        self.issued += [str(answer[name]) for name in ("refresh_token", "id_token") if name in answer]
        return answer

    def _keep(self, grant: _Grant, *, personal: bool) -> str:
        token = f"M.C507_BAY.0.U.-{secrets.token_urlsafe(300)}" if personal else f"1.{secrets.token_urlsafe(720)}"
        self._grants[token] = _Grant(grant.client_id, grant.path, grant.address, grant.signed_in, self.clock())
        return token

    def mint(self, app: App, tenant: Tenant, user: User, resource: str, permissions: tuple[str, ...]) -> str:
        """Return an access token for the user: a signed JWT, or an opaque one for a personal account."""
        now = int(time.time())
        claims: dict[str, object] = {
            "aud": resource,
            "iss": f"https://sts.windows.net/{tenant.id}/",
            "iat": now,
            "nbf": now,
            "exp": now + self.lifetime,
            "acr": "1",
            "aio": secrets.token_urlsafe(96),
            "amr": ["pwd", "mfa"],
            "app_displayname": app.name,
            "appid": app.client_id,
            "appidacr": "0" if app.public else "1",
            "idtyp": "user",
            "ipaddr": "127.0.0.1",
            "name": user.name or user.address,
            "oid": user.object_id,
            "puid": f"10032{secrets.token_hex(5).upper()}",
            "rh": f"1.{secrets.token_urlsafe(36)}.",
            "scp": " ".join(permissions),
            "sid": str(uuid.uuid4()),
            "sub": secrets.token_urlsafe(32),
            "tid": tenant.id,
            "unique_name": user.address,
            "upn": user.address,
            "uti": secrets.token_urlsafe(16),
            "ver": "1.0",
            "wids": ["b79fbf4d-3ef9-4689-8143-76b194e85509"],
        }
        token = self._key.seal(claims) if tenant.personal else self._key.sign(claims)
        self.issued.append(token)
        return token

    def _id_token(self, root: str, app: App, tenant: Tenant, user: User) -> str:
        now = int(time.time())
        return self._key.sign(
            {
                "aud": app.client_id,
                "iss": f"{root}{tenant.id}/v2.0",
                "iat": now,
                "nbf": now,
                "exp": now + 3600,
                "name": user.name or user.address,
                "oid": user.object_id,
                "preferred_username": user.address,
                "rh": f"1.{secrets.token_urlsafe(36)}.",
                "sub": secrets.token_urlsafe(32),
                "tid": tenant.id,
                "uti": secrets.token_urlsafe(16),
                "ver": "2.0",
            }
        )


def _resource(scope: str) -> tuple[str, set[str]]:
    """Return the one resource of a scope and the permissions on it; raise `EntraError` for none or several."""
    asked = [name if "/" in name else f"{GRAPH}/{name}" for name in scope.split() if name not in _OIDC]
    resources = {name.rpartition("/")[0] for name in asked}
    if not resources:
        raise EntraError(70011, scope=scope)
    if len(resources) > 1:
        raise EntraError(700022, scope=scope)
    resource = resources.pop()
    if resource not in RESOURCES:
        raise EntraError(500011, resource=resource, tenant="organizations")
    return resource, {name.rpartition("/")[2] for name in asked}


def _time(timestamp: float) -> str:
    return f"{datetime.fromtimestamp(timestamp, UTC):%Y-%m-%dT%H:%M:%S}.0000000Z"
