"""A client's own refresh: all of it reaches the server, and the server's own answer its client."""

from __future__ import annotations

import asyncio
import gzip
import json
from pathlib import Path

import pytest

from tests.support.authority import (
    Authority,
    Client,
    Gate,
    Received,
    authority,
    proxied,
    refreshes,
    response,
)
from tests.support.rig import RawPeer, Segue
from tests.support.sockets import fields_of
from tests.support.waiting import PATIENCE

LOGOUT = "/api/auth/logout/"
REFRESH = "/api/auth/token/refresh/"
SHORT = 0.3
ORIGIN = b"Origin: https://app.example.com"
OTHER = b"Origin: https://other.example.com"


async def logged_in(proxy: Segue) -> Client:
    client = Client(proxy)
    await client.log_in()
    return client


def asking(refresh: str) -> bytes:
    return json.dumps({"refresh": refresh}).encode()


class CookieSetter:
    """Answers as usual, and with cookies: of the tokens, and of its own."""

    def __init__(self, gate: Gate | None = None) -> None:
        self.gate = gate

    async def __call__(self, server: Authority, _: RawPeer, received: Received) -> bytes | None:
        usual = server.usual(received)
        if self.gate is not None:
            self.gate.reached.set()
            await self.gate.open.wait()
        pair = json.loads(usual.partition(b"\r\n\r\n")[2])
        number = len(server.at(REFRESH))
        return response(
            200,
            json.dumps(pair | {"number": number}).encode(),
            b"Set-Cookie: app-auth=" + pair["access"].encode() + b"; Path=/; HttpOnly",
            b'Set-Cookie: app-refresh="' + pair["refresh"].encode() + b'"; HttpOnly',
            b"Set-Cookie: seen=%d" % number,
        )


def names_set(head: bytes) -> list[bytes]:
    return [value.partition(b"=")[0] for value in fields_of(head, b"set-cookie")]


async def test_the_servers_answer_reaches_its_client_as_it_is(tmp_path: Path) -> None:
    async def special(server: Authority, _: RawPeer, received: Received) -> bytes | None:
        pair = json.loads(server.usual(received).partition(b"\r\n\r\n")[2])
        text = json.dumps(pair | {"n": 1.10, "access_expiration": "soon"}, indent=3).encode()
        said.append(text)
        head = (
            b"HTTP/1.1 201 Renewed\r\nContent-Type: application/json; charset=utf-8\r\n"
            b"X-Odd: 1\r\nX-Odd: 2\r\nVary: Origin\r\nConnection: keep-alive, X-Hop\r\n"
            b"X-Hop: gone\r\nAccess-Control-Allow-Origin: https://app.example.com\r\n"
            b"Set-Cookie: a=1\r\nSet-Cookie: b=2; HttpOnly\r\nTransfer-Encoding: chunked\r\n\r\n"
        )
        pieces = (text[:40], text[40:])
        framed = b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces)
        return head + framed + b"0\r\n\r\n"

    said: list[bytes] = []
    settings = {"CORS__ORIGINS": "[https://app.example.com]"}
    async with (
        authority(answers={REFRESH: special}) as server,
        proxied(server, tmp_path, **settings) as proxy,
    ):
        client = await logged_in(proxy)
        status, head, body = await client.send("POST", REFRESH, asking(client.refresh), ORIGIN)
        assert (status, body) == (201, said[0])
        assert head.startswith(b"HTTP/1.1 201 Renewed\r\n")
        for name, values in {
            b"x-odd": [b"1", b"2"],
            b"x-hop": [],
            b"vary": [b"Origin"],
            b"access-control-allow-origin": [b"https://app.example.com"],
            b"set-cookie": [b"a=1", b"b=2; HttpOnly"],
            b"content-length": [b"%d" % len(said[0])],
            b"transfer-encoding": [],
            b"x-request-id": [],
        }.items():
            assert fields_of(head, name) == values, name
        server.answers.clear()
        client.access = json.loads(body)["access"]
        assert await client.get() == 200
        status, _ = await client.exchange(json.loads(body)["refresh"])
        assert status == 200


