"""Findings as text for a terminal.

Rules of this file:
- Light: it is imported by `explain`, which starts at once. Only `show` writes.
- What third parties wrote is shown without their control characters.
- The best finding is shown whole, the others by name; eighty columns suffice.
"""

from collections.abc import Sequence

from rich.console import Console, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from smtpcheck.diagnosis.catalogue import Catalogue
from smtpcheck.diagnosis.explain import describe
from smtpcheck.model.printable import printable
from smtpcheck.model.report import Finding

_MOST_NAMED = 4
"""How many of the less certain findings are named."""
_PIPE_WIDTH = 160


def show(text: RenderableType) -> None:
    """Write to standard output; a pipe gets plain lines without blanks at their ends."""
    console = Console(highlight=False)
    if console.is_terminal:
        console.print(text)
        return
    plain = Console(highlight=False, width=_PIPE_WIDTH)
    with plain.capture() as captured:
        plain.print(text)
    print("\n".join(line.rstrip() for line in captured.get().splitlines()))  # noqa: T201


def findings_text(findings: Sequence[Finding], catalogue: Catalogue) -> RenderableType:
    """Return the first finding whole, and each of the next few in one line."""
    grid = Table.grid(padding=(0, 2))
    grid.add_column(style="dim", no_wrap=True, min_width=10)
    grid.add_column(overflow="fold")
    for finding in findings[:1]:
        _add_whole(grid, finding, catalogue)
    for number, finding in enumerate(findings[1 : 1 + _MOST_NAMED]):
        grid.add_row("" if number else "or", _name(finding, catalogue))
    return Padding(grid, (0, 0, 0, 2))


def _add_whole(grid: Table, finding: Finding, catalogue: Catalogue) -> None:
    explanation = describe(finding, catalogue)
    grid.add_row("cause", _name(finding, catalogue))
    for number, sentence in enumerate(explanation.evidence):
        grid.add_row("" if number else "evidence", Text(printable(sentence, keep="\n")))
    for number, step in enumerate(explanation.remedy):
        grid.add_row("" if number else "fix", Text(printable(f"{number + 1}. {step}", keep="\n")))
    if explanation.tell_apart:
        grid.add_row("confirm", Text(explanation.tell_apart))
    if explanation.reference:
        grid.add_row("see", Text(explanation.reference))


def _name(finding: Finding, catalogue: Catalogue) -> Text:
    summary = describe(finding, catalogue).summary
    return Text.assemble((summary, "bold"), f" ({finding.cause.value}, {finding.certainty:.0%})")
