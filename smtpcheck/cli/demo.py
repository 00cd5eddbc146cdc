"""`smtpcheck demo`: the agent on an embedded world, where each check shows one cause."""

import errno
import shlex
import sys
import tempfile
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from smtpcheck.cli.failure import closed_pipe
from smtpcheck.cli.options import Level, Style
from smtpcheck.cli.run import address, refuse_windows, run_loop, serve
from smtpcheck.cli.signals import exit_on_sigterm, stop_event
from smtpcheck.log import LogLevel, configure

if TYPE_CHECKING:
    from smtpcheck.config import Settings
    from smtpcheck.model.inspection_reading import KeptReading
    from smtpcheck.sandbox.scenario import Scenario
    from smtpcheck.sandbox.world import World

_DAY = 86400.0
FIRST_WITHIN = 3.0
"""Seconds until the last first run starts."""


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(name="demo")(demo)


def demo(
    once: Annotated[bool, typer.Option("--once", help="Run every check once, show the table and exit.")] = False,
    listen_address: Annotated[
        str, typer.Option("--web.listen-address", metavar="HOST:PORT", help="Where the page is served.")
    ] = "127.0.0.1:9587",
    log_level: Level = LogLevel.WARNING,
    log_format: Style = None,
) -> int:
    """Run against simulated servers, with a check for each cause.

    An issuer answers like Entra, and a server like Exchange Online. Nothing leaves this machine. With --once: exit 0
    if each check has the result of its scenario, else 2.
    """
    if not once:
        refuse_windows("smtpcheck demo --once does")
    exit_on_sigterm(0)
    configure(log_level, log_format)
    address(listen_address)
    with tempfile.TemporaryDirectory(prefix="smtpcheck-demo-") as folder:
        return run_loop(_once(Path(folder)) if once else _stay(Path(folder), listen_address))


async def _once(folder: Path) -> int:
    from smtpcheck.agent.run_once import run_once
    from smtpcheck.output.finding import show
    from smtpcheck.output.terminal import changes_text, scenario_table, scenario_verdict
    from smtpcheck.sandbox.world import World

    async with World(folder, _scenarios()) as world:
        settings = _settings(world)
        print(f"{len(settings.checks)} checks against simulated servers; nothing leaves this machine.", flush=True)
        before = await _read_yesterday(world, settings)
        reports = await run_once(settings, settings.checks, loopbacks=True, inspections=True, before=before)
        show(scenario_table(reports, world.scenarios))
        show(changes_text(reports))
        show(scenario_verdict(reports, world.scenarios))
        return 0 if all(scenario.expects(reports[scenario.name]) for scenario in world.scenarios) else 2


async def _stay(folder: Path, listen_address: str) -> int:
    from smtpcheck.agent.agent import Agent
    from smtpcheck.config import load
    from smtpcheck.sandbox.world import World
    from smtpcheck.web import ServeError

    stop = stop_event()
    async with World(folder, _scenarios(), listen=listen_address) as world:
        settings = _settings(world)
        before = await _read_yesterday(world, settings)
        agent = await Agent.create(settings, partial(load, [world.config]), first_within=FIRST_WITHIN)
        for credential, reading in before.items():
            agent.state.inspections.put(credential, reading)

        def listening(bound: str) -> None:
            show_on_terminal(_invitation(len(settings.checks), bound, shlex.quote(str(world.config))))

        try:
            await serve(agent, settings.agent.listen, stop, listening=listening)
        except ServeError as error:
            print(f"smtpcheck: {error}", file=sys.stderr)
            return 1
    return 0


def _invitation(checks: int, bound: str, config: str) -> str:
    return f"""\
{checks} checks run against simulated servers; nothing leaves this machine.
Page     http://{bound}/
Metrics  http://{bound}/metrics
Try      smtpcheck doctor audience-wrong -c {config}
         smtpcheck check 'certificate-*' -c {config}
         smtpcheck explain '535 5.7.139 SmtpClientAuthentication is disabled for the Tenant'
Stop     Ctrl-C"""


def show_on_terminal(text: str) -> None:
    """Print it; a terminal that has gone meanwhile is no fault, for SIGHUP ends the demo then."""
    try:
        print(text, flush=True)
    except OSError as error:
        if error.errno != errno.EIO:
            raise
        closed_pipe()


async def _read_yesterday(world: "World", settings: "Settings") -> "dict[str, KeptReading]":
    """Return what an inspection has read a day ago, before the tenant drifted."""
    from smtpcheck.agent.inspect_once import readings_dated
    from smtpcheck.check.kit import build_kit

    kit = await build_kit(settings)
    try:
        with world.before_drift() as credentials:
            return await readings_dated(settings, kit, credentials, _DAY)
    finally:
        await kit.close()


def _scenarios() -> "list[Scenario]":
    """Return the scenarios that this installation can run, and say which it cannot."""
    from smtpcheck.mail_api import ses
    from smtpcheck.sandbox.scenarios import SCENARIOS

    beyond = (
        [] if ses.is_installed() else [each for each in SCENARIOS if each.check.get("via") == {"api": ses.Ses.name}]
    )
    if beyond:
        print(f"Not shown: {', '.join(each.name for each in beyond)}, which {ses.NOT_INSTALLED}; {ses.INSTALL}")
    return [each for each in SCENARIOS if each not in beyond]


def _settings(world: "World") -> "Settings":
    from smtpcheck.config import load

    loaded = load([world.config])
    if loaded.settings is None:
        raise RuntimeError("\n".join(map(str, loaded.problems)))
    return loaded.settings