async def test_what_a_client_sends_reaches_the_server_as_it_is(tmp_path: Path) -> None:
    async with authority() as server, proxied(server, tmp_path) as proxy:
        client = await logged_in(proxy)
        body = b'{ "n": 1.10, "refresh" : "%b" }' % client.refresh.encode()
        status, _, _ = await client.send(
            "POST", f"{REFRESH}?tenant=acme", body, b"X-Tenant-Id: acme", b"Cookie: a=1", ORIGIN
        )
        assert status == 200
        (sent,) = server.at(REFRESH)
        assert sent.path == f"{REFRESH}?tenant=acme"
        assert sent.body == body
        assert sent.token == client.access
        for name, values in {
            b"x-tenant-id": [b"acme"],
            b"cookie": [b"a=1"],
            b"origin": [b"https://app.example.com"],
            b"host": [b"app.example.com"],
            b"content-length": [b"%d" % len(body)],
            b"accept-encoding": [b"identity"],
            b"x-forwarded-for": [b"127.0.0.1"],
        }.items():
            assert fields_of(sent.head, name) == values, name


@pytest.mark.parametrize("form", [False, True])
async def test_only_the_tokens_are_others_where_segue_has_renewed_them(
    tmp_path: Path, form: bool
) -> None:
    async def special(server: Authority, _: RawPeer, __: Received) -> bytes | None:
        return response(200, json.dumps(server.pair()).encode())

    async with authority(access=SHORT) as server, proxied(server, tmp_path) as proxy:
        client = await logged_in(proxy)
        await asyncio.sleep(SHORT)
        server.access = 3600
        assert await client.get() == 200
        current = server.at("/api/jobs/")[-1].token
        server.answers[REFRESH] = special
        kind = b"Content-Type: application/x-www-form-urlencoded"
        if form:
            sent = b"a=%%41&refresh=%b" % client.refresh.encode()
            async with proxy.client() as peer:
                await peer.send(
                    b"POST %b HTTP/1.1\r\nHost: app.example.com\r\n%b\r\n"
                    b"Content-Length: %d\r\n\r\n%b" % (REFRESH.encode(), kind, len(sent), sent)
                )
                head, _ = await peer.read_response()
                assert head.startswith(b"HTTP/1.1 200 ")
        else:
            sent = b'{"n":1.10,"refresh":"%b"}' % client.refresh.encode()
            assert (await client.send("POST", REFRESH, sent))[0] == 200
        got = server.at(REFRESH)[-1]
        assert client.refresh.encode() not in got.body
        before, _, after = sent.partition(client.refresh.encode())
        assert got.body.startswith(before)
        assert got.body.endswith(after)
        assert fields_of(got.head, b"content-length") == [b"%d" % len(got.body)]
        assert got.token == ("" if form else current)


async def test_an_access_token_of_nobodys_session_goes_on_as_it_is(tmp_path: Path) -> None:
    async with authority() as server, proxied(server, tmp_path) as proxy:
        client = await logged_in(proxy)
        for odd in ("opaque", server.pair()["access"]):
            status, _, body = await client.send("POST", REFRESH, asking(client.refresh), access=odd)
            assert status == 200
            assert server.at(REFRESH)[-1].token == odd
            client.refresh = json.loads(body)["refresh"]


async def test_many_at_once_are_one_refresh_and_a_cookie_goes_to_one(tmp_path: Path) -> None:
    gate = Gate()
    async with (
        authority(answers={REFRESH: CookieSetter(gate)}) as server,
        proxied(server, tmp_path) as proxy,
    ):
        client = await logged_in(proxy)
        body = asking(client.refresh)
        leading = asyncio.create_task(client.send("POST", REFRESH, body))
        await gate.reached.wait()
        joining = [asyncio.create_task(client.send("POST", REFRESH, body)) for _ in range(8)]
        async with asyncio.timeout(PATIENCE):
            while await proxy.metric("segue_session_waiters_total") < 8:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        gate.open.set()
        _, head, answer = await leading
        assert names_set(head) == [b"app-auth", b"app-refresh", b"seen"]
        # Some lose the race by so much that it is over.
        for status, joined, same in [
            *await asyncio.gather(*joining),
            await client.send("POST", REFRESH, body),
        ]:
            assert (status, same) == (200, answer)
            assert names_set(joined) == [b"app-auth", b"app-refresh"]
        assert server.presented() == [client.refresh]


async def test_the_answer_of_a_client_that_has_gone_is_for_the_next(tmp_path: Path) -> None:
    gate = Gate()
    async with (
        authority(answers={REFRESH: CookieSetter(gate)}) as server,
        proxied(server, tmp_path) as proxy,
    ):
        client = await logged_in(proxy)
        body = asking(client.refresh)
        peer = await proxy.connect()
        await peer.send(
            b"POST %b HTTP/1.1\r\nHost: app.example.com\r\nContent-Length: %d\r\n\r\n%b"
            % (REFRESH.encode(), len(body), body)
        )
        await gate.reached.wait()
        peer.reset()
        async with asyncio.timeout(PATIENCE):
            while '"status": 499' not in proxy.log.getvalue():  # noqa: ASYNC110 (its log)
                await asyncio.sleep(0.01)
        gate.open.set()
        heads = [(await client.send("POST", REFRESH, body))[1] for _ in range(2)]
        assert [len(names_set(head)) for head in heads] == [3, 2]
        assert server.presented() == [client.refresh]


