"""`smtpcheck run`: the agent with its page and metrics, until a signal ends it."""

import asyncio
import socket
import sys
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from smtpcheck.cli.failure import NotUsableError
from smtpcheck.cli.options import ConfigFiles, Level, ShardOf, Style, files_of, settings_or_exit, shard_of
from smtpcheck.cli.signals import exit_on_sigterm, reload_on_hangup, stop_event
from smtpcheck.log import LogLevel, configure

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Mapping

    from smtpcheck.agent.agent import Agent
    from smtpcheck.config import Loaded, Settings

EXIT_FAILURE = 1


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(name="run")(run)


def run(
    config_file: ConfigFiles = None,
    listen_address: Annotated[
        str | None, typer.Option("--web.listen-address", metavar="HOST:PORT", help="Overrides agent.listen.")
    ] = None,
    web_config_file: Annotated[
        Path | None,
        typer.Option(
            "--web.config.file", metavar="PATH", help="TLS and users of the page (exporter-toolkit's format)."
        ),
    ] = None,
    auto_reload: Annotated[
        bool,
        typer.Option("--config.auto-reload", help="Load the configuration again when a file of it changes."),
    ] = False,
    shard: ShardOf = None,
    log_level: Level = LogLevel.INFO,
    log_format: Style = None,
) -> int:
    """Run the checks on their schedule, with page and metrics.

    SIGHUP reloads the configuration; SIGTERM and Ctrl-C end it, and so does closing the terminal it was started on.
    """
    from smtpcheck.agent import allocator, collector
    from smtpcheck.config import load

    collector.keep_pauses_short()
    allocator.give_back_large_blocks()
    refuse_windows("use smtpcheck check there, or the container image")
    exit_on_sigterm(0)
    configure(log_level, log_format)
    files = files_of(config_file)
    again = partial(load, files, shard=shard_of(shard))
    if auto_reload and any(path.exists() and not (path.is_file() or path.is_dir()) for path in files):
        raise typer.BadParameter("--config.auto-reload needs files and folders: a pipe can be read only once")
    listen = address(listen_address) if listen_address else None

    async def main(settings: "Settings", contents: "Mapping[Path, str]") -> int:
        from smtpcheck.agent.agent import Agent
        from smtpcheck.agent.opened_state import StateFolderError
        from smtpcheck.web import ServeError

        stop = stop_event()
        try:
            agent = await Agent.create(settings, again, settled=collector.settle)
            del settings  # a reload replaces them, and frees them if nobody else has them
            if auto_reload:
                agent.watch_files(files, contents)
            reload_on_hangup(stop, agent.reload)
            await serve(agent, listen or agent.settings.agent.listen, stop, web_config_file)
        except (StateFolderError, ServeError) as error:
            print(f"smtpcheck: {error}", file=sys.stderr)
            return EXIT_FAILURE
        return 0

    return run_loop(main(*_usable(again())))


def _usable(loaded: "Loaded") -> "tuple[Settings, Mapping[Path, str]]":
    """Return the settings and the digests of the files that they were read from; problems that are errors exit."""
    return settings_or_exit(loaded, EXIT_FAILURE), loaded.contents


def refuse_windows(instead: str) -> None:
    """Refuse to stay where an agent cannot: Windows has neither its signals nor its locks. Raises NotUsableError."""
    if sys.platform == "win32":
        raise NotUsableError([f"smtpcheck: the agent does not run on Windows; {instead}"], EXIT_FAILURE)


def address(text: str) -> tuple[str, int]:
    """Return host and port of `--web.listen-address`; anything else is wrong use."""
    from smtpcheck.config import parse_listen

    try:
        return parse_listen(text)
    except ValueError as error:
        problem, hint = str(error).split("\n")
        raise typer.BadParameter(f"--web.listen-address {text!r} {problem}; {hint}") from None


async def serve(
    agent: "Agent",
    listen: tuple[str, int],
    stop: asyncio.Event,
    web_config_file: Path | None = None,
    listening: "Callable[[str], None] | None" = None,
) -> None:
    """Run the agent and its page until `stop` is set.

    `listening` gets the page's address once it is served. Raises ServeError where it cannot be.
    """
    import structlog

    from smtpcheck import web
    from smtpcheck.cli.descriptors import reserve_descriptors
    from smtpcheck.cli.systemd import supervised

    app = web.create_app(agent, hosts={listen[0], socket.gethostname()})
    most = reserve_descriptors(agent.settings)
    served = web.serve(app, listen, web_config_file, most_connections=most, on_web_config=agent.web_config_read)
    async with served as (host, port):
        bound = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        structlog.get_logger(__name__).info("listening", address=bound)
        if listening is not None:
            listening(bound)
        async with supervised(agent.ready, agent.stuck_reason):
            await agent.run(stop)


def run_loop(main: "Coroutine[object, object, int]") -> int:
    """Run a coroutine to its end, on uvloop where it exists, and return its exit code; hanging threads are left."""
    try:
        import uvloop
    except ImportError:
        return asyncio.run(_without_waiting_for_threads(main))
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(_without_waiting_for_threads(main))


async def _without_waiting_for_threads(main: "Coroutine[object, object, int]") -> int:
    """Run `main`; its loop then ends without the threads that a request hangs in."""
    try:
        return await main
    finally:
        asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(1))
