"""A running Segue with a switch that has a guard, and users of whom some are in its canary."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

from proxy.control.guard_watch import GuardWatch, Judged
from proxy.control.switchboard import Author, Switchboard
from proxy.switching.history import Revision
from proxy.switching.ramp_changes import StartRamp
from proxy.switching.ramps import Ramp, parse_step
from proxy.switching.setting import parse_setting
from proxy.switching.switch_changes import SetSwitch
from proxy.switching.table import SwitchName
from tests.support.rfc6455 import TEXT
from tests.support.rig import segue
from tests.support.sockets import Pair, open_pair, origin
from tests.support.switches import Switched
from tests.support.waiting import PATIENCE

NAME: Final = SwitchName("modern", "frames")
ANN: Final = Author("ann (token)", "operator")

CONFIG: Final = """
upstream: {{url: "{url}"}}
versions: {{default: "2"}}
cohorts:
  - name: modern
    versions: ">=2"
    websocket: {{to_client: [frames]}}
switching:
  switches: {{modern/frames: "off"}}
  guard: {{{guard}}}
"""

MAPPING: Final = """
name: frames
description: Numbers become text.
channel: websocket
direction: to_client
rules:
  - name: number
    match: {field: kind, equals: number}
    do:
      - convert: {meta.value: {from: integer, to: string}}
    examples:
      - {in: {kind: number, meta: {value: 1}}, out: {kind: number, meta: {value: "1"}}}
"""

GOOD: Final = b'{"kind":"number","meta":{"value":7}}'
MAPPED: Final = b'{"kind":"number","meta":{"value":"7"}}'
BAD: Final = b'{"kind":"number","meta":{"value":"seven"}}'
"""A message that the mapping fails on."""


class Guarded(Switched):
    """A running Segue, its guards, and what they see."""

    @property
    def guards(self) -> GuardWatch:
        return self.proxy.server._switches.guards

    @property
    def board(self) -> Switchboard:
        return self.proxy.server._switches.board

    @property
    def state(self) -> str:
        """What the switch is set to."""
        return str(self.board.current.in_force.in_force(NAME).setting)

    async def set(self, state: str) -> None:
        """Set the switch, as an operator."""
        await self.board.current.read_in_turn()
        expected = self.board.current.base.revision(NAME)
        change = SetSwitch(NAME, parse_setting(state), expected=expected)
        await self.board.change(change, ANN, "a test")

    async def ramp(self, steps: str, every: float, now: float) -> None:
        """Begin a ramp, as an operator."""
        ramp = Ramp(tuple(map(parse_step, steps.split(","))), every, now, author="ann")
        expected = self.board.current.base.revision(NAME)
        await self.board.change(StartRamp(NAME, ramp, expected), ANN, "a test")

    async def user(self, number: int) -> Pair:
        """Open a WebSocket of a user."""
        pair = await open_pair(
            self.proxy,
            self.server,
            fields=[b"X-Client-Version: 2.1", b"Authorization: Bearer user-%d" % number],
        )
        self.pairs.append(pair)
        return pair

    async def users(self, count: int) -> None:
        """Open WebSockets of so many users."""
        for number in range(count):
            await self.user(number)

    async def send(self, rounds: int, *messages: bytes) -> list[bytes]:
        """Have the server send messages to everybody; what the last round came to."""
        got: list[bytes] = []
        for _ in range(rounds):
            got = []
            for pair in self.pairs:
                for message in messages:
                    await pair.server.send(TEXT, message)
                for _ in messages:
                    got.append(await pair.client.message())
        return got

    async def judged(self) -> Judged:
        """What the guard says of all that was sent so far."""
        await asyncio.sleep(0)
        await self.guards.look(self.now)
        return self.guards.judged[NAME]

    async def comes_to(self, state: str, *messages: bytes) -> None:
        """Have messages sent until the switch is set to this."""
        async with asyncio.timeout(PATIENCE):
            while self.state != state:
                await self.send(2, *messages)
                self.guards.changed()

    async def newest(self) -> Revision:
        """The newest revision."""
        (found,) = await self.board.current.history.page(None, 1)
        return found

    now = 0.0


@asynccontextmanager
async def guarded(directory: Path, guard: str, more: str = "") -> AsyncIterator[Guarded]:
    """Run one.

    Args:
        directory: for its files.
        guard: what the section `guard` says, as YAML.
        more: of the configuration.
    """
    (directory / "mappings").mkdir()
    (directory / "mappings" / "frames.yaml").write_text(MAPPING)
    config = directory / "config.yaml"
    async with origin() as server:
        config.write_text(CONFIG.format(url=server.url, guard=guard) + more)
        async with segue(None, config=config) as proxy:
            running = Guarded(proxy, server, config)
            try:
                yield running
            finally:
                for pair in running.pairs:
                    await pair.client.peer.close()
                    await pair.server.peer.close()
