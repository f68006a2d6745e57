"""What a session costs a whole request, from the client's socket to the server's and back.

`python -m bench.session_requests` runs two proxies in this process, with a client and a server that
do as little as they can: one keeps no sessions, the other one has logged the client in. They are
asked in rounds: each a turn of eighty requests, in an order that chance decides.

What else the machine does makes a request dearer, and what a session adds to it with it. So only
the quietest quarter of the rounds counts, by what all of a round cost together, which favours
nobody. Printed are microseconds of CPU time a request, and the median of what is more, within a
round, than the mean of the two turns without sessions; how far these two are apart says how exact
it is. `bench.sessions` measures the step by itself.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import os
import random
import sys
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Final, TextIO, cast

import uvloop

from bench.sessions import pair
from bench.traffic import REQUEST_FIELDS, small_body
from proxy.control.loading import load
from proxy.observability import log as logs
from proxy.process.server import Server

_CONFIG: Final = Path(__file__).resolve().parent.parent / "config.yaml"
_CONNECTIONS: Final = 16
_REQUESTS: Final = 5
"""Requests on each connection in a turn."""


class Origin(asyncio.Protocol):
    """The server: gives tokens to whoever posts, and everybody else the same job."""

    def __init__(self, issued: bytes) -> None:
        self._issued = _answer(issued)
        self._job = _answer(small_body())

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        """Answer: each request comes in one piece, because it was sent in one."""
        self._transport.write(self._issued if data.startswith(b"POST") else self._job)


class Client(asyncio.Protocol):
    """One connection, on which one request follows the other."""

    def __init__(self) -> None:
        self._left = 0
        self._expected = 0
        self._received = bytearray()
        self._done = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    async def ask(self, request: bytes, times: int) -> None:
        """Send a request so many times, each when the one before is answered with 200."""
        self._request, self._left = request, times
        self._done = asyncio.get_running_loop().create_future()
        self._transport.write(request)
        await self._done

    def data_received(self, data: bytes) -> None:
        self._received += data
        if not self._expected:
            head = self._received.find(b"\r\n\r\n")
            if head < 0:
                return
            start = self._received.index(b"Content-Length: ") + 16
            size = int(self._received[start : self._received.index(b"\r\n", start)])
            self._expected = head + 4 + size
        if len(self._received) < self._expected:
            return
        if not self._received.startswith(b"HTTP/1.1 200 "):
            self._done.set_exception(ValueError(bytes(self._received[:40])))
            return
        self._received.clear()
        self._expected = 0
        self._left -= 1
        if self._left:
            self._transport.write(self._request)
        else:
            self._done.set_result(None)


class Case:
    """One proxy, asked by all connections.

    Attributes:
        name: for people.
        costs: CPU time of a request in each turn, in seconds.
    """

    def __init__(self, name: str, clients: list[Client], request: bytes) -> None:
        self.name = name
        self.costs: list[float] = []
        self._clients = clients
        self._request = request

    async def turn(self) -> None:
        """Measure once."""
        begun = time.process_time()
        await asyncio.gather(*(client.ask(self._request, _REQUESTS) for client in self._clients))
        self.costs.append((time.process_time() - begun) / (_REQUESTS * len(self._clients)))


def _answer(body: bytes) -> bytes:
    return (
        b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nVary: Accept, origin\r\n"
        b"Allow: GET, HEAD, OPTIONS\r\nServer: daphne\r\nContent-Length: %d\r\n\r\n%b"
        % (len(body), body)
    )


def _request(token: str) -> bytes:
    fields = [field for field in REQUEST_FIELDS if not field.startswith("Authorization")]
    lines = ["GET /api/jobs/ HTTP/1.1", "Host: app.example.test", *fields]
    return "\r\n".join([*lines, f"Authorization: Bearer {token}", "", ""]).encode()


@asynccontextmanager
async def proxied(
    origin: int, state: Path, writer: logs.Writer, sessions: str
) -> AsyncIterator[str]:
    """Run Segue as it is shipped, with sessions or without; its address."""
    environment = {"SEGUE_SESSIONS__ENABLED": sessions, "SEGUE_STATE_DIR": str(state)}
    overrides = {
        "listen": "127.0.0.1:0",
        "admin": "127.0.0.1:0",
        "upstream": f"http://127.0.0.1:{origin}",
    }
    log = logs.build(writer, "info", "json", is_terminal=False)
    server = Server(load(_CONFIG, environment, overrides), log, writer)
    await server.start()
    try:
        yield server.address
    finally:
        await server.drain()


async def connected(address: str, number: int) -> list[Client]:
    """Open connections."""
    host, _, port = address.rpartition(":")
    loop = asyncio.get_running_loop()
    opened = [await loop.create_connection(Client, host, int(port)) for _ in range(number)]
    return [client for _, client in opened]


async def measure(rounds: int, nowhere: TextIO) -> None:
    """Measure, and print."""
    loop = asyncio.get_running_loop()
    issued, strange = pair(time.time()), pair(time.time() + 1)
    assert issued.refresh is not None
    login = json.dumps({"access": issued.access, "refresh": issued.refresh}).encode()
    async with AsyncExitStack() as stack:
        state = Path(stack.enter_context(TemporaryDirectory()))
        # What the log costs is the same for both; a thread that writes is not part of a request.
        writer = logs.Writer(nowhere)
        stack.callback(writer.close)
        # As `segue run` has it.
        gc.collect()
        gc.freeze()
        gc.set_threshold(20_000, 10, 10)
        server = await loop.create_server(lambda: Origin(login), "127.0.0.1", 0)
        stack.callback(server.close)
        origin: int = server.sockets[0].getsockname()[1]
        off, on = [
            await stack.enter_async_context(proxied(origin, state / name, writer, name))
            for name in ("false", "true")
        ]
        (first,) = await connected(on, 1)
        await first.ask(
            b"POST /api/auth/login/ HTTP/1.1\r\nHost: app.example.test\r\n"
            b"Content-Length: 0\r\n\r\n",
            1,
        )
        without, within = await connected(off, _CONNECTIONS), await connected(on, _CONNECTIONS)
        cases = [
            Case("sessions off", without, _request(issued.access)),
            Case("a known, valid token", within, _request(issued.access)),
            Case("a token of no session", within, _request(strange.access)),
            Case("sessions off, once more", without, _request(strange.access)),
        ]
        for _ in range(rounds):
            for case in random.sample(cases, len(cases)):
                await case.turn()
    quiet = sorted(zip(*(case.costs for case in cases), strict=True), key=sum)[: rounds // 4]
    for place, case in enumerate(cases):
        cost = median(costs[place] for costs in quiet)
        more = median(costs[place] - (costs[0] + costs[-1]) / 2 for costs in quiet)
        sys.stdout.write(f"{case.name:24} {cost * 1e6:6.1f} µs, {more * 1e6:+.1f} µs\n")


def main() -> None:
    """Run."""
    parser = argparse.ArgumentParser(prog="python -m bench.session_requests")
    parser.add_argument("--rounds", type=int, default=400)
    with Path(os.devnull).open("w", encoding="utf-8") as nowhere:
        uvloop.run(measure(parser.parse_args().rounds, nowhere))


if __name__ == "__main__":
    main()
