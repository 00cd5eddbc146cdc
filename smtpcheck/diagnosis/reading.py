"""What a text says that a user pasted, that a library raised or that a server sent.

Rules of this file:
- It finds what is there: codes, replies, the issuer's error, a challenge, a token's claims. It evaluates nothing.
- A token is read and then forgotten: only chosen claims leave this file.
- Every pattern takes time linear in the text: repetitions are bounded or possessive, and none begins inside a word.
"""

import base64
import binascii
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime

from smtpcheck.diagnosis.screening import Expression

CLAIMS = (
    *("aud", "iss", "tid", "appid", "azp", "client_id", "oid", "sub", "idtyp", "ver", "nonce", "roles", "scp", "scope"),
    *("upn", "unique_name", "preferred_username", "email", "exp", "nbf", "iat"),
)
_LONGEST_CLAIM = 512
_MOST = 16

_JWT = re.compile(r"(?<![\w.-])eyJ[\w-]{10,16384}+\.(eyJ[\w-]{10,16384}+)\.")
_CHALLENGE = re.compile(r"(?<![\w+/.-])eyJ[\w+/]{12,2048}+={0,2}(?![\w+/.-])")
_SASL = re.compile(r"(?<![\w+/-])((?:dXNlcj[0-3]|bixhPX|bixh)[\w+/]{4,16384}+={0,2})")
_ESCAPE = re.compile(r"\\{1,4}(?:u0022|\"|(u0027|')|(?:r\\{1,4})?[nrt](?![a-z]))")
_REPLY = re.compile(r"(?<![\d.:])([245]\d\d)([ -])(?:([245]\.\d{1,3}\.\d{1,3})(?: |$))?")
_CODE = re.compile(
    r"(?<![\w.:/-])([245][0-5]\d)[ :-]{1,2}(?=[245]\.\d{1,3}\.\d)"
    r"|\(([45][0-5]\d)(?:, ?b?['\"]|\):)"
    r"|(?:code|status|response|responded|said|error|replied|got|answer|err|failed)\W{1,4}(?:code\W{1,3})?"
    r"([45][0-5]\d)(?![\d.])"
    r"|(?m:^)[^\w\n]{0,12}(?:(?:s|server|server -> client)[:>] ?)?([245][0-5]\d)[ :-]"
    r"|[<>|\]:] {1,3}([45][0-5]\d)[ -](?=[a-z<#])"
)
"""A reply code where it is meant as one; none has a second digit over five (RFC 5321 4.2.1), but ports have."""

