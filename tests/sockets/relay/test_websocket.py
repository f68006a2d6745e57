"""The relay of a WebSocket, with a raw peer at each end."""

from __future__ import annotations

import asyncio
import gc
import hashlib
import json
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from typing import cast

import pytest

from proxy.gateway.open_websocket import OpenWebSocket
from proxy.memory import MemoryBudget
from proxy.relay.websocket import Relay, SocketLimits
from proxy.rewriting import MessageCounts, MessageHandling, Rewriter
from proxy.websocket.failures import MESSAGE_TOO_SLOW
from tests.support.rfc6455 import BINARY, CLOSE, CONTINUATION, PING, PONG, TEXT, wire
from tests.support.rig import Segue, segue
from tests.support.sockets import (
    LONGEST,
    MASK,
    Pair,
    Socket,
    closing,
    gone,
    handshake,
    open_pair,
    origin,
    relayed,
    shake_hands_in_pieces,
    switch,
    turn,
)
from tests.support.waiting import PATIENCE

SHORT = {"SEGUE_TIMEOUTS__WEBSOCKET_CLOSE": "300ms"}
SIDES = ["client", "server"]
MODERN = b"X-Client-Version: 2.1.0"
STATUS = b'{"kind": "jobStatus", "jobId": "1", "status": "done", "message": null}'


def ends(pair: Pair, side: str) -> tuple[Socket, Socket]:
    """The socket of a side, and the one across."""
    both = pair.client, pair.server
    return both if side == "client" else both[::-1]


@contextmanager
def unread(socket: Socket) -> Iterator[None]:
    """Inside, this side reads nothing from the network."""
    transport = cast(asyncio.ReadTransport, socket.peer.writer.transport)
    transport.pause_reading()
    try:
        yield
    finally:
        transport.resume_reading()


def only_relay(proxy: Segue) -> Relay:
    (socket,) = proxy.server._data.connections._open
    assert isinstance(socket, OpenWebSocket)
    return socket.relay


async def lost(pair: Pair, side: str, knock: Callable[[], Awaitable[object]]) -> None:
    """Wait until Segue knows that this side has gone; writing to it is how it learns of it."""
    relay = only_relay(pair.segue)
    leg = relay.client if side == "client" else relay.server
    async with asyncio.timeout(PATIENCE):
        while not leg.lost:
            await knock()
            await turn()


async def line(proxy: Segue, event: str = "websocket") -> dict[str, object]:
    """The newest log line about a WebSocket, as soon as it is written."""
    async with asyncio.timeout(PATIENCE):
        while True:
            for text in reversed(proxy.log.getvalue().splitlines()):
                found: dict[str, object] = json.loads(text)
                if found["event"] == event:
                    return found
            await asyncio.sleep(0.002)


# What goes through.


@pytest.mark.parametrize("side", SIDES)
async def test_frames_fragments_and_control_frames_go_through_byte_for_byte(side: str) -> None:
    async with relayed() as pair:
        one, other = ends(pair, side)
        sent = b"".join(
            (
                one.frame(TEXT, "Grüße".encode()),
                one.frame(BINARY, bytes(range(256))),
                one.frame(TEXT, b"", fin=False),
                one.frame(PING, b"between fragments"),
                one.frame(CONTINUATION, b"a" * 126, fin=False),
                one.frame(PONG),
                one.frame(CONTINUATION, b"z"),
                one.frame(BINARY, b"l" * 70_000),
            )
        )
        await one.peer.send(sent)

        assert await other.peer.read(len(sent)) == sent


async def test_a_ping_is_answered_by_the_other_side_and_not_by_segue() -> None:
    async with relayed() as pair:
        await pair.client.send(PING, b"are you there?")
        ping = await pair.server.receive()
        assert (ping.opcode, ping.payload, ping.masked) == (PING, b"are you there?", True)
        await pair.server.send(PONG, b"yes")
        pong = await pair.client.receive()
        assert (pong.opcode, pong.payload, pong.masked) == (PONG, b"yes", False)


async def test_every_cut_of_handshake_and_first_frames_gives_the_same_stream() -> None:
    async with origin() as upstream, segue(upstream.url) as proxy:
        for position in range(LONGEST + 1):
            await shake_hands_in_pieces(proxy, upstream, position / LONGEST)
        await gone(proxy)


