"""Ending a session from outside: final for all of its tokens, everywhere, whoever writes late."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from proxy.errors import StoreAway
from proxy.sessions import administration, maintenance, service
from proxy.sessions.administration import Administration, SessionPage
from proxy.tokens.sealing import new_key
from tests.support.authority import Authority, Client, Gate, Received, authority, proxied
from tests.support.authority import token as issued
from tests.support.rfc6455 import CLOSE, TEXT
from tests.support.rig import RawPeer, Segue, status_of
from tests.support.sockets import Socket, closing, gone, handshake, turn
from tests.support.storages import SqliteStorage, store_at

JOBS = "/api/jobs/"
REFRESH = "/api/auth/token/refresh/"
SHORT = 0.3
"""Seconds that an access token lives where it is to end."""


def overseen(proxy: Segue) -> Administration:
    assert proxy.server._data.sessions is not None
    return proxy.server._data.sessions.administration


async def logged_in(proxy: Segue) -> Client:
    client = Client(proxy)
    await client.log_in()
    return client


async def names(proxy: Segue, user: str | None = None) -> list[str]:
    page = await overseen(proxy).page(user=user, after="", limit=500)
    return [each.record.session for each in page.sessions]


async def test_an_ended_session_is_refused_with_every_token_that_it_ever_had(
    tmp_path: Path,
) -> None:
    async with authority() as server, proxied(server, tmp_path) as proxy:
        client, other = await logged_in(proxy), await logged_in(proxy)
        status, pair = await client.exchange()
        assert status == 200
        newer = Client(proxy, pair["access"], pair["refresh"])
        assert await newer.get() == 200
        assert await client.get() == 200  # Superseded: the server judges it, and thinks well of it.
        (session,) = set(await names(proxy)) - {await session_of(proxy, other)}
        assert await overseen(proxy).end(session, "anna") is True
        asked = len(server.received)
        for each in (client, newer):
            status, _, body = await each.send("GET", JOBS)
            assert (status, b'"token_not_valid"' in body) == (401, True)
            assert (await each.exchange())[0] == 401
        assert len(server.received) == asked, "the server was asked"
        assert await other.get() == 200
        assert await names(proxy) == [await session_of(proxy, other)]


class Issued:
    """A refresh whose tokens the test learns, though no client is given them."""

    def __init__(self) -> None:
        self.pair: dict[str, str] = {}
        self.reached, self.may_go = asyncio.Event(), asyncio.Event()

    async def __call__(self, server: Authority, _: RawPeer, received: Received) -> bytes | None:
        answer = server.usual(received)
        self.pair = json.loads(answer.partition(b"\r\n\r\n")[2])
        self.reached.set()
        await self.may_go.wait()
        return answer

    async def present(self, proxy: Segue) -> list[int]:
        """What somebody gets who has come by these tokens."""
        thief = Client(proxy, self.pair["access"], self.pair["refresh"])
        return [await thief.get(), (await thief.exchange())[0]]


@pytest.mark.parametrize("how", ["operator", "logout"])
async def test_an_end_covers_the_tokens_that_no_client_was_given(tmp_path: Path, how: str) -> None:
    issued = Issued()
    issued.may_go.set()
    async with authority() as server, proxied(server, tmp_path) as proxy:
        client = await logged_in(proxy)
        server.answers[REFRESH] = issued
        server.revoked.add(client.access)
        assert await client.get() == 200  # Renewed for it.
        assert server.at(JOBS)[-1].token == issued.pair["access"] != client.access
        if how == "operator":
            (session,) = await names(proxy)
            assert await overseen(proxy).end(session, "anna")
        else:
            assert (await client.send("POST", "/api/auth/logout/", b"{}"))[0] == 205
            server.spent.clear()
        asked = len(server.received)
        assert await issued.present(proxy) == [401, 401]
        assert len(server.received) == asked, "the server was asked"


async def test_an_end_covers_the_tokens_of_a_refresh_that_was_under_way(tmp_path: Path) -> None:
    issued = Issued()
    async with authority() as server, proxied(server, tmp_path) as proxy:
        client = await logged_in(proxy)
        server.answers[REFRESH] = issued
        server.revoked.add(client.access)
        asking = asyncio.create_task(client.get())
        await issued.reached.wait()
        # Known to lead nowhere, for a while: what the server issues is not known yet.
        assert await Client(proxy, issued.pair["access"]).get() == 200
        (session,) = await names(proxy)
        assert await overseen(proxy).end(session, "anna")
        issued.may_go.set()
        assert await asking == 401
        asked = len(server.received)
        assert await issued.present(proxy) == [401, 401]
        assert len(server.received) == asked, "the server was asked"
    async with authority() as other, proxied(other, tmp_path) as again:
        assert await issued.present(again) == [401, 401]
        assert other.received == []


async def session_of(proxy: Segue, client: Client) -> str:
    assert proxy.server._data.sessions is not None
    return proxy.server._data.sessions._cache.tokens[client.access].cached.record.session


async def test_another_process_that_knows_the_token_learns_of_the_end_when_it_asks_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    keys = new_key()
    async with (
        authority() as server,
        proxied(server, tmp_path, STORE__KEYS=keys) as one,
        proxied(server, tmp_path, STORE__KEYS=keys) as two,
    ):
        client = await logged_in(one)
        there = Client(two, client.access)
        assert await there.get() == 200
        assert await overseen(one).end(await session_of(one, client), "anna") is True
        # What it has looked up a moment ago, it does not look up again.
        assert await there.get() == 200
        monkeypatch.setattr(service, "TRUST", 0.0)
        assert await there.get() == 401


async def test_a_refresh_under_way_elsewhere_does_not_bring_an_ended_session_back(
    tmp_path: Path,
) -> None:
    gate, keys = Gate(), new_key()
    async with (
        authority(access=SHORT, answers={REFRESH: gate}) as server,
        proxied(server, tmp_path, STORE__KEYS=keys) as one,
        proxied(server, tmp_path, STORE__KEYS=keys) as two,
    ):
        client = await logged_in(one)
        await asyncio.sleep(SHORT)
        renewing = asyncio.create_task(client.get())
        await gate.reached.wait()
        (session,) = await names(two)
        assert await overseen(two).end(session, "anna") is True
        server.access = 3600
        gate.open.set()
        assert await renewing == 401
        assert await client.get() == 401
        assert await names(one) == await names(two) == []
        store = store_at(SqliteStorage(tmp_path).address)
        record = await store.load(session)
        await store.close()
        assert record is not None
        assert record.ended is not None
        assert (record.access, record.refresh, record.attempt) == (b"", b"", None)
        # It is known for as long as the tokens are good.
        assert record.purge_after >= record.created + server.refresh - 1
        assert len(server.presented()) == 1


async def test_all_sessions_of_a_user_end_in_steps_and_nobody_elses(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(administration, "AT_ONCE", 2)
    async with authority() as server, proxied(server, tmp_path) as proxy:
        clients = [await logged_in(proxy) for _ in range(5)]
        server.user = "8"
        other = await logged_in(proxy)
        counts: list[int] = []
        after = ""
        while not counts or after:
            ended, after = await overseen(proxy).end_all("7", after, "anna")
            counts.append(ended)
        assert counts == [2, 2, 1]
        assert [await client.get() for client in clients] == [401] * 5
        assert await other.get() == 200
        assert await overseen(proxy).end_all("7", "", "anna") == (0, "")
        labels = {"event": "ended"}
        assert await proxy.metric("segue_session_age_seconds_count", **labels) == 5


async def test_ending_twice_says_so_and_a_name_that_never_was_is_told_apart(
    tmp_path: Path,
) -> None:
    async with authority() as server, proxied(server, tmp_path) as proxy:
        await logged_in(proxy)
        (session,) = await names(proxy)
        assert [await overseen(proxy).end(session, "anna") for _ in range(2)] == [True, False]
        assert await overseen(proxy).end("0" * 32, "anna") is None
        assert await proxy.metric("segue_session_age_seconds_count", event="ended") == 1
        lines = [line for line in proxy.log.getvalue().splitlines() if "session ended" in line]
        assert len(lines) == 1
        assert session in lines[0]
        assert '"operator"' in lines[0]


async def test_with_the_store_away_nothing_ends_and_the_operator_is_told(tmp_path: Path) -> None:
    storage = SqliteStorage(tmp_path)
    async with authority() as server, proxied(server, tmp_path) as proxy:
        client = await logged_in(proxy)
        (session,) = await names(proxy)
        with storage.away():
            with pytest.raises(StoreAway):
                await overseen(proxy).end(session, "anna")
            assert await client.get() == 200


async def test_a_session_shows_who_it_is_how_old_and_which_sockets(tmp_path: Path) -> None:
    async with authority(access=SHORT) as server, proxied(server, tmp_path) as proxy:
        client = await logged_in(proxy)
        await asyncio.sleep(SHORT)
        server.access = 3600
        client.fields = (b"X-Client-Version: 2.1",)
        assert await client.get() == 200
        (seen,) = (await overseen(proxy).page(user="7", after="", limit=1)).sessions
        record = seen.record
        assert (record.user, record.generation, record.refreshes) == ("7", 2, 1)
        assert SHORT <= seen.age < 60
        assert 0 <= seen.idle <= seen.age
        assert seen.over > record.created
        assert seen.websockets == 0
        nobody = SessionPage([], [], "")
        assert await overseen(proxy).page(user="8", after="", limit=1) == nobody
        assert await overseen(proxy).page(user=None, after=record.session, limit=1) == nobody


# Other spellings of its tokens, which servers take for the same.


def respelled(token: str) -> str:
    return token[:-9] + "!!!!" + token[-9:]


async def test_no_spelling_of_an_ended_sessions_access_token_reaches_the_server(
    tmp_path: Path,
) -> None:
    async with authority() as server, proxied(server, tmp_path) as proxy:
        client, other = await logged_in(proxy), await logged_in(proxy)
        assert await client.get() == 200
        assert await overseen(proxy).end(await session_of(proxy, client), "anna") is True
        asked = len(server.received)
        token = client.access
        for line in (f"Bearer\t{token}", f"bearer  {token} ", f"Bearer {respelled(token)}"):
            fields = b"Authorization: " + line.encode()
            assert (await client.send("GET", JOBS, None, fields, access=""))[0] == 401
        encoded = "".join(f"%{ord(each):02x}" for each in token)
        for query in (
            f"token={encoded}",
            f"%74oken={token}",
            f"token=&access_token={token}",
            f"token={other.access}&access_token={token}",
        ):
            assert await shaken(proxy, f"/ws/1/?{query}") == 401
        beside = b"Authorization: Bearer " + other.access.encode()
        assert await shaken(proxy, f"/ws/1/?token={token}", beside) == 401
        assert len(server.received) == asked, "the server was asked"
        many = [issued("a", number, 0, 4e9) for number in range(90, 95)]
        assert await shaken(proxy, "/ws/1/?" + "&".join(f"token={each}" for each in many)) == 400


async def test_no_spelling_of_an_ended_sessions_refresh_token_reaches_the_server(
    tmp_path: Path,
) -> None:
    async with authority() as server, proxied(server, tmp_path) as proxy:
        client = await logged_in(proxy)
        assert await client.get() == 200
        assert await overseen(proxy).end(await session_of(proxy, client), "anna") is True
        asked = len(server.received)
        plain = json.dumps({"refresh": client.refresh})
        odd = json.dumps({"refresh": respelled(client.refresh)})
        for path, kind, body, status in (
            (REFRESH, "application/json", json.dumps({"refresh": f" {client.refresh}\n"}), 401),
            (REFRESH, "application/json", plain[:-1] + ', "x": NaN}', 400),
            (REFRESH, "application/json", odd, 401),
            (REFRESH.replace("refresh", "refres%68"), "application/json", plain, 401),
            (REFRESH, "application/x-www-form-urlencoded", f"refresh={client.refresh}", 401),
            (REFRESH, "application/json; charset=utf-16", plain, 415),
            (REFRESH, "multipart/form-data; boundary=x", plain, 415),
            ("/api/auth/logout/", "application/json; charset=utf-16", plain, 415),
        ):
            text = body.encode("utf-16" if "utf-16" in kind else "utf-8")
            request = (
                f"POST {path} HTTP/1.1\r\nHost: app.example.com\r\n"
                f"Connection: close\r\nContent-Type: {kind}\r\n"
                f"Content-Length: {len(text)}\r\n\r\n"
            )
            assert status_of(await proxy.ask(request.encode() + text)) == status, (path, kind)
        assert len(server.received) == asked, "the server was asked"


async def shaken(proxy: Segue, target: str, *fields: bytes) -> int:
    """The status of a handshake."""
    async with proxy.client() as peer:
        await peer.send(handshake(target.encode(), *fields))
        return status_of(await peer.read_head())


async def test_a_token_in_another_spelling_is_renewed_like_any_other(tmp_path: Path) -> None:
    async with authority(access=SHORT) as server, proxied(server, tmp_path) as proxy:
        client = await logged_in(proxy)
        await asyncio.sleep(SHORT)
        server.access = 3600
        encoded = "".join(f"%{ord(each):02x}" for each in client.access)
        assert await shaken(proxy, f"/ws/1/?x=%41&token={encoded}") == 101
        (asked,) = server.at("/ws/1/")
        assert asked.path.startswith("/ws/1/?x=%41&token=ey")
        assert len(server.presented()) == 1
        client.access = respelled(client.access)
        assert await client.get() == 200


# Its open WebSockets.


@asynccontextmanager
async def watching(client: Client) -> AsyncIterator[Socket]:
    """An open WebSocket of a client's session."""
    async with client.proxy.client() as peer:
        await peer.send(handshake(f"/ws/1/?token={client.access}".encode()))
        assert status_of(await peer.read_head()) == 101
        yield Socket(peer, is_client=True)


