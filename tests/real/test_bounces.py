"""Postfix returns what another one refuses and what it cannot deliver, into Dovecot, where smtpcheck finds out why."""

import imaplib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from smtpcheck.agent.loopback_once import LoopbackResult, run_loopback
from smtpcheck.check.kit import build_kit
from smtpcheck.config import load
from smtpcheck.loopback.message_state import Message, Stage
from smtpcheck.model.cause import Cause
from smtpcheck.model.report import Outcome
from tests.real.mail import Certificates, Dovecot, Postfix, RefusingPostfix
from tests.real.tokens import Signer

ANNA = "anna@example.test"
SAME_MAILBOX = "{{via: imap, mailbox: anna@example.test, server: {server}}}"
CONFIG = """
agent: {{state: {state}}}
credentials:
  anna: {{type: token, from: {{file: token}}}}
checks:
  - name: billing
    mailbox: anna@example.test
    credential: anna
    server: {{host: 127.0.0.1, port: {port}, server_name: localhost, ca_file: {ca}}}
    loopback:
      to: {to}
      find: {find}
      bounces: {bounces}
      warn_after: 20s
      lost_after: 40s
"""


@dataclass(frozen=True)
class Site:
    """Anna's mailbox, and how her messages come back to it."""

    folder: Path
    certificates: Certificates
    dovecot: Dovecot
    postfix: Postfix
    signer: Signer

    async def send(
        self,
        to: str,
        *,
        find: str = SAME_MAILBOX,
        bounces: str = SAME_MAILBOX,
        news: Callable[[Message], object] = print,
    ) -> LoopbackResult:
        """Send one message to an address as `smtpcheck check --loopback` does, and wait for its end."""
        (self.folder / "token").write_text(self.signer.mint(ANNA).reveal())
        server = (
            f"{{host: 127.0.0.1, port: {self.dovecot.ports.imaps}, server_name: localhost, "
            f"ca_file: {self.certificates.ca}}}"
        )
        places = {"find": find.format(server=server), "bounces": bounces.format(server=server)}
        port, ca = self.postfix.ports.submission, self.certificates.ca
        config = CONFIG.format(state=self.folder / "state", port=port, ca=ca, to=to, **places)
        (self.folder / "checks.yaml").write_text(config)
        settings = load([self.folder / "checks.yaml"]).settings
        assert settings
        kit = await build_kit(settings)
        try:
            return await run_loopback(settings, settings.checks[0], kit, news=news)
        finally:
            await kit.close()

    @contextmanager
    def opened(self) -> Iterator[imaplib.IMAP4_SSL]:
        """Open the inbox as its owner does, by another library."""
        message = f"user={ANNA}\x01auth=Bearer {self.signer.mint(ANNA).reveal()}\x01\x01"
        context = self.certificates.client_context()
        with imaplib.IMAP4_SSL("127.0.0.1", self.dovecot.ports.imaps, ssl_context=context) as client:
            client.authenticate("XOAUTH2", lambda _: message.encode())
            client.select("INBOX")
            yield client

    def put(self, content: bytes) -> None:
        with self.opened() as client:
            assert client.append("INBOX", "", "", content)[0] == "OK"

    def messages(self) -> list[bytes]:
        """Return what is in the inbox."""
        with self.opened() as client:
            if client.search(None, "ALL") == ("OK", [b""]):
                return []
            _, data = client.fetch("1:*", "(BODY.PEEK[])")
        return [part[1] for part in data if isinstance(part, tuple)]

    def clear(self) -> None:
        with self.opened() as client:
            client.store("1:*", "+FLAGS", "\\Deleted")
            client.expunge()


@pytest.fixture
def site(
    tmp_path: Path, certificates: Certificates, dovecot: Dovecot, postfix: Postfix, signer: Signer
) -> Iterator[Site]:
    made = Site(tmp_path, certificates, dovecot, postfix, signer)
    if made.messages():
        made.clear()
    yield made
    if made.messages():
        made.clear()


