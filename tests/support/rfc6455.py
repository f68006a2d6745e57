"""A second, slow reading of RFC 6455 to hold the frame filter against, and streams to feed both.

`second_reading` takes a whole stream at once, frame by frame, and shares no code with
`proxy.websocket.frames`; masks are put on and taken off by the `websockets` library.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field
from typing import Final

from hypothesis import strategies as st
from websockets.frames import CloseCode
from websockets.utils import apply_mask

from proxy.errors import MappingFailure
from proxy.rewriting import MessageCounts, MessageHandling, Rewriter
from proxy.types import OnError
from proxy.websocket.failures import FilterLimits
from proxy.websocket.filter import FrameFilter

MAX_MESSAGE: Final = 70_000
MAX_FRAGMENTS: Final = 4
MAX_FRAME: Final = 69_000
MAX_CONTROLS: Final = 20
LIMITS: Final = FilterLimits(
    frame=MAX_FRAME, message=MAX_MESSAGE, fragments=MAX_FRAGMENTS, control_frames=MAX_CONTROLS
)

CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0, 1, 2, 8, 9, 10


class ByFirstByte:
    """A rewriter whose verdict stands in the first byte of the message."""

    def apply(self, message: bytes) -> tuple[bytes, ...] | None:
        verdict, rest = message[:1], message[1:]
        if verdict in (b"P", b"D", b"C"):
            on_error = {b"P": OnError.PASS, b"D": OnError.DROP, b"C": OnError.CLOSE}[verdict]
            raise MappingFailure("mapping", verdict.decode(), "cannot", on_error)
        rewrites = {b"0": (), b"1": (rest + b"!",), b"3": (rest, b"", rest + rest)}
        return rewrites.get(verdict)


class Keys:
    """Mask keys that differ from call to call, so that a key used twice shows."""

    def __init__(self) -> None:
        self.given: list[bytes] = []

    def __call__(self, size: int) -> bytes:
        self.given.append((0xA1B2C3D4 + 0x01010101 * len(self.given)).to_bytes(size, "big"))
        return self.given[-1]


def wire(opcode: int, payload: bytes = b"", *, fin: bool = True, key: bytes | None = None) -> bytes:
    """One frame, written down from the picture in RFC 6455 section 5.2."""
    size = len(payload)
    mask = 0x80 if key is not None else 0
    if size <= 125:
        length = bytes([mask | size])
    elif size <= 0xFFFF:
        length = bytes([mask | 126]) + size.to_bytes(2, "big")
    else:
        length = bytes([mask | 127]) + size.to_bytes(8, "big")
    head = bytes([(0x80 if fin else 0) | opcode]) + length
    if key is None:
        return head + payload
    return head + key + apply_mask(payload, key)


def walk(
    *chunks: bytes, masked: bool = False, rewriter: Rewriter | None = None, keys: Keys | None = None
) -> tuple[bytes, FrameFilter]:
    """Feed chunks to a new frame filter; return all that it sends on, and the frame filter."""
    frame_filter = FrameFilter(
        masked=masked,
        handling=MessageHandling(rewriter, MessageCounts()),
        random=keys or Keys(),
        limits=LIMITS,
    )
    return b"".join(b"".join(frame_filter.feed(chunk)) for chunk in chunks), frame_filter


def outcomes(counts: MessageCounts) -> dict[str, int]:
    """The counts that are not zero."""
    names = ("mapped", "passed", "dropped", "failed", "undelivered", "added")
    return {name: getattr(counts, name) for name in names if getattr(counts, name)}


@dataclass
class Expected:
    """What the second reading says of a stream.

    Attributes:
        out: the bytes to send on.
        code: the close code of the fault, None without one.
        close_code: of the Close frame that was passed on.
        half_sent: the bytes still to come of a frame whose beginning was sent on.
        half_sent_ends_message: whether that frame is the last of its message.
        controls: the control frames so far.
    """

    out: bytes = b""
    counts: MessageCounts = field(default_factory=MessageCounts)
    code: int | None = None
    close_code: int | None = None
    half_sent: int = 0
    half_sent_ends_message: bool = False
    controls: int = 0


class _Refused(Exception):
    def __init__(self, code: int) -> None:
        self.code = code


class _Incomplete(Exception):
    pass


class _Frame:
    """One frame at the start of some bytes, as far as it is there."""

    def __init__(self, data: bytes, *, masked: bool) -> None:
        if len(data) < 2:
            raise _Incomplete
        size, at, shortest = data[1] & 0x7F, 2, 0
        if size > 125:
            at, shortest = (4, 126) if size == 126 else (10, 65_536)
            if len(data) < at:
                raise _Incomplete
            size = int.from_bytes(data[2:at], "big")
        if size < shortest or data[0] & 0x70 or bool(data[1] & 0x80) != masked:
            raise _Refused(1002)
        start = at + 4 if masked else at
        self.final = bool(data[0] & 0x80)
        self.opcode = data[0] & 0x0F
        self.size = size
        self.raw = data[: start + size]
        self.missing = start + size - len(self.raw)
        self.has_head = len(data) >= start
        self.payload = self.raw[start:]
        if masked and self.payload:
            self.payload = apply_mask(self.payload, data[at:start])


def second_reading(data: bytes, *, masked: bool, rewriter: Rewriter | None) -> Expected:
    """Read a whole stream, or as much as there is of one."""
    result = Expected()
    keys = Keys() if masked else None
    message: list[_Frame] = []
    try:
        while result.close_code is None:
            frame = _Frame(data, masked=masked)
            if frame.opcode >= 8:
                _read_control(frame, result)
            else:
                _check_order(frame, message)
                message.append(frame)
                if message[0].opcode == TEXT and rewriter is not None:
                    _hold(message, result, rewriter, keys)
                else:
                    _pass(frame, result)
                if frame.final:
                    message = []
            data = data[len(frame.raw) :]
    except _Incomplete:
        pass
    except _Refused as refused:
        result.code = refused.code
    return result


def _check_order(frame: _Frame, message: list[_Frame]) -> None:
    if frame.opcode > BINARY or (frame.opcode == CONTINUATION) != bool(message):
        raise _Refused(1002)
    if sum(fragment.size for fragment in (*message, frame)) > MAX_MESSAGE:
        raise _Refused(1009)
    if frame.size > MAX_FRAME or len(message) >= MAX_FRAGMENTS:
        raise _Refused(1009)


def _pass(frame: _Frame, result: Expected) -> None:
    if not frame.has_head:
        raise _Incomplete
    result.out += frame.raw
    if frame.missing:
        result.half_sent = frame.missing
        result.half_sent_ends_message = frame.final
        raise _Incomplete
    result.counts.passed += frame.final


def _read_control(frame: _Frame, result: Expected) -> None:
    if frame.opcode not in (CLOSE, PING, PONG) or not frame.final or frame.size > 125:
        raise _Refused(1002)
    if frame.missing:
        raise _Incomplete
    result.controls += 1
    if result.controls > MAX_CONTROLS:
        raise _Refused(1008)
    if frame.opcode == CLOSE:
        result.close_code = _read_close(frame.payload)
    result.out += frame.raw


def _read_close(payload: bytes) -> int:
    if not payload:
        return 1005
    code = int.from_bytes(payload[:2], "big") if len(payload) > 1 else 0
    if code not in set(CloseCode) - {1005, 1006, 1015} and not 3000 <= code <= 4999:
        raise _Refused(1002)
    try:
        payload[2:].decode()
    except UnicodeDecodeError:
        raise _Refused(1007) from None
    return code


def _hold(message: list[_Frame], result: Expected, rewriter: Rewriter, keys: Keys | None) -> None:
    if message[-1].missing:
        raise _Incomplete
    if not message[-1].final:
        return
    raw = b"".join(fragment.raw for fragment in message)
    counts = result.counts
    try:
        messages = rewriter.apply(b"".join(fragment.payload for fragment in message))
    except MappingFailure as failure:
        counts.failed += 1
        result.out += raw if failure.on_error is OnError.PASS else b""
        if failure.on_error is OnError.CLOSE:
            raise _Refused(1011) from None
        return
    if messages is None:
        counts.passed += 1
        result.out += raw
        return
    for rewritten in messages:
        result.out += wire(TEXT, rewritten, key=None if keys is None else keys(4))
    counts.mapped += bool(messages)
    counts.dropped += not messages
    counts.added += max(0, len(messages) - 1)


_lengths = st.sampled_from([0, 1, 124, 125, 126, 127, 128, 65_534, 65_535, 65_536])
_payloads = st.one_of(
    st.builds(bytes.__add__, st.sampled_from([b"", b"P", b"D", b"0", b"1", b"3"]), st.binary()),
    st.builds(lambda first, size: (first * size)[:size], st.sampled_from([b"x", b"1"]), _lengths),
)
CUTS = st.lists(st.floats(0, 1), max_size=12)


@st.composite
def streams(draw: st.DrawFn, *, masked: bool, may_break: bool = True) -> bytes:
    """Frames as peers send them: messages, fragments with control frames between, a Close."""
    keys = st.binary(min_size=4, max_size=4) if masked else st.none()

    def framed(opcode: int, payload: bytes, *, fin: bool = True) -> bytes:
        return wire(opcode, payload, fin=fin, key=draw(keys))

    def controls() -> bytes:
        some = st.lists(
            st.tuples(st.sampled_from([PING, PONG]), st.binary(max_size=125)), max_size=1
        )
        return b"".join(framed(opcode, payload) for opcode, payload in draw(some))

    frames: list[bytes] = []
    for _ in range(draw(st.integers(0, 4))):
        payload = draw(_payloads)
        splits = sorted(draw(st.lists(st.integers(0, len(payload)), max_size=MAX_FRAGMENTS - 1)))
        opcode = draw(st.sampled_from([TEXT, TEXT, BINARY]))
        pieces = list(itertools.pairwise([0, *splits, len(payload)]))
        for number, (start, stop) in enumerate(pieces):
            final = number == len(pieces) - 1
            frames += [framed(opcode, payload[start:stop], fin=final), controls()]
            opcode = CONTINUATION
    if draw(st.booleans()):
        close = draw(st.sampled_from([b"", b"\x03\xe8", b"\x0f\xa1why \xe2\x82\xac"]))
        frames += [framed(CLOSE, close), draw(st.binary(max_size=9))]
    if may_break and draw(st.booleans()):
        frames.insert(draw(st.integers(0, len(frames))), draw(st.binary(max_size=12)))
    if may_break and draw(st.booleans()):
        frames.append(framed(TEXT, b"C a message whose mapping says close") + b"\x81")
    if may_break and draw(st.booleans()):
        frames.insert(draw(st.integers(0, len(frames))), framed(PONG, b"") * (MAX_CONTROLS + 1))
    return b"".join(frames)


def split(data: bytes, cuts: list[float]) -> list[bytes]:
    places = sorted(int(cut * len(data)) for cut in cuts)
    return [data[a:b] for a, b in itertools.pairwise([0, *places, len(data)]) if a < b]
