"""The client's side of HTTP, byte for byte: what aiohttp does that must not show."""

from __future__ import annotations

import asyncio
import gzip
import json
import logging
from collections.abc import AsyncIterator

import pytest

from proxy.downstream.limits import ClientLimits
from proxy.downstream.listener import Listener
from proxy.downstream.websockets import Connections
from proxy.memory import MemoryBudget
from tests.support.rig import RawPeer, Segue, answering, compiled_only, raw_server, segue, status_of
from tests.support.sockets import turn
from tests.support.waiting import PATIENCE

SECRET = b"eyJhbGciOiJIUzI1NiJ9.c2VjcmV0.c2lnbmF0dXJl"
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
GET = b"GET /%d HTTP/1.1\r\nHost: h\r\n\r\n"


@pytest.fixture
def heads() -> list[bytes]:
    """The heads of the requests that the server has seen."""
    return []


@pytest.fixture
async def proxy(heads: list[bytes]) -> AsyncIterator[Segue]:
    async with raw_server(answering(OK, heads)) as origin, segue(origin.url) as running:
        yield running


async def echo(peer: RawPeer) -> None:
    """Answer each request with its own head and body, the body's framing included."""
    while True:
        head = await peer.read_head()
        body = b""
        if b"\r\nTransfer-Encoding: chunked\r\n" in head:
            body = await peer.reader.readuntil(b"0\r\n\r\n")
        elif b"\r\nContent-Length: " in head:
            body = await peer.read(
                int(head.partition(b"\r\nContent-Length: ")[2].split(b"\r\n")[0])
            )
        await peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(head + body))
        await peer.send(head + body)


def line_of(head: bytes) -> bytes:
    return head.partition(b"\r\n")[0]


# What is not a request.


MALFORMED = {
    "no such method": b"STEAL /?token=%b HTTP/1.1\r\nHost: h\r\n\r\n",
    "method in lower case": b"get /?token=%b HTTP/1.1\r\nHost: h\r\n\r\n",
    "space in target": b"GET /a ?token=%b HTTP/1.1\r\nHost: h\r\n\r\n",
    "control character in target": b"GET /\x01?token=%b HTTP/1.1\r\nHost: h\r\n\r\n",
    "byte over 127 in target": b"GET /\xe4?token=%b HTTP/1.1\r\nHost: h\r\n\r\n",
    "fragment": b"GET /#?token=%b HTTP/1.1\r\nHost: h\r\n\r\n",
    "target without slash": b"GET x?token=%b HTTP/1.1\r\nHost: h\r\n\r\n",
    "user in target": b"GET http://%b@h/ HTTP/1.1\r\nHost: h\r\n\r\n",
    "other scheme": b"GET ftp://h/%b HTTP/1.1\r\nHost: h\r\n\r\n",
    "broken authority": b"GET http://[%b/ HTTP/1.1\r\nHost: h\r\n\r\n",
    "HTTP/1.2": b"GET /?token=%b HTTP/1.2\r\nHost: h\r\n\r\n",
    "preface of HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM%b\r\n\r\n",
    "bare line feeds": b"GET /?token=%b HTTP/1.1\nHost: h\n\n",
    "no host": b"GET /?token=%b HTTP/1.1\r\n\r\n",
    "two hosts": b"GET / HTTP/1.1\r\nHost: h\r\nHost: %b\r\n\r\n",
    "no colon": b"GET / HTTP/1.1\r\nHost: h\r\nAuthorization Bearer %b\r\n\r\n",
    "space before colon": b"GET / HTTP/1.1\r\nHost: h\r\nAuthorization : Bearer %b\r\n\r\n",
    "empty name": b"GET / HTTP/1.1\r\nHost: h\r\n: %b\r\n\r\n",
    "folded field": b"GET / HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer\r\n %b\r\n\r\n",
    "bare carriage return": b"GET / HTTP/1.1\r\nHost: h\r\nCookie: a=1\rb=%b\r\n\r\n",
    "NUL in a field": b"GET / HTTP/1.1\r\nHost: h\r\nCookie: a=\0%b\r\n\r\n",
    "control character in a field": b"GET / HTTP/1.1\r\nHost: h\r\nCookie: a=\x01%b\r\n\r\n",
    "length and chunked": b"POST /?token=%b HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n"
    b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "two lengths": b"POST /?token=%b HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n"
    b"Content-Length: 6\r\n\r\nhello",
    "list of lengths": b"POST /?token=%b HTTP/1.1\r\nHost: h\r\nContent-Length: 5, 5\r\n\r\nhello",
    "signed length": b"POST /?token=%b HTTP/1.1\r\nHost: h\r\nContent-Length: +5\r\n\r\nhello",
    "coding besides chunked": b"POST /?token=%b HTTP/1.1\r\nHost: h\r\n"
    b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
    "coding that is not chunked": b"POST /?token=%b HTTP/1.1\r\nHost: h\r\n"
    b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
    "chunked in HTTP/1.0": b"POST /?token=%b HTTP/1.0\r\nHost: h\r\n"
    b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "chunk size with a sign": b"POST /?token=%b HTTP/1.1\r\nHost: h\r\n"
    b"Transfer-Encoding: chunked\r\n\r\n-1\r\n\r\n",
    "TLS": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03%b",
}