async def test_an_unknown_recipient(site: Site, refusing_postfix: RefusingPostfix) -> None:
    """Postfix's own bounce names the message only in the part that returns it; it is deleted, and nothing else is."""
    assert refusing_postfix.exit_code is None
    site.put(
        b"From: MAILER-DAEMON@mail.example.test\r\nSubject: Undelivered Mail Returned to Sender\r\n\r\nof another\r\n"
    )
    result = await site.send("nobody@refusing.test")
    report, (message,) = result.report, result.loopback_status.record.messages
    assert (report.outcome, report.cause, message.stage) == (Outcome.CRITICAL, Cause.MAIL_BOUNCED, Stage.BOUNCED)
    assert [finding.cause for finding in report.findings][:2] == [Cause.MAIL_BOUNCED, Cause.RECIPIENT_REJECTED]
    bounce = message.bounce
    assert bounce
    assert (bounce.code, bounce.enhanced, bounce.recipient) == (550, "5.1.1", "nobody@refusing.test")
    assert "User unknown in relay recipient table" in bounce.reply
    assert (bounce.remote_mta, bounce.reporting_mta) == ("127.0.0.1", "mail.example.test")
    assert bounce.deleted
    (left,) = site.messages()
    assert b"of another" in left


async def test_a_message_refused_for_dmarc(site: Site, refusing_postfix: RefusingPostfix) -> None:
    """The search for messages is another one: nobody looks for them."""
    assert refusing_postfix.exit_code is None
    result = await site.send("dmarc@refusing.test", find="{{via: none}}")
    report, (message,) = result.report, result.loopback_status.record.messages
    assert report.cause is Cause.MAIL_BOUNCED
    assert report.findings[1].cause is Cause.SENDER_DOMAIN_UNAUTHENTICATED
    assert message.bounce
    assert (message.bounce.code, message.bounce.enhanced) == (550, "5.7.26")
    assert "DMARC policy" in message.bounce.reply
    assert site.messages() == []


async def test_a_message_that_expires_in_the_queue_is_delayed_before(site: Site) -> None:
    """The notice of delay warns, and the bounce after it says that the server was never reached."""
    seen: list[Message] = []
    result = await site.send("anna@silent.test", news=seen.append)
    report, (message,) = result.report, result.loopback_status.record.messages
    assert (report.cause, message.stage) == (Cause.MAIL_BOUNCED, Stage.BOUNCED)
    assert report.findings[1].cause is Cause.DESTINATION_UNREACHABLE
    assert "Connection refused" in (message.bounce.reply if message.bounce else "")
    notices = [each.delay_notice for each in seen if each.stage is Stage.ACCEPTED and each.delay_notice]
    assert notices
    assert "Connection refused" in notices[0].reply
    assert site.messages() == []


async def test_the_bounce_of_a_message_that_forwards_ours_is_not_ours(
    site: Site, refusing_postfix: RefusingPostfix
) -> None:
    """Anna forwards what she got from smtpcheck to somebody unknown: her bounce quotes our ids, and stays hers."""
    assert refusing_postfix.exit_code is None
    forwarded: list[Message] = []

    def forward(message: Message) -> None:
        if message.stage is Stage.ACCEPTED and not forwarded:
            forwarded.append(message)
            subject = f"Undeliverable: smtpcheck probe {message.mark}"
            original = (
                f"Message-ID: <other@example.test>\r\nReferences: {message.message_id}\r\nSubject: Fwd: {subject}"
            )
            site.put(
                b"Return-Path: <>\r\nFrom: MAILER-DAEMON@mail.example.test\r\nSubject: " + subject.encode() + b"\r\n"
                b"References: " + message.message_id.encode() + b" <other@example.test>\r\n"
                b'Content-Type: multipart/report; report-type=delivery-status; boundary="b"\r\n\r\n'
                b"--b\r\n\r\n" + message.mark.encode() + b"\r\n--b\r\nContent-Type: message/delivery-status\r\n\r\n"
                b"Reporting-MTA: dns; mail.example.test\r\n\r\nFinal-Recipient: rfc822; bob@refusing.test\r\n"
                b"Action: failed\r\nStatus: 5.1.1\r\n\r\n--b\r\nContent-Type: message/rfc822\r\n\r\n"
                + original.encode()
                + b"\r\n\r\n"
                + message.mark.encode()
                + b"\r\n--b--\r\n"
            )

    result = await site.send("anna+Archive@example.test", news=forward)
    assert forwarded
    (message,) = result.loopback_status.record.messages
    assert (message.stage, message.bounce) == (Stage.DELIVERED, None)
    (left,) = site.messages()
    assert b"bob@refusing.test" in left
