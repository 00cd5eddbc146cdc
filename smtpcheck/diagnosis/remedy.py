"""The steps of a repair: which of them help where the finding was made, and what their blanks are filled with.

Rules of this file:
- A value enters a command only if it is a plain identifier or the plain address of an issuer; it is never a secret.
- What is not known stays as a placeholder in angle brackets.
"""

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit

from smtpcheck.diagnosis.facts import app_only
from smtpcheck.diagnosis.masking import mask
from smtpcheck.diagnosis.observation import Observation
from smtpcheck.diagnosis.screening import Expression

_PLAIN = re.compile(r"\w[\w.@+-]{0,253}")
_SCOPE = re.compile(r"[\w.:/+-]{1,200}(?: [\w.:/+-]{1,200}){0,8}")
_ADDRESS = re.compile(r"https?://[\w.-]{1,253}(?::\d{1,5})?(?:/[\w.~-]{1,100}){0,12}/?")
_IN_TEXT = Expression.of(
    r"(?<![\w.:/])https?://[\w.-]{1,253}(?::\d{1,5})?(?:/[\w.~-]{1,100}){0,8}/(?:token|get_token|oauth2?)\b"
)
_CLIENT = Expression.of(r"(?:client|host|ip|address|from)\b[^\n\d]{0,24}\[?(\d{1,3}(?:\.\d{1,3}){3})(?![\w.])")
_BLANK = re.compile(r"\{(\w{1,20})\}")
_PLACEHOLDERS = {
    "tenant": "<tenant id>",
    "client_id": "<client id>",
    "object_id": "<object id of the enterprise application>",
    "setup": "{credential}",
    "exchange": "outlook.office365.com",
    "endpoint": "<token endpoint>",
    "issuer_host": "<host of the issuer>",
    "message_id": "<message id>",
    "sender_domain": "<domain of the sender>",
    "recipient_domain": "<domain of the recipient>",
    "tls_target": "<host>:<port>",
    "starttls": "-starttls smtp ",
}
"""What is shown where a value is not known, with blanks of its own; for others the name itself."""
_CLOUD_HOSTS = {"gcc-high": "outlook.office365.us", "dod": "outlook-dod.office365.us", "china": "partner.outlook.cn"}
_IMPLICIT_PORTS = frozenset({443, 465, 993, 995})
_STARTTLS = {143: "-starttls imap ", 110: "-starttls pop3 "}


@dataclass(frozen=True, slots=True)
class Step:
    """One step of a repair."""

    text: str
    """With `{tenant}` and the like to be filled in."""
    holds_for: tuple[tuple[str, frozenset[str]], ...] = ()
    """Values of a finding's `provider`, `issuer` and the like where the step helps; empty: everywhere."""


def filled(steps: Sequence[Step], values: Mapping[str, str]) -> tuple[str, ...]:
    """Return the steps that help where the finding was made, their blanks filled in."""
    return tuple(_filled(step.text, values) for step in _fitting(steps, values))


def setup_options(values: Mapping[str, str]) -> str:
    """Return what follows `smtpcheck setup` for an application that no configuration file names."""
    cloud = values.get("cloud", "")
    other_cloud = f" --cloud {cloud}" if cloud in _CLOUD_HOSTS else ""
    return _filled("--tenant {tenant} --client-id {client_id} --mailbox {mailbox}", values) + other_cloud


