"""What came out: rows with a figure and, where there is one, its goal."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Row:
    """One figure."""

    what: str
    value: float
    unit: str
    goal: float | None = None
    """The most that the value may be."""

    @property
    def verdict(self) -> str:
        if self.goal is None:
            return ""
        return "met" if self.value <= self.goal else "missed"


def markdown(rows: Iterable[Row]) -> str:
    """Return the rows as a table."""
    cells = [("what", "measured", "goal: at most", ""), ("---", "---:", "---:", "---")]
    for row in rows:
        goal = "" if row.goal is None else figure(row.goal, row.unit)
        cells.append((row.what, figure(row.value, row.unit), goal, row.verdict))
    return grid(cells)


def grid(lines: Sequence[tuple[str, ...]]) -> str:
    """Return lines of cells as a table; the second one is its rule."""
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return "\n".join(
        "| " + " | ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)) + " |" for line in lines
    )


def figure(value: float, unit: str) -> str:
    """Return a figure with three digits."""
    return f"{value:.3g} {unit}".strip() if value < 100 else f"{value:.0f} {unit}".strip()
