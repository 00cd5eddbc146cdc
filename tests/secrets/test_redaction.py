"""Nothing that was sent, and nothing that looks like a token, is in what is kept of an answer."""

import base64
import html
import json
from collections.abc import Callable
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from msgspec import structs

from smtpcheck.http_client.exchange import Response
from smtpcheck.oauth.answer import token_error
from smtpcheck.secrets.redaction import MARK, redact

FORMS: tuple[Callable[[str], str], ...] = (
    str,
    quote,
    quote_plus,
    html.escape,
    lambda value: json.dumps(value)[1:-1],
    lambda value: base64.b64encode(value.encode()).decode(),
)

secrets = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="[]"), min_size=11, max_size=60)


@example("0000000000\x1f", FORMS[-2], "", "0000")  # \u001f, not \U001f0000
@given(secrets, st.sampled_from(FORMS), st.text(max_size=20), st.text(max_size=20))
def test_a_value_that_was_sent_is_gone_in_every_form(
    secret: str, form: Callable[[str], str], before: str, after: str
) -> None:
    text = redact(f"{before}{form(secret)}{after}", [secret])
    assert secret not in text
    assert form(secret) not in text


@given(secrets, st.integers(200, 599), st.sampled_from(FORMS), st.booleans())
def test_no_part_of_an_error_holds_what_was_sent(
    secret: str, status: int, form: Callable[[str], str], as_json: bool
) -> None:
    keys = ("error", "error_description", "suberror", "correlation_id", "trace_id")
    text = json.dumps(dict.fromkeys(keys, form(secret))) if as_json else f"<html>{form(secret)}</html>"
    url = f"https://issuer.example/token/{form(secret)}?x={form(secret)}"
    answer = Response("POST", url, status, {}, text.encode(), frozenset({secret}), at=0.0)
    values = [str(value) for value in structs.asdict(token_error(answer, requested_scope="s")).values()]
    assert [value for value in values if secret in value or form(secret) in value] == []


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ('{"access_token": "abcdefgh"}', f'{{"access_token": "{MARK}"}}'),
        ("refresh_token=abcdefgh&x=1", f"refresh_token={MARK}&x=1"),
        ("got eyJhbGciOiJIUzI1NiJ9.eyJhIjoxfQ.c2ln here", f"got {MARK} here"),
        ("Authorization: Basic dXNlcjpwdw== sent", f"Authorization: Basic {MARK} sent"),
        ("{'authorization': 'Bearer opaque-token'}", f"{{'authorization': 'Bearer {MARK}'}}"),
        ("proxy=URL('http://user:pass-word@proxy:3128')", f"proxy=URL('http://user:{MARK}@proxy:3128')"),
        ("https://mail.example.org:8443/a@b?c=d:e", "https://mail.example.org:8443/a@b?c=d:e"),
        (
            "Authentication unsuccessful, basic authentication is disabled.",
            "Authentication unsuccessful, basic authentication is disabled.",
        ),
        ("AADSTS7000215: Invalid client secret provided.", "AADSTS7000215: Invalid client secret provided."),
        ("must contain 'client_assertion' or 'client_secret'.", "must contain 'client_assertion' or 'client_secret'."),
    ],
)
def test_what_looks_like_a_token_goes_and_plain_words_stay(text: str, kept: str) -> None:
    assert redact(text, []) == kept


def test_codes_are_read_off_the_text_where_the_list_lacks() -> None:
    body = {"error": "invalid_client", "error_description": "AADSTS7000222: expired. AADSTS50012: x AADSTS7000222"}
    answer = Response("POST", "https://u:p@i.example/t?q=1", 401, {}, json.dumps(body).encode(), frozenset(), at=0.0)
    error = token_error(answer, requested_scope="")
    assert (error.error_codes, error.endpoint) == ((7000222, 50012), "https://i.example/t")
