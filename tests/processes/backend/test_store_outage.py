"""Redis is killed and comes back, under load: nobody is logged out, and valid tokens serve on."""

from __future__ import annotations

import asyncio
import shutil
import signal
from collections import Counter
from pathlib import Path

import aiohttp

from tests.conftest import require_component
from tests.support.backend import Account, register
from tests.support.fleet import Servers, crowd, ended, expired, me, processes, settings
from tests.support.hops import Place, ServerHop
from tests.support.process import Process
from tests.support.storages import RedisServer
from tests.support.waiting import PATIENCE


async def readiness(process: Process) -> tuple[int, dict[str, str]]:
    async with (
        aiohttp.ClientSession() as client,
        client.get(f"http://{process.admin}/readyz") as response,
    ):
        return response.status, await response.json()


async def becomes(fleet: list[Process], *, up: bool) -> None:
    """Wait until every process knows how the store is."""
    async with asyncio.timeout(PATIENCE):
        for process in fleet:
            while ("store" not in (await readiness(process))[1]) is not up:  # noqa: ASYNC110
                await asyncio.sleep(0.05)


async def put_back(fleet: list[Process]) -> None:
    """Wait until no process knows something that the store does not."""
    async with asyncio.timeout(PATIENCE):
        for process in fleet:
            while await process.total("segue_sessions_unsaved"):  # noqa: ASYNC110
                await asyncio.sleep(0.05)


class Load:
    """Users with tokens that are good, who never stop asking, each at both processes."""

    def __init__(self) -> None:
        self.statuses: Counter[int] = Counter()
        self.stopping = False

    async def ask(self, http: aiohttp.ClientSession, fleet: list[Process], user: Account) -> None:
        while not self.stopping:
            for process in fleet:
                self.statuses[await me(http, process, user.access)] += 1

    async def pass_by(self, more: int = 20) -> None:
        """Let this many more requests be answered."""
        wanted = self.statuses.total() + more
        async with asyncio.timeout(PATIENCE):
            while self.statuses.total() < wanted:  # noqa: ASYNC110 (a count tells nobody)
                await asyncio.sleep(0.01)


async def test_redis_is_killed_and_started_again_under_load(
    hop: ServerHop, servers: Servers, redis_server: RedisServer
) -> None:
    env = settings(hop.url, redis_server.address, SEGUE_STORE__TIMEOUT="1s")
    load = Load()
    async with processes(2, env) as fleet, crowd() as http:
        one, two = fleet
        caught, waiting = await expired(hop, servers, one, 2)
        steady = [await register(http, f"http://{one.address}") for _ in range(3)]
        asking = [asyncio.create_task(load.ask(http, fleet, user)) for user in steady]
        await load.pass_by()
        # A refresh whose answer comes when there is nobody to write it down for.
        answer = hop.hold(Place.ANSWER, caught.refresh)
        request = asyncio.create_task(me(http, one, caught.access))
        await answer.reached()
        await asyncio.to_thread(redis_server.stop)
        answer.open()
        assert await request == 200
        await becomes(fleet, up=False)
        assert {status for status, _ in [await readiness(process) for process in fleet]} == {200}
        await load.pass_by()
        # Nobody may spend this one's token now; who has ended waits, and is not told to log out.
        assert await me(http, two, waiting.access) == 503
        hop.server = servers.brief.url
        newcomer = await register(http, f"http://{two.address}")
        hop.server = servers.steady.url
        assert await one.total("segue_sessions_unsaved") == 1
        await load.pass_by()
        await asyncio.to_thread(redis_server.start)
        await becomes(fleet, up=True)
        await put_back(fleet)
        await load.pass_by()
        await ended(newcomer.access)
        # Each at the process that did not know.
        for user in (caught, waiting, newcomer):
            process = two if user is caught else one
            async with asyncio.timeout(PATIENCE):
                while (status := await me(http, process, user.access)) == 503:  # noqa: ASYNC110
                    await asyncio.sleep(0.1)
            assert status == 200
        load.stopping = True
        await asyncio.gather(*asking)
        assert load.statuses.keys() == {200}
        assert not hop.refused
        assert [hop.presentations(user.refresh) for user in (caught, waiting, newcomer)] == [
            [200],
            [200],
            [200],
        ]


async def test_a_redis_that_comes_back_with_yesterdays_sessions_is_told_what_is_new(
    hop: ServerHop, servers: Servers, tmp_path: Path
) -> None:
    directory, copy = tmp_path / "redis", tmp_path / "copy"
    directory.mkdir()
    store = RedisServer(require_component("redis-server"), directory)
    try:
        async with processes(2, settings(hop.url, store.address)) as fleet, crowd() as http:
            one, two = fleet
            (user,) = await expired(hop, servers, one)
            shutil.copytree(directory, copy)
            assert await me(http, one, user.access) == 200
            store.stop()
            shutil.rmtree(directory)
            copy.rename(directory)
            await becomes(fleet, up=False)
            one.child.send_signal(signal.SIGSTOP)
            await asyncio.to_thread(store.start)
            await becomes([two], up=True)
            # What the store says is spent, and the only process that knows is busy elsewhere.
            request = asyncio.create_task(me(http, two, user.access))
            async with asyncio.timeout(PATIENCE):
                while hop.presentations(user.refresh) != [200, 401]:  # noqa: ASYNC110
                    await asyncio.sleep(0.01)
            one.child.send_signal(signal.SIGCONT)
            assert await request == 200
            assert len(hop.presented) == 2
    finally:
        store.stop()
