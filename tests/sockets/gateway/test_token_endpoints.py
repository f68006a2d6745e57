"""Logins, refreshes and logouts: what the client gets, and what the server is sent."""

from __future__ import annotations

import asyncio
import gzip
import json
from pathlib import Path

import pytest

from tests.support.authority import (
    Authority,
    Client,
    LaterClock,
    Received,
    authority,
    proxied,
    response,
)
from tests.support.rig import RawPeer, Segue, status_of
from tests.support.sockets import fields_of
from tests.support.storages import store_at
from tests.support.waiting import PATIENCE

LOGIN = "/api/auth/login/"
LOGOUT = "/api/auth/logout/"
REFRESH = "/api/auth/token/refresh/"
JOBS = "/api/jobs/"
SHORT = 0.3


async def logged_in(proxy: Segue) -> Client:
    client = Client(proxy)
    await client.log_in()
    return client


async def captures(proxy: Segue) -> dict[str, float]:
    return {
        dict(labels)["result"]: value
        for (name, labels), value in (await proxy.metrics()).items()
        if name == "segue_session_captures_total" and value
    }


@pytest.mark.parametrize("path", [LOGIN, "/api/auth/register/", "/api/auth/token/"])
async def test_the_answer_to_a_login_reaches_the_client_byte_for_byte(
    tmp_path: Path, path: str
) -> None:
    async def chunked(server: Authority, _: RawPeer, __: Received) -> bytes | None:
        text = json.dumps(server.pair() | {"n": 1.10}, indent=3).encode()
        sent.append(text)
        head = b"HTTP/1.1 201 Made\r\nX-Odd: 1\r\nTransfer-Encoding: chunked\r\n\r\n"
        pieces = (text[:40], text[40:])
        framed = b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces)
        return head + framed + b"0\r\n\r\n"

    sent: list[bytes] = []
    async with authority(answers={path: chunked}) as server, proxied(server, tmp_path) as proxy:
        client = Client(proxy)
        status, head, body = await client.send(
            "POST", path, b'{"email": "a"}', b"Accept-Encoding: gzip"
        )
        assert status == 201
        assert b"\r\nX-Odd: 1\r\n" in head
        got = b"".join(line for line in body.split(b"\r\n")[1::2])
        assert got == sent[0]
        assert b"set-cookie" not in head.lower()
        (asked,) = server.received
        assert asked.body == b'{"email": "a"}'
        assert fields_of(asked.head, b"accept-encoding") == [b"identity"]
        client.access = json.loads(got)["access"]
        server.revoked.add(client.access)
        assert await client.get() == 200
        assert await captures(proxy) == {"opened": 1}


@pytest.mark.parametrize(
    ("answer", "counted"),
    [
        (response(401, b'{"detail": "No"}'), {}),
        (response(200, b'{"access": "a.b.c", "refresh": "d.e.f"}'), {"unreadable": 1}),
        (response(200, b"[]"), {"unreadable": 1}),
        (response(204), {"unreadable": 1}),
        (response(200, gzip.compress(b"{}"), b"Content-Encoding: gzip"), {"unreadable": 1}),
        (response(200, b" " * 100_000), {}),
    ],
    ids=["refused", "no tokens", "no object", "nothing", "encoded", "large"],
)
async def test_any_other_answer_to_a_login_passes(
    tmp_path: Path, answer: bytes, counted: dict[str, float]
) -> None:
    async def say(_: Authority, __: RawPeer, ___: Received) -> bytes | None:
        return answer

    async with authority(answers={LOGIN: say}) as server, proxied(server, tmp_path) as proxy:
        status, _, body = await Client(proxy).send("POST", LOGIN, b"{}")
        assert status == status_of(answer)
        assert body == answer.partition(b"\r\n\r\n")[2]
        assert await captures(proxy) == counted


async def test_only_a_post_is_for_a_route_of_tokens(tmp_path: Path) -> None:
    async with authority() as server, proxied(server, tmp_path) as proxy:
        client = Client(proxy)
        assert await client.get(LOGIN) == 200
        assert await captures(proxy) == {}
        await client.log_in()
        assert await captures(proxy) == {"opened": 1}


