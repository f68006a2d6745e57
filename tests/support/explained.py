"""What operators did, and which marks every message may have because of it.

It is written from what the documentation promises, and knows nothing of how it is done: which
change was in force when, what each does to sockets that are open, and who is in a canary. Times are
those of `time.monotonic`.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final, NamedTuple

VERSIONS: Final[dict[str, Callable[[str], bool]]] = {
    "==2.1.3": lambda version: version == "2.1.3",
    ">=2.1,<2.2": lambda version: version.startswith("2.1."),
}
"""The ranges that exceptions are made for."""

Marks = tuple[tuple[str, str], ...]
"""The mappings that a message shows, and which reading of their files: `(("first", "3"),)`."""


class Exempt(NamedTuple):
    """An exception: its name, its range, and what the switch is for it."""

    name: str
    versions: str
    state: str
    percent: float


@dataclass(frozen=True)
class Turned:
    """What a switch is set to; no state: as the configuration says, which is `on`."""

    state: str = ""
    percent: float = 0
    exceptions: tuple[Exempt, ...] = ()

    def for_version(self, version: str) -> tuple[str, str, float]:
        for each in self.exceptions:
            if VERSIONS[each.versions](version):
                return each.name, each.state, each.percent
        return "", self.state or "on", self.percent


@dataclass(frozen=True)
class Board:
    """All switches."""

    turned: Mapping[str, Turned]
    all_off: bool = False


@dataclass(frozen=True)
class Event:
    """Something that an operator did.

    Attributes:
        board: what is set since.
        reading: which reading of the files serves since.
        scope: the switches that a change changed.
        policy: what open sockets do; empty for a reload.
        asked, answered: when.
    """

    board: Board
    reading: str
    scope: frozenset[str] = frozenset()
    policy: str = ""
    asked: float = 0.0
    answered: float = 0.0


@dataclass(frozen=True)
class Client:
    """Who it is, and which version it says."""

    user: str
    version: str


class Applied(NamedTuple):
    """What applies to a socket: what is decided of each switch, and by which reading."""

    decided: tuple[tuple[str, str, str], ...]
    reading: str

    def marks(self, switches: Iterable[str]) -> Marks:
        on = {switch for switch, _, state in self.decided if state == "on"}
        return tuple((switch, self.reading) for switch in switches if switch in on)


@dataclass
class Story:
    """All that happened, in its order.

    Attributes:
        events: the first is what is in force at the start.
        is_in: whether a user is in a canary of a switch at a percentage.
        sockets: the switches that apply to WebSockets; the others are for bodies.
    """

    events: list[Event]
    is_in: Callable[[str, str, float], bool]
    sockets: Sequence[str]
    _known: dict[tuple[Client, int], tuple[tuple[str, str, str], ...]] = field(default_factory=dict)

    def earliest(self, at: float) -> int:
        """The last event that was answered by then."""
        return bisect_right(self.events, at, key=lambda event: event.answered) - 1

    def latest(self, at: float) -> int:
        """The last event that was asked for by then."""
        return bisect_right(self.events, at, key=lambda event: event.asked) - 1

    def applied(self, client: Client, board: int, reading: int) -> Applied:
        """What applies to who comes anew."""
        return Applied(self._decided(client, board), self.events[reading].reading)

    def _decided(self, client: Client, board: int) -> tuple[tuple[str, str, str], ...]:
        known = self._known.get((client, board))
        if known is not None:
            return known
        found = []
        event = self.events[board]
        for switch, turned in event.board.turned.items():
            name, state, percent = turned.for_version(client.version)
            if event.board.all_off:
                name, state = "", "off"
            elif state == "canary":
                state = "on" if self.is_in(switch, client.user, percent) else "off"
            found.append((switch, name, state))
        self._known[client, board] = tuple(found)
        return tuple(found)

    def life(
        self, client: Client, board: int, reading: int, last: int
    ) -> list[tuple[Applied, bool]]:
        """What applies to a socket after each event since it was opened, and whether it is to go.

        Args:
            client: whose it is.
            board, reading: the events under which it was opened.
            last: the event in which it ended.
        """
        now, goes = self.applied(client, board, reading), False
        lives = [(now, goes)]
        for number in range(board + 1, last + 1):
            event = self.events[number]
            then = self.applied(client, number, number)
            changed = {each[0] for each in set(now.decided) ^ set(then.decided)}
            if event.policy and changed & event.scope:
                alike = now.marks(self.sockets) == then.marks(self.sockets)
                if event.policy == "next_message" or alike:
                    now = then
                elif event.policy == "reconnect":
                    goes = True
            lives.append((now, goes))
        return lives

    def openings(self, begun: float, opened: float) -> Iterator[tuple[int, int]]:
        """Under which events a socket may have been opened: board and reading."""
        for board in range(self.earliest(begun), self.latest(opened) + 1):
            for reading in range(self.earliest(begun), board + 1):
                yield board, reading

    def unexplained(
        self, lives: list[tuple[Applied, bool]], first: int, got: Sequence[Got], ways: Sequence[str]
    ) -> Got | None:
        """The first message of one direction that no event explains, in their order; None for none.

        Args:
            lives: what applies to the socket.
            first: the event that the first of them is of.
            got: the messages.
            ways: the switches of that direction.
        """
        at, end = first, first + len(lives) - 1
        for each in got:
            at = max(at, self.earliest(each.sent))
            last = min(max(self.latest(each.arrived), first), end)
            while at <= last and lives[at - first][0].marks(ways) != each.marks:
                at += 1
            if at > last:
                return each
        return None


class Got(NamedTuple):
    """A message that arrived: when it was sent, when it came, and what it shows."""

    sent: float
    arrived: float
    marks: Marks


def set_to(
    board: Board, switch: str, state: str, percent: float = 0, exempt: tuple[str, str] | None = None
) -> Board:
    """Turn a switch, or make an exception: its name and its range."""
    turned = board.turned[switch]
    if exempt is None:
        after = replace(turned, state=state, percent=percent)
    else:
        made = Exempt(*exempt, state, percent)
        kept = [made if each.name == made.name else each for each in turned.exceptions]
        if made not in kept:
            kept.append(made)
        after = replace(turned, state=turned.state or "on", exceptions=tuple(kept))
    return replace(board, turned={**board.turned, switch: after})


def dropped(board: Board, switch: str, name: str) -> Board:
    """Take an exception away."""
    turned = board.turned[switch]
    kept = tuple(each for each in turned.exceptions if each.name != name)
    after = replace(turned, state=turned.state or "on", exceptions=kept)
    return replace(board, turned={**board.turned, switch: after})


def changes(before: Board, after: Board) -> frozenset[str]:
    """The switches that are not in the same state."""
    return frozenset(name for name in after.turned if before.turned[name] != after.turned[name])
