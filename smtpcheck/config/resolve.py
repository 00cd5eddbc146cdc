"""From a check as it was written to a check with every default filled in.

Rules of this file:
- Nothing is asked of the network: the name for EHLO is the machine's own if it is a whole domain name, else an address
  literal (RFC 5321 4.1.1.1).
- What only the whole check shows (a credential that does not exist, a recipient that is missing) is reported here; what
  is allowed but cannot work is reported in `lint`.
"""

import platform
from collections.abc import Collection, Mapping
from functools import cached_property
from urllib.parse import urlsplit

from smtpcheck.config.api_files import ApiFiles
from smtpcheck.config.contents import Contents
from smtpcheck.config.expect import DEFAULT_INTERVAL, check_depth, check_interval
from smtpcheck.config.fields import parse_domain
from smtpcheck.config.mailboxes import Entry
from smtpcheck.config.mechanism import check_login, check_mechanism
from smtpcheck.config.models import CheckSection, DefaultsSection, ServerSection, WarnSection
from smtpcheck.config.problems import Problems, nearest
from smtpcheck.config.providers import default_host, provider_of_credential, provider_of_host
from smtpcheck.config.resolve_via import check_via, depth_by_api, provider_of_api, resolve_via
from smtpcheck.limits.api_concurrency import PROOF_SPACING
from smtpcheck.mail_api.apis import SMTP
from smtpcheck.model.check import Check, Depth, Expect, Phase, Provider, Security, Server, Via, Warn
from smtpcheck.oauth.cloud_credential import CloudCredential
from smtpcheck.oauth.credential import Credential
from smtpcheck.oauth.password import Password

SHORTEST_SEND_INTERVAL = 900.0
_SUBMISSION_PORT = 587
_IMPLICIT_TLS_PORT = 465
_HTTPS_PORT = 443
_DAY = 86400.0
_WARN = Warn(certificate=14 * _DAY, secret=30 * _DAY, refresh_token=14 * _DAY, duration=10.0)