async def test_a_page_of_another_origin_gets_an_answer_for_its_own(tmp_path: Path) -> None:
    async def allow(server: Authority, peer: RawPeer, received: Received) -> bytes | None:
        (origin,) = fields_of(received.head, b"origin")
        usual = await gate(server, peer, received)
        assert usual is not None
        body = usual.partition(b"\r\n\r\n")[2]
        return response(200, body, b"Access-Control-Allow-Origin: " + origin, b"Vary: Origin")

    gate = Gate()
    async with (
        authority(answers={REFRESH: allow}) as server,
        proxied(server, tmp_path) as proxy,
    ):
        client = await logged_in(proxy)
        body = asking(client.refresh)
        first = asyncio.create_task(client.send("POST", REFRESH, body, ORIGIN))
        await gate.reached.wait()
        second = asyncio.create_task(client.send("POST", REFRESH, body, OTHER))
        async with asyncio.timeout(PATIENCE):
            while not await proxy.metric("segue_session_waiters_total"):  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        gate.open.set()
        for (status, head, _), origin in ((await first, ORIGIN), (await second, OTHER)):
            assert status == 200
            allowed = fields_of(head, b"access-control-allow-origin")
            assert allowed == [origin.partition(b": ")[2]]
        assert len(set(server.presented())) == len(server.presented()) >= 2


@pytest.mark.parametrize("late", [False, True])
@pytest.mark.parametrize("differs", ["query", "body"])
async def test_who_asks_for_something_else_gets_an_answer_of_its_own(
    tmp_path: Path, differs: str, late: bool
) -> None:
    async with authority() as server, proxied(server, tmp_path) as proxy:
        client = await logged_in(proxy)

        async def asks(tenant: str) -> tuple[int, bytes]:
            path = f"{REFRESH}?tenant={tenant}" if differs == "query" else REFRESH
            more = {"tenant": tenant} if differs == "body" else {}
            body = json.dumps({"refresh": client.refresh} | more).encode()
            status, _, said = await client.send("POST", path, body)
            return status, said

        gate = Gate()
        if late:
            first = await asks("a")
            second, again = await asks("b"), await asks("b")
            assert again == second
        else:
            server.answers[REFRESH] = gate
            leading = asyncio.create_task(asks("a"))
            await gate.reached.wait()
            other = asyncio.create_task(asks("b"))
            async with asyncio.timeout(PATIENCE):
                while not await proxy.metric("segue_session_waiters_total"):  # noqa: ASYNC110
                    await asyncio.sleep(0.01)
            gate.open.set()
            first, second = await leading, await other
        assert first[0] == second[0] == 200
        assert first != second
        assert len(set(server.presented())) == len(server.presented()) == 2


async def test_who_finds_a_refresh_of_segues_own_under_way_makes_another(tmp_path: Path) -> None:
    gate = Gate()
    async with (
        authority(access=SHORT, answers={REFRESH: gate}) as server,
        proxied(server, tmp_path) as proxy,
    ):
        client = await logged_in(proxy)
        await asyncio.sleep(SHORT)
        server.access = 3600
        asked = asyncio.create_task(client.get())
        await gate.reached.wait()
        own = asyncio.create_task(
            client.send("POST", REFRESH, asking(client.refresh), b"X-Tenant-Id: acme")
        )
        async with asyncio.timeout(PATIENCE):
            while not await proxy.metric("segue_session_waiters_total"):  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        gate.open.set()
        assert await asked == 200
        status, _, body = await own
        assert status == 200
        first, second = server.at(REFRESH)
        assert fields_of(first.head, b"x-tenant-id") == []
        assert fields_of(second.head, b"x-tenant-id") == [b"acme"]
        assert server.presented()[0] == client.refresh != server.presented()[1]
        assert json.loads(body)["access"] not in (client.access, second.token)
        assert await refreshes(proxy) == {("expiry", "renewed"): 1, ("client", "renewed"): 1}


