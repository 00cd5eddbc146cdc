"""Refusals as programs quote them, and the course of a dialogue as a transcript shows it.

Rules of this file:
- How programs write is data, in `wrappers.yaml`.
- The last refusal counts, but not one of a step that succeeded later.
- What a transcript does not show was not sent; a text that is no transcript shows nothing of the kind.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from importlib.resources import files
from typing import Any

import yaml

from smtpcheck.diagnosis.screening import Expression

_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_DATA: Mapping[str, Any] = yaml.load(
    files(__package__).joinpath("wrappers.yaml").read_bytes(),
    Loader=_LOADER,  # noqa: S506
)

WRAPPERS: tuple[tuple[Expression, str], ...] = tuple(
    (Expression.of(row["pattern"]), row.get("phase", "")) for row in _DATA["wrappers"]
)
_STEPS: Mapping[str, str] = _DATA["commands"]
_FLOWS = tuple((flow, Expression.of("|".join(words))) for flow, words in _DATA["flows"].items())
_MOST = 64
_LONGEST_LINE = 400


def _side(marks: list[str], line: str) -> re.Pattern[str]:
    """Return a pattern for a line of one side: bare, or behind a mark that may follow a timestamp and a name."""
    return re.compile(rf"(?i)^(?:.{{0,90}}?(?<![\w<>~=-])(?:{'|'.join(marks)})[ \t]{{0,8}}|\W{{0,12}}){line}")


_COMMAND = _side(_DATA["client"], r"(ehlo|helo|lhlo|starttls|auth|mail from|rcpt to|data|bdat|quit|rset)\b(?! command)")
_REPLY = _side(_DATA["server"], r"([2345][0-5]\d)(?:([ -])(?=\S)|[ '\"\\]{0,4}$)")
_PASSWORD_TRIED = Expression.of(
    r"(?<!250-)(?<!250 )\bauth (?:login|plain)(?=[ \t]{0,3}(?:$|[\r\n'\"\\\[]"
    r"|(?!xoauth2|oauthbearer|cram-|digest-|ntlm|gssapi|scram)[\w+/=]{8}))|VXNlcm5hbWU6|UGFzc3dvcmQ6"
    r"|authenticator \"(?:login|plain)\"|password not accepted from server|smtp-?auth.{0,20}password|\.login\("
)
_TOKEN_SIGN = Expression.of(r"xoauth2|oauth|bearer|\btoken|\beyJ|aadsts|invalid_grant|dXNlcj[0-3]")


@dataclass(frozen=True, slots=True)
class Refusal:
    """One refusal that a text quotes."""

    reply: str
    """Code and text, on one line."""
    phase: str
    """A value of `Phase`; empty if the text does not say which step was refused."""


@dataclass(frozen=True, slots=True)
class Course:
    """What a transcript shows of a dialogue."""

    refusal: Refusal | None = None
    sent: tuple[str, ...] = ()
    """The commands that the client sent, in lower case, in their order."""
    offers_auth: bool = False
    overtaken: frozenset[int] = frozenset()
    """The numbers of lines with refusals of steps that succeeded later."""

    @property
    def skips_login(self) -> bool:
        """Return whether the server offered a login, and the client sent mail without one."""
        return self.offers_auth and "mail from" in self.sent and "auth" not in self.sent


def refusal_of(text: str) -> Refusal | None:
    """Return the last refusal that the text quotes as one of the usual programs does; None if it quotes none."""
    best: tuple[int, int, Refusal] | None = None
    named, lowered = "", text.lower()
    for rank, (expression, phase) in enumerate(WRAPPERS):
        if not expression.may_match(lowered):
            continue
        for found in expression.pattern.finditer(text):
            groups = found.groupdict()
            words = (groups.get("code"), groups.get("enhanced"), groups.get("text"))
            refusal = Refusal(" ".join(" ".join(filter(None, words)).split()), phase or step_of(groups.get("command")))
            if best is None or (found.end(), -rank) > best[:2]:
                best = (found.end(), -rank, refusal)
            named = named or refusal.phase
    if best is None:
        return None
    return best[2] if best[2].phase else replace(best[2], phase=named)


def step_of(command: str | None) -> str:
    """Return the phase of a command as programs name it; empty if it is none."""
    words = (command or "").lower()
    return next((phase for begin, phase in _STEPS.items() if words.startswith(begin)), "")


def course_of(text: str) -> Course:
    """Return the course of the dialogue; empty if the text is no transcript."""
    refusals: dict[str, list[tuple[int, str]]] = {}
    sent: list[str] = []
    offers_auth, overtaken, last = False, set[int](), ""
    for number, line in enumerate(text.splitlines()):
        line = line[:_LONGEST_LINE]  # noqa: PLW2901
        if answer := _REPLY.match(line):
            step = sent[-1] if sent else "initial"
            rest = line[answer.start(1) :]
            if answer[1] >= "400" and step not in {"quit", "rset"}:
                refusals.setdefault(step, []).append((number, rest))
                last = step
            elif answer[1] < "300":
                overtaken |= {at for at, _ in refusals.pop(step, [])}
                offers_auth = offers_auth or rest[4:8].upper() == "AUTH"
        elif command := _COMMAND.match(line):
            sent.append(command[1].lower())
    if not sent or len(sent) > _MOST:
        return Course()
    refusal = None
    if last in refusals:
        first = refusals[last]
        code = first[-1][1][:3]
        lines = [rest for _, rest in first if rest.startswith(code)]
        refusal = Refusal(" ".join(" ".join((code, *(line[4:] for line in lines))).split()), step_of(last))
    return Course(refusal, tuple(sent), offers_auth, frozenset(overtaken))


def tries_password(text: str) -> bool:
    """Return whether the text shows a login with a password."""
    return _PASSWORD_TRIED.search(text) is not None


def speaks_of_token(text: str) -> bool:
    """Return whether anything in the text speaks of tokens."""
    return _TOKEN_SIGN.search(text) is not None


def flow_of(text: str) -> str:
    """Return how a token was asked for, by the names of libraries and requests; empty if the text does not show it."""
    if tries_password(text):
        return "password"
    lowered = text.lower()
    shown = (flow for flow, words in _FLOWS if words.may_match(lowered) and words.pattern.search(text))
    return next(shown, "")
