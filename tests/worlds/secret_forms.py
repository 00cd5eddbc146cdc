"""The forms in which servers and libraries write a secret that they repeat."""

import base64
import html
import json
import quopri
import re
from collections.abc import Callable
from urllib.parse import quote, quote_plus

Form = Callable[[str], str]


def octets(value: str, template: str) -> str:
    return "".join(template.format(octet) for octet in value.encode())


def base64_at(value: str, before: int, after: int = 1) -> str:
    return base64.b64encode(b"u" * before + value.encode() + b"v" * after).decode()


def entities_by_name(value: str) -> str:
    return html.escape(value).replace("+", "&plus;").replace("/", "&sol;").replace("=", "&equals;")


ESCAPED: dict[str, Form] = {
    "as it is": str,
    "percent": quote,
    "percent, all that is reserved": lambda value: quote(value, safe=""),
    "percent in lower case": lambda value: re.sub("%..", lambda match: match[0].lower(), quote(value, safe="")),
    "percent, every octet": lambda value: octets(value, "%{:02X}"),
    "percent, every octet in lower case": lambda value: octets(value, "%{:02x}"),
    "percent, twice": lambda value: quote(quote(value, safe=""), safe=""),
    "form": quote_plus,
    "hex": lambda value: value.encode().hex(),
    "hex in upper case": lambda value: value.encode().hex().upper(),
    "JSON": lambda value: json.dumps(value)[1:-1],
    "JSON as it is": lambda value: json.dumps(value, ensure_ascii=False)[1:-1],
    "JSON with slashes escaped": lambda value: json.dumps(value)[1:-1].replace("/", "\\/"),
    "\\u of every character": lambda value: re.sub("(....)", r"\\u\1", value.encode("utf-16-be").hex()),
    "\\u in upper case": lambda value: re.sub("(....)", r"\\u\1", value.encode("utf-16-be").hex().upper()),
    "\\u{} of every character": lambda value: "".join(f"\\u{{{ord(char):x}}}" for char in value),
    "\\x of every octet": lambda value: octets(value, "\\x{:02x}"),
    "octal of every octet": lambda value: octets(value, "\\{:03o}"),
    "backslashes": lambda value: re.sub(r"([^\w])", r"\\\1", value, flags=re.ASCII),
    "HTML": html.escape,
    "HTML without quotes": lambda value: html.escape(value, quote=False),
    "HTML in decimal": lambda value: "".join(f"&#{ord(char)};" for char in value),
    "HTML in hex": lambda value: "".join(f"&#x{ord(char):X};" for char in value),
    "HTML in hex with zeros": lambda value: "".join(f"&#x{ord(char):06x};" for char in value),
    "HTML by name": entities_by_name,
    "quoted-printable": lambda value: quopri.encodestring(value.encode(), quotetabs=True).decode(),
    "quoted-printable, every octet": lambda value: octets(value, "={:02X}"),
    "HTML of a URL": lambda value: html.escape(quote(value, safe="")).replace("%", "&#37;"),
    "JSON of HTML": lambda value: json.dumps(html.escape(value))[1:-1],
}
BASE64: dict[str, Form] = {
    "base64": lambda value: base64.b64encode(value.encode()).decode(),
    "base64url": lambda value: base64.urlsafe_b64encode(value.encode()).decode(),
    "base64 without padding": lambda value: base64.b64encode(value.encode()).decode().rstrip("="),
    "base64 in a URL": lambda value: quote(base64_at(value, 5), safe=""),
    "base64 in lines": lambda value: base64.encodebytes(b"x" * 40 + value.encode() + b"y" * 40).decode(),
    "base64 in lines of JSON": lambda value: json.dumps(base64.encodebytes(b"x" * 40 + value.encode()).decode()),
    **{f"base64 behind {before}": lambda value, before=before: base64_at(value, before) for before in range(6)},  # type: ignore[misc]
    **{
        f"base64url behind {before}": lambda value, before=before: base64_at(value, before).translate({43: 45, 47: 95})  # type: ignore[misc]
        for before in range(3)
    },
}
