"""How the messages of one direction are treated: what may rewrite them, and where they count.

And who looks at those that nothing rewrites, which go on as they come.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, NamedTuple, Protocol

from proxy.errors import MappingFailure
from proxy.types import OnError

OUTCOMES: Final = ("mapped", "passed", "dropped", "failed", "undelivered")
"""What can become of a message."""

NEEDED: Final = ("mapped", "dropped", "failed")
"""What becomes of one that needed its mapping."""

SAMPLED: Final = 32
"""Of so many messages with the same outcome, one is asked with which kind it came."""

MAX_RECEIVED_KINDS: Final = 500
"""Kinds of one server that are told apart; they come from the files of mappings."""

OTHER_KIND: Final = "other"
"""The label of every kind that a mapping does not list, so that no client makes up labels."""


class MessageCounts:
    """How the data messages of one (mapping, direction) ended; plain integers.

    The hot path adds to the attributes; the metrics page reads them when it is scraped. (A
    labelled `Counter.inc()` of `prometheus_client` costs about 3 microseconds, an attribute 0.05.)
    Each message that was received whole has exactly one of the five outcomes, so that
    `mapped + passed + dropped + failed + undelivered` is the number of messages received.
    `added` counts the messages that a rule made beyond one for one, and stands apart.

    A part of an account is that of one WebSocket or body: what it counts is added to the whole
    when it is settled.

    Attributes:
        on_failure: told of each message that could not be mapped; None where nobody asks.
        received_kinds: how many messages came with each kind, as far as a sample tells it; shared
            by all accounts that are of one server. None where that is not counted.
        turn: which message of `SAMPLED` is sampled; those of parts are different.
        next_turn: that of the next part.
    """

    __slots__ = (
        "_settled",
        "_whole",
        "added",
        "dropped",
        "failed",
        "failures",
        "mapped",
        "next_turn",
        "on_failure",
        "passed",
        "received_kinds",
        "turn",
        "undelivered",
        "unmapped",
    )

    def __init__(self) -> None:
        self.mapped = 0
        self.passed = 0
        self.dropped = 0
        self.failed = 0
        self.undelivered = 0
        self.added = 0
        self.failures: dict[str, int] = {}
        self.unmapped: dict[str, int] = {}
        self.on_failure: Callable[[MappingFailure], None] | None = None
        self.received_kinds: dict[str, int] | None = None
        self.turn = 0
        self.next_turn = 0
        self._whole: MessageCounts | None = None
        self._settled = (0, 0, 0, 0, 0, 0)

    def part(self, on_failure: Callable[[MappingFailure], None] | None = None) -> MessageCounts:
        """Return an account of its own that is added to this one whenever it is settled.

        Failures and kinds are counted here at once.
        """
        part = MessageCounts()
        part.failures, part.unmapped = self.failures, self.unmapped
        part.on_failure = on_failure
        part._whole = self
        # One after the other, so that many that have few messages are not all sampled alike.
        part.turn, self.next_turn = self.next_turn, (self.next_turn + 1) % SAMPLED
        return part

    def settle(self) -> None:
        """Add to the whole what was counted since the last time; one that is no part has none."""
        whole, before, now = self._whole, self._settled, self._totals()
        if whole is None or now == before:
            return
        self._settled = now
        whole.mapped += now[0] - before[0]
        whole.passed += now[1] - before[1]
        whole.dropped += now[2] - before[2]
        whole.failed += now[3] - before[3]
        whole.undelivered += now[4] - before[4]
        whole.added += now[5] - before[5]

    def _totals(self) -> tuple[int, int, int, int, int, int]:
        return (
            self.mapped,
            self.passed,
            self.dropped,
            self.failed,
            self.undelivered,
            self.added,
        )

    def outcomes(self) -> dict[str, int]:
        """What became of the messages: how many, by outcome."""
        return dict(zip(OUTCOMES, self._totals()[:5], strict=True))

    def count_failure(self, failure: MappingFailure) -> None:
        """Count a failed message under the rule that failed; the names come from the mappings."""
        rule = failure.rule
        self.failures[rule] = self.failures.get(rule, 0) + 1
        if self.on_failure is not None:
            self.on_failure(failure)

    def count_unmapped(self, kind: str) -> None:
        """Count a message that passed, by its kind; the names come from the mappings."""
        self.unmapped[kind] = self.unmapped.get(kind, 0) + 1

    def count_received(self, kind: str) -> None:
        """Count a message that was sampled, for all that were not."""
        kinds = self.received_kinds
        if kinds is not None:
            if kind not in kinds and len(kinds) >= MAX_RECEIVED_KINDS:
                kind = OTHER_KIND
            kinds[kind] = kinds.get(kind, 0) + SAMPLED

    @property
    def received(self) -> int:
        """The number of data messages that arrived whole."""
        return self.mapped + self.passed + self.dropped + self.failed + self.undelivered

    @property
    def needed(self) -> int:
        """Those of them that were changed or dropped by the mapping, or failed in it."""
        return self.mapped + self.dropped + self.failed


class Rewriter(Protocol):
    """What the data plane needs of a compiled mapping."""

    def apply(self, message: bytes, /) -> tuple[bytes, ...] | None:
        """Return None to leave the message alone, or the messages to send in its place.

        Raises:
            MappingFailure: a rule matched and could not be carried out.
        """


class Room:
    """What all that is being collected may take up together.

    Attributes:
        left: bytes.
    """

    __slots__ = ("left",)

    def __init__(self, size: int) -> None:
        self.left = size


class MessageObserver(Protocol):
    """Who looks at text messages that nothing rewrites, while they go on as they come."""

    def note(self, message: bytes, /) -> None:
        """Take note of a message that has gone by whole; on the data path."""

    def miss(self, *, too_large: bool) -> None:
        """Take note of one that went by and is not there to be looked at.

        Args:
            too_large: whether it was larger than what is looked at; otherwise there was no room.
        """

    def begin(self) -> MessageCopy:
        """Return what collects a message that goes by in parts."""


class MessageCopy:
    """A copy of a message that goes by in parts; its observer is told when it was whole.

    Attributes:
        is_kept: whether what has come of it is there.
    """

    __slots__ = ("_content", "_most", "_observer", "_room", "_too_large", "is_kept")

    def __init__(self, observer: MessageObserver, most: int, room: Room) -> None:
        """Begin with nothing.

        Args:
            observer: is told.
            most: bytes of the largest message that is looked at; larger ones are not kept.
            room: for all that are collected at the same time; what finds none is not kept.
        """
        self._observer = observer
        self._most = most
        self._room = room
        self._content = bytearray()
        self._too_large = False
        self.is_kept = True

    @property
    def size(self) -> int:
        """Bytes that are kept."""
        return len(self._content)

    def add(self, part: bytes) -> None:
        """Keep the next part, unless it is too much."""
        if not self.is_kept:
            return
        size = len(part)
        self._too_large = len(self._content) + size > self._most
        if self._too_large or size > self._room.left:
            self.drop()
        else:
            self._content += part
            self._room.left -= size

    def end(self) -> None:
        """It was whole."""
        if self.is_kept:
            message = bytes(self._content)
            self.drop()
            self._observer.note(message)
        else:
            self._observer.miss(too_large=self._too_large)

    def drop(self) -> None:
        """Keep nothing of it."""
        self.is_kept = False
        self._room.left += len(self._content)
        self._content.clear()


class MessageHandling(NamedTuple):
    """What may rewrite messages, and their account.

    Attributes:
        rewriter: None where nothing does.
        counts: their account.
        kind_of: names the kind of a message that the rewriter left alone; None where nobody has
            said what the kinds are.
        received_kind_of: names the kind of any message, as it came; asked of one in `SAMPLED`, for
            to find it out takes as long as to rewrite it. None where that is not counted.
        observer: told of the text messages of a WebSocket where there is no rewriter; None where
            nobody looks at them.
    """

    rewriter: Rewriter | None
    counts: MessageCounts
    kind_of: Callable[[bytes], str] | None = None
    received_kind_of: Callable[[bytes], str] | None = None
    observer: MessageObserver | None = None

    def refuse(self, failure: MappingFailure) -> None:
        """Count a message that could not be offered to the rewriter; it is sent as it came."""
        self.counts.failed += 1
        if self.counts.on_failure is not None:
            self.counts.on_failure(failure)

    def rewrite(self, message: bytes) -> tuple[bytes, ...] | None:
        """Offer a message to the rewriter, which there must be, and count what becomes of it.

        Returns:
            None where the message is to be sent as it came; otherwise what is to be sent in its
            place, nothing if it is empty. A failure of the mapping is among these, by its
            `on_error`.

        Raises:
            MappingFailure: the mapping failed and says that the connection ends with it.
        """
        rewriter, counts, kind_of, received_kind_of, _ = self
        assert rewriter is not None
        try:
            messages = rewriter.apply(message)
        except MappingFailure as failure:
            counts.failed += 1
            counts.count_failure(failure)
            if received_kind_of is not None and counts.failed % SAMPLED == counts.turn:
                counts.count_received(received_kind_of(message))
            if failure.on_error is OnError.CLOSE:
                raise
            return None if failure.on_error is OnError.PASS else ()
        if messages is None:
            number = counts.passed = counts.passed + 1
            if kind_of is not None:
                counts.count_unmapped(kind_of(message))
        elif messages:
            number = counts.mapped = counts.mapped + 1
            counts.added += len(messages) - 1
        else:
            number = counts.dropped = counts.dropped + 1
        if number % SAMPLED == counts.turn and received_kind_of is not None:
            counts.count_received(received_kind_of(message))
        return messages
