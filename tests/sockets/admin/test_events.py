"""The stream of what happens in the control plane, over real sockets."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path

import aiohttp
import pytest

from proxy.admin.events import EVENTS
from proxy.control.events import MAX_OF_ONE, MAX_SUBSCRIBERS
from tests.support.administered import (
    OPERATOR,
    TOKENS,
    VIEWER,
    Administered,
    administered,
    bearer,
    write,
)
from tests.support.event_streams import watching
from tests.support.rig import RawPeer, raw_server, segue
from tests.support.waiting import PATIENCE

PATH = EVENTS.target()


@pytest.fixture
async def running(tmp_path: Path) -> AsyncIterator[Administered]:
    async with administered(tmp_path) as found:
        yield found


async def test_reloads_that_succeed_and_fail_are_told_to_viewers(running: Administered) -> None:
    base = f"http://{running.proxy.server.admin_address}"
    headers = {"Authorization": f"Bearer {VIEWER}"}
    async with aiohttp.ClientSession(base, headers=headers) as client:
        async with watching(client, PATH) as events:
            await running.reload(tokens=TOKENS)
            succeeded = await events.next()
            write(running.config, tokens=TOKENS, what=1)
            running.proxy.server.reload()
            failed = await events.next()
    assert succeeded is not None
    assert failed is not None
    (line,) = running.lines("reloaded")
    assert succeeded.name == succeeded.data["kind"] == "reloaded"
    assert succeeded.data["serving"] == failed.data["serving"] == line["serving"]
    assert (failed.name, failed.data["problems"]) == ("reload_failed", 1)
    assert succeeded.data["time"] <= failed.data["time"]
    assert (await running.ask(PATH)).status == 401


async def test_who_comes_back_with_the_last_id_has_missed_nothing(running: Administered) -> None:
    publish = running.proxy.server._events.publish
    async with running.proxy.admin() as client:
        publish("before")
        async with client.get(PATH) as response:
            line = (await response.content.readline()).decode()
        assert line.startswith("id: ")
        last = line.removeprefix("id: ").strip()
        publish("missed", text="a\ndata: b\r\n\r\nevent: end\x9b")
        async with watching(client, PATH, **{"Last-Event-ID": last}) as events:
            missed = await events.next()
            publish("live")
            live = await events.next()
        assert missed is not None
        assert live is not None
        assert (missed.name, missed.data["text"]) == ("missed", "a\ndata: b\r\n\r\nevent: end\x9b")
        assert live.name == "live"
        async with watching(client, PATH, **{"Last-Event-ID": str(missed.id)}) as events:
            again = await events.next()
        assert again == live
        async with watching(client, PATH, **{"Last-Event-ID": "ffffffff-1"}) as events:
            names = [event.name for _ in range(4) if (event := await events.next()) is not None]
        assert names == ["gap", "before", "missed", "live"]


async def test_server_that_is_ejected_and_recovers_is_told() -> None:
    answers = False

    async def script(peer: RawPeer) -> None:
        await peer.read_head()
        if answers:
            await peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")

    async with raw_server(script) as server, segue(server.url) as running:
        async with running.admin() as client, watching(client, PATH) as events:
            request = b"POST / HTTP/1.0\r\nContent-Length: 0\r\n\r\n"
            while not running.log.getvalue().count('"upstream ejected"'):
                await running.ask(request)
            ejected = await events.next()
            (pool,) = running.server._data.fleet.pools
            down_since = [pool.down_since]
            answers = True
            await running.ask(request)
            recovered = await events.next()
            down_since.append(pool.down_since)
    assert ejected is not None
    assert recovered is not None
    assert (ejected.name, recovered.name) == ("upstream_ejected", "upstream_recovered")
    assert [since is None for since in down_since] == [False, True]
    assert ejected.data["upstream"] == recovered.data["upstream"]
    assert server.url.endswith(ejected.data["upstream"])
    assert ejected.data["reason"]


async def test_store_that_is_away_and_back_is_told(running: Administered) -> None:
    server = running.proxy.server
    async with running.proxy.admin() as client, watching(client, PATH) as events:
        for state, expected in (
            ("away", "store_away"),
            ("read-only", "store_read_only"),
            ("", "store_back"),
        ):
            server._store_state = partial(str, state)  # type: ignore[method-assign]
            event = await events.next()
            assert event is not None
            assert event.name == expected


async def test_it_tells_of_the_drain_and_ends_with_it(running: Administered) -> None:
    async with running.proxy.admin() as client, watching(client, PATH) as events:
        drain = asyncio.create_task(running.proxy.server.drain())
        found = await events.rest()
        assert await drain
    assert [each.name for each in found] == ["draining", "end"]
    assert found[-1].data == {"reason": "drain"}


async def test_invariant_8_there_are_so_many_streams_each_for_so_long(
    running: Administered,
) -> None:
    address = f"http://{running.proxy.server.admin_address}"
    headers = {"Authorization": bearer(VIEWER).partition(": ")[2]}
    async with (
        running.proxy.admin() as client,
        aiohttp.ClientSession(address, headers=headers) as other,
    ):
        for query in ("seconds=0", "seconds=3601", "what=1"):
            async with client.get(f"{PATH}?{query}") as response:
                assert response.status == 400
        responses = [await client.get(PATH) for _ in range(MAX_OF_ONE)]
        async with client.get(PATH) as response:
            assert response.status == 409
        responses += [await other.get(PATH) for _ in range(MAX_SUBSCRIBERS - MAX_OF_ONE)]
        answer = await running.ask(PATH, bearer(OPERATOR))
        assert (answer.status, "streams of events" in answer.detail) == (409, True)
        for response in responses:
            assert response.status == 200
            response.close()
        async with asyncio.timeout(PATIENCE):
            while len(running.proxy.server._events._subscriptions):  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        assert (await running.ask(f"{PATH}?seconds=0.01", bearer(VIEWER))).status == 200
