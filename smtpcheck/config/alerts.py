"""`alerts:` of the configuration: its form, its meaning, and what about it cannot work.

Rules of this file:
- As everywhere: each problem is reported with its place and a hint, none hides another, no secret is shown.
- A notifier that would go through a host or a mailbox that is being checked is refused: it would fail together with
  what it is there to report.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any
from zoneinfo import ZoneInfo, available_timezones

from pydantic import AfterValidator, Field

from smtpcheck.alerts.grouping import Severity
from smtpcheck.alerts.maintenance import DAY_MINUTES, DAYS, Window
from smtpcheck.alerts.notifiers import NOTIFIER_TYPES
from smtpcheck.alerts.notifiers.heartbeat import LABEL, Heartbeat
from smtpcheck.alerts.notifiers.http import Authorities, Proxy
from smtpcheck.alerts.notifiers.notifier import Notifier, Route, SecretUrl
from smtpcheck.alerts.notifiers.recipes import recipe_of
from smtpcheck.alerts.notifiers.webhook import address_problem, routes_of
from smtpcheck.alerts.silence import Silence
from smtpcheck.alerts.thresholds import Thresholds
from smtpcheck.config.fields import Duration, Labels, Period, is_address, mistake
from smtpcheck.config.lint import lint_secret
from smtpcheck.config.problems import Place, Problems, nearest
from smtpcheck.config.silences import SilenceSection, silence_of
from smtpcheck.config.validation import ConfigSection, validated
from smtpcheck.model.check import Check
from smtpcheck.secrets.source import SecretSource

MATCHED = frozenset({"severity", "check", "credential"})
"""What a notifier's `match` may name besides the labels of checks."""

_MOMENT = re.compile(rf"(?:({'|'.join(DAYS)}) )?([01]?[0-9]|2[0-3]):([0-5][0-9])")


@dataclass(frozen=True, slots=True)
class HeartbeatSettings:
    """What is called while the agent is well."""

    url: SecretSource
    every: float
    ca_file: Path | None = None
    proxy: str | None = None

    def heartbeat(self) -> Heartbeat:
        """Return what calls it."""
        return Heartbeat(self.url, self.every, self.ca_file, self.proxy)


@dataclass(frozen=True, slots=True)
class AlertSettings:
    """When an alert fires, and who is notified."""

    thresholds: Thresholds
    remind_every: float | None
    """Seconds; None: never."""
    agent_severity: Severity = Severity.CRITICAL
    """Of the agent's own alert: it has no connectivity, or is at fault."""
    maintenance: tuple[Window, ...] = ()
    silences: tuple[Silence, ...] = ()
    notifiers: tuple[Notifier, ...] = ()
    heartbeat: HeartbeatSettings | None = None


def parse_moment(value: str) -> str:
    """Return a moment of the week as `Sun 02:00`, or of the day as `02:00`.

    Raises:
        ValueError: It is neither.
    """
    if not _MOMENT.fullmatch(value):
        raise mistake("is not a valid time of the week", 'write "Sun 02:00", or "02:00" for every day')
    return value


def parse_zone(value: str) -> str:
    """Return the name of a time zone (https://www.iana.org/time-zones).

    Raises:
        ValueError: There is none of that name.
    """
    if value not in available_timezones():
        raise mistake(
            "is not a valid time zone", nearest(value, available_timezones()) or "write it as Europe/Berlin or UTC"
        )
    return value


_Moment = Annotated[str, AfterValidator(parse_moment)]


class MaintenanceSection(ConfigSection):
    """Hours in which failures are expected."""

    begin: _Moment = Field(alias="from", description='Start: "Sun 02:00", or "02:00" for every day.')
    end: _Moment = Field(alias="to", description="End, in the same form.")
    timezone: Annotated[str, AfterValidator(parse_zone)] = Field(default="UTC", description="Such as Europe/Berlin.")
    labels: Labels = Field(default={}, description="Only for checks with these labels.")