async def test_the_end_of_a_session_closes_its_open_sockets_and_nobody_elses(
    tmp_path: Path,
) -> None:
    # The server does not answer a Close.
    brief = {"TIMEOUTS__WEBSOCKET_CLOSE": "500ms"}
    async with authority() as server, proxied(server, tmp_path, **brief) as proxy:
        client, other = await logged_in(proxy), await logged_in(proxy)
        async with watching(client) as one, watching(client) as two, watching(other):
            assert await overseen(proxy).end(await session_of(proxy, client), "anna") is True
            for socket in (one, two):
                assert await socket.close_frame() == (1008, "session ended")
                await socket.send(CLOSE, closing(1008))
                assert await socket.peer.read_all() == b""
            await gone(proxy, left=1)
            closes = {"side": "segue", "code": "1008"}
            assert await proxy.metric("segue_websocket_closes_total", **closes) == 2
            assert len(proxy.server._data.connections) == 1


async def test_sockets_in_another_process_are_closed_when_it_asks_after_their_session(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(maintenance, "_USED", 0.1)
    monkeypatch.setattr(service, "_TOUCH", 0.1)  # The handshake is a use, too.
    keys = new_key()
    async with (
        authority() as server,
        proxied(server, tmp_path, STORE__KEYS=keys) as one,
        proxied(server, tmp_path, STORE__KEYS=keys) as two,
    ):
        client = await logged_in(one)
        async with watching(Client(two, client.access)) as socket:
            assert await overseen(one).end(await session_of(one, client), "anna") is True
            assert await socket.close_frame() == (1008, "session ended")


async def test_a_socket_that_opens_while_its_session_ends_is_closed_too(tmp_path: Path) -> None:
    gate = Gate()
    async with authority(answers={"/ws/1/": gate}) as server, proxied(server, tmp_path) as proxy:
        client = await logged_in(proxy)
        assert await client.get() == 200
        async with proxy.client() as peer:
            await peer.send(handshake(f"/ws/1/?token={client.access}".encode()))
            await gate.reached.wait()
            assert await overseen(proxy).end(await session_of(proxy, client), "anna") is True
            gate.open.set()
            assert status_of(await peer.read_head()) == 101
            assert await Socket(peer, is_client=True).close_frame() == (1008, "session ended")


async def test_a_logout_closes_the_sockets_of_its_session(tmp_path: Path) -> None:
    async with authority() as server, proxied(server, tmp_path) as proxy:
        client = await logged_in(proxy)
        async with watching(client) as socket:
            assert (await client.send("POST", "/api/auth/logout/", b"{}"))[0] == 205
            assert await socket.close_frame() == (1008, "session ended")


async def test_a_session_that_the_server_refuses_to_renew_leaves_its_sockets_open(
    tmp_path: Path,
) -> None:
    async with authority() as server, proxied(server, tmp_path) as proxy:
        client = await logged_in(proxy)
        async with watching(client) as socket:
            server.revoked |= {client.access, client.refresh}
            assert await client.get() == 401
            assert await names(proxy) == []
            await socket.send(TEXT, b"still here")
            await turn()
            assert len(proxy.server._data.connections) == 1
