"""Every request by `curl` in the documents is answered by a running agent."""

import argparse
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from aiohttp.test_utils import TestClient, TestServer

from smtpcheck.web import create_app
from tests.docs.commands import Command, commands
from tests.docs.site import Site
from tests.worlds.agents import running

REQUESTS = [command for command in commands() if command.words[0] == "curl"]


def _options(words: Sequence[str]) -> argparse.Namespace:
    """Return what curl's own options say, those that the documents use; any other is wrong use, and ends the test."""
    parser = argparse.ArgumentParser()
    parser.add_argument("-X", dest="method")
    parser.add_argument("-H", dest="headers", action="append", default=[])
    parser.add_argument("-d", dest="body")
    parser.add_argument("-fsS", "-f", "-s", "-S", action="store_true")
    parser.add_argument("url")
    return parser.parse_args(list(words))


@pytest.mark.parametrize("command", REQUESTS, ids=str)
async def test_a_request_is_answered(command: Command, tmp_path: Path) -> None:
    options = _options(command.words[1:])
    headers = dict(header.split(": ", 1) for header in options.headers)
    (tmp_path / "site").mkdir()
    with Site(tmp_path / "site") as site:
        site.folder_for(["smtpcheck", "run"], tmp_path)
        async with (
            running(tmp_path / "checks.yaml") as agent,
            TestClient(TestServer(create_app(agent))) as client,
        ):
            where, method = urlsplit(options.url), options.method or ("POST" if options.body else "GET")
            assert where.netloc in {"127.0.0.1:9587", "localhost:9587"}
            answer = await client.request(
                method, where._replace(scheme="", netloc="").geturl(), data=options.body, headers=headers
            )
            assert answer.ok, await answer.text()
