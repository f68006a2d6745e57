"""What is open and what is kept in memory for it, as the metrics page shows it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

from tests.support.rfc6455 import CLOSE, CONTINUATION, TEXT, wire
from tests.support.rig import RawPeer, Segue, raw_server, segue
from tests.support.sockets import MASK, Pair, closing, open_pair, origin
from tests.support.waiting import PATIENCE

MAPPINGS = {
    "in": ("websocket", "to_server"),
    "out": ("websocket", "to_client"),
    "body-in": ("http", "to_server"),
    "body-out": ("http", "to_client"),
}

RULES = """\
name: {name}
description: For a test.
channel: {channel}
direction: {direction}
rules:
  - name: a
    match: {{field: a, exists: true}}
    do: [rename: {{a: b}}]
    examples: [{{in: {{a: 1}}, out: {{b: 1}}}}]
"""

CONFIGURATION = """\
upstream: {url: "http://127.0.0.1:1"}
cohorts:
  - name: modern
    versions: ">=2"
    websocket: {to_client: [out], to_server: [in]}
    http: [{path: /mapped, to_client: [body-out], to_server: [body-in]}]
coalescing: [{name: polled, path: /polled}]
"""

MODERN = b"X-Client-Version: 2.1"
JSON = b"Content-Type: application/json\r\n"
OPEN = "segue_open_websockets"
HELD = "segue_held_bytes"


def written(directory: Path) -> Path:
    (directory / "mappings").mkdir()
    for name, (channel, direction) in MAPPINGS.items():
        text = RULES.format(name=name, channel=channel, direction=direction)
        (directory / "mappings" / f"{name}.yaml").write_text(text, encoding="utf-8")
    config = directory / "config.yaml"
    config.write_text(CONFIGURATION, encoding="utf-8")
    return config


async def until(condition: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(PATIENCE):
        while not await condition():  # noqa: ASYNC110 (it tells nobody)
            await asyncio.sleep(0.02)


async def becomes(proxy: Segue, name: str, value: float, **labels: str) -> None:
    async def there() -> bool:
        return await proxy.metric(name, **labels) == value

    await until(there)


async def end(pair: Pair) -> None:
    await pair.client.send(CLOSE, closing(1000))
    await pair.server.close_frame()
    await pair.server.send(CLOSE, closing(1000))
    await pair.client.close_frame()
    await pair.server.peer.close()
    await pair.client.peer.close()


async def test_open_websockets_are_shown_by_what_they_are_and_since_which_configuration(
    tmp_path: Path,
) -> None:
    config = written(tmp_path)
    async with origin() as upstream, segue(upstream.url, config=config) as proxy:
        mapped = await open_pair(proxy, upstream, fields=(MODERN,))
        plain = await open_pair(proxy, upstream)
        modern = {"cohort": "modern", "to_client": "out", "to_server": "in"}
        none = {"cohort": "none", "to_client": "none", "to_server": "none"}
        assert await proxy.metric(OPEN, **modern, configuration="current") == 1
        assert await proxy.metric(OPEN, **none, configuration="current") == 1
        assert await proxy.metric(OPEN) == 2
        config.write_text(CONFIGURATION + "# Another one.\n", encoding="utf-8")
        proxy.server.reload()
        await becomes(proxy, OPEN, 1, **modern, configuration="older")
        await becomes(proxy, OPEN, 1, **none, configuration="older")
        newest = await open_pair(proxy, upstream, fields=(MODERN,))
        assert await proxy.metric(OPEN, **modern, configuration="current") == 1
        for pair in (mapped, plain):
            await end(pair)
        # The roll-over has ended.
        await becomes(proxy, OPEN, 0, configuration="older")
        assert await proxy.metric(OPEN) == 1
        # The files of before are the configuration of before.
        config.write_text(CONFIGURATION, encoding="utf-8")
        proxy.server.reload()
        await becomes(proxy, OPEN, 1, configuration="older")
        await end(newest)
        await becomes(proxy, OPEN, 0)


async def test_a_message_that_is_held_is_shown_until_it_is_whole(tmp_path: Path) -> None:
    config = written(tmp_path)
    async with origin() as upstream, segue(upstream.url, config=config) as proxy:
        pair = await open_pair(proxy, upstream, fields=(MODERN,))
        assert await proxy.metric(HELD) == 0
        await pair.client.peer.send(wire(TEXT, b'{"a":', fin=False, key=MASK))
        await becomes(
            proxy,
            HELD,
            len(b'{"a":') + len(wire(TEXT, b'{"a":', fin=False, key=MASK)),
            kind="message",
        )
        await pair.client.peer.send(wire(CONTINUATION, b"1}", key=MASK))
        assert await pair.server.message() == b'{"b":1}'
        assert await proxy.metric(HELD) == 0
        await end(pair)


async def test_what_a_client_does_not_take_is_shown_as_unsent(tmp_path: Path) -> None:
    config = written(tmp_path)
    async with origin() as upstream, segue(upstream.url, config=config) as proxy:
        pair = await open_pair(proxy, upstream)
        pair.client.peer.stop_reading()

        async def send() -> None:
            while True:
                await pair.server.send(TEXT, b"x" * (64 << 10))

        sending = asyncio.create_task(send())

        async def waits() -> bool:
            return await proxy.metric(HELD, kind="unsent") > 0

        await until(waits)
        sending.cancel()
        pair.server.peer.reset()
        pair.client.peer.reset()
        await becomes(proxy, HELD, 0)


async def test_bodies_are_shown_while_they_are_collected_and_until_they_are_answered(
    tmp_path: Path,
) -> None:
    asked, go_on, end_it = asyncio.Event(), asyncio.Event(), asyncio.Event()

    async def script(peer: RawPeer) -> None:
        await peer.read_head()
        assert await peer.read(len(b'{"b":1}')) == b'{"b":1}'
        asked.set()
        await go_on.wait()
        await peer.send(b"HTTP/1.1 200 OK\r\n" + JSON + b'Content-Length: 8\r\n\r\n{"a":')
        await end_it.wait()
        await peer.send(b"22}")
        await peer.read_all()

    config = written(tmp_path)
    async with raw_server(script) as server, segue(server.url, config=config) as proxy:
        async with proxy.client() as client:
            head = b"POST /mapped HTTP/1.1\r\nHost: h\r\n" + MODERN + b"\r\n" + JSON
            await client.send(head + b'Content-Length: 8\r\n\r\n{"a":')
            await becomes(proxy, HELD, 5, kind="body")
            await client.send(b" 1}")
            await asked.wait()
            assert await proxy.metric(HELD, kind="body") == len(b'{"b":1}')
            go_on.set()
            await becomes(proxy, HELD, 7 + 5, kind="body")
            end_it.set()
            assert (await client.read_response())[1] == b'{"b":22}'
            await becomes(proxy, HELD, 0)


async def test_a_body_that_never_ends_is_not_shown_once_its_client_has_gone(tmp_path: Path) -> None:
    async def script(peer: RawPeer) -> None:
        await peer.read_all()

    config = written(tmp_path)
    async with raw_server(script) as server, segue(server.url, config=config) as proxy:
        async with proxy.client() as client:
            head = b"POST /mapped HTTP/1.1\r\nHost: h\r\n" + MODERN + b"\r\n" + JSON
            await client.send(head + b'Content-Length: 8\r\n\r\n{"a":')
            await becomes(proxy, HELD, 5, kind="body")
        await becomes(proxy, HELD, 0)


async def test_an_answer_that_is_shared_is_shown_while_it_comes(tmp_path: Path) -> None:
    end_it = asyncio.Event()

    async def script(peer: RawPeer) -> None:
        await peer.read_head()
        await peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\nhalf")
        await end_it.wait()
        await peer.send(b"half")
        await peer.read_all()

    config = written(tmp_path)
    async with raw_server(script) as server, segue(server.url, config=config) as proxy:
        async with proxy.client() as client:
            await client.send(b"GET /polled HTTP/1.1\r\nHost: h\r\n\r\n")

            async def comes() -> bool:
                return await proxy.metric(HELD, kind="shared_answer") > len(b"half")

            await until(comes)
            end_it.set()
            assert (await client.read_response())[1] == b"halfhalf"
            await becomes(proxy, HELD, 0)
