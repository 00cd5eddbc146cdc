"""`smtpcheck demo`: the agent on an embedded world, where each check shows one cause."""

import sys
import tempfile
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from smtpcheck.cli.options import Level, Style
from smtpcheck.cli.run import run_loop, serve
from smtpcheck.log import LogLevel, configure

if TYPE_CHECKING:
    pass

FIRST_WITHIN = 3.0
"""Seconds until the last first run starts."""


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(name="demo")(demo)


def demo(
    once: Annotated[bool, typer.Option("--once", help="Run every check one time, show the table and exit.")] = False,
    listen_address: Annotated[
        str, typer.Option("--web.listen-address", metavar="HOST:PORT", help="Where the page is served.")
    ] = "127.0.0.1:9587",
    log_level: Level = LogLevel.WARNING,
    log_format: Style = None,
) -> int:
    """Run on an embedded world: an issuer like Entra, a server like Exchange Online, and a check for each cause.

    Nothing leaves this machine. With --once: exit 0 if each check came out as its scenario says, else 2.
    """
    configure(log_level, log_format)
    with tempfile.TemporaryDirectory(prefix="smtpcheck-demo-") as folder:
        return run_loop(_once(Path(folder)) if once else _stay(Path(folder), listen_address))


async def _once(folder: Path) -> int:
    from smtpcheck.config import load
    from smtpcheck.render import print_text, scenario_table
    from smtpcheck.round import run_round
    from smtpcheck.sandbox.world import World

    async with World(folder) as world:
        settings = load([world.config]).settings
        if settings is None:
            raise RuntimeError("the embedded world's configuration does not load")
        reports = await run_round(settings, settings.checks)
        print_text(scenario_table(reports, world.scenarios))
        return 0 if all(s.expects(reports[s.name]) for s in world.scenarios) else 2


async def _stay(folder: Path, listen_address: str) -> int:
    from smtpcheck.agent import Agent
    from smtpcheck.config import load, parse_listen
    from smtpcheck.sandbox.world import World
    from smtpcheck.web import ServeError

    async with World(folder) as world:
        again = partial(load, [world.config])
        settings = again().settings
        if settings is None:
            raise RuntimeError("the embedded world's configuration does not load")
        host, port = parse_listen(listen_address)
        agent = await Agent.create(settings, again, first_within=FIRST_WITHIN)
        print(
            f"{len(settings.checks)} checks on an embedded world. Page: http://{host}:{port}/  Stop: Ctrl-C", flush=True
        )
        try:
            return await serve(agent, (host, port))
        except ServeError as error:
            print(f"smtpcheck: {error}", file=sys.stderr)
            return 1
