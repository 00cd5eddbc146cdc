"""PagerDuty and Jira Service Management: one incident from firing to resolved, whatever is sent; no key is shown."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smtpcheck.alerts.grouping import Key, Severity, Subject
from smtpcheck.alerts.notification import Notification, Status, trial
from smtpcheck.alerts.notification_log import Reason
from smtpcheck.alerts.notifiers import NOTIFIER_TYPES
from smtpcheck.alerts.notifiers.apprise import Apprise, plugin_of
from smtpcheck.alerts.notifiers.jira_service_management import JiraServiceManagement, request_of
from smtpcheck.alerts.notifiers.notifier import Notifier
from smtpcheck.alerts.notifiers.pagerduty import PagerDuty, event
from smtpcheck.alerts.notifiers.recipes import ADDRESSES, INCIDENT_TOOLS, recipe_of
from smtpcheck.secrets.secret import Secret
from smtpcheck.secrets.source import SecretSource
from tests.alerts.notifiers.test_notifiers import notification
from tests.worlds.incident_tools import (
    API_KEY,
    ROUTING_KEY,
    IncidentTool,
    JiraServiceManagementTwin,
    PagerDutyTwin,
    alert_problem,
    event_problem,
)
from tests.worlds.receiver import Receiver
from tests.worlds.samples import NOW


def source(value: str) -> SecretSource:
    return SecretSource(value=Secret(value))


@dataclass(frozen=True)
class Kind:
    """One kind of incident tool: its twin, and a notifier that speaks to an address."""

    twin: Callable[[], IncidentTool]
    notifier: Callable[[str, str], Notifier]
    key: str
    path: str = ""


KINDS = [
    Kind(PagerDutyTwin, lambda url, key: PagerDuty(routing_key=source(key), url=url), ROUTING_KEY),
    Kind(
        JiraServiceManagementTwin,
        lambda url, key: JiraServiceManagement(api_key=source(key), url=url),
        API_KEY,
        "/jsm/ops/integration",
    ),
]
both = pytest.mark.parametrize("kind", KINDS, ids=["pagerduty", "jira-service-management"])


@both
async def test_one_page_from_firing_to_resolved_and_another_one_the_next_time(kind: Kind) -> None:
    firing = notification()
    reminder = replace(firing, reason=Reason.REMINDER, notified_at=NOW + 60)
    resolved = replace(firing, status=Status.RESOLVED, reason=Reason.RESOLVED, ended_at=NOW + 90)
    again = replace(firing, id="fedcba9876543210", started_at=NOW + 300)
    async with kind.twin() as twin:
        sender = kind.notifier(twin.url(kind.path), kind.key).sender()
        assert [await sender.send([each]) for each in (firing, reminder, resolved, again)] == [None] * 4
        await sender.close()
    assert twin.problems == []
    assert len(twin.paged) == len(set(twin.paged)) == 2
    assert twin.resolved == twin.paged[:1]
    assert list(twin.open) == twin.paged[1:]


@both
async def test_a_trial_opens_and_resolves(kind: Kind) -> None:
    async with kind.twin() as twin:
        sender = kind.notifier(twin.url(kind.path), kind.key).sender()
        for each in trial(NOW, "https://mon.example.org"):
            assert await sender.send([each]) is None
        await sender.close()
    assert (len(twin.paged), twin.open) == (1, {})


@both
async def test_a_wrong_key_is_tried_again_and_never_shown(kind: Kind) -> None:
    wrong = "T0PS3CRET" + "x" * 23
    async with kind.twin() as twin:
        sender = kind.notifier(twin.url(kind.path), wrong).sender()
        failure = await sender.send([notification()])
        await sender.close()
    assert failure is not None
    assert not failure.permanent
    assert "T0PS3CRET" not in repr(failure)
    assert twin.problems != []


@both
async def test_a_redirect_is_not_followed_and_throttling_is_respected(kind: Kind) -> None:
    async with Receiver((302, {"Location": "/elsewhere"}), (429, {"Retry-After": "77"})) as receiver:
        sender = kind.notifier(receiver.url(), kind.key).sender()
        moved, throttled = await sender.send([notification()]), await sender.send([notification()])
        await sender.close()
    assert moved is not None and "redirects are not followed" in moved.reason
    assert throttled is not None and (throttled.retry_after, throttled.permanent) == (77.0, False)
    assert len(receiver.got) == 2


@both
@pytest.mark.parametrize("key", ["two\nlines", "ends with a space "])
def test_a_key_that_cannot_be_one_is_a_problem(kind: Kind, key: str) -> None:
    assert kind.notifier("https://events.example.org", kind.key).problem() == ""
    assert "key that is not" in kind.notifier("https://events.example.org", key).problem()


def test_pagerduty_says_why_a_refusal_is_probably_the_key() -> None:
    assert PagerDuty(routing_key=source("not-a-key")).problem() == "has a routing_key that is not 32 letters and digits"


long_text = st.text(max_size=3000)


@given(
    name=st.text(min_size=1, max_size=600),
    summary=st.text(min_size=1, max_size=3000),
    evidence=st.lists(long_text, max_size=5),
    labels=st.dictionaries(st.text(min_size=1, max_size=60), long_text, max_size=30),
    severity=st.sampled_from(Severity),
)
def test_nothing_is_sent_that_the_services_refuse_for_its_form(
    name: str, summary: str, evidence: list[str], labels: dict[str, str], severity: Severity
) -> None:
    alert = replace(
        notification(Key(Subject.CHECK, name, severity, None)),
        summary=summary,
        evidence=tuple(evidence),
        labels=labels,
    )
    assert event_problem(event(alert, ROUTING_KEY)) == ""
    path, content = request_of(alert)
    assert (path, alert_problem(content)) == ("/v2/alerts", "")


def test_what_is_sent_says_what_is_wrong_and_what_to_do() -> None:
    alert = notification()
    payload = event(alert, ROUTING_KEY)["payload"]
    assert payload["summary"] == alert.summary
    assert payload["custom_details"]["evidence"] == list(alert.evidence)
    assert payload["custom_details"]["fix"][0].startswith("1. ")
    _, content = request_of(alert)
    assert alert.remedy[0] in content["description"]
    assert content["priority"] == "P1"
    assert request_of(replace(alert, key=replace(alert.key, severity=Severity.WARNING)))[1]["priority"] == "P3"


# -- places without a type of their own -------------------------------------------------------------------------------

PLACEHOLDERS = {
    "WEBHOOK_TOKEN": "a" * 60,
    "WEBHOOK_ID": "4" * 18,
    "APP_TOKEN": "a" * 30,
    "BOT_TOKEN": "123456789:" + "a" * 35,
    "USER_KEY": "u" * 30,
    "TOKEN_A": "T" + "1" * 8,
    "TOKEN_B": "B" + "1" * 8,
    "TOKEN_C": "c" * 24,
    "TOKEN": "a" * 26,
    "SIGNATURE": "s" * 30,
    "WORKFLOW": "643e69dc",
    "ONCALL@EXAMPLE.ORG": "oncall@example.org",
    "CHAT_ID": "12345678",
    "CHANNEL": "ops",
    "TOPIC": "alerts",
    "PASSWORD": "pw",
    "HOST": "hooks.example.net",
    "USER": "ops",
    "ROOM": "room",
}


def filled(address: str) -> str:
    for name, value in PLACEHOLDERS.items():
        address = address.replace(name, value)
    return address


@pytest.mark.parametrize("place", sorted(ADDRESSES))
def test_apprise_knows_every_recipe(place: str) -> None:
    assert plugin_of(filled(ADDRESSES[place])) is not None
    assert Apprise(url=source(filled(ADDRESSES[place]))).advice() is None
    assert ADDRESSES[place] in recipe_of(place)
    assert recipe_of(f" {place.upper()} ") == recipe_of(place)


@pytest.mark.parametrize("scheme", sorted(INCIDENT_TOOLS))
def test_an_incident_tool_by_apprise_is_warned_of(scheme: str) -> None:
    advice = Apprise(url=source(f"{scheme}://T0PS3CRET@{'k' * 32}")).advice()
    assert advice is not None
    assert "sends no resolve" in advice[0]
    assert any(f"type: {kind.model_fields['type'].default}" in advice[1] for kind in NOTIFIER_TYPES)
    assert "T0PS3CRET" not in repr(advice)


def test_a_word_that_nobody_knows_has_no_recipe() -> None:
    assert recipe_of("carrier-pigeon") == ""


def test_a_notification_stays_the_same_incident_over_a_restart() -> None:
    """Its id is made of what is stored: what it is about, and since when."""
    assert notification().id == notification().id
    other: Notification = notification(Key(Subject.CHECK, "a", Severity.CRITICAL, None))
    assert event(other, ROUTING_KEY)["dedup_key"] != event(notification(), ROUTING_KEY)["dedup_key"]


def test_the_documentation_has_every_recipe() -> None:
    text = (Path(__file__).parents[3] / "docs" / "alerts.md").read_text()
    assert [place for place, address in ADDRESSES.items() if f"`{address}`" not in text] == []
