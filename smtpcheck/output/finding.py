"""Findings as text for a terminal.

Rules of this file:
- Light: it is imported by `explain`, which starts at once. Only `show` writes.
- What third parties wrote is shown without their control characters.
- The best finding is shown whole, the others by name, below a certain one only those that are certain too. Eighty
  columns suffice. Where the first says only what happened, the one behind it is shown whole too, for it says why.
"""

from collections.abc import Iterator, Sequence

from rich.console import Console, Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from smtpcheck.diagnosis.catalogue import Catalogue
from smtpcheck.diagnosis.events import Failure
from smtpcheck.diagnosis.explain import CERTAIN, certainty_words, describe, reasons_first
from smtpcheck.model.cause import WHY_FOLLOWS, Cause
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
    """Return the first finding whole, with those that look the same, and each of the next few in one line."""
    grid = Table.grid(padding=(0, 2))
    grid.add_column(style="dim", no_wrap=True, min_width=10)
    grid.add_column(overflow="fold")
    if findings and findings[0].cause in WHY_FOLLOWS:
        _add_whole(grid, findings[0], (), catalogue)
        findings = findings[1:]
    for first in findings[:1]:
        alike = [finding for finding in findings[1:] if finding.rule == first.rule][:_MOST_NAMED]
        _add_whole(grid, first, alike, catalogue)
        least = CERTAIN if first.certainty >= CERTAIN else 0.0
        others = [finding for finding in findings[1:] if finding.rule != first.rule and finding.certainty >= least]
        for number, finding in enumerate(others[: _MOST_NAMED - len(alike)]):
            grid.add_row("" if number else "or", _name(finding, catalogue))
    return Padding(grid, (0, 0, 0, 2))


def failures_text(failures: Sequence[Failure], catalogue: Catalogue) -> RenderableType:
    """Return the findings of each failure, below its lines where there are several."""
    if len(failures) < 2:
        return findings_text(failures[0].findings if failures else (), catalogue)
    texts = (item for each in failures for item in (_lines(each), findings_text(each.findings, catalogue), Text()))
    return Group(*texts)


def _lines(failure: Failure) -> Text:
    shown = ", ".join(map(str, failure.lines))
    more = " and more" if failure.count > len(failure.lines) else ""
    times = "once" if failure.count == 1 else f"{failure.count} times"
    return Text(f"line{'' if failure.count == 1 else 's'} {shown}{more}: {times}", "bold")


def _add_whole(grid: Table, finding: Finding, alike: Sequence[Finding], catalogue: Catalogue) -> None:
    explanation = describe(finding, catalogue)
    grid.add_row("cause", _name(finding, catalogue))
    for number, sentence in enumerate(explanation.evidence):
        grid.add_row("" if number else "evidence", Text(printable(sentence, keep="\n")))
    for number, step in enumerate(explanation.remedy):
        grid.add_row("" if number else "fix", Text(printable(f"{number + 1}. {step}", keep="\n")))
    if alike and finding.certainty < CERTAIN:
        for number, line in enumerate(_confirming(finding, alike, catalogue)):
            grid.add_row("" if number else "confirm", Text(line))
    elif explanation.tell_apart and finding.cause is not Cause.UNKNOWN:
        grid.add_row("confirm", Text(explanation.tell_apart))
    if explanation.reference:
        grid.add_row("see", _reference(explanation.reference))


def _confirming(finding: Finding, alike: Sequence[Finding], catalogue: Catalogue) -> Iterator[str]:
    """Yield how to find out which of the causes it is that look the same: one line each, in the order to check them."""
    yield "these look the same; check them in this order:"
    for cause in reasons_first([item.cause for item in (finding, *alike)], catalogue):
        yield f"- {cause.value}: {catalogue.entries[cause].tell_apart}"
    yield f"or all at once: smtpcheck doctor {finding.values.get('check', '<check>')}"
    if credential := finding.values.get("inspect"):
        yield f"or ask the provider itself: smtpcheck inspect {credential}"


def _reference(reference: str) -> Text:
    """Return a reference; an address stays whole for a terminal that knows links (OSC 8), however narrow it is."""
    return Text(reference, f"link {reference}" if reference.startswith("https://") and " " not in reference else "")


def _name(finding: Finding, catalogue: Catalogue) -> Text:
    summary = describe(finding, catalogue).summary
    return Text.assemble((summary, "bold"), f" ({finding.cause.value}{_sure(finding)})")


def _sure(finding: Finding) -> str:
    return "" if finding.cause is Cause.UNKNOWN else f", {certainty_words(finding.certainty)}"
