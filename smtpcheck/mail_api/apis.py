"""All mail APIs, by the name that the configuration has for them.

Rule of this file: what a description describes is read when it is first asked for, not when this file is imported.
"""

from functools import lru_cache

from smtpcheck.mail_api.acs import Acs
from smtpcheck.mail_api.api import MailApi
from smtpcheck.mail_api.described import Described
from smtpcheck.mail_api.description import Description
from smtpcheck.mail_api.gmail import Gmail
from smtpcheck.mail_api.graph import Graph
from smtpcheck.mail_api.ses import Ses
from smtpcheck.mail_api.shipped import SHIPPED, shipped
from smtpcheck.model.check import Via

SMTP = "smtp"
"""What `via` may also say: the default."""
HTTP = "http"
"""An API that a file of the user's describes."""
_CODED: dict[str, MailApi] = {api.name: api for api in (Graph(), Gmail(), Ses(), Acs())}
NAMES = (*_CODED, *SHIPPED, HTTP)
"""The names of all, and `HTTP`."""


@lru_cache
def api_named(name: str) -> MailApi:
    """Return the API of that name. KeyError: there is none, or a file describes it."""
    if name in SHIPPED:
        return Described(shipped(name))
    return _CODED[name]


def api_of(via: Via) -> MailApi:
    """Return the API of a check."""
    return api_described(via.description) if via.description else api_named(via.api)


@lru_cache(maxsize=256)
def api_described(description: str) -> MailApi:
    """Return the API that a description in JSON describes."""
    return Described(Description.model_validate_json(description))
