"""A Segue whose configuration has a section `admin`, and raw requests to its admin listener."""

from __future__ import annotations

import asyncio
import json
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from proxy.tokens.admin_token import hash_of, token_from
from tests.support.rig import RawPeer, Segue, segue
from tests.support.waiting import PATIENCE

METRICS, VIEWER, OPERATOR, ADMIN = (token_from(bytes([number]) * 32) for number in range(4))
UNKNOWN = token_from(bytes([9]) * 32)

TOKENS = [
    {"name": f"{role}-token", "role": role, "hash": hash_of(token)}
    for role, token in zip(
        ("metrics", "viewer", "operator", "admin"), (METRICS, VIEWER, OPERATOR, ADMIN), strict=True
    )
]


@dataclass
class Answer:
    """A response, taken apart by hand."""

    status: int
    head: str
    body: str

    @property
    def detail(self) -> str:
        problem = json.loads(self.body)
        assert problem["status"] == self.status
        assert "application/problem+json" in self.head
        return str(problem["detail"])


@dataclass
class Administered:
    """A running Segue, and its configuration, which can be changed."""

    proxy: Segue
    config: Path
    tls: ssl.SSLContext | None = None

    @property
    def place(self) -> tuple[str, int]:
        host, _, port = self.proxy.server.admin_address.rpartition(":")
        return host, int(port)

    async def ask(
        self,
        target: str,
        *fields: str,
        method: str = "GET",
        body: str = "",
        host: str | None = "localhost",
        tls: ssl.SSLContext | None = None,
    ) -> Answer:
        """Send one request to the admin listener, field for field as given."""
        context = tls or self.tls
        name = None if context is None else "localhost"
        peer = RawPeer(
            *await asyncio.open_connection(*self.place, ssl=context, server_hostname=name)
        )
        lines = [f"{method} {target} HTTP/1.1", "Connection: close", *fields]
        if host is not None:
            lines.insert(1, f"Host: {host}")
        if body:
            lines += ["Content-Type: application/json", f"Content-Length: {len(body)}"]
        await peer.send("\r\n".join([*lines, "", body]).encode("latin-1"))
        answer = (await peer.read_all()).decode()
        await peer.close()
        head, _, rest = answer.partition("\r\n\r\n")
        return Answer(int(head.split(" ", 2)[1]), head, rest)

    async def reload(self, **admin: Any) -> None:
        """Change the section `admin`, and wait until that counts."""
        write(self.config, **admin)
        before = self.proxy.log.getvalue().count('"reloaded"')
        self.proxy.server.reload()
        async with asyncio.timeout(PATIENCE):
            while self.proxy.log.getvalue().count('"reloaded"') == before:
                assert "reload failed" not in self.proxy.log.getvalue()
                await asyncio.sleep(0.01)

    def lines(self, event: str) -> list[dict[str, Any]]:
        """What was logged under this name."""
        lines = [json.loads(line) for line in self.proxy.log.getvalue().splitlines()]
        return [line for line in lines if line["event"] == event]


def write(config: Path, **admin: Any) -> None:
    # JSON is YAML.
    config.write_text(json.dumps({"upstream": {"url": "http://127.0.0.1:9"}, "admin": admin}))


def bearer(token: str) -> str:
    return f"Authorization: Bearer {token}"


@asynccontextmanager
async def administered(
    directory: Path, context: ssl.SSLContext | None = None, /, **admin: Any
) -> AsyncIterator[Administered]:
    """Run Segue with this section `admin`, by default one token for each role.

    Its clients use the context, or plain HTTP.
    """
    config = directory / "config.yaml"
    write(config, **(admin or {"tokens": TOKENS}))
    async with segue(None, config=config) as proxy:
        yield Administered(proxy, config, context)
