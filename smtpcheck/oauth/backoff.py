"""How long a failure is remembered before the issuer is asked again.

Rules of this file:
- Pure: the time is an argument (monotonic seconds).
- Each further failure waits twice as long, up to some minutes; what the issuer asks for (Retry-After) is the least.
- While the issuer asks not to be asked, a user may have it asked all the same, once.
"""

from smtpcheck.model.report import TokenError

FIRST_SECONDS = 30.0
LONGEST_SECONDS = 300.0


class Backoff:
    """The failures of one token, or of one credential, since its last success."""

    def __init__(self) -> None:
        self.error: TokenError | None = None
        """The last failure; None also where it was a fault of our own."""
        self._failures = 0
        self._until = self._forbidden_until = float("-inf")
        self._exception_taken = False

    def failed(self, error: TokenError | None, now: float) -> None:
        """Remember a failure; None stands for a fault of our own."""
        self.error = error
        asked = (error.retry_after if error else None) or 0.0
        self._exception_taken = self._exception_taken and self.forbids(now)
        self._forbidden_until = now + asked
        self._until = now + max(asked, min(FIRST_SECONDS * 2.0**self._failures, LONGEST_SECONDS))
        self._failures = min(self._failures + 1, 32)

    def reset(self) -> None:
        """Forget the failures: after a success, or because a secret has changed."""
        self.error = None
        self._failures = 0
        self._until = float("-inf")

    def take_exception(self) -> bool:
        """Return whether a request may be made although the issuer forbids it; the next one then may not."""
        taken, self._exception_taken = self._exception_taken, True
        return not taken

    def is_active(self, now: float) -> bool:
        """Return whether the last failure is still the answer."""
        return now < max(self._until, self._forbidden_until)

    def forbids(self, now: float) -> bool:
        """Return whether the issuer has asked not to be asked yet."""
        return now < self._forbidden_until
