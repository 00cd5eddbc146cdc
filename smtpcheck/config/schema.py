"""The JSON Schema of `checks.yaml`, for editors: completion, descriptions, and most mistakes while typing.

Rules of this file:
- Every key has a description, and a default, its choices or an example.
- A variable of the environment is accepted where a value is replaced, whatever the form of the value; so are keys that
  begin with `x-` beside the parts of a file.
"""

from enum import Enum
from typing import Any

from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue
from pydantic_core.core_schema import NullableSchema, WithDefaultSchema

from smtpcheck.config.file_model import file_model
from smtpcheck.config.schema_examples import EXAMPLES
from smtpcheck.mail_api.description import Description
from smtpcheck.model.duration import duration_text

_ID = "urn:smtpcheck:{}:0.2"
"""A name and no address: nothing is fetched by it."""
_VARIABLE = {
    "type": "string",
    "pattern": r"\$\{[A-Za-z_][A-Za-z0-9_]*(:-[^}]*)?\}",
    "description": "With variables of the environment: ${NAME}, or ${NAME:-default}.",
}
_SOURCES = frozenset({"SecretSource", "TokenSource"})
_AROUND = ("description", "default", "examples", "title")
_FORMS = frozenset({"enum", "pattern", "format", "minLength"})
_NOT_TEXT = frozenset({"integer", "number", "boolean"})


class _Schema(GenerateJsonSchema):
    """Leaves out `null` for a missing key, and writes defaults as the file does."""

    def default_schema(self, schema: WithDefaultSchema) -> JsonSchemaValue:
        inner = self.generate_inner(schema["schema"])
        default = _written(schema.get("default"))
        return inner if default is None else {**inner, "default": default}

    def nullable_schema(self, schema: NullableSchema) -> JsonSchemaValue:
        return self.generate_inner(schema["schema"])


def api_json_schema() -> dict[str, Any]:
    """Return the schema of a file that describes a mail API."""
    described = Description.model_json_schema(schema_generator=_Schema)
    return {"$schema": GenerateJsonSchema.schema_dialect, "$id": _ID.format("api"), **described}


def json_schema() -> dict[str, Any]:
    """Return the schema of one file, JSON Schema draft 2020-12."""
    schema = file_model().model_json_schema(schema_generator=_Schema)
    definitions = {name: _with_variables(part, name) for name, part in schema.pop("$defs").items()}
    return {
        "$schema": GenerateJsonSchema.schema_dialect,
        "$id": _ID.format("checks"),
        **_with_variables(schema, ""),
        "patternProperties": {"^x-": {"description": "Ignored: a place for YAML anchors."}},
        "$defs": {**definitions, "Variable": _VARIABLE},
    }


def _written(default: object) -> Any:
    """Return a default as it is written in the file; None for one that says nothing."""
    match default:
        case bool() | int() if not isinstance(default, Enum):
            return default
        case float():
            return duration_text(default)
        case str() | Enum():
            return str(default) or None
        case (str(host), int(port)):
            return f"{host}:{port}"
        case (str(), *_):
            return list(default)
    return None


def _with_variables(schema: dict[str, Any], name: str) -> dict[str, Any]:
    """Return the schema of a value, called `name`, that takes variables too, and has an example."""
    if "$ref" in schema or "const" in schema:
        return schema
    if "properties" in schema:
        kept = name in _SOURCES
        inner = {key: part if kept else _with_variables(part, key) for key, part in schema["properties"].items()}
        return {**schema, "properties": {key: _exemplified(part, name, key) for key, part in inner.items()}}
    for key in ("items", "additionalProperties"):
        if isinstance(schema.get(key), dict):
            schema = {**schema, key: _with_variables(schema[key], "")}
    if "anyOf" in schema:
        return {**schema, "anyOf": [_with_variables(part, "") for part in schema["anyOf"]]}
    if str(schema.get("type")) not in _NOT_TEXT and schema.keys().isdisjoint(_FORMS):
        return schema
    around = {key: schema[key] for key in _AROUND if key in schema}
    value = {key: part for key, part in schema.items() if key not in around}
    return {**around, "anyOf": [value, {"$ref": "#/$defs/Variable"}]}


def _exemplified(schema: dict[str, Any], model: str, key: str) -> dict[str, Any]:
    example = EXAMPLES.get(f"{model}.{key}", EXAMPLES.get(key))
    if example is None or not schema.keys().isdisjoint({"$ref", "const", "examples", "default", "oneOf"}):
        return schema
    return {**schema, "examples": [example]}
