"""The report of availability as a page and as CSV."""

from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path

import pytest

from smtpcheck.config.settings import AgentSettings
from smtpcheck.diagnosis.catalogue import Catalogue
from tests.state.test_availability_report import CHECKS, kept
from tests.state.test_availability_report import NOW as NOON
from tests.web.conftest import Client
from tests.web.world import NOW, World, settings

Connect = Callable[[World], Awaitable[Client]]


@pytest.fixture
async def client(tmp_path: Path, catalogue: Catalogue, connect: Connect) -> Client:
    await kept(tmp_path)
    wanted = replace(settings(*CHECKS), agent=AgentSettings(("127.0.0.1", 0), tmp_path))
    return await connect(World(wanted, catalogue))


async def test_the_page_has_checks_groups_outages_and_silences(client: Client) -> None:
    assert 0 <= NOW - NOON < 86400
    text = await (await client.get("/report", headers={"Accept": "text/html"})).text()
    for words in ("Availability over 30 days", "team=finance", "secret expired", "anna", "by eve"):
        assert words in text


async def test_the_csv_is_a_download(client: Client) -> None:
    answer = await client.get("/report.csv?days=7")
    assert answer.content_type == "text/csv"
    assert "attachment" in answer.headers["Content-Disposition"]
    assert (await answer.text()).splitlines()[1].startswith("all,all checks,3,0.65")


@pytest.mark.parametrize("days", ["0", "91", "x", "-1", "9" * 30])
async def test_days_are_from_one_to_ninety(client: Client, days: str) -> None:
    assert (await client.get(f"/report?days={days}")).status == 400


async def test_without_a_state_file_it_says_so(catalogue: Catalogue, connect: Connect, tmp_path: Path) -> None:
    wanted = replace(settings(*CHECKS), agent=AgentSettings(("127.0.0.1", 0), tmp_path))
    answer = await (await connect(World(wanted, catalogue))).get("/report")
    assert (answer.status, "there is no state file" in await answer.text()) == (503, True)
