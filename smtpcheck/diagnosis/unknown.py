"""What can be said of a text that no rule explains: what it is, where its numbers are documented, whom to ask."""

from collections.abc import Iterator, Mapping

from smtpcheck.diagnosis.matching import Signals

_KINDS = {
    "smtp": "SMTP",
    "imap": "IMAP",
    "pop": "POP3",
    "issuer": "a token endpoint",
    "graph": "Microsoft Graph",
    "ews": "Exchange Web Services",
    "api": "a mail API",
    "bounce": "a bounce",
    "headers": "message headers",
    "dns": "a name lookup",
    "tls": "TLS",
    "socket": "a connection",
}
_CLASSES = {
    "1": "an address",
    "2": "the mailbox",
    "3": "the mail system",
    "4": "the network or the routing",
    "5": "the protocol",
    "6": "the content or its form",
    "7": "security or a policy",
}
"""What the second number of an enhanced code speaks of (RFC 3463 3)."""
_PAGES = {
    "microsoft": "https://learn.microsoft.com/exchange/troubleshoot/email-delivery/ndr/"
    "non-delivery-reports-in-exchange-online",
    "google": "https://support.google.com/a/answer/3726730",
    "yahoo": "https://senders.yahooinc.com/smtp-error-codes",
}
"""Where a provider documents its SMTP replies."""
_ENTRA = "https://login.microsoftonline.com/error?code="
_MOST = 4


def recognised(signals: Signals) -> Iterator[str]:
    """Yield in sentences what the text shows of itself, though no rule explains it."""
    if kinds := [name for kind, name in _KINDS.items() if kind in signals.sets["kind"]]:
        yield f"it speaks of {', '.join(kinds)}"
    whose = sorted({*signals.sets["server"], *signals.sets["issuer"]} - {"other"})
    if whose:
        yield f"it names {', '.join(whose)}"
    if phase := signals.the("phase"):
        yield f"the step is {phase}"
    for code in sorted(signals.enhanced)[:_MOST]:
        side = "permanently" if code.startswith("5") else "for now"
        subject = _CLASSES.get(code.split(".")[1], "something else")
        yield f"{code} refuses {side} and speaks of {subject} (RFC 3463)"


def lookups(signals: Signals) -> Iterator[str]:
    """Yield where the text's numbers are documented by who wrote them."""
    yield from (f"{_ENTRA}{number}" for number in sorted(signals.aadsts)[:_MOST])
    page = _PAGES.get(signals.the("provider"))
    if page and (signals.enhanced or signals.codes) and not signals.aadsts:
        yield page


def next_steps(values: Mapping[str, str]) -> Iterator[str]:
    """Yield what to do with an error that is not known; `values` are a finding's."""
    if pages := values.get("lookup", ""):
        yield f"Look its number up: {pages}"
    whom = "the operator of the server"
    if values.get("issuer") == "microsoft" or values.get("provider") == "microsoft":
        whom = "the administrator of the Microsoft 365 tenant"
    elif values.get("provider") == "google":
        whom = "the administrator of the Google Workspace"
    where = f" {values['host']}" if values.get("host") else ""
    yield (
        f"Send {whom}{where} the whole text, the time with its time zone and, where the answer has them, its trace and"
        " correlation ids; no token and no secret."
    )
    yield "See which step fails, and what the server says there: smtpcheck doctor"
