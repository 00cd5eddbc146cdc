"""An SMTP service of one's own that answers like Postfix: logins with a password, mail to its own domain, and no relay.

Rules of this file:
- Whatever is wrong with sender or recipient is refused at RCPT, as Postfix does it (smtpd_delay_reject).
- A recipient elsewhere needs a login; a sender must be the mailbox's own, or one that it may send as.
"""

import secrets
from collections.abc import Iterable

from smtpcheck.sandbox import postfix_replies
from smtpcheck.sandbox.mail_service import Mailbox, MailService
from smtpcheck.sandbox.mail_store import MailStore
from smtpcheck.sandbox.reply_styles import PostfixReplyStyle, ReplyStyle
from smtpcheck.sandbox.smtp_session import LoginAnswer, Session

MECHANISMS = ("PLAIN", "LOGIN")
"""What EHLO offers after TLS, for `Listener.mechanisms`."""


class Postfix(MailService):
    """The service of one domain."""

    def __init__(self, domain: str, mailboxes: Iterable[Mailbox], store: MailStore | None = None) -> None:
        """Serve the mailboxes, take mail for the domain from anybody, and deliver into `store`."""
        super().__init__(mailboxes, store)
        self._domain = domain.casefold()

    def reply_style(self, number: int) -> ReplyStyle:
        """Return the words for a connection."""
        del number
        return PostfixReplyStyle(self._domain)

    def login(self, session: Session, user: str, token: str) -> LoginAnswer:
        """Refuse a token; it takes passwords alone."""
        del session, user, token
        return LoginAnswer(postfix_replies.AUTH_UNSUCCESSFUL)

    def password(self, session: Session, user: str, password: str) -> str:
        """Return the reply to a login with a password."""
        address = user.casefold()
        self.logins[address] += 1
        mailbox = self.mailboxes.get(address)
        if mailbox is None or not mailbox.opened_by(password):
            return postfix_replies.AUTH_UNSUCCESSFUL
        if (refusal := mailbox.refuses.get("AUTH")) is not None:
            return refusal
        self._enter(session, address)
        return postfix_replies.AUTH_OK

    def refusal(self, session: Session, verb: str, address: str) -> str | None:
        """Return what is said to the command instead of success."""
        if verb != "RCPT":
            return super().refusal(session, verb, address)
        if session.mailbox and session.sender and not self.mailboxes[session.mailbox].owns(session.sender):
            return postfix_replies.SENDER_DENIED.format(sender=session.sender, mailbox=session.mailbox)
        if not session.mailbox and address.casefold().rpartition("@")[2] != self._domain:
            return postfix_replies.RELAY_DENIED.format(recipient=address)
        return super().refusal(session, verb, address)

    def submit(self, session: Session, content: bytes) -> str:
        """Return the reply to a message; it is kept if it is accepted."""
        mailbox = self.mailboxes.get(session.mailbox)
        if mailbox is not None and (refusal := mailbox.refuses.get("DATA")) is not None:
            return refusal
        self._keep(session, content)
        return f"{postfix_replies.OK}: queued as {secrets.token_hex(5).upper()}"
