"""Three processes on one Redis: guards judge what all have seen, and one leads the ramps."""

from __future__ import annotations

import asyncio
import json
import os
import signal
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from math import sqrt
from pathlib import Path
from typing import Any, Final

import aiohttp
import pytest
from aiohttp import web

from tests.conftest import require_component
from tests.support.fleet import KEY
from tests.support.guarded import MAPPING
from tests.support.process import Process, running
from tests.support.storages import RedisServer
from tests.support.turning import Operator, operator, state_of
from tests.support.waiting import PATIENCE

SWITCH: Final = "modern/frames"
USERS: Final = 300

CONFIG: Final = """
listen: {{address: "127.0.0.1:0"}}
admin: {{address: "127.0.0.1:0"}}
upstream: {{url: "{url}"}}
versions: {{default: "2"}}
limits: {{connections_per_address: 10000}}
sessions: {{enabled: false}}
cohorts:
  - name: modern
    versions: ">=2"
    websocket: {{to_client: [frames]}}
switching:
  switches: {{{switch}: "off"}}
  guard: {guard}
"""


@dataclass
class Server:
    """A server that answers each message with twenty, of which some cannot be mapped."""

    bad_in_twenty: int = 0
    url: str = ""

    async def talk(self, request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse(compress=False)
        await socket.prepare(request)
        async for _ in socket:
            for number in range(20):
                value = "bad" if number < self.bad_in_twenty else number
                await socket.send_json({"kind": "number", "meta": {"value": value}})
        return socket


@dataclass
class User:
    """A user with a WebSocket, and whether a message has come to them rewritten."""

    socket: aiohttp.ClientWebSocketResponse
    saw_it: bool = False

    async def round(self) -> int:
        """Have the server send its messages; how many came rewritten."""
        mapped = 0
        await self.socket.send_str("go")
        for _ in range(20):
            message = await self.socket.receive(PATIENCE)
            mapped += isinstance(json.loads(message.data)["meta"]["value"], str) and (
                "bad" not in message.data
            )
        self.saw_it |= mapped > 0
        return mapped


@dataclass
class Fleet:
    """Three processes, an operator at each, and their users."""

    server: Server
    processes: list[Process]
    operators: list[Operator]
    http: aiohttp.ClientSession
    users: list[User] = field(default_factory=list)

    async def connect(self, count: int, through: int = 3) -> None:
        """Open WebSockets of so many users, through the last of the processes in turn."""
        for number in range(count):
            process = self.processes[-1 - number % through]
            fields = {"Authorization": f"Bearer user-{number}", "X-Client-Version": "2.1"}
            url = f"http://{process.address}/ws"
            self.users.append(User(await self.http.ws_connect(url, headers=fields)))

    async def round(self) -> int:
        return sum(await asyncio.gather(*(user.round() for user in self.users)))

    async def state(self, by: int = 0) -> str:
        shown = await self.operators[by].done("GET", f"/switches/{SWITCH}")
        return str(shown["set_to"])

    async def guard(self, by: int = 0) -> Any:
        return await self.operators[by].done("GET", f"/switches/{SWITCH}/guard")

    async def until(self, holds: Callable[[], Awaitable[bool]], *, talk: bool = True) -> None:
        """Have messages sent until something is so."""
        async with asyncio.timeout(PATIENCE):
            while not await holds():
                if talk:
                    await self.round()
                await asyncio.sleep(0.05)

    async def comes_to(self, state: str, by: int = 0) -> None:
        async def is_so() -> bool:
            return await self.state(by) == state

        await self.until(is_so)

    async def ramp(self, steps: list[str]) -> None:
        asked = {"steps": steps, "every": 10, "reason": "a test", "open_sockets": "next_message"}
        expected = await self.operators[0].at(SWITCH)
        await self.operators[0].done("POST", f"/switches/{SWITCH}/ramp", expected=expected, **asked)


@pytest.fixture
def redis(tmp_path: Path) -> Iterator[RedisServer]:
    directory = tmp_path / "redis"
    directory.mkdir()
    server = RedisServer(require_component("redis-server"), directory)
    yield server
    server.process.kill()
    server.process.wait()


@asynccontextmanager
async def three(directory: Path, store: str, guard: str) -> AsyncIterator[Fleet]:
    server = Server()
    application = web.Application()
    application.router.add_get("/ws", server.talk)
    runner = web.AppRunner(application, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    host, port = runner.addresses[0][:2]
    async with AsyncExitStack() as stack:
        stack.push_async_callback(runner.cleanup)
        http = await stack.enter_async_context(
            aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0))
        )
        (directory / "mappings").mkdir()
        (directory / "mappings" / "frames.yaml").write_text(MAPPING)
        config = directory / "config.yaml"
        config.write_text(CONFIG.format(url=f"http://{host}:{port}", switch=SWITCH, guard=guard))
        fleet = Fleet(server, [], [], http)
        for name in "abc":
            state = state_of(directory, f"state-{name}")
            env = {
                "SEGUE_STORE__URL": store,
                "SEGUE_STORE__KEYS": KEY,
                "SEGUE_STATE_DIR": str(state),
            }
            fleet.processes.append(await stack.enter_async_context(running(config, env=env)))
            fleet.operators.append(await stack.enter_async_context(operator(state)))
        try:
            yield fleet
        finally:
            for user in fleet.users:
                await user.socket.close()


