"""`via:` - the mail API by which a check goes, in place of SMTP.

Rule of this file:
- A credential is never sent in clear: any other address is one of https.
"""

from typing import Annotated
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, WithJsonSchema

from smtpcheck.config.fields import mistake, parse_url
from smtpcheck.config.problems import nearest
from smtpcheck.config.validation import ConfigSection
from smtpcheck.mail_api.apis import NAMES, SMTP
from smtpcheck.secrets.source import ConfiguredPath

_NAMES = (SMTP, *NAMES)


def _api(name: str) -> str:
    if name not in _NAMES:
        raise mistake("is not a mail API", nearest(name, _NAMES) or f"write {', '.join(_NAMES)}")
    return name


def _base(url: str) -> str:
    parsed = parse_url(url)
    if urlsplit(parsed).scheme != "https":
        raise mistake("must begin with https://", "a credential is never sent in clear")
    return parsed


class ViaSection(ConfigSection):
    """How a check's mail is sent."""

    api: Annotated[str, AfterValidator(_api), WithJsonSchema({"enum": list(_NAMES)})] = Field(
        default=SMTP, description="smtp, or a mail API: the check then proves the right to send by it."
    )
    region: str | None = Field(default=None, pattern=r"^[a-z0-9-]+$", description="Of an API that has several.")
    domain: str | None = Field(
        default=None, pattern=r"^[A-Za-z0-9.-]+$", description="The sending domain, where the API's paths name it."
    )
    template: str | None = Field(
        default=None, pattern=r"^[!-~]+$", description="The template's id, for an API that sends templates alone."
    )
    file: ConfiguredPath | None = Field(default=None, description="The file that describes an API of one's own.")
    base: Annotated[str, AfterValidator(_base)] | None = Field(
        default=None, description="Another address in front of the API's paths, such as a gateway's."
    )
    scope: str | None = Field(
        default=None,
        pattern=r"^[!-~]+$",
        description="The scope of the token, instead of the one that the API implies.",
    )
