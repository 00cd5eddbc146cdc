"""SASL messages that carry a bearer token or a password, and the removal of either from what the server says.

Sources: XOAUTH2 <https://developers.google.com/workspace/gmail/imap/xoauth2-protocol>, OAUTHBEARER RFC 7628, PLAIN
RFC 4616, LOGIN <https://datatracker.ietf.org/doc/html/draft-murchison-sasl-login-00>, AUTH for SMTP RFC 4954.

Rules of this file:
- Pure. It is the only file of this room that calls `Secret.reveal()`.
- A control character in a user name would end a field of the message: it is refused with `ValueError`.
- Of a password nothing is shown, nor how long it is. But a word that servers say anyway stays: to mask it in a known
  sentence would reveal the password, and hide the sentence from the diagnosis.
"""

import base64
import binascii
import functools
import hmac
import json
import re
from collections.abc import Iterable, Iterator

from smtpcheck.model.check import Mechanism, Provider
from smtpcheck.model.printable import printable
from smtpcheck.model.report import Reply
from smtpcheck.secrets.escapes import Span, without
from smtpcheck.secrets.redaction import encoded_forms, occurrences
from smtpcheck.secrets.secret import Secret

MAX_COMMAND_LINE = 512
"""RFC 4954 4: an AUTH line that is longer than a command may be (RFC 5321 4.5.3.1.4) has no initial response."""

_CHALLENGE_ANSWERS = {Mechanism.XOAUTH2: "", Mechanism.OAUTHBEARER: "AQ==", Mechanism.PLAIN: "*", Mechanism.LOGIN: "*"}

_CONTROL = re.compile(r"[\x00-\x1f\x7f]")

_RUN = re.compile(r"[A-Za-z0-9+/=._~-]{16,}")
"""What a piece of a token or of a SASL message looks like (RFC 6750 b64token, base64)."""

_SUSPICIOUS = re.compile(rf"{_RUN.pattern}|[%&+=\\\n]")
"""What is in any text that holds a piece of a token, escaped or not: one search shows that most replies hold none."""

_BLOCK = 8
_MASK = "***"
_LONG_PASSWORD = 8
"""From how many characters on a password is masked within a word too."""
_SHORTEST_MASKED = 4
"""Fewer characters are in too much of what a server says."""
_SAID_ANYWAY = re.compile(
    r"(?i)access|account|accepted|authentication|basic|client|credentials|denied|disabled|error|failed|failure|incorrect"
    r"|invalid|login|mail|mailbox|mechanism|message|password|policy|protocol|recipient|refused|rejected|relay|request"
    r"|secret|security|sender|server|service|smtp|submission|temporary|tenant|test|unsuccessful|user|username"
)
"""Words of replies that may well be a user's password."""


def sasl_name(mechanism: Mechanism) -> str:
    """Return the mechanism's registered name, in upper case: some servers refuse the lower case form."""
    return mechanism.upper()


def choose(offered: frozenset[str], provider: Provider, *, password: bool = False) -> Mechanism | None:
    """Pick a mechanism for a token, or for a password, among the names that EHLO offers, or None.

    XOAUTH2 first, for Exchange Online knows no other; OAUTHBEARER first at Yahoo, which documents only that one
    (<https://senders.yahooinc.com/developer/documentation>). A password goes by PLAIN, which is a standard, and by
    LOGIN where that is all there is, as at Exchange Online.
    """
    order = [Mechanism.XOAUTH2, Mechanism.OAUTHBEARER]
    if password:
        order = [Mechanism.PLAIN, Mechanism.LOGIN]
    elif provider is Provider.YAHOO:
        order.reverse()
    return next((mechanism for mechanism in order if sasl_name(mechanism) in offered), None)


def client_messages(mechanism: Mechanism, /, *, user: str, secret: Secret, host: str, port: int) -> tuple[str, ...]:
    """Return the base64 form of the messages of the login: two by LOGIN, one by any other mechanism.

    The secret is a token, or by PLAIN and LOGIN a password, which holds no null character (RFC 4616 2). Raises
    `ValueError` if the user name contains a control character.
    """
    if _CONTROL.search(user):
        raise ValueError("a SASL user name contains a control character")
    value = secret.reveal()
    match mechanism:
        case Mechanism.XOAUTH2:
            return (_base64(f"user={user}\x01auth=Bearer {value}\x01\x01"),)
        case Mechanism.OAUTHBEARER:
            # RFC 5801 4: "," and "=" of a saslname are written =2C and =3D.
            saslname = user.replace("=", "=3D").replace(",", "=2C")
            return (_base64(f"n,a={saslname},\x01host={host}\x01port={port}\x01auth=Bearer {value}\x01\x01"),)
        case Mechanism.PLAIN:
            return (_base64(f"\0{user}\0{value}"),)
        case Mechanism.LOGIN:
            return _base64(user), _base64(value)


def _base64(message: str) -> str:
    return base64.b64encode(message.encode()).decode("ascii")


def cram_md5(user: str, secret: Secret, challenge: bytes) -> bytes:
    """Return the answer to a challenge of CRAM-MD5 (RFC 2195 2): it carries the password in no readable form."""
    return f"{user} {hmac.digest(secret.reveal().encode(), challenge, 'md5').hex()}".encode()


