"""A library that uses `requests` by name gets bounded exchanges, and everybody else the module as it is."""

import sys
import time
from types import ModuleType
from typing import Any

import pytest
import requests

from smtpcheck.http_client.bounded_requests import bound_requests
from smtpcheck.http_client.exchange import Limits
from tests.worlds.raw_server import RawServer, endless, serving

LIMITS = Limits(seconds=5.0, octets=10_000)
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


@pytest.fixture
def module(monkeypatch: pytest.MonkeyPatch) -> Any:
    """A module of a library, which was loaded and has imported requests."""
    for name in ("http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    made = ModuleType("library.plugin")
    made.__dict__["requests"] = requests
    monkeypatch.setitem(sys.modules, "library.plugin", made)
    bound_requests("library", LIMITS)
    return made.__dict__["requests"]


@pytest.mark.parametrize("method", ["get", "head", "post", "put", "patch", "delete"])
def test_each_function_is_there(module: Any, method: str) -> None:
    with serving([[OK]]) as server:
        response = getattr(module, method)(server.url, headers={"X": "y"}, verify=True, timeout=(4, 4))
    assert (response.status_code, response.ok) == (module.codes.ok, True)
    assert server.head.startswith(f"{method.upper()} / HTTP/1.1\r\n")


def test_a_redirect_is_not_followed_and_a_body_is_bounded(module: Any) -> None:
    answers = [
        endless(b"HTTP/1.1 307 X\r\nLocation: /\r\n\r\n", b"x" * 4096),
        endless(b"HTTP/1.1 200 OK\r\n\r\n", b"x" * 4096),
    ]
    with serving(answers) as server:
        assert module.post(server.url, data="the key", allow_redirects=True).content == b""
        assert len(module.request("POST", server.url, stream=True).content) == LIMITS.octets
    assert len(server.requests) == 2


def test_a_time_limit_of_the_library_holds_for_the_whole(module: Any) -> None:
    server = RawServer()
    with serving([server.drip(b"HTTP/1.1 200 " + b"y" * 1000, 0.05)], server):
        begin = time.monotonic()
        with pytest.raises(module.RequestException):
            module.get(server.url, timeout=(0.3, 0.3))
        assert time.monotonic() - begin < LIMITS.seconds


def test_a_session_is_bounded_too_and_nobody_else_is(module: Any) -> None:
    with serving([[OK]]) as server, module.Session() as session:
        assert session.get(server.url).text == "ok"
    assert module is not requests
    assert not isinstance(requests.Session(), type(session))
