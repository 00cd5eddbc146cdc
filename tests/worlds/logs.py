"""The log of this process, which a test configures and leaves as it was."""

import logging
from collections.abc import Iterator

import pytest
import structlog


@pytest.fixture(autouse=True)
def log_as_before() -> Iterator[None]:
    """Undo what `configure` does to the process."""
    loggers = [logging.getLogger(name) for name in (None, "smtpcheck")]
    configured = structlog.get_config()
    before = [(logger, logger.level, logger.handlers[:]) for logger in loggers]
    yield
    for logger, level, handlers in before:
        logger.setLevel(level)
        logger.handlers[:] = handlers
    logging.captureWarnings(capture=False)
    structlog.configure(**configured)
