"""`smtpcheck login`: nothing is kept before it is known to be right."""

import asyncio
import json
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import jwt
import pytest

from smtpcheck.cli.login import _further_scopes
from smtpcheck.config import load
from smtpcheck.oauth.token_store import TokenStore
from smtpcheck.sandbox.directory import User
from smtpcheck.sandbox.scenario import CredentialKind
from smtpcheck.sandbox.world import World
from smtpcheck.secrets.source import SecretSource
from tests.oauth.test_sandbox import SCENARIOS
from tests.worlds.https_issuer import HttpsIssuer, as_json, serving

ROOT = Path(__file__).parent.parent.parent
BY_GRAPH = """
credentials:
  anna: {{type: microsoft-user, client_id: x{}}}
checks:
  - {{name: a, mailbox: a@contoso.com, credential: anna, via: {{api: graph}}}}
"""
PENDING = as_json(400, {"error": "authorization_pending"})


@pytest.fixture
def issuer(tmp_path: Path) -> Iterator[HttpsIssuer]:
    with serving(tmp_path) as issuer:
        issuer.discovery()
        code = {"device_code": "dc", "user_code": "AB-CD", "verification_uri": "https://x/device", "expires_in": 60}
        issuer.answer("/device", as_json(200, code | {"interval": 0.05}))
        yield issuer


def _config(issuer: HttpsIssuer, folder: Path, depth: str = "token") -> Path:
    path = folder / "checks.yaml"
    path.write_text(
        f"""
agent: {{state: {folder / "state"}, token_key: {{value: a-key}}}}
credentials:
  anna: {{type: oauth2, issuer: "{issuer.url}", grant: device_code, client_id: device, scope: [mail, offline_access],
         ca_file: ca.pem}}
  imported: {{type: oauth2, issuer: "{issuer.url}", grant: refresh_token, client_id: d, refresh_token: {{value: r}}}}
  site: {{type: token, from: {{value: t}}}}
checks:
  - {{name: anna, mailbox: Anna@example.org, credential: anna, depth: {depth},
      server: {{host: 127.0.0.1, port: 1, security: starttls}}}}
"""
    )
    return path


def _granted(account: str, **other: object) -> tuple[int, dict[str, str], str]:
    id_token = jwt.encode({"email": account}, "k" * 32)
    body = {"access_token": "the-access-token", "refresh_token": "the-refresh-token", "expires_in": 60}
    return as_json(200, body | {"id_token": id_token} | other)


def _login(config: Path, *arguments: str) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", "smtpcheck", "login", "-c", str(config), *arguments]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=60)
    for secret in ("the-access-token", "the-refresh-token", "device_code"):
        assert secret not in ended.stdout + ended.stderr
    return ended


def _kept(folder: Path) -> str | None:
    key = SecretSource.model_validate({"value": "a-key"})
    login = TokenStore(folder / "state" / "tokens", key=key).file("anna").read()
    return login.refresh_token.reveal() if login else None


def test_a_login_is_shown_waited_for_and_kept(issuer: HttpsIssuer, tmp_path: Path) -> None:
    """Without a check that logs in at a server it is kept, and the command says that it has not been tried."""
    issuer.answer("/token", PENDING, PENDING, _granted("anna@example.org"))
    ended = _login(_config(issuer, tmp_path), "anna")
    assert (ended.returncode, ended.stderr, _kept(tmp_path)) == (1, "", "the-refresh-token")
    for part in ("https://x/device", "AB-CD", "Logged in as anna@example.org.", "run smtpcheck check"):
        assert part in ended.stdout


@pytest.mark.parametrize(("arguments", "code", "kept"), [([], 2, None), (["--force"], 1, "the-refresh-token")])
def test_the_login_of_somebody_else_is_refused(
    issuer: HttpsIssuer, tmp_path: Path, *, arguments: list[str], code: int, kept: str | None
) -> None:
    issuer.answer("/token", _granted("admin@example.org"))
    ended = _login(_config(issuer, tmp_path), "anna", *arguments)
    assert (ended.returncode, _kept(tmp_path)) == (code, kept)
    assert ("not the mailbox of check anna, Anna@example.org" in ended.stderr) is (not arguments)


