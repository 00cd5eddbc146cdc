"""The device authorization grant (RFC 8628), as an issuer keeps it: codes that wait for a user's approval.

Rules of this file:
- It knows no HTTP and no vendor: what a poll finds is a `Poll`, and each issuer says it in its own words.
- A client that polls faster than the interval is told to slow down, and its interval grows by 5 s (RFC 8628 3.5); one
  second is forgiven, for clients count from their own end.
"""

import secrets
from dataclasses import dataclass
from enum import Enum, auto

_SLOWER_SECONDS = 5.0
_FORGIVEN_SECONDS = 1.0


class Poll(Enum):
    """What a client finds that asks for the token."""

    PENDING = auto()
    SLOW_DOWN = auto()
    DECLINED = auto()
    EXPIRED = auto()
    UNKNOWN = auto()
    """No such code, not of this client, or used already."""
    APPROVED = auto()


@dataclass(slots=True)
class DeviceCode:
    """One request to sign in on another device."""

    device_code: str
    user_code: str
    client_id: str
    scope: str
    ends: float
    """Unix seconds."""
    interval: float
    realm: str = ""
    """The part of the issuer that was asked."""
    polled: float = 0.0
    """Unix seconds of the last poll."""
    user: str = ""
    """The address of the user who approved it."""
    declined: bool = False


class DeviceCodes:
    """All device codes of one issuer. Times are Unix seconds that the issuer's clock gives."""

    def __init__(self, alphabet: str, *, length: int, dash: int = 0) -> None:
        """Make user codes of `length` signs of the alphabet, with a dash after each `dash` signs if that is not 0."""
        self._codes: dict[str, DeviceCode] = {}
        self._alphabet, self._length, self._dash = alphabet, length, dash

    def issue(self, client_id: str, scope: str, ends: float, interval: float, realm: str = "") -> DeviceCode:
        """Return a new pair of codes that waits for approval."""
        code = DeviceCode(secrets.token_urlsafe(150), self._user_code(), client_id, scope, ends, interval, realm)
        self._codes[code.device_code] = code
        return code

    def decide(self, user_code: str, user: str | None) -> None:
        """Approve the request as the user, or decline it with None; raise `KeyError` for a code that does not wait."""
        code = self.waiting(user_code)
        code.user, code.declined = user or "", user is None

    def waiting(self, user_code: str) -> DeviceCode:
        """Return the request that shows this code to its user; raise `KeyError` if there is none."""
        for code in self._codes.values():
            if code.user_code == user_code.upper() and not code.user and not code.declined:
                return code
        raise KeyError(user_code)

    def poll(self, device_code: str, client_id: str, now: float) -> tuple[Poll, DeviceCode | None]:
        """Return what a client finds, with the request if it is known. An approved or declined one is used up."""
        code = self._codes.get(device_code)
        if code is None or code.client_id != client_id:
            return Poll.UNKNOWN, None
        early = now - code.polled < code.interval - _FORGIVEN_SECONDS
        code.polled = now
        if now >= code.ends:
            return Poll.EXPIRED, code
        if early:
            code.interval += _SLOWER_SECONDS
            return Poll.SLOW_DOWN, code
        if not code.user and not code.declined:
            return Poll.PENDING, code
        del self._codes[device_code]
        return Poll.APPROVED if code.user else Poll.DECLINED, code

    def _user_code(self) -> str:
        signs = "".join(secrets.choice(self._alphabet) for _ in range(self._length))
        width = self._dash or self._length
        return "-".join(signs[start : start + width] for start in range(0, self._length, width))
