"""Reports and messages as bytes: whatever the model can hold comes back equal, and versions read each other's."""

import json
import types
import typing
import zlib
from collections.abc import Mapping
from dataclasses import is_dataclass
from enum import Enum
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec import Struct, structs

from smtpcheck.loopback.message_state import Message
from smtpcheck.model.cause import Cause
from smtpcheck.model.report import Outcome, Report
from smtpcheck.state.serialization import UnreadableReportError, pack, unpack, unpack_as

TEXT = st.text(st.characters(), max_size=12).filter(lambda text: json.loads(json.dumps(text)) == text)
"""With lone surrogates, as JSON can spell them."""
FLOATS = st.floats(allow_nan=False, allow_infinity=False)
CLAIMS = st.dictionaries(TEXT, TEXT | st.integers() | FLOATS | st.booleans() | st.lists(TEXT, max_size=2), max_size=3)
PLAIN: dict[Any, st.SearchStrategy[Any]] = {
    str: TEXT,
    int: st.integers(),
    float: FLOATS,
    bool: st.booleans(),
    types.NoneType: st.none(),
    Mapping[str, object]: CLAIMS | CLAIMS.map(types.MappingProxyType),
    Mapping[str, float | str]: st.dictionaries(TEXT, FLOATS | TEXT, max_size=2),
    Mapping[str, str]: st.dictionaries(TEXT, TEXT, max_size=2),
}


def values_of(kind: Any) -> st.SearchStrategy[Any]:
    """Return a strategy for any type that the model uses, with every field of a dataclass or Struct."""
    if kind in PLAIN:
        return PLAIN[kind]
    if typing.get_origin(kind) is tuple:
        first, *rest = typing.get_args(kind)
        if rest != [...]:
            return st.tuples(*map(values_of, (first, *rest)))
        return st.lists(values_of(first), max_size=2).map(tuple)
    if typing.get_origin(kind) is types.UnionType:
        return st.one_of([values_of(each) for each in typing.get_args(kind)])
    if isinstance(kind, type) and issubclass(kind, Enum):
        return st.sampled_from(kind)
    assert isinstance(kind, type) and (is_dataclass(kind) or issubclass(kind, Struct))
    return st.builds(kind, **{name: values_of(hint) for name, hint in typing.get_type_hints(kind).items()})


REPORT = Report("billing", 1.5, 0.25, Outcome.CRITICAL, cause=Cause.TIMEOUT)


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(values_of(Message))
def test_any_message_comes_back_equal(message: Message) -> None:
    assert unpack_as(pack(message), Message) == message


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(values_of(Report))
def test_any_report_comes_back_equal(report: Report) -> None:
    restored = unpack(pack(report))
    assert restored == report
    assert type(restored.outcome) is Outcome


def changed(before: object = REPORT, /, **values: object) -> bytes:
    """Return a packed report, or another dataclass, with keys changed; None takes one away."""
    document = json.loads(zlib.decompress(pack(before))) | values
    return zlib.compress(json.dumps({key: value for key, value in document.items() if value is not None}).encode())


def test_what_another_version_has_more_or_less_does_no_harm() -> None:
    """An unknown key is passed over, a missing one has the model's default."""
    assert unpack(changed(mood="sunny", waited=None)) == REPORT
    assert unpack(changed(cause=None)) == structs.replace(REPORT, cause=None)
    message = Message("billing", slot=900, sequence=1, mark="one", message_id="<one@x>", intended_at=1.5)
    assert unpack_as(changed(message, mood="sunny", trace_id=None, copies=None), Message) == message


@pytest.mark.parametrize(
    "packed",
    [
        b"",
        b"no zlib",
        zlib.compress(b"no json"),
        zlib.compress(b"[]"),
        zlib.compress(b"[" * 100_000),
        changed(cause="of_next_year"),
        changed(check=None),
        changed(seconds="long"),
        pack(REPORT)[:-6],
    ],
)
def test_what_is_no_report_is_said_to_be_none(packed: bytes) -> None:
    with pytest.raises(UnreadableReportError):
        unpack(packed)
