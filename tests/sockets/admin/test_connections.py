"""The admin listener's connections: bounded in time and number, against peers that cost nothing."""

from __future__ import annotations

import asyncio
import json
import socket
import ssl
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import trustme

from proxy.admin import connections
from tests.support.administered import ADMIN, TOKENS, Administered, administered, bearer
from tests.support.rig import RawPeer
from tests.support.waiting import PATIENCE

SECRET = "eyJhbGciOiJIUzI1NiJ9.eyJ1c2VyX2lkIjo0Mn0.c2VjcmV0c2VjcmV0c2VjcmV0"


@pytest.fixture
async def running(tmp_path: Path) -> AsyncIterator[Administered]:
    async with administered(tmp_path) as found:
        yield found


async def opened(running: Administered) -> RawPeer:
    return RawPeer(*await asyncio.open_connection(*running.place))


async def ended(peer: RawPeer) -> bytes:
    """All that comes until the other side ends the connection, orderly or not."""
    async with asyncio.timeout(PATIENCE):
        try:
            return await peer.read_all()
        except ConnectionError:
            return b""


async def refused(running: Administered, reason: str) -> float:
    return await running.proxy.metric("segue_admin_refused_total", reason=reason)


@pytest.mark.parametrize("said", [b"", b"GET /healthz HTTP/1.1\r\nHost: h\r\nX: "])
async def test_head_that_never_ends_is_not_waited_for(
    running: Administered, monkeypatch: pytest.MonkeyPatch, said: bytes
) -> None:
    monkeypatch.setattr(connections, "HEAD", 0.2)
    peer = await opened(running)

    async def drip() -> None:
        await peer.send(said)
        while said:
            await peer.send(b"x")
            await asyncio.sleep(0.02)

    dripping = asyncio.create_task(drip())
    assert await ended(peer) == b""
    dripping.cancel()
    await asyncio.gather(dripping, return_exceptions=True)
    await peer.close()
    monkeypatch.undo()  # Whoever looks is given time.
    assert await refused(running, "too_slow") == 1


async def test_next_head_and_body_that_never_end_are_not_waited_for(
    running: Administered, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connections, "NEXT", 0.2)
    peer = await opened(running)
    await peer.send(b"GET /healthz HTTP/1.1\r\nHost: h\r\n\r\nGET /healthz HTTP/1.1\r\n")
    assert b"200 OK" in await ended(peer)
    await peer.close()
    monkeypatch.setattr(connections, "HEAD", 0.2)
    peer = await opened(running)
    await peer.send(
        b"POST /api/v1/reload HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        b"Content-Length: 2\r\n%b\r\n\r\n{" % bearer(ADMIN).encode()
    )
    assert await ended(peer) == b""
    await peer.close()
    monkeypatch.undo()
    assert await refused(running, "too_slow") == 2


async def test_answers_that_nobody_takes_are_given_up(
    running: Administered, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connections, "TAKEN", 0.2)
    with socket.socket() as greedy:
        greedy.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        greedy.setblocking(False)
        loop = asyncio.get_running_loop()
        await loop.sock_connect(greedy, running.place)
        try:
            async with asyncio.timeout(PATIENCE):
                while not await refused(running, "too_slow"):
                    await loop.sock_sendall(greedy, b"GET /metrics HTTP/1.1\r\nHost: h\r\n\r\n" * 9)
        except ConnectionError:
            pass
    assert await refused(running, "too_slow") == 1


async def test_who_says_nothing_makes_way_and_probes_and_operators_get_in(
    running: Administered, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connections, "MOST", 4)
    kept = await opened(running)
    await kept.send(b"GET /healthz HTTP/1.1\r\nHost: h\r\n\r\n")
    assert (await kept.read_response())[0].startswith(b"HTTP/1.1 200")
    silent = [await opened(running) for _ in range(20)]
    for peer in silent[:-4]:
        assert await ended(peer) == b""
    assert (await running.ask("/healthz")).status == 200
    # Those who ask are kept before those who never did.
    await kept.send(b"GET /healthz HTTP/1.1\r\nHost: h\r\n\r\n")
    assert (await kept.read_response())[0].startswith(b"HTTP/1.1 200")
    async with running.proxy.admin() as client, client.get("/api/v1/status") as response:
        assert response.status == 200
    assert await refused(running, "too_many_connections") >= 17
    for peer in (kept, *silent):
        await peer.close()


@pytest.mark.parametrize(
    "sent",
    [
        f"GET /\x1b[2J{SECRET} HTTP/1.1\r\nHost: h\r\n\r\n",
        f"GET /healthz HTTP/1.1\r\nHost: h\r\n{SECRET}\r\n\r\n",
        f"GET /healthz HTTP/1.1\r\nHost: h\r\nX: {SECRET}\x00\r\n\r\n",
        f"{SECRET}\r\n\r\n",
        f"GET http://[{SECRET} HTTP/1.1\r\nHost: h\r\n\r\n",
        f"GET /{SECRET * 200} HTTP/1.1\r\nHost: h\r\n\r\n",
        "GET /healthz HTTP/1.1\r\n" + "X: y\r\n" * 200 + "\r\n",
    ],
    ids=["target", "field", "value", "line", "url", "long", "many"],
)
async def test_what_is_no_request_is_neither_repeated_nor_logged(
    running: Administered, sent: str
) -> None:
    before = running.proxy.log.getvalue()
    peer = await opened(running)
    await peer.send(sent.encode())
    answer = await ended(peer)
    await peer.close()
    head, _, body = answer.partition(b"\r\n\r\n")
    assert head.split(b" ")[1] == b"400"
    assert json.loads(body)["detail"] == "this is not an HTTP request that can be read"
    assert b"\x1b" not in answer
    assert SECRET.encode() not in answer
    assert running.proxy.log.getvalue() == before
    assert await refused(running, "malformed") == 1


async def test_tls_handshake_that_never_ends_is_not_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connections, "HEAD", 0.2)
    authority = trustme.CA()
    issued = authority.issue_cert("localhost")
    issued.cert_chain_pems[0].write_to_path(tmp_path / "c.pem")
    issued.private_key_pem.write_to_path(tmp_path / "k.pem")
    context = ssl.create_default_context()
    authority.configure_trust(context)
    tls = {"certificate": str(tmp_path / "c.pem"), "key": str(tmp_path / "k.pem")}
    async with administered(tmp_path, context, tokens=TOKENS, tls=tls) as running:
        peer = await opened(running)
        assert await ended(peer) == b""
        await peer.close()


async def test_refused_requests_are_counted_by_reason(running: Administered) -> None:
    await running.ask("/api/v1/status")
    await running.ask("/api/v1/status", "Authorization: Bearer nonsense")
    await running.ask("/api/v1/status", bearer(ADMIN), bearer(ADMIN))
    await running.ask("/api/v1/status", host="evil.example")
    await running.ask("/api/v1/status", "Origin: https://evil.example")
    await running.ask("/api/v1/status?token=x")
    await running.ask("/api/v1/status", bearer(TOKENS[0]["hash"]))
    counted = {
        dict(labels)["reason"]: value
        for (name, labels), value in (await running.proxy.metrics()).items()
        if name == "segue_admin_refused_total" and value
    }
    assert counted == {
        "no_credential": 1,
        "wrong_credential": 2,
        "ambiguous_credential": 1,
        "host": 1,
        "other_site": 1,
        "token_in_url": 1,
    }
