"""One path for logins and refreshes: what the body says decides, whatever cookie comes along."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from tests.support.issuer import Issuer, Seen, browser, in_front, issuing
from tests.support.rig import Segue

PATH = "/oauth/token"
JOBS = "/api/jobs/"
LOGOUT = "/oauth/revoke"
SETTINGS = {"SESSIONS__PATHS": f"{{login: [{PATH}], refresh: {PATH}, logout: {LOGOUT}}}"}
PLACES = (
    "{cookies: {access: at, refresh: rt}, request_format: form, request_fields: {client_id: w}}"
)
PASSWORD = {"grant_type": "password", "username": "ada", "password": "x"}


class Granting(Issuer):
    """Grants by passwords, and by refresh tokens in cookies."""

    def __init__(self) -> None:
        super().__init__(login="", refresh=PATH, logout=LOGOUT)

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        form = await request.post()
        said = {} if request.content_type == "application/json" else dict(form)
        if request.content_type == "application/json":
            said = await request.json()
        self.login = PATH if "password" in said else ""
        return await super().handle(request)

    def answer(self, pair: Mapping[str, str]) -> web.Response:
        told = web.json_response({"token_type": "Bearer"})
        told.set_cookie("at", pair["access"])
        told.set_cookie("rt", pair["refresh"])
        return told

    def refresh_of(self, seen: Seen) -> str:
        return seen.cookies["rt"]

    def access_of(self, seen: Seen) -> str:
        return seen.cookies.get("at", "")


async def ask(client: aiohttp.ClientSession, path: str = PATH, **how: Any) -> int:
    async with client.post(path, **how) as answer:
        await answer.read()
        return answer.status


async def counts(proxy: Segue) -> tuple[float, float]:
    """Sessions that were opened, and refreshes that clients asked for themselves."""
    return (
        await proxy.metric("segue_session_captures_total", result="opened"),
        await proxy.metric("segue_session_refreshes_total", trigger="client", result="renewed"),
    )


@pytest.mark.parametrize(
    "how",
    [
        {},
        {"data": {"grant_type": "refresh_token"}},
        {"data": {"grant_type": "refresh_token", "client_id": "w"}},
        {"data": {"client_id": "w"}},
        {"json": {}},
        {"json": {"grant_type": "refresh_token"}},
    ],
)
async def test_a_refresh_with_its_token_in_a_cookie_is_one(
    tmp_path: Path, how: dict[str, Any]
) -> None:
    issuer = Granting()
    async with (
        issuing(issuer),
        in_front(issuer, tmp_path, PLACES, **SETTINGS) as proxy,
        browser(proxy) as client,
    ):
        assert await ask(client, data=PASSWORD) == 200
        for number in (1, 2):
            assert await ask(client, **how) == 200
            assert await counts(proxy) == (1, number)
        async with client.get(JOBS) as answer:
            assert answer.status == 200


@pytest.mark.parametrize("how", [{"data": PASSWORD}, {"json": PASSWORD}])
@pytest.mark.parametrize("ended", [False, True])
async def test_a_login_with_a_stale_cookie_is_a_login(
    tmp_path: Path, how: dict[str, Any], ended: bool
) -> None:
    issuer = Granting()
    async with (
        issuing(issuer),
        in_front(issuer, tmp_path, PLACES, **SETTINGS) as proxy,
        browser(proxy) as client,
    ):
        assert await ask(client, **how) == 200
        if ended:
            assert await ask(client, LOGOUT) == 205
        assert await ask(client, **how) == 200
        assert await counts(proxy) == (2, 0)


async def test_the_cookie_of_a_session_that_has_ended_is_no_refresh(tmp_path: Path) -> None:
    issuer = Granting()
    async with (
        issuing(issuer),
        in_front(issuer, tmp_path, PLACES, **SETTINGS) as proxy,
        browser(proxy) as client,
    ):
        assert await ask(client, data=PASSWORD) == 200
        assert await ask(client, LOGOUT) == 205
        issuer.spent.clear()
        asked = len(issuer.at(PATH))
        alike: list[dict[str, Any]] = [{}, {"data": {"grant_type": "refresh_token"}}, {"json": {}}]
        for how in alike:
            assert await ask(client, **how) == 401
        # What a server could read as either goes no further.
        doubtful = {"data": "grant_type=password&grant_type=refresh_token"}
        headers = {"Content-Type": "application/x-www-form-urlencoded"}
        assert await ask(client, headers=headers, **doubtful) == 400
        assert len(issuer.at(PATH)) == asked
