"""The token of a session in the first message of a WebSocket, as graphql-ws has it."""

from __future__ import annotations

import asyncio
import json
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import pytest
import trustme

from proxy.relay.first_message import MAX_MESSAGES
from tests.support.authority import (
    Authority,
    Client,
    Gate,
    Received,
    authority,
    proxied,
    token,
)
from tests.support.rfc6455 import BINARY, CLOSE, CONTINUATION, PING, PONG, TEXT
from tests.support.rig import RawPeer, Segue, segue, status_of
from tests.support.sockets import MASK, Socket, accept_of, closing, fields_of, gone, switch
from tests.support.sockets import handshake as shaking
from tests.support.waiting import PATIENCE

REFRESH, LOGOUT = "/api/auth/token/refresh/", "/api/auth/logout/"
SHORT: Final = 0.3
"""Seconds that an access token lives where it is to end."""

TOKENS: Final = "{first_message: payload.authToken}"
PATIENT: Final = f"{PATIENCE}s"


def hello(access: str) -> bytes:
    """The first message of graphql-ws, spelled as no serializer here spells it."""
    return b'{"type":"connection_init" ,"payload":{"authToken" : "%s","n":1.10}}' % access.encode()


@dataclass
class Opened:
    """Takes WebSockets without a token, and gives them to the test."""

    arrived: asyncio.Queue[Socket] = field(default_factory=asyncio.Queue)
    finished: asyncio.Event = field(default_factory=asyncio.Event)

    async def __call__(self, server: Authority, peer: RawPeer, received: Received) -> bytes | None:
        del server
        (key,) = fields_of(received.head, b"sec-websocket-key")
        await peer.send(switch(accept=accept_of(key)))
        self.arrived.put_nowait(Socket(peer, is_client=False))
        await self.finished.wait()
        return None

    async def next(self) -> Socket:
        async with asyncio.timeout(PATIENCE):
            return await self.arrived.get()


@dataclass
class Scene:
    """A client that is logged in, and its WebSocket."""

    server: Authority
    proxy: Segue
    user: Client
    opened: Opened
    clients: list[RawPeer] = field(default_factory=list)

    async def open(self, behind: bytes = b"") -> tuple[Socket, Socket]:
        """A WebSocket without a token in its handshake: the client's end, and the server's."""
        peer = await self.proxy.connect()
        self.clients.append(peer)
        await peer.send(shaking(b"/ws/1/") + behind)
        server = await self.opened.next()
        assert status_of(await peer.read_head()) == 101
        return Socket(peer, is_client=True), server

    async def close(self) -> None:
        """Close all that is open."""
        for peer in self.clients:
            await peer.close()
        self.opened.finished.set()

    async def expire(self) -> None:
        """Let the access token end; the next ones last."""
        await asyncio.sleep(SHORT)
        self.server.access = 3600.0

    async def log_out(self) -> None:
        body = json.dumps({"refresh": self.user.refresh}).encode()
        assert (await self.user.send("POST", LOGOUT, body))[0] == 205


@asynccontextmanager
async def scene(
    tmp_path: Path, access: float = SHORT, tokens: str = TOKENS, **env: str
) -> AsyncIterator[Scene]:
    env = {"SESSIONS__TOKENS": tokens, "SESSIONS__WAIT": PATIENT, **env}
    async with authority(access=access) as server, proxied(server, tmp_path, **env) as proxy:
        opened = Opened()
        server.answers["/ws/1/"] = opened
        user = Client(proxy)
        await user.log_in()
        at = Scene(server, proxy, user, opened)
        try:
            yield at
        finally:
            await at.close()


def told(message: bytes) -> str:
    return str(json.loads(message)["payload"]["authToken"])


