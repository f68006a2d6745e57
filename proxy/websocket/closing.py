"""How a WebSocket between two sides ends (RFC 6455 section 7): two tables, and what follows.

What a side has **said**, and what it has been **told**:

    Said    OPEN ──its Close frame──▶ CLOSED ──it shuts its sending──▶ HALF_CLOSED
              └──it broke the protocol, or a mapping gave up──▶ BROKEN

    Told    OPEN ──Segue has a Close frame for it──▶ OWED ──no frame is half sent to it──▶ CLOSED
              └──the other side's Close frame goes to it──▶ CLOSED
            any ──nothing more is sent to it──▶ SHUT

The rules, in prose:

- A Close frame travels like any other: both sides see each other's code and reason.
- A side that has said its last word answers nothing more; one that answers Segue's own Close frame
  is closed. Its Close frame is no answer to one that is still held for it: the frame that is half
  sent to it ends first, and then it is told.
- A side that breaks the protocol is the *culprit*. The other side is told why; the culprit is told
  behind what the other side says up to its answer, as if the two spoke to each other. Then it is
  shut: nothing that it says is read any more.
- A side whose transport is closed takes the other with it: at once, if that has said its last word.
  A client whose server has gone without a word is told so, unless a frame is half sent to it.
- No side is told a second Close frame, or anything behind the first (section 5.5.1).
- Whatever ends is given a time to end in.

The tables say what is said and told; what follows of it is what the methods return, by these rules.
Pure: events in, commands out. `Closing` is made when the first of them happens.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from enum import Enum
from typing import Final, NamedTuple

from proxy.websocket.failures import Blame, Fault

GOING_AWAY: Final = 1001
POLICY_VIOLATION: Final = 1008
TOO_BIG: Final = 1009
SERVICE_RESTART: Final = 1012
TRY_AGAIN_LATER: Final = 1013

REPLACED: Final = "replaced by a newer one"
"""The reason of a WebSocket that makes room."""


class Side(Enum):
    """The two ends of a relay."""

    CLIENT = "client"
    SERVER = "server"

    @property
    def other(self) -> Side:
        """The one at the other end."""
        return Side.SERVER if self is Side.CLIENT else Side.CLIENT


class Said(Enum):
    """What a side has said."""

    OPEN = "open"
    CLOSED = "closed"
    HALF_CLOSED = "half-closed"
    BROKEN = "broken"


class Told(Enum):
    """What a side has been told."""

    OPEN = "open"
    OWED = "owed"
    CLOSED = "closed"
    SHUT = "shut"


class Event(Enum):
    """What changes one of them."""

    CLOSE_FRAME = "its Close frame came"
    FAULT = "it broke the protocol, or a mapping gave up"
    END_OF_SENDING = "it has shut its sending"
    OWN_CLOSE = "Segue has a Close frame for it"
    BOUNDARY = "no frame is half sent to it"
    CLOSE_PASSED = "the other side's Close frame goes to it"
    SHUT = "nothing more is sent to it"


SAID: Final[Mapping[tuple[Said, Event], Said]] = {
    (Said.OPEN, Event.CLOSE_FRAME): Said.CLOSED,
    (Said.OPEN, Event.FAULT): Said.BROKEN,
    (Said.CLOSED, Event.END_OF_SENDING): Said.HALF_CLOSED,
}
TOLD: Final[Mapping[tuple[Told, Event], Told]] = {
    (Told.OPEN, Event.OWN_CLOSE): Told.OWED,
    (Told.OPEN, Event.CLOSE_PASSED): Told.CLOSED,
    (Told.OPEN, Event.SHUT): Told.SHUT,
    (Told.OWED, Event.BOUNDARY): Told.CLOSED,
    (Told.OWED, Event.SHUT): Told.SHUT,
    (Told.CLOSED, Event.SHUT): Told.SHUT,
}
"""What is in no table changes nothing: a second Close frame, words behind the last one."""

_LAST_WORD: Final = frozenset({Said.CLOSED, Said.HALF_CLOSED})


class Act(Enum):
    """What is to be done."""

    SAY = "hold this Close frame for a side, and let the other say no more than it is at"
    FLUSH = "send the Close frame that was held for a side"
    WITHHOLD = "read a side's Close frame, and do not pass it on"
    DISCARD = "deliver nothing more of what a side says"
    END_SENDING = "send a side nothing behind what is still to be sent, and wait for its end"
    CLOSE_TRANSPORT = "end a side's connection behind what is still to be sent, and read no more"
    RESUME = "read a side on, though it was paused: nobody is left to be protected"
    LIMIT = "count that a limit was reached"
    WAIT = "give it a time to end in, for this side's sake"
    END = "both have gone: it is over"


class Command(NamedTuple):
    """One thing to be done, at a side; `code` and `text` are those of a Close frame, or a limit."""

    act: Act
    side: Side
    code: int = 0
    text: str = ""


class Closing:
    """The closing of one WebSocket.

    Attributes:
        said, told: the state of each side.
        own: the code of the Close frame that Segue itself has for a side.
        lost: the sides whose transports are closed.
        fault: the first thing that a side sent and that could not be relayed.
        fault_side: the side whose bytes were the cause.
        culprit: the side that is still to be told why, when the other has had its last word.
        ended_first: the side whose transport was closed first; None while both are open.
    """

    __slots__ = (
        "_at_boundary",
        "_server_gone",
        "culprit",
        "ended_first",
        "fault",
        "fault_side",
        "lost",
        "own",
        "said",
        "told",
    )

    def __init__(self, at_boundary: Callable[[Side], bool], server_gone: int = GOING_AWAY) -> None:
        """Begin with both sides open.

        Args:
            at_boundary: whether no frame is half sent to a side.
            server_gone: the code for a client whose server has gone without a word, or broke the
                protocol.
        """
        self._server_gone = server_gone
        self._at_boundary = at_boundary
        self.said = {Side.CLIENT: Said.OPEN, Side.SERVER: Said.OPEN}
        self.told = {Side.CLIENT: Told.OPEN, Side.SERVER: Told.OPEN}
        self.own: dict[Side, int] = {}
        self.lost: set[Side] = set()
        self.fault: Fault | None = None
        self.fault_side: Side | None = None
        self.culprit: Side | None = None
        self.ended_first: Side | None = None

    # Events.

    def leave(self, code: int, reason: str, servers_reason: str) -> list[Command]:
        """Segue ends the connection itself: a drain, or a session that has ended."""
        return [
            *self._say(Side.CLIENT, code, reason),
            *self._say(Side.SERVER, GOING_AWAY, servers_reason),
            Command(Act.WAIT, Side.CLIENT),
        ]

    def closed(self, side: Side) -> list[Command]:
        """A side has sent a Close frame. Said again with what comes behind it, it says nothing."""
        other = side.other
        if self.said[side] is not Said.OPEN:
            return []
        self._hear(side, Event.CLOSE_FRAME)
        if side in self.own:
            done = self._dismiss() if self.culprit is other else []
            # The answer to Segue's own; or its first word, and `boundary` closes it.
            is_owed = self.told[side] is Told.OWED
            return [*done, Command(Act.WAIT, side)] if is_owed else [*done, *self._close(side)]
        # It has gone on to the other side: one that is withheld answers a Close frame of Segue's.
        self._tell(other, Event.CLOSE_PASSED)
        # The other side answers, and then the server closes (section 7.1.1). One that has shut its
        # sending has no more to do; if it was the server, the client waits for the end.
        ends = self._close(other) if self.said[other] is Said.HALF_CLOSED else []
        return [Command(Act.WAIT, side), *ends]

    def failed(self, side: Side, fault: Fault) -> list[Command]:
        """What a side sent cannot be relayed."""
        other = side.other
        self._hear(side, Event.FAULT)
        if self.fault is not None:
            return self._dismiss() if self.culprit is other else []
        self.fault, self.fault_side, self.culprit = fault, side, side
        commands = []
        if fault.limit is not None:
            commands.append(Command(Act.LIMIT, side, text=fault.limit))
        onward = fault.code
        if fault.blame is Blame.SENDER and fault.code != TOO_BIG:
            onward = self._server_gone if side is Side.SERVER else GOING_AWAY
        commands += self._say(other, onward, fault.reason)
        has_ended = self.said[other] is not Said.OPEN
        if has_ended or self.told[side] is Told.SHUT or side in self.own:
            commands += self._dismiss()
        else:
            commands.append(Command(Act.WITHHOLD, other))
        if self.said[other] in _LAST_WORD:
            commands += self._shut(other)
        return [*commands, Command(Act.WAIT, side)]

    def boundary(self, side: Side) -> list[Command]:
        """No frame is half sent to a side: a Close frame that waited for that goes out."""
        if self.told[side] is not Told.OWED:
            return []
        self._tell(side, Event.BOUNDARY)
        commands = [Command(Act.FLUSH, side)]
        if self.said[side] is Said.BROKEN:
            # Nothing that it says is read, so no answer is waited for.
            commands += self._shut(side)
        elif self.said[side] in _LAST_WORD:
            commands += self._close(side)
        return commands

    def sending_ended(self, side: Side) -> bool:
        """A side has shut its sending; whether it may stay, and read the other's last words."""
        may_stay = (
            self.said[side] in _LAST_WORD
            and (side not in self.own or self.told[side] is Told.OWED)
            and side.other not in self.lost
            and self.said[side.other] is Said.OPEN
        )
        if may_stay:
            self._hear(side, Event.END_OF_SENDING)
        return may_stay

    def gone(self, side: Side) -> list[Command]:
        """A transport is closed."""
        other = side.other
        self.lost.add(side)
        self._tell(side, Event.SHUT)
        if other in self.lost:
            return [Command(Act.END, side)]
        self.ended_first = side
        commands = self._dismiss()
        is_silent = self.said[side] is self.said[other] is Said.OPEN
        if side is Side.SERVER and is_silent and self._at_boundary(other):
            commands += self._say(other, self._server_gone, "server has gone")
        commands.append(Command(Act.DISCARD, other))
        if self.said[other] in _LAST_WORD:
            commands += self._close(other)
        elif other not in self.own or self.told[other] is Told.OWED:
            # A Close frame that waits for the end of another would wait for ever.
            commands += self._shut(other)
        return [*commands, Command(Act.RESUME, other), Command(Act.WAIT, other)]

    def late(self) -> list[Command]:
        """A time has passed in which nothing more was heard: the culprit is told without that."""
        return self._dismiss()

    # What follows.

    def _hear(self, side: Side, event: Event) -> None:
        self.said[side] = SAID.get((self.said[side], event), self.said[side])

    def _tell(self, side: Side, event: Event) -> None:
        self.told[side] = TOLD.get((self.told[side], event), self.told[side])

    def _say(self, side: Side, code: int, reason: str) -> list[Command]:
        if self.told[side] is not Told.OPEN:
            return []
        self._tell(side, Event.OWN_CLOSE)
        self.own[side] = code
        owed = [Command(Act.SAY, side, code, reason)]
        return [*owed, *self.boundary(side)] if self._at_boundary(side) else owed

    def _dismiss(self) -> list[Command]:
        """Tell the culprit why it is over; nothing of the other side follows."""
        side, self.culprit = self.culprit, None
        if side is None or self.fault is None:
            return []
        commands = self._say(side, self.fault.code, self.fault.reason)
        # One that is owed a Close frame is shut behind it, by `boundary`.
        return commands if self.told[side] is Told.OWED else [*commands, *self._shut(side)]

    def _shut(self, side: Side) -> list[Command]:
        if self.told[side] is Told.SHUT:
            return []
        self._tell(side, Event.SHUT)
        return [Command(Act.END_SENDING, side)]

    def _close(self, side: Side) -> list[Command]:
        self._tell(side, Event.SHUT)
        return [Command(Act.CLOSE_TRANSPORT, side)]
