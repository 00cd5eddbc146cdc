"""What is wrong now: grouped by root cause, worst and newest first, without what is silenced."""

from collections.abc import Sequence

from msgspec import structs

from smtpcheck.alerts.problems import CheckNow, Problems, problems_of
from smtpcheck.diagnosis import catalogue
from smtpcheck.model.cause import Cause
from smtpcheck.model.check import Phase
from smtpcheck.model.report import Outcome, Report
from tests.worlds.samples import NOW, bad, good, unknown
from tests.worlds.samples import exchange_online as check

RULES = catalogue.load()


def now(report: Report, since: float = NOW - 60, **fields: object) -> CheckNow:
    return CheckNow(check(report.check, **fields), report, since)


def refused(name: str) -> Report:
    return bad(name, Phase.AUTH, Cause.USER_MISMATCH)


def problems(checks: Sequence[CheckNow], **more: object) -> Problems:
    wrong = [each for each in checks if each.report.outcome is not Outcome.OK]
    return problems_of(wrong, [each.check for each in checks], RULES, **more)  # type: ignore[arg-type]


def summaries(checks: Sequence[CheckNow], **more: object) -> list[str]:
    return [each.summary for each in problems(checks, **more).shown]


def test_checks_that_fail_for_one_reason_are_one_problem_and_a_mailbox_has_its_own() -> None:
    dead = [now(bad(f"c{number:02}"), NOW - number) for number in range(30)]
    found = problems([*dead, now(refused("anna")), now(good("fine"))])
    credential, mailbox = sorted(found.shown, key=lambda each: -each.count)
    assert credential.summary.startswith("credential contoso: the client secret")
    assert (credential.count, credential.total, len(credential.checks)) == (30, 32, 20)
    assert credential.since == NOW - 29
    assert (mailbox.checks, mailbox.count, mailbox.total) == (("anna",), 1, 1)
    assert mailbox.path == "/checks/anna"
    assert (found.count, found.checks, found.silenced) == (2, 31, 0)


def test_the_worst_come_first_and_of_those_the_newest() -> None:
    checks = [
        now(good("w", Cause.SLOW), NOW - 1),
        now(refused("old"), NOW - 500),
        now(refused("new"), NOW - 5),
    ]
    assert [each.key.name for each in problems(checks).shown] == ["new", "old", "w"]


def test_all_well_is_nothing() -> None:
    found = problems([now(good("a")), now(good("b"))])
    assert (found.shown, found.count, found.checks, found.silenced) == ((), 0, 0, 0)


def test_a_problem_all_of_whose_checks_are_silenced_is_only_counted() -> None:
    checks = [now(bad("a")), now(bad("b")), now(refused("c"))]
    assert len(summaries(checks, silenced={"a"})) == 2
    found = problems(checks, silenced={"a", "b"})
    assert ([each.key.name for each in found.shown], found.silenced, found.checks) == (["c"], 1, 1)


def test_who_can_repair_it_and_what_to_do_first() -> None:
    [problem] = problems([now(bad("a"))]).shown
    assert problem.who == "the administrator of the tenant"
    assert problem.first_step.startswith("1.") or problem.first_step
    assert "a@contoso.com" not in repr(problems([now(bad("a")), now(bad("b"))])), "the mailbox of one"


def test_what_the_agent_itself_suffers_is_one_problem() -> None:
    checks = [now(unknown(name)) for name in "abc"]
    [problem] = problems(checks).shown
    assert (problem.key.subject, problem.count, problem.total, problem.path) == ("agent", 3, 3, "/?outcome=unknown")


def test_only_so_many_are_put_into_words() -> None:
    found = problems([now(refused(f"c{number}")) for number in range(9)], most=4)
    assert (len(found.shown), found.count, found.checks) == (4, 9, 9)


def test_a_failure_without_a_finding_is_shown_by_its_cause() -> None:
    [problem] = problems([now(structs.replace(refused("a"), findings=()))]).shown
    assert problem.summary == "check a: user mismatch"
    assert (problem.cause, problem.first_step) == (Cause.USER_MISMATCH, "")
