"""HTTP exchanges between a raw client and a raw server: what goes through, and what must not."""

from __future__ import annotations

import asyncio
import gzip
import hashlib
import json
import re
from collections.abc import Awaitable, Callable

import pytest

from tests.support.rig import RawPeer, answering, raw_server, segue, status_of
from tests.support.waiting import PATIENCE

GET = b"GET / HTTP/1.1\r\nHost: h\r\n\r\n"
LAST = b"GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n"
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
MIB = 1 << 20

Script = Callable[[RawPeer], Awaitable[None]]


def then_close(response: bytes) -> Script:
    """A script that answers one request without a body, and closes."""

    async def script(peer: RawPeer) -> None:
        await peer.read_head()
        await peer.send(response)

    return script


def then_reset(response: bytes) -> Script:
    """A script that answers one request, lets the answer arrive, and resets the connection."""

    async def script(peer: RawPeer) -> None:
        await peer.read_head()
        await peer.send(response)
        await asyncio.sleep(0.02)
        peer.reset()

    return script


# Invariant 1: transparent until told otherwise.


async def test_invariant_1_request_goes_through_byte_for_byte() -> None:
    heads: list[bytes] = []
    received = (
        b"OPTIONS //x/../%2f%2F;p=1/%e4?a=%zz&&b=+%20&client=1&a=[]{}|^ HTTP/1.1\r\n"
        b"hOsT: h:81\r\n"
        b"X-Twice: 1\r\n"
        b"x-other:   \xe4\xff \xc3\xa4\t\r\n"
        b"X-TWICE: 2, 3\r\n"
        b"X-Empty:\r\n"
        b"Accept-Encoding: gzip, br\r\n"
        b"Range: bytes=0-1\r\n"
        b'If-None-Match: W/"1"\r\n'
        b"Authorization: Bearer a.b.c\r\n"
        b"Cookie: a=1; b=2\r\n"
    )
    dropped = (
        b"Connection: Keep-Alive, X-Named\r\n"
        b"X-Named: 1\r\n"
        b"Keep-Alive: timeout=5\r\n"
        b"Proxy-Connection: keep-alive\r\n"
        b"TE: trailers\r\n"
        b"X-Forwarded-For: 6.6.6.6\r\n"
        b"X_Forwarded_Proto: https\r\n"
        b"Forwarded: for=6.6.6.6\r\n"
        b"X-Request-Id: forged\r\n"
    )
    async with raw_server(answering(OK, heads)) as origin, segue(origin.url) as proxy:
        async with proxy.client() as peer:
            await peer.send(received + dropped + b"\r\n")
            await peer.read_response()
    expected = (
        received.replace(b":   \xe4", b": \xe4")
        .replace(b"\xa4\t\r\n", b"\xa4\r\n")
        .replace(b"X-Empty:\r\n", b"X-Empty: \r\n")
    )
    assert heads[0].startswith(expected)
    added = re.sub(rb"(X-Request-Id|traceparent): [0-9a-f-]+\r\n", rb"\1: .\r\n", heads[0])
    assert added.removeprefix(expected) == (
        b"X-Forwarded-For: 127.0.0.1\r\n"
        b"X-Forwarded-Proto: http\r\n"
        b"X-Forwarded-Host: h:81\r\n"
        b"X-Request-Id: .\r\n"
        b"Via: 1.1 segue\r\n"
        b"traceparent: .\r\n\r\n"
    )


async def test_invariant_1_response_goes_through_byte_for_byte() -> None:
    body = gzip.compress(b"x" * 1000) + b"\r\n0\r\n\r\n"
    kept = (
        b"HTTP/1.1 299 Fine \xe4, thanks\r\n"
        b"Server: daphne\r\n"
        b"set-cookie: a=1\r\n"
        b"Set-Cookie: b=2; Expires=Thu, 01 Jan 2026 00:00:00 GMT\r\n"
        b"X-Bytes: \xe4\xff\r\n"
        b"X-Empty: \r\n"
        b"Content-Encoding: gzip\r\n"
        b'ETag: W/"1"\r\n'
        b"Via: 1.0 cache\r\n"
        b"Content-Length: %d\r\n" % len(body)
    )
    dropped = (
        b"Connection: X-Named\r\nX-Named: 1\r\nKeep-Alive: timeout=5\r\nProxy-Authenticate: x\r\n"
    )
    response = kept + dropped + b"\r\n" + body
    async with raw_server(answering(response)) as origin, segue(origin.url) as proxy:
        async with proxy.client() as peer:
            await peer.send(GET)
            assert await peer.read(len(kept) + 2 + len(body)) == kept + b"\r\n" + body


