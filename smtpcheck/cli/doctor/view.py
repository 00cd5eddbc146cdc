"""An examination on the terminal: each step as soon as it is known, and what is being looked at meanwhile.

Rule of this file: eighty columns suffice; a pipe gets the same lines without colour, and no spinner.
"""

from collections.abc import Sequence
from types import TracebackType
from typing import Self

from rich.console import Console, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from smtpcheck.cli.doctor.result import Examined, Result, Stage, outcome_of
from smtpcheck.diagnosis.catalogue import Catalogue
from smtpcheck.model.check import Check
from smtpcheck.model.printable import printable
from smtpcheck.model.report import Outcome
from smtpcheck.output.finding import findings_text
from smtpcheck.output.terminal import route_of

_PIPE_WIDTH = 80
_STYLES = {
    Result.OK: "green",
    Result.HINT: "cyan",
    Result.WARNING: "yellow",
    Result.FAILED: "red",
    Result.SKIPPED: "dim",
}
_SYMBOLS = {Result.OK: "✓", Result.HINT: "i", Result.WARNING: "!", Result.FAILED: "✗", Result.SKIPPED: "-"}
_OUTCOMES = {Outcome.OK: "green", Outcome.WARNING: "yellow", Outcome.CRITICAL: "red", Outcome.UNKNOWN: "magenta"}


class View:
    """Shows one examination; a context, for the spinner has to end."""

    def __init__(self, check: Check, catalogue: Catalogue) -> None:
        """Show the examination of `check` on standard output."""
        console = Console(highlight=False)
        self._is_terminal = console.is_terminal
        self._console = console if self._is_terminal else Console(highlight=False, width=_PIPE_WIDTH)
        self._status = self._console.status("")
        self._check = check
        self._catalogue = catalogue

    def __enter__(self) -> Self:
        check = self._check
        self._print(Text.assemble((check.name, "bold"), "  ", f"{check.mailbox} via {route_of(check)}".lstrip()))
        if self._is_terminal:
            self._status.start()
        self._announce(Stage.FLOW)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._status.stop()

    def show(self, examined: Examined) -> None:
        """Show a step."""
        stage, result = examined.stage, examined.result
        head = Table.grid(padding=(0, 1))
        head.add_column(width=1)
        head.add_column(justify="right", width=2)
        head.add_column(width=30)
        head.add_column()
        style = _STYLES[result]
        head.add_row(
            Text(_SYMBOLS[result], style), str(stage.value), Text(self._title(stage), "bold"), Text(result, style)
        )
        self._print(head)
        notes = Table.grid(padding=(0, 1))
        notes.add_column(width=1)
        notes.add_column(overflow="fold")
        for note in examined.notes:
            notes.add_row(Text(_SYMBOLS[note.result], _STYLES[note.result]), Text(printable(note.text, keep="\n")))
        self._print(Padding(notes, (0, 0, 0, 5)))
        if examined.findings:
            self._print(Padding(findings_text(examined.findings, self._catalogue), (0, 0, 0, 3)))
        if examined.excluded:
            excluded = ", ".join(cause.value for cause in examined.excluded)
            self._print(Padding(Text(f"ruled out by the further logins: {excluded}"), (0, 0, 0, 5)))
        if stage is not Stage.MAINTENANCE:
            self._announce(Stage(stage + 1))

    def sum_up(self, stages: Sequence[Examined]) -> None:
        """Show the whole in one line."""
        self._status.stop()
        outcome = outcome_of(stages)
        counts = {result: sum(stage.result is result for stage in stages) for result in Result}
        said = ", ".join(f"{count} {result}" for result, count in counts.items() if count)
        self._print(Text.assemble((outcome.value, _OUTCOMES[outcome]), f": {said}"))

    def _announce(self, stage: Stage) -> None:
        self._status.update(f"{stage.value} {self._title(stage)}")

    def _title(self, stage: Stage) -> str:
        return stage.title_of(self._check)

    def _print(self, text: RenderableType) -> None:
        if self._is_terminal:
            self._console.print(text)
            return
        with self._console.capture() as captured:
            self._console.print(text)
        print("\n".join(line.rstrip() for line in captured.get().splitlines()), flush=True)
