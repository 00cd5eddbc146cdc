"""What Microsoft Graph says of an application registration: the ends of its secrets and certificates.

Rules of this file:
- It is at the issuer's own address, under `/v1.0/`, and takes that issuer's tokens for Graph alone.
- Answers and refusals are Graph's (https://learn.microsoft.com/graph/api/application-get); of a secret only its first
  three characters are ever shown, as `hint`.
"""

import re
import uuid
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime

from aiohttp import web
from cryptography import x509
from cryptography.hazmat.primitives import hashes

from smtpcheck.sandbox.directory import App, Directory
from smtpcheck.sandbox.tokens import SigningKey

AUDIENCES = ("https://graph.microsoft.com", "00000003-0000-0000-c000-000000000000")
_READERS = frozenset({"Application.Read.All", "Application.ReadWrite.All", "Directory.Read.All"})
_APPLICATION = re.compile(r"applications\(appId='([^']*)'\)")


class Graph:
    """Applications of the directory, as Graph shows them."""

    def __init__(self, directory: Directory, key: SigningKey) -> None:
        """Show the applications to a client with a token that `key` verifies."""
        self._directory, self._key = directory, key

    async def item(self, request: web.Request) -> web.Response:
        """Answer `GET /v1.0/applications(appId='...')?$select=...`."""
        scheme, _, token = request.headers.get("Authorization", "").partition(" ")
        if scheme != "Bearer" or not token:
            return refusal(request, 401, "InvalidAuthenticationToken", "Access token is empty.")
        claims = self._key.verify(token, AUDIENCES)
        if claims is None:
            message = "Access token validation failure. Invalid audience."
            return refusal(request, 401, "InvalidAuthenticationToken", message)
        match = _APPLICATION.fullmatch(request.match_info["item"])
        if match is None:
            message = f"Resource not found for the segment '{request.match_info['item']}'."
            return refusal(request, 400, "BadRequest", message)
        roles = claims.get("roles")
        if not isinstance(roles, list) or not _READERS & set(roles):
            message = "Insufficient privileges to complete the operation."
            return refusal(request, 403, "Authorization_RequestDenied", message)
        home = self._directory.tenant(str(claims["tid"]))
        app = home.apps.get(match[1]) if home else None
        if app is None:
            missing = "does not exist or one of its queried reference-property objects are not present."
            message = f"Resource '{match[1]}' {missing}"
            return refusal(request, 404, "Request_ResourceNotFound", message)
        return web.json_response(_selected(app, request.query.get("$select", "")))


def _selected(app: App, select: str) -> dict[str, object]:
    properties: dict[str, object] = {
        "id": app.object_id,
        "appId": app.client_id,
        "displayName": app.name,
        "signInAudience": app.accounts,
        "passwordCredentials": list(_passwords(app)),
        "keyCredentials": list(_keys(app)),
    }
    names = select.split(",") if select else [*properties]
    suffix = f"({select})" if select else ""
    context = f"https://graph.microsoft.com/v1.0/$metadata#applications{suffix}/$entity"
    return {"@odata.context": context} | {name: properties[name] for name in names if name in properties}


def _passwords(app: App) -> Iterator[Mapping[str, object]]:
    for secret in app.secrets():
        yield {
            "customKeyIdentifier": None,
            "displayName": secret.name or None,
            "endDateTime": _time(datetime.fromtimestamp(secret.ends, UTC)),
            "hint": secret.value[:3],
            "keyId": secret.key_id,
            "secretText": None,
            "startDateTime": _time(datetime.fromtimestamp(secret.starts, UTC)),
        }


def _keys(app: App) -> Iterator[Mapping[str, object]]:
    for pem in app.certificates:
        certificate = x509.load_pem_x509_certificate(pem)
        thumbprint = certificate.fingerprint(hashes.SHA1()).hex().upper()  # noqa: S303 - Graph's own identifier
        yield {
            "customKeyIdentifier": thumbprint,
            "displayName": certificate.subject.rfc4514_string(),
            "endDateTime": _time(certificate.not_valid_after_utc),
            "key": None,
            "keyId": str(uuid.uuid5(uuid.NAMESPACE_OID, thumbprint)),
            "startDateTime": _time(certificate.not_valid_before_utc),
            "type": "AsymmetricX509Cert",
            "usage": "Verify",
        }


def refusal(request: web.Request, status: int, code: str, message: str) -> web.Response:
    """Return a refusal in Graph's form."""
    request_id = str(uuid.uuid4())
    inner = {
        "date": f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%S}",
        "request-id": request_id,
        "client-request-id": request.headers.get("client-request-id", request_id),
    }
    return web.json_response({"error": {"code": code, "message": message, "innerError": inner}}, status=status)


def _time(moment: datetime) -> str:
    return f"{moment:%Y-%m-%dT%H:%M:%SZ}"
