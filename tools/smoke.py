"""Does an installed Segue serve? One real server, one request, three clients' frames, one drain.

    ENVIRONMENT/bin/python -I tools/smoke.py [--compiled] CONFIG

runs the `segue` of that environment, which needs nothing else in it: the server and the clients
are of aiohttp, which Segue itself depends on. CONFIG is the shipped configuration. With
`--compiled`, the path of frames has to be compiled, as it is in the wheel.
"""

from __future__ import annotations

import argparse
import asyncio
import importlib
import json
import os
import signal
import sys
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

import aiohttp
from aiohttp import web

PATIENCE: Final = 60.0
"""Seconds after which something that has to come is considered lost."""

OLD: Final = '{"kind": "jobStatus", "jobId": "a", "size": 1.10, "status": "running"}'
NEW: Final = OLD.replace("jobStatus", "status")

FRAME_PATH: Final = (
    "proxy.mapping.compiler.splice",
    "proxy.relay.leg",
    "proxy.rewriting",
    "proxy.websocket.filter",
    "proxy.websocket.frames",
)


class Failed(Exception):
    """What is not as it has to be."""


def expect(what: str, found: object, wanted: object) -> None:
    """Say what holds.

    Raises:
        Failed: it does not.
    """
    if found != wanted:
        raise Failed(f"{what}: expected {wanted!r}, got {found!r}")
    print(f"  ok  {what}", flush=True)


async def _hello(request: web.Request) -> web.Response:
    return web.json_response({"path": request.path_qs, "body": await request.text()})


async def _frames(request: web.Request) -> web.WebSocketResponse:
    socket = web.WebSocketResponse()
    await socket.prepare(request)
    async for message in socket:
        await socket.send_str(message.data)
    return socket


@asynccontextmanager
async def server() -> AsyncIterator[str]:
    """The server behind Segue, which sends back what it gets: its URL."""
    application = web.Application()
    application.router.add_route("*", "/api/hello", _hello)
    application.router.add_get("/ws", _frames)
    runner = web.AppRunner(application)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        host, port = runner.addresses[0][:2]
        yield f"http://{host}:{port}"
    finally:
        await runner.cleanup()


async def _listening(child: asyncio.subprocess.Process) -> dict[str, Any]:
    assert child.stderr is not None
    said = []
    async with asyncio.timeout(PATIENCE):
        while line := await child.stderr.readline():
            said.append(line.decode(errors="replace"))
            try:
                told = json.loads(line)
            except ValueError:
                continue
            if isinstance(told, dict) and told.get("event") == "listening":
                return told
    raise Failed(f"segue ended before it listened:\n{''.join(said)}")


async def _frame(client: aiohttp.ClientSession, url: str, version: str | None) -> str:
    headers = {} if version is None else {"X-Client-Version": version}
    async with client.ws_connect(url, headers=headers) as socket:
        await socket.send_str(OLD)
        return await socket.receive_str()


async def serve(config: Path) -> None:
    """Start it, and be its server and its clients.

    Raises:
        Failed: something is not as it has to be.
    """
    program = str(Path(sys.executable).parent / "segue")
    with tempfile.TemporaryDirectory() as state:
        async with server() as url:
            fixed = {"SEGUE_LOG__FORMAT": "json", "SEGUE_UPSTREAM__URL": url}
            child = await asyncio.create_subprocess_exec(
                *(program, "run", "--config", str(config)),
                *("--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0", "--state-dir", state),
                env={**os.environ, **fixed},
                stderr=asyncio.subprocess.PIPE,
            )
            try:
                told = await _listening(child)
                async with asyncio.timeout(PATIENCE), aiohttp.ClientSession() as client:
                    await _ask(client, told["address"], told["admin"])
                child.send_signal(signal.SIGTERM)
                async with asyncio.timeout(PATIENCE):
                    await child.communicate()
                expect("SIGTERM drains it, and it ends with", child.returncode, 0)
            finally:
                if child.returncode is None:
                    child.kill()
                    await child.wait()


async def _ask(client: aiohttp.ClientSession, address: str, admin: str) -> None:
    async with client.post(f"http://{address}/api/hello?a=1", data=b"hello") as answer:
        found = (answer.status, await answer.json())
    expect("a request goes through", found, (200, {"path": "/api/hello?a=1", "body": "hello"}))
    url = f"ws://{address}/ws"
    expect("a client of version 2.1 gets the new frame", await _frame(client, url, "2.1"), NEW)
    expect("one of version 1.4 the bytes of the old one", await _frame(client, url, "1.4"), OLD)
    expect("so does one that tells no version", await _frame(client, url, None), OLD)
    async with client.get(f"http://{admin}/console/vendored/preact/preact.mjs") as answer:
        expect("the files of the console", answer.status, 200)
    async with client.get(f"http://{admin}/readyz") as answer:
        expect("it says that it is ready", answer.status, 200)


def main() -> int:
    """0 where all of it holds."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--compiled", action="store_true", help="the path of frames has to be")
    parser.add_argument("config", type=Path)
    options = parser.parse_args()
    try:
        if options.compiled:
            modules = [importlib.import_module(name) for name in FRAME_PATH]
            slow = [each.__name__ for each in modules if not str(each.__file__).endswith(".so")]
            expect("modules of the path of frames that are not compiled", slow, [])
        asyncio.run(serve(options.config.resolve()))
    except Failed as error:
        print(f"FAILED  {error}", file=sys.stderr)
        return 1
    except TimeoutError:
        print(f"FAILED  nothing came for {PATIENCE:.0f} seconds", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
