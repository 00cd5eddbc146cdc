"""The sandbox's SMTP server answers smtplib and bare sockets as Exchange Online does."""

import asyncio
import base64
import re
import smtplib
import socket
import ssl
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import TypeVar

import pytest

from smtpcheck.sandbox import replies
from smtpcheck.sandbox.certificates import Authority, Certificate
from smtpcheck.sandbox.exchange import Exchange
from smtpcheck.sandbox.mail_service import Mailbox, Message
from smtpcheck.sandbox.smtp_session import MAX_LINE, Listener
from smtpcheck.sandbox.tokens import SigningKey
from tests.worlds.waiting import HANG_SECONDS

T = TypeVar("T")
TENANT = "11111111-2222-3333-4444-555555555555"
BILLING = "billing@contoso.example"
STAMP = re.compile(
    r" \[AM6PR\d{4}MB0001\.eurprd05\.prod\.outlook\.com \d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z 08DE[0-9A-F]{12}\]$"
)


class Site:
    """A running service with one mailbox, and clients that trust it."""

    def __init__(self, authority: Authority, exchange: Exchange, key: SigningKey) -> None:
        self.authority, self.exchange, self.key = authority, exchange, key
        self.trust = ssl.create_default_context(cadata=authority.pem.decode())

    async def listen(self, listener: Listener) -> int:
        return await self.exchange.listen(listener, self.authority.server_context(listener.certificate))

    def token(self, **claims: object) -> str:
        now = int(time.time())
        standard: dict[str, object] = {
            "aud": "https://outlook.office365.com",
            "iss": f"https://sts.windows.net/{TENANT}/",
            "nbf": now,
            "exp": now + 3599,
            "tid": TENANT,
            "roles": ["SMTP.SendAsApp"],
        }
        return self.key.sign({k: v for k, v in (standard | claims).items() if v is not None})

    @contextmanager
    def client(self, port: int, *, tls: bool = True) -> Iterator[smtplib.SMTP]:
        with smtplib.SMTP("localhost", port, "client.example", timeout=5) as smtp:
            if tls:
                smtp.starttls(context=self.trust)
                smtp.ehlo()
            yield smtp

    @contextmanager
    def logged_in(self, port: int) -> Iterator[smtplib.SMTP]:
        with self.client(port) as smtp:
            assert smtp.docmd("AUTH XOAUTH2", blob(BILLING, self.token()))[0] == 235
            yield smtp


def blob(user: str, token: str) -> str:
    return base64.b64encode(f"user={user}\x01auth=Bearer {token}\x01\x01".encode()).decode()


def said(answer: tuple[int, bytes]) -> str:
    """Return a refusal as text, with the mark that Exchange adds checked and taken off."""
    text = f"{answer[0]} {answer[1].decode()}"
    assert answer[0] < 400 or STAMP.search(text)
    return STAMP.sub("", text)


def mail(sender: str = BILLING, header_from: str | None = None) -> bytes:
    lines = [f"From: {header_from or sender}", "To: probe@contoso.example", "Message-ID: <1@x>", "", ".dot", "end"]
    return "\r\n".join(lines).encode() + b"\r\n"


def send(smtp: smtplib.SMTP, sender: str = BILLING, header_from: str | None = None) -> str:
    assert said(smtp.mail(sender)) == replies.SENDER_OK
    assert said(smtp.rcpt("probe@contoso.example")) == replies.RECIPIENT_OK
    return said(smtp.data(mail(sender, header_from)))


@pytest.fixture(scope="module")
def authority() -> Authority:
    return Authority()


@pytest.fixture(scope="module")
def key() -> SigningKey:
    return SigningKey()


@pytest.fixture
async def site(authority: Authority, key: SigningKey) -> AsyncIterator[Site]:
    exchange = Exchange(key, TENANT, [Mailbox(BILLING)])
    try:
        yield Site(authority, exchange, key)
    finally:
        await exchange.close()


async def away(work: Callable[[], T]) -> T:
    """Run blocking work of a client beside the server's loop."""
    return await asyncio.to_thread(work)


