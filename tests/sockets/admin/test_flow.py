"""What a picture of the flow is drawn from: rates, and open WebSockets by what is done to them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from proxy.admin.flow import MAX_ROWS
from proxy.gateway import flow
from proxy.rewriting import SAMPLED
from proxy.types import Direction
from tests.support.rfc6455 import TEXT
from tests.support.switches import SWITCH, Switched, sent, switched
from tests.support.waiting import PATIENCE


async def seen(running: Switched, holds: Callable[[Any], bool]) -> Any:
    """The flow, once it shows something."""
    async with asyncio.timeout(PATIENCE):
        while True:
            view = await running.ask("/flow")
            if holds(view):
                return view
            await asyncio.sleep(0.05)


def counted(view: Any, rows: list[Any], per: str = "per_second", **labels: str) -> int:
    """How many there were in the time over which the rates are taken."""
    found: list[float] = [row[per] for row in rows if labels.items() <= row.items()]
    seconds: float = view["seconds"]
    return round(sum(found) * seconds)


async def test_messages_are_told_by_all_that_a_picture_has(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(flow, "WINDOW", 1e6)  # Nothing is too long ago.
    async with switched(tmp_path) as running:
        new, old = await running.open("2.1"), await running.open("1.0")
        await sent(new, times=5)
        await sent(new, b'{"kind": "error"}', times=2)
        await sent(old, times=3)
        await old.client.send(TEXT, b"hello")
        assert await old.server.message() == b"hello"
        # One that ends takes nothing with it.
        await new.client.peer.close()
        view = await seen(running, lambda view: counted(view, view["messages"]) == 11)

        messages = view["messages"]
        mapped = {"cohort": "modern", "mapping": "old-to-new", "direction": "to_client"}
        assert counted(view, messages, **mapped, outcome="mapped") == 5
        assert counted(view, messages, **mapped, outcome="passed") == 2
        assert counted(view, messages, cohort="legacy", mapping="new-to-old") == 3
        assert counted(view, messages, cohort="legacy", mapping="none", direction="to_server") == 1
        assert all(row["per_second"] > 0 for row in messages)
        kind = {"cohort": "modern", "mapping": "old-to-new", "direction": "to_client"}
        assert counted(view, view["kinds"], **kind, kind="error") == 2
        assert counted(view, view["directions"], direction="to_client") == 10
        assert counted(view, view["directions"], direction="to_server") == 1
        assert counted(view, view["versions"], cohort="modern", version="2.1") == 7
        assert counted(view, view["versions"], version="1", direction="to_server") == 1
        assert counted(view, view["requests"], cohort="modern") == 1
        (upstream,) = view["upstreams"]
        assert upstream["upstream"] == running.server.url.removeprefix("http://")
        for per, count in (("to_client", 10), ("to_server", 1), ("exchanges", 2)):
            assert counted(view, [upstream], per) == count
        one, other = view["switches"]
        assert (one["switch"], other["switch"]) == ("legacy/new-to-old", SWITCH)
        assert round(other["messages"]["mapped"] * view["seconds"]) == 5
        assert round(other["decisions"]["true"] * view["seconds"]) == 1
        assert (other["shadow"], other["users"]) == ({}, [])


async def test_kinds_are_told_as_the_server_sent_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(flow, "WINDOW", 1e6)
    async with switched(tmp_path) as running:
        new, old = await running.open("2.1"), await running.open("1.0")
        upstream = running.server.url.removeprefix("http://")
        # The same number of each, so that the sample tells them exactly.
        await sent(new, times=2 * SAMPLED)
        await sent(new, b'{"kind": "invented by a server"}', times=SAMPLED)
        await sent(old, b'{"kind": "error"}', times=SAMPLED)
        # What clients send counts for no server.
        for _ in range(SAMPLED):
            await old.client.send(TEXT, b'{"kind": "error"}')
            await old.server.message()
        view = await seen(running, lambda view: len(view["upstream_kinds"]) == 3)
        for kind, count in (("jobStatus", 2 * SAMPLED), ("other", SAMPLED), ("error", SAMPLED)):
            assert counted(view, view["upstream_kinds"], upstream=upstream, kind=kind) == count
        # With the switch off nobody looks into messages.
        await running.turn("off", open_sockets="next_message")
        await sent(new, times=2 * SAMPLED)
        view = await seen(
            running,
            lambda view: counted(view, view["messages"], cohort="modern", mapping="none") > 0,
        )
        assert counted(view, view["upstream_kinds"], kind="jobStatus") == 2 * SAMPLED


async def test_a_switch_in_shadow_and_a_canary_tell_of_themselves(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(flow, "WINDOW", 1e6)
    async with switched(tmp_path) as running:
        await running.turn("shadow")
        await sent(await running.open(), times=4)
        view = await seen(running, lambda view: view["switches"][1]["shadow"])
        assert set(view["switches"][1]["shadow"]) == {"mapped"}
        assert "mapped" not in view["switches"][1]["messages"]
        assert view["revision"] == 1
        await running.turn("canary", percent=100)
        await running.open()
        (users,) = (await running.ask("/flow"))["switches"][1]["users"]
        assert users == {"exception": "", "inside": 1, "outside": 0, "error": 0.0325}


async def test_versions_that_clients_make_up_are_bounded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert flow.MAX_VERSIONS == 200
    monkeypatch.setattr(flow, "MAX_VERSIONS", 3)
    monkeypatch.setattr(flow, "WINDOW", 1e6)
    async with switched(tmp_path) as running:
        for number in range(12):
            pair = await running.open(f"2.{number}")
            await sent(pair, times=12 - number)
            await pair.client.peer.close()
        view = await seen(
            running, lambda view: counted(view, view["versions"], version="other") > 0
        )
        assert len(running.proxy.server._data.flow._versions) <= 6
        assert {row["version"] for row in view["versions"]} <= {
            *(f"2.{number}" for number in range(12)),
            "2",
            "other",
        }


async def test_nothing_is_said_of_a_time_that_has_not_passed(tmp_path: Path) -> None:
    async with switched(tmp_path) as running:
        made = running.proxy.server._data.flow
        made._looks.clear()
        made._looks.append(flow.Look(running.proxy.server._loop.time(), {}))
        view = await running.ask("/flow")
        assert (view["seconds"], view["messages"], view["requests"]) == (0.0, [], [])


async def test_what_clients_write_into_their_version_is_not_told(tmp_path: Path) -> None:
    async with switched(tmp_path) as running:
        for version in ("2.1.0-secret.word", "1!2.1+secret", "0.0"):
            await sent(await running.open(version), b"{}")
        view = await seen(running, lambda view: len(view["versions"]) == 3)
        assert {row["version"] for row in view["versions"]} == {"2.1", "1!2.1", "0"}
        assert "secret" not in str(view)


async def test_who_asks_often_has_nothing_counted_anew(tmp_path: Path) -> None:
    async with switched(tmp_path) as running:
        made = running.proxy.server._data.flow
        await asyncio.gather(*[running.ask("/flow") for _ in range(20)])
        # One look for all of them, and those of a clock that went on meanwhile.
        before = len(made._looks)
        made._looks.append(flow.Look(running.proxy.server._loop.time() + 1e6, {}))
        await asyncio.gather(*[running.ask("/flow") for _ in range(20)])
        assert len(made._looks) == min(before + 1, 32)


async def test_open_sockets_are_told_by_what_is_done_to_them(tmp_path: Path) -> None:
    async with switched(tmp_path) as running:
        for version in ("2.0", "2.1", "1.0"):
            await running.open(version)
        await running.turn("off", open_sockets="keep")
        await running.open("2.0")
        row = {"to_server": "none"}
        modern = row | {"cohort": "modern"}
        assert await running.ask("/connections") == {
            "revision": 1,
            "websockets": 4,
            "behind": 2,
            "connections": [
                modern
                | {"to_client": "old-to-new", "revision": 0, "behind": True, "websockets": 2},
                row
                | {"cohort": "legacy", "to_client": "new-to-old"}
                | {"revision": 1, "behind": False, "websockets": 1},
                modern | {"to_client": "none", "revision": 1, "behind": False, "websockets": 1},
            ],
            "left_out": 0,
        }
        assert MAX_ROWS == 1_000


async def test_what_sockets_received_is_counted_once(tmp_path: Path) -> None:
    async with switched(tmp_path) as running:
        pair = await running.open()
        (socket,) = running.proxy.server._data.upgrades.sockets
        await sent(pair, times=3)
        assert socket.received_since() == (3, 0)
        assert socket.received_since() == (0, 0)
        # Over a change, which begins another account.
        await sent(pair)
        await running.turn("off", open_sockets="next_message")
        await sent(pair, times=2)
        assert sum(socket.received_since()) == 3
        assert socket.received_since() == (0, 0)
        assert tuple(Direction) == (Direction.TO_CLIENT, Direction.TO_SERVER)


async def test_a_dry_run_says_how_much_it_would_touch(tmp_path: Path) -> None:
    async with switched(tmp_path) as running:
        for version in ("2.1", "1.0"):
            await sent(await running.open(version), times=3)
        await seen(running, lambda view: len(view["messages"]) == 2)
        dry = await running.turn("off", dry_run=True)
        assert dry["messages_per_second"] > 0
        assert dry["shadow"] is None
        assert (dry["websockets"], dry["of_websockets"]) == (1, 1)
        assert (await running.ask("/switches"))["revision"] == 0

        await running.turn("shadow", open_sockets="next_message")
        pair = await running.open()
        await sent(pair, times=2)
        await sent(pair, b'{"kind": "heartbeat"}')
        async with asyncio.timeout(PATIENCE):
            while True:
                dry = await running.turn("canary", percent=50, dry_run=True)
                if dry["shadow"]["compared"] == 3:
                    break
        assert (dry["shadow"]["would_map"], dry["shadow"]["would_fail"]) == (2, 0)
        assert dry["shadow"]["rules"] == [{"rule": "job-status", "messages": 2}]
        await running.turn("on")
        assert (await running.turn("off", dry_run=True))["shadow"] is None


async def test_a_dry_run_says_of_an_exception_what_it_is_and_whether_that_lowers(
    tmp_path: Path,
) -> None:
    async with switched(tmp_path) as running:
        broken = {"versions": "==2.1.3", "name": "broken"}
        dry = await running.turn("off", **broken, dry_run=True)
        assert (dry["before"], dry["before_versions"], dry["lowers"]) == ("on", None, True)
        await running.turn("off", **broken)
        # One version gets more, another less.
        broken["versions"] = "==2.1.4"
        dry = await running.turn("off", **broken, dry_run=True)
        assert (dry["exception"], dry["before"], dry["after"]) == ("broken", "off", "off")
        assert (dry["before_versions"], dry["after_versions"]) == ("==2.1.3", "==2.1.4")
        assert dry["lowers"] is False
        broken["versions"] = "<3"
        assert (await running.turn("off", **broken, dry_run=True))["lowers"] is True
        dry = await running.turn("shadow", dry_run=True)
        assert (dry["before"], dry["lowers"]) == ("on", True)
        assert (dry["exception"], dry["exceptions_left_alone"]) == (None, ["broken"])


async def test_looks_are_rare_while_nobody_asks(tmp_path: Path) -> None:
    async with switched(tmp_path) as running:
        made = running.proxy.server._data.flow
        now = made._looks[-1].at

        async def looks(after: float) -> bool:
            """Whether it looks after so many seconds."""
            made.check(now + after)
            looking, made._looking = made._looking, None
            if looking is not None:
                await looking
            return looking is not None

        made._asked = now - flow.IDLE
        assert not await looks(flow.PERIOD)
        assert not await looks(flow.IDLE - 1)
        assert await looks(flow.IDLE + 1)
        await made.rates()
        now = made._asked
        made._looks.append(flow.Look(now, {}))
        assert not await looks(flow.PERIOD - 1)
        assert await looks(flow.PERIOD + 1)
