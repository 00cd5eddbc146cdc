"""An alert in words: what a notifier sends, and how it reads.

Rules of this file:
- Pure. A notification holds no token and no secret: neither does a finding.
- It says what is wrong, of how many checks, why, and what to do, and links to the page that says more.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any
from urllib.parse import quote, urlencode

from smtpcheck.alerts.grouping import Key, Severity, Subject
from smtpcheck.alerts.notification_log import MAX_NAMED, DueNotification, Reason, alert_id
from smtpcheck.diagnosis.explain import CERTAIN, Catalogue, describe, of_several
from smtpcheck.model.cause import WHY_FOLLOWS
from smtpcheck.model.report import Finding
from smtpcheck.model.timestamp import utc_text

Json = dict[str, Any]


class Status(StrEnum):
    """Whether an alert still fires."""

    FIRING = "firing"
    RESOLVED = "resolved"


@dataclass(frozen=True, slots=True)
class Notification:
    """One alert, ready to be sent."""

    id: str
    """Distinguishes this time that the alert fires from every other one; the same from firing to resolved."""
    key: Key
    status: Status
    reason: Reason
    cause: str
    """The id of the most probable cause."""
    summary: str
    """One sentence: `credential contoso: the client secret has expired (12 of 500 checks)`."""
    evidence: tuple[str, ...]
    remedy: tuple[str, ...]
    reference: str
    checks: tuple[str, ...]
    """The names of its checks, the first `MOST_NAMED`; of a resolved one those that were part of it."""
    count: int
    """How many checks are part of it now."""
    total: int
    """How many checks could be."""
    labels: Mapping[str, str]
    """The labels that all checks which could be part of it have in common."""
    started_at: float
    ended_at: float | None
    """Unix seconds; None while it fires."""
    notified_at: float | None
    """When it was sent before, None if it was not."""
    address: str
    """Where the page is served, without a slash at its end."""
    path: str
    """The part of the page that says more."""
    shard: str = ""
    """Which of several agents sends it, as `0/3`; empty where there is one."""

    @property
    def page(self) -> str:
        """Return the address of the page that says more."""
        return self.address + self.path

    def as_json(self) -> Json:
        """Return it as a webhook sends it; names are never renamed, new ones may come."""
        return {
            "id": self.id,
            "status": str(self.status),
            "reason": str(self.reason),
            "severity": str(self.key.severity),
            "subject": {"kind": str(self.key.subject), "name": self.key.name},
            "cause": self.cause,
            "summary": self.summary,
            "evidence": list(self.evidence),
            "remedy": list(self.remedy),
            "reference": self.reference,
            "checks": list(self.checks),
            "count": self.count,
            "total": self.total,
            "labels": dict(self.labels),
            "started_at": self.started_at,
            "ended_at": self.ended_at,
            "page": self.page,
            "shard": self.shard or None,
        }

    def title(self) -> str:
        """Return one line: status and summary."""
        word = "STILL FIRING" if self.reason is Reason.REMINDER else self.status.upper()
        return f"[{word}] {self.summary}"

    def text(self) -> str:
        """Return all that it says below its title, as plain lines."""
        lines = [f"{self.key.severity.capitalize()} since {utc_text(self.started_at)}"]
        if self.ended_at is not None:
            lines = [f"From {utc_text(self.started_at)} to {utc_text(self.ended_at)}"]
        if self.key.subject is not Subject.CHECK and self.checks:
            more = max(self.count - len(self.checks), 0)
            lines.append(f"Checks: {', '.join(self.checks)}{f' and {more} more' if more else ''}")
        if self.labels:
            lines.append("Labels: " + ", ".join(f"{name}={value}" for name, value in self.labels.items()))
        if self.status is Status.FIRING:
            lines += [f"Evidence: {sentence}" for sentence in self.evidence]
            lines += [f"Fix {number}: {step}" for number, step in enumerate(self.remedy, 1)]
            lines += [f"See: {self.reference}"] if self.reference else []
        return "\n".join((*lines, f"Page: {self.page}"))


def notification_of(
    due: DueNotification,
    *,
    names: Collection[str],
    total: int,
    labels: Mapping[str, str],
    catalogue: Catalogue,
    address: str,
    shard: str = "",
) -> Notification:
    """Return a due alert in words.

    `names` are the checks that show it now, `total` is how many could, `labels` what those have in common, and
    `address` and `shard` are the agent's own.
    """
    resolved = due.reason is Reason.RESOLVED
    key, entry = due.key, due.entry
    count = 0 if resolved else max(len(names), 1)
    described = [describe(of_several(each) if count > 1 else each, catalogue) for each in entry.findings]
    first = described[0] if described else None
    cause = str(first.cause) if first else str(key.cause or "")
    return Notification(
        id=due.id,
        key=key,
        status=Status.RESOLVED if resolved else Status.FIRING,
        reason=due.reason,
        cause=cause,
        summary=summary_of(key, first.summary if first else cause.replace("_", " "), count, max(total, count)),
        evidence=first.evidence if first else (),
        remedy=_remedy(entry.findings, [each.remedy for each in described], catalogue),
        reference=first.reference if first else "",
        checks=entry.names if resolved else tuple(sorted(names)[:MAX_NAMED]),
        count=count,
        total=max(total, count),
        labels=labels,
        started_at=entry.since,
        ended_at=entry.ended_at if resolved else None,
        notified_at=entry.notified_at,
        address=address,
        path=path_of(key, cause),
        shard=shard,
    )


def trial(now: float, address: str) -> tuple[Notification, Notification]:
    """Return a test alert, as it fires and as it is resolved, at Unix time `now`."""
    key = Key(Subject.AGENT, "smtpcheck", Severity.WARNING, None)
    firing = Notification(
        id=alert_id(key, now),
        key=key,
        status=Status.FIRING,
        reason=Reason.NEW,
        cause="",
        summary="smtpcheck: test alert, nothing is wrong",
        evidence=("sent by smtpcheck notify-test",),
        remedy=(),
        reference="",
        checks=(),
        count=0,
        total=0,
        labels={"test": "true"},
        started_at=now,
        ended_at=None,
        notified_at=None,
        address=address,
        path="/",
    )
    return firing, replace(firing, status=Status.RESOLVED, reason=Reason.RESOLVED, ended_at=now, notified_at=now)


def _remedy(findings: Sequence[Finding], remedies: Sequence[tuple[str, ...]], catalogue: Catalogue) -> tuple[str, ...]:
    """Return what to do: the steps of the first finding, and what it may be else where that is not certain."""
    if not findings:
        return ()
    if findings[0].cause in WHY_FOLLOWS:
        return tuple(step for steps in remedies[:2] for step in steps)
    if findings[0].certainty >= CERTAIN:
        return remedies[0]
    others = [describe(each, catalogue).summary for each in findings[1:]]
    return (*remedies[0], *(f"Alternatively: {other}" for other in others))


def summary_of(key: Key, what: str, count: int, total: int) -> str:
    """Return one sentence: what it is about, what is wrong with it, and with how many checks of how many."""
    what = what[:1].lower() + what[1:].rstrip(".") if what[1:2].islower() else what.rstrip(".")
    if key.subject is Subject.CHECK:
        return f"check {key.name}: {what}"
    subject = "smtpcheck" if key.subject is Subject.AGENT else f"{key.subject} {key.name}"
    of = f" ({count} of {total} checks)" if count else ""
    return f"{subject}: {what}{of}"


def path_of(key: Key, cause: str) -> str:
    """Return the part of the page that says more of an alert."""
    if key.subject is Subject.CHECK:
        return f"/checks/{quote(key.name, safe='')}"
    if key.subject is Subject.AGENT:
        return "/?outcome=unknown"
    outcome = "critical" if key.severity is Severity.CRITICAL else "warning"
    return "/?" + urlencode({"outcome": outcome, "cause": cause})
