"""What takes a record back: every change has its step, and nothing happens by default."""

import json
import re

import pytest

from smtpcheck.setup.parts import part
from smtpcheck.setup.record import KINDS, parse_record
from smtpcheck.setup.undo import undo_script
from tests.worlds.powershell import commands, functions, syntax_errors
from tests.worlds.powershell_commands import COMMANDS

GUID = "0f0f0f0f-1111-2222-3333-444444444444"
VALUES = {"guid": GUID, "hex": "A" * 40, "id": "abc-_1", "text": "o'brien$(x)@contoso.com", "switch": None}
SCRIPT = {
    "change": "script",
    "state": "before",
    "tenant": "contoso.com",
    "tenant_id": GUID,
    "graph": "Global",
    "exchange": "O365Default",
}
FINAL = {"registration_removed", "organization_customization"}
"""What cannot be taken back; the script says so."""


def script_of(*kinds: str) -> str:
    lines = [SCRIPT]
    for name in kinds:
        kind = KINDS[name]
        values = {field: VALUES[form] for field, form in kind.fields.items()}
        lines.append({"change": name, "state": kind.state, **values})  # type: ignore[dict-item]
    return undo_script(parse_record("\n".join(map(json.dumps, lines))))


@pytest.mark.parametrize("kinds", [tuple(KINDS), ("application",), ("smtp_auth",), ()])
def test_it_parses_and_every_command_exists(kinds: tuple[str, ...]) -> None:
    script = script_of(*kinds)
    assert syntax_errors(script) == []
    own = functions(script)
    for command in commands(script):
        if command.name not in own and not command.name.startswith("$"):
            assert set(command.parameters) <= COMMANDS[command.name], command


@pytest.mark.parametrize("kind", sorted(KINDS.keys() - FINAL))
def test_every_change_has_a_step_that_is_defined(kind: str) -> None:
    script = script_of(kind)
    step = re.search(rf"\$Steps = @{{ {kind} = '([\w-]+)' }}", script)
    assert step and step[1] in functions(script)


@pytest.mark.parametrize("kind", sorted(FINAL))
def test_what_cannot_be_taken_back_is_said(kind: str) -> None:
    script = script_of(kind)
    assert "$Steps = @{}" in script
    assert re.search(r"^# - .*(not made again|cannot be taken back)", script, re.MULTILINE)


def test_every_change_asks_first_whether_it_may() -> None:
    for name in ("undo-graph.ps1", "undo-exchange.ps1"):
        for block in part(name).split("\nfunction ")[1:]:
            before = [command.name for command in commands(block)]
            changing = [
                place for place, each in enumerate(before) if each.startswith(("Remove-", "Set-", "New-", "Update-"))
            ]
            assert all("Confirm-Change" in before[:place] for place in changing), block.partition("(")[0]


@pytest.mark.parametrize("removed", ["Application", "EnterpriseApplication", "Registration", "Group"])
def test_what_cannot_be_had_back_is_removed_after_a_question(removed: str) -> None:
    text = part("undo-graph.ps1") + part("undo-exchange.ps1")
    block = text.partition(f"function Undo-{removed}(")[2].partition("\n}")[0]
    assert re.search(r"Confirm-Change \".*\" \$true", block)


def test_every_change_that_a_script_records_is_known() -> None:
    from smtpcheck.setup import parts

    recorded = set()
    for file in parts._FOLDER.glob("*.ps1"):
        recorded |= set(re.findall(r"Save-Record '(\w+)' '(before|done)'", file.read_text()))
    assert {name for name, _ in recorded} == KINDS.keys()
    assert {(name, kind.state) for name, kind in KINDS.items()} <= recorded
