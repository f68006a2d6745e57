"""The second act as it is played: the switch of a cohort, step by step, while frames flow.

It has users of its own on the programs of the first act. After each change the server says the
same words to all of them: what comes from then on must be as the switch says. What comes while it
is turned may be either, but must come, once and in order.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Final

import aiohttp

from demo import report
from demo.rest import message_counts
from demo.screen import Screen
from demo.second.board import Board, Turned, board_of
from demo.second.judgement import (
    Cut,
    Seen,
    account_faults,
    arrival_faults,
    canary_faults,
    claim,
    same_faults,
    shadow_faults,
    shadow_least,
    step_faults,
)
from demo.second.live import Live
from demo.second.picture import told
from demo.second.script import SHADOW, STEPS, SWITCH, Gets, Step
from demo.second.users import Users
from demo.stage import Where

_PACE: Final = 2.0
"""Seconds for which a step stays on the screen."""

_SOON: Final = 10.0
_SHADOW: Final = next(index for index, step in enumerate(STEPS) if step.state == SHADOW)


class SecondAct:
    """One run of it.

    Attributes:
        found: how many findings there are.
    """

    def __init__(
        self, screen: Screen, http: aiohttp.ClientSession, where: Where, *, fast: bool
    ) -> None:
        """Nothing is done yet.

        Args:
            screen: where it is shown.
            http: makes the calls.
            where: the first act's programs.
            fast: whether no step stays longer than it must.
        """
        self.found = 0
        self._screen = screen
        self._users = Users(http, where)
        self._where = where
        self._pace = 0.0 if fast else _PACE
        self._numbers: list[int] = []
        self._wrong: list[list[str]] = []
        self._shadowed: Mapping[str, int] = {}
        self._shadow_least = 0

    async def run(self) -> None:
        """Take every step, then say what differs.

        Raises:
            ShowFailed: the switch could not be turned, or something did not answer.
        """
        screen, users, news = self._screen, self._users, asyncio.Event()
        screen.heading(f"Second act: the switch {SWITCH}, turned while frames flow")
        async with board_of(self._where) as board, users.seated(news.set):
            before, start = await message_counts(board.admin), await board.newest()
            with screen.changing() as drawn:
                live = Live(screen, board, users.seats, news, drawn, start)
                for index in range(len(STEPS)):
                    await self._take(board, live, index)
                through = await live.until(_SOON, lambda: users.scripts_are_through)
                live.draw()
            late = [] if through else [f"not everything had come after {_SOON:g} seconds"]
            after = await message_counts(board.admin)
            closed = [
                f"{seat.client.name}: the connection was closed"
                for seat in users.seats
                if not seat.is_open
            ]
        self._judge([*late, *closed], account_faults(users.seen, before, after))

    async def _take(self, board: Board, live: Live, index: int) -> None:
        """Take one step, and wait until everybody has what comes of it."""
        step, seats = STEPS[index], self._users.seats
        over = asyncio.get_running_loop().time() + self._pace
        begun = [len(seat.client.frames) for seat in seats]
        wrong, more = [], ""
        if step.is_turned:
            turned = await board.take(step, live.start, live.newest)
            live.newest = turned.number
            wrong = _revision_faults(step, live.start + index, turned)
            more = f"{turned.reason}; by {turned.author}"
        for seat, count in zip(seats, begun, strict=True):
            seat.cuts.append(Cut(count, None))
        told(self._screen, live.newest, step.title, more)
        await live.look()
        if live.sight.state != step.state:
            wrong.append(f"the switch is {live.sight.state}, expected {step.state}")

        words = f"Revision {live.newest}: {step.title}"
        await self._users.told(words)
        await self._users.speak(index, len(STEPS))
        await live.until(
            _SOON, lambda: all(seat.has_heard(words) or not seat.is_open for seat in seats)
        )
        for seat, count in zip(seats, begun, strict=True):
            seat.cuts[index] = Cut(count, seat.heard(words) if seat.has_heard(words) else None)
        left = over - asyncio.get_running_loop().time()
        if left > 0:
            await live.until(left, lambda: False)
        await live.look()
        if index == _SHADOW:
            await self._wait_for_shadow(live)
        if step.gets is Gets.SOME:
            users = live.sight.inside, live.sight.outside
            wrong += canary_faults(self._users.seen, index, users)
        live.draw()
        self._numbers.append(live.newest)
        self._wrong.append(wrong)

    async def _wait_for_shadow(self, live: Live) -> None:
        """Wait until what came by is counted: it is compared a little later."""

        def is_counted() -> bool:
            self._shadow_least = shadow_least(self._users.seen, _SHADOW)
            return sum(live.shadowed.values()) >= self._shadow_least

        await live.until(_SOON, is_counted)
        self._shadowed = live.shadowed

    def _judge(self, complaints: list[str], counts: list[str]) -> None:
        seen = self._users.seen
        switched = [each for each in seen if each.is_switched]
        others = [each for each in seen if not each.is_switched]
        claims = []
        for index, step in enumerate(STEPS):
            wrong = [*self._wrong[index], *_step_faults(switched, index)]
            if step.gets is Gets.SAME:
                wrong += same_faults(seen, index)
            claims.append((claim(seen, index, self._numbers[index]), wrong))
        mapped = self._shadowed.get("mapped", 0)
        claims += [
            (
                f"in shadow {mapped} messages would have been mapped, and nothing else",
                shadow_faults(seen, _SHADOW, self._shadowed, self._shadow_least),
            ),
            (
                "the old client, of another cohort, got the server's bytes all the time",
                [wrong for index in range(len(STEPS)) for wrong in _step_faults(others, index)],
            ),
            (
                f"all {sum(len(each.got) for each in seen)} frames came, once and in order",
                [wrong for each in seen for wrong in arrival_faults(each)],
            ),
            ("the proxy's metrics count the same messages", counts),
        ]
        if complaints:
            claims.append(("everything else", complaints))
        self._screen.heading("Verdict of the second act")
        for text, faults in claims:
            report.finding(self._screen, text, faults)
            self.found += len(faults)


def _step_faults(seen: Sequence[Seen], step: int) -> list[str]:
    return [wrong for each in seen for wrong in step_faults(each, step)]


def _revision_faults(step: Step, number: int, turned: Turned) -> list[str]:
    wrong = []
    if turned.number != number:
        wrong.append(f"the revision is {turned.number}, expected {number}")
    if turned.reason != step.reason:
        wrong.append("the revision has another reason than the one that was told")
    if turned.behind:
        wrong.append(f"{turned.behind} sockets are on an earlier revision")
    return wrong
