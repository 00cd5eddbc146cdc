"""The sandbox's mailboxes show to imaplib and to plain HTTP what SMTP has put into them, as the real services do."""

import asyncio
import imaplib
import json
import smtplib
import ssl
import urllib.error
import urllib.request
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import quote

import pytest

from smtpcheck.sandbox.imap_syntax import search_test, words
from smtpcheck.sandbox.mail_store import Delivery, Stored, Use
from smtpcheck.sandbox.scenario import CONTOSO_MAIL, RECIPIENT, Scenario
from smtpcheck.sandbox.world import World
from tests.worlds.waiting import until

T = TypeVar("T")
GRAPH = "https://graph.microsoft.com"
RESULTS = "mx.contoso.example; spf=pass"
SCENARIOS = (
    Scenario("at-once", "It arrives.", registration=CONTOSO_MAIL),
    Scenario("in-junk", "It is taken for junk.", registration=CONTOSO_MAIL, delivery=Delivery(folder=Use.JUNK)),
    Scenario("twice", "It arrives twice.", registration=CONTOSO_MAIL, delivery=Delivery(copies=2)),
    Scenario("lost", "It never arrives.", registration=CONTOSO_MAIL, delivery=Delivery(copies=0)),
    Scenario("late", "It takes its time.", registration=CONTOSO_MAIL, delivery=Delivery(delay=0.1)),
    Scenario("judged", "It is judged.", registration=CONTOSO_MAIL, delivery=Delivery(authentication=RESULTS)),
)


