"""Who a client is for a canary: the same user on each connection, with each of their tokens."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

import jwt
import pytest

from proxy.gateway import open_websocket
from proxy.gateway.context import RequestContext
from proxy.gateway.identity import identity_of
from proxy.gateway.open_websocket import OpenWebSocket
from tests.support.authority import Client, authority, proxied, token
from tests.support.rig import Segue, segue, status_of
from tests.support.sockets import gone, handshake, origin

TRUST = {"SEGUE_LISTEN__TRUSTED_PROXIES": "[127.0.0.0/8]"}
HOUR = 3600


def jwt_of(user: str, number: int = 1) -> bytes:
    now = time.time()
    return token("a", number, now, now + HOUR, user).encode()


def bearer(credential: bytes) -> bytes:
    return b"Authorization: Bearer " + credential


@asynccontextmanager
async def asking(
    env: dict[str, str] | None = None,
) -> AsyncIterator[Callable[..., Any]]:
    """What a handshake's user is called by Segue in front of a server that takes everything."""
    async with origin() as upstream, segue(upstream.url, env) as proxy:

        async def ask(*fields: bytes, target: bytes = b"/ws/") -> bytes:
            async with proxy.client() as peer:
                await peer.send(handshake(target, *fields))
                server, _ = await upstream.accept()
                assert status_of(await peer.read_head()) == 101
                (socket,) = proxy.server._data.connections._open
                assert isinstance(socket, OpenWebSocket)
                found = socket.identity
            await server.peer.close()
            await gone(proxy)
            return found

        yield ask


async def test_the_user_of_a_token_is_the_same_with_each_of_their_tokens() -> None:
    async with asking() as ask:
        first = await ask(bearer(jwt_of("7")))
        assert first == b"u:7"
        assert await ask(bearer(jwt_of("7", 2)), b"User-Agent: other") == first
        assert await ask(bearer(jwt_of("8"))) == b"u:8"
        # Also where they say nothing of times.
        endless = [jwt.encode({"sub": "7", "jti": each}, "k" * 32) for each in ("1", "2")]
        assert {await ask(bearer(each.encode())) for each in endless} == {first}


async def test_a_credential_that_names_nobody_is_told_by_its_hash() -> None:
    async with asking() as ask:
        opaque = await ask(bearer(b"opaque-secret"))
        assert opaque.startswith(b"c:")
        assert b"opaque" not in opaque
        assert await ask(bearer(b"opaque-secret"), b"User-Agent: other") == opaque
        others = [
            await ask(b"Authorization: Basic dXNlcjpwYXNz"),
            await ask(b"Authorization: Basic dXNlcjpwYXNt"),
            await ask(bearer(b"opaque-other")),
            await ask(bearer(b"x" * 3000)),
            await ask(bearer(b"x" * 3000 + b"y")),
        ]
        assert len({opaque, *others}) == 6
        assert all(each.startswith(b"c:") and len(each) == 18 for each in others)


async def test_a_token_in_the_query_of_a_handshake_is_that_of_its_user() -> None:
    async with asking() as ask:
        seven = jwt_of("7")
        assert await ask(target=b"/ws/?token=" + seven) == b"u:7"
        assert await ask(target=b"/ws/?x=1&access_token=" + quote(seven).encode()) == b"u:7"
        # The field is what servers read first.
        assert await ask(bearer(jwt_of("8")), target=b"/ws/?token=" + seven) == b"u:8"
        assert (await ask(target=b"/ws/?token=")).startswith(b"a:")


async def test_a_token_is_that_of_its_user_wherever_it_stands() -> None:
    places = "{subprotocol: bearer, cookies: {access: at}, schemes: [JWT], query: [jwt]}"
    async with asking({"SEGUE_SESSIONS__TOKENS": places}) as ask:
        seven = jwt_of("7")
        assert await ask(b"Authorization: JWT " + seven) == b"u:7"
        assert await ask(target=b"/ws/?jwt=" + seven) == b"u:7"
        assert await ask(b"Cookie: a=1; at=" + seven) == b"u:7"
        assert await ask(b"Sec-WebSocket-Protocol: bearer, " + seven) == b"u:7"
        assert await ask(target=b"/ws/?token=" + seven) != b"u:7"