async def test_greeting_and_keywords_before_and_after_tls(site: Site) -> None:
    """EHLO offers STARTTLS before TLS and the mechanisms only after it."""
    port = await site.listen(Listener())

    def work() -> tuple[bytes, dict[str, str], dict[str, str]]:
        with socket.create_connection(("localhost", port), 5) as bare:
            banner = bare.recv(1000)
        with site.client(port, tls=False) as smtp:
            smtp.ehlo()
            before = dict(smtp.esmtp_features)
            smtp.starttls(context=site.trust)
            smtp.ehlo()
            return banner, before, dict(smtp.esmtp_features)

    banner, before, after = await away(work)
    common = {"size": "157286400", "pipelining": "", "dsn": "", "enhancedstatuscodes": ""}
    common |= {"8bitmime": "", "binarymime": "", "chunking": "", "smtputf8": ""}
    assert before == common | {"starttls": ""}
    assert {**after, "auth": after["auth"].strip()} == common | {"auth": "LOGIN XOAUTH2"}
    expected = (
        rb"220 AM6PR\d{4}CA0001\.outlook\.office365\.com Microsoft ESMTP MAIL Service ready at .+ \[08DE\w{12}\]\r\n"
    )
    assert re.fullmatch(expected, banner)


@pytest.mark.parametrize("initial", [True, False])
async def test_a_good_token_logs_in(site: Site, initial: bool) -> None:
    """XOAUTH2 works with an initial response and after the 334."""
    port = await site.listen(Listener())

    def work() -> list[str]:
        with site.client(port) as smtp:
            response = blob(BILLING.upper(), site.token(filler="x" * 1200))
            if initial:
                return [said(smtp.docmd("AUTH XOAUTH2", response))]
            return [said(smtp.docmd("AUTH XOAUTH2")), said(smtp.docmd(response))]

    expected = [replies.AUTH_OK] if initial else ["334 ", replies.AUTH_OK]
    assert await away(work) == expected
    assert (site.exchange.logins, site.exchange.connections) == ({BILLING: 1}, {port: 1})


async def test_a_users_own_token_logs_in(site: Site) -> None:
    """A delegated token with SMTP.Send opens the user's own mailbox and no other."""
    site.exchange.mailboxes["other@contoso.example"] = Mailbox("other@contoso.example")
    port = await site.listen(Listener())
    token = site.token(roles=None, scp="SMTP.Send openid", upn=BILLING)

    def work() -> list[str]:
        with site.client(port) as smtp:
            users = ("other@contoso.example", BILLING)
            return [said(smtp.docmd("AUTH XOAUTH2", blob(user, token))) for user in users]

    assert await away(work) == [replies.AUTH_UNSUCCESSFUL, replies.AUTH_OK]


BAD_TOKENS: dict[str, dict[str, object]] = {
    "audience": {"aud": "https://graph.microsoft.com"},
    "expired": {"exp": 1_600_000_000},
    "not yet valid": {"nbf": 4_000_000_000, "exp": 4_000_000_600},
    "tenant": {"tid": "another"},
    "no permission": {"roles": None},
    "another permission": {"roles": ["IMAP.AccessAsApp"]},
    "another scope": {"roles": None, "scp": "SMTP.SendMore", "upn": BILLING},
}


@pytest.mark.parametrize("claims", BAD_TOKENS.values(), ids=BAD_TOKENS)
async def test_a_token_that_does_not_hold_is_refused(site: Site, claims: dict[str, object]) -> None:
    """Whatever is wrong with a token, the answer is the same 535 5.7.3."""
    port = await site.listen(Listener())

    def work() -> str:
        with site.client(port) as smtp:
            return said(smtp.docmd("AUTH XOAUTH2", blob(BILLING, site.token(**claims))))

    assert await away(work) == replies.AUTH_UNSUCCESSFUL


async def test_a_forged_token_is_refused(site: Site) -> None:
    """A token that another key signed, or whose claims were changed, is refused."""
    port = await site.listen(Listener())
    good = site.token().split(".")
    changed = f"{good[0]}.{site.token(tid=TENANT, exp=4_000_000_000).split('.')[1]}.{good[2]}"
    site.key = SigningKey()
    forged = site.token()

    def work() -> list[str]:
        with site.client(port) as smtp:
            return [said(smtp.docmd("AUTH XOAUTH2", blob(BILLING, token))) for token in (forged, changed, "nonsense")]

    assert await away(work) == [replies.AUTH_UNSUCCESSFUL] * 3


