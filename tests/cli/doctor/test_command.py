"""`smtpcheck doctor` as a user runs it: text in eighty columns, JSON, the bundle, exit codes, wrong use."""

import asyncio
import json
import os
import sys
from dataclasses import dataclass
from pathlib import Path

import jsonschema
import pytest
import yaml

from smtpcheck.cli.doctor.result import Stage
from smtpcheck.limits.connection_limit import ConnectionLimit
from smtpcheck.limits.mailbox_lock import MailboxLocks
from smtpcheck.sandbox.world import World
from tests.worlds.agents import only
from tests.worlds.waiting import HANG_SECONDS

ENVIRONMENT = {**os.environ, "NO_COLOR": "1"}


@dataclass
class Ended:
    """A command that has ended."""

    code: int | None
    out: str
    err: str


async def doctor(*arguments: str | Path, environment: dict[str, str] | None = None) -> Ended:
    """Run the command to its end, while a world runs in this loop."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "smtpcheck", "doctor", *map(str, arguments)),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env={**ENVIRONMENT, **(environment or {})},
    )
    out, err = await asyncio.wait_for(process.communicate(), HANG_SECONDS)
    return Ended(process.returncode, out.decode(), err.decode())


def exactly(**members: object) -> dict[str, object]:
    """Return the schema of an object with these members and no others."""
    return {"type": "object", "required": list(members), "additionalProperties": False, "properties": members}


FINDING = {"required": ["cause", "certainty", "summary", "evidence", "remedy", "tell_apart", "reference"]}
RUN = {"type": ["object", "null"], "required": ["outcome", "steps", "token", "token_error", "tls", "attempts"]}
STEP = exactly(
    number={"type": "integer", "minimum": 1, "maximum": 12},
    title={"type": "string"},
    verdict={"enum": ["ok", "warning", "failed", "skipped"]},
    notes={
        "type": "array",
        "minItems": 1,
        "items": exactly(
            verdict={"enum": ["ok", "hint", "warning", "failed", "skipped"]}, text={"type": "string", "minLength": 1}
        ),
    },
    findings={"type": "array", "items": FINDING},
    excluded={"type": "array", "items": {"type": "string"}},
)
SCHEMA = exactly(
    smtpcheck={"type": "string"},
    check={"type": "string"},
    examined_at={"type": "number"},
    depth={"enum": ["connect", "token", "auth", "sender", "recipient", "send"]},
    outcome={"enum": ["ok", "warning", "critical", "unknown"]},
    steps={"type": "array", "minItems": 12, "maxItems": 12, "items": STEP},
    token_run=RUN,
    connection_run=RUN,
)


async def test_text_has_twelve_steps_in_eighty_columns(tmp_path: Path) -> None:
    """Each step stands with its verdict on a line of its own, the finding is whole, and the exit code tells it too."""
    async with World(tmp_path, only("secret-expired")) as world:
        ended = await doctor("-c", world.config, "secret-expired")
        secrets = world.secrets()
    assert (ended.code, ended.err) == (2, "")
    lines = ended.out.splitlines()
    assert [line for line in lines if len(line) > 80 or line != line.rstrip()] == []
    for stage in Stage:
        assert [line for line in lines if f"{stage.value:2} {stage.title} " in line], stage
    assert any(line.split() == ["✗", "2", "app", "registration", "failed"] for line in lines)
    assert "fix" in ended.out
    assert "secret_expired" in ended.out
    assert lines[-1].startswith("critical: ")
    assert [secret for secret in secrets if secret in "".join(ended.out.split())] == []


async def test_json_and_bundle(tmp_path: Path) -> None:
    """JSON keeps its documented shape; the bundle has the same, without names, and without any secret in either."""
    async with World(tmp_path, only("healthy", "smtp-auth-disabled")) as world:
        bundle = tmp_path / "bundle.json"
        ended = await doctor("-c", world.config, "smtp-auth-disabled", "--format", "json", "--bundle", bundle)
        tenant, secrets = world.issuer.tenants[0], world.secrets()
    assert (ended.code, ended.err.splitlines()[0].partition(" ")[0]) == (2, str(bundle))
    shown, posted = ended.out, bundle.read_text()
    for text in (shown, posted):
        jsonschema.validate(json.loads(text), SCHEMA)
        assert [secret for secret in secrets if secret in text] == []
    step = json.loads(shown)["steps"][6]
    assert (step["title"], step["verdict"]) == ("test of the connection", "failed")
    assert step["findings"][0]["cause"] == "smtp_auth_disabled_tenant"
    assert json.loads(posted)["steps"][6]["findings"][0]["cause"] == "smtp_auth_disabled_tenant"
    for name in ("contoso.example", "smtp-auth-disabled@", tenant.id, tenant.domain, *tenant.apps, str(tmp_path)):
        assert name in shown or name == "smtp-auth-disabled@"
        assert name.casefold() not in posted.casefold()


async def test_it_waits_for_the_mailbox_that_an_agent_holds(tmp_path: Path) -> None:
    """What needs no connection is shown meanwhile, line by line, in a pipe too."""
    async with World(tmp_path, only("healthy")) as world:
        connections = ConnectionLimit(1, MailboxLocks(tmp_path / "state" / "locks"))
        command = (sys.executable, "-m", "smtpcheck", "doctor", "-c", str(world.config), "healthy")
        async with connections.slot("healthy@contoso.example"):
            process = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE, env=ENVIRONMENT)
            assert process.stdout
            async with asyncio.timeout(HANG_SECONDS):
                while b" 5 access token" not in await process.stdout.readline():
                    pass
            await asyncio.sleep(1)
            assert world.exchange.connections.total() == 0
        connections.close()
        await asyncio.wait_for(process.communicate(), HANG_SECONDS)
        assert world.exchange.logins.total() == 1


async def test_without_a_configuration_file(tmp_path: Path) -> None:
    """One check is made of options; nothing watches it, and nobody is asked."""
    async with World(tmp_path, only("healthy")) as world:
        (app,) = world.issuer.tenants[0].apps
        (port,) = world.ports.values()
        ended = await doctor(
            *("--mailbox", "healthy@contoso.example", "--host", "localhost", "--port", str(port)),
            *("--tenant", "contoso.onmicrosoft.com", "--client-id", app, "--authority", world.issuer.url),
            *("--client-secret-file", tmp_path / "contoso.secret", "--ca-file", world.ca_file),
            environment={"XDG_STATE_HOME": str(tmp_path / "xdg")},
        )
    assert (ended.code, ended.err) == (0, ""), ended.out
    assert "10 monitoring and logging         skipped" in ended.out
    assert "the login as healthy@contoso.example is accepted" in ended.out


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["-c", "CONFIG"], 64, "name the check"),
        (["-c", "CONFIG", "nobody"], 64, "there is no check 'nobody'"),
        (["-c", "CONFIG", "a", "--send"], 64, "needs a recipient"),
        (["-c", "CONFIG", "b", "--send"], 64, "needs a credential"),
        (["-c", "CONFIG", "a", "--format", "nagios"], 64, "text or json"),
        (["-c", "CONFIG", "a", "--bundle", "/nowhere/at/all.json"], 64, "is not a folder"),
        (["-c", "missing.yaml", "a"], 3, "missing.yaml"),
    ],
)
async def test_wrong_use_and_a_configuration_that_cannot_be_used(
    arguments: list[str], code: int, said: str, tmp_path: Path
) -> None:
    """One clear message on standard error, and no traceback."""
    config = tmp_path / "checks.yaml"
    server = {"host": "127.0.0.1", "port": 1}
    checks = [
        {"name": "a", "mailbox": "a@example.org", "depth": "connect", "server": server},
        {"name": "b", "mailbox": "b@example.org", "recipient": "c@example.org", "depth": "connect", "server": server},
    ]
    config.write_text(yaml.safe_dump({"checks": checks}))
    ended = await doctor(*[str(config) if argument == "CONFIG" else argument for argument in arguments])
    assert (ended.code, ended.out) == (code, "")
    assert said in ended.err
    assert "Traceback" not in ended.err
