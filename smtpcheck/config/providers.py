"""Which provider a mail host belongs to, and where its clients submit and read mail.

Rule of this file: data first; a further provider is a row. Sources:
https://learn.microsoft.com/exchange/client-developer/legacy-protocols/how-to-authenticate-an-imap-pop-smtp-application-by-using-oauth,
https://learn.microsoft.com/exchange/mail-flow-best-practices/oauth-high-volume-mails-m365,
https://learn.microsoft.com/azure/communication-services/quickstarts/email/send-email-smtp/smtp-authentication,
https://developers.google.com/workspace/gmail/imap/imap-smtp, https://senders.yahooinc.com/developer/documentation.
"""

import functools

from smtpcheck.model.check import Provider

HVE_HOST = "smtp.hve.mx.microsoft"
"""Where High Volume Email is submitted; its old name is to go."""
OLD_HVE_HOST = "smtp-hve.office365.com"
ACS_SCOPE = "https://communication.azure.com/.default"

_DOMAINS = {
    HVE_HOST: Provider.HVE,
    OLD_HVE_HOST: Provider.HVE,
    "azurecomm.net": Provider.ACS,
    "office365.com": Provider.MICROSOFT,
    "office365.us": Provider.MICROSOFT,
    "outlook.com": Provider.MICROSOFT,
    "outlook.cn": Provider.MICROSOFT,
    "mx.microsoft": Provider.MICROSOFT,
    "gmail.com": Provider.GOOGLE,
    "googlemail.com": Provider.GOOGLE,
    "google.com": Provider.GOOGLE,
    "yahoo.com": Provider.YAHOO,
    "aol.com": Provider.YAHOO,
}

_DEFAULT_HOSTS = {
    Provider.GOOGLE: "smtp.gmail.com",
    Provider.YAHOO: "smtp.mail.yahoo.com",
}

_DEFAULT_IMAP_HOSTS = {
    Provider.GOOGLE: "imap.gmail.com",
    Provider.YAHOO: "imap.mail.yahoo.com",
}

AUTHSERV_IDS = {Provider.MICROSOFT: "", Provider.GOOGLE: "mx.google.com"}
"""By what name the provider gives its results in Authentication-Results (RFC 8601 2.5); Exchange Online gives none."""


@functools.lru_cache(maxsize=1024)
def provider_of_host(host: str) -> Provider | None:
    """Return the provider whose host this is, None if it is nobody's that we know."""
    name = host.lower().rstrip(".")
    return next((found for domain, found in _DOMAINS.items() if name == domain or name.endswith(f".{domain}")), None)


def provider_of_credential(credential_type: str) -> Provider | None:
    """Return the provider that a credential's `type` belongs to, None for a general one."""
    for provider in (Provider.MICROSOFT, Provider.GOOGLE, Provider.YAHOO):
        if credential_type.startswith(provider):
            return provider
    return None


def takes_tokens_of(provider: Provider) -> Provider:
    """Return the provider whose credentials give tokens for this provider's server."""
    return Provider.MICROSOFT if provider in {Provider.HVE, Provider.ACS} else provider


def default_host(provider: Provider) -> str | None:
    """Return the host where the provider's clients submit mail, None if the provider does not say."""
    return _DEFAULT_HOSTS.get(provider)


def default_imap_host(provider: Provider) -> str | None:
    """Return the host where the provider's clients read mail, None if the provider does not say."""
    return _DEFAULT_IMAP_HOSTS.get(provider)
