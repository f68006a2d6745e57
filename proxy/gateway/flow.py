"""How much flows, and where: totals that are looked at from time to time, and the rates of them.

Nothing of this is on the data path. From time to time, and when somebody asks, the totals that are
counted anyway are read, and what each open WebSocket has received since it was last looked at is
added to those of its version and its server; sockets are gone through a few at a time, so that no
message waits for all of them. A rate is the difference of two looks that are about ten seconds
apart.

Measured with 10,000 open WebSockets on a busy machine: a look costs 10 ms of CPU where nothing
came, 80 ms where messages came both ways on each, in steps of 1 ms. That is 3 % of a core while
somebody asks, and 0.3 % while nobody does.
"""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import lru_cache
from typing import Final, NamedTuple

from proxy.gateway.open_websocket import OpenWebSocket
from proxy.gateway.received_kinds import ReceivedKinds
from proxy.gateway.shadow import Shadows
from proxy.gateway.switch_metrics import DecisionTotals
from proxy.gateway.upgrade import Upgrades
from proxy.observability.metrics import Metrics
from proxy.types import NONE, Direction
from proxy.upstream.fleet import Fleet

WINDOW: Final = 10.0
"""Seconds over which a rate is taken, if the process has run for so long."""

PERIOD: Final = 2.5
"""Seconds between two looks while somebody asks now and then."""

IDLE: Final = 30.0
"""Seconds between two looks while nobody does, and for how long whoever asked is waited for."""

FRESH: Final = 0.5
"""Seconds for which a look is new enough for whoever asks, however many they are."""

MAX_VERSIONS: Final = 200
"""Versions, of all cohorts, whose messages are counted apart; clients choose what they call
themselves."""

OTHER: Final = "other"
"""In place of the versions that are not."""

_MOST_LOOKS: Final = 32

_NOTHING: Final = (0, 0)

# Plain text: the hash of an enum's member is a call of a Python function.
_WAYS: Final = tuple(way.value for way in Direction)

_MOST_UPSTREAMS: Final = 500
"""Servers whose messages are remembered; there are as many as configurations have named."""

Key = tuple[str, ...]
"""What is counted: its name, and its labels."""


class Look(NamedTuple):
    """Totals at a moment.

    Attributes:
        at: when, on the loop's clock.
        totals: by what is counted.
    """

    at: float
    totals: Mapping[Key, float]


class Rates(NamedTuple):
    """How much there was of everything in a second.

    Attributes:
        seconds: over which that was; 0 where nothing can be said yet.
        rates: by what is counted; what did not move is left out.
    """

    seconds: float
    rates: Mapping[Key, float]

    def of(self, name: str) -> dict[Key, float]:
        """The rates of one name, by their labels."""
        return {key[1:]: rate for key, rate in self.rates.items() if key[0] == name}

    def messages_of(self, cohort: str) -> float | None:
        """All messages of a cohort; None where nothing can be said yet."""
        if not self.seconds:
            return None
        return sum(rate for key, rate in self.of("message").items() if key[0] == cohort)


def totals(
    metrics: Metrics,
    decisions: DecisionTotals,
    shadows: Shadows,
    kinds: ReceivedKinds,
    fleet: Fleet,
) -> Iterator[tuple[Key, float]]:
    """What is counted anyway: messages, requests, decisions, shadows, exchanges with servers."""
    for labels, count in metrics.message_outcomes():
        yield ("message", *labels), count
    for labels, count in metrics.unmapped_kinds():
        yield ("kind", *labels), count
    requests: Counter[str] = Counter()
    for (cohort, _), count in metrics.requests.items():
        requests[cohort] += count
    for cohort, count in requests.items():
        yield ("request", cohort), count
    for decided, count in decisions.totals().items():
        yield ("decision", *decided), count
    for labels, count in shadows.messages():
        yield ("shadow", *labels), count
    for labels, count in kinds.totals():
        yield ("received_kind", *labels), count
    for pool in fleet.known:
        yield ("exchange", pool.name), pool.counters.connects + pool.counters.reuses


