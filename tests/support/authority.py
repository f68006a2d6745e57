"""A scripted server with tokens: it issues, rotates and refuses them, and says what it was sent.

It keeps no passwords: every login is somebody new. Times in its tokens are exact, and on a clock
that may differ from this machine's.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import jwt
import pytest

from proxy.sessions.clock import Clock
from tests.support.rig import RawPeer, Segue, raw_server, segue
from tests.support.sockets import accept_of, fields_of, switch

KEY = "a key of the tests that is long enough"
TOKEN_ERROR = {"detail": "Given token not valid for any token type", "code": "token_not_valid"}


def token(kind: str, number: int, begins: float, ends: float, user: str = "7") -> str:
    claims = {"kind": kind, "jti": f"{kind}{number}", "user_id": user, "iat": begins, "exp": ends}
    return jwt.encode(claims, KEY, algorithm="HS256")


def response(status: int, body: bytes = b"", *fields: bytes) -> bytes:
    return b"\r\n".join(
        (
            b"HTTP/1.1 %d Status" % status,
            b"Content-Type: application/json",
            b"Content-Length: %d" % len(body),
            *fields,
            b"",
            body,
        )
    )


@dataclass
class Received:
    """A request, as it came."""

    head: bytes
    body: bytes
    connection: int

    @property
    def path(self) -> str:
        return self.head.split(b" ", 2)[1].decode()

    @property
    def token(self) -> str:
        values = fields_of(self.head, b"authorization")
        return values[0].removeprefix(b"Bearer ").decode("latin-1") if values else ""


Answer = Callable[["Authority", RawPeer, Received], Awaitable[bytes | None]]
"""What a path is answered with; None where the connection is closed instead."""


@dataclass
class Authority:
    """What the server is like, and what it was sent.

    Attributes:
        access, refresh: seconds that tokens live.
        user: who logs in.
        ahead: seconds by which its clock is ahead of this machine's.
        copies: whether it copies `iat` from a refresh token into the access tokens made from it, as
            SimpleJWT did before 5.5.1.
        answers: takes the place of what it does at a path.
    """

    url: str = ""
    access: float = 3600.0
    refresh: float = 86400.0
    user: str = "7"
    ahead: float = 0.0
    rotate: bool = True
    copies: bool = False
    received: list[Received] = field(default_factory=list)
    answers: dict[str, Answer] = field(default_factory=dict)
    spent: set[str] = field(default_factory=set)
    revoked: set[str] = field(default_factory=set)
    issued: int = 0

    @property
    def now(self) -> float:
        return time.time() + self.ahead

    def pair(self, presented: str = "") -> dict[str, str]:
        self.issued += 1
        begins = now = self.now
        if presented and self.copies:
            begins = jwt.decode(presented, options={"verify_signature": False})["iat"]
        return {
            "access": token("a", self.issued, begins, now + self.access, self.user),
            "refresh": token("r", self.issued, now, now + self.refresh, self.user),
        }

    def is_good(self, presented: str) -> bool:
        try:
            claims = jwt.decode(
                presented,
                KEY,
                algorithms=["HS256"],
                options={"verify_exp": False, "verify_iat": False},
            )
        except (jwt.PyJWTError, ValueError):
            return False
        return bool(self.now < claims["exp"]) and presented not in self.spent | self.revoked

    def presented(self) -> list[str]:
        """The refresh tokens that came to be exchanged, in order."""
        return [json.loads(each.body)["refresh"] for each in self.at("/api/auth/token/refresh/")]

    def at(self, path: str) -> list[Received]:
        return [each for each in self.received if each.path.partition("?")[0] == path]

    async def answer(self, peer: RawPeer, received: Received) -> bytes | None:
        path = received.path.partition("?")[0]
        special = self.answers.get(path)
        if special is not None:
            return await special(self, peer, received)
        return self.usual(received)

    def usual(self, received: Received) -> bytes:
        path = received.path.partition("?")[0]
        if path in ("/api/auth/login/", "/api/auth/register/", "/api/auth/token/"):
            return response(200, json.dumps(self.pair() | {"user": {"id": 7}}).encode())
        if path == "/api/auth/token/refresh/":
            presented = json.loads(received.body)["refresh"]
            if not self.is_good(presented):
                return response(401, json.dumps(TOKEN_ERROR).encode())
            pair = self.pair(presented)
            if self.rotate:
                self.spent.add(presented)
            else:
                del pair["refresh"]
            return response(200, json.dumps(pair).encode())
        if path.startswith("/ws/"):
            in_query = received.path.partition("token=")[2].partition("&")[0]
            if not self.is_good(received.token or in_query):
                return response(403)
            (key,) = fields_of(received.head, b"sec-websocket-key")
            return switch(accept=accept_of(key))
        if not self.is_good(received.token):
            return response(401, json.dumps(TOKEN_ERROR).encode())
        if path == "/api/auth/logout/":
            self.spent.add(json.loads(received.body)["refresh"])
            return response(205)
        return response(200, b'{"hello": "there"}')


@asynccontextmanager
async def authority(**what: Any) -> AsyncIterator[Authority]:
    """Run such a server."""
    state = Authority(**what)
    connections = 0

    async def script(peer: RawPeer) -> None:
        nonlocal connections
        connections += 1
        own = connections
        while True:
            head = await peer.read_head()
            lengths = fields_of(head, b"content-length")
            body = await peer.read(int(lengths[0])) if lengths else b""
            received = Received(head, body, own)
            state.received.append(received)
            answer = await state.answer(peer, received)
            if answer is None:
                return
            await peer.send(answer)
            if answer.startswith(b"HTTP/1.1 101"):
                await peer.read_all()
                return

    async with raw_server(script) as server:
        state.url = server.url
        yield state


@asynccontextmanager
async def proxied(upstream: Authority, state_dir: Path, **env: str) -> AsyncIterator[Segue]:
    """Segue with sessions in front of it; settings without their `SEGUE_`."""
    settings = {
        "SEGUE_SESSIONS__ENABLED": "true",
        "SEGUE_STATE_DIR": str(state_dir),
        **{f"SEGUE_{name}": value for name, value in env.items()},
    }
    async with segue(upstream.url, settings) as proxy:
        yield proxy


@dataclass
class Client:
    """Talks to Segue by hand, on a connection for each request."""

    proxy: Segue
    access: str = ""
    refresh: str = ""
    fields: tuple[bytes, ...] = ()

    async def send(
        self,
        method: str,
        path: str,
        body: bytes | None = None,
        *fields: bytes,
        access: str | None = None,
    ) -> tuple[int, bytes, bytes]:
        """Status, head and body of the answer."""
        held = self.access if access is None else access
        lines = [
            f"{method} {path} HTTP/1.1".encode(),
            b"Host: app.example.com",
            b"Connection: close",
            *self.fields,
            *fields,
        ]
        if held:
            lines.append(b"Authorization: Bearer " + held.encode())
        if body is not None:
            lines += [b"Content-Type: application/json", b"Content-Length: %d" % len(body)]
        answer = await self.proxy.ask(b"\r\n".join([*lines, b"", body or b""]))
        head, _, rest = answer.partition(b"\r\n\r\n")
        return int(head.split(b" ", 2)[1]) if head else 0, head, rest

    async def get(self, path: str = "/api/jobs/") -> int:
        return (await self.send("GET", path))[0]

    async def log_in(self) -> bytes:
        status, head, body = await self.send("POST", "/api/auth/login/", b"{}", access="")
        assert status == 200, body
        pair = json.loads(body)
        self.access, self.refresh = pair["access"], pair["refresh"]
        return head

    async def exchange(self, refresh: str | None = None) -> tuple[int, Any]:
        body = json.dumps({"refresh": refresh or self.refresh}).encode()
        status, _, answer = await self.send("POST", "/api/auth/token/refresh/", body, access="")
        return status, json.loads(answer)


async def refreshes(proxy: Segue) -> dict[tuple[str, str], float]:
    """Refreshes so far: (trigger, result) to how many."""
    return {
        (dict(labels)["trigger"], dict(labels)["result"]): value
        for (name, labels), value in (await proxy.metrics()).items()
        if name == "segue_session_refreshes_total" and value
    }


class LaterClock:
    """The clock of the sessions of each Segue that starts from here on.

    Attributes:
        ahead: seconds by which it is later there than on this machine.
    """

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.ahead = 0.0
        clock = Clock(lambda: time.time() + self.ahead, time.monotonic)
        monkeypatch.setattr("proxy.sessions.opening.SYSTEM_CLOCK", clock)


class Gate:
    """An answer that is held until it may go."""

    def __init__(self) -> None:
        self.reached = asyncio.Event()
        self.open = asyncio.Event()

    async def __call__(self, server: Authority, _: RawPeer, received: Received) -> bytes | None:
        answer = server.usual(received)
        self.reached.set()
        await self.open.wait()
        return answer
