"""The embedded world put together: issuer, SMTP listeners, and the configuration of smtpcheck that checks them.

Rules of this file:
- All of it lives in the running event loop and in one folder; `close` leaves no socket and no task behind.
- Each credential makes its own ids and secrets; secret files have mode 0600.
"""

import json
import os
import ssl
import uuid
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import TracebackType
from typing import Self

from smtpcheck.sandbox.certificates import Authority, Certificate
from smtpcheck.sandbox.credentials import CREDENTIAL_KINDS, Application, Credential, GoogleAccount
from smtpcheck.sandbox.directory import Tenant
from smtpcheck.sandbox.exchange import Exchange, by_permission
from smtpcheck.sandbox.flaws import FLAWS, Flaw
from smtpcheck.sandbox.gmail import Gmail
from smtpcheck.sandbox.google import GoogleIssuer
from smtpcheck.sandbox.google_flaws import GOOGLE_FLAWS
from smtpcheck.sandbox.graph_directory import announcement, incident, policy
from smtpcheck.sandbox.imap import ExchangeAuthenticator, GmailAuthenticator, ImapServer
from smtpcheck.sandbox.imap_session import GMAIL_IMAP, ImapListener
from smtpcheck.sandbox.issuer import Issuer
from smtpcheck.sandbox.mail_apis import MailApis
from smtpcheck.sandbox.mail_service import Mailbox, MailService
from smtpcheck.sandbox.mail_store import MailStore
from smtpcheck.sandbox.postfix import Postfix
from smtpcheck.sandbox.scenario import DOMAIN, POSTFIX, RECIPIENT, CredentialKind, Registration, Scenario
from smtpcheck.sandbox.scenarios import SCENARIOS
from smtpcheck.sandbox.smtp_session import Listener

_TENANT_DOMAIN = "contoso.onmicrosoft.com"
_DEFAULTS = {"interval": "5s", "timeout": "10s", "token_timeout": "5s", "depth": "auth"}