@pytest.mark.parametrize("how", ["whole", "in bytes", "in fragments", "behind the handshake"])
async def test_the_current_token_takes_the_place_of_one_that_has_ended(
    tmp_path: Path, how: str
) -> None:
    async with scene(tmp_path) as at:
        await at.expire()
        text, old = hello(at.user.access), at.user.access
        one = Socket(None, is_client=True).frame  # type: ignore[arg-type]  # Writes frames alone.
        first, behind = one(TEXT, text), one(TEXT, b"next") + one(BINARY, b"\0" * 300)
        client, server = await at.open(first + behind if how == "behind the handshake" else b"")
        if how == "whole":
            await client.peer.send(first + behind)
        elif how == "in bytes":
            await client.peer.send_bytewise(first + behind)
        elif how == "in fragments":
            await client.send(TEXT, text[:50], fin=False)
            await client.send(PING, b"between")
            # The rest is not needed for this one to arrive.
            assert (await server.receive()).payload == b"between"
            await client.peer.send(one(CONTINUATION, text[50:]) + behind)
        frame = await server.receive()
        assert (frame.opcode, frame.fin, frame.masked) == (TEXT, True, True)
        new = told(frame.payload)
        assert frame.payload == hello(new)
        assert new != old
        assert at.server.is_good(new)
        assert await server.peer.read(len(behind)) == behind
        assert len(at.server.presented()) == 1
        await client.peer.close()
        await gone(at.proxy)


async def test_over_tls_a_message_waits_with_what_is_behind_it_too(tmp_path: Path) -> None:
    authority_of_names = trustme.CA()
    issued = authority_of_names.issue_cert("localhost")
    issued.cert_chain_pems[0].write_to_path(str(tmp_path / "certificate"))
    issued.private_key_pem.write_to_path(str(tmp_path / "key"))
    (tmp_path / "key").chmod(0o600)
    env = {
        "SEGUE_SESSIONS__ENABLED": "true",
        "SEGUE_SESSIONS__TOKENS": TOKENS,
        "SEGUE_STATE_DIR": str(tmp_path / "state"),
        "SEGUE_LISTEN__TLS__CERTIFICATE": str(tmp_path / "certificate"),
        "SEGUE_LISTEN__TLS__KEY": str(tmp_path / "key"),
    }
    context = ssl.create_default_context()
    authority_of_names.configure_trust(context)
    async with authority(access=SHORT) as server, segue(server.url, env) as proxy:
        server.answers["/ws/1/"] = opened = Opened()
        async with proxy.client(context) as user:
            await user.send(
                b"POST /api/auth/login/ HTTP/1.1\r\nHost: app.example.com\r\n"
                b"Content-Type: application/json\r\nContent-Length: 2\r\n\r\n{}"
            )
            access = json.loads((await user.read_response())[1])["access"]
        at = Scene(server, proxy, Client(proxy), opened)
        await at.expire()
        server.answers[REFRESH] = gate = Gate()
        async with proxy.client(context) as peer:
            await peer.send(shaking(b"/ws/1/"))
            upstream = await opened.next()
            assert status_of(await peer.read_head()) == 101
            client = Socket(peer, is_client=True)
            await client.send(TEXT, hello(access))
            async with asyncio.timeout(PATIENCE):
                await gate.reached.wait()
            behind = b"".join(client.frame(TEXT, b"%d" % n * 1000) for n in range(300))
            sending = asyncio.create_task(peer.send(behind))
            await upstream.send(TEXT, b"welcome")
            assert await client.message() == b"welcome"
            gate.open.set()
            assert server.is_good(told(await upstream.message()))
            assert await upstream.peer.read(len(behind)) == behind
            await sending
        await gone(proxy)
        await at.close()


async def test_messages_are_looked_at_until_there_is_one_with_a_token(tmp_path: Path) -> None:
    async with scene(tmp_path) as at:
        await at.expire()
        client, server = await at.open()
        before = [
            client.frame(TEXT, b'{"type":"ping"}'),
            client.frame(TEXT, b"{", fin=False) + client.frame(CONTINUATION, b"}"),
            client.frame(BINARY, b"\x82"),
        ]
        sent = b"".join(before)
        behind = client.frame(PING, b"between") + client.frame(TEXT, hello(at.user.access))
        await client.peer.send(sent + behind)  # What comes behind a message may be the next one.
        assert await server.peer.read(len(sent)) == sent
        assert (await server.receive()).payload == b"between"
        assert at.server.is_good(told(await server.message()))
        # It is one of the session, and nothing more is looked at.
        sent = await client.send(TEXT, hello(at.user.access))
        assert await server.peer.read(len(sent)) == sent
        assert len(at.server.presented()) == 1
        await at.log_out()
        assert await client.close_frame() == (1008, "session ended")


