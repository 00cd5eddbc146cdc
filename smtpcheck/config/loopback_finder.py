"""`find:` - how the messages that a check sends are found again, and in which mailbox.

Rules of this file:
- The mailbox is the one that the messages go to, and the credential that of the check, unless they are named.
- What can be known is not asked for: the server of a provider's IMAP, the scope of the token, Graph's address.
- Nothing is asked of the network. A mistake that the server would answer with a refused login is reported here.
"""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import replace
from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import Field, WithJsonSchema

from smtpcheck.config.fields import Host, LoginName, NumberAsText, trust_error
from smtpcheck.config.mechanism import check_login, check_mechanism
from smtpcheck.config.problems import Problems, nearest
from smtpcheck.config.providers import default_imap_host, provider_of_credential, provider_of_host
from smtpcheck.config.validation import At, ConfigSection
from smtpcheck.loopback.plan import Find, FindVia
from smtpcheck.model.check import Check, IpVersion, Mechanism, Provider, Security, Server
from smtpcheck.oauth.cloud_credential import CloudCredential
from smtpcheck.oauth.clouds import CLOUDS, clouds_of_imap_host
from smtpcheck.oauth.credential import Credential
from smtpcheck.oauth.password import Password
from smtpcheck.secrets.source import ConfiguredPath

_IMPLICIT_TLS_PORT = 993
_STARTTLS_PORT = 143
_SUBMISSION_PORTS = frozenset({25, 465, 587, 2525})
_FOR_IMAP = ("server", "mechanism")


class ImapServerSection(ConfigSection):
    """One IMAP endpoint; what is missing comes from the provider."""

    host: Host | None = Field(default=None, description="Its name. Default: the provider's.")
    port: int | None = Field(default=None, ge=1, le=65535, description="Default 993, with starttls or none 143.")
    security: Security | None = Field(
        default=None, description="How TLS starts. Default: starttls on port 143, else implicit."
    )
    ca_file: ConfiguredPath | None = Field(
        default=None, description="PEM certificates to trust instead of the system's."
    )
    server_name: Host | None = Field(
        default=None, description="The name that the certificate must cover. Default: the host."
    )
    ip_version: Annotated[IpVersion, NumberAsText, WithJsonSchema({"enum": ["any", "4", "6", 4, 6]})] = Field(
        default=IpVersion.ANY, description="Which addresses may be used."
    )
    min_tls: Annotated[Literal["1.2", "1.3"], NumberAsText, WithJsonSchema({"enum": ["1.2", "1.3", 1.2, 1.3]})] = Field(
        default="1.2", description="The oldest TLS accepted."
    )
    allow_plaintext: bool = Field(
        default=False, description="With `security: none`, whether a token may be sent in plaintext."
    )


class FindSection(ConfigSection):
    """How messages are found again."""

    via: FindVia = Field(description="imap, graph (Microsoft Graph), or none: they are not searched for.")
    credential: str | None = Field(default=None, description="The name of a credential. Default: the check's.")
    mailbox: LoginName | None = Field(
        default=None, description="Whose folders are searched. Default: the one that the messages go to."
    )
    scope: str | None = Field(
        default=None, pattern=r"^[!-~]+$", description="The scope of its token, instead of the provider's."
    )
    server: ImapServerSection = Field(default=ImapServerSection(), description="Default: the provider's IMAP.")
    mechanism: Mechanism | None = Field(
        default=None, description="The SASL mechanism. Default: what the server offers."
    )