class World:
    """An issuer and an SMTP service on loopback, with one check for each scenario.

    Attributes:
        config: the configuration file that smtpcheck is started with.
        ca_file: the authority that issued every certificate, in PEM.
        scenarios: what the world was made of.
        expected: the scenario of each check, by the check's name.
        issuer: the issuer like Entra; its apps may be changed while the world runs.
        google: the issuer like Google; its accounts may be changed while the world runs.
        exchange: the SMTP service like Exchange Online; its mailboxes may be changed while the world runs.
        administration: who may do what there; it may be changed too.
        gmail: the SMTP service like Gmail, with the mailboxes of the scenarios at Google.
        postfix: the SMTP service of one's own, with the mailboxes of the scenarios there.
        store: the mailboxes into which all of them deliver.
        imap: the IMAP service like that of Exchange Online; `imap_port` is its port.
        gmail_imap: the IMAP service like that of Gmail; `gmail_imap_port` is its port.
        mail_apis: the mail APIs that take a key, with the accounts of the scenarios there.
        authenticator: decides about logins at `imap`.
        ports: the port of each listener.
    """

    def __init__(self, folder: Path, scenarios: Iterable[Scenario] = SCENARIOS, listen: str = "127.0.0.1:9587") -> None:
        """Keep everything in `folder`, which exists; `listen` is the address of the agent that will check it."""
        self.scenarios = tuple(scenarios)
        self.expected: Mapping[str, Scenario] = {scenario.name: scenario for scenario in self.scenarios}
        if len(self.expected) < len(self.scenarios):
            raise ValueError("two scenarios have the same name")
        self.config = folder / "checks.yaml"
        self.ca_file = folder / "ca.pem"
        self._folder, self._listen = folder, listen
        self._authority = Authority()
        self._credentials = [
            CREDENTIAL_KINDS[registration.kind](registration, addresses, self._authority)
            for registration, addresses in self._registrations()
        ]
        self._tenant = Tenant(str(uuid.uuid4()), _TENANT_DOMAIN, {})
        self.store = MailStore()
        self.issuer = Issuer([self._tenant], self.store)
        self.google = GoogleIssuer([])
        self.google.gmail_api.store = self.store
        own = [scenario for scenario in self.scenarios if scenario.server == POSTFIX]
        at_google = [scenario for scenario in self.scenarios if scenario.registration.kind.google]
        others = [scenario for scenario in self.scenarios if scenario not in own and scenario not in at_google]
        if {scenario.server for scenario in at_google} & {scenario.server for scenario in (*others, *own)}:
            raise ValueError("a listener belongs to one service")
        self.administration = self.issuer.graph_directory.exchange
        own_addresses = (_address, _recipient, _sender)
        self.administration.add(address_of(each) for each in others for address_of in own_addresses)
        self.exchange = Exchange(
            *(self.issuer.key, self._tenant.id, map(self._mailbox, others), self.store), permits=self._permits
        )
        self.gmail = Gmail(self.google, map(self._mailbox, at_google), self.store)
        self.postfix = Postfix(DOMAIN, map(self._mailbox, own), self.store)
        self.authenticator = ExchangeAuthenticator(self.issuer.key, self._tenant.id)
        self.imap = ImapServer(self.store, self.authenticator)
        self.gmail_imap = ImapServer(self.store, GmailAuthenticator(self.google))
        self.mail_apis = MailApis(self.store)
        self.imap_port = self.gmail_imap_port = 0
        self.ports: dict[Listener, int] = {}
        for scenario in self.scenarios:
            if scenario.graph is not None:
                self.issuer.graph_send.mailboxes[_address(scenario)] = scenario.graph
        for address in (_recipient(scenario) for scenario in self.scenarios if scenario.finding.closed):
            self.authenticator.closed.add(address)
            self.issuer.graph_mail.denied.add(address)

    async def start(self) -> None:
        """Open the ports and write the folder."""
        contexts = {kind: self._authority.server_context(kind) for kind in Certificate}
        await self.issuer.start(contexts[Certificate.VALID])
        await self.google.start(contexts[Certificate.VALID])
        await self.mail_apis.start(contexts[Certificate.VALID])
        for scenario in self.scenarios:
            listener = scenario.server
            if listener not in self.ports and "via" not in scenario.check:
                self.ports[listener] = await self._service(scenario).listen(listener, contexts[listener.certificate])
        self.imap_port = await self.imap.listen(ImapListener(), contexts[Certificate.VALID])
        self.gmail_imap_port = await self.gmail_imap.listen(GMAIL_IMAP, contexts[Certificate.VALID])
        self.ca_file.write_bytes(self._authority.pem)
        for credential in self._credentials:
            credential.register(self._tenant, self.issuer, self.google)
            credential.open_account(self.mail_apis)
            for name, content in credential.files().items():
                _write_secret(self._folder / name, content)
        self._spoil()
        self.config.write_text(self._configuration(), encoding="utf-8")

    async def close(self) -> None:
        """Close every port and cut every connection; the folder stays."""
        self.store.close()
        submission = (self.exchange, self.gmail, self.postfix)
        for service in (*submission, self.imap, self.gmail_imap, self.mail_apis, self.issuer, self.google):
            await service.close()

    async def __aenter__(self) -> Self:
        try:
            await self.start()
        except BaseException:
            await self.close()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    def server_context(self, certificate: Certificate) -> ssl.SSLContext:
        """Return the TLS context of a further listener."""
        return self._authority.server_context(certificate)

    def secrets(self) -> frozenset[str]:
        """Return every token, secret, assertion and private key that has existed so far."""
        own = (text for one in self._credentials for text in one.secrets())
        entra = (*self.issuer.minted, *self.issuer.assertions, *self.issuer.sign_ins.issued)
        return frozenset({*own, *entra, *self.google.issued, *self.google.assertions})

    @contextmanager
    def before_drift(self) -> Iterator[frozenset[str]]:
        """Have the rights that scenarios have withdrawn be there in the block, as when they were last read.

        The value is the names of the credentials that they are of.
        """
        drifting = [scenario for scenario in self.scenarios if scenario.flaw is Flaw.RIGHT_WITHDRAWN]
        entries = [entry for each in drifting if (entry := self.administration.mailbox(_address(each))) is not None]
        withdrawn = [entry.closed_to for entry in entries]
        for entry in entries:
            entry.closed_to = set()
        try:
            yield frozenset(each.registration.name for each in drifting)
        finally:
            for entry, rights in zip(entries, withdrawn, strict=True):
                entry.closed_to = rights

    def _registrations(self) -> Iterable[tuple[Registration, list[str]]]:
        """Return each registration with the addresses of its checks."""
        found: dict[str, tuple[Registration, list[str]]] = {}
        for scenario in self.scenarios:
            reader = scenario.finding.registration or scenario.registration
            inspector = scenario.registration.inspected_by
            users = [(scenario.registration, _address(scenario)), (reader, _recipient(scenario))]
            for used, address in [*users, *([(inspector, "")] if inspector else [])]:
                if used.kind is CredentialKind.NONE:
                    continue
                registration, addresses = found.setdefault(used.name, (used, []))
                if registration != used:
                    raise ValueError(f"two registrations have the name {used.name}")
                if address and address not in addresses:
                    addresses.append(address)
        return found.values()

    def _spoil(self) -> None:
        """Give the tenant the flaws of the scenarios."""
        apps = {one.registration.name: one.app for one in self._credentials if isinstance(one, Application)}
        accounts = {one.registration.name: one.account for one in self._credentials if isinstance(one, GoogleAccount)}
        for scenario in self.scenarios:
            flaw = scenario.flaw
            entry = self.administration.mailbox((_sender if flaw is Flaw.NO_SEND_AS else _address)(scenario))
            if flaw is Flaw.NO_LICENCE:
                self._tenant.premium = False
            elif flaw is Flaw.POLICY:
                self._tenant.policies.append(policy())
            elif flaw is Flaw.INCIDENT:
                self.issuer.graph_directory.incidents = [incident()]
                self.issuer.graph_directory.messages = [announcement()]
            elif flaw is not None and flaw in GOOGLE_FLAWS:
                user = self.google.users[_address(scenario).casefold()]
                GOOGLE_FLAWS[flaw](self.google, accounts[scenario.registration.name], user)
            elif flaw is not None and entry is not None:
                FLAWS[flaw](self.administration, apps[scenario.registration.name], entry)

    def _permits(self, client_id: str, permissions: Collection[str], address: str) -> bool:
        app = self._tenant.apps.get(client_id)
        if app is None:
            return by_permission(client_id, permissions, address)
        return self.administration.permits(app, permissions, address)

    def _service(self, scenario: Scenario) -> MailService:
        if scenario.registration.kind.google:
            return self.gmail
        return self.postfix if scenario.server == POSTFIX else self.exchange

    def _mailbox(self, scenario: Scenario) -> Mailbox:
        passwords = {one.registration.name: one.password for one in self._credentials}
        password = passwords.get(scenario.registration.name, "")
        return Mailbox(
            _address(scenario),
            scenario.refuses,
            scenario.connections,
            scenario.send_as,
            password,
            scenario.delivery,
        )

    def _configuration(self) -> str:
        agent = {"listen": self._listen, "state": str(self._folder / "state")}
        parts = [
            "# Written by the sandbox: one check for each scenario.",
            _entry("agent:", "  ", agent),
            _entry("defaults:", "  ", _DEFAULTS),
            "credentials:",
            *(_entry(f"  {one.registration.name}:", "    ", self._credential(one)) for one in self._credentials),
            "checks:",
            *(_entry(f"  - name: {one.name}  # {one.shows}", "    ", self._check(one)) for one in self.scenarios),
        ]
        return "\n".join(parts) + "\n"

    def _credential(self, credential: Credential) -> dict[str, object]:
        keys = credential.keys(self._tenant, self.issuer, self.google)
        inspector = credential.registration.inspected_by
        return {**keys, "ca_file": self.ca_file.name, **_inspect(inspector), **credential.registration.keys}

    def _check(self, scenario: Scenario) -> dict[str, object]:
        listener = scenario.server
        login = {"mailbox": _address(scenario), "credential": scenario.registration.name}
        return {
            **(login if scenario.registration.kind is not CredentialKind.NONE else {}),
            "server": self._server(scenario, listener),
            **scenario.check,
            **self._via(scenario),
            **_granted(scenario),
            **self._loopback(scenario),
        }

    def _via(self, scenario: Scenario) -> dict[str, object]:
        """Return the check's `via` with the address of an API that no credential implies; nothing for SMTP."""
        via = scenario.check.get("via")
        if not isinstance(via, Mapping) or via["api"] == "graph":
            return {}
        at_google = via["api"] == "gmail"
        return {"via": {**via, "base": self.google.url.rstrip("/") if at_google else self.mail_apis.base(via["api"])}}

    def _server(self, scenario: Scenario, listener: Listener) -> dict[str, object]:
        if "via" in scenario.check:
            return {"ca_file": self.ca_file.name}
        return {
            "host": "localhost",
            "port": self.ports[listener],
            "security": "implicit" if listener.implicit_tls else "starttls",
            "ca_file": self.ca_file.name,
        }

    def _loopback(self, scenario: Scenario) -> dict[str, object]:
        """Return the check's loopback with its `find`, nothing for a check without one."""
        loopback, finding = scenario.check.get("loopback"), scenario.finding
        if not isinstance(loopback, Mapping):
            return {}
        reader = finding.registration or scenario.registration
        find: dict[str, object] = {"via": finding.via}
        if finding.via != "none" and finding.registration is not None:
            find["credential"] = reader.name
        if finding.via == "imap":
            port = self.gmail_imap_port if reader.kind.google else self.imap_port
            find["server"] = {"host": "localhost", "port": port, "ca_file": self.ca_file.name}
        return {"loopback": {**loopback, "find": find}}