async def test_every_cut_of_a_rewritten_stream_gives_the_same_frames() -> None:
    sent = (
        wire(TEXT, STATUS)
        + wire(TEXT, STATUS[:30], fin=False)
        + wire(PING, b"!")
        + wire(CONTINUATION, STATUS[30:])
        + wire(TEXT, b'{"kind": "error"}', fin=False)
        + wire(CONTINUATION)
    )
    # Measured by hand: the kind is four characters shorter, the rest is what it was.
    new = b'{"kind": "status", "jobId": "1", "status": "done", "message": null}'
    received = (
        wire(TEXT, new)
        + wire(PING, b"!")
        + wire(TEXT, new)
        + wire(TEXT, b'{"kind": "error"}', fin=False)
        + wire(CONTINUATION)
    )
    async with relayed(None, MODERN) as pair:
        for position in range(len(sent) + 1):
            await pair.server.peer.send(sent[:position])
            await turn()
            await pair.server.peer.send(sent[position:])
            assert await pair.client.peer.read(len(received)) == received


async def test_a_message_that_no_rule_wants_keeps_its_bytes_and_its_mask() -> None:
    async with relayed(None, MODERN) as pair:
        for one, other in (ends(pair, "client"), ends(pair, "server")):
            sent = await one.send(TEXT, b'{ "kind" : "chatter", "content": 1.10 }')
            assert (await other.receive()).raw == sent


# How a connection ends.


@pytest.mark.parametrize("side", SIDES)
@pytest.mark.parametrize(
    ("code", "reason"),
    [
        (1000, ""),
        (1000, "done"),
        (1001, "going away"),
        (1008, "policy"),
        (1011, ""),
        (1012, "restart"),
        (3000, "é" * 61),
        (4001, "token expired"),
        (4003, "not yours"),
        (4999, ""),
        (None, ""),
    ],
)
async def test_close_code_and_reason_reach_the_other_side_and_so_does_the_answer(
    side: str, code: int | None, reason: str
) -> None:
    async with relayed() as pair:
        one, other = ends(pair, side)
        await one.send(CLOSE, closing(code, reason))
        assert await other.close_frame() == (code, reason)
        await other.send(CLOSE, closing(code, "answered" if code else ""))
        assert await one.close_frame() == (code, "answered" if code else "")
        await pair.server.peer.close()  # RFC 6455 section 7.1.1: the server goes first.
        await pair.client.ended()
        await gone(pair.segue)
        entry = await line(pair.segue)
        assert entry["client_close"] == entry["server_close"] == (code or 1005)
        assert entry["fault"] is None


@pytest.mark.parametrize("side", SIDES)
@pytest.mark.parametrize("how", ["reset", "end of stream"])
async def test_a_side_that_vanishes_without_a_close_frame_ends_the_other(
    side: str, how: str
) -> None:
    async with relayed() as pair:
        one, other = ends(pair, side)
        await one.send(TEXT, b"last words")
        assert await other.message() == b"last words"
        if how == "reset":
            one.peer.abort()
        else:
            await one.peer.close()
        if side == "server":
            assert await other.close_frame() == (1001, "server has gone")
            await other.send(CLOSE, closing(1001))
        await other.ended()
        await other.peer.close()
        await gone(pair.segue)
        entry = await line(pair.segue)
        answered = 1001 if side == "server" else None
        assert (entry["client_close"], entry["server_close"]) == (answered, None)


@pytest.mark.parametrize("code", [1012, 1014])
async def test_what_a_client_is_told_of_a_vanished_server_can_be_set(code: int) -> None:
    async with relayed({"SEGUE_UPSTREAM__CLOSE_CODE": str(code)}) as pair:
        pair.server.peer.abort()
        assert (await pair.client.close_frame())[0] == code
        await pair.client.peer.close()
        await gone(pair.segue)
        closes = "segue_websocket_closes_total"
        assert await pair.segue.metric(closes, side="server", code="1006") == 1
        assert await pair.segue.metric(closes, side="segue", code=str(code)) == 1


async def test_a_client_is_told_nothing_within_a_frame_of_a_vanished_server() -> None:
    async with relayed() as pair:
        frame = wire(BINARY, bytes(100_000))
        await pair.server.peer.send(frame[:50_000])
        assert await pair.client.peer.read(50_000) == frame[:50_000]
        pair.server.peer.abort()
        await pair.client.ended()
        await pair.client.peer.close()
        await gone(pair.segue)


@pytest.mark.parametrize("side", SIDES)
async def test_last_words_and_a_close_frame_arrive_although_the_sender_leaves_at_once(
    side: str,
) -> None:
    async with relayed() as pair:
        one, other = ends(pair, side)
        with unread(other):
            words = one.frame(BINARY, b"w" * 300_000) + one.frame(CLOSE, closing(1000, "bye"))
            await one.peer.send(words)
            await one.peer.close()
            await lost(pair, side, lambda: other.send(TEXT, b"is anybody there?"))
            # To a socket that Segue had closed, this would be answered by a reset, which takes
            # away what was not read yet.
            await other.send(TEXT, b"to nobody")
            await turn()
        assert await other.peer.read(len(words)) == words
        await other.send(CLOSE, closing(1000))
        await other.ended()
        await other.peer.close()
        await gone(pair.segue)


