"""What every run of a check shares: tokens, network, limits, rules and finders."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from smtpcheck.check.talk import Talk
from smtpcheck.config import Settings
from smtpcheck.config.options import OPTIONS
from smtpcheck.diagnosis.catalogue import Catalogue, load
from smtpcheck.limits.api_concurrency import LEAST_SPACING, ApiConcurrency
from smtpcheck.limits.connection_limit import ConnectionLimit
from smtpcheck.limits.mailbox_lock import MailboxLocks
from smtpcheck.limits.send_limits import tenant_of
from smtpcheck.loopback.search import Finders
from smtpcheck.mail_api.connections import Connections
from smtpcheck.model.check import Check, Depth
from smtpcheck.model.credential import CredentialHints
from smtpcheck.network.network import Network
from smtpcheck.oauth.broker import TokenBroker
from smtpcheck.oauth.token_store import TokenStore
from smtpcheck.system import SYSTEM, System


@dataclass(frozen=True, slots=True)
class Kit:
    """What every probe shares."""

    tokens: TokenBroker
    network: Network
    connections: ConnectionLimit
    catalogue: Catalogue
    hints: Mapping[str, CredentialHints]
    """What the configuration says of each credential, by its name."""
    finders: Finders
    system: System = SYSTEM
    apis: ApiConcurrency[Talk] = field(default_factory=ApiConcurrency)
    """The limits for mail APIs, and what the last proof of each mailbox saw."""
    api_connections: Connections = field(default_factory=Connections)
    proxies: Mapping[str, str | None] = field(default_factory=dict)
    """The configured proxy of each credential, by its name."""

    def wall(self) -> float:
        """Return the time (Unix seconds)."""
        return self.system.wall()

    def monotonic(self) -> float:
        """Return the monotonic seconds."""
        return self.system.monotonic()

    def issuer(self, check: Check) -> str:
        """Return the host of the check's issuer, empty where there is none."""
        return self.tokens.issuer(check.credential) if check.credential else ""

    def tenant(self, check: Check) -> str:
        """Return whose messages count together with those of the check's mailbox: its tenant, else its domain."""
        return tenant_of(check.mailbox, self.hints.get(check.credential or ""))

    def proof_wait(self, check: Check) -> float:
        """Return after how many seconds a mail API may be asked again for a proof that the check needs."""
        if check.via is None or check.silent.depth is not Depth.AUTH:
            return 0.0
        last = self.apis.last_proof(check.server.host, check.mailbox, self.monotonic())
        return 0.0 if last is None else LEAST_SPACING - last[0]

    def proxy(self, check: Check) -> str | None:
        """Return the proxy that is configured for the check's requests over HTTP."""
        return self.proxies.get(check.credential or "")

    async def close(self) -> None:
        """Let go of threads, connections to issuers and APIs, and locks."""
        self.api_connections.close()
        self.finders.close()
        await self.tokens.close()
        self.network.close()
        self.connections.close()


async def build_kit(
    settings: Settings, locks: MailboxLocks | None = None, *, claims: bool = False, system: System = SYSTEM
) -> Kit:
    """Return a kit for the settings; TLS contexts and the catalogue are made off the loop.

    With `claims` no second kit that does so may use the same refresh tokens: what an agent is built with.
    """
    network, rules = await asyncio.gather(network_of(settings), asyncio.to_thread(load))
    tokens = TokenBroker(
        settings.credentials,
        store=TokenStore(settings.agent.state / "tokens", key=settings.agent.token_key, claims=claims),
        fresh_every=settings.agent.fresh_every,
        wall=system.wall,
        monotonic=system.monotonic,
    )
    connections = ConnectionLimit(settings.agent.max_open_connections, locks)
    apis: ApiConcurrency[Talk] = ApiConcurrency()
    return Kit(
        tokens=tokens,
        network=network,
        connections=connections,
        catalogue=rules,
        hints=_hints(settings),
        finders=Finders(settings.credentials, tokens=tokens, connections=connections, network=network, apis=apis),
        system=system,
        apis=apis,
        proxies=_proxies(settings),
    )


async def network_of(settings: Settings) -> Network:
    """Return the network for the servers of the settings; TLS contexts are made off the loop."""
    return await asyncio.to_thread(_network, settings)


def rebuilt(kit: Kit, settings: Settings, network: Network) -> Kit:
    """Return the kit for other settings and their network: tokens of unchanged credentials, limit and catalogue stay.

    Nothing is awaited, so that no run sees some settings old and others new.
    """
    kit.tokens.replace(settings.credentials)
    kit.finders.replace(settings.credentials, network)
    return replace(kit, network=network, hints=_hints(settings), proxies=_proxies(settings))


def _network(settings: Settings) -> Network:
    finds = (find for loopback in settings.loopbacks.values() for find in loopback.searched)
    mail = {find.server for find in finds if find.server is not None}
    return Network.for_servers({check.server for check in settings.checks} | mail)


def _hints(settings: Settings) -> dict[str, CredentialHints]:
    credentials = settings.credentials.items()
    return {name: credential.hints("" if name == OPTIONS else name) for name, credential in credentials}


def _proxies(settings: Settings) -> dict[str, str | None]:
    return {name: credential.proxy for name, credential in settings.credentials.items()}
