"""What `check` shows: equal findings once, the verdict last, at 80 columns and at 120."""

import io
from dataclasses import replace

import pytest
from rich.console import Console

from smtpcheck.cli.results import MOST_ROWS, grouped, results
from smtpcheck.diagnosis import catalogue
from smtpcheck.model.cause import Cause
from smtpcheck.model.check import Check, Phase
from smtpcheck.model.report import FaultKind, Finding, Report
from tests.worlds.samples import bad, failed, good, refused
from tests.worlds.samples import exchange_online as check

RULES = catalogue.load()
OFFLINE = Finding(Cause.CONNECTION_REFUSED, 1.0, "network.refused", ("system: 192.0.2.7: Connection refused",))


def offline(name: str) -> tuple[Check, Report]:
    return check(name), failed(FaultKind.REFUSED, cause=Cause.CONNECTION_REFUSED, check=name, findings=(OFFLINE,))


def denied(name: str, enhanced: str = "5.7.3") -> tuple[Check, Report]:
    finding = Finding(Cause.USER_MISMATCH, 0.6, "exchange.535_573", values={"mailbox": f"{name}@contoso.com"})
    return check(name), refused(535, enhanced, cause=Cause.USER_MISMATCH, check=name, findings=(finding,))


def printed(*pairs: tuple[Check, Report], columns: int = 80, verbose: bool = False) -> list[str]:
    console = Console(file=io.StringIO(), width=columns, highlight=False)
    checks, reports = [check for check, _ in pairs], [report for _, report in pairs]
    for part in results(checks, reports, RULES, verbose=verbose):
        console.print(part)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue().splitlines()


@pytest.mark.parametrize("columns", [80, 120])
def test_fifty_checks_that_are_offline_are_one_finding_with_fifty_names(columns: int) -> None:
    lines = printed(*(offline(f"mailbox-{number}") for number in range(50)), columns=columns)
    text = " ".join(" ".join(lines).split())
    assert len(lines) < 40
    assert max(map(len, lines)) <= columns
    assert lines[0].startswith("50 checks  via smtp.office365.com:587")
    assert [number for number in range(50) if f"mailbox-{number}" not in text] == []
    assert text.count("Nothing listens on that host and port") == 2, "once in the finding, once in the verdict"


def test_verbose_shows_each() -> None:
    pairs = [offline(f"mailbox-{number}") for number in range(5)]
    assert sum(line.lstrip().startswith("cause ") for line in printed(*pairs)) == 1
    shown = printed(*pairs, verbose=True)
    assert sum(line.lstrip().startswith("cause ") for line in shown) == 5


def test_the_last_words_are_the_verdict_and_the_first_fix() -> None:
    lines = printed(*(offline(name) for name in "ab"), (check("c"), good("c")))
    last = " ".join(" ".join(lines[lines.index("") + 1 :]).split())
    assert last.startswith("3 checks: 1 ok, 2 critical. First: Nothing listens on that host and port")
    assert printed((check("c"), good("c")))[-1] == "1 check: 1 ok"


def test_mailboxes_are_grouped_by_what_the_server_said_and_one_s_address_is_not_that_of_all() -> None:
    pairs = [denied("a"), denied("b"), denied("c", "5.7.139")]
    groups = [[check.name for check, _ in group] for group in grouped(pairs)]
    assert groups == [["a", "b"], ["c"]]
    text = "\n".join(printed(*pairs[:2]))
    assert "a@contoso.com" not in text.split("2 checks")[1]


def test_another_credential_is_another_group() -> None:
    one, two = denied("a"), denied("b")
    groups = grouped([one, (replace(two[0], credential="fabrikam"), two[1])])
    assert len(groups) == 2


def test_the_worst_and_largest_come_first() -> None:
    pairs = [(check("w"), good("w", Cause.SLOW)), denied("a"), offline("x"), offline("y")]
    assert [[check.name for check, _ in group] for group in grouped(pairs)] == [["x", "y"], ["a"], ["w"]]


def test_a_long_list_names_only_what_is_not_ok() -> None:
    fine = [(check(f"fine-{number}"), good(f"fine-{number}")) for number in range(MOST_ROWS + 1)]
    text = "\n".join(printed(*fine, denied("a")))
    assert "fine-" not in text
    assert "22 checks: 21 ok, 1 critical" in text
    assert "fine-1" in "\n".join(printed(*fine[:MOST_ROWS]))


def test_a_dead_credential_is_one_group_whatever_the_mailboxes() -> None:
    groups = grouped([(check(name), bad(name, Phase.TOKEN)) for name in "abc"])
    assert len(groups) == 1
