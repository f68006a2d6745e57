"""What a tap sees of a socket: a handling for each direction."""

from __future__ import annotations

from dataclasses import dataclass, field

from proxy.errors import MappingFailure
from proxy.rewriting import MessageCounts, MessageHandling, Rewriter
from proxy.types import OnError
from proxy.websocket.failures import FilterLimits
from proxy.websocket.filter import FrameFilter
from proxy.websocket.frames import LENGTH_16, TEXT, encode

FAILURE = MappingFailure("mapping", "first", "no way", OnError.PASS)


class Upper:
    """Rewrites to capitals; leaves digits alone, fails on a question."""

    def apply(self, message: bytes) -> tuple[bytes, ...] | None:
        if message == b"?":
            raise FAILURE
        return None if message.isdigit() else (message.upper(),)


@dataclass
class FakeFilter:
    handling: MessageHandling


@dataclass
class FakeLeg:
    frame_filter: FakeFilter


@dataclass(eq=False)
class FakeSocket:
    """What the recorder sees of a relay."""

    to_server: Rewriter | None = None
    to_client: Rewriter | None = field(default_factory=Upper)

    def __post_init__(self) -> None:
        self.handlings = (
            MessageHandling(self.to_server, MessageCounts()),
            MessageHandling(self.to_client, MessageCounts()),
        )
        self.client, self.server = (FakeLeg(FakeFilter(each)) for each in self.handlings)

    def is_untouched(self) -> bool:
        return (
            self.client.frame_filter.handling is self.handlings[0]
            and self.server.frame_filter.handling is self.handlings[1]
        )


def carried(handling: MessageHandling, message: bytes) -> tuple[bytes, ...] | None:
    """Send a message through a filter as a server does; what left in its place, None for itself."""
    limits = FilterLimits(frame=1 << 24, message=1 << 24, fragments=1, control_frames=1)
    frame_filter = FrameFilter(masked=False, handling=handling, random=bytes, limits=limits)
    frame = encode(TEXT, message)
    left = frame_filter.feed(frame)
    if left == [frame]:
        return None
    return tuple(each[2 if each[1] < LENGTH_16 else 4 :] for each in left)
