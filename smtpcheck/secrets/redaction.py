"""Takes what was sent out of what came back, before anything of an answer is kept.

Rules of this file:
- Pure. A value is found as it is and in the forms in which an answer may echo it: JSON, URL, HTML, base64.
- Whatever looks like a token goes as well, sent or not, and so does the password of a URL.
"""

import base64
import html
import json
import re
from collections.abc import Iterable
from urllib.parse import quote, quote_plus

MARK = "[redacted]"

_NAMED = re.compile(
    r"""((?:access_token|refresh_token|id_token|client_secret|client_assertion|assertion|password|device_code)
        ["']?\s*(?:=|:|%3D)\s*["']?)[^"'&\s<>]{6,}""",
    re.IGNORECASE | re.VERBOSE,
)
_AUTHORIZATION = re.compile(r"(authorization['\"]?\s*[:=]\s*['\"]?(?:bearer|basic)\s+)[^'\"\s,]{6,}", re.IGNORECASE)
_URL_PASSWORD = re.compile(r"(://[^/\s:@'\"]*:)[^/\s@'\"]+(?=@)")
_JWT = re.compile(r"\beyJ[\w-]{8,}\.[\w-]+\.[\w-]*")


def redact(text: str, sent: Iterable[str]) -> str:
    """Return the text without the values that were sent, and without tokens."""
    forms = {form for value in sent if value for form in _forms(value)}
    for form in sorted(forms, key=len, reverse=True):
        text = text.replace(form, MARK)
    for pattern in (_NAMED, _AUTHORIZATION, _URL_PASSWORD):
        text = pattern.sub(rf"\g<1>{MARK}", text)
    return _JWT.sub(MARK, text)


def _forms(value: str) -> set[str]:
    octets = value.encode("utf-8", "surrogatepass")
    return {
        value,
        json.dumps(value)[1:-1],
        json.dumps(value, ensure_ascii=False)[1:-1],
        quote(octets, safe=""),
        quote(octets),
        quote_plus(octets),
        html.escape(value),
        html.escape(value, quote=False),
        base64.b64encode(octets).decode(),
        base64.urlsafe_b64encode(octets).decode(),
    }
