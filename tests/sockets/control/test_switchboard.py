"""The board of switches: two processes' boards on one store, and what they have in force."""

from __future__ import annotations

import asyncio
import io
import json
import shutil
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from proxy.control import canary_key
from proxy.control.current_switches import CurrentSwitches
from proxy.control.loading import load
from proxy.control.switch_store.base import (
    MAX_PAGE,
    MAX_REVISION,
    MAX_STATE,
    StoredRevision,
)
from proxy.control.switch_store.memory import MemorySwitchStore
from proxy.control.switchboard import RESERVED, Author, Made, Switchboard
from proxy.errors import StoreAway
from proxy.observability import log as logs
from proxy.snapshot import Live, SwitchChange
from proxy.switching.changes import (
    AllOff,
    Change,
    Restore,
    Undo,
)
from proxy.switching.history import Revision, revision_of, write_revision, write_table
from proxy.switching.refusal import ChangeRefused, Why
from proxy.switching.setting import OFF, ON, Mode, Setting
from proxy.switching.switch_changes import (
    DropException,
    RestoreSwitch,
    SetSwitch,
)
from proxy.switching.table import (
    EMPTY,
    MAX_EXCEPTIONS,
    MAX_SWITCHES,
    OpenSockets,
    SwitchName,
    SwitchState,
    Table,
    Term,
    VersionException,
)
from proxy.tokens.sealing import Sealer, new_key
from proxy.versions.version import Version, parse_range
from tests.support.checkout import ROOT
from tests.support.rig import Direct
from tests.support.waiting import PATIENCE

MODERN = SwitchName("modern", "old-to-new")
LEGACY = SwitchName("legacy", "new-to-old")
OPS = Author("ops", "operator")
HALF = Setting(Mode.CANARY, 5000)
KEYS = (new_key(),)
FILE = "switching: {authority: file}\n"


class Store(MemorySwitchStore):
    """One that can be away, and can be set back to an older copy of itself."""

    def __init__(self) -> None:
        super().__init__()
        self.is_away = False
        self.takes_nothing = False
        self.loses_answers = False
        self.pause: asyncio.Event | None = None

    def check(self) -> None:
        if self.is_away:
            raise StoreAway("nobody answers")

    async def number(self) -> int:
        self.check()
        return await super().number()

    async def load(self) -> StoredRevision | None:
        found = await super().load()
        if self.pause is not None:
            await self.pause.wait()
        return found

    async def append(self, new: StoredRevision, after: str = "") -> bool:
        self.check()
        if self.takes_nothing:
            raise StoreAway("nobody answers")
        has_won = await super().append(new, after)
        if self.loses_answers:
            raise StoreAway("nobody answers")
        return has_won

    async def value(self, name: str) -> bytes | None:
        self.check()
        return await super().value(name)

    async def close(self) -> None:
        """There are others on it."""

    def go_back(self, number: int) -> None:
        """Forget what came after a revision, as a backup does that is restored."""
        for each in [each for each in self._revisions if each > number]:
            del self._revisions[each]

    def hint(self) -> None:
        """Tell those who listen, as after a gap."""
        self._listeners.tell()


@dataclass
class Process:
    """A board as a process has it, and what it was told."""

    board: Switchboard
    live: Live
    file: Path
    log: io.StringIO
    installed: list[SwitchChange] = field(default_factory=list)
    made: list[Revision] = field(default_factory=list)
    found: list[Revision] = field(default_factory=list)

    def mode(self, switch: SwitchName = MODERN) -> Setting:
        """What a switch does here, for a client without a version."""
        return self.live.current.switches.in_force(switch).for_version(None)[1]

    def in_force(self, switch: SwitchName, version: str) -> Setting:
        """The same for a client of a version."""
        return self.live.current.switches.in_force(switch).for_version(Version.parse(version))[1]

    def reload(self, more: str) -> None:
        """Read the configuration anew, with something else behind it."""
        text = (ROOT / "config.yaml").read_text("utf-8")
        self.file.write_text(text + more, encoding="utf-8")
        self.live.current = self.board.current.under(load(self.file, {}, {}))
        self.board.current.reloaded()

    def lines(self, event: str) -> list[dict[str, object]]:
        found = [json.loads(line) for line in self.log.getvalue().splitlines()]
        return [line for line in found if line["event"] == event]

    async def set(
        self,
        setting: Setting,
        expected: int | None = None,
        switch: SwitchName = MODERN,
        sockets: OpenSockets | None = None,
    ) -> Revision:
        change = SetSwitch(switch, setting, expected=expected)
        return made_by(await self.board.change(change, OPS, "because", sockets))


def made_by(made: Made) -> Revision:
    """The revision of a change that made one, or that stands for it."""
    assert made.revision is not None
    return made.revision


@asynccontextmanager
async def process(
    store: MemorySwitchStore, directory: Path, more: str = "", keys: tuple[str, ...] = KEYS
) -> AsyncIterator[Process]:
    shutil.copytree(ROOT / "mappings", directory / "mappings", dirs_exist_ok=True)
    file = directory / "config.yaml"
    file.write_text((ROOT / "config.yaml").read_text("utf-8") + more, encoding="utf-8")
    stream = io.StringIO()
    writer = Direct(stream)
    log = logs.build(writer, "debug", "json", is_terminal=False)
    live = Live(load(file, {}, {}))
    installed: list[SwitchChange] = []
    made: list[Revision] = []
    found: list[Revision] = []
    current = CurrentSwitches(live, store, keys, log, installed.append, found.append, is_kept=True)
    board = Switchboard(current, store, log, made.append)
    await board.start()
    try:
        yield Process(board, live, file, stream, installed, made, found)
    finally:
        await board.close()
        writer.close()


@asynccontextmanager
async def two(
    store: MemorySwitchStore, directory: Path, more: str = "", other: str | None = None
) -> AsyncIterator[tuple[Process, Process]]:
    async with AsyncExitStack() as stack:
        processes = []
        for name, text in (("one", more), ("other", more if other is None else other)):
            (directory / name).mkdir()
            processes.append(
                await stack.enter_async_context(process(store, directory / name, text))
            )
        yield processes[0], processes[1]


async def until(is_so: Callable[[], bool]) -> None:
    async with asyncio.timeout(PATIENCE):
        while not is_so():  # noqa: ASYNC110 (nobody is told)
            await asyncio.sleep(0.002)


async def refused(change: object) -> Why:
    with pytest.raises(ChangeRefused) as raised:
        await change  # type: ignore[misc]  # an awaitable
    return raised.value.why


# Changes.


