"""Every command in the documents works as it is written, or there is a reason why it is not run."""

import io
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
import typer
from structlog.testing import capture_logs

from smtpcheck.cli import app, main
from tests.docs.commands import ENDS, NOT_RUN, PARSED, Command, commands, commands_of
from tests.docs.configurations import shown_before
from tests.docs.documents import DOCUMENTS, ROOT, Block, blocks, read
from tests.docs.outputs import matches, shown_in
from tests.docs.site import Site
from tests.real.daemon import real_binary


def one_of(command: Command) -> tuple[object, ...]:
    """Return what makes two commands one: it is enough to run either."""
    config = shown_before(command.block) if command.words[1] == "setup" else None
    return command.words, command.reads, shown_in(command), config


ALL = commands()
OWN = [command for command in ALL if command.words[0] == "smtpcheck"]
OTHERS = [command for command in ALL if command.words[0] != "smtpcheck"]
RUN = list({one_of(command): command for command in OWN if command.row(PARSED) is None}.values())
CHECKERS = {"amtool", "promtool"}
"""Other programs whose commands are run, where they are installed, among the files of `dashboards/`."""


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with Site(tmp_path_factory.mktemp("site")) as site:
        yield site


@pytest.fixture
def _as_a_user(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Work in a folder, with a plain terminal of 80 columns; the log stays that of the tests."""
    monkeypatch.chdir(tmp_path)
    for name, value in {"NO_COLOR": "1", "TERM": "dumb", "COLUMNS": "80", "TTY_COMPATIBLE": "1"}.items():
        monkeypatch.setenv(name, value)
    for name, module in list(sys.modules.items()):
        if name.startswith("smtpcheck.cli.") and hasattr(module, "configure"):
            monkeypatch.setattr(module, "configure", lambda *_: None)


def _parse(words: Sequence[str]) -> str | None:
    """Parse a command of smtpcheck without running it, and return its name. Raises TyperException if refused."""
    group = typer.main.get_command(app)
    assert isinstance(group, typer.core.TyperGroup)
    _, command, rest = group.resolve_command(group.make_context("smtpcheck", ["demo"]), list(words[1:]))
    assert command
    return command.make_context(words[1], rest).info_name


@pytest.mark.parametrize("command", [command for command in OWN if command.row(PARSED)], ids=str)
def test_a_command_of_smtpcheck_is_well_formed(command: Command) -> None:
    assert _parse(command.words) == command.words[1]


@pytest.mark.parametrize("command", RUN, ids=str)
@pytest.mark.usefixtures("_as_a_user")
def test_a_command_of_smtpcheck_works(
    command: Command,
    site: Site,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """It ends as it should, and prints what the document shows."""
    site.folder_for(command.words, tmp_path)
    if command.words[1] == "setup" and (shown := shown_before(command.block)):
        (tmp_path / "checks.yaml").write_text(shown)
    text = (tmp_path / command.reads).read_bytes() if command.reads else b""
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(text)))
    with capture_logs():
        code = main(list(command.words[1:]))
    printed = capsys.readouterr()
    row = command.row(ENDS)
    assert code == (ENDS[row][0] if row else 0), printed.out + printed.err
    shown = shown_in(command)
    assert shown is None or matches(shown, printed.out + printed.err), printed.out + printed.err


@pytest.mark.parametrize("command", OTHERS, ids=str)
def test_another_command_is_run_or_there_is_a_reason(command: Command) -> None:
    program, *arguments = command.words
    if program == "make":
        subprocess.run(["make", "--dry-run", *arguments], cwd=ROOT, capture_output=True, check=True)
    elif program in CHECKERS:
        subprocess.run([real_binary(program), *arguments], cwd=ROOT / "dashboards", capture_output=True, check=True)
    else:
        assert command.row(NOT_RUN), f"{command} is neither run nor in NOT_RUN of tests/docs/commands.py"


@pytest.mark.parametrize("block", blocks("sh"), ids=str)
def test_a_block_of_commands_is_what_a_shell_understands(block: Block) -> None:
    done = subprocess.run(["bash", "-n"], input=block.text, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_no_row_of_a_table_is_there_for_nothing() -> None:
    used = {command.row(table) for command in ALL for table in (PARSED, NOT_RUN, ENDS)}
    assert ({*PARSED, *NOT_RUN, *ENDS} - used) == set()


@pytest.mark.parametrize("document", DOCUMENTS)
def test_a_command_within_a_sentence_exists(document: str) -> None:
    """Its words after the command may be placeholders; its options are real ones."""
    unknown = []
    group = typer.main.get_command(app)
    assert isinstance(group, typer.core.TyperGroup)
    for phrase in read(document).phrases:
        words = phrase.split()
        if words[:1] == ["smtpcheck"] and len(words) > 1 and not words[1].startswith(("-", "*")):
            command = group.commands.get(words[1])
            known = {option for each in command.params for option in each.opts} if command else set()
            known |= {"-h", "--help"}
            given = {word.partition("=")[0] for word in words[2:] if re.match(r"--?[a-z]", word)}
            unknown += [phrase] if command is None or given - known else []
    assert unknown == []


def test_commands_are_taken_apart() -> None:
    text = "sudo A=b smtpcheck check \\\n  -c 'a b.yaml'  # once\nmail | smtpcheck explain - > said; ls < list\n"
    found = [(command.words, command.reads, command.writes) for command in commands_of(Block("x", 1, "sh", text))]
    assert found == [
        (("smtpcheck", "check", "-c", "a b.yaml"), None, None),
        (("mail",), None, "-"),
        (("smtpcheck", "explain", "-"), "-", "said"),
        (("ls",), "list", None),
    ]


@pytest.mark.parametrize("words", ["smtpcheck chek", "smtpcheck check --hots x", "smtpcheck run --shard"])
def test_a_command_that_does_not_exist_is_found(words: str) -> None:
    with pytest.raises(typer.TyperException):
        _parse(shlex.split(words))
