"""The commands, as a user runs them: what they print and their exit codes."""

import json
import os
import pty
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import datetime, timedelta
from pathlib import Path

import jsonschema
import pytest
import yaml

from smtpcheck.cli import main
from smtpcheck.sandbox.scenarios import SCENARIOS

ENVIRONMENT = {**os.environ, "COLUMNS": "80", "NO_COLOR": "1"}


def smtpcheck(*arguments: str | Path, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    """Run a command to its end."""
    command = [sys.executable, "-m", "smtpcheck", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, env=ENVIRONMENT, cwd=cwd, check=False)


@contextmanager
def started(*arguments: str | Path, **variables: str) -> Iterator["subprocess.Popen[str]"]:
    """Run a command that stays, and kill it in the end if it still does."""
    command = [sys.executable, "-m", "smtpcheck", *map(str, arguments)]
    environment = {**ENVIRONMENT, **variables}
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment)
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """Return a configuration of one check against a port where nothing listens."""
    with socket.socket() as unheard:
        unheard.bind(("127.0.0.1", 0))
        port = unheard.getsockname()[1]
    check = {
        "name": "refused",
        "mailbox": "a@example.org",
        "depth": "connect",
        "server": {"host": "127.0.0.1", "port": port},
    }
    path = tmp_path / "checks.yaml"
    agent = {"state": str(tmp_path / "state"), "listen": "127.0.0.1:0"}
    path.write_text(yaml.safe_dump({"agent": agent, "checks": [check]}))
    return path


def test_the_demo_comes_out_as_its_scenarios_say() -> None:
    """Every scenario shows its cause, in eighty columns, and the exit code is 0."""
    result = smtpcheck("demo", "--once")
    assert (result.returncode, result.stderr) == (0, "")
    *lines, last = result.stdout.splitlines()
    assert max(len(line) for line in lines if line.startswith(("✓", "!", "✗"))) <= 80
    assert last == f"{len(SCENARIOS)} checks: all as expected"
    for scenario in SCENARIOS:
        (line,) = [line for line in lines if f" {scenario.name} " in line]
        assert (scenario.cause or "") in line
    said = r"^drift: Exchange: mailbox full access was yes \((.*) UTC\) and is no \((.*) UTC\)"
    change = re.search(said, result.stdout, re.MULTILINE)
    assert change
    yesterday, today = (datetime.fromisoformat(at) for at in change.groups())
    assert timedelta(hours=23) < today - yesterday < timedelta(hours=25)


def test_the_demo_needs_no_extra(tmp_path: Path) -> None:
    """Without botocore everything is shown but what it is needed for, and that is said."""
    (tmp_path / "botocore.py").write_text("raise ImportError\n")
    path = os.pathsep.join(filter(None, (str(tmp_path), os.environ.get("PYTHONPATH"))))
    command = [sys.executable, "-m", "smtpcheck", "demo", "--once"]
    result = subprocess.run(
        command, capture_output=True, text=True, timeout=120, env={**ENVIRONMENT, "PYTHONPATH": path}, check=False
    )
    assert (result.returncode, result.stderr) == (0, "")
    first, *rest = result.stdout.splitlines()
    assert first.startswith("Not shown: ses-sandbox, which needs botocore")
    assert rest[-1] == f"{len(SCENARIOS) - 1} checks: all as expected"


def test_check_shows_cause_and_fix(config: Path) -> None:
    result = smtpcheck("check", "-c", config)
    assert result.returncode == 2
    assert re.search(r"✗ +refused +critical +connect", result.stdout)
    assert "1 check: 1 critical" in result.stdout
    assert "fix" in result.stdout


def test_check_as_json_holds_the_report(config: Path) -> None:
    result = smtpcheck("check", "-c", config, "--format", "json", "refused")
    (report,) = json.loads(result.stdout)
    assert (result.returncode, report["check"], report["outcome"]) == (2, "refused", "critical")
    assert [step["phase"] for step in report["steps"]] == ["dns", "connect"]
    assert report["findings"][0]["cause"] == report["cause"]


