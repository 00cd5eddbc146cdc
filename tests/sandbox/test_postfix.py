"""smtplib holds the sandbox's server of one's own to what Postfix says: passwords, senders, relaying."""

import asyncio
import base64
import smtplib
import ssl
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from smtpcheck.sandbox.certificates import Authority, Certificate
from smtpcheck.sandbox.mail_service import Mailbox, Message
from smtpcheck.sandbox.postfix import Postfix
from smtpcheck.sandbox.scenario import POSTFIX

ANNA, BOARD, FAR = "anna@contoso.example", "board@contoso.example", "far@elsewhere.example"
MESSAGE = f"From: {ANNA}\r\n\r\nhello\r\n"


class Site:
    """A running service for one mailbox."""

    def __init__(self, postfix: Postfix, port: int, trust: ssl.SSLContext) -> None:
        self.postfix, self.port, self.trust = postfix, port, trust

    async def say(self, *lines: str) -> list[str]:
        """Return the replies to lines that a client says in TLS, after EHLO."""

        def work() -> list[str]:
            with smtplib.SMTP("localhost", self.port, "client.example", timeout=5) as smtp:
                smtp.starttls(context=self.trust)
                smtp.ehlo()
                answers = [smtp.docmd(line) for line in lines]
            return [f"{code} {text.decode()}" for code, text in answers]

        return await asyncio.to_thread(work)

    async def use(self, work: Callable[[smtplib.SMTP], object]) -> object:
        """Return what comes of a client's work after its login."""

        def all_of_it() -> object:
            with smtplib.SMTP("localhost", self.port, "client.example", timeout=5) as smtp:
                smtp.starttls(context=self.trust)
                smtp.login(ANNA, "right")
                return work(smtp)

        return await asyncio.to_thread(all_of_it)


@pytest.fixture
async def site(tmp_path: Path) -> AsyncIterator[Site]:
    authority = Authority()
    (tmp_path / "ca.pem").write_bytes(authority.pem)
    postfix = Postfix("contoso.example", [Mailbox(ANNA, password="right")])
    port = await postfix.listen(POSTFIX, authority.server_context(Certificate.VALID))
    yield Site(postfix, port, ssl.create_default_context(cafile=str(tmp_path / "ca.pem")))
    await postfix.close()


def plain(user: str, password: str) -> str:
    response = f"\0{user}\0{password}"
    return f"AUTH PLAIN {base64.b64encode(response.encode()).decode()}"


@pytest.mark.parametrize(
    ("line", "last"),
    [
        (plain(ANNA, "right"), "235 2.7.0 Authentication successful"),
        (plain(ANNA, "wrong"), "535 5.7.8 Error: authentication failed: (reason unavailable)"),
        (plain(ANNA, ""), "535 5.7.8 Error: authentication failed: (reason unavailable)"),
        (plain(BOARD, "right"), "535 5.7.8 Error: authentication failed: (reason unavailable)"),
        ("AUTH PLAIN bm8=", "535 5.7.8 Error: authentication failed: Invalid base64 data in continued response"),
        ("AUTH XOAUTH2 eA==", "535 5.7.8 Error: authentication failed: Invalid authentication mechanism"),
    ],
)
async def test_only_the_right_password_opens_the_mailbox(site: Site, line: str, last: str) -> None:
    assert await site.say(line) == [last]


async def test_login_by_login_and_a_message_of_ones_own(site: Site) -> None:
    def work(smtp: smtplib.SMTP) -> object:
        return smtp.sendmail(ANNA, [FAR], MESSAGE)

    assert await site.use(work) == {}
    assert list(site.postfix.messages) == [Message(ANNA, ANNA, (FAR,), MESSAGE.encode())]
    user, password = (base64.b64encode(text.encode()).decode() for text in (ANNA, "right"))
    assert (await site.say("AUTH LOGIN", user, password))[-1] == "235 2.7.0 Authentication successful"


async def test_without_a_login_mail_goes_to_its_own_domain_alone(site: Site) -> None:
    said = await site.say("MAIL FROM:<x@y.example>", f"RCPT TO:<{FAR}>", f"RCPT TO:<{ANNA}>")
    assert said == ["250 2.1.0 Ok", f"554 5.7.1 <{FAR}>: Relay access denied", "250 2.1.5 Ok"]


async def test_a_sender_must_be_the_mailboxs_own_or_allowed(site: Site) -> None:
    lines = (plain(ANNA, "right"), f"MAIL FROM:<{BOARD}>", f"RCPT TO:<{ANNA}>")
    refused = f"553 5.7.1 <{BOARD}>: Sender address rejected: not owned by user {ANNA}"
    assert (await site.say(*lines))[-1] == refused
    site.postfix.mailboxes[ANNA] = Mailbox(ANNA, password="right", send_as=frozenset({BOARD}))
    assert (await site.say(*lines))[-1] == "250 2.1.5 Ok"


@pytest.mark.parametrize(("verb", "place"), [("AUTH", 0), ("MAIL", 1), ("RCPT", 2)])
async def test_a_mailbox_refuses_where_its_data_says(site: Site, verb: str, place: int) -> None:
    site.postfix.mailboxes[ANNA] = Mailbox(ANNA, {verb: "550 5.7.1 no"}, password="right")
    said = await site.say(plain(ANNA, "right"), f"MAIL FROM:<{ANNA}>", f"RCPT TO:<{ANNA}>")
    assert [line == "550 5.7.1 no" for line in said].index(True) == place


async def test_a_mailbox_refuses_the_message(site: Site) -> None:
    site.postfix.mailboxes[ANNA] = Mailbox(ANNA, {"DATA": "552 5.3.4 no"}, password="right")

    def work(smtp: smtplib.SMTP) -> object:
        smtp.mail(ANNA)
        smtp.rcpt(FAR)
        return smtp.data(MESSAGE)

    assert await site.use(work) == (552, b"5.3.4 no")
    assert not site.postfix.messages