@pytest.mark.parametrize("chunked", [False, True], ids=["length", "chunked"])
async def test_invariant_1_body_goes_through_both_ways(chunked: bool) -> None:
    body = bytes(range(256)) * 4096

    async def origin_script(peer: RawPeer) -> None:
        head = await peer.read_head()
        if chunked:
            assert b"\r\nTransfer-Encoding: chunked\r\n" in head
            assert await read_chunks(peer) == body
            await peer.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
            for start in range(0, len(body), 100_001):
                piece = body[start : start + 100_001]
                await peer.send(b"%X;ext=1\r\n%b\r\n" % (len(piece), piece))
            await peer.send(b"0\r\nX-Trailer: 1\r\n\r\n")
        else:
            assert await peer.read(len(body)) == body
            await peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
        await peer.read_all()

    async with raw_server(origin_script) as origin, segue(origin.url) as proxy:
        async with proxy.client() as peer:
            if chunked:
                await peer.send(b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n")
                for start in range(0, len(body), 70_001):
                    piece = body[start : start + 70_001]
                    await peer.send(b"%x\r\n%b\r\n" % (len(piece), piece))
                await peer.send(b"0\r\n\r\n")
                head = await peer.read_head()
                assert b"\r\nTransfer-Encoding: chunked\r\n" in head
                assert await read_chunks(peer) == body
            else:
                await peer.send(
                    b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: %d\r\n\r\n" % len(body) + body
                )
                assert (await peer.read_response())[1] == body


async def read_chunks(peer: RawPeer) -> bytes:
    """Read a chunked body to its end; trailers are a fault."""
    body = bytearray()
    async with asyncio.timeout(PATIENCE):
        while True:
            size = int(await peer.reader.readuntil(b"\r\n"), 16)
            body += await peer.reader.readexactly(size)
            assert await peer.reader.readexactly(2) == b"\r\n"
            if not size:
                return bytes(body)


# Responses in pieces.


RESPONSES = {
    "length": (
        b"HTTP/1.1 200 OK\r\nX-A: 1\r\nContent-Length: 5\r\n\r\nhello",
        b"HTTP/1.1 200 OK\r\nX-A: 1\r\nContent-Length: 5\r\n\r\nhello",
    ),
    "chunked": (
        (
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nX-A: 1\r\n\r\n"
            b"5;ext=1\r\nhello\r\n0\r\nX-T: 1\r\nX-U: 2\r\n\r\n"
        ),
        b"HTTP/1.1 200 OK\r\nX-A: 1\r\nTransfer-Encoding: chunked\r\n\r\n(hello)",
    ),
    "no content": (
        b"HTTP/1.1 204 No Content\r\nX-A: 1\r\n\r\n",
        b"HTTP/1.1 204 No Content\r\nX-A: 1\r\n\r\n",
    ),
    "not modified": (
        b'HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\nETag: "1"\r\n\r\n',
        b'HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\nETag: "1"\r\n\r\n',
    ),
    "informational": (
        (
            b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 102 Processing\r\n\r\n"
            b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
        ),
        (
            b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 102 Processing\r\n\r\n"
            b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
        ),
    ),
}


@pytest.mark.parametrize(("sent", "expected"), RESPONSES.values(), ids=RESPONSES.keys())
async def test_response_split_at_every_byte_is_the_same_response(
    sent: bytes, expected: bytes
) -> None:
    cuts = iter(range(1, len(sent)))

    async def origin_script(peer: RawPeer) -> None:
        for cut in cuts:
            await peer.read_head()
            await peer.send(sent[:cut])
            for _ in range(3):
                await asyncio.sleep(0)
            await peer.send(sent[cut:])

    async with raw_server(origin_script) as origin, segue(origin.url) as proxy:
        async with proxy.client() as peer:
            for _ in range(1, len(sent)):
                await peer.send(GET)
                received = await peer.read_head()
                while received.count(b"\r\n\r\n") < expected.count(b"\r\n\r\n"):
                    received += await peer.read_head()
                if expected.endswith(b"(hello)"):
                    received += b"(%b)" % await read_chunks(peer)
                elif expected.endswith(b"hello"):
                    received += await peer.read(5)
                assert received == expected
            assert origin.connections == 1


async def test_response_without_length_goes_on_until_the_server_closes() -> None:
    response = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n\r\none\r\n\r\ntwo"
    async with raw_server(then_close(response)) as origin, segue(origin.url) as proxy:
        async with proxy.client() as peer:
            for _ in range(2):
                await peer.send(GET)
                head = await peer.read_head()
                assert head.endswith(b"plain\r\nTransfer-Encoding: chunked\r\n\r\n")
                assert await read_chunks(peer) == b"one\r\n\r\ntwo"


@pytest.mark.parametrize(
    "fields", [b"Content-Length: 12345\r\n", b"Transfer-Encoding: chunked\r\n", b""]
)
async def test_response_to_head_ends_at_its_head(fields: bytes) -> None:
    heads: list[bytes] = []
    response = b"HTTP/1.1 200 OK\r\n%bX-A: 1\r\n\r\n" % fields
    async with raw_server(answering(response, heads)) as origin, segue(origin.url) as proxy:
        async with proxy.client() as peer:
            for _ in range(3):
                await peer.send(GET.replace(b"GET", b"HEAD"))
                head = await peer.read_head()
                assert head == response.replace(b"Transfer-Encoding: chunked\r\n", b"")
        assert origin.connections == 1
    assert len(heads) == 3


async def test_length_that_a_bodiless_response_must_not_have_is_left_out() -> None:
    # RFC 9110 section 8.6: a client that believes it waits for a body that never comes.
    early = b"HTTP/1.1 103 Early Hints\r\nContent-Length: 0\r\nLink: </a>\r\n\r\n"
    final = b"HTTP/1.1 204 No Content\r\nContent-Length: 0\r\nX-A: 1\r\n\r\n"
    async with raw_server(answering(early + final)) as origin, segue(origin.url) as proxy:
        async with proxy.client() as peer:
            await peer.send(GET)
            assert await peer.read_head() == b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"
            assert await peer.read_head() == b"HTTP/1.1 204 No Content\r\nX-A: 1\r\n\r\n"


# HTTP/1.0, Expect, early answers.


@pytest.mark.parametrize(
    "response",
    [
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
        b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
        b"HTTP/1.0 200 OK\r\nConnection: close\r\n\r\nok",
    ],
    ids=["chunked", "informational", "until close"],
)
async def test_client_of_http_1_0_gets_neither_chunks_nor_informational_responses(
    response: bytes,
) -> None:
    async with raw_server(then_close(response)) as origin, segue(origin.url) as proxy:
        received = await proxy.ask(b"GET / HTTP/1.0\r\n\r\n")
    head, _, body = received.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200 OK")
    assert b"Connection: close" in head
    assert b"chunked" not in head
    assert body == b"ok"


async def test_client_of_http_1_0_that_asks_for_it_keeps_its_connection() -> None:
    heads: list[bytes] = []
    async with raw_server(answering(OK, heads)) as origin, segue(origin.url) as proxy:
        async with proxy.client() as peer:
            for _ in range(2):
                await peer.send(b"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")
                head, body = await peer.read_response()
                assert b"\r\nConnection: keep-alive\r\n" in head
                assert body == b"ok"
    # HTTP/1.1 needs a host, which HTTP/1.0 does not.
    assert heads[0].startswith(b"GET / HTTP/1.1\r\nHost: 127.0.0.1:")


UPLOAD = b"PUT / HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n"


async def test_expectation_and_its_100_go_through_before_the_body() -> None:
    async def origin_script(peer: RawPeer) -> None:
        assert b"\r\nExpect: 100-continue\r\n" in await peer.read_head()
        await peer.send(b"HTTP/1.1 100 Continue\r\n\r\n")
        assert await peer.read(5) == b"hello"
        await peer.send(OK)

    async with raw_server(origin_script) as origin, segue(origin.url) as proxy:
        async with proxy.client() as peer:
            await peer.send(UPLOAD)
            assert await peer.read_head() == b"HTTP/1.1 100 Continue\r\n\r\n"
            await peer.send(b"hello")
            assert await peer.read_response() == (OK[:-2], b"ok")


async def test_a_100_is_waited_for_as_long_as_for_an_answer() -> None:
    async def origin_script(peer: RawPeer) -> None:
        await peer.read_head()
        await asyncio.sleep(2.5)  # Longer than a client may take with its body.
        await peer.send(b"HTTP/1.1 100 Continue\r\n\r\n")
        assert await peer.read(5) == b"hello"
        await peer.send(OK)

    env = {"SEGUE_TIMEOUTS__BODY": "2s"}
    async with raw_server(origin_script) as origin, segue(origin.url, env) as proxy:
        async with proxy.client() as peer:
            await peer.send(UPLOAD)
            assert await peer.read_head() == b"HTTP/1.1 100 Continue\r\n\r\n"
            await peer.send(b"hello")
            assert await peer.read_response() == (OK[:-2], b"ok")


@pytest.mark.parametrize(
    ("said", "late", "status"),
    [
        (b"", "RESPONSE", 504),
        (b"HTTP/1.1 102 Processing\r\n\r\n", "RESPONSE", 504),
        (b"HTTP/1.1 100 Continue\r\n\r\n", "BODY", 408),
    ],
    ids=["no 100", "another 1xx", "no body"],
)
async def test_who_is_late_with_a_100_or_the_body_behind_it_is_told_apart(
    said: bytes, late: str, status: int
) -> None:
    async def origin_script(peer: RawPeer) -> None:
        await peer.read_head()
        await peer.send(said)
        await peer.read_all()

    async with raw_server(origin_script) as origin:
        async with segue(origin.url, {f"SEGUE_TIMEOUTS__{late}": "200ms"}) as proxy:
            response = await proxy.ask(UPLOAD)
    assert response.startswith(said)
    assert status_of(response.removeprefix(said)) == status


async def test_clock_of_the_answer_stands_while_the_client_uploads_after_a_100() -> None:
    async def origin_script(peer: RawPeer) -> None:
        await peer.read_head()
        await peer.send(b"HTTP/1.1 100 Continue\r\n\r\n")
        assert await peer.read(5) == b"hello"
        await peer.send(OK)

    env = {"SEGUE_TIMEOUTS__RESPONSE": "10m", "SEGUE_TIMEOUTS__BODY": "1h"}
    async with raw_server(origin_script) as origin, segue(origin.url, env) as proxy:
        async with proxy.client() as peer:
            await peer.send(UPLOAD)
            assert await peer.read_head() == b"HTTP/1.1 100 Continue\r\n\r\n"
            proxy.look_ahead(1800)  # More than the server's time: the client's own.
            await peer.send(b"hello")
            assert await peer.read_response() == (OK[:-2], b"ok")


async def test_expectation_that_fails_is_answered_without_the_body() -> None:
    response = b"HTTP/1.1 417 Expectation Failed\r\nContent-Length: 2\r\n\r\nno"
    async with raw_server(answering(response)) as origin, segue(origin.url) as proxy:
        received = await proxy.ask(UPLOAD)
    assert received == response.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n")


async def test_early_response_reaches_a_client_that_is_still_sending() -> None:
    response = b"HTTP/1.1 413 Content Too Large\r\nContent-Length: 4\r\n\r\nmore"
    async with raw_server(answering(response)) as origin, segue(origin.url) as proxy:
        async with proxy.client() as peer:
            await peer.send(b"PUT / HTTP/1.1\r\nHost: h\r\nContent-Length: 1000000\r\n\r\n")
            await peer.send(b"x" * 10_000)
            head, body = await peer.read_response()
            assert status_of(head) == 413
            assert b"\r\nConnection: close\r\n" in head
            assert body == b"more"


async def test_early_response_is_not_reset_while_the_client_is_still_sending() -> None:
    # Closing a socket with bytes unread resets it, and a reset may cost the client the answer.
    response = b"HTTP/1.1 413 Content Too Large\r\nContent-Length: 4\r\n\r\nmore"
    async with (
        raw_server(answering(response)) as origin,
        segue(origin.url) as proxy,
        proxy.client() as peer,
    ):
        await peer.send(b"PUT / HTTP/1.1\r\nHost: h\r\nContent-Length: 10000000\r\n\r\n")
        assert (await peer.read_response())[1] == b"more"
        for _ in range(20):
            await peer.send(b"x" * 10_000)
            await asyncio.sleep(0)
        assert not await peer.ended_by_reset()


async def test_client_that_is_gone_ends_the_exchange_with_the_server() -> None:
    arrived, gone = asyncio.Event(), asyncio.Event()

    async def origin_script(peer: RawPeer) -> None:
        await peer.read_head()
        arrived.set()
        await peer.read_all()
        gone.set()

    async with raw_server(origin_script) as origin, segue(origin.url) as proxy:
        async with proxy.client() as peer, asyncio.timeout(PATIENCE):
            await peer.send(GET)
            await arrived.wait()
            peer.reset()
            await gone.wait()
        assert await proxy.metric("segue_requests_total", cohort="none", code="499") == 1
    assert '"error": "client_gone"' in proxy.log.getvalue()


# Never looks complete.


BROKEN_HEADS = {
    "no answer": b"",
    "half a head": b"HTTP/1.1 200 OK\r\nContent-Le",
    "not HTTP": b"SSH-2.0-OpenSSH_9.2 %b\r\n",
    "HTTP/2.0": b"HTTP/2.0 200 OK\r\nContent-Length: 0\r\n\r\n",
    "HTTP/0.9": b"HTTP/0.9 200 OK\r\nContent-Length: 0\r\n\r\n",
    "status 99": b"HTTP/1.1 99 OK\r\nContent-Length: 0\r\n\r\n",
    "status 099": b"HTTP/1.1 099 OK\r\nContent-Length: 0\r\n\r\n",
    "status 999": b"HTTP/1.1 999 OK\r\nContent-Length: 0\r\n\r\n",
    "status 600": b"HTTP/1.1 600 OK\r\nContent-Length: 0\r\n\r\n",
    "101 unasked": b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\n"
    b"Upgrade: websocket\r\n\r\n%b",
    "101 to nothing": b"HTTP/1.1 101 Switching Protocols\r\n\r\n%b",
    "length and chunked": b"HTTP/1.1 200 OK\r\nX: %b\r\nContent-Length: 5\r\n"
    b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "two lengths": b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello",
    "list of lengths": b"HTTP/1.1 200 OK\r\nContent-Length: 5, 5\r\n\r\nhello",
    "negative length": b"HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\nhello",
    "endless length": b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999999\r\n\r\nhello",
    "signed length": b"HTTP/1.1 200 OK\r\nContent-Length: +5\r\n\r\nhello",
    "hexadecimal length": b"HTTP/1.1 200 OK\r\nContent-Length: 0x5\r\n\r\nhello",
    "empty length": b"HTTP/1.1 200 OK\r\nContent-Length: \r\n\r\nhello",
    "two equal lengths": b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\nhello",
    "length beyond 63 bits": b"HTTP/1.1 200 OK\r\nContent-Length: 9223372036854775808\r\n\r\nhello",
    "chunked in HTTP/1.0": b"HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "chunked twice": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n",
    "two codings": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n"
    b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    # llhttp takes this for another coding: a body until the end of the stream.
    "chunked and an empty member": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked,\r\n\r\n"
    b"0\r\n\r\n",
    "chunked with a parameter": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked;q=1\r\n\r\n"
    b"0\r\n\r\n",
    "tab before colon": b"HTTP/1.1 200 OK\r\nTransfer-Encoding\t: chunked\r\n\r\n0\r\n\r\n",
    "unknown coding": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
    "coding not chunked": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\nx",
    "bare carriage return": b"HTTP/1.1 200 OK\r\nX: a\r%b\r\nContent-Length: 0\r\n\r\n",
    "folded field": b"HTTP/1.1 200 OK\r\nX: a\r\n %b\r\nContent-Length: 0\r\n\r\n",
    "NUL in a field": b"HTTP/1.1 200 OK\r\nX: a\0%b\r\nContent-Length: 0\r\n\r\n",
    "NUL in the reason": b"HTTP/1.1 200 \0%b\r\nContent-Length: 0\r\n\r\n",
    "bare line feeds": b"HTTP/1.1 200 OK\nX: %b\nContent-Length: 0\n\n",
    "space before colon": b"HTTP/1.1 200 OK\r\nX : %b\r\nContent-Length: 0\r\n\r\n",
    "body in a 100": b"HTTP/1.1 100 Continue\r\nContent-Length: 5\r\n\r\nhello"
    b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
    "broken chunk with its head": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    b"5%b\r\nhello\r\n",
    "head too large": b"HTTP/1.1 200 OK\r\nX: " + b"%b" * 70_000,
    "head too large, all at once": b"HTTP/1.1 200 OK\r\nX: %b\r\nContent-Length: 2\r\n\r\nok"
    % (b"%b" * 35_000),
    "too many fields": b"HTTP/1.1 200 OK\r\n" + b"X: 1\r\n" * 12_000,
    "endless reason": b"HTTP/1.1 200 " + b"a" * 70_000,
}


@pytest.mark.parametrize("reset", [False, True], ids=["close", "reset"])
@pytest.mark.parametrize("response", BROKEN_HEADS.values(), ids=BROKEN_HEADS.keys())
async def test_invariant_7_broken_head_of_a_response_is_502_and_quoted_nowhere(
    response: bytes, reset: bool
) -> None:
    secret = b"c2VjcmV0c2VjcmV0"
    response = response.replace(b"%b", secret) if len(response) < 1000 else response
    script = then_reset(response) if reset else then_close(response)
    async with raw_server(script) as origin, segue(origin.url) as proxy:
        async with proxy.client() as peer:
            await peer.send(GET.replace(b"GET / ", b"POST /?token=%b " % secret))
            head, body = await peer.read_response()
        problem = json.loads(body)
        assert status_of(head) == problem["status"] == 502
        assert b"\r\nContent-Type: application/problem+json\r\n" in head
        metrics = repr(await proxy.metrics())
    log = proxy.log.getvalue()
    lines = [json.loads(line) for line in log.splitlines()]
    [line] = [line for line in lines if line["event"] == "request"]
    assert line["request_id"] == problem["request_id"]
    assert line["status"] == 502
    assert line["detail"] == problem["detail"]
    for text in (head.decode("latin-1"), body.decode(), log, metrics):
        assert secret.decode() not in text


CUT_SHORT = {
    "inside a length": (b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n", b"hello"),
    "before a chunk": (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"5\r\nhello\r\n"),
    "inside a chunk": (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"9\r\nhello"),
    "inside the last chunk": (
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"5\r\nhello\r\n0\r\n",
    ),
    "inside trailers": (
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"5\r\nhello\r\n0\r\nX-T: 1\r\n",
    ),
    "broken chunk size": (
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"5\r\nhello\r\n0x\r\n\r\n",
    ),
    "chunk longer than its size": (
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"5\r\nhello!\r\n0\r\n\r\n",
    ),
    "flood of chunk extensions": (
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"5\r\nhello\r\n5;" + b"a" * 400_000,
    ),
    "flood of trailers": (
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"5\r\nhello\r\n0\r\n" + b"X: 1\r\n" * 80_000,
    ),
}


@pytest.mark.parametrize("version", [b"HTTP/1.1", b"HTTP/1.0"])
@pytest.mark.parametrize(("head", "rest"), CUT_SHORT.values(), ids=CUT_SHORT.keys())
async def test_response_that_breaks_off_never_looks_complete(
    head: bytes, rest: bytes, version: bytes
) -> None:
    head_arrived = asyncio.Event()

    async def origin_script(peer: RawPeer) -> None:
        await peer.read_head()
        await peer.send(head)
        await head_arrived.wait()
        await peer.send(rest)
        # A flood is cut off by Segue, whatever the server still wants to say.
        if len(rest) > 1000:
            await peer.read_all()

    async with raw_server(origin_script) as origin, segue(origin.url) as proxy:
        async with proxy.client() as peer:
            await peer.send(GET.replace(b"HTTP/1.1", version))
            assert status_of(await peer.read_head()) == 200
            head_arrived.set()
            # What ends by itself for an HTTP/1.0 client would be complete: only a reset is not.
            assert await peer.ended_by_reset()
        assert await proxy.metric("segue_errors_total", error="upstream_broken") == 1
        assert await proxy.metric("segue_requests_total", cohort="none", code="200") == 1
    assert '"error": "upstream_broken"' in proxy.log.getvalue()


async def test_reset_inside_a_response_without_length_is_no_end_of_it() -> None:
    response = b"HTTP/1.1 200 OK\r\n\r\nhalf"
    async with raw_server(then_reset(response)) as origin, segue(origin.url) as proxy:
        async with proxy.client() as peer:
            await peer.send(LAST)
            await peer.read_head()
            assert await peer.ended_by_reset()


async def test_informational_responses_without_end_are_502() -> None:
    flood = b"HTTP/1.1 102 Processing\r\n\r\n" * 1000
    async with raw_server(then_close(flood)) as origin, segue(origin.url) as proxy:
        received = await proxy.ask(LAST)
    responses = received.replace(b"HTTP/1.1 102 Processing\r\n\r\n", b"")
    assert status_of(responses) == 502
    assert received.count(b"HTTP/1.1 102 ") < 20


async def test_server_that_breaks_off_after_an_informational_response_is_502() -> None:
    early = b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"
    arrived = asyncio.Event()

    async def origin_script(peer: RawPeer) -> None:
        await peer.read_head()
        await peer.send(early)
        await arrived.wait()

    async with (
        raw_server(origin_script) as origin,
        segue(origin.url) as proxy,
        proxy.client() as peer,
    ):
        await peer.send(GET)
        assert await peer.read_head() == early
        arrived.set()
        assert status_of((await peer.read_response())[0]) == 502


async def test_stalled_body_is_broken_off() -> None:
    async def origin_script(peer: RawPeer) -> None:
        await peer.read_head()
        await peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello")
        await peer.read_all()

    env = {"SEGUE_TIMEOUTS__IDLE": "200ms"}
    async with raw_server(origin_script) as origin, segue(origin.url, env) as proxy:
        async with proxy.client() as peer:
            await peer.send(GET)
            await peer.read_head()
            assert await peer.ended_by_reset()
        assert await proxy.metric("segue_errors_total", error="upstream_timeout") == 1


async def test_slow_body_is_not_broken_off() -> None:
    pieces = 8

    async def origin_script(peer: RawPeer) -> None:
        await peer.read_head()
        await peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % pieces)
        for _ in range(pieces):
            await asyncio.sleep(0.5)
            await peer.send(b"x")

    # A busy machine has two seconds for each pause of a half, and all of them are longer than that.
    env = {"SEGUE_TIMEOUTS__IDLE": "2500ms", "SEGUE_TIMEOUTS__RESPONSE": "2500ms"}
    async with raw_server(origin_script) as origin, segue(origin.url, env) as proxy:
        assert (await proxy.ask(LAST)).endswith(b"\r\n\r\n" + b"x" * pieces)


# Back-pressure.


async def stalled(progress: Callable[[], int]) -> None:
    """Return when a count has stopped growing."""
    before = -1
    async with asyncio.timeout(PATIENCE):
        while before != (before := progress()):  # noqa: ASYNC110 (that nothing happens is no event)
            await asyncio.sleep(0.2)


async def test_download_waits_for_a_client_that_does_not_read() -> None:
    piece = hashlib.sha256(b"piece").digest() * 2048
    total = 64 * MIB
    sent = 0

    async def origin_script(peer: RawPeer) -> None:
        nonlocal sent
        await peer.read_head()
        await peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % total)
        while sent < total:
            await peer.send(piece)
            sent += len(piece)

    # The clock of the server's body must stand while the client is the one who is slow.
    env = {"SEGUE_TIMEOUTS__IDLE": "10m", "SEGUE_TIMEOUTS__KEEPALIVE": "1h"}
    async with raw_server(origin_script) as origin, segue(origin.url, env) as proxy:
        async with proxy.client() as peer:
            await peer.send(GET)
            await peer.read_head()
            peer.stop_reading()
            await stalled(lambda: sent)
            # Socket buffers on four ends grow to a few MiB each; Segue adds its own 64 KiB.
            assert sent < total // 2
            proxy.look_ahead(1800)
            peer.read_on()
            for _ in range(total // len(piece)):
                assert await peer.read(len(piece)) == piece


async def test_download_of_a_client_that_stopped_reading_never_looks_complete() -> None:
    async def origin_script(peer: RawPeer) -> None:
        await peer.read_head()
        await peer.send(b"HTTP/1.1 200 OK\r\n\r\n")
        while True:
            await peer.send(b"x" * MIB)

    env = {"SEGUE_TIMEOUTS__KEEPALIVE": "300ms"}
    async with (
        raw_server(origin_script) as origin,
        segue(origin.url, env) as proxy,
        proxy.client() as peer,
    ):
        # For HTTP/1.0 the end of the connection is the end of the body.
        await peer.send(b"GET / HTTP/1.0\r\n\r\n")
        await peer.read_head()
        peer.stop_reading()
        async with asyncio.timeout(PATIENCE):
            while await proxy.metric("segue_open_connections", kind="http"):  # noqa: ASYNC110 (a gauge is read, not awaited)
                await asyncio.sleep(0.05)
        peer.read_on()
        assert await peer.ended_by_reset()


async def test_upload_waits_for_a_server_that_does_not_read() -> None:
    piece = hashlib.sha256(b"piece").digest() * 2048
    total = 64 * MIB
    sent = 0
    go = asyncio.Event()

    async def origin_script(peer: RawPeer) -> None:
        await peer.read_head()
        peer.stop_reading()
        await go.wait()
        peer.read_on()
        for _ in range(total // len(piece)):
            assert await peer.read(len(piece)) == piece
        await peer.send(OK)

    async with raw_server(origin_script) as origin, segue(origin.url) as proxy:
        async with proxy.client() as peer:

            async def upload() -> None:
                nonlocal sent
                await peer.send(b"PUT / HTTP/1.1\r\nHost: h\r\nContent-Length: %d\r\n\r\n" % total)
                while sent < total:
                    await peer.send(piece)
                    sent += len(piece)

            uploading = asyncio.create_task(upload())
            await stalled(lambda: sent)
            assert 0 < sent < total // 2
            go.set()
            await uploading
            assert await peer.read_response() == (OK[:-2], b"ok")


async def test_server_that_does_not_read_the_body_in_time_is_504() -> None:
    go = asyncio.Event()

    async def origin_script(peer: RawPeer) -> None:
        await peer.read_head()
        peer.stop_reading()
        await go.wait()

    env = {"SEGUE_TIMEOUTS__RESPONSE": "300ms"}
    async with raw_server(origin_script) as origin, segue(origin.url, env) as proxy:
        async with proxy.client() as peer:
            peer.writer.write(
                b"PUT / HTTP/1.1\r\nHost: h\r\nContent-Length: %d\r\n\r\n" % (64 * MIB)
            )
            peer.writer.write(b"x" * 64 * MIB)
            head, _ = await peer.read_response()
            assert status_of(head) == 504
            peer.abort()
        go.set()


@pytest.mark.parametrize("close", [b"", b"Connection: close\r\n"], ids=["kept", "last"])
async def test_426_says_to_what(close: bytes) -> None:
    needed = (
        b"HTTP/1.1 426 Upgrade Required\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
        b"Content-Length: 0\r\n\r\n"
    )
    async with raw_server(answering(needed)) as origin, segue(origin.url) as proxy:
        async with proxy.client() as peer:
            await peer.send(GET.replace(b"\r\n\r\n", b"\r\n" + close + b"\r\n"))
            head = await peer.read_head()
    assert status_of(head) == 426
    assert b"\r\nUpgrade: websocket\r\n" in head
    assert b"\r\nConnection: Upgrade\r\n" in head
    assert (b"\r\nConnection: close\r\n" in head) is bool(close)


async def test_length_of_the_server_loses_its_leading_zeros() -> None:
    zeros = b"HTTP/1.1 200 OK\r\nX: 1\r\nContent-Length: 010\r\n\r\n0123456789"
    async with raw_server(answering(zeros)) as origin, segue(origin.url) as proxy:
        async with proxy.client() as peer:
            await peer.send(GET)
            assert await peer.read_head() == (
                b"HTTP/1.1 200 OK\r\nX: 1\r\nContent-Length: 10\r\n\r\n"
            )
            assert await peer.read(10) == b"0123456789"
