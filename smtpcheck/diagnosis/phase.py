"""In which phase something failed, and at whose server, where only the text says.

Rule of this file: plain words, the most telling first; a text that names none of them has no phase.
"""

import re
from collections.abc import Collection

_PHASES = (
    (
        "token",
        ("aadsts", "invalid_grant", "invalid_client", "unauthorized_client", "invalid_scope", "error_description"),
    ),
    (
        "token",
        (
            "tokenresponseexception",
            "refresherror",
            "/oauth2/",
            "oauth2.googleapis.com",
            "msal",
            "invalid jwt",
            "/.well-known",
            "failed to refresh",
            "refresh access",
            "fetch token",
            "access token response",
            "fetch access token",
        ),
    ),
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
            "authentication not enabled",
            "sasl authentication",
            "sasl login",
            "auth type",
        ),
    ),
    ("banner", ("greeting never received", "did not receive a greeting", "no greeting")),
    ("dns", ("getaddrinfo", "enotfound", "eai_again", "unknownhost", "name or service not known", "name resolution")),
    (
        "dns",
        (
            "host not found",
            "no such host",
            "server misbehaving",
            "nodename nor servname",
            "php_network_getaddresses",
            "host unknown",
            "hostnotfound",
        ),
    ),
    ("dns", ("konnte nicht aufgel", "host ist unbekannt", "distant n'a pas pu", "resolver el nombre remoto")),
    (
        "tls",
        (
            *("certificate", "remotezertifikat", "certificat distant", "certificado remoto"),
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
    (
        "tls",
        (
            "authenticationexception: the remote",
            "tls handshake",
            "tls: ",
            "starttls failed",
            "ssl/tls",
            "socket to tls",
            "tlsv1",
            "sslv3",
        ),
    ),
    (
        "connect",
        (
            *("etimedout", "econnrefused", "econnreset", "ehostunreach", "enetunreach", "eaddrnotavail", "esocket"),
            *("connection timed out", "connect timed out", "connection timeout", "connect timeout", "i/o timeout"),
            *("connection refused", "actively refused", "network is unreachable", "network unreachable", "no route"),
            *("cannot assign requested address", "did not properly respond", "failed to connect", "dial tcp"),
            *("couldn't connect", "could not connect", "unable to connect", "cannot connect", "smtp connect() failed"),
            *(
                "connecting to",
                "timeout on port",
                "connect to ",
                "connection failed",
                "connecttimeout",
                "connectionrefused",
                *("network_failure", "failed to open tcp connection"),
                *("verbindung verweigerte", "expressément refusée", "denegó expresamente"),
                *("verbindungsversuch", "tentative de connexion", "intento de conexión"),
            ),
        ),
    ),
)

_PROVIDERS = (
    (
        "microsoft",
        re.compile(r"aadsts|outlook\.(?:com|cn|office)|office365|microsoftonline|storedrv|hotmail|exchange online"),
    ),
    ("google", re.compile(r"gsmtp|gmail|google")),
    ("yahoo", re.compile(r"yahoo|aol\.com")),
)
_PROVIDER_OF_SERVER = {
    "hve": "hve",
    "acs": "acs",
    "exchange": "microsoft",
    "gmail": "google",
    "yahoo": "yahoo",
}


def phase_of(text: str) -> str:
    """Return the phase that a text in lower case speaks of, a value of `Phase`; empty if it names none."""
    return next((phase for phase, words in _PHASES if any(word in text for word in words)), "")


def provider_of(text: str, host: str, servers: Collection[str]) -> str:
    """Return whose server it is, a value of `Provider`, or `hve` or `acs`; empty if nothing says.

    What the host's name or the server's own wording shows comes before a name that occurs in the text.
    """
    by_host = _first(host.lower())
    if by_host:
        return by_host
    known = [provider for server, provider in _PROVIDER_OF_SERVER.items() if server in servers]
    return known[0] if known else "generic" if servers else _first(text)


def _first(text: str) -> str:
    return next((provider for provider, pattern in _PROVIDERS if pattern.search(text)), "")