AUTH_LINES = [
    (["AUTH XOAUTH2 !!!"], replies.AUTH_UNDECODABLE),
    (["AUTH XOAUTH2 bm9uc2Vuc2U="], replies.AUTH_UNSUCCESSFUL),
    (["AUTH XOAUTH2 ="], replies.AUTH_UNSUCCESSFUL),
    (["AUTH XOAUTH2", "*"], replies.AUTH_UNSUCCESSFUL),
    (["AUTH XOAUTH2", ""], replies.AUTH_UNSUCCESSFUL),
    (["AUTH PLAIN AGEAYg=="], replies.AUTH_UNRECOGNIZED),
    (["AUTH"], replies.AUTH_UNRECOGNIZED),
    (["AUTH LOGIN", "YQ==", "Yg=="], replies.BASIC_AUTH_DISABLED),
    (["auth login YQ==", "Yg=="], replies.BASIC_AUTH_DISABLED),
    (["AUTH LOGIN", "!"], replies.AUTH_UNDECODABLE),
    (["AUTH LOGIN", "*"], replies.AUTH_UNSUCCESSFUL),
    (["MAIL FROM:<billing@contoso.example>"], replies.NOT_AUTHENTICATED),
    (["RCPT TO:<probe@contoso.example>"], replies.BAD_SEQUENCE),
    (["DATA"], replies.BAD_SEQUENCE),
    (["STARTTLS"], replies.UNRECOGNIZED_COMMAND),
    (["EHLO under_score"], replies.INVALID_DOMAIN),
    (["EHLO"], replies.INVALID_DOMAIN),
    (["HELO under_score"], replies.INVALID_DOMAIN),
    (["HELO x", "NOOP"], replies.OK),
    (["XYZZY"], replies.UNRECOGNIZED_COMMAND),
    (["NOOP"], replies.OK),
    (["VRFY x"], replies.CANNOT_VERIFY),
    (["QUIT"], replies.BYE),
]


@pytest.mark.parametrize(("lines", "last"), AUTH_LINES)
async def test_commands_before_login(site: Site, lines: list[str], last: str) -> None:
    """Every command out of place, and every malformed login, has its reply."""
    port = await site.listen(Listener())

    def work() -> str:
        with site.client(port) as smtp:
            return [said(smtp.docmd(line)) for line in lines][-1]

    assert await away(work) == last


@pytest.mark.parametrize(
    ("mailbox", "password", "last"),
    [
        (Mailbox(BILLING), "x", replies.BASIC_AUTH_DISABLED),
        (Mailbox(BILLING), "", replies.BASIC_AUTH_DISABLED),
        (Mailbox(BILLING, {"PASSWORD": replies.BASIC_AUTH_RETIRED}), "x", replies.BASIC_AUTH_RETIRED),
        (Mailbox(BILLING, {"PASSWORD": replies.SECURITY_DEFAULTS}), "x", replies.SECURITY_DEFAULTS),
        (Mailbox(BILLING, {"PASSWORD": replies.CRITERIA_NOT_MET}), "x", replies.CRITERIA_NOT_MET),
        (Mailbox(BILLING, password="right"), "wrong", replies.PASSWORD_WRONG),
        (Mailbox(BILLING, password="right"), "right", replies.AUTH_OK),
    ],
)
async def test_a_password_opens_a_mailbox_only_where_it_is_still_let_in(
    site: Site, mailbox: Mailbox, password: str, last: str
) -> None:
    site.exchange.mailboxes[BILLING] = mailbox
    port = await site.listen(Listener())

    def work() -> str:
        with site.client(port) as smtp:
            lines = ["AUTH LOGIN", *(base64.b64encode(text.encode()).decode() for text in (BILLING, password))]
            return [said(smtp.docmd(line)) for line in lines][-1]

    assert await away(work) == last


