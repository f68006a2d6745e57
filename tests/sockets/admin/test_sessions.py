"""The sessions of the admin API over real sockets: what it shows, what it ends, what it refuses."""

from __future__ import annotations

import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from proxy.storage.audit_files import CURRENT
from tests.support.authority import Authority, Client, authority, proxied
from tests.support.rig import Segue, segue
from tests.support.sockets import handshake
from tests.support.storages import SqliteStorage
from tests.support.waiting import PATIENCE

KEYS = {
    *(
        "session",
        "user",
        "host",
        "cohort",
        "version",
        "age",
        "idle",
        "created",
        "used",
        "refreshed",
    ),
    *("refreshes", "generation", "websockets", "access_expires", "refresh_expires", "over"),
}


@asynccontextmanager
async def running(state_dir: Path) -> AsyncIterator[tuple[Authority, Segue, aiohttp.ClientSession]]:
    async with (
        authority() as server,
        proxied(server, state_dir) as proxy,
        proxy.admin() as client,
    ):
        yield server, proxy, client


async def logged_in(server: Authority, proxy: Segue, user: str = "7") -> Client:
    server.user = user
    client = Client(proxy)
    await client.log_in()
    return client


async def listed(client: aiohttp.ClientSession, query: str = "") -> Any:
    async with client.get(f"/api/v1/sessions{query}") as response:
        assert response.status == 200, await response.text()
        assert response.headers["Cache-Control"] == "no-store"
        return await response.json()


async def audited(proxy: Segue, event: str) -> list[dict[str, Any]]:
    assert await proxy.server.audit.flushed(PATIENCE)
    text = (Path(proxy.state_directory) / CURRENT).read_text()
    return [line for each in text.splitlines() if (line := json.loads(each))["event"] == event]


async def refused(response: aiohttp.ClientResponse) -> tuple[int, str]:
    assert response.content_type == "application/problem+json"
    problem = await response.json()
    assert problem["status"] == response.status
    return response.status, problem["detail"]


async def test_a_session_is_shown_with_whose_it_is_and_without_its_tokens(tmp_path: Path) -> None:
    async with running(tmp_path) as (server, proxy, client):
        user = await logged_in(server, proxy, "anna")
        user.fields = (b"X-Client-Version: 2.1",)
        assert await user.get() == 200
        _, pair = await user.exchange()
        async with proxy.client() as peer:
            token = f"Authorization: Bearer {pair['access']}".encode()
            await peer.send(handshake(b"/ws/", token, b"X-Client-Version: 2.1"))
            await peer.read_head()
            shown = await listed(client)
        (seen,) = shown["sessions"]
        assert shown["next"] is None
        assert set(seen) == KEYS
        assert (seen["user"], seen["cohort"], seen["version"]) == ("anna", "modern", "2.1")
        assert seen["host"] == "app.example.com"
        assert (seen["generation"], seen["refreshes"], seen["websockets"]) == (2, 1, 1)
        now = time.time()
        assert 0 <= seen["idle"] <= seen["age"] < 60
        assert seen["created"] <= seen["refreshed"] <= now
        assert now < seen["access_expires"] < seen["refresh_expires"]
        assert seen["over"] > now
        text = json.dumps(shown)
        for held in (user.access, user.refresh, *pair.values()):
            assert not any(part in text for part in held.split("."))


async def test_pages_follow_each_other_until_all_were_shown_once(tmp_path: Path) -> None:
    async with running(tmp_path) as (server, proxy, client):
        for user in ("anna", "ben", "anna"):
            await logged_in(server, proxy, user)
        whole = [each["session"] for each in (await listed(client))["sessions"]]
        assert len(set(whole)) == 3
        found: list[str] = []
        query = "?limit=2"
        while True:
            page = await listed(client, query)
            assert len(page["sessions"]) <= 2
            found += [each["session"] for each in page["sessions"]]
            if page["next"] is None:
                break
            query = f"?limit=2&after={page['next']}"
        assert found == whole == sorted(whole)
        of_anna = (await listed(client, "?user=anna"))["sessions"]
        assert [each["user"] for each in of_anna] == ["anna", "anna"]
        assert (await listed(client, "?user=nobody"))["sessions"] == []