def test_a_server_that_cannot_be_reached_is_no_refusal(issuer: HttpsIssuer, tmp_path: Path) -> None:
    issuer.answer("/token", _granted("anna@example.org"))
    ended = _login(_config(issuer, tmp_path, depth="auth"), "anna")
    assert (ended.returncode, _kept(tmp_path)) == (1, "the-refresh-token")
    assert "It has not been accepted by a server yet" in ended.stdout


def test_a_login_asks_for_the_scope_of_a_finder_too(issuer: HttpsIssuer, tmp_path: Path) -> None:
    issuer.answer("/token", _granted("anna@example.org"))
    config = _config(issuer, tmp_path)
    find = "{via: imap, scope: imap, server: {host: imap.example.org}}"
    loopback = f", loopback: {{to: probe@example.org, find: {find}}}}}\n"
    config.write_text(config.read_text().rstrip().removesuffix("}") + loopback)
    _login(config, "anna")
    forms = [asked.form for asked in issuer.asked if asked.path == "/device"]
    assert [form["scope"] for form in forms] == ["mail offline_access imap"]


def test_a_login_that_is_declined(issuer: HttpsIssuer, tmp_path: Path) -> None:
    issuer.answer("/token", as_json(400, {"error": "access_denied", "error_description": "the user said no"}))
    ended = _login(_config(issuer, tmp_path), "anna")
    assert (ended.returncode, _kept(tmp_path)) == (2, None)
    assert ended.stderr == "The login failed: access_denied: the user said no\n"


def test_an_issuer_that_gives_no_refresh_token(issuer: HttpsIssuer, tmp_path: Path) -> None:
    issuer.answer("/token", _granted("anna@example.org", refresh_token=None))
    ended = _login(_config(issuer, tmp_path), "anna")
    assert (ended.returncode, "offline_access" in ended.stderr) == (2, True)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("nobody", "there is no credential 'nobody'; there is: anna, imported, site"),
        ("site", "site is of type token, which needs no login"),
        ("imported", "imported gets its token from the configuration"),
    ],
)
def test_a_credential_for_which_nobody_logs_in(issuer: HttpsIssuer, tmp_path: Path, name: str, said: str) -> None:
    ended = _login(_config(issuer, tmp_path), name)
    assert (ended.returncode, said in ended.stderr, issuer.asked) == (64, True, [])


def test_an_interrupt_ends_the_waiting(issuer: HttpsIssuer, tmp_path: Path) -> None:
    issuer.answer("/token", PENDING)
    command = [sys.executable, "-m", "smtpcheck", "login", "-c", str(_config(issuer, tmp_path)), "anna"]
    # Where the tests run in the background of a script, an interrupt is ignored, and children inherit that.
    command = ["env", "--default-signal=INT", *command]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        shown = ""
        while not re.search("AB-CD", shown):
            shown += process.stdout.readline()
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=20) == 130
    assert _kept(tmp_path) is None


def test_what_the_issuer_says_reaches_the_terminal_without_control_characters(
    issuer: HttpsIssuer, tmp_path: Path
) -> None:
    code = {"device_code": "dc", "user_code": "\x1b[2J", "verification_uri": "https://x/\x07", "interval": 0.05}
    issuer.answer("/device", as_json(200, code))
    issuer.answer("/token", _granted("\x1b[31manna@example.org"))
    ended = _login(_config(issuer, tmp_path), "anna")
    assert (ended.returncode, "\x1b" in ended.stdout, "\x07" in ended.stdout) == (2, False, False)
    assert "Logged in as \\x1b[31manna@example.org." in ended.stdout
    issuer.answer("/token", as_json(400, {"error": "access_denied", "error_description": "\x1b[31mno"}))
    assert _login(_config(issuer, tmp_path), "anna").stderr == "The login failed: access_denied: \\x1b[31mno\n"