PLAIN_LINES = [
    (["MAIL FROM:<a@b.example>"], replies.HELLO_FIRST),
    (["AUTH XOAUTH2"], replies.HELLO_FIRST),
    (["STARTTLS"], replies.HELLO_FIRST),
    (["EHLO x", "AUTH XOAUTH2"], replies.AUTH_UNRECOGNIZED),
    (["EHLO x", "MAIL FROM:<a@b.example>"], replies.STARTTLS_FIRST),
    (["EHLO x", "STARTTLS now"], replies.INVALID_ARGUMENTS),
]


@pytest.mark.parametrize(("lines", "last"), PLAIN_LINES)
async def test_commands_in_clear(site: Site, lines: list[str], last: str) -> None:
    """Before TLS there is no login and no mail."""
    port = await site.listen(Listener())

    def work() -> str:
        with site.client(port, tls=False) as smtp:
            return [said(smtp.docmd(line)) for line in lines][-1]

    assert await away(work) == last


async def test_a_message_is_accepted_and_kept(site: Site) -> None:
    """After a login a message from the mailbox itself is accepted, with dots unstuffed."""
    port = await site.listen(Listener())

    def work() -> tuple[str, list[str]]:
        with site.logged_in(port) as smtp:
            reply = send(smtp)
            return reply, [said(smtp.docmd("AUTH XOAUTH2")), said(smtp.rset()), said(smtp.quit())]

    reply, rest = await away(work)
    assert reply == "250 2.0.0 OK <1@x> [Hostname=AM6PR0001MB0001.eurprd05.prod.outlook.com]"
    assert rest == [replies.BAD_SEQUENCE, replies.RESETTING, replies.BYE]
    assert list(site.exchange.messages) == [Message(BILLING, BILLING, ("probe@contoso.example",), mail())]


async def test_a_transaction_keeps_its_order(site: Site) -> None:
    """MAIL within a transaction, arguments that are none, and RCPT after RSET are refused."""
    port = await site.listen(Listener())

    def work() -> list[str]:
        commands = ("MAIL FROM:x", f"MAIL FROM:<{BILLING}> SIZE=9", "MAIL FROM:<a@b>", "RCPT TO:<>", "DATA", "RSET")
        with site.logged_in(port) as smtp:
            return [said(smtp.docmd(command)) for command in (*commands, "RCPT TO:<a@b>")]

    assert await away(work) == [
        replies.INVALID_ARGUMENTS,
        replies.SENDER_OK,
        replies.BAD_SEQUENCE,
        replies.INVALID_ARGUMENTS,
        replies.BAD_SEQUENCE,
        replies.RESETTING,
        replies.BAD_SEQUENCE,
    ]


@pytest.mark.parametrize("verb", ["AUTH", "MAIL", "RCPT", "DATA"])
async def test_a_mailbox_refuses_where_its_data_says(site: Site, verb: str) -> None:
    """A refusal stands at its command alone; what comes before succeeds."""
    site.exchange.mailboxes[BILLING] = Mailbox(BILLING, {verb: replies.MAILBOX_LOGON_FAILURE})
    port = await site.listen(Listener())

    def work() -> list[str]:
        with site.client(port) as smtp:
            answers = [said(smtp.docmd("AUTH XOAUTH2", blob(BILLING, site.token())))]
            if verb != "AUTH":
                answers.append(said(smtp.mail(BILLING)))
            if verb in {"RCPT", "DATA"}:
                answers.append(said(smtp.rcpt("probe@contoso.example")))
            if verb == "DATA":
                answers.append(said(smtp.data(mail())))
            return answers

    good = [replies.AUTH_OK, replies.SENDER_OK, replies.RECIPIENT_OK]
    before = good[: ["AUTH", "MAIL", "RCPT", "DATA"].index(verb)]
    assert await away(work) == [*before, replies.MAILBOX_LOGON_FAILURE]
    assert not site.exchange.messages


