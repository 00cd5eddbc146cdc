"""What smtpcheck sends goes by Postfix into Dovecot, and is found there by IMAP, with mail of others around it."""

import asyncio
import imaplib
import time
import uuid
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, contextmanager
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from smtpcheck.loopback.finder import FinderStep, FolderKind, Match, Search, SearchRequest, Target
from smtpcheck.loopback.imap.finder import ImapFinder
from smtpcheck.mail.message import probe_message
from smtpcheck.model.check import Depth, Mechanism, Security
from smtpcheck.network.network import Network
from smtpcheck.secrets.secret import Secret
from smtpcheck.smtp.connection import converse
from tests.real.daemon import wait_until
from tests.real.mail import PASSWORD, Certificates, Dovecot, Postfix
from tests.real.tokens import Signer
from tests.worlds.samples import check

SENDER = "anna@example.test"


class Mailbox:
    """One mailbox in Dovecot, as smtpcheck and its owner see it."""

    def __init__(self, certificates: Certificates, dovecot: Dovecot, postfix: Postfix, signer: Signer) -> None:
        self.address = f"probe-{uuid.uuid4().hex[:8]}@example.test"
        self.server = replace(certificates.server(dovecot.ports.imaps, Security.IMPLICIT), ehlo="")
        self.token = signer.mint(self.address)
        self._context = certificates.client_context()
        self._submission = certificates.server(postfix.ports.submission, Security.STARTTLS)
        self._signer = signer

    async def send(self, correlation_id: str, folder: str = "") -> Target:
        """Send a marked message by smtpcheck's own code, to the mailbox or straight into one of its folders."""
        local, _, domain = self.address.partition("@")
        recipient = f"{local}+{folder}@{domain}" if folder else self.address
        message = probe_message(
            sender=SENDER,
            recipient=recipient,
            now=datetime.now(UTC),
            unique=correlation_id,
            check="probe",
            agent="smtpcheck/test",
        )
        sending = check("probe", mailbox=SENDER, server=self._submission, depth=Depth.SEND, recipient=recipient)
        network = Network.for_servers([self._submission])
        try:
            talk = await converse(
                sending,
                Depth.SEND,
                self._signer.mint(SENDER),
                origin=time.monotonic(),
                network=network,
                message=message,
            )
        finally:
            network.close()
        assert [step.fault for step in talk.steps if step.fault] == []
        return Target((f"<{correlation_id}@example.test>",), correlation_id, time.time())

    async def search(
        self, request: SearchRequest, token: Secret | None = None, mechanism: Mechanism | None = None
    ) -> Search:
        """Look into the mailbox by smtpcheck's finder."""
        async with self.finder(mechanism) as finder:
            return await finder.search(request, token or self.token, timeout=20)

    @asynccontextmanager
    async def finder(self, mechanism: Mechanism | None = None) -> AsyncIterator[ImapFinder]:
        network = Network.for_servers([self.server])
        with ThreadPoolExecutor(1) as threads:
            yield ImapFinder(self.server, self.address, mechanism, network=network, threads=threads)
        network.close()

    async def find(self, target: Target, **request: object) -> Search:
        """Look until the message has arrived."""
        asked = SearchRequest((target,), is_ours={target.correlation_id}.__contains__)
        for _ in range(100):
            found = await self.search(replace(asked, **request))  # type: ignore[arg-type]
            if found.matches or found.error:
                return found
            await asyncio.sleep(0.1)
        pytest.fail(f"{target.correlation_id} did not arrive")

    @contextmanager
    def opened(self, folder: str) -> Iterator[imaplib.IMAP4_SSL]:
        """Open a folder as its owner does, by another library."""
        message = f"user={self.address}\x01auth=Bearer {self.token.reveal()}\x01\x01"
        with imaplib.IMAP4_SSL("127.0.0.1", self.server.port, ssl_context=self._context) as client:
            client.authenticate("XOAUTH2", lambda _: message.encode())
            client.select(folder)
            yield client

    def put(
        self, folder: str, subject: str, *headers: str, arrived: float | None = None, deleted: bool = False
    ) -> None:
        """Put a message into a folder, as it were arrived by other ways."""
        content = "\r\n".join([f"Subject: {subject}", "From: bob@example.org", *headers, "", "Hello.", ""])
        flags = "(\\Deleted)" if deleted else ""
        with self.opened("INBOX") as client:
            when = imaplib.Time2Internaldate(arrived or time.time())
            assert client.append(folder, flags, when, content.encode())[0] == "OK"

    def subjects(self, folder: str) -> list[str]:
        """Return the subject of every message in a folder."""
        with self.opened(folder) as client:
            if client.search(None, "ALL") == ("OK", [b""]):
                return []
            _, data = client.fetch("1:*", "(BODY.PEEK[HEADER.FIELDS (SUBJECT)])")
        return [part[1].decode().strip().removeprefix("Subject: ") for part in data if isinstance(part, tuple)]


