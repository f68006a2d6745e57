"""Switches in shadow: messages are sent as if they were off, and copies are rewritten as if on.

A tap around the rewriter does what the rewriter does, and puts the message beside what was sent
into a queue. Where nothing is rewritten messages go on as they come, in fragments or not, and a
copy of what is not whole yet is collected beside them. What the mapping of the switch would have
made of it is worked out afterwards, in slices between which the loop serves everybody else, and
within a budget of CPU time a second. Whatever comes of it, nothing that is sent depends on it.

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
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Final

from proxy.errors import MappingFailure
from proxy.gateway.shadow_account import ShadowAccount, ShadowPoint
from proxy.gateway.shadow_comparison import compare
from proxy.gateway.shadow_queue import OfferedMessage, ShadowQueue
from proxy.gateway.shadow_switch import ShadowedSwitch, ShadowTarget, Targets
from proxy.gateway.shadow_tap import ShadowObserver, ShadowTap
from proxy.http.headers import RawFields
from proxy.observability.families import Samples
from proxy.recording.bodies import BodyObserver
from proxy.rewriting import MessageHandling, Room
from proxy.types import Direction

BUDGET: Final = 0.05
"""Seconds of CPU in each second, where nobody says otherwise."""

SLICE: Final = 0.002
"""Seconds of CPU after which the loop gets its turn."""

BURST: Final = 0.1
"""For how many seconds the budget can be saved up."""

MAX_COLLECTED: Final = 4 * 1024 * 1024
"""Bytes of the messages and bodies that nothing rewrites and that are not whole yet."""

MAX_SWITCHES: Final = 256
"""Switches of which an account is kept. Beyond, those that have ended are forgotten, the one that
began first before others; where all of them are in shadow, one more is not compared."""

_MAX_DROPPED: Final = 4096
"""Switches of which it is known that they have no account for lack of room."""


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
        on_dropped: Callable[[str, str], None] = lambda _, __: None,
        cpu: Callable[[], float] = time.thread_time,
    ) -> None:
        """Construct.

        Args:
            loop: in which messages come by.
            budget: seconds of CPU in each second; nothing is compared at 0.
            allows_raw: whether examples may be kept as they are, besides with placeholders.
            on_dropped: told of a switch that has no account for lack of room, once for each time,
                and what comes of it: `not compared` in shadow, `numbers lost` where that has ended.
            cpu: seconds of CPU that the loop's thread has used.
        """
        self._loop = loop
        self._budget = budget
        self._allows_raw = allows_raw
        self._on_dropped = on_dropped
        self._cpu = cpu
        self._shadows: dict[str, ShadowedSwitch] = {}
        self._dropped: dict[str, None] = {}
        self._queue = ShadowQueue()
        self._room = Room(MAX_COLLECTED)
        self._allowance = 0.0
        self._refilled = loop.time() - BURST
        self._next: asyncio.Handle | None = None
        self._closed = False

    # For who decides about switches.

    def begin(self, switch: str) -> None:
        """Compare the messages of a switch from now on, and count them from nothing."""
        # So that an account balances: what waits was offered to the old one.
        self._queue.give_up()
        shadow = self._shadows.get(switch)
        if shadow is None:
            self._add(switch)
        else:
            shadow.begin(time.time())

    def renew(self, switch: str) -> None:
        """Begin anew with another text of the mapping.

        Open sockets that still have the old one are compared no more: it would be called the new.
        """
        self._queue.give_up()
        old = self._shadows.pop(switch, None)
        shadow = self._add(switch)
        if old is not None:
            old.ended = True
        if old is not None and shadow is not None:
            shadow.before, shadow.seconds_before = old.totals(), old.seconds

    def end(self, switch: str) -> None:
        """Compare nothing more of a switch, on open sockets either; its account stays."""
        self._queue.give_up()
        shadow = self._shadows.get(switch)
        if shadow is not None:
            shadow.ended = True

    def account(self, switch: str) -> ShadowAccount | None:
        """What has become of its messages since it began; None if it never did, or was dropped."""
        shadow = self._shadows.get(switch)
        return None if shadow is None else shadow.account

    def was_dropped(self, switch: str) -> bool:
        """Whether it has no account because there are too many switches."""
        return switch in self._dropped

    def close(self) -> None:
        """Work on nothing any more. Taps stay where they are, and only do what the inner does."""
        self._closed = True
        self._queue.give_up()
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
        found = () if self._closed else self._found(targets)
        if not found:
            return handling
        point, inner = ShadowPoint(way, cohort), handling.rewriter
        if inner is None:
            return handling._replace(observer=ShadowObserver(self, found, point, self._room))
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
        if self._closed:
            return None
        found = {way: self._found(listed) for way, listed in targets.items()}
        found = {way: compared for way, compared in found.items() if compared}
        if not found:
            return None
        take = partial(self._observed, found, cohort)
        return BodyObserver(take, tuple(found), fields, self._room)

    def _observed(
        self, found: Mapping[Direction, Targets], cohort: str, way: Direction, body: bytes | None
    ) -> None:
        if body is not None:
            self.offer(found[way], ShadowPoint(way, cohort), body, None, None)
        else:
            self.miss(found[way], too_large=True)

    def miss(self, targets: Targets, *, too_large: bool) -> None:
        """Take note of a message, or a body, that went by and cannot be compared."""
        for shadow, _ in targets:
            if not (shadow.ended or self._closed):
                shadow.account.offered += 1
                shadow.account.skip(too_large=too_large)

    def offer(
        self,
        targets: Targets,
        point: ShadowPoint,
        message: bytes,
        made: tuple[bytes, ...] | None,
        failure: MappingFailure | None,
    ) -> None:
        """Take note of a message that is about to be sent, as `OfferedMessage` has it."""
        for shadow, _ in targets:
            if shadow.ended:
                targets = tuple(each for each in targets if not each[0].ended)
                break
        if self._closed or not targets:
            return
        for shadow, _ in targets:
            shadow.account.offered += 1
        size = len(message) if made is None else len(message) + sum(map(len, made))
        self._queue.put(OfferedMessage(targets, point, message, made, failure, size))
        if self._queue and self._next is None:
            self._next = self._loop.call_soon(self._work)

    def _found(self, targets: Sequence[ShadowTarget]) -> Targets:
        """The targets that are compared: there may be too many switches for some."""
        found = [
            (self._shadows.get(each.switch) or self._add(each.switch), each) for each in targets
        ]
        return tuple([(shadow, each.program) for shadow, each in found if shadow is not None])

    def _add(self, switch: str) -> ShadowedSwitch | None:
        """Begin an account, if there is room for one."""
        if len(self._shadows) >= MAX_SWITCHES:
            ended = next((name for name, each in self._shadows.items() if each.ended), None)
            if ended is None:
                self._drop(switch, "not compared")
                return None
            del self._shadows[ended]
            self._drop(ended, "numbers lost")
        self._dropped.pop(switch, None)
        shadow = self._shadows[switch] = ShadowedSwitch(switch, time.time())
        return shadow

    def _drop(self, switch: str, outcome: str) -> None:
        if switch in self._dropped:
            return  # It has been told.
        if len(self._dropped) >= _MAX_DROPPED:
            del self._dropped[next(iter(self._dropped))]
        self._dropped[switch] = None
        self._on_dropped(switch, outcome)

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
            self._queue.give_up()
        begun = at = self._cpu()
        end = begun + min(SLICE, self._allowance)
        try:
            while self._queue and at < end:
                at = self._compare(self._queue.take(), at)
        finally:
            self._allowance -= self._cpu() - begun
            if self._queue:
                self._next = self._later(budget)

    def _later(self, budget: float) -> asyncio.Handle:
        lacking = min(SLICE, budget * BURST) - self._allowance
        if lacking <= 0:
            return self._loop.call_soon(self._work)
        return self._loop.call_later(lacking / budget, self._work)

    def _compare(self, offered: OfferedMessage, at: float) -> float:
        """Work out what would have become of a message, under each of its switches.

        Args:
            at: what the thread's clock says.

        Returns:
            What it says then.
        """
        done = 0
        try:
            for shadow, program in offered.targets:
                compare(offered, shadow, program, raw=self._allows_raw())
                done += 1
                begun, at = at, self._cpu()
                shadow.account.seconds += at - begun
        except Exception:
            # A fault of Segue's own, which the loop reports; the account balances all the same.
            for shadow, _ in offered.targets[done:]:
                shadow.account.skip()
            raise
        return at

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