def test_check_as_nagios_plug_in(config: Path) -> None:
    """The first line is status, check, cause in words and performance data."""
    result = smtpcheck("check", "-c", config, "--format", "nagios")
    status, line = result.stdout.splitlines()
    assert result.returncode == 2
    assert re.fullmatch(r"CRITICAL - refused: \w.* \w.*\| 'refused'=\d+\.\d{3}s", status)
    assert line.startswith("refused: critical: ")
    assert line.endswith(" in phase connect")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["-c", "CONFIG", "nobody"], "there is no check 'nobody'"),
        (["-c", "missing.yaml"], "missing.yaml"),
        (["--nonsense"], "No such option: --nonsense"),
    ],
)
def test_what_is_no_result_is_unknown_to_nagios_and_json_to_a_program(
    arguments: list[str], said: str, config: Path
) -> None:
    words = [str(config) if argument == "CONFIG" else argument for argument in arguments]
    plugin = smtpcheck("check", *words, "--format", "nagios")
    (line,) = plugin.stdout.splitlines()
    assert (plugin.returncode, line.startswith("UNKNOWN - "), said in line) == (3, True, True)
    answer = json.loads(smtpcheck("check", *words, "--format=json").stdout)
    assert said in answer["error"]


@pytest.mark.parametrize(("form", "shown"), [("text", ""), ("nagios", "UNKNOWN - internal error: ")])
def test_a_crash_is_unknown_and_one_line(
    config: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], form: str, shown: str
) -> None:
    """What the error says is not shown: it may hold a secret."""

    def crash(*_: object) -> None:
        raise ExceptionGroup("several", [ValueError("hunter2")])

    monkeypatch.setattr("smtpcheck.cli.check._chosen", crash)
    code = main(["check", "-c", str(config), "--format", form])
    seen = capsys.readouterr()
    assert (code, seen.err) == (3, "smtpcheck: internal error: ValueError\n")
    assert seen.out.startswith(shown)
    assert "hunter2" not in seen.out


@pytest.mark.parametrize("form", ["text", "json", "nagios"])
def test_a_reader_that_has_gone_is_no_outcome(config: Path, form: str) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    command = [sys.executable, "-m", "smtpcheck", "check", "-c", str(config), "--format", form]
    ended = subprocess.run(command, stdout=writer, stderr=subprocess.PIPE, timeout=120, env=ENVIRONMENT, check=False)
    os.close(writer)
    assert (ended.returncode, ended.stderr) == (141, b"")


def test_a_request_that_hangs_holds_no_command_back() -> None:
    """Neither a thread of the loop nor one of its own is waited for."""
    script = (
        "import asyncio, sys, threading\n"
        "from smtpcheck.cli import failure\n"
        "from smtpcheck.cli.run import run_loop\n"
        "async def main():\n"
        "    hanging = asyncio.create_task(asyncio.to_thread(threading.Event().wait))\n"
        "    await asyncio.sleep(0.1)\n"
        "    return 7\n"
        "code = run_loop(main())\n"
        "threading.Thread(target=threading.Event().wait).start()\n"
        "print('shown')\n"
        "sys.exit(failure.leave(code))\n"
    )
    ended = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=False)
    assert (ended.returncode, ended.stdout) == (7, "shown\n")


@pytest.mark.parametrize(
    ("depth", "code", "said"),
    [
        ("token", 64, "needs a credential"),
        ("auth", 64, "needs a credential"),
        ("connect", 2, "connection_refused"),
        ("sender", 2, "connection_refused"),
        ("send", 2, "connection_refused"),
    ],
)
def test_a_check_without_a_credential_goes_where_no_login_is_needed(
    tmp_path: Path, depth: str, code: int, said: str
) -> None:
    with socket.socket() as unheard:
        unheard.bind(("127.0.0.1", 0))
        server = {"host": "127.0.0.1", "port": unheard.getsockname()[1], "security": "none"}
        keys = {"sender": "a@example.org", "recipient": "b@example.net", "expect": {"phase": "rcpt"}}
        config = tmp_path / "checks.yaml"
        config.write_text(json.dumps({"checks": [{"name": "relay", "server": server, **keys}]}))
        result = smtpcheck("check", "-c", config, "--depth", depth)
    assert (result.returncode, said in result.stdout + result.stderr) == (code, True)


