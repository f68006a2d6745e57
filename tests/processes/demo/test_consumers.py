"""Who may open a job's WebSocket, and what may be said over it."""

from __future__ import annotations

import json
from typing import Any

import aiohttp
import pytest
import pytest_asyncio

from tests.support.backend import Account, Backend, create_job, register
from tests.support.waiting import PATIENCE

pytestmark = pytest.mark.asyncio


async def refusal(http: aiohttp.ClientSession, url: str, **options: Any) -> int:
    """The HTTP status of a handshake that must not succeed."""
    with pytest.raises(aiohttp.WSServerHandshakeError) as caught:
        await http.ws_connect(url, **options)
    return caught.value.status


async def answer(
    http: aiohttp.ClientSession, url: str, message: str | bytes, **options: Any
) -> Any:
    """The first frame that comes back."""
    async with http.ws_connect(url, **options) as socket:
        if isinstance(message, bytes):
            await socket.send_bytes(message)
        else:
            await socket.send_str(message)
        return await socket.receive_json(timeout=PATIENCE)


@pytest_asyncio.fixture
async def path(backend: Backend, http: aiohttp.ClientSession, account: Account) -> str:
    """The WebSocket of a job of the account."""
    job = await create_job(http, backend.url, account)
    return f"{backend.ws_url}/ws/jobs/{job['id']}/"


@pytest.mark.parametrize("parameter", ["token", "access_token"])
async def test_the_query_authenticates(
    http: aiohttp.ClientSession, account: Account, path: str, parameter: str
) -> None:
    frame = await answer(http, f"{path}?{parameter}={account.access}", "x")
    assert frame["kind"] == "error"


async def test_the_header_authenticates(
    http: aiohttp.ClientSession, account: Account, path: str
) -> None:
    frame = await answer(http, path, "x", headers=account.headers)
    assert frame["kind"] == "error"


async def test_a_missing_token_is_403(http: aiohttp.ClientSession, path: str) -> None:
    assert await refusal(http, path) == 403


@pytest.mark.parametrize("token", ["", "x", "a.b.c", "%ff%00", "&" * 200])
async def test_a_bad_token_is_403(http: aiohttp.ClientSession, path: str, token: str) -> None:
    assert await refusal(http, f"{path}?token={token}") == 403


@pytest.mark.parametrize("scheme", ["Basic", "bearer", ""])
async def test_another_scheme_is_403(
    http: aiohttp.ClientSession, account: Account, path: str, scheme: str
) -> None:
    headers = {"Authorization": f"{scheme} {account.access}"}
    assert await refusal(http, path, headers=headers) == 403


async def test_a_refresh_token_is_403(
    http: aiohttp.ClientSession, account: Account, path: str
) -> None:
    assert await refusal(http, f"{path}?token={account.refresh}") == 403


async def test_the_job_of_somebody_else_is_403(
    backend: Backend, http: aiohttp.ClientSession, path: str
) -> None:
    stranger = await register(http, backend.url)
    assert await refusal(http, f"{path}?token={stranger.access}") == 403


@pytest.mark.parametrize(
    "place", ["/ws/jobs/3f2d6c1e-8a44-4a7e-9d55-0c2b7e9f1a10/", "/ws/jobs/x/", "/", "/api/jobs/"]
)
async def test_a_path_without_a_job_is_403(
    backend: Backend, http: aiohttp.ClientSession, account: Account, place: str
) -> None:
    assert await refusal(http, f"{backend.ws_url}{place}?token={account.access}") == 403


@pytest.mark.parametrize(
    "message",
    [
        "",
        "not JSON",
        "[]",
        "null",
        "[" * 100_000,
        "{}",
        '{"kind": "status"}',
        '{"kind": {}}',
        '{"kind": "chat"}',
        '{"kind": "chat", "content": 5}',
        '{"kind": "chat", "content": "  "}',
        '{"kind": "chat", "content": "\\ud800"}',
        json.dumps({"kind": "chat", "content": "x" * 100_001}),
        b'{"kind": "chat", "content": "binary"}',
        b"",
    ],
)
async def test_a_bad_message_gets_an_error_frame_and_the_socket_lives(
    http: aiohttp.ClientSession, account: Account, path: str, message: str | bytes
) -> None:
    async with http.ws_connect(f"{path}?token={account.access}") as socket:
        if isinstance(message, bytes):
            await socket.send_bytes(message)
        else:
            await socket.send_str(message)
        frame = await socket.receive_json(timeout=PATIENCE)
        assert list(frame) == ["kind", "message"]
        assert frame["kind"] == "error"
        await socket.send_json({"kind": "chat", "content": "good"})
        frame = await socket.receive_json(timeout=PATIENCE)
        assert (frame["kind"], frame["content"]) == ("stageUpdate", "good")


async def test_a_chat_on_a_deleted_job_gets_an_error_frame(
    http: aiohttp.ClientSession, backend: Backend, account: Account, path: str
) -> None:
    async with http.ws_connect(f"{path}?token={account.access}") as socket:
        job_url = f"{backend.url}/api{path.removeprefix(backend.ws_url + '/ws')}"
        async with http.delete(job_url, headers=account.headers) as response:
            assert response.status == 204
        await socket.send_json({"kind": "chat", "content": "anybody?"})
        frame = await socket.receive_json(timeout=PATIENCE)
    assert frame == {"kind": "error", "message": "The job does not exist any more."}


async def test_a_message_posted_over_rest_arrives_as_a_frame(
    http: aiohttp.ClientSession, backend: Backend, account: Account, path: str
) -> None:
    job_id = path.rstrip("/").rpartition("/")[2]
    said = {
        "role": "system",
        "sender": "ops",
        "content": "Wartung um 5 – ok?",
        "metadata": {"n": 1},
    }
    async with http.ws_connect(f"{path}?token={account.access}") as socket:
        async with http.post(
            f"{backend.url}/api/job-messages/",
            json={"job_id": job_id, **said},
            headers=account.headers,
        ) as response:
            assert response.status == 201
        text = await socket.receive_str(timeout=PATIENCE)
    frame = json.loads(text)
    timestamp = frame.pop("timestamp")
    assert frame == {"kind": "stageUpdate", "jobId": job_id, **said}
    assert text == (
        f'{{"kind": "stageUpdate", "jobId": "{job_id}", "role": "system", "sender": "ops", '
        f'"content": "Wartung um 5 \\u2013 ok?", "metadata": {{"n": 1}}, '
        f'"timestamp": "{timestamp}"}}'
    )
