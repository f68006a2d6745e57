"""Extensions of chunks, which are taken off; with white space beside `;` they are refused."""

from __future__ import annotations

import pytest

from proxy.downstream.intake import IS_PYTHON
from tests.support.rig import RawPeer, raw_server, segue, status_of

POST = b"POST / HTTP/1.1\r\nHost: h\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n"
GET = b"GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n"
BODY = b"5\r\nhello\r\n0\r\n\r\n"
TAKEN = [b";x", b";x=y", b';x="a;b\\""']
REFUSED = [b" ;x", b" ; x", b"\t;\tx=1", b" x", b" "]
BEHIND = b"; x"
"""White space behind the sign alone, which aiohttp's parser in Python takes."""


def chunked(extension: bytes) -> bytes:
    return b"5%b\r\nhello\r\n0%b\r\n\r\n" % (extension, extension)


@pytest.mark.parametrize("extension", [*TAKEN, *REFUSED, BEHIND])
async def test_of_a_request(extension: bytes) -> None:
    received = []

    async def script(peer: RawPeer) -> None:
        await peer.read_head()
        received.append(await peer.read(len(BODY)))
        await peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")

    async with raw_server(script) as server, segue(server.url) as proxy:
        status = status_of(await proxy.ask(POST + chunked(extension)))
        is_taken = extension in TAKEN or (IS_PYTHON and extension == BEHIND)
        assert (status, received) == ((200, [BODY]) if is_taken else (400, []))


@pytest.mark.parametrize("extension", [*TAKEN, *REFUSED, BEHIND])
async def test_of_a_response(extension: bytes) -> None:
    async def script(peer: RawPeer) -> None:
        await peer.read_head()
        head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
        await peer.send(head + chunked(extension))

    async with raw_server(script) as server, segue(server.url) as proxy:
        answer = await proxy.ask(GET)
        assert status_of(answer) == (200 if extension in TAKEN else 502)
        assert answer.endswith(BODY) is (extension in TAKEN)
