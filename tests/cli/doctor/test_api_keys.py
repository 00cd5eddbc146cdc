"""What the doctor says of a check by a mail API that takes a key."""

from pathlib import Path

from smtpcheck.cli.doctor.result import Result, Stage
from smtpcheck.model.cause import Cause
from smtpcheck.sandbox.scenarios import SCENARIOS
from smtpcheck.sandbox.world import World
from tests.cli.doctor.test_doctor import Seen, examine, settings_of


async def seen(folder: Path, name: str) -> Seen:
    scenario = next(scenario for scenario in SCENARIOS if scenario.name == name)
    async with World(folder, (scenario,)) as world:
        return await examine(settings_of(world.config), name)


async def test_an_account_in_the_sandbox_is_seen_where_the_connection_is_tested(tmp_path: Path) -> None:
    found = await seen(tmp_path, "ses-sandbox")
    assert found.causes(Stage.TEST) == [Cause.API_ACCOUNT_IN_SANDBOX]
    assert found.text(Stage.TEST, Result.OK).count("is proven; nothing was sent") == 1
    assert found.result(Stage.TEST) is Result.WARNING


async def test_a_proof_that_failed_in_part_proves_nothing(tmp_path: Path) -> None:
    found = await seen(tmp_path, "sendgrid-key-restricted")
    assert found.causes(Stage.TEST)[0] is Cause.API_KEY_NOT_PERMITTED
    assert "proven" not in found.text(Stage.TEST, Result.OK)


async def test_a_key_has_no_application_that_an_issuer_accepts(tmp_path: Path) -> None:
    found = await seen(tmp_path, "ses-sandbox")
    assert found.result(Stage.APPLICATION) is Result.SKIPPED
