"""The issuers of a world, and the credential that asks them: in memory at the interface `Flow`."""

from collections import Counter
from random import Random
from typing import ClassVar, Literal

from smtpcheck.model.credential import CredentialHints
from smtpcheck.model.report import TokenError, TokenErrorKind
from smtpcheck.oauth.credential import Credential
from smtpcheck.oauth.flow import CredentialLifetime, Flow, IssuedToken
from smtpcheck.oauth.token_store import TokenFile
from smtpcheck.secrets.secret import Secret
from tests.simulation.clocks import VirtualSystem
from tests.simulation.faults import Conditions
from tests.simulation.loop import VirtualLoop
from tests.simulation.story import MARKER

TOKEN_LIVES = (3600.0, 3600.0, 3600.0, 86400.0)


class Issuer:
    """Gives the tokens of one credential, and knows which ones are good."""

    def __init__(
        self, name: str, loop: VirtualLoop, system: VirtualSystem, conditions: Conditions, chance: Random
    ) -> None:
        self.name, self.host = name, f"login.{name}.example"
        self.requests: list[float] = []
        """When it was asked (monotonic seconds)."""
        self.life = chance.choice(TOKEN_LIVES)
        self._good: dict[str, tuple[str | None, float]] = {}
        self._loop, self._system, self._conditions, self._chance = loop, system, conditions, chance
        self.results: Counter[str] = Counter()

    def issue(self, subject: str | None) -> IssuedToken | TokenError:
        """Answer one request, in its own time."""
        self.requests.append(self._loop.virtual)
        self._loop.takes(self._chance.uniform(0.05, 0.8))
        error = self._error()
        if error is not None:
            self.results["error"] += 1
            return error
        self.results["success"] += 1
        life = self.life
        early = self._conditions.of("revoking", self.name)
        token = f"{MARKER}{self._chance.randbytes(24).hex()}"
        good_for = min(life, early.strength) if early else life + 30.0
        if early:
            self._conditions.once("revoked", self.name, life + 60.0)
        self._good[token] = (subject, self._loop.virtual + good_for)
        if len(self._good) > 200:
            self._good = {each: row for each, row in self._good.items() if row[1] > self._loop.virtual}
        return IssuedToken(Secret(token), self._system.wall() + life)

    def takes(self, token: str, subject: str) -> bool:
        """Return whether the token opens this mailbox now."""
        row = self._good.get(token)
        return row is not None and row[0] in {None, subject} and self._loop.virtual < row[1]

    def _error(self) -> TokenError | None:
        at, endpoint = self._system.wall(), f"https://{self.host}/token"
        of = self._conditions.of
        if of("no network", "agent"):
            self._loop.takes(5.0)
            return TokenError(TokenErrorKind.CONNECT, at, endpoint, description="no connection")
        if of("client refused", self.name):
            return TokenError(TokenErrorKind.OAUTH, at, endpoint, 401, "invalid_client", description="wrong secret")
        if throttled := of("throttling", self.name):
            return TokenError(TokenErrorKind.THROTTLED, at, endpoint, 429, retry_after=throttled.strength)
        if of("issuer down", self.name):
            return TokenError(TokenErrorKind.HTTP, at, endpoint, 503, body="maintenance")
        if of("issuer refusing", self.name):
            return TokenError(TokenErrorKind.REFUSED, at, endpoint, description="connection refused")
        if of("issuer silent", self.name):
            self._loop.takes(25.0)
            return TokenError(TokenErrorKind.TIMEOUT, at, endpoint, description="no answer")
        return None


class Issuers:
    """The issuers of the world that runs; a credential finds its own there."""

    current: ClassVar[dict[str, Issuer]] = {}


class SimulatedFlow(Flow):
    """The way to one issuer."""

    def __init__(self, issuer: Issuer, per_mailbox: bool) -> None:
        self._issuer, self._per_mailbox = issuer, per_mailbox

    @property
    def issuer(self) -> str:
        return self._issuer.host

    @property
    def lifetime(self) -> CredentialLifetime:
        return CredentialLifetime()

    def request(self, subject: str | None, scope: str = "") -> IssuedToken | TokenError:
        return self._issuer.issue(subject if self._per_mailbox else None)


class SimulatedCredential(Credential):
    """A credential of the world; another `version` is another credential."""

    type: Literal["simulated"] = "simulated"
    issuer: str
    version: int = 0

    @property
    def scope(self) -> str:
        return "mail"

    def flow(self, login: TokenFile | None = None) -> Flow:
        return SimulatedFlow(Issuers.current[self.issuer], self.uses_subject)

    def hints(self, name: str) -> CredentialHints:
        return CredentialHints(name=name, type=self.type, tenant=f"{self.issuer}.example", scope=self.scope)


class CredentialOfMailboxes(SimulatedCredential):
    """Each mailbox has a token of its own."""

    uses_subject: ClassVar[bool] = True
