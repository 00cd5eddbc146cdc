"""`--config.auto-reload`, with real files: what changes is loaded when it is whole, once."""

import asyncio
import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from smtpcheck.agent import config_watch
from smtpcheck.agent.agent import Agent
from smtpcheck.config import Loaded, contents_now, load
from smtpcheck.config import loading as loading_module
from tests.worlds.agents import shown
from tests.worlds.waiting import until

CHECKS = (
    "agent: {{state: {state}}}\nchecks: [{{name: {name}, depth: connect, server: {{host: localhost}}, interval: 1h}}]\n"
)
TABLE = (
    'agent: {{state: {state}}}\nchecks: [{{name: "{{local}}", depth: connect, server: {{host: localhost}}, '
    "interval: 1h, mailboxes: {{file: rows.csv}}}}]\n"
)


class Watched:
    """An agent that looks at files, and how often it has loaded them."""

    def __init__(self, folder: Path, paths: list[Path]) -> None:
        self.state = folder / "state"
        self.paths = paths
        self.loads = 0

    def text(self, name: str, form: str = CHECKS) -> str:
        return form.format(state=self.state, name=name)

    def load(self) -> Loaded:
        self.loads += 1
        return load(self.paths)

    async def start(self) -> None:
        loaded = self.load()
        assert loaded.settings, loaded.problems
        self.agent = await Agent.create(loaded.settings, self.load, first_within=3600)
        self.agent.watch_files(self.paths, loaded.contents)
        self.stop = asyncio.Event()
        self.task = asyncio.create_task(self.agent.run(self.stop))
        await until(self.agent.ready)

    def names(self) -> list[str]:
        return [check.name for check in self.agent.settings.checks]

    async def looks(self, times: int = 4) -> None:
        """Wait until the files have been looked at so often."""
        looked = 0

        def counted(*given: object) -> object:
            nonlocal looked
            looked += 1
            return contents_now(*given)  # type: ignore[arg-type]

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(config_watch, "contents_now", counted)
            await until(lambda: looked > times)


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(config_watch, "POLL_SECONDS", 0.02)


@pytest.fixture
async def watched(tmp_path: Path) -> AsyncIterator[Watched]:
    """An agent on one file."""
    one = Watched(tmp_path, [tmp_path / "checks.yaml"])
    one.paths[0].write_text(one.text("first"))
    await one.start()
    yield one
    one.stop.set()
    await one.task


async def test_a_change_is_loaded_once_and_nothing_else_is(watched: Watched) -> None:
    await watched.looks()
    assert watched.loads == 1
    watched.paths[0].write_text(watched.text("second"))
    await until(lambda: watched.names() == ["second"])
    os.utime(watched.paths[0], (0, 0))
    await watched.looks()
    assert watched.loads == 2


async def test_a_broken_one_is_reported_once_and_the_old_settings_stay_until_it_is_mended(watched: Watched) -> None:
    good = watched.paths[0].read_text()
    watched.paths[0].write_text("checks: [")
    await until(lambda: watched.loads == 2)
    await watched.looks()
    assert (watched.names(), watched.loads) == (["first"], 2)
    assert "smtpcheck_config_last_reload_successful 0.0" in await shown(watched.agent)
    watched.paths[0].write_text(good)
    await until(lambda: watched.loads == 3)
    await until(lambda: watched.agent._reloader.successful)
    assert "smtpcheck_config_last_reload_successful 1.0" in await shown(watched.agent)


async def test_one_that_is_being_written_is_not_loaded(watched: Watched) -> None:
    whole = watched.text("second") + "".join(f"# {number}\n" for number in range(50))
    with watched.paths[0].open("w") as file:
        for line in whole.splitlines(keepends=True):
            file.write(line)
            file.flush()
            await watched.looks(0)
    await until(lambda: watched.names() == ["second"])
    assert watched.loads == 2


async def test_one_that_is_missing_is_waited_for(watched: Watched) -> None:
    watched.paths[0].unlink()
    await watched.looks()
    assert (watched.names(), watched.loads) == (["first"], 1)
    watched.paths[0].write_text(watched.text("second"))
    await until(lambda: watched.names() == ["second"])


async def test_a_swapped_link_is_a_change(tmp_path: Path) -> None:
    """As Kubernetes updates a ConfigMap: `checks.yaml` -> `..data/checks.yaml`, and `..data` is renamed over."""
    mount = tmp_path / "mount"
    one = Watched(tmp_path, [mount])
    for name in ("first", "second"):
        (mount / f"..{name}").mkdir(parents=True)
        (mount / f"..{name}" / "checks.yaml").write_text(one.text(name))
    (mount / "..data").symlink_to("..first")
    (mount / "checks.yaml").symlink_to("..data/checks.yaml")
    await one.start()
    (mount / "..data_tmp").symlink_to("..second")
    (mount / "..data_tmp").rename(mount / "..data")
    await until(lambda: one.names() == ["second"])
    one.stop.set()
    await one.task
    assert one.loads == 2


async def test_files_of_a_folder_and_a_table_of_mailboxes_are_looked_at_too(tmp_path: Path) -> None:
    folder = tmp_path / "conf.d"
    folder.mkdir()
    one = Watched(tmp_path, [folder])
    (folder / "a.yaml").write_text(one.text("", TABLE))
    (folder / "rows.csv").write_text("mailbox\nanna@a.de\n")
    await one.start()
    (folder / "rows.csv").write_text("mailbox\nbert@a.de\n")
    await until(lambda: one.names() == ["bert"])
    (folder / "b.yaml").write_text("checks: [{name: b, depth: connect, server: {host: localhost}}]")
    await until(lambda: one.names() == ["bert", "b"])
    (folder / "b.yaml").unlink()
    await until(lambda: one.names() == ["bert"])
    (folder / "rows.csv").unlink()
    await until(lambda: not one.agent._reloader.successful)
    assert one.names() == ["bert"]
    (folder / "rows.csv").write_text("mailbox\ncora@a.de\n")
    await until(lambda: one.names() == ["cora"])
    one.stop.set()
    await one.task


async def test_a_change_during_a_load_is_seen_after_it(watched: Watched, monkeypatch: pytest.MonkeyPatch) -> None:
    parts = loading_module.Loading.settings

    def slow(loading: loading_module.Loading) -> object:
        watched.paths[0].write_text(watched.text("third"))
        return parts(loading)

    monkeypatch.setattr(loading_module.Loading, "settings", slow)
    watched.paths[0].write_text(watched.text("second"))
    await until(lambda: watched.names() != ["first"])
    await until(lambda: watched.names() != ["second"])
    assert watched.names() == ["third"]


async def test_a_fault_of_the_look_is_counted_and_ends_nothing(
    watched: Watched, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        raise MemoryError

    with monkeypatch.context() as patch:
        patch.setattr(config_watch, "contents_now", broken)
        await until(lambda: watched.agent._health.internal_errors > 1)
    before = watched.names()
    watched.paths[0].write_text(watched.text("second"))
    await until(lambda: watched.names() != before)
    assert watched.names() == ["second"]


async def test_a_pipe_is_not_read_again(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "checks.yaml")
    assert contents_now([tmp_path / "checks.yaml"], []) is None
