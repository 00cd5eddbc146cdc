"""How this room speaks HTTP: the session that every library of a flow is handed, and its faults as token errors.

Rules of this file:
- Only https:// is spoken, but to the endpoint of a managed identity or a broker of this machine, which is asked without
  TLS and never by a proxy.
- The last exchange is kept for the flow to judge, for a library's exception loses most of it.
"""

from pathlib import Path

from smtpcheck.http_client.blocking import BlockingSession
from smtpcheck.http_client.exchange import Fault, FaultKind, Limits
from smtpcheck.model.report import TokenError, TokenErrorKind
from smtpcheck.secrets.file_state import file_state

LIMITS = Limits(seconds=25.0, connect_seconds=5.0, octets=1024 * 1024)

_PUBLIC_FIELDS = frozenset(
    {"client_id", "grant_type", "scope", "client_info", "client_assertion_type", "resource", "audience", "claims"}
)
_KINDS = {
    FaultKind.REQUEST: TokenErrorKind.DISCOVERY,
    FaultKind.PROXY: TokenErrorKind.PROXY,
    FaultKind.REFUSED: TokenErrorKind.REFUSED,
    FaultKind.CLOSED: TokenErrorKind.HTTP,
    FaultKind.PROTOCOL: TokenErrorKind.HTTP,
    FaultKind.OUT_OF_RESOURCES: TokenErrorKind.OUT_OF_RESOURCES,
    FaultKind.NAME_NOT_FOUND: TokenErrorKind.NAME_NOT_FOUND,
    FaultKind.TLS: TokenErrorKind.TLS,
    FaultKind.TIMEOUT: TokenErrorKind.TIMEOUT,
}


class IssuerSession(BlockingSession):
    """A session for one issuer; not for two threads at once."""

    def __init__(self, *, ca_file: Path | None = None, proxy: str | None = None, local: bool = False) -> None:
        """See `BlockingSession`. Raises CaUnusableError."""
        super().__init__(ca_file=ca_file, proxy=proxy, local=local, limits=LIMITS, public_fields=_PUBLIC_FIELDS)


def trust_of(ca_file: Path | None) -> str:
    """Return what distinguishes a session's trust from that of one made earlier. Blocks briefly."""
    return str(file_state(ca_file)) if ca_file else ""


def unanswered(fault: Fault, *, requested_scope: str) -> TokenError:
    """Return the error for a request that got no response."""
    return TokenError(
        kind=_KINDS.get(fault.kind, TokenErrorKind.CONNECT),
        at=fault.at,
        endpoint=fault.endpoint,
        description=fault.detail,
        requested_scope=requested_scope,
    )
