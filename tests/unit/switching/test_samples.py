"""What processes have counted of their switches, in windows, written down and added up."""

from __future__ import annotations

import zlib
from hashlib import blake2b

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.switching.canary import Sketch
from proxy.switching.guards import NO_FIGURES, Figures, Samples
from proxy.switching.samples import (
    Counted,
    Sampler,
    Since,
    SwitchSamples,
    read_samples,
    summed,
    write_samples,
)

ONE = "modern/one"
FIRST = Since(7, 1000.0)


def figures(messages: int, failed: int = 0) -> Figures:
    return Figures(messages=messages, failed=failed)


def users(*names: int) -> Sketch:
    sketch = Sketch()
    for name in names:
        sketch.add(int.from_bytes(blake2b(b"%d" % name, digest_size=8).digest()))
    return sketch


def test_what_was_counted_before_the_revision_counts_for_none() -> None:
    sampler = Sampler()
    assert not sampler.knows(ONE, FIRST)
    assert sampler.sample(ONE, FIRST, 0, Counted(figures(500, 9))).now == NO_FIGURES
    assert sampler.knows(ONE, FIRST)
    assert sampler.sample(ONE, FIRST, 0, Counted(figures(520, 10))).now == figures(20, 1)
    # Another revision, though the number may be the same: a store that went back.
    for since in (Since(8, 2000.0), Since(8, 3000.0)):
        assert sampler.sample(ONE, since, 0, Counted(figures(530, 11))).now == NO_FIGURES
        assert not sampler.knows(ONE, FIRST)


def test_windows_follow_each_other() -> None:
    sampler = Sampler()
    sampler.sample(ONE, FIRST, 0, Counted(figures(0)))
    sampler.sample(ONE, FIRST, 0, Counted(figures(10)))
    second = sampler.sample(ONE, FIRST, 1, Counted(figures(15)))
    assert (second.window, second.now, second.before) == (1, NO_FIGURES, figures(15))
    again = sampler.sample(ONE, FIRST, 1, Counted(figures(40)))
    assert (again.now, again.before) == (figures(25), figures(15))
    # A clock that was set back begins no window anew.
    assert sampler.sample(ONE, FIRST, 0, Counted(figures(41))).window == 1
    # Nobody looked for a whole window: what came meanwhile is of none.
    late = sampler.sample(ONE, FIRST, 3, Counted(figures(90)))
    assert (late.now, late.before) == (NO_FIGURES, NO_FIGURES)


def test_what_nobody_asks_for_is_forgotten() -> None:
    sampler = Sampler()
    sampler.sample(ONE, FIRST, 0, Counted(figures(0)))
    sampler.keep([ONE, "modern/two"])
    assert sampler.knows(ONE, FIRST)
    sampler.keep([])
    assert not sampler.knows(ONE, FIRST)


def test_all_processes_are_added_up_by_window() -> None:
    said = [
        SwitchSamples(ONE, *FIRST, 3, figures(10, 1), figures(100, 2)),
        SwitchSamples(ONE, *FIRST, 3, figures(20), figures(200)),
        SwitchSamples(ONE, *FIRST, 2, figures(40, 4), figures(999)),  # It has died, or is late.
        SwitchSamples(ONE, *FIRST, 4, figures(999), figures(80, 8)),  # Its clock is ahead.
        SwitchSamples(ONE, *FIRST, 1, figures(999)),
        SwitchSamples(ONE, 8, 1000.0, 3, figures(999)),
        SwitchSamples(ONE, 7, 1001.0, 3, figures(999)),
        SwitchSamples("modern/two", *FIRST, 3, figures(999)),
    ]
    assert summed(said, ONE, FIRST, 3) == Samples(3, figures(110, 9), figures(340, 6), None)
    assert summed([], ONE, FIRST, 3) == Samples(3)


def test_a_user_of_two_processes_is_one() -> None:
    def said(sketch: Sketch | None) -> SwitchSamples:
        sampler = Sampler()
        sampler.sample(ONE, FIRST, 0, Counted(figures(0), sketch))
        return sampler.sample(ONE, FIRST, 0, Counted(figures(5), sketch))

    one, other = said(users(1, 2, 3)), said(users(3, 4))
    assert summed([one, other], ONE, FIRST, 0).users == 4
    assert summed([said(None), one], ONE, FIRST, 0).users == 3
    assert len(one.users or b"") < 100


@pytest.mark.parametrize(
    "written",
    [
        b"",
        b"none",
        zlib.compress(b"short"),
        zlib.compress(bytes(5000)),
        zlib.compress(b"\xff" * 1024),
    ],
)
def test_users_that_cannot_be_read_are_none(written: bytes) -> None:
    said = SwitchSamples(ONE, *FIRST, 0, figures(5), users=written)
    assert summed([said], ONE, FIRST, 0) == Samples(0, figures(5))


def test_they_are_written_in_as_many_documents_as_it_takes() -> None:
    said = [
        SwitchSamples(f"modern/{number}", *FIRST, 0, figures(number + 1), users=bytes(500))
        for number in range(50)
    ]
    documents = write_samples(said, 4096, 20)
    assert all(len(each) <= 4096 for each in documents)
    named = {f"a~guard{number}": each for number, each in enumerate(documents)}
    assert read_samples(named, "~guard") == said
    few = write_samples(said, 4096, 2)
    assert few == documents[:2]
    assert write_samples([], 4096, 2) == []


def test_what_is_no_samples_is_left_out() -> None:
    good = write_samples([SwitchSamples(ONE, *FIRST, 0, figures(5))], 4096, 1)[0]
    found = read_samples(
        {
            "a~guard0": good,
            "a": good,
            "b~guard0": b"{}",
            "c~guard0": b"\xff",
            "d~guard0": b"[" * 100_000,
            "e~guard0": msgspec.json.encode([{"switch": "x" * 300, "revision": 1, "at": 0}]),
        },
        "~guard",
    )
    assert found == [SwitchSamples(ONE, *FIRST, 0, figures(5))]


counts = st.integers(0, 1000)


@given(st.lists(st.tuples(st.integers(0, 2), counts), max_size=30))
def test_nothing_is_counted_twice(looks: list[tuple[int, int]]) -> None:
    """Whatever the looks: this window and the one before are at most what came since the first."""
    sampler, total, window = Sampler(), 0, 0
    sampler.sample(ONE, FIRST, 0, Counted(NO_FIGURES))
    for ahead, more in looks:
        window, total = window + ahead, total + more
        said = sampler.sample(ONE, FIRST, window, Counted(figures(total)))
        assert said.now.messages + said.before.messages <= total
