"""What every kind of notifier has in its configuration, and what it does.

Rules of this file:
- A notifier is the configuration's own model: frozen, an unknown key is an error, and it holds no secret but by
  `SecretSource`. It opens nothing and reads no secret; its `sender` does, each time that it sends.
- A failure to send is a value. It says why in words that hold no secret.
"""

import re
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, GetJsonSchemaHandler
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema

from smtpcheck.alerts.notification import Notification
from smtpcheck.secrets.source import SecretSource

_NAME = re.compile(r"[a-zA-Z0-9_.-]{1,60}")


@dataclass(frozen=True, slots=True)
class Failure:
    """Why nothing was sent."""

    reason: str
    """A part of a sentence, without any secret: `answered 503 Service Unavailable`."""
    retry_after: float | None = None
    """Seconds that the other side asks to wait."""
    permanent: bool = False
    """Whether the very same will be refused again: it is dropped."""


@dataclass(frozen=True, slots=True)
class Route:
    """What a notifier depends on, as far as its configuration says."""

    host: str
    is_mail: bool = False
    """Whether it sends mail, and so depends on a mail host and the domain of an address."""


class Sender(ABC):
    """Sends notifications to one place."""

    max_batch: int = 1
    """How many notifications go into one request, at most."""
    is_remote: bool = True
    """Whether it leaves the agent, and so may fail."""
    refresh_every: float | None = None
    """Seconds after which an alert that still fires is sent again, because the place forgets it; None: it does not."""

    @abstractmethod
    async def send(self, notifications: Sequence[Notification]) -> Failure | None:
        """Send these notifications, all firing or all resolved; return why that failed, or None.

        Nothing is raised but cancellation. The caller bounds the time.
        """

    async def close(self) -> None:  # noqa: B027 - most hold nothing
        """Let go of what is held."""


def _named(name: str) -> str:
    if not _NAME.fullmatch(name):
        raise ValueError("is not a valid notifier name\nuse letters, digits, _ . and -; at most 60 of them")
    return name


class Notifier(BaseModel, ABC):
    """Where alerts are sent. Each kind is a subclass with a `type` of its own, named in `NOTIFIER_TYPES`."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    type: str
    name: Annotated[str, AfterValidator(_named)] = Field(
        default="", description="What it is called in metrics and logs. Default: its type."
    )
    match: dict[str, str] = Field(
        default={},
        description="Only checks with these labels; also severity, check and credential.",
    )

    @property
    def label(self) -> str:
        """Return what it is called: its name, or else its type."""
        return self.name or self.type

    @abstractmethod
    def sender(self) -> Sender:
        """Return what sends alerts there; nothing is read or opened yet. Called in the event loop."""

    def secrets(self) -> Iterable[tuple[tuple[str | int, ...], SecretSource]]:
        """Return where its secrets come from, each with its keys in the configuration."""
        return ()

    def problem(self) -> str:
        """Return what is wrong with a secret that can be read (no address, say), a part of a sentence; else empty."""
        return ""

    def advice(self) -> tuple[str, str] | None:
        """Return what works less well than it could, a part of a sentence, and what to write instead; else None."""
        return None

    def routes(self) -> Iterable[Route]:
        """Return what it depends on; nothing where that is not known. May read secrets that are no command."""
        return ()


def _as_source(value: object) -> Any:
    return {"value": value} if isinstance(value, str) else value


class _OrText:
    """Has the schema allow text as well."""

    def __get_pydantic_json_schema__(self, core: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        return {"anyOf": [{"type": "string"}, handler(core)]}


SecretUrl = Annotated[SecretSource, BeforeValidator(_as_source), _OrText()]
"""An address: as text, or from where a secret comes, as many hold a key of the place."""

Headers = Mapping[Annotated[str, Field(pattern=r"^[A-Za-z0-9-]+$")], SecretUrl]
"""Headers of a request, each as text or from where a secret comes."""
