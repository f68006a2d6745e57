"""What a session costs a request: a valid token that is known, against a request without one.

`python -m bench.sessions` runs the step `session` of the gateway by itself, in this process, with a
real store behind it; what it prints is microseconds of CPU a request. No request reaches a server:
the rest of a request's way is what `make bench` measures.
"""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Collection
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final, cast

import jwt
import structlog
import uvloop
from aiohttp import StreamReader
from aiohttp.base_protocol import BaseProtocol
from aiohttp.http_parser import RawRequestMessage
from aiohttp.http_writer import HttpVersion11
from multidict import CIMultiDict, CIMultiDictProxy
from yarl import URL

from proxy.control.loading import load
from proxy.downstream.connection import ClientConnection
from proxy.downstream.request import Request
from proxy.gateway.context import RequestContext, read_head
from proxy.gateway.sessions import TokenRenewal
from proxy.http.headers import Fields
from proxy.http.traceparent import trace_of
from proxy.observability.access_log import RequestInfo
from proxy.relay.exchange import Exchange
from proxy.sessions.opening import open_sessions
from proxy.snapshot import Snapshot
from proxy.tokens.bodies import Pair
from proxy.upstream.connection import Connection
from proxy.upstream.health import SignsOfLife
from proxy.versions.selection import Selection
from proxy.versions.sources import VersionSource

_ROUNDS: Final = 7
_REQUESTS: Final = 20_000
_NONE: Final = Selection(None, VersionSource.NONE, None)
_CONFIG: Final = Path(__file__).resolve().parent.parent / "config.yaml"


def pair(now: float) -> Pair:
    """The tokens of a login, as the old server issues them."""

    def token(kind: str, seconds: float) -> str:
        claims = {"token_type": kind, "exp": int(now + seconds), "iat": int(now), "user_id": "1"}
        return jwt.encode(claims, "a key that signs nothing but measurements", algorithm="HS256")

    return Pair(token("access", 3600), token("refresh", 86400))


def request(token: str | None, loop: asyncio.AbstractEventLoop) -> Request:
    """A request as a browser sends it."""
    fields = [
        (b"Host", b"app.example.com"),
        (b"User-Agent", b"Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"),
        (b"Accept", b"application/json"),
        (b"Accept-Encoding", b"gzip, deflate, br"),
        (b"Cookie", b"theme=dark"),
    ]
    if token is not None:
        fields.append((b"Authorization", b"Bearer " + token.encode()))
    message = RawRequestMessage(
        "GET",
        "/api/jobs/",
        HttpVersion11,
        CIMultiDictProxy(CIMultiDict()),
        tuple(fields),
        should_close=False,
        compression=None,
        upgrade=False,
        chunked=False,
        url=URL("/api/jobs/"),
    )
    payload = StreamReader(BaseProtocol(loop), 2**16, loop=loop)
    payload.feed_eof()
    return Request(message, payload)


async def never() -> Connection:
    """Nothing is renewed here."""
    raise RuntimeError("a valid token was presented to the server")


async def cost(
    session_filter: TokenRenewal, snapshot: Snapshot, asked: Request, answered: Exchange
) -> float:
    """Microseconds of one request's step, the best of some rounds."""

    async def send(fields: Fields, watched: Collection[int] = ()) -> Exchange:  # noqa: ARG001
        return answered

    info = RequestInfo("", 0.0, "", "GET", "/", trace_of((), lambda bits: (1 << bits) - 1))
    context = RequestContext(cast(ClientConnection, None), asked, snapshot, info)
    context.head = read_head(asked, snapshot.config.sessions.tokens.places)
    context.fields = list(asked.fields)
    best = float("inf")
    for _ in range(_ROUNDS):
        begun = time.process_time()
        for _ in range(_REQUESTS):
            context.session = await session_filter.enter(context)
            session_filter.note(context, _NONE)
            await session_filter.exchange(context, send)
        best = min(best, (time.process_time() - begun) / _REQUESTS)
    return best * 1e6


async def measure() -> None:
    """Measure, and print."""
    loop = asyncio.get_running_loop()
    log = structlog.wrap_logger(structlog.testing.ReturnLogger(), processors=[])
    with TemporaryDirectory() as state:
        snapshot = load(_CONFIG, {}, {})
        config = snapshot.config
        sessions = open_sessions(
            config.store, Path(state), never, lambda: config.sessions, log, SignsOfLife()
        )
        try:
            issued = pair(time.time())
            await sessions.routes.capture(issued, b"app.example.com")
            answered = object.__new__(Exchange)
            answered.head = answered.held = None
            session_filter = TokenRenewal(sessions)
            without = await cost(session_filter, snapshot, request(None, loop), answered)
            known = await cost(session_filter, snapshot, request(issued.access, loop), answered)
        finally:
            await sessions.close()
    sys.stdout.write(
        f"without a token      {without:5.2f} µs\n"
        f"a known, valid token {known:5.2f} µs, {known - without:.2f} µs more\n"
    )


if __name__ == "__main__":
    sys.exit(uvloop.run(measure()))