_THREE_DIGITS = re.compile(r"(?<!\d)[245][0-5]\d(?!\d)")
"""What every code is, to look for codes only where one can be."""
_ENHANCED = re.compile(r"(?<![\d.])([245]\.\d{1,3}\.\d{1,3})(?!\d|\.\d)")
_ENHANCED_IN_PROSE = re.compile(
    r"(?:(?<!\d)[245]\d\d['\"]?[ :,-]{1,3}(?:b?['\"])?|was: ?|error:? ?|\A|\n|#|: )"
    r"(?<![\d.])([245]\.\d{1,3}\.\d{1,3})(?!\d|\.\d)"
    r"|(?<![\d.])(5\.7\.\d{1,3})(?!\d|\.\d)"
)
_AADSTS = Expression.of(
    r"(?:aadsts:? {0,2}|error\?code=|error_codes?\W{1,8})(\d{4,8})(?!\d)"
    r"|(?i:error ?code)\W{1,4}((?:1[06]|5[0-4]|6[5-7]|7[05]|8[01]|9[0-9])\d{3}|(?:50|53|65|70|75|90)\d{4,5})(?![\d.])"
)
"""Entra's error numbers, beside their prefix or where an error code of that many digits is named."""
_ERROR = re.compile(r"(?i)[\"']error[\"'] ?(?:[:=]|=>) ?[\"']([a-z_]{3,40})[\"']")
_ERROR_WORD = re.compile(
    r"\b(invalid_grant|invalid_client|unauthorized_client|invalid_scope|unsupported_grant_type|invalid_request|access_denied"
    r"|consent_required|interaction_required|login_required|admin_policy_enforced|org_internal|deleted_client|disabled_client"
    r"|redirect_uri_mismatch|temporarily_unavailable|invalid_resource|invalid_target)\b"
)
_SCOPE_LINE = re.compile(r"(?i)scopes?[\"'\w]{0,8}\]?[ \t]{0,4}(?:=>|[:=(\[])[^\n]{4,2000}+")
_SCOPE = re.compile(
    r"https://(?:outlook\.office(?:365)?\.(?:com|us)|graph\.microsoft\.(?:com|us)|partner\.outlook\.cn|ps\.outlook\.com)/[\w.-]{0,60}"
    r"|https://mail\.google\.com/?|https://www\.googleapis\.com/auth/[\w.]{3,60}|(?<![\w.])(?:offline_access|openid|profile"
    r"|Mail\.\w{3,20}|User\.\w{3,20}|SMTP\.\w{3,20})"
)
_EHLO = re.compile(r"250[- ]((?:AUTH[ =][A-Z0-9 =-]{3,200}|STARTTLS)(?![\w]))")
_SERVER_TIME = Expression.of(
    r"(?:outlook\.com |timestamp:? ?[\"':]{0,4} ?)(\d{4}-\d\d-\d\d)[t ](\d\d:\d\d:\d\d)(?:\.\d{1,6})?z"
)
_STATUS = Expression.of(
    r"\b(?:http(?:/[\d.]{1,3})?(?: status)?(?: code)?|status(?:[ _]code)?)[\"']?[ :=]{1,3}"
    r"([2-5]\d\d)\b(?![.-])"
    r"|\btoken response: {0,2}([45]\d\d)\b"
    r"|(?<![\w.])([45]\d\d) (?:bad gateway|service (?:temporarily )?unavailable|too many requests|unauthorized"
    r"|gateway time-?out|client error|server error|forbidden|not found|internal server error|bad request)"
)
"""An HTTP status where it is named as one, or beside its phrase (RFC 9110 15)."""
_ISO = r"\W{0,4}(\d{4}-\d\d-\d\d[t ]\d\d:\d\d:\d\d(?:\.\d{1,9})?z?)"
_ASSERTION_TIMES = tuple(
    re.compile(words + _ISO, re.IGNORECASE)
    for words in ("current time", "valid from", "(?:expiry time of assertion|expires? (?:on|at)|valid to|until)")
)
_USER = Expression.of(r"(?:\buser(?:name)?|login)[\"']? ?[=:] ?[\"']?([\w.+-]{1,64}@[\w.-]{3,190}\w)")
_SERVER = re.compile(
    r"(?i)(?<![\w.@-])([a-z0-9][a-z0-9-]{0,62}(?:\.[a-z0-9-]{1,63}){1,8})(?:\[[0-9a-f.:]{3,45}\])?"
    r"(?::|,? port[ =:]{1,2})(25|465|587|2525|143|993|110|995)\b(?!\.)"
)
_SENDER = Expression.of(r"(?:mail from: ?|\bfrom=)<([\w.+-]{1,64}@[\w.-]{3,190}\w)>")
_OBJECT = re.compile(r"\{\s{0,40}\"")
_QUOTES = str.maketrans({"\u2018": "'", "\u2019": "'", "\u201c": '"', "\u201d": '"', "\u00a0": " "})


