"""What is held for a mapping is held for a time, however it drips; what is whole knows none."""

from __future__ import annotations

import asyncio
import json
from itertools import cycle
from pathlib import Path

import pytest

from tests.sockets.relay.test_bodies import CONFIG_TEXT, GET, MAPPINGS, NEW, OLD
from tests.support.rfc6455 import BINARY, CONTINUATION, PING, TEXT
from tests.support.rig import RawPeer, raw_server, segue
from tests.support.sockets import Pair, Socket, gone, relayed
from tests.support.waiting import PATIENCE

MODERN = b"X-Client-Version: 2.1.0"
SOON = {"SEGUE_TIMEOUTS__MESSAGE": "300ms"}
NEVER = {"SEGUE_TIMEOUTS__MESSAGE": "1h"}
MESSAGE = b'{"kind": "jobStatus", "jobId": "1", "status": "done", "message": "%b"}' % (b"m" * 700)


BOTH_WAYS = """
upstream: {url: "http://127.0.0.1:1"}
cohorts:
  - name: modern
    versions: ">=2"
    websocket: {to_client: [to-client], to_server: [to-server]}
"""
MAPPING = """
name: %s
description: Renames a field.
channel: websocket
direction: %s
rules:
  - name: kind
    match: {field: kind, exists: true}
    do:
      - rename: {kind: type}
    examples:
      - {in: {kind: a}, out: {type: a}}
"""


@pytest.fixture
def both_ways(tmp_path: Path) -> Path:
    """A configuration whose modern clients have a mapping in each direction."""
    (tmp_path / "mappings").mkdir()
    for name in ("to-client", "to-server"):
        text = MAPPING % (name, name.replace("-", "_"))
        (tmp_path / "mappings" / f"{name}.yaml").write_text(text)
    file = tmp_path / "config.yaml"
    file.write_text(BOTH_WAYS)
    return file


def sides(pair: Pair, side: str) -> tuple[Socket, Socket]:
    both = (pair.client, pair.server)
    return both if side == "client" else both[::-1]


async def drip(sender: Socket, pieces: list[bytes], again: list[bytes]) -> None:
    """Send pieces, and then the others for ever."""
    try:
        for piece in pieces:
            await sender.peer.send(piece)
        for piece in cycle(again):
            await asyncio.sleep(0.02)
            await sender.peer.send(piece)
    except ConnectionError:
        pass


async def given_up(pair: Pair, side: str, pieces: list[bytes], again: list[bytes]) -> None:
    sender, other = sides(pair, side)
    dripping = asyncio.create_task(drip(sender, pieces, again))
    try:
        async with asyncio.timeout(PATIENCE):
            while (frame := await other.receive()).opcode == PING:
                pass
            assert (frame.opcode, frame.payload) == (8, b"\x03\xe9message took too long")
            await other.send(8, b"\x03\xe9")
            assert await sender.close_frame() == (1008, "message took too long")
    finally:
        dripping.cancel()
    assert await pair.segue.metric("segue_limits_hit_total", limit="message_time") == 1


@pytest.mark.parametrize("side", ["client", "server"])
async def test_a_frame_that_drips_is_given_up(both_ways: Path, side: str) -> None:
    async with relayed(SOON, MODERN, config=both_ways) as pair:
        frame = sides(pair, side)[0].frame(TEXT, bytes(b"x" * 60_000))
        await given_up(pair, side, [frame[:1000]], [frame[1000:1001]])
        for socket in (pair.client, pair.server):
            await socket.peer.close()
        await gone(pair.segue)
        lines = map(json.loads, pair.segue.log.getvalue().splitlines())
        faults = [line["fault"] for line in lines if "fault" in line]
        assert len(faults) == 1
        assert "message took too long" in faults[0]


@pytest.mark.parametrize("side", ["client", "server"])
async def test_fragments_that_drip_are_given_up_whatever_comes_in_between(
    both_ways: Path, side: str
) -> None:
    async with relayed(SOON, MODERN, config=both_ways) as pair:
        sender = sides(pair, side)[0]
        again = [sender.frame(PING), sender.frame(CONTINUATION, b"x", fin=False)]
        await given_up(pair, side, [sender.frame(TEXT, b"x", fin=False)], again)