def test_nobody_is_asked_to_log_in_for_a_token_that_cannot_be_kept(issuer: HttpsIssuer, tmp_path: Path) -> None:
    config = _config(issuer, tmp_path)
    (tmp_path / "state").write_text("in the folder's place")
    folder = _login(config, "anna")
    (tmp_path / "state").unlink()
    config.write_text(config.read_text().replace("{value: a-key}", "{file: missing.key}"))
    key = _login(config, "anna")
    assert [(each.returncode, each.stdout) for each in (folder, key)] == [(2, ""), (2, "")]
    assert "cannot be used: not a directory" in folder.stderr
    assert "missing.key does not exist" in key.stderr
    assert issuer.asked == []


def test_a_port_that_is_taken_is_told(tmp_path: Path) -> None:
    config = tmp_path / "checks.yaml"
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        config.write_text(
            f"agent: {{state: {tmp_path / 'state'}}}\n"
            "credentials: {g: {type: google-user, client_id: c, client_secret: {value: s}}}\n"
            "checks: [{name: g, mailbox: g@gmail.com, credential: g}]\n"
        )
        ended = _login(config, "g", "--port", str(port))
    assert (ended.returncode, ended.stdout) == (2, "")
    assert ended.stderr.startswith(f"The login failed: the browser cannot be redirected to port {port} of 127.0.0.1: ")


@pytest.mark.parametrize(
    ("visitor", "code", "said"),
    [
        ("way-user@contoso.example", 0, "is stored in"),
        ("other@contoso.example", 2, "That is not the mailbox of check way-user, way-user@contoso.example."),
    ],
)
async def test_a_login_at_entra_is_tried_at_the_server_and_used_from_then_on(
    tmp_path: Path, visitor: str, code: int, said: str
) -> None:
    """MSAL's device code, a login at the check's server, and a check that lives on the refresh token."""
    (scenario,) = (each for each in SCENARIOS if each.registration.kind is CredentialKind.USER)
    async with World(tmp_path, [scenario]) as world:
        lines = world.config.read_text().splitlines(keepends=True)
        world.config.write_text("".join(line for line in lines if "refresh_token" not in line))
        world.issuer.tenants[0].users.append(User("other@contoso.example"))
        world.issuer.sign_ins.visitor = visitor
        ended = await asyncio.to_thread(_login, world.config, scenario.registration.name)
        assert (ended.returncode, said in ended.stdout + ended.stderr) == (code, True)
        command = [sys.executable, "-m", "smtpcheck", "check", "-c", str(world.config), "--format", "json"]
        checked = await asyncio.to_thread(
            subprocess.run, command, cwd=ROOT, capture_output=True, text=True, check=False
        )
        (report,) = json.loads(checked.stdout)
        assert report["outcome"] == ("ok" if code == 0 else "critical")
        assert (report["cause"] == "login_missing") is (code != 0)


def test_a_login_that_fails_is_explained(issuer: HttpsIssuer, tmp_path: Path) -> None:
    """An answer that is no OAuth error is shown with address and status, and has findings like every failure."""
    issuer.answer("/device", (503, {}, "<h1>maintenance</h1>"))
    ended = _login(_config(issuer, tmp_path), "anna")
    assert ended.returncode == 2
    assert ended.stderr.startswith(f"The login failed: HTTP 503 from {issuer.url}/device: ")
    for part in ("cause", "issuer_unavailable", "fix"):
        assert part in ended.stdout


@pytest.mark.parametrize(("scope", "warned"), [(", scope: https://graph.microsoft.com/Mail.Send", False), ("", True)])
def test_a_check_by_graph_needs_consent_to_send(tmp_path: Path, scope: str, warned: bool) -> None:
    """The login asks for it, as far as it is for Graph; else `validate` says so."""
    file = tmp_path / "checks.yaml"
    file.write_text(BY_GRAPH.format(scope))
    loaded = load([file])
    assert loaded.settings
    assert _further_scopes(loaded.settings, "anna") == ["https://graph.microsoft.com/Mail.Send"] * warned
    assert ["needs https://graph.microsoft.com/Mail.Send" in each.message for each in loaded.problems] == [
        True
    ] * warned
