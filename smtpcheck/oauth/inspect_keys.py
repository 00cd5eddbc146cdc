"""The key `inspect:` of a credential: who reads what the provider says of it, and how often."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, PlainValidator, WithJsonSchema

from smtpcheck.model.duration import DURATION_JSON, parse_period

_DAY = 86400.0


class Inspect(BaseModel):
    """Read-only questions about the credential's application and its mailboxes."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    by: str = Field(description="The name of the credential that the questions are asked with.")
    every: Annotated[float, PlainValidator(parse_period), WithJsonSchema(DURATION_JSON)] = Field(
        default=_DAY, description="The interval between readings; 1h or more. Default 1d."
    )
    exchange: bool = Field(
        default=False, description="Whether Exchange Online is asked too, by an interface without documentation."
    )
    sign_ins: bool = Field(default=False, description="Whether the log of sign-ins is read; needs Entra ID P1.")
