"""The head of the audit in the store: kept up to date, and compared with the files."""

from __future__ import annotations

import asyncio
import io
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from proxy.configuration.audit import AuditSettings
from proxy.configuration.sessions import StoreSettings
from proxy.control.audit import Audit
from proxy.control.switch_store.memory import MemorySwitchStore
from proxy.errors import StoreAway
from proxy.observability import log as logs
from proxy.storage.audit_files import CURRENT, AuditFiles
from proxy.tokens.audit_chain import AuditKeys, Head, read_head, value_name, with_head
from proxy.tokens.audit_verdict import AuditCheck, Verdict
from proxy.tokens.sealing import new_key
from tests.support.rig import Direct
from tests.support.waiting import PATIENCE

KEY = new_key()
KEYS = AuditKeys([KEY])
SMALL = AuditSettings.model_validate({"max_size": "64KiB", "keep": "1"})


class Store(MemorySwitchStore):
    """A store that can be away for a while."""

    away = False

    async def value(self, name: str) -> bytes | None:
        if self.away:
            raise StoreAway("it does not answer")
        return await super().value(name)

    def head(self, directory: Path) -> Head | None:
        begin = AuditFiles(directory, KEYS).begin()
        assert begin is not None
        return read_head(self._values.get(value_name(begin.audit)), begin.audit, KEYS)


class Writing:
    """An audit that is written."""

    def __init__(self, audit: Audit, stream: io.StringIO) -> None:
        self.audit = audit
        self._stream = stream

    async def write(self, count: int = 1) -> None:
        for number in range(count):
            self.audit.write("switched", author="ann", role="operator", number=number)
        assert await self.audit.flushed(PATIENCE)

    async def kept(self) -> None:
        async with asyncio.timeout(PATIENCE):
            while self.audit.head.behind or self.audit.waiting:  # noqa: ASYNC110 (it tells nobody)
                await asyncio.sleep(0.01)

    def logged(self, event: str) -> int:
        lines = [json.loads(line) for line in self._stream.getvalue().splitlines()]
        return sum(each["event"] == event for each in lines)

    async def told(self, event: str) -> None:
        async with asyncio.timeout(PATIENCE):
            while not self.logged(event):  # noqa: ASYNC110 (it tells nobody)
                await asyncio.sleep(0.01)


@asynccontextmanager
async def writing(
    directory: Path, store: Store, settings: AuditSettings | None = None
) -> AsyncIterator[Writing]:
    stream = io.StringIO()
    writer = Direct(stream)
    log = logs.build(writer, "debug", "json", is_terminal=False)
    used = settings or AuditSettings()
    audit = Audit(directory, StoreSettings(keys=(KEY,)), lambda: used, log, store)
    audit.start()
    try:
        yield Writing(audit, stream)
    finally:
        await audit.close(PATIENCE)
        writer.close()


def verdict(directory: Path, head: Head | None) -> Verdict:
    check = AuditCheck(KEYS, head)
    with AuditFiles(directory, KEYS).opened() as opened:
        for each in opened:
            check.file(each.name)
            for line in each.lines():
                check.line(line)
    return check.end()


def cut(directory: Path, lines: int) -> None:
    path = directory / CURRENT
    text = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join(text[:-lines]))


async def test_the_store_knows_of_the_last_line(tmp_path: Path) -> None:
    store = Store()
    async with writing(tmp_path, store) as one, writing(tmp_path, store) as other:
        for _ in range(20):
            await one.write()
            await other.write(2)
        await one.kept()
        await other.kept()
        found = verdict(tmp_path, store.head(tmp_path))
        assert (found.intact, found.notes) == (True, [])
        assert found.last.sequence == 61
        assert not one.logged("audit lines missing") + other.logged("audit lines missing")
    # What was written last is there at the end, too.
    async with writing(tmp_path, store) as again:
        again.audit.write("switched", author="ann", role="operator")
    head = store.head(tmp_path)
    assert head is not None
    assert head.link == verdict(tmp_path, head).last
    assert list(store._values) == [value_name(head.audit)]


async def test_an_end_that_was_cut_off_is_found_and_stays_found(tmp_path: Path) -> None:
    store = Store()
    async with writing(tmp_path, store) as before:
        await before.write(5)
    cut(tmp_path, 2)
    assert [each.what for each in verdict(tmp_path, store.head(tmp_path)).faults] == [
        "the end was cut off: the store knows of lines that are missing: 5 to 6"
    ]
    async with writing(tmp_path, store) as after:
        # As many as are missing, so that the number alone tells nothing.
        await after.write(2)
        await after.told("audit lines missing")
        await after.kept()
        assert after.logged("audit lines missing") == 1
    found = verdict(tmp_path, store.head(tmp_path))
    assert [each.what.partition(":")[0] for each in found.faults] == [
        "line 6 was missing, or another one"
    ]


async def test_an_end_that_is_cut_off_while_it_is_written_is_found(tmp_path: Path) -> None:
    store = Store()
    async with writing(tmp_path, store) as running:
        await running.write(4)
        await running.kept()
        cut(tmp_path, 2)
        # More than are missing, so that the number alone tells nothing.
        await running.write(4)
        await running.kept()
        assert running.logged("audit lines missing") == 1
    found = verdict(tmp_path, store.head(tmp_path))
    assert [each.what.partition(":")[0] for each in found.faults] == [
        "line 5 was missing, or another one"
    ]


async def test_files_that_are_gone_begin_another_chain(tmp_path: Path) -> None:
    store = Store()
    async with writing(tmp_path, store) as before:
        await before.write()
    first = store.head(tmp_path)
    (tmp_path / CURRENT).unlink()
    async with writing(tmp_path, store) as after:
        await after.write()
    second = store.head(tmp_path)
    assert first is not None
    assert second is not None
    assert first.audit != second.audit


async def test_a_head_that_was_altered_is_told(tmp_path: Path) -> None:
    store = Store()
    async with writing(tmp_path, store) as before:
        await before.write(3)
    head = store.head(tmp_path)
    assert head is not None
    name = value_name(head.audit)
    store._values[name] = with_head(None, head, AuditKeys([new_key()]))
    async with writing(tmp_path, store) as after:
        await after.write()
        await after.told("audit lines missing")
        await after.kept()
    found = verdict(tmp_path, store.head(tmp_path))
    assert [each.what.partition(":")[0] for each in found.faults] == [
        "what the store knew of the audit was altered, or of an unknown key"
    ]


async def test_a_store_that_is_away_is_caught_up_with(tmp_path: Path) -> None:
    store = Store()
    async with writing(tmp_path, store, SMALL) as running:
        await running.write()
        await running.kept()
        known = store.head(tmp_path)
        store.away = True
        # So many that the files have nothing left of the line that the store knows of.
        await running.write(900)
        await running.told("audit head not kept")
        assert running.audit.head.behind > 0
        found = verdict(tmp_path, known)
        assert found.intact
        assert len(found.notes) == 2
        store.away = False
        await running.kept()
        assert running.logged("audit head kept again") == 1
        assert running.logged("audit head not kept") == 1
        assert not running.logged("audit lines missing")
        found = verdict(tmp_path, store.head(tmp_path))
        assert (found.intact, found.notes) == (True, [])


async def test_an_end_waits_no_longer_than_it_may_for_a_store(tmp_path: Path) -> None:
    store = Store()
    store.away = True
    async with writing(tmp_path, store) as running:
        await running.write()
        await running.told("audit head not kept")
        await running.audit.close(0)
    assert not store._values
    assert verdict(tmp_path, None).intact