async def test_a_change_is_in_force_at_once_here_and_soon_there(tmp_path: Path) -> None:
    async with two(Store(), tmp_path) as (one, other):
        revision = await one.set(OFF, sockets=OpenSockets.NEXT_MESSAGE)
        assert one.mode() == OFF
        assert (revision.number, revision.author, revision.role) == (1, "ops", "operator")
        assert (revision.kind, revision.scope) == ("set", ("modern/old-to-new",))
        assert revision.before["modern/old-to-new"].setting is None
        assert revision.after["modern/old-to-new"].setting == "off"
        assert one.made == [revision]
        await until(lambda: other.mode() == OFF)
        assert other.made == []
        for each in (one, other):
            assert each.installed[-1].snapshot is each.live.current
            assert each.live.current.switches.table.number == 1
        # The one that read the store at its start does not ask what it missed before.
        assert one.installed[-1].policy is OpenSockets.NEXT_MESSAGE
        assert one.installed[-1].scope == frozenset({MODERN})
        assert await other.board.current.history.page(None, 10) == [revision]
        found = await other.board.current.history.revision(1)
        assert found is not None
        assert found[0] == revision
        assert await other.board.current.history.revision(2) is None


async def test_what_open_sockets_do_is_what_the_revisions_ask_that_were_missed(
    tmp_path: Path,
) -> None:
    async with two(Store(), tmp_path) as (one, other):
        await one.set(OFF)
        await until(lambda: other.mode() == OFF)
        before = len(other.installed)
        async with other.board.current.turn:
            await one.set(HALF, 1, sockets=OpenSockets.KEEP)
            await one.set(OFF, switch=LEGACY, sockets=OpenSockets.NEXT_MESSAGE)
            await one.set(ON, 2, sockets=OpenSockets.RECONNECT)
        await until(lambda: other.mode() == ON)
        # Each is brought by itself, in their order, as whoever was there has brought it.
        assert [(each.scope, each.policy) for each in other.installed[before:]] == [
            (frozenset({MODERN}), OpenSockets.KEEP),
            (frozenset({LEGACY}), OpenSockets.NEXT_MESSAGE),
            (frozenset({MODERN}), OpenSockets.RECONNECT),
        ]
        tables = [each.snapshot.switches.table.number for each in other.installed[before:]]
        assert tables == [2, 3, 4]


async def test_what_is_not_kept_any_more_is_brought_with_what_follows_it(tmp_path: Path) -> None:
    store = Store()
    async with two(store, tmp_path) as (one, other):
        before = len(other.installed)
        async with other.board.current.turn:
            await one.set(OFF, sockets=OpenSockets.NEXT_MESSAGE)
            await one.set(OFF, switch=LEGACY, sockets=OpenSockets.KEEP)
            del store._revisions[1]
        await until(lambda: other.mode() == OFF)
        assert [(each.scope, each.policy) for each in other.installed[before:]] == [
            (frozenset({MODERN, LEGACY}), OpenSockets.KEEP)
        ]


async def test_the_first_revision_of_all_is_brought_to_open_sockets_as_it_asks(
    tmp_path: Path,
) -> None:
    async with two(Store(), tmp_path) as (one, other):
        await one.set(OFF, sockets=OpenSockets.NEXT_MESSAGE)
        await until(lambda: other.mode() == OFF)
        assert other.installed[-1].policy is OpenSockets.NEXT_MESSAGE


async def test_more_revisions_than_are_read_at_once_can_be_missed(tmp_path: Path) -> None:
    store = Store()
    async with two(store, tmp_path) as (one, other):
        await one.set(OFF, switch=LEGACY)
        await until(lambda: other.board.current.stored.number == 1)
        # The other one cannot read until the end.
        async with other.board.current.turn:
            await one.set(OFF, sockets=OpenSockets.NEXT_MESSAGE)
            for number in range(2 * MAX_PAGE):
                change = SetSwitch(LEGACY, OFF, term=Term(f"owner {number}"))
                await one.board.change(change, OPS, "because", OpenSockets.KEEP)
        await until(lambda: other.mode() == OFF)
        assert other.board.current.stored.number == 2 + 2 * MAX_PAGE
        brought = [(each.scope, each.policy) for each in other.installed[-2:]]
        assert brought == [
            (frozenset({MODERN}), OpenSockets.NEXT_MESSAGE),
            (frozenset({LEGACY}), OpenSockets.KEEP),
        ]


async def test_two_at_the_same_moment_both_win_or_one_is_told(tmp_path: Path) -> None:
    async with two(Store(), tmp_path) as (one, other):
        await asyncio.gather(one.set(OFF), other.set(OFF, switch=LEGACY))
        await until(lambda: {one.mode(LEGACY), other.mode()} == {OFF})
        told = await asyncio.gather(
            one.set(ON, 1), other.set(ON, 1), one.set(ON, 1), return_exceptions=True
        )
        whys = [each.why for each in told if isinstance(each, ChangeRefused)]
        assert whys == [Why.CHANGED, Why.CHANGED]
        assert one.board.current.stored.number == 3


async def test_refusals_change_nothing(tmp_path: Path) -> None:
    async with process(Store(), tmp_path) as one:
        assert await refused(one.set(OFF, switch=SwitchName("a", "b"))) is Why.UNKNOWN
        assert await refused(one.set(ON, 7)) is Why.CHANGED
        assert await refused(one.board.undo(None, None, OPS, "why")) is Why.UNKNOWN
        assert await refused(one.board.undo(3, None, OPS, "why")) is Why.UNKNOWN
        assert one.board.preview(AllOff()).all_off
        assert one.board.current.stored == EMPTY
        assert [each.snapshot.switches.table for each in one.installed] == [EMPTY]


async def test_undo_and_undo_again(tmp_path: Path) -> None:
    store = Store()
    async with process(store, tmp_path) as one:
        await one.set(HALF)
        await one.set(OFF)
        assert await refused(one.board.undo(None, None, OPS, "why")) is Why.UNCONDITIONAL
        revision = made_by(await one.board.undo(None, 2, OPS, "too early"))
        assert (revision.kind, one.mode()) == ("undo", HALF)
        await one.board.undo(None, None, OPS, "after all")
        assert one.mode() == OFF
        await one.board.undo(0, 4, OPS, "as the file says")
        assert one.mode() == ON
        store._revisions.pop(2)
        assert await refused(one.board.undo(2, 5, OPS, "why")) is Why.UNKNOWN


async def test_an_undo_does_not_undo_what_came_meanwhile(tmp_path: Path) -> None:
    store = Store()
    async with two(store, tmp_path) as (one, other):
        await one.set(HALF)
        await one.set(ON, 1)
        found = store.revision
        waiting, told = asyncio.Event(), asyncio.Event()

        async def slowly(number: int) -> StoredRevision | None:
            waiting.set()
            await told.wait()
            return await found(number)

        store.revision = slowly  # type: ignore[method-assign]  # a storage that takes its time
        undo = asyncio.create_task(one.board.undo(None, None, OPS, "why"))
        await waiting.wait()
        await other.set(OFF, switch=LEGACY)
        told.set()
        assert await refused(undo) is Why.CHANGED
        assert one.board.current.stored.number == 3