@dataclass(frozen=True, slots=True)
class Reading:
    """What is in a text; empty where nothing was found."""

    claims: Mapping[str, object] = field(default_factory=dict)
    """Chosen claims of a JWT (RFC 7519), unverified."""
    opaque: bool = False
    """Whether a token is there that is not a JWT."""
    sasl_user: str = ""
    sasl_fault: str = ""
    """What is wrong with the form of the login string, in words."""
    challenge: str = ""
    """The decoded text of a 334 challenge."""
    scope: str = ""
    ehlo: tuple[str, ...] = ()
    host: str = ""
    port: int | None = None
    """The mail server's, where a host is named with a port of mail."""
    sender: str = ""
    http_status: int | None = None
    error: str = ""
    """The issuer's `error` (RFC 6749 5.2)."""


def read(text: str) -> Reading:
    """Return what the text says; `text` is unmasked and of any content."""
    login = _login(text)
    user, token, fault = login or ("", "", "")
    claims = claims_of(token) or claims_of(text)
    plain = plain_text(text)
    found = _ERROR.search(plain)
    word = found[1] if found else None
    if word is None and (bare := _ERROR_WORD.search(plain)):
        word = bare[1]
    named, server, sender = _USER.search(text), _SERVER.search(text), _SENDER.search(text)
    return Reading(
        claims=claims,
        opaque=not claims and re.search(r"(?<![\w+/])Ew[A-D][\w+/]{40}", f"{text} {token}") is not None,
        sasl_user=user or (named[1] if named else ""),
        sasl_fault=fault,
        challenge=challenge_of(text),
        scope=_scope(text),
        ehlo=tuple(line[1] for line in _EHLO.finditer(text))[-_MOST:],
        host=server[1].lower() if server and not server[1][0].isdigit() else "",
        port=int(server[2]) if server else None,
        sender=sender[1] if sender else "",
        http_status=int(status[1] or status[2] or status[3]) if (status := _STATUS.search(text)) else None,
        error=word or "",
    )


def plain_text(text: str) -> str:
    """Return the text in lower case on one line, escapes of JSON undone, lines of one reply joined (RFC 5321 4.2.1)."""
    text = text.translate(_QUOTES).lower()
    if "\\" in text:
        text = _ESCAPE.sub(_unescaped, text)
    return " ".join(" ".join(_unfolded(text)).split())


def codes_of(text: str) -> frozenset[int]:
    """Return the SMTP reply codes that the text names as such."""
    if not _THREE_DIGITS.search(text):
        return frozenset()
    return frozenset(int(next(filter(None, found.groups()))) for found in _CODE.finditer(text.lower()))


def enhanced_of(text: str, *, prose: bool) -> frozenset[str]:
    """Return the enhanced codes (RFC 3463); in prose only where no version number can be meant."""
    if prose and _ENHANCED.search(text):
        return frozenset(found[1] or found[2] for found in _ENHANCED_IN_PROSE.finditer(text.lower()))
    return frozenset() if prose else frozenset(_ENHANCED.findall(text))


def aadsts_of(text: str) -> frozenset[int]:
    """Return Entra's error numbers."""
    return frozenset(int(found[1] or found[2]) for found in _AADSTS.matches(text))


def challenge_of(text: str) -> str:
    """Return the JSON of a base64 challenge that is in the text (RFC 7628 3.2.2), else nothing."""
    for found in _CHALLENGE.finditer(text):
        decoded = _decoded(found[0])
        if '"status"' in decoded:
            return decoded
    return ""


def claims_of(text: str) -> Mapping[str, object]:
    """Return chosen claims of the first JWT in the text, unverified and bounded."""
    found = _JWT.search(text)
    if found is None:
        return {}
    try:
        claims = json.loads(_decoded(found[1]) or "{}")
    except (ValueError, RecursionError):
        return {}
    if not isinstance(claims, dict):
        return {}
    return {name: value for name in CLAIMS if (value := _bounded(claims.get(name))) is not None}


def server_time(text: str) -> float | None:
    """Return the time that Exchange or Entra puts into its answers, in Unix seconds."""
    found = _SERVER_TIME.search(text)
    if found is None:
        return None
    try:
        return datetime.fromisoformat(f"{found[1]}T{found[2]}").replace(tzinfo=UTC).timestamp()
    except ValueError:
        return None


