"""The frames of a job, from the first chat message to the last status."""

from __future__ import annotations

import asyncio
import json
import re
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from tests.support.backend import NEW_KINDS, OLD_KINDS, Account, Backend, create_job, register
from tests.support.waiting import PATIENCE

pytestmark = pytest.mark.asyncio

TIMESTAMP = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}\+00:00")
FIELDS = {
    "status": ["kind", "jobId", "status", "message", "timestamp"],
    "step": ["kind", "jobId", "agent", "message", "order", "timestamp"],
    "chat": ["kind", "jobId", "role", "sender", "content", "metadata", "timestamp"],
    "app": ["kind", "jobId", "spec", "prdMarkdown", "timestamp"],
}


async def watch(
    http: aiohttp.ClientSession, url: str, account: Account, job_id: str, content: str = "Go"
) -> list[str]:
    """Says something and collects the texts of the frames until the job has ended."""
    texts = []
    address = f"{url}/ws/jobs/{job_id}/?token={account.access}"
    async with http.ws_connect(address, max_msg_size=0) as socket:
        await socket.send_json({"kind": "chat", "content": content})
        while True:
            texts.append(await socket.receive_str(timeout=PATIENCE))
            if json.loads(texts[-1]).get("status") in ("done", "failed"):
                return texts


async def test_the_script_sends_every_kind_in_a_fixed_order(
    backend: Backend, http: aiohttp.ClientSession, account: Account
) -> None:
    for _ in range(2):
        job = await create_job(http, backend.url, account)
        texts = await watch(http, backend.ws_url, account, job["id"])
        frames = [json.loads(text) for text in texts]
        assert tuple(frame["kind"] for frame in frames) == OLD_KINDS
        for frame, new in zip(frames, NEW_KINDS, strict=True):
            assert list(frame) == FIELDS[new]
            assert frame["jobId"] == job["id"]
            assert TIMESTAMP.fullmatch(frame["timestamp"])
        statuses = [frame["status"] for frame in frames if frame["kind"] == "jobStatus"]
        assert statuses == ["queued", "running", "running", "done"]
        assert frames[1]["message"] is None
        orders = [frame["order"] for frame in frames if frame["kind"] == "agentDialogue"]
        assert orders == [1, 2, 3]


async def test_the_new_dialect_is_a_setting(tmp_path: Path, http: aiohttp.ClientSession) -> None:
    async with Backend(tmp_path, dialect="new") as backend:
        account = await register(http, backend.url)
        job = await create_job(http, backend.url, account)
        frames = [
            json.loads(text) for text in await watch(http, backend.ws_url, account, job["id"])
        ]
        assert tuple(frame["kind"] for frame in frames) == NEW_KINDS
        for frame in frames:
            assert list(frame) == FIELDS[frame["kind"]]


async def test_frames_are_the_output_of_json_dumps(
    backend: Backend, http: aiohttp.ClientSession, account: Account
) -> None:
    job = await create_job(http, backend.url, account)
    texts = await watch(http, backend.ws_url, account, job["id"], "Grüße 🚀")
    for text in texts:
        assert text.isascii()
        assert text == json.dumps(json.loads(text))
        assert text.startswith('{"kind": "')
    assert '"content": "Gr\\u00fc\\u00dfe \\ud83d\\ude80"' in texts[0]
    metadata = json.loads(texts[4])["metadata"]
    assert metadata["usage"]["trace"] > 2**64
    for spelling in ("1e-07", "6.02e+23", "-0.0", "0.1", "null", "true", "[]", "{}"):
        assert f": {spelling}" in texts[4] or f", {spelling}" in texts[4]


async def test_every_client_of_a_job_gets_every_frame(
    backend: Backend, http: aiohttp.ClientSession, account: Account
) -> None:
    job = await create_job(http, backend.url, account)
    address = f"{backend.ws_url}/ws/jobs/{job['id']}/?token={account.access}"
    sockets = [await http.ws_connect(address) for _ in range(5)]
    other_job = await create_job(http, backend.url, account)
    bystander = await http.ws_connect(address.replace(job["id"], other_job["id"]))
    await sockets[0].send_json({"kind": "chat", "content": "Go"})
    received = await asyncio.gather(*(collect(socket, len(OLD_KINDS)) for socket in sockets))
    assert tuple(json.loads(text)["kind"] for text in received[0]) == OLD_KINDS
    assert all(texts == received[0] for texts in received)
    await bystander.send_str("x")
    assert (await bystander.receive_json(timeout=PATIENCE))["kind"] == "error"
    for socket in (*sockets, bystander):
        await socket.close()


