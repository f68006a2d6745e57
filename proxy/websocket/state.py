"""The state of one direction of a WebSocket, in plain values."""

from __future__ import annotations

from typing import NamedTuple


class FilterState(NamedTuple):
    """What a `FrameFilter` is in the middle of: enough for another one to go on in its place.

    Attributes:
        held: the start of a frame that cannot be decided on yet.
        need: how many bytes of that frame are needed.
        skip: the payload bytes still to come of a frame that is passed on as it comes.
        final: whether that frame ends its message.
        opcode: of the message in progress; 0 between messages.
        size, fragments: of that message so far.
        holding: whether it is held.
        raw, payload: what is held of it: its frames as they came, and their payloads.
        deliverable: whether anything is delivered.
        finishing: whether only the rest of a frame is.
        control_frames: how many count at the moment.
        withholds_close: whether a Close frame is read and not passed on.
        close_code: of the Close frame that came; None before.
        fault: why the direction was given up, in words; empty if it was not.
    """

    held: bytes
    need: int
    skip: int
    final: bool
    opcode: int
    size: int
    fragments: int
    holding: bool
    raw: bytes
    payload: bytes
    deliverable: bool
    finishing: bool
    control_frames: float
    withholds_close: bool
    close_code: int | None
    fault: str
