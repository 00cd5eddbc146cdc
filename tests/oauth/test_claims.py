"""What is read of a token without verifying it: hints only, bounded, and never the token."""

import base64
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smtpcheck.model.report import TokenFacts
from smtpcheck.oauth.claims import CHOSEN, HEADER_TYPE, all_claims, chosen_claims, expiry, token_facts
from smtpcheck.secrets.secret import Secret


def _piece(value: object) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).decode().rstrip("=")


def _jwt(payload: object, header: object = None) -> str:
    return f"{_piece(header or {'alg': 'RS256', 'typ': 'JWT'})}.{_piece(payload)}.c2lnbmF0dXJl"


APP_ONLY = {
    "aud": "https://outlook.office365.com",
    "iss": "https://sts.windows.net/t/",
    "appid": "a",
    "oid": "o",
    "idtyp": "app",
    "roles": ["SMTP.SendAsApp"],
    "tid": "t",
    "exp": 1_800_003_600,
    "ver": "1.0",
}


def test_the_facts_of_an_app_only_token() -> None:
    token = _jwt({**APP_ONLY, "groups": ["not chosen"]})
    assert token_facts(Secret(token), scope="s", acquired_at=1.0, expires_at=2.0) == TokenFacts(
        fingerprint=Secret(token).fingerprint,
        form="jwt",
        acquired_at=1.0,
        expires_at=2.0,
        scope="s",
        size=len(token),
        claims={**APP_ONLY, "header_typ": "JWT"},
        from_cache=False,
    )


@pytest.mark.parametrize(
    "token",
    [
        "",
        "EwBAAl3BBAAUkj1NuJYtTVha",
        "a.b",
        "a.b.c",
        "a.b.c.d.e",
        f"{_piece([1])}.{_piece({})}.x",
        f"{_piece({})}.{_piece('text')}.x",
        f"{base64.urlsafe_b64encode(b'[' * 100_000).decode()}.{_piece({})}.x",
        f"{base64.urlsafe_b64encode(b'9' * 5000).decode()}.{_piece({})}.x",
        "é.é.é",
    ],
)
def test_what_is_no_jwt_is_opaque(token: str) -> None:
    facts = token_facts(Secret(token), scope="", acquired_at=0.0, expires_at=0.0)
    assert (facts.form, facts.claims, expiry(token)) == ("opaque", {}, None)


def test_the_type_of_the_header_is_kept() -> None:
    assert chosen_claims(_jwt({}, {"typ": "at+jwt"})) == {"header_typ": "at+jwt"}


def test_claims_are_bounded() -> None:
    claims = chosen_claims(_jwt({"aud": "a" * 10_000, "roles": ["r" * 10_000, 5] * 100, "exp": 10**30, "tid": {}}))
    assert claims == {"aud": "a" * 512, "roles": ["r" * 512] * 16, "header_typ": "JWT"}


@pytest.mark.parametrize(
    ("exp", "end"),
    [
        (1_800_000_000, 1.8e9),
        (1_800_000_000.5, 1_800_000_000.5),
        ("5", None),
        (True, None),
        (None, None),
        (float("nan"), None),
    ],
)
def test_the_end_is_a_number_or_unknown(exp: object, end: float | None) -> None:
    assert expiry(_jwt({"exp": exp})) == end


@given(st.text())
def test_any_text_is_read_without_a_fault(token: str) -> None:
    assert set(chosen_claims(token)) <= {*CHOSEN, HEADER_TYPE}


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=8,
)


@given(st.dictionaries(st.sampled_from(CHOSEN) | st.text(max_size=5), _JSON, max_size=8), _JSON)
def test_only_chosen_claims_leave_and_all_of_them_can_be_written_as_json(
    payload: dict[str, object], typ: object
) -> None:
    claims = chosen_claims(_jwt(payload, {"typ": typ}))
    assert set(claims) <= {*CHOSEN, "header_typ"}
    json.dumps(claims, allow_nan=False)


def test_all_claims_of_a_token_and_none_of_an_opaque_one() -> None:
    claims = {"email": "a@example.org", "other": [1]}
    assert (all_claims(_jwt(claims)), all_claims("EwBAAl3B")) == (claims, {})


@pytest.mark.parametrize("exp", [1.8e12, 4_200_000_000, 0, 500_000_000, -5, True])
def test_an_expiry_that_cannot_be_meant_is_not_believed(exp: float) -> None:
    """Milliseconds, as some brokers write them, would be a token for ever, and the year 55841 on a page."""
    assert expiry(_jwt({"exp": exp})) is None


def test_a_claim_is_printable() -> None:
    """A token is text from outside like any other."""
    assert chosen_claims(_jwt({"upn": "a\x1b[2J\ud800"}))["upn"] == "a\\x1b[2J\\ud800"
