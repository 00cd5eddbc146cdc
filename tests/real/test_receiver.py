"""What a whole receiver of Debian's parts writes into the header, files by Sieve, and what smtpcheck makes of it."""

import asyncio
import os
import smtplib
import time
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeVar

import pytest

from smtpcheck.limits.send_limits import Limits
from smtpcheck.loopback.finder import FolderKind, Search, SearchRequest, Target
from smtpcheck.loopback.imap.finder import ImapFinder
from smtpcheck.loopback.message_state import Message, Record, Stage, after_search
from smtpcheck.loopback.plan import Find, FindVia, Loopback
from smtpcheck.loopback.status import LoopbackStatus, merged
from smtpcheck.loopback.timeline import timeline
from smtpcheck.mail.message import probe_message
from smtpcheck.model.cause import Cause
from smtpcheck.model.check import Security
from smtpcheck.model.report import Finding, Outcome, Report
from smtpcheck.network.network import Network
from tests.real.daemon import Daemon, free_port
from tests.real.mail import Certificates, Dovecot, DovecotPorts
from tests.real.name_server import NameServer, has_namespaces
from tests.real.receiver import (
    AUTHSERV_ID,
    RECORDS,
    SENDER,
    SIEVE,
    SPAMMER,
    Exchanger,
    OpenDkim,
    OpenDmarc,
    ReceiverPorts,
    Rspamd,
)
from tests.real.tokens import Signer, trust

_NAME_SERVER = f"127.53.{os.getpid() >> 8 & 255}.{os.getpid() & 255 or 1}"
"""Port 53 is the only one that a resolv.conf can name; each process of the tests has an address of its own."""
RECIPIENT = "probe@example.test"
PLAN = Loopback(
    every=900.0,
    sender=SENDER,
    recipient=RECIPIENT,
    find=Find(FindVia.IMAP, RECIPIENT, "site"),
    warn_after=60.0,
    lost_after=900.0,
    limits=Limits(12, 200),
    authserv_id=AUTHSERV_ID,
)
D = TypeVar("D", bound=Daemon)


@dataclass(frozen=True)
class Receiver:
    """All of it, as smtpcheck sees it."""

    ports: ReceiverPorts
    dovecot: Dovecot
    certificates: Certificates
    signer: Signer
    asks_names: bool
    """Whether policyd-spf and OpenDMARC are there."""

    async def deliver(
        self, sender: str = SENDER, *, check: str = "probe", top: bytes = b"", client: str = "", plan: Loopback = PLAN
    ) -> Message:
        """Send a message and return it as it was found; from a `client` address it comes without its sender's host."""
        unique = f"sc1{uuid.uuid4().hex}"
        now = datetime.now(UTC)
        content = probe_message(
            sender=sender, recipient=RECIPIENT, now=now, unique=unique, check=check, agent="smtpcheck/test"
        )
        await asyncio.to_thread(self._send, sender, top + content, client)
        target = Target((f"<{unique}@sender.test>",), unique, time.time())
        sent = Message("probe", 0, 1, unique, target.message_ids[0], time.time(), Stage.ACCEPTED, time.time())
        for _ in range(100):
            began = time.time()
            search = await self._search(SearchRequest((target,), {unique}.__contains__, delete=False))
            assert search.error is None
            if search.matches:
                return after_search(sent, search.matches, plan, began=began, ended=time.time(), whole=True)
            await asyncio.sleep(0.1)
        pytest.fail("it did not arrive")

    def _send(self, sender: str, content: bytes, client: str) -> None:
        port = self.ports.exchanger if client else self.ports.submission
        with smtplib.SMTP("127.0.0.1", port, source_address=(client, 0) if client else None) as connection:
            connection.sendmail(sender, [RECIPIENT], content)

    async def _search(self, request: SearchRequest) -> Search:
        server = replace(self.certificates.server(self.dovecot.ports.imaps, Security.IMPLICIT), ehlo="")
        network = Network.for_servers([server])
        with ThreadPoolExecutor(1) as threads:
            finder = ImapFinder(server, RECIPIENT, None, network=network, threads=threads)
            found = await finder.search(request, self.signer.mint(RECIPIENT), timeout=20)
        network.close()
        return found


