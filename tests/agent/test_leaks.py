"""No token and no secret stands in anything that smtpcheck writes: a run of all scenarios, and a search of it all."""

import asyncio
import base64
import html
import json
import os
import re
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from urllib.parse import quote, quote_plus

import aiohttp
import pytest

from smtpcheck.model.cause import Cause
from smtpcheck.sandbox.scenario import POSTFIX, CredentialKind, Registration, Scenario
from smtpcheck.sandbox.scenarios import SCENARIOS
from smtpcheck.sandbox.world import World
from tests.oauth.test_sandbox import SCENARIOS as CREDENTIAL_KINDS
from tests.worlds.agents import edit
from tests.worlds.receiver import Receiver
from tests.worlds.waiting import HANG_SECONDS

ENVIRONMENT = {**os.environ, "NO_COLOR": "1", "PYTHONWARNINGS": "ignore"}
OUTWARD = {
    name: f"{name}-that-nobody-may-see" for name in ("path", "refused", "beat", "key", "header", "manager", "otlp")
}
"""Secrets of those who are told: in addresses, headers and keys."""
EDGE = 6
"""Characters at both ends of a base64 text that depend on what stands beside it."""


def pieces(secret: str) -> Iterator[str]:
    """Yield the parts of a secret that are secret by themselves."""
    yield secret
    if "PRIVATE KEY" in secret:
        key = secret.partition("-----END")[0]
        yield from (line for line in key.split("\n") if len(line) >= 32 and not line.startswith("-----"))
    if secret.startswith("eyJ") and secret.count(".") == 2:
        yield secret.rpartition(".")[2]
    if secret.startswith("{"):
        yield from pieces(json.loads(secret)["private_key"])


def forms(piece: str) -> Iterator[str]:
    """Yield the piece as it is, as URLs, HTML and JSON hold it, and within any base64 text."""
    yield from {piece, quote(piece, safe=""), quote_plus(piece), html.escape(piece), json.dumps(piece)[1:-1]}
    for before in range(3):
        whole = base64.b64encode(b"\0" * before + piece.encode()).decode()
        inner = whole[EDGE:-EDGE]
        yield from {inner, inner.replace("+", "-").replace("/", "_"), quote(inner, safe="")}


def found(written: dict[str, str], secrets: frozenset[str]) -> list[str]:
    """Return where a secret stands, by what was written and the secret's first characters."""
    wanted = {form: secret for secret in secrets for piece in pieces(secret) for form in forms(piece) if len(form) > 8}
    return sorted(
        f"{place} holds {secret[:12]!r} as {form[:40]!r}"
        for place, text in written.items()
        for form, secret in wanted.items()
        if form in text
    )


@pytest.mark.parametrize(
    "leak",
    [
        "Bearer {}",
        "{}",
        base64.b64encode(b"user=a@b\x01auth=Bearer SECRET-TOKEN/of+many=letters\x01\x01").decode(),
        "?t=" + quote_plus("SECRET-TOKEN/of+many=letters"),
        base64.urlsafe_b64encode(b"xSECRET-TOKEN/of+many=letters").decode(),
    ],
)
def test_a_leak_is_seen(leak: str) -> None:
    secret = "SECRET-TOKEN/of+many=letters"
    assert found({"log": f"a line\nwith {leak.format(secret)} in it"}, frozenset({secret})) != []
    assert found({"log": "a line without"}, frozenset({secret})) == []


async def test_nothing_that_is_written_holds_a_token_or_secret(tmp_path: Path) -> None:
    """Log at its fullest, standard output and error, every page, the API, metrics, the state folder, every command."""
    async with World(tmp_path, (*SCENARIOS, *CREDENTIAL_KINDS, *BABBLERS), listen="127.0.0.1:0") as world:
        _let_babble(world)
        async with Receiver() as hook:
            _tell(world, hook)
            written = await _agent(world)
            sent = " ".join(f"{got.path} {got.headers}" for got in hook.got)
            assert {name for name, secret in OUTWARD.items() if secret not in sent} == {"key"}
        written |= {f"told {number}": got.body.decode("utf-8", "replace") for number, got in enumerate(hook.got)}
        for arguments in (
            ["check", "--format", "text"],
            ["check", "--format", "json"],
            ["check", "--format", "nagios"],
            ["doctor", "healthy"],
            ["doctor", "secret-wrong", "--format", "json"],
            ["doctor", "password-must-fail"],
            ["doctor", "babbler-plain", "--format", "json"],
            ["validate"],
        ):
            written[" ".join(arguments)] = await _command(*arguments, "-c", str(world.config))
        secrets = world.secrets() | set(OUTWARD.values())
    written |= {
        path.relative_to(tmp_path).as_posix(): path.read_bytes().decode("utf-8", "replace")
        for path in (tmp_path / "state").rglob("*")
        if path.is_file() and path.parent.name != "tokens"
    }
    assert len(secrets) > len(world.scenarios)
    assert all(len(text) > 0 for place, text in written.items() if place.startswith(("/", "check", "log")))
    assert found(written, secrets) == []


