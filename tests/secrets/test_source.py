"""Where secrets come from, how they are read again, and that nothing of them is shown."""

import os
import select
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from smtpcheck.secrets import source as secret_source
from smtpcheck.secrets.secret import Secret
from smtpcheck.secrets.source import ReadSecret, SecretSource, SecretUnreadableError, SecretWarning

PRINT = "import sys; sys.stdout.write(sys.argv[1])"


def _command(*arguments: str) -> SecretSource:
    return SecretSource(command=(sys.executable, "-c", *arguments))


def _unreadable(source: SecretSource) -> str:
    with pytest.raises(SecretUnreadableError) as raised:
        source.read()
    assert raised.value.source is source
    return str(raised.value)


def test_each_kind_gives_its_secret(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "secret").write_text("from a file")
    monkeypatch.setenv("SMTPCHECK_TEST_SECRET", "from a variable")
    context = {"folder": tmp_path}
    sources = [
        SecretSource.model_validate({"file": "secret"}, context=context),
        SecretSource(env="SMTPCHECK_TEST_SECRET"),
        _command(PRINT, "from a command"),
        SecretSource.model_validate({"value": "from the config"}),
    ]
    expected = ["from a file", "from a variable", "from a command", "from the config"]
    assert [source.read() for source in sources] == [Secret(text) for text in expected]
    assert [source.warnings() for source in sources] == [frozenset()] * 4


def test_a_path_is_relative_to_the_folder_of_the_context(tmp_path: Path) -> None:
    relative = SecretSource.model_validate({"file": "a"}, context={"folder": tmp_path})
    absolute = SecretSource.model_validate({"file": "/run/a"}, context={"folder": tmp_path})
    alone = SecretSource.model_validate({"file": "a"})
    assert [relative.file, absolute.file, alone.file] == [tmp_path / "a", Path("/run/a"), Path("a")]


@pytest.mark.parametrize(
    ("content", "secret", "warnings"),
    [
        (b"abc", "abc", set()),
        (b"abc\n", "abc", {SecretWarning.LINE_END}),
        (b"abc\r\n", "abc", {SecretWarning.LINE_END}),
        (b"abc\n\n", "abc\n", {SecretWarning.LINE_END}),
        (b"abc\r", "abc\r", {SecretWarning.LINE_END}),
        (b" abc", " abc", {SecretWarning.BLANK}),
        (b"\xef\xbb\xbfabc", "abc", {SecretWarning.BYTE_ORDER_MARK}),
        (
            b"1b9f4c1a-6d1b-4c55-9a0f-0d8a2b1c3d4e\n",
            "1b9f4c1a-6d1b-4c55-9a0f-0d8a2b1c3d4e",
            {SecretWarning.GUID, SecretWarning.LINE_END},
        ),
    ],
)
def test_one_line_end_of_a_file_is_dropped_and_told(
    tmp_path: Path, content: bytes, secret: str, warnings: set[SecretWarning]
) -> None:
    file = tmp_path / "secret"
    file.write_bytes(content)
    source = SecretSource(file=file)
    assert (source.read(), source.warnings()) == (Secret(secret), frozenset(warnings))


def test_the_line_end_of_a_value_is_part_of_it() -> None:
    source = SecretSource.model_validate({"value": "abc\n"})
    assert (source.read(), source.warnings()) == (Secret("abc\n"), frozenset({SecretWarning.LINE_END}))


def test_a_rotated_file_is_read_again(tmp_path: Path) -> None:
    """By size, by time, and by inode, as a mounted secret is replaced."""
    file = tmp_path / "secret"
    file.write_text("first")
    os.utime(file, ns=(1, 1))
    source = SecretSource(file=file)
    seen = [source.read()]
    file.write_text("longer")
    os.utime(file, ns=(1, 1))
    seen.append(source.read())
    file.write_text("longes")
    os.utime(file, ns=(2, 2))
    seen.append(source.read())
    other = tmp_path / "other"
    other.write_text("lastly")
    os.utime(other, ns=(2, 2))
    other.replace(file)
    seen.append(source.read())
    assert seen == [Secret("first"), Secret("longer"), Secret("longes"), Secret("lastly")]


def test_an_unchanged_file_is_served_from_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "secret"
    file.write_text("abc")
    source = SecretSource(file=file)
    first = source.read()
    monkeypatch.setattr(Path, "open", lambda *_: pytest.fail("the file was opened again"))
    assert source.read() is first


def test_a_file_that_goes_away_is_not_served_from_memory(tmp_path: Path) -> None:
    file = tmp_path / "secret"
    file.write_text("abc")
    source = SecretSource(file=file)
    source.read()
    file.unlink()
    assert _unreadable(source) == f"file {file} does not exist"