async def test_everything_off_acts_on_open_sockets_whatever_else_was_asked(
    tmp_path: Path,
) -> None:
    async with two(Store(), tmp_path) as (one, other):
        await one.board.change(AllOff(), OPS, "stop", OpenSockets.KEEP)
        await until(lambda: other.mode() == OFF)
        for each in (one, other):
            assert each.live.current.switches.table.all_off
            assert each.installed[-1].scope is None
            assert each.installed[-1].policy is OpenSockets.NEXT_MESSAGE
        await other.board.change(Restore(1), OPS, "go on")
        await until(lambda: one.mode() == ON)
        assert one.installed[-1].policy is OpenSockets.NEXT_MESSAGE


async def test_an_exception_and_its_end(tmp_path: Path) -> None:
    async with process(Store(), tmp_path) as one:
        broken = SetSwitch(MODERN, OFF, parse_range("==2.1.3"), "broken-2-1-3")
        await one.board.change(broken, OPS, "it is")
        state = one.live.current.switches.in_force(MODERN)
        assert [each.name for each in state.exceptions] == ["broken-2-1-3"]
        drop = DropException(MODERN, "broken-2-1-3", expected=1)
        assert made_by(await one.board.change(drop, OPS, "mended")).kind == "drop"


# The store.


async def test_a_store_that_is_away_changes_nothing_and_takes_nothing(tmp_path: Path) -> None:
    store = Store()
    async with two(store, tmp_path) as (one, other):
        await one.set(OFF)
        await until(lambda: other.mode() == OFF)
        store.is_away = True
        for each in (one, other):
            with pytest.raises(StoreAway):
                await each.set(HALF, 1)
            assert each.mode() == OFF
            assert each.board.current.away_since is not None
            assert each.board.current.trouble == "nobody answers"
        store.is_away = False
        await until(lambda: other.board.current.away_since is None)
        await one.set(HALF, 1)
        await until(lambda: other.mode() == HALF)
        assert other.board.current.trouble == ""
        assert [len(other.lines(f"the store of switches is {each}")) for each in ("away", "back")]


async def test_a_revision_whose_answer_was_lost_is_told_by_everybody_once(tmp_path: Path) -> None:
    store = Store()
    async with two(store, tmp_path) as (one, other):
        first = await one.set(HALF)
        store.loses_answers = True
        with pytest.raises(StoreAway):
            await one.set(OFF)
        store.loses_answers = False
        await until(lambda: one.mode() == other.mode() == OFF)
        last = await other.set(OFF, switch=LEGACY)
        await until(lambda: one.mode(LEGACY) == OFF)
        assert (one.made, other.made) == ([first], [last])
        assert [each.number for each in one.found] == [2, 3]
        assert [each.number for each in other.found] == [1, 2]
        assert [(each.author, each.reason) for each in one.found[:1]] == [("ops", "because")]
        # Who starts later has been told of none of them.
        (tmp_path / "late").mkdir()
        async with process(store, tmp_path / "late") as late:
            assert late.mode() == OFF
            assert late.found == []


async def test_a_store_that_is_away_at_the_start_is_read_later(tmp_path: Path) -> None:
    store = Store()
    (tmp_path / "one").mkdir()
    async with process(store, tmp_path / "one") as one:
        await one.set(OFF)
    store.is_away = True
    (tmp_path / "late").mkdir()
    async with process(store, tmp_path / "late") as late:
        assert late.mode() == ON
        store.is_away = False
        await until(lambda: late.mode() == OFF)


async def test_a_store_that_went_back_is_followed(tmp_path: Path) -> None:
    store = Store()
    async with two(store, tmp_path) as (one, other):
        await one.set(HALF)
        await one.set(OFF)
        await until(lambda: other.mode() == OFF)
        store.go_back(1)
        store.hint()
        await until(lambda: one.mode() == other.mode() == HALF)
        assert one.lines("the store of switches went back")[0]["revision"] == 1
        # What is done then is done to all, whatever number they have had.
        await one.board.change(AllOff(), OPS, "stop")
        await until(lambda: other.mode() == OFF)
        assert other.installed[-1].policy is OpenSockets.NEXT_MESSAGE


async def test_a_number_that_another_revision_has_had_is_told_from_it(tmp_path: Path) -> None:
    store = Store()
    async with two(store, tmp_path) as (one, other):
        await one.set(HALF)
        await until(lambda: other.mode() == HALF)
        # The primary that took revision 2 dies before its replica has heard of it.
        lost = Table(2, {MODERN: SwitchState(OFF, revision=2)})
        assert await store.append(StoredRevision(2, b"lost", write_table(lost)))
        await until(lambda: one.mode() == other.mode() == OFF)
        async with one.board.current.turn, other.board.current.turn:
            store.go_back(1)
            found = Table(2, {MODERN: SwitchState(ON, revision=2)})
            assert await store.append(StoredRevision(2, b"found", write_table(found)))
        await until(lambda: one.mode() == other.mode() == ON)
        for each in (one, other):
            (line,) = each.lines("the store of switches went back")
            assert (line["revision"], line["before"]) == (2, 2)
            assert [found.number for found in (*each.made, *each.found)] == [1]
        # A change that follows does not write back what was lost.
        await one.set(OFF, switch=LEGACY)
        await until(lambda: other.mode(LEGACY) == OFF)
        assert one.mode() == other.mode() == ON


async def test_a_change_is_made_on_the_revision_that_is_there_and_not_on_one_that_is_lost(
    tmp_path: Path,
) -> None:
    store = Store()
    async with process(store, tmp_path) as one:
        await one.set(HALF)
        append = store.append

        async def behind_a_failover(new: StoredRevision, after: str = "") -> bool:
            store.append = append  # type: ignore[method-assign]  # once
            store.go_back(0)
            other = Table(1, {LEGACY: SwitchState(OFF, revision=1)})
            assert await append(StoredRevision(1, b"another", write_table(other)))
            return await append(new, after)

        store.append = behind_a_failover  # type: ignore[method-assign]  # the primary fails now
        revision = await one.set(OFF)
        assert revision.number == 2
        assert revision.before["modern/old-to-new"].setting is None
        assert (one.mode(), one.mode(LEGACY)) == (OFF, OFF)


async def test_a_key_that_the_store_has_lost_is_put_back_while_the_number_stands(
    tmp_path: Path,
) -> None:
    store = Store()
    async with process(store, tmp_path) as one:
        key = one.live.current.switches.key
        store._values.clear()
        store.hint()
        await until(lambda: canary_key.NAME in store._values)
        (tmp_path / "other").mkdir()
        async with process(store, tmp_path / "other") as other:
            assert other.live.current.switches.key == one.live.current.switches.key == key


async def test_a_store_that_has_lost_everything_is_given_the_same_key(tmp_path: Path) -> None:
    store = Store()
    async with process(store, tmp_path) as one:
        await one.set(HALF)
        key = one.live.current.switches.key
        store._values.clear()
        store.go_back(0)
        store.hint()
        await until(lambda: one.board.current.stored == EMPTY)
        assert one.live.current.switches.key == key
        (tmp_path / "other").mkdir()
        async with process(store, tmp_path / "other") as other:
            assert other.live.current.switches.key == key