class HeartbeatSection(ConfigSection):
    """An address that is called while the agent is healthy."""

    url: SecretUrl = Field(description="The address, as text or as {env: ...} and the like.")
    every: Period = Field(default=60.0, description="How often it is called.")
    ca_file: Authorities = None
    proxy: Proxy = None


class AlertsSection(ConfigSection):
    """Alerts of its own, for sites without Prometheus' rules."""

    fail_after: int = Field(default=3, ge=1, le=100, description="Consecutive failures until an alert fires.")
    recover_after: int = Field(default=2, ge=1, le=100, description="Consecutive successes until it is resolved.")
    remind_every: Duration = Field(default=12 * 3600.0, description="How often a reminder is sent; 0s: never.")
    agent_severity: Severity = Field(
        default=Severity.CRITICAL,
        description="Of the alert that the agent has no connectivity, or is at fault.",
    )
    maintenance: list[MaintenanceSection] = Field(default=[], description="Hours in which failures do not count.")
    silences: list[SilenceSection] = Field(
        default=[], description="Dated windows in which checks run and count as always, and nobody is notified of them."
    )
    heartbeat: HeartbeatSection | None = Field(
        default=None, description="An address that is called while the agent is healthy."
    )


def alert_settings(
    raw: Any, place: Place, folder: Path | None, checks: Sequence[Check], problems: Problems
) -> AlertSettings | None:
    """Return what `alerts:` says, or report every problem in it."""
    notify = raw.get("notify") if isinstance(raw, Mapping) else None
    rest = {key: value for key, value in raw.items() if key != "notify"} if isinstance(raw, Mapping) else raw
    section = validated(AlertsSection, rest, place.__add__, problems, folder)
    notifiers = _notifiers([] if notify is None else notify, place / "notify", folder, problems)
    _check_names(notifiers, problems)
    for notifier, at in notifiers:
        _check_notifier(notifier, at, checks, problems)
    if section is None:
        return None
    windows = tuple(
        _window(each, place / "maintenance" / index, checks, problems) for index, each in enumerate(section.maintenance)
    )
    silences = tuple(
        silence_of(each, place / "silences" / index, checks, problems) for index, each in enumerate(section.silences)
    )
    beat = section.heartbeat
    if beat is not None:
        _check_heartbeat(beat, place / "heartbeat", checks, problems)
    if not notifiers and notify in (None, []):
        problems.warning(
            place, "has no notifier: alerts are shown on the page only", hint="write notify: [{type: log}]"
        )
    return AlertSettings(
        thresholds=Thresholds(section.fail_after, section.recover_after),
        remind_every=section.remind_every or None,
        agent_severity=section.agent_severity,
        maintenance=windows,
        silences=silences,
        notifiers=tuple(notifier for notifier, _ in notifiers),
        heartbeat=HeartbeatSettings(beat.url, beat.every, beat.ca_file, beat.proxy) if beat else None,
    )


def _notifiers(raw: Any, place: Place, folder: Path | None, problems: Problems) -> list[tuple[Notifier, Place]]:
    if not isinstance(raw, list):
        problems.error(place, "must be a list of notifiers", hint='start each one with "- type:"')
        return []
    types = {str(kind.model_fields["type"].default): kind for kind in NOTIFIER_TYPES}
    found: list[tuple[Notifier, Place]] = []
    for index, each in enumerate(raw):
        at = place / index
        given = each.get("type") if isinstance(each, Mapping) else None
        kind = types.get(given) if isinstance(given, str) else None
        if not isinstance(each, Mapping):
            problems.error(at, "must be a mapping", hint=f"start it with type: {', '.join(sorted(types))}")
        elif kind is None:
            message = "there is no such type" if "type" in each else "is missing"
            word = given if isinstance(given, str) else ""
            hint = recipe_of(word) or nearest(word, types)
            problems.error(at / "type", message, value=given, hint=hint)
        elif (notifier := validated(kind, each, at.__add__, problems, folder)) is not None:
            found.append((notifier, at))
    return found


