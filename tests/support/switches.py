"""Switches of a running Segue, turned as an operator does it, and WebSockets through it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from tests.support.checkout import ROOT
from tests.support.rfc6455 import TEXT
from tests.support.rig import Segue, segue
from tests.support.sockets import Origin, Pair, open_pair, origin
from tests.support.waiting import PATIENCE

SWITCH: Final = "modern/old-to-new"
STATUS: Final = b'{"kind": "jobStatus", "jobId": "7"}'
"""A message that the mapping of the switch is for, as an old server sends it."""

CONFIG: Final = """
upstream: {{url: "{url}"}}
versions: {{default: "1.0"}}
cohorts:
  - name: modern
    versions: ">=2"
    websocket: {{to_client: [old-to-new]}}
  - name: legacy
    versions: "<2"
    websocket: {{to_client: [new-to-old]}}
"""


@dataclass
class Switched:
    """A running Segue with switches, and its server."""

    proxy: Segue
    server: Origin
    config: Path
    pairs: list[Pair] = field(default_factory=list)

    async def ask(self, target: str, method: str = "GET", **body: Any) -> Any:
        """Ask the admin API, as an admin of this machine; the answer, which has to be a success."""
        async with self.proxy.admin() as client:
            asked = None if method == "GET" else body
            headers = {"If-Match": f'"{await self._tag(target)}"'} if method == "PUT" else {}
            async with client.request(
                method, f"/api/v1{target}", headers=headers, json=asked
            ) as answer:
                text = await answer.text()
                assert answer.status < 300, text
                return await answer.json()

    async def turn(self, state: str, switch: str = SWITCH, **more: Any) -> Any:
        """Turn a switch."""
        return await self.ask(f"/switches/{switch}", "PUT", state=state, reason="a test", **more)

    async def open(self, version: str = "2.1", *fields: bytes) -> Pair:
        """Open a WebSocket of a client of this version; it is closed in the end."""
        told = f"X-Client-Version: {version}".encode()
        pair = await open_pair(self.proxy, self.server, fields=[told, *fields])
        self.pairs.append(pair)
        return pair

    async def _tag(self, target: str) -> int:
        async with (
            self.proxy.admin() as client,
            client.get(f"/api/v1{target}") as answer,
        ):
            return int((await answer.json())["revision"])


async def sent(pair: Pair, message: bytes = STATUS, times: int = 1) -> bytes:
    """Have the server send a message; what the client got for the last of them."""
    got = b""
    for _ in range(times):
        await pair.server.send(TEXT, message)
        got = await pair.client.message()
    return got


@asynccontextmanager
async def switched(directory: Path, more: str = "") -> AsyncIterator[Switched]:
    """Run one with the shipped mappings."""
    config = directory / "config.yaml"
    (directory / "mappings").symlink_to(ROOT / "mappings")
    async with origin() as server:
        config.write_text(CONFIG.format(url=server.url) + more)
        async with segue(None, config=config) as proxy:
            running = Switched(proxy, server, config)
            try:
                yield running
            finally:
                for pair in running.pairs:
                    await pair.client.peer.close()
                    await pair.server.peer.close()


async def until(holds: Callable[[], bool]) -> None:
    """Wait for something that tells nobody."""
    async with asyncio.timeout(PATIENCE):
        while not holds():  # noqa: ASYNC110
            await asyncio.sleep(0.002)