async def test_one_session_is_ended_and_its_user_has_to_log_in_again(tmp_path: Path) -> None:
    async with running(tmp_path) as (server, proxy, client):
        user = await logged_in(server, proxy)
        (seen,) = (await listed(client))["sessions"]
        for ended in (1, 0):
            async with client.delete(f"/api/v1/sessions/{seen['session']}") as response:
                assert (response.status, await response.json()) == (200, {"ended": ended})
        assert await user.get() == 401
        assert (await listed(client))["sessions"] == []
        assert await (await logged_in(server, proxy)).get() == 200
        async with client.delete(f"/api/v1/sessions/{'0' * 32}") as response:
            assert await refused(response) == (404, "there is no session of this name")
        first, second = await audited(proxy, "session ended")
        assert first["details"] == {"session": seen["session"], "ended": 1}
        assert (first["author"].endswith("(socket)"), first["role"]) == (True, "admin")
        assert second["details"]["ended"] == 0


async def test_all_sessions_of_a_user_are_ended(tmp_path: Path) -> None:
    async with running(tmp_path) as (server, proxy, client):
        annas = [await logged_in(server, proxy, "anna") for _ in range(3)]
        ben = await logged_in(server, proxy, "ben")
        async with client.post("/api/v1/sessions/end", json={"user": "anna"}) as response:
            assert (response.status, await response.json()) == (200, {"ended": 3, "next": None})
        (line,) = await audited(proxy, "sessions ended")
        assert line["details"] == {"user": "anna", "ended": 3}
        assert [await each.get() for each in annas] == [401] * 3
        assert await ben.get() == 200


@pytest.mark.parametrize(
    "query",
    [
        *("limit=0", "limit=501", "limit=all", "after=../x", "user=", "users=7"),
        f"user={'x' * 257}",
        f"after={'a' * 65}",
    ],
)
async def test_invariant_8_questions_beyond_the_bounds_are_refused(
    tmp_path: Path, query: str
) -> None:
    async with (
        running(tmp_path) as (_, _, client),
        client.get(f"/api/v1/sessions?{query}") as response,
    ):
        status, detail = await refused(response)
    assert status == 400
    assert query.partition("=")[0] in detail


@pytest.mark.parametrize(
    "order",
    [
        b"{}",
        b'{"user": ""}',
        b'{"user": 7}',
        b'{"user": "7", "all": true}',
        b"7",
        b'{"user": "\xff"}',
    ],
)
async def test_an_order_that_names_no_user_ends_nothing(tmp_path: Path, order: bytes) -> None:
    async with running(tmp_path) as (server, proxy, client):
        user = await logged_in(server, proxy)
        headers = {"Content-Type": "application/json"}
        async with client.post("/api/v1/sessions/end", data=order, headers=headers) as response:
            assert (await refused(response))[0] == 400
        async with client.post("/api/v1/sessions/end", data='{"user": "7"}') as response:
            assert (await refused(response))[0] == 415
        assert await user.get() == 200


async def test_a_store_that_is_away_is_a_503_with_a_reason(tmp_path: Path) -> None:
    storage = SqliteStorage(tmp_path)
    async with running(tmp_path) as (server, proxy, client):
        user = await logged_in(server, proxy)
        with storage.away():
            for ask in (
                client.get("/api/v1/sessions"),
                client.delete(f"/api/v1/sessions/{'0' * 32}"),
                client.post("/api/v1/sessions/end", json={"user": "7"}),
            ):
                async with ask as response:
                    status, detail = await refused(response)
                    assert status == 503
                    assert "session" in detail
        assert await user.get() == 200


async def test_without_sessions_the_answer_says_so() -> None:
    async with segue("http://127.0.0.1:9") as proxy, proxy.admin() as client:
        async with client.get("/api/v1/sessions") as response:
            status, detail = await refused(response)
    assert status == 404
    assert "sessions.enabled" in detail