async def test_what_is_read_late_takes_the_place_of_nothing_newer(tmp_path: Path) -> None:
    store = Store()
    async with two(store, tmp_path) as (one, other):
        store.pause = asyncio.Event()
        await one.set(OFF)  # The other one reads it, and is given it late.
        await asyncio.sleep(0)
        second = asyncio.create_task(other.set(OFF, switch=LEGACY))
        third = asyncio.create_task(one.set(HALF, 1))
        await asyncio.sleep(0.01)
        store.pause.set()
        await asyncio.gather(second, third)
        await until(
            lambda: other.board.current.stored.number == one.board.current.stored.number == 3
        )
        assert other.lines("the store of switches went back") == []
        assert (other.mode(), other.mode(LEGACY)) == (HALF, OFF)


async def test_a_state_that_cannot_be_read_leaves_what_is_in_force(tmp_path: Path) -> None:
    store = Store()
    async with process(store, tmp_path) as one:
        await one.set(OFF)
        await store.append(StoredRevision(2, b"{}", b'{"format":2}'))
        await until(lambda: one.board.current.away_since is not None)
        assert one.mode() == OFF
        assert "cannot be read" in one.board.current.trouble
        with pytest.raises(StoreAway):
            await one.board.current.history.revision(2)
        with pytest.raises(StoreAway):
            await one.set(OFF)
        assert [each.number for each in await one.board.current.history.page(None, 10)] == [1]


# What is temporary.


async def test_what_is_set_for_a_time_is_restored_once(tmp_path: Path) -> None:
    store = Store()
    async with two(store, tmp_path) as (one, other):
        term = Term("ops", time.time() + 3600, restore=True)
        await one.board.change(SetSwitch(MODERN, OFF, term=term), OPS, "for an hour")
        await until(lambda: other.mode() == OFF)
        # The hour is over.
        stored = one.board.current.stored.states[MODERN]
        over = replace(stored, term=replace(term, until=time.time() - 1))
        table = Table(2, {MODERN: over})
        await store.append(StoredRevision(2, b"{}", write_table(table)))
        await until(lambda: one.mode() == other.mode() == ON)
        kinds = [each.kind for each in await one.board.current.history.page(None, 10)]
        assert kinds == ["expire", "set"]
        assert [each.author for each in [*one.made, *other.made] if each.kind == "expire"] == [
            "segue"
        ]


async def test_an_undo_of_what_ended_by_itself_is_not_taken_back(tmp_path: Path) -> None:
    store = Store()
    async with process(store, tmp_path) as one:
        over = Term("ops", time.time() - 1, restore=True)
        await one.board.change(SetSwitch(MODERN, OFF, term=over), OPS, "for a moment")
        store.hint()
        await until(lambda: one.mode() == ON)
        undone = made_by(await one.board.undo(None, 2, OPS, "it is needed after all"))
        assert undone.outlived == ("modern/old-to-new",)
        store.hint()
        await until(lambda: not one.board.current._hinted.is_set())
        await one.set(OFF, switch=LEGACY)
        assert one.mode() == OFF
        told = [
            (each.kind, each.outlived) for each in await one.board.current.history.page(None, 10)
        ]
        assert told == [("set", ()), ("undo", undone.outlived), ("expire", ()), ("set", ())]


async def test_what_ends_by_itself_acts_on_open_sockets_as_what_set_it(tmp_path: Path) -> None:
    store = Store()
    async with two(store, tmp_path) as (one, other):
        for switch, policy in ((MODERN, OpenSockets.NEXT_MESSAGE), (LEGACY, None)):
            term = Term("ops", time.time() + 3600, restore=True)
            change = SetSwitch(switch, OFF, term=term)
            await one.board.change(change, OPS, "for an hour", policy)
        # The hour is over, for both at once.
        states = {
            name: replace(state, term=replace(state.term, until=time.time() - 1))
            for name, state in one.board.current.stored.states.items()
        }
        await store.append(StoredRevision(3, b"{}", write_table(Table(3, states))))
        await until(lambda: {each.mode(MODERN) for each in (one, other)} == {ON})
        await until(lambda: {each.mode(LEGACY) for each in (one, other)} == {ON})
        ended = await one.board.current.history.page(None, 2)
        # A socket that was promised to be kept is not changed by what ends beside it.
        assert {(each.kind, each.scope, each.open_sockets) for each in ended} == {
            ("expire", (str(MODERN),), OpenSockets.NEXT_MESSAGE),
            ("expire", (str(LEGACY),), OpenSockets.KEEP),
        }


# Files that differ.


async def test_a_replica_without_what_a_revision_names_takes_all_else_of_it(tmp_path: Path) -> None:
    more = """
  - name: next
    versions: ">=9"
    websocket:
      to_client: [old-to-new]
"""
    text = (ROOT / "config.yaml").read_text("utf-8")
    with_next = text.replace("cohorts:\n", "cohorts:" + more, 1)
    async with two(Store(), tmp_path) as (one, other):
        one.file.write_text(with_next, encoding="utf-8")
        one.live.current = one.board.current.under(load(one.file, {}, {}))
        new = SwitchName("next", "old-to-new")
        # The very first revision names what is not there.
        await one.set(OFF, switch=new)
        await until(lambda: other.board.current.unapplied == (new,))
        assert other.live.current.switches.table.number == 1
        assert other.lines("a revision names switches that are not in the configuration here")
        await one.set(OFF)
        await until(lambda: other.mode() == OFF)
        assert other.board.current.unapplied == (new,)
        await one.set(ON, 2)
        await until(lambda: other.mode() == ON)
        await one.board.change(AllOff(), OPS, "stop")
        await until(lambda: other.mode() == OFF)
        assert other.installed[-1].policy is OpenSockets.NEXT_MESSAGE
        await one.board.change(Restore(4), OPS, "go on")
        await until(lambda: other.mode() == ON)
        assert other.board.current.unapplied == (new,)
        # The file comes.
        other.file.write_text(with_next, encoding="utf-8")
        other.live.current = other.board.current.under(load(other.file, {}, {}))
        other.board.current.reloaded()
        await until(lambda: not other.board.current.unapplied)
        assert (other.mode(), other.mode(new)) == (ON, OFF)
        # It goes again, and is not missed; until somebody turns it who has it.
        other.reload("")
        await one.set(OFF, switch=LEGACY)
        await until(lambda: other.mode(LEGACY) == OFF)
        await until(lambda: not other.board.current.unapplied)
        assert other.board.current.orphans == (new,)
        await one.set(HALF, 1, switch=new)
        await until(lambda: other.board.current.unapplied == (new,))
        # What undoes it leaves nothing to be missed.
        await one.board.undo(0, 7, OPS, "never mind")
        await until(lambda: not other.board.current.unapplied)


