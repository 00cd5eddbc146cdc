"""How a provider is asked about one credential: what the inspector needs of it, whichever provider it is."""

from abc import ABC, abstractmethod

from smtpcheck.inspection.google import GoogleReader
from smtpcheck.inspection.question import MicrosoftReaders, Question, Subject
from smtpcheck.model.inspection import Obstacle


class Access(ABC):
    """The way to one provider. Belongs to one event loop."""

    readers: MicrosoftReaders | GoogleReader
    is_local: bool
    """Whether the provider is on this machine, where it harms nobody to ask as fast as it answers."""

    @abstractmethod
    async def subject(self) -> Subject:
        """Return whom or what the questions are about, without a mailbox."""

    @abstractmethod
    def missing(self, question: Question, obstacle: Obstacle) -> str:
        """Return what a question needs and was not there, as part of a sentence."""

    @abstractmethod
    async def close(self) -> None:
        """Close the connection."""

    def check(self, question: Question) -> None:  # noqa: B027 - most providers have all of it
        """Raise NotReadableError where the provider has nothing that could answer."""


def is_local(url: str) -> bool:
    """Return whether an address is on this machine."""
    return url.startswith(("https://localhost:", "https://127.0.0.1:"))
