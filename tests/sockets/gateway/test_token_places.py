"""Servers and clients whose tokens have other names, and stand elsewhere, than the first server's.

Each test: a login, the end of the access token, and a client that goes on with what it holds.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from tests.support.issuer import LOGIN, LOGOUT, REFRESH, Issuer, browser, in_front, issuing
from tests.support.issuers import (
    VERIFY,
    Baking,
    Enveloped,
    Extended,
    Granting,
    LoggingOutByName,
    Named,
    Offered,
    OnePath,
    Opening,
    Verifying,
)
from tests.support.rig import Segue
from tests.support.sockets import gone

SHORT = 0.5
"""Seconds that an access token lives where it is to end."""


IN_OBJECTS = (
    "{access: data.tokens.access, refresh: data.tokens.refresh, refresh_request: data.refresh}"
)
GRANT = (
    "{access: access_token, refresh: refresh_token, refresh_request: refresh_token,"
    " request_format: form, request_fields: {grant_type: refresh_token, client_id: web}}"
)


def bearer(token: str, scheme: str = "Bearer") -> dict[str, str]:
    return {"Authorization": f"{scheme} {token}"}


async def logged_in(client: aiohttp.ClientSession) -> Any:
    async with client.post(LOGIN, json={}) as answer:
        assert answer.status == 200
        return await answer.json()


def at(answer: Any, path: str) -> str:
    for key in path.split("."):
        answer = answer[key]
    return str(answer)


@pytest.mark.parametrize(
    ("issuer", "tokens", "access"),
    [
        (
            Named(),
            "{access: access_token, refresh: refresh_token, refresh_request: refresh_token}",
            "access_token",
        ),
        (
            Enveloped(),
            IN_OBJECTS,
            "data.tokens.access",
        ),
        (
            Granting(),
            GRANT,
            "access_token",
        ),
    ],
    ids=["other names", "in objects", "a grant"],
)
async def test_a_session_is_renewed_wherever_its_tokens_stand(
    tmp_path: Path, issuer: Issuer, tokens: str, access: str
) -> None:
    issuer.access = SHORT
    async with (
        issuing(issuer),
        in_front(issuer, tmp_path, tokens) as proxy,
        browser(proxy) as client,
    ):
        first = at(await logged_in(client), access)
        await asyncio.sleep(SHORT)
        issuer.access = 3600.0
        for _ in range(2):
            async with client.get("/api/jobs/", headers=bearer(first)) as answer:
                assert answer.status == 200
        assert len(issuer.at(REFRESH)) == 1
        assert issuer.access_of(issuer.seen[-1]) != first


async def test_a_client_of_such_a_server_refreshes_by_itself(tmp_path: Path) -> None:
    tokens = (
        "{access: data.tokens.access, refresh: data.tokens.refresh, refresh_request: data.refresh}"
    )
    issuer = Enveloped()
    async with (
        issuing(issuer),
        in_front(issuer, tmp_path, tokens) as proxy,
        browser(proxy) as client,
    ):
        first = (await logged_in(client))["data"]["tokens"]
        body = {"data": {"refresh": first["refresh"]}}
        async with client.post(REFRESH, json=body) as answer:
            assert answer.status == 200
            second = (await answer.json())["data"]["tokens"]
        assert second["access"] != first["access"]
        assert [each.json for each in issuer.at(REFRESH)] == [body]
        async with client.get("/api/jobs/", headers=bearer(second["access"])) as answer:
            assert answer.status == 200


async def test_a_refresh_token_may_come_where_access_tokens_do(tmp_path: Path) -> None:
    issuer = Extended(access=SHORT)
    async with (
        issuing(issuer),
        in_front(issuer, tmp_path, "{refresh_in_authorization: true}") as proxy,
        browser(proxy) as client,
    ):
        first = await logged_in(client)
        await asyncio.sleep(SHORT)
        issuer.access = 3600.0
        async with client.get("/api/jobs/", headers=bearer(first["access"])) as answer:
            assert answer.status == 200
        # The one that the client has is spent by now: Segue has renewed the session.
        async with client.post(REFRESH, headers=bearer(first["refresh"])) as answer:
            assert answer.status == 200
            second = await answer.json()
        own, asked = issuer.at(REFRESH)
        assert asked.headers["Authorization"] != own.headers["Authorization"]
        assert first["refresh"] in own.headers["Authorization"]
        assert asked.body == b""
        async with client.get("/api/jobs/", headers=bearer(second["access"])) as answer:
            assert answer.status == 200
        body = {"refresh": second["refresh"]}
        async with client.post(LOGOUT, json=body, headers=bearer(second["access"])) as answer:
            assert answer.status == 205
        issuer.spent.clear()
        for token in (first["refresh"], second["refresh"]):
            async with client.post(REFRESH, headers=bearer(token)) as answer:
                assert answer.status == 401
        assert len(issuer.at(REFRESH)) == 2


@pytest.mark.parametrize("path", [REFRESH, "/api/auth/refresh/"])
async def test_an_ended_refresh_token_where_none_is_expected_brings_nobody_back(
    tmp_path: Path, path: str
) -> None:
    issuer = Extended(refresh="/api/auth/refresh/")
    async with issuing(issuer), in_front(issuer, tmp_path) as proxy, browser(proxy) as client:
        pair = await logged_in(client)
        body = {"refresh": pair["refresh"]}
        async with client.post(LOGOUT, json=body, headers=bearer(pair["access"])) as answer:
            assert answer.status == 205
        issuer.spent.clear()
        async with client.post(path, headers=bearer(pair["refresh"])) as answer:
            assert answer.status == 401
        assert issuer.at(issuer.refresh) == []
        assert all(pair["refresh"] not in str(each.headers) for each in issuer.seen)


@pytest.mark.parametrize("scheme", ["JWT", "Token", "jwt"])
async def test_a_token_keeps_the_scheme_that_its_client_uses(tmp_path: Path, scheme: str) -> None:
    """Case 18."""
    issuer = Issuer(access=SHORT, scheme=scheme)
    async with (
        issuing(issuer),
        in_front(issuer, tmp_path, "{schemes: [JWT, Token]}") as proxy,
        browser(proxy) as client,
    ):
        first = (await logged_in(client))["access"]
        await asyncio.sleep(SHORT)
        issuer.access = 3600.0
        async with client.get("/api/jobs/", headers=bearer(first, scheme)) as answer:
            assert answer.status == 200
        assert issuer.seen[-1].headers["Authorization"].startswith(f"{scheme} ")


async def test_a_logout_is_given_the_current_token_under_its_own_name(tmp_path: Path) -> None:
    """Case 21."""
    issuer = LoggingOutByName(access=SHORT)
    async with (
        issuing(issuer),
        in_front(issuer, tmp_path, "{logout_request: refresh_token}") as proxy,
        browser(proxy) as client,
    ):
        pair = await logged_in(client)
        await asyncio.sleep(SHORT)
        issuer.access = 3600.0
        async with client.get("/api/jobs/", headers=bearer(pair["access"])) as answer:
            assert answer.status == 200
        body = {"refresh_token": pair["refresh"]}
        async with client.post(LOGOUT, json=body, headers=bearer(pair["access"])) as answer:
            assert answer.status == 205
        (sent,) = [each.json for each in issuer.at(LOGOUT)]
        assert list(sent) == ["refresh_token"]
        assert sent["refresh_token"] != pair["refresh"]
        assert sent["refresh_token"] in issuer.spent
        async with client.get("/api/jobs/", headers=bearer(pair["access"])) as answer:
            assert answer.status == 401


async def test_a_token_in_a_query_of_another_name_is_renewed(tmp_path: Path) -> None:
    issuer = Opening(access=SHORT)
    async with (
        issuing(issuer),
        in_front(issuer, tmp_path, "{query: [jwt]}") as proxy,
        browser(proxy) as client,
    ):
        first = (await logged_in(client))["access"]
        await asyncio.sleep(SHORT)
        issuer.access = 3600.0
        async with client.ws_connect(f"/ws/?x=1&jwt={first}") as socket:
            assert await socket.receive_str() == "welcome"
        assert issuer.seen[-1].query["x"] == "1"
        await gone(proxy)


COOKIES = "{cookies: {access: at, refresh: rt}}"


async def status(client: aiohttp.ClientSession, method: str, path: str) -> int:
    async with client.request(method, path) as answer:
        return answer.status


async def test_tokens_in_cookies_are_kept_and_renewed(tmp_path: Path) -> None:
    issuer = Baking(access=SHORT)
    async with (
        issuing(issuer),
        in_front(issuer, tmp_path, COOKIES) as proxy,
        browser(proxy) as client,
    ):
        async with client.post(LOGIN, json={}) as answer:
            first = answer.cookies["at"]
            assert int(first["max-age"]) > 86400, "it would end before it can be renewed"
            assert first["httponly"]
            assert answer.cookies["rt"]["max-age"] == "86400"
        await asyncio.sleep(SHORT)
        issuer.access = 3600.0
        assert [await status(client, "GET", "/api/jobs/") for _ in range(2)] == [200, 200]
        assert len(issuer.at(REFRESH)) == 1
        sent = issuer.seen[-1].cookies
        assert sent["at"] != first.value


async def test_a_client_that_refreshes_by_cookie_gets_those_that_the_server_sets(
    tmp_path: Path,
) -> None:
    """Case 17."""
    issuer = Baking(access=SHORT)
    async with (
        issuing(issuer),
        in_front(issuer, tmp_path, COOKIES) as proxy,
        browser(proxy) as client,
    ):
        assert await status(client, "POST", LOGIN) == 200
        first = {each.key: each.value for each in client.cookie_jar}
        await asyncio.sleep(SHORT)
        issuer.access = 3600.0
        # Segue renews, and the browser does not know of it.
        assert await status(client, "GET", "/api/jobs/") == 200
        async with client.post(REFRESH) as answer:
            assert answer.status == 200
            assert await answer.json() == {"user": 7}
            assert {*answer.cookies} == {"at", "rt"}
        sent = issuer.at(REFRESH)
        assert [each.cookies["rt"] == first["rt"] for each in sent] == [True, False]
        second = {each.key: each.value for each in client.cookie_jar}
        assert not {*first.values()} & {*second.values()}
        assert await status(client, "GET", "/api/jobs/") == 200
        assert issuer.seen[-1].cookies["at"] == second["at"]


async def test_a_logout_by_cookies_is_given_those_that_are_current(tmp_path: Path) -> None:
    issuer = Baking(access=SHORT)
    async with (
        issuing(issuer),
        in_front(issuer, tmp_path, COOKIES) as proxy,
        browser(proxy) as client,
        browser(proxy) as thief,
    ):
        assert await status(client, "POST", LOGIN) == 200
        stolen = {each.key: each.value for each in client.cookie_jar}
        await asyncio.sleep(SHORT)
        issuer.access = 3600.0
        assert await status(client, "GET", "/api/jobs/") == 200
        assert await status(client, "POST", LOGOUT) == 204
        (sent,) = issuer.at(LOGOUT)
        assert sent.body == b""
        assert sent.cookies["rt"] in issuer.spent
        assert sent.cookies["rt"] != stolen["rt"]
        assert not list(client.cookie_jar)
        # What has ended is nobody's, and what is for everybody still is.
        issuer.spent.clear()
        async with thief.get("/api/jobs/", cookies=stolen) as answer:
            assert answer.status == 401
        assert "at" not in issuer.seen[-1].cookies
        async with thief.get("/", cookies=stolen) as answer:
            assert answer.status == 200
        async with thief.post(REFRESH, cookies=stolen) as answer:
            assert answer.status == 401


async def test_one_path_may_be_for_logins_and_refreshes_both(tmp_path: Path) -> None:
    issuer = OnePath(access=SHORT)
    paths = "{login: [/oauth/token], refresh: /oauth/token, logout: /oauth/revoke}"
    async with (
        issuing(issuer),
        in_front(issuer, tmp_path, GRANT, SESSIONS__PATHS=paths) as proxy,
        browser(proxy) as client,
    ):
        grant = {"grant_type": "password", "username": "a", "password": "b"}
        async with client.post("/oauth/token", data=grant) as answer:
            first = await answer.json()
        await asyncio.sleep(SHORT)
        issuer.access = 3600.0
        async with client.get("/", headers=bearer(first["access_token"])) as answer:
            assert answer.status == 200
        again = {"grant_type": "refresh_token", "refresh_token": first["refresh_token"]}
        async with client.post("/oauth/token", data=again) as answer:
            assert answer.status == 200
            second = await answer.json()
        assert second["access_token"] not in ("", first["access_token"])
        async with client.get("/", headers=bearer(second["access_token"])) as answer:
            assert answer.status == 200


@pytest.mark.parametrize("chosen", [0, 1, 2])
async def test_a_token_that_is_offered_as_a_subprotocol_is_renewed(
    tmp_path: Path, chosen: int
) -> None:
    issuer = Offered(access=SHORT)
    issuer.chosen = chosen
    async with (
        issuing(issuer),
        in_front(issuer, tmp_path, "{subprotocol: bearer}") as proxy,
        browser(proxy) as client,
    ):
        first = (await logged_in(client))["access"]
        await asyncio.sleep(SHORT)
        issuer.access = 3600.0
        offer = ["bearer", first, "chat"]
        async with client.ws_connect("/ws/", protocols=offer) as socket:
            assert socket.protocol == offer[chosen]
        assert first not in issuer.seen[-1].headers["Sec-WebSocket-Protocol"]
        await gone(proxy)


async def test_a_token_in_the_body_of_a_named_route_is_renewed(tmp_path: Path) -> None:
    issuer = Verifying(access=SHORT)
    async with (
        issuing(issuer),
        in_front(issuer, tmp_path, f"{{bodies: {{{VERIFY}: token}}}}") as proxy,
        browser(proxy) as client,
    ):
        pair = await logged_in(client)
        first = pair["access"]
        await asyncio.sleep(SHORT)
        issuer.access = 3600.0
        for body in ({"token": first, "n": 1}, {"token": "nobody's"}):
            async with client.post(VERIFY, json=body) as answer:
                assert answer.status == (200 if "n" in body else 401)
        assert [each.json.get("n") for each in issuer.at(VERIFY)] == [1, None]
        async with client.post(VERIFY, data=b"\xff") as answer:
            assert answer.status == 415
        async with client.post(LOGOUT, json={}, headers=bearer(first)) as answer:
            assert answer.status == 205
        async with client.post(VERIFY, json={"token": first}) as answer:
            assert answer.status == 401
        assert len(issuer.at(VERIFY)) == 2


def unopened(proxy: Segue, event: str = "logins open no sessions") -> list[dict[str, Any]]:
    lines = [json.loads(line) for line in proxy.log.getvalue().splitlines()]
    told = [line for line in lines if line["event"] == event]
    shown = ("event", "level", "timestamp")
    return [{key: line[key] for key in line if key not in shown} for line in told]


class Opaque(Issuer):
    """Issues tokens that say nothing."""

    def answer(self, pair: Mapping[str, str]) -> web.Response:
        return web.json_response({kind: f"{kind}-{len(pair)}" for kind in pair})


class Alone(Issuer):
    """Issues access tokens alone, as far as its body says."""

    def answer(self, pair: Mapping[str, str]) -> web.Response:
        answer = web.json_response({"access": pair["access"], "user": {"name": "somebody"}})
        answer.set_cookie("rt", pair["refresh"])
        return answer


@pytest.mark.parametrize(
    ("issuer", "told"),
    [
        (
            Enveloped(),
            {
                "reason": "no tokens found in the answer",
                "set": "sessions.tokens.access and .refresh, or .cookies",
                "texts": ["data.tokens.access", "data.tokens.refresh"],
                "cookies": [],
            },
        ),
        (
            Baking(),
            {
                "reason": "no tokens found in the answer",
                "set": "sessions.tokens.access and .refresh, or .cookies",
                "texts": [],
                "cookies": ["at", "rt"],
            },
        ),
        (
            Alone(),
            {
                "reason": "no refresh token found in the answer",
                "set": "sessions.tokens.refresh, or .cookies.refresh",
            },
        ),
        (
            Opaque(),
            {
                "reason": "the tokens are no JWTs with an end",
                "set": "sessions.tokens.access and .refresh, if others in the answer are meant",
            },
        ),
    ],
    ids=["elsewhere", "in cookies", "no refresh token", "no JWTs"],
)
async def test_why_logins_open_no_sessions_is_told_once(
    tmp_path: Path, issuer: Issuer, told: dict[str, Any]
) -> None:
    async with issuing(issuer), in_front(issuer, tmp_path) as proxy, browser(proxy) as client:
        for _ in range(3):
            await logged_in(client)
        assert unopened(proxy) == [told]


async def test_a_full_store_is_told_of(tmp_path: Path) -> None:
    issuer = Issuer()
    async with (
        issuing(issuer),
        in_front(issuer, tmp_path, STORE__SESSIONS="1") as proxy,
        browser(proxy) as client,
    ):
        for _ in range(3):
            await logged_in(client)
        assert unopened(proxy) == [{"reason": "the store is full", "set": "store.sessions"}]


async def test_a_scheme_that_is_not_looked_at_is_told_of(tmp_path: Path) -> None:
    """Case 18: nothing warned."""
    issuer = Issuer(scheme="JWT")
    async with issuing(issuer), in_front(issuer, tmp_path) as proxy, browser(proxy) as client:
        first = (await logged_in(client))["access"]
        for token in ("nobody's", f"{first} x", first, first):
            async with client.get("/api/jobs/", headers=bearer(token, "JWT")) as answer:
                assert answer.status == (200 if token == first else 401)
        assert unopened(proxy) == []  # One is open.
        assert unopened(proxy, "the token of a session is not looked at") == [
            {
                "reason": "the token comes with another scheme",
                "set": "sessions.tokens.schemes",
                "schemes": ["JWT"],
            }
        ]
