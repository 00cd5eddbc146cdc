"""The dialogue without sockets: what is said, what is recorded, and any bytes cut in any way."""

import base64
import dataclasses
import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from smtpcheck.model.check import Check, Depth, Mechanism, Phase, Security, Server
from smtpcheck.model.report import Exchange, Fault, FaultKind, Reply, Step
from smtpcheck.secrets.secret import Secret
from smtpcheck.smtp.dialogue import Action, Dialogue, Plan, dot_stuffed
from smtpcheck.smtp.reply import MAX_TEXT
from tests.worlds.samples import check

SERVER = Server("mail.example.org", 587, Security.IMPLICIT, "mail.example.org", "me.example.org")
CHECK = check("u", server=SERVER, recipient="r@example.org")
SHORT = Secret("short-token")
LONG = Secret("x1Y" * 500)


def hold(
    *replies: str, depth: Depth = Depth.AUTH, token: Secret | None = SHORT, message: bytes = b"", check: Check = CHECK
) -> tuple[Dialogue, list[bytes]]:
    """Hold a dialogue with a server that gives these replies; return it and what was sent."""
    dialogue = Dialogue(Plan(check, depth, token, message))
    action = dialogue.begin(0)
    said: list[bytes] = []
    now = 0.0
    for reply in replies:
        if dialogue.then == "tls":
            said.append(dialogue.secured(now).send)
        now += 1
        action = dialogue.receive(reply.encode() + b"\r\n", now)
        said.append(action.send)
    assert action.then is dialogue.then
    return dialogue, [line for line in said if line]


def faults(dialogue: Dialogue) -> dict[Phase, FaultKind]:
    return {step.phase: step.fault.kind for step in dialogue.steps if step.fault is not None}


def step_of(dialogue: Dialogue, phase: Phase) -> Step:
    return next(step for step in dialogue.steps if step.phase is phase)


HELLO = ("220 hi", "250-me\r\n250 AUTH LOGIN XOAUTH2")


def test_a_short_token_is_an_initial_response() -> None:
    dialogue, said = hold(*HELLO, "235 2.7.0 ok", "221 bye")
    assert said[1].startswith(b"AUTH XOAUTH2 dXNlcj")
    assert dialogue.auth_line_length == len(said[1])
    assert said[2:] == [b"QUIT\r\n"]
    size = len(said[1].split()[2])
    assert step_of(dialogue, Phase.AUTH) == Step(
        Phase.AUTH, 2, 1, (Exchange(f"AUTH XOAUTH2 <{size} octets>", Reply(235, "2.7.0", ("ok",))),)
    )
    assert (dialogue.then, faults(dialogue)) == ("close", {})


@pytest.mark.parametrize(("size", "initial"), [(339, True), (340, False)])
def test_a_line_of_more_than_512_octets_waits_for_the_334(size: int, initial: bool) -> None:
    _, said = hold(*HELLO, token=Secret("t" * size))
    assert (said[1] != b"AUTH XOAUTH2\r\n") is initial
    assert len(said[1]) <= 512


def test_a_long_token_goes_after_the_334() -> None:
    dialogue, said = hold(*HELLO, "334 ", "235 ok", "221 bye", token=LONG)
    assert said[1] == b"AUTH XOAUTH2\r\n"
    assert LONG.reveal().encode() in base64.b64decode(said[2])
    assert dialogue.auth_line_length == len(said[2])


@pytest.mark.parametrize(("mechanism", "answer"), [(Mechanism.XOAUTH2, b"\r\n"), (Mechanism.OAUTHBEARER, b"AQ==\r\n")])
def test_the_error_challenge_is_kept_and_answered_so_that_the_535_arrives(mechanism: Mechanism, answer: bytes) -> None:
    check = dataclasses.replace(CHECK, mechanism=mechanism)
    dialogue, said = hold(*HELLO, "334 eyJzdGF0dXMiOiI0MDEifQ==", "535 5.7.8 no", "221 bye", check=check)
    assert said[2:] == [answer, b"QUIT\r\n"]
    step = step_of(dialogue, Phase.AUTH)
    assert step.fault == Fault(FaultKind.REPLY)
    assert step.exchanges[0].challenge == '{"status":"401"}'
    assert step.exchanges[1] == Exchange(answer.decode().strip(), Reply(535, "5.7.8", ("no",)))


@pytest.mark.parametrize("reply", ["503 5.5.1 already authenticated", "250 ok", "454 4.7.0 later", "535 5.7.3 no"])
def test_only_235_is_success(reply: str) -> None:
    dialogue, said = hold(*HELLO, reply, "221 bye", depth=Depth.SEND)
    assert faults(dialogue) == {Phase.AUTH: FaultKind.REPLY}
    assert said[-1] == b"QUIT\r\n"