async def test_what_ends_a_switch_that_is_gone_keeps_nothing_else_from_being_turned(
    tmp_path: Path,
) -> None:
    async with two(Store(), tmp_path) as (one, other):
        term = Term("ops", time.time() + 3600, restore=True)
        await one.set(HALF)
        await one.board.change(SetSwitch(LEGACY, OFF, term=term), OPS, "for an hour")
        await until(lambda: other.mode(LEGACY) == OFF)
        for each in (one, other):
            text = (ROOT / "config.yaml").read_text("utf-8")
            each.file.write_text(text.replace("[new-to-old]", "[]"), encoding="utf-8")
            each.live.current = each.board.current.under(load(each.file, {}, {}))
            each.board.current.reloaded()
        # The hour is over.
        over = replace(term, until=time.time() - 1)
        states = one.board.current.stored.states
        states = {**states, LEGACY: replace(states[LEGACY], term=over)}
        table = write_table(Table(3, states))
        await one.board._store.append(StoredRevision(3, b"{}", table))
        await until(lambda: one.board.current.stored.number == 4)
        await one.set(OFF)
        await until(lambda: other.mode() == OFF)
        # An undo sets what is gone again, or ends it.
        await one.board.undo(2, 5, OPS, "back")
        await until(lambda: other.mode() == HALF)
        await one.set(OFF)
        await until(lambda: other.mode() == OFF)
        for each in (one, other):
            assert each.board.current.unapplied == ()
            assert each.live.current.switches.table.number == 7


async def test_a_mapping_that_is_gone_while_it_is_switched(tmp_path: Path) -> None:
    async with process(Store(), tmp_path) as one:
        await one.set(OFF, switch=LEGACY)
        text = (ROOT / "config.yaml").read_text("utf-8")
        one.file.write_text(text.replace("[new-to-old]", "[]"), encoding="utf-8")
        one.live.current = one.board.current.under(load(one.file, {}, {}))
        one.board.current.reloaded()
        await one.set(OFF)
        assert one.mode() == OFF
        assert one.board.current.unapplied == ()
        assert await refused(one.set(OFF, switch=LEGACY)) is Why.UNKNOWN
        one.reload("# It is back.\n")
        assert one.mode(LEGACY) == OFF


# The file as the authority.


async def test_the_file_takes_steps_down_alone(tmp_path: Path) -> None:
    more = "switching: {authority: file, switches: {modern/old-to-new: canary 50%}}\n"
    async with process(Store(), tmp_path, more) as one:
        await until(lambda: one.board.current.stored.digest == one.live.current.digest)
        (followed,) = one.made
        assert followed.kind == "follow"
        assert followed.author == f"configuration {one.live.current.digest}"
        assert await refused(one.set(ON, 0)) is Why.AUTHORITY
        assert await refused(one.set(ON)) is Why.AUTHORITY
        raised = SetSwitch(MODERN, ON, parse_range("==3"), "more")
        assert await refused(one.board.change(raised, OPS, "why")) is Why.AUTHORITY
        await one.set(OFF)
        assert one.mode() == OFF
        with pytest.raises(ChangeRefused, match="and reload"):
            one.board.preview(SetSwitch(MODERN, HALF, expected=2))
        lower = SetSwitch(LEGACY, OFF, parse_range("==1.5"), "less")
        await one.board.change(lower, OPS, "why")


async def test_steps_down_from_the_file_can_be_ended(tmp_path: Path) -> None:
    more = """switching:
  authority: file
  switches: {modern/old-to-new: canary 50%}
  exceptions: [{switch: legacy/new-to-old, name: broken, versions: "==1.9", state: off}]
"""
    async with process(Store(), tmp_path, more) as one:
        await until(lambda: one.board.current.stored.digest == one.live.current.digest)

        async def ended(change: Change) -> str:
            return made_by(await one.board.change(change, OPS, "it was the server")).kind

        await one.set(OFF)
        assert await refused(one.board.change(RestoreSwitch(MODERN), OPS, "w")) is Why.UNCONDITIONAL
        assert await ended(RestoreSwitch(MODERN, 2)) == "restore-switch"
        assert one.mode() == HALF
        assert one.board.current.stored.digest == one.live.current.digest
        nothing = one.board.change(RestoreSwitch(MODERN, 3), OPS, "w")
        assert await refused(nothing) is Why.CONFLICT
        # An undo of it does the same, and goes no further than the file.
        await one.set(OFF)
        assert made_by(await one.board.undo(None, 4, OPS, "it was the server")).kind == "undo"
        assert one.mode() == HALF
        higher = Undo(Table(0, {MODERN: SwitchState(ON)}), 5, now=0)
        assert await refused(one.board.change(higher, OPS, "w")) is Why.AUTHORITY
        # So does the end of an exception, but for one that the file has.
        less = SetSwitch(LEGACY, OFF, parse_range("==1.5"), "less")
        await one.board.change(less, OPS, "why")
        own = DropException(LEGACY, "broken", expected=6)
        assert await refused(one.board.change(own, OPS, "w")) is Why.AUTHORITY
        assert await ended(DropException(LEGACY, "less", expected=6)) == "drop"
        assert one.in_force(LEGACY, "1.5") == ON
        assert one.in_force(LEGACY, "1.9") == OFF
        # And everything off is ended by what began it being taken back, too.
        await one.board.change(AllOff(), OPS, "stop")
        await one.board.undo(None, 8, OPS, "it was the server")
        assert one.mode() == HALF


async def test_a_narrower_exception_is_no_step_down(tmp_path: Path) -> None:
    more = """switching:
  authority: file
  exceptions: [{switch: modern/old-to-new, name: broken, versions: "<3", state: off}]
"""
    async with process(Store(), tmp_path, more) as one:
        narrower = SetSwitch(MODERN, OFF, parse_range("==2.1.3"), "broken")
        assert await refused(one.board.change(narrower, OPS, "why")) is Why.AUTHORITY
        half = SetSwitch(MODERN, HALF, parse_range("<3"), "broken")
        assert await refused(one.board.change(half, OPS, "why")) is Why.AUTHORITY


async def test_an_override_lasts_until_another_file_comes(tmp_path: Path) -> None:
    store = Store()
    async with process(store, tmp_path, FILE) as one:
        await until(lambda: one.board.current.stored.number == 1)
        await one.set(OFF)
        one.reload(FILE)
        await until(lambda: not one.board.current._hinted.is_set())
        assert one.mode() == OFF
        one.reload(FILE + "# Another one.\n")
        assert one.mode() == ON
        await until(lambda: one.board.current.stored.digest == one.live.current.digest)
        assert [each.kind for each in one.made] == ["follow", "set", "follow"]
        # What was said of the file before is not taken up again.
        await one.set(OFF, switch=LEGACY)
        assert (one.mode(), one.mode(LEGACY)) == (ON, OFF)


async def test_what_is_off_or_on_as_a_whole_already_is_no_failure(tmp_path: Path) -> None:
    store = Store()
    async with process(store, tmp_path) as one:
        # Nothing was ever off: no revision says so.
        assert await one.board.change(Restore(), OPS, "end") == Made(None, changed=False)
        off = made_by(await one.board.change(AllOff(), OPS, "stop"))
        await one.set(OFF)
        assert await one.board.change(AllOff(), OPS, "again") == Made(off, changed=False)
        ended = made_by(await one.board.change(Restore(2), OPS, "end"))
        await one.set(OFF, switch=LEGACY)
        # Whatever it builds on: nothing is left to do.
        for expected in (None, 3):
            again = await one.board.change(Restore(expected), OPS, "again")
            assert again == Made(ended, changed=False)
        assert one.board.current.stored.number == 4
        assert len(one.made) == 4


