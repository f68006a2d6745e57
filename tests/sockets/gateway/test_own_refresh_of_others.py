"""Clients that refresh by themselves at servers of other kinds, with Segue in between.

Each has been reported of other proxies: what worked without one is to work with one.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from pathlib import Path

import pytest
from aiohttp import web

from tests.support.issuer import LOGIN as LOGIN_PATH
from tests.support.issuer import REFRESH, Issuer, Seen, browser, in_front, issuing

JOBS = "/api/jobs/"
SHORT = 0.6
"""Seconds that an access token lives where it is to end."""


class SettingCookies(Issuer):
    """Its pages authenticate by its cookie, which it sets at each login and refresh."""

    def answer(self, pair: Mapping[str, str]) -> web.Response:
        said = web.json_response({**pair, "access_expiration": self.issued})
        said.set_cookie("app-auth", pair["access"], httponly=True)
        said.set_cookie("app-refresh", pair["refresh"], httponly=True)
        return said

    def access_of(self, seen: Seen) -> str:
        return seen.cookies.get("app-auth", "")


async def test_who_authenticates_by_the_servers_cookie_and_refreshes_goes_on(
    tmp_path: Path,
) -> None:
    """Case 17."""
    issuer = SettingCookies(access=SHORT)
    async with (
        issuing(issuer),
        in_front(issuer, tmp_path) as proxy,
        browser(proxy) as client,
    ):
        async with client.post(LOGIN_PATH, json={}) as answer:
            refresh = (await answer.json())["refresh"]
        for number in range(2, 5):
            await asyncio.sleep(SHORT)
            async with client.get(JOBS) as answer:
                assert answer.status == 401
            issuer.access = SHORT if number < 4 else 3600.0
            async with client.post(REFRESH, json={"refresh": refresh}) as answer:
                assert answer.status == 200
                assert set(answer.cookies) == {"app-auth", "app-refresh"}
                said = await answer.json()
            assert said["access_expiration"] == number
            refresh = said["refresh"]
        async with client.get(JOBS) as answer:
            assert answer.status == 200


class Refusing(Issuer):
    """Refuses in a way of its own."""

    def __init__(self, status: int, said: object) -> None:
        super().__init__()
        self.refusal = (status, said)

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        answer = await super().handle(request)
        if request.path != REFRESH or answer.status == 200:
            return answer
        return web.json_response(self.refusal[1], status=self.refusal[0])


@pytest.mark.parametrize(
    ("status", "said"),
    [
        (403, {"message": "Forbidden"}),
        (404, {"message": "Not found"}),
        (400, {"error": "invalid_grant"}),
    ],
)
async def test_a_servers_own_kind_of_refusal_reaches_the_client(
    tmp_path: Path, status: int, said: object
) -> None:
    """Case 20, with no setting: what ends a session by itself is another question."""
    issuer = Refusing(status, said)
    async with (
        issuing(issuer),
        in_front(issuer, tmp_path) as proxy,
        browser(proxy) as client,
    ):
        async with client.post(LOGIN_PATH, json={}) as answer:
            refresh = (await answer.json())["refresh"]
        issuer.spent.add(refresh)
        for _ in range(2):
            async with client.post(REFRESH, json={"refresh": refresh}) as answer:
                assert (answer.status, await answer.json()) == (status, said)
        assert len(issuer.at(REFRESH)) == 2


class Tenanted(Issuer):
    """Answers nobody who does not say of which tenant."""

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        if request.headers.get("X-Tenant-Id") != "acme":
            return web.json_response({"detail": "no tenant"}, status=400)
        return await super().handle(request)


async def test_a_refresh_goes_with_the_field_that_its_client_sends(tmp_path: Path) -> None:
    """Case 22: the client's own."""
    issuer = Tenanted()
    async with (
        issuing(issuer),
        in_front(issuer, tmp_path) as proxy,
        browser(proxy) as client,
    ):
        fields = {"X-Tenant-Id": "acme"}
        async with client.post(LOGIN_PATH, json={}, headers=fields) as answer:
            refresh = (await answer.json())["refresh"]
        async with client.post(REFRESH, json={"refresh": refresh}, headers=fields) as answer:
            assert answer.status == 200
        async with client.post(REFRESH, json={"refresh": refresh}) as answer:
            assert answer.status == 200  # It has lost a race with itself.