@pytest.mark.parametrize("keywords", ["250 AUTH LOGIN PLAIN", "250 SIZE 1000"])
def test_the_token_is_not_sent_where_no_mechanism_is_offered(keywords: str) -> None:
    dialogue, said = hold("220 hi", f"250-me\r\n{keywords}", "221 bye")
    assert faults(dialogue) == {Phase.AUTH: FaultKind.MECHANISM_NOT_OFFERED}
    assert said == [b"EHLO me.example.org\r\n", b"QUIT\r\n"]


def test_a_configured_mechanism_is_tried_though_not_offered() -> None:
    check = dataclasses.replace(CHECK, mechanism=Mechanism.XOAUTH2)
    _, said = hold("220 hi", "250 me", check=check)
    assert said[1].startswith(b"AUTH XOAUTH2 ")


@pytest.mark.parametrize("allowed", [False, True])
def test_plain_text_gets_no_token_unless_allowed(allowed: bool) -> None:
    server = dataclasses.replace(SERVER, security=Security.NONE, allow_plaintext=allowed)
    dialogue, said = hold(*HELLO, "235 ok", check=dataclasses.replace(CHECK, server=server))
    assert (faults(dialogue) == {}) is allowed
    assert any(line.startswith(b"AUTH") for line in said) is allowed


def test_an_open_transaction_is_reset_before_leaving() -> None:
    _, said = hold(*HELLO, "235 ok", "250 sender", "550 5.1.1 no", "250 reset", "221 bye", depth=Depth.SEND)
    assert said[-3:] == [b"RCPT TO:<r@example.org>\r\n", b"RSET\r\n", b"QUIT\r\n"]


def test_a_message_is_dot_stuffed_and_the_queue_id_kept() -> None:
    replies = (*HELLO, "235 ok", "250 s", "250 r", "354 go", "250 2.0.0 queued as 1", "221 bye")
    dialogue, said = hold(*replies, depth=Depth.SEND, message=b".a\r\n.b\r\n")
    assert said[-2:] == [b"..a\r\n..b\r\n.\r\n", b"QUIT\r\n"]
    assert step_of(dialogue, Phase.DATA).exchanges[1] == Exchange("<8 octets>", Reply(250, "2.0.0", ("queued as 1",)))


def test_no_word_is_said_after_421() -> None:
    dialogue, said = hold(*HELLO, "421 4.7.0 too many")
    assert (dialogue.then, len(said)) == ("close", 2)


@pytest.mark.parametrize("setting", [{"sender": "a\r\nRCPT TO:<b>"}, {"recipient": "a\n"}, {"mailbox": "a\x01"}])
def test_a_control_character_never_reaches_a_command(setting: dict[str, str]) -> None:
    with pytest.raises(ValueError, match="control character"):
        Dialogue(Plan(dataclasses.replace(CHECK, **setting), Depth.SEND, SHORT))  # type: ignore[arg-type]


@given(st.binary())
def test_dot_stuffing_is_undone_by_the_receiver(message: bytes) -> None:
    lines = dot_stuffed(message).split(b"\r\n")
    assert lines[-2:] == [b".", b""]
    assert b"." not in lines[:-2]
    received = b"\r\n".join(line.removeprefix(b".") for line in lines[:-2])
    assert received == message.removesuffix(b"\r\n")


replies = st.lists(
    st.one_of(
        st.binary(max_size=30),
        st.sampled_from(
            [b"220 hi\r\n", b"250-me\r\n250 AUTH XOAUTH2\r\n", b"235 ok\r\n", b"250 ok\r\n", b"354 go\r\n", b"334 \r\n"]
        ),
    ),
    max_size=12,
)


@settings(max_examples=300)
@given(pieces=replies, cuts=st.lists(st.integers(0, 400), max_size=6))
def test_any_bytes_in_any_cut_give_the_same_steps(pieces: list[bytes], cuts: list[int]) -> None:
    raw = b"".join([b"220 hi\r\n250-me\r\n250 AUTH XOAUTH2\r\n", *pieces])
    edges = [0, *sorted(min(cut, len(raw)) for cut in cuts), len(raw)]

    def steps(parts: list[bytes]) -> tuple[bytes, list[Step]]:
        dialogue = Dialogue(Plan(CHECK, Depth.SEND, SHORT, b"hello\r\n"))
        assert dialogue.begin(0) == Action(b"", "tls")
        sent = dialogue.secured(0).send
        for part in parts:
            sent += dialogue.receive(part, 0).send
        dialogue.fail(Fault(FaultKind.CLOSED), 0)
        return sent, dialogue.steps

    assert steps([raw[a:b] for a, b in itertools.pairwise(edges)]) == steps([raw])


