"""Guards at work: figures of the fleet are added up, judged, and acted upon.

Every process tells the store what it has counted of switches that have a guard, adds up what all
have told, and judges. Whoever sees first that one fails takes it a state back; a change that builds
on the revision whose samples failed is made once, however many see the same. So nothing has to
lead for a guard to work. Ramps are taken on by one process, which holds a lease.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import suppress
from typing import Final, NamedTuple

from structlog.typing import FilteringBoundLogger

from proxy.configuration.switching import Switching
from proxy.control.leadership import Leadership
from proxy.control.rise_hours import closed_at
from proxy.control.switch_store.base import MAX_TTL, MAX_VALUE, Newest, SwitchStore
from proxy.control.switchboard import Author, Switchboard
from proxy.errors import StoreAway
from proxy.storage import cancellation
from proxy.switching.canary import Sketch
from proxy.switching.guards import GuardMode, GuardRules, Outcome, Verdict, judge, window_of
from proxy.switching.ramp_changes import StepBack, StepRamp
from proxy.switching.ramps import Move, NextMove, Ramp, RampStatus, next_move
from proxy.switching.refusal import ChangeRefused
from proxy.switching.samples import (
    Counted,
    Sampler,
    Since,
    SwitchSamples,
    read_samples,
    summed,
    write_samples,
)
from proxy.switching.setting import OFF, Mode
from proxy.switching.table import UNTOUCHED, OpenSockets, SwitchName, SwitchState
from proxy.types import GUARD, RAMP

EVERY: Final = 2.0
"""Seconds between two looks."""

MAX_WATCHED: Final = 50
"""Switches that are judged at the same time: those that were set last."""

_DOCUMENTS: Final = 4
"""In which a process tells its figures."""

_ENDING: Final = "~guard"
"""What the names of these documents have behind that of the process."""

_LEASE: Final = "ramp-leader"

_MAX_TIMES: Final = 200

Count = Callable[[Mapping[SwitchName, float]], Awaitable[Mapping[SwitchName, Counted]]]
"""Tells what this process has counted of switches, by the seconds from which on a request of each
is slow."""


class Judged(NamedTuple):
    """What is known of the guard of a switch, and of its ramp.

    Attributes:
        rules: by which it is judged.
        state: of the switch.
        verdict: what is said of it; None where its guard is off.
        since: when the revision was made that the samples are of; 0 where nobody knows.
        at: when that was said, in seconds since 1970.
        move: what its ramp does.
        would: whether the guard fails and only observes.
        latched: whether a guard has set what the switch is.
    """

    rules: GuardRules
    state: SwitchState
    verdict: Verdict | None
    since: float
    at: float
    move: NextMove
    would: bool = False
    latched: bool = False


class _Made(NamedTuple):
    """What is known of a revision: when it was made, and by whom."""

    at: float
    author: str


class GuardWatch:
    """Judges switches, and takes them back or on.

    Attributes:
        judged: what is known, by switch; of the newest look that the store has answered.
        steps_back: how often this process has taken a switch back.
        observed: how often it would have, of guards that only observe.
        leadership: of ramps.
    """

    def __init__(
        self,
        board: Switchboard,
        store: SwitchStore,
        name: str,
        settings: Callable[[], Switching],
        count: Count,
        log: FilteringBoundLogger,
        on_observed: Callable[[SwitchName, Verdict], None],
    ) -> None:
        """Construct; nothing is judged yet.

        Args:
            board: takes changes.
            store: of the switches.
            name: of this process.
            settings: gives the section of the configuration.
            count: tells what this process has counted.
            log: told of what a guard would have done.
            on_observed: told of it, too.
        """
        self._board = board
        self._store = store
        self._name = name
        self._settings = settings
        self._count = count
        self._log = log
        self._on_observed = on_observed
        self._sampler = Sampler()
        self._made: dict[int, _Made] = {}
        self._newest = Newest()
        self._observed: set[tuple[SwitchName, Since]] = set()
        self._due = asyncio.Event()
        self._running: asyncio.Task[None] | None = None
        self.judged: dict[SwitchName, Judged] = {}
        self.steps_back = 0
        self.observed = 0
        self.leadership = Leadership(store, _LEASE, name)

    def start(self) -> None:
        """Judge from now on."""
        self._running = asyncio.create_task(self._run(), name="switches: guards")

    def changed(self) -> None:
        """A revision was put to work: look at once."""
        self._due.set()

    async def close(self) -> None:
        """Judge no more. The store is left open."""
        if self._running is not None:
            await cancellation.end(self._running)
            self._running = None
            with suppress(StoreAway, TimeoutError):
                async with asyncio.timeout(1.0):
                    await self.leadership.give_up()

    async def _run(self) -> None:
        while True:
            self._due.clear()
            try:
                await self.look(time.time())
            except StoreAway:
                pass  # Said by who reads the switches; what is counted meanwhile is told later.
            except Exception as error:  # noqa: BLE001 (the next look may fare better)
                self._log.error("guards failed", fault=type(error).__name__)
            with suppress(TimeoutError):
                async with asyncio.timeout(EVERY):
                    await self._due.wait()

    async def look(self, now: float) -> None:
        """Tell the figures, judge, and act.

        Args:
            now: in seconds since 1970.

        Raises:
            StoreAway: the store does not answer. Nothing is done then.
        """
        newest = self._board.current.newest
        if newest != self._newest and newest.number <= self._newest.number:
            self._made.clear()  # The store went back: numbers stand for other revisions.
        self._newest = newest
        watched = dict(self._watched())
        table = self._board.current.in_force.table
        if not watched:
            self.judged = {}
            self._sampler.keep(())
            with suppress(StoreAway):
                await self.leadership.give_up()
            return
        since = {name: await self._since(state) for name, (state, _) in watched.items()}
        own = await self._samples(watched, since, now)
        if self._board.current.in_force.table is not table:
            self._due.set()  # What was counted may be of either.
            return
        await self._tell(own, max(rules.window for _, rules in watched.values()))
        said = read_samples(await self._store.announced(), _ENDING)
        said = [each for each in said if each.switch in set(map(str, watched))]
        closed = closed_at(self._settings(), now)
        self.judged = {
            name: self._judge(name, state, rules, since[name], said, now, closed)
            for name, (state, rules) in watched.items()
        }
        self._observed &= {(name, since[name]) for name in watched}
        for name, each in self.judged.items():
            await self._act(name, each, since[name])
        await self._take_on(now)

    def _watched(self) -> Iterator[tuple[SwitchName, tuple[SwitchState, GuardRules]]]:
        """The switches that somebody has set, or the file, and that do something."""
        current, settings = self._board.current, self._settings()
        switched = current.in_force
        if switched.table.all_off:
            return
        named = settings.switches
        found = []
        for name in switched.first:
            is_set = switched.table.states.get(name, UNTOUCHED).setting is not None
            if is_set or str(name) in named:
                state, rules = switched.in_force(name), settings.guard_rules(name)
                is_judged = rules.mode is not GuardMode.OFF and state.setting != OFF
                if is_judged or _is_running(state):
                    found.append((name, (state, rules)))
        found.sort(key=lambda each: -each[1][0].revision)
        yield from found[:MAX_WATCHED]

    async def _since(self, state: SwitchState) -> Since:
        """When the revision that set a switch was made."""
        return Since(state.revision, (await self._revision(state.revision)).at)

    async def _revision(self, number: int) -> _Made:
        if not number:
            return _Made(0.0, "")
        made = self._made.get(number)
        if made is None:
            found = await self._board.current.history.revision(number)
            made = _Made(0.0, "") if found is None else _Made(found[0].at, found[0].author)
            if len(self._made) >= _MAX_TIMES:
                self._made.clear()
            self._made[number] = made
        return made

    async def _samples(
        self,
        watched: Mapping[SwitchName, tuple[SwitchState, GuardRules]],
        since: Mapping[SwitchName, Since],
        now: float,
    ) -> list[SwitchSamples]:
        slow = {name: rules.added_latency or 0.0 for name, (_, rules) in watched.items()}
        counted = await self._count(slow)
        own = []
        for name, (state, rules) in watched.items():
            window = window_of(now, since[name].at, rules.window)
            figures, users = counted[name]
            if state.setting is not None and state.setting.mode is Mode.CANARY:
                users = users or Sketch()
            else:
                users = None
            counts = Counted(figures, users)
            own.append(self._sampler.sample(str(name), since[name], window, counts))
        self._sampler.keep(map(str, watched))
        return own

    async def _tell(self, own: list[SwitchSamples], window: float) -> None:
        # Those of a process that has died are kept for as long as they may count.
        ttl = min(2 * window + 60.0, MAX_TTL)
        for number, document in enumerate(write_samples(own, MAX_VALUE, _DOCUMENTS)):
            await self._store.announce(f"{self._name}{_ENDING}{number}", document, ttl)

    def _judge(
        self,
        name: SwitchName,
        state: SwitchState,
        rules: GuardRules,
        since: Since,
        said: list[SwitchSamples],
        now: float,
        closed: str,
    ) -> Judged:
        verdict = None
        if rules.mode is not GuardMode.OFF:
            window = window_of(now, since.at, rules.window)
            verdict = judge(rules, summed(said, str(name), since, window))
        assert state.setting is not None
        move = next_move(state.ramp, state.setting, verdict, now, closed)
        would = (
            rules.mode is GuardMode.OBSERVE
            and verdict is not None
            and verdict.outcome is Outcome.FAIL
        )
        made = self._made.get(state.revision)
        latched = made is not None and made.author == GUARD
        return Judged(rules, state, verdict, since.at, now, move, would, latched)

    async def _act(self, name: SwitchName, each: Judged, since: Since) -> None:
        """Take a switch back that fails, or say that it would have been."""
        verdict = each.verdict
        failure = None if verdict is None else verdict.failure
        if verdict is None or failure is None:
            return
        if each.rules.mode is GuardMode.OBSERVE:
            if (name, since) not in self._observed:
                self._observed.add((name, since))
                self.observed += 1
                self._log.warning("guard would take back", switch=str(name), finding=str(failure))
                self._on_observed(name, verdict)
            return
        users = "" if verdict.users is None else f", about {verdict.users:,} users"
        change = StepBack(name, failure, since.revision, verdict.findings)
        with suppress(ChangeRefused):  # Somebody else was faster.
            await self._board.change(
                change, Author(GUARD, ""), f"{failure}{users}", OpenSockets.NEXT_MESSAGE
            )
            self.steps_back += 1
            self._due.set()

    async def _take_on(self, now: float) -> None:
        """Take the next step of ramps whose time has come, if this process leads."""
        if not any(_is_running(each.state) for each in self.judged.values()):
            await self.leadership.give_up()
            return
        if not await self.leadership.hold():
            return
        for name, each in self.judged.items():
            if each.move.move is Move.STEP:
                change = StepRamp(name, now, each.state.revision)
                with suppress(ChangeRefused):  # It has ended, or another one has taken it.
                    policy = _policy(each.state.ramp)
                    await self._board.change(change, Author(RAMP, ""), _why(each), policy)
                    self._due.set()


def _is_running(state: SwitchState) -> bool:
    return state.ramp is not None and state.ramp.status is RampStatus.RUNNING


def _policy(ramp: Ramp | None) -> OpenSockets | None:
    """What open WebSockets do at the steps of a ramp."""
    return None if ramp is None or not ramp.open_sockets else OpenSockets(ramp.open_sockets)


def _why(each: Judged) -> str:
    ramp, verdict = each.state.ramp, each.verdict
    begun = "" if ramp is None else f"; ramp of {ramp.author}: {ramp.reason}"[:300]
    if verdict is None:
        return f"its time has come, and nothing is judged{begun}"
    return f"its guard passes: {verdict.messages:,} messages{begun}"
