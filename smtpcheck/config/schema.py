"""The JSON Schema of `checks.yaml`, for editors: completion, descriptions, and most mistakes while typing."""

from typing import Any

from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue
from pydantic_core.core_schema import NullableSchema, WithDefaultSchema

from smtpcheck.config.file_model import file_model
from smtpcheck.mail_api.description import Description


class _Schema(GenerateJsonSchema):
    """Leaves out what only matters inside: `null` for a missing key, and defaults in seconds."""

    def default_schema(self, schema: WithDefaultSchema) -> JsonSchemaValue:
        return self.generate_inner(schema["schema"])

    def nullable_schema(self, schema: NullableSchema) -> JsonSchemaValue:
        return self.generate_inner(schema["schema"])


def api_json_schema() -> dict[str, Any]:
    """Return the schema of a file that describes a mail API."""
    described = Description.model_json_schema(schema_generator=_Schema)
    return {"$schema": GenerateJsonSchema.schema_dialect, **described}


def json_schema() -> dict[str, Any]:
    """Return the schema of one file, JSON Schema draft 2020-12."""
    return {"$schema": GenerateJsonSchema.schema_dialect, **file_model().model_json_schema(schema_generator=_Schema)}
