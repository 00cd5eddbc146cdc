"""What all connections of a configuration share."""

from collections.abc import Iterable
from dataclasses import dataclass, field

from smtpcheck.model.check import Server
from smtpcheck.network.resolver import Resolver
from smtpcheck.network.tls import TlsContexts


@dataclass(frozen=True, slots=True)
class Network:
    """TLS contexts and name resolution; used by one event loop."""

    contexts: TlsContexts
    resolver: Resolver = field(default_factory=Resolver)

    @classmethod
    def for_servers(cls, servers: Iterable[Server]) -> "Network":
        """Build it for these servers; blocks some 25 ms for each distinct TLS setting, so call it in a thread.

        Raises `OSError` if a server's `ca_file` cannot be read or holds no certificate.
        """
        return cls(TlsContexts(servers))

    def close(self) -> None:
        """Start no more lookups."""
        self.resolver.close()
