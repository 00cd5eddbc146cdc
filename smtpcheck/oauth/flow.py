"""What a way to a token is: the protocol between the broker and the flows.

Rules of this file:
- A flow is synchronous and blocking; the broker calls it in its own threads, never twice at once for one credential.
- A flow always asks the issuer, bypassing caches of its libraries, so that an old error or token is never shown as new.
- A flow uses its secrets as they are at each request, and holds no connection between two of them.
- The world's failures are values: a flow raises only for our own bugs.
"""

from dataclasses import dataclass
from typing import Protocol

from smtpcheck.model.report import TokenError
from smtpcheck.secrets.secret import Secret


@dataclass(frozen=True, slots=True)
class IssuedToken:
    """The issuer's answer when it gave a token."""

    token: Secret
    expires_at: float | None
    """When the token expires (Unix seconds); None where it is not known."""
    refresh_in: float | None = None
    """After how many seconds to ask again at the latest, where the token's life is not what rules it."""


@dataclass(frozen=True, slots=True)
class CredentialLifetime:
    """What is known of the expiry of a credential itself; Unix seconds, None where it is not known."""

    client_secret_expires_at: float | None = None
    client_secret_name: str = ""
    """Which of the application's secrets is in use, in the issuer's words; never the secret."""
    client_certificate_expires_at: float | None = None
    refresh_token_last_refresh_at: float | None = None
    refresh_token_expires_at: float | None = None
    login_at: float | None = None
    """When a user last logged in with `smtpcheck login`; another one means that the issuer is asked again."""
    keep_alive_at: float | None = None
    """When the issuer is asked at the latest, even though no check needs a token."""


class Flow(Protocol):
    """One credential's way to a token."""

    @property
    def issuer(self) -> str:
        """The host that is asked, empty where no network is involved."""
        ...

    @property
    def lifetime(self) -> CredentialLifetime:
        """What is known of the credential's expiry, as of the last request or look; costs no read."""
        ...

    def reload(self) -> None:
        """Look at what the credential keeps on disk, if it does; blocks briefly, and is called every few seconds."""
        return

    @property
    def side_request_due(self) -> bool:
        """Whether there is something to do that can wait; costs no read."""
        return False

    def side_request(self) -> None:
        """Do what can wait, apart from the requests for tokens, and perhaps beside one; blocks."""
        return

    def request(self, subject: str | None, scope: str = "") -> IssuedToken | TokenError:
        """Ask the issuer for a token and wait for it.

        Args:
            subject: whose token; None where the credential has one token for all.
            scope: for what, where it is something else than the credential's own scope.
        """
        ...