# -- passwords, and runs without a login ------------------------------------------------------------------------------

PASSWORD = dataclasses.replace(CHECK, password=True)
HUNTER = Secret("hunter2-and-more")


def test_a_password_goes_by_plain_in_one_line_of_which_nothing_is_recorded() -> None:
    dialogue, said = hold("220 hi", "250-me\r\n250 AUTH LOGIN PLAIN", "235 ok", "221 bye", token=HUNTER, check=PASSWORD)
    assert base64.b64decode(said[1].removeprefix(b"AUTH PLAIN ")) == b"\0u@example.org\0hunter2-and-more"
    assert step_of(dialogue, Phase.AUTH).exchanges == (Exchange("AUTH PLAIN ***", Reply(235, "", ("ok",))),)
    assert (dialogue.mechanism, dialogue.auth_line_length) == ("PLAIN", 0)


def test_a_password_goes_by_login_where_there_is_no_plain() -> None:
    prompts = ("334 VXNlcm5hbWU6", "334 UGFzc3dvcmQ6")
    dialogue, said = hold(*HELLO, *prompts, "535 5.7.139 no", "221 bye", token=HUNTER, check=PASSWORD)
    assert said[1] == b"AUTH LOGIN\r\n"
    assert [base64.b64decode(line) for line in said[2:4]] == [b"u@example.org", b"hunter2-and-more"]
    exchanges = step_of(dialogue, Phase.AUTH).exchanges
    assert [exchange.command for exchange in exchanges] == ["AUTH LOGIN", "***", "***"]
    assert [exchange.challenge for exchange in exchanges] == ["Username:", "Password:", ""]
    assert faults(dialogue) == {Phase.AUTH: FaultKind.REPLY}


@pytest.mark.parametrize("refused", [1, 2])
def test_login_stops_where_the_server_refuses(refused: int) -> None:
    replies = ["334 VXNlcm5hbWU6", "334 UGFzc3dvcmQ6", "334 more"][: refused - 1]
    dialogue, said = hold(*HELLO, *replies, "504 5.7.4 no", "221 bye", token=HUNTER, check=PASSWORD)
    assert said[-1] == b"QUIT\r\n"
    assert len(said) == 2 + refused
    assert faults(dialogue) == {Phase.AUTH: FaultKind.REPLY}


def test_a_server_that_asks_for_more_than_a_password_is_cancelled() -> None:
    replies = ("334 VXNlcm5hbWU6", "334 UGFzc3dvcmQ6", "334 VG9rZW46", "501 cancelled", "221 bye")
    _, said = hold(*HELLO, *replies, token=HUNTER, check=PASSWORD)
    assert said[-2:] == [b"*\r\n", b"QUIT\r\n"]


def test_a_long_password_waits_for_the_334() -> None:
    hello = ("220 hi", "250-me\r\n250 AUTH PLAIN")
    _, said = hold(*hello, "334 ", "235 ok", token=Secret("p" * 400), check=PASSWORD)
    assert said[1] == b"AUTH PLAIN\r\n"
    assert base64.b64decode(said[2]).endswith(b"p" * 400)


@pytest.mark.parametrize(("keywords", "mechanism"), [("AUTH XOAUTH2", None), ("AUTH XOAUTH2", Mechanism.LOGIN)])
def test_a_password_never_goes_as_a_token(keywords: str, mechanism: Mechanism | None) -> None:
    check = dataclasses.replace(PASSWORD, mechanism=mechanism)
    _, said = hold("220 hi", f"250-me\r\n250 {keywords}", "504 no", "221 bye", token=HUNTER, check=check)
    assert b"XOAUTH2" not in b"".join(said)


def test_a_password_that_is_repeated_is_masked_in_every_later_reply() -> None:
    hello = ("220 hi", "250-me\r\n250 AUTH PLAIN")
    replies = ("235 hello hunter2-and-more", "250 hunter2-and-more", "550 5.7.1 hunter2-and-more", "250 ok", "221 bye")
    dialogue, _ = hold(*hello, *replies, depth=Depth.RECIPIENT, token=HUNTER, check=PASSWORD)
    assert "hunter2" not in repr(dialogue.steps)
    assert step_of(dialogue, Phase.RCPT).exchanges[0].reply == Reply(550, "5.7.1", ("***",))


