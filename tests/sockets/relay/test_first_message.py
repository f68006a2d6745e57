"""The stage in front of a client's side: what a slow server, or an end, does to it meanwhile.

The transports here are none: with a kernel's buffers in between, it would take megabytes.
"""

from __future__ import annotations

import asyncio
from functools import partial
from typing import cast

import pytest

from proxy.memory import MemoryBudget
from proxy.relay.first_message import MAX_MESSAGES, Decision, FirstMessageStage
from proxy.relay.websocket import Relay, SocketLimits
from proxy.rewriting import MessageCounts, MessageHandling
from tests.support.rfc6455 import BINARY, PING, TEXT, wire
from tests.support.sockets import MASK, turn


class Plug(asyncio.Transport):
    """A transport that keeps what is written to it.

    Attributes:
        protocol: whom it would tell what comes.
    """

    def __init__(self, protocol: asyncio.BaseProtocol) -> None:
        super().__init__()
        self.protocol = cast(asyncio.Protocol, protocol)
        self.written = b""
        self.reading = True
        self.closed = False

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        self.protocol = cast(asyncio.Protocol, protocol)

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.written += data

    def is_closing(self) -> bool:
        return self.closed

    def close(self) -> None:
        self.closed = True

    def can_write_eof(self) -> bool:
        return False

    def get_write_buffer_size(self) -> int:
        return 0

    def is_reading(self) -> bool:
        return self.reading

    def pause_reading(self) -> None:
        self.reading = False

    def resume_reading(self) -> None:
        self.reading = True


class Scene:
    """A relay with such a stage, whose decision is the test's."""

    def __init__(self) -> None:
        loop = asyncio.get_running_loop()
        self.budget = MemoryBudget(1 << 20)
        handling = MessageHandling(None, MessageCounts())
        self.relay = Relay(
            to_client=handling,
            to_server=handling,
            limits=SocketLimits(1 << 20, 1 << 20, 8, 100, 60, 60),
            on_end=lambda _: None,
            on_limit=lambda _: None,
            reserve=partial(self.budget.reserve, holder=""),
            loop=loop,
        )
        self.client, self.server = Plug(self.relay.client), Plug(self.relay.server)
        self.relay.start((self.client, b""), (self.server, b""), b"")
        self.asked: list[bytes] = []
        self.decided: asyncio.Future[Decision] = loop.create_future()
        self.stage = FirstMessageStage(self.relay.client, self.decide, 60, loop)

    def decide_next(self, decision: Decision) -> None:
        """Decide on the message that waits, and not on the one behind it."""
        self.decided.set_result(decision)
        self.decided = asyncio.get_running_loop().create_future()

    async def decide(self, text: bytes) -> Decision:
        self.asked.append(text)
        return await self.decided


FIRST, NEXT = wire(TEXT, b"old", key=MASK), wire(BINARY, b"next", key=MASK)
PART, REST = NEXT[:3], NEXT[3:]


@pytest.mark.parametrize("changed", [None, b"new one"])
async def test_a_message_waits_with_what_is_behind_it_and_then_the_leg_is_alone(
    changed: bytes | None,
) -> None:
    at = Scene()
    at.stage.begin(FIRST + NEXT)
    await turn()
    assert (at.asked, at.server.written, at.client.is_reading()) == ([b"old"], b"", False)
    at.decided.set_result(Decision(changed))
    await turn()
    assert at.client.protocol is at.relay.client
    assert at.client.is_reading()
    assert at.server.written.endswith(NEXT)
    assert len(at.server.written) == len(FIRST + NEXT) + (0 if changed is None else 4)
    assert at.relay.client.received == len(FIRST + NEXT)


async def test_a_server_that_takes_up_again_does_not_have_the_client_read_on() -> None:
    at = Scene()
    at.stage.begin(b"")
    at.relay.server.pause_writing()
    at.client.protocol.data_received(FIRST)  # It was read before.
    at.relay.server.resume_writing()
    assert at.client.is_reading()
    for _ in range(2):
        at.client.protocol.data_received(NEXT)
        assert not at.client.is_reading()
    at.decided.set_result(Decision())
    await turn()
    assert at.client.is_reading()
    assert at.server.written == FIRST + NEXT + NEXT


