"""What every part of `checks.yaml` is made of.

Rule of this file: an unknown key is an error everywhere, and no error shows what was given (`hide_input_in_errors`):
it may be a secret.
"""

from pydantic import BaseModel, ConfigDict


class ConfigSection(BaseModel):
    """A part of the file."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)