class FindResolver:
    """Fills in the defaults of the `find:` sections of one configuration."""

    def __init__(self, credentials: Mapping[str, Credential], named: Collection[str], problems: Problems) -> None:
        self._credentials = credentials
        self._known_names = named
        self._problems = problems

    def bounces(
        self, section: FindSection | None, at: At, *, find: Find | None, sender: str, check: Check
    ) -> Find | None:
        """Return where bounces are searched for, in the sender's mailbox; None for nowhere, or for what it lacks.

        Without a section it is as `find`, where that credential opens the sender's mailbox too as far as can be known.
        """
        if section is None:
            return self._as_found(find, sender, check) if find is not None else None
        if section.via is FindVia.NONE:
            self.find(section, at, to=sender, credential=check.credential)
            return None
        like = self._as_found(find, sender, check) if find is not None and find.via is section.via else None
        if like is not None and section.model_fields_set <= {"via", "mailbox"}:
            return replace(like, mailbox=section.mailbox or like.mailbox)
        found = self.find(section, at, to=sender, credential=check.credential)
        return find if found is not None and find is not None and _is_same(found, find) else found

    def _as_found(self, find: Find, sender: str, check: Check) -> Find | None:
        """Return the search of the sender's mailbox as that of `find`; None where its credential is another user's."""
        credential = self._credentials.get(find.credential)
        if find.via is FindVia.NONE or credential is None:
            return None
        if find.user or find.mailbox.casefold() == sender.casefold():  # a login of its own opens one mailbox
            return find if find.mailbox.casefold() == sender.casefold() or find.credential == check.credential else None
        if credential.gives_tokens and not credential.rotates:
            return replace(find, mailbox=sender)
        own = find.credential == check.credential and sender.casefold() == check.mailbox.casefold()
        return replace(find, mailbox=sender) if own else None

    def find(self, section: FindSection, at: At, *, to: str, credential: str | None) -> Find | None:
        """Return the whole of it, or report what it lacks and return None.

        Args:
            section: as it was written.
            at: where a key of the section is.
            to: the mailbox that the messages go to.
            credential: the name of the check's credential.
        """
        if section.via is FindVia.NONE:
            alone = self._is_alone(section, at, (*_FOR_IMAP, "credential", "mailbox", "scope"))
            return Find(FindVia.NONE) if alone else None
        name = section.credential or credential
        known = self._credential(name, at)
        if known is None or name is None:
            return None
        place = (
            self._in_graph(section, name, known, at)
            if section.via is FindVia.GRAPH
            else self._by_imap(section, name, known, at)
        )
        if place is None:
            return None
        mailbox, scope = section.mailbox or to, section.scope or place.scope
        if "@" not in mailbox and not self._takes_bare_name(mailbox, place, known, at):
            return None
        return replace(place, mailbox=mailbox, credential=name, scope="" if scope == known.scope else scope)

    def _takes_bare_name(self, mailbox: str, place: Find, credential: Credential, at: At) -> bool:
        """Report a login name without a domain where the provider takes addresses only; return whether it may work."""
        host = place.server.host if place.server else ""
        provider = provider_of_host(host) or provider_of_credential(credential.type)
        if place.via is FindVia.IMAP and provider not in {Provider.MICROSOFT, Provider.GOOGLE}:
            return True
        hint = "write the whole address, such as name@example.org"
        self._problems.error(at(("mailbox",)), "has no @", value=mailbox, hint=hint)
        return False

    def _in_graph(self, section: FindSection, name: str, credential: Credential, at: At) -> Find | None:
        usable = self._is_alone(section, at, _FOR_IMAP)
        if (credential.proxy or "").startswith("socks"):
            message = f"Microsoft Graph cannot be used through a SOCKS proxy, which credential {name} has"
            self._problems.error(at(("via",)), message, value=str(FindVia.GRAPH), hint="use an http:// proxy, or imap")
            usable = False
        if not isinstance(credential, CloudCredential):
            self._problems.error(
                at(("via",)),
                f"Microsoft Graph accepts only tokens of Microsoft, and credential {name} is of type {credential.type}",
                value=str(FindVia.GRAPH),
                hint="write via: imap, or name a credential whose type begins with microsoft",
            )
            return None
        if not usable:
            return None
        at_graph = urlsplit(credential.graph_url)
        host, ca_file = at_graph.hostname or "", str(credential.ca_file.absolute()) if credential.ca_file else None
        server = Server(host, at_graph.port or 443, Security.IMPLICIT, server_name=host, ehlo="", ca_file=ca_file)
        return Find(FindVia.GRAPH, scope=credential.graph_scope, server=server, graph=credential.graph_url)

    def _by_imap(self, section: FindSection, name: str, credential: Credential, at: At) -> Find | None:
        if not check_login(name, credential, at(("credential",)), self._problems):
            return None
        server = self._server(section.server, credential, at)
        if server is None or not self._fits(server, name, credential, at):
            return None
        if not check_mechanism(section.mechanism, name, credential, at(("mechanism",)), self._problems):
            return None
        user = (credential.user if isinstance(credential, Password) else None) or ""
        return Find(
            FindVia.IMAP,
            scope=credential.imap_scope,
            server=server,
            mechanism=section.mechanism,
            user=user,
            password=not credential.gives_tokens,
        )

    def _is_alone(self, section: FindSection, at: At, without: Collection[str]) -> bool:
        unused = [key for key in without if key in section.model_fields_set]
        for key in unused:
            self._problems.error(at((key,)), f"has no effect with via: {section.via}", hint="remove it")
        return not unused

    def _credential(self, name: str | None, at: At) -> Credential | None:
        place = at(("credential",))
        if name is None:
            self._problems.error(place, "is missing", hint="name the credential that may read the mailbox")
        elif name not in self._known_names:
            hint = nearest(name, self._known_names) or "there is none under credentials"
            self._problems.error(place, "there is no credential of this name", value=name, hint=hint)
        return self._credentials.get(name or "")

    def _server(self, section: ImapServerSection, credential: Credential, at: At) -> Server | None:
        host = section.host or _host_of(credential)
        if host is None:
            hint = "name the IMAP server; the credential does not imply it"
            self._problems.error(at(("server", "host")), "is missing", hint=hint)
            return None
        early = section.security in {Security.STARTTLS, Security.NONE}
        port = section.port or (_STARTTLS_PORT if early else _IMPLICIT_TLS_PORT)
        return Server(
            host=host,
            port=port,
            security=section.security or (Security.STARTTLS if port == _STARTTLS_PORT else Security.IMPLICIT),
            server_name=section.server_name or host,
            ehlo="",
            ca_file=str(section.ca_file.absolute()) if section.ca_file else None,
            ip_version=section.ip_version,
            min_tls=section.min_tls,
            allow_plaintext=section.allow_plaintext,
        )

    def _fits(self, server: Server, name: str, credential: Credential, at: At) -> bool:
        """Report what cannot work about a server, and return whether it may."""
        mistakes = [*_server_mistakes(server), *_host_mistakes(server.host, name, credential)]
        for key, message, hint in mistakes:
            self._problems.error(at(("server", key)), message, value=getattr(server, key), hint=hint)
        return not mistakes


