"""Availability over some weeks, from a real state file: figures, outages, silences; as CSV, HTML and text."""

import csv
import io
from dataclasses import replace
from pathlib import Path

import pytest
from msgspec import structs
from rich.console import Console

from smtpcheck.alerts.silence import Silence
from smtpcheck.model.cause import Cause
from smtpcheck.model.check import Check
from smtpcheck.model.report import Outcome
from smtpcheck.output.availability_csv import as_csv
from smtpcheck.output.availability_text import availability_text
from smtpcheck.state.availability_report import AvailabilityReport, availability_report
from smtpcheck.state.past import PastUnreadableError, read_past
from smtpcheck.state.state import FILE_NAME, State
from smtpcheck.web.availability import html_file
from tests.worlds.samples import check, run

HOUR = 3600.0
NOW = 1_792_000_000.0 // 86400 * 86400 + 12 * HOUR
"""Noon of a day."""
CHECKS = (
    check("anna", labels=(("team", "finance"),)),
    check("bert", labels=(("team", "finance"),), credential="other"),
    check("never"),
)


async def kept(folder: Path) -> None:
    """Keep ten hours of runs: anna failed in two of them, in one outage of two hours; bert fails since an hour."""
    state = await State.kept(folder, lambda: NOW)
    for hour in range(10):
        at = NOW - (10 - hour) * HOUR
        failed = hour in {4, 5}
        report = run(at, Outcome.CRITICAL if failed else Outcome.OK, Cause.TIMEOUT if failed else None)
        state.record(CHECKS[0], structs.replace(report, check="anna"))
        dead = hour == 9
        report = run(at, Outcome.CRITICAL if dead else Outcome.OK, Cause.SECRET_EXPIRED if dead else None)
        state.record(CHECKS[1], structs.replace(report, check="bert"))
    state.silences.put(Silence("0" * 12, NOW - 5 * HOUR, NOW - 4 * HOUR, checks=("anna",), comment="x", author="eve"))
    state.silences.put(Silence("1" * 12, NOW - 900 * HOUR, NOW - 800 * HOUR, checks=("anna",), author="eve"))
    await state.close()


def reported(folder: Path, checks: tuple[Check, ...] = CHECKS, days: int = 30) -> AvailabilityReport:
    past = read_past(folder, [each.name for each in checks], last_days=days + 1, now=NOW)
    planned = Silence("2" * 12, NOW - HOUR, NOW + HOUR, labels=(("team", "finance"),), comment="planned")
    return availability_report(checks, past, [planned], days=days, now=NOW)


async def test_availability_outages_and_mttr(tmp_path: Path) -> None:
    await kept(tmp_path)
    report = reported(tmp_path)
    bert, anna, never = report.checks[1], report.checks[0], report.checks[2]
    assert [each.name for each in report.checks] == ["anna", "bert", "never"]
    assert (anna.availability, anna.outages, anna.longest, anna.mttr) == (0.8, 1, 2 * HOUR, 2 * HOUR)
    assert (bert.availability, bert.outages, bert.longest, bert.mttr) == (0.9, 1, HOUR, None)
    assert (never.availability, never.outages, never.longest) == (None, 0, None)
    assert report.whole.availability == pytest.approx(0.85)
    groups = {(each.kind, each.name): each for each in report.groups}
    assert groups["label", "team=finance"].availability == pytest.approx(0.85)
    assert (groups["credential", "other"].checks, groups["credential", "site"].checks) == (1, 2)
    assert [(one.check, one.outage.cause) for one in report.outages] == [
        ("bert", "secret_expired"),
        ("anna", "timeout"),
    ]


async def test_what_was_silenced_within_the_time(tmp_path: Path) -> None:
    await kept(tmp_path)
    assert [(silence.comment, count) for silence, count in reported(tmp_path).silences] == [("x", 1), ("planned", 2)]


async def test_an_outage_before_the_time_is_no_part_of_it(tmp_path: Path) -> None:
    await kept(tmp_path)
    past = read_past(tmp_path, ["anna"], last_days=2, now=NOW + 86400)
    report = availability_report(CHECKS[:1], past, [], days=1, now=NOW + 86400)
    assert (report.outages, report.checks[0].availability) == ((), None)


async def test_csv_has_every_figure_and_no_formula(tmp_path: Path) -> None:
    await kept(tmp_path)
    odd = replace(CHECKS[0], labels=(("team", "x"), ("=cmd", "1")))
    rows = list(csv.DictReader(io.StringIO(as_csv(reported(tmp_path, (odd, *CHECKS[1:]))))))
    by_name = {(row["kind"], row["name"]): row for row in rows}
    assert by_name["check", "anna"]["availability"] == "0.800000"
    assert by_name["check", "anna"]["mttr_seconds"] == "7200"
    assert by_name["check", "never"]["availability"] == ""
    assert ("label", "'=cmd=1") in by_name
    assert rows[0]["kind"] == "all"
    assert rows[0]["to"] == "2026-10-14T12:00:00Z"


async def test_html_needs_nothing_else_and_shows_all(tmp_path: Path) -> None:
    await kept(tmp_path)
    odd = replace(CHECKS[2], name="<b>odd</b>")
    text = html_file(reported(tmp_path, (*CHECKS[:2], odd)))
    assert "80.00 %" in text
    assert "&lt;b&gt;odd&lt;/b&gt;" in text
    assert "<link" not in text
    assert "<script" not in text
    assert "secret expired" in text


async def test_text_fits_eighty_columns(tmp_path: Path) -> None:
    await kept(tmp_path)
    console = Console(file=io.StringIO(), width=80, highlight=False)
    console.print(availability_text(reported(tmp_path)))
    assert isinstance(console.file, io.StringIO)
    text = console.file.getvalue()
    assert "80.000%" in text
    assert "silenced 2026-10-14 07:00 UTC to 2026-10-14 08:00 UTC: anna (1 checks): x" in text.replace("\n", " ")


async def test_it_is_read_while_an_agent_has_the_file_open(tmp_path: Path) -> None:
    await kept(tmp_path)
    state = await State.kept(tmp_path, lambda: NOW)
    try:
        assert reported(tmp_path).checks[0].availability == 0.8
    finally:
        await state.close()


def test_a_state_that_is_missing_or_damaged_is_named(tmp_path: Path) -> None:
    with pytest.raises(PastUnreadableError, match="there is no state file"):
        read_past(tmp_path, [], last_days=1, now=NOW)
    (tmp_path / FILE_NAME).write_bytes(b"nonsense" * 1000)
    with pytest.raises(PastUnreadableError, match="cannot be read"):
        read_past(tmp_path, [], last_days=1, now=NOW)