class Flow:
    """Looks at the totals.

    Attributes:
        on_look: called when they have been looked at, and all accounts are settled.
    """

    def __init__(
        self,
        upgrades: Upgrades,
        read: Callable[[], Iterable[tuple[Key, float]]],
        loop: asyncio.AbstractEventLoop,
    ) -> None:
        """Construct; nothing is looked at before `check` is called, or somebody asks.

        Args:
            upgrades: knows the open sockets; tells of those that end.
            read: gives the totals that are counted elsewhere.
            loop: its clock.
        """
        self._upgrades = upgrades
        self._read = read
        self._loop = loop
        self._versions: Counter[tuple[str, str, str]] = Counter()
        self._upstreams: Counter[tuple[str, str]] = Counter()
        self._looks: deque[Look] = deque([Look(loop.time(), dict(read()))], _MOST_LOOKS)
        self._looking: asyncio.Task[None] | None = None
        self._asked = loop.time() - IDLE
        self.on_look: list[Callable[[], None]] = []
        upgrades.on_end.append(self._note)

    def check(self, now: float) -> None:
        """Look, if it is time for that; called about twice a second."""
        is_watched = now - self._asked < IDLE
        if now - self._looks[-1].at >= (PERIOD if is_watched else IDLE):
            self._begin()

    async def rates(self) -> Rates:
        """The rates at this moment.

        Over ten seconds for whoever asks again and again. Who is the first to ask for long gets the
        mean of up to forty.
        """
        self._asked = self._loop.time()
        if self._loop.time() - self._looks[-1].at >= FRESH:
            await asyncio.wait((self._begin(),))
        newest = oldest = self._looks[-1]
        for each in reversed(self._looks):
            oldest = each
            if newest.at - each.at >= WINDOW:
                break
        seconds = newest.at - oldest.at
        if seconds <= 0:
            return Rates(0.0, {})
        before = oldest.totals
        moved = ((key, now - before.get(key, 0)) for key, now in newest.totals.items())
        # One that was given up, and began anew, has gone back.
        return Rates(seconds, {key: more / seconds for key, more in moved if more > 0})

    async def close(self) -> None:
        """The process ends."""
        if self._looking is not None:
            self._looking.cancel()
            await asyncio.wait((self._looking,))

    def _begin(self) -> asyncio.Task[None]:
        if self._looking is None or self._looking.done():
            self._looking = self._loop.create_task(self._look())
        return self._looking

    async def _look(self) -> None:
        async for socket in self._upgrades.walk():
            self._note(socket)
        if len(self._versions) >= 2 * MAX_VERSIONS:
            self._thin_out()
        if len(self._upstreams) > 2 * _MOST_UPSTREAMS:
            used = {socket.pool.name for socket in self._upgrades.sockets}
            self._upstreams = Counter({k: n for k, n in self._upstreams.items() if k[0] in used})
        totals: dict[Key, float] = dict(self._read())
        for (cohort, version, way), count in self._versions.items():
            totals["version", cohort, version, way] = count
        for (upstream, way), count in self._upstreams.items():
            totals["upstream", upstream, way] = count
        self._looks.append(Look(self._loop.time(), totals))
        for told in self.on_look:
            told()

    def _note(self, socket: OpenWebSocket) -> None:
        """Count what a socket has received since it was last looked at."""
        received = socket.received_since()
        if received == _NOTHING:
            return
        for counts in socket.accounts:
            counts.settle()
        info, upstream = socket.info, socket.pool.name
        version = None if info.selection is None else info.selection.version
        numbers = NONE if version is None else numbers_of(version.epoch, version.release)
        for way, more in zip(_WAYS, received, strict=True):
            if more:
                key = info.cohort, numbers, way
                if len(self._versions) >= 2 * MAX_VERSIONS and key not in self._versions:
                    key = info.cohort, OTHER, way
                self._versions[key] += more
                self._upstreams[upstream, way] += more

    def _thin_out(self) -> None:
        """Add up the versions that had the fewest messages."""
        kept = Counter(dict(self._versions.most_common(MAX_VERSIONS)))
        for (cohort, version, way), count in self._versions.items():
            if (cohort, version, way) not in kept:
                kept[cohort, OTHER, way] += count
        self._versions = kept


@lru_cache(maxsize=2 * MAX_VERSIONS)
def numbers_of(epoch: int, release: tuple[int, ...]) -> str:
    """A version by its numbers alone: what else is in its spelling is a client's own text."""
    numbers = ".".join(map(str, release)) or "0"
    return f"{epoch}!{numbers}" if epoch else numbers
