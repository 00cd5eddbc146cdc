"""What a mail API is: which request proves the right to send, which one sends, and what an answer means.

Rules of this file:
- An API is pure: it makes requests and reads responses, and sends nothing itself (`call.py` does).
- A proof must not be able to send. Where its answer says that something was sent all the same, that is `SENT`.
- What an answer says is kept as `ApiAnswer`: printable, bounded, and without anything that was sent.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from types import MappingProxyType

from smtpcheck.http_client.connection import HttpRequest
from smtpcheck.http_client.exchange import Response
from smtpcheck.model.check import Check
from smtpcheck.model.report import ApiAnswer
from smtpcheck.secrets.secret import Secret


@dataclass(frozen=True, slots=True)
class StatedLimit:
    """A limit that a service states for an account or a key."""

    what: str
    """What is counted: `requests`, or `messages` alone."""
    count: int
    seconds: int
    """In how many seconds."""


Facts = Mapping[str, float | str]
"""What an API says of an account, by stable names."""
NOTHING: Facts = MappingProxyType({})

LONGEST_TEXT = 400
LONGEST_ERROR = 80


@dataclass(frozen=True, slots=True)
class Outgoing:
    """One message that is to be sent."""

    content: bytes
    """The whole message (RFC 5322), with CRLF line ends."""
    key: str
    """Letters and digits that no other message has, the same whenever this one is sent: for idempotent APIs."""
    is_searched_for: bool
    """Whether a loopback looks for it, by its Message-ID among others."""


class Ruling(StrEnum):
    """What an answer means for the request that it answers."""

    ACCEPTED = "accepted"
    """It has what it asked for: of a proof, the right to send is proven; of a message, it was taken."""
    REFUSED = "refused"
    SENT = "sent"
    """A proof, which must send nothing, was taken for a message."""


@dataclass(frozen=True, slots=True)
class Reading:
    """What one response says."""

    ruling: Ruling
    answer: ApiAnswer
    facts: Facts = field(default_factory=dict)
    """What else it says of the account, by stable names."""


class MailApi(ABC):
    """One mail API. It has no state; one object serves all checks."""

    name: str
    """As the configuration has it."""
    base: str = ""
    """The URL in front of the API's own paths where neither credential, region nor configuration gives another."""
    credential_types: frozenset[str]
    """The types of credentials that it takes."""
    permissions: tuple[str, ...] = ()
    """What an administrator must grant for sending, in the provider's own words."""
    proves: bool = True
    """Whether the right to send can be proven without a message; without it there is no depth `auth`."""
    unprovable: str = ""
    """Why not, where it cannot."""
    needs_secret: bool = False
    """Whether a key has two halves."""
    carries_headers: bool = True
    """Whether a message arrives with the headers that it was given, by which a loopback finds it."""
    base_hint: str = ""
    """What to write as `base`, where the API has no address that is the same for all."""
    repeats: bool = False
    """Whether a message with the same key is sent once however often it is requested."""
    limits: tuple[StatedLimit, ...] = ()
    """What the service states, where it is known as a number."""
    kept_headers: tuple[str, ...] = ()
    """Headers of a response that `read_*` need, in lower case."""
    takes: frozenset[str] = frozenset()
    """The keys of `via` that have a meaning here, of `region`, `domain` and `template`."""
    needs: frozenset[str] = frozenset()
    """Those of them that must be given."""

    def base_in(self, region: str) -> str | None:
        """Return the URL in front of the API's paths in a region, empty for the default; None: no such region."""
        return self.base if not region else None

    @abstractmethod
    def proof(self, check: Check) -> tuple[HttpRequest, ...]:
        """Return the requests that prove the right to send and send nothing; all must be accepted."""

    @abstractmethod
    def message(self, check: Check, outgoing: Outgoing) -> HttpRequest:
        """Return the request that sends a message of the check's sender to its recipient."""

    @abstractmethod
    def read_proof(self, check: Check, response: Response, known: Facts = NOTHING) -> Reading:
        """Return what the response to a request of `proof` says; `known` are the facts of those before it."""

    @abstractmethod
    def read_message(self, check: Check, response: Response) -> Reading:
        """Return what the response to the request of `message` says."""

    def authorized(self, check: Check, request: HttpRequest, secret: Secret, *, now: float) -> HttpRequest:  # noqa: ARG002
        """Return the request with its credential; `now` (Unix seconds) is for those that are signed."""
        headers = {**request.headers, "Authorization": f"Bearer {secret.reveal()}"}
        return replace(request, headers=headers)

    def may_be_stale(self, answer: ApiAnswer) -> bool:  # noqa: ARG002
        """Return whether the refusal may be of an old token alone, so that a fresh one is worth one more request."""
        return False


def answer_of(
    response: Response, *, error: object = "", text: object = "", request_id: str = "", message_id: object = ""
) -> ApiAnswer:
    """Return a response as an answer; without `text` the beginning of its body is what it says."""
    said = text if isinstance(text, str) and text else response.text
    return ApiAnswer(
        status=response.status,
        error=_shown(response, error, LONGEST_ERROR),
        text=_shown(response, said, LONGEST_TEXT),
        request_id=response.headers.get(request_id, "")[:LONGEST_ERROR] if request_id else "",
        message_id=_shown(response, message_id, LONGEST_TEXT),
        retry_after=response.retry_after,
    )


def _shown(response: Response, value: object, limit: int) -> str:
    text = value if isinstance(value, str) else str(value) if isinstance(value, int) else ""
    return " ".join(response.shown(text, limit).split()) if text else ""
