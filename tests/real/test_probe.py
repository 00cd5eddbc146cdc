"""A real Prometheus schedules the checks, by the configuration that docs/operate.md gives and their own intervals."""

import asyncio
import re
from collections.abc import Callable
from pathlib import Path

import yaml

from smtpcheck.sandbox.scenarios import SCENARIOS
from smtpcheck.sandbox.world import World
from smtpcheck.web import create_app, serve
from tests.docs.documents import ROOT
from tests.real.prometheus import Prometheus
from tests.worlds.agents import edit, running

PAGE = (ROOT / "docs" / "operate.md").read_text()
TWO = tuple(scenario for scenario in SCENARIOS if scenario.name in {"healthy", "smtp-auth-disabled"})


def job(address: str) -> str:
    """Return the documented job for this agent, as a further member of `scrape_configs`."""
    found = re.search(r"```yaml\n(  - job_name: smtpcheck-probe\n.*?)```", PAGE, re.DOTALL)
    assert found
    (written,) = yaml.safe_load(found[1])
    changed = yaml.safe_dump(written, default_flow_style=True, width=10_000).replace("localhost:9587", address)
    assert changed.count(address) == 2
    return f"  - {changed}"


def test_the_operators_resource_is_valid() -> None:
    """Every key of it is known to the Operator."""
    found = re.search(r"```yaml\n(apiVersion: monitoring.coreos.com/v1\nkind: Probe\n.*?)```", PAGE, re.DOTALL)
    assert found
    written = yaml.safe_load(found[1])
    from cloudcoil.models.prometheus_operator import v1 as monitoring  # it takes seconds

    known = monitoring.Probe.model_validate(written)
    assert known.model_dump(mode="json", by_alias=True, exclude_unset=True) == written


async def test_prometheus_runs_the_checks_and_has_their_values_once(
    tmp_path: Path, prometheus: Callable[..., Prometheus]
) -> None:
    """Each scrape is a run. The check that is refused is left alone meanwhile, and Prometheus sees that too."""
    async with World(tmp_path, TWO) as world:
        for index in range(len(TWO)):
            edit(world.config, lambda d, at=index: d["checks"][at].update(schedule=False, interval="1s"))  # type: ignore[misc]
        async with running(world.config) as agent, serve(create_app(agent), ("127.0.0.1", 0)) as (host, port):
            address = f"{host}:{port}"
            database = await asyncio.to_thread(prometheus, address, job(address))
            await asyncio.to_thread(database.wait_for, 'sum_over_time(smtpcheck_success{check="healthy"}[1m]) >= 3')
            await asyncio.to_thread(database.wait_for, 'smtpcheck_probe_suppressed{check="smtp-auth-disabled"} == 1')
            refused = 'min_over_time(smtpcheck_success{check="smtp-auth-disabled"}[1m]) == 0'
            assert len(await asyncio.to_thread(database.query, refused)) == 1
            assert len(await asyncio.to_thread(database.query, 'smtpcheck_success{check="healthy"}')) == 1
            up = await asyncio.to_thread(database.query, f'up{{instance="{address}"}}')
            assert [(labels.get("check"), value) for labels, value in up] == [
                (None, 1.0),
                ("healthy", 1.0),
                ("smtp-auth-disabled", 1.0),
            ]
        assert sum(world.exchange.logins.values()) >= 5
