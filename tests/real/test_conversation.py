"""smtpcheck's own conversation with Debian's servers, which verify the tokens by themselves."""

import time
from dataclasses import replace

import pytest

from smtpcheck.model.check import Check, Depth, Mechanism, Phase, Security
from smtpcheck.model.report import FaultKind
from smtpcheck.network.network import Network
from smtpcheck.secrets.secret import Secret
from smtpcheck.smtp.connection import Conversation, converse
from tests.real.daemon import wait_until
from tests.real.mail import Certificates, Dovecot, Postfix
from tests.real.tokens import Signer
from tests.worlds.samples import check

ANNA = "anna@example.test"

BOTH = pytest.mark.parametrize("server", ["dovecot", "postfix"])
MECHANISMS = pytest.mark.parametrize("mechanism", [Mechanism.XOAUTH2, Mechanism.OAUTHBEARER])
CHALLENGES = {
    Mechanism.XOAUTH2: '"status":"401"',
    Mechanism.OAUTHBEARER: '"status":"invalid_token"',
}


class Client:
    """Conversations with either server."""

    def __init__(self, certificates: Certificates, dovecot: Dovecot, postfix: Postfix) -> None:
        self._certificates = certificates
        self._ports = {
            ("dovecot", Security.STARTTLS): dovecot.ports.submission,
            ("dovecot", Security.IMPLICIT): dovecot.ports.submissions,
            ("postfix", Security.STARTTLS): postfix.ports.submission,
            ("postfix", Security.IMPLICIT): postfix.ports.submissions,
            ("relay", Security.STARTTLS): postfix.ports.relay,
        }

    def check(self, server: str, security: Security = Security.STARTTLS) -> Check:
        """Return a check of Anna's mailbox."""
        at = self._certificates.server(self._ports[server, security], security)
        return check("anna", mailbox=ANNA, server=at, recipient="bob@example.test")

    async def converse(self, check: Check, token: Secret | None, depth: Depth = Depth.AUTH) -> Conversation:
        """Talk to the check's server."""
        network = Network.for_servers([check.server])
        try:
            return await converse(check, depth, token, origin=time.monotonic(), network=network)
        finally:
            network.close()


@pytest.fixture
def client(certificates: Certificates, dovecot: Dovecot, postfix: Postfix) -> Client:
    """Return a client of both servers."""
    return Client(certificates, dovecot, postfix)


def faults(conversation: Conversation) -> dict[Phase, FaultKind]:
    """Return the kind of fault of each phase that has one."""
    return {step.phase: step.fault.kind for step in conversation.steps if step.fault is not None}


def codes(conversation: Conversation, phase: Phase) -> list[int]:
    """Return the reply codes of a phase."""
    steps = [step for step in conversation.steps if step.phase is phase]
    return [exchange.reply.code for step in steps for exchange in step.exchanges if exchange.reply is not None]


@BOTH
@MECHANISMS
@pytest.mark.parametrize("security", [Security.STARTTLS, Security.IMPLICIT])
async def test_a_good_token_logs_in(
    client: Client, signer: Signer, server: str, mechanism: Mechanism, security: Security
) -> None:
    check = replace(client.check(server, security), mechanism=mechanism)
    conversation = await client.converse(check, signer.mint(ANNA))
    assert (faults(conversation), conversation.mechanism) == ({}, mechanism.upper())
    assert codes(conversation, Phase.AUTH)[-1] == 235
    assert codes(conversation, Phase.QUIT) == [221]


@pytest.mark.parametrize(
    ("server", "size"),
    [("dovecot", 1500), ("dovecot", 2500), *[("postfix", size) for size in (1500, 2500, 4000, 7000)]],
)
@MECHANISMS
async def test_a_long_token_goes_after_the_334_and_logs_in(
    client: Client, signer: Signer, server: str, size: int, mechanism: Mechanism
) -> None:
    check = replace(client.check(server), mechanism=mechanism)
    conversation = await client.converse(check, signer.mint(ANNA, size=size))
    assert (faults(conversation), codes(conversation, Phase.AUTH)) == ({}, [334, 235])
    assert conversation.auth_line_length > size


async def test_a_token_too_long_for_the_server_is_seen_with_the_length_of_its_line(
    client: Client, signer: Signer
) -> None:
    conversation = await client.converse(client.check("dovecot"), signer.mint(ANNA, size=9000))
    assert (faults(conversation), codes(conversation, Phase.AUTH)) == ({Phase.AUTH: FaultKind.REPLY}, [334, 500])
    assert conversation.auth_line_length > 9000


