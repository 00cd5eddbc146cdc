"""smtplib and bare sockets hold the sandbox's other SMTP server to Gmail's answers."""

import asyncio
import base64
import json
import re
import smtplib
import ssl
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from smtpcheck.sandbox import gmail_replies
from smtpcheck.sandbox.certificates import Authority, Certificate
from smtpcheck.sandbox.gmail import MECHANISMS, Gmail
from smtpcheck.sandbox.google import GoogleIssuer
from smtpcheck.sandbox.google_accounts import MAIL_SCOPE, GoogleUser
from smtpcheck.sandbox.mail_service import Mailbox, Message
from smtpcheck.sandbox.smtp_session import Listener

ANNA, BEN = "anna@contoso.example", "ben@contoso.example"
MARK = r" [0-9a-f]{14}-[0-9a-f]{12}sm[0-9]+\.1 - gsmtp"
STARTTLS, IMPLICIT = Listener(mechanisms=MECHANISMS), Listener(mechanisms=MECHANISMS, implicit_tls=True)


class Site:
    """A running service for two mailboxes, on both of Gmail's kinds of port."""

    def __init__(self, ca_file: Path) -> None:
        self.trust = ssl.create_default_context(cafile=str(ca_file))
        self.issuer = GoogleIssuer([GoogleUser(ANNA), GoogleUser(BEN)])
        self.ahead = 0.0
        self.issuer.clock = lambda: time.time() + self.ahead
        self.gmail = Gmail(self.issuer, [Mailbox(ANNA), Mailbox(BEN)])
        self.ports: dict[Listener, int] = {}

    def connect(self, listener: Listener = STARTTLS) -> smtplib.SMTP:
        """Return a client in TLS, after EHLO."""
        port = self.ports[listener]
        if listener.implicit_tls:
            smtp: smtplib.SMTP = smtplib.SMTP_SSL("localhost", port, "client.example", context=self.trust, timeout=5)
        else:
            smtp = smtplib.SMTP("localhost", port, "client.example", timeout=5)
            smtp.starttls(context=self.trust)
        smtp.ehlo()
        return smtp

    def login(self, token: str, user: str = ANNA, mechanism: str = "XOAUTH2") -> list[str]:
        """Return the replies to a login, the challenge decoded, as one client sees them."""
        with self.connect() as smtp:
            return talk(smtp, mechanism, sasl(mechanism, user, token))

    async def talk(self, token: str, user: str = ANNA, mechanism: str = "XOAUTH2") -> list[str]:
        return await asyncio.to_thread(self.login, token, user, mechanism)


def sasl(mechanism: str, user: str, token: str) -> str:
    bearer = {
        "XOAUTH2": f"user={user}\x01auth=Bearer {token}\x01\x01",
        "OAUTHBEARER": f"n,a={user},\x01host=smtp.gmail.com\x01port=587\x01auth=Bearer {token}\x01\x01",
        "PLAIN": f"\0{user}\0{token}",
    }
    return base64.b64encode(bearer[mechanism].encode()).decode()


def talk(smtp: smtplib.SMTP, mechanism: str, initial: str, dummy: str | None = None) -> list[str]:
    code, text = smtp.docmd(f"AUTH {mechanism}", initial)
    seen = [f"{code} {base64.b64decode(text).decode() if code == 334 else text.decode()}"]
    if code == 334:
        answer = {"XOAUTH2": "", "OAUTHBEARER": "AQ=="}[mechanism] if dummy is None else dummy
        code, text = smtp.docmd(answer)
        seen.append(f"{code} {text.decode()}")
    return [re.sub(f"{MARK}$", "", line) for line in seen]


@pytest.fixture
async def site(tmp_path: Path) -> AsyncIterator[Site]:
    authority = Authority()
    ca_file = tmp_path / "ca.pem"
    ca_file.write_bytes(authority.pem)
    site = Site(ca_file)
    context = authority.server_context(Certificate.VALID)
    site.ports = {listener: await site.gmail.listen(listener, context) for listener in (STARTTLS, IMPLICIT)}
    try:
        yield site
    finally:
        await site.gmail.close()


def refused(status: str) -> list[str]:
    challenge = {"status": status, "schemes": "Bearer", "scope": "https://mail.google.com/"}
    return [
        f"334 {json.dumps(challenge, separators=(',', ':'))}",
        (
            "535 5.7.8 Username and Password not accepted. For more information, go to\n"
            "5.7.8  https://support.google.com/mail/?p=BadCredentials"
        ),
    ]


