"""What incident tools have in common: an address that is no secret, a key of a known form, texts of limited length.

Rules of this file:
- Pure, but for `key_problem`, which reads a secret as `validate` does: never by running a command.
- A text that is too long is cut and ends in an ellipsis; nothing is sent that the service would refuse for its length.
"""

import re
from collections.abc import Iterable
from dataclasses import replace
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import Field

from smtpcheck.alerts.notifiers.notifier import Failure, Route
from smtpcheck.secrets.source import SecretSource, SecretUnreadableError

ServiceUrl = Annotated[str, Field(pattern=r"^https?://[^\s/@?#]+(/[^\s@?#]*)?$")]
"""The address of a service, which holds no key."""


def endpoint(url: str, path: str) -> str:
    """Return the address of a path of a service."""
    return url.rstrip("/") + path


def host_route(url: str) -> Iterable[Route]:
    """Return the host of a service."""
    yield Route(urlsplit(url).hostname or "")


def shortened(text: str, most: int) -> str:
    """Return a text of at most `most` characters; one that was cut ends in an ellipsis."""
    return text if len(text) <= most else text[: most - 1] + "…"


def key_problem(source: SecretSource, form: str, problem: str) -> str:
    """Return `problem` where a key that can be read without running a command does not have its form; else empty."""
    if source.command is not None:
        return ""
    try:
        key = source.read().reveal()
    except SecretUnreadableError:
        return ""
    return "" if re.fullmatch(form, key) else problem


def kept_for_retry(failure: Failure | None, question: str) -> Failure | None:
    """Return a refusal of what is well formed as one to try again, with the question that it raises."""
    if failure is None or not failure.permanent:
        return failure
    return replace(failure, reason=f"{failure.reason}; {question}", permanent=False)