@pytest.mark.parametrize("side", SIDES)
async def test_a_side_that_says_close_and_shuts_its_sending_still_gets_the_others_last_words(
    side: str,
) -> None:
    async with relayed() as pair:
        one, other = ends(pair, side)
        await one.send(CLOSE, closing(1000))
        one.peer.writer.write_eof()
        assert await other.close_frame() == (1000, "")
        words = other.frame(TEXT, b"one more") + other.frame(CLOSE, closing(1000))
        await other.peer.send(words)
        assert await one.peer.read(len(words)) == words
        await one.ended()
        await other.ended()
        await other.peer.close()
        await gone(pair.segue)


@pytest.mark.parametrize("side", SIDES)
async def test_nothing_is_delivered_behind_a_close_frame(side: str) -> None:
    async with relayed() as pair:
        one, other = ends(pair, side)
        await one.peer.send(
            one.frame(CLOSE, closing(1000)) + one.frame(TEXT, b"too late") + b"\xff\xff"
        )
        assert await other.close_frame() == (1000, "")
        await one.send(TEXT, b"later still")
        await other.send(CLOSE, closing(1000))
        assert await one.close_frame() == (1000, "")
        await pair.server.peer.close()
        await pair.client.ended()


@pytest.mark.parametrize("side", SIDES)
async def test_a_side_that_never_answers_a_close_frame_is_given_up(side: str) -> None:
    async with relayed(SHORT) as pair:
        one, other = ends(pair, side)
        await one.send(CLOSE, closing(1000))
        assert await other.close_frame() == (1000, "")
        await other.ended()
        await one.ended()
        await gone(pair.segue)
        assert await pair.segue.metric("segue_limits_hit_total", limit="websocket_close") == 1


@pytest.mark.parametrize("side", SIDES)
async def test_a_side_that_never_hangs_up_after_the_other_vanished_is_given_up(side: str) -> None:
    async with relayed(SHORT) as pair:
        one, other = ends(pair, side)
        one.peer.abort()
        if side == "server":
            assert (await other.close_frame())[0] == 1001
        await other.ended()
        # `other` leaves its end open: the relay must end all the same.
        await gone(pair.segue)


@pytest.mark.parametrize("side", SIDES)
async def test_what_is_on_its_way_to_a_side_that_closes_arrives_as_long_as_it_comes(
    side: str,
) -> None:
    async with relayed({"SEGUE_TIMEOUTS__WEBSOCKET_CLOSE": "2s"}) as pair:
        one, other = ends(pair, side)
        await one.send(CLOSE, closing(1000))
        assert (await other.close_frame())[0] == 1000
        for number in range(16):  # For longer than one that says nothing would be waited for.
            await other.send(TEXT, b"%d" % number)
            assert await one.message() == b"%d" % number
            await asyncio.sleep(0.3)
        await other.send(CLOSE, closing(1000))
        assert (await one.close_frame())[0] == 1000
        await one.peer.close()
        await other.peer.close()
        await gone(pair.segue)


async def test_a_server_that_never_stops_sending_is_given_up_in_the_end() -> None:
    async with relayed({"SEGUE_TIMEOUTS__WEBSOCKET_CLOSE": "50ms"}) as pair:
        await pair.client.send(CLOSE, closing(1000))
        assert (await pair.server.close_frame())[0] == 1000

        async def speak() -> None:
            with suppress(ConnectionError):
                while True:
                    await pair.server.send(TEXT, b"and another thing")
                    await asyncio.sleep(0.002)

        speaking = asyncio.create_task(speak())
        await pair.client.peer.read_all()
        await gone(pair.segue)
        speaking.cancel()
        await asyncio.wait((speaking,))
        assert await pair.segue.metric("segue_limits_hit_total", limit="websocket_close") == 1


async def test_a_slow_reader_gets_all_of_a_large_message_after_the_server_has_left() -> None:
    sizes = ("BUFFER", "FRAME", "MESSAGE")
    env = {f"SEGUE_LIMITS__{name}": "64MiB" for name in sizes}
    async with relayed(env | {"SEGUE_TIMEOUTS__WEBSOCKET_CLOSE": "1s"}) as pair:
        words = wire(BINARY, b"w" * (30 << 20)) + wire(CLOSE, closing(1000))
        got = 0
        with unread(pair.client):
            await pair.server.peer.send(words)
            await pair.server.peer.close()
        # Slowly, and for longer than somebody who takes nothing would be waited for.
        while got < len(words):
            piece = await pair.client.peer.read(min(1 << 20, len(words) - got))
            assert piece == words[got : got + len(piece)]
            got += len(piece)
            with unread(pair.client):
                await asyncio.sleep(0.06)


