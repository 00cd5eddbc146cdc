r"""The forms of single values: durations, addresses, hosts, names, labels.

Rules of this file:
- A wrong form is a `ValueError` that says what is wrong in a part of a sentence; after a `\n` comes the hint.
- Durations are written as Prometheus writes them and become seconds.
"""

import functools
import ipaddress
import os
import re
import ssl
from datetime import datetime
from typing import Annotated, Any
from urllib.parse import urlsplit

from pydantic import AfterValidator, BeforeValidator, PlainValidator, WithJsonSchema

from smtpcheck.config.problems import nearest
from smtpcheck.model.check import Depth
from smtpcheck.model.duration import DURATION_JSON, parse_duration, parse_period
from smtpcheck.secrets.file_state import state_of

NAME = re.compile(r"[a-zA-Z0-9_.-]{1,200}")
"""What a check's name may consist of."""
_LABEL = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*")
_RESERVED_LABELS = frozenset(
    {"check", "credential", "phase", "cause", "outcome", "smtp_code", "enhanced_code", "oauth_error"}
)
_RESERVED_LABELS |= {
    "oauth_code",
    "version",
    "cipher",
    "provider",
    "host",
    "port",
    "depth",
    "mailbox",
    "result",
    "reason",
    "http_status",
    "api_error",
    "via",
    "side_by_side",
}
_RESERVED_LABELS |= {"folder", "method", "notifier", "le", "quantile", "job", "instance", "severity"}

