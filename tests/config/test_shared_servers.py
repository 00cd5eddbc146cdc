"""The server of many checks is validated once, and each check still gets its own, or its own problem."""

from pathlib import Path

import pytest

from smtpcheck.config import load
from smtpcheck.config.shared_servers import SharedServers

CHECKS = """
credentials: {t: {type: token, from: {value: abc}}}
checks:
"""


def config(folder: Path, *servers: str) -> Path:
    path = folder / "checks.yaml"
    checks = (
        f"  - {{name: c{n}, mailbox: c{n}@e.org, credential: t, server: {each}}}" for n, each in enumerate(servers)
    )
    path.write_text(CHECKS + "\n".join(checks))
    return path


def test_checks_that_say_the_same_share_it_and_others_do_not(tmp_path: Path) -> None:
    same, other = "{host: mail.example.org, port: 2525}", "{host: mail.example.org, port: '2525'}"
    settings = load([config(tmp_path, same, other, same)]).settings
    assert settings is not None
    one, two, three = (check.server for check in settings.checks)
    assert one is three
    assert (one.host, one.port) == (two.host, two.port) == ("mail.example.org", 2525)


def test_each_check_with_a_wrong_server_has_its_own_problem(tmp_path: Path) -> None:
    loaded = load([config(tmp_path, "{host: a b}", "{host: fine.example.org}", "{host: a b}")])
    assert [problem.path for problem in loaded.problems] == ["checks[0].server.host", "checks[2].server.host"]


def test_a_path_is_relative_to_the_folder_of_each_file() -> None:
    servers, raw = SharedServers(), {"server": {"host": "h", "ca_file": "ca.pem"}}
    one, two = (servers.put_into(raw, Path(folder))["server"].ca_file for folder in ("/one", "/two"))
    assert (one, two) == (Path("/one/ca.pem"), Path("/two/ca.pem"))


@pytest.mark.parametrize("server", ["text", 1, None, {"host": 1}, {"unknown": "x"}])
def test_what_is_no_server_stays_as_it_is(server: object) -> None:
    raw = {"name": "c", "server": server}
    assert SharedServers().put_into(raw, None) is raw
