"""Shadows in a running Segue, between raw peers: what is sent stays as it was, byte for byte."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest

from proxy.gateway.context import RequestContext
from proxy.gateway.open_websocket import OpenWebSocket
from proxy.gateway.rewriting import Rewriting
from proxy.gateway.shadow import MAX_COLLECTED, Shadows
from proxy.gateway.shadow_queue import MAX_MESSAGE
from proxy.gateway.shadow_switch import ShadowTarget
from proxy.mapping.engine.program import Program
from proxy.relay.observed import Observer, Observers
from proxy.rewriting import MessageHandling
from proxy.types import Direction
from tests.support.rfc6455 import BINARY, CLOSE, CONTINUATION, PING, TEXT
from tests.support.rig import answering, raw_server, segue
from tests.support.shadows import (
    BROKEN,
    CHAT,
    GONE,
    OTHER,
    SAME,
    SWITCH,
    counts,
    dialect,
    settled,
    shadowing,
    tap,
)
from tests.support.sockets import Pair, Socket, relayed
from tests.support.tapped import carried
from tests.support.waiting import PATIENCE

# WebSockets through a running Segue.


def shadowed(pair: Pair, shadows: Shadows, program: Program) -> None:
    """Put both directions of the open socket into shadow, as whoever opens it will."""
    (socket,) = pair.segue.server._data.connections._open
    assert isinstance(socket, OpenWebSocket)
    target = ShadowTarget(SWITCH, program)
    for leg, way in (
        (socket.relay.client, Direction.TO_SERVER),
        (socket.relay.server, Direction.TO_CLIENT),
    ):
        handling = leg.frame_filter.handling
        leg.frame_filter.handling = shadows.tapped(handling, (target,), way, "modern")


def frames(one: Socket) -> Iterator[bytes]:
    """What a side sends: each kind of message, whole, in fragments, and what is none."""
    for message in (CHAT, GONE, BROKEN, SAME, OTHER, b"no JSON", b"", b"\xff", b'{"a":' * 2_000):
        yield one.frame(TEXT, message)
    yield one.frame(TEXT, CHAT[:9], fin=False) + one.frame(CONTINUATION, CHAT[9:])
    yield one.frame(BINARY, CHAT)
    yield one.frame(PING, b"!")
    yield one.frame(TEXT, b"", fin=False) + one.frame(CONTINUATION, b"l" * 100_000)
    yield one.frame(CLOSE, (1000).to_bytes(2, "big"))


@pytest.mark.parametrize("on_error", ["pass", "drop", "close"])
@pytest.mark.parametrize("side", ["client", "server"])
async def test_what_is_sent_is_what_would_be_without_a_shadow(side: str, on_error: str) -> None:
    async with shadowing() as shadows, relayed() as pair:
        shadowed(pair, shadows, dialect(on_error))
        one, other = (pair.client, pair.server) if side == "client" else (pair.server, pair.client)
        sent = b"".join(frames(one))
        await one.peer.send(sent)

        assert await other.peer.read(len(sent)) == sent
        found = await settled(shadows)
    # All text messages, and no others. One is larger than what is compared.
    assert (found.offered, found.too_large) == (11, 1)
    assert counts(found)[3] == 3


@pytest.mark.parametrize("side", ["client", "server"])
async def test_what_is_not_whole_yet_goes_on_at_once(side: str) -> None:
    async with shadowing() as shadows, relayed() as pair:
        shadowed(pair, shadows, dialect())
        one, other = (pair.client, pair.server) if side == "client" else (pair.server, pair.client)
        frame = one.frame(TEXT, CHAT[:9], fin=False) + one.frame(CONTINUATION, CHAT[9:])
        for piece in (frame[:8], frame[8:-3], frame[-3:]):
            await one.peer.send(piece)
            assert await other.peer.read(len(piece)) == piece
        assert counts(await settled(shadows)) == (1, 0, 0, 0)
        assert shadows._room.left == MAX_COLLECTED


async def test_copies_count_as_held_and_are_forgotten_with_their_socket() -> None:
    held = "segue_held_bytes"
    async with shadowing() as shadows, relayed() as pair:
        shadowed(pair, shadows, dialect())
        for one, other in ((pair.client, pair.server), (pair.server, pair.client)):
            begun = one.frame(TEXT, b"a" * 700, fin=False)
            await one.peer.send(begun)
            assert await other.peer.read(len(begun)) == begun
        assert await pair.segue.metric(held, kind="message") == 1_400
        assert shadows._room.left == MAX_COLLECTED - 1_400
        rest = pair.client.frame(CONTINUATION, b"b" * MAX_MESSAGE)
        await pair.client.peer.send(rest)
        assert await pair.server.peer.read(len(rest)) == rest
        found = await settled(shadows)
        assert (found.offered, found.too_large) == (1, 1)
        assert await pair.segue.metric(held, kind="message") == 700
        pair.client.peer.reset()
        await pair.server.peer.read_all()
        await pair.server.peer.close()
        async with asyncio.timeout(PATIENCE):
            while pair.segue.server._data.connections._open:  # noqa: ASYNC110 (it tells nobody)
                await asyncio.sleep(0.002)
        assert shadows._room.left == MAX_COLLECTED
        assert await settled(shadows) is found


@pytest.mark.parametrize("on_error", ["pass", "drop", "close"])
async def test_what_is_mapped_in_earnest_stays_so(on_error: str) -> None:
    status = b'{"kind": "jobStatus", "jobId": "%d"}'
    async with shadowing() as shadows, relayed(None, b"X-Client-Version: 2.1.0") as pair:
        shadowed(pair, shadows, dialect(on_error))
        for number in range(200):
            await pair.server.send(TEXT, status % number)
            await pair.server.send(TEXT, BROKEN)
        for number in range(200):
            message = await pair.client.message()
            assert json.loads(message) == {"kind": "status", "jobId": str(number)}
            assert await pair.client.message() == BROKEN
        found = await settled(shadows)
        (socket,) = pair.segue.server._data.connections._open
        assert isinstance(socket, OpenWebSocket)
        assert socket.facts()["to_client_messages"] == {
            "mapped": 200,
            "passed": 200,
            "dropped": 0,
            "failed": 0,
            "undelivered": 0,
        }
    assert found.offered == 400
    assert found.would_fail <= 200


async def test_recordings_see_messages_as_they_are_really_treated() -> None:
    async with shadowing() as shadows, relayed(None, b"X-Client-Version: 2.1.0") as pair:
        shadowed(pair, shadows, dialect())
        (socket,) = pair.segue.server._data.connections._open
        assert isinstance(socket, OpenWebSocket)
        async with pair.segue.admin() as client:
            order = {"mapping": "old-to-new", "count": 1}
            async with client.post("/api/v1/recordings", json=order) as answer:
                name = (await answer.json())["name"]
            await pair.server.send(TEXT, b'{"kind": "jobStatus"}')
            async with client.get(f"/api/v1/recordings/{name}") as stream:
                line = json.loads(await stream.content.readline())
        assert (line["mapping"], line["out"]) == ("old-to-new", {"kind": "status"})
        assert (await settled(shadows)).offered == 1


# Bodies through a running Segue.

CONFIG: Final = """
upstream: {url: "http://127.0.0.1:1"}
versions: {default: "2"}
cohorts:
  - name: modern
    versions: ">=2"
    http:
      - {path: /mapped/, to_client: [loud], to_server: [quiet]}