async def test_of_a_change_for_a_time_nothing_is_left_and_an_edit_of_the_file_counts(
    tmp_path: Path,
) -> None:
    store = Store()
    async with process(store, tmp_path) as one:
        over = Term("ops", time.time() - 1, restore=True)
        await one.board.change(SetSwitch(MODERN, OFF, term=over), OPS, "for a moment")
        store.hint()
        await until(lambda: one.board.current.stored.number == 2)
        assert one.board.current.stored.states == {MODERN: SwitchState(revision=2)}
        one.reload("switching: {switches: {modern/old-to-new: canary 50%}}\n")
        assert one.mode() == HALF
        kept = await one.board.change(
            SetSwitch(MODERN, OFF, term=Term("ann", time.time() + 60)), OPS, "until then"
        )
        assert kept.not_kept is None
        lost = (await one.board.change(SetSwitch(MODERN, OFF), OPS, "for good")).not_kept
        assert lost is not None
        assert (lost.owner, lost.until is None) == ("ann", False)


async def test_what_changes_nothing_makes_no_revision(tmp_path: Path) -> None:
    store = Store()
    async with process(store, tmp_path) as one:
        first = await one.set(OFF)
        await one.set(OFF, switch=LEGACY)
        again = await one.board.change(SetSwitch(MODERN, OFF, expected=1), OPS, "again")
        assert again == Made(first, changed=False)
        undone = await one.board.undo(1, 2, OPS, "back")
        assert undone.changed
        again = await one.board.undo(1, 3, OPS, "back")
        assert again == Made(undone.revision, changed=False)
        assert await refused(one.board.change(SetSwitch(MODERN, OFF, expected=7), OPS, "x")) is (
            Why.CHANGED
        )
        assert [each.number for each in one.made] == [1, 2, 3]
        # What set it last is not kept any more: this is what others build on from now on.
        del store._revisions[1]
        made = await one.board.change(SetSwitch(MODERN, OFF), OPS, "again")
        revision = made_by(made)
        assert (made.changed, revision.number, revision.scope) == (True, 4, ())


async def test_an_undo_takes_up_nothing_that_was_said_of_another_file(tmp_path: Path) -> None:
    async with process(Store(), tmp_path, FILE) as one:
        await until(lambda: one.board.current.stored.number == 1)
        await one.set(OFF)
        one.reload(FILE + "# Another one.\n")
        await until(lambda: one.board.current.stored.number == 3)
        await one.set(OFF, switch=LEGACY)
        await one.board.undo(2, 4, OPS, "back")
        assert (one.mode(), one.mode(LEGACY)) == (ON, ON)


async def test_everything_off_ends_with_a_file_that_is_new_to_all(tmp_path: Path) -> None:
    store = Store()
    async with process(store, tmp_path, FILE) as one:
        await until(lambda: one.board.current.stored.number == 1)
        await one.board.change(AllOff(), OPS, "stop")
        one.reload(FILE)
        assert one.live.current.switches.table.all_off
        one.reload(FILE + "# Another one.\n")
        await until(lambda: one.board.current.stored.digest == one.live.current.digest)
        assert one.mode() == ON
        # Open sockets were stopped by it, and go on with it.
        assert [each for each in one.installed if each.policy is OpenSockets.NEXT_MESSAGE][
            -1
        ].snapshot.switches.table.all_off is False
        await one.board.change(AllOff(), OPS, "stop")
        one.reload(FILE)  # As it was once.
        await until(lambda: one.board.current.stored.digest == one.live.current.digest)
        assert one.mode() == OFF
        await one.board.change(Restore(one.board.current.stored.number), OPS, "go on")
        assert one.mode() == ON


async def test_replicas_with_different_files_stop_together(tmp_path: Path) -> None:
    async with two(Store(), tmp_path, FILE, FILE + "# Another one.\n") as (one, other):
        await until(
            lambda: one.board.current.stored.number == other.board.current.stored.number == 2
        )
        stored, late = (
            one.board.current.stored,
            one if (one.board.current.stored.digest != one.live.current.digest) else other,
        )
        assert late.live.current.digest != stored.digest
        early = other if late is one else one
        await early.board.change(AllOff(), OPS, "stop")
        await until(lambda: late.mode() == OFF)
        assert late.installed[-1].policy is OpenSockets.NEXT_MESSAGE
        # It starts again, and is stopped still.
        (tmp_path / "again").mkdir()
        more = late.file.read_text("utf-8").removeprefix((ROOT / "config.yaml").read_text("utf-8"))
        async with process(early.board._store, tmp_path / "again", more) as again:  # type: ignore[arg-type]
            await until(lambda: again.board.current.stored.digest == again.live.current.digest)
            assert again.live.current.digest == late.live.current.digest
            assert again.mode() == OFF
            await until(lambda: early.board.current.stored.number == 4)
            assert early.mode() == OFF


async def test_a_step_down_under_another_file_is_told_as_not_applied(tmp_path: Path) -> None:
    async with two(Store(), tmp_path, FILE, FILE + "# Another one.\n") as (one, other):
        await until(
            lambda: one.board.current.stored.number == other.board.current.stored.number == 2
        )
        late, early = (one, other) if one.board.current.stands_on else (other, one)
        assert (early.board.current.stands_on, early.board.current.unapplied) == ("", ())
        await until(lambda: late.board.current.stands_on == early.live.current.digest)
        assert late.board.current.unapplied == ()
        await early.set(OFF)
        await until(lambda: late.board.current.unapplied == (MODERN,))
        assert late.mode() == ON
        assert late.live.current.switches.table.number == 3
        lines = late.lines("a revision is of another configuration than serves here")
        assert [(line["revision"], line["switches"]) for line in lines] == [
            (2, []),
            (3, [str(MODERN)]),
        ]
        # The file comes: from its first moment on, what was turned under it is turned.
        text = early.file.read_text("utf-8").removeprefix((ROOT / "config.yaml").read_text("utf-8"))
        late.reload(text)
        assert late.mode() == OFF
        await until(lambda: late.board.current.unapplied == () and not late.board.current.stands_on)
        assert late.live.current.switches.table.number == 3