@pytest.mark.parametrize("listener", [STARTTLS, IMPLICIT])
async def test_banner_and_extensions_are_gmails(site: Site, listener: Listener) -> None:
    """Name, mark and EHLO are those of smtp.gmail.com, on both kinds of port."""

    def work() -> tuple[str, list[str]]:
        port = site.ports[listener]
        smtp = smtplib.SMTP_SSL(context=site.trust, timeout=5) if listener.implicit_tls else smtplib.SMTP(timeout=5)
        smtp._host = "localhost"  # type: ignore[attr-defined]
        code, banner = smtp.connect("localhost", port)
        with smtp:
            smtp.ehlo("client.example")
            assert smtp.ehlo_resp is not None
            return f"{code} {banner.decode()}", smtp.ehlo_resp.decode().splitlines()

    banner, lines = await asyncio.to_thread(work)
    assert re.fullmatch(f"220 smtp.gmail.com ESMTP{MARK}", banner)
    middle = "AUTH LOGIN PLAIN XOAUTH2 PLAIN-CLIENTTOKEN OAUTHBEARER XOAUTH" if listener.implicit_tls else "STARTTLS"
    assert lines == [
        "smtp.gmail.com at your service, [127.0.0.1]",
        "SIZE 35882577",
        "8BITMIME",
        middle,
        "ENHANCEDSTATUSCODES",
        "PIPELINING",
        "CHUNKING",
        "SMTPUTF8",
    ]


@pytest.mark.parametrize("mechanism", ["XOAUTH2", "OAUTHBEARER"])
async def test_the_token_of_a_user_opens_the_own_mailbox(site: Site, mechanism: str) -> None:
    """A token of the right user with the right scope logs in, by both mechanisms."""
    token = site.issuer.mint(ANNA, [MAIL_SCOPE])
    assert await site.talk(token, mechanism=mechanism) == ["235 2.7.0 Accepted"]


async def test_a_name_may_be_escaped(site: Site) -> None:
    """In OAUTHBEARER comma and equals sign stand as =2C and =3D (RFC 5801 section 4)."""
    odd = "a,=b@contoso.example"
    site.gmail.mailboxes[odd] = Mailbox(odd)
    token = site.issuer.mint(odd, [MAIL_SCOPE])
    assert await site.talk(token, "a=2C=3Db@contoso.example", "OAUTHBEARER") == ["235 2.7.0 Accepted"]


@pytest.mark.parametrize("mechanism", ["XOAUTH2", "OAUTHBEARER"])
async def test_a_refusal_is_a_challenge_and_then_535(site: Site, mechanism: str) -> None:
    """Wrong scope, wrong user, unknown mailbox and garbage are 400 in the challenge, a token at its end is 401."""
    good = site.issuer.mint(ANNA, [MAIL_SCOPE])
    narrow = site.issuer.mint(ANNA, ["https://www.googleapis.com/auth/gmail.send"])
    stranger = site.issuer.mint("cleo@contoso.example", [MAIL_SCOPE])
    attempts = [(narrow, ANNA), (good, BEN), (stranger, "cleo@contoso.example"), ("ya29.x", ANNA), ("", ANNA)]
    for token, user in attempts:
        assert await site.talk(token, user, mechanism) == refused("400")
    site.ahead = 3600
    assert await site.talk(good, mechanism=mechanism) == refused("401")


async def test_a_good_token_after_a_bad_one_works(site: Site) -> None:
    """The connection stays usable after a refusal."""
    bad, good = sasl("XOAUTH2", ANNA, "ya29.x"), sasl("XOAUTH2", ANNA, site.issuer.mint(ANNA, [MAIL_SCOPE]))

    def work() -> list[str]:
        with site.connect() as smtp:
            return [*talk(smtp, "XOAUTH2", bad), *talk(smtp, "XOAUTH2", good)]

    assert await asyncio.to_thread(work) == [*refused("400"), "235 2.7.0 Accepted"]


async def test_a_cancelled_login_is_501(site: Site) -> None:
    """An asterisk in answer to the challenge hides the 535."""

    def work() -> str:
        with site.connect() as smtp:
            return talk(smtp, "XOAUTH2", sasl("XOAUTH2", ANNA, "ya29.x"), dummy="*")[1]

    assert (await asyncio.to_thread(work)).startswith("501 5.5.2")


