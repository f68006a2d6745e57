"""A client that opens a WebSocket at each render: the oldest make room, few reach the server."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from proxy.gateway import socket_bounds
from tests.support.authority import Client, authority, proxied
from tests.support.rfc6455 import CLOSE, TEXT
from tests.support.rig import RawPeer, Segue, segue
from tests.support.sockets import (
    ACCEPT,
    Origin,
    Pair,
    Socket,
    closing,
    fields_of,
    gone,
    handshake,
    open_pair,
    origin,
    status_of,
)
from tests.support.waiting import PATIENCE

JOB = b"/ws/jobs/1/?token=a"
LIMIT = "websockets_per_session"


def bounded(**bound: object) -> dict[str, str]:
    """Settings with one bound."""
    whole = {"path": "/ws/jobs/{}/", "most": 2, "pace": 1000.0, **bound}
    return {"SEGUE_WEBSOCKET__PER_SESSION": json.dumps([whole])}


@asynccontextmanager
async def standing(env: Mapping[str, str]) -> AsyncIterator[tuple[Segue, Origin]]:
    async with origin() as upstream, segue(upstream.url, env) as proxy:
        yield proxy, upstream


async def open_each(
    proxy: Segue, upstream: Origin, count: int, target: bytes = JOB, fields: Sequence[bytes] = ()
) -> list[Pair]:
    return [await open_pair(proxy, upstream, target=target, fields=fields) for _ in range(count)]


async def close(*pairs: Pair) -> None:
    for pair in pairs:
        await pair.client.peer.close()
        await pair.server.peer.close()


async def made_room(pair: Pair, code: int = 1000) -> None:
    """Both ends are told that a newer one is there, and nothing else."""
    assert await pair.client.close_frame() == (code, "replaced by a newer one")
    assert await pair.server.close_frame() == (1001, "replaced by a newer one")
    await pair.client.send(CLOSE, closing(code))
    await pair.server.send(CLOSE, closing(1001))
    await pair.client.ended()
    await pair.server.ended()


async def goes_on(pair: Pair) -> None:
    await pair.server.send(TEXT, b"still here")
    assert await pair.client.message() == b"still here"
    await pair.client.send(TEXT, b"so am I")
    assert await pair.server.message() == b"so am I"


@pytest.mark.parametrize("code", [1000, 4001])
async def test_the_oldest_ends_with_the_code_when_the_new_one_is_open(code: int) -> None:
    async with standing(bounded(code=code)) as (proxy, upstream):
        pairs = await open_each(proxy, upstream, 5)
        for pair in pairs[:3]:
            await made_room(pair, code)
        for pair in pairs[3:]:
            await goes_on(pair)
        await gone(proxy, left=2)
        assert await proxy.metric("segue_limits_hit_total", limit=LIMIT) == 3
        assert await proxy.metric("segue_open_websockets") == 2
        lines = map(json.loads, proxy.log.getvalue().splitlines())
        ended = [line for line in lines if line["event"] == "websocket"]
        assert [line["replaced"] for line in ended] == [True] * 3
        await close(*pairs)
        await gone(proxy)
        # Nothing is kept of who has gone.
        assert len(proxy.server._data.upgrades.bounds) == 0


async def test_whoever_comes_back_after_a_drain_does_not_wait_for_what_is_ending() -> None:
    async with standing(bounded(most=2, pace=0.001)) as (proxy, upstream):
        pairs = await open_each(proxy, upstream, 2)
        for each in tuple(proxy.server._data.upgrades.sockets):
            each.drain()
        back = await open_each(proxy, upstream, 2)
        for pair in back:
            await goes_on(pair)
        assert await proxy.metric("segue_handshakes_paced_total") == 0
        assert await proxy.metric("segue_limits_hit_total", limit=LIMIT) == 0
        await close(*pairs, *back)
        await gone(proxy)
        assert len(proxy.server._data.upgrades.bounds) == 0


async def test_a_handshake_that_fails_costs_nobody_a_socket() -> None:
    async with standing(bounded(most=1)) as (proxy, upstream):
        (pair,) = await open_each(proxy, upstream, 1)
        async with proxy.client() as client:
            await client.send(handshake(JOB))
            server = await upstream.connection()
            await server.read_head()
            await server.send(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n")
            assert status_of(await client.read_head()) == 403
        await goes_on(pair)
        await close(pair)


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ((JOB, ()), (b"/ws/jobs/2/?token=a", ())),
        ((JOB, ()), (b"/ws/jobs/1/?token=b", ())),
        ((b"/ws/jobs/1/", (b"Cookie: s=1",)), (b"/ws/jobs/1/", (b"Cookie: s=2",))),
        ((b"/ws/jobs/1/", (b"Cookie: s=1",)), (b"/ws/jobs/1/", (b"Cookie: t=1",))),
        ((b"/ws/jobs/1/", (b"Cookie: lang=en",)), (b"/ws/jobs/1/", (b"Cookie: lang=en",))),
        ((b"/ws/jobs/1/", (b"Authorization: Basic YTpi",)), (JOB, ())),
        ((b"/ws/jobs/1/", ()), (b"/ws/jobs/1/", ())),
        ((b"/other/?token=a", ()), (b"/other/?token=a", ())),
    ],
    ids=[
        "path",
        "token",
        "cookie",
        "name",
        "cookie of many",
        "credentials",
        "nothing known of either",
        "no bound there",
    ],
)
async def test_what_counts_apart_or_not_at_all(
    first: tuple[bytes, Sequence[bytes]], second: tuple[bytes, Sequence[bytes]]
) -> None:
    async with standing(bounded(most=1, cookies=["s", "t"])) as (proxy, upstream):
        pairs = [
            *await open_each(proxy, upstream, 1, *first),
            *await open_each(proxy, upstream, 1, *second),
        ]
        for pair in pairs:
            await goes_on(pair)
        await close(*pairs)


@pytest.mark.parametrize(
    "settings",
    [
        bounded(most=1, path="/ws/jobs/{id}/", cookies=["other", "s"]),
        {
            **bounded(most=1),
            "SEGUE_SESSIONS__ENABLED": "true",
            "SEGUE_SESSIONS__TOKENS__COOKIES__ACCESS": "s",
        },
    ],
    ids=["of the bound", "of tokens"],
)
async def test_a_cookie_that_tells_people_apart_counts_whatever_stands_beside_it(
    settings: dict[str, str],
) -> None:
    async with standing(settings) as (proxy, upstream):
        first, second = (
            *await open_each(proxy, upstream, 1, b"/ws/jobs/1/", (b"Cookie: s=1; lang=en",)),
            *await open_each(proxy, upstream, 1, b"/ws/jobs/1/", (b"Cookie: lang=de; s=1",)),
        )
        await made_room(first)
        await goes_on(second)
        await close(first, second)


async def test_one_session_is_one_whatever_its_token_is_by_now(tmp_path: Path) -> None:
    env = {name.removeprefix("SEGUE_"): text for name, text in bounded(most=1).items()}
    async with authority() as server, proxied(server, tmp_path, **env) as proxy:
        user = Client(proxy)
        await user.log_in()
        earlier = user.access
        status, pair = await user.exchange()
        assert status == 200
        sockets = []
        for token in (earlier, pair["access"]):
            client = await proxy.connect()
            await client.send(handshake(b"/ws/jobs/1/?token=" + token.encode()))
            assert status_of(await client.read_head()) == 101
            sockets.append(Socket(client, is_client=True))
        assert (await sockets[0].close_frame())[0] == 1000
        for socket in sockets:
            await socket.peer.close()


async def until_waiting(proxy: Segue, count: int) -> None:
    async with asyncio.timeout(PATIENCE):
        while proxy.server._data.upgrades.bounds.waiting != count:  # noqa: ASYNC110 (tells nobody)
            await asyncio.sleep(0.002)


async def shaking(proxy: Segue) -> RawPeer:
    client = await proxy.connect()
    await client.send(handshake(JOB))
    return client


async def superseded(client: RawPeer, subprotocol: bytes | None = None) -> None:
    """It was answered as if it were open, and ended in the same way as others that make room."""
    head = await client.read_head()
    assert status_of(head) == 101
    assert fields_of(head, b"sec-websocket-accept") == [ACCEPT]
    agreed = [] if subprotocol is None else [subprotocol]
    assert fields_of(head, b"sec-websocket-protocol") == agreed
    socket = Socket(client, is_client=True)
    assert await socket.close_frame() == (1000, "replaced by a newer one")
    await socket.send(CLOSE, closing(1000))
    await socket.ended()
    await client.close()


async def test_handshakes_beyond_it_wait_for_their_turn_and_the_newest_longest(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(socket_bounds, "MOST_WAITING", 2)
    monkeypatch.setattr(socket_bounds, "LONGEST_WAIT", 1e6)
    # One in a quarter of an hour: whoever has to wait is not let through by the clock.
    async with standing(bounded(most=1, pace=0.001)) as (proxy, upstream):
        # One is open, and the first beyond it waits for nothing.
        pairs = await open_each(proxy, upstream, 2)
        waiting = []
        for count in (1, 2):
            waiting.append(await shaking(proxy))
            await until_waiting(proxy, count)
        assert await proxy.metric("segue_handshakes_waiting") == 2
        assert await proxy.metric("segue_handshakes_paced_total") == 2
        # One more takes the place of the oldest.
        waiting.append(await shaking(proxy))
        await superseded(waiting[0])
        await until_waiting(proxy, 2)
        assert await proxy.metric("segue_limits_hit_total", limit="handshake_pace") == 1
        assert await proxy.metric("segue_handshakes_total", result="superseded") == 1
        line = next(
            line
            for line in map(json.loads, proxy.log.getvalue().splitlines())
            if line["event"] == "request" and line.get("replaced")
        )
        assert line["status"] == 101
        # Another path of the same session goes by.
        pairs += await open_each(proxy, upstream, 1, b"/ws/jobs/2/?token=a")
        # Nothing of those that wait has reached the server, and one that goes leaves room.
        assert upstream.arrived.empty()
        await waiting[1].close()
        await until_waiting(proxy, 1)
        await waiting[2].close()
        await until_waiting(proxy, 0)
        await goes_on(pairs[1])
        await close(*pairs)


async def test_no_handshake_waits_for_longer_than_it_may(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket_bounds, "LONGEST_WAIT", 0.01)
    async with standing(bounded(most=1, pace=0.001)) as (proxy, upstream):
        offers = (b"Sec-WebSocket-Protocol: chat, superchat",)
        pairs = []
        for _ in range(2):
            client = await proxy.connect()
            await client.send(handshake(JOB, *offers))
            server, _ = await upstream.accept(b"Sec-WebSocket-Protocol: superchat")
            assert status_of(await client.read_head()) == 101
            pairs.append(Pair(proxy, upstream, Socket(client, is_client=True), server))
        client = await proxy.connect()
        await client.send(handshake(JOB, *offers))
        # A browser takes no answer without one of those that it offers.
        await superseded(client, b"superchat")
        await goes_on(pairs[1])
        await close(*pairs)


async def test_nobody_is_answered_in_the_place_of_a_server_that_has_let_nobody_in(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(socket_bounds, "LONGEST_WAIT", 0.01)
    async with standing(bounded(most=1, pace=0.001)) as (proxy, upstream):
        # Two are on their way, and the server has not answered yet.
        clients = [await shaking(proxy) for _ in range(2)]
        servers = [await upstream.connection() for _ in clients]
        async with proxy.client() as client:
            await client.send(handshake(JOB))
            head, body = await client.read_response()
        assert status_of(head) == 503
        assert fields_of(head, b"retry-after")
        assert fields_of(head, b"connection") == [b"close"]
        assert b"faster than they are let through" in body
        assert await proxy.metric("segue_limits_hit_total", limit="handshake_pace") == 1
        for peer in (*clients, *servers):
            await peer.close()


async def test_those_that_wait_come_through_when_it_is_their_turn() -> None:
    async with standing(bounded(most=1, pace=20.0)) as (proxy, upstream):
        pairs = await open_each(proxy, upstream, 2)
        clients = [await shaking(proxy) for _ in range(socket_bounds.MOST_WAITING)]
        servers = [(await upstream.accept())[0] for _ in clients]
        for client in clients:
            assert status_of(await client.read_head()) == 101
        assert await proxy.metric("segue_handshakes_paced_total") >= 1
        assert await proxy.metric("segue_handshakes_waiting") == 0
        for client, server in zip(clients, servers, strict=True):
            await client.close()
            await server.peer.close()
        await close(*pairs)