class Client:
    """Plain clients of the world."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.trust = ssl.create_default_context(cafile=str(world.ca_file))
        self.port = next(iter(world.ports.values()))

    async def run(self, work: Callable[[], T]) -> T:
        return await asyncio.to_thread(work)

    def send(self, name: str, content: str = "Subject: hello\n\nHi.\n") -> None:
        sender = f"{name}@contoso.example"
        with smtplib.SMTP("localhost", self.port, "client.example", timeout=5) as smtp:
            smtp.starttls(context=self.trust)
            smtp.ehlo()
            message = f"user={sender}\x01auth=Bearer {self.token()}\x01\x01"
            smtp.auth("XOAUTH2", lambda challenge=None: message if challenge is None else "")
            smtp.sendmail(sender, [RECIPIENT], f"From: {sender}\n{content}")

    def token(self, **claims: object) -> str:
        roles = ["SMTP.SendAsApp", "IMAP.AccessAsApp"]
        return self.world.issuer.mint(**{"tid": self.world.issuer.tenants[0].id, "roles": roles, **claims})

    def imap(self, token: str | None = None) -> imaplib.IMAP4_SSL:
        message = f"user={RECIPIENT}\x01auth=Bearer {token or self.token()}\x01\x01"
        client = imaplib.IMAP4_SSL("localhost", self.world.imap_port, ssl_context=self.trust, timeout=5)
        try:
            client.authenticate("XOAUTH2", lambda _: message.encode())
        except imaplib.IMAP4.error:
            client.shutdown()
            raise
        return client

    def graph(self, path: str, *, method: str = "GET", **claims: object) -> tuple[int, Any]:
        token = self.token(**{"aud": GRAPH, "roles": ["Mail.ReadWrite"], **claims})
        url = f"{self.world.issuer.url}v1.0/users/{RECIPIENT}{path}"
        request = urllib.request.Request(url, method=method, headers={"Authorization": f"Bearer {token}"})
        try:
            with urllib.request.urlopen(request, timeout=5, context=self.trust) as answer:
                status, body = answer.status, answer.read()
        except urllib.error.HTTPError as refused:
            with refused:
                status, body = refused.code, refused.read()
        return status, json.loads(body) if body else None


@pytest.fixture
async def client(tmp_path: Path) -> AsyncIterator[Client]:
    async with World(tmp_path, SCENARIOS) as world:
        yield Client(world)


def lying(client: Client) -> dict[str, int]:
    box = client.world.store.box(RECIPIENT)
    return {use.value: len(folder.messages) for use, folder in box.folders.items() if folder.messages}


@pytest.mark.parametrize(
    ("name", "expected"),
    [("at-once", {"inbox": 1}), ("in-junk", {"junkemail": 1}), ("twice", {"inbox": 2}), ("lost", {})],
)
async def test_a_message_goes_the_way_of_its_scenario(client: Client, name: str, expected: dict[str, int]) -> None:
    await client.run(lambda: client.send(name))
    assert lying(client) == expected
    sent = client.world.store.box(f"{name}@contoso.example").folders[Use.SENT].messages
    assert [message.content.endswith(b"Hi.\r\n") for message in sent] == [True]


async def test_a_late_message_arrives_all_the_same(client: Client) -> None:
    await client.run(lambda: client.send("late"))
    await until(lambda: lying(client))
    assert lying(client) == {"inbox": 1}


async def test_nothing_is_under_way_in_a_world_that_is_closed(tmp_path: Path) -> None:
    async with World(tmp_path, [Scenario("slow", "It takes an hour.", delivery=Delivery(delay=3600.0))]) as world:
        client = Client(world)
        await client.run(lambda: client.send("slow"))
        assert len(world.store._under_way) == 1
    assert world.store._under_way == set()


async def test_a_delivered_message_bears_two_hops_and_the_judgement_of_the_receiver(client: Client) -> None:
    await client.run(lambda: client.send("judged"))
    (stored,) = client.world.store.box(RECIPIENT).folders[Use.INBOX].messages
    names = [name for name, _ in stored.header]
    latency = "X-MS-Exchange-Transport-EndToEndLatency"
    assert names == ["Authentication-Results", "Received", "Received", latency, "Message-ID", "From", "Subject"]


async def test_imaplib_reads_marks_and_removes(client: Client) -> None:
    def talk() -> tuple[object, ...]:
        for _ in range(3):
            client.send("at-once")
        imap = client.imap()
        folders = imap.list()[1]
        selected = imap.select()
        found = imap.uid("SEARCH", "SINCE", "1-Jan-2020", "OR", "HEADER", "Subject", '"HELL"', "NOT", "DELETED")
        fetched = imap.uid("FETCH", "2", "(INTERNALDATE BODY.PEEK[HEADER.FIELDS (SUBJECT)])")[1][0]
        imap.uid("STORE", "1:2", "+FLAGS", "(\\Deleted)")
        imap.uid("EXPUNGE", "2")
        left = imap.uid("SEARCH", "ALL")[1]
        imap.expunge()
        imap.logout()
        return folders, selected, found, fetched, left

    folders, selected, found, fetched, left = await client.run(talk)
    assert isinstance(folders, list) and b'(\\HasNoChildren \\Junk) "/" "Junk Email"' in folders
    assert (selected, found, left) == (("OK", [b"3"]), ("OK", [b"1 2 3"]), [b"1 3"])
    assert isinstance(fetched, tuple) and fetched[1] == b"Subject: hello\r\n\r\n"
    assert lying(client) == {"inbox": 1}


@pytest.mark.parametrize(
    "claims", [{"roles": ["SMTP.SendAsApp"]}, {"aud": GRAPH}, {"roles": None, "scp": "IMAP.AccessAsUser.All"}]
)
async def test_imap_takes_no_token_for_something_else(client: Client, claims: dict[str, object]) -> None:
    def talk() -> None:
        with pytest.raises(imaplib.IMAP4.error, match=r"AUTHENTICATE failed\."):
            client.imap(client.token(**claims))

    await client.run(talk)


async def test_a_mailbox_without_a_right_takes_the_login_and_nothing_else(client: Client) -> None:
    client.world.authenticator.closed.add(RECIPIENT)

    def talk() -> None:
        imap = client.imap()
        with pytest.raises(imaplib.IMAP4.error, match="authenticated but not connected"):
            imap.select()
        imap.shutdown()

    await client.run(talk)


async def test_graph_filters_and_pages(client: Client) -> None:
    wanted = quote("internetMessageId eq '<3@x>'")

    def talk() -> tuple[Any, ...]:
        for number in range(12):
            client.send("at-once", f"Message-ID: <{number}@x>\nSubject: hello\n\nHi.\n")
        one = client.graph(f"/mailFolders/inbox/messages?$filter={wanted}&$select=id,subject")
        several = client.graph("/messages?$select=internetMessageId&$top=50")
        junk = client.graph("/mailFolders/junkemail/messages?$select=id")
        return one, several, junk

    one, several, junk = await client.run(talk)
    assert [entry["subject"] for entry in one[1]["value"]] == ["hello"]
    assert len(several[1]["value"]) == 10 and "skip=10" in several[1]["@odata.nextLink"]
    assert (junk[0], junk[1]["value"]) == (200, [])


@pytest.mark.parametrize(
    ("path", "method", "claims", "expected"),
    [
        ("/messages", "GET", {"aud": "https://outlook.office365.com"}, (401, "InvalidAuthenticationToken")),
        ("/messages", "GET", {"roles": ["Mail.Send"]}, (403, "ErrorAccessDenied")),
        ("/messages/x", "DELETE", {"roles": ["Mail.Read"]}, (403, "ErrorAccessDenied")),
        ("/messages/x", "DELETE", {}, (404, "ErrorItemNotFound")),
        ("/messages/x/permanentDelete", "POST", {}, (404, "ErrorItemNotFound")),
        ("/mailFolders/nowhere/messages", "GET", {}, (404, "ErrorItemNotFound")),
        ("/messages?$filter=from%20eq%201%20xor%202", "GET", {}, (400, "BadRequest")),
    ],
)
async def test_graph_refuses_in_its_own_form(
    client: Client, path: str, method: str, claims: dict[str, object], expected: tuple[int, str]
) -> None:
    answer = await client.run(lambda: client.graph(path, method=method, **claims))
    assert (answer[0], answer[1]["error"]["code"]) == expected


@pytest.mark.parametrize("command", [b"(", b"a)", b'"open'])
def test_what_is_no_imap_is_not_understood(command: bytes) -> None:
    with pytest.raises((ValueError, IndexError)):
        words([command])


def test_criteria_that_are_none_are_not_understood() -> None:
    for criteria in (["SUBJECT"], ["XYZZY"], ["SINCE", "yesterday"]):
        with pytest.raises(ValueError):
            search_test([*criteria])
    assert search_test(["CHARSET", "US-ASCII", "ALL"])(Stored(1, "a", b"", 0.0))
