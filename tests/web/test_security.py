"""Who may act, who may read, and what a page may load."""

import re
from collections.abc import Awaitable, Callable
from dataclasses import replace

import pytest

from smtpcheck.web.security import is_allowed_host
from tests.web.conftest import Client
from tests.web.world import World

PAGES = ("/", "/checks/billing", "/checks/orders", "/checks/scanner", "/checks/nobody")


def _origin(client: Client) -> str:
    return f"http://{client.host}:{client.port}"


@pytest.mark.parametrize("path", ["/-/reload", "/api/v1/checks/billing/run"])
@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Sec-Fetch-Site": "none"},
        {"Origin": "https://evil.example", "Sec-Fetch-Site": "cross-site"},
    ],
)
async def test_a_foreign_page_cannot_act(client: Client, world: World, path: str, headers: dict[str, str]) -> None:
    answer = await client.post(path, headers=headers)
    assert (answer.status, world.asked) == (403, [])


async def test_our_own_page_and_a_plain_client_can_act(client: Client, world: World) -> None:
    """A client that sends neither Origin nor Sec-Fetch-Site is no browser."""
    for headers in ({}, {"Origin": _origin(client)}, {"Origin": _origin(client), "Sec-Fetch-Site": "same-origin"}):
        assert (await client.post("/-/reload", headers=headers)).status == 200
    assert world.asked == ["reload"] * 3


@pytest.mark.parametrize("path", [*PAGES, "/metrics", "/api/v1/checks", "/-/healthy"])
async def test_a_rebound_name_is_answered_nothing(client: Client, path: str) -> None:
    """A foreign name that was made to resolve to 127.0.0.1 is refused whatever it asks for."""
    answer = await client.get(path, headers={"Host": "evil.example:9587"})
    assert answer.status == 421
    assert "billing" not in await answer.text()


@pytest.mark.parametrize(
    ("host", "allowed"),
    [
        ("127.0.0.1:9587", True),
        ("[::1]:9587", True),
        ("192.0.2.7:9587", True),
        ("localhost:9587", True),
        ("LOCALHOST", True),
        ("agent.localhost.", True),
        ("smtpcheck:9587", True),
        ("smtpcheck-0.smtpcheck.monitoring.svc:9587", True),
        ("status.example.org:443", True),
        ("STATUS.example.org.", True),
        ("evil.example", False),
        ("localhost.evil.example", False),
        ("127.0.0.1.evil.example", False),
        ("evilsvc.example", False),
        ("", False),
    ],
)
def test_which_hosts_are_allowed(host: str, allowed: bool) -> None:
    assert is_allowed_host(host, ["status.example.org"]) is allowed


async def test_a_name_is_allowed_by_the_external_url(
    world: World, connect: Callable[[World], Awaitable[Client]]
) -> None:
    agent = replace(world.settings.agent, external_url="https://status.example.org/mail")
    client = await connect(replace(world, settings=replace(world.settings, agent=agent)))
    hosts = ("status.example.org", "other.example.org")
    assert [(await client.get("/", headers={"Host": host})).status for host in hosts] == [200, 421]


async def test_a_page_on_another_port_of_our_host_cannot_act(client: Client, world: World) -> None:
    for origin in (f"http://{client.host}", f"http://{client.host}:{(client.port or 0) + 1}"):
        assert (await client.post("/-/reload", headers={"Origin": origin})).status == 403
    assert world.asked == []


@pytest.mark.parametrize("path", [*PAGES, "/static/style.css", "/metrics", "/api/v1/checks", "/nowhere"])
async def test_every_answer_bears_the_strict_policy(client: Client, path: str) -> None:
    headers = (await client.get(path, headers={"Accept": "text/html"})).headers
    assert headers["Content-Security-Policy"] == (
        "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; connect-src 'self'; "
        "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    )
    assert (headers["X-Content-Type-Options"], headers["X-Frame-Options"]) == ("nosniff", "DENY")


@pytest.mark.parametrize("path", PAGES)
async def test_no_page_has_anything_inline_or_from_elsewhere(client: Client, path: str) -> None:
    page = await (await client.get(path, headers={"Accept": "text/html"})).text()
    inline = r"\sstyle=|<style|\son[a-z]+=|<script(?! src=)"
    elsewhere = r'(?:src|action)="(?!/)|<link[^>]*href="(?!/)'
    assert (page.count("<main"), re.findall(f"{inline}|{elsewhere}", page)) == (1, [])
