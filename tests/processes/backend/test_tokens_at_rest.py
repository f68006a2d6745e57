"""After all that happens to sessions, no byte of a token is anywhere that it could be read."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import aiohttp
import pytest
import redis

from tests.conftest import require_component
from tests.support.backend import create_job, register
from tests.support.fleet import (
    Servers,
    crowd,
    exchange,
    expired,
    kept_by,
    me,
    processes,
    settings,
)
from tests.support.hops import Place, ServerHop
from tests.support.process import Process
from tests.support.storages import RedisServer
from tests.support.waiting import PATIENCE

PIECE: Final = 12
"""Characters of a token that give it away; 23 in a row hold such a piece in whole."""


@dataclass
class Found:
    """Everything that could be read after the run, by the place where it was."""

    places: dict[str, bytes] = field(default_factory=dict)

    def holding(self, tokens: list[str]) -> set[str]:
        """The places where there is a piece of a token."""
        pieces = {piece for token in tokens for piece in _pieces(token)}
        return {
            place for place, data in self.places.items() if any(piece in data for piece in pieces)
        }


def _pieces(token: str) -> Iterator[bytes]:
    """The payload and the signature in pieces; the head of a JWT is the same for all."""
    _, payload, signature = token.encode().split(b".")
    for part in (payload, signature):
        for start in range(0, len(part) - PIECE + 1, PIECE):
            yield part[start : start + PIECE]


def everything_in(server: RedisServer) -> bytes:
    """All keys and all values, as Redis gives them out."""
    said: list[Any] = []
    with redis.Redis(port=server.port) as client:
        for key in client.scan_iter():
            said.append(key)
            if client.type(key) == b"hash":
                said.append(client.hgetall(key))
            else:
                said.append(client.zrange(key, 0, -1))
    assert said
    return repr(said).encode()


async def live_through_everything(
    hop: ServerHop, servers: Servers, fleet: list[Process], http: aiohttp.ClientSession
) -> bytes:
    """All that happens to sessions, and that has a line in the log; what is said of its faults."""
    one, two = fleet
    faults: list[bytes] = []
    waiting, leaving, lost = await expired(hop, servers, one, 3)
    # Renewed before it was sent, by both; then by the client itself.
    assert [await me(http, each, waiting.access) for each in (two, one)] == [200, 200]
    status, pair = await exchange(http, one, waiting.refresh)
    assert status == 200
    status, pair = await exchange(http, two, pair["refresh"])
    assert status == 200
    # With a token that lives for a second.
    hop.server = servers.brief.url
    status, brief = await exchange(http, one, pair["refresh"])
    hop.server = servers.steady.url
    assert status == 200
    assert await me(http, two, brief["access"]) == 200
    # WebSockets, whose tokens stand in the query, also those that Segue puts there.
    user = await register(http, f"http://{one.address}")
    job = await create_job(http, f"http://{one.address}", user)
    for name in ("token", "access_token"):
        for token in (user.access, leaving.access):
            url = f"http://{two.address}/ws/jobs/{job['id']}/?{name}={token}"
            async with http.get(url, headers={"Upgrade": "websocket"}) as response:
                faults.append(await response.read())
    # Where no token belongs, in a request that is refused, and in one that nobody can serve.
    for token in (user.access, user.refresh):
        url = f"http://{one.address}/api/{token}/?refresh={token}"
        fields = {"Referer": url, "X-Client-Version": token, "Cookie": f"access={token}"}
        async with http.get(url, headers=fields) as response:
            await response.read()  # The server's own page: it repeats what it was sent, if at all.
        async with http.put(url, headers=fields | {"Transfer-Encoding": token}) as response:
            faults.append(await response.read())
    # The end of sessions: by logout, and by the server's refusal.
    url = f"http://{one.address}/api/auth/logout/"
    headers = {"Authorization": f"Bearer {leaving.access}"}
    async with http.post(url, json={"refresh": leaving.refresh}, headers=headers) as response:
        assert response.status == 205
    async with http.post(url, json={"refresh": leaving.refresh}, headers=headers) as response:
        assert response.status == 401
        faults.append(await response.read())
    server = f"{servers.steady.url}/api/auth/token/refresh/"
    async with http.post(server, json={"refresh": lost.refresh}) as response:
        hop.issued |= {token: kind for kind, token in (await response.json()).items()}
    assert await me(http, two, lost.access) == 401
    # A process that dies in the middle of a refresh.
    (dying,) = await expired(hop, servers, one)
    held = hop.hold(Place.ANSWER, dying.refresh)
    request = asyncio.create_task(me(http, one, dying.access))
    await held.reached()
    one.child.kill()
    await one.child.wait()
    with pytest.raises(aiohttp.ClientError):
        await request
    return b"".join(faults)


async def metrics_page(process: Process) -> bytes:
    async with (
        aiohttp.ClientSession() as client,
        client.get(f"http://{process.admin}/metrics") as response,
    ):
        return await response.read()


@pytest.mark.parametrize("kind", ["redis", "sqlite"])
async def test_no_piece_of_a_token_is_in_store_dump_log_metrics_or_fault(
    kind: str, hop: ServerHop, servers: Servers, tmp_path: Path
) -> None:
    state, directory = tmp_path / "state", tmp_path / "redis"
    directory.mkdir()
    server: RedisServer | None = None
    address = "sqlite:sessions.sqlite3"
    if kind == "redis":
        # Dumps that are not compressed, so that a token in them would be seen.
        program = require_component("redis-server")
        server = RedisServer(program, directory, "--rdbcompression", "no")
        address = server.address
    env = settings(hop.url, address, SEGUE_STATE_DIR=str(state))
    found = Found()
    try:
        async with processes(2, env) as fleet, crowd() as http:
            found.places["faults"] = await live_through_everything(hop, servers, fleet, http)
            found.places["metrics"] = await metrics_page(fleet[1])
            if server is not None:
                found.places["all keys"] = everything_in(server)
                found.places["dump"] = server.everything()
            found.places["files beside a running process"] = kept_by(tmp_path)
            async with asyncio.timeout(PATIENCE):
                await fleet[1].terminate()
        found.places["files"] = kept_by(tmp_path)
        found.places["log"] = b"".join(bytes(process.output) for process in fleet)
    finally:
        if server is not None:
            server.stop()
    tokens = list(hop.issued)
    assert len(tokens) >= 20
    assert all(found.places.values())
    # It would be seen: the answers that clients get are made of them.
    assert Found({"answer": f"...{tokens[0][-60:]}".encode()}).holding(tokens)
    assert not found.holding(tokens)
    assert b"session ended" in found.places["log"]
