"""When an answer may be given again: the rule, as a state machine. No clock, no sockets, no bytes.

A resource has a generation, and so has each owner (whose session it is) for all that is theirs.
They advance

- when a message that names the resource is received from the server, on any WebSocket of an owner;
  a message also names what its WebSocket is for. One that cannot be read advances all of its
  owner;
- when a request that is not safe is sent for it, by anybody, and when that is answered. One of an
  owner's own, for whatever, advances all of the owner.

While a message has begun that is not whole, or such a request has no answer yet, nothing may be
given of what that may concern; nor for a while after one that will have none, because the server
may still carry it out. An answer may be given again while the generations stand that there
were when the question was sent, and while a WebSocket of that owner for that resource is open that
was open then: it has brought every message since. One that opens meanwhile changes nothing of that,
nor does one that closes; but what closes may take messages with it that others, which opened later,
were never sent.

A page may have many WebSockets to one path, and each brings a copy of each message. The first one
advances; a copy does not: an answer to a question that was sent after the first is as new as the
message. Whether a message is a copy is decided for the WebSockets of one owner with the same path:
it has the same bytes, and its WebSocket was open when the first came, and has not brought it yet.
Two messages with the same bytes, the first of which was on its way when a WebSocket opened, can be
taken for one: until an older WebSocket brings the second, too, or closes.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Collection, Hashable, Iterable
from enum import StrEnum
from typing import Final, NamedTuple, TypeVar

from proxy.freshness.resources import Name, Resource

Key = TypeVar("Key", bound=Hashable)

LONG_AGO: Final = float("-inf")

LONGEST_SETTLE: Final = 10.0
"""Seconds for which it is remembered that a message came of a resource that nobody watches."""

COPIES_WITHIN: Final = 5.0
"""Seconds after a message in which another one may be a copy of it."""

MOST_COPIED: Final = 64
"""Messages of one path and owner of which copies are still expected; the oldest give way."""

MOST_LOST: Final = 4096
"""Owners and names that are remembered of requests without an answer; with more, all count."""


class Sign(StrEnum):
    """What was taken for a sign that a resource may have changed."""

    MESSAGE = "message"
    UNREADABLE = "unreadable"
    COPY = "copy"
    SOCKET = "socket"
    WRITE = "write"


class Stamp(NamedTuple):
    """The generations of a resource, for an owner, at a moment.

    Attributes:
        owner, resource: whose, and of what.
        of_owner, of_names: the generations.
        number: the newest that was given then, to whatever.
    """

    owner: Hashable
    resource: Resource
    of_owner: int
    of_names: tuple[int, ...]
    number: int


class _Event:
    """A message that came, and by which WebSockets copies of it are still to come."""

    __slots__ = ("at", "content", "pending")

    def __init__(self, content: int, pending: set[Ear], at: float) -> None:
        self.content = content
        self.pending = pending
        self.at = at


class _Path:
    """The WebSockets of one owner that have the same path."""

    __slots__ = ("ears", "events")

    def __init__(self) -> None:
        self.ears: set[Ear] = set()
        self.events: deque[_Event] = deque(maxlen=MOST_COPIED)


class Ear:
    """What hears one WebSocket.

    Attributes:
        owner: whose it is.
        path: of its handshake.
        resources: that it is for.
        is_open: whether it counts.
        opened: its number, in the order in which things happen.
        in_message: whether a message has begun that is not whole.
    """

    __slots__ = ("in_message", "is_open", "opened", "owner", "path", "resources")

    def __init__(self, owner: Hashable, path: bytes, resources: Collection[Resource]) -> None:
        self.owner = owner
        self.path = path
        self.resources = tuple(resources)
        self.is_open = False
        self.opened = 0
        self.in_message = False


class _Generation:
    """Of one name, or of an owner.

    Attributes:
        number: grows; no number is ever given twice, to whatever.
        heard: when a message came last; long ago where none did.
        ears: how many WebSockets watch it.
    """

    __slots__ = ("ears", "heard", "number")

    def __init__(self, number: int) -> None:
        self.number = number
        self.heard = LONG_AGO
        self.ears = 0

    def is_past(self, past: float) -> bool:
        """Whether nobody watches it, and no message has come since."""
        return not self.ears and self.heard < past


class _Owner(_Generation):
    """Of an owner.

    Attributes:
        unfinished: how many WebSockets have a message that is not whole.
        open: those that are, for each resource, the oldest first.
        paths: those with the same path.
    """

    __slots__ = ("open", "paths", "unfinished")

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.unfinished = 0
        self.open: dict[Resource, dict[Ear, None]] = {}
        self.paths: dict[bytes, _Path] = {}


class Generations:
    """Knows the generations of all that somebody watches. Times are seconds of one clock.

    Attributes:
        signs: how often each was taken note of.
    """

    def __init__(self) -> None:
        self._number = 0
        self._owners: dict[Hashable, _Owner] = {}
        self._names: dict[Name, _Generation] = {}
        self._written: Counter[Name] = Counter()
        self._writers: Counter[Hashable] = Counter()
        # By their hashes, because a name may be as long as a path; two that share one only wait.
        self._lost: dict[int, float] = {}
        self._all_lost = LONG_AGO
        self.signs: Counter[Sign] = Counter(dict.fromkeys(Sign, 0))

    # WebSockets.

    def open(self, ear: Ear) -> None:
        """A WebSocket has opened."""
        owner = self._owners.get(ear.owner)
        if owner is None:
            owner = self._owners[ear.owner] = _Owner(self._next())
        owner.ears += 1
        owner.paths.setdefault(ear.path, _Path()).ears.add(ear)
        ear.is_open = True
        ear.opened = self._next()
        for resource in ear.resources:
            owner.open.setdefault(resource, {})[ear] = None
        for name in _names_of(ear):
            known = self._names.get(name)
            if known is None:
                known = self._names[name] = _Generation(self._next())
            known.ears += 1
        self.signs[Sign.SOCKET] += 1

    def close(self, ear: Ear) -> None:
        """It has closed, or says nothing more; once more does nothing."""
        if not ear.is_open:
            return
        ear.is_open = False
        owner = self._owners[ear.owner]
        self._whole(ear, owner)
        owner.ears -= 1
        for resource in ear.resources:
            ears = owner.open[resource]
            del ears[ear]
            if not ears:
                del owner.open[resource]
        path = owner.paths[ear.path]
        path.ears.discard(ear)
        if not path.ears:
            del owner.paths[ear.path]
        for event in path.events:
            event.pending.discard(ear)
        for name in _names_of(ear):
            self._names[name].ears -= 1
        self.signs[Sign.SOCKET] += 1

    # Messages of the server.

    def begin(self, ear: Ear) -> None:
        """A part of a message has come; nothing is known of it yet."""
        if ear.is_open and not ear.in_message:
            ear.in_message = True
            self._owners[ear.owner].unfinished += 1

    def hear(
        self, ear: Ear, names: Collection[Name] | None, content: int | None, now: float
    ) -> None:
        """A message is whole, and nothing of its end has gone on.

        Args:
            ear: of its WebSocket.
            names: in it; None where it cannot be read.
            content: the same for the same bytes alone; None where it is not known.
            now: the time.
        """
        if not ear.is_open:
            return
        owner = self._owners[ear.owner]
        self._whole(ear, owner)
        if content is not None and _is_copy(owner.paths[ear.path], ear, content, now):
            self.signs[Sign.COPY] += 1
        elif names is None:
            owner.number, owner.heard = self._next(), now
            self.signs[Sign.UNREADABLE] += 1
        else:
            self._advance_names({*names, *_names_of(ear)}, now)
            self.signs[Sign.MESSAGE] += 1

    # Requests that are not safe.

    def begin_write(self, owner: Hashable | None, names: Collection[Name]) -> None:
        """One is about to be sent.

        Args:
            owner: whose it is; None for whoever has no session.
            names: what it may change.
        """
        self._count_write(owner, names, 1)

    def end_write(self, owner: Hashable | None, names: Collection[Name]) -> None:
        """It is answered; arguments as for `begin_write`."""
        self._count_write(owner, names, -1)

    def lose_write(self, owner: Hashable | None, names: Collection[Name], until: float) -> None:
        """It has no answer, and the server may still carry it out.

        Args:
            owner, names: as for `begin_write`.
            until: when nobody expects that any more.
        """
        self._count_write(owner, names, -1)
        for key in (*map(hash, names), *(() if owner is None else (hash(owner),))):
            if key in self._lost or len(self._lost) < MOST_LOST:
                self._lost[key] = max(self._lost.get(key, until), until)
            else:
                self._all_lost = max(self._all_lost, until)

    # Questions.

    def stamp(self, owner: Hashable, resource: Resource) -> Stamp | None:
        """The stamp of a question that is sent now; None where its answer is not to be kept."""
        known = self._owners.get(owner)
        if known is None or known.unfinished or resource not in known.open:
            return None
        if owner in self._writers or not self._written.keys().isdisjoint(resource.names):
            return None
        if self._is_lost(owner, resource):
            return None
        numbers = tuple([self._names[name].number for name in resource.names])
        return Stamp(owner, resource, known.number, numbers, self._number)

    def holds(self, stamp: Stamp) -> bool:
        """Whether an answer to a question of that stamp may be given now."""
        now = self.stamp(stamp.owner, stamp.resource)
        if now is None or now[:4] != stamp[:4]:
            return False
        oldest = next(iter(self._owners[stamp.owner].open[stamp.resource]))
        return oldest.opened <= stamp.number

    def is_open(self, owner: Hashable, resource: Resource) -> bool:
        """Whether there is an open WebSocket of that owner for that resource."""
        known = self._owners.get(owner)
        return known is not None and resource in known.open

    def heard(self, owner: Hashable, resource: Resource) -> float:
        """When a message came last that was about it; long ago where none did."""
        known: Iterable[_Generation | None] = (
            self._owners.get(owner),
            *map(self._names.get, resource.names),
        )
        return max((each.heard for each in known if each is not None), default=LONG_AGO)

    def forget(self, now: float) -> None:
        """Forget what nobody watches, and copies that did not come; called from time to time."""
        for key in [k for k, until in self._lost.items() if until <= now]:
            del self._lost[key]
        if self._all_lost <= now:
            self._all_lost = LONG_AGO
        past = now - LONGEST_SETTLE
        for name in [k for k, each in self._names.items() if each.is_past(past)]:
            del self._names[name]
        for gone in [k for k, each in self._owners.items() if each.is_past(past)]:
            del self._owners[gone]
        for owner in self._owners.values():
            for path in owner.paths.values():
                _drop_late(path, now)

    def __len__(self) -> int:
        """How many names and owners there are."""
        return len(self._names) + len(self._owners)

    def _next(self) -> int:
        self._number += 1
        return self._number

    def _is_lost(self, owner: Hashable, resource: Resource) -> bool:
        """Whether a request without an answer may still change it."""
        if self._all_lost > LONG_AGO or hash(owner) in self._lost:
            return True
        return any(hash(name) in self._lost for name in resource.names)

    def _advance_names(self, names: Iterable[Name], now: float | None = None) -> None:
        for name in names:
            known = self._names.get(name)
            if known is not None:
                known.number = self._next()
                if now is not None:
                    known.heard = now

    def _count_write(self, owner: Hashable | None, names: Collection[Name], by: int) -> None:
        for name in names:
            _add(self._written, name, by)
        self._advance_names(names)
        if owner is not None:
            _add(self._writers, owner, by)
            known = self._owners.get(owner)
            if known is not None:
                known.number = self._next()
        self.signs[Sign.WRITE] += 1

    @staticmethod
    def _whole(ear: Ear, owner: _Owner) -> None:
        if ear.in_message:
            ear.in_message = False
            owner.unfinished -= 1


def _add(counts: Counter[Key], key: Key, by: int) -> None:
    counts[key] += by
    if not counts[key]:
        del counts[key]


def _names_of(ear: Ear) -> set[Name]:
    return {name for resource in ear.resources for name in resource.names}


def _is_copy(path: _Path, ear: Ear, content: int, now: float) -> bool:
    """Whether a message came by another WebSocket before; where not, copies of it are expected."""
    _drop_late(path, now)
    for event in path.events:
        if event.content == content and ear in event.pending:
            event.pending.discard(ear)
            return True
    others = path.ears - {ear}
    if others:
        path.events.append(_Event(content, others, now))
    return False


def _drop_late(path: _Path, now: float) -> None:
    events = path.events
    while events and (not events[0].pending or events[0].at + COPIES_WITHIN < now):
        events.popleft()
