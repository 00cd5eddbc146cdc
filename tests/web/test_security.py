"""Who may act, who may read, and what a page may load."""

import re

import pytest

from smtpcheck.web.security import host_is_ours
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
    ("host", "local", "named", "ours"),
    [
        ("127.0.0.1:9587", "127.0.0.1", "", True),
        ("[::1]:9587", "::1", "", True),
        ("localhost:9587", "127.0.0.1", "", True),
        ("LOCALHOST", "127.0.0.1", "", True),
        ("agent.localhost.", "127.0.0.1", "", True),
        ("evil.example", "127.0.0.1", "", False),
        ("evil.example", "::ffff:127.0.0.1", "", False),
        ("localhost.evil.example", "127.0.0.1", "", False),
        ("127.0.0.1.evil.example", "127.0.0.1", "", False),
        ("status.example.org:443", "127.0.0.1", "status.example.org", True),
        ("", "127.0.0.1", "", False),
        ("smtpcheck:9587", "172.17.0.2", "", True),
    ],
)
def test_which_hosts_are_ours(host: str, local: str, named: str, ours: bool) -> None:
    assert host_is_ours(host, local, named) is ours


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
