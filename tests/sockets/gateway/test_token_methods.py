"""Refreshes and logouts by other methods than POST: the same to the server, and so to Segue."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.support.authority import Client, authority, proxied
from tests.support.issuer import LOGIN, LOGOUT, REFRESH, browser, in_front, issuing
from tests.support.issuers import VERIFY, Baking
from tests.support.sockets import fields_of


def refresh(token: str) -> bytes:
    return json.dumps({"refresh": token}).encode()


async def page(*_: object) -> bytes:
    return b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"


@pytest.mark.parametrize("method", ["PUT", "PATCH"])
async def test_a_refresh_is_one_whatever_its_method(tmp_path: Path, method: str) -> None:
    async with authority() as server, proxied(server, tmp_path) as proxy:
        client = Client(proxy)
        await client.log_in()
        first = client.refresh
        status, _, body = await client.send(method, REFRESH, refresh(first), access="")
        assert status == 200
        (received,) = server.at(REFRESH)
        assert received.head.startswith(method.encode() + b" ")
        second = json.loads(body)
        # It is of the session: the older token is given what the newer one got.
        status, _, again = await client.send(method, REFRESH, refresh(first), access="")
        assert (status, json.loads(again)) == (200, second)
        client.access = second["access"]
        assert (await client.send(method, LOGOUT, refresh(second["refresh"])))[0] == 205
        server.spent.clear()
        count = len(server.received)
        for token in (first, second["refresh"]):
            assert (await client.send(method, REFRESH, refresh(token), access=""))[0] == 401
        for spelled in ("/" + REFRESH, REFRESH.upper(), REFRESH + "%00"):
            assert (await client.send(method, spelled, refresh(first), access=""))[0] == 400
        assert len(server.received) == count


@pytest.mark.parametrize("with_body", [True, False])
async def test_a_logout_may_be_a_delete(tmp_path: Path, *, with_body: bool) -> None:
    async with authority() as server, proxied(server, tmp_path) as proxy:
        client = Client(proxy)
        await client.log_in()

        async def leaving(*_: object) -> bytes:
            return b"HTTP/1.1 204 Gone\r\n\r\n"

        server.answers[LOGOUT] = leaving
        body = refresh(client.refresh) if with_body else None
        assert (await client.send("DELETE", LOGOUT, body))[0] == 204
        (received,) = server.at(LOGOUT)
        assert bool(received.body) is with_body
        assert fields_of(received.head, b"content-type") == ([b"application/json"] * with_body)
        assert await client.get() == 401
        assert server.at("/api/jobs/") == []


async def test_a_page_at_the_path_of_a_logout_or_a_login_is_a_page(tmp_path: Path) -> None:
    async with authority() as server, proxied(server, tmp_path) as proxy:
        client = Client(proxy)
        await client.log_in()
        for path in (LOGIN, LOGOUT, REFRESH):
            server.answers[path] = page
            for method in ("GET", "HEAD", "OPTIONS"):
                assert (await client.send(method, path))[0] == 200
        assert (await client.send("PUT", LOGIN, b"{}"))[0] == 200
        assert await client.get() == 200


async def test_a_refresh_by_cookies_may_be_a_get(tmp_path: Path) -> None:
    issuer = Baking()
    tokens = "{cookies: {access: at, refresh: rt}}"
    async with (
        issuing(issuer),
        in_front(issuer, tmp_path, tokens) as proxy,
        browser(proxy) as client,
        browser(proxy) as thief,
    ):
        async with client.post(LOGIN) as answer:
            first = {each.key: each.value for each in client.cookie_jar}
            assert answer.status == 200
        async with client.get(REFRESH) as answer:
            assert answer.status == 200
        (seen,) = issuer.at(REFRESH)
        assert (seen.method, seen.body) == ("GET", b"")
        async with client.post(LOGOUT) as answer:
            assert answer.status == 204
        issuer.spent.clear()
        async with thief.get(REFRESH, cookies=first) as answer:
            assert answer.status == 401
        assert len(issuer.at(REFRESH)) == 1
        # Who has no token of a refresh is answered as anywhere.
        async with thief.get(REFRESH) as answer:
            assert answer.status in (400, 401)
        assert len(issuer.at(REFRESH)) == 2


OTHERS = ("GET", "HEAD", "OPTIONS", "DELETE", "QUERY", "PROPFIND")


@pytest.mark.parametrize("method", OTHERS)
async def test_no_method_gets_a_token_of_an_ended_session_by(tmp_path: Path, method: str) -> None:
    tokens = "{bodies: {/api/auth/token/verify/: token}}"
    async with (
        authority() as server,
        proxied(server, tmp_path, SESSIONS__TOKENS=tokens) as proxy,
    ):
        client = Client(proxy)
        await client.log_in()
        ended = client.refresh
        verify = json.dumps({"token": client.access}).encode()
        assert (await client.send("POST", LOGOUT, refresh(ended)))[0] == 205
        server.spent.clear()
        count = len(server.received)
        expected = {REFRESH: {401, 405}, LOGOUT: {401, 405}, VERIFY: {401}}
        for path, statuses in expected.items():
            body = verify if path == VERIFY else refresh(ended)
            status = (await client.send(method, path, body, access=""))[0]
            assert status in statuses, (path, status)
            assert (await client.send(method, "/" + path, body, access=""))[0] == 400
        assert len(server.received) == count
        # Without one in it a body goes on.
        server.answers[REFRESH] = page
        assert (await client.send(method, REFRESH, b"{}", access=""))[0] == 200
        assert len(server.received) == count + 1


@pytest.mark.parametrize("method", ["GET", "PUT", "PATCH", "DELETE", "HEAD", "QUERY"])
async def test_where_logins_are_refreshes_too_methods_are_looked_at_alike(
    tmp_path: Path, method: str
) -> None:
    one = {"SESSIONS__PATHS": f"{{login: [{LOGIN}, {REFRESH}], refresh: {REFRESH}}}"}
    async with authority() as server, proxied(server, tmp_path, **one) as proxy:
        client = Client(proxy)
        await client.log_in()
        ended = client.refresh
        assert (await client.send("POST", LOGOUT, refresh(ended)))[0] == 205
        server.spent.clear()
        count = len(server.received)
        status = (await client.send(method, REFRESH, refresh(ended), access=""))[0]
        assert status == (401 if method in {"GET", "PUT", "PATCH"} else 405)
        assert len(server.received) == count


@pytest.mark.parametrize("method", ["HEAD", "OPTIONS", "DELETE", "QUERY"])
async def test_a_cookie_with_a_refresh_token_is_seen_whatever_the_method(
    tmp_path: Path, method: str
) -> None:
    issuer = Baking()
    async with (
        issuing(issuer),
        in_front(issuer, tmp_path, "{cookies: {access: at, refresh: rt}}") as proxy,
        browser(proxy) as client,
        browser(proxy) as anybody,
    ):
        async with client.post(LOGIN) as answer:
            assert answer.status == 200
        async with client.request(method, REFRESH) as answer:
            assert answer.status == 405
        assert issuer.at(REFRESH) == []
        # A page at the path of the logout is one, with cookies or without.
        async with client.request(method, LOGOUT) as answer:
            assert (answer.status == 405) is (method == "QUERY")
        # So is what has no token.
        async with anybody.request(method, REFRESH) as answer:
            assert answer.status != 405
        assert len(issuer.at(REFRESH)) == 1


async def test_a_token_comes_by_no_handshake(tmp_path: Path) -> None:
    issuer = Baking()
    shaking = {
        "Connection": "Upgrade",
        "Upgrade": "websocket",
        "Sec-WebSocket-Version": "13",
        "Sec-WebSocket-Key": "AAAAAAAAAAAAAAAAAAAAAA==",
    }
    async with (
        issuing(issuer),
        in_front(issuer, tmp_path, "{cookies: {access: at, refresh: rt}}") as proxy,
        browser(proxy) as client,
    ):
        async with client.post(LOGIN) as answer:
            assert answer.status == 200
        async with client.get(REFRESH, headers=shaking) as answer:
            assert answer.status == 405
        assert issuer.at(REFRESH) == []
