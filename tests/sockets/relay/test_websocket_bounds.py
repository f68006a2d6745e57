"""What WebSockets may cost: memory of readers that do not read, hostile texts, foreign pages."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from tests.support.process import running
from tests.support.rfc6455 import CLOSE, TEXT, wire
from tests.support.rig import RawPeer, Segue, raw_server, segue
from tests.support.sockets import (
    accept_of,
    closing,
    fields_of,
    handshake,
    origin,
    relayed,
    status_of,
    switch,
)
from tests.support.waiting import PATIENCE

MODERN = b"X-Client-Version: 2.1.0"
READERS = 20
OFFERED = 500 << 20
"""Bytes that each of them is offered."""

COST = 32 << 20
"""Bytes that all of them may cost together."""

STATUS = b'{"kind": "jobStatus", "jobId": "1", "status": "done", "message": "%b"}' % (b"m" * 700)


@pytest.mark.parametrize("fields", [(), (MODERN,)], ids=["passing", "rewriting"])
async def test_twenty_clients_that_do_not_read_half_a_gigabyte_each_cost_little(
    tmp_path: Path, fields: tuple[bytes, ...]
) -> None:
    offer = wire(TEXT, STATUS) * 64
    taken = 0
    opened = asyncio.Event()

    async def script(peer: RawPeer) -> None:
        nonlocal taken
        head = await peer.read_head()
        (key,) = fields_of(head, b"sec-websocket-key")
        await peer.send(switch(accept=accept_of(key)))
        await opened.wait()
        for _ in range(OFFERED // len(offer)):
            await peer.send(offer)
            taken += len(offer)

    async with raw_server(script) as server:
        environment = {"SEGUE_UPSTREAM__URL": server.url, "SEGUE_STATE_DIR": str(tmp_path)}
        async with running(Path("config.yaml"), env=environment) as process:
            host, _, port = process.address.rpartition(":")
            clients: list[RawPeer] = []
            for _ in range(READERS):
                client = RawPeer(*await asyncio.open_connection(host, int(port)))
                client.stop_reading()
                await client.send(handshake(b"/ws/jobs/1/", *fields))
                clients.append(client)
            async with asyncio.timeout(PATIENCE):
                while await process.total("segue_websockets_total") < READERS:  # noqa: ASYNC110
                    await asyncio.sleep(0.01)
            before = process.resident()
            opened.set()
            async with asyncio.timeout(PATIENCE):
                # All of them are stopped, and none is let go on.
                while await process.total("segue_limits_hit_total", limit="buffer") < READERS:  # noqa: ASYNC110
                    await asyncio.sleep(0.05)
                last = -1
                while taken != last:
                    last = taken
                    await asyncio.sleep(0.25)
            assert process.resident() - before < COST
            # Most of it is still where it came from.
            assert taken < READERS * OFFERED // 20
            for client in clients:
                client.abort()


# Hostile texts.

MAPPING = """
name: strict
description: Makes the kind a number where it is a text, and marks what is deep.
channel: websocket
direction: to_server
on_error: {on_error}
rules:
  - name: number
    match: {{field: n, exists: true}}
    do: [{{convert: {{n: {{from: string, to: integer}}}}}}]
    examples:
      - {{in: {{n: "1"}}, out: {{n: 1}}}}
  - name: deep
    match: {{field: deep, exists: true}}
    do: [{{set: {{seen: true}}}}]
    examples:
      - {{in: {{deep: 1}}, out: {{deep: 1, seen: true}}}}
"""

CONFIGURATION = """
cohorts:
  - name: strict
    versions: ">=1"
    websocket: {to_server: [strict]}