@pytest.mark.parametrize("apart", [False, True])
async def test_behind_a_ping_the_token_of_an_ended_session_ends_the_socket(
    tmp_path: Path, *, apart: bool
) -> None:
    async with scene(tmp_path, access=3600.0) as at:
        await at.log_out()
        client, server = await at.open()
        ping, own = b'{"type":"ping"}', hello(at.user.access)
        if apart:
            await client.send(TEXT, ping)
            assert await server.message() == ping
            await client.send(TEXT, own)
        else:
            await client.peer.send(client.frame(TEXT, ping) + client.frame(TEXT, own))
            assert await server.message() == ping
        assert await server.close_frame() == (1001, "session ended")
        assert await client.close_frame() == (1008, "session ended")


@pytest.mark.parametrize(
    ("code", "onward", "reason", "written"),
    [
        (1008, 1001, "token cannot be read for certain", lambda own: own + b"}"),
        (
            1009,
            1009,
            "first message too big",
            lambda own: b'{"a":"%s",' % (b"x" * 70_000) + own[1:],
        ),
    ],
    ids=["unclear", "too large"],
)
async def test_behind_a_ping_what_is_not_read_for_certain_goes_nowhere_either(
    tmp_path: Path, code: int, onward: int, reason: str, written: Callable[[bytes], bytes]
) -> None:
    async with scene(tmp_path, access=3600.0) as at:
        await at.log_out()
        client, server = await at.open()
        await client.send(TEXT, b'{"type":"ping"}')
        assert await server.message() == b'{"type":"ping"}'
        await client.send(TEXT, written(hello(at.user.access)))
        await given_up(at, client, server, code, onward, reason)


async def test_a_token_behind_too_many_messages_is_not_looked_for(tmp_path: Path) -> None:
    async with scene(tmp_path) as at:
        await at.expire()
        client, server = await at.open()
        for text in (*[b"{}"] * MAX_MESSAGES, hello(at.user.access)):
            sent = await client.send(TEXT, text)
            assert await server.peer.read(len(sent)) == sent
        assert at.server.presented() == []


async def test_the_message_before_the_last_one_that_is_looked_at_is_not_the_last(
    tmp_path: Path,
) -> None:
    async with scene(tmp_path) as at:
        await at.expire()
        client, server = await at.open()
        for _ in range(MAX_MESSAGES - 1):
            await client.send(TEXT, b"{}")
            assert await server.message() == b"{}"
        await client.send(TEXT, hello(at.user.access))
        assert at.server.is_good(told(await server.message()))


@pytest.mark.parametrize("scheme", ["Bearer ", "bearer  ", "JWT "])
async def test_a_scheme_in_front_of_a_token_stays(tmp_path: Path, scheme: str) -> None:
    tokens = "{first_message: payload.authToken, schemes: [Bearer, JWT]}"
    async with scene(tmp_path, tokens=tokens) as at:
        await at.expire()
        client, server = await at.open()
        await client.send(TEXT, hello(scheme + at.user.access))
        message = await server.message()
        new = told(message).removeprefix(scheme)
        assert message == hello(scheme + new)
        assert at.server.is_good(new)
        await at.log_out()
        assert await client.close_frame() == (1008, "session ended")


async def test_behind_a_scheme_the_token_of_an_ended_session_ends_the_socket(
    tmp_path: Path,
) -> None:
    async with scene(tmp_path, access=3600.0) as at:
        await at.log_out()
        client, server = await at.open()
        await client.send(TEXT, hello("Bearer " + at.user.access))
        assert await server.close_frame() == (1001, "session ended")
        assert await client.close_frame() == (1008, "session ended")


OTHERS: Final[dict[str, Callable[[bytes], tuple[int, bytes]]]] = {
    "nobody's": lambda _: (TEXT, hello(token("a", 99, 0, 4e9))),
    "none": lambda _: (TEXT, b'{"type": "connection_init"}'),
    "none, and no JSON": lambda _: (TEXT, b'{"payload": {"authToken": NaN}, "a": NaN'),
    "elsewhere": lambda own: (TEXT, b'{"token": "%s"}' % own),
    "a list": lambda own: (TEXT, b"[%s]" % hello(own.decode())),
    "empty": lambda _: (TEXT, b""),
    "no JSON at all": lambda own: (TEXT, b"token=%s" % own),
    "binary": lambda own: (BINARY, b"\x82\xa5token\xd9" + own),
    "large, and no object": lambda own: (TEXT, b'["%s"]' % own + b" " * 70_000),
    "large and binary": lambda own: (BINARY, b"\x82" + own + b" " * 70_000),
}


