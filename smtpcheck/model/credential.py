"""What is known of a credential: from its configuration, and from its use so far.

Rules of this file:
- Plain values, read by diagnosis, metrics and pages; no token and no secret.
- Timestamps are wall clock (Unix seconds).
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from smtpcheck.model.report import TokenError


@dataclass(frozen=True, slots=True)
class CredentialHints:
    """What the configuration says of a credential, for the texts of a remedy: no secret."""

    name: str
    """Its name in the configuration; empty where options of the command line describe it."""
    type: str
    """The credential's `type`, as configured."""
    tenant: str = ""
    client_id: str = ""
    cloud: str = ""
    scope: str = ""
    """The scope that is requested."""
    grant: str = ""
    """How a token is asked for, where the type leaves that to the configuration."""
    inspected: bool = False
    """Whether there is an inspector, so that the provider itself can be asked."""


@dataclass(frozen=True, slots=True)
class CredentialState:
    """What the metrics and the page say of one credential; plain values, read at scrape."""

    name: str
    type: str
    success: bool | None = None
    """Whether the last answer for every subject was a token; None before the first."""
    expires_at: float | None = None
    """When the earliest of its tokens expires."""
    acquisition_seconds: float | None = None
    """How long the last request to the issuer took."""
    requests: Mapping[str, int] = field(default_factory=dict)
    """Requests to the issuer so far by result: `success` or `error`."""
    fresh_success: bool | None = None
    """Whether the last request that bypassed caches succeeded; None before the first."""
    error: TokenError | None = None
    """The last error, None after a success."""
    client_secret_expires_at: float | None = None
    client_secret_name: str = ""
    """Which of the application's secrets is in use, in the issuer's words; never the secret."""
    client_certificate_expires_at: float | None = None
    refresh_token_last_refresh_at: float | None = None
    refresh_token_expires_at: float | None = None