async def test_a_late_one_asks_the_server_where_segue_has_renewed_meanwhile(
    tmp_path: Path,
) -> None:
    async with authority(access=SHORT) as server, proxied(server, tmp_path) as proxy:
        client = await logged_in(proxy)
        _, second = await client.exchange()
        assert (await client.exchange())[1] == second
        assert len(server.presented()) == 1
        await asyncio.sleep(SHORT)
        server.access = 3600
        client.access = second["access"]
        assert await client.get() == 200
        status, fourth = await client.exchange()
        assert status == 200
        assert fourth != second
        assert len(set(server.presented())) == len(server.presented()) == 3


async def test_a_late_one_asks_the_server_where_the_replay_window_is_over(tmp_path: Path) -> None:
    async with (
        authority() as server,
        proxied(server, tmp_path, SESSIONS__REPLAY_WINDOW="0s") as proxy,
    ):
        client = await logged_in(proxy)
        _, second = await client.exchange()
        status, third = await client.exchange()
        assert status == 200
        assert third != second
        assert server.presented() == [client.refresh, second["refresh"]]


async def test_an_answer_at_another_replica_is_asked_for_anew(tmp_path: Path) -> None:
    async with (
        authority() as server,
        proxied(server, tmp_path) as one,
        proxied(server, tmp_path) as other,
    ):
        client = await logged_in(one)
        _, second = await client.exchange()
        twin = Client(other, client.access, client.refresh)
        status, third = await twin.exchange()
        assert status == 200
        assert third != second
        assert server.presented() == [client.refresh, second["refresh"]]
        # Both are good.
        for pair in (second, third):
            assert await Client(one, pair["access"]).get() == 200
        assert (await client.exchange(third["refresh"]))[0] == 200


async def test_what_the_server_cannot_do_now_is_said_by_itself(tmp_path: Path) -> None:
    async def busy(_: Authority, __: RawPeer, ___: Received) -> bytes | None:
        return response(429, b'{"detail": "slowly"}', b"Retry-After: 17")

    async with (
        authority(answers={REFRESH: busy}) as server,
        proxied(server, tmp_path) as proxy,
    ):
        client = await logged_in(proxy)
        status, head, body = await client.send("POST", REFRESH, asking(client.refresh))
        assert (status, body) == (429, b'{"detail": "slowly"}')
        assert fields_of(head, b"retry-after") == [b"17"]
        server.answers.clear()
        assert await client.get() == 200
        assert (await client.exchange())[0] == 200


async def test_what_is_wrong_with_a_clients_request_keeps_segue_from_nothing(
    tmp_path: Path,
) -> None:
    async def strict(server: Authority, _: RawPeer, received: Received) -> bytes | None:
        if received.head.count(b"X-Odd"):
            return response(400, b'{"detail": "no tenant"}')
        return server.usual(received)

    async with (
        authority(access=SHORT, answers={REFRESH: strict}) as server,
        proxied(server, tmp_path) as proxy,
    ):
        client = await logged_in(proxy)
        status, _, body = await client.send("POST", REFRESH, asking(client.refresh), b"X-Odd: 1")
        assert (status, body) == (400, b'{"detail": "no tenant"}')
        await asyncio.sleep(SHORT)
        server.access = 3600
        assert await client.get() == 200  # Without a pause.


@pytest.mark.parametrize("body", [b"", b'{"key": "opaque"}', b" " * 100_000])
async def test_an_answer_without_tokens_that_can_be_read_reaches_its_client(
    tmp_path: Path, body: bytes
) -> None:
    async def odd(_: Authority, __: RawPeer, ___: Received) -> bytes | None:
        if not body:
            return b"HTTP/1.1 204 Nothing\r\nSet-Cookie: a=opaque\r\n\r\n"
        return response(200, body, b"Set-Cookie: a=opaque")

    async with (
        authority(answers={REFRESH: odd}) as server,
        proxied(server, tmp_path) as proxy,
    ):
        client = await logged_in(proxy)
        status, head, got = await client.send("POST", REFRESH, asking(client.refresh))
        assert (status, got) == (200 if body else 204, body)
        assert fields_of(head, b"set-cookie") == [b"a=opaque"]
        assert fields_of(head, b"content-length") == ([b"%d" % len(body)] if body else [])
        assert await refreshes(proxy) == {("client", "unknown"): 1}


