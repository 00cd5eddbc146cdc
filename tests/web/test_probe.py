"""What /probe takes and refuses, and the form of its answers."""

import subprocess
from dataclasses import replace

import pytest
from prometheus_client.openmetrics import parser

from smtpcheck.agent.on_demand import Busy, Probed
from smtpcheck.model.backoff import Breaker
from smtpcheck.model.check import Depth, Expect, Phase
from tests.real.daemon import real_binary
from tests.web.conftest import Client
from tests.web.world import NOW, World, refused_report

TIMEOUT = "X-Prometheus-Scrape-Timeout-Seconds"


@pytest.mark.parametrize("parameter", ["check", "target"])
async def test_check_and_target_name_a_check(client: Client, world: World, parameter: str) -> None:
    answer = await client.get("/probe", params={parameter: "billing"})
    assert (answer.status, world.asked) == (200, ["billing within 30"])


@pytest.mark.parametrize(
    ("given", "seconds"), [("10", "9.5"), ("30.000000", "29.5"), ("1", "0.5"), ("0.4", "0.2"), ("1e2", "99.5")]
)
async def test_the_scrapers_timeout_less_an_offset_is_the_time(
    client: Client, world: World, given: str, seconds: str
) -> None:
    answer = await client.get("/probe?check=billing", headers={TIMEOUT: given})
    assert (answer.status, world.asked) == (200, [f"billing within {seconds}"])


@pytest.mark.parametrize(
    ("path", "headers", "said"),
    [
        ("/probe", {}, "name a check of the configuration: /probe?check=NAME"),
        ("/probe?check=", {}, "name a check of the configuration: /probe?check=NAME"),
        ("/probe?check=smtp.example.org:587", {}, "there is no check named smtp.example.org:587"),
        ("/probe?host=smtp.example.org", {}, "name a check of the configuration: /probe?check=NAME"),
        ("/probe?check=billing", {TIMEOUT: "soon"}, f"{TIMEOUT} is not a valid number of seconds"),
        ("/probe?check=billing", {TIMEOUT: "nan"}, f"{TIMEOUT} is not a valid number of seconds"),
        ("/probe?check=billing", {TIMEOUT: "-1"}, f"{TIMEOUT} is not a valid number of seconds"),
        ("/probe?check=billing", {TIMEOUT: "inf"}, f"{TIMEOUT} is not a valid number of seconds"),
    ],
)
async def test_what_means_nothing_is_400_and_runs_nothing(
    client: Client, world: World, path: str, headers: dict[str, str], said: str
) -> None:
    answer = await client.get(path, headers=headers)
    assert (answer.status, await answer.text(), world.asked) == (400, f"{said}\n", [])


async def test_an_agent_that_is_busy_says_so(client: Client, world: World) -> None:
    world.probed = Busy()
    answer = await client.get("/probe?check=billing")
    assert (answer.status, (await answer.text()).split(":")[0]) == (503, "busy")


@pytest.mark.parametrize(
    ("site", "status"), [("cross-site", 403), ("same-site", 403), ("same-origin", 200), ("none", 200)]
)
async def test_a_page_of_another_origin_may_not_ask(client: Client, world: World, site: str, status: int) -> None:
    answer = await client.get("/probe?check=billing", headers={"Sec-Fetch-Site": site})
    assert (answer.status, len(world.asked)) == (status, int(status == 200))


async def test_only_get_runs_a_check(client: Client, world: World) -> None:
    answers = [await client.request(method, "/probe?check=billing") for method in ("HEAD", "POST")]
    assert ([answer.status for answer in answers], world.asked) == ([405, 405], [])


@pytest.mark.parametrize("failed", [False, True])
async def test_openmetrics_and_gzip_are_negotiated_as_for_metrics(client: Client, world: World, failed: bool) -> None:
    check = world.settings.checks[0]
    world.probed = Probed(check, refused_report(check.name), Breaker(3, NOW + 60), None) if failed else None
    headers = {"Accept": "application/openmetrics-text;version=1.0.0,*/*;q=0.1", "Accept-Encoding": "gzip"}
    answer = await client.get("/probe?check=billing", headers=headers)
    assert answer.headers["Content-Type"].startswith("application/openmetrics-text; version=1.0.0")
    assert answer.headers["Content-Encoding"] == "gzip"
    found = parser.text_string_to_metric_families(await answer.text())  # type: ignore[no-untyped-call]
    families = {family.name: family for family in found}
    assert families["smtpcheck_success"].samples[0].value == float(not failed)
    assert ("smtpcheck_failure" in families) is failed


async def test_prometheus_learns_which_checks_are_left_to_it(client: Client, world: World) -> None:
    """Those without a schedule that a request can run, each with its interval and time enough for a run."""
    first, second, third, fourth, *rest = world.settings.checks
    checks = (
        replace(first, scheduled=False),
        replace(second, scheduled=False),
        replace(third, scheduled=False, interval=1.5),
        replace(fourth, scheduled=False, depth=Depth.SEND, expect=Expect(Phase.DATA, ("5xx",))),
        *rest,
    )
    world.settings = replace(world.settings, checks=checks)
    answer = await client.get("/api/v1/targets")
    assert answer.headers["Content-Type"] == "application/json; charset=utf-8"
    assert await answer.json() == [
        {
            "targets": ["billing", "invoices"],
            "labels": {"__scrape_interval__": "60000ms", "__scrape_timeout__": "30500ms"},
        },
        {"targets": ["newsletter"], "labels": {"__scrape_interval__": "1500ms", "__scrape_timeout__": "1500ms"}},
    ]


async def test_promtool_has_nothing_to_say_of_it(client: Client) -> None:
    text = await (await client.get("/probe?check=billing")).read()
    command = [real_binary("promtool"), "check", "metrics"]
    checked = subprocess.run(command, input=text, capture_output=True, check=False)  # noqa: ASYNC221
    assert (checked.returncode, checked.stdout + checked.stderr) == (0, b"")


async def test_the_transcript_is_plain_text(client: Client, world: World) -> None:
    """What a server says cannot write anything but its own line."""
    check = world.settings.checks[0]
    report = refused_report(check.name, text="no\x1b[31m\nmetrics: <b>")
    world.probed = Probed(check, report, Breaker(), None)
    answer = await client.get("/probe?check=billing&debug=true")
    text = await answer.text()
    assert answer.headers["Content-Type"] == "text/plain; charset=utf-8"
    assert "\x1b" not in text
    assert "no\\x1b[31m\\nmetrics: <b>" in text
    assert "    > AUTH XOAUTH2\n" in text


async def test_the_transcript_says_when_the_next_run_may_come(client: Client, world: World) -> None:
    world.probed = Probed(world.settings.checks[0], None, Breaker(3, NOW + 60), NOW + 60)
    text = await (await client.get("/probe?check=billing&debug=true")).text()
    assert "not run: refused 3 times; the next run may come at 2026-10-14T17:47:40Z\n" in text
    assert 'smtpcheck_probe_suppressed{check="billing"} 1' in text


async def test_a_check_whose_refusal_needs_a_message_is_none_for_a_request(client: Client, world: World) -> None:
    """It would come out well without ever having been refused."""
    first, *rest = world.settings.checks
    expecting = replace(first, depth=Depth.SEND, expect=Expect(Phase.DATA, ("5xx",)))
    world.settings = replace(world.settings, checks=(expecting, *rest))
    answer = await client.get("/probe?check=billing")
    assert (answer.status, world.asked) == (400, [])
    assert "expects a refusal of a message" in await answer.text()
