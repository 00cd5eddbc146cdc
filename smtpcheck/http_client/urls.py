"""URLs that come from a configuration or from a server: what they name, and what of them may be shown.

Rule of this file: a URL that cannot be read is a value (None, empty), never an exception; `https://[::1` is one.
"""

import re
from urllib.parse import parse_qsl, unquote, urlsplit, urlunsplit

MAX_URL = 8192
SHORTEST_KEY = 5
"""Parts of a secret URL from this length on are considered keys."""

_DEFAULT_PORTS = {"http": 80, "https": 443}


def origin_of(url: object) -> tuple[str, str, int] | None:
    """Return scheme, host and port of an http or https URL (RFC 6454 4); None if it is not one."""
    if not isinstance(url, str) or len(url) > MAX_URL or not url.isprintable():
        return None
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        return None
    default = _DEFAULT_PORTS.get(parts.scheme)
    if not host or default is None or port == 0:
        return None
    return parts.scheme, host, port or default


def is_same_origin(one: object, other: object) -> bool:
    """Return whether two URLs name the same scheme, host and port."""
    origin = origin_of(one)
    return origin is not None and origin == origin_of(other)


def host_of(url: object) -> str:
    """Return the host of a URL, empty if it has none."""
    origin = origin_of(url)
    return origin[1] if origin else ""


def netloc_of(url: object) -> str:
    """Return host and port of a URL as they are written, empty if it has none."""
    return urlsplit(url).netloc if isinstance(url, str) and origin_of(url) else ""


def endpoint_of(url: str) -> str:
    """Return the URL without user, query and fragment; empty if it cannot be read."""
    if origin_of(url) is None:
        return ""
    parts = urlsplit(url)
    return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", ""))


def has_user(url: str) -> bool:
    """Return whether the URL names a user, with a password or without."""
    try:
        return "@" in urlsplit(url).netloc
    except ValueError:
        return False


def user_secrets(url: str) -> frozenset[str]:
    """Return the password of a URL's user, as it is written and as it is sent."""
    try:
        password = urlsplit(url).password
    except ValueError:
        return frozenset()
    return frozenset({password, unquote(password)}) if password else frozenset()


def query_secrets(url: str) -> frozenset[str]:
    """Return the values of a URL's query that are long enough for a key."""
    try:
        pairs = parse_qsl(urlsplit(url).query, max_num_fields=100)
    except ValueError:
        return frozenset()
    return frozenset(value for _, value in pairs if len(value) >= SHORTEST_KEY)


def url_secrets(url: str) -> frozenset[str]:
    """Return every part of a URL that is long enough for a key; its scheme and its host are not among them."""
    _, _, rest = url.partition("://")
    user, _, behind = rest.rpartition("@")
    parts = set(re.split(r"[/?&=:@,#\s]", f"{user}/{behind.partition('/')[2]}"))
    return frozenset(part for part in {*parts, *map(unquote, parts)} if len(part) >= SHORTEST_KEY)
