"""A password from its source: read when it is needed, and nothing of it kept to guess it from."""

from dataclasses import asdict
from pathlib import Path

import pytest
from pydantic import ValidationError

from smtpcheck.model.report import TokenError, TokenErrorKind
from smtpcheck.oauth.broker import TokenBroker
from smtpcheck.oauth.flow import IssuedToken
from smtpcheck.oauth.password import Password
from smtpcheck.oauth.static_token import READ_AGAIN_SECONDS
from smtpcheck.oauth.token_cache import AcquiredToken
from smtpcheck.secrets.secret import Secret


def _password(source: dict[str, object], **keys: object) -> Password:
    return Password.model_validate({"type": "password", "password": source, **keys})


@pytest.mark.parametrize(
    ("content", "password"), [("hunter2", "hunter2"), ("hunter2\n", "hunter2"), (" two words \n\n", " two words \n")]
)
def test_only_one_line_end_of_a_file_is_no_part_of_it(tmp_path: Path, content: str, password: str) -> None:
    (tmp_path / "password").write_text(content)
    answer = _password({"file": str(tmp_path / "password")}).flow().request(None)
    assert answer == IssuedToken(Secret(password), None, refresh_in=READ_AGAIN_SECONDS)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (None, "does not exist"),
        (b"", "is empty"),
        (b"\n", "is empty"),
        (b"a\0b", "has a character that SASL cannot transport (RFC 4616 2)"),
        (b"\xff", "is not UTF-8 text"),
    ],
)
def test_a_source_without_a_usable_password_says_why(tmp_path: Path, content: bytes | None, reason: str) -> None:
    file = tmp_path / "password"
    if content is not None:
        file.write_bytes(content)
    error = _password({"file": str(file)}).flow().request(None)
    assert isinstance(error, TokenError)
    assert (error.kind, error.description) == (TokenErrorKind.SECRET_UNREADABLE, f"file {file} {reason}")


def test_a_variable_with_octets_that_are_no_text_is_no_password(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LEGACY", "a\udcffb")
    error = _password({"env": "LEGACY"}).flow().request(None)
    assert isinstance(error, TokenError)
    assert error.description.startswith("variable LEGACY has a character that SASL cannot transport")


async def test_nothing_is_kept_that_it_could_be_guessed_from(tmp_path: Path) -> None:
    """No fingerprint, no length; and no issuer is counted as asked."""
    (tmp_path / "password").write_text("hunter2")
    broker = TokenBroker({"legacy": _password({"file": str(tmp_path / "password")})})
    for answer in (await broker.token("legacy", "a@example.org", timeout=5), broker.peek("legacy", "b@example.org")):
        assert isinstance(answer, AcquiredToken)
        assert (answer.token, answer.facts) == (Secret("hunter2"), None)
    (state,) = broker.states()
    assert (state.success, state.requests, state.expires_at) == (True, {"success": 0, "error": 0}, None)
    shown = repr(asdict(state)) + repr(broker.peek("legacy", None))
    assert "hunter2" not in shown
    assert Secret("hunter2").fingerprint not in shown
    await broker.close()


async def test_a_changed_file_is_read_again(tmp_path: Path) -> None:
    (tmp_path / "password").write_text("old")
    now = [0.0]
    broker = TokenBroker({"legacy": _password({"file": str(tmp_path / "password")})}, monotonic=lambda: now[0])
    await broker.refresh_due()
    await broker.token("legacy", None, timeout=5)
    (tmp_path / "password").write_text("new one")
    now[0] += 30
    await broker.refresh_due()
    answer = await broker.token("legacy", None, timeout=5, fresh=True)
    assert isinstance(answer, AcquiredToken)
    assert answer.token == Secret("new one")
    await broker.close()


@pytest.mark.parametrize("keys", [{"user": ""}, {"user": "a\x01b"}, {"scope": "mail"}, {"password": "hunter2"}])
def test_a_wrong_form_is_refused(keys: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        _password({"value": "x"}, **keys)
