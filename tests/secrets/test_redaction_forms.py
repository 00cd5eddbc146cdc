"""However a server or a library writes a secret that it repeats, it is redacted, and the text beside it stays."""

import base64
import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from smtpcheck.secrets.escapes import without
from smtpcheck.secrets.redaction import MARK, redact
from tests.worlds.secret_forms import BASE64, ESCAPED

printable = st.text(st.characters(codec="ascii", exclude_categories=["Cc"]), min_size=12, max_size=60)
anything = st.text(st.characters(exclude_categories=["Cs", "Cc"], exclude_characters="[]"), min_size=12, max_size=60)
words = st.text(st.sampled_from("abc xyz.,;:'<>\"-"), max_size=20)


@example("000000000'\\0", "JSON of HTML", "", "")
@example("00000000000\\", "JSON", "", "")
@given(printable.filter(lambda text: MARK not in text) | anything, st.sampled_from(sorted(ESCAPED)), words, words)
def test_a_secret_is_redacted_however_it_is_escaped(secret: str, form: str, before: str, after: str) -> None:
    escaped = ESCAPED[form](secret)
    shown = redact(f"{before} {escaped} {after}", [secret])
    assert MARK in shown
    assert escaped not in shown
    assert len(shown) <= len(before) + len(after) + len(MARK) + 2 + escaped.count("\n")


@given(anything, st.sampled_from(sorted(BASE64)))
def test_of_a_secret_in_base64_three_octets_at_most_can_be_read(secret: str, form: str) -> None:
    shown = redact(f"a <{BASE64[form](secret)}> b", [secret])
    assert MARK in shown
    for run in re.findall(r"[\w+/-]{4,}", shown.replace("\n", "")):
        for start in range(4):
            plain = run[start:].translate({45: 43, 95: 47})
            read = base64.b64decode(plain[: len(plain) // 4 * 4])
            assert not any(secret.encode()[at : at + 4] in read for at in range(len(secret.encode()) - 3))


@pytest.mark.parametrize("form", sorted({**ESCAPED, **BASE64}))
def test_what_is_beside_a_secret_stays_as_the_server_wrote_it(form: str) -> None:
    secret = "s3cr+t/of=a<client>&~"
    text = f"100%25 of &lt;b&gt;\\n a=3D=C3=A4 '{({**ESCAPED, **BASE64})[form](secret)}' &quot;q&quot; %41\\u0041"
    shown = redact(text, [secret])
    assert shown.startswith("100%25 of &lt;b&gt;\\n a=3D=C3=A4 '")
    assert shown.endswith("' &quot;q&quot; %41\\u0041")
    assert MARK in shown


@given(st.text(max_size=200), st.lists(printable, max_size=3))
def test_a_text_without_the_secret_stays_as_it_is(text: str, secrets: list[str]) -> None:
    text = text.replace("eyJ", "")
    assert without(text, lambda _: (), MARK) == text
    absent = [f"{secret}\ue000" for secret in secrets]
    if "\ue000" not in text:
        assert redact(text, absent) == redact(text, [])


@given(printable, st.sampled_from(sorted(ESCAPED)), st.integers(0, 60), st.integers(1, 40))
def test_a_secret_that_the_limit_divides_is_not_in_what_is_kept(secret: str, form: str, at: int, limit: int) -> None:
    text = f"{'.' * at}{ESCAPED[form](secret)}{'.' * 3000}"
    shown = redact(text, [secret], limit)
    assert len(shown) <= limit
    assert shown.startswith("." * min(at, limit))
    assert set(shown) <= set(f".{MARK}")


@given(
    st.text(st.sampled_from("[redact]"), min_size=1, max_size=10), st.text(st.sampled_from("[redact]%+\\"), max_size=40)
)
def test_the_mark_is_not_redacted_in_turn(secret: str, text: str) -> None:
    assert len(redact(text, [secret])) <= len(text) * len(MARK)


def test_a_secret_that_the_limit_divides_is_not_shown_because_of_another_that_is_in_it() -> None:
    short = "s3cret-that-is-longer-than-its-mark"
    long = f"{'x' * 40}{short}{'y' * 40}"
    for before in range(300):
        text = f"{short} " * 55 + "." * before + long + "." * 4000
        shown = redact(text, [short, long], 800)
        assert set(shown) <= set(f"{MARK} .")


@pytest.mark.parametrize("secret", ["a1b", "pw", "test"])
def test_a_short_secret_has_no_encoded_form_that_is_in_every_text(secret: str) -> None:
    text = "7465737461316270776131 dGVzdGExYnB3 Y WEx YTFi"
    assert redact(text, [secret]).count(MARK) <= 1


@pytest.mark.parametrize(
    "unit", ["%41", "\\u0041", "&#65;", "=41", "+", "\\", "&", "%", "=", "\n", "&amp;", "%25", "ey", "\\u", "&#x"]
)
def test_a_flood_of_escapes_costs_no_more_than_its_length(unit: str) -> None:
    """Every way looks at every character a bounded number of times: counted by what is decoded, not by time."""
    seen: list[int] = []

    def spans(decoded: str) -> tuple[()]:
        seen.append(len(decoded))
        return ()

    text = unit * 20_000
    assert without(text, spans, MARK) == text
    assert len(seen) <= 8
    assert max(seen, default=0) <= len(text)
