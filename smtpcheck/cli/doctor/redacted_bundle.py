r"""Takes out of an examination's JSON what must not be public, and puts consistent names in its place.

Rules of this file:
- Pure. What the configuration and the run name (mailboxes, hosts, tenants, ids, files) is replaced wherever it occurs,
  whole and in any case, in replies, claims and evidence too; so is whatever has the form of an address, an id, an IP
  address, a host name or a path.
- A quotation may have been cut: the beginning of an address, a host or an id is replaced too.
- The same thing gets the same name everywhere: `user1@domain1.example`, `host-1`, `id-1`, `ip-1`, `path-1`.
- Hosts of the great providers and of documentation stay, for they show what is to be fixed; the names that they give
  their customers (`contoso.onmicrosoft.com`) do not.
- Keys and words of closed lists (phase, cause, ...) stay as they are.
"""

import ipaddress
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from smtpcheck.cli.doctor.evidence import Evidence
from smtpcheck.diagnosis.masking import mask
from smtpcheck.loopback.imap.folders import COMMON_NAMES
from smtpcheck.model.check import Check, Phase

_KNOWN_DOMAINS = (
    *("office365.com", "office365.us", "outlook.com", "outlook.cn", "office.com", "office.us", "mx.microsoft"),
    *("microsoftonline.com", "microsoftonline.us", "microsoftonline.cn", "microsoft.com", "microsoft.us", "azure.com"),
    *("windows.net", "chinacloudapi.cn", "aka.ms", "gmail.com", "google.com", "googleapis.com", "yahoo.com", "aol.com"),
    *("yahooinc.com", "rfc-editor.org", "ietf.org", "openid.net", "github.com", "localhost"),
)
_CUSTOMER_NAMES = ("onmicrosoft.com", "onmicrosoft.us", "onmicrosoft.cn", "sharepoint.com", "protection.outlook.com")
_CLOSED = frozenset(
    {"verdict", "title", "outcome", "cause", "phase", "kind", "rule", "reference", "depth", "form", "mechanism"}
    | {"smtpcheck", "excluded", "enhanced", "version", "cipher", "header_typ", "idtyp", "ver"}
)
"""Keys whose values are words of closed lists or our own, and say nothing about the site."""
_IDS = ("tenant", "client_id", "object_id", "resource_id")
"""Keys of credentials that name whose they are."""
_SHORTEST = 3
"""A known name that is shorter is no name: it would be replaced within every other sentence."""
_NO_HOSTS = frozenset({"yaml", "json", "pem", "txt", "csv", "db", "md", "py", "log", "listen", "state"})
"""Last parts of a dotted name that is no host name: names of files, and keys of the configuration."""

_PATTERN = re.compile(
    r"""
    (?P<address>(?<![\w.+-])[\w.+-]{1,64}(?:@|%40)[A-Za-z0-9](?:[A-Za-z0-9-]{0,62}\.){0,8}[A-Za-z0-9-]{1,63})
    |(?P<id>(?<![0-9A-Za-z])(?:[0-9A-Fa-f]{8}-[0-9A-Fa-f]{4}(?:-[0-9A-Fa-f]{0,12}){0,3}|[0-9a-f]{40,64})(?![0-9A-Za-z]))
    |(?P<ip>(?<![\w.:])[0-9]{1,3}(?:\.[0-9]{1,3}){3}(?!\w|\.\d)
        |(?:(?<=IPv6:)|(?<![\w.:]))[0-9A-Fa-f]{0,4}(?::[0-9A-Fa-f]{0,4}){2,7}(?:[0-9]{0,3}(?:\.[0-9]{1,3}){3})?(?:%\w{1,15})?)
    |(?P<path>(?<![\w/:.-])/(?:[\w.@+-]{1,255}/){1,32}[\w.@+-]{1,255})
    |(?P<host>(?<![\w.-])(?:[A-Za-z0-9_][A-Za-z0-9_-]{0,62}\.){1,8}(?:[A-Za-z]{2,24}(?![\w-]|\.\w)|[A-Za-z]\Z))
    """,
    re.VERBOSE,
)
_ORGANISATION = re.compile(r"(?:^|,)(?:O|OU)=((?:[^,\\]|\\.)+)")
_COMMON_NAME = re.compile(r"(?:^|,)CN=((?:[^,\\]|\\.)+)")


def redacted(document: Mapping[str, Any], evidence: Evidence) -> dict[str, Any]:
    """Return the examination's JSON without anything that shows whose it is, and without tokens and secrets."""
    redaction = Redaction(
        domains=_domains(evidence.check),
        hosts=_hosts(evidence),
        ids=_ids(evidence),
        names=_names(evidence),
        paths=_paths(evidence),
    )
    return {key: redaction.value(value, key) for key, value in document.items()}


