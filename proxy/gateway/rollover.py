"""Bringing a change of switches to the WebSockets that are open.

New requests and sockets read the snapshot; those that are open have their programs fixed, and are
gone through here, one change after the other, a few at a time so that no message waits for all of
them.
"""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from collections.abc import Callable, Collection
from hashlib import blake2b
from time import perf_counter
from typing import NamedTuple

from structlog.typing import FilteringBoundLogger

from proxy.gateway.open_websocket import OpenWebSocket
from proxy.gateway.upgrade import Upgrades
from proxy.mapping.decision import Decision
from proxy.mapping.programs import Programs
from proxy.mapping.switched import SwitchedCatalog
from proxy.snapshot import SwitchChange
from proxy.switching.canary import Sketch
from proxy.switching.setting import Mode
from proxy.switching.table import OpenSockets, SwitchName


class Touched(NamedTuple):
    """What a change would do to the open sockets of a cohort.

    Attributes:
        websockets: those to which something else would be done.
        of_websockets: all of the cohort.
        users: about how many users the former belong to.
    """

    websockets: int
    of_websockets: int
    users: int


class Rollover:
    """Goes through the open sockets of a process."""

    def __init__(
        self,
        upgrades: Upgrades,
        log: FilteringBoundLogger,
        current: Callable[[], int],
    ) -> None:
        """Construct; nothing runs while there is no change.

        Args:
            upgrades: knows the sockets.
            log: told of sockets that are told to come back.
            current: the number of the revision that is in force.
        """
        self._upgrades = upgrades
        self._log = log
        self._current = current
        self._pending: deque[SwitchChange] = deque()
        self._task: asyncio.Task[None] | None = None
        self._closing: set[asyncio.Task[None]] = set()

    def begin(self, change: SwitchChange) -> None:
        """Bring a change to the sockets, after those before it."""
        self._pending.append(change)
        if self._task is None or self._task.done():
            self._task = asyncio.get_running_loop().create_task(self._run())

    async def finished(self) -> None:
        """Wait until every change that was begun has been brought to all sockets.

        Those that are told to come back are not waited for.
        """
        while self._task is not None and not self._task.done():
            await asyncio.wait((self._task,))

    def behind(self) -> Counter[tuple[str, int]]:
        """The sockets that are not on the revision in force: how many, by cohort and revision."""
        current, found = self._current(), self._upgrades.by_revision
        return Counter({key: count for key, count in found.items() if key[1] != current})

    def by_revision(self) -> Counter[tuple[str, int]]:
        """The open sockets: how many, by cohort and revision."""
        return self._upgrades.by_revision.copy()

    async def touched(self, cohort: str, switches: SwitchedCatalog) -> Touched:
        """For how many open sockets of a cohort something else would apply under other switches."""
        users, touched, total = Sketch(), 0, 0
        async for socket in self._upgrades.walk():
            if socket.info.cohort != cohort:
                continue
            total += 1
            if _would_change(socket, switches):
                touched += 1
                # Any hash will do: only how many are different is asked.
                users.add(int.from_bytes(blake2b(socket.identity, digest_size=8).digest()))
        return Touched(touched, total, users.count())

    async def mapped(self, switch: SwitchName) -> int:
        """How many open sockets of its cohort a mapping is still applied to, whatever is set."""
        count = 0
        async for socket in self._upgrades.walk():
            programs = (socket.programs.to_client, socket.programs.to_server)
            count += socket.info.cohort == switch.cohort and any(
                each is not None and switch.mapping in each.mappings for each in programs
            )
        return count

    async def raises(self, switches: SwitchedCatalog, scope: Collection[SwitchName]) -> bool:
        """Whether an open socket would have more rewritten than it has under other switches.

        Args:
            switches: those.
            scope: what changed of them; who is left as they are by that counts for nothing.
        """
        async for socket in self._upgrades.walk():
            if _would_raise(socket, switches, scope):
                return True
        return False

    async def close(self) -> None:
        """The process ends."""
        running = [task for task in (self._task, *self._closing) if task is not None]
        for task in running:
            task.cancel()
        if running:
            await asyncio.wait(running)

    async def _run(self) -> None:
        while self._pending:
            change = self._pending.popleft()
            returning: list[OpenWebSocket] = []
            async for socket in self._upgrades.walk():
                try:
                    if self._bring(change, socket):
                        returning.append(socket)
                except Exception as error:  # noqa: BLE001 (the others are to change all the same)
                    self._log.error("switches failed", fault=type(error).__name__)
            if returning:
                closing = asyncio.create_task(self._reconnect(returning, change))
                self._closing.add(closing)
                closing.add_done_callback(self._closing.discard)

    async def _reconnect(self, sockets: list[OpenWebSocket], change: SwitchChange) -> None:
        number = change.snapshot.switches.table.number
        seconds = change.snapshot.config.switching.reconnect_over
        self._log.info(
            "reconnecting websockets",
            websockets=len(sockets),
            seconds=seconds,
            revision=number,
        )
        sockets.sort(key=lambda each: each.info.started)
        begin, pause, told = perf_counter(), seconds / len(sockets), 0
        for count, socket in enumerate(sockets):
            await asyncio.sleep(max(begin + count * pause - perf_counter(), 0))
            # One for which a later change has undone this one stays.
            if socket in self._upgrades.sockets and socket.serial < change.snapshot.switches.serial:
                socket.drain()
                told += 1
        self._log.info("reconnected websockets", websockets=told, revision=number)

    def _bring(self, change: SwitchChange, socket: OpenWebSocket) -> bool:
        """Bring a change to a socket; whether it is to come back."""
        switches = change.snapshot.switches
        if socket.serial >= switches.serial:
            return False
        before, after = socket.decision, _decided(socket, switches)
        if after is None:
            return False
        changed = _changed(before, after)
        if not changed:
            socket.keep(change.snapshot)
            return False
        if change.scope is not None and changed.isdisjoint(change.scope):
            return False  # What it was left with at an earlier change.
        sent_alike = _is_same_done(before.programs, after.programs)
        if change.policy is OpenSockets.NEXT_MESSAGE or sent_alike:
            # What is only looked at changes nothing that anybody is sent.
            socket.change(after, change.snapshot)
            return False
        return change.policy is OpenSockets.RECONNECT


def _decided(socket: OpenWebSocket, switches: SwitchedCatalog) -> Decision | None:
    selection = socket.info.selection
    if selection is None:
        return None
    return switches.decide(selection.cohort, selection.version, lambda: socket.identity)


def _would_change(socket: OpenWebSocket, switches: SwitchedCatalog) -> bool:
    decision = _decided(socket, switches)
    return decision is not None and not _is_same_done(socket.programs, decision.programs)


def _would_raise(
    socket: OpenWebSocket, switches: SwitchedCatalog, scope: Collection[SwitchName]
) -> bool:
    before, after = socket.decision, _decided(socket, switches)
    if after is None:
        return False
    return not _changed(before, after).isdisjoint(scope) and not _applied(after) <= _applied(before)


def _changed(before: Decision, after: Decision) -> set[SwitchName]:
    """The switches about which they differ."""
    return {each.switch for each in set(before.applied) ^ set(after.applied)}


def _is_same_done(before: Programs, after: Programs) -> bool:
    """Whether the same is done to the messages of a WebSocket; a chain is composed once."""
    return before.to_client is after.to_client and before.to_server is after.to_server


def _applied(decision: Decision) -> set[SwitchName]:
    """The switches whose mappings are applied."""
    return {each.switch for each in decision.applied if each.mode is Mode.ON}
