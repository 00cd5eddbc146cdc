"""The log: what of a fault it shows, and what it never shows."""

import json
import logging

import pytest
import structlog

from smtpcheck.log import SILENT, LogFormat, LogLevel, configure
from tests.worlds.logs import log_as_before

__all__ = ["log_as_before"]


def _fail(text: str = "7 characters") -> None:
    local = "hunter" + "2"
    raise ValueError(text if local else "")


@pytest.mark.parametrize("style", list(LogFormat))
def test_a_traceback_shows_the_way_and_no_local_variable(style: LogFormat, capsys: pytest.CaptureFixture[str]) -> None:
    configure(LogLevel.INFO, style)
    try:
        _fail()
    except ValueError:
        structlog.get_logger("smtpcheck.test").exception("internal error", check="billing")
    said = capsys.readouterr().err
    assert [word in said for word in ("billing", "in _fail", "7 characters", "hunter2")] == [True, True, True, False]


def test_a_line_of_json_for_each_event_of_ours_and_of_others(capsys: pytest.CaptureFixture[str]) -> None:
    configure(LogLevel.INFO, LogFormat.JSON)
    structlog.get_logger("smtpcheck.test").info("run", seconds=0.5)
    structlog.get_logger("smtpcheck.test").debug("too much")
    logging.getLogger("aiohttp").warning("odd %s", "request")
    logging.getLogger("aiohttp").info("too much")
    events = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    assert [(e["logger"], e["level"], e["event"], e.get("seconds")) for e in events] == [
        ("smtpcheck.test", "info", "run", 0.5),
        ("aiohttp", "warning", "odd request", None),
    ]


@pytest.mark.parametrize("name", [*SILENT, "msal.oauth2cli.oauth2", "urllib3.connectionpool"])
def test_a_library_that_speaks_http_for_us_is_silent(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    configure(LogLevel.DEBUG, LogFormat.JSON)
    logging.getLogger(name).error("Token response is not in json format: %s", "hunter2")
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("style", list(LogFormat))
def test_what_any_other_library_logs_is_redacted(style: LogFormat, capsys: pytest.CaptureFixture[str]) -> None:
    configure(LogLevel.INFO, style)
    try:
        _fail("no route to http://user:hunter2@proxy/")
    except ValueError:
        logging.getLogger("asyncio").exception("Unclosed %s", "connection by http://user:hunter2@proxy:3128/")
    said = capsys.readouterr().err
    assert [word in said for word in ("Unclosed", "no route", "Traceback", "hunter2")] == [True, True, True, False]


def test_what_our_own_code_logs_is_left_as_it_is(capsys: pytest.CaptureFixture[str]) -> None:
    configure(LogLevel.INFO, LogFormat.JSON)
    structlog.get_logger("smtpcheck.test").info("run", detail="password=[redacted] password: unchanged")
    assert json.loads(capsys.readouterr().err)["detail"] == "password=[redacted] password: unchanged"
