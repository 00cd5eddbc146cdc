"""From pydantic's errors to problems that a user can act on.

Rules of this file:
- Every error of a part is reported, each in words of its own: what is wrong, and a hint.
- The value of an unknown key is never shown, nor a key inside a secret that is like none that is known: both may be a
  secret in the wrong place.
- An unknown key is an error everywhere, and no error shows what was given (`hide_input_in_errors`): it may be a secret.
"""

from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic_core import ErrorDetails

from smtpcheck.config.annotations import model_at, models_in
from smtpcheck.config.mistakes import SOURCES, key_hint, meant_by, text_hint
from smtpcheck.config.problems import KeyPath, Place, Problems, closest, nearest
from smtpcheck.secrets.source import SecretSource


class ConfigSection(BaseModel):
    """A part of the file."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)


Model = TypeVar("Model", bound=BaseModel)
At = Callable[[KeyPath], Place]
"""Where a value of the part is, by its path within the part."""

_UNKNOWN_KEY = "extra_forbidden"
_SENTENCES = {
    "missing": "is missing",
    "string_type": "must be text",
    "path_type": "must be a path",
    "int_type": "must be a whole number",
    "int_parsing": "must be a whole number",
    "int_from_float": "must be a whole number",
    "bool_type": "must be true or false",
    "bool_parsing": "must be true or false",
    "model_type": "must be a mapping",
    "dict_type": "must be a mapping",
    "list_type": "must be a list",
    "tuple_type": "must be a list",
    "string_too_short": "must not be empty",
    "too_short": "must not be empty",
    "greater_than_equal": "must be {ge} or more",
    "less_than_equal": "must be {le} or less",
    "enum": "must be one of {expected}",
    "literal_error": "must be one of {expected}",
    "string_pattern_mismatch": "does not have the required form",
    "date_from_datetime_parsing": "is not a valid date",
    "date_type": "is not a valid date",
}


def validated(model: type[Model], raw: object, at: At, problems: Problems, folder: Path | None) -> Model | None:
    """Return the part as its model, every problem in it reported; None where it cannot be told what is meant.

    Paths in it are relative to `folder`; without one they stay as they are.
    """
    try:
        return model.model_validate(raw, context={"folder": folder})
    except ValidationError as error:
        details = error.errors(include_url=False)
    unknown = [_path(detail) for detail in details if detail["type"] == _UNKNOWN_KEY]
    meant, renamed = _without_unknown_keys(model, raw, unknown)
    for detail in details:
        if detail["type"] != "missing" or _path(detail) not in renamed:
            _report(model, detail, at, problems)
    if not unknown:
        return None
    try:
        return model.model_validate(meant, context={"folder": folder})
    except ValidationError as error:
        for detail in error.errors(include_url=False):
            _report(model, detail, at, problems)
        return None


def _without_unknown_keys(
    model: type[BaseModel], raw: object, unknown: list[KeyPath]
) -> tuple[object, Collection[KeyPath]]:
    """Return the part as it is probably meant, so that an unknown key hides no other problem, and the keys meant."""
    meant, renamed = _copied(raw), set()
    for path in unknown:
        owner, key, section = _owner(model, path), str(path[-1]), _value_at(meant, path[:-1])
        if owner is None or not isinstance(section, dict) or key not in section:
            continue
        value = section.pop(key)
        right = meant_by(owner, key, keys_of(owner)) or closest(key, keys_of(owner))
        if issubclass(owner, SecretSource):
            section.clear()
            section["command"] = ["unknown"]  # a source of which nothing is read here
        elif right and right not in section:
            section[right] = value
            renamed.add((*path[:-1], right))
    return meant, renamed


def _copied(value: object) -> object:
    if isinstance(value, dict):
        return {key: _copied(each) for key, each in value.items()}
    return [_copied(each) for each in value] if isinstance(value, list) else value


def _value_at(value: Any, path: KeyPath) -> Any:
    for key in path:
        known = (isinstance(value, dict) and key in value) or (isinstance(value, list) and isinstance(key, int))
        value = value[key] if known else None
    return value


def _path(detail: ErrorDetails) -> KeyPath:
    return tuple(key for key in detail["loc"] if key != "[key]")


def _report(model: type[BaseModel], detail: ErrorDetails, at: At, problems: Problems) -> None:
    path = _path(detail)
    if detail["type"] == _UNKNOWN_KEY:
        _report_unknown_key(model, path, at, problems)
        return
    message, hint = _message_and_hint(model, path, detail)
    if detail["type"] in {"model_type", "dict_type", "model_attributes_type"} and isinstance(detail["input"], str):
        hint = text_hint(model_at(model, path), path[-1] if path else "", detail["input"], shows=at(path).shows) or hint
    value = None if detail["type"] == "missing" else detail["input"]
    problems.error(at(path), message, value=value, hint=hint)


def _report_unknown_key(model: type[BaseModel], path: KeyPath, at: At, problems: Problems) -> None:
    owner = _owner(model, path)
    known = key_hint(owner, str(path[-1]), keys_of(owner)) if owner else ""
    hint = known or _elsewhere(model, path) or nearest(str(path[-1]), keys_of(owner) if owner else [])
    likely = known or hint.startswith("did you mean")
    secretive = owner is not None and issubclass(owner, SecretSource) and not likely
    problems.error(at(path[:-1] if secretive else path), "unknown key", hint=hint)


def _elsewhere(model: type[BaseModel], path: KeyPath) -> str:
    """Return where an unknown key would be a known one: within a part beside it, or further up; else nothing."""
    key, owner = str(path[-1]), _owner(model, path)
    for name, field in owner.model_fields.items() if owner else ():
        part = next(iter(models_in(field.annotation)), None)
        if part and not issubclass(part, SecretSource) and key in keys_of(part):
            beside = field.alias or name
            return f"it belongs under {beside}: {beside}: {{{key}: ...}}"
    for depth in range(len(path) - 2, -1, -1):
        above = model_at(model, path[:depth])
        if above and key in keys_of(above):
            return f"it does not belong under {path[depth]}, but beside it"
    return ""


def keys_of(model: type[BaseModel]) -> list[str]:
    """Return the keys of a part, as they are written."""
    return [field.alias or name for name, field in model.model_fields.items()]


def _message_and_hint(model: type[BaseModel], path: KeyPath, detail: ErrorDetails) -> tuple[str, str]:
    kind, value, context = detail["type"], detail["input"], detail.get("ctx", {})
    if kind == "value_error":
        message, _, hint = str(context["error"]).partition("\n")
        return message, hint
    if kind in {"enum", "literal_error"}:
        choices = str(context["expected"]).replace("'", "").replace(" or ", ", ")
        hint = nearest(value, choices.split(", ")) if isinstance(value, str) and value[:1].isalpha() else ""
        return f"must be one of {choices}", hint if hint.startswith("did") else ""
    message = _SENTENCES.get(kind, "").format(**context) or detail["msg"].replace("Input should be", "must be")
    if kind == "string_type" and isinstance(value, bool | int | float):
        return message, "write it in quotes"
    if kind == "string_type" and isinstance(value, dict | list):
        return message, _description(model, path)
    if kind in {"list_type", "tuple_type"} and isinstance(value, str | int):
        return message, "write it in brackets: [...]"
    if kind == "model_type" and issubclass(model_at(model, path) or BaseModel, SecretSource):
        return message, SOURCES
    if kind in {"missing", "string_pattern_mismatch"}:
        return message, _description(model, path)
    return message, ""


def _owner(model: type[BaseModel], path: KeyPath) -> type[BaseModel] | None:
    return model_at(model, path[:-1])


def _field(model: type[BaseModel], key: str | int) -> Any:
    return next((field for name, field in model.model_fields.items() if key in {name, field.alias}), None)


def _description(model: type[BaseModel], path: KeyPath) -> str:
    owner = _owner(model, path)
    field = _field(owner, path[-1]) if owner else None
    return str(field.description) if field and field.description else ""
