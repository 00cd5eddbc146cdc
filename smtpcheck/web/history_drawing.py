"""The geometry of the history's drawings: availability and latency over hours or days, and the badge.

Rules of this file:
- Pure: numbers in the drawing's own coordinates, never style, for the pages allow no inline style.
- What is bad is never shown by colour alone: availability is a height, and a failure has a sign of its own shape.
- Latencies have a logarithmic scale that is the same for every check, so that two pages can be compared.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from smtpcheck.state.availability import Span

WIDTH = 1080.0
HEIGHT = 100.0
_LEAST_HEIGHT = 1.5
"""So that a column without any availability can still be seen."""
_GAP = 0.16
"""Which part of a column's width stays free between two columns."""
FASTEST, SLOWEST = 0.01, 100.0
"""Seconds: the ends of the scale of latencies."""
NOTHING = "\N{EN DASH}"
SCALE = ("100 s", "10 s", "1 s", "100 ms", "10 ms")
"""The lines of the scale, from the top."""


@dataclass(frozen=True, slots=True)
class Bar:
    """One hour or day of the drawing of availability."""

    span: Span
    x: float
    width: float
    height: float
    """0 where nothing is known."""


@dataclass(frozen=True, slots=True)
class Latency:
    """One hour or day of the drawing of latency, from the mean up to the longest run."""

    span: Span
    x: float
    """Of its middle."""
    mean: float
    longest: float


def bars(spans: Sequence[Span]) -> tuple[Bar, ...]:
    """Return a column for each span, its height the availability."""
    place = WIDTH / len(spans) if spans else 0.0
    return tuple(
        Bar(span, round((number + _GAP / 2) * place, 2), round(place * (1 - _GAP), 2), _height(span.availability))
        for number, span in enumerate(spans)
    )


def latencies(spans: Sequence[Span]) -> tuple[Latency, ...]:
    """Return the positions of mean and longest, for each span with a run."""
    place = WIDTH / len(spans) if spans else 0.0
    return tuple(
        Latency(span, round((number + 0.5) * place, 2), _level(span.mean), _level(span.longest))
        for number, span in enumerate(spans)
        if span.mean is not None
    )


def lines(points: Sequence[Latency], place: float) -> tuple[str, ...]:
    """Return the means as polylines (SVG 2 10.6), each without a gap of more than one `place`."""
    rows: list[list[Latency]] = []
    for point in points:
        if rows and point.x - rows[-1][-1].x < 1.5 * place:
            rows[-1].append(point)
        else:
            rows.append([point])
    return tuple(_points(row, place) for row in rows)


def percent(share: float | None) -> str:
    """Return a share as a percentage that is never rounded up: `100 %` had no failure. A dash for None."""
    if share is None:
        return NOTHING
    if share >= 1:
        return "100 %"
    floor = math.floor(share * 10_000 + 1e-6) / 100
    return f"{floor:.2f} %"


def _points(row: Iterable[Latency], place: float) -> str:
    points = [(point.x, point.mean) for point in row]
    if len(points) == 1:
        (x, mean), half = points[0], place * (1 - _GAP) / 2
        points = [(x - half, mean), (x + half, mean)]
    return " ".join(f"{x:.2f},{y:.1f}" for x, y in points)


def _height(availability: float | None) -> float:
    return 0.0 if availability is None else round(max(availability * HEIGHT, _LEAST_HEIGHT), 1)


def _level(seconds: float) -> float:
    """Return how far below the top of the drawing a latency is drawn."""
    within = min(max(seconds, FASTEST), SLOWEST)
    return round(HEIGHT * math.log(SLOWEST / within) / math.log(SLOWEST / FASTEST), 1)