class Resolver:
    """Fills in the defaults of one configuration."""

    def __init__(
        self,
        defaults: DefaultsSection,
        credentials: Mapping[str, Credential],
        named: Collection[str],
        problems: Problems,
        contents: Contents,
    ) -> None:
        self._defaults = defaults
        self._credentials = credentials
        self._known_names = named
        self._problems = problems
        self._warn = _warn(defaults.warn, _WARN)
        self._servers: dict[tuple[ServerSection, str], Server] = {}
        self.api_files = ApiFiles(problems, contents)
        """The descriptions of mail APIs that the checks name."""

    def check(self, section: CheckSection, entry: Entry) -> Check | None:
        """Return the whole check, or report what it lacks and return None."""
        expect = section.expect.expect() if section.expect else None
        depth = self._depth(section, expect)
        interval = section.interval or (DEFAULT_INTERVAL if expect else self._interval(section, depth))
        usable = self._has_credential(section, entry, depth, expect)
        usable &= self._has_mailbox(section, entry, depth)
        usable &= self._has_mechanism(section, entry)
        usable &= self._has_recipient(section, entry, depth)
        if expect is None:
            usable &= self._has_allowed_interval(section, entry, depth, interval)
        elif section.depth is not None:
            usable &= check_depth(expect, section.depth, entry.at(("depth",)), self._problems)
        credential = self._credentials.get(section.credential or "")
        place = self._place(section, entry, credential, usable=usable)
        if place is None or not usable:
            return None
        server, provider, via = place
        if not self._has_usable_name(section, entry, depth, provider, via):
            return None
        check = Check(
            name=section.name,
            mailbox=section.mailbox or "",
            credential=section.credential,
            provider=provider,
            server=server,
            depth=depth,
            interval=interval,
            timeout=section.timeout or self._defaults.timeout,
            token_timeout=section.token_timeout or self._defaults.token_timeout,
            sender=section.sender or _address(section.mailbox),
            recipient=section.recipient,
            mechanism=section.mechanism,
            warn=_warn(section.warn, self._warn),
            labels=tuple(sorted((self._defaults.labels | section.labels).items())),
            granted_at=section.granted,
            password=credential is not None and not credential.gives_tokens and via is None,
            token_per_mailbox=credential is not None and credential.uses_subject,
            user=(credential.user if isinstance(credential, Password) else None) or "",
            expect=expect,
            scheduled=self._defaults.schedule if section.schedule is None else section.schedule,
            via=via,
        )
        usable = check_interval(check, entry.at(("interval",)), self._problems)
        usable &= check_via(check, credential, entry, self._problems)
        return check if usable else None

    def check_reference(self, entry: Entry) -> None:
        """Report whether the check names a credential that does not exist, however wrong the check is otherwise."""
        name = entry.raw.get("credential")
        if isinstance(name, str) and name not in self._known_names:
            hint = nearest(name, self._known_names) or "there is none under credentials"
            at = entry.at(("credential",))
            self._problems.error(at, "there is no credential of this name", value=name, hint=hint)

    def _depth(self, section: CheckSection, expect: Expect | None) -> Depth:
        if section.via.api != SMTP:
            return depth_by_api(section.depth, self._defaults.depth, expect)
        if expect is not None:
            return expect.depth
        return self._defaults.depth if section.depth is None else section.depth

    def _interval(self, section: CheckSection, depth: Depth) -> float:
        proves = section.via.api != SMTP and depth is Depth.AUTH
        return max(self._defaults.interval, PROOF_SPACING) if proves else self._defaults.interval

    def _place(
        self, section: CheckSection, entry: Entry, credential: Credential | None, *, usable: bool
    ) -> tuple[Server, Provider, Via | None] | None:
        """Return where a check goes and whose that is; None, reported where the check is `usable` otherwise."""
        if section.via.api != SMTP:
            via = resolve_via(section.via, credential, entry, self.api_files, self._problems)
            return (self._api_server(section.server, via.base), provider_of_api(via), via) if via else None
        if credential is not None and not check_login(
            section.credential or "", credential, entry.at(("credential",)), self._problems
        ):
            return None
        host = section.server.host or _host_of(credential)
        if host is None:
            if usable:
                hint = "name the server; the credential does not imply it"
                self._problems.error(entry.at(("server", "host")), "is missing", hint=hint)
            return None
        return self._server(section.server, host), _provider(host, credential), None

    def _has_credential(self, section: CheckSection, entry: Entry, depth: Depth, expect: Expect | None) -> bool:
        if section.credential is not None:
            return section.credential in self._credentials
        at = entry.at(("credential",))
        if expect is not None:
            if expect.phase is Phase.AUTH:
                hint = "name the credential whose login must be refused"
                self._problems.error(at, "is missing, and phase auth needs a login", hint=hint)
            return expect.phase is not Phase.AUTH
        if depth.needs_token:
            hint = "name a credential, or go no deeper than depth connect"
            self._problems.error(at, f"is missing, and depth {depth} needs a token", hint=hint)
        return not depth.needs_token

    def _has_mailbox(self, section: CheckSection, entry: Entry, depth: Depth) -> bool:
        if section.mailbox is not None or not depth.needs_token:
            return True
        if section.credential is not None or section.expect is None:
            hint = "name the mailbox to log in as" if section.via.api == SMTP else "name the address to send as"
            self._problems.error(entry.at(("mailbox",)), "is missing", hint=hint)
            return False
        if section.sender is None:
            self._problems.error(entry.at(("sender",)), "is missing", hint="name whom the message claims to be from")
        return section.sender is not None

    def _has_usable_name(
        self, section: CheckSection, entry: Entry, depth: Depth, provider: Provider, via: Via | None
    ) -> bool:
        """Return whether the login's name is one that the provider has, and there is a sender; report what is not."""
        if section.mailbox is None or "@" in section.mailbox:
            return True
        if provider is not Provider.ACS or via is not None:
            hint = "write the whole address, such as name@example.org"
            self._problems.error(entry.at(("mailbox",)), "has no @", value=section.mailbox, hint=hint)
            return False
        if section.sender is None and depth >= Depth.SENDER:
            hint = "name an address of a domain that is linked to the resource"
            self._problems.error(entry.at(("sender",)), "is missing, and the mailbox is no address", hint=hint)
            return False
        return True

    def _has_mechanism(self, section: CheckSection, entry: Entry) -> bool:
        name = section.credential or ""
        credential = self._credentials.get(name)
        at = entry.at(("mechanism",))
        return credential is None or check_mechanism(section.mechanism, name, credential, at, self._problems)

    def _has_recipient(self, section: CheckSection, entry: Entry, depth: Depth) -> bool:
        if section.recipient is None and depth >= Depth.RECIPIENT:
            hint = "name a mailbox of your own: repeated unknown recipients get the sender throttled"
            if section.credential is None and section.expect is not None:
                hint = "name an external address, to which the server must not relay"
            self._problems.error(entry.at(("recipient",)), f"is missing, and depth {depth} needs one", hint=hint)
            return False
        return True

    def _has_allowed_interval(self, section: CheckSection, entry: Entry, depth: Depth, interval: float) -> bool:
        if depth is Depth.SEND and interval < SHORTEST_SEND_INTERVAL:
            at = entry.at(("interval",) if section.interval else ("depth",))
            hint = "every run sends a message, which is kept in Sent Items: set interval: 15m or more"
            self._problems.error(at, f"depth send needs an interval of 15m or more, not {interval:g}s", hint=hint)
            return False
        return True

    def _server(self, section: ServerSection, host: str) -> Server:
        server = self._servers.get((section, host))
        if server is None:
            server = self._servers[section, host] = self._new_server(section, host)
        return server

    def _new_server(self, section: ServerSection, host: str) -> Server:
        implied_port = _IMPLICIT_TLS_PORT if section.security is Security.IMPLICIT else _SUBMISSION_PORT
        port = section.port or implied_port
        implied_security = Security.IMPLICIT if port == _IMPLICIT_TLS_PORT else Security.STARTTLS
        return Server(
            host=host,
            port=port,
            security=section.security or implied_security,
            server_name=section.server_name or host,
            ehlo=section.ehlo or self._own_name,
            ca_file=str(section.ca_file.absolute()) if section.ca_file else None,
            ip_version=section.ip_version,
            min_tls=section.min_tls,
            allow_plaintext=section.allow_plaintext,
        )

    def _api_server(self, section: ServerSection, base: str) -> Server:
        """Return the server of an API at this URL; all that a section says of it besides is how to reach it."""
        parts = urlsplit(base)
        host = parts.hostname or ""
        known = self._servers.get((section, base))
        if known is None:
            known = self._servers[section, base] = Server(
                host=host,
                port=parts.port or _HTTPS_PORT,
                security=Security.IMPLICIT,
                server_name=host,
                ehlo="",
                ca_file=str(section.ca_file.absolute()) if section.ca_file else None,
                ip_version=section.ip_version,
                min_tls=section.min_tls,
            )
        return known

    @cached_property
    def _own_name(self) -> str:
        name = platform.node()
        try:
            return parse_domain(name) if "." in name else "[127.0.0.1]"
        except ValueError:
            return "[127.0.0.1]"


def _host_of(credential: Credential | None) -> str | None:
    if credential is None:
        return None
    if isinstance(credential, CloudCredential):
        return credential.smtp_host
    provider = provider_of_credential(credential.type)
    return default_host(provider) if provider else None


def _address(name: str | None) -> str:
    return name if name and "@" in name else ""


def _provider(host: str, credential: Credential | None) -> Provider:
    by_credential = provider_of_credential(credential.type) if credential else None
    return provider_of_host(host) or by_credential or Provider.GENERIC


def _warn(section: WarnSection, otherwise: Warn) -> Warn:
    if not section.model_fields_set:
        return otherwise  # one value for the thousands of checks of a list

    def of(given: float | None, fallback: float) -> float:
        return fallback if given is None else given

    return Warn(
        certificate=of(section.certificate, otherwise.certificate),
        secret=of(section.secret, otherwise.secret),
        refresh_token=of(section.refresh_token, otherwise.refresh_token),
        duration=of(section.duration, otherwise.duration),
    )