async def test_a_login_with_the_token_of_an_ended_session_is_a_login(tmp_path: Path) -> None:
    async with authority() as server, proxied(server, tmp_path) as proxy:
        client = await logged_in(proxy)
        assert (await client.send("POST", LOGOUT, b"{}"))[0] == 205
        assert await client.get() == 401
        status, _, _ = await client.send("POST", LOGIN, b"{}")
        assert status == 200


async def test_a_refresh_token_that_segue_does_not_know_opens_a_session(tmp_path: Path) -> None:
    async with authority(access=SHORT) as server, proxied(server, tmp_path) as proxy:
        pair = server.pair()
        client = Client(proxy)
        status, fresh = await client.exchange(pair["refresh"])
        assert status == 200
        assert server.presented() == [pair["refresh"]]
        client.access = fresh["access"]
        await asyncio.sleep(SHORT)
        assert await client.get() == 200
        assert server.presented() == [pair["refresh"], fresh["refresh"]]


async def test_a_refresh_without_a_token_of_a_session_is_the_servers_business(
    tmp_path: Path,
) -> None:
    async def say(_: Authority, __: RawPeer, received: Received) -> bytes | None:
        return response(400, received.body)

    async with authority(answers={REFRESH: say}) as server, proxied(server, tmp_path) as proxy:
        client = await logged_in(proxy)
        for body in (b"", b"{}", b'{"refresh": null}', b'{"refresh": "x"}', b'{"n": 1}'):
            assert (await client.send("POST", REFRESH, body))[2] == body
        status, _, _ = await client.send("POST", REFRESH, b" " * 70_000)
        assert status == 413
        assert (await client.send("GET", REFRESH))[0] == 400


async def test_a_refresh_whose_token_was_not_read_begins_no_session(tmp_path: Path) -> None:
    async def grant(server: Authority, _: RawPeer, __: Received) -> bytes | None:
        return response(200, json.dumps(server.pair()).encode())

    async with authority(answers={REFRESH: grant}) as server, proxied(server, tmp_path) as proxy:
        assert (await Client(proxy).send("POST", REFRESH, b"{}"))[0] == 200
        assert await captures(proxy) == {}


async def test_a_logout_by_a_form_stays_one(tmp_path: Path) -> None:
    sent: list[Received] = []

    async def take(_: Authority, __: RawPeer, received: Received) -> bytes | None:
        sent.append(received)
        return response(205)

    async with authority(answers={LOGOUT: take}) as server, proxied(server, tmp_path) as proxy:
        client = await logged_in(proxy)
        _, pair = await client.exchange()
        body = b"all=1&refresh=" + client.refresh.encode()
        answer = await proxy.ask(
            b"POST /api/auth/logout/ HTTP/1.1\r\nHost: app.example.com\r\nConnection: close\r\n"
            b"Content-Type: application/x-www-form-urlencoded\r\n"
            b"Content-Length: %d\r\n\r\n%b" % (len(body), body)
        )
        assert status_of(answer) == 205
        (got,) = sent
        assert fields_of(got.head, b"content-type") == [b"application/x-www-form-urlencoded"]
        assert got.body == b"all=1&refresh=" + pair["refresh"].encode()


async def test_a_client_that_waits_for_100_gets_it_before_its_refresh(tmp_path: Path) -> None:
    async with authority() as server, proxied(server, tmp_path) as proxy:
        client = await logged_in(proxy)
        body = json.dumps({"refresh": client.refresh}).encode()
        async with proxy.client() as peer:
            await peer.send(
                b"POST /api/auth/token/refresh/ HTTP/1.1\r\nHost: app.example.com\r\n"
                b"Expect: 100-continue\r\n"
                b"Content-Length: %d\r\n\r\n" % len(body)
            )
            assert status_of(await peer.read_head()) == 100
            await peer.send(body)
            head, answer = await peer.read_response()
            assert status_of(head) == 200
            assert json.loads(answer).keys() == {"access", "refresh"}
            # The connection goes on.
            await peer.send(b"GET /api/jobs/ HTTP/1.1\r\nHost: app.example.com\r\n\r\n")
            assert status_of(await peer.read_head()) == 401


