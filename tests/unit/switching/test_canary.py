"""Who is in a canary: the right share, the same everywhere, monotonic; and how many there were."""

from __future__ import annotations

import os
import subprocess
import sys
from functools import cache
from math import sqrt
from typing import Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.switching.canary import KEY_LENGTH, Canary, Sketch, counted_as
from proxy.switching.setting import WHOLE
from tests.support.checkout import ROOT

USERS: Final = [b"u:%d" % number for number in range(100_000)]
KEY: Final = bytes(range(KEY_LENGTH))
SHARES: Final = (0, 1, 100, 1000, 5000, 9999, WHOLE)
"""Hundredths of a percent: 0, 0.01, 1, 10, 50, 99.99 and 100."""
SALTS: Final = ("modern/old-to-new", "modern/other", "legacy/new-to-old")


@cache
def places_of(salt: str, key: bytes = KEY) -> list[int]:
    canary = Canary(key, salt, 0)
    return [canary.place(user) for user in USERS]


def inside(salt: str, share: int, key: bytes = KEY) -> set[int]:
    """The numbers of the users who are in."""
    canary = Canary(key, salt, share)
    return {number for number, place in enumerate(places_of(salt, key)) if canary.has(place)}


@pytest.mark.parametrize("salt", SALTS)
def test_shares_are_right_and_nobody_leaves_when_one_grows(salt: str) -> None:
    before: set[int] = set()
    for share in SHARES:
        users = inside(salt, share)
        chance = share / WHOLE
        # 6 standard deviations of a binomial distribution: 2 in 10^9; the users are always these.
        bound = 6 * sqrt(len(USERS) * chance * (1 - chance))
        assert abs(len(users) - len(USERS) * chance) <= bound
        assert before <= users
        before = users
    assert len(before) == len(USERS)


def test_switches_do_not_have_the_same_users_first() -> None:
    one, other = inside(SALTS[0], 1000), inside(SALTS[1], 1000)
    # Independent tenths have a hundredth in common.
    assert abs(len(one & other) - 1000) <= 6 * sqrt(100_000 * 0.01 * 0.99)


def test_another_key_has_others_in() -> None:
    one, other = inside(SALTS[0], 1000), inside(SALTS[0], 1000, KEY[::-1])
    assert abs(len(one & other) - 1000) <= 6 * sqrt(100_000 * 0.01 * 0.99)


AGREE = """
import hashlib, sys
from proxy.switching.canary import Canary
told = hashlib.sha256()
for salt in ("modern/old-to-new", "modern/other"):
    canary = Canary(bytes(range(32)), salt, 3333)
    for number in range(100_000):
        place = canary.place(b"u:%d" % number)
        told.update(b"%d %d\\n" % (place, canary.has(place)))
print(hash("segue"), told.hexdigest())
"""


def test_processes_agree_on_every_user() -> None:
    told = []
    for seed in ("0", "1", "4294967295"):
        ran = subprocess.run(
            [sys.executable, "-c", AGREE],
            env={**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": str(ROOT)},
            capture_output=True,
            check=True,
            text=True,
        )
        told.append(ran.stdout.split())
    assert len({of_python for of_python, _ in told}) == 3, "the processes hash alike: no proof"
    assert len({ours for _, ours in told}) == 1


def test_places_are_those_of_all_earlier_versions_of_segue() -> None:
    # Whoever changes one of these moves every user of every canary.
    canary = Canary(KEY, SALTS[0], 0)
    assert [canary.place(user) for user in (b"u:1", b"u:2", b"")] == [
        8269450307716554277,
        11337348205668417671,
        11288108470524654327,
    ]


@given(
    st.binary(max_size=300), st.text(max_size=100), st.binary(max_size=100), st.integers(0, WHOLE)
)
def test_any_user_has_a_place(key: bytes, salt: str, user: bytes, share: int) -> None:
    canary = Canary(key, salt, share)
    place = canary.place(user)
    assert 0 <= place < 1 << 64
    assert place == Canary(key, salt, 0).place(user)
    assert not Canary(key, salt, 0).has(place)
    assert Canary(key, salt, WHOLE).has(place)


# How many there were.


def sketch_of(places: list[int]) -> Sketch:
    sketch = Sketch()
    for place in places:
        sketch.add(place)
    return sketch


@pytest.mark.parametrize("number", [0, 1, 10, 1_000, 2_000, 3_000, 100_000])
@pytest.mark.parametrize("share", [100, WHOLE])
def test_a_sketch_says_how_many_users_there_were(number: int, share: int) -> None:
    canary = Canary(KEY, SALTS[0], WHOLE)
    places = [canary.place(b"s:%d" % each) for each in range(number)]
    # The users of a small canary are those at the beginning of the line.
    sketch = sketch_of([place * share // WHOLE for place in places] * 2)
    assert abs(sketch.count() - number) <= max(4 * Sketch.ERROR * number, number > 5)


def test_sketches_of_replicas_are_merged() -> None:
    places = places_of(SALTS[0])[:30_000]
    one, other = sketch_of(places[:20_000]), sketch_of(places[10_000:])
    one.merge(other)
    assert bytes(one) == bytes(sketch_of(places))
    assert bytes(other) == bytes(sketch_of(places[10_000:]))


def test_a_sketch_is_read_as_it_is_written() -> None:
    sketch = sketch_of([0, 1, (1 << 64) - 1, 1 << 63, 1 << 10])
    assert bytes(Sketch.read(bytes(sketch))) == bytes(sketch)
    assert Sketch.read(bytes(sketch)).count() == sketch.count()
    assert Sketch.read(b"\x37" * 1024).count() > 1 << 60


@given(st.binary(max_size=10) | st.just(b"\x38" * 1024) | st.just(b"\x00" * 1025))
def test_what_is_no_sketch_is_refused(written: bytes) -> None:
    with pytest.raises(ValueError, match="not a sketch"):
        Sketch.read(written)


def test_users_are_counted_by_a_hash_that_is_no_place_of_theirs() -> None:
    sketch = Sketch()
    for user in USERS[:5000]:
        sketch.add(counted_as(KEY, user))
        sketch.add(counted_as(KEY, user))
    assert abs(sketch.count() - 5000) <= 4 * Sketch.ERROR * 5000
    assert counted_as(KEY, USERS[0]) != counted_as(KEY[::-1], USERS[0])
    assert counted_as(KEY, USERS[0]) != Canary(KEY, SALTS[0], 0).place(USERS[0])