def test_check_without_a_file_is_made_of_options() -> None:
    with socket.socket() as unheard:
        unheard.bind(("127.0.0.1", 0))
        port = str(unheard.getsockname()[1])
        options = ("--mailbox", "a@example.org", "--host", "127.0.0.1", "--port", port, "--depth", "connect")
        result = smtpcheck("check", *options)
    assert result.returncode == 2, result.stderr
    assert re.search(r"✗ +a +critical +connect", result.stdout)


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        ([], 64, "Usage: smtpcheck"),
        (["check", "--nonsense"], 64, "No such option: --nonsense"),
        (["chekc"], 64, "No such command 'chekc'"),
        (["check", "-c", "CONFIG", "nobody"], 64, "there is no check 'nobody'"),
        (["check", "-c", "CONFIG", "--depth", "deeper"], 64, "'deeper' is not a valid depth"),
        (["check", "-c", "CONFIG", "--depth", "send"], 64, "needs a recipient"),
        (["check", "-c", "CONFIG", "--depth", "auth"], 64, "needs a credential"),
        (
            ["check", "-c", "CONFIG", "--host", "localhost", "--token-file", "x"],
            64,
            "-c and --host, --token-file exclude",
        ),
        (["check", "-c", "missing.yaml"], 3, "missing.yaml"),
        (["validate", "-c", "missing.yaml"], 1, "missing.yaml"),
        (["run", "-c", "missing.yaml"], 1, "missing.yaml"),
        (["run", "-c", "CONFIG", "--web.listen-address", "nowhere"], 64, "nowhere"),
    ],
)
def test_wrong_use_is_told_apart_from_a_critical_check(
    arguments: list[str], code: int, said: str, config: Path
) -> None:
    """One clear message on standard error, and no traceback."""
    result = smtpcheck(*[str(config) if argument == "CONFIG" else argument for argument in arguments])
    assert (result.returncode, result.stdout) == (code, "")
    assert said in result.stderr
    assert "Traceback" not in result.stderr


def test_validate_shows_every_problem_with_its_line(tmp_path: Path) -> None:
    bad = tmp_path / "checks.yaml"
    bad.write_text("checks:\n  - name: a b\n    mailbox: 'x@example.org '\n    deepth: auth\n")
    result = smtpcheck("validate", "-c", bad)
    assert result.returncode == 1
    for line in (2, 3, 4):
        assert f"checks.yaml:{line}:" in result.stderr
    assert "depth" in result.stderr


def test_validate_says_what_a_configuration_will_cause(config: Path) -> None:
    result = smtpcheck("validate", "-c", config)
    assert (result.returncode, result.stderr) == (0, "")
    assert re.search(r"127\.0\.0\.1:\d+ +1 +60 +1,440 +1 +0", result.stdout)
    assert result.stdout.endswith("\n1 check, no errors, no warnings\n")


def test_without_a_configuration_the_other_way_is_named(tmp_path: Path) -> None:
    for command in (("check",), ("doctor", "billing")):
        result = smtpcheck(*command, cwd=tmp_path)
        assert result.returncode == 3
        assert "there is no checks.yaml" in result.stderr
        assert "by options: --mailbox" in result.stderr


def test_wrong_use_names_the_help_of_its_command() -> None:
    assert "Try 'smtpcheck check --help'." in smtpcheck("check", "--hots", "x").stderr
    assert "Try 'smtpcheck --help'." in smtpcheck("chekc").stderr


