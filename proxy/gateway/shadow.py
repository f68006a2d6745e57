"""Switches in shadow: messages are sent as if they were off, and copies are rewritten as if on.

A tap around the rewriter does what the rewriter does, and puts the message beside what was sent
into a queue. Where nothing is rewritten messages go on as they come, in fragments or not, and a
copy of what is not whole yet is collected beside them. What the mapping of the switch would have
made of it is worked out afterwards, in slices between which the loop serves everybody else, and
within a budget of CPU time a second. Whatever comes of it, nothing that is sent depends on it.

Where there is more than the budget allows, the queue stays full, and what comes then takes the
place of another message at random (a reservoir), so that all of a burst have the same chance, and
not its first ones. What was left out is counted. Queue, messages and what is collected have bounds.
What is queued is no copy, but a second reference to the bytes.

A single message is not interrupted, and one of `MAX_MESSAGE` that somebody made for the purpose can
take 20 ms (the same that it takes where its mapping is on); it is charged to the budget.

What must not be looked at must not be tapped: the bodies of the routes of tokens.

Measured on frames of 777 bytes (`python -m bench.shadow`), in microseconds of CPU on a
busy machine, where such a frame is rewritten in 1.4: a tap adds 1.1 to a message while it is sent;
afterwards one that would pass costs 4, one that would be mapped 29, of which telling what differs
takes 15 to 30. The budget is enough for 1,700 of those a second.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Final, NamedTuple

from proxy.errors import MappingFailure
from proxy.gateway.shadow_account import ShadowAccount, ShadowPoint
from proxy.http.headers import RawFields
from proxy.mapping.engine.difference import difference
from proxy.mapping.engine.explanation import MessageOutcome
from proxy.mapping.engine.program import Program
from proxy.observability.families import Samples
from proxy.recording.bodies import BodyObserver
from proxy.rewriting import MessageCopy, MessageHandling, Rewriter, Room
from proxy.types import Direction, OnError

BUDGET: Final = 0.05
"""Seconds of CPU in each second, where nobody says otherwise."""

SLICE: Final = 0.002
"""Seconds of CPU after which the loop gets its turn."""

BURST: Final = 0.1
"""For how many seconds the budget can be saved up."""

MAX_MESSAGE: Final = 64 * 1024
"""Bytes of the largest message that is compared; what was sent in its place may be twice as much.
It bounds how long the loop can be kept from its work, and what the queue holds."""

MAX_COLLECTED: Final = 4 * 1024 * 1024
"""Bytes of the messages and bodies that nothing rewrites and that are not whole yet."""

MAX_QUEUED: Final = 256
MAX_QUEUED_BYTES: Final = 4 * 1024 * 1024
"""Messages, and bytes of them, that wait to be compared."""

MAX_SWITCHES: Final = 256
"""Switches of which an account is kept; beyond, that of the one that began first is forgotten."""


class ShadowTarget(NamedTuple):
    """What would be sent if a switch were on.

    Attributes:
        switch: `COHORT/MAPPING`.
        program: all that would be applied then, in its place in the chain.
    """

    switch: str
    program: Program


class _Shadow:
    """A switch whose messages are compared.

    Attributes:
        switch: its name.
        mapping: that of its mapping.
        account: since it began.
        before: what earlier accounts had come to, by outcome; and their seconds.
        ended: whether nothing is compared any more.
    """

    __slots__ = ("account", "before", "ended", "mapping", "seconds_before", "switch")

    def __init__(self, switch: str, now: float) -> None:
        self.switch = switch
        self.mapping = switch.rpartition("/")[2]
        self.account = ShadowAccount(now)
        self.before: dict[str, int] = dict.fromkeys(self.account.outcomes(), 0)
        self.seconds_before = 0.0
        self.ended = False

    def begin(self, now: float) -> None:
        """Count from nothing; what was counted stays in the totals."""
        self.before = self.totals()
        self.seconds_before = self.seconds
        self.account = ShadowAccount(now)
        self.ended = False

    def totals(self) -> dict[str, int]:
        """What all accounts have come to, by outcome."""
        return {what: self.before[what] + n for what, n in self.account.outcomes().items()}

    @property
    def seconds(self) -> float:
        """Of CPU, of all accounts."""
        return self.seconds_before + self.account.seconds


_Targets = tuple[tuple[_Shadow, Program], ...]


class _Offered(NamedTuple):
    """A message that waits.

    Attributes:
        targets: what would be applied to it.
        point: its direction, and the cohort of its client.
        message: as it came.
        made: what was sent in its place; None where it was sent as it came.
        failure: why a rule could not be carried out, of those that are really applied.
        size: bytes of all that is held for it.
    """

    targets: _Targets
    point: ShadowPoint
    message: bytes
    made: tuple[bytes, ...] | None
    failure: MappingFailure | None
    size: int


class Shadows:
    """Knows the switches in shadow, and works on what their messages would have become.

    `begin` and `end` are for who decides about switches, `tapped` and `observer` for who serves.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        *,
        budget: Callable[[], float] = lambda: BUDGET,
        allows_raw: Callable[[], bool] = lambda: False,
        cpu: Callable[[], float] = time.thread_time,
    ) -> None:
        """Construct.

        Args:
            loop: in which messages come by.
            budget: seconds of CPU in each second; nothing is compared at 0.
            allows_raw: whether examples may be kept as they are, besides with placeholders.
            cpu: seconds of CPU that the loop's thread has used.
        """
        self._loop = loop
        self._budget = budget
        self._allows_raw = allows_raw
        self._cpu = cpu
        self._shadows: dict[str, _Shadow] = {}
        self._queue: deque[_Offered] = deque()
        self._queued_bytes = 0
        # How many were offered since there was room in the queue.
        self._crowd = 0
        self._room = Room(MAX_COLLECTED)
        self._allowance = 0.0
        self._refilled = loop.time() - BURST
        self._next: asyncio.Handle | None = None
        self._closed = False

    # For who decides about switches.

    def begin(self, switch: str) -> None:
        """Compare the messages of a switch from now on, and count them from nothing."""
        # So that an account balances: what waits was offered to the old one.
        self._give_up_queue()
        shadow = self._shadows.get(switch)
        if shadow is None:
            self._add(switch)
        else:
            shadow.begin(time.time())

    def renew(self, switch: str) -> None:
        """Begin anew with another text of the mapping.

        Open sockets that still have the old one are compared no more: it would be called the new.
        """
        self._give_up_queue()
        old = self._shadows.pop(switch, None)
        shadow = self._add(switch)
        if old is not None:
            old.ended = True
            shadow.before, shadow.seconds_before = old.totals(), old.seconds

    def end(self, switch: str) -> None:
        """Compare nothing more of a switch, on open sockets either; its account stays."""
        self._give_up_queue()
        shadow = self._shadows.get(switch)
        if shadow is not None:
            shadow.ended = True

    def account(self, switch: str) -> ShadowAccount | None:
        """What has become of its messages since it began; None if it never did."""
        shadow = self._shadows.get(switch)
        return None if shadow is None else shadow.account

    def close(self) -> None:
        """Work on nothing any more. Taps stay where they are, and only do what the inner does."""
        self._closed = True
        self._give_up_queue()
        if self._next is not None:
            self._next.cancel()
            self._next = None

    # For who serves.

    def tapped(
        self,
        handling: MessageHandling,
        targets: Sequence[ShadowTarget],
        way: Direction,
        cohort: str,
    ) -> MessageHandling:
        """Return the handling to use: the very same, unless there are targets.

        Messages of a socket to which nothing is done are copied while they go on as they come;
        bodies to which nothing is done are for `observer`.

        Args:
            handling: what is really done, and where it counts.
            targets: what would be.
            way: the direction.
            cohort: of the client.
        """
        if not targets or self._closed:
            return handling
        found = tuple((self._shadow(each.switch), each.program) for each in targets)
        point, inner = ShadowPoint(way, cohort), handling.rewriter
        if inner is None:
            return handling._replace(observer=_MessageObserver(self, found, point, self._room))
        return handling._replace(rewriter=ShadowTap(self, inner, found, point))

    def observer(
        self,
        targets: Mapping[Direction, Sequence[ShadowTarget]],
        cohort: str,
        fields: RawFields,
    ) -> BodyObserver | None:
        """Who looks at bodies of a request to which nothing is done, while they stream on.

        Held like those that are mapped they would change: another encoding would be asked for,
        and those too large would be refused.

        Args:
            targets: what would be done to its body, and to that of the response.
            cohort: of the client.
            fields: of the request.

        Returns:
            None where there are no targets.
        """
        found = {
            way: tuple((self._shadow(each.switch), each.program) for each in listed)
            for way, listed in targets.items()
            if listed
        }
        if not found or self._closed:
            return None
        take = partial(self._observed, found, cohort)
        return BodyObserver(take, tuple(found), fields, self._room)

    def _observed(
        self, found: Mapping[Direction, _Targets], cohort: str, way: Direction, body: bytes | None
    ) -> None:
        if body is not None:
            self.offer(found[way], ShadowPoint(way, cohort), body, None, None)
        else:
            self.miss(found[way], too_large=True)

    def miss(self, targets: _Targets, *, too_large: bool) -> None:
        """Take note of a message, or a body, that went by and cannot be compared."""
        for shadow, _ in targets:
            if not (shadow.ended or self._closed):
                shadow.account.offered += 1
                shadow.account.skip(too_large=too_large)

    def offer(
        self,
        targets: _Targets,
        point: ShadowPoint,
        message: bytes,
        made: tuple[bytes, ...] | None,
        failure: MappingFailure | None,
    ) -> None:
        """Take note of a message that is about to be sent; on the data path. See `_Offered`."""
        for shadow, _ in targets:
            if shadow.ended:
                targets = tuple(each for each in targets if not each[0].ended)
                break
        if self._closed or not targets:
            return
        for shadow, _ in targets:
            shadow.account.offered += 1
        size = len(message) if made is None else len(message) + sum(map(len, made))
        offered = _Offered(targets, point, message, made, failure, size)
        if len(message) > MAX_MESSAGE or size > 3 * MAX_MESSAGE:
            _skip(offered, too_large=True)
            return
        self._crowd += 1
        if len(self._queue) < MAX_QUEUED and self._queued_bytes + size <= MAX_QUEUED_BYTES:
            self._crowd = len(self._queue) + 1
            self._queue.append(offered)
            self._queued_bytes += size
            if self._next is None:
                self._next = self._loop.call_soon(self._work)
            return
        self._replace(offered)

    def _replace(self, offered: _Offered) -> None:
        """Let a message take the place of another, or of none, by chance."""
        place = int(random.random() * self._crowd)  # noqa: S311 (a sample, no secret)
        if place < len(self._queue):
            other = self._queue[place]
            size = self._queued_bytes + offered.size - other.size
            if size <= MAX_QUEUED_BYTES:
                self._queue[place] = offered
                self._queued_bytes = size
                offered = other
        _skip(offered)

    def _shadow(self, switch: str) -> _Shadow:
        return self._shadows.get(switch) or self._add(switch)

    def _add(self, switch: str) -> _Shadow:
        if len(self._shadows) >= MAX_SWITCHES:
            self._shadows.pop(next(iter(self._shadows))).ended = True
        shadow = self._shadows[switch] = _Shadow(switch, time.time())
        return shadow

    def _give_up_queue(self) -> None:
        for offered in self._queue:
            _skip(offered)
        self._queue.clear()
        self._queued_bytes = 0

    # Afterwards.

    def _work(self) -> None:
        """Compare some of what waits, as far as a slice and the budget reach."""
        self._next = None
        budget = self._budget()
        now = self._loop.time()
        saved = self._allowance + budget * (now - self._refilled)
        self._allowance = min(saved, budget * BURST)
        self._refilled = now
        if budget <= 0:
            self._give_up_queue()
        begun = at = self._cpu()
        end = begun + min(SLICE, self._allowance)
        try:
            while self._queue and at < end:
                offered = self._queue.popleft()
                self._queued_bytes -= offered.size
                at = self._compare(offered, at)
        finally:
            self._allowance -= self._cpu() - begun
            if self._queue:
                self._next = self._later(budget)

    def _later(self, budget: float) -> asyncio.Handle:
        lacking = min(SLICE, budget * BURST) - self._allowance
        if lacking <= 0:
            return self._loop.call_soon(self._work)
        return self._loop.call_later(lacking / budget, self._work)

    def _compare(self, offered: _Offered, at: float) -> float:
        """Work out what would have become of a message, under each of its switches.

        Args:
            at: what the thread's clock says.

        Returns:
            What it says then.
        """
        done = 0
        try:
            for shadow, program in offered.targets:
                self._compare_with(offered, shadow, program)
                done += 1
                begun, at = at, self._cpu()
                shadow.account.seconds += at - begun
        except Exception:
            # A fault of Segue's own, which the loop reports; the account balances all the same.
            for shadow, _ in offered.targets[done:]:
                shadow.account.skip()
            raise
        return at

    def _compare_with(self, offered: _Offered, shadow: _Shadow, program: Program) -> None:
        """Work it out for one of them; it counts when all is done."""
        message, account = offered.message, shadow.account
        sent = (message,) if offered.made is None else offered.made
        failed = offered.failure
        if failed is not None:
            sent = _sent_after(failed, message)
        failure: MappingFailure | None = None
        try:
            made = program.apply(message)
        except MappingFailure as raised:
            failure = raised
            would = _sent_after(raised, message)
        else:
            would = (message,) if made is None else made
        rules: tuple[str, ...] = ()
        if failure is not None and not _same(failure, failed):
            outcome, rules = MessageOutcome.FAILED, (failure.rule,)
        elif sent == would:
            outcome = MessageOutcome.PASSED
        else:
            outcome = MessageOutcome.MAPPED if would else MessageOutcome.DROPPED
            named = program.rules_for(message)
            rules = tuple([rule for mapping, rule in named if mapping == shadow.mapping])
        if outcome is not MessageOutcome.PASSED:
            found = difference(sent, would)
            example = account.note(outcome, rules, found, offered.point, time.time())
            if example is not None:
                example.keep(sent, would, program, raw=self._allows_raw())
        if failure is not None and outcome is MessageOutcome.FAILED:
            account.count_failure(failure)
        else:
            account.count(outcome, rules)

    # For the metrics.

    def messages(self) -> Samples:
        """Messages, by switch and outcome, since the process began."""
        return [
            ((name, outcome), count)
            for name, shadow in self._shadows.items()
            for outcome, count in shadow.totals().items()
        ]

    def seconds(self) -> Samples:
        """Seconds of CPU, by switch, since the process began."""
        return [((name,), shadow.seconds) for name, shadow in self._shadows.items()]


