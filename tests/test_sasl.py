"""SASL messages as the RFCs print them, and tokens that servers repeat."""

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smtpcheck.model import Mechanism, Provider, Reply
from smtpcheck.secret import Secret
from smtpcheck.smtp import sasl


def message(mechanism: Mechanism, user: str, token: str = "tok") -> bytes:
    response = sasl.client_response(mechanism, user=user, token=Secret(token), host="server.example.com", port=587)
    return base64.b64decode(response, validate=True)


def test_xoauth2_is_the_form_that_google_documents() -> None:
    response = sasl.client_response(
        Mechanism.XOAUTH2,
        user="someuser@example.com",
        token=Secret("ya29.vF9dft4qmTc2Nvb3RlckBhdHRhdmlzdGEuY29tCg"),
        host="h",
        port=1,
    )
    assert response == (
        "dXNlcj1zb21ldXNlckBleGFtcGxlLmNvbQFhdXRoPUJlYXJlciB5YTI5LnZGOWRmdDRxbVRjMk52YjNSbGNrQmhkSFJoZG1semRHRXVZMjl0Q2cBAQ=="
    )


def test_oauthbearer_is_the_form_of_rfc_7628() -> None:
    expected = b"n,a=user@example.com,\x01host=server.example.com\x01port=587\x01auth=Bearer vF9dft4q\x01\x01"
    assert message(Mechanism.OAUTHBEARER, "user@example.com", "vF9dft4q") == expected


def test_commas_and_equal_signs_of_a_user_are_escaped_for_oauthbearer_only() -> None:
    assert message(Mechanism.OAUTHBEARER, "a=b,c").startswith(b"n,a=a=3Db=2Cc,\x01")
    assert message(Mechanism.XOAUTH2, "a=b,c").startswith(b"user=a=b,c\x01")


@pytest.mark.parametrize("user", ["a\r\nb", "a\x01b", "a\x00", "a\n"])
@pytest.mark.parametrize("mechanism", Mechanism)
def test_a_control_character_in_the_user_is_refused(mechanism: Mechanism, user: str) -> None:
    with pytest.raises(ValueError, match="control character"):
        message(mechanism, user)


@pytest.mark.parametrize(
    ("offered", "provider", "expected"),
    [
        ({"LOGIN", "XOAUTH2"}, Provider.MICROSOFT, Mechanism.XOAUTH2),
        ({"PLAIN", "XOAUTH2", "OAUTHBEARER"}, Provider.GOOGLE, Mechanism.XOAUTH2),
        ({"PLAIN", "XOAUTH2", "OAUTHBEARER"}, Provider.YAHOO, Mechanism.OAUTHBEARER),
        ({"OAUTHBEARER"}, Provider.GENERIC, Mechanism.OAUTHBEARER),
        ({"XOAUTH2"}, Provider.YAHOO, Mechanism.XOAUTH2),
        ({"LOGIN", "XOAUTH"}, Provider.GENERIC, None),
        (set(), Provider.GENERIC, None),
    ],
)
def test_the_mechanism_follows_what_is_offered(
    offered: set[str], provider: Provider, expected: Mechanism | None
) -> None:
    assert sasl.choose(frozenset(offered), provider) == expected


def test_a_challenge_is_decoded_and_anything_else_is_kept() -> None:
    assert sasl.decode_challenge("eyJzdGF0dXMiOiI0MDAifQ==") == '{"status":"400"}'
    assert sasl.decode_challenge("no base64!") == "no base64!"
    assert sasl.decode_challenge("/////w==") == "/////w=="
    assert sasl.decode_challenge("") == ""


TOKEN = "eyJ0eXAi.OiJKV1QiLCJhbGciOiJSUzI1NiJ9.c2lnbmF0dXJl"
RESPONSE = sasl.client_response(Mechanism.XOAUTH2, user="u@example.org", token=Secret(TOKEN), host="h", port=1)
REDACTION = sasl.Redaction(Secret(TOKEN), RESPONSE)


@given(data=st.data(), secret=st.sampled_from([TOKEN, RESPONSE]))
def test_no_piece_of_fifteen_characters_survives(data: st.DataObject, secret: str) -> None:
    start = data.draw(st.integers(0, len(secret) - 16))
    end = data.draw(st.integers(start + 16, len(secret)))
    before, after = data.draw(st.sampled_from(["", "x", "AUTH=", "abc:"])), data.draw(st.sampled_from(["", "y", " no"]))
    shown = REDACTION.text(f"{before}{secret[start:end]}{after}")
    assert not any(secret[i : i + 15] in shown for i in range(start, end - 14))


def test_what_is_no_secret_stays() -> None:
    text = "[AM0PR02CA0001.eurprd02.prod.outlook.com 2023-09-12T20:59:57.214Z 08DBB276B7E699C4]"
    assert REDACTION.text(text) == text


def test_a_challenge_that_hides_the_token_is_masked() -> None:
    hidden = base64.b64encode(f'{{"you sent":"x{TOKEN}"}}'.encode()).decode()
    assert REDACTION.reply(Reply(334, "", (hidden,))) == Reply(334, "", ("***",))
