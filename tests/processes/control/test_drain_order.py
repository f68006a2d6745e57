"""`POST /drain`: the process ends as by SIGTERM, what is open first; and nobody else may."""

from __future__ import annotations

import asyncio
import json
import signal
from pathlib import Path

import aiohttp

from tests.support.administered import ADMIN, OPERATOR, TOKENS
from tests.support.load import origin
from tests.support.process import Process, running
from tests.support.waiting import PATIENCE


def configured(directory: Path, upstream: str, drain: str = "2s", delay: str = "0s") -> Path:
    config = directory / "config.yaml"
    sections = {
        "upstream": {"url": upstream},
        "timeouts": {"drain": drain, "drain_delay": delay},
        "admin": {"tokens": TOKENS},
    }
    config.write_text(json.dumps(sections))
    return config


async def ordered(process: Process, token: str, body: str = "{}") -> tuple[int, dict[str, object]]:
    fields = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
    async with (
        aiohttp.ClientSession() as client,
        client.post(f"http://{process.admin}/api/v1/drain", data=body, headers=fields) as response,
    ):
        return response.status, await response.json()


async def ended(process: Process) -> int:
    async with asyncio.timeout(PATIENCE):
        return await process.child.wait()


async def test_order_ends_the_process_when_what_is_open_has_ended(tmp_path: Path) -> None:
    async with origin() as upstream, running(configured(tmp_path, upstream.url)) as process:
        async with aiohttp.ClientSession() as client:
            socket = await client.ws_connect(f"http://{process.address}/ws")
            status, told = await ordered(process, ADMIN)
            assert (status, told) == (202, {"connections": 1, "websockets": 1})
            async with asyncio.timeout(PATIENCE):
                while (await socket.receive()).type is aiohttp.WSMsgType.TEXT:
                    pass
            assert socket.close_code == 1012
            await socket.close()
        assert await ended(process) == 0
        (line,) = process.events("drain ordered")
        assert line["author"] == "admin-token (token)"
        (stopped,) = process.events("stopped")
        assert stopped["orderly"] is True


async def test_order_makes_unready_at_once_and_a_second_one_changes_nothing(
    tmp_path: Path,
) -> None:
    async with (
        origin() as upstream,
        running(configured(tmp_path, upstream.url, delay="60s")) as process,
    ):
        assert await process.ready() == 200
        assert (await ordered(process, ADMIN))[0] == 202
        assert await process.ready() == 503
        status, told = await ordered(process, ADMIN)
        assert (status, told["detail"]) == (409, "this process is draining already")
        # As after a first signal, a further one cuts it short.
        process.child.send_signal(signal.SIGTERM)
        assert await ended(process) == 0
        assert process.events("stopped before the drain was complete")


async def test_order_is_for_admins_and_says_nothing(tmp_path: Path) -> None:
    async with origin() as upstream, running(configured(tmp_path, upstream.url)) as process:
        assert (await ordered(process, OPERATOR))[0] == 403
        assert (await ordered(process, ADMIN, '{"now": true}'))[0] == 400
        assert (await ordered(process, ADMIN, ""))[0] == 400
        assert await process.ready() == 200
        assert await process.terminate() == 0
