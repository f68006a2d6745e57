"""Each row and example of `docs/sessions.md`, in front of a server that does so.

For each: a login, the end of the access token, requests of a client that knows nothing of that, and
a logout with what it holds.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from proxy.configuration.document import parse
from tests.support import documented
from tests.support.issuer import Issuer, browser, in_front, issuing
from tests.support.issuers import (
    VERIFY,
    Baking,
    Enveloped,
    Extended,
    Granting,
    Greeted,
    LoggingOutByName,
    Named,
    Offered,
    OnRails,
    Opening,
    Resting,
    Revoking,
    Verifying,
)

SHORT = 1.0
"""Seconds that an access token lives where it is to end."""


async def got(client: aiohttp.ClientSession, issuer: Issuer, answer: Any) -> int:
    async with client.get("/api/jobs/", **issuer.credentials(answer)) as response:
        return response.status


async def verified(client: aiohttp.ClientSession, _: Issuer, answer: Any) -> int:
    async with client.post(VERIFY, json={"token": answer["access"]}) as response:
        return response.status


async def opened_by_query(client: aiohttp.ClientSession, _: Issuer, answer: Any) -> int:
    return await opened(client, f"/ws/?jwt={answer['access']}")


async def opened_by_offer(client: aiohttp.ClientSession, _: Issuer, answer: Any) -> int:
    return await opened(client, "/ws/", "bearer", answer["access"])


async def opened(client: aiohttp.ClientSession, target: str, *offered: str) -> int:
    try:
        async with client.ws_connect(target, protocols=offered):
            return 200
    except aiohttp.WSServerHandshakeError as error:
        return error.status


async def greeted(client: aiohttp.ClientSession, _: Issuer, answer: Any) -> int:
    try:
        async with client.ws_connect("/graphql/", protocols=["graphql-transport-ws"]) as socket:
            payload = {"authToken": answer["access"]}
            await socket.send_json({"type": "connection_init", "payload": payload})
            said = await socket.receive()
            if said.type is aiohttp.WSMsgType.TEXT:
                return 200 if said.json() == {"type": "connection_ack"} else 0
            return 401 if said.data == 1008 else int(said.data)
    except aiohttp.WSServerHandshakeError as error:
        return error.status


class NamedClients(Named):
    def credentials(self, answer: Any) -> dict[str, Any]:
        return {"headers": {"Authorization": f"Bearer {answer['access_token']}"}}

    def leaving(self, answer: Any) -> dict[str, Any]:
        return {**self.credentials(answer), "json": {"refresh_token": answer["refresh_token"]}}


class EnvelopedClients(Enveloped):
    def credentials(self, answer: Any) -> dict[str, Any]:
        return super().credentials(answer["data"]["tokens"])

    def leaving(self, answer: Any) -> dict[str, Any]:
        refresh = answer["data"]["tokens"]["refresh"]
        return {**self.credentials(answer), "json": {"data": {"refresh": refresh}}}


class ByNameClients(LoggingOutByName):
    def leaving(self, answer: Any) -> dict[str, Any]:
        return {**self.credentials(answer), "json": {"refresh_token": answer["refresh"]}}


class BakingClients(Baking):
    def credentials(self, answer: Any) -> dict[str, Any]:
        del answer  # They are in the browser's cookies.
        return {}

    leaving = credentials


class GrantingClients(Granting):
    credentials = NamedClients.credentials


class TenantedClients(Issuer):
    """Its clients name their tenant where they log in."""

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        if request.path == self.refresh and "X-Tenant-Id" not in request.headers:
            return web.json_response({"detail": "no tenant"}, status=400)
        return await super().handle(request)


class ForbiddingClients(Issuer):
    """Has revoked all refresh tokens."""

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        if request.path == self.refresh:
            return web.json_response({"message": "Forbidden"}, status=403)
        return await super().handle(request)


async def told_to_log_in(client: aiohttp.ClientSession, issuer: Issuer, answer: Any) -> int:
    status = await got(client, issuer, answer)
    return 200 if status == 401 else status


@dataclass
class Kind:
    """A row.

    Attributes:
        issuer: the server.
        use: what a client does with its token; returns a status.
        leaves: whether it logs out in the end.
    """

    issuer: type[Issuer]
    use: Any = got
    leaves: bool = True
    scheme: str = "Bearer"


ROWS = {
    "calls its tokens": Kind(NamedClients),
    "puts them into objects": Kind(EnvelopedClients),
    "reads `refresh_token` at the logout": Kind(ByNameClients),
    "takes `Authorization: JWT": Kind(Issuer, scheme="JWT"),
    "keeps both tokens in cookies": Kind(BakingClients),
    "reads the token of a refresh from": Kind(Extended),
    "reads a refresh that is a form": Kind(GrantingClients, leaves=False),
    "takes the token of a WebSocket from": Kind(Opening, opened_by_query),
    "takes it from the subprotocols": Kind(Offered, opened_by_offer, leaves=False),
    "takes it from the first message": Kind(Greeted, greeted),
    "is asked with a token in the body": Kind(Verifying, verified),
    "refreshes for nobody who does not": Kind(TenantedClients),
    "refuses a dead refresh token with": Kind(ForbiddingClients, told_to_log_in, leaves=False),
}


def test_every_row_is_run() -> None:
    does = list(documented.rows())
    assert len(does) == len(ROWS)
    assert all(row.startswith(begins) for row, begins in zip(does, ROWS, strict=True))


async def walked(
    issuer: Issuer, kind: Kind, tmp_path: Path, **env: str
) -> tuple[list[int], int | None]:
    """What a client is answered once its token has ended, and at its logout."""
    async with (
        issuing(issuer),
        in_front(issuer, tmp_path, **env) as proxy,
        browser(proxy) as client,
    ):
        data, fields = LOGINS.get(type(issuer)), FIELDS.get(type(issuer))
        async with client.post(issuer.login, data=data, headers=fields) as response:
            assert response.status == 200
            answer = await response.json(content_type=None)
        await asyncio.sleep(SHORT)
        issuer.access = 3600.0
        asked = [await kind.use(client, issuer, answer) for _ in range(2)]
        if not kind.leaves:
            return asked, None
        async with client.post(issuer.logout, **issuer.leaving(answer)) as response:
            left = response.status
        if set(asked) == {200} and left < 300:
            assert len(issuer.spent) == 2, "the refresh token that is current is good no more"
            assert await kind.use(client, issuer, answer) == 401
        return asked, left


LOGINS: dict[type[Issuer], dict[str, str]] = {
    Revoking: {"grant_type": "password", "username": "a", "password": "b"}
}


FIELDS: dict[type[Issuer], dict[str, str]] = {TenantedClients: {"X-Tenant-Id": "acme"}}


@pytest.mark.parametrize("begins", ROWS)
async def test_a_row_is_what_such_a_server_takes(tmp_path: Path, begins: str) -> None:
    (keys,) = [keys for does, keys in documented.rows().items() if does.startswith(begins)]
    kind = ROWS[begins]
    asked, left = await walked(
        kind.issuer(access=SHORT, scheme=kind.scheme), kind, tmp_path / "a", SESSIONS=keys
    )
    assert asked == [200, 200]
    assert left in (204, 205, None)
    # Without it something of that does not work.
    without = await walked(kind.issuer(access=SHORT, scheme=kind.scheme), kind, tmp_path / "b")
    assert without != (asked, left)


EXAMPLES = {
    "dj-rest-auth with cookies": Resting,
    "OAuth 2.0 with the password grant": Revoking,
    "A Rails API in the style of JSON:API": OnRails,
}
"""djoser's is run with Django: `tests/processes/backend/test_djoser.py`."""


def test_every_example_is_run() -> None:
    assert [*documented.examples()] == ["djoser", *EXAMPLES]


@pytest.mark.parametrize("name", EXAMPLES)
async def test_an_example_is_what_such_a_server_takes(tmp_path: Path, name: str) -> None:
    text = documented.examples()[name]
    document: Any = parse(text, "docs/sessions.md").data
    paths = document["sessions"]["paths"]
    issuer = EXAMPLES[name](
        access=SHORT,
        login=paths["login"][0],
        refresh=paths["refresh"],
        logout=paths["logout"],
    )
    section = text.removeprefix("sessions:\n")
    asked, left = await walked(issuer, Kind(type(issuer)), tmp_path, SESSIONS=section)
    assert asked == [200, 200]
    assert left in (200, 204, 205)