@pytest.mark.parametrize("name", OTHERS)
async def test_what_can_hold_no_token_of_a_session_goes_on_as_it_came(
    tmp_path: Path, name: str
) -> None:
    async with scene(tmp_path) as at:
        await at.expire()
        client, server = await at.open()
        sent = await client.send(*OTHERS[name](at.user.access.encode()))
        sent += await client.send(TEXT, b"next")
        assert await server.peer.read(len(sent)) == sent
        assert at.server.presented() == []


@pytest.mark.parametrize(
    ("opcode", "behind"),
    [(BINARY, b""), (TEXT, b" " * 65_000), (BINARY, b"\n" * 65_000)],
    ids=["binary", "large", "large and binary"],
)
async def test_a_token_is_found_whatever_kind_of_message_it_is_in(
    tmp_path: Path, opcode: int, behind: bytes
) -> None:
    async with scene(tmp_path) as at:
        await at.expire()
        client, server = await at.open()
        await client.send(opcode, hello(at.user.access) + behind)
        await client.send(TEXT, b"next")
        frame = await server.receive()
        assert frame.opcode == opcode
        assert at.server.is_good(told(frame.payload))
        assert await server.message() == b"next"


UNREADABLE: Final[dict[str, Callable[[str], tuple[int, bytes]]]] = {
    "no text": lambda own: (TEXT, b'{"payload": {"authToken": ["%s"]}}' % own.encode()),
    "twice": lambda own: (TEXT, hello(own).replace(b'"n"', b'"authToken"')),
    "twice, escaped": lambda own: (
        TEXT,
        b'{"payload": {"authToken": "x", "authToken": "%s"}}'
        % "".join(f"\\u{ord(each):04x}" for each in own).encode(),
    ),
    "another name": lambda own: (TEXT, hello(own).replace(b"authToken", b"auth_token")),
    "no JSON": lambda own: (TEXT, hello(own) + b"}"),
    "another scheme": lambda own: (TEXT, hello("Token " + own)),
    "two behind a scheme": lambda own: (TEXT, hello("Bearer x " + own)),
    "no UTF-8": lambda own: (TEXT, hello(own)[:-1] + b',"\xff":1}'),
    "a mark": lambda own: (TEXT, b"\xef\xbb\xbf" + hello(own)),
    "UTF-16": lambda own: (BINARY, hello(own).decode().encode("utf-16")),
    "too deep": lambda own: (TEXT, hello(own)[:-1] + b',"d":' + b"[" * 9000),
}


@pytest.mark.parametrize("name", UNREADABLE)
async def test_what_may_hold_an_ended_token_and_is_not_read_for_certain_goes_nowhere(
    tmp_path: Path, name: str
) -> None:
    async with scene(tmp_path, access=3600.0) as at:
        await at.log_out()
        client, server = await at.open()
        await client.send(*UNREADABLE[name](at.user.access))
        await client.send(TEXT, b"next")
        await given_up(at, client, server, 1008, 1001, "token cannot be read for certain")


async def given_up(
    at: Scene, client: Socket, server: Socket, code: int, onward: int, reason: str
) -> None:
    """Not a byte of a message gets to the server before it is told; then the client is."""
    assert await server.close_frame() == (onward, reason)
    await server.send(CLOSE, closing(onward))
    assert await client.close_frame() == (code, reason)
    await client.peer.close()
    await server.peer.close()
    await gone(at.proxy)


@pytest.mark.parametrize("opcode", [TEXT, BINARY])
@pytest.mark.parametrize("pieces", [False, True])
async def test_an_object_that_is_too_large_to_be_read_goes_nowhere(
    tmp_path: Path, opcode: int, *, pieces: bool
) -> None:
    async with scene(tmp_path, access=3600.0) as at:
        await at.log_out()
        client, server = await at.open()
        padded = b'{"a":"%s",' % (b"x" * 70_000) + hello(at.user.access)[1:]
        if pieces:
            await client.send(opcode, padded[:40_000], fin=False)
            await client.send(CONTINUATION, padded[40_000:])
        else:
            await client.send(opcode, padded)
        await given_up(at, client, server, 1009, 1009, "first message too big")


async def test_a_token_that_is_current_goes_on_as_it_came(tmp_path: Path) -> None:
    async with scene(tmp_path, access=3600.0) as at:
        client, server = await at.open()
        one = client.frame
        sent = one(TEXT, hello(at.user.access)[:9], fin=False) + one(
            CONTINUATION, hello(at.user.access)[9:]
        )
        await client.peer.send(sent)
        assert await server.peer.read(len(sent)) == sent
        # The session has it all the same.
        await at.log_out()
        assert await client.close_frame() == (1008, "session ended")