_LOCAL_PART = re.compile(r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+(?:\.[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+)*")
_HOST_LABEL = re.compile(r"(?!-)[A-Za-z0-9_-]{1,63}(?<!-)")
_DOMAIN_LABEL = re.compile(r"(?!-)[A-Za-z0-9-]{1,63}(?<!-)")


def mistake(message: str, hint: str = "") -> ValueError:
    """Return the error of a wrong form, with what to do about it."""
    return ValueError(f"{message}\n{hint}" if hint else message)


Duration = Annotated[float, PlainValidator(parse_duration), WithJsonSchema(DURATION_JSON)]
"""Seconds, zero or more."""
Period = Annotated[float, PlainValidator(parse_period), WithJsonSchema(DURATION_JSON)]
"""Seconds, more than none."""


def parse_instant(value: object) -> float:
    """Return the Unix time of `2026-12-05T22:00Z` or `2026-12-05T23:00+01:00`, also as YAML reads it.

    Raises:
        ValueError: It is not a date and time, or has no time zone.
    """
    hint = "write it as 2026-12-05T22:00Z or 2026-12-05T23:00+01:00"
    if isinstance(value, str):
        try:
            value = datetime.fromisoformat(value.strip())
        except ValueError:
            raise mistake("is not a valid date and time", hint) from None
    if not isinstance(value, datetime):
        raise mistake("is not a valid date and time", hint)
    if value.tzinfo is None:
        raise mistake("has no time zone", hint)
    return value.timestamp()


Instant = Annotated[float, PlainValidator(parse_instant), WithJsonSchema({"type": "string", "format": "date-time"})]
"""A date and time with its zone, as Unix seconds."""


def parse_listen(value: object) -> tuple[str, int]:
    """Return host and port of `127.0.0.1:9587`, `[::1]:9587` or `localhost:9587`.

    Raises:
        ValueError: It is not such an address.
    """
    wrong = mistake("is not a valid listen address", "write host:port, such as 127.0.0.1:9587")
    host, port = _host_and_port(value, wrong)
    if not host:
        raise mistake(
            "names no host", f"write 0.0.0.0:{port} to listen on every address, 127.0.0.1:{port} for this machine"
        )
    return parse_host(host), port


def parse_witness(value: object) -> tuple[str, int]:
    """Return host and port of `login.microsoftonline.com:443`.

    Raises:
        ValueError: It is not both.
    """
    wrong = mistake("is not a host and port", "write host:port, such as login.microsoftonline.com:443")
    host, port = _host_and_port(value, wrong)
    if not host or not port:
        raise wrong
    return parse_host(host), port


def _host_and_port(value: object, wrong: ValueError) -> tuple[str, int]:
    """Return host, empty where none is named, and port; an IPv6 address without its brackets. Raises `wrong`."""
    host, colon, port = str(value).rpartition(":")
    if not colon or not (port.isascii() and port.isdigit() and len(port) < 6 and int(port) < 65536):
        raise wrong
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
    elif ":" in host:
        raise mistake(str(wrong).partition("\n")[0], f"write an IPv6 address in brackets: [{host.strip('[]')}]:{port}")
    return host, int(port)


def parse_url(value: str) -> str:
    """Return an address of a page (http or https, no query), without a slash at its end.

    Raises:
        ValueError: It is none.
    """
    try:
        parts = urlsplit(value)
        usable = parts.scheme in {"http", "https"} and bool(parts.hostname) and not (parts.query or parts.fragment)
        usable = usable and not parts.username and (parts.port is None or parts.port > 0) and value.isprintable()
    except ValueError:
        usable = False
    if not usable or " " in value:
        raise mistake("is not a valid page URL", "write it as https://smtpcheck.example.org")
    return value.rstrip("/")


@functools.lru_cache(maxsize=1024)
def is_address(host: str) -> bool:
    """Return whether the host is an IP address rather than a name."""
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def parse_host(value: str) -> str:
    """Return a host name (RFC 1123 2.1, `_` tolerated) or an IP address.

    Raises:
        ValueError: It is neither.
    """
    if "://" in value:
        raise mistake("is a URL, not a host", "write only the name, such as smtp.example.org")
    if is_address(value):
        return value
    name, _, port = value.partition(":")
    if port.isdigit():
        raise mistake("is not a valid host", f"write the port separately: host: {name}, port: {port}")
    if value != value.strip():
        raise mistake("has a trailing space" if value == value.lstrip() else "has a leading space", "remove it")
    if not _is_name(value, _HOST_LABEL):
        raise mistake("is neither a host name nor an address", "write it as smtp.example.org")
    return value


def _is_name(value: str, label: re.Pattern[str]) -> bool:
    name = value.removesuffix(".")
    return 0 < len(name) <= 253 and all(label.fullmatch(part) for part in name.split("."))


def parse_domain(value: str) -> str:
    """Return an argument for EHLO: a domain or an address literal as `[192.0.2.1]` or `[IPv6:...]` (RFC 5321 4.1.3).

    Raises:
        ValueError: It is neither; Exchange answers such a one with `501 5.5.4 Invalid domain name`.
    """
    literal = value[1:-1].removeprefix("IPv6:") if value.startswith("[") and value.endswith("]") else ""
    if is_address(literal) or (_is_name(value, _DOMAIN_LABEL) and not is_address(value)):
        return value
    raise mistake(
        "is not a valid domain",
        "write a domain such as host.example.org, or an address such as [192.0.2.1] (RFC 5321 4.1.3)",
    )


def parse_mailbox(value: str) -> str:
    """Return an address as RFC 5321 4.1.2 has it, without quoted strings, address literals and characters beyond ASCII.

    Raises:
        ValueError: It is none; most often something was pasted along.
    """
    bare = value.strip(" \t\r\n,;")
    if value != bare:
        pasted = value.removeprefix(bare) if value.startswith(bare) else value
        what = "a comma" if "," in pasted else "a semicolon" if ";" in pasted else "a space"
        where = "at its end" if value.startswith(bare) else "around it"
        raise mistake(f"has {what} {where}", f"write {bare}" if bare else "")
    if value.lower().startswith("mailto:") or "<" in value:
        raise mistake("is more than an address", "write only the address, such as name@example.org")
    if not value.isascii():
        raise mistake("has characters beyond ASCII", "write the domain in its xn-- form; SMTPUTF8 is not supported")
    local, at, domain = value.rpartition("@")
    if not at:
        raise mistake("has no @", "write the whole address, such as name@example.org")
    if len(local) > 64 or len(value) > 254:
        raise mistake("is longer than RFC 5321 4.5.3.1 allows (64 before the @, 254 in all)")
    if not _LOCAL_PART.fullmatch(local) or not _is_name(domain, _DOMAIN_LABEL):
        raise mistake("is not a valid mail address", "write it as name@example.org")
    return value


def parse_login(value: str) -> str:
    """Return a login name: an address, or a bare name as many servers have it.

    Raises:
        ValueError: It is neither.
    """
    if "@" in value:
        return parse_mailbox(value)
    if not value.isprintable() or not value or value != value.strip() or len(value) > 254:
        raise mistake("is not a valid login name", "write one line of text without spaces around it")
    return value


def parse_name(value: str) -> str:
    """Return the name of a check.

    Raises:
        ValueError: It holds other characters than letters, digits, `_`, `.` and `-`.
    """
    if not NAME.fullmatch(value):
        raise mistake("is not a valid check name", "use letters, digits, _ . and -; at most 200 of them")
    return value


def parse_label(name: str) -> str:
    """Return the name of a label that a user may set.

    Raises:
        ValueError: Prometheus does not allow it, or it is taken.
    """
    if not _LABEL.fullmatch(name):
        raise mistake("is not a valid label name", "use letters, digits and _, and no digit first")
    if name.startswith("__") or name in _RESERVED_LABELS:
        raise mistake("is a reserved label name", "choose another")
    return name


def parse_label_value(value: object) -> str:
    """Return the value of a label.

    Raises:
        ValueError: It is not text.
    """
    if not isinstance(value, str):
        raise mistake("a label's value must be text", "write it in quotes")
    return value


def parse_depth(value: object) -> Depth:
    """Return the depth of that name.

    Raises:
        ValueError: There is none.
    """
    names = {str(depth): depth for depth in Depth}
    if isinstance(value, Depth):
        return value
    if not isinstance(value, str) or value not in names:
        raise mistake(f"must be one of {', '.join(names)}", nearest(value, names) if isinstance(value, str) else "")
    return names[value]


def _number_as_text(value: object) -> Any:
    return str(value) if isinstance(value, int | float) and not isinstance(value, bool) else value


DepthName = Annotated[
    Depth, PlainValidator(parse_depth), WithJsonSchema({"type": "string", "enum": [str(depth) for depth in Depth]})
]
Host = Annotated[str, AfterValidator(parse_host)]
Domain = Annotated[str, AfterValidator(parse_domain)]
Mailbox = Annotated[str, AfterValidator(parse_mailbox)]
LoginName = Annotated[str, AfterValidator(parse_login)]
Labels = dict[Annotated[str, AfterValidator(parse_label)], Annotated[str, BeforeValidator(parse_label_value)]]
NumberAsText = BeforeValidator(_number_as_text)
"""For values that YAML takes for a number: `ip_version: 4`, `min_tls: 1.2`."""


def trust_error(file: str) -> str:
    """Return what is wrong with a file of certificates to trust, empty if nothing is."""
    try:
        _load_trust(file, state_of(os.stat(file)))  # noqa: PTH116 - a Path for each check costs more than the rest
    except ssl.SSLError:
        return "has no certificate in PEM form"
    except (OSError, ValueError):
        return "cannot be read"
    return ""


@functools.lru_cache(maxsize=64)
def _load_trust(file: str, stamp: object) -> None:  # noqa: ARG001 - a part of the cache's key
    """Load the certificates as a connection will; thousands of checks name the same file."""
    ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(file)
