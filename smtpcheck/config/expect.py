"""`expect:` - a refusal that a check must meet, and what is asked of such a check.

Rules of this file:
- Refusals that come often are punished: such a check runs once a day unless it says otherwise, and never more often
  than `shortest_interval` allows, whatever `defaults` say.
- A run ends where the refusal is expected, so the phase implies the depth.
"""

import re
from typing import Annotated, Literal, Self

from pydantic import BeforeValidator, Field, WithJsonSchema, model_validator

from smtpcheck.config.fields import mistake
from smtpcheck.config.problems import Place, Problems
from smtpcheck.config.validation import ConfigSection
from smtpcheck.model.check import Check, Depth, Expect, Phase, Provider
from smtpcheck.model.expected_refusal import shortest_interval

_HOUR = 3600.0
DEFAULT_INTERVAL = 24 * _HOUR

_REPLY_CODE = re.compile(r"[2-5](?:[0-9][0-9x]|xx)", re.IGNORECASE)
_ENHANCED_CODE = re.compile(r"[245]\.(?:\*|(?:\d{1,3}|\*)\.(?:\d{1,3}|\*))", re.ASCII)

_STATUS = re.compile(r"[345](?:[0-9][0-9x]|xx)", re.IGNORECASE)
_API_ERROR = re.compile(r"[!-~]{1,80}")


def _codes(value: object) -> tuple[str, ...]:
    """Return reply codes, each of them a number or a class as `5xx`.

    Raises:
        ValueError: One is none, or is not a refusal (RFC 5321 4.2.1).
    """
    return tuple(_code(item) for item in _items(value))


def _code(value: object) -> str:
    text = str(value) if isinstance(value, int) and not isinstance(value, bool) else value
    if not isinstance(text, str) or not _REPLY_CODE.fullmatch(text):
        raise mistake("is not a valid reply code", "write three digits, such as 535, or a class, such as 5xx")
    if text[0] not in "45":
        raise mistake("is not a refusal", "servers refuse with 5xx, or temporarily with 4xx (RFC 5321 4.2.1)")
    return text.lower()


def _enhanced_codes(value: object) -> tuple[str, ...]:
    """Return enhanced codes (RFC 3463), each of them whole or with `*` for any number.

    Raises:
        ValueError: One is none, or is not a refusal.
    """
    return tuple(_enhanced(item) for item in _items(value))


def _enhanced(value: object) -> str:
    if isinstance(value, float):
        raise mistake("is not a valid enhanced code", f'write "{value:g}.*" in quotes for all that start with it')
    if not isinstance(value, str) or not _ENHANCED_CODE.fullmatch(value):
        raise mistake(
            "is not a valid enhanced code", 'write "5.7.60", or "5.7.*" for all that start with 5.7 (RFC 3463)'
        )
    if value[0] == "2":
        raise mistake("is not a refusal", "refusals start with 5, or temporarily with 4 (RFC 3463)")
    return value if value.count(".") == 2 else f"{value}.*"


def _statuses(value: object) -> tuple[str, ...]:
    """Return HTTP status codes of refusals (RFC 9110 15), each a number or a class as `4xx`. Raises ValueError."""
    return tuple(_status(item) for item in _items(value))


def _status(value: object) -> str:
    text = str(value) if isinstance(value, int) and not isinstance(value, bool) else value
    if not isinstance(text, str) or not _STATUS.fullmatch(text):
        raise mistake("is not an HTTP status of a refusal", "write three digits, such as 403, or a class, such as 4xx")
    return text.lower()


def _api_errors(value: object) -> tuple[str, ...]:
    """Return error codes of a mail API as it writes them. ValueError: one cannot be one."""
    for item in _items(value):
        if not isinstance(item, str) or not _API_ERROR.fullmatch(item):
            raise mistake("is not an error code of a mail API", "write it as the API does, such as ErrorAccessDenied")
    return tuple(str(item) for item in _items(value))


def _items(value: object) -> tuple[object, ...]:
    items = tuple(value) if isinstance(value, list | tuple) else (value,)
    if not items:
        raise mistake("must not be empty", "remove it, or name what is expected")
    return items


def _one_or_more(one: dict[str, object]) -> WithJsonSchema:
    return WithJsonSchema({"anyOf": [one, {"type": "array", "items": one, "minItems": 1}]})