async def test_a_compressed_answer_reaches_its_client_as_it_came(tmp_path: Path) -> None:
    async def packed(server: Authority, _: RawPeer, received: Received) -> bytes | None:
        said.append(gzip.compress(server.usual(received).partition(b"\r\n\r\n")[2]))
        return response(200, said[0], b"Content-Encoding: gzip")

    said: list[bytes] = []
    async with (
        authority(answers={REFRESH: packed}) as server,
        proxied(server, tmp_path) as proxy,
    ):
        client = await logged_in(proxy)
        status, head, body = await client.send("POST", REFRESH, asking(client.refresh))
        assert (status, body) == (200, said[0])
        assert fields_of(head, b"content-encoding") == [b"gzip"]
        server.answers.clear()
        assert (await client.exchange(json.loads(gzip.decompress(body))["refresh"]))[0] == 200


async def test_an_answer_larger_than_what_is_taken_is_none(tmp_path: Path) -> None:
    async def endless(_: Authority, __: RawPeer, ___: Received) -> bytes | None:
        return response(200, b" " * (1024 * 1024 + 1))

    async with (
        authority(answers={REFRESH: endless}) as server,
        proxied(server, tmp_path) as proxy,
    ):
        client = await logged_in(proxy)
        assert (await client.exchange())[0] == 503
        assert await refreshes(proxy) == {("client", "unknown"): 1}


async def test_a_client_that_is_given_no_new_refresh_token_goes_on_with_its_own(
    tmp_path: Path,
) -> None:
    """Of a server that rotates now and then, where Segue was given a new one."""
    async with authority(access=SHORT) as server:
        async with proxied(server, tmp_path, SESSIONS__REPLAY_WINDOW="0s") as proxy:
            client = await logged_in(proxy)
            await asyncio.sleep(SHORT)
            server.access = 3600
            assert await client.get() == 200
            server.rotate = False
            for _ in range(3):
                status, pair = await client.exchange()
                assert (status, list(pair)) == (200, ["access"])
                client.access = pair["access"]
                # What was before is superseded by that, but not its only refresh token.
                assert await client.get() == 200
            assert client.refresh not in server.presented()[1:]


async def test_a_refusal_reaches_its_client_whole(tmp_path: Path) -> None:
    async def refuse(_: Authority, __: RawPeer, ___: Received) -> bytes | None:
        return response(
            400, b'{"error": "invalid_grant"}', b"Set-Cookie: app-auth=; Max-Age=0", b"X-A: b"
        )

    async with (
        authority(answers={REFRESH: refuse}) as server,
        proxied(server, tmp_path) as proxy,
    ):
        client = await logged_in(proxy)
        status, head, body = await client.send("POST", REFRESH, asking(client.refresh))
        assert (status, body) == (400, b'{"error": "invalid_grant"}')
        assert fields_of(head, b"set-cookie") == [b"app-auth=; Max-Age=0"]
        assert fields_of(head, b"x-a") == [b"b"]
        assert (await client.exchange())[0] == 400
        assert server.presented() == [client.refresh] * 2, "who asks by itself is answered by it"


async def test_a_session_that_ends_while_its_client_refreshes_gives_it_no_tokens(
    tmp_path: Path,
) -> None:
    gate = Gate()
    async with authority() as server, proxied(server, tmp_path) as proxy:
        client = await logged_in(proxy)
        sessions = proxy.server._data.sessions
        assert sessions is not None
        page = await sessions.administration.page(user=None, after="", limit=1)
        server.answers[REFRESH] = gate
        asked = asyncio.create_task(client.exchange())
        await gate.reached.wait()
        assert await sessions.administration.end(page.sessions[0].record.session, "anna")
        gate.open.set()
        status, said = await asked
        assert (status, said["code"]) == (401, "token_not_valid")


@pytest.mark.parametrize("settings", [{}, {"SESSIONS__LIFETIME": "200ms"}], ids=["", "over"])
async def test_a_cookie_that_binds_a_session_is_set_anew(
    tmp_path: Path, settings: dict[str, str]
) -> None:
    async with (
        authority() as server,
        proxied(server, tmp_path, SESSIONS__BINDING="cookie", **settings) as proxy,
    ):
        client = Client(proxy)
        (cookie,) = fields_of(await client.log_in(), b"set-cookie")
        assert (await client.exchange())[0] == 401
        client.fields = (b"Cookie: " + cookie.split(b";")[0],)
        await asyncio.sleep(SHORT)
        status, head, body = await client.send("POST", REFRESH, asking(client.refresh))
        assert status == 200
        assert fields_of(head, b"set-cookie") == [cookie]
        assert b"Max-Age=34560000;" in cookie  # 400 days: the session ends, not the cookie.
        client.refresh = json.loads(body)["refresh"]
        await asyncio.sleep(SHORT)
        assert (await client.exchange())[0] == 200
        assert fields_of(server.at(REFRESH)[-1].head, b"cookie") == []