@pytest.mark.parametrize(
    ("sender", "header_from"), [("board@contoso.example", None), (BILLING, "board@contoso.example")]
)
async def test_sending_as_another_is_refused_after_the_message(
    site: Site, sender: str, header_from: str | None
) -> None:
    """A foreign envelope sender or From is taken at MAIL and refused after the final dot, unless it was granted."""
    port = await site.listen(Listener())

    def work() -> str:
        with site.logged_in(port) as smtp:
            return send(smtp, sender, header_from)

    expected = replies.SEND_AS_DENIED.format(mailbox=BILLING, sender="board@contoso.example")
    assert await away(work) == expected
    site.exchange.mailboxes[BILLING] = Mailbox(BILLING, send_as=frozenset({"board@contoso.example"}))
    assert (await away(work)).startswith("250 2.0.0 OK")


async def test_the_fourth_connection_of_a_mailbox_may_not_submit(site: Site) -> None:
    """Three sessions of a mailbox may submit; a fourth gets 432 until one of them has left."""
    port = await site.listen(Listener())

    def work() -> list[str]:
        with ExitStack() as stack:
            _, second, third, fourth = (stack.enter_context(site.logged_in(port)) for _ in range(4))
            answers = [send(third), send(fourth)]
            second.quit()
            return [*answers, send(fourth)]

    third, fourth, fourth_later = await away(work)
    assert (third[:3], fourth, fourth_later[:3]) == ("250", replies.TOO_MANY_CONNECTIONS, "250")
    assert site.exchange.most_open == {BILLING: 4}


async def test_a_relay_offers_no_login_and_relays_nothing(site: Site) -> None:
    """A listener without mechanisms takes MAIL without login and refuses to relay."""
    port = await site.listen(Listener(mechanisms=()))

    def work() -> tuple[bool, list[str]]:
        with site.client(port) as smtp:
            commands = ("AUTH XOAUTH2", "MAIL FROM:<a@b.example>", "RCPT TO:<c@d.example>")
            return smtp.has_extn("auth"), [said(smtp.docmd(command)) for command in commands]

    assert await away(work) == (False, [replies.AUTH_UNRECOGNIZED, replies.SENDER_OK, replies.RELAY_DENIED])


async def test_a_listener_without_starttls(site: Site) -> None:
    """STARTTLS is neither offered nor taken, and there is no login in clear."""
    port = await site.listen(Listener(starttls=False))

    def work() -> tuple[bool, list[str]]:
        with site.client(port, tls=False) as smtp:
            smtp.ehlo()
            return smtp.has_extn("starttls"), [said(smtp.docmd(line)) for line in ("STARTTLS", "AUTH XOAUTH2")]

    assert await away(work) == (False, [replies.UNRECOGNIZED_COMMAND, replies.AUTH_UNRECOGNIZED])


async def test_implicit_tls(site: Site) -> None:
    """A listener with implicit TLS offers the login at once and no STARTTLS."""
    port = await site.listen(Listener(implicit_tls=True))

    def work() -> tuple[bool, str]:
        with smtplib.SMTP_SSL("localhost", port, "client.example", timeout=5, context=site.trust) as smtp:
            smtp.ehlo()
            return smtp.has_extn("starttls"), said(smtp.docmd("AUTH XOAUTH2", blob(BILLING, site.token())))

    assert await away(work) == (False, replies.AUTH_OK)


@pytest.mark.parametrize(
    ("certificate", "reason"),
    [
        (Certificate.EXPIRED, "certificate has expired"),
        (Certificate.UNTRUSTED, "unable to get local issuer certificate"),
        (Certificate.WRONG_NAME, "Hostname mismatch"),
    ],
)
async def test_a_broken_certificate_breaks_in_its_way(site: Site, certificate: Certificate, reason: str) -> None:
    """Each kind of certificate fails verification for its own reason, and the server lives on."""
    port = await site.listen(Listener(certificate=certificate))

    def work() -> None:
        with site.client(port):
            pass

    for _ in range(2):
        with pytest.raises(ssl.SSLCertVerificationError, match=reason):
            await away(work)


