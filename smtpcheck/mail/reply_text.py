"""A reply of a mail server where it is quoted in a bounce: its codes, its lines as one, and a reply wrapped in it.

Rule of this file: pure, never raises, and every pattern takes time linear in the text.
"""

import re

_LEADING = re.compile(
    r"[\W_]{0,4}([245][0-5]\d)(?:[ -]{1,3}\1\b)?(?:[ :-]{1,3}#?([245]\.\d{1,3}\.\d{1,3})(?![\d.]*\d))?"
)
_CODE = re.compile(r"[\W_]{0,4}([245][0-5]\d)(?![\w.])")
_CODE_BEFORE_ENHANCED = re.compile(r"(?<![\w.:/-])([245][0-5]\d)[ -]{1,3}#?(?=[245]\.\d{1,3}\.\d)")
_ENHANCED_BEHIND_CODE = re.compile(r"(?<![\w.:/-])[245][0-5]\d[ :-]{1,3}#?([245]\.\d{1,3}\.\d{1,3})(?!\d|\.\d)")
_ENHANCED = re.compile(r"(?<![\w.:/-])#?([245]\.[0-7]\.\d{1,3})(?!\d|\.\d)")
_WRAPPED = re.compile(r"-> {0,2}['\"]?(?=[245][0-5]\d(?![\w.])|[245]\.\d{1,3}\.\d)")


def unfolded(reply: str) -> str:
    """Return the reply on one line, its code once: `550-5.7.26 a 550 5.7.26 b` is `550 5.7.26 a b`."""
    line = " ".join(reply.split())
    leading = _LEADING.match(line)
    if leading is None:
        return line
    code, enhanced, rest = leading[1], leading[2] or "", line[leading.end() :].lstrip(" -")
    if enhanced:
        rest = re.sub(rf"(?<!\S){code}[ -]{{1,2}}{re.escape(enhanced)}(?!\S) ?", "", rest)
    elif f"{code}-" in line:
        rest = re.sub(rf"(?<!\S){code}[ -]", "", rest)
    return " ".join(part for part in (code, enhanced, rest) if part)


def reply_code_of(reply: str) -> int | None:
    """Return the reply code: the one that the text begins with, else the first with an enhanced code behind it."""
    found = _CODE.match(reply) or _CODE_BEFORE_ENHANCED.search(reply)
    return int(found[1]) if found else None


def enhanced_of(reply: str) -> str:
    """Return the enhanced code (RFC 3463), before all the one behind the reply code; empty if there is none."""
    found = _ENHANCED_BEHIND_CODE.search(reply) or _ENHANCED.search(reply)
    return found[1] if found else ""


def split_wrapped(reply: str) -> tuple[str, str]:
    """Return the reply, and the innermost reply of another server in it, as in `550 5.0.350 Remote ... -> 550 ...`."""
    arrows = list(_WRAPPED.finditer(reply))
    return reply, unfolded(reply[arrows[-1].end() :].rstrip("'\"")) if arrows else ""
