"""The log: JSON lines for machines, a readable line for a terminal; always on standard error.

Rules of this file:
- Libraries that log by `logging` come out in the same form. msal is silenced: at its lower levels it logs bodies.
- Tracebacks are plain: the richer ones show local variables, and with them secrets.
- structlog is imported when the log is set up: a command that logs nothing starts without it.
- No token and no secret is ever handed to the log; this file does not filter, it is handed none.
"""

import logging
import sys
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
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
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *_last(style)],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.WARNING)
    logging.getLogger("smtpcheck").setLevel(level.upper())
    logging.getLogger("msal").setLevel(logging.CRITICAL)
    logging.captureWarnings(capture=True)


def _last(style: LogFormat) -> list["Processor"]:
    import structlog

    if style is LogFormat.JSON:
        return [structlog.processors.format_exc_info, structlog.processors.JSONRenderer()]
    renderer = structlog.dev.ConsoleRenderer(
        colors=sys.stderr.isatty(), exception_formatter=structlog.dev.plain_traceback
    )
    return [renderer]
