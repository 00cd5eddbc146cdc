"""What a run is given: a credential that options describe has no name that a command could use."""

from pathlib import Path

from smtpcheck.check.kit import build_kit
from smtpcheck.config import from_options


async def test_a_credential_of_options_has_no_name_for_commands(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("abc")
    given = {"mailbox": "a@contoso.com", "tenant": "contoso.com", "client_id": "x"}
    settings = from_options({**given, "client_secret_file": tmp_path / "secret"}).settings
    assert settings is not None
    kit = await build_kit(settings)
    try:
        (check,) = settings.checks
        assert kit.hints[check.credential or ""].name == ""
    finally:
        await kit.close()
