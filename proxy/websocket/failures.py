"""Why a direction of a WebSocket is given up, and the bounds that make it so."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Final

from proxy.websocket.frames import NO_STATUS, is_valid_close_code


class Blame(Enum):
    """Whose fault ended the connection."""

    SENDER = "sender"
    MAPPING = "mapping"


@dataclass(frozen=True, slots=True)
class Fault:
    """Why a direction was given up.

    Attributes:
        code: the close code for the side that sent the bytes.
        reason: a fixed text of this module, never bytes of the peer.
        blame: the sender's framing, or a mapping whose `on_error` is `close`.
        limit: the field of `FilterLimits` that was reached, or `message_time`; None where it was
            none.
    """

    code: int
    reason: str
    blame: Blame = Blame.SENDER
    limit: str | None = None


RESERVED_OPCODE: Final = Fault(1002, "reserved opcode")
FRAME_TOO_BIG: Final = Fault(1009, "frame too big", limit="frame")
MESSAGE_TOO_BIG: Final = Fault(1009, "message too big", limit="message")
TOO_MANY_FRAGMENTS: Final = Fault(1009, "too many fragments", limit="fragments")
MESSAGE_TOO_SLOW: Final = Fault(1008, "message took too long", limit="message_time")
TOO_MANY_CONTROL_FRAMES: Final = Fault(1008, "too many control frames", limit="control_frames")
FIRST_MESSAGE_TOO_BIG: Final = Fault(1009, "first message too big")
FIRST_MESSAGE_UNREADABLE: Final = Fault(1008, "token cannot be read for certain")
FOREIGN_PAGE: Final = Fault(1008, "origin not allowed")
"""Those of a message in which a token is looked for."""

NO_ROOM: Final = Fault(1013, "no room for the message")
NO_ROOM_EVER: Final = Fault(1009, "message too big for one client")
NOT_TAKEN: Final = Fault(1013, "too much waits to be sent")
"""Those of `limits.memory`, which counts itself how often it is reached."""


@dataclass(frozen=True, slots=True)
class FilterLimits:
    """The bounds of one direction.

    Attributes:
        frame: the largest payload of one frame, in bytes.
        message: the largest payload of one message, in bytes, over all its fragments.
        fragments: the largest number of fragments of one message.
        control_frames: how many control frames may come until `FrameFilter.control_frames` is
            lowered by whoever has a clock.
    """

    frame: int
    message: int
    fragments: int
    control_frames: float


def read_close(payload: bytes) -> int | Fault:
    """The code in a Close frame, or what is wrong with it (RFC 6455 sections 5.5.1 and 7.4)."""
    if not payload:
        return NO_STATUS
    code = int.from_bytes(payload[:2], "big")
    if len(payload) == 1 or not is_valid_close_code(code):
        return Fault(1002, "invalid close code")
    try:
        payload[2:].decode()
    except UnicodeDecodeError:
        return Fault(1007, "close reason is not UTF-8")
    return code
