"""A rolling update of the real server, run twice behind Segue: no safe request fails."""

from __future__ import annotations

import asyncio
import signal
import socket
from collections import Counter
from pathlib import Path

import aiohttp
import pytest

from tests.support.backend import Backend, create_job, register
from tests.support.rig import Segue, segue
from tests.support.waiting import PATIENCE

CLIENTS = 6


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as held:
        port: int = held.getsockname()[1]
        return port


async def becomes(proxy: Segue, backend: Backend, *, up: bool) -> None:
    target = backend.url.removeprefix("http://")
    async with asyncio.timeout(PATIENCE):
        while await proxy.metric("segue_upstream_up", target=target) != up:  # noqa: ASYNC110
            await asyncio.sleep(0.02)


@pytest.mark.asyncio(loop_factories=["uvloop"])
async def test_two_servers_are_restarted_in_turn_and_no_safe_request_fails(tmp_path: Path) -> None:
    statuses: Counter[int] = Counter()
    stop = asyncio.Event()
    one, two = (Backend(tmp_path / "state", port=free_port()) for _ in range(2))
    (tmp_path / "mappings").mkdir()
    config = tmp_path / "config.yaml"
    async with one, two, aiohttp.ClientSession() as http:
        config.write_text(
            "upstream:\n"
            f"  targets: ['{one.url}', '{two.url}']\n"
            "  ejection: {failures: 2, backoff: 50ms, longest: 200ms}\n"
        )
        async with segue(None, config=config) as proxy:
            account = await register(http, proxy.url)
            job = await create_job(http, proxy.url, account)

            async def ask() -> None:
                async with aiohttp.ClientSession(headers=account.headers) as client:
                    while not stop.is_set():
                        async with client.get(f"{proxy.url}/api/jobs/{job['id']}/") as answer:
                            statuses[answer.status] += 1
                            await answer.read()

            async def more(number: int) -> None:
                wanted = statuses.total() + number
                async with asyncio.timeout(PATIENCE):
                    while statuses.total() < wanted:  # noqa: ASYNC110 (a count tells nobody)
                        await asyncio.sleep(0.01)

            clients = [asyncio.create_task(ask()) for _ in range(CLIENTS)]
            await more(20)
            for backend, how in ((one, signal.SIGTERM), (two, signal.SIGKILL)):
                await backend.stop(how)
                await becomes(proxy, backend, up=False)
                await more(20)
                await backend.start()
                await becomes(proxy, backend, up=True)
                await more(20)
            stop.set()
            await asyncio.gather(*clients)
            assert set(statuses) == {200}
            for backend in (one, two):
                target = backend.url.removeprefix("http://")
                assert await proxy.metric("segue_upstream_failures_total", target=target) > 0
            assert await proxy.metric("segue_errors_total") == 0
