"""A start while the store of switches is away: what was read from it last counts."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
import structlog
from structlog.testing import capture_logs

from proxy.control.current_switches import CurrentSwitches
from proxy.control.last_known import FILE, LastKnown
from proxy.control.loading import load
from proxy.control.switch_store.memory import MemorySwitchStore
from proxy.control.switchboard import Author, Switchboard
from proxy.errors import StoreAway
from proxy.snapshot import Live, SwitchChange
from proxy.switching.changes import (
    AllOff,
)
from proxy.tokens.sealing import new_key

URL = "redis://user:secret@store:6379/0"
KEYS = (new_key(),)
ANYBODY = Author("anybody", "operator")


class Reachable(MemorySwitchStore):
    """A store that can be away."""

    away = False

    async def number(self) -> int:
        if self.away:
            raise StoreAway("it is away")
        return await super().number()

    async def value(self, name: str) -> bytes | None:
        if self.away:
            raise StoreAway("it is away")
        return await super().value(name)


def board(store: MemorySwitchStore, directory: Path, live: Live, url: str = URL) -> Switchboard:
    log = structlog.get_logger()

    def installed(_: SwitchChange) -> None:
        pass

    current = CurrentSwitches(
        live,
        store,
        KEYS,
        log,
        installed,
        lambda _: None,
        is_kept=True,
        last_known=LastKnown(directory, url, log),
    )
    return Switchboard(current, store, log, lambda _: None)


@pytest.fixture
def live(tmp_path: Path) -> Live:
    config = tmp_path / "config.yaml"
    config.write_text(json.dumps({"upstream": {"url": "http://127.0.0.1:9"}}))
    return Live(load(config, {}, {}))


async def switched_off(store: MemorySwitchStore, directory: Path, live: Live) -> bytes:
    """Have everything off, by a process that ends; the key of the canaries."""
    first = board(store, directory, live)
    await first.start()
    await first.change(AllOff(), ANYBODY, "it is night")
    await first.current.read_in_turn()
    key = first.current.in_force.key
    await first.close()
    return key


async def test_what_was_switched_off_stays_so(tmp_path: Path, live: Live) -> None:
    store = Reachable()
    snapshot = live.current
    key = await switched_off(store, tmp_path, live)
    assert (tmp_path / FILE).stat().st_mode & 0o777 == 0o600
    assert "secret" not in (tmp_path / FILE).read_text()
    store.away = True
    again = Live(snapshot)
    second = board(store, tmp_path, again)
    with capture_logs() as logs:
        await second.start()
    try:
        assert again.current.switches.table.all_off
        assert again.current.switches.key == key
        assert second.current.away_since is not None
        event = "switches are as they were when the store was last read"
        assert {"event": event, "log_level": "warning", "revision": 1} in logs
    finally:
        await second.close()


@pytest.mark.parametrize("url", ["redis://other:6379/0", "redis://store:6379/1"])
async def test_what_another_store_said_does_not_count(url: str, tmp_path: Path, live: Live) -> None:
    store, snapshot = Reachable(), live.current
    await switched_off(store, tmp_path, live)
    store.away = True
    again = Live(snapshot)
    second = board(store, tmp_path, again, url)
    await second.start()
    assert not again.current.switches.table.all_off
    await second.close()


GARBAGE: list[Any] = [
    b"",
    b"{",
    b"\xff" * 10,
    b"[" * 100_000,
    b'{"format":1,"store":"x","table":"e30=","key":""}',
    b'{"format":2,"store":"x","table":"","key":""}',
]


@pytest.mark.parametrize("garbage", GARBAGE)
async def test_a_file_that_is_none_keeps_nobody_from_starting(
    garbage: bytes, tmp_path: Path, live: Live
) -> None:
    (tmp_path / FILE).write_bytes(garbage)
    store = Reachable()
    store.away = True
    found = board(store, tmp_path, live)
    await found.start()
    assert live.current.switches.table.number == 0
    await found.close()


async def test_a_pipe_in_its_place_keeps_nobody_from_starting(tmp_path: Path, live: Live) -> None:
    os.mkfifo(tmp_path / FILE)
    store = Reachable()
    store.away = True
    found = board(store, tmp_path, live)
    await found.start()
    await found.close()


async def test_a_copy_that_cannot_be_written_is_told_once(tmp_path: Path, live: Live) -> None:
    (tmp_path / "file").write_text("")
    with capture_logs() as logs:
        found = board(Reachable(), tmp_path / "file", live)
        await found.start()
        await found.change(AllOff(), ANYBODY, "it is night")
        await found.current.read_in_turn()
        await found.close()
    assert [each["event"] for each in logs].count("no copy of the switches") == 1
