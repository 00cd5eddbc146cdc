"""How an alert reads."""

from collections.abc import Sequence

from msgspec import structs

from smtpcheck.alerts.grouping import Key, Severity, Subject
from smtpcheck.alerts.notification import Notification, Status, notification_of
from smtpcheck.alerts.notification_log import (
    DueNotification,
    Entry,
    Reason,
)
from smtpcheck.diagnosis import catalogue
from smtpcheck.model.cause import Cause
from smtpcheck.model.check import Phase
from smtpcheck.model.report import Finding
from tests.alerts.test_alerts import CONTOSO_DEAD
from tests.worlds.samples import NOW, bad

RULES = catalogue.load()


def notification(
    due: DueNotification, names: Sequence[str], total: int, labels: dict[str, str] | None = None
) -> Notification:
    return notification_of(
        due, names=names, total=total, labels=labels or {}, catalogue=RULES, address="https://mon.example.org"
    )


def test_a_dead_credential_is_named_with_its_count_its_cause_and_its_repair() -> None:
    finding = structs.replace(bad("a").findings[0], evidence=("error: invalid_client AADSTS7000222",))
    due = DueNotification(CONTOSO_DEAD, Entry(NOW, (finding,), ("a",)), Reason.NEW)
    told = notification(due, [f"c{number:02}" for number in range(30)], 500, {"team": "finance"})
    assert told.title() == (
        "[FIRING] credential contoso: the client secret (or certificate) of the app has expired (30 of 500 checks)"
    )
    lines = told.text().splitlines()
    assert lines[0] == "Critical since 2026-10-14 17:46 UTC"
    assert lines[1].startswith("Checks: c00, c01, ") and lines[1].endswith("c19 and 10 more")
    assert lines[2:4] == ["Labels: team=finance", "Evidence: error: invalid_client AADSTS7000222"]
    assert lines[4].startswith("Fix 1: ")
    assert lines[-1] == "Page: https://mon.example.org/?outcome=critical&cause=secret_expired"


def test_the_repair_of_one_mailbox_names_it_and_that_of_many_names_none() -> None:
    finding = structs.replace(bad("a", Phase.AUTH, Cause.SMTP_AUTH_DISABLED_MAILBOX).findings[0])
    key = Key(Subject.CHECK, "a", Severity.CRITICAL, None)
    one = notification(DueNotification(key, Entry(NOW, (finding,), ("a",)), Reason.NEW), ["a"], 1)
    assert "a@contoso.com" in one.text()
    assert one.page == "https://mon.example.org/checks/a"
    many = notification(DueNotification(CONTOSO_DEAD, Entry(NOW, (finding,), ("a",)), Reason.NEW), ["a", "b"], 2)
    assert "a@contoso.com" not in many.text()
    assert "<mailbox>" in many.text()


def test_a_resolved_alert_says_how_long_it_lasted_and_repairs_nothing() -> None:
    entry = Entry(NOW, bad("a").findings, ("a", "b"), notified_at=NOW, ended_at=NOW + 7200)
    told = notification(DueNotification(CONTOSO_DEAD, entry, Reason.RESOLVED), [], 500)
    assert (told.status, told.count, told.checks) == (Status.RESOLVED, 0, ("a", "b"))
    assert told.title().startswith("[RESOLVED] credential contoso: ")
    assert "From 2026-10-14 17:46 UTC to 2026-10-14 19:46 UTC" in told.text()
    assert "Repair" not in told.text()


def test_what_is_not_certain_names_the_other_causes() -> None:
    findings = (*bad("a", certainty=0.5).findings, Finding(Cause.SECRET_INVALID, 0.3, "a.rule"))
    told = notification(DueNotification(CONTOSO_DEAD, Entry(NOW, findings, ("a",)), Reason.NEW), ["a"], 1)
    assert told.remedy[-1].startswith("Alternatively: ")


def test_a_reminder_says_so() -> None:
    due = DueNotification(CONTOSO_DEAD, Entry(NOW, (), ("a",)), Reason.REMINDER)
    assert notification(due, ["a"], 1).title() == "[STILL FIRING] credential contoso: secret expired (1 of 1 checks)"
