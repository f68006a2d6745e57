"""Refreshes and logouts by other methods than POST: the same to the server, and so to Segue."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.support.authority import Client, authority, proxied
from tests.support.issuer import LOGIN, LOGOUT, REFRESH, browser, in_front, issuing
from tests.support.issuers import Baking
from tests.support.sockets import fields_of


def refresh(token: str) -> bytes:
    return json.dumps({"refresh": token}).encode()


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

        async def page(*_: object) -> bytes:
            return b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\npage"

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
