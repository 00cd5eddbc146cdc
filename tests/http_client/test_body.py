"""A body takes no more memory than its limit, however little its compressed form is."""

import gzip
import tracemalloc
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smtpcheck.http_client.body import CHUNK, BodyError, BodyReader

LIMIT = 100_000


@given(st.binary(max_size=5000), st.integers(1, 700), st.integers(0, 6000), st.booleans())
def test_a_body_is_the_same_in_whatever_pieces_it_comes(body: bytes, size: int, limit: int, packed: bool) -> None:
    reader = BodyReader("gzip" if packed else "", limit)
    sent = gzip.compress(body) if packed else body
    for start in range(0, len(sent), size):
        if not reader.is_full:
            reader.feed(sent[start : start + size])
    assert reader.finish() == body[:limit]
    assert reader.is_full == (len(body) > limit)


def test_a_bomb_is_not_unpacked() -> None:
    bomb = gzip.compress(bytes(200 * 1024 * 1024))[:CHUNK]
    reader = BodyReader("gzip", LIMIT)
    tracemalloc.start()
    reader.feed(bomb)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert reader.is_full
    assert len(reader.finish()) == LIMIT
    assert peak < 4 * 1024 * 1024


@given(st.binary(min_size=1, max_size=200), st.integers(1, 50))
def test_octets_that_are_not_gzip_are_an_error_or_a_body(octets: bytes, size: int) -> None:
    reader = BodyReader("gzip", LIMIT)
    with suppress(BodyError):
        for start in range(0, len(octets), size):
            reader.feed(octets[start : start + size])
        assert len(reader.finish()) <= LIMIT


@pytest.mark.parametrize("cut", [1, 8, 20])
def test_gzip_that_breaks_off_is_an_error(cut: int) -> None:
    reader = BodyReader("gzip", LIMIT)
    reader.feed(gzip.compress(b"some text", mtime=0)[:-cut])
    with pytest.raises(BodyError):
        reader.finish()
