"""Switches that are turned while traffic flows: every message is explained by what was in force.

200 WebSockets and hundreds of requests a second go through a process, and an operator makes a
hundred changes of all kinds, undoes ten, and has the files read twenty times, five times broken.
"""

from __future__ import annotations

import asyncio
import random
import shutil
import sys
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from proxy.control.switch_store.sqlite import SqliteSwitchStore
from tests.support.explained import (
    VERSIONS,
    Board,
    Client,
    Event,
    Got,
    Story,
    Turned,
    changes,
    dropped,
    set_to,
)
from tests.support.fleet import KEY
from tests.support.marking import BODIES, SWITCHES, TO_CLIENT, TO_SERVER, canaries, write
from tests.support.numbered import (
    RESTART,
    NumberedLoad,
    marks_of,
    numbered_load,
    numbered_server,
)
from tests.support.process import Process, running
from tests.support.turning import Operator, operator, state_of
from tests.support.waiting import PATIENCE

SOCKETS: Final = 200
ASKING: Final = 8
RATE: Final = 500.0
PAUSE: Final = 2.0
"""Seconds between two messages of one end of a WebSocket."""

POLICIES: Final = (*("keep", "next_message") * 3, "reconnect")

CHANGES: Final = 100
UNDOS: Final = 10
RELOADS: Final = 20
BROKEN: Final = 5


def cut_short(directory: Path) -> None:
    mapping = directory / "mappings" / "second.yaml"
    mapping.write_text(mapping.read_text()[:120])


def lose_a_mapping(directory: Path) -> None:
    (directory / "mappings" / "first.yaml").unlink()


def lose_the_mappings(directory: Path) -> None:
    shutil.rmtree(directory / "mappings")


def misspell_a_key(directory: Path) -> None:
    config = directory / "config.yaml"
    config.write_text(config.read_text() + "timeout: {drain: 2s}\n")


def name_no_switch(directory: Path) -> None:
    config = directory / "config.yaml"
    config.write_text(config.read_text().replace("1s}", "1s, switches: {modern/third: off}}"))


BREAKAGES: Final[tuple[Callable[[Path], None], ...]] = (
    cut_short,
    lose_a_mapping,
    lose_the_mappings,
    misspell_a_key,
    name_no_switch,
)
assert len(BREAKAGES) == BROKEN


