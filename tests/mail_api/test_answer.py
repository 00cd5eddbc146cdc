"""What answers mean: success is stated, and whatever else comes is an error with a cause, bounded."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smtpcheck.mail_api.answer import MAX_CODE, MAX_MESSAGE, Answer, Meaning, read_answer
from smtpcheck.mail_api.shipped import SHIPPED, shipped
from smtpcheck.model.cause import Cause

PAGE = b"<!DOCTYPE html><html><head><title>Sign in</title></head></html>"
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=10), inner, max_size=4),
    max_leaves=20,
)


def said(api: str, status: int, body: bytes, *, is_whole: bool = True, **headers: str) -> tuple[Meaning, Cause | None]:
    description = shipped(api)
    reading = read_answer(description, description.send, Answer(status, headers, body, is_whole))
    return reading.meaning, reading.cause


@pytest.mark.parametrize("api", SHIPPED)
@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_a_redirect_is_no_answer(api: str, status: int) -> None:
    assert said(api, status, b"", location="https://evil.example/") == (Meaning.NOT_THE_API, Cause.API_ANSWER_INVALID)


@pytest.mark.parametrize("api", SHIPPED)
@pytest.mark.parametrize("status", [200, 201, 202, 404])
def test_a_page_is_never_a_success(api: str, status: int) -> None:
    assert said(api, status, PAGE)[0] is not Meaning.DONE


@pytest.mark.parametrize("api", [api for api in SHIPPED if shipped(api).proof and shipped(api).proof[0].is_safe])
@pytest.mark.parametrize("body", [b"", b"OK", PAGE])
def test_what_a_proof_reads_is_json(api: str, body: bytes) -> None:
    description = shipped(api)
    reading = read_answer(description, description.proof[0], Answer(200, {}, body))
    assert (reading.meaning, reading.cause) == (Meaning.NOT_THE_API, Cause.API_ANSWER_INVALID)


def test_a_page_with_403_is_a_network_in_front_of_postmark() -> None:
    assert said("postmark", 403, PAGE) == (Meaning.NOT_THE_API, Cause.API_ANSWER_INVALID)


@pytest.mark.parametrize("body", [b"", b"null", b"[]", b"{", b'{"ErrorCode":"zero"}', b'{"ErrorCode":false}'])
def test_a_body_without_its_code_is_no_success(body: bytes) -> None:
    assert said("postmark", 200, body)[0] is not Meaning.DONE


@pytest.mark.parametrize("code", ["200", 200])
def test_a_code_counts_as_number_and_as_text(code: object) -> None:
    assert said("aotsend", 200, json.dumps({"code": code}).encode())[0] is Meaning.DONE
    assert said("aotsend", 500, json.dumps({"code": code}).encode())[0] is Meaning.DONE


def test_an_error_under_200_is_an_error() -> None:
    body = json.dumps({"code": 40007, "message": "Insufficient balance"}).encode()
    assert said("aotsend", 200, body) == (Meaning.REFUSED, Cause.QUOTA_EXHAUSTED)
    errors = {"Messages": [{"Status": "error", "Errors": [{"ErrorCode": "send-0008"}]}]}
    assert said("mailjet", 200, json.dumps(errors).encode()) == (Meaning.REFUSED, Cause.SENDER_UNVERIFIED)


def test_a_body_that_is_cut_is_not_read() -> None:
    assert said("postmark", 200, b'{"ErrorCode": 0}', is_whole=False)[0] is not Meaning.DONE


def test_a_proof_that_is_answered_like_a_message_is_unexpected() -> None:
    description = shipped("sendgrid")
    reading = read_answer(description, description.proof[1], Answer(202, {}, b""))
    assert (reading.meaning, reading.cause) == (Meaning.UNEXPECTED, Cause.UNEXPECTED_SUCCESS)


def test_a_list_without_the_scope_is_a_key_without_the_right() -> None:
    description = shipped("sendgrid")
    reading = read_answer(description, description.proof[0], Answer(200, {}, b'{"scopes":["user.read"]}'))
    assert (reading.meaning, reading.cause) == (Meaning.REFUSED, Cause.API_KEY_NOT_PERMITTED)


@given(st.sampled_from(SHIPPED), st.integers(100, 599), JSON.map(json.dumps).map(str.encode) | st.binary(max_size=200))
def test_nothing_that_comes_raises_or_is_long(api: str, status: int, body: bytes) -> None:
    description = shipped(api)
    for call in (*description.proof, description.send):
        reading = read_answer(description, call, Answer(status, {}, body))
        assert len(reading.code) <= MAX_CODE
        assert len(reading.message) <= MAX_MESSAGE


@pytest.mark.parametrize("body", [b"[" * 100_000, b'{"a":' * 50_000, b"9" * 100_000, b"[" * 20 + b"]" * 20])
def test_a_body_that_is_too_deep_or_too_long_a_number_is_no_json(body: bytes) -> None:
    assert said("postmark", 200, body) == (Meaning.NOT_THE_API, Cause.API_ANSWER_INVALID)
