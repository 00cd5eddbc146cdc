"""Where a key goes in a request: a header, HTTP Basic, or a field of the body.

Rules of this file:
- The key is put where the description says and nowhere else; wherever it is, it is not shown.
- A key that could end a header is refused where it is read (`oauth/api_key.py`).
"""

import base64
import json
from dataclasses import replace
from urllib.parse import urlencode

from smtpcheck.http_client.connection import HttpRequest
from smtpcheck.mail_api.description import KeyPlace
from smtpcheck.secrets.secret import Secret

SEPARATOR = "\n"
"""Between the halves of a key that has two."""


def keyed(request: HttpRequest, place: KeyPlace, key: Secret) -> HttpRequest:
    """Return the request with its key."""
    first, _, second = key.reveal().partition(SEPARATOR)
    secrets = request.secrets | {half for half in (first, second) if half}
    if place.field is not None:
        return replace(request, body=_with_field(request, place.field, first), secrets=secrets)
    if place.header is not None:
        header, value = place.header, f"{place.scheme} {first}".strip()
    else:
        pair = f"{place.basic}:{first}" if place.basic else f"{first}:{second}"
        header, value = "Authorization", f"Basic {base64.b64encode(pair.encode()).decode()}"
    return replace(request, headers={**request.headers, header: value}, secrets=secrets)


def _with_field(request: HttpRequest, name: str, key: str) -> bytes:
    if request.headers.get("Content-Type") == "application/json":
        return json.dumps({name: key, **json.loads(request.body)}, ensure_ascii=False).encode()
    return b"&".join(part for part in (urlencode({name: key}).encode(), request.body) if part)