class ShadowTap:
    """A rewriter that does what the one inside does, and offers it to be compared.

    Attributes:
        inner: the one inside.
        program: that one, where it is a program; None where it is none.
    """

    __slots__ = ("_point", "_shadows", "_targets", "inner", "program")

    def __init__(
        self,
        shadows: Shadows,
        inner: Rewriter,
        targets: _Targets,
        point: ShadowPoint,
    ) -> None:
        self.inner = inner
        self.program = inner if isinstance(inner, Program) else None
        self._shadows = shadows
        self._targets = targets
        self._point = point

    def apply(self, message: bytes) -> tuple[bytes, ...] | None:
        """See `Program.apply`."""
        try:
            made = self.inner.apply(message)
        except MappingFailure as failure:
            self._shadows.offer(self._targets, self._point, message, None, failure)
            raise
        self._shadows.offer(self._targets, self._point, message, made, None)
        return made


class _MessageObserver:
    """Offers the messages of a socket to which nothing is done."""

    __slots__ = ("_point", "_room", "_shadows", "_targets")

    def __init__(self, shadows: Shadows, targets: _Targets, point: ShadowPoint, room: Room) -> None:
        self._shadows = shadows
        self._targets = targets
        self._point = point
        self._room = room

    def note(self, message: bytes) -> None:
        self._shadows.offer(self._targets, self._point, message, None, None)

    def miss(self, *, too_large: bool) -> None:
        self._shadows.miss(self._targets, too_large=too_large)

    def begin(self) -> MessageCopy:
        return MessageCopy(self, MAX_MESSAGE, self._room)


def _skip(offered: _Offered, *, too_large: bool = False) -> None:
    for shadow, _ in offered.targets:
        shadow.account.skip(too_large=too_large)


def _sent_after(failure: MappingFailure, message: bytes) -> tuple[bytes, ...]:
    return (message,) if failure.on_error is OnError.PASS else ()


def _same(failure: MappingFailure, other: MappingFailure | None) -> bool:
    """Whether a failure is one that there is without the switch, too."""
    return other is not None and (failure.mapping, failure.rule, failure.operation) == (
        other.mapping,
        other.rule,
        other.operation,
    )
