"""Several processes on one Redis, an operator at each, and a server that answers each message."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
from aiohttp import web

from tests.support.explained import Client, Marks
from tests.support.fleet import KEY
from tests.support.marking import write
from tests.support.numbered import fields_of, marks_of
from tests.support.process import Process, running
from tests.support.turning import Operator, operator, state_of
from tests.support.waiting import PATIENCE

WAYS = ("first", "second")


async def _talk(request: web.Request) -> web.WebSocketResponse:
    socket = web.WebSocketResponse(compress=False)
    await socket.prepare(request)
    async for _ in socket:
        await socket.send_json({"kind": "jobStatus"})
    return socket


async def _echo(request: web.Request) -> web.Response:
    return web.json_response({"kind": "answer", "asked": json.loads(await request.read())})


@asynccontextmanager
async def answering_server() -> AsyncIterator[str]:
    """Run a server; its URL."""
    application = web.Application()
    application.router.add_post("/echo", _echo)
    application.router.add_get("/ws", _talk)
    runner = web.AppRunner(application, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    host, port = runner.addresses[0][:2]
    try:
        yield f"http://{host}:{port}"
    finally:
        await runner.cleanup()


@dataclass
class Replica:
    """One process, its operator, and a client of it."""

    process: Process
    operator: Operator
    http: aiohttp.ClientSession

    async def answered(self, client: Client) -> dict[str, Any]:
        """Send a request; the answer."""
        async with self.http.post(
            f"http://{self.process.address}/echo",
            json={"kind": "question"},
            headers=fields_of(client),
        ) as answer:
            assert answer.status == 200, await answer.text()
            return dict(await answer.json())

    @asynccontextmanager
    async def socket(self, client: Client) -> AsyncIterator[Callable[[], Awaitable[Marks]]]:
        """Open a WebSocket; a function that has the server send a message: what it shows."""
        async with self.http.ws_connect(
            f"http://{self.process.address}/ws", headers=fields_of(client)
        ) as socket:

            async def shown() -> Marks:
                async with asyncio.timeout(PATIENCE):
                    await socket.send_json({"kind": "chat"})
                    return marks_of(await socket.receive_json(), WAYS)

            yield shown

    async def is_at(self, number: int) -> None:
        """Wait until a revision is in force here."""
        await self.says(lambda told: bool(told["revision"] == number))

    async def says(self, is_so: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        """Wait until its switches are so."""
        async with asyncio.timeout(PATIENCE):
            while True:
                told = dict(await self.operator.switches())
                if is_so(told):
                    return told
                await asyncio.sleep(0.02)

    async def readiness(self) -> str:
        """What `/readyz` says."""
        async with self.http.get(f"http://{self.process.admin}/readyz") as answer:
            assert answer.status == 200
            return await answer.text()


@asynccontextmanager
async def fleet(
    directory: Path, stores: Mapping[str, str], *, lacking: str = ""
) -> AsyncIterator[list[Replica]]:
    """Run a process for each store.

    Args:
        directory: for their files.
        stores: the URL of the store, by the name of the replica.
        lacking: the mapping that the last of them lacks.
    """
    async with AsyncExitStack() as stack:
        url = await stack.enter_async_context(answering_server())
        http = await stack.enter_async_context(aiohttp.ClientSession())

        async def started(name: str, store: str) -> Replica:
            state = state_of(directory, f"state-{name}")
            is_last = name == tuple(stores)[-1]
            config = write(directory / name, url, "0", lacking=lacking if is_last else "")
            env = {
                "SEGUE_STORE__URL": store,
                "SEGUE_STORE__KEYS": KEY,
                "SEGUE_STATE_DIR": str(state),
            }
            process = await stack.enter_async_context(running(config, env=env))
            return Replica(process, await stack.enter_async_context(operator(state)), http)

        yield list(await asyncio.gather(*(started(*each) for each in stores.items())))


async def agree(replicas: list[Replica], number: int) -> None:
    """Wait until all have this revision in force, and say the same of every switch."""
    for replica in replicas:
        await replica.is_at(number)
    told = [(await each.operator.switches())["switches"] for each in replicas]
    states = [
        [{key: one[key] for key in ("switch", "state", "percent", "revision")} for one in each]
        for each in told
    ]
    assert all(each == states[0] for each in states), states


async def comes_to(shown: Callable[[], Awaitable[Marks]], marks: Marks) -> None:
    """Wait until the messages of a WebSocket show this."""
    async with asyncio.timeout(PATIENCE):
        while await shown() != marks:  # noqa: ASYNC110 (it tells nobody)
            await asyncio.sleep(0.02)