"""
MAPPING: Final = """
name: {name}
description: For a test.
channel: http
direction: {way}
rules:
  - name: all
    match: {{field: kind, exists: true}}
    do: [{{set: {{{name}: 1}}}}]
    examples:
      - {{in: {{kind: a}}, out: {{kind: a, {name}: 1}}}}
"""


@pytest.fixture
def config(tmp_path: Path) -> Path:
    (tmp_path / "mappings").mkdir()
    for name, way in (("loud", "to_client"), ("quiet", "to_server")):
        text = MAPPING.format(name=name, way=way)
        (tmp_path / "mappings" / f"{name}.yaml").write_text(text)
    file = tmp_path / "config.yaml"
    file.write_text(CONFIG)
    return file


def wire_bodies(monkeypatch: pytest.MonkeyPatch, shadows: Shadows) -> None:
    """Let every request be in shadow, both ways, as the step `bodies` will."""
    targets = (ShadowTarget(SWITCH, dialect(channel="http")),)
    handling, observer = Rewriting.handling, Rewriting.observer

    def tapped(
        self: Rewriting,
        info: Any,
        program: Program | None,
        way: Direction,
        *more: Any,
        **named: Any,
    ) -> MessageHandling:
        found = handling(self, info, program, way, *more, **named)
        return shadows.tapped(found, targets, way, "modern")

    def observed(self: Rewriting, context: RequestContext) -> Observer | None:
        ways = dict.fromkeys(Direction, targets) if context.bodies is None else {}
        looking = (
            observer(self, context),
            shadows.observer(ways, "modern", context.request.fields),
        )
        return Observers([each for each in looking if each is not None]) if any(looking) else None

    monkeypatch.setattr(Rewriting, "handling", tapped)
    monkeypatch.setattr(Rewriting, "observer", observed)


def request(path: bytes, body: bytes) -> bytes:
    return (
        b"POST %b HTTP/1.1\r\nHost: h\r\nConnection: close\r\nContent-Type: application/json\r\n"
        b"Content-Length: %d\r\n\r\n%b" % (path, len(body), body)
    )


async def asked(config: Path, path: bytes, body: bytes) -> tuple[bytes, bytes]:
    """Send a body through Segue to a server that answers with the same; both as they arrived."""
    arrived: list[bytes] = []

    async def script(peer: Any) -> None:
        head = await peer.read_head()
        (size,) = (
            int(line[15:])
            for line in head.split(b"\r\n")
            if line[:15].lower() == b"content-length:"
        )
        arrived.append(await peer.read(size))
        await peer.send(
            b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%b"
            % (len(body), body)
        )

    async with raw_server(script) as origin, segue(origin.url, config=config) as proxy:
        answer = await proxy.ask(request(path, body))
    return arrived[0], answer.partition(b"\r\n\r\n")[2]


@pytest.mark.parametrize("path", [b"/mapped/", b"/plain/"])
async def test_bodies_are_compared_and_go_through_as_they_would(
    config: Path, monkeypatch: pytest.MonkeyPatch, path: bytes
) -> None:
    bodies = (CHAT, b"[%b, 1]" % CHAT, b'{"kind":"chat","a":%b}' % (b" " * MAX_MESSAGE + b"1"))
    expected = [await asked(config, path, body) for body in bodies]
    async with shadowing() as shadows:
        wire_bodies(monkeypatch, shadows)
        assert [await asked(config, path, body) for body in bodies] == expected
        found = await settled(shadows)
    assert (found.offered, found.too_large) == (6, 2)
    assert (found.would_map, found.rules) == (4, {"chat": 4})
    assert len(found.examples) == 4


async def test_a_body_that_cannot_be_read_is_left_out(
    config: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    huge = b'{"a":"%b"}' % (b"x" * 1_000_000)
    expected = await asked(config, b"/plain/", huge)
    async with shadowing() as shadows:
        wire_bodies(monkeypatch, shadows)
        assert await asked(config, b"/plain/", huge) == expected == (huge, huge)
        found = await settled(shadows)
    assert (found.offered, found.skipped, found.too_large) == (2, 2, 2)


async def test_the_metrics_show_what_would_have_become_of_messages() -> None:
    async with raw_server(answering(b"")) as origin, segue(origin.url) as proxy:
        shadows = proxy.server._data.shadows
        carried(tap(shadows), CHAT)
        found = await settled(shadows)
        name = "segue_switch_shadow_messages_total"
        assert await proxy.metric(name, switch=SWITCH) == 1
        assert await proxy.metric(name, switch=SWITCH, outcome="mapped") == found.would_map
        seconds = await proxy.metric("segue_switch_shadow_cpu_seconds_total", switch=SWITCH)
        assert seconds == found.seconds
    assert shadows._closed