# Violations.

M = MASK
FROM_CLIENT = {
    "reserved bit": b"\xc1\x80" + M,
    "unmasked": wire(TEXT, b"x"),
    "reserved opcode": b"\x83\x80" + M,
    "reserved control opcode": b"\x8b\x80" + M,
    "fragmented ping": wire(PING, b"", fin=False, key=M),
    "large ping": wire(PING, b"p" * 126, key=M),
    "continuation of nothing": wire(CONTINUATION, b"", key=M),
    "text inside a message": wire(TEXT, b"", fin=False, key=M) + wire(TEXT, b"", key=M),
    "long form of a short length": b"\x82\xfe\x00\x05" + M,
    "longest form of a short length": b"\x82\xff" + (65_535).to_bytes(8, "big") + M,
    "half a close code": wire(CLOSE, b"\x03", key=M),
    "close code 1005": wire(CLOSE, closing(1005), key=M),
    "close code 1006": wire(CLOSE, closing(1006), key=M),
    "close code 999": wire(CLOSE, closing(999), key=M),
    "close code 2999": wire(CLOSE, closing(2999), key=M),
}
FROM_SERVER = {
    "reserved bit": b"\xc1\x00",
    "masked": wire(TEXT, b"x", key=M),
    "reserved opcode": b"\x87\x00",
    "fragmented close": wire(CLOSE, b"", fin=False),
    "large pong": wire(PONG, b"p" * 126),
    "continuation of nothing": wire(CONTINUATION, b"end"),
    "long form of a short length": b"\x81\x7e\x00\x7d",
    "close code 1015": wire(CLOSE, closing(1015)),
}


@pytest.mark.parametrize("wrong", FROM_CLIENT.values(), ids=FROM_CLIENT)
async def test_a_client_that_breaks_the_protocol_is_told_1002_and_the_server_1001(
    wrong: bytes,
) -> None:
    async with relayed() as pair:
        await pair.client.peer.send(pair.client.frame(TEXT, b"fine") + wrong)
        while (frame := await pair.server.receive()).opcode != CLOSE:
            assert frame.opcode == TEXT
        assert frame.masked
        assert frame.payload[:2] == closing(1001)
        await pair.server.send(CLOSE, frame.payload)
        code, reason = await pair.client.close_frame()
        assert (code, bool(reason)) == (1002, True)
        await pair.client.ended()  # No answer is waited for: it could not be understood.
        await pair.server.ended()
        await pair.client.peer.close()
        await gone(pair.segue)
        assert (await line(pair.segue))["fault_side"] == "client"


@pytest.mark.parametrize("wrong", FROM_SERVER.values(), ids=FROM_SERVER)
async def test_a_server_that_breaks_the_protocol_is_told_1002_and_the_client_1001(
    wrong: bytes,
) -> None:
    async with relayed() as pair:
        await pair.server.peer.send(wrong)
        assert (await pair.client.close_frame())[0] == 1001
        await pair.client.send(CLOSE, closing(1001))
        assert (await pair.server.close_frame())[0] == 1002
        await pair.server.ended()
        await pair.client.ended()
        await pair.server.peer.close()
        await gone(pair.segue)
        assert (await line(pair.segue))["fault_side"] == "server"


@pytest.mark.parametrize("side", SIDES)
async def test_a_close_reason_that_is_not_utf8_is_refused_with_1007(side: str) -> None:
    async with relayed() as pair:
        one, other = ends(pair, side)
        await one.send(CLOSE, closing(1000) + b"\xff")
        assert (await other.close_frame())[0] == 1001
        await other.send(CLOSE)
        assert (await one.close_frame())[0] == 1007


@pytest.mark.parametrize("side", SIDES)
@pytest.mark.parametrize("last", ["answer", "violation", "end of stream", "silence"])
async def test_who_breaks_the_protocol_still_gets_what_the_other_said_before_it_knew(
    side: str, last: str
) -> None:
    async with relayed(SHORT) as pair:
        one, other = ends(pair, side)
        await one.send(BINARY, b"a question")
        await one.peer.send(b"\xff" * 14)
        assert await other.message() == b"a question"
        # Sent before the Close frame could be read, and half of the next.
        sent = other.frame(TEXT, b"the answer") + other.frame(BINARY, b"more of it", fin=False)
        await other.peer.send(sent[:-5])
        await other.close_frame()
        await other.peer.send(sent[-5:])
        if last == "answer":
            await other.peer.send(other.frame(CLOSE, closing(1001)) + other.frame(TEXT, b"late"))
        elif last == "violation":
            await other.peer.send(b"\xff" * 14)
        elif last == "end of stream":
            await other.peer.close()
        assert await one.peer.read(len(sent)) == sent
        assert (await one.close_frame())[0] == 1002
        await one.ended()
        await one.peer.close()
        await gone(pair.segue)
        counted = [
            await pair.segue.metric(
                "segue_messages_total", mapping="none", direction=way, outcome="passed"
            )
            for way in ("to_client", "to_server")
        ]
        assert counted == [1, 1]


