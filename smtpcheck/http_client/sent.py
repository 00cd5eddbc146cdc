"""What of a request must not be shown: found before it leaves, redacted from all that is kept of the exchange.

Rule of this file: a header is secret unless it is known to be public, and a field of a form likewise.
"""

import base64
import binascii
from collections.abc import Iterable
from urllib.parse import parse_qsl, unquote_plus

from smtpcheck.http_client.urls import user_secrets

SHORTEST_SECRET = 5
"""A header's value that is shorter is a flag, unless it is an Authorization."""

_PUBLIC_HEADERS = frozenset(
    {"accept", "accept-encoding", "accept-language", "connection", "content-encoding", "content-length", "content-type"}
    | {"client-request-id", "expect", "host", "metadata", "prefer", "return-client-request-id", "transfer-encoding"}
    | {"user-agent", "webhook-id", "webhook-timestamp"}
)
_PUBLIC_PREFIXES = ("x-client-", "x-goog-api-client", "x-ms-lib-")
_SCHEMES = frozenset({"authorization", "proxy-authorization"})


def header_secrets(headers: Iterable[tuple[str, str]]) -> frozenset[str]:
    """Return the values of headers that must not be shown."""
    found: set[str] = set()
    for name, value in headers:
        lower = name.lower()
        if lower in _SCHEMES:
            found |= _proofs(value)
        elif lower not in _PUBLIC_HEADERS and not lower.startswith(_PUBLIC_PREFIXES) and len(value) >= SHORTEST_SECRET:
            found.add(value)
    return frozenset(found)


def form_secrets(body: object, public: frozenset[str]) -> frozenset[str]:
    """Return the values of a form's fields that must not be shown; `public` names those that may."""
    text = body.decode("utf-8", "replace") if isinstance(body, bytes) else body
    if not isinstance(text, str):
        return frozenset()
    return frozenset(value for name, value in parse_qsl(text) if name not in public)


def secrets_of(
    url: str, headers: Iterable[tuple[str, str]], body: object, public_fields: frozenset[str] | None
) -> frozenset[str]:
    """Return all of a request that must not be shown; `public_fields` is None where the body is not a form."""
    form = frozenset() if public_fields is None else form_secrets(body, public_fields)
    return user_secrets(url) | header_secrets(headers) | form


def _proofs(value: str) -> set[str]:
    """Return what an Authorization proves with: the token, or the pair of Basic and its password."""
    scheme, _, proof = value.strip().partition(" ")
    found = {proof or scheme}
    if scheme.lower() == "basic":
        try:
            password = base64.b64decode(proof).decode("utf-8", "replace").partition(":")[2]
        except binascii.Error:
            return found
        found |= {password, unquote_plus(password)}
    return {each for each in found if each}
