"""Accounts at the mail APIs of the sandbox that take a key, and what is wrong with one.

Rule of this file: values and their small arithmetic; what each API says is its twin's business.
"""

from dataclasses import dataclass, field


@dataclass(slots=True)
class ApiAccount:
    """One account with one key."""

    key: str = field(repr=False)
    secret: str = field(default="", repr=False)
    """The second half, where the API has one."""
    may_send: bool = True
    """Whether the key has the right to send."""
    may_read: bool = True
    """Whether the key may do anything else."""
    verified: frozenset[str] = frozenset({"contoso.example"})
    """The domains that it may send from."""
    in_sandbox: bool = False
    """Whether it sends only to itself."""
    credits: int = 1000
    """How many messages are left."""
    knows_address: bool = True
    """Whether the client's address is on the allow list."""
    blocked: bool = False
    throttled: int = 0
    """How many of the next requests are answered with 429."""
    keeps_test_mode: bool = True
    """Whether a test flag is obeyed: the worst that could happen is that it is not."""

    def is_throttled(self) -> bool:
        """Return whether this request is one too many."""
        self.throttled = max(0, self.throttled - 1) if (throttled := self.throttled > 0) else 0
        return throttled

    def verifies(self, sender: str) -> bool:
        """Return whether it may send from the address."""
        return sender.rpartition("@")[2].casefold() in self.verified


@dataclass(frozen=True, slots=True)
class ApiMessage:
    """A message that an API took."""

    api: str
    sender: str
    recipient: str
    content: bytes
