"""Days of what mappings are needed: adding up, writing and reading, and what is refused."""

from __future__ import annotations

import hashlib
import zlib
from contextlib import suppress
from dataclasses import replace

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.switching.canary import Sketch, counted_as
from proxy.switching.sunset_days import (
    BLIND_DAY,
    DAY,
    MAX_DOCUMENT,
    MAX_MAPPINGS,
    MAX_VERSION,
    MAX_VERSIONS,
    OTHER,
    SLOT,
    SLOTS,
    Day,
    MappingDay,
    UnreadableDay,
    day_of,
    merged,
    read_day,
    shown,
    slot_of,
    watched,
    write_day,
)
from proxy.switching.table import SwitchName

NAMES = [SwitchName("old", "a"), SwitchName("old", "b"), SwitchName("new", "a")]


@st.composite
def sketches(draw: st.DrawFn) -> Sketch:
    sketch = Sketch()
    for user in draw(st.lists(st.binary(max_size=3), max_size=4)):
        sketch.add(counted_as(b"key", user))
    return sketch


bits = st.integers(0, (1 << SLOTS) - 1)


@st.composite
def days(draw: st.DrawFn) -> Day:
    """A day as one process writes it: blind wherever it ran and did not watch."""
    up = draw(bits)
    mappings = {}
    for name in draw(st.sets(st.sampled_from(NAMES))):
        seen = draw(bits) & up
        mappings[name] = MappingDay(
            watched=seen,
            blind=up & ~seen,
            last=draw(st.floats(0, 1e10)),
            messages=draw(st.integers(0, 9)),
            ignored=draw(st.integers(0, 9)),
            users=draw(sketches()),
            versions=draw(st.dictionaries(st.sampled_from("12345"), st.integers(1, 9), max_size=3)),
        )
    return Day(up, mappings)


def said(day: Day, *, counts: bool = True) -> object:
    """A day as what can be compared."""
    return day.up, {
        name: (
            part.watched,
            part.blind,
            part.last,
            bytes(part.users),
            (part.messages, part.ignored, dict(part.versions)) if counts else None,
        )
        for name, part in day.mappings.items()
    }


@given(days(), days(), days())
def test_the_order_of_adding_up_does_not_matter(one: Day, two: Day, three: Day) -> None:
    whole = said(merged([one, two, three]))
    assert said(merged([three, one, two])) == whole
    assert said(merged([merged([one, two]), three])) == whole
    assert said(merged([one, merged([two, three])])) == whole


@given(days(), days())
def test_who_is_added_twice_is_told_once(one: Day, two: Day) -> None:
    total = merged([one, two])
    again = merged([total, read_day(write_day(one, counted=False))])
    # The counts too: they are written as what is counted already.
    assert said(again) == said(total)
    assert said(merged([total, one]), counts=False) == said(total, counts=False)


@given(days(), days())
def test_a_slot_is_watched_where_one_watched_and_none_was_blind(one: Day, two: Day) -> None:
    total = merged([one, two])
    for name, part in total.mappings.items():
        for slot in range(SLOTS):
            each = [
                (day.up >> slot & 1, bool(seen and seen.watched >> slot & 1))
                for day in (one, two)
                for seen in [day.mappings.get(name)]
            ]
            expected = any(sees for _, sees in each) and all(sees for ran, sees in each if ran)
            assert bool(watched(part) >> slot & 1) is expected


@given(days())
def test_what_is_written_is_read(day: Day) -> None:
    day.written, day.open = 17.5, {NAMES[0]: 4}
    found = read_day(write_day(day))
    assert said(found) == said(day)
    assert (found.written, found.open) == (17.5, {NAMES[0]: 4})


def test_days_and_slots_are_those_of_utc() -> None:
    assert (day_of(0.0), slot_of(0.0)) == (0, 0)
    assert (day_of(DAY - 0.1), slot_of(DAY - 0.1)) == (0, SLOTS - 1)
    assert (day_of(DAY), slot_of(DAY + SLOT)) == (1, 1)


def test_one_that_cannot_be_read_is_blind_for_all() -> None:
    seen = Day(3, {NAMES[0]: MappingDay(watched=3)})
    assert watched(merged([seen]).mappings[NAMES[0]]) == 3
    assert watched(merged([seen, BLIND_DAY]).mappings[NAMES[0]]) == 0
    assert watched(merged([BLIND_DAY, seen]).mappings[NAMES[0]]) == 0


def test_versions_are_those_seen_most() -> None:
    part = MappingDay()
    part.note(5.0, 3, {f"1.{number}": number for number in range(1, 200)})
    part.note(4.0, 1, {"x" * (MAX_VERSION + 1): 7})
    assert (part.last, part.messages) == (5.0, 4)
    assert len(part.versions) <= 4 * MAX_VERSIONS
    told = shown(part.versions)
    assert told[0] == ("1.199", 199)
    assert len(told) == MAX_VERSIONS + 1
    assert told[-1][0] == OTHER
    assert sum(count for _, count in told) == sum(range(1, 200)) + 7
    assert shown({"1": 2}) == [("1", 2)]


def test_mappings_are_bounded() -> None:
    day = Day()
    names = [SwitchName("c", f"m{number}") for number in range(MAX_MAPPINGS + 1)]
    assert all(day.of(name) is not None for name in names[:-1])
    assert day.of(names[-1]) is None
    assert day.of(names[0]) is day.mappings[names[0]]


def test_the_largest_day_has_room() -> None:
    day = Day()
    for number in range(MAX_MAPPINGS):
        part = day.of(SwitchName("c" * 60, f"m{number}"))
        assert part is not None
        for user in range(400):
            part.users.add(counted_as(b"key", b"%d %d" % (number, user)))
        part.note(1.0, 1, {f"{number}.{user}.{user * 7919}" * 3: user for user in range(20)})
    assert len(write_day(day)) <= MAX_DOCUMENT
    # What has no room even so goes without what may be left out.
    huge = replace(day, open={})
    for number, part in enumerate(huge.mappings.values()):
        part.versions = {
            hashlib.sha256(b"%d %d" % (number, each)).hexdigest(): 1 for each in range(20)
        }
        for user in range(9000):
            part.users.add(counted_as(b"key", b"%d %d" % (number, user)))
    document = write_day(huge)
    assert len(document) <= MAX_DOCUMENT
    assert not any(part.versions for part in read_day(document).mappings.values())


@pytest.mark.parametrize(
    "document",
    [
        b"",
        b"no",
        zlib.compress(b"no"),
        zlib.compress(bytes(3_000_000)),
        write_day(Day())[:-1],
        write_day(Day()) + b"more",
        zlib.compress(
            msgspec.msgpack.encode(
                {"format": 2, "up": bytes(36), "written": 0.0, "mappings": {}, "open": {}}
            )
        ),
        zlib.compress(
            msgspec.msgpack.encode(
                {"format": 1, "up": bytes(36), "written": 0.0, "mappings": {}, "open": {"no": 1}}
            )
        ),
        zlib.compress(
            msgspec.msgpack.encode(
                {
                    "format": 1,
                    "up": bytes(36),
                    "written": 0.0,
                    "mappings": {"a/b": [bytes(36), bytes(36), 0.0, 0, 0, b"x", {}]},
                    "open": {},
                }
            )
        ),
    ],
)
def test_what_is_no_day_is_refused(document: bytes) -> None:
    with pytest.raises(UnreadableDay):
        read_day(document)


@given(st.binary(max_size=200))
def test_no_bytes_do_worse(document: bytes) -> None:
    for each in (document, zlib.compress(document)):
        with suppress(UnreadableDay):
            read_day(each)