@pytest.fixture(scope="module")
def receiver(folder: Callable[[str], Path], certificates: Certificates, signer: Signer) -> Iterator[Receiver]:
    ports = ReceiverPorts(*(free_port() for _ in range(6)))
    imap = DovecotPorts(free_port(), free_port(), free_port(), free_port())
    asks_names = has_namespaces()
    resolv_conf = folder("names") / "resolv.conf"
    resolv_conf.write_text(f"nameserver {_NAME_SERVER}\noptions timeout:1 attempts:1\n")
    with ExitStack() as stack:

        def started(daemon: D) -> D:
            stack.callback(daemon.stop)
            return daemon

        if asks_names:
            stack.enter_context(NameServer(RECORDS, _NAME_SERVER))
            started(OpenDmarc(folder("dmarc"), ports.dmarc, resolv_conf))
        keys = folder("dkim")
        started(OpenDkim(keys, ports.signer, signs=True))
        started(OpenDkim(keys, ports.verifier, signs=False))
        started(Rspamd(folder("rspamd"), ports.rspamd, free_port()))
        dovecot = started(Dovecot(folder("filed"), certificates, imap, relay_port=ports.submission, sieve=SIEVE))
        trust(dovecot.keys, signer.public_pem)
        started(Exchanger(folder("mx"), ports, imap.lmtp, resolv_conf if asks_names else None))
        yield Receiver(ports, dovecot, certificates, signer, asks_names)


def warnings_of(message: Message, plan: Loopback = PLAN) -> tuple[Finding, ...]:
    report = Report("probe", time.time(), 0.1, Outcome.OK)
    return merged(report, LoopbackStatus(plan, Record(1, 0, (message,))), time.time()).warnings


async def test_all_three_fields_of_one_receiver_count(receiver: Receiver) -> None:
    """OpenDKIM, OpenDMARC and policyd-spf each write one; the latter two need a name server in their namespace."""
    message = await receiver.deliver()
    expected = {"dkim": "pass", "dkim-atps": "neutral"}
    expected |= {"spf": "pass", "dmarc": "pass"} if receiver.asks_names else {}
    assert dict(message.authentication) == expected
    assert (message.kind, message.contradictions, warnings_of(message)) == (FolderKind.INBOX, (), ())


async def test_its_name_is_proposed_where_none_is_configured(receiver: Receiver) -> None:
    message = await receiver.deliver(plan=replace(PLAN, authserv_id=None))
    assert (message.receiver_id, message.authentication) == (AUTHSERV_ID, ())


async def test_what_a_stranger_writes_in_its_name_is_not_believed(receiver: Receiver) -> None:
    """Straight from another address, with fields that claim a pass and a filter that found nothing."""
    forged = (
        f"Authentication-Results: {AUTHSERV_ID}; dkim=pass header.d=sender.test; spf=pass; dmarc=pass\r\n"
        "X-Spam-Status: No, score=-9.9 required=5.0 tests=ALL_TRUSTED\r\n"
    )
    message = await receiver.deliver(top=forged.encode(), client="127.0.0.3")
    results = dict(message.authentication)
    assert results["dkim"] == "none"
    if receiver.asks_names:
        assert (results["spf"], results["dmarc"]) == ("fail", "fail")
    else:
        assert results.keys() == {"dkim"}
    assert not any(verdict.believed for verdict in message.verdicts)


async def test_what_rspamd_marks_and_sieve_files_is_in_junk_with_the_reason(receiver: Receiver) -> None:
    """rspamd adds its fields at the end of the header, where everybody can have written them."""
    message = await receiver.deliver(SPAMMER)
    assert (message.kind, message.folder) == (FolderKind.JUNK, "Quarantine")
    (finding,) = warnings_of(message)
    assert finding.cause is Cause.MAIL_IN_JUNK
    said = "\n".join(finding.evidence)
    assert "anybody can have written: rspamd: the filter rated it as spam (X-Spamd-Result: False" in said
    assert message.junk_reason == "unknown"


async def test_a_folder_by_a_rule_is_named(receiver: Receiver) -> None:
    message = await receiver.deliver(check="a message by a rule")
    assert (message.kind, message.folder) == (FolderKind.OTHER, "Archive")
    assert "found in the folder Archive" in timeline(message)[-1].text
    assert warnings_of(message) == ()
