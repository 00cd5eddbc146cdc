"""An SMTP service that answers like Gmail: OAuth2 by XOAUTH2 and OAUTHBEARER, for tokens of the sandbox's Google.

Rules of this file:
- A token opens the mailbox of its own user alone, and with no scope but `https://mail.google.com/`.
- A refusal comes twice: in a challenge that hints at the reason, then as the same 535 for all of them
  (https://developers.google.com/workspace/gmail/imap/xoauth2-protocol).
"""

import json
import time
from collections.abc import Iterable

from smtpcheck.sandbox import gmail_replies
from smtpcheck.sandbox.google import GoogleIssuer
from smtpcheck.sandbox.google_accounts import MAIL_SCOPE
from smtpcheck.sandbox.mail_service import Mailbox, MailService
from smtpcheck.sandbox.mail_store import MailStore
from smtpcheck.sandbox.reply_styles import GmailReplyStyle, ReplyStyle
from smtpcheck.sandbox.smtp_session import LoginAnswer, Session

MECHANISMS = ("LOGIN", "PLAIN", "XOAUTH2", "PLAIN-CLIENTTOKEN", "OAUTHBEARER", "XOAUTH")
"""What EHLO offers after TLS, for `Listener.mechanisms`."""


class Gmail(MailService):
    """The service for the users of one issuer."""

    def __init__(self, issuer: GoogleIssuer, mailboxes: Iterable[Mailbox], store: MailStore | None = None) -> None:
        """Serve the mailboxes, for tokens of the issuer, and deliver into `store`."""
        super().__init__(mailboxes, store)
        self._issuer = issuer

    def reply_style(self, number: int) -> ReplyStyle:
        """Return the words for a connection."""
        del number  # all servers have one name
        return GmailReplyStyle()

    def login(self, session: Session, user: str, token: str) -> LoginAnswer:
        """Return the answer to a login with a token."""
        address = user.casefold()
        self.logins[address] += 1
        mailbox = self.mailboxes.get(address)
        access = self._issuer.access(token)
        if access is None or self._issuer.clock() >= access.ends:
            return _refusal("401" if access else "400")
        if mailbox is None or access.address.casefold() != address or MAIL_SCOPE not in access.scopes:
            return _refusal("400")
        if (refusal := mailbox.refuses.get("AUTH")) is not None:
            return LoginAnswer(refusal)
        self._enter(session, address)
        return LoginAnswer(gmail_replies.AUTH_OK)

    def password(self, session: Session, user: str, password: str) -> str:
        """Return the reply to a login with a password, which is an app password or none."""
        address = user.casefold()
        self.logins[address] += 1
        mailbox = self.mailboxes.get(address)
        if mailbox is not None and mailbox.opened_by(password):
            self._enter(session, address)
            return gmail_replies.AUTH_OK
        if mailbox is None or mailbox.password:
            return gmail_replies.AUTH_UNSUCCESSFUL
        return mailbox.refuses.get("PASSWORD", gmail_replies.APP_PASSWORD_REQUIRED)

    def submit(self, session: Session, content: bytes) -> str:
        """Return the reply to a message; whatever its sender, Gmail takes it and writes its own there."""
        mailbox = self.mailboxes[session.mailbox]
        if (refusal := mailbox.refuses.get("DATA")) is not None:
            return refusal
        self._keep(session, content)
        return f"{gmail_replies.OK} {int(time.time())}"


def _refusal(status: str) -> LoginAnswer:
    challenge = json.dumps({"status": status, "schemes": "Bearer", "scope": MAIL_SCOPE}, separators=(",", ":"))
    return LoginAnswer(gmail_replies.AUTH_UNSUCCESSFUL, challenge)