def _check_names(notifiers: Iterable[tuple[Notifier, Place]], problems: Problems) -> None:
    taken: set[str] = {LABEL}
    for notifier, at in notifiers:
        if notifier.label in taken:
            message = "another notifier has this name" if notifier.label != LABEL else "is the name of the heartbeat"
            problems.error(at / "name", message, value=notifier.label, hint="give this one a name: of its own")
        taken.add(notifier.label)


def _check_notifier(notifier: Notifier, at: Place, checks: Sequence[Check], problems: Problems) -> None:
    for path, source in notifier.secrets():
        lint_secret(source, at + path, problems)
    if problem := notifier.problem():
        problems.error(at, problem)
        return
    if hint := notifier.advice():
        problems.warning(at, hint[0], hint=hint[1])
    _check_match(notifier.match, at / "match", checks, problems)
    _check_routes(notifier.routes(), at, checks, problems)


def _check_match(match: Mapping[str, str], at: Place, checks: Sequence[Check], problems: Problems) -> None:
    known: dict[str, set[str]] = {"severity": {"critical", "warning"}}
    for check in checks:
        own = {**dict(check.labels), "check": check.name, "credential": check.credential or ""}
        for name, value in own.items():
            known.setdefault(name, set()).add(value)
    for name, value in match.items():
        if name not in known.keys() | MATCHED:
            problems.error(at / name, "no check has this label", hint=nearest(name, known.keys() | MATCHED))
        elif checks and value not in known.get(name, set()):
            is_error = name == "severity"
            report = problems.error if is_error else problems.warning
            report(at / name, "matches no check" if not is_error else "must be critical or warning", value=value)


def _check_routes(routes: Iterable[Route], at: Place, checks: Sequence[Check], problems: Problems) -> None:
    hosts = {check.server.host.lower().rstrip(".") for check in checks}
    domains = {
        address.rpartition("@")[2].lower()
        for check in checks
        for address in (check.mailbox, check.sender, check.recipient or "")
        if address
    }
    for route in routes:
        host = route.host.lower().rstrip(".")
        if host in hosts and (route.is_mail or not _is_this_machine(host)):
            what = f"goes through {host}, which is being checked"
        elif route.is_mail and host in domains:
            what = f"goes through mail of {host}, which is being checked"
        else:
            continue
        hint = "it would fail together with what it reports: choose a notifier without this host and its mail"
        problems.error(at, what, hint=hint)
        return


def _is_this_machine(host: str) -> bool:
    return host == "localhost" or (is_address(host) and (host.startswith("127.") or host == "::1"))


def _check_heartbeat(beat: HeartbeatSection, at: Place, checks: Sequence[Check], problems: Problems) -> None:
    lint_secret(beat.url, at / "url", problems)
    if problem := address_problem(beat.url):
        problems.error(at / "url", problem)
    _check_routes(routes_of(beat.url), at / "url", checks, problems)


def _window(section: MaintenanceSection, at: Place, checks: Sequence[Check], problems: Problems) -> Window:
    (begin, weekly), (end, also) = _minutes(section.begin), _minutes(section.end)
    if weekly != also:
        hint = 'write a day in both, such as "Sun 02:00", or in neither'
        problems.error(at / "to", "does not match from: one names a day, the other does not", hint=hint)
    elif begin == end:
        problems.error(at / "to", "is the same time as from", value=section.end)
    names = {name for check in checks for name, _ in check.labels}
    for name in section.labels if checks else ():
        if name not in names:
            problems.error(at / "labels" / name, "no check has this label", hint=nearest(name, names))
    return Window(begin, end, weekly, ZoneInfo(section.timezone), tuple(sorted(section.labels.items())))


def _minutes(moment: str) -> tuple[int, bool]:
    """Return the minutes since the beginning of the week or of the day, and whether it is the week."""
    found = _MOMENT.fullmatch(moment)
    assert found  # noqa: S101 - the field's own form
    day, hour, minute = found.groups()
    of_day = int(hour) * 60 + int(minute)
    return (DAYS.index(day) * DAY_MINUTES if day else 0) + of_day, day is not None