@pytest.fixture
def mailbox(certificates: Certificates, dovecot: Dovecot, postfix: Postfix, signer: Signer) -> Mailbox:
    """Return a new mailbox."""
    return Mailbox(certificates, dovecot, postfix, signer)


def _correlation_id() -> str:
    return f"sc1{uuid.uuid4().hex}"


def _header(match: Match, name: str) -> list[str]:
    return [value for field, value in match.headers if field == name]


@pytest.mark.parametrize("mechanism", [None, Mechanism.XOAUTH2, Mechanism.OAUTHBEARER])
async def test_a_message_goes_from_data_to_the_inbox_and_is_deleted(
    mailbox: Mailbox, mechanism: Mechanism | None
) -> None:
    target = await mailbox.send(_correlation_id())
    found = await mailbox.find(target, delete=False)
    assert found.error is None
    (match,) = found.matches
    assert (match.correlation_id, match.folder, match.kind, match.deleted) == (
        target.correlation_id,
        "INBOX",
        FolderKind.INBOX,
        False,
    )
    assert match.arrived_at is not None and abs(match.arrived_at - target.sent_at) < 60
    hops = _header(match, "Received")
    assert "LMTP" in hops[0] and "ESMTPSA" in hops[-1]
    assert _header(match, "Message-ID") == [*target.message_ids]

    again = await mailbox.search(SearchRequest((target,), {target.correlation_id}.__contains__), mechanism=mechanism)
    assert [(one.folder, one.deleted) for one in again.matches] == [("INBOX", True)]
    assert mailbox.subjects("INBOX") == []


@pytest.mark.parametrize("mechanism", [Mechanism.PLAIN, Mechanism.LOGIN])
async def test_a_password_opens_the_mailbox_too(mailbox: Mailbox, mechanism: Mechanism) -> None:
    """And a wrong one is refused; what is told of it does not hold it."""
    mailbox.address = "anna@example.test"
    request = SearchRequest((Target(("<no@example.test>",), _correlation_id(), time.time()),), lambda _: False)
    good = await mailbox.search(request, Secret(PASSWORD), mechanism)
    assert (good.error, good.matches) == (None, ())
    bad = await mailbox.search(request, Secret("wrong-password"), mechanism)
    assert bad.error is not None
    assert bad.error.step is FinderStep.LOGIN
    assert "wrong-password" not in repr(bad)


@pytest.mark.parametrize(
    ("name", "kind"), [("Quarantine", FolderKind.JUNK), ("Outgoing", FolderKind.SENT), ("Archive", FolderKind.OTHER)]
)
async def test_a_message_is_found_by_what_its_folder_is_for(mailbox: Mailbox, name: str, kind: FolderKind) -> None:
    found = await mailbox.find(await mailbox.send(_correlation_id(), name))
    assert [(one.folder, one.kind, one.deleted) for one in found.matches] == [(name, kind, True)]
    assert mailbox.subjects(name) == []


async def test_other_folders_are_searched_only_while_something_is_missing(mailbox: Mailbox) -> None:
    target = await mailbox.send(_correlation_id())
    found = await mailbox.find(target)
    assert found.folders == ("INBOX", "Quarantine", "Outgoing")
    gone = await mailbox.search(SearchRequest((target,), {target.correlation_id}.__contains__))
    assert (gone.matches, gone.folders) == ((), ("INBOX", "Quarantine", "Outgoing", "Archive"))