def test_the_schema_takes_the_example(tmp_path: Path) -> None:
    """An editor that has the schema finds nothing wrong in the example."""
    schema = json.loads(smtpcheck("schema").stdout)
    example = yaml.safe_load((Path(__file__).parent.parent.parent / "checks.example.yaml").read_text())
    example = json.loads(json.dumps(example, default=str))  # a date is text to an editor
    jsonschema.Draft202012Validator.check_schema(schema)
    assert [error.message for error in jsonschema.Draft202012Validator(schema).iter_errors(example)] == []


def test_run_serves_metrics_reloads_and_ends_at_sigterm(config: Path) -> None:
    """SIGHUP loads again, SIGTERM drains and exits 0."""
    with started("run", "-c", config, "--log.format", "json") as process:
        address = _wait_for(process, "listening")["address"]
        assert b"smtpcheck_build_info" in urllib.request.urlopen(f"http://{address}/metrics", timeout=10).read()
        process.send_signal(signal.SIGHUP)
        assert _wait_for(process, "configuration loaded")["checks"] == 1
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=30) == 0


def test_run_reports_to_a_service_manager(config: Path, tmp_path: Path) -> None:
    """First that it is ready, then that it works."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(tmp_path / "notify"))
        manager.settimeout(60)
        with started("run", "-c", config, NOTIFY_SOCKET=str(tmp_path / "notify"), WATCHDOG_USEC="100000"):
            assert [manager.recv(100) for _ in range(3)] == [b"READY=1", b"WATCHDOG=1", b"WATCHDOG=1"]


def test_run_ends_in_order_at_a_sigterm_before_it_serves(config: Path, tmp_path: Path) -> None:
    """Nothing is read from the configuration yet: it is a pipe that nobody writes into."""
    pipe = tmp_path / "pipe.yaml"
    os.mkfifo(pipe)
    with started("run", "-c", pipe) as process, pipe.open("w"):  # once this returns, the command reads
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=60) == 0


@pytest.mark.parametrize("command", [("run", "-c", "CONFIG"), ("demo", "--web.listen-address", "127.0.0.1:0")])
def test_a_closed_terminal_ends_what_was_started_on_it(config: Path, command: tuple[str, ...]) -> None:
    """SIGHUP reloads while the terminal is there."""
    arguments = [str(config) if word == "CONFIG" else word for word in command]
    process, terminal = pty.fork()
    if process == 0:
        signal.signal(signal.SIGHUP, signal.SIG_DFL)  # the tests may run under nohup
        os.execve(sys.executable, [sys.executable, "-m", "smtpcheck", *arguments], ENVIRONMENT)
    try:
        _read_until(terminal, b"Ctrl-C" if command[0] == "demo" else b"listening")
        if command[0] == "run":
            os.kill(process, signal.SIGHUP)
            _read_until(terminal, b"configuration loaded")
        os.close(terminal)
        deadline = time.monotonic() + 60
        status = None
        while status is None and time.monotonic() < deadline:
            pid, ended = os.waitpid(process, os.WNOHANG)
            status = ended if pid else None
            time.sleep(0.05)
        assert status is not None
        assert os.waitstatus_to_exitcode(status) == 0
    finally:
        with suppress(ProcessLookupError):
            os.kill(process, signal.SIGKILL)


def test_the_demo_ends_in_order_where_its_terminal_has_gone_before_it_could_say_where_it_is() -> None:
    """It is shown to a terminal whose other end is closed."""
    shown_to_nobody = (
        "import os, pty; ours, its = pty.openpty(); os.close(ours); os.dup2(its, 1)\n"
        "from smtpcheck.cli.demo import show_on_terminal; show_on_terminal('Stop     Ctrl-C'); print('later')"
    )
    ended = subprocess.run([sys.executable, "-c", shown_to_nobody], capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stderr) == (0, "")


def _read_until(terminal: int, text: bytes) -> None:
    seen = b""
    while text not in seen:
        seen += os.read(terminal, 4096)


def _wait_for(process: "subprocess.Popen[str]", event: str) -> dict[str, object]:
    """Return the log's next line of that event."""
    assert process.stderr
    for line in process.stderr:
        entry: dict[str, object] = json.loads(line)
        if entry["event"] == event:
            return entry
    raise AssertionError(f"the log ended without {event!r}")


