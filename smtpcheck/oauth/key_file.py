"""A private key in a file, as the configuration names it."""

from pydantic import BaseModel, ConfigDict, Field

from smtpcheck.secret_source import ConfiguredPath, SecretSource


class KeyFile(BaseModel):
    """A key, with its certificate where one is registered."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    file: ConfiguredPath = Field(description="PEM, or PFX where a certificate goes with it.")
    passphrase: SecretSource | None = Field(default=None, description="What the key is encrypted with.")