@dataclass
class Turning:
    """Somebody who turns switches at random, and writes down what was done and when."""

    operator: Operator
    events: list[Event]
    chance: random.Random
    kinds: Counter[str] = field(default_factory=Counter)
    policies: Counter[str] = field(default_factory=Counter)
    tables: list[Board] = field(default_factory=list)

    @property
    def board(self) -> Board:
        return self.events[-1].board

    async def change(self) -> None:
        """Make a change: while everything is off, that is to end it, or another step down."""
        kind = self.chance.choice(("set",) * 6 + ("exception",) * 3 + ("drop",) * 2 + ("all-off",))
        if self.board.all_off:
            kind = self.chance.choice(("restore", "restore", "lower"))
        switch = self.chance.choice(SWITCHES)
        exceptions = self.board.turned[switch].exceptions
        if kind == "drop" and not exceptions:
            kind = "exception"
        policy = self.chance.choice(POLICIES)
        self.kinds[kind] += 1
        match kind:
            case "all-off" | "restore":
                after = Board(self.board.turned, all_off=kind == "all-off")
                target = "/switches/all-off" if after.all_off else "/switches/restore"
                await self._made(after, "next_message", self.operator.order(target))
            case "drop":
                name = self.chance.choice(exceptions).name
                target = f"/switches/{switch}/exceptions/{name}?reason=r&open_sockets={policy}"
                expected = await self.operator.at(switch)
                order = self.operator.done("DELETE", target, expected=expected)
                await self._made(dropped(self.board, switch, name), policy, order)
            case "exception" | "set" | "lower":
                await self._set(switch, policy, kind)

    async def _set(self, switch: str, policy: str, kind: str) -> None:
        state = self.chance.choice(("off", "shadow", "canary", "canary", "on"))
        if kind == "lower":
            state = "off"
        percent = 0.0
        more: dict[str, object] = {"open_sockets": policy}
        if state == "canary":
            percent = more["percent"] = self.chance.choice((0, 0.25, 10, 33.33, 50, 90, 100))
        exempt = None
        if kind == "exception":
            versions = self.chance.choice(tuple(VERSIONS))
            exempt = "broken" if versions == "==2.1.3" else "branch", versions
            more |= {"name": exempt[0], "versions": versions}
        after = set_to(self.board, switch, state, percent, exempt)
        await self._made(after, policy, self.operator.turn(switch, state, **more))

    async def undo(self) -> None:
        """Go back to the table before, or to one that was some changes ago."""
        back = self.chance.choice((1, 1, 1, 2, 5))
        back = min(back, len(self.tables) - 1)
        after = self.tables[-1 - back]
        policy = self.chance.choice(POLICIES)
        to = {} if back == 1 else {"to": len(self.tables) - 1 - back}
        order = self.operator.order("/undo", open_sockets=policy, **to)
        self.kinds["undo"] += 1
        if after.all_off and not self.board.all_off:
            policy = "next_message"
        await self._made(after, policy, order)

    async def _made(self, after: Board, policy: str, order: Awaitable[Any]) -> None:
        """Give an order; what changes nothing makes no revision, and no socket does anything."""
        if after == self.board:
            assert (await order)["changed"] is False
            self.kinds["nothing"] += 1
            return
        scope = changes(self.board, after)
        if after.all_off is not self.board.all_off:
            scope = frozenset(SWITCHES)
        self.policies[policy] += 1
        asked = time.monotonic()
        assert (await order)["changed"] is True
        event = Event(after, self.events[-1].reading, scope, policy, asked, time.monotonic())
        self.events.append(event)
        self.tables.append(after)

    async def reload(self, reading: str, *, is_broken: bool) -> None:
        """Have the files read."""
        asked = time.monotonic()
        assert await self.operator.reload() is not is_broken
        if not is_broken:
            event = Event(self.board, reading, asked=asked, answered=time.monotonic())
            self.events.append(event)


async def test_hundred_changes_ten_undos_and_twenty_reloads_under_load(tmp_path: Path) -> None:
    state = state_of(tmp_path)
    env = {"SEGUE_STATE_DIR": str(state), "SEGUE_STORE__KEYS": KEY}
    chance = random.Random(20_26)
    versions = ("2.0.0", "2.1.3", "2.1.5", "2.3.0")
    clients = [Client(f"user-{n}", versions[n % 4]) for n in range(SOCKETS)]
    steps = ["change"] * CHANGES + ["undo"] * UNDOS + ["reload"] * (RELOADS - BROKEN)
    chance.shuffle(steps)
    for number in range(BROKEN):
        steps.insert(chance.randrange(len(steps)), f"broken {number}")
    async with (
        numbered_server(PAUSE) as server,
        running(write(tmp_path, server.url, "0"), env=env) as process,
        operator(state) as someone,
    ):
        first = Event(Board({switch: Turned() for switch in SWITCHES}), "0")
        turning = Turning(someone, [first], chance, tables=[first.board])
        store = SqliteSwitchStore(state / "sessions.sqlite3", timeout=5.0)
        try:
            story = Story(turning.events, await canaries(store), (*TO_CLIENT, *TO_SERVER))
        finally:
            await store.close()
        begun = time.monotonic()
        async with numbered_load(
            process.address, server, clients, clients[:ASKING], RATE
        ) as traffic:
            for number, step in enumerate(["change", *steps]):
                if step == "change":
                    await turning.change()
                elif step == "undo":
                    await turning.undo()
                else:
                    write(tmp_path, server.url, str(number))
                    is_broken = step != "reload"
                    if is_broken:
                        BREAKAGES[int(step.removeprefix("broken "))](tmp_path)
                    await turning.reload(str(number), is_broken=is_broken)
                await traffic.pass_by(5, 5)
            # Whoever was told to come back has time to.
            await traffic.pass_by(SOCKETS, 100)
        seconds = time.monotonic() - begun
        closed = Counter(socket.code for socket in traffic.sockets)
        sys.stdout.write(
            f"{len(traffic.sockets)} WebSockets, closed {dict(closed)};"
            f" {traffic.messages} messages, {len(traffic.echoes)} requests in {seconds:.1f} s;"
            f" {dict(turning.kinds)}, {dict(turning.policies)}\n"
        )
        check_whole(traffic)
        check_sockets(story, traffic)
        check_bodies(story, traffic)
        assert set(closed) == {1000, RESTART}
        assert min(turning.policies.values()) > 5, turning.policies
        await check_accounts(process, traffic)