class Redaction:
    """Replaces names, each thing by the same one everywhere."""

    def __init__(
        self,
        *,
        domains: Iterable[str] = (),
        hosts: Iterable[str] = (),
        ids: Iterable[str] = (),
        names: Iterable[str] = (),
        paths: Iterable[str] = (),
    ) -> None:
        """Take what is known to be of the site: domains of mailboxes, hosts, ids, other names, paths of files."""
        self._given: dict[tuple[str, str], str] = {}
        self._counts: dict[str, int] = {}
        self._known = {
            text.casefold(): kind
            for kind, texts in (("name", names), ("path", paths), ("id", ids), ("host", hosts), ("domain", domains))
            for text in texts
            if len(text) >= _SHORTEST and not (kind in {"host", "domain"} and _is_public(text))
        }
        known = "|".join(re.escape(text) for text in sorted(self._known, key=len, reverse=True))
        self._literal = re.compile(rf"(?<![\w])(?:{known})(?![\w])", re.IGNORECASE) if known else None

    def value(self, value: Any, key: str = "") -> Any:
        """Return a value of a JSON document redacted; `key` is its key."""
        if isinstance(value, str):
            if key == "check":
                return self._name("check", value)
            return value if key in _CLOSED else self.text(value)
        if isinstance(value, Mapping):
            return {name: self.value(inner, name) for name, inner in value.items()}
        if isinstance(value, list | tuple):
            return [self.value(inner, key) for inner in value]
        return value

    def text(self, text: str) -> str:
        """Return a text redacted."""
        pieces, end = [], 0
        for match in _PATTERN.finditer(text):
            replacement = self._replacement(match)
            if replacement is not None:
                pieces += [self._literally(text[end : match.start()]), replacement]
                end = match.end()
        return mask("".join([*pieces, self._literally(text[end:])]))

    def _literally(self, text: str) -> str:
        """Return a text in which whatever is known is replaced."""
        return self._literal.sub(lambda match: self._known_name(match[0]), text) if self._literal else text

    def _known_name(self, found: str) -> str:
        kind = self._known[found.casefold()]
        return self._host(found) if kind in {"host", "domain"} else self._name(kind, found)

    def _replacement(self, match: re.Match[str]) -> str | None:
        """Return what replaces a match of the patterns; None where it is to be looked at word by word."""
        kind, found = match.lastgroup or "", match[0]
        if found.casefold() in self._known:
            return self._known_name(found)
        match kind:
            case "address":
                return self._address(found)
            case "ip":
                return self._ip(found)
            case "host":
                return self._host(found) if _looks_like_host(found) and not _is_public(found) else None
            case _:
                return self._name(kind, found)

    def _ip(self, found: str) -> str | None:
        """Return what replaces an IP address; a colon behind it is no part of it."""
        for address, rest in ((found, ""), (found.removesuffix(":"), ":")):
            if _is_ip(address):
                return f"{self._name('ip', address)}{rest}"
        return None

    def _host(self, found: str) -> str:
        key = found.casefold()
        is_domain = self._known.get(key) == "domain" or ("domain", key) in self._given
        return self._domain(found) if is_domain else self._name("host", found)

    def _address(self, found: str) -> str:
        local, at, domain = re.split(r"(@|%40)", found, maxsplit=1)
        key = ("address", f"{local}@{domain}".casefold())
        if key not in self._given:
            self._given[key] = f"user{self._next('user')}"
        return f"{self._given[key]}{at}{self._domain(domain)}"

    def _domain(self, domain: str) -> str:
        key = ("domain", domain.casefold())
        if key not in self._given:
            self._given[key] = f"domain{self._next('domain')}.example"
        return self._given[key]

    def _name(self, kind: str, found: str) -> str:
        key = (kind, found.casefold())
        if key not in self._given:
            self._given[key] = f"{kind}-{self._next(kind)}"
        return self._given[key]

    def _next(self, kind: str) -> int:
        self._counts[kind] = self._counts.get(kind, 0) + 1
        return self._counts[kind]


def _is_public(host: str) -> bool:
    name = host.casefold().rstrip(".")
    if any(name.endswith(f".{domain}") for domain in _CUSTOMER_NAMES):
        return False
    return any(name == domain or name.endswith(f".{domain}") for domain in _KNOWN_DOMAINS)


def _looks_like_host(name: str) -> bool:
    """Return whether a dotted name is a host's rather than a permission's (`SMTP.Send`), a file's or a setting's."""
    letters = "".join(sign for sign in name if sign.isalpha())
    return (letters.islower() or letters.isupper()) and name.rpartition(".")[2].casefold() not in _NO_HOSTS


def _is_ip(text: str) -> bool:
    try:
        ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return False
    return True


# -- what is known ----------------------------------------------------------------------------------------------------


def _domains(check: Check) -> Iterator[str]:
    for address in (check.mailbox, check.sender, check.recipient or ""):
        yield address.rpartition("@")[2]


def _hosts(evidence: Evidence) -> Iterator[str]:
    check = evidence.check
    yield from (check.server.host, check.server.server_name, check.server.ehlo.strip("[]"), evidence.issuer)
    tenant = getattr(evidence.credential, "tenant", "")
    if "." in tenant:
        yield tenant
    for phase in (Phase.BANNER, Phase.EHLO, Phase.EHLO_TLS):
        if (reply := evidence.last_reply(phase)) and reply.lines:
            yield reply.lines[0].partition(" ")[0]
    certificate = evidence.report.tls.certificate if evidence.report and evidence.report.tls else None
    if certificate is not None:
        yield from (name.removeprefix("*.") for name in certificate.names if not _is_ip(name))


def _ids(evidence: Evidence) -> Iterator[str]:
    credential = evidence.credential
    yield from (str(getattr(credential, name, "") or "") for name in _IDS)
    for name in ("tid", "appid", "azp", "client_id", "oid", "sub"):
        if isinstance(value := evidence.claims.get(name), str):
            yield value
    if evidence.token is not None:
        yield evidence.token.fingerprint


def _names(evidence: Evidence) -> Iterator[str]:
    check = evidence.check
    yield from (check.name, check.credential or "")
    yield from (name for name in evidence.finder_names if name.casefold() not in COMMON_NAMES)
    certificate = evidence.report.tls.certificate if evidence.report and evidence.report.tls else None
    if certificate is not None and not any(map(_is_public, certificate.names)):
        yield from (*_ORGANISATION.findall(certificate.subject), *_COMMON_NAME.findall(certificate.subject))


def _paths(evidence: Evidence) -> Iterator[str]:
    if evidence.check.server.ca_file:
        yield evidence.check.server.ca_file
    if evidence.credential is not None:
        yield from map(str, evidence.credential.files())