class ExpectSection(ConfigSection):
    """A refusal that must come."""

    phase: Literal["auth", "mail", "rcpt", "data", "request"] = Field(
        description="Where: auth (login), mail (sender), rcpt (recipient), data (the message; sent if it passes); "
        "by a mail API: request."
    )
    code: Annotated[tuple[str, ...], BeforeValidator(_codes), _one_or_more({"type": ["integer", "string"]})] = Field(
        default=("5xx",), description="Expected reply codes, such as 535 or 5xx; one or a list. Default: 5xx."
    )
    enhanced: Annotated[tuple[str, ...], BeforeValidator(_enhanced_codes), _one_or_more({"type": "string"})] = Field(
        default=(), description='Expected enhanced codes, such as "5.7.60" or "5.7.*"; one or a list. Default: any.'
    )

    http_status: Annotated[
        tuple[str, ...], BeforeValidator(_statuses), _one_or_more({"type": ["integer", "string"]})
    ] = Field(default=(), description="By a mail API: expected HTTP status codes, such as 403 or 4xx. Default: 4xx.")
    api_error: Annotated[tuple[str, ...], BeforeValidator(_api_errors), _one_or_more({"type": "string"})] = Field(
        default=(), description="By a mail API: expected error codes, such as ErrorAccessDenied. Default: any."
    )

    def expect(self) -> Expect:
        """Return what it means."""
        if self.phase == "request":
            return Expect(Phase.REQUEST, self.http_status or ("4xx",), api_errors=self.api_error)
        return Expect(Phase(self.phase), self.code, self.enhanced)

    @model_validator(mode="after")
    def _fits_its_phase(self) -> Self:
        written, of_api = self.model_fields_set, self.phase == "request"
        wrong = written & ({"code", "enhanced"} if of_api else {"http_status", "api_error"})
        if wrong:
            there = "is answered by HTTP: write http_status and api_error" if of_api else "is one of SMTP: write code"
            raise ValueError(f"{' and '.join(sorted(wrong))} cannot be in phase {self.phase}, which {there}")
        return self


def check_depth(expect: Expect, depth: Depth, place: Place, problems: Problems) -> bool:
    """Report where a depth that the check names is not that of the phase; return whether the check can be used."""
    if depth < expect.depth:
        problems.error(
            place,
            f"does not reach phase {expect.phase}, where the refusal is expected",
            value=str(depth),
            hint=f"remove it, or write depth: {expect.depth}",
        )
    elif depth > expect.depth and expect.phase is not Phase.REQUEST:
        message = f"has no effect: a run ends in phase {expect.phase}, where the refusal is expected"
        problems.warning(place, message, value=str(depth), hint="remove it")
    return depth >= expect.depth


def check_interval(check: Check, place: Place, problems: Problems) -> bool:
    """Report where the runs come too often for a check that expects a refusal; return whether they do not."""
    if check.expect is None:
        return True
    shortest = shortest_interval(check)
    if check.interval >= shortest:
        return True
    what = "for a password at Microsoft " if shortest > _HOUR else ""
    what = "in phase data " if check.expect.phase is Phase.DATA else what
    problems.error(
        place,
        f"an expected refusal {what}needs an interval of {shortest / _HOUR:g}h or more, not {check.interval:g}s",
        hint="repeated refusals are penalized; remove it for once a day",
    )
    return False


def check_expectation(check: Check, place: Place, problems: Problems) -> None:
    """Report what makes a refusal prove less than it seems to, or what cannot come."""
    expect = check.expect
    if expect is None or expect.phase is Phase.REQUEST:
        return
    for code in (code for code in expect.codes if code.startswith("4")):
        problems.warning(
            place / "code",
            f"{code} is a temporary refusal, which any temporary error looks like (RFC 5321 4.2.1)",
            hint="narrow it by enhanced, or expect 5xx alone",
        )
    if check.provider is Provider.MICROSOFT and expect.phase in {Phase.MAIL, Phase.RCPT} and check.credential:
        problems.warning(
            place / "phase",
            "Exchange Online checks sender and recipient only after the whole message",
            value=str(expect.phase),
            hint="write phase: data; the message is delivered to the recipient if it is not refused",
        )