@pytest.mark.parametrize("request_bytes", MALFORMED.values(), ids=MALFORMED.keys())
async def test_invariant_7_malformed_request_gets_400_and_its_token_shows_nowhere(
    request_bytes: bytes, heads: list[bytes], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    async with raw_server(answering(OK, heads)) as origin, segue(origin.url) as proxy:
        response = await proxy.ask(request_bytes.replace(b"%b", SECRET))
        metrics = await proxy.metrics()
    head, _, body = response.partition(b"\r\n\r\n")
    problem = json.loads(body)
    assert status_of(response) == problem["status"]
    # aiohttp's two parsers differ in what they leave to Segue of a version that is not spoken.
    assert problem["status"] in (400, 501, 505)
    assert b"\r\nContent-Type: application/problem+json\r\n" in head
    assert b"\r\nConnection: close" in head
    assert b"\r\nX-Request-Id: " + problem["request_id"].encode() in head
    assert {"title", "status", "detail", "request_id"} <= problem.keys()
    assert not heads
    log = proxy.log.getvalue()
    assert f'"{problem["request_id"]}"' in log
    for text in (response.decode("latin-1"), log, caplog.text, repr(metrics)):
        assert SECRET.decode()[:12] not in text


@pytest.mark.parametrize(
    ("request_bytes", "status"),
    [
        (b"GET / HTTP/2.0\r\nHost: h\r\n\r\n", 505),
        (b"GET / HTTP/1.2\r\nHost: h\r\n\r\n", 505),
        (b"GET  /  HTTP/3.0\r\nHost: h\r\n\r\n", 505),
        (b"\r\nGET / HTTP/1.2\r\nHost: h\r\n\r\n", 505),
        (b"GET / HTTP/1.10\r\nHost: h\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", 501),
        (b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 010\r\n\r\n0123456789", 400),
        (b"GET / HTTP/0.9\r\nHost: h\r\n\r\n", 505),
        (b"GET /\r\n\r\n", 505),
        (b"CONNECT h:443 HTTP/1.1\r\nHost: h\r\n\r\n", 405),
        (b"GET /" + b"a" * 16384 + b" HTTP/1.1\r\nHost: h\r\n\r\n", 414),
        (b"GET /" + b"a" * 40_000, 414),
        (b"GET / HTTP/1.1\r\nHost: h\r\nX: " + b"a" * 16385 + b"\r\n\r\n", 431),
        (b"GET / HTTP/1.1\r\nHost: h\r\n" + b"a" * 16385 + b": 1\r\n\r\n", 431),
        (b"GET / HTTP/1.1\r\nHost: h\r\n" + b"X: 1\r\n" * 128 + b"\r\n", 431),
    ],
    ids=[
        *("HTTP/2.0", "HTTP/1.2", "HTTP/3.0, spaces", "HTTP/1.2 behind an empty line", "HTTP/1.10"),
        *("gzip", "leading zero"),
        *("HTTP/0.9", "no version", "CONNECT", "target", "target without end"),
        *("value", "name", "fields"),
    ],
)
async def test_request_beyond_what_is_spoken_or_allowed_is_refused_by_its_status(
    proxy: Segue, heads: list[bytes], request_bytes: bytes, status: int
) -> None:
    response = await proxy.ask(request_bytes)
    both = request_bytes.startswith(b"GET /\r\n")  # The two parsers differ.
    assert status_of(response) in ((400, 505) if both else (status,))
    assert not heads
    if status == 405:
        assert b"\r\nAllow: GET, " in response


async def test_limits_of_the_head_are_those_of_the_settings(heads: list[bytes]) -> None:
    env = {"SEGUE_LIMITS__HEADER_LINE": "1KiB", "SEGUE_LIMITS__HEADERS": "8"}
    async with raw_server(answering(OK, heads)) as origin, segue(origin.url, env) as proxy:
        fields = b"A: 1\r\n" * 6
        fitting = b"GET / HTTP/1.0\r\nHost: h\r\nX: " + b"a" * 1000 + b"\r\n" + fields + b"\r\n"
        assert status_of(await proxy.ask(fitting)) == 200
        assert status_of(await proxy.ask(fitting.replace(b"X: ", b"X: " + b"a" * 100))) == 431
        assert status_of(await proxy.ask(fitting.replace(b"X: ", b"C: 3\r\nX: "))) == 431


def test_misspelt_setting_of_aiohttp_is_an_error_and_no_default(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # aiohttp's own server would fall back to a handler without limits.
    def misspelt(*_: object, **__: object) -> None:
        raise TypeError("unexpected keyword argument")

    monkeypatch.setattr("aiohttp.web.RequestHandler.__init__", misspelt)
    loop = asyncio.new_event_loop()
    try:

        async def serve(*_: object) -> None:
            """Never called."""

        limits, open_sockets = ClientLimits(1, 1, 1, 1, 1, 1, 1, 1), Connections()
        listener = Listener(
            serve,
            lambda *_: None,
            limits,
            open_sockets,
            lambda _, __: None,
            MemoryBudget(1 << 20),
            loop,
        )
        with pytest.raises(TypeError):
            listener()
    finally:
        loop.close()


@pytest.mark.parametrize(
    "body",
    [
        b"zz\r\nhello",
        b"5\r\nhelloX",
        pytest.param(b"5;\0\r\nhello", marks=compiled_only),
        b"0\r\nbad trailer\r\n\r\n",
    ],
)
@pytest.mark.parametrize("together", [True, False], ids=["one segment", "two segments"])
async def test_broken_chunk_is_answered_at_once_and_never_ends_the_body_for_the_server(
    body: bytes, together: bool
) -> None:
    seen = bytearray()

    async def origin_script(peer: RawPeer) -> None:
        seen.extend(await peer.read_all())

    async with raw_server(origin_script) as origin, segue(origin.url) as proxy:
        async with proxy.client() as peer:
            head = b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n"
            if together:
                await peer.send(head + body)
            else:
                await peer.send(head)
                await asyncio.sleep(0.02)
                await peer.send(body)
            assert status_of(await peer.read_all()) == 400
    assert not seen.endswith(b"0\r\n\r\n")


# Requests in pieces, and several at once.


REQUEST = (
    b"POST /api//x/../%2f?a=%zz&b=%C3%A4 HTTP/1.1\r\nHost: h\r\nX-A: 1\r\nx-a: \xe4\r\nX-Empty:\r\n"
    b"Content-Length: 5\r\n\r\nhello"
)


@pytest.mark.parametrize("chunked", [False, True], ids=["length", "chunked"])
async def test_request_split_at_every_byte_is_the_same_request(chunked: bool) -> None:
    request = REQUEST
    if chunked:
        request = request.replace(b"Content-Length: 5", b"Transfer-Encoding: chunked").replace(
            b"hello", b"2;x=y\r\nhe\r\n3\r\nllo\r\n0\r\nX-Trailer: 1\r\n\r\n"
        )
    seen = set()
    async with raw_server(echo) as origin, segue(origin.url) as proxy:
        for cut in range(1, len(request)):
            async with proxy.client() as peer:
                await peer.send(request[:cut])
                await asyncio.sleep(0)
                await asyncio.sleep(0)
                await peer.send(request[cut:])
                _, body = await peer.read_response()
            head, _, payload = body.partition(b"\r\n\r\n")
            assert b"\r\nX-A: 1\r\nx-a: \xe4\r\nX-Empty: \r\n" in head
            assert line_of(head) == line_of(REQUEST)
            if chunked:
                # Chunks may arrive together: what counts is what they say.
                chunks = payload.split(b"\r\n")
                payload = b"".join(chunks[1:-3:2])
                assert chunks[-3:] == [b"0", b"", b""]
            seen.add(payload)
    assert seen == {b"hello"}


async def test_request_in_single_bytes_is_the_same_request() -> None:
    async with raw_server(echo) as origin, segue(origin.url) as proxy, proxy.client() as peer:
        await peer.send_bytewise(REQUEST)
        _, body = await peer.read_response()
    assert line_of(body) == line_of(REQUEST)
    assert body.endswith(b"\r\n\r\nhello")


async def test_pipelined_requests_in_one_segment_are_answered_in_order(
    proxy: Segue, heads: list[bytes]
) -> None:
    async with proxy.client() as peer:
        # More than aiohttp keeps parsed at once.
        await peer.send(b"".join(GET % number for number in range(100)))
        for _ in range(100):
            assert await peer.read_response() == (OK[:-2], b"ok")
    assert [line_of(head) for head in heads] == [b"GET /%d HTTP/1.1" % n for n in range(100)]


async def test_garbage_behind_a_request_costs_that_request_nothing(proxy: Segue) -> None:
    async with proxy.client() as peer:
        await peer.send(GET % 1)
        assert await peer.read_response() == (OK[:-2], b"ok")
        await peer.send(b"garbage\r\n\r\n")
        assert status_of(await peer.read_all()) == 400


POST = b"POST /%d HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nhello"
CLOSING = b"GET /%d HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n"

NO_REQUESTS = {
    "garbage": b"\0garbage\r\n\r\n",
    "field without a colon": b"GET / HTTP/1.1\r\nHost\r\n\r\n",
    "line that is too long": b"GET / HTTP/1.1\r\nHost: h\r\nX: " + b"x" * 20_000 + b"\r\n\r\n",
    "two lengths": b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
}
BEFORE = {
    "one": GET % 1,
    "three": GET % 1 + GET % 2 + GET % 3,
    "with bodies": POST % 1 + GET % 2 + POST % 3,
    "more than are parsed at once": b"".join(GET % number for number in range(100)),
}


@pytest.fixture
async def tolerant(heads: list[bytes]) -> AsyncIterator[Segue]:
    """In front of a server that reads the bodies of requests."""

    async def script(peer: RawPeer) -> None:
        while True:
            heads.append(await peer.read_head())
            if heads[-1].startswith(b"POST"):
                assert await peer.read(5) == b"hello"
            await peer.send(OK)

    async with raw_server(script) as origin, segue(origin.url) as running:
        yield running


@pytest.mark.parametrize("before", BEFORE.values(), ids=BEFORE.keys())
@pytest.mark.parametrize("bad", NO_REQUESTS.values(), ids=NO_REQUESTS.keys())
async def test_what_is_no_request_is_refused_when_those_before_it_are_answered(
    tolerant: Segue, heads: list[bytes], before: bytes, bad: bytes
) -> None:
    number = before.count(b"HTTP/1.1")
    response = await tolerant.ask(before + bad + GET % 9)
    assert response.count(b"HTTP/1.1 200 ") == len(heads) == number
    assert response.rpartition(b"HTTP/1.1 ")[2][:3] in (b"400", b"431")
    assert response.count(b"HTTP/1.1 ") == number + 1


async def test_each_cut_of_requests_and_garbage_gives_the_same_answers(
    tolerant: Segue, heads: list[bytes]
) -> None:
    sent = GET % 1 + POST % 2 + GET % 3 + b"\0\r\n\r\n"
    for cut in range(1, len(sent)):
        heads.clear()
        async with tolerant.client() as peer:
            await peer.send(sent[:cut])
            await turn()
            await peer.send(sent[cut:])
            response = await peer.read_all()
        known = [int(part[:3]) for part in response.split(b"HTTP/1.1 ")[1:]]
        assert known == [200] * len(heads) + [400], cut
        # Where a head with a part of its body comes behind another request, it cannot be told
        # where that body ends.
        inside = len(GET % 1 + POST % 2) - 5 < cut < len(GET % 1 + POST % 2)
        assert len(heads) == 3 or (inside and len(heads) == 2), cut


@pytest.mark.parametrize("behind", [b"\0garbage\r\n\r\n", GET % 2, CLOSING % 2])
@pytest.mark.parametrize("together", [True, False], ids=["one segment", "two segments"])
async def test_what_follows_the_last_request_is_ignored(
    tolerant: Segue, heads: list[bytes], behind: bytes, together: bool
) -> None:
    async with tolerant.client() as peer:
        await peer.send(CLOSING % 1 + (behind if together else b""))
        if not together:
            await turn()
            await peer.send(behind)
        response = await peer.read_all()
    assert response.count(b"HTTP/1.1 ") == response.count(b"HTTP/1.1 200 ") == len(heads) == 1
    assert b"\r\nConnection: close\r\n" in response


async def test_chunked_request_behind_a_body_with_empty_lines_is_one() -> None:
    bodies: list[bytes] = []

    async def origin_script(peer: RawPeer) -> None:
        while True:
            head = await peer.read_head()
            if b"chunked" in head:
                bodies.append(await peer.reader.readuntil(b"0\r\n\r\n"))
            else:
                bodies.append(await peer.read(60_000))
            await peer.send(OK)

    body = b"\r\n\r\n".ljust(60_000, b"x")
    first = b"POST /1 HTTP/1.1\r\nHost: h\r\nContent-Length: 60000\r\n\r\n"
    second = (
        b"POST /2 HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n"
    )
    async with raw_server(origin_script) as origin, segue(origin.url) as proxy:
        async with proxy.client() as peer:
            await peer.send(first)
            await turn()
            await peer.send(body + second)
            for _ in range(2):
                assert status_of((await peer.read_response())[0]) == 200
    assert bodies[0] == body
    assert len(bodies) == 2


async def test_trailer_of_one_request_is_no_field_of_the_next() -> None:
    # aiohttp's parser keeps the last trailer and puts it in front of the next request's fields.
    requests: list[bytes] = []

    async def origin_script(peer: RawPeer) -> None:
        while True:
            requests.append(await peer.read_head())
            if b"chunked" in requests[-1]:
                await peer.reader.readuntil(b"0\r\n\r\n")
            await peer.send(OK)

    post = (
        b"POST /1 HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n"
        b"1\r\na\r\n0\r\nAuthorization: Bearer smuggled\r\n\r\n"
    )
    async with raw_server(origin_script) as origin, segue(origin.url) as proxy:
        response = await proxy.ask(post + GET % 2)
        assert b"\r\nConnection: close\r\n" in response
        async with proxy.client() as peer:
            await peer.send(post)
            assert b"\r\nConnection: close\r\n" in await peer.read_head()
            await peer.send(GET % 2)
            await peer.read_all()
    assert len(requests) == 2
    assert b"smuggled" not in b"".join(requests)


@pytest.mark.parametrize(
    "request_bytes",
    [
        b"GET / HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n",
        (
            b"POST / HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
            b"Content-Length: 0\r\n\r\n"
        ),
    ],
    ids=["h2c", "websocket by POST"],
)
async def test_upgrade_that_is_no_websocket_is_answered_and_ends_the_connection(
    proxy: Segue, heads: list[bytes], request_bytes: bytes
) -> None:
    # What comes behind such a request aiohttp does not parse: it must not wait for ever.
    response = await proxy.ask(request_bytes + GET % 2)
    assert status_of(response) == 200
    assert b"\r\nConnection: close\r\n" in response
    assert response.endswith(b"\r\n\r\nok")
    assert b"pgrade" not in heads[0]


async def test_compressed_request_body_is_not_inflated() -> None:
    body = gzip.compress(b"x" * 100_000)
    async with raw_server(echo) as origin, segue(origin.url) as proxy, proxy.client() as peer:
        await peer.send(
            b"POST / HTTP/1.1\r\nHost: h\r\nContent-Encoding: gzip\r\nContent-Length: %d\r\n\r\n%b"
            % (len(body), body)
        )
        _, echoed = await peer.read_response()
    assert echoed.partition(b"\r\n\r\n")[2] == body
    assert b"\r\nContent-Encoding: gzip\r\n" in echoed


# Time.


QUICK = {"SEGUE_TIMEOUTS__HEADER": "300ms", "SEGUE_TIMEOUTS__KEEPALIVE": "300ms"}


async def test_head_that_drips_gets_408(heads: list[bytes]) -> None:
    async with raw_server(answering(OK, heads)) as origin, segue(origin.url, QUICK) as proxy:
        async with proxy.client() as peer:

            async def drip() -> None:
                for byte in b"GET / HTTP/1.1\r\nX: " + b"a" * 10_000:
                    await peer.send(bytes([byte]))
                    await asyncio.sleep(0.02)

            dripping = asyncio.create_task(drip())
            head, body = await peer.read_response()
            dripping.cancel()
            await asyncio.wait((dripping,))
        assert status_of(head) == json.loads(body)["status"] == 408
    assert not heads


async def test_second_head_that_drips_gets_408(heads: list[bytes]) -> None:
    async with raw_server(answering(OK, heads)) as origin, segue(origin.url, QUICK) as proxy:
        async with proxy.client() as peer:
            await peer.send(GET % 1)
            assert (await peer.read_response())[1] == b"ok"
            await peer.send(b"GET / HTTP")
            assert status_of(await peer.read_all()) == 408


@pytest.mark.parametrize("before", [b"", b"\r\n\r\n", GET % 1], ids=["new", "empty lines", "used"])
async def test_connection_that_says_nothing_is_closed_without_an_answer(before: bytes) -> None:
    async with raw_server(answering(OK)) as origin, segue(origin.url, QUICK) as proxy:
        response = await proxy.ask(before)
    assert response == (OK if before.startswith(b"GET") else b"")


async def test_body_that_stalls_gets_408_and_the_server_sees_no_whole_request() -> None:
    seen = bytearray()
    ended = asyncio.Event()

    async def origin_script(peer: RawPeer) -> None:
        seen.extend(await peer.read_all())
        ended.set()

    env = {"SEGUE_TIMEOUTS__BODY": "200ms"}
    async with raw_server(origin_script) as origin, segue(origin.url, env) as proxy:
        response = await proxy.ask(b"PUT / HTTP/1.1\r\nHost: h\r\nContent-Length: 9\r\n\r\nhalf")
        assert status_of(response) == 408
        async with asyncio.timeout(PATIENCE):
            await ended.wait()
    assert seen.endswith(b"\r\n\r\nhalf")


# How connections end.


@pytest.mark.parametrize("together", [True, False], ids=["with the request", "after it"])
@pytest.mark.parametrize("number", [1, 3])
async def test_half_closing_client_gets_its_responses(number: int, together: bool) -> None:
    async with raw_server(answering(OK)) as origin, segue(origin.url) as proxy:
        async with proxy.client() as peer:
            peer.writer.write(b"".join(GET % n for n in range(number)))
            if not together:
                await asyncio.sleep(0.02)
            peer.writer.write_eof()
            response = await peer.read_all()
    assert response.count(b"HTTP/1.1 200 OK") == response.count(b"\r\n\r\nok") == number


async def test_half_closing_client_gets_a_slow_response() -> None:
    release = asyncio.Event()

    async def origin_script(peer: RawPeer) -> None:
        await peer.read_head()
        await release.wait()
        await peer.send(OK)

    async with raw_server(origin_script) as origin, segue(origin.url) as proxy:
        async with proxy.client() as peer:
            await peer.send(GET % 1)
            peer.writer.write_eof()
            await asyncio.sleep(0.02)
            release.set()
            assert (await peer.read_all()).endswith(b"\r\n\r\nok")


async def test_client_that_ends_inside_its_request_is_forgotten(
    proxy: Segue,
) -> None:
    for request in (REQUEST[:20], REQUEST[:-2]):
        async with proxy.client() as peer:
            await peer.send(request)
            peer.writer.write_eof()
            assert await peer.read_all() == b""
    assert await proxy.metric("segue_open_connections", kind="http") == 0


async def test_client_that_ends_inside_a_pipelined_request_ends_the_one_before_it() -> None:
    arrived, gone = asyncio.Event(), asyncio.Event()

    async def origin_script(peer: RawPeer) -> None:
        await peer.read_head()
        arrived.set()
        await peer.read_all()
        gone.set()

    async with raw_server(origin_script) as origin, segue(origin.url) as proxy:
        async with proxy.client() as peer, asyncio.timeout(PATIENCE):
            await peer.send(GET % 1 + REQUEST[:-2])
            await arrived.wait()
            peer.writer.write_eof()
            await gone.wait()


async def test_connections_beyond_the_limit_get_503_and_leave_the_others_alone() -> None:
    env = {"SEGUE_LIMITS__CONNECTIONS": "2"}
    async with raw_server(answering(OK)) as origin, segue(origin.url, env) as proxy:
        async with proxy.client() as first, proxy.client() as second:
            for peer in (first, second):
                await peer.send(GET % 1)
                assert (await peer.read_response())[1] == b"ok"
            refused = await proxy.ask(GET % 1)
            assert status_of(refused) == 503
            assert b"\r\nRetry-After: " in refused
            await first.send(GET % 2)
            assert (await first.read_response())[1] == b"ok"
            await second.close()
            async with asyncio.timeout(PATIENCE):
                while status_of(await proxy.ask(b"GET / HTTP/1.0\r\n\r\n")) == 503:  # noqa: ASYNC110 (the limit counts until the close has arrived)
                    await asyncio.sleep(0.01)


async def test_websockets_count_against_the_limit_of_connections() -> None:
    # The key and the answer to it are those of RFC 6455 section 1.3.
    handshake = (
        b"GET /ws HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
        b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    )
    switch = (
        b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
        b"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n"
    )

    async def origin_script(peer: RawPeer) -> None:
        await peer.read_head()
        await peer.send(switch)
        await peer.read_all()

    env = {"SEGUE_LIMITS__CONNECTIONS": "1"}
    async with raw_server(origin_script) as origin, segue(origin.url, env) as proxy:
        async with proxy.client() as peer:
            await peer.send(handshake)
            assert status_of(await peer.read_head()) == 101
            assert status_of(await proxy.ask(GET % 1)) == 503


async def test_client_that_pipelines_and_never_reads_is_held_back_and_then_cut_off() -> None:
    served = 0

    async def origin_script(peer: RawPeer) -> None:
        nonlocal served
        body = b"x" * 100_000
        while True:
            await peer.read_head()
            served += 1
            await peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body))

    env = {"SEGUE_TIMEOUTS__KEEPALIVE": "300ms"}
    async with raw_server(origin_script) as origin, segue(origin.url, env) as proxy:
        async with proxy.client() as peer:
            peer.stop_reading()
            peer.writer.write(GET % 1 * 10_000)
            async with asyncio.timeout(PATIENCE):
                while await proxy.metric("segue_open_connections", kind="http"):  # noqa: ASYNC110 (a gauge is read, not awaited)
                    await asyncio.sleep(0.05)
    # What a socket's buffers hold, and not a hundred times more.
    assert served < 1000
