"""While a step of the second act lasts: frames come, the switch is read, all is drawn."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Final

from demo.screen import Screen
from demo.second.board import Board, Sight
from demo.second.picture import picture
from demo.second.script import SHADOW, SWITCH
from demo.second.users import Seat
from proxy.cli.screen import Changing

_LOOK_EVERY: Final = 0.25


class Live:
    """The live table, and who waits before it.

    Attributes:
        sight: the switch as it was read last.
        shadowed: what would have become of messages, as it was read last in shadow.
        start: the newest revision before the first step.
        newest: the newest revision.
    """

    def __init__(
        self,
        screen: Screen,
        board: Board,
        seats: Sequence[Seat],
        news: asyncio.Event,
        drawn: Changing,
        start: int,
    ) -> None:
        """Nothing is read or drawn yet.

        Args:
            screen: where it is shown.
            board: the switch.
            seats: the clients.
            news: set when a frame comes, or a connection ends.
            drawn: what is drawn anew.
            start: the newest revision.
        """
        self.sight = Sight("", 0, 0, None, None)
        self.shadowed: Mapping[str, int] = {}
        self.start = start
        self.newest = start
        self._screen = screen
        self._board = board
        self._seats = seats
        self._news = news
        self._drawn = drawn
        self._looked = 0.0

    async def look(self) -> None:
        """Read the switch.

        Raises:
            ShowFailed: there was no answer.
        """
        self.sight = await self._board.look()
        if self.sight.state == SHADOW:
            self.shadowed = await self._board.shadowed()
        self._looked = _now()

    def draw(self) -> None:
        """Show what is now."""
        self._drawn.lines(
            picture(self._screen, self._seats, SWITCH, self.sight, self.newest, self.shadowed)
        )

    async def until(self, seconds: float, condition: Callable[[], bool]) -> bool:
        """Show what comes until the condition holds; False if it does not in time.

        Raises:
            ShowFailed: there was no answer.
        """
        try:
            async with asyncio.timeout(seconds):
                while True:
                    self._news.clear()
                    if _now() >= self._looked + _LOOK_EVERY:
                        await self.look()
                    if self._screen.is_live:
                        self.draw()
                    if condition():
                        return True
                    with suppress(TimeoutError):
                        async with asyncio.timeout(_LOOK_EVERY):
                            await self._news.wait()
        except TimeoutError:
            return False


def _now() -> float:
    return asyncio.get_running_loop().time()