@pytest.mark.parametrize("side", SIDES)
@pytest.mark.parametrize("fragmented", [False, True])
async def test_a_message_beyond_the_limit_ends_both_sides_with_1009(
    side: str, fragmented: bool
) -> None:
    async with relayed({"SEGUE_LIMITS__MESSAGE": "2KiB"}) as pair:
        one, other = ends(pair, side)
        if fragmented:
            sent = await one.send(TEXT, b"x" * 2048, fin=False)
            assert await other.peer.read(len(sent)) == sent
            await one.send(CONTINUATION, b"x")
        else:
            sent = await one.send(TEXT, b"x" * 2048)
            assert await other.peer.read(len(sent)) == sent
            await one.send(TEXT, b"x" * 2049)
        assert (await other.close_frame())[0] == 1009
        await other.send(CLOSE, closing(1009))
        assert (await one.close_frame())[0] == 1009
        assert await pair.segue.metric("segue_limits_hit_total", limit="message") == 1


@pytest.mark.parametrize("side", SIDES)
async def test_a_frame_beyond_its_limit_ends_both_sides_with_1009(side: str) -> None:
    async with relayed({"SEGUE_LIMITS__FRAME": "1KiB"}) as pair:
        one, other = ends(pair, side)
        for opcode in (TEXT, CONTINUATION):
            sent = await one.send(opcode, b"x" * 1024, fin=opcode == CONTINUATION)
            assert await other.peer.read(len(sent)) == sent
        await one.send(TEXT, b"x" * 1025)
        assert (await other.close_frame())[0] == 1009
        await other.send(CLOSE, closing(1009))
        assert (await one.close_frame())[0] == 1009
        assert await pair.segue.metric("segue_limits_hit_total", limit="frame") == 1


@pytest.mark.parametrize("side", SIDES)
@pytest.mark.parametrize("fields", [(), (MODERN,)], ids=["passing", "mapped"])
async def test_a_message_of_endless_fragments_ends_both_sides_with_1009(
    side: str, fields: tuple[bytes, ...]
) -> None:
    async with relayed({"SEGUE_LIMITS__FRAGMENTS": "8"}, *fields) as pair:
        one, other = ends(pair, side)
        await one.peer.send(one.frame(TEXT, fin=False) + one.frame(CONTINUATION, fin=False) * 8)
        while (frame := await other.receive()).opcode != CLOSE:
            assert frame.payload == b""
        assert frame.payload[:2] == closing(1009)
        await other.send(CLOSE, closing(1009))
        assert (await one.close_frame())[0] == 1009
        assert await pair.segue.metric("segue_limits_hit_total", limit="fragments") == 1


@pytest.mark.parametrize("side", SIDES)
async def test_a_flood_of_pings_ends_its_sender_with_1008_and_the_other_side_sees_few(
    side: str,
) -> None:
    async with relayed({"SEGUE_LIMITS__CONTROL_FRAMES": "3"}) as pair:
        one, other = ends(pair, side)
        await one.peer.send(one.frame(PING, b"flood") * 1000)
        pings = 0
        while (frame := await other.receive()).opcode != CLOSE:
            assert (frame.opcode, frame.payload) == (PING, b"flood")
            pings += 1
        # Ten seconds' worth at once, and what the time in between allowed.
        assert 30 <= pings < 1000
        assert frame.payload[:2] == closing(1001)
        await other.send(CLOSE, frame.payload)
        assert (await one.close_frame())[0] == 1008
        assert await pair.segue.metric("segue_limits_hit_total", limit="control_frames") == 1


async def test_a_violation_after_a_close_frame_adds_no_second_close_frame() -> None:
    async with relayed() as pair:
        await pair.server.send(CLOSE, closing(4001))
        assert await pair.client.close_frame() == (4001, "")
        await pair.client.peer.send(wire(TEXT, b"without a mask"))
        await pair.client.ended()
        # The server has heard nothing yet, so it is told why it gets no answer.
        assert (await pair.server.close_frame())[0] == 1001
        await pair.server.ended()


