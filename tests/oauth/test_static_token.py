"""A ready token from a file: used as it is, and read again when it changes."""

import time
from collections.abc import Iterator
from pathlib import Path

import jwt
import pytest
from pydantic import ValidationError

from smtpcheck.model.report import TokenError, TokenErrorKind
from smtpcheck.oauth.broker import TokenBroker
from smtpcheck.oauth.flow import IssuedToken
from smtpcheck.oauth.static_token import READ_AGAIN_SECONDS, StaticToken
from smtpcheck.oauth.token_cache import AcquiredToken
from smtpcheck.secrets.secret import Secret
from tests.worlds.https_issuer import HttpsIssuer, Reply, as_json, serving


def _ready(source: dict[str, object]) -> StaticToken:
    return StaticToken.model_validate({"type": "token", "from": source})


@pytest.mark.parametrize("text", ["EwBAAl3B", "EwBAAl3B\n", " EwBAAl3B \r\n\n"])
def test_blanks_and_line_ends_around_a_token_are_no_part_of_it(tmp_path: Path, text: str) -> None:
    file = tmp_path / "token"
    file.write_text(text)
    answer = _ready({"file": str(file)}).flow().request(None)
    assert answer == IssuedToken(Secret("EwBAAl3B"), None, refresh_in=READ_AGAIN_SECONDS)


def test_a_jwt_says_when_it_ends() -> None:
    token = jwt.encode({"exp": 1_900_000_000}, "k" * 32)
    answer = _ready({"value": token}).flow().request(None)
    assert isinstance(answer, IssuedToken)
    assert answer.expires_at == 1_900_000_000


@pytest.mark.parametrize(("text", "reason"), [(None, "does not exist"), ("\n\n", "has no token"), ("", "is empty")])
def test_a_source_without_a_token(tmp_path: Path, text: str | None, reason: str) -> None:
    file = tmp_path / "token"
    if text is not None:
        file.write_text(text)
    error = _ready({"file": str(file)}).flow().request(None)
    assert isinstance(error, TokenError)
    assert (error.kind, error.description) == (TokenErrorKind.SECRET_UNREADABLE, f"file {file} {reason}")


async def test_a_new_token_in_the_file_is_used_soon_and_an_ended_one_is_handed_out(tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text(jwt.encode({"exp": int(time.time()) - 5}, "k" * 32))
    now = [0.0]
    broker = TokenBroker({"ready": _ready({"file": str(file)})}, monotonic=lambda: now[0])
    await broker.refresh_due()
    ended = await broker.token("ready", "x@example.org", timeout=5)
    assert isinstance(ended, AcquiredToken)
    file.write_text("a new one")
    now[0] += 10
    await broker.refresh_due()
    new = await broker.token("ready", "x@example.org", timeout=5)
    assert isinstance(new, AcquiredToken)
    assert new.token == Secret("a new one")
    (state,) = broker.states()
    assert (state.requests, state.success, state.expires_at) == ({"success": 0, "error": 0}, True, None)
    await broker.close()


# -- a broker's address -----------------------------------------------------------------------------------------------


@pytest.fixture
def address(tmp_path: Path) -> Iterator[HttpsIssuer]:
    with serving(tmp_path) as issuer:
        yield issuer


def _from(address: HttpsIssuer, **other: object) -> StaticToken:
    source = {"url": f"{address.url}/token?for=smtp", "headers": {"X-Api-Key": {"value": "the-api-key"}}} | other
    return StaticToken.model_validate({"from": source, "ca_file": address.ca_file})


@pytest.mark.parametrize(
    ("reply", "seconds"),
    [
        (as_json(200, {"access_token": "EwBAAl3B", "expires_in": 600}), 600.0),
        ((200, {"Content-Type": "text/plain; charset=utf-8"}, "EwBAAl3B\n"), None),
    ],
)
def test_a_broker_gives_a_token(address: HttpsIssuer, *, reply: Reply, seconds: float | None) -> None:
    address.answer("/token", reply)
    flow = _from(address).flow()
    answer = flow.request(None)
    assert isinstance(answer, IssuedToken)
    assert answer.token == Secret("EwBAAl3B")
    assert answer.expires_at == (None if seconds is None else pytest.approx(time.time() + seconds, abs=5))
    asked = address.asked[0]
    assert (str(asked), asked.query, asked.headers["x-api-key"], flow.issuer) == (
        "GET /token",
        {"for": "smtp"},
        "the-api-key",
        "localhost",
    )


@pytest.mark.parametrize(
    ("reply", "kind"),
    [
        ((200, {"Content-Type": "text/html"}, "<html>the-api-key</html>"), TokenErrorKind.NOT_JSON),
        ((200, {"Content-Type": "text/plain"}, "please log in, the-api-key"), TokenErrorKind.NOT_JSON),
        ((502, {}, "bad gateway the-api-key"), TokenErrorKind.HTTP),
        (as_json(429, {}, Retry_After="3"), TokenErrorKind.THROTTLED),
    ],
)
def test_a_broker_without_a_token(address: HttpsIssuer, reply: Reply, kind: TokenErrorKind) -> None:
    address.answer("/token", reply)
    error = _from(address).flow().request(None)
    assert isinstance(error, TokenError)
    assert error.kind is kind
    assert "the-api-key" not in repr(error)


def test_a_key_in_the_address_is_shown_nowhere(address: HttpsIssuer) -> None:
    """As that of a function at Azure, which it may repeat."""
    address.answer("/token", as_json(401, {"error": "denied", "error_description": "no access for the-key-of-it"}))
    ready = _from(address, url=f"{address.url}/token?code=the-key-of-it")
    error = ready.flow().request(None)
    assert isinstance(error, TokenError)
    assert address.asked[0].query == {"code": "the-key-of-it"}
    assert (error.description, error.endpoint) == ("no access for [redacted]", f"{address.url}/token")
    assert str(ready.source) == f"address {address.url}/token"


@pytest.mark.parametrize(
    ("source", "sentence"),
    [
        ({"url": "http://broker.example.org/"}, "a token is fetched by https; http is for this machine only"),
        (
            {"url": "https://user:pass-word@broker.example.org/"},
            "url names a user, whose password would be shown; write headers: {Authorization: ...}",
        ),
        ({"url": "https://[::1"}, "url is not a URL"),
        ({"env": "X", "headers": {"A": {"value": "b"}}}, "headers have no effect without url"),
        ({"env": "X", "url": "https://x"}, "must have exactly one of file, env, command, value and url"),
    ],
)
def test_what_is_wrong_with_a_source(source: dict[str, object], sentence: str) -> None:
    with pytest.raises(ValidationError, match=sentence):
        _ready(source)