async def test_replicas_with_different_files_each_go_by_what_was_set_under_theirs(
    tmp_path: Path,
) -> None:
    """A rolling deployment: some replicas have the next file already."""
    files = FILE, FILE + "# The next one.\n"
    async with two(Store(), tmp_path, *files) as (one, other):
        pair = (one, other)

        async def modes(*expected: tuple[Setting, Setting]) -> None:
            number = max(each.board.current.stored.number for each in pair)
            await until(lambda: all(each.board.current.stored.number == number for each in pair))
            assert tuple((each.mode(), each.mode(LEGACY)) for each in pair) == expected

        await until(lambda: [each.board.current.stored.number for each in pair] == [2, 2])
        await one.set(OFF)
        await modes((OFF, ON), (ON, ON))
        # What is set under the next file takes nothing from those that have the one before.
        await other.set(OFF, switch=LEGACY)
        await modes((OFF, ON), (ON, OFF))
        assert one.board.current.unapplied == (LEGACY, MODERN)
        await one.board.change(AllOff(), OPS, "stop")
        await modes((OFF, OFF), (OFF, OFF))
        await other.board.change(Restore(5), OPS, "go on")
        await modes((OFF, ON), (ON, OFF))
        # What ends is what was set under the file of whoever answers.
        assert await refused(other.board.change(RestoreSwitch(MODERN), OPS, "w")) is Why.CONFLICT
        await other.board.change(RestoreSwitch(LEGACY, 4), OPS, "mended")
        await modes((OFF, ON), (ON, ON))
        # The same file, read again, raises nothing, whoever made the newest revision.
        one.reload(files[0])
        assert one.mode() == OFF
        # The deployment goes on: what was set under the file before counts no more.
        one.reload(files[1])
        assert one.mode() == ON
        await until(lambda: not one.board.current.stands_on)
        # It is rolled back, and is what it was.
        one.reload(files[0])
        assert one.mode() == OFF
        await until(lambda: one.board.current.stored.digest == one.live.current.digest)
        assert one.mode() == OFF
        followed = one.made[-1]
        assert (followed.kind, followed.scope) == ("follow", (str(MODERN),))
        assert followed.after[str(MODERN)].setting == "off"


async def test_what_was_set_under_the_oldest_of_many_files_is_forgotten_and_that_is_told(
    tmp_path: Path,
) -> None:
    async with process(Store(), tmp_path, FILE) as one:
        digests = []
        for number in range(5):
            one.reload(f"{FILE}# {number}\n")
            digest = one.live.current.digest
            await until(lambda digest=digest: one.board.current.stored.digest == digest)  # type: ignore[misc]
            await one.set(OFF)
            digests.append(digest)
        assert [*one.board.current.stored.others] == digests[3:0:-1]
        (line,) = one.lines("what was set under older configurations is forgotten")
        assert line["configurations"] == digests[:1]
        one.reload(f"{FILE}# 1\n")
        assert one.mode() == OFF
        one.reload(f"{FILE}# 0\n")
        assert one.mode() == ON


