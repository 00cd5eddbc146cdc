"""Masks tokens and secrets in text that a user pasted or a server sent.

Rules of this file:
- Rather one word too many than a token; what is known by its form, by its name or by its place is masked.
- Paths, class names and host names stay, for they say what failed.
- Every pattern takes time linear in the text: repetitions are bounded or possessive, and none begins inside a word.
"""

import re
from collections.abc import Callable

from smtpcheck.diagnosis.screening import words_of

MASK = "***"

_NAMED = re.compile(
    r"(?i)(?<![a-z])((?:client_?|app_?|shared_?)?(?:secret|assertion|password|passwd|passcode|pwd|pass)(?:_?value|word)?"
    r"|(?:refresh|access|id|auth|oauth)_?token|api_?key|device_code|code_verifier|authorization_code|private_key)"
    r"(\\{0,2}[\"']?\]?[ \t]{0,4}(?:=>|[=:])[ \t]{0,4}\\{0,2}(?:b?[\"'])?)(?!\*\*\*|null\b|none\b|bearer |basic )"
    r"([^\s\"'&,;\\\x01]{4,8192}+)"
)
"""A value that is behind the name of a secret, in a form, a header, JSON, a configuration or code."""

_SCHEME = re.compile(
    r"(?i)(?<![a-z])(bearer|authorization[\"']? ?[:=] ?[\"']?basic)((?:[ \t]|%20|\+){1,4})"
    r"(?!authentication\b|authorization\b|scheme\b|mechanism\b|tokens\b|\*\*\*)([^\s\"'&,;\\\x01]{6,8192}+)"
)

_LOGIN = re.compile(
    r"((?i:\bauth[ \t]{1,3}(?:plain|login|xoauth2|oauthbearer|cram-md5))[ \t]{1,3})"
    r"(?![A-Z0-9-]{4,20}(?![\w+/=])|[a-z]{2,20}(?![\w+/=]))([\w+/=-]{4,16384}+)"
)
"""A login in one line; what is in capitals is another mechanism's name, what in small letters a word."""

_ANSWER = re.compile(
    r"(\b334[ -][^\r\n]{0,1000}+(?:\r?\n)[^\r\n]{0,200}?[ \t'\">])([A-Za-z0-9+/]{6,16384}+={0,2})(?![\w.])"
)
"""What a client answers to a 334 in a transcript: user name, password or token in base64."""

_FORM = re.compile(
    r"eyJ[\w-]{8,16384}+(?:\.[\w-]{0,16384}+){0,4}"  # JWT and JWE, RFC 7515 and 7516
    r"|(?<![\w-])(?:"
    r"ya29\.[\w.-]{6,4096}+"  # Google: access token
    r"|1//[\w-]{8,1024}+"  # Google: refresh token
    r"|SG\.[\w-]{16,64}+\.[\w-]{16,128}+"  # SendGrid: API key
    r"|re_[A-Za-z0-9]{6,64}+_[A-Za-z0-9]{12,128}+"  # Resend: API key
    r"|x(?:keysib|smtpsib)-[\w-]{16,256}+"  # Brevo: API and SMTP key
    r"|key-[0-9a-f]{32}(?![0-9a-f])"  # Mailgun: API key
    r"|GOCSPX-[\w-]{8,128}+"  # Google: client secret
    r"|Ew[A-D][\w+/-]{12,8192}+={0,2}"  # Microsoft, personal account: access token
    r"|M\.[CR]\d{1,4}_[\w.!*$-]{8,4096}+"  # Microsoft, personal account: refresh token
    r"|[01]\.A[\w-]{20,8192}+(?:\.[\w-]{1,8192}+){0,3}"  # Entra: refresh token
    r"|[\w.~-]{3}\dQ~[\w.~-]{20,64}+"  # Entra: client secret
    r")"
    r"|-----BEGIN [A-Z ]{0,20}PRIVATE KEY-----[^-]{0,16384}+"
)

_LONG = re.compile(r"(?<![\w+/-])[\w+/-]{32,16384}+={0,2}")
_UUID = re.compile(r"[0-9A-Fa-f]{8}(?:-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}")
_PIECES = re.compile(r"[/_+-]")
_WORD = re.compile(r"[A-Z]{0,5}[a-z]{0,30}(?:\d{0,3}[A-Z][a-z]{2,30}){0,6}\d{0,4}|v\d{1,3}")
"""A word or a name made of words; a letter in capitals alone between small ones is chance, as in base64."""


def _long(found: re.Match[str]) -> str:
    return found[0] if _is_known(found[0]) else MASK


def _is_known(text: str) -> bool:
    """Return whether a long run of base64's signs is a UUID, a path or a name made of words."""
    if _UUID.fullmatch(text):
        return True
    pieces = _PIECES.split(text)
    return all(_WORD.fullmatch(piece) or _UUID.fullmatch(piece) for piece in pieces) and (
        len(pieces) > 1 or not any(char.isdigit() for char in text)
    )


_STEPS: tuple[tuple[re.Pattern[str], str | Callable[[re.Match[str]], str]], ...] = (
    (_LOGIN, rf"\1{MASK}"),
    (_ANSWER, rf"\1{MASK}"),
    (_SCHEME, rf"\1\2{MASK}"),
    (_FORM, MASK),
    (_NAMED, rf"\1\2{MASK}"),
    (_LONG, _long),
)
"""What is masked, in this order."""
_WORDS = tuple(tuple(word.lower() for word in words_of(pattern.pattern, 2)) for pattern, _ in _STEPS)
"""For each step the words, in small letters, of which an ASCII text has one if there is anything to mask; or none."""


def mask(text: str) -> str:
    """Return `text` with every token and secret that can be recognised replaced by `***`."""
    lowered = text.lower() if text.isascii() else ""  # beyond ASCII a letter can match another one without case
    for (pattern, shown), words in zip(_STEPS, _WORDS, strict=True):
        if not lowered or not words or any(word in lowered for word in words):
            text = pattern.sub(shown, text)
    return text