async def test_a_refusal_in_place_of_the_banner(site: Site) -> None:
    """A listener that refuses says so and closes."""
    port = await site.listen(Listener(refusal=replies.SERVICE_NOT_AVAILABLE))

    def work() -> bytes:
        with socket.create_connection(("localhost", port), 5) as bare:
            return b"".join(iter(lambda: bare.recv(1000), b""))

    text = (await away(work)).decode().removesuffix("\r\n")
    assert STAMP.sub("", text) == replies.SERVICE_NOT_AVAILABLE


async def test_the_line_limit_is_that_of_auth(site: Site) -> None:
    """A line of 12288 octets is read, a longer one is refused once, and the session goes on."""
    port = await site.listen(Listener())
    head = "AUTH XOAUTH2 "

    def work() -> list[str]:
        with site.client(port) as smtp:
            lengths = (MAX_LINE - 2, MAX_LINE - 1, 3 * MAX_LINE)
            return [said(smtp.docmd(head + "A" * (length - len(head)))) for length in lengths] + [said(smtp.noop())]

    assert await away(work) == [replies.AUTH_UNDECODABLE, replies.LINE_TOO_LONG, replies.LINE_TOO_LONG, replies.OK]


async def test_commands_that_come_together_are_answered_in_order(site: Site) -> None:
    """Pipelined commands are answered one by one, with a delay too, and nothing after QUIT."""
    ports = [await site.listen(Listener(delay=delay)) for delay in (0.0, 0.01)]

    def work(port: int) -> list[bytes]:
        with socket.create_connection(("localhost", port), 5) as bare:
            bare.sendall(b"EHLO x\r\nNOOP\r\nRSET\r\nXYZZY\r\nQUIT\r\nNOOP\r\n")
            text = b"".join(iter(lambda: bare.recv(1000), b""))
            return [line[:3] for line in text.splitlines() if line[3:4] == b" "]

    for port in ports:
        assert await asyncio.to_thread(work, port) == [b"220", b"250", b"250", b"250", b"500", b"221"]


async def test_clear_text_behind_starttls_is_dropped(site: Site) -> None:
    """A command that was sent in clear together with STARTTLS is never answered, neither before nor after TLS."""
    port = await site.listen(Listener())

    def work() -> tuple[bytes, bytes]:
        with socket.create_connection(("localhost", port), 5) as bare:
            bare.recv(1000)
            bare.sendall(b"EHLO x\r\n")
            bare.recv(1000)
            bare.sendall(b"STARTTLS\r\nNOOP\r\n")
            ready = bare.recv(1000)
            with site.trust.wrap_socket(bare, server_hostname="localhost") as tls:
                tls.sendall(b"RSET\r\n")
                return ready, tls.recv(1000)

    ready, after = await away(work)
    assert (ready, after) == (replies.STARTTLS_READY.encode() + b"\r\n", replies.RESETTING.encode() + b"\r\n")


async def test_each_reply_waits_for_the_delay(site: Site) -> None:
    """A slow listener takes at least its delay for the banner and for each reply."""
    port = await site.listen(Listener(delay=0.05))

    def work() -> float:
        start = time.monotonic()
        with site.logged_in(port):
            return time.monotonic() - start

    assert await away(work) >= 5 * 0.05


async def test_closing_cuts_connections_in_every_state(site: Site) -> None:
    """Closing the service ends idle, waiting, handshaking and logged-in sessions alike."""
    kinds = (Listener(), Listener(delay=3600), Listener(implicit_tls=True))
    port, silent, implicit = [await site.listen(kind) for kind in kinds]

    def open_all() -> list[socket.socket]:
        bare = [socket.create_connection(("localhost", port), 5) for _ in range(2)]
        bare[0].sendall(b"EHLO x\r\nSTARTTLS\r\n")
        while b"220 2.0.0" not in bare[0].recv(1000):
            pass
        return [*bare, *(socket.create_connection(("localhost", each), 5) for each in (silent, implicit))]

    sockets = await away(open_all)
    await asyncio.wait_for(site.exchange.close(), HANG_SECONDS)

    def drain() -> None:
        for one in sockets:
            with one:
                try:
                    while one.recv(1000):
                        pass
                except ConnectionResetError:
                    pass

    await asyncio.wait_for(away(drain), HANG_SECONDS)
    assert len(asyncio.all_tasks()) == 1
