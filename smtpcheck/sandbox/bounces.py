"""Bounces and notices of delay as mail servers write them (RFC 3464): Exchange Online, Gmail and Postfix.

Rules of this file:
- Each has its server's own form: who it is from, what its subject says, how it names the message that it returns.
- Only Exchange keeps the original's subject, and Postfix names the original only in the part that returns it.
"""

from dataclasses import dataclass
from email.parser import BytesHeaderParser
from email.utils import formatdate
from enum import StrEnum

_EXCHANGE_DAEMON = "MicrosoftExchange329e71ec88ae4615bbc36ab6ce41109e"


class Style(StrEnum):
    """Whose form a bounce has."""

    EXCHANGE = "exchange"
    GMAIL = "gmail"
    POSTFIX = "postfix"


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a message is returned, or delayed, and how that is written."""

    reply: str
    """The reply of the server that refused: code, enhanced code and text."""
    style: Style = Style.EXCHANGE
    remote: str = ""
    """The server that refused; empty: the one that reports."""
    delayed: bool = False
    """Whether the server still tries."""

    @property
    def action(self) -> str:
        """Return the Action of the report (RFC 3464 2.3.3)."""
        return "delayed" if self.delayed else "failed"

    @property
    def status(self) -> str:
        """Return the enhanced code."""
        return self.reply.split()[1]


def bounce(refusal: Refusal, original: bytes, sender: str, recipient: str, now: float) -> bytes:
    """Return the bounce of a message from `sender` to `recipient`, written at Unix time `now`, with CRLF line ends."""
    write = {Style.EXCHANGE: _exchange, Style.GMAIL: _gmail, Style.POSTFIX: _postfix}[refusal.style]
    head, text, per_message, per_recipient, returned = write(refusal, original, sender, recipient)
    boundary = f"=_report_{refusal.style}"
    lines = [
        "Return-Path: <>",
        *head,
        f"To: {sender}",
        f"Date: {formatdate(now)}",
        f"Message-ID: <{refusal.style}.{now:.6f}@bounces.example>",
        "Auto-Submitted: auto-replied",
        "MIME-Version: 1.0",
        f'Content-Type: multipart/report; report-type=delivery-status; boundary="{boundary}"',
        "",
        f"--{boundary}",
        "Content-Type: text/plain; charset=utf-8",
        "",
        *text,
        "",
        f"--{boundary}",
        "Content-Type: message/delivery-status",
        "",
        *per_message,
        "",
        f"Final-Recipient: rfc822; {recipient}",
        f"Action: {refusal.action}",
        f"Status: {refusal.status}",
        *per_recipient,
        "",
        f"--{boundary}",
        f"Content-Type: {returned}",
        "",
    ]
    shown = original.partition(b"\r\n\r\n")[0] + b"\r\n" if returned == "text/rfc822-headers" else original
    return "\r\n".join(lines).encode() + b"\r\n" + shown + f"\r\n--{boundary}--\r\n".encode()


_Written = tuple[list[str], list[str], list[str], list[str], str]
"""Header, text, the report's fields of the message and of the recipient, and the type of the returned part."""


def _exchange(refusal: Refusal, original: bytes, sender: str, recipient: str) -> _Written:
    domain, message_id = sender.rpartition("@")[2], _field(original, "Message-ID")
    word = "Delivery delayed" if refusal.delayed else "Undeliverable"
    said = "isn't delivered yet. Delivery will be retried" if refusal.delayed else "couldn't be delivered"
    remote = [f"Remote-MTA: dns;{refusal.remote}"] if refusal.remote else []
    head = [
        f"From: Microsoft Outlook <{_EXCHANGE_DAEMON}@{domain}>",
        f"Subject: {word}: {_field(original, 'Subject')}",
        f"In-Reply-To: {message_id}",
        f"References: {message_id}",
        "X-MS-Exchange-Message-Is-Ndr:",
        "Content-Language: en-US",
    ]
    text = [
        f"Your message to {recipient} {said}.",
        "",
        "Diagnostic information for administrators:",
        "",
        "Generating server: AM6PR0001MB0001.eurprd05.prod.outlook.com",
        "",
        recipient,
        f"Remote server returned '{refusal.reply}'",
        "",
        "Original message headers:",
        "",
        f"Message-ID: {message_id}",
        f"Subject: {_field(original, 'Subject')}",
    ]
    report = ["Reporting-MTA: dns;AM6PR0001MB0001.eurprd05.prod.outlook.com"]
    fields = [*remote, f"Diagnostic-Code: smtp;{refusal.reply}", f"X-Display-Name: {recipient}"]
    return head, text, report, fields, "message/rfc822"


def _gmail(refusal: Refusal, original: bytes, sender: str, recipient: str) -> _Written:
    del sender
    message_id = _field(original, "Message-ID")
    head = [
        "From: Mail Delivery Subsystem <mailer-daemon@googlemail.com>",
        f"Subject: Delivery Status Notification ({'Delay' if refusal.delayed else 'Failure'})",
        f"In-Reply-To: {message_id}",
        f"References: {message_id}",
        *([] if refusal.delayed else [f"X-Failed-Recipients: {recipient}"]),
    ]
    said = (
        f"There was a temporary problem delivering your message to {recipient}. Gmail will retry for 47 more hours."
        if refusal.delayed
        else f"Your message wasn't delivered to {recipient}."
    )
    text = ["** Delivery incomplete **" if refusal.delayed else "** Address not found **", "", said, ""]
    text += ["The response from the remote server was:", refusal.reply]
    report = ["Reporting-MTA: dns; googlemail.com", f"X-Original-Message-ID: {message_id}"]
    remote = [f"Remote-MTA: dns; {refusal.remote}. (203.0.113.5, the server for the domain.)"] if refusal.remote else []
    return head, text, report, [*remote, f"Diagnostic-Code: smtp; {refusal.reply}"], "message/rfc822"


def _postfix(refusal: Refusal, original: bytes, sender: str, recipient: str) -> _Written:
    del original
    host = f"mail.{sender.rpartition('@')[2]}"
    subject = "Delayed Mail (still being retried)" if refusal.delayed else "Undelivered Mail Returned to Sender"
    head = [f"From: Mail Delivery System <MAILER-DAEMON@{host}>", f"Subject: {subject}"]
    remote = refusal.remote or host
    text = [
        f"This is the mail system at host {host}.",
        "",
        "Your message could not be delivered for more than 0 hour(s). It will be retried until it is 5 day(s) old."
        if refusal.delayed
        else "I'm sorry to have to inform you that your message could not be delivered to one or more recipients.",
        "",
        f"<{recipient}>: host {remote}[203.0.113.5] said: {refusal.reply} (in reply to RCPT TO command)",
    ]
    report = [f"Reporting-MTA: dns; {host}", f"X-Postfix-Sender: rfc822; {sender}"]
    fields = [f"Remote-MTA: dns; {remote}", f"Diagnostic-Code: smtp; {refusal.reply}"]
    return head, text, report, fields, "text/rfc822-headers" if refusal.delayed else "message/rfc822"


def _field(original: bytes, name: str) -> str:
    return str(BytesHeaderParser().parsebytes(original)[name] or "")
