"""The workflows of GitHub: valid by its schemas, with few rights, and the commands in them are sound.

Rules of this file:
- Nothing here runs a workflow. What of one can run without GitHub is run: the check of a release's version.
"""

import os
import re
import subprocess
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from smtpcheck import __version__
from tests.real.daemon import real_binary
from tests.worlds.published_schemas import problems

ROOT = Path(__file__).parent.parent.parent
FOLDER = ROOT / ".github" / "workflows"
WORKFLOWS = {path.name: yaml.safe_load(path.read_text()) for path in sorted(FOLDER.iterdir())}
JOBS: dict[str, dict[str, Any]] = {
    f"{name}:{job}": content for name, workflow in WORKFLOWS.items() for job, content in workflow["jobs"].items()
}
RIGHTS = {
    "release.yaml:distributions": {"contents": "read", "id-token": "write", "attestations": "write"},
    "release.yaml:image": {"contents": "read", "packages": "write"},
    "release.yaml:release": {"contents": "write"},
    "release.yaml:pypi": {"id-token": "write"},
}
"""The jobs that may do more than read."""


def steps() -> Iterator[tuple[str, dict[str, Any]]]:
    for name, job in JOBS.items():
        for number, step in enumerate(job.get("steps", ())):
            yield f"{name}:{number}", step


SCRIPTS = {name: step["run"] for name, step in steps() if "run" in step}


@pytest.mark.parametrize("schema", ["vendor.github-workflows", "custom.github-workflows-require-timeout"])
@pytest.mark.parametrize("name", WORKFLOWS)
def test_a_workflow_is_valid(name: str, schema: str) -> None:
    assert problems(schema, FOLDER / name) == []


def test_the_schema_finds_a_wrong_key(tmp_path: Path) -> None:
    broken = tmp_path / "tests.yaml"
    broken.write_text((FOLDER / "tests.yaml").read_text().replace("runs-on:", "run-on:"))
    assert problems("vendor.github-workflows", broken) != []


def test_what_proposes_new_versions_is_valid() -> None:
    assert problems("vendor.dependabot", ROOT / ".github" / "dependabot.yml") == []


@pytest.mark.parametrize("name", WORKFLOWS)
def test_a_workflow_may_read_and_no_more(name: str) -> None:
    assert WORKFLOWS[name]["permissions"] == {"contents": "read"}
    assert WORKFLOWS[name]["concurrency"]["group"]
    assert WORKFLOWS[name]["defaults"] == {"run": {"shell": "bash"}}


def test_the_jobs_that_may_do_more_are_known() -> None:
    assert {name: job["permissions"] for name, job in JOBS.items() if "permissions" in job} == RIGHTS


def test_actions_have_a_version_and_keep_no_token() -> None:
    for name, step in steps():
        if uses := step.get("uses"):
            assert re.fullmatch(r"[\w-]+/[\w-]+@(v\d+|release/v\d+)", uses), name
            if uses.startswith("actions/checkout@"):
                assert step["with"]["persist-credentials"] is False, name


def test_nothing_from_outside_becomes_part_of_a_command() -> None:
    """A title or a branch in a script would be run; scripts read variables of the environment."""
    assert {name for name, script in SCRIPTS.items() if "${{" in script} == set()


@pytest.mark.parametrize("name", SCRIPTS)
def test_shellcheck_finds_no_fault(name: str) -> None:
    script = "#!/usr/bin/env bash\nset -eo pipefail\n" + SCRIPTS[name]
    done = subprocess.run([real_binary("shellcheck"), "-"], input=script, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


def test_every_python_that_is_declared_is_tested() -> None:
    classifiers = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["classifiers"]
    declared = {found[1] for each in classifiers if (found := re.fullmatch(r".*:: Python :: (3\.\d+)", each))}
    assert declared <= set(JOBS["tests.yaml:python"]["strategy"]["matrix"]["python"])


def test_the_tests_are_those_of_this_tree() -> None:
    assert SCRIPTS["tests.yaml:everything:2"] == ".ci/run"
    assert os.access(ROOT / ".ci" / "run", os.X_OK)
    assert JOBS["release.yaml:tests"]["uses"] == "./.github/workflows/tests.yaml"


def test_nothing_is_released_before_the_tests_have_passed() -> None:
    def needed(job: str) -> set[str]:
        direct = JOBS[f"release.yaml:{job}"].get("needs", [])
        names = {direct} if isinstance(direct, str) else set(direct)
        return names.union(*map(needed, names))

    assert {job: needed(job) >= {"version", "tests"} for job in ("distributions", "image", "release", "pypi")} == {
        **dict.fromkeys(("distributions", "image", "release", "pypi"), True)
    }


@pytest.mark.parametrize(
    ("tag", "changelog", "complaint"),
    [
        (f"v{__version__}", f"## [{__version__}] - 2026-01-01\n", ""),
        ("v99.0.0", f"## [{__version__}]\n", "the tag is v99.0.0"),
        (f"v{__version__}", "## [Unreleased]\n", "CHANGELOG.md has no part"),
        (f"v{__version__}", f"## [{__version__.replace('.', 'x')}]\n", "CHANGELOG.md has no part"),
    ],
)
def test_a_tag_must_be_the_version(tag: str, changelog: str, complaint: str, tmp_path: Path) -> None:
    (tmp_path / "smtpcheck").mkdir()
    (tmp_path / "smtpcheck" / "__init__.py").write_text((ROOT / "smtpcheck" / "__init__.py").read_text())
    (tmp_path / "CHANGELOG.md").write_text(changelog)
    done = subprocess.run(
        ["bash", "-eo", "pipefail", "-c", SCRIPTS["release.yaml:version:1"]],
        cwd=tmp_path, env={**os.environ, "GITHUB_REF_NAME": tag}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (done.returncode, complaint in done.stdout) == (1 if complaint else 0, True)