BABBLERS = tuple(
    Scenario(
        f"babbler-{mechanism}",
        "The server repeats the password that it refuses.",
        Cause.PASSWORD_WRONG,
        check={"mechanism": mechanism},
        server=POSTFIX,
        registration=Registration("babbler", CredentialKind.PASSWORD),
    )
    for mechanism in ("plain", "login")
)


def _tell(world: World, hook: Receiver) -> None:
    """Have every alert told at once, by ways whose addresses, keys and headers are secrets too; one of them refuses."""
    hook.refuse = lambda got: OUTWARD["refused"] in got.path
    beside = hook.url(f"/{OUTWARD['path']}")
    notify = [
        {
            "type": "webhook",
            "url": beside,
            "hmac_key": {"value": OUTWARD["key"]},
            "headers": {"X-Key": OUTWARD["header"]},
        },
        {"type": "webhook", "url": hook.url(f"/{OUTWARD['refused']}"), "name": "refused"},
        {"type": "alertmanager", "urls": [beside], "headers": {"Authorization": OUTWARD["manager"]}},
        {"type": "apprise", "url": beside.replace("http://", "json://")},
        {"type": "log"},
    ]
    alerts = {"fail_after": 1, "notify": notify, "heartbeat": {"url": hook.url(f"/{OUTWARD['beat']}")}}
    otlp = {"endpoint": hook.url().rstrip("/"), "headers": {"X-Api-Key": {"value": OUTWARD["otlp"]}}}
    edit(world.config, lambda document: document.update(alerts=alerts))
    edit(world.config, lambda document: document["agent"].update(otlp=otlp))


def _let_babble(world: World) -> None:
    """Let the server repeat the password of each login, as it is and in base64 in every way it may stand there."""
    password = (world.config.parent / "babbler.password").read_text()
    encoded = (base64.b64encode(before + password.encode()).decode() for before in (b"", b"x", b"xy"))
    reply = f"535 5.7.8 '{password}' {' '.join(encoded)} {base64.b64encode(f'you {password} I'.encode()).decode()}"
    for name in (scenario.name for scenario in BABBLERS):
        address = f"{name}@contoso.example"
        world.postfix.mailboxes[address] = replace(world.postfix.mailboxes[address], refuses={"AUTH": reply})


async def _agent(world: World) -> dict[str, str]:
    """Run the agent until every check has run, ask for all that it serves, and return it with all that it printed."""
    command = ["-m", "smtpcheck", "run", "-c", str(world.config), "--log.level", "debug", "--log.format", "json"]
    process = await asyncio.create_subprocess_exec(
        sys.executable, *command, stdout=-1, stderr=-1, env=ENVIRONMENT, limit=2**24
    )
    assert process.stdout is not None
    assert process.stderr is not None
    lines: list[str] = []
    readers = [asyncio.create_task(_collect(stream, lines)) for stream in (process.stdout, process.stderr)]
    try:
        async with asyncio.timeout(HANG_SECONDS):
            while not (match := re.search(r'"address": ?"([^"]+)"', "\n".join(lines))):  # noqa: ASYNC110
                await asyncio.sleep(0.05)
            async with aiohttp.ClientSession(f"http://{match[1]}") as session:
                written = await _served(session, [scenario.name for scenario in world.scenarios])
    finally:
        if process.returncode is None:
            process.terminate()
        await process.wait()
        await asyncio.gather(*readers)
    return {**written, "log": "\n".join(lines)}


async def _collect(stream: asyncio.StreamReader, lines: list[str]) -> None:
    async for line in stream:
        lines.append(line.decode())  # noqa: PERF401 - the other side reads them meanwhile


async def _served(session: aiohttp.ClientSession, names: list[str]) -> dict[str, str]:
    run = re.compile(r"^smtpcheck_runs_total\{", re.MULTILINE)
    while len(run.findall(await _text(session, "/metrics"))) < len(names):  # noqa: ASYNC110
        await asyncio.sleep(0.2)
    for name in names[:3]:
        async with session.post(f"/api/v1/checks/{name}/run") as answer:
            await answer.read()
    written = {path: await _text(session, path) for path in ("/", "/metrics", "/api/v1/checks", "/api/v1/alerts")}
    for name in names:
        for path in (f"/checks/{name}", f"/api/v1/checks/{name}", f"/probe?check={name}&debug=true"):
            written[path] = await _text(session, path)
    return written


async def _text(session: aiohttp.ClientSession, path: str) -> str:
    async with session.get(path) as answer:
        return await answer.text()


async def _command(*arguments: str) -> str:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "smtpcheck", *arguments, stdout=-1, stderr=-1, env=ENVIRONMENT
    )
    out, err = await process.communicate()
    return (out + err).decode()