def assertion_gaps(text: str) -> tuple[float, float] | None:
    """Return how many seconds after its begin and after its end an assertion was used; None if the text names no times.

    Entra's answer names the current time, the begin of validity and the end, in its own clock.
    """
    matches = [pattern.search(text) for pattern in _ASSERTION_TIMES]
    seen = [time for found in matches if found and (time := _time(found[1])) is not None]
    if len(seen) < len(_ASSERTION_TIMES):
        return None
    now, begin, end = seen
    return now - begin, now - end


def _time(text: str) -> float | None:
    try:
        time = datetime.fromisoformat(text.upper())
    except ValueError:
        return None
    return (time if time.tzinfo else time.replace(tzinfo=UTC)).timestamp()


def json_objects(text: str) -> Iterator[Mapping[str, object]]:
    """Yield the JSON objects in the text, the first few."""
    decoder, at = json.JSONDecoder(), 0
    for _ in range(_MOST):
        begin = _OBJECT.search(text, at)
        if begin is None:
            return
        try:
            value, at = decoder.raw_decode(text, begin.start())
        except (ValueError, RecursionError):
            at = begin.end()
            continue
        if isinstance(value, dict):
            yield value


def _unescaped(found: re.Match[str]) -> str:
    if found[1]:
        return "'"
    return '"' if found[0][-1] in '"2' else "\n"


def _unfolded(text: str) -> Iterator[str]:
    """Yield the lines, the lines of one reply as one."""
    reply, code = "", ""
    for line in text.splitlines():
        found = _REPLY.search(line[:160])
        if found and code == found[1]:
            reply += " " + line[found.end() :]
        else:
            if reply:
                yield reply
            reply = line
        code = found[1] if found and found[2] == "-" else ""
    yield reply


def _login(text: str) -> tuple[str, str, str] | None:
    """Return user, token and what is wrong of a login string in base64 (XOAUTH2, or RFC 7628 3.1); None without one."""
    for found in _SASL.finditer(text):
        decoded = _decoded(found[1])
        fields = decoded.split("\x01")
        user = fields[0].removeprefix("user=").removeprefix("n,a=").rstrip(",")
        if not decoded or not (fields[0].startswith(("user=", "n,a=", "n,"))):
            continue
        bearer = next((part for part in fields if part.lower().startswith("auth=bearer ")), "")
        return user[:254], bearer[12:], _sasl_fault(decoded, bearer)
    return None


def _sasl_fault(decoded: str, bearer: str) -> str:
    if not bearer:
        return "the login string has no auth=Bearer field after a control-A"
    if not bearer[12:].strip():
        return "the login string has no token"
    if not decoded.endswith("\x01\x01"):
        return "the login string does not end with two control-A"
    if any(char in bearer[12:] for char in " \r\n\t"):
        return "the token in the login string has a space or a line break"
    return ""


def _decoded(text: str) -> str:
    chars = text.rstrip("=").replace("-", "+").replace("_", "/")
    try:
        return base64.b64decode(chars[: len(chars) - (len(chars) % 4 == 1)] + "=" * (-len(chars) % 4)).decode(
            "utf-8", "replace"
        )
    except (ValueError, binascii.Error):
        return ""


def _scope(text: str) -> str:
    """Return the scopes behind the word, but not those of a challenge: those are what the server wants."""
    lines = (
        line[0]
        for line in _SCOPE_LINE.finditer(text)
        if '"status"' not in text[max(0, line.start() - 80) : line.start()]
    )
    found = (scope for line in lines for scope in _SCOPE.findall(line))
    return " ".join(dict.fromkeys(list(found)[:_MOST]))


def _bounded(value: object) -> object | None:
    match value:
        case bool() | int() | float():
            return value
        case str():
            return value[:_LONGEST_CLAIM]
        case list():
            return [item[:_LONGEST_CLAIM] for item in value[:_MOST] if isinstance(item, str)]
        case _:
            return None
