"""All mail APIs, by the name that the configuration has for them."""

from smtpcheck.mail_api.api import MailApi
from smtpcheck.mail_api.gmail import Gmail
from smtpcheck.mail_api.graph import Graph
from smtpcheck.model.check import Via

APIS: dict[str, MailApi] = {api.name: api for api in (Graph(), Gmail())}
SMTP = "smtp"
"""What `via` may also say: the default."""


def api_of(via: Via) -> MailApi:
    """Return the API of a check. KeyError: there is none of that name."""
    return APIS[via.api]
