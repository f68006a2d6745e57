"""Servers and clients whose tokens have other names, and stand elsewhere, than the first server's.

Each test: a login, the end of the access token, and a client that goes on with what it holds.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import aiohttp
import pytest
from aiohttp import web

from tests.support.issuer import LOGIN, LOGOUT, REFRESH, Issuer, Seen, browser, in_front, issuing
from tests.support.sockets import gone

SHORT = 0.5
"""Seconds that an access token lives where it is to end."""


class Named(Issuer):
    """Calls its tokens otherwise, in answers and in requests."""

    def answer(self, pair: Mapping[str, str]) -> web.Response:
        return web.json_response(
            {"access_token": pair["access"], "refresh_token": pair["refresh"], "n": 1}
        )

    def refresh_of(self, seen: Seen) -> str:
        return str(seen.json["refresh_token"])


class Enveloped(Issuer):
    """Puts its tokens into objects."""

    def answer(self, pair: Mapping[str, str]) -> web.Response:
        return web.json_response({"data": {"tokens": dict(pair)}})

    def refresh_of(self, seen: Seen) -> str:
        return str(seen.json["data"]["refresh"])


class Granting(Named):
    """Reads forms, as OAuth 2.0 has them (RFC 6749 section 6)."""

    def refresh_of(self, seen: Seen) -> str:
        if seen.headers["Content-Type"] != "application/x-www-form-urlencoded":
            raise ValueError("this is no form")
        sent = {name: values[0] for name, values in parse_qs(seen.body.decode()).items()}
        if (sent["grant_type"], sent["client_id"]) != ("refresh_token", "web"):
            raise ValueError("this is nobody's grant")
        return sent["refresh_token"]


class LoggingOutByName(Issuer):
    """Case 21: its refresh reads `refresh`, its logout `refresh_token`."""

    def refresh_of(self, seen: Seen) -> str:
        return str(seen.json["refresh_token" if seen.path == LOGOUT else "refresh"])


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


class Opening(Issuer):
    """Opens WebSockets for whoever has a good token in the query, as `jwt`."""

    async def served(self, request: web.BaseRequest, seen: Seen) -> web.StreamResponse:
        if seen.path != "/ws/":
            return await super().served(request, seen)
        if not self.is_good(seen.query.get("jwt", ""), "a"):
            return web.Response(status=403)
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        await socket.send_str("welcome")
        await socket.close()
        return socket


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
