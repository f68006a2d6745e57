"""The record: what is stored is what is read, within bounds; what may take whose place."""

from __future__ import annotations

from dataclasses import replace

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.errors import RecordUnreadable, StoreAway
from proxy.sessions.past_tokens import packed
from proxy.sessions.record import (
    MAX_HANDLES,
    MAX_PAST,
    MAX_RECORD,
    MAX_SPENT,
    MAX_TEXT,
    Attempt,
    Handle,
    Record,
    decode,
    encode,
    next_fence,
    succeeding,
    touched,
)
from tests.support.records import NOW, digest_of, handle, record

DIGESTS = st.binary(min_size=32, max_size=32)
TEXTS = st.text(max_size=MAX_TEXT)
TIMES = st.floats(0, 253_402_300_799)
COUNTS = st.integers(0, 2**53)
HANDLES = st.builds(
    Handle, digest=DIGESTS, order=COUNTS, expires=TIMES, superseded=st.none() | TIMES
)
RECORDS = st.builds(
    Record,
    user=TEXTS,
    version=TEXTS,
    cohort=TEXTS,
    host=TEXTS,
    access=st.binary(max_size=200),
    refresh=st.binary(max_size=200),
    carried=st.binary(max_size=200),
    ended=st.none() | TIMES,
    purge_after=TIMES,
    attempt=st.none() | st.builds(Attempt, digest=DIGESTS, begun=TIMES, tries=COUNTS),
    handles=st.lists(HANDLES, max_size=4).map(tuple),
    spent=st.lists(DIGESTS, max_size=4).map(tuple),
    **dict.fromkeys(
        ("access_issued", "access_expires", "refresh_expires", "created", "used", "refreshed"),
        TIMES,
    ),
    **dict.fromkeys(("revision", "generation", "refreshes"), COUNTS),
)


@given(RECORDS)
def test_what_is_written_is_what_is_read(each: Record) -> None:
    assert decode(encode(each)) == each


def test_a_record_of_before_the_host_was_noted_is_read() -> None:
    """As a version wrote it that did not know of it: the format is the same."""
    whole = record(attempt=Attempt(digest_of("r"), NOW, 1), spent=(digest_of("s"),))
    data = encode(whole)
    members = msgspec.msgpack.decode(data[1:])
    names = ("host", "eviction", "carried", "past", "refused")
    later = {name: members.pop(name) for name in names}
    assert later["host"] == ""
    assert len(members) == 20
    assert decode(data[:1] + msgspec.msgpack.encode(members)) == whole


def test_a_record_of_a_later_version_with_more_in_it_is_read() -> None:
    members = msgspec.msgpack.decode(encode(record())[1:])
    assert decode(b"\x01" + msgspec.msgpack.encode({**members, "more": 1})) == record()


@given(st.binary(max_size=200))
def test_other_bytes_are_no_record(data: bytes) -> None:
    for each in (data, b"\x01" + data):
        with pytest.raises(RecordUnreadable, match=r"unknown format|damaged"):
            decode(each)


def test_a_record_of_before_fields_were_carried_is_read() -> None:
    members = msgspec.msgpack.decode(encode(record())[1:])
    del members["carried"]
    assert decode(b"\x01" + msgspec.msgpack.encode(members)) == record()


def test_a_record_too_large_to_be_one_is_not_read() -> None:
    with pytest.raises(StoreAway):
        decode(encode(record()) + bytes(MAX_RECORD))


@pytest.mark.parametrize(
    "large",
    [
        record(handles=tuple(handle(str(number)) for number in range(MAX_HANDLES + 1))),
        record(spent=tuple(digest_of(str(number)) for number in range(MAX_SPENT + 1))),
        record(past=packed((digest_of(str(n)), True, NOW) for n in range(MAX_PAST + 1))),
        record(user="a" * (MAX_TEXT + 1)),
        record(access=bytes(MAX_RECORD)),
    ],
)
def test_a_record_has_bounds(large: Record) -> None:
    with pytest.raises(ValueError, match="too"):
        encode(large)


def test_a_full_record_fits() -> None:
    full = record(
        handles=tuple(handle(str(number)) for number in range(MAX_HANDLES)),
        spent=tuple(digest_of(str(number)) for number in range(MAX_SPENT)),
        access=bytes(11_000),
        refresh=bytes(11_000),
        carried=bytes(6_000),
        past=packed((digest_of(str(number)), True, NOW) for number in range(MAX_PAST)),
    )
    assert decode(encode(full)) == full


def test_a_record_is_found_by_its_handles_and_by_its_past() -> None:
    whole = record(handles=(handle("a"),), past=packed([(digest_of("b"), True, NOW)]))
    assert whole.digests == {digest_of("a"), digest_of("b")}


def test_a_session_is_closed_by_its_end_or_by_a_refusal() -> None:
    assert record().closed is None
    assert record(refused=NOW).closed == NOW
    assert record(refused=NOW, ended=NOW + 1).closed == NOW + 1


def test_no_sealed_token_is_in_the_text_of_a_record() -> None:
    assert "sealed" not in repr(record())


def test_the_first_revision_takes_an_empty_place_only() -> None:
    first = succeeding(record(), None)
    assert first == replace(record(), revision=1)
    assert first is not None
    assert succeeding(record(), first) is None
    assert succeeding(first, None) is None


def test_a_revision_is_followed_by_the_next_only() -> None:
    stored = replace(record(), revision=5)
    assert succeeding(stored, stored) == replace(stored, revision=6)
    assert succeeding(replace(stored, revision=4), stored) is None
    assert succeeding(replace(stored, revision=6), stored) is None


def test_a_tombstone_stays_one_with_its_first_end() -> None:
    stored = replace(record(), revision=5, ended=NOW)
    assert succeeding(replace(stored, ended=None), stored) is None
    assert succeeding(replace(stored, ended=NOW + 9), stored) == replace(stored, revision=6)


def test_a_session_that_ended_at_time_zero_ended() -> None:
    stored = replace(record(), revision=5, ended=0.0)
    assert succeeding(replace(stored, ended=NOW), stored) == replace(stored, revision=6)


def test_the_latest_use_counts() -> None:
    newer = touched(record(), NOW + 1, "2.0", "modern")
    assert (newer.used, newer.version, newer.cohort) == (NOW + 1, "2.0", "modern")
    assert touched(newer, NOW, "1.0", "legacy") == newer
    stored = replace(newer, revision=1)
    late = succeeding(replace(record(), revision=1, user="eve"), stored)
    assert late == replace(stored, revision=2, user="eve")


@given(COUNTS, TIMES)
def test_a_fence_is_more_than_the_last_and_no_less_than_the_time(last: int, now: float) -> None:
    fence = next_fence(last, now)
    assert fence > last
    assert fence >= int(now * 1_000_000)
    assert fence in (last + 1, int(now * 1_000_000))