async def test_a_mapping_that_fails_on_one_message_in_twenty_is_taken_back_everywhere(
    tmp_path: Path, redis: RedisServer
) -> None:
    guard = "{min_messages: 100, min_users: 5, added_latency: null}"
    async with three(tmp_path, redis.address, guard) as fleet:
        fleet.server.bad_in_twenty = 1
        await fleet.operators[0].turn(SWITCH, "canary", percent=10)
        for operator in fleet.operators:
            await fleet.until(partial(_is_at, operator, 1), talk=False)
        await fleet.connect(USERS)

        async def is_taken_back() -> bool:
            return await fleet.state() != "canary 10%"

        await fleet.until(is_taken_back)
        page = await fleet.operators[2].done("GET", "/revisions")
        revision = next(each for each in page["revisions"] if each["number"] == 2)
        assert (revision["author"], revision["kind"]) == ("guard", "guard")
        assert revision["after"][SWITCH]["setting"] == "canary 1%"
        finding = revision["finding"]
        assert (finding["figure"], finding["bound"]) == ("failed", 0.01)
        # More than any one of the processes has seen of its users.
        assert finding["value"] == pytest.approx(0.05, abs=0.02)
        for operator in fleet.operators:
            await fleet.until(partial(_is_at, operator, 2), talk=False)
        # Who saw it was in the canary: 10 % of the users, and 4 standard deviations.
        seen = sum(user.saw_it for user in fleet.users)
        assert 0 < seen <= USERS * 0.1 + 4 * sqrt(USERS * 0.1 * 0.9)
        # On open WebSockets, too: who is left is in the canary of 1 %.
        last = 0

        async def few_are_left() -> bool:
            nonlocal last
            last = await fleet.round()
            return last <= 19 * (USERS * 0.01 + 4 * sqrt(USERS * 0.01))

        await fleet.until(few_are_left, talk=False)


async def _is_at(operator: Operator, revision: int) -> bool:
    return int((await operator.switches())["revision"]) >= revision


QUICK: Final = "{min_messages: 20, min_users: 1, failed: 30%, added_latency: null}"


async def test_another_process_takes_a_ramp_on_when_its_leader_is_killed(
    tmp_path: Path, redis: RedisServer
) -> None:
    async with three(tmp_path, redis.address, QUICK) as fleet:
        await fleet.ramp(["shadow", "50%", "on"])

        async def is_led() -> bool:
            return bool((await fleet.guard())["leader"])

        await fleet.until(is_led, talk=False)
        leader = (await fleet.guard())["leader"]
        told = await fleet.operators[0].done("GET", "/replicas")
        pid = next(each["pid"] for each in told["replicas"] if each["name"] == leader)
        os.kill(pid, signal.SIGKILL)
        left = [number for number in range(3) if fleet.processes[number].child.pid != pid]
        # Everybody comes by those that are left.
        fleet.processes[:] = [fleet.processes[number] for number in left]
        await fleet.connect(30, through=2)
        await fleet.comes_to("on", by=left[0])
        page = await fleet.operators[left[1]].done("GET", "/revisions")
        assert [(each["kind"], each["author"]) for each in page["revisions"][:2]] == [
            ("ramp-step", "ramp"),
            ("ramp-step", "ramp"),
        ]
        assert len(page["revisions"]) == 3


async def test_a_store_that_is_away_in_the_middle_of_a_step(
    tmp_path: Path, redis: RedisServer
) -> None:
    async with three(tmp_path, redis.address, QUICK) as fleet:
        await fleet.connect(30)
        await fleet.ramp(["shadow", "50%", "on"])
        await fleet.comes_to("canary 50%")
        with redis.away():
            for operator in fleet.operators:

                async def is_away(by: Operator = operator) -> bool:
                    return bool((await by.switches())["store"] != "up")

                await fleet.until(is_away)
            # What is in force stays, and messages flow.
            assert await fleet.state() == "canary 50%"
            assert await fleet.round() > 0
        await fleet.comes_to("on")
        page = await fleet.operators[0].done("GET", "/revisions")
        assert [each["kind"] for each in page["revisions"]] == ["ramp-step", "ramp-step", "ramp"]