async def test_the_refusal_of_a_clients_refresh_is_the_servers_own(tmp_path: Path) -> None:
    async def refuse(_: Authority, __: RawPeer, ___: Received) -> bytes | None:
        return response(401, b'{"detail": "So long"}', b"WWW-Authenticate: Bearer", b"X-A: b")

    async with authority(answers={REFRESH: refuse}) as server, proxied(server, tmp_path) as proxy:
        client = await logged_in(proxy)
        body = json.dumps({"refresh": client.refresh}).encode()
        status, head, answer = await client.send("POST", REFRESH, body)
        assert (status, answer) == (401, b'{"detail": "So long"}')
        assert fields_of(head, b"www-authenticate") == [b"Bearer"]
        assert len(server.presented()) == 1


async def test_pages_of_listed_origins_can_read_what_segue_answers(tmp_path: Path) -> None:
    settings = {"CORS__ORIGINS": "[https://app.example.com]"}
    async with authority() as server, proxied(server, tmp_path, **settings) as proxy:
        client = await logged_in(proxy)
        assert (await client.send("POST", LOGOUT, b"{}"))[0] == 205
        body = json.dumps({"refresh": client.refresh}).encode()
        origin = b"Origin: https://app.example.com"
        status, head, _ = await client.send("POST", REFRESH, body, origin)
        assert status == 401
        assert fields_of(head, b"access-control-allow-origin") == [b"https://app.example.com"]


@pytest.mark.parametrize("body", [None, b"{}", b'{"refresh": "old", "everywhere": true}'])
async def test_a_logout_goes_upstream_with_the_tokens_that_are_current(
    tmp_path: Path, body: bytes | None
) -> None:
    async with authority(access=SHORT) as server, proxied(server, tmp_path) as proxy:
        client = await logged_in(proxy)
        await asyncio.sleep(SHORT)
        assert (await client.send("POST", LOGOUT, body))[0] == 205
        (got,) = server.at(LOGOUT)
        sent = json.loads(got.body)
        assert sent["refresh"] not in (client.refresh, "old")
        assert sent["refresh"] in server.spent
        assert ("everywhere" in sent) == (body is not None and b"everywhere" in body)
        assert fields_of(got.head, b"content-length") == [b"%d" % len(got.body)]
        status, head, answer = await client.send("GET", JOBS)
        assert status == 401
        assert json.loads(answer)["code"] == "token_not_valid"
        assert fields_of(head, b"www-authenticate") == [b'Bearer realm="api"']
        assert server.at(JOBS) == []
    async with authority() as server, proxied(server, tmp_path) as again:
        client.proxy = again
        assert await client.get() == 401
        assert server.received == []


async def test_a_logout_that_failed_can_be_repeated(tmp_path: Path) -> None:
    async def fail_twice(server: Authority, _: RawPeer, __: Received) -> bytes | None:
        if len(server.at(LOGOUT)) == 2:
            server.answers.clear()
            return None
        return response(500)

    async with (
        authority(answers={LOGOUT: fail_twice}) as server,
        proxied(server, tmp_path) as proxy,
    ):
        client = await logged_in(proxy)
        body = json.dumps({"refresh": client.refresh}).encode()
        assert (await client.send("POST", LOGOUT, body))[0] == 500
        assert await client.get() == 200
        assert (await client.send("POST", LOGOUT, body))[0] == 502
        assert await client.get() == 200
        assert (await client.send("POST", LOGOUT, body))[0] == 205
        assert await client.get() == 401


