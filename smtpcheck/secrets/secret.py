"""The type in which tokens, passwords and client secrets travel.

Rule of this file: nothing but `reveal()` gives the value away, and a test lists the files that may call it.
"""

import hashlib
import hmac


class Secret:
    """A value that must not be shown: token, password, client secret.

    `repr`, `str`, formatting and pickling never give the value away; only `reveal()` does, and a test lists the files
    that may call it.
    """

    __slots__ = ("_value",)

    def __init__(self, value: str, /) -> None:
        self._value = value

    def reveal(self) -> str:
        """Return the value itself."""
        return self._value

    @property
    def fingerprint(self) -> str:
        """Return the first twelve hex digits of the value's SHA-256: enough to tell two values apart."""
        return hashlib.sha256(self._value.encode("utf-8", "surrogatepass")).hexdigest()[:12]

    def __repr__(self) -> str:
        return "Secret(***)"

    def __bool__(self) -> bool:
        return bool(self._value)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Secret):
            return NotImplemented
        mine, theirs = (s.encode("utf-8", "surrogatepass") for s in (self._value, other._value))
        return hmac.compare_digest(mine, theirs)

    def __hash__(self) -> int:
        return hash((Secret, self._value))

    def __reduce__(self) -> str:
        raise TypeError("a Secret is never serialised")