versions: {default: "1"}
upstream: {url: "http://127.0.0.1:9"}
"""

FAILING = {
    "not UTF-8": b'{"n": "\xff"}',
    "half a character at the end": b'{"n": "1"}\xc3',
    "a surrogate in UTF-8": b'{"n": "\xed\xa0\x80"}',
    "a number of 100,000 digits": b'{"n": "' + b"9" * 100_000 + b'"}',
    "a number that is none": b'{"n": "1e99999999999"}',
    "text where a number should be": b'{"n": "one"}',
    "arrays 1,001 levels deep": b'{"n": ' + b"[" * 1000 + b"]" * 1000 + b"}",
    "objects 100,000 levels deep": b'{"n":' * 100_000 + b"1" + b"}" * 100_000,
    "brackets without an end": b"[" * 100_000,
}


def write_configuration(directory: Path, on_error: str) -> Path:
    (directory / "mappings").mkdir()
    (directory / "mappings/strict.yaml").write_text(MAPPING.format(on_error=on_error))
    path = directory / "config.yaml"
    path.write_text(CONFIGURATION)
    return path


@pytest.mark.parametrize("text", FAILING.values(), ids=FAILING)
@pytest.mark.parametrize("on_error", ["pass", "drop", "close"])
async def test_a_hostile_text_goes_the_way_of_the_mappings_on_error(
    tmp_path: Path, on_error: str, text: bytes
) -> None:
    config = write_configuration(tmp_path, on_error)
    async with relayed(None, config=config) as pair:
        sent = await pair.client.send(TEXT, text)
        if on_error == "close":
            assert (await pair.server.close_frame())[0] == 1011
            await pair.server.send(CLOSE, closing(1011))
            assert (await pair.client.close_frame())[0] == 1011
        else:
            if on_error == "pass":
                assert await pair.server.peer.read(len(sent)) == sent
            await pair.client.send(TEXT, b'{"n": "1"}')
            assert await pair.server.message() == b'{"n":1}'
        failed = await pair.segue.metric(
            "segue_messages_total", mapping="strict", direction="to_server", outcome="failed"
        )
        assert failed == 1


@pytest.mark.parametrize(
    ("opening", "closing"), [(b"[", b"]"), (b'{"a":', b"}")], ids=["arrays", "objects"]
)
async def test_a_text_as_deep_as_allowed_is_mapped_like_any_other(
    tmp_path: Path, opening: bytes, closing: bytes
) -> None:
    deep = opening * 999 + b"1" + closing * 999
    async with relayed(None, config=write_configuration(tmp_path, "close")) as pair:
        await pair.client.send(TEXT, b'{"deep": ' + deep + b"}")
        assert await pair.server.message() == b'{"deep":' + deep + b',"seen":true}'
        await pair.client.send(TEXT, deep[:-1])
        assert await pair.server.message() == deep[:-1]


# Foreign pages.

OURS = {"SEGUE_LISTEN__ORIGINS": "[https://app.example.com]"}


async def opens(proxy: Segue, *fields: bytes) -> tuple[int, bytes]:
    """The status of a handshake with these fields, and what came with it where it was refused."""
    async with proxy.client() as client:
        await client.send(handshake(b"/ws/jobs/1/?token=secret", *fields))
        head = await client.read_head()
        return status_of(head), b"" if status_of(head) == 101 else await client.read_all()


async def test_only_pages_of_the_listed_origins_open_websockets() -> None:
    arrived = 0

    async def script(peer: RawPeer) -> None:
        nonlocal arrived
        head = await peer.read_head()
        arrived += 1
        (key,) = fields_of(head, b"sec-websocket-key")
        await peer.send(switch(accept=accept_of(key)))
        await peer.read_all()

    async with raw_server(script) as server, segue(server.url, OURS) as proxy:
        assert (await opens(proxy, b"Origin: https://app.example.com"))[0] == 101
        assert (await opens(proxy))[0] == 101
        for origins in (
            (b"Origin: https://evil.example",),
            (b"Origin: https://app.example.com.evil.example",),
            (b"Origin: http://app.example.com",),
            (b"Origin: https://app.example.com:8443",),
            (b"Origin: null",),
            (b"Origin: ",),
            (b"Origin: https://app.example.com", b"Origin: https://evil.example"),
        ):
            status, body = await opens(proxy, *origins)
            assert status == 403
            assert b'"Origin refused"' in body
            assert b"secret" not in body
        assert arrived == 2
        assert await proxy.metric("segue_limits_hit_total", limit="origin") == 7
        assert await proxy.metric("segue_errors_total", error="origin_refused") == 7


async def test_every_page_may_where_no_origin_is_listed() -> None:
    async with origin() as upstream, segue(upstream.url) as proxy:
        client = await proxy.connect()
        await client.send(handshake(b"/ws/jobs/1/", b"Origin: https://evil.example"))
        server, head = await upstream.accept()
        assert fields_of(head, b"origin") == [b"https://evil.example"]
        assert status_of(await client.read_head()) == 101
        await client.close()
        await server.peer.close()
