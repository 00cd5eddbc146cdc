"""Keys of mail APIs from their sources: read when needed, refused where they could end a header."""

from dataclasses import asdict
from pathlib import Path

import pytest
from pydantic import ValidationError

from smtpcheck.model.report import TokenError, TokenErrorKind
from smtpcheck.oauth.api_key import SEPARATOR, ApiKey
from smtpcheck.oauth.aws import Aws
from smtpcheck.oauth.broker import TokenBroker
from smtpcheck.oauth.flow import IssuedToken
from smtpcheck.oauth.static_token import READ_AGAIN_SECONDS
from smtpcheck.oauth.token_cache import AcquiredToken
from smtpcheck.secrets.secret import Secret

AWS = {"type": "aws", "access_key_id": "AKIA" + "A" * 16, "region": "eu-central-1"}


def _key(source: dict[str, object], **keys: object) -> ApiKey:
    return ApiKey.model_validate({"type": "api-key", "key": source, **keys})


@pytest.mark.parametrize("content", ["SG.key", "SG.key\n", "SG.key\r\n", " SG.key \n"])
def test_a_line_end_and_blanks_around_a_key_are_no_part_of_it(tmp_path: Path, content: str) -> None:
    (tmp_path / "key").write_bytes(content.encode())
    answer = _key({"file": str(tmp_path / "key")}).flow().request(None)
    assert answer == IssuedToken(Secret("SG.key"), None, refresh_in=READ_AGAIN_SECONDS)


@pytest.mark.parametrize("content", ["SG.key\nX-Evil: 1", "SG.key\r\n\r\n", "SG key", "SG\0key", "schlüssel"])
def test_a_key_that_could_end_a_header_is_refused_and_not_shown(tmp_path: Path, content: str) -> None:
    file = tmp_path / "key"
    file.write_bytes(content.encode())
    error = _key({"file": str(file)}).flow().request(None)
    assert isinstance(error, TokenError)
    assert error.kind is TokenErrorKind.SECRET_UNREADABLE
    assert error.description == f"file {file} has a line end, a blank or a character that no header may hold"


def test_a_pair_is_kept_apart_by_what_no_half_may_hold() -> None:
    answer = _key({"value": "first:half"}, secret={"value": "second"}).flow().request(None)
    assert answer == IssuedToken(Secret(f"first:half{SEPARATOR}second"), None, refresh_in=READ_AGAIN_SECONDS)


def test_an_access_key_of_aws_has_two_parts_or_three() -> None:
    two = Aws.model_validate({**AWS, "secret_access_key": {"value": "s/+"}}).flow().request(None)
    three = Aws.model_validate({**AWS, "secret_access_key": {"value": "s"}, "session_token": {"value": "t=="}})
    issued = three.flow().request(None)
    assert isinstance(two, IssuedToken)
    assert isinstance(issued, IssuedToken)
    assert two.token.reveal().split(SEPARATOR) == [AWS["access_key_id"], "s/+"]
    assert issued.token.reveal().split(SEPARATOR) == [AWS["access_key_id"], "s", "t=="]


@pytest.mark.parametrize(
    "other", [{"region": "Frankfurt"}, {"access_key_id": "a key"}, {"secret_access_key": "plain"}, {"role": "x"}]
)
def test_what_is_no_access_key_is_refused(other: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        Aws.model_validate({**AWS, "secret_access_key": {"value": "s"}, **other})


@pytest.mark.parametrize("region", ["us-east-1", "us-gov-west-1", "cn-north-1", "ap-southeast-2", "eusc-de-east-1"])
def test_regions_of_all_partitions_are_known(region: str) -> None:
    assert Aws.model_validate({**AWS, "secret_access_key": {"value": "s"}, "region": region}).region == region


async def test_nothing_of_a_key_is_kept_to_guess_it_from() -> None:
    broker = TokenBroker({"sg": _key({"value": "SG.key"})})
    try:
        acquired = await broker.token("sg", "a@example.org", timeout=5)
        assert isinstance(acquired, AcquiredToken)
        assert acquired.facts is None
        assert "SG.key" not in repr(acquired)
        assert "SG.key" not in str([asdict(state) for state in broker.states()])
    finally:
        await broker.close()


@pytest.mark.parametrize("kind", [ApiKey, Aws])
def test_no_login_is_made_with_a_key(kind: type[ApiKey | Aws]) -> None:
    assert (kind.gives_tokens, kind.logs_in) == (False, False)
