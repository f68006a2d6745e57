"""Tokens that nobody issued: the server judges each, as if Segue were not there."""

from __future__ import annotations

import asyncio
import base64
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import aiohttp
import jwt

from tests.support.backend import create_job, register
from tests.support.fleet import Servers, me, processes, settings
from tests.support.rig import RawPeer, status_of
from tests.support.sockets import handshake

LONG: Final = 8192
TOKEN_ROUTES: Final = ("token/refresh", "logout")


def part(value: Any) -> str:
    """A part of a JWT (RFC 7515 section 2)."""
    return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()


def forgeries(token: str, other: str) -> Iterator[tuple[str, str]]:
    """What somebody may make of one token of their own, and the known claims of another user.

    Args:
        token: one's own.
        other: the other user's name.
    """
    header, payload, signature = token.split(".")
    claims = jwt.decode(token, options={"verify_signature": False})
    for spelling in ("none", "None", "nOnE"):
        unsigned = f"{part({'alg': spelling, 'typ': 'JWT'})}.{payload}"
        yield f"alg {spelling}", f"{unsigned}."
        yield f"alg {spelling}, signed", f"{unsigned}.{signature}"
    elevated = part(claims | {"user_id": other})
    ancient = part(claims | {"user_id": other, "exp": 1, "iat": 0})
    eternal = part(claims | {"user_id": other, "exp": 253_402_300_799})
    yield "somebody else's name", f"{header}.{elevated}.{signature}"
    yield "ended long ago", f"{header}.{ancient}.{signature}"
    yield "never ends", f"{header}.{eternal}.{signature}"
    yield "another key", jwt.encode(claims, "x" * 32, algorithm="HS256")
    yield "no signature", f"{header}.{payload}."
    yield "half a signature", token[:-20]
    yield "another signature", f"{header}.{payload}.{signature[::-1]}"
    yield "a bit more", f"{token}A"
    yield "in another case", token.swapcase()
    yield "quoted", f'"{token}"'
    yield "twice", f"{token},{token}"
    yield "garbage", "garbage"
    yield "dots", "..."
    yield "not base64", "%.%.%"
    yield "other letters", "\xe4\xf6.\xfc.\xdf"
    for size in (LONG - 1, LONG, LONG + 1):
        rest = size - len(header) - len(signature) - 2
        yield f"{size} characters", f"{header}.{'e' * rest}.{signature}"
    for pad in range(3):
        padded = claims | {"user_id": other, "pad": "x" * (LONG * 3 // 4 + pad)}
        yield f"{pad} more than 8 KiB", jwt.encode(padded, "x" * 32, algorithm="HS256")


def attempts(token: str, job: str) -> Iterator[tuple[str, bytes]]:
    """All that can be asked with a token, as raw requests."""
    raw = token.encode("latin-1")
    bearer = b"Authorization: Bearer " + raw
    yield "request", b"GET /api/auth/me/ HTTP/1.1\r\nHost: 127.0.0.1\r\n" + bearer + b"\r\n\r\n"
    for name in (b"token", b"access_token"):
        target = b"/ws/jobs/%b/?%b=%b" % (job.encode(), name, raw)
        yield f"handshake, {name.decode()}", _local(handshake(target))
    yield "handshake", _local(handshake(b"/ws/jobs/%b/" % job.encode(), bearer))
    body = json.dumps({"refresh": token}).encode()
    for route in TOKEN_ROUTES:
        yield (
            route,
            b"POST /api/auth/%b/ HTTP/1.1\r\nHost: 127.0.0.1\r\n%b\r\n"
            b"Content-Type: application/json\r\nContent-Length: %d\r\n\r\n%b"
            % (route.encode(), bearer, len(body), body),
        )


def _local(request: bytes) -> bytes:
    return request.replace(b"app.example.com", b"127.0.0.1")


async def asked(address: str, request: bytes) -> int:
    """The status of the answer to a raw request."""
    host, _, port = address.rpartition(":")
    peer = RawPeer(*await asyncio.open_connection(host, int(port)))
    try:
        await peer.send(request)
        return status_of(await peer.read_head())
    finally:
        await peer.close()


async def test_what_nobody_issued_is_refused_as_without_segue_and_renews_nothing(
    servers: Servers, tmp_path: Path
) -> None:
    server = servers.steady.url
    env = settings(server, f"sqlite:{tmp_path / 'sessions.sqlite3'}")
    async with processes(1, env) as (process,), aiohttp.ClientSession() as http:
        url = f"http://{process.address}"
        own, other = await register(http, url), await register(http, url)
        # Both are known, and their sessions can be found by their tokens.
        assert [await me(http, process, user.access) for user in (own, other)] == [200, 200]
        job = await create_job(http, url, other)
        victim = jwt.decode(other.access, options={"verify_signature": False})["user_id"]
        for name, forged in (
            *forgeries(own.access, victim),
            *((f"refresh, {kind}", token) for kind, token in forgeries(own.refresh, victim)),
        ):
            for what, request in attempts(forged, job["id"]):
                if what.startswith("handshake,") and not re.fullmatch(r"[\w.,%-]+", forged):
                    continue  # No request line that a client could send.
                through = await asked(process.address, request)
                directly = await asked(server.removeprefix("http://"), request)
                if name.endswith(("quoted", "twice")) and b"Authorization" in request:
                    # Some servers would read a good one in it.
                    assert (through, directly in (401, 403)) == (400, True)
                    continue
                if name.endswith("other letters") and what in TOKEN_ROUTES:
                    assert (through, directly) == (400, 401)  # It is no text that a token can be.
                    continue
                assert (through, name, what) == (directly, name, what)
                assert through in (400, 401, 403)
        assert await process.total("segue_session_refreshes_total") == 0
        assert await process.total("segue_session_captures_total") == 2
        assert [await me(http, process, user.access) for user in (own, other)] == [200, 200]
