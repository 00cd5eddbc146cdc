"""What is wrong now: the checks that have a problem, grouped by root cause as alerts group them.

Rules of this file:
- Pure. It is read from the last report of each check, whether there are alerts or not, from the first failure on.
- The worst come first, and of those the newest: that is what people look for.
- A problem all of whose checks are silenced is counted, not shown.
"""

from collections import Counter
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Any, NamedTuple

from smtpcheck.alerts.grouping import Issue, Key, Severity, Subject, endpoint, issues_of
from smtpcheck.alerts.notification import path_of, summary_of
from smtpcheck.alerts.notification_log import MAX_NAMED
from smtpcheck.diagnosis.explain import Catalogue, describe, of_several
from smtpcheck.model.cause import Cause, FixedBy
from smtpcheck.model.check import Check
from smtpcheck.model.report import Report

WHO = {
    FixedBy.YOU: "you",
    FixedBy.ADMIN: "the administrator of the tenant",
    FixedBy.RECIPIENT: "the recipient's side",
    FixedBy.PROVIDER: "the provider",
}
"""Who can repair it, in words."""


class CheckNow(NamedTuple):
    """A check, its last report, and since when it has that report's outcome (Unix seconds)."""

    check: Check
    report: Report
    since: float


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong, and the checks that show it."""

    key: Key
    cause: Cause
    summary: str
    """One sentence, which names what it is about."""
    checks: tuple[str, ...]
    """The names of its checks, the first `MAX_NAMED`."""
    count: int
    total: int
    """How many checks could show it."""
    since: float
    """When the first of its checks began to (Unix seconds)."""
    fixed_by: FixedBy
    first_step: str
    path: str
    """The part of the page that says more."""

    @property
    def who(self) -> str:
        """Return who can repair it, in words."""
        return WHO[self.fixed_by]

    def as_json(self) -> dict[str, Any]:
        """Return it as the API has it; names are never renamed, new ones may come."""
        return {
            "subject": {"kind": str(self.key.subject), "name": self.key.name},
            "cause": str(self.cause),
            "severity": str(self.key.severity),
            "summary": self.summary,
            "checks": list(self.checks),
            "count": self.count,
            "total": self.total,
            "since": self.since,
            "who": str(self.fixed_by),
            "first_step": self.first_step,
        }


@dataclass(frozen=True, slots=True)
class Problems:
    """All that is wrong now."""

    shown: tuple[Problem, ...]
    count: int
    """How many there are; those that are shown may be fewer."""
    checks: int
    """How many checks have a problem that is shown or could be."""
    silenced: int
    """How many problems are silenced."""


def problems_of(
    wrong: Iterable[CheckNow],
    checks: Collection[Check],
    catalogue: Catalogue,
    *,
    silenced: Collection[str] = (),
    agent_severity: Severity = Severity.CRITICAL,
    most: int | None = None,
) -> Problems:
    """Return what is wrong by the last reports of checks; at most `most` problems are put into words.

    `wrong` are the checks whose last report is not ok, `checks` all that have run.
    """
    groups: dict[Key, list[tuple[CheckNow, Issue]]] = {}
    for each in wrong:
        for issue in issues_of(each.check, each.report, agent_severity).values():
            groups.setdefault(issue.key, []).append((each, issue))
    audible = {
        key: members
        for key, members in groups.items()
        if not silenced or any(each.check.name not in silenced for each, _ in members)
    }
    began = {key: min(each.since for each, _ in members) for key, members in audible.items()}
    worst = sorted(audible, key=lambda key: (key.severity is not Severity.CRITICAL, -began[key], key.name))[:most]
    totals = _totals(checks, {key.subject for key in worst})
    return Problems(
        shown=tuple(
            _problem(key, audible[key], began[key], _total(key, totals, len(checks)), catalogue) for key in worst
        ),
        count=len(audible),
        checks=len({each.check.name for members in audible.values() for each, _ in members}),
        silenced=len(groups) - len(audible),
    )


def _problem(
    key: Key, members: list[tuple[CheckNow, Issue]], since: float, total: int, catalogue: Catalogue
) -> Problem:
    names = sorted(each.check.name for each, _ in members)
    first, issue = members[0]
    finding = issue.findings[0] if issue.findings else None
    described = describe(of_several(finding) if len(names) > 1 else finding, catalogue) if finding else None
    cause = described.cause if described else first.report.cause or Cause.UNKNOWN
    return Problem(
        key=key,
        cause=cause,
        summary=summary_of(key, described.summary if described else cause.replace("_", " "), 0, 0),
        checks=tuple(names[:MAX_NAMED]),
        count=len(names),
        total=total,
        since=since,
        fixed_by=catalogue.entries[cause].fixed_by,
        first_step=described.remedy[0] if described and described.remedy else "",
        path=path_of(key, cause),
    )


def _totals(checks: Iterable[Check], subjects: Collection[Subject]) -> Counter[tuple[Subject, str]]:
    """Return how many checks there are of each credential and of each host, as far as `subjects` are about them."""
    totals: Counter[tuple[Subject, str]] = Counter()
    if Subject.CREDENTIAL in subjects:
        by_credential = Counter([check.credential for check in checks])
        totals |= {(Subject.CREDENTIAL, name): count for name, count in by_credential.items() if name}
    if Subject.HOST in subjects:
        totals |= {(Subject.HOST, name): count for name, count in Counter(map(endpoint, checks)).items()}
    return totals


def _total(key: Key, totals: Counter[tuple[Subject, str]], checks: int) -> int:
    """Return how many checks could be part of a problem."""
    return checks if key.subject is Subject.AGENT else totals.get((key.subject, key.name), 1)