async def test_every_copy_is_seen(mailbox: Mailbox) -> None:
    target = await mailbox.send(_correlation_id())
    await mailbox.send(target.correlation_id, "Quarantine")
    wait_until(lambda: len(mailbox.subjects("INBOX") + mailbox.subjects("Quarantine")) == 2, "both arrive")
    found = await mailbox.find(target)
    assert [(one.folder, one.deleted) for one in found.matches] == [("INBOX", True), ("Quarantine", True)]


async def test_mail_of_others_stays_whatever_it_looks_like(mailbox: Mailbox) -> None:
    forged = _correlation_id()
    mailbox.put("INBOX", "an old letter", arrived=time.time() - 9 * 86400)
    mailbox.put("INBOX", "marked for removal by its owner", deleted=True)
    mailbox.put("INBOX", f"smtpcheck: probe {forged}", f"X-Smtpcheck-Id: {forged}", arrived=time.time() - 9 * 86400)
    target = await mailbox.send(_correlation_id())
    await mailbox.find(target, delete=False)
    request = SearchRequest((target,), {target.correlation_id}.__contains__, purge_before=time.time() - 86400)
    found = await mailbox.search(request)
    assert [one.deleted for one in found.matches] == [True]
    assert found.purged == 0
    expected = ["an old letter", "marked for removal by its owner", f"smtpcheck: probe {forged}"]
    assert mailbox.subjects("INBOX") == expected


async def test_left_overs_are_swept_by_age_out_of_every_folder(mailbox: Mailbox) -> None:
    correlation_ids = [_correlation_id() for _ in range(4)]
    old, young = time.time() - 2 * 86400, time.time()
    mailbox.put("INBOX", "old", f"X-Smtpcheck-Id: {correlation_ids[0]}", arrived=old)
    mailbox.put("Archive", f"[EXTERN] smtpcheck {correlation_ids[1]}", arrived=old)
    mailbox.put("Outgoing", "sent", f"X-Smtpcheck-Id: {correlation_ids[2]}", arrived=old)
    mailbox.put("INBOX", "young", f"X-Smtpcheck-Id: {correlation_ids[3]}", arrived=young)
    found = await mailbox.search(SearchRequest((), {*correlation_ids}.__contains__, purge_before=young - 86400))
    assert (found.error, found.matches, found.purged) == (None, (), 3)
    assert [mailbox.subjects(folder) for folder in ("INBOX", "Archive", "Outgoing")] == [["young"], [], []]


async def test_hundreds_of_messages_are_found_in_one_connection(mailbox: Mailbox) -> None:
    correlation_ids = [_correlation_id() for _ in range(250)]
    with mailbox.opened("INBOX") as client:
        for correlation_id in correlation_ids:
            client.append("INBOX", "", "", f"X-Smtpcheck-Id: {correlation_id}\r\nSubject: probe\r\n\r\n".encode())
    target = tuple(
        Target((f"<{correlation_id}@x>",), correlation_id, time.time()) for correlation_id in correlation_ids
    )
    found = await mailbox.search(SearchRequest(target, {*correlation_ids}.__contains__))
    assert found.error is None
    assert {one.correlation_id for one in found.matches if one.deleted} == {*correlation_ids}
    assert mailbox.subjects("INBOX") == []


@pytest.mark.parametrize("mechanism", [Mechanism.XOAUTH2, Mechanism.OAUTHBEARER])
async def test_a_refused_login_is_told_in_the_servers_words(
    mailbox: Mailbox, signer: Signer, mechanism: Mechanism
) -> None:
    token = signer.mint(mailbox.address, forged=True)
    request = SearchRequest((Target((), _correlation_id(), time.time()),), lambda _: False)
    found = await mailbox.search(request, token=token, mechanism=mechanism)
    assert found.error is not None
    assert (found.error.step, found.error.code) == (FinderStep.LOGIN, "AUTHENTICATIONFAILED")
    assert "Authentication failed" in found.error.detail and '"status"' in found.error.detail
    assert token.reveal()[-20:] not in found.error.detail


async def test_an_untrusted_certificate_gets_no_token(mailbox: Mailbox) -> None:
    mailbox.server = replace(mailbox.server, ca_file=None)
    found = await mailbox.search(SearchRequest((Target((), _correlation_id(), time.time()),), lambda _: False))
    assert found.error is not None
    assert (found.error.step, found.folders) == (FinderStep.TLS, ())
    assert "self-signed" in found.error.detail or "unable to get local issuer" in found.error.detail
