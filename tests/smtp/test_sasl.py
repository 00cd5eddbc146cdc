"""SASL messages as the RFCs print them, and tokens that servers repeat."""

import base64
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smtpcheck.model.check import Mechanism, Provider
from smtpcheck.model.report import Reply
from smtpcheck.secrets.secret import Secret
from smtpcheck.smtp import sasl
from tests.worlds.secret_forms import BASE64, ESCAPED


def message(mechanism: Mechanism, user: str, token: str = "tok") -> bytes:
    response = sasl.client_messages(mechanism, user=user, secret=Secret(token), host="server.example.com", port=587)[0]
    return base64.b64decode(response, validate=True)


def test_xoauth2_is_the_form_that_google_documents() -> None:
    (response,) = sasl.client_messages(
        Mechanism.XOAUTH2,
        user="someuser@example.com",
        secret=Secret("ya29.vF9dft4qmTc2Nvb3RlckBhdHRhdmlzdGEuY29tCg"),
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
(RESPONSE,) = sasl.client_messages(Mechanism.XOAUTH2, user="u@example.org", secret=Secret(TOKEN), host="h", port=1)
REDACTION = sasl.Redaction(Secret(TOKEN), (RESPONSE,))


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


# -- passwords --------------------------------------------------------------------------------------------------------


def password_messages(mechanism: Mechanism, user: str, password: str) -> tuple[bytes, ...]:
    found = sasl.client_messages(mechanism, user=user, secret=Secret(password), host="h", port=1)
    return tuple(base64.b64decode(message, validate=True) for message in found)


def test_plain_is_the_form_of_rfc_4616_and_login_that_of_its_draft() -> None:
    assert password_messages(Mechanism.PLAIN, "tim", "tanstaaftanstaaf") == (b"\0tim\0tanstaaftanstaaf",)
    assert password_messages(Mechanism.LOGIN, "tim", "tanstaaftanstaaf") == (b"tim", b"tanstaaftanstaaf")


users = st.text(st.characters(exclude_categories=["Cc", "Cs"]), min_size=1)
passwords = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), min_size=1)


@given(user=users, password=passwords)
def test_any_password_reaches_the_server_whole(user: str, password: str) -> None:
    """PLAIN's fields end at a null character, of which neither holds one; LOGIN has a message for each."""
    (plain,) = password_messages(Mechanism.PLAIN, user, password)
    assert plain.split(b"\0") == [b"", user.encode(), password.encode()]
    assert password_messages(Mechanism.LOGIN, user, password) == (user.encode(), password.encode())


@pytest.mark.parametrize(
    ("offered", "expected"),
    [
        ({"LOGIN", "PLAIN", "XOAUTH2"}, Mechanism.PLAIN),
        ({"LOGIN", "XOAUTH2"}, Mechanism.LOGIN),
        ({"XOAUTH2", "CRAM-MD5"}, None),
    ],
)
def test_a_password_goes_by_plain_and_else_by_login(offered: set[str], expected: Mechanism | None) -> None:
    assert sasl.choose(frozenset(offered), Provider.YAHOO, password=True) == expected


def password_redaction(password: str, user: str = "u@example.org", by: Mechanism = Mechanism.PLAIN) -> sasl.Redaction:
    messages = sasl.client_messages(by, user=user, secret=Secret(password), host="h", port=1)
    return sasl.Redaction(Secret(password), messages, password=True)


@given(user=users, password=passwords, by=st.sampled_from([Mechanism.PLAIN, Mechanism.LOGIN]))
def test_a_login_line_that_is_repeated_is_masked(user: str, password: str, by: Mechanism) -> None:
    """However short the password is."""
    message = sasl.client_messages(by, user=user, secret=Secret(password), host="h", port=1)[-1]
    redaction = password_redaction(password, user, by)
    assert redaction.text(f"500 unrecognized: '{message}'") == "500 unrecognized: '***'"
    if len(message) >= 8:
        assert redaction.text(f"500 UNRECOGNIZED: '{message.upper()}'") == "500 UNRECOGNIZED: '***'"