def check_whole(traffic: NumberedLoad) -> None:
    """Nothing was lost or came out of order, both ways."""
    assert traffic.server.requests == len(traffic.echoes)
    for socket in traffic.sockets:
        assert [m["number"] for _, m in socket.got] == list(range(len(socket.got)))
        assert [m["number"] for _, m in socket.heard] == list(range(len(socket.heard)))
        if socket.code == 1000:
            assert socket.told == len(socket.got) == len(socket.sent)
            assert len(socket.heard) == len(socket.spoken)


def check_sockets(story: Story, traffic: NumberedLoad) -> None:
    """Every message has the marks of what was in force, and every end has its reason."""
    for socket in traffic.sockets:
        ways = (
            (TO_CLIENT, socket.from_server(short(TO_CLIENT))),
            (TO_SERVER, socket.from_client(short(TO_SERVER))),
        )
        last = story.latest(socket.ended)
        faults: list[list[object]] = []
        for board, reading in story.openings(socket.begun, socket.opened):
            lives = story.life(socket.client, board, reading, last)
            found: list[object] = [
                story.unexplained(lives, board, named(got), way) for way, got in ways
            ]
            if socket.code == RESTART and not lives[-1][1]:
                found.append("closed, though no change asked for that")
            faults.append([each for each in found if each is not None])
            if not faults[-1]:
                break
        assert [] in faults, (socket.client, faults)


def check_bodies(story: Story, traffic: NumberedLoad) -> None:
    """Request and answer have the marks of one moment while it was on its way."""
    for each in traffic.echoes:
        got = {
            *marks_of(each.asked, ("ask",)),
            *marks_of(each.answer, ("answer",)),
        }
        allowed = [
            {(name.partition("/")[2], mark) for name, mark in applied.marks(BODIES)}
            for number in range(story.earliest(each.sent), story.latest(each.arrived) + 1)
            for applied in (story.applied(each.client, number, number),)
        ]
        assert got in allowed, (each, allowed)


async def check_accounts(process: Process, traffic: NumberedLoad) -> None:
    """What Segue has counted is what arrived, to the message."""
    sockets, name = traffic.sockets, "segue_messages_total"
    async with asyncio.timeout(PATIENCE):
        # A socket's account is settled when it has ended.
        while await process.total("segue_open_websockets") > 0:  # noqa: ASYNC110
            await asyncio.sleep(0.05)
    metrics = await process.metrics()

    def total(**labels: str) -> float:
        return sum(
            value
            for (found, pairs), value in metrics.items()
            if found == name and labels.items() <= pairs
        )

    shown = Counter(
        (way, "+".join(name for name, _ in marks_of(message, names)))
        for socket in sockets
        for way, names, messages in (
            ("to_client", short(TO_CLIENT), socket.got),
            ("to_server", short(TO_SERVER), socket.heard),
        )
        for _, message in messages
    )
    shown["to_server", "ask"] = sum("ask" in each.asked for each in traffic.echoes)
    shown["to_client", "answer"] = sum("answer" in each.answer for each in traffic.echoes)
    for (way, mapping), count in shown.items():
        if mapping:
            assert total(direction=way, mapping=mapping, outcome="mapped") == count, mapping
    bodies = sum(total(mapping=name) for name in ("ask", "answer"))
    said = sum(socket.told is not None for socket in sockets)
    arrived = sum(len(socket.got) + len(socket.heard) for socket in sockets) + said
    assert total() - bodies - total(outcome="undelivered") == arrived
    for outcome in ("failed", "dropped"):
        assert total(outcome=outcome) == 0


def short(switches: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(switch.partition("/")[2] for switch in switches)


def named(got: list[Got]) -> list[Got]:
    return [
        each._replace(marks=tuple((f"modern/{name}", mark) for name, mark in each.marks))
        for each in got
    ]