def test_what_cannot_be_read_is_named_and_its_content_is_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SMTPCHECK_TEST_SECRET", raising=False)
    monkeypatch.setenv("SMTPCHECK_TEST_EMPTY", "")
    empty, large, utf16 = tmp_path / "empty", tmp_path / "large", tmp_path / "utf16"
    empty.write_text("\n")
    large.write_text("hunter2" * 10_000)
    utf16.write_bytes("hunter2".encode("utf-16"))
    told = [
        _unreadable(SecretSource(file=tmp_path)),
        _unreadable(SecretSource(file=empty)),
        _unreadable(SecretSource(file=large)),
        _unreadable(SecretSource(file=utf16)),
        _unreadable(SecretSource(file=Path("a\0b"))),
        _unreadable(SecretSource(env="SMTPCHECK_TEST_SECRET")),
        _unreadable(SecretSource(env="SMTPCHECK_TEST_EMPTY")),
        _unreadable(SecretSource(command=("no-such-program", "hunter2"))),
        _unreadable(_command("import sys; print('hunter2'); sys.exit(3)")),
        _unreadable(_command("")),
    ]
    assert told == [
        f"file {tmp_path} is not a regular file",
        f"file {empty} is empty",
        f"file {large} exceeds 64 KiB, too much for a secret",
        f"file {utf16} is not UTF-8 text",
        "file a\0b cannot be used",
        "variable SMTPCHECK_TEST_SECRET is not set",
        "variable SMTPCHECK_TEST_EMPTY is empty",
        "command no-such-program does not exist",
        f"command {sys.executable} exited with status 3",
        f"command {sys.executable} is empty",
    ]


def test_a_command_that_does_not_end_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(secret_source, "COMMAND_SECONDS", 0.05)
    assert _unreadable(_command("input() if False else __import__('signal').pause()")).endswith("within 0.05 s")


@pytest.mark.skipif(sys.platform == "win32", reason="needs a shell")
@pytest.mark.parametrize("script", ["sleep 600; echo x", "sleep 600 & echo x", "exec >&-; sleep 600"])
def test_a_command_ends_with_what_it_has_started(script: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No program behind the command keeps its pipe, or us, or goes on running."""
    monkeypatch.setattr(secret_source, "COMMAND_SECONDS", 0.3)
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    descriptor = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    try:
        source = SecretSource(command=("sh", "-c", f"exec 9>{pipe}; {script}"))
        assert _unreadable(source).endswith("within 0.3 s")
        # The pipe has an end as soon as nobody holds it any more.
        assert select.select([descriptor], [], [], 10)[0] == [descriptor]
    finally:
        os.close(descriptor)


def test_a_command_that_prints_without_end_is_cut_off() -> None:
    script = "import sys\nwhile True: sys.stdout.write('x' * 65536)"
    assert _unreadable(_command(script)).endswith("exceeds 64 KiB, too much for a secret")


def test_a_command_gets_no_shell_and_no_input() -> None:
    assert _command(PRINT, "$HOME; *").read() == Secret("$HOME; *")
    assert _unreadable(_command("import sys; sys.stdout.write(sys.stdin.read())")).endswith("is empty")


def test_a_look_for_warnings_runs_no_command() -> None:
    assert SecretSource(command=("no-such-program",)).warnings() == frozenset()


@pytest.mark.parametrize(
    "wrong",
    [
        {},
        {"value": "hunter2", "env": "HUNTER2"},
        {"value": 7},
        {"value": ["hunter2"]},
        {"valeu": "hunter2"},
        {"command": []},
        {"env": ""},
        "hunter2",
    ],
)
def test_a_wrong_source_is_refused_without_showing_it(wrong: object) -> None:
    with pytest.raises(ValidationError) as raised:
        SecretSource.model_validate(wrong)
    assert "hunter2" not in str(raised.value)


@given(st.text(min_size=20))
def test_a_value_is_never_shown(text: str) -> None:
    source = SecretSource.model_validate({"value": text})
    shown = f"{source!r} {source} {source.model_dump()!r} {source.model_dump_json()} {ReadSecret(text)!r}"
    assert text not in shown


def test_what_was_read_is_no_part_of_what_a_source_is(tmp_path: Path) -> None:
    """Credentials are compared across a reload."""
    (tmp_path / "secret").write_text("abc")
    read, fresh = SecretSource(file=tmp_path / "secret"), SecretSource(file=tmp_path / "secret")
    read.read()
    assert (read == fresh, hash(read) == hash(fresh)) == (True, True)
    assert read != SecretSource(file=tmp_path / "other")


def test_a_command_runs_at_most_once_a_minute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It may ask a vault or unlock a key ring; what it has printed, or that it failed, serves until then."""
    count = tmp_path / "count"
    source = SecretSource(command=("sh", "-c", f"echo x >> {count}; wc -l < {count}; test -e {tmp_path}/good"))
    assert _unreadable(source) == _unreadable(source) == "command sh exited with status 1"
    (tmp_path / "good").touch()
    assert _unreadable(source).endswith("status 1")
    monkeypatch.setattr(secret_source, "COMMAND_SPACING_SECONDS", 0.0)
    assert source.read().reveal().strip() == "2"
    monkeypatch.setattr(secret_source, "COMMAND_SPACING_SECONDS", 60.0)
    assert [source.read().reveal().strip() for _ in range(5)] == ["2"] * 5


def test_a_command_does_not_inherit_the_secrets_of_the_configuration(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of the environment it gets the rest: PATH, HOME, what its own login needs."""
    monkeypatch.setenv("CLIENT_SECRET", "hunter2")
    monkeypatch.setenv("VAULT_ADDR", "https://vault")
    assert SecretSource(env="CLIENT_SECRET").read() == Secret("hunter2")
    shown = _command("import os; print(os.environ.get('CLIENT_SECRET'), os.environ['VAULT_ADDR'])").read()
    assert shown == Secret("None https://vault")
