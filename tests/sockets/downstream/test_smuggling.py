"""Requests that two readers could frame in two ways: none of them reaches the server.

Behind each stands a second request, as an attacker would have it read by the server alone.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Callable

import pytest

from tests.support.rfc6455 import TEXT, wire
from tests.support.rig import RawPeer, Segue, compiled_only, raw_server, segue, status_of
from tests.support.sockets import KEY, MASK, handshake, open_pair, origin
from tests.support.waiting import PATIENCE

SMUGGLED = b"GET /smuggled HTTP/1.1\r\nHost: h\r\n\r\n"
POST = b"POST / HTTP/1.1\r\nHost: h\r\n"
CHUNKED = POST + b"Transfer-Encoding: chunked\r\n\r\n"
LAST = b"0\r\n\r\n"
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


@pytest.fixture
def seen() -> bytearray:
    """All that the server has received."""
    return bytearray()


@pytest.fixture
async def proxy(seen: bytearray) -> AsyncIterator[Segue]:
    async def swallow(peer: RawPeer) -> None:
        while data := await peer.reader.read(65536):
            seen.extend(data)

    async with raw_server(swallow) as server, segue(server.url) as running:
        yield running


LENGTHS = {
    "signed": b"+5",
    "negative": b"-5",
    "hexadecimal": b"0x5",
    "list of equals": b"5, 5",
    "list without spaces": b"5,5",
    "list of others": b"5, 0",
    "two words": b"5 5",
    "empty": b"",
    "decimal point": b"5.0",
    "underscore": b"1_0",
    "vertical tab": b"\x0b5",
    "form feed": b"5\x0c",
    "digit of another script": "\u0665".encode(),
    "beyond 63 bits": b"9223372036854775808",
    "beyond 64 bits": b"18446744073709551621",
    "leading zero": b"010",
    "twenty digits": b"99999999999999999999",
}


async def test_malformed_length_is_refused(proxy: Segue, seen: bytearray) -> None:
    for name, length in LENGTHS.items():
        await refused(proxy, seen, name, POST + b"Content-Length: " + length + b"\r\n\r\nhello")


CODINGS = {
    "look-alike before": b"xchunked",
    "look-alike behind": b"chunkedx",
    "twice": b"chunked, chunked",
    "empty member behind": b"chunked,",
    "empty member before": b",chunked",
    "parameter": b"chunked;q=1",
    "quoted": b'"chunked"',
    "identity": b"identity",
    "identity, chunked": b"identity, chunked",
    "chunked, identity": b"chunked, identity",
    "gzip": b"gzip",
    "gzip, chunked": b"gzip, chunked",
    "empty": b"",
    "vertical tab": b"\x0bchunked",
    "NUL": b"chunked\0",
    "Kelvin sign": "chun\u212aed".encode(),
    "byte over 127": b"chun\xebed",
    "folded": b"\r\n chunked",
}


async def test_transfer_coding_that_is_not_chunked_is_refused(
    proxy: Segue, seen: bytearray
) -> None:
    for name, coding in CODINGS.items():
        fields = b"Transfer-Encoding: " + coding + b"\r\n\r\n"
        await refused(proxy, seen, name, POST + fields + LAST)


HEADS = {
    "length before coding": b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n",
    "length behind coding": b"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n",
    "length beside another coding": b"Content-Length: 5\r\nTransfer-Encoding: identity\r\n",
    "two equal lengths": b"Content-Length: 5\r\nContent-Length: 5\r\n",
    "two lengths": b"Content-Length: 5\r\ncontent-length: 6\r\n",
    "two equal codings": b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
    "two codings": b"Transfer-Encoding: identity\r\nTransfer-Encoding: chunked\r\n",
    "space before colon": b"Transfer-Encoding : chunked\r\n",
    "tab before colon": b"Transfer-Encoding\t: chunked\r\n",
    "space before name": b" Transfer-Encoding: chunked\r\n",
    "tab before name": b"\tTransfer-Encoding: chunked\r\n",
    "vertical tab before name": b"\x0bTransfer-Encoding: chunked\r\n",
    "NUL in name": b"Transfer-Encoding\0: chunked\r\n",
    "underscore in coding": b"Transfer_Encoding: chunked\r\nContent-Length: 5\r\n",
    "underscore in length": b"Content_Length: 5\r\n",
    "behind a line feed": b"X: y\nTransfer-Encoding: chunked\r\n",
    "behind a carriage return": b"X: y\rTransfer-Encoding: chunked\r\n",
    "folded with a tab": b"X: y\r\n\tTransfer-Encoding: chunked\r\n",
    "folded and empty": b"X: y\r\n \r\nContent-Length: 5\r\n",
    "no colon": b"Transfer-Encoding\r\n",
    "empty name": b": chunked\r\n",
}


async def test_head_that_can_be_read_in_two_ways_is_refused(proxy: Segue, seen: bytearray) -> None:
    for name, fields in HEADS.items():
        await refused(proxy, seen, name, POST + fields + b"\r\n" + LAST)


VERSIONS = [
    *(b"HTTP/1.2", b"HTTP/2.0", b"HTTP/3.0", b"HTTP/0.9", b"HTTP/1.10", b"HTTP/01.1", b"HTTP/1"),
    *(b"http/1.1", b"HTTPS/1.1", b"HTTP/1,1", b"HTTP/ 1.1", b"HTTP/1.1 ", b"ICE/1.0", b"RTSP/1.0"),
    "HTTP/1.\u0661".encode(),
]


async def test_wrong_version_is_refused(proxy: Segue, seen: bytearray) -> None:
    for version in VERSIONS:
        response = await proxy.ask(b"GET / " + version + b"\r\nHost: h\r\n\r\n")
        assert status_of(response) in (400, 505), version
        await refused(proxy, seen, repr(version), b"GET / " + version + b"\r\nHost: h\r\n\r\n")


LINES = {
    "no version": b"GET /\r\nHost: h\r\n\r\n",
    "line feeds": b"GET / HTTP/1.1\nHost: h\n\n",
    "line feed at the end": b"GET / HTTP/1.1\r\nHost: h\r\n\n",
    "line feed behind a field": b"GET / HTTP/1.1\r\nHost: h\nX: y\r\n\r\n",
    "carriage returns": b"GET / HTTP/1.1\rHost: h\r\r\r\n",
    "two carriage returns": b"GET / HTTP/1.1\r\r\nHost: h\r\n\r\n",
    "tabs in the request line": b"GET\t/\tHTTP/1.1\r\nHost: h\r\n\r\n",
    "space before the method": b" GET / HTTP/1.1\r\nHost: h\r\n\r\n",
    "space before the first field": b"GET / HTTP/1.1\r\n Host: h\r\n\r\n",
    "chunked in HTTP/1.0": b"POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n" + LAST,
    "chunked in HTTP/1.0 kept alive": b"POST / HTTP/1.0\r\nConnection: keep-alive\r\n"
    b"Transfer-Encoding: chunked\r\n\r\n" + LAST,
    "preface of HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
}


async def test_broken_line_is_refused(proxy: Segue, seen: bytearray) -> None:
    for name, request_bytes in LINES.items():
        await refused(proxy, seen, name, request_bytes)


CHUNKS = {
    "no line break behind the data": b"5\r\nhello0\r\n\r\n",
    "line feed behind the data": b"5\r\nhello\n0\r\n\r\n",
    "two carriage returns behind the data": b"5\r\nhello\r\r\n0\r\n\r\n",
    "line feed behind the size": b"5\nhello\r\n0\r\n\r\n",
    "carriage return behind the size": b"5\rhello\r\n0\r\n\r\n",
    "two carriage returns behind the size": b"5\r\r\nhello\r\n0\r\n\r\n",
    "line feed at the end": b"5\r\nhello\r\n0\r\n\n",
    "line feed behind the last size": b"5\r\nhello\r\n0\n\r\n",
    "empty line before the size": b"\r\n5\r\nhello\r\n0\r\n\r\n",
    "no size": b";a=b\r\nhello\r\n0\r\n\r\n",
    "signed size": b"+5\r\nhello\r\n0\r\n\r\n",
    "negative size": b"-5\r\nhello\r\n0\r\n\r\n",
    "prefixed size": b"0x5\r\nhello\r\n0\r\n\r\n",
    "underscore in the size": b"0_5\r\nhello\r\n0\r\n\r\n",
    "letter in the size": b"g\r\nhello\r\n0\r\n\r\n",
    "space before the size": b" 5\r\nhello\r\n0\r\n\r\n",
    "space behind the size": b"5 \r\nhello\r\n0\r\n\r\n",
    "tab behind the size": b"5\t\r\nhello\r\n0\r\n\r\n",
    "line feed in an extension": b"5;a\nb\r\nhello\r\n0\r\n\r\n",
    "line break in a quoted extension": b'5;a="x\r\n"\r\nhello\r\n0\r\n\r\n',
    # More than is read at once: what is whole at the first look has cost nothing.
    "endless extension": b"5;" + b"a" * 400_000 + b"\r\nhello\r\n0\r\n\r\n",
    "extensions of many chunks": (b"1;" + b"a" * 1000 + b"\r\nx\r\n") * 400 + LAST,
    "broken size behind white space": b"5 ; x\r\nhello\r\nzz\r\nhello\r\n0\r\n\r\n",
    "white space that is none of an extension": b"5 ; x\r\nhello\r\n0 \r\n\r\n",
    "line feed behind white space": b"5 ; x\r\nhello\r\n5 ; x\nhello\r\n0\r\n\r\n",
    "vertical tab before an extension": b"5 ; x\r\nhello\r\n5\v; x\r\nhello\r\n0\r\n\r\n",
    "white space of many chunks": (b"1" + b" " * 1000 + b";a\r\nx\r\n") * 400 + LAST,
    "size of endless zeros": b"0" * 400_000 + b"5\r\nhello\r\n0\r\n\r\n",
    "space before the colon of a trailer": b"5\r\nhello\r\n0\r\nX : 1\r\n\r\n",
    "line feed behind a trailer": b"5\r\nhello\r\n0\r\nX: 1\n\r\n",
    "folded trailer": b"5\r\nhello\r\n0\r\n X: 1\r\n\r\n",
}

BEYOND = {
    "size beyond 64 bits": b"10000000000000005\r\nhello\r\n0\r\n\r\n",
    "size of seventeen digits": b"FFFFFFFFFFFFFFFFF\r\nhello\r\n0\r\n\r\n",
}

ODD_EXTENSIONS = {
    "carriage return in an extension": b"5;a\rb\r\nhello\r\n0\r\n\r\n",
    "NUL in an extension": b"5;\0\r\nhello\r\n0\r\n\r\n",
    "control character in an extension": b"5;a=\x01\r\nhello\r\n0\r\n\r\n",
}


async def test_broken_chunk_is_refused_and_nothing_forwarded(proxy: Segue, seen: bytearray) -> None:
    for name, body in {**CHUNKS, **BEYOND}.items():
        await refused(proxy, seen, name, CHUNKED + body)


@compiled_only
async def test_broken_extension_is_refused_and_nothing_forwarded(
    proxy: Segue, seen: bytearray
) -> None:
    for name, body in ODD_EXTENSIONS.items():
        await refused(proxy, seen, name, CHUNKED + body)


async def test_broken_chunk_that_comes_later_never_ends_the_body_for_the_server(
    proxy: Segue, seen: bytearray
) -> None:
    for name, body in CHUNKS.items():
        seen.clear()
        async with proxy.client() as peer:
            await peer.send(CHUNKED + b"3\r\nabc\r\n")
            await until(lambda: seen.endswith(b"3\r\nabc\r\n"))
            await peer.send(body + SMUGGLED)
            assert status_of(await peer.read_all()) == 400, name
        assert not seen.endswith(LAST), name
        assert b"smuggled" not in seen, name


@pytest.mark.parametrize("rest", [b"ZZZ\r\n", b"5\r\nworld\r\n"], ids=["broken", "too large"])
async def test_connection_inside_an_unfinished_body_carries_no_other_request(rest: bytes) -> None:
    # The rest of the body is refused in the moment in which the server answers early: what waits
    # there for a chunk must never be another client's request.
    servers: asyncio.Queue[RawPeer] = asyncio.Queue()
    received: list[bytes] = []

    async def origin_script(peer: RawPeer) -> None:
        head = await peer.read_head()
        if head.startswith(b"POST"):
            assert await peer.read(10) == b"5\r\nhello\r\n"
            servers.put_nowait(peer)
            received.append(await peer.read_all())
        else:
            await peer.send(OK)

    env = {"SEGUE_LIMITS__REQUEST_BODY": "8B"}
    async with raw_server(origin_script) as listening, segue(listening.url, env) as proxy:
        async with proxy.client() as peer, asyncio.timeout(PATIENCE):
            await peer.send(CHUNKED + b"5\r\nhello\r\n")
            server = await servers.get()
            write_now(peer, rest)
            write_now(server, OK)
            assert status_of(await peer.read_all()) in (200, 400, 413)
        assert (await proxy.ask(b"GET /other HTTP/1.0\r\n\r\n")).endswith(b"ok")
        assert await proxy.metric("segue_upstream_reuses_total") == 0
    assert received == [b""]


HIDDEN = wire(TEXT, b'{"kind": "hidden"}', key=MASK)
"""A frame that a server reads which takes no body with a handshake."""

BODIES = {
    "length": (b"Content-Length: %d" % len(HIDDEN), HIDDEN),
    "length, and more behind": (b"Content-Length: 1", HIDDEN),
    "chunked": (b"Transfer-Encoding: chunked", b"%x\r\n%b\r\n" % (len(HIDDEN), HIDDEN) + LAST),
    "chunked and empty": (b"Transfer-Encoding: chunked", LAST + HIDDEN),
    "expected": (b"Expect: 100-continue\r\nContent-Length: %d" % len(HIDDEN), HIDDEN),
    "second key": (b"Sec-WebSocket-Key: " + KEY, b""),
}


@pytest.mark.parametrize("in_pieces", [False, True], ids=["at once", "in pieces"])
async def test_handshake_with_a_body_is_refused(
    proxy: Segue, seen: bytearray, in_pieces: bool
) -> None:
    for name, (field, body) in BODIES.items():
        async with proxy.client() as peer:
            await peer.send(handshake(b"/ws/jobs/1/", field))
            if in_pieces:
                await asyncio.sleep(0)
            await peer.send(body)
            response = await peer.read_all()
        assert status_of(response) == 400, name
        assert b"\r\nConnection: close\r\n" in response, name
        assert response.count(b"\r\nX-Request-Id: ") == 1, name
        assert seen == b"", name


async def test_handshake_that_says_that_it_has_no_body_is_one() -> None:
    async with origin() as upstream, segue(upstream.url) as proxy:
        pair = await open_pair(proxy, upstream, fields=[b"Content-Length: 0"])
        await pair.client.send(TEXT, b"hello")
        assert (await pair.server.receive()).payload == b"hello"
        await pair.client.peer.close()
        await pair.server.peer.close()


def write_now(peer: RawPeer, data: bytes) -> None:
    """Put bytes into the socket before the loop turns."""
    assert os.write(peer.writer.get_extra_info("socket").fileno(), data) == len(data)


async def test_extensions_and_trailers_are_not_forwarded(proxy: Segue, seen: bytearray) -> None:
    async with proxy.client() as peer:
        await peer.send(CHUNKED + b"5;a=b\r\nhello\r\n0;c\r\nX-Trailer: 1\r\n\r\n")
        await until(lambda: seen.endswith(LAST))
    assert seen.partition(b"\r\n\r\n")[2] == b"5\r\nhello\r\n0\r\n\r\n"


@pytest.mark.parametrize("size", [b"1", b"00000001"])
async def test_body_in_chunks_of_one_byte_is_no_flood(
    proxy: Segue, seen: bytearray, size: bytes
) -> None:
    chunk = size + b"\r\nx\r\n"
    async with proxy.client() as peer:
        await peer.send(CHUNKED)
        for _ in range(20):
            await peer.send(chunk * 1000)
        await peer.send(LAST)
        await until(lambda: seen.endswith(LAST))
    assert seen.partition(b"\r\n\r\n")[2].count(b"x") == 20_000


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(PATIENCE):
        while not condition():  # noqa: ASYNC110 (a server that swallows tells nobody)
            await asyncio.sleep(0.001)


async def refused(proxy: Segue, seen: bytearray, name: str, request_bytes: bytes) -> None:
    """Send what is no request: one refusal comes back, the stream ends, the server saw nothing."""
    response = await proxy.ask(request_bytes + SMUGGLED)
    assert response, name
    assert status_of(response) in (400, 501, 505), name
    assert response.count(b"\r\nX-Request-Id: ") == 1, name
    assert b"\r\nConnection: close\r\n" in response, name
    assert seen == b"", name
