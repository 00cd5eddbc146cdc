"""The script for PowerShell: what a parser of PowerShell reads in it, and that its commands and parameters exist."""

from pathlib import Path

import pytest

from smtpcheck.setup.choices import Grant
from smtpcheck.setup.graph_powershell import graph_powershell_script
from smtpcheck.setup.planning import Wishes, microsoft_plan
from tests.worlds.powershell import commands, functions, syntax_errors, variables
from tests.worlds.powershell_commands import COMMANDS
from tests.worlds.setup import OTHER_CLIENT, SECRET, UNIT, application, check, loopback, settings_of

GOLDEN = Path(__file__).parent / "golden"
CONFIGURATIONS: dict[str, tuple[list[dict[str, object]], dict[str, dict[str, object]] | None, Wishes]] = {
    "mailbox": ([check(), check("o'brien@contoso.com", sender="office@contoso.com")], None, Wishes()),
    "imap": ([check(loopback=loopback())], None, Wishes()),
    "graph": ([check(loopback=loopback("graph"))], None, Wishes()),
    "rbac-group": ([check(), check("o'brien@contoso.com")], None, Wishes(grant=Grant.RBAC_GROUP)),
    "rbac-au": ([check()], None, Wishes(grant=Grant.RBAC_AU, administrative_unit=UNIT)),
    "managed-identity": (
        [check(credential="vm")],
        {"vm": {"type": "microsoft-managed-identity", "object_id": UNIT}},
        Wishes(tenant="contoso.onmicrosoft.com"),
    ),
    "inspector": (
        [check()],
        {
            "contoso": application(inspect={"by": "auditor", "exchange": True}),
            "auditor": application(client_id=OTHER_CLIENT),
        },
        Wishes(),
    ),
    "read-expiry": ([check()], {"contoso": application(read_expiry_from_graph=True)}, Wishes()),
}


def script_of(name: str, folder: Path) -> str:
    checks, credentials, wishes = CONFIGURATIONS[name]
    return graph_powershell_script(microsoft_plan(settings_of(folder, *checks, credentials=credentials), wishes))


@pytest.mark.parametrize("name", CONFIGURATIONS)
def test_the_script_parses(name: str, tmp_path: Path) -> None:
    script = script_of(name, tmp_path)
    assert syntax_errors(script) == []
    assert script.isascii()


@pytest.mark.parametrize("name", CONFIGURATIONS)
def test_every_command_exists_with_every_parameter(name: str, tmp_path: Path) -> None:
    script = script_of(name, tmp_path)
    own = functions(script)
    unknown = []
    for command in commands(script):
        if command.name in own or command.name == "$Action":
            continue
        parameters = COMMANDS.get(command.name)
        if parameters is None or not set(command.parameters) <= parameters:
            unknown.append((command.name, command.parameters))
    assert unknown == []


@pytest.mark.parametrize("name", CONFIGURATIONS)
def test_it_defines_what_it_calls_and_calls_what_it_defines(name: str, tmp_path: Path) -> None:
    script = script_of(name, tmp_path)
    called = {command.name for command in commands(script)} - COMMANDS.keys() - {"$Action"}
    assert called == functions(script)


@pytest.mark.parametrize("name", CONFIGURATIONS)
def test_the_commands_that_are_checked_for_are_those_it_runs(name: str, tmp_path: Path) -> None:
    """Whoever lacks a role in Exchange is refused before anything changes."""
    script = script_of(name, tmp_path)
    listed = [line.strip(" ',") for line in script.partition("ExchangeCommands = @(")[2].partition(")")[0].splitlines()]
    changing = {"New-", "Add-", "Set-", "Remove-", "Enable-"}
    run = {
        command.name
        for command in commands(script)
        if command.name.startswith(tuple(changing)) and command.name in COMMANDS and "-Mg" not in command.name
    } - {"Add-Content", "Set-StrictMode", "New-Object"}
    conditional = {"Remove-ServicePrincipal", "Enable-OrganizationCustomization", "Set-DistributionGroup"}
    assert run - set(listed) <= conditional


def test_only_the_first_statement_before_the_data_is_the_parameters(tmp_path: Path) -> None:
    lines = [line for line in script_of("mailbox", tmp_path).splitlines() if line and not line.startswith("#")]
    assert lines[:2] == ["[CmdletBinding()]", "param("]


@pytest.mark.parametrize("name", CONFIGURATIONS)
def test_no_secret_is_in_it(name: str, tmp_path: Path) -> None:
    assert SECRET["value"] not in script_of(name, tmp_path)


@pytest.mark.parametrize("name", CONFIGURATIONS)
def test_nothing_is_removed_unless_it_was_asked_for(name: str, tmp_path: Path) -> None:
    """A command that removes is behind `-Replace`, in the statement that asks or in a check that ends the script."""
    script = script_of(name, tmp_path)
    removing = {command.name for command in commands(script) if command.name.startswith("Remove-")}
    own = functions(script)
    assert removing - own <= {"Remove-ServicePrincipal", "Remove-MgServicePrincipalAppRoleAssignment"}
    assert "$Replace" in variables(script)


@pytest.mark.parametrize("name", CONFIGURATIONS)
def test_every_change_is_recorded_before_it_is_made(name: str, tmp_path: Path) -> None:
    """Within each function the first line that changes something follows one that records it."""
    changing = ("New-Mg", "Update-Mg", "Add-Mg", "Remove-", "New-", "Add-", "Set-CAS", "Set-Dist", "Enable-")
    exempt = {"New-Object", "Add-Content"}
    for block in script_of(name, tmp_path).split("\nfunction ")[1:]:
        recorded = False
        for command in commands(block.partition("\n}")[0]):
            recorded |= command.name == "Save-Record"
            if command.name in COMMANDS and command.name.startswith(changing) and command.name not in exempt:
                assert recorded, (block.partition("(")[0], command.name)


@pytest.mark.parametrize("name", CONFIGURATIONS)
def test_mailboxes_of_another_tenant_stop_it_before_anything_changes(name: str, tmp_path: Path) -> None:
    """Which domains and mailboxes are the tenant's only the tenant knows."""
    script = script_of(name, tmp_path)
    order = ["Get-AcceptedDomain", "{ Stop-Setup $problems }", "if ($CheckOnly)", "Save-Record 'script' 'before'"]
    places = [script.index(each) for each in order]
    assert places == sorted(places)
    assert "= Set-Application" not in script[: places[-1]]


READ = ("mailbox", "rbac-group")


@pytest.mark.parametrize("name", READ)
def test_the_script_is_the_one_that_was_read(name: str, tmp_path: Path) -> None:
    """The files in `golden/` are read by people; after a change write them again, and read what changed."""
    script = script_of(name, tmp_path).replace(str(tmp_path), "/etc/smtpcheck")
    assert script == (GOLDEN / f"graph-powershell-{name}.ps1").read_text()
