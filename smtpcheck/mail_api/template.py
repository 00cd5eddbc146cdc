"""Templates: JSON values whose texts have placeholders in braces.

Rules of this file:
- Pure. A value is put into a text of the tree, never into the written form: it can add no field, line or header.
- `{{` and `}}` are braces themselves.
"""

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import quote, urlencode

_PLACEHOLDER = re.compile(r"\{\{|\}\}|\{([a-z_]{1,20})\}")


def names_in(text: str) -> frozenset[str]:
    """Return the names of the placeholders in a text."""
    return frozenset(found[1] for found in _PLACEHOLDER.finditer(text) if found[1])


def texts_of(value: Any) -> Iterator[str]:
    """Yield every text in a JSON value."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for key, each in value.items():
            yield key
            yield from texts_of(each)
    elif isinstance(value, list | tuple):
        for each in value:
            yield from texts_of(each)


def filled(value: Any, values: Mapping[str, str]) -> Any:
    """Return a JSON value with its placeholders replaced. KeyError for a name that `values` lacks."""
    if isinstance(value, str):
        return filled_text(value, values)
    if isinstance(value, Mapping):
        return {filled_text(key, values): filled(each, values) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [filled(each, values) for each in value]
    return value


def filled_text(text: str, values: Mapping[str, str]) -> str:
    """Return a text with its placeholders replaced."""
    return _PLACEHOLDER.sub(lambda found: values[found[1]] if found[1] else found[0][0], text)


def filled_path(path: str, values: Mapping[str, str]) -> str:
    """Return a path with its placeholders replaced, each value percent-encoded as one segment (RFC 3986 2)."""
    return filled_text(path, {name: quote(value, safe="@") for name, value in values.items()})


def as_json(body: Mapping[str, Any]) -> bytes:
    """Return a body as JSON."""
    return json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace")


def as_form(body: Mapping[str, Any]) -> bytes:
    """Return a body as application/x-www-form-urlencoded; what is no text is written as JSON."""
    pairs = [(key, each if isinstance(each, str) else as_json_text(each)) for key, each in body.items()]
    return urlencode(pairs, errors="replace").encode("ascii")


def as_json_text(value: Any) -> str:
    """Return a value as JSON in ASCII."""
    return json.dumps(value, separators=(",", ":"))
