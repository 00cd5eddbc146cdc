"""The scenarios: each one world of its own, with the outcome and the cause that must come out.

Rules of this file:
- A scenario is one row of `SCENARIOS`; nothing else is touched to add one.
- What is expected is what can truly be observed from the client's end.
- Scenarios that name the same registration share a credential, and those with equal listeners share a port. The
  registration's kind decides whether the mailbox is at Exchange Online or at Gmail, whose listeners differ (`GMAIL`);
  what `POSTFIX` shows is a server of one's own.
"""

from collections.abc import Mapping

from smtpcheck.model.cause import Cause
from smtpcheck.sandbox import replies
from smtpcheck.sandbox.api_scenarios import API_SCENARIOS
from smtpcheck.sandbox.bounces import Refusal, Style
from smtpcheck.sandbox.certificates import Certificate
from smtpcheck.sandbox.inspection_scenarios import INSPECTION_SCENARIOS
from smtpcheck.sandbox.mail_store import Delivery, Use
from smtpcheck.sandbox.receiver_headers import GMAIL_ID, OUTBOUND_SPAM, POSTFIX_ID, SPAMASSASSIN, exchange_verdict
from smtpcheck.sandbox.scenario import (
    AUDITOR,
    CONTOSO_MAIL,
    DOMAIN,
    NOBODY,
    POSTFIX,
    RECIPIENT,
    CredentialKind,
    Finding,
    Registration,
    Scenario,
)
from smtpcheck.sandbox.smtp_session import Listener

_SEND: Mapping[str, object] = {"depth": "send", "recipient": RECIPIENT, "interval": "15m"}


def _loopback(name: str, **keys: object) -> dict[str, object]:
    """Return the keys of a check with a loopback to a mailbox of its own, whose times suit a demonstration."""
    times = {"every": "5m", "warn_after": "20s", "lost_after": "40s"}
    return {"loopback": {**times, "to": f"probe-{name}@{DOMAIN}", "authserv_id": "", **keys}}


_AUTHENTICATED = (
    f"spf=pass (sender IP is 127.0.0.1) smtp.mailfrom={DOMAIN}; dkim=pass (signature was verified) header.d={DOMAIN};"
    f"dmarc=pass action=none header.from={DOMAIN};compauth=pass reason=100"
)

_BY_POSTFIX = (
    f"{POSTFIX_ID}; dmarc=fail (p=none dis=none) header.from={DOMAIN}\n"
    f'{POSTFIX_ID}; dkim=fail reason="signature verification failed" header.d={DOMAIN}\n'
    f"{POSTFIX_ID}; spf=softfail smtp.mailfrom={DOMAIN}"
)
_BY_GMAIL = (
    f"{GMAIL_ID}; dkim=pass header.i=@{DOMAIN} header.s=selector1; spf=pass (google.com: domain of {DOMAIN} designates "
    f"192.0.2.10 as permitted sender) smtp.mailfrom={DOMAIN}; dmarc=pass (p=QUARANTINE dis=NONE) header.from={DOMAIN}; "
    "dara=pass"
)


