"""Superseded tokens, packed."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from proxy.sessions import past_tokens
from tests.support.records import digest_of

TOKENS = st.tuples(st.binary(min_size=32, max_size=32), st.booleans(), st.floats(0, 4e9))


@given(st.lists(TOKENS, unique_by=lambda each: each[0]))
def test_what_is_packed_is_found_with_an_end_that_is_never_earlier(
    tokens: list[tuple[bytes, bool, float]],
) -> None:
    past = past_tokens.packed(tokens)
    assert past_tokens.count(past) == len(tokens)
    assert list(past_tokens.digests(past)) == [digest for digest, _, __ in tokens]
    for digest, is_refresh, expires in tokens:
        found = past_tokens.find(past, (digest_of("another key"), digest))
        assert found is not None
        assert (found.digest, found.is_refresh) == (digest, is_refresh)
        assert expires <= found.expires <= expires + 1


def test_what_is_not_there_is_not_found() -> None:
    a, b = digest_of("a"), digest_of("b")
    past = past_tokens.packed([(a, True, 5.0), (b, False, 6.0)])
    assert past_tokens.find(past, (digest_of("c"),)) is None
    # Bytes of two that are side by side are none.
    assert past_tokens.find(past, (past[10:42],)) is None
    assert past_tokens.find(b"", (a,)) is None


def test_one_that_is_there_twice_is_kept_once_with_its_later_end() -> None:
    a = digest_of("a")
    for ends in ((5.0, 9.0), (9.0, 5.0)):
        (only,) = past_tokens.unpacked(past_tokens.packed([(a, True, end) for end in ends]))
        assert only.expires == 9


def test_ends_beyond_what_can_be_written_are_the_last_that_can() -> None:
    past = past_tokens.packed([(digest_of("a"), True, 1e12), (digest_of("b"), True, -5.0)])
    assert [each.expires for each in past_tokens.unpacked(past)] == [2**32 - 1, 0]


def test_bytes_that_are_no_list_of_tokens_are_none() -> None:
    past = past_tokens.packed([(digest_of("a"), True, 5.0)])
    assert list(past_tokens.unpacked(past[:-1])) == []
    assert past_tokens.find(past[:-1], (digest_of("a"),)) is None
