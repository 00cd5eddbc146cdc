"""Availability over some weeks: by check, label and credential, with outages and what was silenced.

Rules of this file:
- Pure: the present time is an argument. Availability is computed as on a check's page (`state.availability`): every
  hour weighs the same. That of a label or a credential is that of all the hours of its checks.
- MTTR is the mean length of the outages that ended within the time; one that goes on counts for no mean.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from smtpcheck.alerts.silence import Silence
from smtpcheck.model.check import Check
from smtpcheck.state.availability import HOUR_SECONDS, Span, by_hour, total
from smtpcheck.state.outage import Outage
from smtpcheck.state.past import Past


@dataclass(frozen=True, slots=True)
class OutageOf:
    """One outage of one check."""

    check: str
    outage: Outage
    seconds: float
    """How long it was, up to now where it goes on."""


@dataclass(frozen=True, slots=True)
class Figures:
    """What is reported of a check, a label or a credential."""

    kind: str
    """`check`, `label` or `credential`."""
    name: str
    checks: int
    span: Span
    outages: int
    longest: float | None
    """Seconds of the longest outage."""
    mttr: float | None
    """Seconds; None without an outage that ended."""

    @property
    def availability(self) -> float | None:
        """Return the share of time in which it was healthy, from 0 to 1; None where nothing is known."""
        return self.span.availability


@dataclass(frozen=True, slots=True)
class AvailabilityReport:
    """All that is reported."""

    begin: float
    end: float
    """Unix seconds."""
    days: int
    whole: Figures
    groups: tuple[Figures, ...]
    """Of labels and credentials."""
    checks: tuple[Figures, ...]
    """The least available first."""
    outages: tuple[OutageOf, ...]
    """The latest first."""
    silences: tuple[tuple[Silence, int], ...]
    """Those in force within the time, each with how many checks it is for."""


def availability_report(
    checks: Sequence[Check], past: Past, silences: Iterable[Silence], *, days: int, now: float
) -> AvailabilityReport:
    """Return what is reported of checks over the last `days` times 24 hours up to `now` (Unix seconds).

    `silences` are those of the configuration; those that people made are in `past`.
    """
    begin = now - days * 24 * HOUR_SECONDS
    spans = {check.name: _span(check, past, days, now) for check in checks}
    outages = {check.name: _outages(check.name, past, begin, now) for check in checks}
    of_checks = [_figures("check", check.name, [check], spans, outages) for check in checks]
    groups = [
        _figures(kind, name, members, spans, outages) for (kind, name), members in sorted(_groups(checks).items())
    ]
    everything = (*silences, *past.silences)
    shown = [
        (silence, sum(map(silence.covers, checks)))
        for silence in everything
        if silence.starts_at < now and silence.ends_at > begin
    ]
    return AvailabilityReport(
        begin=begin,
        end=now,
        days=days,
        whole=_figures("all", "all checks", checks, spans, outages),
        groups=tuple(groups),
        checks=tuple(sorted(of_checks, key=lambda each: (each.availability is None, each.availability, each.name))),
        outages=tuple(sorted((one for each in outages.values() for one in each), key=lambda one: -one.outage.began)),
        silences=tuple(sorted(shown, key=lambda pair: pair[0].starts_at)),
    )


def _span(check: Check, past: Past, days: int, now: float) -> Span:
    kept = past.checks[check.name]
    hours = by_hour(kept.days, kept.outages, interval=check.interval, now=now, last_days=days + 1)
    return total(hours[-24 * days :])


def _outages(name: str, past: Past, begin: float, now: float) -> list[OutageOf]:
    return [
        OutageOf(name, outage, max((outage.ended if outage.ended is not None else now) - outage.began, 0.0))
        for outage in past.checks[name].outages
        if outage.began < now and (outage.ended is None or outage.ended > begin)
    ]


def _groups(checks: Iterable[Check]) -> Mapping[tuple[str, str], list[Check]]:
    groups: defaultdict[tuple[str, str], list[Check]] = defaultdict(list)
    for check in checks:
        for name, value in check.labels:
            groups["label", f"{name}={value}"].append(check)
        if check.credential is not None:
            groups["credential", check.credential].append(check)
    return groups


def _figures(
    kind: str,
    name: str,
    checks: Sequence[Check],
    spans: Mapping[str, Span],
    outages: Mapping[str, Sequence[OutageOf]],
) -> Figures:
    own = [one for check in checks for one in outages[check.name]]
    ended = [one.seconds for one in own if one.outage.ended is not None]
    return Figures(
        kind=kind,
        name=name,
        checks=len(checks),
        span=total([spans[check.name] for check in checks]) if checks else Span(0.0, 0),
        outages=len(own),
        longest=max((one.seconds for one in own), default=None),
        mttr=sum(ended) / len(ended) if ended else None,
    )
