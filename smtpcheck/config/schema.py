"""The JSON Schema of `checks.yaml`, for editors: completion, descriptions, and most mistakes while typing."""

from functools import reduce
from operator import or_
from typing import Annotated, Any

from pydantic import Field, create_model
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue
from pydantic_core.core_schema import NullableSchema, WithDefaultSchema

from smtpcheck.alerts.notifiers import NOTIFIER_TYPES
from smtpcheck.config.alerts import AlertsSection
from smtpcheck.config.models import AgentSection, ChecksSection, DefaultsSection
from smtpcheck.config.validation import ConfigSection
from smtpcheck.mail_api.description import Description
from smtpcheck.oauth import CREDENTIAL_TYPES


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
    credential: Any = reduce(or_, CREDENTIAL_TYPES)
    if len(CREDENTIAL_TYPES) > 1:
        credential = Annotated[credential, Field(discriminator="type")]
    notifier: Any = Annotated[reduce(or_, NOTIFIER_TYPES), Field(discriminator="type")]
    alerts: Any = create_model(
        "Alerts",
        __base__=AlertsSection,
        notify=(list[notifier] | None, Field(default=None, description="Who is notified.")),
    )
    file = create_model(
        "Checks",
        __base__=ConfigSection,
        __doc__="What smtpcheck watches, and how.",
        agent=(AgentSection | None, Field(default=None, description="The agent as a whole.")),
        alerts=(alerts | None, Field(default=None, description="Alerts of its own.")),
        defaults=(DefaultsSection | None, Field(default=None, description="For checks that do not say otherwise.")),
        credentials=(
            dict[str, credential] | None,
            Field(default=None, description="How tokens are obtained, by name."),
        ),
        checks=(list[ChecksSection] | None, Field(default=None, description="What to do, one item for each mailbox.")),
    )
    return {"$schema": GenerateJsonSchema.schema_dialect, **file.model_json_schema(schema_generator=_Schema)}
