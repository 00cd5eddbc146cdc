"""Mistakes that are well formed: what would be refused by the server or the issuer, found before any network step.

Rules of this file:
- An error is what cannot work; a warning is what may work, or works until it does not.
- What is special to Microsoft's own clouds does not apply to an issuer of one's own (`authority:`).
- Sources: https://learn.microsoft.com/exchange/mail-flow-best-practices/how-to-set-up-a-multifunction-device-or-application-to-send-email-using-microsoft-365-or-office-365
  (port 587, no IP address), https://learn.microsoft.com/graph/deployments (clouds).
"""

from collections.abc import Iterator

from pydantic import BaseModel

from smtpcheck.config.mailboxes import Entry
from smtpcheck.config.problems import KeyPath, Place, Problems
from smtpcheck.model import Check
from smtpcheck.oauth.credential import Credential
from smtpcheck.secret_source import SecretSource, SecretUnreadableError


def look_at_credential(credential: Credential, place: Place, problems: Problems) -> None:
    """Tell what is wrong with a credential whose form is right; reads its secrets, but runs no command."""
    for path, source in _secrets(credential):
        _look_at_secret(source, place + path, problems)


def look_at_check(check: Check, credential: Credential | None, entry: Entry, problems: Problems) -> None:
    """Tell what cannot work about a check whose form is right."""


def _secrets(model: BaseModel) -> Iterator[tuple[KeyPath, SecretSource]]:
    for name, field in type(model).model_fields.items():
        value = getattr(model, name)
        key = field.alias or name
        if isinstance(value, SecretSource):
            yield (key,), value
        elif isinstance(value, BaseModel):
            yield from (((key, *path), source) for path, source in _secrets(value))


def _look_at_secret(source: SecretSource, place: Place, problems: Problems) -> None:
    if source.command is not None:
        return
    try:
        source.hazards()
    except SecretUnreadableError as error:
        problems.warning(place, f"secret cannot be read: {error}")