@given(password=passwords.filter(lambda text: len(text.encode()) >= 9), before=st.binary(max_size=4), after=st.binary())
def test_a_password_within_any_base64_is_masked(password: str, before: bytes, after: bytes) -> None:
    encoded = base64.b64encode(before + password.encode() + after).decode()
    offset = 4 * -(-len(before) // 3)
    inner = encoded[offset : offset + 4 * ((len(password.encode()) - 2) // 3)]
    assert len(inner) < 8 or inner not in password_redaction(password).text(f"501 {encoded}")


@given(password=st.text(st.characters(codec="ascii", categories=["L", "N"]), min_size=8, max_size=40))
def test_a_long_password_is_masked_wherever_it_stands(password: str) -> None:
    if not sasl.is_said_anyway(password):
        assert password not in password_redaction(password).text(f"535 x{password}y is wrong")


REPLIES = (
    "Authentication unsuccessful, the user credentials were incorrect.",
    "Error: authentication failed: (reason unavailable)",
    "Username and Password not accepted. For more information, go to",
    "Client does not have permissions to send as this sender",
    "Authentication unsuccessful [AM0PR02CA0001.eurprd02.prod.outlook.com 2023-09-12T20:59:57.214Z 08DBB276B7E699C4]",
)


@pytest.mark.parametrize(
    "password", ["a", "at", "user", "the", "in", "auth", "Password", "authentication", "unsuccessful", "tion", "PR02"]
)
@pytest.mark.parametrize("reply", REPLIES)
def test_a_weak_password_masks_no_word_of_a_reply(password: str, reply: str) -> None:
    """A hole in a known sentence would tell it."""
    assert password_redaction(password).text(reply) == reply


@pytest.mark.parametrize("password", ["s3cr", "hunter2", "p.w+d"])
def test_a_short_password_is_masked_where_it_stands_alone(password: str) -> None:
    redaction = password_redaction(password)
    assert redaction.text(f"535 password '{password}' is wrong") == "535 password '***' is wrong"
    assert redaction.text(f"535 x{password}x") == f"535 x{password}x"


def test_a_challenge_that_hides_a_password_is_masked_and_the_prompt_is_not() -> None:
    redaction = password_redaction("hunter2", by=Mechanism.LOGIN)
    hidden = base64.b64encode(b"you said hunter2").decode()
    assert redaction.reply(Reply(334, "", (hidden,))) == Reply(334, "", ("***",))
    prompt = Reply(334, "", ("UGFzc3dvcmQ6",))
    assert redaction.reply(prompt) == prompt


@pytest.mark.parametrize(
    "shown",
    [r"correct-bättery\t1", r"correct-b\xe4ttery\t1", r"correct-b\u00e4ttery\t1", r"CORRECT-BÄTTERY\T1"],
)
def test_a_password_is_masked_in_every_form_that_a_replys_text_may_give_it(shown: str) -> None:
    """As UTF-8, as Latin-1, as JSON, in upper case; the parser has escaped the rest."""
    assert password_redaction("correct-bättery\t1").text(f"535 <{shown}> is wrong") == "535 <***> is wrong"


@pytest.mark.parametrize("form", sorted({**ESCAPED, **BASE64}))
@pytest.mark.parametrize("password", [True, False])
def test_a_secret_is_masked_in_every_form_that_a_server_may_repeat_it_in(form: str, password: bool) -> None:
    secret = "k9+Zq/w=Tr&<5u>bäm~"
    by = Mechanism.PLAIN if password else Mechanism.XOAUTH2
    messages = sasl.client_messages(by, user="u@example.org", secret=Secret(secret), host="h", port=1)
    redaction = sasl.Redaction(Secret(secret), messages, password=password)
    repeated = ({**ESCAPED, **BASE64})[form](secret)
    shown = redaction.text(f"535 5.7.8 refused: {repeated}, &lt;a=3D%20b&gt;")
    assert re.fullmatch(
        r"(?s)535 5\.7\.8 refused: [\w+/\"=%-]{0,58}\*\*\*[\w+/\\\"=%-]{0,58}\s*, &lt;a=3D%20b&gt;", shown
    )
    assert repeated not in shown
