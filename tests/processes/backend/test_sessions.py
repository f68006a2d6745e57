"""Users stay logged in: an unchanged client in front of the real server, with lives of seconds."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import jwt
import pytest

from tests.processes.backend.conftest import running
from tests.support.backend import Account, Backend, create_job, register
from tests.support.rig import Segue, segue, status_of
from tests.support.sockets import handshake
from tests.support.waiting import PATIENCE

ACCESS = 2
"""Seconds that an access token lives at this server."""


@pytest.fixture(scope="module")
def backend(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Backend]:
    state_dir = tmp_path_factory.mktemp("short")
    with running(Backend(state_dir, access_lifetime=ACCESS, refresh_lifetime=60)) as server:
        yield server


@asynccontextmanager
async def proxied(backend: Backend, state_dir: Path, **env: str) -> AsyncIterator[Segue]:
    settings = {"SEGUE_SESSIONS__ENABLED": "true", "SEGUE_STATE_DIR": str(state_dir), **env}
    async with segue(backend.url, settings) as proxy:
        yield proxy


async def me(http: aiohttp.ClientSession, url: str, token: str) -> int:
    headers = {"Authorization": f"Bearer {token}"}
    async with http.get(f"{url}/api/auth/me/", headers=headers) as response:
        await response.read()
        return response.status


async def post(
    http: aiohttp.ClientSession, proxy: Segue, path: str, body: Any = None, token: str = ""
) -> tuple[int, Any]:
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    url = f"{proxy.url}/api/auth/{path}/"
    async with http.post(url, json=body, headers=headers) as response:
        text = await response.read()
        return response.status, await response.json(content_type=None) if text else None


async def open_socket(proxy: Segue, job: str, token: str) -> int:
    """Shake hands and go; the status."""
    async with proxy.client() as peer:
        target = f"/ws/jobs/{job}/?token={token}".encode()
        await peer.send(handshake(target).replace(b"app.example.com", b"127.0.0.1"))
        return status_of(await peer.read_head())


async def ended(token: str) -> None:
    """Wait until the server does not take a token any more."""
    end = jwt.decode(token, options={"verify_signature": False})["exp"]
    await asyncio.sleep(max(end - time.time(), 0) + 0.05)


async def refreshes(proxy: Segue, result: str = "renewed") -> float:
    return sum(
        value
        for (name, labels), value in (await proxy.metrics()).items()
        if name == "segue_session_refreshes_total" and ("result", result) in labels
    )


async def test_a_client_that_only_knows_its_first_token_works_past_ten_rotations(
    backend: Backend, http: aiohttp.ClientSession, tmp_path: Path
) -> None:
    async with proxied(backend, tmp_path) as proxy:
        account = await register(http, proxy.url)
        job = await create_job(http, proxy.url, account)
        async with asyncio.timeout(PATIENCE):
            while await refreshes(proxy) < 11:
                assert await me(http, proxy.url, account.access) == 200
                assert await open_socket(proxy, job["id"], account.access) == 101
                await asyncio.sleep(0.1)
        # And it is not the server that is so kind.
        assert await me(http, backend.url, account.access) == 401
        assert await refreshes(proxy, "refused") == 0


async def test_a_hundred_requests_with_one_expired_token_cause_one_refresh(
    backend: Backend, http: aiohttp.ClientSession, tmp_path: Path
) -> None:
    async with proxied(backend, tmp_path) as proxy:
        account = await register(http, proxy.url)
        await ended(account.access)
        begun = time.monotonic()
        statuses = await asyncio.gather(*(me(http, proxy.url, account.access) for _ in range(100)))
        assert statuses == [200] * 100
        # On a slow machine the new token ends before the last of them is served.
        lives = (time.monotonic() - begun) / (ACCESS / 2)
        assert 1 <= await refreshes(proxy) <= 1 + lives
        assert await proxy.metric("segue_session_waiters_total") > 0


async def test_a_client_that_refreshes_by_itself_is_given_what_the_server_answers(
    backend: Backend, http: aiohttp.ClientSession, tmp_path: Path
) -> None:
    async with proxied(backend, tmp_path) as proxy:
        account = await register(http, proxy.url)
        await ended(account.access)
        assert await me(http, proxy.url, account.access) == 200
        # Segue has spent this token on the client's behalf, and the server takes the current one.
        answers = [
            await post(http, proxy, "token/refresh", {"refresh": account.refresh}) for _ in range(2)
        ]
        assert [status for status, _ in answers] == [200, 200]
        assert answers[0] == answers[1]
        pair = answers[0][1]
        assert pair["refresh"] != account.refresh
        assert await me(http, backend.url, pair["access"]) == 200
        assert await refreshes(proxy) == 2
        # The newest one is exchanged for newer ones, and the losers of a race get the same.
        both = await asyncio.gather(
            *(post(http, proxy, "token/refresh", {"refresh": pair["refresh"]}) for _ in range(5))
        )
        assert {status for status, _ in both} == {200}
        assert len({answer["refresh"] for _, answer in both}) == 1
        assert both[0][1]["refresh"] != pair["refresh"]
        assert await refreshes(proxy) == 3


async def test_a_newer_token_that_is_used_ends_the_older_ones(
    backend: Backend, http: aiohttp.ClientSession, tmp_path: Path
) -> None:
    settings = {
        "SEGUE_SESSIONS__REPLAY_WINDOW": "500ms",
        "SEGUE_SESSIONS__REUSE_DETECTION": "false",
    }
    async with proxied(backend, tmp_path, **settings) as proxy:
        account = await register(http, proxy.url)
        status, pair = await post(http, proxy, "token/refresh", {"refresh": account.refresh})
        assert status == 200
        await ended(account.access)
        assert await me(http, proxy.url, account.access) == 200
        assert await me(http, proxy.url, pair["access"]) == 200
        # The server's own answer: the token leads nowhere any more.
        assert await me(http, proxy.url, account.access) == 401
        old = {"refresh": account.refresh}
        async with asyncio.timeout(PATIENCE):
            while (answer := await post(http, proxy, "token/refresh", old))[0] == 200:  # noqa: ASYNC110 (a window that only time closes)
                await asyncio.sleep(0.05)
        assert answer[0] == 401
        assert answer[1]["code"] == "token_not_valid"
        assert await me(http, proxy.url, pair["access"]) == 200


async def test_a_logout_works_with_old_tokens_and_is_one_for_all_of_them(
    backend: Backend, http: aiohttp.ClientSession, tmp_path: Path
) -> None:
    async with proxied(backend, tmp_path) as proxy:
        account = await register(http, proxy.url)
        await ended(account.access)
        assert await me(http, proxy.url, account.access) == 200
        await ended(account.access)
        status, pair = await post(http, proxy, "token/refresh", {"refresh": account.refresh})
        assert status == 200
        # With nothing but the first access token, which has ended.
        assert (await post(http, proxy, "logout", None, account.access))[0] == 205
        for token in (account.access, pair["access"]):
            assert await me(http, proxy.url, token) == 401
        assert await me(http, backend.url, pair["access"]) == 200, "the server did not refuse it"
        for token in (account.refresh, pair["refresh"]):
            assert (await post(http, proxy, "token/refresh", {"refresh": token}))[0] == 401
        url = f"{backend.url}/api/auth/token/refresh/"
        async with http.post(url, json={"refresh": pair["refresh"]}) as response:
            assert response.status == 401, "the server has not blacklisted the current token"


async def test_a_session_that_the_server_ended_gets_the_servers_own_401(
    backend: Backend, http: aiohttp.ClientSession, tmp_path: Path
) -> None:
    async with proxied(backend, tmp_path) as proxy:
        account = await register(http, proxy.url)
        # Behind Segue's back.
        url = f"{backend.url}/api/auth/logout/"
        body = {"refresh": account.refresh}
        async with http.post(url, json=body, headers=account.headers) as response:
            assert response.status == 205
        await ended(account.access)
        assert await me(http, proxy.url, account.access) == 401
        assert await refreshes(proxy, "refused") == 1
        assert await proxy.metric("segue_errors_total", error="session_ended") == 0
        # Segue does not ask again; who asks by itself gets the server's own answer, too.
        assert await me(http, proxy.url, account.access) == 401
        assert await refreshes(proxy, "refused") == 1
        assert (await post(http, proxy, "token/refresh", body))[0] == 401
        assert await refreshes(proxy, "refused") == 2
        assert await proxy.metric("segue_errors_total", error="session_ended") == 0


async def test_a_stopped_server_logs_nobody_out(
    http: aiohttp.ClientSession, tmp_path: Path
) -> None:
    server = Backend(tmp_path / "backend", access_lifetime=ACCESS, refresh_lifetime=60)
    await server.start()
    port = server.url.rpartition(":")[2]
    again = Backend(tmp_path / "backend", access_lifetime=ACCESS, refresh_lifetime=60, port=port)
    try:
        async with proxied(server, tmp_path / "state") as proxy:
            account = await register(http, proxy.url)
            await ended(account.access)
            await server.stop()
            assert await me(http, proxy.url, account.access) == 503
            await again.start()
            async with asyncio.timeout(PATIENCE):
                while await me(http, proxy.url, account.access) != 200:  # noqa: ASYNC110 (as a client would)
                    await asyncio.sleep(0.05)
            assert await refreshes(proxy, "refused") == 0
    finally:
        for each in (server, again):
            if each._process is not None:
                await each.stop()


async def test_a_restart_of_segue_logs_nobody_out(
    backend: Backend, http: aiohttp.ClientSession, tmp_path: Path
) -> None:
    async with proxied(backend, tmp_path) as proxy:
        account: Account = await register(http, proxy.url)
    await ended(account.access)
    async with proxied(backend, tmp_path) as proxy:
        assert await me(http, proxy.url, account.access) == 200


async def test_no_token_is_in_the_log_the_metrics_or_the_store(
    backend: Backend, http: aiohttp.ClientSession, tmp_path: Path
) -> None:
    async with proxied(backend, tmp_path) as proxy:
        account = await register(http, proxy.url)
        await ended(account.access)
        assert await me(http, proxy.url, account.access) == 200
        _, pair = await post(http, proxy, "token/refresh", {"refresh": account.refresh})
        assert await me(http, proxy.url, pair["access"]) == 200
        assert (await post(http, proxy, "logout", None, pair["access"]))[0] == 205
        assert await me(http, proxy.url, pair["access"]) == 401
        page = repr(await proxy.metrics())
        kept = b"".join(file.read_bytes() for file in tmp_path.iterdir() if file.is_file())
        log = proxy.log.getvalue()
    for token in (account.access, account.refresh, *pair.values()):
        # The head of a JWT is the same for all; what follows is not.
        secret = token.split(".")[1]
        assert secret not in log
        assert secret not in page
        assert secret.encode() not in kept