# Drain.


async def drained(pair: Pair, meanwhile: Callable[[], Awaitable[None]]) -> bool:
    drain = asyncio.create_task(pair.segue.server.drain())
    await meanwhile()
    async with asyncio.timeout(PATIENCE):
        return await drain


async def test_a_drain_tells_the_client_1012_and_the_server_1001_and_waits_for_their_answers() -> (
    None
):
    async with relayed() as pair:

        async def answer() -> None:
            assert (await pair.client.close_frame())[0] == 1012
            assert (await pair.server.close_frame())[0] == 1001
            await pair.client.send(CLOSE, closing(1012))
            await pair.server.send(CLOSE, closing(1001))
            await pair.client.ended()
            await pair.server.ended()

        assert await drained(pair, answer)


async def test_a_revoked_socket_ends_with_1008_for_the_client_and_1001_for_the_server() -> None:
    async with relayed() as pair:
        (socket,) = pair.segue.server._data.connections._open
        assert isinstance(socket, OpenWebSocket)
        socket.revoke()
        socket.revoke()
        assert await pair.client.close_frame() == (1008, "session ended")
        assert await pair.server.close_frame() == (1001, "session ended")
        await pair.client.send(CLOSE, closing(1008))
        await pair.server.send(CLOSE, closing(1001))
        await gone(pair.segue)


async def test_a_drain_waits_for_the_end_of_a_huge_frame_that_is_half_sent() -> None:
    async with relayed() as pair:
        frame = wire(BINARY, bytes(4_000_000))
        await pair.server.peer.send(frame[:1_000_000])
        assert await pair.client.peer.read(900_000) == frame[:900_000]

        async def rest() -> None:
            assert (await pair.server.close_frame())[0] == 1001
            # The answer comes in one piece with the rest, and with a message that is too late.
            await pair.server.peer.send(
                frame[1_000_000:] + wire(TEXT, b"too late") + wire(CLOSE, closing(1001))
            )
            assert await pair.client.peer.read(len(frame) - 900_000) == frame[900_000:]
            assert (await pair.client.close_frame())[0] == 1012
            await pair.client.send(CLOSE, closing(1012))
            await pair.client.ended()

        assert await drained(pair, rest)


async def test_a_client_that_closes_within_a_frame_during_a_drain_gets_its_end_and_the_reason() -> (
    None
):
    """Its own Close frame crosses the drain's, which waits behind that frame."""
    async with relayed({"SEGUE_TIMEOUTS__DRAIN": "10s"}) as pair:
        frame = wire(BINARY, bytes(100_000))
        await pair.server.peer.send(frame[:50_000])
        assert await pair.client.peer.read(50_000) == frame[:50_000]

        async def rest() -> None:
            assert (await pair.server.close_frame())[0] == 1001
            await pair.client.send(CLOSE, closing(1000))
            pair.client.peer.writer.write_eof()
            await turn()
            await pair.server.peer.send(frame[50_000:] + wire(CLOSE, closing(1001)))
            assert await pair.client.peer.read(len(frame) - 50_000) == frame[50_000:]
            assert (await pair.client.close_frame())[0] == 1012
            await pair.client.ended()

        assert await drained(pair, rest)


async def test_a_drain_comes_between_two_fragments_of_a_message() -> None:
    async with relayed() as pair:
        fragment = await pair.client.send(TEXT, b"half a mess", fin=False)
        assert await pair.server.peer.read(len(fragment)) == fragment

        async def rest() -> None:
            assert (await pair.client.close_frame())[0] == 1012
            assert (await pair.server.close_frame())[0] == 1001
            await pair.client.send(CONTINUATION, b"age")
            await pair.client.send(CLOSE, closing(1012))
            await pair.server.send(CLOSE, closing(1001))
            await pair.server.ended()

        assert await drained(pair, rest)


async def test_a_drain_adds_nothing_to_a_connection_that_is_closing_already() -> None:
    async with relayed() as pair:
        await pair.client.send(CLOSE, closing(4000))
        assert await pair.server.close_frame() == (4000, "")

        async def rest() -> None:
            await turn()
            await pair.server.send(CLOSE, closing(4000))
            assert await pair.client.close_frame() == (4000, "")
            await pair.server.peer.close()
            await pair.client.ended()

        assert await drained(pair, rest)


async def test_a_drain_while_a_vanished_server_is_being_cleared_up_ends_well() -> None:
    async with relayed({"SEGUE_TIMEOUTS__DRAIN": "500ms"}) as pair:
        await pair.server.peer.close()
        assert (await pair.client.close_frame())[0] == 1001  # Which this side does not answer.

        async def rest() -> None:
            await pair.client.peer.close()

        assert await drained(pair, rest)
        assert "internal error" not in pair.segue.log.getvalue()