async def test_a_client_whose_server_is_slow_is_not_read_when_its_message_is_decided() -> None:
    at = Scene()
    at.stage.begin(b"")
    at.relay.server.pause_writing()
    at.client.protocol.data_received(FIRST)
    at.decided.set_result(Decision())
    await turn()
    assert at.server.written == FIRST
    assert not at.client.is_reading()
    at.relay.server.resume_writing()
    assert at.client.is_reading()


async def test_a_slow_client_stops_its_server_meanwhile() -> None:
    at = Scene()
    at.stage.begin(FIRST)
    at.client.protocol.pause_writing()
    assert not at.server.is_reading()
    at.client.protocol.resume_writing()
    assert at.server.is_reading()
    at.decided.set_result(Decision())
    await turn()


async def test_a_client_that_is_lost_meanwhile_is_decided_on_no_more() -> None:
    at = Scene()
    at.stage.begin(FIRST)
    await turn()
    assert not at.client.protocol.eof_received()
    at.client.close()
    at.client.protocol.connection_lost(None)
    await turn()
    assert at.decided.cancelled()
    assert at.relay.client.lost
    assert FIRST not in at.server.written
    at.relay.server.connection_lost(None)
    assert at.server.closed


async def test_half_a_ping_starts_a_timer_that_the_other_half_stops() -> None:
    at = Scene()
    at.stage.begin(b"")
    ping = wire(PING, b"x", key=MASK)
    for part in (ping[:3], ping[3:]):
        at.client.protocol.data_received(part)
    assert at.server.written == ping
    assert at.client.protocol is at.stage
    at.client.protocol.data_received(FIRST)
    at.decided.set_result(Decision())
    await turn()
    assert at.server.written == ping + FIRST


async def test_a_message_that_is_not_the_last_goes_on_and_the_next_one_waits() -> None:
    at = Scene()
    at.stage.begin(FIRST + PART)
    await turn()
    assert at.server.written == b""
    at.decide_next(Decision(is_last=False))
    await turn()
    assert (at.asked, at.server.written) == ([b"old"], FIRST)
    assert at.client.is_reading()
    at.client.protocol.data_received(REST + NEXT)
    await turn()
    assert (at.asked, at.server.written) == ([b"old", b"next"], FIRST)
    assert not at.client.is_reading()
    at.decided.set_result(Decision())
    await turn()
    assert at.server.written == FIRST + NEXT + NEXT
    assert at.client.protocol is at.relay.client


async def test_after_so_many_messages_no_more_are_looked_at() -> None:
    at = Scene()
    at.decided.set_result(Decision(is_last=False))
    at.stage.begin(FIRST * (MAX_MESSAGES + 2))
    for _ in range(MAX_MESSAGES):
        await turn()
    assert at.asked == [b"old"] * MAX_MESSAGES
    assert at.client.protocol is at.relay.client
    assert at.server.written == FIRST * (MAX_MESSAGES + 2)


async def test_a_client_that_is_lost_by_its_message_has_its_next_one_not_looked_at() -> None:
    at = Scene()
    at.stage.begin(FIRST + FIRST)
    await turn()
    at.client.close()
    at.client.protocol.connection_lost(None)
    at.decided.cancel()
    await turn()
    assert at.asked == [b"old"]


async def test_memory_for_a_message_that_is_not_the_last_is_given_back() -> None:
    at = Scene()
    large = wire(TEXT, b"x" * 60_000, key=MASK)
    at.stage.begin(large)
    await turn()
    assert at.budget.held >= 60_000
    at.decide_next(Decision(is_last=False))
    await turn()
    assert at.server.written == large
    assert at.budget.held == 0
    at.client.protocol.data_received(large[:50_000])
    assert at.budget.held >= 50_000
    at.client.protocol.connection_lost(None)
    assert at.budget.held == 0
