"""Extensions of chunks, which are taken off, with white space beside their signs and without."""

from __future__ import annotations

import pytest

from proxy.downstream.intake import IS_PYTHON
from tests.support.rig import RawPeer, raw_server, segue, status_of
from tests.support.sockets import turn

POST = b"POST / HTTP/1.1\r\nHost: h\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n"
GET = b"GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n"
BODY = b"5\r\nhello\r\n0\r\n\r\n"
TAKEN = [b";x", b";x=y", b';x="a;b\\""', b"; x", b" ;x", b"\t;\tx = 1 ; y", b' ; x = "a ; = b"']
REFUSED = [b" x", b" ", b" ;", b" ;x\n"]
UNSEEN = [b"; x y", b";\0 x"]
"""Of requests, which aiohttp's parser in Python takes without a look."""


def content(framed: bytes) -> bytes:
    """The content of a chunked body without extensions that is whole."""
    found = b""
    while True:
        size, _, framed = framed.partition(b"\r\n")
        length = int(size, 16)
        found += framed[:length]
        assert framed[length : length + 2] == b"\r\n"
        framed = framed[length + 2 :]
        if not length:
            assert framed == b""
            return found


def chunked(extension: bytes) -> bytes:
    return b"5%b\r\nhello\r\n0%b\r\n\r\n" % (extension, extension)


@pytest.mark.parametrize("extension", [*TAKEN, *REFUSED, *UNSEEN])
async def test_of_a_request(extension: bytes) -> None:
    received = []

    async def script(peer: RawPeer) -> None:
        await peer.read_head()
        received.append(await peer.read(len(BODY)))
        await peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")

    async with raw_server(script) as server, segue(server.url) as proxy:
        status = status_of(await proxy.ask(POST + chunked(extension)))
        is_taken = extension in TAKEN or (IS_PYTHON and extension in UNSEEN)
        assert (status, received) == ((200, [BODY]) if is_taken else (400, []))


@pytest.mark.parametrize("extension", [*TAKEN, *REFUSED, *UNSEEN])
async def test_of_a_response(extension: bytes) -> None:
    async def script(peer: RawPeer) -> None:
        await peer.read_head()
        head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
        await peer.send(head + chunked(extension))

    async with raw_server(script) as server, segue(server.url) as proxy:
        answer = await proxy.ask(GET)
        assert status_of(answer) == (200 if extension in TAKEN else 502)
        assert answer.endswith(BODY) is (extension in TAKEN)


async def test_each_cut_of_a_request_gives_the_same() -> None:
    received = []

    async def script(peer: RawPeer) -> None:
        while True:
            await peer.read_head()
            received.append(content(await peer.reader.readuntil(b"0\r\n\r\n")))
            await peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")

    sent = POST + chunked(b" ; x")
    async with raw_server(script) as server, segue(server.url) as proxy:
        for cut in range(1, len(sent)):
            async with proxy.client() as peer:
                await peer.send(sent[:cut])
                await turn()
                await peer.send(sent[cut:])
                assert status_of(await peer.read_all()) == 200, cut
    assert received == [b"hello"] * (len(sent) - 1)


@pytest.mark.parametrize("early", [b"", b"HTTP/1.1 103 Early Hints\r\n\r\n"], ids=["one", "two"])
async def test_each_cut_of_a_response_gives_the_same(early: bytes) -> None:
    heads = early + b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    sent = heads + chunked(b" ; x")
    # Chunks behind two heads that came in one piece are not followed.
    cuts = range(len(early), len(heads)) if early else range(1, len(sent))
    left = list(cuts)

    async def script(peer: RawPeer) -> None:
        while True:
            await peer.read_head()
            cut = left.pop(0)
            await peer.send(sent[:cut])
            await turn()
            await peer.send(sent[cut:])

    async with raw_server(script) as server, segue(server.url) as proxy:
        for cut in cuts:
            head, _, body = (await proxy.ask(GET)).removeprefix(early).partition(b"\r\n\r\n")
            assert status_of(head) == 200, cut
            assert content(body) == b"hello", cut


async def test_white_space_beside_a_body_is_bounded_as_all_that_is_beside_it() -> None:
    async def script(peer: RawPeer) -> None:
        await peer.read_all()

    piece = b"1" + 900 * b" " + b";x\r\na\r\n"
    async with raw_server(script) as server, segue(server.url) as proxy:
        assert status_of(await proxy.ask(POST + 50 * piece)) == 400


async def test_a_body_that_follows_its_length_is_never_looked_into() -> None:
    body = b"5 ; x\r\nhello\r\n0 ; x\r\n\r\n"
    received = []

    async def script(peer: RawPeer) -> None:
        while True:
            await peer.read_head()
            received.append(await peer.read(len(body)))
            head = b"HTTP/1.1 200 OK\r\nX: chunked\r\nContent-Length: %d\r\n\r\n" % len(body)
            await peer.send(head + body)

    head = b"POST / HTTP/1.1\r\nHost: h\r\nX: chunked\r\nContent-Length: %d\r\n\r\n"
    async with raw_server(script) as server, segue(server.url) as proxy:
        async with proxy.client() as peer:
            for _ in range(2):
                await peer.send(head % len(body) + body)
                assert (await peer.read_response())[1] == body
    assert received == [body] * 2