async def test_a_server_that_vanishes_inside_a_frame_during_a_drain_ends_the_client_too() -> None:
    async with relayed({"SEGUE_TIMEOUTS__DRAIN": "10s"}) as pair:
        frame = wire(BINARY, bytes(100_000))
        await pair.server.peer.send(frame[:50_000])
        assert await pair.client.peer.read(50_000) == frame[:50_000]

        async def rest() -> None:
            assert (await pair.server.close_frame())[0] == 1001
            pair.server.peer.abort()
            await pair.client.ended()  # The frame cannot be completed: no Close frame fits.
            await pair.client.peer.close()

        assert await drained(pair, rest)


# What is left behind, and what is held.


@pytest.fixture
def _no_collector() -> Iterator[None]:
    gc.collect()
    gc.disable()
    yield
    gc.enable()


@pytest.mark.usefixtures("_no_collector")
@pytest.mark.parametrize("how", ["close", "abort", "violation"])
async def test_a_relay_leaves_no_task_timer_or_transport_behind(how: str) -> None:
    async with origin() as upstream, segue(upstream.url) as proxy:
        await turn()
        tasks = len(asyncio.all_tasks())
        pair = await open_pair(proxy, upstream)
        # The origin's own handler of the connection is the only task that a WebSocket costs.
        assert len(asyncio.all_tasks()) == tasks + 1
        assert len(proxy.server._data.connections) == 1
        if how == "close":
            await pair.client.send(CLOSE, closing(1000))
            await pair.server.close_frame()
            await pair.server.send(CLOSE, closing(1000))
            await pair.client.close_frame()
        elif how == "violation":
            await pair.client.peer.send(wire(TEXT, b"without a mask"))
            await pair.server.close_frame()
            await pair.server.send(CLOSE, closing(1001))
            await pair.client.close_frame()
        else:
            pair.client.peer.abort()
        await pair.server.peer.close()
        await pair.client.peer.close()
        await gone(proxy)
        assert await proxy.metric("segue_open_connections", kind="websocket") == 0
        assert await proxy.metric("segue_upstream_connections", state="busy") == 0
        await turn()
        # A timer, a transport or a task that was left would hold on to it, and so would it itself.
        # By their types: to ask a lazy object of a library of another test wakes it up.
        assert not [thing for thing in gc.get_objects() if issubclass(type(thing), Relay)]


async def stalled(sending: Callable[[], int]) -> int:
    """Wait until a count stands still; the count."""
    async with asyncio.timeout(PATIENCE):
        before, same = -1, 0
        while same < 20:
            await asyncio.sleep(0.005)
            now = sending()
            same = same + 1 if now == before else 0
            before = now
        return before


@pytest.mark.parametrize("side", SIDES)
@pytest.mark.parametrize("mapped", [False, True])
async def test_a_side_that_does_not_read_stops_the_other_and_then_gets_everything(
    side: str, mapped: bool
) -> None:
    size, count = 1 << 20, 64
    fields = (MODERN,) if mapped else ()
    async with relayed(None, *fields) as pair:
        one, other = ends(pair, side)
        key = bytes(4) if side == "client" else None
        frames = wire(TEXT, b"%d" % size + bytes([65 + size % 26]) * (size - 7), key=key)
        accepted = 0

        async def send() -> None:
            nonlocal accepted
            for _ in range(count):
                for start in range(0, len(frames), 65_536):
                    piece = frames[start : start + 65_536]
                    one.peer.writer.write(piece)
                    await one.peer.writer.drain()
                    accepted += len(piece)

        with unread(other):
            sending = asyncio.create_task(send())
            held = await stalled(lambda: accepted)
            # What the kernel takes on four sockets; Segue's own part is limits.buffer and a chunk.
            assert 0 < held < 24 << 20
            relay = only_relay(pair.segue)
            leg = relay.client if side == "server" else relay.server
            assert leg.transport.get_write_buffer_size() <= (2 << 20 if mapped else 512 << 10)
        expected, received = hashlib.sha256(), hashlib.sha256()
        for _ in range(count):
            expected.update(frames)
            received.update(await other.peer.read(len(frames)))
        await sending
        assert received.digest() == expected.digest()


