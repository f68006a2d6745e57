"""An open WebSocket is an object, whose state can be told as a plain value at any moment."""

from __future__ import annotations

import asyncio
import json
from dataclasses import asdict
from typing import Any, cast

from proxy.gateway.open_websocket import OpenWebSocket
from tests.support.rfc6455 import TEXT, wire
from tests.support.rig import Segue
from tests.support.sockets import relayed
from tests.support.waiting import PATIENCE

MODERN = b"X-Client-Version: 2.0"
STATUS = b'{"kind": "jobStatus", "jobId": "1", "status": "done", "message": null}'


def only_socket(proxy: Segue) -> OpenWebSocket:
    (socket,) = proxy.server._data.connections._open
    return cast(OpenWebSocket, socket)


def told(socket: OpenWebSocket) -> dict[str, Any]:
    """Its state, by way of JSON: nothing in it is more than a value."""
    text = json.dumps(asdict(socket.state()), default=lambda value: value.hex())
    state: dict[str, Any] = json.loads(text)
    return state


async def test_its_state_is_a_plain_value_between_messages_and_within_one() -> None:
    async with relayed(None, MODERN) as pair:
        socket = only_socket(pair.segue)
        state = socket.state()
        assert (state.cohort, state.to_client, state.to_server) == ("modern", "old-to-new", "")
        assert state.upstream == pair.segue.server._data.fleet.pools[0].name
        assert state.configuration == pair.segue.server._live.current.digest
        assert state.session == ""
        assert state.path.startswith("/")
        assert state.server.frame_filter.opcode == 0
        await pair.server.send(TEXT, STATUS)
        assert json.loads(await pair.client.message())["kind"] == "status"

        frame = wire(TEXT, STATUS, fin=False)
        await pair.server.peer.send(frame)
        async with asyncio.timeout(PATIENCE):
            while not socket.state().server.frame_filter.opcode:  # noqa: ASYNC110 (nobody is told)
                await asyncio.sleep(0.001)
        state = socket.state()
        assert state.server.received == len(wire(TEXT, STATUS)) + len(frame)
        assert state.server.frame_filter.raw == frame
        assert state.server.frame_filter.payload == STATUS
        assert state.server.frame_filter.holding
        assert state.client.unsent == 0
        assert told(socket)["server"][-1][8] == frame.hex()
