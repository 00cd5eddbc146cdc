"""`smtpcheck explain`: what an error means and how to fix it; offline, without a configuration.

Rules of this file:
- It starts at once: nothing is imported but the diagnosis and what shows its findings.
- The input is untrusted and may be anything: bounded in size, and as YAML in depth, without aliases.
- Nothing of the input is shown but what the findings cite, and of that no token and no secret.
"""

import json
import sys
from collections.abc import Mapping
from dataclasses import replace
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from msgspec import structs

from smtpcheck.model.cause import Cause
from smtpcheck.model.report import Finding

if TYPE_CHECKING:
    from smtpcheck.diagnosis.catalogue import Catalogue
    from smtpcheck.diagnosis.events import Failure
    from smtpcheck.diagnosis.observation import Observation

MAX_INPUT = 256 * 1024
"""How many octets of input are taken."""

UNKNOWN = 3
"""The exit code for a text that nothing known explains."""

_DEEPEST = 24
_STDIN = "-"


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(name="explain")(explain)


def explain(
    text: Annotated[
        list[str] | None,
        typer.Argument(metavar="TEXT", help="An error verbatim, or the id of a cause; - reads standard input."),
    ] = None,
    observation: Annotated[
        str | None, typer.Option(metavar="FILE", help="An observation in YAML or JSON; - reads standard input.")
    ] = None,
    everything: Annotated[bool, typer.Option("--list", help="List every cause with its meaning.")] = False,
    output: Annotated[str, typer.Option("--format", metavar="FORMAT", help="text or json.")] = "text",
) -> None:
    """Explain an error and how to fix it.

    Takes pasted text: a reply, a code, a log, a stack trace, a transcript, the JSON of an issuer, a bounce, the header
    of a message. Nothing is sent anywhere; tokens and secrets in the text are not repeated.
    """
    given = " ".join(text or ())
    if sum((bool(given), observation is not None, everything)) != 1:
        raise typer.BadParameter("give one of: an error's text, - for standard input, --observation FILE, --list")
    if output not in {"text", "json"}:
        raise typer.BadParameter(f"--format is text or json, not {output!r}")
    from smtpcheck.diagnosis import catalogue
    from smtpcheck.diagnosis.events import Failure, failures_of
    from smtpcheck.diagnosis.explain import explain as findings_of

    as_json, rules = output == "json", catalogue.load()
    if everything:
        _show_causes(rules, as_json=as_json)
        return
    if given in set(Cause):
        failures = [Failure((1,), 1, (Finding(Cause(given), 1.0, rule="asked"),))]
    elif observation is not None:
        failures = [Failure((1,), 1, findings_of(_observed(observation), rules))]
    else:
        failures = list(failures_of(_pasted(given), rules))
    if given not in set(Cause):
        failures = [_with_nearest(given, failure) for failure in failures]
    _show(failures, rules, as_json=as_json)
    if failures[0].findings[0].cause is Cause.UNKNOWN and given != Cause.UNKNOWN:
        raise typer.Exit(UNKNOWN)


def _pasted(text: str) -> str:
    octets = _octets(_STDIN) if text == _STDIN else text.encode("utf-8", "surrogateescape")
    pasted = _bounded(_beginning(octets))
    if not pasted.strip():
        raise typer.BadParameter("the input is empty")
    return pasted


def _beginning(octets: bytes) -> bytes:
    """Return all, or of a message that is too large its beginning: a bounce says why before it returns the message."""
    from smtpcheck.mail.mime import is_message

    return octets[:MAX_INPUT] if len(octets) > MAX_INPUT and is_message(octets) else octets


def _with_nearest(given: str, failure: "Failure") -> "Failure":
    """Return the failure with the nearest id of a cause, if what was given may be a misspelt one."""
    first = failure.findings[0]
    nearest = get_close_matches(given.strip().lower(), list(Cause), n=1, cutoff=0.75)
    if first.cause is not Cause.UNKNOWN or not nearest:
        return failure
    said = f"{given.strip()[:80]} is no cause; the nearest is {nearest[0]}"
    return replace(failure, findings=(structs.replace(first, evidence=(said, *first.evidence)),))


def _observed(file: str) -> "Observation":
    from smtpcheck.diagnosis.observation import from_case

    return from_case(_mapping(_bounded(_octets(file))))


def _octets(file: str) -> bytes:
    try:
        if file == _STDIN:
            return sys.stdin.buffer.read(MAX_INPUT + 1)
        with Path(file).open("rb") as source:
            return source.read(MAX_INPUT + 1)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "refused"
        raise typer.BadParameter(f"{file} cannot be read: {reason.lower()}") from None


def _bounded(content: bytes) -> str:
    if len(content) > MAX_INPUT:
        raise typer.BadParameter(f"the input is larger than {MAX_INPUT // 1024} KiB: give the part around the error")
    return content.decode("utf-8-sig", "replace")


def _mapping(text: str) -> Mapping[str, object]:
    """Return an observation's keys and values; JSON is read as JSON, anything else as YAML."""
    try:
        value = json.loads(text)
    except RecursionError:
        raise typer.BadParameter("the observation is nested too deep") from None
    except ValueError:
        value = _yaml(text)
    if not isinstance(value, dict) or not all(isinstance(key, str) for key in value):
        raise typer.BadParameter("an observation is a mapping, such as {observed: {smtp_reply: ...}}")
    return value


def _yaml(text: str) -> object:
    import yaml

    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    depth = 0
    try:
        for event in yaml.parse(text, loader):
            depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
            if depth > _DEEPEST or isinstance(event, yaml.AliasEvent):
                raise typer.BadParameter("the observation is nested too deep, or contains an alias")
        return yaml.load(text, loader)  # noqa: S506 - one of the two safe loaders
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f" in line {mark.line + 1}" if mark else ""
        raise typer.BadParameter(f"the observation is neither JSON nor YAML{where}") from None
    except ValueError:
        raise typer.BadParameter("the observation contains a value that YAML cannot read") from None


def _show(failures: "list[Failure]", rules: "Catalogue", *, as_json: bool) -> None:
    if as_json:
        from smtpcheck.diagnosis.explain import as_json as written

        shown: dict[str, object] = {**written(failures[0].findings, rules)}
        if len(failures) > 1:
            shown["failures"] = [
                {"lines": each.lines, "count": each.count, **written(each.findings, rules)} for each in failures
            ]
        print(json.dumps(shown, indent=2))
        return
    from smtpcheck.output.finding import failures_text, show

    show(failures_text(failures, rules))


def _show_causes(rules: "Catalogue", *, as_json: bool) -> None:
    from smtpcheck.diagnosis.explain import meaning as meaning_of

    meanings = {cause.value: meaning_of(entry) for cause, entry in rules.entries.items()}
    if as_json:
        print(json.dumps({"causes": meanings}, indent=2))
        return
    from rich.table import Table
    from rich.text import Text

    from smtpcheck.output.finding import show

    table = Table.grid(padding=(0, 2))
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for cause, meaning in meanings.items():
        table.add_row(Text(cause, "bold"), Text(meaning))
    show(table)
