"""Which provider a mail host belongs to, and where its clients submit and read mail.

Rule of this file: data first; a further provider is a row. Sources:
https://learn.microsoft.com/exchange/client-developer/legacy-protocols/how-to-authenticate-an-imap-pop-smtp-application-by-using-oauth,
https://developers.google.com/workspace/gmail/imap/imap-smtp, https://senders.yahooinc.com/developer/documentation.
"""

from smtpcheck.model.check import Provider

_DOMAINS = {
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


def default_host(provider: Provider) -> str | None:
    """Return the host where the provider's clients submit mail, None if the provider does not say."""
    return _DEFAULT_HOSTS.get(provider)


def default_imap_host(provider: Provider) -> str | None:
    """Return the host where the provider's clients read mail, None if the provider does not say."""
    return _DEFAULT_IMAP_HOSTS.get(provider)
