"""What the doctor says of a check by a mail API, against the sandbox."""

from pathlib import Path

import pytest

from smtpcheck.check.kit import build_kit
from smtpcheck.cli.doctor.document import as_json
from smtpcheck.cli.doctor.examination import Examination
from smtpcheck.cli.doctor.result import Result, Stage
from smtpcheck.config import load
from smtpcheck.sandbox.scenarios import SCENARIOS
from smtpcheck.sandbox.world import World

BY_API = [scenario for scenario in SCENARIOS if scenario.name.startswith(("graph-", "gmail-"))]


async def examined(folder: Path, name: str, *, probe_refusal: bool = False) -> dict[Stage, tuple[Result, str, str]]:
    """Return result, title and notes of each stage."""
    async with World(folder, BY_API) as world:
        settings = load([world.config]).settings
        assert settings is not None
        check = next(check for check in settings.checks if check.name == name)
        kit = await build_kit(settings)
        try:
            examination = Examination(check, settings, kit, probe_refusal=probe_refusal)
            stages = [stage async for stage in examination.run()]
            titles = [step["title"] for step in as_json(examination.evidence, stages, kit.catalogue)["steps"]]
            sent = [*world.issuer.graph_send.sent, *world.google.gmail_api.sent]
            assert sent == []
            assert sum(world.issuer.graph_send.asked.values()) + sum(world.google.gmail_api.asked.values()) == 1
        finally:
            await kit.close()
    return {
        stage.stage: (stage.result, title, "; ".join(note.text for note in stage.notes))
        for stage, title in zip(stages, titles, strict=True)
    }


async def test_graph_is_not_measured_by_what_smtp_requires(tmp_path: Path) -> None:
    stages = await examined(tmp_path, "graph-healthy", probe_refusal=True)
    assert stages[Stage.PERMISSIONS][::2] == (Result.OK, "the token grants Mail.Send, which graph requires")
    assert stages[Stage.SCOPES][0] is Result.OK
    assert "the token is for Microsoft Graph (https://graph.microsoft.com)" in stages[Stage.SCOPES][2]
    assert stages[Stage.CONNECTION][:2] == (Result.OK, "connection to the API")
    assert stages[Stage.TEST][2].startswith("the right to send from graph-healthy@contoso.example is proven")
    assert "by SMTP alone" in stages[Stage.ERRORS][2]
    assert "the token grants nothing beyond sending by graph" in stages[Stage.SECRETS][2]


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("graph-mailbox-excluded", "request: the server says 403 ErrorAccessDenied Access is denied."),
        ("gmail-scope-insufficient", "request: the server says 403 insufficientPermissions Request had insufficient"),
    ],
)
async def test_a_refusal_is_of_the_test_and_not_of_the_connection(name: str, said: str, tmp_path: Path) -> None:
    stages = await examined(tmp_path, name)
    assert stages[Stage.CONNECTION][0] is Result.OK
    assert stages[Stage.TEST][0] is Result.FAILED
    assert stages[Stage.TEST][2].startswith(said)


async def test_a_token_without_roles_is_legal(tmp_path: Path) -> None:
    stages = await examined(tmp_path, "graph-consent-missing")
    assert stages[Stage.PERMISSIONS][0] is Result.OK
    assert "RBAC for applications grants 'Application Mail.Send'" in stages[Stage.PERMISSIONS][2]
