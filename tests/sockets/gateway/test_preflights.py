"""Preflights while the server is away: a page that is listed gets as far as the error."""

from __future__ import annotations

import json
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from tests.support.rig import RawPeer, Segue, answering, raw_server, segue, status_of
from tests.support.sockets import fields_of

PAGE = "https://app.example.com"
LISTED = {"SEGUE_CORS__ORIGINS": f'["{PAGE}"]'}


def preflight(origin: str = PAGE, method: str = "DELETE") -> bytes:
    return (
        f"OPTIONS /api/jobs/ HTTP/1.1\r\nHost: a\r\nOrigin: {origin}\r\n"
        f"Access-Control-Request-Method: {method}\r\n"
        "Access-Control-Request-Headers: authorization,x-client-version\r\n\r\n"
    ).encode()


ACTUAL = (
    b"DELETE /api/jobs/ HTTP/1.1\r\nHost: a\r\nOrigin: " + PAGE.encode() + b"\r\n"
    b"Authorization: Bearer a\r\nX-Client-Version: 2.1.0\r\n\r\n"
)


@asynccontextmanager
async def without_server(env: dict[str, str]) -> AsyncIterator[Segue]:
    with socket.create_server(("127.0.0.1", 0)) as placeholder:
        port = placeholder.getsockname()[1]
    async with segue(f"http://127.0.0.1:{port}", env) as proxy:
        yield proxy


async def test_a_listed_page_gets_through_to_the_error_while_nothing_listens() -> None:
    async with without_server(LISTED) as proxy, proxy.client() as peer:
        await peer.send(preflight())
        head = await peer.read_head()
        assert status_of(head) == 204
        for name, value in {
            b"access-control-allow-origin": PAGE.encode(),
            b"access-control-allow-credentials": b"true",
            b"access-control-allow-methods": b"DELETE",
            b"access-control-allow-headers": b"authorization, x-client-version",
            b"access-control-max-age": b"0",
            b"vary": b"Origin",
            b"connection": b"keep-alive",
        }.items():
            assert fields_of(head, name) == [value]
        assert not fields_of(head, b"content-length")
        # On the same connection: the answer to the preflight had no body.
        await peer.send(ACTUAL)
        head, body = await peer.read_response()
        assert status_of(head) == 502
        assert fields_of(head, b"access-control-allow-origin") == [PAGE.encode()]
        assert json.loads(body)["detail"].startswith("the server refused the connection")
        # The outage is counted by both, and the line of the preflight says what it was.
        assert await proxy.metric("segue_errors_total", error="upstream_unreachable") == 2
        line = next(
            line
            for line in map(json.loads, proxy.log.getvalue().splitlines())
            if line["event"] == "request" and line["method"] == "OPTIONS"
        )
        assert (line["status"], line["error"]) == (204, "upstream_unreachable")
        assert line["level"] == "warning"


@pytest.mark.parametrize(
    ("env", "request_"),
    [
        ({}, preflight()),
        (LISTED, preflight("https://evil.example")),
        (LISTED, preflight(method="G E T")),
        (LISTED, preflight().replace(b"Access-Control-Request-Method", b"X-Method")),
    ],
    ids=["nobody is listed", "another origin", "no method", "no preflight"],
)
async def test_nobody_else_is_let_through(env: dict[str, str], request_: bytes) -> None:
    async with without_server(env) as proxy, proxy.client() as peer:
        await peer.send(request_)
        head, _ = await peer.read_response()
        assert status_of(head) == 502
        assert not fields_of(head, b"access-control-allow-methods")


async def test_a_server_that_breaks_off_or_is_full_is_answered_for_and_its_own_answer_stands() -> (
    None
):
    async def breaking(peer: RawPeer) -> None:
        await peer.read_head()

    async with raw_server(breaking) as server, segue(server.url, LISTED) as proxy:
        async with proxy.client() as peer:
            await peer.send(preflight())
            assert status_of(await peer.read_head()) == 204

    own = b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n"
    async with raw_server(answering(own)) as server, segue(server.url, LISTED) as proxy:
        async with proxy.client() as peer:
            await peer.send(preflight())
            head, _ = await peer.read_response()
            assert status_of(head) == 503
            assert not fields_of(head, b"access-control-allow-methods")