async def test_whoever_has_no_credential_is_told_by_address_and_agent() -> None:
    async with asking() as ask:
        plain = await ask(b"User-Agent: one")
        assert plain.startswith(b"a:")
        assert len(plain) == 18
        assert await ask(b"User-Agent: one") == plain
        assert await ask(b"User-Agent: two") != plain
        # Nobody is trusted: who says that it comes from elsewhere does not.
        assert await ask(b"User-Agent: one", b"X-Forwarded-For: 192.0.2.1") == plain
        long = b"User-Agent: " + b"x" * 256
        assert await ask(long) == await ask(long + b"y")


async def test_behind_a_trusted_proxy_the_address_is_the_clients() -> None:
    async with asking(TRUST) as ask:
        first = await ask(b"X-Forwarded-For: 192.0.2.1")
        assert await ask(b"X-Forwarded-For: 192.0.2.1") == first
        assert await ask(b"X-Forwarded-For: 192.0.2.2") != first
        assert await ask(b"X-Forwarded-For: 6.6.6.6, 192.0.2.1") == first
        assert await ask() != first


@pytest.mark.parametrize("name", ["x" * 64, "x" * 65, "x" * 128, "ü" * 100, "x" * 4000])
async def test_names_of_any_length_take_no_more_than_their_room(name: str) -> None:
    async with asking() as ask:
        found = await ask(bearer(jwt_of(name)))
        assert found.startswith(b"u:")
        assert len(found) <= 66
        assert await ask(bearer(jwt_of(name, 2))) == found
        assert (
            await ask(bearer(jwt_of(name[:-2] + "z" if len(name) <= 128 else "z" + name))) != found
        )


HOSTILE = [
    b"a.b.c",
    b"eyJhbGciOiJub25lIn0.eyJleHAiOjF9.x",
    b"..",
    b"\xff\xfe\xff",
    b"%00",
    jwt_of("7")[:-1] + b"!",
    b"e" * 6000,
]


@pytest.mark.parametrize("credential", HOSTILE)
async def test_whatever_comes_is_somebody(credential: bytes) -> None:
    async with asking() as ask:
        in_query = b"/ws/?token=" + quote(credential).encode()
        for found in (await ask(bearer(credential)), await ask(target=in_query)):
            assert found[:2] in (b"c:", b"u:")
            assert len(found) == 18


# With sessions.


@contextmanager
def noted(monkeypatch: pytest.MonkeyPatch) -> Any:
    """The users of sockets, in the order of their handshakes."""
    found: list[tuple[bytes, bool]] = []

    def note(context: RequestContext) -> bytes:
        identity = identity_of(context)
        found.append((identity, context.session is not None))
        return identity

    monkeypatch.setattr(open_websocket, "identity_of", note)
    yield found


async def open_and_close(proxy: Segue, *fields: bytes, target: bytes = b"/ws/") -> None:
    async with proxy.client() as peer:
        await peer.send(handshake(target, *fields))
        assert status_of(await peer.read_head()) == 101
    await gone(proxy)


@pytest.mark.parametrize("user", ["7", "somebody@example.com", "x" * 64, "y" * 300, "ü" * 200])
async def test_a_login_and_a_refresh_leave_a_user_who_they_are(
    user: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with authority(user=user) as server, proxied(server, tmp_path) as proxy:
        with noted(monkeypatch) as found:
            client = Client(proxy)
            # With a token that the server issued elsewhere, of which Segue knows no session.
            foreign = server.pair()["access"].encode()
            await open_and_close(proxy, bearer(foreign))
            await client.log_in()
            await open_and_close(proxy, bearer(client.access.encode()))
            await open_and_close(proxy, target=b"/ws/?token=" + client.access.encode())
            status, pair = await client.exchange()
            assert status == 200
            await open_and_close(proxy, bearer(pair["access"].encode()))
            assert [has_session for _, has_session in found] == [False, True, True, True]
            assert len({identity for identity, _ in found}) == 1
