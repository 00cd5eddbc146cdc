"""What an access token says of itself.

Rules of this file:
- Pure, and without verification: only the mail server may judge a token. What is read here serves as a hint for the
  diagnosis and decides nothing; Microsoft may change or encrypt its tokens at any time
  (https://learn.microsoft.com/entra/identity-platform/access-tokens).
- Only chosen claims leave this file, bounded in number and size, for they end in reports and pages.
"""

import base64
import json
import math
from collections.abc import Mapping
from typing import Any

from smtpcheck.model.printable import printable
from smtpcheck.model.report import TokenFacts
from smtpcheck.model.timestamp import is_plausible_expiry
from smtpcheck.secrets.secret import Secret

JWT = "jwt"
OPAQUE = "opaque"

CHOSEN = (
    *("aud", "iss", "tid", "appid", "azp", "client_id", "oid", "sub", "idtyp", "ver"),
    *("roles", "scp", "scope", "upn", "unique_name", "preferred_username", "email"),
    *("exp", "nbf", "iat"),
)
"""The claims that are kept (RFC 7519 4.1, RFC 9068 2.2, https://learn.microsoft.com/entra/identity-platform/access-token-claims-reference)."""

HEADER_TYPE = "header_typ"
"""Under this key is the `typ` of the JWT's header: Dovecot 2.3 refuses `at+jwt` (RFC 9068)."""

_MAX_TEXT = 512
_MAX_ITEMS = 32


def token_facts(
    token: Secret, *, scope: str, acquired_at: float, expires_at: float | None, from_cache: bool = False
) -> TokenFacts:
    """Return what is known of the token, times in Unix seconds; never the token."""
    text = token.reveal()
    claims = chosen_claims(text)
    return TokenFacts(
        fingerprint=token.fingerprint,
        form=JWT if _parts(text) else OPAQUE,
        acquired_at=acquired_at,
        expires_at=expires_at,
        scope=scope,
        size=len(text),
        claims=claims,
        from_cache=from_cache,
    )


def chosen_claims(token: str) -> Mapping[str, object]:
    """Return the chosen claims of an unverified JWT (RFC 7519); empty for anything else."""
    parts = _parts(token)
    if parts is None:
        return {}
    header, payload = parts
    claims = {name: value for name in CHOSEN if (value := _bounded(payload.get(name))) is not None}
    kind = _bounded(header.get("typ"))
    return claims if kind is None else {**claims, HEADER_TYPE: kind}


def expiry(token: str) -> float | None:
    """Return when the token says that it expires (Unix seconds), None where it says nothing that can be believed."""
    end = chosen_claims(token).get("exp")
    if isinstance(end, bool) or not isinstance(end, int | float) or not is_plausible_expiry(end):
        return None
    return float(end)


def all_claims(token: str) -> Mapping[str, object]:
    """Return all that an unverified JWT says; empty for anything else."""
    parts = _parts(token)
    return {} if parts is None else parts[1]


def _parts(token: str) -> tuple[dict[str, Any], dict[str, Any]] | None:
    """Return header and payload of a signed JWT in compact form (RFC 7515 7.1), None for anything else."""
    pieces = token.split(".")
    if len(pieces) != 3:
        return None
    header, payload = _object(pieces[0]), _object(pieces[1])
    return None if header is None or payload is None else (header, payload)


def _object(piece: str) -> dict[str, Any] | None:
    try:
        value = json.loads(base64.b64decode(piece + "=" * (-len(piece) % 4), altchars="-_", validate=True))
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def _bounded(value: object) -> object | None:
    match value:
        case bool() | int():
            return value if abs(value) < 2**63 else None
        case float():
            return value if math.isfinite(value) else None
        case str():
            return printable(value, limit=_MAX_TEXT)
        case list():
            return [printable(item, limit=_MAX_TEXT) for item in value[:_MAX_ITEMS] if isinstance(item, str)]
        case _:
            return None