class Stuck(asyncio.Transport):
    """A transport whose other end takes nothing, with room for one kilobyte."""

    def __init__(self, protocol: asyncio.Protocol) -> None:
        super().__init__()
        self.protocol = protocol
        self.held = 0
        self.reading = False
        self.ended = False

    def write(self, data: object) -> None:
        assert isinstance(data, bytes)
        if self.held <= 1024 < self.held + len(data):
            self.protocol.pause_writing()
        self.held += len(data)

    def is_closing(self) -> bool:
        return False

    def can_write_eof(self) -> bool:
        return True

    def write_eof(self) -> None:
        self.ended = True

    def get_write_buffer_size(self) -> int:
        return self.held

    def is_reading(self) -> bool:
        return self.reading

    def pause_reading(self) -> None:
        self.reading = False

    def resume_reading(self) -> None:
        self.reading = True


def unplugged(
    limits: list[str], rewriter: Rewriter | None = None, message_timeout: float = 60
) -> tuple[Relay, Stuck, Stuck]:
    """A relay between transports that take a kilobyte; limits that are reached are told."""
    handling = MessageHandling(rewriter, MessageCounts())
    relay = Relay(
        to_client=handling,
        to_server=handling,
        limits=SocketLimits(
            frame=1 << 20,
            message=1 << 20,
            fragments=8,
            control_frames=3,
            close_timeout=1,
            message_timeout=message_timeout,
        ),
        on_end=lambda _: None,
        on_limit=limits.append,
        reserve=partial(MemoryBudget(1 << 20).reserve, holder=""),
        loop=asyncio.get_running_loop(),
    )
    return relay, Stuck(relay.client), Stuck(relay.server)


@pytest.mark.parametrize("side", SIDES)
async def test_bytes_behind_the_handshake_that_fill_a_buffer_stop_their_sender(side: str) -> None:
    # With a kernel's buffers in between, this would take a handshake of megabytes.
    limits: list[str] = []
    relay, client, server = unplugged(limits)
    tail = wire(BINARY, bytes(4096), key=MASK if side == "client" else None)
    tails = (tail, b"") if side == "client" else (b"", tail)
    relay.start((client, tails[0]), (server, tails[1]), b"HTTP/1.1 101 \r\n\r\n")
    assert client.reading is (side == "server")
    assert server.reading is (side == "client")
    assert limits == ["buffer"]


async def test_control_frames_may_come_for_ever_at_the_rate_and_ten_seconds_of_it_at_once() -> None:
    limits: list[str] = []
    relay, client, server = unplugged(limits)
    relay.start((client, b""), (server, b""), b"")
    now = 1000.0
    relay.clock = lambda: now
    relay.server.data_received(wire(PONG) * 30)
    for _ in range(100):
        now += 1
        relay.server.data_received(wire(PONG) * 3)
    now += 3600
    relay.server.data_received(wire(PONG) * 30)
    now += 0.5
    relay.server.data_received(wire(PONG))
    assert (relay.fault, limits) == (None, [])
    relay.server.data_received(wire(PONG))
    assert relay.fault is None
    relay.server.data_received(wire(PONG))
    assert limits == ["control_frames"]


async def test_frames_sent_before_the_handshake_is_answered_are_held_within_bounds() -> None:
    frame = wire(BINARY, bytes(65_000), key=bytes(4))
    async with origin() as upstream, segue(upstream.url) as proxy:
        client = await proxy.connect()
        await client.send(handshake())
        server = await upstream.connection()
        accepted = 0

        async def send() -> None:
            nonlocal accepted
            for _ in range(1000):
                await client.send(frame)
                accepted += 1

        with unread(Socket(server, is_client=False)):
            sending = asyncio.create_task(send())
            await stalled(lambda: accepted)  # Nothing is relayed before the server has answered.
            await server.send(switch())
            assert len(frame) * await stalled(lambda: accepted) < 24 << 20
        await server.read_head()
        for _ in range(1000):
            assert await server.read(len(frame)) == frame
        await sending
        await client.close()
        await server.close()


async def test_time_in_which_a_side_is_not_read_does_not_count_for_its_message() -> None:
    class Renaming:
        def apply(self, message: bytes) -> tuple[bytes, ...] | None:
            return (message,)

    limits: list[str] = []
    relay, client, server = unplugged(limits, Renaming(), message_timeout=10)
    relay.start((client, b""), (server, b""), b"")
    now = 1000.0
    relay.clock = lambda: now
    message = wire(TEXT, bytes(b"x" * 4096), key=MASK)
    relay.client.data_received(message + message[:200])
    assert not client.reading, "the server takes nothing"
    for _ in range(5):
        now += 8
        relay._look_at_held()
    assert limits == ["buffer"]
    now += 8
    server.protocol.resume_writing()
    now += 8
    relay._look_at_held()
    assert limits == ["buffer"]
    now += 8
    relay._look_at_held()
    assert limits == ["buffer", "message_time"]
    assert relay.fault == MESSAGE_TOO_SLOW
