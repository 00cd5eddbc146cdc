"""The log: JSON lines for machines, a readable line for a terminal; always on standard error.

Rules of this file:
- Libraries that log by `logging` come out in the same form, redacted of what looks like a secret. Those that send and
  get secrets are silent (`SILENT`): what they log repeats URLs, headers and bodies, and their failures are reported by
  the room that uses them.
- Tracebacks are plain: the richer ones show local variables, and with them secrets.
- structlog is imported when the log is set up: a command that logs nothing starts without it.
- No token and no secret is ever handed to the log by our own code, so nothing of that is filtered.
"""

import logging
import sys
import traceback
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from smtpcheck.secrets.redaction import redact

if TYPE_CHECKING:
    from collections.abc import MutableMapping

    from structlog.typing import Processor


class LogLevel(StrEnum):
    """What is logged."""

    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


class LogFormat(StrEnum):
    """How it is logged."""

    CONSOLE = "console"
    JSON = "json"


SILENT = (
    *("aiohttp.client", "aiohttp.internal", "google", "msal", "oauthlib", "opentelemetry.exporter"),
    *("requests", "requests_oauthlib", "urllib3"),
)
"""The loggers, with all below them, of libraries that speak HTTP for us. Apprise's is read by its notifier alone."""


def silence_libraries() -> None:
    """Keep the loggers of `SILENT` from the log; what imports such a library calls it."""
    for name in SILENT:
        logging.getLogger(name).setLevel(logging.CRITICAL + 1)


def configure(level: LogLevel = LogLevel.INFO, style: LogFormat | None = None) -> None:
    """Set up the log of the process; without `style` a terminal gets console lines and anything else JSON."""
    import structlog

    if style is None:
        style = LogFormat.CONSOLE if sys.stderr.isatty() else LogFormat.JSON
    shared: list[Processor] = [
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *shared,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=False,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[*shared, _redacted],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *_last(style)],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.WARNING)
    logging.getLogger("smtpcheck").setLevel(level.upper())
    silence_libraries()
    logging.captureWarnings(capture=True)


def _redacted(_logger: object, _method: str, event: "MutableMapping[str, Any]") -> "MutableMapping[str, Any]":
    """Redact what a library logs, its traceback too."""
    if error := event.pop("exc_info", None):
        event["exception"] = redact("".join(traceback.format_exception(*error)), ())
    event["event"] = redact(str(event.get("event", "")), ())
    return event


def _last(style: LogFormat) -> list["Processor"]:
    import structlog

    if style is LogFormat.JSON:
        return [structlog.processors.format_exc_info, structlog.processors.JSONRenderer()]
    renderer = structlog.dev.ConsoleRenderer(
        colors=sys.stderr.isatty(), exception_formatter=structlog.dev.plain_traceback
    )
    return [renderer]