def values_of(seen: Observation) -> dict[str, str]:
    """Return what the commands of a remedy are filled with, as far as it was seen."""
    hints, claims = seen.hints, seen.claims
    found = {
        "tenant": claims.get("tid") or (hints.tenant if hints else ""),
        "client_id": claims.get("appid") or claims.get("azp") or (hints.client_id if hints else ""),
        "object_id": claims.get("oid") if app_only(claims) else "",
        "mailbox": seen.sasl_user,
        "sender": seen.sender,
        "recipient": seen.recipient,
        "sender_domain": _domain(seen.sender or seen.sasl_user),
        "recipient_domain": _domain(seen.recipient),
        "host": seen.host,
        "port": str(seen.port or ""),
        "credential": hints.name if hints else "",
        "check": seen.check,
        "inspect": hints.name if hints and hints.inspected else "",
        "address": _client(seen),
        "why": seen.junk_reason,
    }
    plain = {
        key: value
        for key, value in found.items()
        if isinstance(value, str) and _PLAIN.fullmatch(value) and mask(value) == value
    }
    scope = {"scope": seen.scope} if _SCOPE.fullmatch(seen.scope) and mask(seen.scope) == seen.scope else {}
    return {
        **plain,
        **scope,
        **({"setup": setup_options({**plain, "cloud": hints.cloud})} if hints and not hints.name else {}),
        **({"flow": "client_credentials"} if app_only(claims) else {}),
        **_issuer(seen),
        **_tls(seen),
        "exchange": _CLOUD_HOSTS.get(hints.cloud if hints else "", "outlook.office365.com"),
    }


def _domain(address: str) -> str:
    return address.rpartition("@")[2] if "@" in address else ""


def _client(seen: Observation) -> str:
    """Return the sending address that a receiving server names in its reply."""
    found = _CLIENT.search("\n".join((*seen.replies, seen.exception[:8192])))
    return found[1] if found else ""


def _issuer(seen: Observation) -> dict[str, str]:
    in_text = _IN_TEXT.search(f"{seen.description} {seen.exception[:8192]}")
    endpoint = seen.endpoint or (in_text[0] if in_text else "")
    if not _ADDRESS.fullmatch(endpoint) or mask(endpoint) != endpoint:
        return {}
    return {"endpoint": endpoint, "issuer_host": urlsplit(endpoint).hostname or ""}


def _tls(seen: Observation) -> dict[str, str]:
    """Return what `openssl s_client` connects to, and how TLS begins there."""
    if seen.phase == "token" and seen.endpoint:
        host = urlsplit(seen.endpoint).netloc.rpartition("@")[2]
        return {"tls_target": host if ":" in host else f"{host}:443", "starttls": ""} if _is_host(host) else {}
    if not seen.port or not _PLAIN.fullmatch(seen.host):
        return {}
    implicit = seen.security == "implicit" or (not seen.security and seen.port in _IMPLICIT_PORTS)
    starttls = "" if implicit else _STARTTLS.get(seen.port, "-starttls smtp ")
    return {"tls_target": f"{seen.host}:{seen.port}", "starttls": starttls}


def _is_host(text: str) -> bool:
    return re.fullmatch(r"[\w.-]{1,253}(?::\d{1,5})?", text) is not None


def _fitting(steps: Sequence[Step], values: Mapping[str, str]) -> Iterator[Step]:
    """Yield the steps that help where the finding was made; all of them if none would be left."""
    named: dict[str, set[str]] = {}
    for step in steps:
        for name, allowed in step.holds_for:
            named.setdefault(name, set()).update(allowed)
    chosen = [
        step
        for step in steps
        if all(_helps(name, allowed, values.get(name), named[name]) for name, allowed in step.holds_for)
    ]
    yield from chosen or steps


def _helps(name: str, allowed: frozenset[str], value: str | None, named: Collection[str]) -> bool:
    """Return whether a step helps at a value; where the flow is not known, those of all flows are shown."""
    if not value:
        return name == "flow" or "other" in allowed or "other" not in named
    return value in allowed or ("other" in allowed and value not in named)


def _filled(text: str, values: Mapping[str, str]) -> str:
    return _BLANK.sub(lambda blank: _fill(blank[1], values), text)


def _fill(name: str, values: Mapping[str, str]) -> str:
    return values[name] if name in values else _filled(_PLACEHOLDERS.get(name, f"<{name}>"), values)
