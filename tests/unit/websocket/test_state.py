"""A direction that goes on in another filter, in the middle of whatever it was in."""

from __future__ import annotations

import json

from hypothesis import given
from hypothesis import strategies as st

from proxy.rewriting import MessageCounts, MessageHandling
from proxy.websocket.failures import FilterLimits
from proxy.websocket.filter import FrameFilter
from proxy.websocket.frames import BINARY, CLOSE, CONTINUATION, PING, TEXT
from proxy.websocket.state import FilterState
from tests.support.rfc6455 import ByFirstByte, wire

LIMITS = FilterLimits(frame=4096, message=4096, fragments=16, control_frames=64)


def frame_filter(counts: MessageCounts, *, rewrites: bool) -> FrameFilter:
    handling = MessageHandling(ByFirstByte() if rewrites else None, counts)
    return FrameFilter(masked=True, handling=handling, random=lambda n: b"\1" * n, limits=LIMITS)


def totals(*several: MessageCounts) -> tuple[int, ...]:
    names = ("mapped", "passed", "dropped", "failed", "undelivered", "added")
    return tuple(sum(getattr(each, name) for each in several) for name in names)


KEY = b"mask"
# What `ByFirstByte` drops, maps, splits, fails at, and leaves alone.
bodies = st.builds(
    bytes.__add__, st.sampled_from([b"0", b"1", b"3", b"P", b"D", b"x"]), st.binary(max_size=300)
)
frames = st.one_of(
    st.builds(
        lambda op, body: wire(op, body, key=KEY),
        st.sampled_from([TEXT, BINARY]),
        bodies,
    ),
    st.builds(lambda body: wire(PING, body, key=KEY), st.binary(max_size=20)),
    st.builds(
        lambda op, one, two, ping: (
            wire(op, one, key=KEY, fin=False)
            + wire(PING, ping, key=KEY)
            + wire(CONTINUATION, two, key=KEY)
        ),
        st.sampled_from([TEXT, BINARY]),
        bodies,
        st.binary(max_size=300),
        st.binary(max_size=20),
    ),
)
conversations = st.builds(
    lambda parts, close: b"".join(parts) + (wire(CLOSE, close, key=KEY) if close else b""),
    st.lists(frames, max_size=6),
    st.sampled_from([b"", b"\x03\xe8", b"\x03\xe9bye"]),
)


@given(stream=conversations, cut=st.floats(0, 1), rewrites=st.booleans())
def test_another_filter_goes_on_wherever_the_first_one_was(
    stream: bytes, cut: float, rewrites: bool
) -> None:
    at = round(cut * len(stream))
    alone = MessageCounts()
    whole = frame_filter(alone, rewrites=rewrites)
    expected = b"".join(whole.feed(stream[:at])) + b"".join(whole.feed(stream[at:]))

    before, after = MessageCounts(), MessageCounts()
    first, second = (frame_filter(each, rewrites=rewrites) for each in (before, after))
    sent = b"".join(first.feed(stream[:at]))
    state = first.state()
    # Plain values: what a file or another process can be given.
    told = json.dumps(state, default=lambda value: value.hex())
    assert len(json.loads(told)) == len(FilterState._fields)
    second.resume(state)
    assert second.state() == state
    assert sent + b"".join(second.feed(stream[at:])) == expected
    assert second.state() == whole.state()
    assert totals(before, after) == totals(alone)
