"""REST and refused handshakes: through Segue they are what the real server says."""

from __future__ import annotations

import asyncio
from urllib.parse import urlsplit

import aiohttp
import pytest

from tests.support.backend import Account, Backend, create_job, register
from tests.support.jobs import Job
from tests.support.rig import RawPeer, segue
from tests.support.sockets import handshake, status_of
from tests.support.waiting import PATIENCE

CHANGING = {"Date", "Connection", "Keep-Alive"}


async def ask(
    http: aiohttp.ClientSession, base: str, method: str, path: str, account: Account | None
) -> tuple[int, list[tuple[str, str]], bytes]:
    """Status, fields and body of an answer, without what differs from one to the next."""
    # The same host, because some answers depend on it.
    headers = {"Host": "localhost", "X-Client-Version": "2.1.0"}
    headers |= account.headers if account is not None else {}
    async with http.request(
        method, base + path, headers=headers, allow_redirects=False
    ) as response:
        fields = [pair for pair in response.headers.items() if pair[0] not in CHANGING]
        return response.status, fields, await response.read()


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/api/auth/me/", 200),
        ("GET", "/api/jobs/", 200),
        ("GET", "/api/jobs/{job}/", 200),
        ("GET", "/api/jobs/{job}/?client_version=1.0", 200),
        ("HEAD", "/api/jobs/{job}/", 200),
        ("OPTIONS", "/api/jobs/", 200),
        ("GET", "/api/job-messages/?job_id={job}", 200),
        ("GET", "/api/apps/by-job/{job}/", 204),
        ("GET", "/api/jobs/{job}", 301),
        ("GET", "/api/jobs/00000000-0000-0000-0000-000000000000/", 404),
        ("POST", "/api/auth/me/", 405),
        ("DELETE", "/api/jobs/purge/", 403),
    ],
)
async def test_rest_through_segue_equals_rest_at_the_server(
    old_backend: Backend, http: aiohttp.ClientSession, method: str, path: str, status: int
) -> None:
    async with segue(old_backend.url) as proxy:
        account = await register(http, proxy.url)
        job = await create_job(http, proxy.url, account)
        path = path.format(job=job["id"])
        through = await ask(http, proxy.url, method, path, account)
        direct = await ask(http, old_backend.url, method, path, account)
        if status == 204:  # What the server says of a body that cannot be (RFC 9110 section 8.6).
            direct[1].remove(("Content-Length", "0"))
        assert through == direct
        assert through[0] == status


@pytest.mark.parametrize("path", ["/api/auth/me/", "/api/jobs/"])
async def test_a_request_without_a_token_gets_the_servers_401(
    old_backend: Backend, http: aiohttp.ClientSession, path: str
) -> None:
    async with segue(old_backend.url) as proxy:
        through = await ask(http, proxy.url, "GET", path, None)
        assert through[0] == 401
        assert ("WWW-Authenticate", 'Bearer realm="api"') in through[1]
        assert through == await ask(http, old_backend.url, "GET", path, None)


async def test_a_session_from_login_to_logout_works_through_segue(
    old_backend: Backend, http: aiohttp.ClientSession
) -> None:
    async with segue(old_backend.url) as proxy:
        account = await register(http, proxy.url)
        base = f"{proxy.url}/api/auth"
        login = {"email": account.email, "password": account.password}
        async with http.post(f"{base}/login/", json=login) as response:
            assert response.status == 200
            refresh = (await response.json())["refresh"]
        async with http.post(f"{base}/token/refresh/", json={"refresh": refresh}) as response:
            assert response.status == 200
            rotated = (await response.json())["refresh"]
        async with http.post(f"{base}/token/refresh/", json={"refresh": refresh}) as response:
            assert response.status == 401
            assert (await response.json())["detail"] == "Token is blacklisted"
        async with http.post(
            f"{base}/logout/", json={"refresh": rotated}, headers=account.headers
        ) as response:
            assert response.status == 205


async def shake_hands(peer: RawPeer, target: str) -> tuple[bytes, bytes]:
    request = handshake(target.encode()).replace(b"app.example.com", b"localhost")
    await peer.send(request)
    head = await peer.read_head()
    body = await peer.read_all()
    await peer.close()
    return head, body


@pytest.mark.parametrize("whose", ["nobody's", "a bad token", "somebody else's job"])
async def test_a_refused_handshake_gives_the_client_daphnes_403(
    old_backend: Backend, http: aiohttp.ClientSession, whose: str
) -> None:
    async with segue(old_backend.url) as proxy:
        job = await Job.create(http, proxy.url)
        stranger = await register(http, proxy.url)
        token = {"nobody's": "", "a bad token": "e.e.e"}.get(whose, stranger.access)
        target = f"/ws/jobs/{job.data['id']}/?token={token}"
        answers = [
            await shake_hands(await connect_raw(base), target)
            for base in (old_backend.url, proxy.url)
        ]
        (direct, direct_body), (through, through_body) = answers
        assert status_of(through) == 403
        assert through.split(b"\r\n")[0] == direct.split(b"\r\n")[0]
        assert through_body.strip(b"0\r\n") == direct_body.strip(b"0\r\n")
        assert await proxy.metric("segue_requests_total", cohort="none", code="403") == 1
        assert await proxy.metric("segue_websockets_total", cohort="none") == 0


async def connect_raw(base: str) -> RawPeer:
    url = urlsplit(base)
    assert url.hostname is not None
    assert url.port is not None
    async with asyncio.timeout(PATIENCE):
        return RawPeer(*await asyncio.open_connection(url.hostname, url.port))