def _is_same(one: Find, other: Find) -> bool:
    """Return whether two searches are of the same mailbox by the same login."""
    return replace(one, mailbox=one.mailbox.casefold()) == replace(other, mailbox=other.mailbox.casefold())


def _server_mistakes(server: Server) -> Iterator[tuple[str, str, str]]:
    """Yield key, message and hint of what cannot work with any credential."""
    if server.port in _SUBMISSION_PORTS:
        yield "port", "is a port of SMTP, not of IMAP", f"write port: {_IMPLICIT_TLS_PORT}"
    if server.ca_file and (error := trust_error(server.ca_file)):
        yield "ca_file", error, ""
    if server.security is Security.NONE and not server.allow_plaintext:
        hint = "use implicit or starttls; where nobody can eavesdrop, set allow_plaintext: true"
        yield "security", "without TLS no token is sent, and the search needs to send one", hint


def _host_mistakes(host: str, name: str, credential: Credential) -> Iterator[tuple[str, str, str]]:
    """Yield what cannot work because the host is not the credential's provider's; an issuer of one's own is free."""
    right = _host_of(credential)
    if right is None:
        return
    of_host, of_credential = provider_of_host(host), provider_of_credential(credential.type)
    homes = clouds_of_imap_host(host)
    if of_host and of_credential and of_host is not of_credential:
        message = f"belongs to {of_host.title()}, and credential {name} gives tokens of {of_credential.title()}"
        yield "host", message, f"write {right}, or name a credential of the server's provider"
    elif of_host and host.lower().startswith("smtp"):
        yield "host", "is for submission, not for reading", f"write {right}"
    elif homes and isinstance(credential, CloudCredential) and credential.cloud not in homes:
        message = f"belongs to cloud {' or '.join(sorted(homes))}, and credential {name} to {credential.cloud}"
        yield "host", message, f"write {right}, or set the right cloud in the credential"


def _host_of(credential: Credential) -> str | None:
    """Return the host of the provider's IMAP; None for an issuer of one's own."""
    if isinstance(credential, CloudCredential):
        return None if credential.authority else CLOUDS[credential.cloud].imap_host
    provider = provider_of_credential(credential.type)
    return default_imap_host(provider) if provider else None