def _inspect(inspector: Registration | None) -> dict[str, object]:
    """Return the key by which a credential is inspected, nothing for one that is not."""
    if inspector is None:
        return {}
    options = {} if inspector.kind.google else {"exchange": True, "sign_ins": True}
    return {"inspect": {"by": inspector.name, **options}}


def _granted(scenario: Scenario) -> dict[str, object]:
    """Return that rights were granted a minute ago, where the tokens are older."""
    if not scenario.registration.token_age:
        return {}
    return {"granted": f"{datetime.now(UTC) - timedelta(minutes=1):%Y-%m-%dT%H:%M:%SZ}"}


def _address(scenario: Scenario) -> str:
    return f"{scenario.name}@{DOMAIN}"


def _sender(scenario: Scenario) -> str:
    return str(scenario.check.get("sender", _address(scenario)))


def _recipient(scenario: Scenario) -> str:
    """Return the mailbox that the loopback's messages go to."""
    loopback = scenario.check.get("loopback")
    return str(loopback.get("to", RECIPIENT)) if isinstance(loopback, Mapping) else _address(scenario)


def _write_secret(path: Path, text: str) -> None:
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8") as file:
        file.write(text)


def _entry(head: str, indent: str, values: Mapping[str, object]) -> str:
    # YAML 1.2 takes JSON as it is, so each value is written as JSON after its key.
    return "\n".join([head, *(f"{indent}{key}: {json.dumps(value)}" for key, value in values.items())])
