"""SASL messages that carry a bearer token, and the removal of that token from what the server says.

Sources: XOAUTH2 <https://developers.google.com/workspace/gmail/imap/xoauth2-protocol>, OAUTHBEARER RFC 7628,
AUTH for SMTP RFC 4954.

Rules of this file:
- Pure. It is the only file of this room that calls `Secret.reveal()`.
- A control character in a user name would end a field of the message: it is refused with `ValueError`.
"""

import base64
import binascii
import re

from smtpcheck.model import Mechanism, Provider, Reply
from smtpcheck.secret import Secret

MAX_COMMAND_LINE = 512
"""RFC 4954 4: an AUTH line that is longer than a command may be (RFC 5321 4.5.3.1.4) bears no initial response."""

_NAMES = {Mechanism.XOAUTH2: "XOAUTH2", Mechanism.OAUTHBEARER: "OAUTHBEARER"}

_CHALLENGE_ANSWERS = {Mechanism.XOAUTH2: "", Mechanism.OAUTHBEARER: "AQ=="}

_CONTROL = re.compile(r"[\x00-\x1f\x7f]")

_RUN = re.compile(r"[A-Za-z0-9+/=._~-]{16,}")
"""What a piece of a token or of a SASL message looks like (RFC 6750 b64token, base64)."""

_BLOCK = 8
_MASK = "***"


def sasl_name(mechanism: Mechanism) -> str:
    """Return the mechanism's registered name, in upper case: some servers refuse the lower case form."""
    return _NAMES[mechanism]


def choose(offered: frozenset[str], provider: Provider) -> Mechanism | None:
    """Pick a mechanism among the names that EHLO offers, or None.

    XOAUTH2 first, for Exchange Online knows no other; OAUTHBEARER first at Yahoo, which documents only that one
    (<https://senders.yahooinc.com/developer/documentation>).
    """
    order = [Mechanism.XOAUTH2, Mechanism.OAUTHBEARER]
    if provider is Provider.YAHOO:
        order.reverse()
    return next((mechanism for mechanism in order if _NAMES[mechanism] in offered), None)


def client_response(mechanism: Mechanism, /, *, user: str, token: Secret, host: str, port: int) -> str:
    """Return the base64 form of the message that carries the token (RFC 7628 3.1 for OAUTHBEARER).

    Raises `ValueError` if the user name holds a control character.
    """
    if _CONTROL.search(user):
        raise ValueError("a SASL user name holds a control character")
    if mechanism is Mechanism.XOAUTH2:
        message = f"user={user}\x01auth=Bearer {token.reveal()}\x01\x01"
    else:
        # RFC 5801 4: "," and "=" of a saslname are written =2C and =3D.
        saslname = user.replace("=", "=3D").replace(",", "=2C")
        message = f"n,a={saslname},\x01host={host}\x01port={port}\x01auth=Bearer {token.reveal()}\x01\x01"
    return base64.b64encode(message.encode()).decode("ascii")


def challenge_answer(mechanism: Mechanism) -> str:
    """Return what must answer the challenge that tells of an error, so that the final reply arrives.

    An empty line for XOAUTH2; a single ^A for OAUTHBEARER (RFC 7628 3.2.3). A cancelling `*` loses the final reply.
    """
    return _CHALLENGE_ANSWERS[mechanism]


def decode_challenge(text: str) -> str:
    """Return the text of a 334 challenge, decoded; as it is if it is no base64."""
    try:
        decoded = base64.b64decode(text, validate=True).decode()
    except (binascii.Error, UnicodeDecodeError, ValueError):
        return text
    return decoded if not _CONTROL.sub("", decoded) or decoded.isprintable() else _CONTROL.sub(" ", decoded)


class Redaction:
    """Removes a token from what a server says, for some servers repeat the line that they refuse.

    A piece of the token, or of the SASL message that carries it, is removed from fifteen characters on; the whole
    token at any length.
    """

    __slots__ = ("_secrets",)

    def __init__(self, token: Secret, response: str) -> None:
        self._secrets = tuple(secret for secret in (token.reveal(), response) if secret)

    def text(self, text: str) -> str:
        """Return the text without the token."""
        for secret in self._secrets:
            if secret in text:
                text = text.replace(secret, _MASK)
        return _RUN.sub(self._mask_run, text)

    def reply(self, reply: Reply) -> Reply:
        """Return the reply without the token, also where a 334 hides it in its base64."""
        if reply.code == 334:
            # Its base64 may look like a piece of a token that names the same issuer, so what it says is judged.
            decoded = decode_challenge(reply.text)
            clean = self.text(decoded) == decoded and not any(secret in reply.text for secret in self._secrets)
            lines = reply.lines if clean else (_MASK,)
        else:
            lines = tuple(self.text(line) for line in reply.lines)
        return reply if lines == reply.lines else Reply(reply.code, reply.enhanced, lines)

    def _mask_run(self, match: re.Match[str]) -> str:
        run = match[0]
        # A common piece of fifteen characters holds one whole aligned block of eight.
        for start in range(0, len(run) - _BLOCK + 1, _BLOCK):
            block = run[start : start + _BLOCK]
            if any(block in secret for secret in self._secrets):
                return _MASK
        return run
