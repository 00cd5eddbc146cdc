"""In which phase something failed, and at whose server, where only the text says.

Rule of this file: plain words, the most telling first; a text that names none of them has no phase.
"""

_PHASES = (
    (
        "token",
        ("aadsts", "invalid_grant", "invalid_client", "unauthorized_client", "invalid_scope", "error_description"),
    ),
    ("token", ("tokenresponseexception", "refresherror", "/oauth2/", "oauth2.googleapis.com", "msal", "invalid jwt")),
    ("data", ("storedrv", "sendasdenied", "smtpdataerror", "5.7.60 ", "end of data", "permissions to send as")),
    ("mail", ("5.7.57", "during mail from", "mail from:", "sender address rejected", "smtpsenderrefused")),
    (
        "rcpt",
        (
            "rcpt to",
            "smtprecipientsrefused",
            "relay access",
            "relay denied",
            "relaying denied",
            "unable to relay",
            "recipient address rejected",
            "5.1.1 ",
            "user unknown",
        ),
    ),
    (
        "auth",
        ("535", "534 ", "534-", "5.7.139", "5.7.3 auth", "5.7.8 ", "xoauth2", "authenticationexception", "auth login"),
    ),
    (
        "auth",
        (
            "authenticationfailed",
            "smtpauthenticationerror",
            "eauth",
            "authentication fail",
            "auth extension",
            "auth type",
        ),
    ),
    ("dns", ("getaddrinfo", "enotfound", "eai_again", "unknownhost", "name or service not known", "name resolution")),
    ("dns", ("no such host", "nodename nor servname", "php_network_getaddresses", "host unknown", "hostnotfound")),
    (
        "tls",
        (
            "certificate",
            "sslhandshake",
            "sslerror",
            "ssl routines",
            "wrong version number",
            "x509",
            "pkix",
            "tls_",
            "ssl_connect",
        ),
    ),
    ("tls", ("authenticationexception: the remote", "tls handshake", "tls: ", "starttls failed", "ssl/tls")),
    (
        "connect",
        ("etimedout", "econnrefused", "timed out", "timeout", "connection refused", "unreachable", "failed to connect"),
    ),
    (
        "connect",
        ("couldn't connect", "could not connect", "unable to connect", "no route", "cannot assign requested address"),
    ),
)

_PROVIDERS = (
    (
        "microsoft",
        (
            "aadsts",
            "outlook.com",
            "office365",
            "outlook.office",
            "microsoftonline",
            "outlook.cn",
            "storedrv",
            "hotmail",
        ),
    ),
    ("google", ("gsmtp", "gmail", "google")),
    ("yahoo", ("yahoo", "aol.com")),
)


def phase_of(text: str) -> str:
    """Return the phase that a text in lower case speaks of, a value of `Phase`; empty if it names none."""
    return next((phase for phase, words in _PHASES if any(word in text for word in words)), "")


def provider_of(text: str, host: str) -> str:
    """Return whose server it is, a value of `Provider`, by its name or a text in lower case; empty if none says."""
    said = f"{host.lower()} {text}"
    return next((provider for provider, words in _PROVIDERS if any(word in said for word in words)), "")
