"""File descriptors: what the checks need is kept from the page."""

import resource
from pathlib import Path

import pytest
import structlog

from smtpcheck.cli.descriptors import needed_by_checks, reserve_descriptors
from smtpcheck.config.settings import AgentSettings, Settings
from smtpcheck.web.connections import MOST_CONNECTIONS
from tests.web.world import check


@pytest.fixture
def settings() -> Settings:
    agent = AgentSettings(listen=("127.0.0.1", 0), state=Path("unused"), max_open_connections=100)
    return Settings(agent=agent, checks=tuple(check(f"check{number}") for number in range(500)))


@pytest.fixture
def limits(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, int]]:
    """Return the limits that were set; the first is what there is at the start."""
    known: list[tuple[int, int]] = []
    monkeypatch.setattr(resource, "getrlimit", lambda _: known[-1])
    monkeypatch.setattr(resource, "setrlimit", lambda _, limit: known.append(limit))
    return known


def test_the_limit_is_raised_to_what_the_configuration_needs(settings: Settings, limits: list[tuple[int, int]]) -> None:
    limits.append((256, 4096))
    assert reserve_descriptors(settings) == MOST_CONNECTIONS
    assert limits[1:] == [(needed_by_checks(settings) + MOST_CONNECTIONS, 4096)]


def test_where_the_system_allows_fewer_the_page_gets_what_the_checks_leave(
    settings: Settings, limits: list[tuple[int, int]]
) -> None:
    needed = needed_by_checks(settings)
    limits.append((256, needed + 50))
    with structlog.testing.capture_logs() as lines:
        assert reserve_descriptors(settings) == 50
    assert [(line["log_level"], line["limit"]) for line in lines] == [("warning", needed + 50)]


def test_the_page_always_gets_a_few(settings: Settings, limits: list[tuple[int, int]]) -> None:
    limits.append((100, 100))
    assert reserve_descriptors(settings) == 8


def test_an_ample_limit_stays(settings: Settings, limits: list[tuple[int, int]]) -> None:
    limits.append((resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    assert (reserve_descriptors(settings), len(limits)) == (MOST_CONNECTIONS, 1)
