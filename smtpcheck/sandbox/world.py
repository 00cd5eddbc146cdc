"""The embedded world put together: issuer, SMTP listeners, and the configuration of smtpcheck that checks them.

Rules of this file:
- All of it lives in the running event loop and in one folder; `close` leaves no socket and no task behind.
- Ids, secrets and keys are made anew for each world; secret files have mode 0600.
"""

import json
import os
import secrets
import uuid
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

from smtpcheck.sandbox.authority import Authority, Certificate
from smtpcheck.sandbox.exchange import Exchange
from smtpcheck.sandbox.issuer import App, Issuer, Tenant
from smtpcheck.sandbox.mail_service import Mailbox
from smtpcheck.sandbox.scenarios import DOMAIN, SCENARIOS, Registration, Scenario
from smtpcheck.sandbox.session import Listener

_TENANT_DOMAIN = "contoso.onmicrosoft.com"
_DEFAULTS = {"interval": "5s", "timeout": "10s", "token_timeout": "5s", "depth": "auth"}


class World:
    """An issuer and an SMTP service on loopback, with one check for each scenario.

    Attributes:
        config: the configuration file that smtpcheck is started with.
        ca_file: the authority that issued every certificate, in PEM.
        scenarios: what the world was made of.
        expected: the scenario of each check, by the check's name.
        issuer: the issuer; its apps may be changed while the world runs.
        exchange: the SMTP service; its mailboxes may be changed while the world runs.
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
        self._credentials = [_Credential(registration, self._authority) for registration in self._registrations()]
        apps = {one.app.client_id: one.app for one in self._credentials if one.registration.known}
        tenant = Tenant(str(uuid.uuid4()), _TENANT_DOMAIN, apps)
        self.issuer = Issuer([tenant])
        self.exchange = Exchange(self.issuer.key, tenant.id, map(_mailbox, self.scenarios))
        self.ports: dict[Listener, int] = {}

    async def start(self) -> None:
        """Open the ports and write the folder."""
        contexts = {kind: self._authority.server_context(kind) for kind in Certificate}
        await self.issuer.start(contexts[Certificate.VALID])
        for scenario in self.scenarios:
            listener = scenario.server
            if listener not in self.ports:
                self.ports[listener] = await self.exchange.listen(listener, contexts[listener.certificate])
        self.ca_file.write_bytes(self._authority.pem)
        for credential in self._credentials:
            _write_secret(self._folder / credential.file, credential.proof)
        self.config.write_text(self._configuration(), encoding="utf-8")

    async def close(self) -> None:
        """Close every port and cut every connection; the folder stays."""
        await self.exchange.close()
        await self.issuer.close()

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

    def secrets(self) -> frozenset[str]:
        """Return every token, secret, assertion and private key that has existed so far."""
        proofs = {text for one in self._credentials for text in (one.proof, one.app.secret)}
        issued = {*self.issuer.minted, *self.issuer.assertions, *self.issuer.sign_ins.issued}
        return frozenset(proofs | issued)

    def _registrations(self) -> Iterable[Registration]:
        found: dict[str, Registration] = {}
        for scenario in self.scenarios:
            name = scenario.registration.name
            if found.setdefault(name, scenario.registration) != scenario.registration:
                raise ValueError(f"two registrations have the name {name}")
        return found.values()

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

    def _credential(self, credential: "_Credential") -> dict[str, object]:
        registration = credential.registration
        return {
            "type": "microsoft",
            "authority": self.issuer.url,
            "tenant": _TENANT_DOMAIN,
            "client_id": credential.app.client_id,
            "client_certificate" if registration.certificate else "client_secret": {"file": credential.file},
            "ca_file": self.ca_file.name,
            **registration.keys,
        }

    def _check(self, scenario: Scenario) -> dict[str, object]:
        listener = scenario.server
        return {
            "mailbox": _address(scenario),
            "credential": scenario.registration.name,
            "server": {
                "host": "localhost",
                "port": self.ports[listener],
                "security": "implicit" if listener.implicit_tls else "starttls",
                "ca_file": self.ca_file.name,
            },
            **scenario.check,
        }


class _Credential:
    """A registration with its ids and secrets."""

    def __init__(self, registration: Registration, authority: Authority) -> None:
        self.registration = registration
        name = registration.name
        self.file = f"{name}.pem" if registration.certificate else f"{name}.secret"
        self.app = App(
            client_id=str(uuid.uuid4()),
            secret=_secret(),
            roles=registration.roles,
            secret_expired=registration.secret_expired,
            disabled=registration.disabled,
            trouble=registration.trouble,
        )
        self.proof = _secret() if registration.wrong_secret else self.app.secret
        if registration.certificate:
            key, certificate = authority.client_credential(name)
            self.proof = key + certificate
            self.app.certificates = (certificate.encode(),)


def _secret() -> str:
    """Return a client secret that looks like Entra's."""
    return f"{secrets.token_hex(2)}8Q~{secrets.token_hex(16)}"


def _address(scenario: Scenario) -> str:
    return f"{scenario.name}@{DOMAIN}"


def _mailbox(scenario: Scenario) -> Mailbox:
    return Mailbox(_address(scenario), scenario.refuses, scenario.connections)


def _write_secret(path: Path, text: str) -> None:
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8") as file:
        file.write(text)


def _entry(head: str, indent: str, values: Mapping[str, object]) -> str:
    # YAML 1.2 takes JSON as it is, so each value stands as JSON behind its key.
    return "\n".join([head, *(f"{indent}{key}: {json.dumps(value)}" for key, value in values.items())])