async def test_passwords_and_old_mechanisms_are_refused(site: Site) -> None:
    """A password needs to be one for an application, and what nobody speaks any more is unrecognised."""

    def work() -> list[int]:
        with site.connect() as smtp:
            return [smtp.docmd("AUTH PLAIN", sasl("PLAIN", ANNA, "password"))[0], smtp.docmd("AUTH XOAUTH", "eA==")[0]]

    assert await asyncio.to_thread(work) == [534, 504]


async def test_the_mailbox_names_what_it_refuses(site: Site) -> None:
    """What a mailbox refuses after a good login has all of its lines and the mark."""
    site.gmail.mailboxes[ANNA] = Mailbox(
        ANNA, {"AUTH": gmail_replies.TOO_MANY_LOGINS, "DATA": gmail_replies.DAILY_LIMIT}
    )
    assert await site.talk(site.issuer.mint(ANNA, [MAIL_SCOPE])) == [gmail_replies.TOO_MANY_LOGINS]
    site.gmail.mailboxes[ANNA] = Mailbox(ANNA, {"DATA": gmail_replies.DAILY_LIMIT})
    token = site.issuer.mint(ANNA, [MAIL_SCOPE])

    def work() -> str:
        with site.connect() as smtp:
            talk(smtp, "XOAUTH2", sasl("XOAUTH2", ANNA, token))
            with pytest.raises(smtplib.SMTPDataError) as caught:
                smtp.sendmail(ANNA, [BEN], "Subject: x\r\n\r\nx\r\n")
            assert isinstance(caught.value.smtp_error, bytes)
            return f"{caught.value.smtp_code} {caught.value.smtp_error.decode()}"

    refusal = await asyncio.to_thread(work)
    assert re.fullmatch(r"550 5\.4\.5 Daily user sending limit exceeded(.|\n)*" + MARK, refusal)


async def test_a_message_is_kept_whatever_its_sender(site: Site) -> None:
    """Gmail takes a foreign sender, and the envelope is kept as it came."""
    token = site.issuer.mint(ANNA, [MAIL_SCOPE])

    def work() -> tuple[int, str]:
        with site.connect(IMPLICIT) as smtp:
            talk(smtp, "XOAUTH2", sasl("XOAUTH2", ANNA, token))
            smtp.mail("board@contoso.example")
            smtp.rcpt(BEN)
            code, text = smtp.data(b"Subject: x\r\n\r\nx\r\n")
            return code, text.decode()

    code, text = await asyncio.to_thread(work)
    assert (code, bool(re.fullmatch(r"2\.0\.0 OK [0-9]{10}" + MARK, text))) == (250, True)
    expected = Message(ANNA, "board@contoso.example", (BEN,), b"Subject: x\r\n\r\nx\r\n")
    assert list(site.gmail.messages) == [expected]


async def test_a_login_needs_tls(site: Site) -> None:
    """In clear neither AUTH nor MAIL is taken, and MAIL without a login is not either."""

    def work() -> list[str]:
        with smtplib.SMTP("localhost", site.ports[STARTTLS], "client.example", timeout=5) as smtp:
            smtp.ehlo()
            clear = [smtp.docmd("AUTH XOAUTH2", "eA=="), smtp.docmd("MAIL FROM:<a@b.example>")]
            smtp.starttls(context=site.trust)
            smtp.ehlo()
            answers = [*clear, smtp.docmd("MAIL FROM:<a@b.example>")]
            return [f"{code} {text.decode()[:5]}" for code, text in answers]

    assert await asyncio.to_thread(work) == ["504 5.7.4", "530 5.7.0", "530 5.7.0"]


@pytest.mark.parametrize(
    ("mailbox", "password", "last"),
    [
        (Mailbox(ANNA), "x", gmail_replies.APP_PASSWORD_REQUIRED),
        (Mailbox(ANNA, {"PASSWORD": gmail_replies.TOO_MANY_LOGINS}), "x", gmail_replies.TOO_MANY_LOGINS),
        (Mailbox(ANNA, password="app password"), "x", gmail_replies.AUTH_UNSUCCESSFUL),
        (Mailbox(ANNA, password="app password"), "app password", gmail_replies.AUTH_OK),
    ],
)
async def test_an_app_password_opens_a_mailbox_and_another_one_does_not(
    site: Site, mailbox: Mailbox, password: str, last: str
) -> None:
    site.gmail.mailboxes[ANNA] = mailbox
    (said,) = await site.talk(password, mechanism="PLAIN")
    assert re.sub(MARK, "", said) == re.sub(r"\n\d{3}[ -]", "\n", last).replace("-", " ", 1)
