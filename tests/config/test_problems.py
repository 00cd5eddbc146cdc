"""What a user reads about a wrong configuration: the table in `configs/`, sentence by sentence."""

from pathlib import Path

import pytest

from smtpcheck.config import Problem, load

CONFIGS = Path(__file__).parent / "configs"
SECRETS = ("hunter2", "s3cret-of-the-tests", "1b9f4c1a-6d1b-4c55-9a0f-0d8a2b1c3d4e")


def _expected() -> dict[str, str]:
    """Return what `expected.txt` says of each file: after `== NAME` the problems of that file, as they are printed."""
    blocks = (CONFIGS / "expected.txt").read_text().split("== ")[1:]
    return {name: problems.strip() for name, _, problems in (block.partition("\n") for block in blocks)}


EXPECTED = _expected()


def _printed(name: str) -> str:
    text = "\n".join(str(problem) for problem in load([Path(name)]).problems)
    return text.replace(f"{CONFIGS}/", "")


@pytest.fixture(autouse=True)
def _in_the_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(CONFIGS)
    monkeypatch.delenv("SMTPCHECK_TEST_NOT_SET", raising=False)


def test_every_file_is_in_the_table() -> None:
    assert sorted(EXPECTED) == sorted(path.name for path in CONFIGS.glob("*.yaml"))


@pytest.mark.parametrize("name", sorted(EXPECTED))
def test_every_problem_is_told_at_once(name: str) -> None:
    assert _printed(name) == EXPECTED[name]


@pytest.mark.parametrize("name", sorted(EXPECTED))
def test_there_are_settings_only_without_an_error(name: str) -> None:
    loaded = load([Path(name)])
    assert loaded.settings is None
    assert any(problem.severity == "error" for problem in loaded.problems)


@pytest.mark.parametrize("name", sorted(EXPECTED))
def test_no_problem_shows_a_secret(name: str) -> None:
    """The files hold secrets in right places and in wrong ones."""
    printed = "".join(map(repr, load([Path(name)]).problems))
    assert [secret for secret in SECRETS if secret in printed] == []


def test_problems_of_several_files_come_by_file_and_line() -> None:
    found = [problem.file for problem in load([Path("syntax.yaml"), Path("agent.yaml"), Path("nowhere.yaml")]).problems]
    assert list(dict.fromkeys(found)) == ["syntax.yaml", "agent.yaml", "nowhere.yaml"]
    lines = [problem.line or 0 for problem in load([Path("checks.yaml")]).problems]
    assert lines == sorted(lines)


def test_a_file_that_is_missing_is_named() -> None:
    hint = "name the file or folder with -c (--config.file)"
    expected = Problem("error", "cannot be read: no such file or directory", file="nowhere.yaml", hint=hint)
    assert load([Path("nowhere.yaml")]).problems == (expected,)


def test_agent_and_defaults_stand_in_one_file_only(tmp_path: Path) -> None:
    one, two = tmp_path / "1.yaml", tmp_path / "2.yaml"
    one.write_text("agent: {}\ndefaults: {}\nchecks: [{name: a, depth: connect, server: {host: a.example.org}}]\n")
    two.write_text("agent: {}\ndefaults: {}\n")
    told = [(problem.line, problem.path, problem.message) for problem in load([one, two]).problems]
    assert told == [
        (1, "agent", f"is already in {one}:1"),
        (2, "defaults", f"is already in {one}:2"),
    ]


def test_names_are_unique_over_all_files(tmp_path: Path) -> None:
    text = (
        "credentials: {c: {type: token, from: {value: x}}}\nchecks: [{name: a, depth: connect, server: {host: b.de}}]\n"
    )
    one, two = tmp_path / "1.yaml", tmp_path / "2.yaml"
    one.write_text(text)
    two.write_text(text)
    told = [(problem.file, problem.path, problem.message) for problem in load([tmp_path]).problems]
    assert told == [
        (str(two), "credentials.c", f"a credential of this name is already in {one}:1"),
        (str(two), "checks[0].name", f"another check has this name: {one}:2"),
    ]


def test_a_folder_without_files_is_a_problem(tmp_path: Path) -> None:
    (tmp_path / ".hidden.yaml").write_text("checks: []")
    (tmp_path / "notes.txt").write_text("x")
    [problem] = load([tmp_path]).problems
    assert str(problem) == f"{tmp_path}: is a folder without a visible .yaml file"


def test_strict_makes_every_warning_an_error(tmp_path: Path) -> None:
    file = tmp_path / "checks.yaml"
    file.write_text(
        "credentials: {c: {type: token, from: {file: nowhere}}}\n"
        "checks: [{name: a, mailbox: a@example.org, credential: c, server: {host: mail.example.org}}]\n"
    )
    assert [problem.severity for problem in load([file]).problems] == ["warning"]
    assert load([file]).settings is not None
    assert [problem.severity for problem in load([file], strict=True).problems] == ["error"]
    assert load([file], strict=True).settings is None
