"""A newcomer's way, by the documents alone: install, a protocol of one's own, a frame that fails.

The commands and files are the blocks of the pages, as they stand there. What they cannot say is the
newcomer's own: a server that speaks that protocol, a client, and an old client's strange message.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from tests.support.checkout import ROOT
from tests.support.shell import shell
from tests.support.waiting import PATIENCE
from tools.proof.by_hand import by_hand


def block(page: str, section: str, language: str, number: int = 0) -> str:
    """A block of a section of a page."""
    text = (ROOT / "docs" / page).read_text(encoding="utf-8")
    within = re.split(r"^##+ ", text, flags=re.MULTILINE)
    (found,) = [part for part in within if part.startswith(f"{section}\n")]
    blocks: list[str] = re.findall(rf"^```{language}\n(.*?)^```", found, re.DOTALL | re.MULTILINE)
    return blocks[number]


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A clone of what is committed here, installed by the first command of the page."""
    checkout = tmp_path_factory.mktemp("new comer") / "segue"
    files = subprocess.run(
        ["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True
    ).stdout.decode()
    for name in filter(None, files.split("\0")):
        target = checkout / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT / name, target)
    install, _ = block("install.md", "From a checkout", "sh").splitlines()
    subprocess.run(["sh", "-c", install], cwd=checkout, env=by_hand(os.environ), check=True)
    return checkout


async def progress(request: web.Request) -> web.WebSocketResponse:
    """A server of the newcomer's own: two messages that are as they should be, one that is not."""
    websocket = web.WebSocketResponse()
    await websocket.prepare(request)
    await websocket.send_str('{"kind": "progressUpdate", "percentDone": 40, "note": "almost"}')
    await websocket.send_str('{"kind": "ping"}')
    await websocket.send_str('{"kind": "progressUpdate", "percentDone": 41, "percent": 0.41}')
    await websocket.close()
    return websocket


@pytest.mark.needs_jq
async def test_a_newcomer_finds_out_why_a_frame_was_not_rewritten(
    installed: Path, tmp_path: Path
) -> None:
    application = web.Application()
    application.router.add_get("/ws", progress)
    runner = web.AppRunner(application, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    server = f"http://127.0.0.1:{runner.addresses[0][1]}"

    mappings = tmp_path / "mappings"
    mappings.mkdir()
    first = "A first mapping"
    (mappings / "shorter-kinds.yaml").write_text(block("mappings.md", first, "yaml"))
    bound = block("mappings.md", first, "yaml", 1)
    (tmp_path / "config.yaml").write_text(f"upstream: {{url: {server}}}\n{bound}")
    explain = re.search(
        r"`(segue explain [^`]*)` shows what such", (ROOT / "docs/mappings.md").read_text()
    )
    assert explain is not None

    async with shell(tmp_path, PATH=f"{installed}/.venv/bin:{os.environ['PATH']}") as newcomer:
        assert '"percent": 40' in (await newcomer.run(explain[1])).replace('":4', '": 4')
        await newcomer.run(
            "segue validate\n"
            "segue run --listen 127.0.0.1:0 --admin 127.0.0.1:0 2>segue.log &\n"
            "until segue health --ready 2>/dev/null; do sleep 0.1; done"
        )
        received = await frames(tmp_path / "segue.log")
        assert received[0] == {"kind": "progress", "percent": 40, "note": "almost"}
        # The keep-alive is dropped; and this one came as it was: why?
        assert received[1:] == [{"kind": "progressUpdate", "percentDone": 41, "percent": 0.41}]

        find = block("logs.md", "Find out", "sh").splitlines()[0]
        found = ""
        async with asyncio.timeout(PATIENCE):
            while not found:  # A line is on its way to the file for a moment.
                found = await newcomer.run(find)
        (line,) = found.splitlines()
        told = json.loads(line)
        assert (told["mapping"], told["rule"]) == ("shorter-kinds", "progress")
        assert (told["operation"], told["field"]) == ("rename", "percentDone")
        frame = json.dumps(received[1])
        again = f"segue explain --client-version 2.0 --frame '{frame}'"
        assert told["reason"] in await newcomer.look(again)
        await newcomer.run("kill -TERM $(jobs -p); wait")
    await runner.cleanup()


async def frames(log: Path) -> list[Any]:
    """What a client of version 2.0 gets."""
    listening = next(
        line for line in map(json.loads, log.read_text().splitlines()) if "address" in line
    )
    headers = {"X-Client-Version": "2.0"}
    async with (
        asyncio.timeout(PATIENCE),
        aiohttp.ClientSession(headers=headers) as client,
        client.ws_connect(f"http://{listening['address']}/ws") as websocket,
    ):
        return [json.loads(message.data) async for message in websocket]