def quoted_user(user: str) -> str:
    """Return a user name as a quoted string of IMAP (RFC 9051 4.3). Raises ValueError where it cannot be one."""
    if not (user.isascii() and user.isprintable()):
        raise ValueError("the command LOGIN carries printable ASCII alone, and the user name has more")
    escaped = user.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def ascii_password(secret: Secret) -> str:
    """Return the password for the command LOGIN of IMAP. Raises ValueError where that cannot carry it."""
    value = secret.reveal()
    if not (value.isascii() and value.isprintable()):
        raise ValueError("the command LOGIN carries printable ASCII alone, and the password has more")
    return value


def is_said_anyway(password: str) -> bool:
    """Return whether a password is a word that may be in any server's reply."""
    return len(password) < _SHORTEST_MASKED or _SAID_ANYWAY.fullmatch(password) is not None


def challenge_answer(mechanism: Mechanism) -> str:
    """Return what must answer a challenge that comes when all has been said, so that the final reply arrives.

    An empty line for XOAUTH2; a single ^A for OAUTHBEARER (RFC 7628 3.2.3): there it reports an error, and a
    cancelling `*` would lose the final reply. A login with a password has no more to say and is cancelled (RFC 4954 4).
    """
    return _CHALLENGE_ANSWERS[mechanism]


def decode_challenge(text: str) -> str:
    """Return the text of a 334 challenge, decoded; as it is if it is not base64."""
    try:
        decoded = base64.b64decode(text, validate=True).decode()
    except (binascii.Error, UnicodeDecodeError, ValueError):
        return text
    return decoded if not _CONTROL.sub("", decoded) or decoded.isprintable() else _CONTROL.sub(" ", decoded)


class Redaction:
    """Removes a token or password from what a server says, for some servers repeat the line that they refuse.

    A piece of a token, or of a SASL message, is removed from fifteen characters on; a whole one at any length. A
    password is removed as it is where that cannot be a word of a reply, and in base64 always.
    """

    __slots__ = ("_pattern", "_secrets", "_value")

    def __init__(self, secret: Secret, messages: tuple[str, ...], *, password: bool = False) -> None:
        value = secret.reveal()
        self._value = value
        self._pattern: re.Pattern[str] | None = None
        if password:
            # The last message carries the password; of LOGIN's two the first carries the user's name alone.
            self._secrets, self._pattern = _password_forms(value, messages[-1])
        else:
            self._secrets = tuple(filter(None, (value, *messages)))

    def text(self, text: str) -> str:
        """Return the text without the secret."""
        if self._pattern is not None:
            text = self._pattern.sub(_MASK, text)
        elif len(text) < len(self._value) and _SUSPICIOUS.search(text) is None:
            return text
        else:
            for secret in self._forms_in(text):
                text = text.replace(secret, _MASK)
        return _RUN.sub(self._mask_run, without(text, self._spans, _MASK))

    def _spans(self, decoded: str) -> Iterable[Span]:
        if self._pattern is not None:
            return (match.span() for match in self._pattern.finditer(decoded))
        return occurrences(decoded, self._forms_in(decoded))

    def _forms_in(self, text: str) -> Iterator[str]:
        """Yield the forms of the token that are in the text; none of them is shorter than the token."""
        if len(text) >= len(self._value):
            yield from (form for form in (*self._secrets, *encoded_forms(self._value)) if form and form in text)

    def reply(self, reply: Reply) -> Reply:
        """Return the reply without the secret, also where a 334 hides it in its base64."""
        if not reply.text:
            return reply
        if reply.code == 334:
            # Its base64 may look like a piece of a token that names the same issuer, so its meaning decides.
            decoded = decode_challenge(reply.text)
            clean = self.text(decoded) == decoded and not any(secret in reply.text for secret in self._secrets)
            lines = reply.lines if clean else (_MASK,)
        else:
            lines = tuple([self.text(line) for line in reply.lines])
        return reply if lines == reply.lines else Reply(reply.code, reply.enhanced, lines)

    def _mask_run(self, match: re.Match[str]) -> str:
        run = match[0]
        # A common piece of fifteen characters holds one whole aligned block of eight.
        for start in range(0, len(run) - _BLOCK + 1, _BLOCK):
            block = run[start : start + _BLOCK]
            if any(block in secret for secret in self._secrets):
                return _MASK
        return run


@functools.lru_cache(maxsize=1024)  # a login each minute of each of a thousand mailboxes compiles nothing again
def _password_forms(password: str, message: str) -> tuple[tuple[str, ...], re.Pattern[str]]:
    """Return a password's encoded forms, and what finds it in a text.

    It is found in an encoded form always, as it is where that cannot be a word of a reply: a long one within words and
    in any case too, a short one alone.
    """
    encoded = (message, *(form for form in encoded_forms(password) if len(form) >= _BLOCK))
    found = [rf"(?i:{re.escape(form)})" if len(form) >= _BLOCK else re.escape(form) for form in encoded]
    if not is_said_anyway(password):
        forms = "|".join(re.escape(form) for form in sorted(set(_plain_forms(password)), key=len, reverse=True))
        found.append(f"(?i:{forms})" if len(password) >= _LONG_PASSWORD else rf"(?<!\w)(?:{forms})(?!\w)")
    return encoded, re.compile("|".join(found))


def _plain_forms(password: str) -> Iterator[str]:
    """Yield the password as a reply's text may hold it: control characters are escaped there, and what is not UTF-8."""
    yield from (password, json.dumps(password)[1:-1])
    for text in (password, password.encode("latin-1", "replace").decode("utf-8", "backslashreplace")):
        yield printable(text)
