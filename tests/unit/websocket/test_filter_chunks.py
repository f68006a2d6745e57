"""Whatever chunks the bytes of a stream arrive in, the frame filter does the same with them.

Hypothesis writes a conversation frame by frame and cuts it where it likes, sometimes so that a
chunk ends inside a head, a mask or a character; a second filter gets the same bytes in one piece.
"""

from __future__ import annotations

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from proxy.rewriting import MessageCounts, MessageHandling, Rewriter
from proxy.websocket.filter import FrameFilter
from tests.support.rfc6455 import (
    BINARY,
    CLOSE,
    CONTINUATION,
    LIMITS,
    MAX_FRAME,
    PING,
    PONG,
    TEXT,
    ByFirstByte,
    Keys,
    outcomes,
    wire,
)

_payloads = st.one_of(
    st.builds(bytes.__add__, st.sampled_from([b"", b"P", b"D", b"0", b"1", b"3"]), st.binary()),
    st.sampled_from([126, 65_535, 65_536, MAX_FRAME]).map(lambda size: b"1" * size),
)
_closes = st.sampled_from([b"", b"\x03\xe8", b"\x0f\xa1why \xe2\x82\xac", b"\x03", b"\x03\xe8\xff"])
_broken = st.binary(min_size=1, max_size=12)
_sizes = st.one_of(st.integers(1, 7), st.sampled_from([64, 1000, 65_536, 1 << 20]))


class Conversation(RuleBasedStateMachine):
    """One direction of a WebSocket that arrives piece by piece.

    Attributes:
        sent: all bytes so far, those that are still on their way among them.
        arrived: how many of them the frame filter was fed.
        out: what it passed on.
    """

    @initialize(masked=st.booleans(), rewriter=st.sampled_from([None, ByFirstByte()]))
    def begin(self, *, masked: bool, rewriter: Rewriter | None) -> None:
        self.masked = masked
        self.rewriter = rewriter
        self.sent = bytearray()
        self.arrived = 0
        self.out = bytearray()
        self.in_message = False
        self.frame_filter = self.new_walker()

    def new_walker(self) -> FrameFilter:
        return FrameFilter(
            masked=self.masked,
            handling=MessageHandling(self.rewriter, MessageCounts()),
            random=Keys(),
            limits=LIMITS,
        )

    def send(self, opcode: int, payload: bytes, key: bytes, *, fin: bool = True) -> None:
        self.sent += wire(opcode, payload, fin=fin, key=key if self.masked else None)

    @rule(
        opcode=st.sampled_from([TEXT, TEXT, BINARY]),
        payload=_payloads,
        fin=st.booleans(),
        key=st.binary(min_size=4, max_size=4),
    )
    def data_frame(self, *, opcode: int, payload: bytes, fin: bool, key: bytes) -> None:
        self.send(CONTINUATION if self.in_message else opcode, payload, key, fin=fin)
        self.in_message = not fin

    @rule(
        opcode=st.sampled_from([PING, PONG]),
        payload=st.binary(max_size=125),
        key=st.binary(min_size=4, max_size=4),
        times=st.sampled_from([1, 1, 3, 21]),
    )
    def control_frames(self, opcode: int, payload: bytes, key: bytes, times: int) -> None:
        for _ in range(times):
            self.send(opcode, payload, key)

    @rule(payload=_closes, key=st.binary(min_size=4, max_size=4))
    def close_frame(self, payload: bytes, key: bytes) -> None:
        self.send(CLOSE, payload, key)

    @rule(data=_broken)
    def bytes_that_are_no_frame(self, data: bytes) -> None:
        self.sent += data

    @precondition(lambda self: self.arrived < len(self.sent))
    @rule(sizes=st.lists(_sizes, min_size=1, max_size=8))
    def chunks_arrive(self, sizes: list[int]) -> None:
        for size in sizes:
            chunk = bytes(self.sent[self.arrived : self.arrived + size])
            if chunk:
                self.arrived += len(chunk)
                self.out += b"".join(self.frame_filter.feed(chunk))

    @precondition(lambda self: self.arrived < len(self.sent))
    @rule()
    def the_rest_arrives(self) -> None:
        self.chunks_arrive([len(self.sent)])

    @invariant()
    def it_is_as_if_all_that_arrived_had_come_at_once(self) -> None:
        whole = self.new_walker()
        out = b"".join(whole.feed(bytes(self.sent[: self.arrived])))
        frame_filter = self.frame_filter
        assert self.out == out
        assert frame_filter.fault == whole.fault
        assert frame_filter.close_code == whole.close_code
        assert frame_filter.ended == whole.ended
        assert frame_filter.at_boundary == whole.at_boundary
        assert frame_filter.control_frames == whole.control_frames
        assert outcomes(frame_filter.handling.counts) == outcomes(whole.handling.counts)


Conversation.TestCase.settings = settings(max_examples=60, stateful_step_count=30)
TestConversation = Conversation.TestCase