@BOTH
@MECHANISMS
@pytest.mark.parametrize(
    "bad",
    [{"lifetime": -600.0}, {"audience": "graph"}, {"issuer": "https://other.test"}, {"forged": True}],
    ids=["expired", "audience", "issuer", "signature"],
)
async def test_a_bad_token_is_refused_and_the_challenge_is_kept(
    client: Client, signer: Signer, server: str, mechanism: Mechanism, bad: dict[str, object]
) -> None:
    check = replace(client.check(server), mechanism=mechanism)
    conversation = await client.converse(check, signer.mint(ANNA, **bad))  # type: ignore[arg-type]
    assert faults(conversation) == {Phase.AUTH: FaultKind.REPLY}
    assert codes(conversation, Phase.AUTH) == [334, 334, 535]
    assert codes(conversation, Phase.QUIT) == [221]
    challenges = [
        exchange.challenge for step in conversation.steps for exchange in step.exchanges if exchange.challenge
    ]
    assert len(challenges) == 1
    assert CHALLENGES[mechanism] in challenges[0]


@BOTH
async def test_a_token_of_another_mailbox_is_refused(client: Client, signer: Signer, server: str) -> None:
    conversation = await client.converse(client.check(server), signer.mint("bob@example.test"))
    assert (faults(conversation), codes(conversation, Phase.AUTH)[-1]) == ({Phase.AUTH: FaultKind.REPLY}, 535)


async def test_a_token_without_a_name_looks_like_a_temporary_failure_on_dovecot(client: Client, signer: Signer) -> None:
    conversation = await client.converse(client.check("dovecot"), signer.mint(ANNA, without_name=True))
    assert (faults(conversation), codes(conversation, Phase.AUTH)[-1]) == ({Phase.AUTH: FaultKind.REPLY}, 454)


async def test_a_server_that_offers_no_login_never_gets_the_token(client: Client, signer: Signer) -> None:
    conversation = await client.converse(client.check("relay"), signer.mint(ANNA))
    assert faults(conversation) == {Phase.AUTH: FaultKind.MECHANISM_NOT_OFFERED}
    assert codes(conversation, Phase.QUIT) == [221]


async def test_the_delay_of_a_refused_login_is_in_phase_auth(
    client: Client, signer: Signer, slow_dovecot: Dovecot
) -> None:
    check = client.check("dovecot")
    check = replace(check, server=replace(check.server, port=slow_dovecot.ports.submission))
    conversation = await client.converse(check, signer.mint(ANNA, lifetime=-600))
    assert codes(conversation, Phase.AUTH) == [334, 334, 535]
    seconds = {step.phase: step.seconds for step in conversation.steps}
    assert max(seconds, key=seconds.__getitem__) is Phase.AUTH
    assert seconds[Phase.AUTH] >= 1.5


@BOTH
@pytest.mark.parametrize("depth", [Depth.CONNECT, Depth.SENDER, Depth.RECIPIENT])
async def test_each_depth_short_of_data_ends_in_good_order(
    client: Client, signer: Signer, dovecot: Dovecot, server: str, depth: Depth
) -> None:
    recipient = f"never-{server}@example.test"
    check = replace(client.check(server), recipient=recipient)
    conversation = await client.converse(check, signer.mint(ANNA), depth)
    reached = {
        Depth.CONNECT: Phase.EHLO_TLS,
        Depth.SENDER: Phase.MAIL,
        Depth.RECIPIENT: Phase.RCPT,
    }[depth]
    assert (faults(conversation), conversation.steps[-2].phase) == ({}, reached)
    assert codes(conversation, Phase.QUIT)[-1] == 221
    assert not (dovecot.mail / recipient).exists()


@BOTH
async def test_a_sent_message_reaches_the_mailbox(
    client: Client, signer: Signer, dovecot: Dovecot, server: str
) -> None:
    recipient = f"sent-{server}@example.test"
    check = replace(client.check(server), recipient=recipient)
    conversation = await client.converse(check, signer.mint(ANNA), Depth.SEND)
    assert (faults(conversation), codes(conversation, Phase.DATA)) == ({}, [354, 250])
    inbox = dovecot.mail / recipient / "Maildir" / "new"
    wait_until(lambda: inbox.is_dir() and any(inbox.iterdir()), f"mail in {inbox}")
    assert f"To: {recipient}" in next(inbox.iterdir()).read_text()


@BOTH
async def test_a_certificate_of_an_unknown_authority_is_read_and_no_token_is_sent(
    client: Client, signer: Signer, server: str
) -> None:
    check = client.check(server)
    check = replace(check, server=replace(check.server, ca_file=None))
    conversation = await client.converse(check, signer.mint(ANNA))
    assert faults(conversation) == {Phase.TLS: FaultKind.TLS_UNTRUSTED}
    assert conversation.auth_line_length == 0
    assert conversation.tls is not None
    assert conversation.tls.certificate is not None
    assert ("localhost" in conversation.tls.certificate.names, conversation.tls.certificate.verified) == (True, False)
