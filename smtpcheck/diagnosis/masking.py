"""Masks tokens and secrets in text that somebody pasted or a server sent.

Rule of this file: rather one word too many than a token; every pattern takes time linear in the text.
"""

import re

_SECRET = re.compile(
    r"(?i)(\bbearer |\b(?:client_secret|client_assertion|refresh_token|access_token|id_token|assertion|password)"
    r"[\"']?[ \t]?[=:][ \t]?[\"']?)([^\s\"'&,;\x01]{6,})"
)
_TOKEN = re.compile(r"eyJ[\w-]{8,}(?:\.[\w-]{0,8192}){0,4}|\bya29\.[\w.-]{6,}|\bEwB[\w+/=-]{12,}|[\w+/-]{40,}={0,2}")


def mask(text: str) -> str:
    """Return `text` with every JWT, `ya29.`, `EwB`, Bearer value, named secret and long base64 replaced by `***`."""
    return _TOKEN.sub("***", _SECRET.sub(r"\1***", text))
