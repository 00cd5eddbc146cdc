"""An SMTP service that answers like Exchange Online: who may do what.

Rule of this file: a token is verified by signature, times, audience, tenant and permission, as the real service does
it; the refusal `535 5.7.3` says nothing of which of them failed.
"""

import secrets
from collections.abc import Callable, Collection, Iterable, Mapping
from email import message_from_bytes, policy
from email.utils import parseaddr

from smtpcheck.sandbox import replies
from smtpcheck.sandbox.directory import PERSONAL_TENANT
from smtpcheck.sandbox.mail_service import Mailbox, MailService
from smtpcheck.sandbox.mail_store import MailStore
from smtpcheck.sandbox.reply_styles import ExchangeReplyStyle, ReplyStyle
from smtpcheck.sandbox.smtp_session import LoginAnswer, Session
from smtpcheck.sandbox.tokens import SigningKey

AUDIENCES = ("https://outlook.office365.com", "https://outlook.office.com", "00000002-0000-0ff1-ce00-000000000000")

Permits = Callable[[str, Collection[str], str], bool]
"""Whether an application, by its client id and the permissions in its token, may open the mailbox of an address."""


def by_permission(_client_id: str, roles: Collection[str], _address: str) -> bool:
    """Return whether the token alone says that it may."""
    return "SMTP.SendAsApp" in roles


class Exchange(MailService):
    """The service of one tenant."""

    def __init__(
        self,
        key: SigningKey,
        tenant_id: str,
        mailboxes: Iterable[Mailbox],
        store: MailStore | None = None,
        permits: Permits = by_permission,
    ) -> None:
        """Serve the mailboxes of a tenant, for tokens that `key` verifies, and deliver into `store`.

        An application opens those mailboxes that `permits` allows it.
        """
        super().__init__(mailboxes, store)
        self._key, self._tenant_id, self._permits_application = key, tenant_id, permits

    def reply_style(self, number: int) -> ReplyStyle:
        """Return the words for the connection of that number."""
        return ExchangeReplyStyle(number)

    def login(self, session: Session, user: str, token: str) -> LoginAnswer:
        """Return the answer to a login with a token."""
        address = user.casefold()
        self.logins[address] += 1
        mailbox, claims = self.mailboxes.get(address), self._claims(token)
        if mailbox is None or claims is None:
            return LoginAnswer(replies.AUTH_UNSUCCESSFUL)
        if (refusal := mailbox.refuses.get("AUTH")) is not None:
            return LoginAnswer(refusal)
        if not self._permits(claims, address):
            return LoginAnswer(replies.AUTH_UNSUCCESSFUL)
        self._enter(session, address)
        return LoginAnswer(replies.AUTH_OK)

    def password(self, session: Session, user: str, password: str) -> str:
        """Return the reply to a login with a password, which no mailbox takes unless it has one."""
        address = user.casefold()
        self.logins[address] += 1
        mailbox = self.mailboxes.get(address)
        if mailbox is None or not mailbox.password:
            refusal = mailbox.refuses.get("PASSWORD") if mailbox else None
            return refusal or replies.BASIC_AUTH_DISABLED
        if not mailbox.opened_by(password):
            return replies.PASSWORD_WRONG
        self._enter(session, address)
        return replies.AUTH_OK

    def refusal(self, session: Session, verb: str, address: str) -> str | None:
        """Return what the session's mailbox, or a relay that knows no login, says to the command instead of success."""
        if not session.mailbox:
            return replies.RELAY_DENIED if verb == "RCPT" else None
        return super().refusal(session, verb, address)

    def submit(self, session: Session, content: bytes) -> str:
        """Return the reply to a message; it is kept if it is accepted."""
        mailbox = self.mailboxes[session.mailbox]
        if self._logged_in[session.mailbox].index(session) >= mailbox.connections:
            return replies.TOO_MANY_CONNECTIONS
        if (refusal := mailbox.refuses.get("DATA")) is not None:
            return refusal
        headers = message_from_bytes(content, policy=policy.compat32)
        for sender in (parseaddr(headers.get("From", ""))[1], session.sender or ""):
            if not mailbox.owns(sender):
                return replies.SEND_AS_DENIED.format(mailbox=mailbox.address, sender=sender)
        message_id = headers.get("Message-ID")
        if message_id is None:
            message_id = f"<{secrets.token_hex(16)}@eurprd05.prod.outlook.com>"
            content = f"Message-ID: {message_id}\r\n".encode() + content
        self._keep(session, content)
        return f"{replies.OK} {message_id} [Hostname=AM6PR0001MB0001.eurprd05.prod.outlook.com]"

    def _claims(self, token: str) -> Mapping[str, object] | None:
        """Return the claims of a token that is good here."""
        claims = self._key.verify(token, AUDIENCES)
        is_ours = claims is not None and claims.get("tid") in {self._tenant_id, PERSONAL_TENANT}
        return claims if is_ours else None

    def _permits(self, claims: Mapping[str, object], address: str) -> bool:
        roles, user = claims.get("roles"), str(claims.get("upn", ""))
        permissions = roles if isinstance(roles, list) else []
        is_app = not claims.get("scp")
        as_application = is_app and self._permits_application(str(claims.get("appid")), permissions, address)
        as_user = "SMTP.Send" in str(claims.get("scp", "")).split() and user.casefold() == address
        return as_application or as_user