def test_a_check_without_a_credential_goes_on_without_a_login() -> None:
    check = dataclasses.replace(CHECK, credential=None)
    replies = (*HELLO, "250 sender", "554 5.7.1 Relay access denied", "250 reset", "221 bye")
    dialogue, said = hold(*replies, depth=Depth.RECIPIENT, token=None, check=check)
    assert said[1:] == [b"MAIL FROM:<u@example.org>\r\n", b"RCPT TO:<r@example.org>\r\n", b"RSET\r\n", b"QUIT\r\n"]
    assert [step.phase for step in dialogue.steps][-3:] == [Phase.MAIL, Phase.RCPT, Phase.QUIT]


def test_the_user_that_a_password_belongs_to_logs_in() -> None:
    hello = ("220 hi", "250-me\r\n250 AUTH PLAIN")
    _, said = hold(*hello, "235 ok", token=HUNTER, check=dataclasses.replace(PASSWORD, user="apikey"))
    assert base64.b64decode(said[1].removeprefix(b"AUTH PLAIN ")) == b"\0apikey\0hunter2-and-more"


ECHOES = [
    HUNTER.reveal().encode(),
    base64.b64encode(HUNTER.reveal().encode()),
    base64.b64encode(b"\0u@example.org\0" + HUNTER.reveal().encode()),
    HUNTER.reveal().upper().encode(),
]


@settings(max_examples=200)
@given(
    said=st.lists(
        st.tuples(
            st.sampled_from([b"235", b"250", b"334", b"354", b"421", b"500", b"535", b"xyz"]),
            st.sampled_from([b" ", b"-"]),
            st.sampled_from([b"", b"who said ", b"x"]),
            st.sampled_from([*ECHOES, b""]),
            st.sampled_from([b"", b"?", b" was wrong"]),
        ),
        max_size=8,
    ),
    mechanism=st.sampled_from([Mechanism.PLAIN, Mechanism.LOGIN]),
)
def test_whatever_a_server_repeats_the_password_is_in_no_record(
    said: list[tuple[bytes, ...]], mechanism: Mechanism
) -> None:
    check = dataclasses.replace(PASSWORD, mechanism=mechanism)
    dialogue = Dialogue(Plan(check, Depth.SEND, HUNTER, b"hello\r\n"))
    dialogue.begin(0)
    dialogue.secured(0)
    dialogue.receive(b"220 hi\r\n250-me\r\n250 AUTH PLAIN LOGIN\r\n", 0)
    for line in said:
        dialogue.receive(b"".join(line) + b"\r\n", 0)
    dialogue.fail(Fault(FaultKind.CLOSED), 0)
    record = repr(dialogue.steps).lower()
    assert [echo for echo in ECHOES if echo.decode().lower() in record] == []


STARTTLS_CHECK = dataclasses.replace(CHECK, server=dataclasses.replace(CHECK.server, security=Security.STARTTLS))


@pytest.mark.parametrize("ehlo", ["250 me", "250-me\r\n250 ENHANCEDSTATUSCODES"])
def test_where_ehlo_offers_nothing_one_more_command_hears_why(ehlo: str) -> None:
    """As Sendmail answers under ratecontrol, conncontrol or an access rule."""
    reason = "421 4.3.2 Connection rate limit exceeded."
    dialogue, said = hold("220 hi", ehlo, reason, check=STARTTLS_CHECK)
    assert said == [b"EHLO me.example.org\r\n", b"STARTTLS\r\n"]
    step = step_of(dialogue, Phase.STARTTLS)
    assert (step.fault, str(step.exchanges[-1].reply)) == (Fault(FaultKind.REPLY), reason)


@pytest.mark.parametrize("reply", ["500 5.5.1 unknown", "502 5.5.2 not implemented", "503 5.5.1 bad sequence"])
def test_a_server_that_has_no_starttls_and_nothing_else_is_named(reply: str) -> None:
    dialogue, said = hold("220 hi", "250 me", reply, "221 bye", check=STARTTLS_CHECK)
    assert faults(dialogue) == {Phase.STARTTLS: FaultKind.STARTTLS_NOT_OFFERED}
    assert said[-1] == b"QUIT\r\n"


def test_a_server_that_offers_anything_else_is_not_asked_for_starttls() -> None:
    _, said = hold("220 hi", "250-me\r\n250 SIZE 1000", "221 bye", check=STARTTLS_CHECK)
    assert said == [b"EHLO me.example.org\r\n", b"QUIT\r\n"]


def test_what_a_server_says_without_end_is_kept_in_bounds() -> None:
    line = "x" * 1900
    dialogue, _ = hold(
        "220 hi", "250-me\r\n" + f"250-{line}\r\n" * 30 + "250 AUTH XOAUTH2", f"535-{line}\r\n" * 30 + "535 no"
    )
    assert len(repr(dialogue.steps)) < 3 * MAX_TEXT