async def test_the_path_is_that_which_is_configured(tmp_path: Path) -> None:
    async with scene(tmp_path, tokens="{first_message: token}") as at:
        await at.expire()
        client, server = await at.open()
        await client.send(TEXT, b'{"type":"auth","token":"%s"}' % at.user.access.encode())
        message = json.loads(await server.message())
        assert message["type"] == "auth"
        assert at.server.is_good(message["token"])


async def test_unless_it_is_configured_nothing_is_looked_for(tmp_path: Path) -> None:
    async with scene(tmp_path, tokens="{}") as at:
        await at.expire()
        client, server = await at.open()
        sent = await client.send(TEXT, hello(at.user.access))
        assert await server.peer.read(len(sent)) == sent
        assert at.server.presented() == []


async def test_control_frames_do_not_wait_for_a_message(tmp_path: Path) -> None:
    async with scene(tmp_path) as at:
        await at.expire()
        client, server = await at.open()
        for opcode in (PING, PONG):
            sent = await client.send(opcode, b"before")
            assert await server.peer.read(len(sent)) == sent
        await client.send(TEXT, hello(at.user.access))
        assert at.server.is_good(told(await server.message()))


async def test_the_token_of_a_session_that_has_ended_ends_the_socket(tmp_path: Path) -> None:
    async with scene(tmp_path, access=3600.0) as at:
        await at.log_out()
        client, server = await at.open()
        await client.send(TEXT, hello(at.user.access))
        await client.send(TEXT, b"next")
        # Not a byte of a message comes before.
        assert await server.close_frame() == (1001, "session ended")
        assert await client.close_frame() == (1008, "session ended")
        await client.send(CLOSE, closing(1008))
        await server.send(CLOSE, closing(1001))
        await client.ended()
        await gone(at.proxy)


async def test_the_end_of_the_session_is_the_sockets(tmp_path: Path) -> None:
    async with scene(tmp_path) as at:
        await at.expire()
        client, server = await at.open()
        await client.send(TEXT, hello(at.user.access))
        assert at.server.is_good(told(await server.message()))
        async with at.proxy.admin() as admin, admin.get("/api/v1/sessions") as answer:
            (shown,) = (await answer.json())["sessions"]
        async with (
            at.proxy.admin() as admin,
            admin.delete(f"/api/v1/sessions/{shown['session']}") as answer,
        ):
            assert answer.status in (200, 204)
        assert await client.close_frame() == (1008, "session ended")
        assert await server.close_frame() == (1001, "session ended")


async def test_the_server_speaks_while_the_message_waits_and_the_wait_is_bounded(
    tmp_path: Path,
) -> None:
    async with scene(tmp_path, SESSIONS__WAIT="1s") as at:
        await at.expire()
        at.server.answers[REFRESH] = gate = Gate()
        client, server = await at.open()
        await client.send(TEXT, hello(at.user.access))
        await client.send(TEXT, b"next")
        async with asyncio.timeout(PATIENCE):
            await gate.reached.wait()
        await server.send(TEXT, b"welcome")
        assert await client.message() == b"welcome"
        assert await client.close_frame() == (1013, "session unavailable")
        assert await server.close_frame() == (1001, "session unavailable")
        gate.open.set()


async def test_what_comes_meanwhile_waits_in_its_order(tmp_path: Path) -> None:
    async with scene(tmp_path) as at:
        await at.expire()
        at.server.answers[REFRESH] = gate = Gate()
        client, server = await at.open()
        await client.send(TEXT, hello(at.user.access))
        async with asyncio.timeout(PATIENCE):
            await gate.reached.wait()
        behind = b"".join(client.frame(TEXT, b"%d" % n * 1000) for n in range(300))
        sending = asyncio.create_task(client.peer.send(behind))
        gate.open.set()
        assert at.server.is_good(told(await server.message()))
        assert await server.peer.read(len(behind)) == behind
        await sending


async def test_a_client_that_goes_meanwhile_leaves_nothing_behind(tmp_path: Path) -> None:
    async with scene(tmp_path) as at:
        await at.expire()
        at.server.answers[REFRESH] = gate = Gate()
        client, server = await at.open()
        await client.send(TEXT, hello(at.user.access))
        async with asyncio.timeout(PATIENCE):
            await gate.reached.wait()
        client.peer.reset()
        gate.open.set()
        await server.peer.read_all()
        await gone(at.proxy)
        assert '"level":"error"' not in at.proxy.log.getvalue().replace(" ", "")


