"""Which bounce is about which message: what proves it, and what only looks like it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smtpcheck.mail.bounce import Bounce, may_be_bounce, read_bounce
from smtpcheck.mail.bounce_proof import Sent, has_null_sender, is_about, returned_correlation_id
from smtpcheck.mail.headers import correlation_id_of
from smtpcheck.sandbox.bounces import Style
from smtpcheck.sandbox.scenario import DOMAIN
from tests.worlds.bounces import STYLES, of_another, returned
from tests.worlds.finders import PROBE

ID = "sc1" + "a2" * 24
OTHER = "sc1" + "b3" * 24
SENT = Sent((f"<{ID}@{DOMAIN}>",), ID, PROBE)
NOT_SENT = Sent((f"<{OTHER}@{DOMAIN}>",), OTHER, PROBE)


def read(content: bytes) -> Bounce:
    found = read_bounce(content)
    assert found
    return found


@pytest.mark.parametrize("style", STYLES)
@pytest.mark.parametrize("delayed", [False, True])
def test_the_bounce_of_a_message_is_about_it_and_about_no_other(style: Style, delayed: bool) -> None:
    bounce = read(returned(ID, style, delayed=delayed))
    assert (is_about(bounce, SENT), is_about(bounce, NOT_SENT)) == (True, False)
    assert returned_correlation_id(bounce, {ID}.__contains__) == ID
    assert returned_correlation_id(bounce, lambda _: False) is None


@pytest.mark.parametrize("style", STYLES)
def test_the_bounce_of_a_message_that_quotes_ours_is_not_about_ours(style: Style) -> None:
    """Its subject, its references and its text have our ids; the message that was returned has another one."""
    bounce = read(of_another(returned(ID, style), ID))
    assert (is_about(bounce, SENT), returned_correlation_id(bounce, {ID}.__contains__)) == (False, None)


@pytest.mark.parametrize("style", STYLES)
def test_what_a_person_sends_is_no_bounce_whatever_it_copies(style: Style) -> None:
    content = returned(ID, style).replace(b"Return-Path: <>", b"Return-Path: <eve@stranger.example>")
    assert not is_about(read(content), SENT)


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("<>", True),
        ("<MAILER-DAEMON>", True),
        ("<postmaster@example.org>", True),
        ("<MicrosoftExchange329e71ec88ae4615bbc36ab6ce41109e@contoso.example>", True),
        ("<eve@example.org>", False),
        ("<mailer-daemon.eve@example.org>", False),
    ],
)
def test_who_sends_bounces(path: str, expected: bool) -> None:
    assert has_null_sender((("Return-Path", path),)) is expected


def test_a_mailbox_that_keeps_no_reverse_path_hides_no_bounce() -> None:
    assert has_null_sender(())
    assert is_about(read(returned(ID).replace(b"Return-Path: <>\r\n", b"")), SENT)


def notice(text: str, *fields: str) -> Bounce:
    """Return a bounce without parts, that says all in words."""
    head = [
        "Return-Path: <>",
        "From: Mail Delivery System <MAILER-DAEMON@mx.example>",
        "Subject: Undelivered Mail",
        *fields,
    ]
    return read("\r\n".join((*head, "", text, "")).encode())


FAILED = "This is the mail system at host mx.example.\r\n\r\n"


def test_an_id_in_the_text_counts_for_the_recipient_alone() -> None:
    assert is_about(notice(f"{FAILED}<{PROBE}>: user unknown\r\n\r\nSubject: smtpcheck probe {ID}"), SENT)
    assert not is_about(notice(f"{FAILED}<bob@example.net>: user unknown\r\n\r\nSubject: smtpcheck probe {ID}"), SENT)
    assert not is_about(notice(f"{FAILED}<{PROBE}>: user unknown"), SENT)


def test_an_id_in_the_text_does_not_outweigh_the_message_id_of_another() -> None:
    text = f"{FAILED}<{PROBE}>: user unknown\r\n\r\nMessage-ID: <other@{DOMAIN}>\r\nSubject: Re: {ID}"
    assert not is_about(notice(text), SENT)


def test_what_is_answered_decides_where_nothing_is_returned() -> None:
    ours, other = f"<{ID}@{DOMAIN}>", f"<other@{DOMAIN}>"
    text = f"{FAILED}<{PROBE}>: user unknown"
    assert is_about(notice(text, f"In-Reply-To: {ours}"), SENT)
    assert not is_about(notice(f"{text} {ID}", f"In-Reply-To: {other}", f"References: {ours} {other}"), SENT)
    assert is_about(notice(text, f"References: {other} {ours}"), SENT)
    assert not is_about(notice(f"{text} {ID}", f"References: {ours} {other}"), SENT)


@pytest.mark.parametrize("style", STYLES)
def test_a_bounce_that_repeats_our_subject_is_not_our_message(style: Style) -> None:
    """Else it would count as arrived, where sender and recipient are one mailbox."""
    fields = read(returned(ID, style)).fields
    assert may_be_bounce(fields)
    assert correlation_id_of(fields, {ID}.__contains__) is None


@pytest.mark.parametrize("field", ["In-Reply-To", "References"])
def test_an_answer_that_repeats_our_subject_is_not_our_message(field: str) -> None:
    fields = [("Subject", f"Re: smtpcheck probe {ID}"), (field, f"<{ID}@{DOMAIN}>")]
    assert correlation_id_of(fields, {ID}.__contains__) is None
    assert correlation_id_of(fields[:1], {ID}.__contains__) == ID


@given(st.binary(max_size=400), st.integers(0, 60))
def test_nothing_that_is_put_into_a_bounce_raises(octets: bytes, at: int) -> None:
    content = returned(ID, Style.EXCHANGE)
    place = len(content) * at // 60
    bounce = read_bounce(content[:place] + octets + content[place:])
    if bounce is not None:
        assert returned_correlation_id(bounce, {ID}.__contains__) in {ID, None}
        assert not is_about(bounce, NOT_SENT), "no octets make it the bounce of a message that it does not name"