async def collect(socket: aiohttp.ClientWebSocketResponse, number: int) -> list[str]:
    return [await socket.receive_str(timeout=PATIENCE) for _ in range(number)]


async def test_a_second_message_is_sent_but_starts_nothing_again(
    backend: Backend, http: aiohttp.ClientSession, account: Account
) -> None:
    job = await create_job(http, backend.url, account)
    await watch(http, backend.ws_url, account, job["id"])
    address = f"{backend.ws_url}/ws/jobs/{job['id']}/?token={account.access}"
    async with http.ws_connect(address) as socket:
        for content in ("thanks", "again"):
            await socket.send_json({"kind": "chat", "content": content})
            frame: dict[str, Any] = await socket.receive_json(timeout=PATIENCE)
            assert (frame["kind"], frame["content"]) == ("stageUpdate", content)


async def test_two_messages_at_once_start_one_script(
    backend: Backend, http: aiohttp.ClientSession, account: Account
) -> None:
    job = await create_job(http, backend.url, account)
    address = f"{backend.ws_url}/ws/jobs/{job['id']}/?token={account.access}"
    async with http.ws_connect(address) as socket:
        for _ in range(3):
            await socket.send_json({"kind": "chat", "content": "Go"})
        texts = await collect(socket, len(OLD_KINDS) + 2)
        kinds = [json.loads(text)["kind"] for text in texts]
        assert sorted(kinds) == sorted([*OLD_KINDS, "stageUpdate", "stageUpdate"])
        await socket.send_str("x")
        assert (await socket.receive_json(timeout=PATIENCE))["kind"] == "error"


async def test_a_prompt_can_make_a_job_fail(
    backend: Backend, http: aiohttp.ClientSession, account: Account
) -> None:
    job = await create_job(http, backend.url, account, "Nothing [fail]")
    last = json.loads((await watch(http, backend.ws_url, account, job["id"]))[-1])
    assert (last["kind"], last["status"]) == ("jobStatus", "failed")
    async with http.get(
        f"{backend.url}/api/jobs/{job['id']}/", headers=account.headers
    ) as response:
        detail = await response.json()
    assert (detail["status"], detail["error_message"]) == ("failed", last["message"])


async def test_a_prd_of_several_hundred_kib_arrives_whole(
    tmp_path: Path, http: aiohttp.ClientSession
) -> None:
    async with Backend(tmp_path, prd_size=700_000) as backend:
        account = await register(http, backend.url)
        job = await create_job(http, backend.url, account)
        texts = await watch(http, backend.ws_url, account, job["id"])
        assert len(texts[8]) > 700_000
        app = json.loads(texts[8])
        assert len(app["prdMarkdown"]) == 700_000
        async with http.get(
            f"{backend.url}/api/apps/by-job/{job['id']}/", headers=account.headers
        ) as response:
            assert (await response.json())["prd_markdown"] == app["prdMarkdown"]


async def test_the_speed_is_a_setting(tmp_path: Path, http: aiohttp.ClientSession) -> None:
    async with Backend(tmp_path, script_delay=0.1) as backend:
        account = await register(http, backend.url)
        job = await create_job(http, backend.url, account)
        loop = asyncio.get_running_loop()
        begin = loop.time()
        await watch(http, backend.ws_url, account, job["id"])
        assert loop.time() - begin >= 9 * 0.1


async def test_a_job_that_a_stopped_server_left_off_has_failed(
    tmp_path: Path, http: aiohttp.ClientSession
) -> None:
    backend = Backend(tmp_path, script_delay=0.3)
    await backend.start()
    account = await register(http, backend.url)
    job = await create_job(http, backend.url, account)
    address = f"{backend.ws_url}/ws/jobs/{job['id']}/?token={account.access}"
    async with http.ws_connect(address) as socket:
        await socket.send_json({"kind": "chat", "content": "Go"})
        await collect(socket, 2)
        assert await backend.stop() == 0
    async with (
        backend,
        http.get(f"{backend.url}/api/jobs/{job['id']}/", headers=account.headers) as response,
    ):
        assert response.status == 200
        detail = await response.json()
    assert (detail["status"], detail["error_message"]) == ("failed", "The server was restarted")
    assert backend.errors == ""