@pytest.mark.parametrize("side", ["client", "server"])
async def test_a_message_that_stops_is_given_up(both_ways: Path, side: str) -> None:
    async with relayed(SOON, MODERN, config=both_ways) as pair:
        sender = sides(pair, side)[0]
        await given_up(pair, side, [sender.frame(TEXT, MESSAGE)[:300]], [b""])


@pytest.mark.parametrize("side", ["client", "server"])
async def test_messages_in_pieces_that_come_to_their_end_are_never_too_slow(
    both_ways: Path, side: str
) -> None:
    # All of them take longer than one may, of which each has a twentieth.
    async with relayed({"SEGUE_TIMEOUTS__MESSAGE": "2s"}, MODERN, config=both_ways) as pair:
        sender, other = sides(pair, side)
        frame = sender.frame(TEXT, MESSAGE)
        # The end of one comes with the beginning of the next: a part is held all the time.
        await sender.peer.send(frame[:100])
        for _ in range(30):
            await asyncio.sleep(0.1)
            await sender.peer.send(frame[100:] + frame[:100])
            assert b'"type":"jobStatus"' in await other.message()
        await sender.peer.send(frame[100:])
        assert b'"type":"jobStatus"' in await other.message()
        assert await pair.segue.metric("segue_limits_hit_total", limit="message_time") == 0


@pytest.mark.parametrize("opcode", [TEXT, BINARY])
async def test_what_is_not_held_may_take_its_time(opcode: int) -> None:
    # Text of a client of the server's own dialect, binary messages of all.
    async with relayed(SOON, *([MODERN] if opcode == BINARY else [])) as pair:
        frame = pair.client.frame(opcode, b"x" * 1000)
        await pair.client.peer.send(frame[:500])
        await asyncio.sleep(1)
        await pair.client.peer.send(frame[500:])
        assert await pair.server.message() == b"x" * 1000


@pytest.fixture
def config(tmp_path: Path) -> Path:
    (tmp_path / "mappings").mkdir()
    for name, text in MAPPINGS.items():
        (tmp_path / "mappings" / f"{name}.yaml").write_text(text)
    file = tmp_path / "config.yaml"
    file.write_text(CONFIG_TEXT)
    return file


async def test_the_body_of_a_request_that_drips_is_given_up(config: Path) -> None:
    arrived: list[bytes] = []

    async def script(peer: RawPeer) -> None:
        arrived.append(await peer.read_head())

    async with (
        raw_server(script) as origin,
        segue(origin.url, SOON, config) as proxy,
        proxy.client() as peer,
    ):
        head = b"POST /api/jobs/1/ HTTP/1.1\r\nHost: h\r\nContent-Type: application/json\r\n"
        await peer.send(head + b"Content-Length: 3000\r\n\r\n{")
        dripping = asyncio.create_task(drip(Socket(peer, is_client=True), [], [b" "]))
        try:
            answer = await peer.read_head()
        finally:
            dripping.cancel()
        assert answer.startswith(b"HTTP/1.1 408 ")
        assert arrived == []
        assert await proxy.metric("segue_limits_hit_total", limit="client_time") == 1


@pytest.mark.parametrize(("env", "expected"), [(SOON, OLD), (NEVER, NEW)], ids=["soon", "never"])
async def test_the_body_of_a_response_that_drips_passes_as_it_is(
    config: Path, env: dict[str, str], expected: bytes
) -> None:
    pieces = [OLD[at : at + 4] for at in range(0, len(OLD), 4)]

    async def script(peer: RawPeer) -> None:
        await peer.read_head()
        kind = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
        await peer.send(kind + b"Content-Length: %d\r\n\r\n" % len(OLD))
        for piece in pieces:
            await asyncio.sleep(0.03)
            await peer.send(piece)
        await peer.read_all()

    async with (
        raw_server(script) as origin,
        segue(origin.url, env, config) as proxy,
        proxy.client() as peer,
    ):
        await peer.send(GET % (b"/api/jobs/1/", b""))
        await peer.read_head()
        assert await peer.read(len(expected)) == expected
        outcome = "failed" if expected is OLD else "mapped"
        named = {"mapping": "job-out", "direction": "to_client", "outcome": outcome}
        assert await proxy.metric("segue_messages_total", **named) == 1