async def test_an_object_that_does_not_become_whole_goes_nowhere(tmp_path: Path) -> None:
    async with scene(tmp_path, access=3600.0, TIMEOUTS__MESSAGE="500ms") as at:
        await at.log_out()
        for some in (1, 3, 40):
            client, server = await at.open()
            await client.peer.send(client.frame(TEXT, hello(at.user.access))[:some])
            await given_up(at, client, server, 1008, 1001, "message took too long")


async def test_another_message_that_does_not_become_whole_goes_on_as_it_comes(
    tmp_path: Path,
) -> None:
    async with scene(tmp_path, TIMEOUTS__MESSAGE="500ms") as at:
        client, server = await at.open()
        frame = client.frame(TEXT, b"x" * 80)
        for part in (frame[:40], frame[40:]):
            await client.peer.send(part)
            assert await server.peer.read(len(part)) == part


async def test_what_is_held_is_told(tmp_path: Path) -> None:
    async with scene(tmp_path) as at:
        client, server = await at.open()
        frame = client.frame(TEXT, hello(at.user.access) + b" " * 30_000)
        ping = client.frame(PING, b"")
        # What comes behind the ping has come with it.
        await client.peer.send(ping + frame[:20_000])
        assert await server.peer.read(len(ping)) == ping
        held = 0.0
        async with asyncio.timeout(PATIENCE):
            while held < 20_000:
                held = await at.proxy.metric("segue_held_bytes", kind="message")
        assert held == 20_000
        await client.peer.send(frame[20_000:])
        await server.message()
        assert await at.proxy.metric("segue_held_bytes", kind="message") == 0


async def test_a_page_of_another_origin_may_not_use_a_session_that_is_bound_to_a_cookie(
    tmp_path: Path,
) -> None:
    async with scene(tmp_path, access=3600.0, SESSIONS__BINDING="cookie") as at:
        head = await at.user.log_in()
        (cookie,) = fields_of(head, b"set-cookie")
        name = b"Cookie: " + cookie.partition(b";")[0]
        for origin, may in ((b"https://evil.example", False), (b"http://app.example.com", True)):
            peer = await at.proxy.connect()
            at.clients.append(peer)
            fields = (name, b"Origin: " + origin)
            await peer.send(shaking(b"/ws/1/", *fields))
            server, client = await at.opened.next(), Socket(peer, is_client=True)
            assert status_of(await peer.read_head()) == 101
            sent = await client.send(TEXT, hello(at.user.access))
            if may:
                assert await server.peer.read(len(sent)) == sent
            else:
                assert await server.close_frame() == (1001, "origin not allowed")
                await server.send(CLOSE, closing(1001))
                assert await client.close_frame() == (1008, "origin not allowed")


@pytest.mark.parametrize("part", [b"", b"\x01\x83" + MASK + b"abc"], ids=["none", "a fragment"])
async def test_a_socket_may_close_before_its_first_message(tmp_path: Path, part: bytes) -> None:
    async with scene(tmp_path) as at:
        client, server = await at.open()
        await client.peer.send(part + client.frame(CLOSE, closing(1000)))
        assert await server.peer.read(len(part)) == part
        assert await server.close_frame() == (1000, "")
        await server.send(CLOSE, closing(1000))
        assert await client.close_frame() == (1000, "")
        await gone(at.proxy)


async def test_a_client_may_shut_its_sending_within_its_first_message(tmp_path: Path) -> None:
    async with scene(tmp_path) as at:
        client, server = await at.open()
        part = client.frame(TEXT, b"{}")[:-1]
        await client.peer.send(part)
        client.peer.writer.write_eof()
        assert await server.peer.read_all() == part
        await server.peer.close()
        await client.peer.read_all()
        await gone(at.proxy)


async def test_a_server_may_close_while_the_message_comes(tmp_path: Path) -> None:
    async with scene(tmp_path) as at:
        client, server = await at.open()
        await client.send(TEXT, b"{", fin=False)
        await server.send(CLOSE, closing(4401, "who are you"))
        assert await client.close_frame() == (4401, "who are you")
        await client.send(CLOSE, closing(4401))
        await server.peer.close()
        await client.ended()
        await gone(at.proxy)