async def test_what_is_kept_for_other_files_keeps_nothing_from_being_set(tmp_path: Path) -> None:
    store = Store()
    async with process(store, tmp_path, FILE) as one:
        await until(lambda: one.board.current.stored.number == 1)
        digest = one.board.current.stored.digest
        await store.append(stored(replace(full(wide=True, ends=False), number=2, digest=digest)))
        await until(lambda: one.board.current.stored.number == 2)
        one.reload(FILE + "# Another one.\n")
        await until(lambda: one.board.current.stored.digest == one.live.current.digest)
        for switch in (MODERN, LEGACY):
            await one.set(OFF, switch=switch)
        table = one.board.current.stored
        room = MAX_STATE - RESERVED - len(write_table(table))
        large = SwitchState(OFF, term=Term("o" * 1000))
        states = {SwitchName("many", str(number)): large for number in range(room // 1000 + 1)}
        table = replace(table, number=6, states={**table.states, **states})
        assert await store.append(stored(table))
        await until(lambda: one.board.current.stored.number == 6)
        await one.board.change(SetSwitch(MODERN, OFF, term=Term("ann")), OPS, "down")
        assert one.board.current.stored.others == {}
        (line,) = one.lines("what was set under older configurations is forgotten")
        assert line["configurations"] == [digest]


async def test_what_operators_set_where_no_file_has_the_say_is_of_none(tmp_path: Path) -> None:
    async with process(Store(), tmp_path, FILE) as one:
        await until(lambda: one.board.current.stored.number == 1)
        await one.set(OFF)
        one.reload("")
        await one.set(ON, 2)
        assert one.board.current.stored.digest == ""
        one.board.current.look()
        await until(lambda: one.board._followed == "")
        one.reload(FILE)
        await until(lambda: one.board.current.stored.digest == one.live.current.digest)
        assert one.board.current.stored.states == {}


async def test_a_file_that_says_otherwise_is_brought_to_open_sockets(tmp_path: Path) -> None:
    more = "switching: {authority: file, open_sockets: next_message}\n"
    async with two(Store(), tmp_path, more) as (one, other):
        await until(
            lambda: one.board.current.stored.number == other.board.current.stored.number == 1
        )
        off = more.replace("next_message", "next_message, switches: {modern/old-to-new: off}")
        for each in (one, other):
            before = len(each.installed)
            each.reload(off)
            assert each.mode() == OFF
            await until(
                lambda each=each, before=before: any(  # type: ignore[misc]
                    change.scope is None and change.policy is OpenSockets.NEXT_MESSAGE
                    for change in each.installed[before:]
                )
            )
        assert [each.kind for each in await one.board.current.history.page(None, 10)] == [
            "follow",
            "follow",
        ]


async def test_from_the_file_to_operators_and_back(tmp_path: Path) -> None:
    async with process(Store(), tmp_path, FILE) as one:
        await until(lambda: one.board.current.stored.number == 1)
        await one.set(OFF)
        one.reload("")
        await until(lambda: one.mode() == OFF)
        await one.set(HALF, 2)
        assert one.mode() == HALF
        one.reload(FILE + "# The truth.\n")
        assert one.mode() == ON
        await until(lambda: one.board.current.stored.digest == one.live.current.digest)
        assert one.board.current.stored.states == {}


async def test_a_reload_without_the_store_is_followed_when_it_is_back(tmp_path: Path) -> None:
    store = Store()
    async with process(store, tmp_path, FILE) as one:
        await until(lambda: one.board.current.stored.number == 1)
        store.takes_nothing = True
        one.reload(FILE + "# Another one.\n")
        await until(lambda: one.board.current.away_since is not None)
        store.takes_nothing = False
        await until(lambda: one.board.current.stored.number == 2)
        assert one.made[-1].kind == "follow"


# The key of the canaries.


async def test_the_key_is_made_once_and_kept_sealed(tmp_path: Path) -> None:
    store = Store()
    async with two(store, tmp_path) as (one, other):
        key = one.live.current.switches.key
        assert len(key) == 32
        assert other.live.current.switches.key == key
        sealed = await store.value(canary_key.NAME)
        assert sealed is not None
        assert key not in sealed
        assert key.hex().encode() not in sealed
        for each in (one, other):
            assert key.hex() not in each.log.getvalue()
        assert len(one.lines("canary key made")) + len(other.lines("canary key made")) == 1


async def test_the_key_survives_a_rotation_and_is_sealed_by_the_newest(tmp_path: Path) -> None:
    store = Store()
    old, new = new_key(), new_key()
    async with process(store, tmp_path, keys=(old,)) as one:
        key = one.live.current.switches.key
    async with process(store, tmp_path, keys=(new, old)) as one:
        assert one.live.current.switches.key == key
        sealed = await store.value(canary_key.NAME)
        assert sealed is not None
        assert Sealer([new]).unseal(sealed) == key.hex()
    async with process(store, tmp_path, keys=(new,)) as one:
        assert one.live.current.switches.key == key
        assert await store.value(canary_key.NAME) == sealed


async def test_a_key_that_nobody_opens_stops_canaries_and_nothing_else(tmp_path: Path) -> None:
    store = Store()
    (tmp_path / "one").mkdir()
    async with process(store, tmp_path / "one") as one:
        await one.set(OFF)
        sealed = await store.value(canary_key.NAME)
        async with process(store, tmp_path, keys=(new_key(),)) as strange:
            # `off` is off, whoever has lost a key; nobody is in a canary.
            assert strange.mode() == OFF
            assert strange.live.current.switches.key == b""
            assert "put the key back" in strange.board.current.canary_key.trouble
            await strange.set(HALF, 1)
            decide = strange.live.current.switches.decide
            decisions = [decide("modern", None, lambda n=n: b"%d" % n) for n in range(50)]  # type: ignore[misc]
            assert {each.programs.to_client for each in decisions} == {None}
            await strange.board.change(AllOff(), OPS, "stop")
            assert await store.value(canary_key.NAME) == sealed
            assert len(strange.lines("the canary key cannot be opened")) == 1


@pytest.mark.parametrize("sealed", [b"", b"garbage", Sealer(KEYS).seal("no hexadecimal digits")])
async def test_what_is_no_key_is_not_replaced(sealed: bytes, tmp_path: Path) -> None:
    store = Store()
    await store.replace(canary_key.NAME, None, sealed)
    async with process(store, tmp_path) as one:
        assert one.board.current.canary_key.trouble
        await one.set(OFF)
        assert await store.value(canary_key.NAME) == sealed


async def test_open_sockets_are_told_when_the_key_comes(tmp_path: Path) -> None:
    store = Store()
    sealed = Sealer(KEYS).seal(bytes(range(32)).hex())
    await store.replace(canary_key.NAME, None, b"garbage")
    async with process(store, tmp_path) as one:
        await store.replace(canary_key.NAME, b"garbage", sealed)
        store.hint()
        await until(lambda: one.live.current.switches.key == bytes(range(32)))
        assert one.board.current.canary_key.trouble == ""
        assert one.installed[-1].scope is None


# As much as can be set.

OVER = 1_000.0
"""A time that is long over, in seconds since 1970."""


def full(*, wide: bool, ends: bool) -> Table:
    """As much as may be set.

    Args:
        wide: few switches, with all the exceptions that they can have; otherwise many.
        ends: whether all of it ends by itself, and is over.
    """
    term = Term("o" * 256 if wide else "", OVER, restore=ends)
    exceptions = tuple(
        VersionException(f"{number:063}", parse_range(f"=={number}".ljust(256)), HALF, term)
        for number in range(MAX_EXCEPTIONS if wide else 0)
    )
    states, size = {MODERN: SwitchState(HALF, (), term, None, 1)}, 0
    for number in range(MAX_SWITCHES - 1):
        name = SwitchName("c" * 63, f"{number:064}")
        state = SwitchState(OFF, exceptions, term, None, 1)
        size += len(write_table(Table(1, {name: state})))
        if size > MAX_STATE - RESERVED:
            break
        states[name] = state
    assert wide or len(states) == MAX_SWITCHES
    return Table(1, dict(sorted(states.items())))


def stored(table: Table) -> StoredRevision:
    """What somebody has made of it."""
    revision = revision_of(
        EMPTY,
        table,
        (),
        at=OVER,
        author="ops",
        role="operator",
        reason="because",
        kind="undo",
        open_sockets=OpenSockets.KEEP,
        digest="",
    )
    return StoredRevision(table.number, write_revision(revision), write_table(table))


@pytest.mark.parametrize("wide", [True, False])
async def test_all_that_can_be_set_ends_when_its_time_is_over(tmp_path: Path, wide: bool) -> None:
    store = Store()
    table = full(wide=wide, ends=True)
    async with process(store, tmp_path) as one:
        await store.append(stored(table))
        await until(lambda: one.board.current.stored.number == 2)
        assert one.mode() == ON
        states = one.board.current.stored.states.values()
        assert not any(each.setting or each.exceptions for each in states)
        (revision,) = one.made
        assert (revision.kind, revision.cut) == ("expire", True)
        assert {*revision.scope} <= {*map(str, table.states)}
        written = await store.revision(2)
        assert written is not None
        assert len(written.revision) <= MAX_REVISION
        # The tables are whole, and so it can be undone; what was over is back for good.
        made = await one.board.undo(1, 2, OPS, "back")
        assert (made_by(made).cut, one.mode()) == (True, HALF)


@pytest.mark.parametrize("wide", [True, False])
async def test_all_that_can_be_set_ends_with_the_file_of_which_it_was_said(
    tmp_path: Path, wide: bool
) -> None:
    store = Store()
    async with process(store, tmp_path, FILE) as one:
        await until(lambda: one.board.current.stored.number == 1)
        digest = one.board.current.stored.digest
        table = replace(full(wide=wide, ends=False), number=2, digest=digest, all_off=True)
        await store.append(stored(table))
        await until(lambda: one.board.current.stored.number == 2)
        one.reload(FILE + "# Another one.\n")
        await until(lambda: one.board.current.stored.digest == one.live.current.digest)
        assert (one.board.current.stored.states, one.mode()) == ({}, ON)
        assert (one.made[-1].kind, one.made[-1].cut) == ("follow", True)


async def test_what_would_be_more_than_can_be_kept_is_refused_and_what_takes_back_never(
    tmp_path: Path,
) -> None:
    store = Store()
    table = full(wide=True, ends=False)
    # To the last byte that may be set.
    room = MAX_STATE - RESERVED - len(write_table(table))
    most = replace(table.states[MODERN], term=Term("o" * (256 + room), OVER))
    table = replace(table, states={**table.states, MODERN: most})
    await store.append(stored(table))
    async with process(store, tmp_path) as one:
        change = SetSwitch(LEGACY, OFF)
        with pytest.raises(ChangeRefused, match="more is set than can be kept") as raised:
            await one.board.change(change, OPS, "one more")
        assert raised.value.why is Why.CONFLICT
        with pytest.raises(ChangeRefused, match="more is set than can be kept"):
            one.board.preview(change)
        await one.board.change(AllOff(), OPS, "an emergency")
        assert one.mode() == OFF
        await one.board.change(Restore(2), OPS, "it is over")
        assert one.mode() == HALF
        # Less than was set before is no more than can be kept.
        await one.board.change(SetSwitch(MODERN, OFF), OPS, "down")
        await one.board.change(change, OPS, "there is room now")
        assert one.mode(LEGACY) == OFF
        await one.board.undo(1, 5, OPS, "back")
        assert one.mode() == HALF