SCENARIOS: tuple[Scenario, ...] = (
    Scenario("healthy", "Token, connection and login work."),
    Scenario(
        "healthy-sender",
        "The server accepts the sender too.",
        check={"depth": "sender"},
    ),
    Scenario("healthy-send", "A whole message is accepted.", check=_SEND),
    Scenario(
        "healthy-certificate",
        "The application authenticates with a certificate instead of a secret.",
        registration=Registration("contoso-certificate", CredentialKind.CERTIFICATE),
    ),
    Scenario(
        "healthy-federated",
        "Another issuer vouches for the application, as a cluster does for its services.",
        registration=Registration("contoso-federated", CredentialKind.FEDERATED),
    ),
    Scenario(
        "healthy-user",
        "A user has signed in, and the refresh token is valid.",
        registration=Registration("contoso-user", CredentialKind.USER),
    ),
    Scenario(
        "secret-expired",
        "The client secret has expired.",
        Cause.SECRET_EXPIRED,
        registration=Registration("contoso-expired", secret_expired=True, inspected_by=AUDITOR),
    ),
    Scenario(
        "secret-wrong",
        "The client secret is not one of the application's.",
        Cause.SECRET_INVALID,
        registration=Registration("contoso-wrong-secret", wrong_secret=True),
    ),
    Scenario(
        "app-unknown",
        "The tenant does not know the client id.",
        Cause.APP_NOT_IN_TENANT,
        registration=Registration("contoso-unknown-app", known=False, inspected_by=AUDITOR),
    ),
    Scenario(
        "federated-mismatch",
        "The token of the other issuer has a subject that the application does not know.",
        Cause.FEDERATED_ASSERTION_MISMATCH,
        registration=Registration(
            "contoso-federated-mismatch", CredentialKind.FEDERATED, wrong_secret=True, inspected_by=AUDITOR
        ),
    ),
    Scenario(
        "login-revoked",
        "A user had signed in, but the refresh token is revoked.",
        Cause.REFRESH_TOKEN_EXPIRED_OR_REVOKED,
        registration=Registration("contoso-user-revoked", CredentialKind.USER, revoked=True),
    ),
    Scenario(
        "audience-wrong",
        "The token is valid, but for Microsoft Graph instead of Exchange Online.",
        Cause.WRONG_TOKEN_AUDIENCE,
        registration=Registration("contoso-graph", keys={"scope": "https://graph.microsoft.com/.default"}),
    ),
    Scenario(
        "smtp-auth-disabled",
        "The token is valid, but the tenant has SMTP AUTH disabled.",
        Cause.SMTP_AUTH_DISABLED_TENANT,
        refuses={"AUTH": replies.SMTP_AUTH_DISABLED_TENANT},
    ),
    Scenario(
        "mailbox-right-missing",
        "The login is accepted, and only the message shows that the application may not open the mailbox.",
        Cause.MAILBOX_PERMISSION_MISSING,
        check=_SEND,
        refuses={"DATA": replies.MAILBOX_LOGON_FAILURE},
    ),
    Scenario(
        "sender-refused",
        "The mailbox may not send as the sender, which shows only after the whole message.",
        Cause.SENDER_NOT_ALLOWED,
        check={**_SEND, "sender": f"board@{DOMAIN}"},
    ),
    Scenario(
        "connections-throttled",
        "Other programs use up the connections that the mailbox may have.",
        Cause.THROTTLED_CONNECTIONS,
        check=_SEND,
        connections=0,
    ),
    Scenario(
        "certificate-expired",
        "The server's certificate expired yesterday.",
        Cause.CERTIFICATE_EXPIRED,
        server=Listener(certificate=Certificate.EXPIRED),
    ),
    Scenario(
        "starttls-missing",
        "The server does not offer STARTTLS, so the token is never sent.",
        Cause.STARTTLS_NOT_OFFERED,
        server=Listener(starttls=False),
    ),
    Scenario(
        "mechanism-missing",
        "The host is a relay that accepts no login.",
        Cause.MECHANISM_NOT_OFFERED,
        server=Listener(mechanisms=()),
    ),
    Scenario(
        "slow",
        "Everything works, but every reply is slow.",
        warnings=frozenset({Cause.SLOW}),
        check={"warn": {"duration": "1s"}},
        server=Listener(delay=0.25),
    ),
    Scenario(
        "silent",
        "The server accepts the connection and says nothing.",
        Cause.TIMEOUT,
        check={"timeout": "2s"},
        server=Listener(delay=3600.0),
    ),
    Scenario(
        "password",
        "A server without OAuth2 accepts the password.",
        server=POSTFIX,
        registration=Registration("site", CredentialKind.PASSWORD),
    ),
    Scenario(
        "password-must-fail",
        "Exchange Online must refuse any password, and does.",
        check={"expect": {"phase": "auth", "code": 535, "enhanced": "5.7.139"}},
        registration=Registration("basic", CredentialKind.PASSWORD, known=False),
    ),
    Scenario(
        "mailbox-must-fail",
        "The application must not reach a mailbox outside its scope, and does not.",
        check={"expect": {"phase": "auth", "code": 535, "enhanced": "5.7.3"}},
        refuses={"AUTH": replies.AUTH_UNSUCCESSFUL},
    ),
    Scenario(
        "relay-must-fail",
        "Without a login no mail may be relayed, and none is.",
        check={
            "sender": f"anybody@{DOMAIN}",
            "recipient": "somebody@elsewhere.example",
            "expect": {"phase": "rcpt", "code": [550, 554]},
        },
        server=POSTFIX,
        registration=NOBODY,
    ),
    Scenario(
        "sender-must-fail",
        "The mailbox must not send as the board, but the server allows it.",
        Cause.UNEXPECTED_SUCCESS,
        check={"sender": f"board@{DOMAIN}", "recipient": RECIPIENT, "expect": {"phase": "rcpt", "code": 553}},
        server=POSTFIX,
        registration=Registration("site", CredentialKind.PASSWORD),
        send_as=frozenset({f"board@{DOMAIN}"}),
    ),
    Scenario(
        "mail-delivered",
        "A message arrives in the inbox, authenticated, and is found by IMAP.",
        check=_loopback("mail-delivered"),
        registration=CONTOSO_MAIL,
        delivery=Delivery(delay=0.5, authentication=_AUTHENTICATED),
    ),
    Scenario(
        "mail-late",
        "A message arrives, but later than allowed.",
        warnings=frozenset({Cause.MAIL_LATE}),
        check=_loopback("mail-late", warn_after="2s"),
        registration=CONTOSO_MAIL,
        delivery=Delivery(delay=3.0),
    ),
    Scenario(
        "mail-in-junk",
        "The receiver's filter puts a message into Junk, where it is found by Microsoft Graph.",
        warnings=frozenset({Cause.MAIL_IN_JUNK}),
        check=_loopback("mail-in-junk"),
        registration=CONTOSO_MAIL,
        delivery=Delivery(
            folder=Use.JUNK,
            authentication=_AUTHENTICATED.replace("dkim=pass", "dkim=fail"),
            filtered=exchange_verdict(5, "SPM", "SPM", "J", "SpamFilterAuthJ"),
        ),
        finding=Finding("graph"),
    ),
    Scenario(
        "mail-in-junk-by-rule",
        "The filter finds nothing, but a rule of the mailbox puts a message into Junk.",
        warnings=frozenset({Cause.MAIL_IN_JUNK}),
        check=_loopback("mail-in-junk-by-rule"),
        registration=CONTOSO_MAIL,
        delivery=Delivery(
            folder=Use.JUNK,
            authentication=_AUTHENTICATED,
            filtered=exchange_verdict(1, "NSPM", "NONE", "J", "CustomRules"),
        ),
    ),
    Scenario(
        "mail-in-junk-spamassassin",
        "A message goes to a Postfix whose SpamAssassin marks it.",
        warnings=frozenset({Cause.MAIL_IN_JUNK}),
        check=_loopback("mail-in-junk-spamassassin", authserv_id=POSTFIX_ID),
        registration=CONTOSO_MAIL,
        delivery=Delivery(
            folder=Use.JUNK, style=Style.POSTFIX, authentication=_BY_POSTFIX, filtered=SPAMASSASSIN, delay=0.5
        ),
    ),
    Scenario(
        "mail-rated-outbound-spam",
        "A message arrives in the inbox at Gmail, but Microsoft rated it as spam when it left.",
        warnings=frozenset({Cause.RATED_OUTBOUND_SPAM}),
        check=_loopback("mail-rated-outbound-spam", authserv_id=GMAIL_ID),
        registration=CONTOSO_MAIL,
        delivery=Delivery(style=Style.GMAIL, authentication=_BY_GMAIL, outbound=OUTBOUND_SPAM),
    ),
    Scenario(
        "mail-lost",
        "The server accepts a message that never arrives.",
        Cause.MAIL_LOST,
        check=_loopback("mail-lost", warn_after="2s", lost_after="4s"),
        registration=CONTOSO_MAIL,
        delivery=Delivery(copies=0),
    ),
    Scenario(
        "mail-bounced",
        "The server accepts a message, and returns it: there is no such recipient.",
        Cause.MAIL_BOUNCED,
        check=_loopback("mail-bounced"),
        registration=CONTOSO_MAIL,
        delivery=Delivery(refusal=Refusal(replies.RECIPIENT_NOT_FOUND)),
    ),
    Scenario(
        "mail-bounced-dmarc",
        "Another server refuses a message for the sender's DMARC policy; the bounce is found by Microsoft Graph.",
        Cause.MAIL_BOUNCED,
        check=_loopback("mail-bounced-dmarc"),
        registration=CONTOSO_MAIL,
        delivery=Delivery(refusal=Refusal(replies.DMARC_REFUSED, Style.GMAIL, "gmail-smtp-in.l.google.example")),
        finding=Finding("graph"),
    ),
    Scenario(
        "mail-delayed",
        "A notice says that a message is delayed; it arrives late.",
        warnings=frozenset({Cause.MAIL_LATE}),
        check=_loopback("mail-delayed", warn_after="2s"),
        registration=CONTOSO_MAIL,
        delivery=Delivery(
            delay=5.0, refusal=Refusal(replies.GREYLISTED, Style.POSTFIX, "mx.contoso.example", delayed=True)
        ),
    ),
    Scenario(
        "finder-refused",
        "A message is sent, but the application may not log in to the mailbox where it should arrive.",
        warnings=frozenset({Cause.FINDER_FAILED}),
        check=_loopback("finder-refused", warn_after="2s", lost_after="4s"),
    ),
    *API_SCENARIOS,
    *INSPECTION_SCENARIOS,
)
"""The worlds of `smtpcheck demo`."""