async def test_broken_frames_end_the_socket_as_ever(tmp_path: Path) -> None:
    async with scene(tmp_path) as at:
        for broken in (b"\x81\x01x", b"\xc1\x80" + MASK, b"\x80\x80" + MASK, b"\x81\xfe\0\1"):
            client, _ = await at.open()
            await client.peer.send(broken + b"x" * 16)
            assert (await client.close_frame())[0] == 1002
            await client.peer.close()
        await gone(at.proxy)


MAPPED: Final = """
upstream: {url: "http://127.0.0.1:1"}
versions: {default: "2"}
cohorts:
  - name: modern
    versions: ">=2"
    websocket: {to_server: [up]}
"""
UP: Final = """
name: up
description: Where the new clients put their token.
channel: websocket
direction: to_server
rules:
  - name: token
    match: {field: type, equals: connection_init}
    do:
      - rename: {payload: data}
    examples:
      - {in: {type: connection_init, payload: {}}, out: {type: connection_init, data: {}}}
"""


async def test_the_token_is_found_as_its_client_sent_it_and_then_mapped(tmp_path: Path) -> None:
    (tmp_path / "mappings").mkdir()
    (tmp_path / "mappings/up.yaml").write_text(UP)
    config = tmp_path / "config.yaml"
    config.write_text(MAPPED)
    env = {
        "SEGUE_SESSIONS__ENABLED": "true",
        "SEGUE_SESSIONS__TOKENS": TOKENS,
        "SEGUE_STATE_DIR": str(tmp_path / "state"),
    }
    async with (
        authority(access=SHORT) as server,
        segue(server.url, env, config) as proxy,
    ):
        opened = Opened()
        server.answers["/ws/1/"] = opened
        at = Scene(server, proxy, Client(proxy), opened)
        await at.user.log_in()
        await at.expire()
        client, upstream = await at.open()
        await client.send(TEXT, hello(at.user.access))
        message = json.loads(await upstream.message())
        assert set(message) == {"type", "data"}
        assert server.is_good(message["data"]["authToken"])
        await at.close()


@asynccontextmanager
async def with_another(tmp_path: Path) -> AsyncIterator[tuple[Scene, Client, Socket, Socket]]:
    """A WebSocket whose handshake has the token of another session, which is open."""
    async with scene(tmp_path, access=3600.0) as at:
        other = Client(at.proxy)
        await other.log_in()
        assert other.access != at.user.access
        peer = await at.proxy.connect()
        at.clients.append(peer)
        await peer.send(shaking(b"/ws/1/", b"Authorization: Bearer " + other.access.encode()))
        server = await at.opened.next()
        assert status_of(await peer.read_head()) == 101
        yield at, other, Socket(peer, is_client=True), server


async def test_a_session_in_the_handshake_lets_no_ended_one_by_in_the_message(
    tmp_path: Path,
) -> None:
    async with with_another(tmp_path) as (at, _, client, server):
        await at.log_out()
        await client.send(TEXT, hello(at.user.access))
        assert await server.close_frame() == (1001, "session ended")
        assert await client.close_frame() == (1008, "session ended")


@pytest.mark.parametrize("whose", ["of the handshake", "of the message"])
async def test_the_end_of_either_session_is_the_sockets(tmp_path: Path, whose: str) -> None:
    async with with_another(tmp_path) as (at, other, client, server):
        sent = await client.send(TEXT, hello(at.user.access))
        assert await server.peer.read(len(sent)) == sent
        ending = other if whose == "of the handshake" else at.user
        body = json.dumps({"refresh": ending.refresh}).encode()
        assert (await ending.send("POST", LOGOUT, body))[0] == 205
        assert await client.close_frame() == (1008, "session ended")
        await client.send(CLOSE, closing(1008))
        assert await server.close_frame() == (1001, "session ended")
        await server.send(CLOSE, closing(1001))
        await client.ended()
        await gone(at.proxy)


async def test_the_session_of_the_handshake_may_be_that_of_the_message(tmp_path: Path) -> None:
    async with with_another(tmp_path) as (at, other, client, server):
        sent = await client.send(TEXT, hello(other.access))
        assert await server.peer.read(len(sent)) == sent
        async with at.proxy.admin() as admin, admin.get("/api/v1/sessions") as answer:
            shown = (await answer.json())["sessions"]
        assert sorted(each["websockets"] for each in shown) == [0, 1]