def test_a_port_in_use_is_one_line_that_says_what_to_do(config: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        result = smtpcheck("run", "-c", config, "--web.listen-address", f"127.0.0.1:{taken.getsockname()[1]}")
    assert result.returncode == 1
    assert re.fullmatch(r"smtpcheck: 127\.0\.0\.1:\d+ is in use: stop what listens there, .*\n", result.stderr)


def test_the_demo_says_where_its_page_is_and_shows_every_check() -> None:
    """Five seconds after the start there is a first result of every check; Ctrl-C ends it."""
    with started("demo", "--web.listen-address", "127.0.0.1:0") as process:
        assert process.stdout
        page = next(line.split()[1] for line in process.stdout if line.startswith("Page"))
        deadline = time.monotonic() + 60
        waiting = 1
        while waiting and time.monotonic() < deadline:
            answer = json.load(urllib.request.urlopen(f"{page}api/v1/checks", timeout=10))
            waiting = answer["counts"].get("waiting", 0)
            time.sleep(0.2)
        assert (waiting, answer["total"]) == (0, len(SCENARIOS))
        shown = ""
        while "mailbox full access was yes (" not in shown and time.monotonic() < deadline:
            shown = urllib.request.urlopen(f"{page}checks/drift", timeout=10).read().decode()
            time.sleep(0.2)
        assert re.search(r"mailbox full access was yes \(.* UTC\) and is no \(.* UTC\)", shown)
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=60) == 0


def test_the_list_of_commands_cuts_no_sentence() -> None:
    shown = smtpcheck("-h").stdout
    assert "Commands:" in shown
    assert [line for line in shown.splitlines() if line.endswith("...") and "[ARGS]" not in line] == []


def test_help_is_there_by_its_short_name_and_every_value_has_a_name_in_capitals() -> None:
    commands = ["run", "check", "doctor", "inspect", "explain", "login", "setup", "notify-test", "validate", "demo"]
    for command in commands:
        shown = smtpcheck(command, "-h")
        assert (shown.returncode, shown.stdout) == (0, smtpcheck(command, "--help").stdout)
        options = [line for line in shown.stdout.splitlines() if line.startswith("  -")]
        assert [line for line in options if re.search(r"<(str|int|path|float|text)[ >]", line, re.IGNORECASE)] == []


@pytest.mark.parametrize(
    ("words", "names"), [("check bil", ["billing"]), ("login sales", ["sales"]), ("inspect zzz", [])]
)
def test_a_shell_completes_names_of_the_configuration(tmp_path: Path, words: str, names: list[str]) -> None:
    (tmp_path / "checks.yaml").write_text(
        "credentials: {sales: {type: token, from: {value: x}}}\n"
        "checks:\n"
        "  - {name: billing, depth: connect, server: {host: a.example}}\n"
        "  - {name: other, depth: connect, server: {host: a.example}}\n"
    )
    environment = {
        **ENVIRONMENT,
        "_SMTPCHECK_COMPLETE": "complete_bash",
        "COMP_WORDS": f"smtpcheck {words}",
        "COMP_CWORD": "2",
    }
    command = [sys.executable, "-m", "smtpcheck"]
    shown = subprocess.run(
        command, capture_output=True, text=True, timeout=60, env=environment, cwd=tmp_path, check=False
    )
    assert shown.stdout.split() == names


def test_a_name_that_is_missing_or_wrong_is_answered_with_those_there_are(config: Path) -> None:
    near = smtpcheck("check", "-c", config, "refuse")
    far = smtpcheck("doctor", "-c", config, "zzzzzz")
    assert "there is no check 'refuse'; did you mean refused?" in near.stderr
    assert "there is no check 'zzzzzz'; there is: refused" in far.stderr
