"""`smtpcheck inspect`: all that the provider says, what is wrong first."""

import asyncio
import csv
import io
import json
from pathlib import Path

import pytest

from smtpcheck.sandbox.flaws import Flaw
from tests.cli.test_cli import smtpcheck
from tests.worlds.inspection import INSPECTED, MAILBOX, tenant


async def inspected(folder: Path, *options: str, flaw: Flaw | None = None) -> tuple[int, str, str]:
    """Return exit code, output and errors of the command in a tenant with a flaw."""
    async with tenant(folder, INSPECTED, flaw=flaw) as site:
        done = await asyncio.to_thread(smtpcheck, "inspect", "contoso", "-c", site.world.config, *options)
        assert not any(secret in done.stdout + done.stderr for secret in site.world.secrets())
        return done.returncode, done.stdout, done.stderr


async def test_a_tenant_in_order_has_nothing_wrong(tmp_path: Path) -> None:
    code, output, _ = await inspected(tmp_path)
    assert (code, output.splitlines()[0]) == (0, "Nothing that was read is wrong.")
    for part in ("Application and tenant", MAILBOX, "smtp auth disabled", "not set", "full access"):
        assert part in output


async def test_what_is_wrong_comes_first(tmp_path: Path) -> None:
    code, output, _ = await inspected(tmp_path, flaw=Flaw.NOT_REGISTERED)
    first, second = output.splitlines()[:2]
    assert (code, first.startswith("wrong")) == (1, True)
    assert "there is no service principal of this application (service_principal_not_registered)" in second


async def test_as_json_it_is_whole(tmp_path: Path) -> None:
    code, output, _ = await inspected(tmp_path, "--format", "json", flaw=Flaw.SMTP_AUTH_OFF)
    found = json.loads(output)
    assert (code, found["credential"]) == (1, "contoso")
    assert found["wrong"][0]["cause"] == "smtp_auth_disabled_mailbox"
    assert found["facts"][0]["fact"] == "mailbox.smtp_auth_disabled"
    assert found["facts"][0]["about"] == MAILBOX


async def test_as_csv_each_fact_is_a_row(tmp_path: Path) -> None:
    code, output, _ = await inspected(tmp_path, "--format", "csv", flaw=Flaw.NO_FULL_ACCESS)
    rows = list(csv.DictReader(io.StringIO(output)))
    assert code == 1
    assert (rows[0]["fact"], rows[0]["value"], rows[0]["wrong"]) == (
        "mailbox.full_access",
        "no",
        "mailbox_permission_missing",
    )


async def test_who_uses_a_password_is_listed(tmp_path: Path) -> None:
    async with tenant(tmp_path) as site:
        log = site.world.issuer.graph_directory.sign_ins
        for address in ("203.0.113.5", "203.0.113.6"):
            log.note_password("printer@contoso.example", address)
        log.note_password("printer@contoso.example", "203.0.113.6", code=50126)
        log.note_password("=scanner@contoso.example", "203.0.113.9")
        options = ("inspect", "contoso", "--basic-auth", "-c", site.world.config)
        text = await asyncio.to_thread(smtpcheck, *options)
        assert text.returncode == 1
        assert text.stdout.splitlines()[0] == "2 accounts logged in to SMTP with a password in the last 30 days."
        as_json = json.loads((await asyncio.to_thread(smtpcheck, *options, "--format", "json")).stdout)
        printer = as_json["accounts"][0]
        assert (as_json["complete"], printer["account"]) == (True, "printer@contoso.example")
        assert (printer["succeeded"], printer["failed"], sorted(printer["from"])) == (
            2,
            1,
            ["203.0.113.5", "203.0.113.6"],
        )
        as_csv = (await asyncio.to_thread(smtpcheck, *options, "--format", "csv")).stdout
        assert "'=scanner@contoso.example" in as_csv


async def test_without_a_licence_the_log_is_not_readable(tmp_path: Path) -> None:
    async with tenant(tmp_path) as site:
        site.world.issuer.tenants[0].premium = False
        done = await asyncio.to_thread(smtpcheck, "inspect", "contoso", "--basic-auth", "-c", site.world.config)
        assert done.returncode == 3
        assert "the sign-in log is not readable: it needs Entra ID P1" in done.stderr


async def test_without_an_answer_it_exits_with_3(tmp_path: Path) -> None:
    async with tenant(tmp_path) as site:
        site.auditor.disabled = True
        done = await asyncio.to_thread(smtpcheck, "inspect", "contoso", "-c", site.world.config)
        assert done.returncode == 3
        assert "gets no token (AADSTS7000112)" in done.stdout


@pytest.mark.parametrize(
    ("name", "said"), [("nobody", "there is no credential 'nobody'"), ("auditor", "has no inspector: add inspect:")]
)
async def test_a_credential_that_cannot_be_inspected_is_wrong_use(tmp_path: Path, name: str, said: str) -> None:
    async with tenant(tmp_path) as site:
        done = await asyncio.to_thread(smtpcheck, "inspect", name, "-c", site.world.config)
        assert done.returncode == 64
        assert said in done.stderr
