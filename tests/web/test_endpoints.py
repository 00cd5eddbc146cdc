"""What Prometheus and an orchestrator ask."""

import pytest

from smtpcheck.config.problems import Problem
from tests.web.conftest import Client
from tests.web.world import World


@pytest.mark.parametrize(
    ("accept", "content_type", "body"),
    [
        ("", "text/plain; version=0.0.4; charset=utf-8", b"smtpcheck_checks 3\n"),
        ("text/plain;version=0.0.4", "text/plain; version=0.0.4; charset=utf-8", b"smtpcheck_checks 3\n"),
        (
            "application/openmetrics-text;version=1.0.0,text/plain;q=0.5",
            "application/openmetrics-text; version=1.0.0; charset=utf-8",
            b"# openmetrics\n# EOF\n",
        ),
    ],
)
async def test_metrics_come_in_the_format_that_is_asked_for(
    client: Client, accept: str, content_type: str, body: bytes
) -> None:
    answer = await client.get("/metrics", headers={"Accept": accept})
    assert (answer.status, answer.headers["Content-Type"], await answer.read()) == (200, content_type, body)


@pytest.mark.parametrize(
    ("accepted", "coding"),
    [("gzip", "gzip"), ("deflate, GZIP;q=0.5", "gzip"), ("identity", None), ("gzip;q=0", None), ("gzip; q=0.0", None)],
)
async def test_metrics_are_compressed_for_those_who_take_it(client: Client, accepted: str, coding: str | None) -> None:
    answer = await client.get("/metrics", headers={"Accept-Encoding": accepted})
    assert (answer.headers.get("Content-Encoding"), await answer.read()) == (coding, b"smtpcheck_checks 3\n")


async def test_health_is_readiness_is_not(client: Client, world: World) -> None:
    """An agent that has not scheduled its checks is healthy and not ready."""
    world.is_ready = False
    starting = [(await client.get(path)).status for path in ("/-/healthy", "/-/ready")]
    world.is_ready = True
    running = [(await client.get(path)).status for path in ("/-/healthy", "/-/ready")]
    assert (starting, running) == ([200, 503], [200, 200])


async def test_an_agent_that_only_a_restart_helps_says_so_everywhere(client: Client, world: World) -> None:
    world.stuck = "no check is started"
    answer = await client.get("/-/healthy")
    assert (answer.status, await answer.text()) == (503, "smtpcheck is not healthy: no check is started\n")
    assert "No check is started." in await (await client.get("/")).text()


async def test_a_reload_that_succeeds_says_so(client: Client, world: World) -> None:
    answer = await client.post("/-/reload")
    assert (answer.status, await answer.text(), world.asked) == (200, "configuration reloaded\n", ["reload"])


async def test_a_reload_that_fails_tells_every_problem(client: Client, world: World) -> None:
    world.problems = (
        Problem("error", "unknown key", "checks.yaml", 3, "checks[0].mailbx", hint='did you mean "mailbox"?'),
        Problem("error", "must be a number", "checks.yaml", 9),
    )
    answer = await client.post("/-/reload")
    assert answer.status == 500
    assert await answer.text() == (
        "the old configuration stays in effect:\n"
        'checks.yaml:3: checks[0].mailbx: unknown key\n  hint: did you mean "mailbox"?\n'
        "checks.yaml:9: must be a number\n"
    )


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("GET", "/-/reload", "POST"),
        ("GET", "/api/v1/checks/billing/run", "POST"),
        ("POST", "/", "GET,HEAD"),
        ("DELETE", "/api/v1/checks/billing", "GET,HEAD"),
        ("POST", "/metrics", "GET,HEAD"),
    ],
)
async def test_a_method_that_a_path_does_not_know_is_refused(
    client: Client, world: World, method: str, path: str, allowed: str
) -> None:
    answer = await client.request(method, path)
    assert (answer.status, answer.headers["Allow"], world.asked) == (405, allowed, [])