async def test_a_logout_waits_for_the_lease_and_goes_upstream_with_a_token_that_is_still_good(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = LaterClock(monkeypatch)
    async with authority(access=1000) as server, proxied(server, tmp_path) as proxy:
        client = await logged_in(proxy)
        store = store_at(f"sqlite:{tmp_path / 'sessions.sqlite3'}")
        (record,) = (await store.sessions(user=None, after="", limit=1)).records
        assert await store.acquire(record.session, "somebody", 3600.0) is not None
        server.access = 3600
        answer = asyncio.create_task(client.send("POST", LOGOUT, b"{}"))
        async with asyncio.timeout(PATIENCE):
            while not await proxy.metric("segue_session_lease_waits_total"):  # noqa: ASYNC110 (a counter tells nobody)
                await asyncio.sleep(0.01)
        # It was good, and is not any more when whoever holds the lease gives it back.
        clock.ahead = 1000
        await store.release(record.session, "somebody")
        await store.close()
        status, _, _ = await answer
        assert status == 205
        (asked,) = server.at(LOGOUT)
        assert asked.token != client.access
        assert len(server.presented()) == 1


async def test_a_logout_ends_the_session_of_the_refresh_token_that_it_brings(
    tmp_path: Path,
) -> None:
    async with authority() as server, proxied(server, tmp_path) as proxy:
        asking, leaving = await logged_in(proxy), await logged_in(proxy)
        body = json.dumps({"refresh": leaving.refresh}).encode()
        assert (await asking.send("POST", LOGOUT, body))[0] == 205
        assert server.spent == {leaving.refresh}
        assert await asking.get() == 200
        assert await leaving.get() == 401


async def test_a_logout_by_the_refresh_token_alone_ends_the_session(tmp_path: Path) -> None:
    async with authority() as server, proxied(server, tmp_path) as proxy:
        client = await logged_in(proxy)
        body = json.dumps({"refresh": client.refresh}).encode()
        assert (await client.send("POST", LOGOUT, body, access=""))[0] == 205
        assert await client.get() == 401
        assert (await client.exchange())[0] == 401


async def test_a_logout_without_a_session_passes_untouched(tmp_path: Path) -> None:
    async with authority() as server, proxied(server, tmp_path) as proxy:
        pair = server.pair()
        client = Client(proxy, pair["access"], pair["refresh"])
        body = b'{ "refresh" : "%b" }' % client.refresh.encode()
        assert (await client.send("POST", LOGOUT, body))[0] == 205
        assert server.at(LOGOUT)[0].body == body


async def test_another_process_knows_of_a_logout(tmp_path: Path) -> None:
    async with (
        authority() as server,
        proxied(server, tmp_path) as one,
        proxied(server, tmp_path) as other,
    ):
        client = await logged_in(one)
        twin = Client(other, client.access, client.refresh)
        assert (await client.send("POST", LOGOUT, b"{}"))[0] == 205
        assert await twin.get() == 401
        assert server.at(JOBS) == []


async def test_with_a_cookie_binding_a_refresh_token_alone_ends_no_session(tmp_path: Path) -> None:
    async with (
        authority() as server,
        proxied(server, tmp_path, SESSIONS__BINDING="cookie") as proxy,
    ):
        client = Client(proxy)
        (cookie,) = fields_of(await client.log_in(), b"set-cookie")
        body = json.dumps({"refresh": client.refresh}).encode()
        assert (await client.send("POST", LOGOUT, body, access=""))[0] == 401
        client.fields = (b"Cookie: " + cookie.split(b";")[0],)
        assert (await client.send("POST", LOGOUT, body, access=""))[0] == 205


async def test_with_a_cookie_binding_a_logout_takes_the_cookie_back(tmp_path: Path) -> None:
    async with (
        authority() as server,
        proxied(server, tmp_path, SESSIONS__BINDING="cookie", SESSIONS__COOKIE="sid") as proxy,
    ):
        client = Client(proxy)
        (cookie,) = fields_of(await client.log_in(), b"set-cookie")
        assert cookie.startswith(b"sid=")
        client.fields = (b"Cookie: " + cookie.split(b";")[0],)
        status, head, _ = await client.send("POST", LOGOUT, b"{}")
        assert status == 205
        (taken,) = fields_of(head, b"set-cookie")
        assert taken.startswith(b"sid=; Path=/; Max-Age=0; ")
