"""Variables of the environment in text values: `${NAME}`, and `${NAME:-default}` where it is unset or empty.

Rules of this file:
- They are replaced after YAML is parsed, so nothing that a variable holds can change the structure of the file, and
  once: what a variable holds is not searched for variables.
- `$${` is a literal `${`. Keys are left as they are, and so is where a secret comes from (`{file: ...}`, `{env: ...}`
  and the like), for a secret may contain anything; and so is what is below a key that is not known.
- The result is text. A key that needs a number, a duration or true or false reads it from that text.
- No problem shows what a variable holds: it may be a secret. It shows the variable's name in place of it.
"""

import os
import re
from collections.abc import Mapping
from typing import Any

from pydantic import BeforeValidator

from smtpcheck.config.annotations import alternatives, kind_of_member, models_in
from smtpcheck.config.file_model import file_model
from smtpcheck.config.problems import Place, Problems
from smtpcheck.config.yaml_reader import Document
from smtpcheck.secrets.source import SecretSource

START = "${"
"""Without it a text has no variable."""
_HINT = "write ${NAME} or ${NAME:-default}, and $${ for a literal ${"
_PIECE = re.compile(r"\$\$\{|\$\{([^}]*)(\}?)")
_INSIDE = re.compile(r"([A-Za-z_][A-Za-z0-9_]*)(?::-(.*))?", re.DOTALL)


def expanded(document: Document, problems: Problems) -> Any:
    """Return the value of a file with its variables replaced, and report those that are not set."""
    if not document.has_variables:
        return document.value
    return _expanded(document.value, file_model(), Place(document), problems)


def _expanded(value: Any, kind: Any, place: Place, problems: Problems) -> Any:
    """Return a value whose type is annotated as `kind`; the very same where it has no variable."""
    if isinstance(value, str):
        return _text(value, place, problems) if START in value and _takes_text(kind) else value
    if not isinstance(value, Mapping | list) or any(issubclass(each, SecretSource) for each in models_in(kind)):
        return value
    type_name = value.get("type") if isinstance(value, Mapping) else None
    changed: dict[Any, Any] = {}
    for key, member in value.items() if isinstance(value, Mapping) else enumerate(value):
        if not isinstance(member, Mapping | list) and not (isinstance(member, str) and START in member):
            continue
        inner = kind_of_member(kind, key, type_name)
        new = member if inner is None else _expanded(member, inner, place / key, problems)
        if new is not member:
            changed[key] = new
    if not changed:
        return value
    if isinstance(value, Mapping):
        return {**value, **changed}
    return [changed.get(index, member) for index, member in enumerate(value)]


def _text(text: str, place: Place, problems: Problems) -> str:
    """Return a text with its variables replaced; where that cannot be done it is reported, and the text returned."""
    held: dict[str, str] = {}

    def replaced(found: re.Match[str]) -> str:
        if found[0] == f"${START}":
            return START
        inside = _INSIDE.fullmatch(found[1]) if found[2] else None
        if inside is None or START in found[1]:
            raise _NotReplacedError(f"has a {START} that does not begin a variable", _HINT)
        name, default = inside.groups()
        value = os.environ.get(name)
        if default is not None and not value:
            return str(default)
        if value is None:
            raise _NotReplacedError(f"variable {name} is not set", f"set it, or write {START}{name}:-default}}")
        held[name] = value
        return value

    try:
        result = _PIECE.sub(replaced, text)
    except _NotReplacedError as error:
        problems.error(place, error.message, hint=error.hint)
        problems.report_nothing_more(place)
        return text
    problems.conceal(place, held)
    return result


class _NotReplacedError(Exception):
    def __init__(self, message: str, hint: str) -> None:
        super().__init__(message)
        self.message, self.hint = message, hint


def _takes_text(kind: Any) -> bool:
    """Return whether text may be there: a secret's source is a mapping, unless it is made of text (an address)."""
    return not any(
        isinstance(each, type)
        and issubclass(each, SecretSource)
        and not any(isinstance(validator, BeforeValidator) for validator in around)
        for each, around in alternatives(kind)
    )
