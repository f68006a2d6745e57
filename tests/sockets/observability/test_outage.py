"""An outage is not info: what fails is a warning that says what it is, and where."""

from __future__ import annotations

import asyncio
import errno
import json
import socket
from typing import Any

import pytest

from proxy.upstream.pool import why_not
from tests.support.rig import RawPeer, Segue, answering, raw_server, segue
from tests.support.waiting import PATIENCE

GET = b"GET / HTTP/1.1\r\nHost: h\r\n\r\n"
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"


def lines(proxy: Segue, event: str) -> list[dict[str, Any]]:
    found = [json.loads(line) for line in proxy.log.getvalue().splitlines()]
    return [line for line in found if line["event"] == event]


async def test_a_single_server_that_fails_is_told_of_and_so_is_that_it_is_back() -> None:
    with socket.create_server(("127.0.0.1", 0)) as placeholder:
        port = placeholder.getsockname()[1]
    async with segue(f"http://127.0.0.1:{port}", level="info") as proxy, proxy.client() as peer:
        for _ in range(5):
            await peer.send(GET)
            await peer.read_response()
        (ejected,) = lines(proxy, "upstream ejected")
        assert ejected["level"] == "warning"
        assert ejected["still_asked"] is True
        assert ejected["reason"].startswith("the server refused the connection")
        request = lines(proxy, "request")[0]
        assert request["level"] == "warning"
        assert request["detail"].startswith("the server refused the connection")
        assert request["upstream"].endswith(f":{port}")

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            served = RawPeer(reader, writer)
            await served.read_head()
            await served.send(OK)
            await served.close()

        server = await asyncio.start_server(serve, "127.0.0.1", port)
        await peer.send(GET)
        assert b" 200 " in await peer.read_head()
        (recovered,) = lines(proxy, "upstream recovered")
        assert recovered["upstream"] == ejected["upstream"]
        assert lines(proxy, "request")[-1]["level"] == "info"
        server.close()
        await server.wait_closed()


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (None, "the server took too long with its response"),
        (b"", "the server closed the connection without a response"),
        (b"SSH-2.0-OpenSSH_9.2\r\n", "the server's response is not valid HTTP/1.1"),
    ],
    ids=["slow", "gone", "strange"],
)
async def test_why_a_server_fails_is_what_its_requests_met(
    answer: bytes | None, reason: str
) -> None:
    over = asyncio.Event()

    async def serve(peer: RawPeer) -> None:
        await peer.read_head()
        if answer is None:
            await over.wait()
        else:
            await peer.send(answer)

    env = {"SEGUE_TIMEOUTS__RESPONSE": "50ms"}
    async with raw_server(serve) as upstream, segue(upstream.url, env) as proxy:
        async with proxy.client() as peer:
            for _ in range(3):
                await peer.send(GET)
                await peer.read_response()
        (ejected,) = lines(proxy, "upstream ejected")
        assert ejected["reason"] == reason
        assert {line["detail"] for line in lines(proxy, "request")} == {reason}
        over.set()


async def test_what_a_client_did_wrong_stays_info() -> None:
    async with raw_server(answering(OK)) as upstream, segue(upstream.url) as proxy:
        await proxy.ask(b"GET / HTTP/1.1\r\nHost: h\r\nHost: i\r\n\r\n")
        (line,) = lines(proxy, "request")
        assert (line["status"], line["level"]) == (400, "info")


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (ConnectionRefusedError(errno.ECONNREFUSED, ""), "refused"),
        (ConnectionResetError(errno.ECONNRESET, ""), "reset"),
        (OSError(errno.ETIMEDOUT, ""), "timed out"),
        (OSError(errno.EHOSTUNREACH, ""), "no route"),
        (socket.gaierror(socket.EAI_NONAME, "secret.internal"), "is unknown"),
        (socket.gaierror(socket.EAI_AGAIN, "secret.internal"), "cannot be looked up"),
        (OSError("Multiple exceptions: 10.0.0.1"), "no connection"),
    ],
    ids=["refused", "reset", "timed out", "no route", "unknown", "resolver", "several"],
)
def test_each_way_to_fail_has_its_own_words_and_names_no_address(error: OSError, told: str) -> None:
    detail = why_not(error)
    assert told in detail
    assert "internal" not in detail
    assert "10.0.0.1" not in detail


async def test_a_request_that_the_end_of_a_drain_cuts_is_no_client_that_has_gone() -> None:
    asked = asyncio.Event()

    async def script(peer: RawPeer) -> None:
        await peer.read_head()
        asked.set()
        await peer.read_all()

    settings = {"SEGUE_TIMEOUTS__DRAIN": "50ms"}
    async with raw_server(script) as upstream, segue(upstream.url, settings) as proxy:
        cut = await proxy.connect()
        await cut.send(GET)
        async with asyncio.timeout(PATIENCE):
            await asked.wait()
    (line,) = lines(proxy, "request")
    assert (line["status"], line["error"], line["level"]) == (503, "unavailable", "warning")
    await cut.close()


async def test_a_client_that_has_gone_is_still_499() -> None:
    asked = asyncio.Event()

    async def script(peer: RawPeer) -> None:
        await peer.read_head()
        asked.set()
        await peer.read_all()

    async with raw_server(script) as upstream, segue(upstream.url) as proxy:
        peer = await proxy.connect()
        await peer.send(GET)
        async with asyncio.timeout(PATIENCE):
            await asked.wait()
            peer.reset()
            while not lines(proxy, "request"):  # noqa: ASYNC110 (it tells nobody)
                await asyncio.sleep(0.005)
    (line,) = lines(proxy, "request")
    assert (line["status"], line["level"]) == (499, "info")
