"""Serving the application: the address, TLS, and the web configuration that is read again when it changes.

Rules of this file:
- The file is looked at for every connection and every request (one stat for each file it names), and read when it has
  changed. What is read is complete or not at all: a file with a problem is logged once, and what was in force stays.
- A new certificate, client authority, user or header holds for the next connection or request. To turn TLS on or off
  needs a restart, and the log says so.
"""

import asyncio
import errno
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import structlog
from aiohttp import web

from smtpcheck.secrets.file_state import file_state
from smtpcheck.web.auth import Guard
from smtpcheck.web.connections import MOST_CONNECTIONS, Acceptor, ConnectionCap
from smtpcheck.web.keys import GUARD
from smtpcheck.web.security import is_loopback
from smtpcheck.web.web_config import WebConfig, load

_log = structlog.get_logger(__name__)
_SHUTDOWN_SECONDS = 2.0


class ServeError(Exception):
    """The page cannot be served; the message says why and what to do, in a line for each thing that is wrong."""


class LiveWebConfig:
    """The web configuration that is in force."""

    def __init__(self, path: Path | None = None, on_read: Callable[[bool], object] = bool) -> None:
        """Read the file; None for no file. Raises ServeError with every problem.

        `on_read` gets to know, each time that the file is read again, whether it is in force.
        """
        self._path, self._on_read = path, on_read
        self._config = WebConfig()
        self._context: ssl.SSLContext | None = None
        self._stamp: tuple[object, ...] = ()
        if path is not None:
            self._stamp = (file_state(path),)
            config, problems = load(path)
            if config is None:
                raise ServeError("\n".join(str(problem) for problem in problems))
            self._take(config)

    def current(self) -> WebConfig:
        """Return what is in force, after a look whether the file has changed."""
        if self._path is not None and self._stamp != self._stamps(self._config):
            self._read_again(self._path)
        return self._config

    def context(self) -> ssl.SSLContext | None:
        """Return the TLS context that is in force, None without TLS."""
        self.current()
        return self._context

    def _read_again(self, path: Path) -> None:
        """Read the file; its state is noted before, so that a change meanwhile is noticed the next time."""
        self._stamp = self._stamps(self._config)
        config, problems = load(path)
        if config is None:
            _log.error("web configuration not reloaded", problems=[str(problem) for problem in problems])
        elif (config.tls is None) != (self._config.tls is None):
            _log.error("web configuration not reloaded: to turn TLS on or off restart smtpcheck")
        else:
            self._take(config)
            _log.info("web configuration reloaded")
            self._on_read(True)
            return
        self._on_read(False)

    def _take(self, config: WebConfig) -> None:
        self._stamp = (self._stamp[0], *self._stamps(config)[1:])
        self._context = config.tls.context() if config.tls else None
        self._config = config

    def _stamps(self, config: WebConfig) -> tuple[object, ...]:
        tls = config.tls
        files = (self._path, *((tls.cert_file, tls.key_file, tls.client_ca_file) if tls else ()))
        return tuple(file_state(file) for file in files if file is not None)


@asynccontextmanager
async def serve(
    app: web.Application,
    listen: tuple[str, int],
    web_config_file: Path | None = None,
    *,
    most_connections: int = MOST_CONNECTIONS,
    on_web_config: Callable[[bool], object] = bool,
) -> AsyncIterator[tuple[str, int]]:
    """Serve the application until the block ends; the value is the address that is bound (port 0 takes a free one).

    `on_web_config` gets to know, each time that the web configuration is read again, whether it is in force.
    Raises ServeError when the address cannot be bound or the web configuration cannot be used.
    """
    live = LiveWebConfig(web_config_file, on_web_config)
    app[GUARD] = Guard(live.current)
    if warning := exposure_warning(listen, live.current()):
        _log.warning(warning)
    runner = web.AppRunner(app, handle_signals=False, shutdown_timeout=_SHUTDOWN_SECONDS)
    await runner.setup()
    try:
        listener = await _listen(runner, live, listen, ConnectionCap(most_connections))
        try:
            bound = listener.sockets[0].getsockname()
            yield str(bound[0]), int(bound[1])
        finally:
            listener.close()
    finally:
        await runner.cleanup()


async def _listen(
    runner: web.AppRunner, live: LiveWebConfig, listen: tuple[str, int], cap: ConnectionCap
) -> asyncio.Server:
    host, port = listen
    server = runner.server
    if server is None:
        raise RuntimeError("the application is not set up")
    try:
        return await asyncio.get_running_loop().create_server(
            lambda: Acceptor(server, cap, lambda: live.current().headers, live.context), host or None, port
        )
    except OSError as error:
        raise ServeError(_bind_error(host, port, error)) from error


def exposure_warning(listen: tuple[str, int], config: WebConfig) -> str | None:
    """Return a warning when others than this machine can ask and nobody asks them who they are, else None."""
    host, port = listen
    if config.authenticates or host == "localhost" or is_loopback(host):
        return None
    return (
        f"the page on {_address(host, port)} is open to anyone who reaches it: mailboxes, server replies and the "
        "button that runs a check; listen on 127.0.0.1, or set users or client certificates with --web.config.file"
    )


def _address(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _bind_error(host: str, port: int, error: OSError) -> str:
    address = _address(host, port)
    if error.errno == errno.EADDRINUSE:
        return f"{address} is in use: stop what listens there, or choose another with --web.listen-address"
    if error.errno == errno.EACCES:
        return f"no permission to listen on {address}: choose a port of 1024 or above with --web.listen-address"
    if error.errno in {errno.EADDRNOTAVAIL, None}:  # asyncio since Python 3.13 says it in words only
        return f"{address} is not an address of this machine: choose another with --web.listen-address"
    reason = (error.strerror or str(error)).lower()
    return f"cannot listen on {address} ({reason}): choose another address with --web.listen-address"
