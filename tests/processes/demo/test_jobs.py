"""Jobs, transcripts and apps over REST."""

from __future__ import annotations

import asyncio
import json
from io import BytesIO
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from tests.support.backend import Account, Backend, create_job, register
from tests.support.waiting import PATIENCE

pytestmark = pytest.mark.asyncio

JOB_FIELDS = [
    "id",
    "initial_prompt",
    "prompt",
    "requirements_summary",
    "status",
    "error_message",
    "created_at",
    "updated_at",
]
APP_FIELDS = [
    "id",
    "job_id",
    "spec",
    "prd_markdown",
    "prd_generated_at",
    "created_at",
    "updated_at",
]


class Api:
    """Calls of one account."""

    def __init__(self, http: aiohttp.ClientSession, url: str, account: Account) -> None:
        self.http = http
        self.url = url
        self.account = account

    async def call(self, method: str, path: str, body: Any = None) -> tuple[int, Any]:
        async with self.http.request(
            method,
            f"{self.url}/api/{path}",
            headers=self.account.headers,
            json=body,
        ) as response:
            text = await response.text()
            return response.status, (json.loads(text) if text else None)

    async def say(self, job_id: str, content: str = "Hello", **fields: Any) -> tuple[int, Any]:
        body = {"job_id": job_id, "role": "user", "sender": "Ana", "content": content, **fields}
        return await self.call("POST", "job-messages/", body)

    async def finished(self, job_id: str) -> dict[str, Any]:
        async with asyncio.timeout(PATIENCE):
            while True:
                _, job = await self.call("GET", f"jobs/{job_id}/")
                if job["status"] in ("done", "failed"):
                    result: dict[str, Any] = job
                    return result
                await asyncio.sleep(0.02)


@pytest.fixture
def api(http: aiohttp.ClientSession, backend: Backend, account: Account) -> Api:
    return Api(http, backend.url, account)


async def test_a_new_job_is_collecting(api: Api) -> None:
    job = await create_job(api.http, api.url, api.account, "A café map")
    assert list(job) == JOB_FIELDS
    assert job["status"] == "collecting"
    assert job["initial_prompt"] == job["prompt"] == "A café map"
    assert job["requirements_summary"] == job["error_message"] == ""


async def test_jobs_are_listed_newest_first_and_only_the_callers(api: Api) -> None:
    other = await register(api.http, api.url)
    await create_job(api.http, api.url, other)
    made = [await create_job(api.http, api.url, api.account, f"Job {n}") for n in range(3)]
    status, jobs = await api.call("GET", "jobs/")
    assert status == 200
    assert jobs == made[::-1]


async def test_the_detail_adds_steps_and_messages(api: Api) -> None:
    job = await create_job(api.http, api.url, api.account)
    status, detail = await api.call("GET", f"jobs/{job['id']}/")
    assert status == 200
    assert detail == {**job, "steps": [], "messages": []}
    await api.say(job["id"])
    detail = await api.finished(job["id"])
    assert list(detail) == [*JOB_FIELDS, "steps", "messages"]
    assert detail["status"] == "done"
    assert detail["requirements_summary"] != ""
    assert [step["order"] for step in detail["steps"]] == [1, 2, 3]
    assert list(detail["steps"][0]) == ["id", "agent_name", "message", "order", "created_at"]
    assert [said["sender"] for said in detail["messages"]] == ["Ana", "Analyst"]


async def test_patch_changes_the_prompt_only_while_collecting(api: Api) -> None:
    job = await create_job(api.http, api.url, api.account, "first")
    status, changed = await api.call("PATCH", f"jobs/{job['id']}/", {"initial_prompt": "second"})
    assert status == 200
    assert (changed["initial_prompt"], changed["prompt"]) == ("second", "second")
    await api.say(job["id"])
    await api.finished(job["id"])
    status, changed = await api.call("PATCH", f"jobs/{job['id']}/", {"initial_prompt": "third"})
    assert status == 200
    assert (changed["initial_prompt"], changed["prompt"]) == ("third", "second")
    assert changed["status"] == "done"
    status, _ = await api.call("PUT", f"jobs/{job['id']}/", {"initial_prompt": "fourth"})
    assert status == 405


async def test_delete_is_204_and_takes_everything_along(api: Api) -> None:
    job = await create_job(api.http, api.url, api.account)
    await api.say(job["id"])
    await api.finished(job["id"])
    assert await api.call("DELETE", f"jobs/{job['id']}/") == (204, None)
    assert (await api.call("GET", f"jobs/{job['id']}/"))[0] == 404
    assert await api.call("GET", "apps/") == (200, [])


async def test_a_job_may_be_deleted_while_its_script_runs(
    tmp_path: Path, http: aiohttp.ClientSession
) -> None:
    async with Backend(tmp_path, script_delay=0.1) as backend:
        api = Api(http, backend.url, await register(http, backend.url))
        job = await create_job(http, api.url, api.account)
        await api.say(job["id"])
        assert (await api.call("DELETE", f"jobs/{job['id']}/"))[0] == 204
        await asyncio.sleep(0.3)
        assert backend.errors == ""


async def test_purge_deletes_all_of_the_callers_jobs(api: Api) -> None:
    other = await register(api.http, api.url)
    kept = await create_job(api.http, api.url, other)
    jobs = [await create_job(api.http, api.url, api.account) for _ in range(3)]
    await api.say(jobs[0]["id"])
    await api.finished(jobs[0]["id"])
    assert await api.call("DELETE", "jobs/purge/") == (200, {"deleted": 3})
    assert await api.call("GET", "jobs/") == (200, [])
    assert await api.call("DELETE", "jobs/purge/") == (200, {"deleted": 0})
    assert await Api(api.http, api.url, other).call("GET", "jobs/") == (200, [kept])


async def test_purge_is_403_unless_the_server_allows_it(
    tmp_path: Path, http: aiohttp.ClientSession
) -> None:
    async with Backend(tmp_path) as backend:
        api = Api(http, backend.url, await register(http, backend.url))
        job = await create_job(http, backend.url, api.account)
        status, answer = await api.call("DELETE", "jobs/purge/")
        assert status == 403
        assert list(answer) == ["detail"]
        assert await api.call("GET", "jobs/") == (200, [job])


async def test_the_transcript_is_oldest_first(api: Api) -> None:
    job = await create_job(api.http, api.url, api.account)
    for content in ("one", "two", "three"):
        await api.say(job["id"], content, role="system")
    status, transcript = await api.call("GET", f"job-messages/?job_id={job['id']}")
    assert status == 200
    assert [said["content"] for said in transcript] == ["one", "two", "three"]
    assert list(transcript[0]) == ["id", "role", "sender", "content", "metadata", "created_at"]
    assert (await api.call("GET", f"jobs/{job['id']}/"))[1]["messages"] == transcript


async def test_a_message_keeps_its_metadata(api: Api) -> None:
    job = await create_job(api.http, api.url, api.account)
    metadata = {"big": 2**70, "nested": {"text": "ö", "none": None, "list": [1.5, []]}}
    status, said = await api.say(job["id"], role="system", metadata=metadata)
    assert status == 201
    assert said["metadata"] == metadata
    assert await api.call("GET", f"job-messages/{said['id']}/") == (200, said)


async def test_a_message_is_deleted(api: Api) -> None:
    job = await create_job(api.http, api.url, api.account)
    _, said = await api.say(job["id"], role="system")
    assert await api.call("DELETE", f"job-messages/{said['id']}/") == (204, None)
    assert (await api.call("GET", f"job-messages/{said['id']}/"))[0] == 404


async def test_only_what_a_user_says_wakes_the_agents(api: Api) -> None:
    job = await create_job(api.http, api.url, api.account)
    await api.say(job["id"], role="system")
    await asyncio.sleep(0.2)
    assert (await api.call("GET", f"jobs/{job['id']}/"))[1]["status"] == "collecting"
    await api.say(job["id"], role="user")
    assert (await api.finished(job["id"]))["status"] == "done"


async def test_the_app_of_a_job_is_204_until_it_exists(api: Api) -> None:
    job = await create_job(api.http, api.url, api.account)
    assert await api.call("GET", f"apps/by-job/{job['id']}/") == (204, None)
    await api.say(job["id"])
    await api.finished(job["id"])
    status, app = await api.call("GET", f"apps/by-job/{job['id']}/")
    assert status == 200
    assert list(app) == APP_FIELDS
    assert app["job_id"] == job["id"]
    assert len(app["prd_markdown"]) == 6144
    assert await api.call("GET", f"apps/{app['id']}/") == (200, app)
    assert await api.call("GET", "apps/") == (200, [app])


async def test_what_is_somebody_elses_is_404(api: Api) -> None:
    stranger = Api(api.http, api.url, await register(api.http, api.url))
    job = await create_job(api.http, api.url, api.account)
    _, said = await api.say(job["id"])
    await api.finished(job["id"])
    _, app = await api.call("GET", f"apps/by-job/{job['id']}/")
    for method, path in (
        ("GET", f"jobs/{job['id']}/"),
        ("PATCH", f"jobs/{job['id']}/"),
        ("DELETE", f"jobs/{job['id']}/"),
        ("GET", f"job-messages/?job_id={job['id']}"),
        ("GET", f"job-messages/{said['id']}/"),
        ("DELETE", f"job-messages/{said['id']}/"),
        ("GET", f"apps/{app['id']}/"),
        ("GET", f"apps/by-job/{job['id']}/"),
    ):
        status, _ = await stranger.call(method, path, {"initial_prompt": "mine"})
        assert (method, path, status) == (method, path, 404)
    assert (await stranger.say(job["id"]))[0] == 404
    assert await stranger.call("GET", "apps/") == (200, [])
    assert (await api.call("GET", f"jobs/{job['id']}/"))[0] == 200


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "jobs/"),
        ("POST", "jobs/"),
        ("GET", "jobs/3f2d6c1e-8a44-4a7e-9d55-0c2b7e9f1a10/"),
        ("PATCH", "jobs/3f2d6c1e-8a44-4a7e-9d55-0c2b7e9f1a10/"),
        ("DELETE", "jobs/3f2d6c1e-8a44-4a7e-9d55-0c2b7e9f1a10/"),
        ("DELETE", "jobs/purge/"),
        ("GET", "job-messages/"),
        ("POST", "job-messages/"),
        ("GET", "job-messages/1/"),
        ("DELETE", "job-messages/1/"),
        ("GET", "apps/"),
        ("GET", "apps/1/"),
        ("GET", "apps/by-job/3f2d6c1e-8a44-4a7e-9d55-0c2b7e9f1a10/"),
    ],
)
async def test_every_path_wants_a_token(
    backend: Backend, http: aiohttp.ClientSession, method: str, path: str
) -> None:
    async with http.request(method, f"{backend.url}/api/{path}") as response:
        assert response.status == 401


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("jobs/", b"{"),
        ("jobs/", b"[" * 100_000),
        ("jobs/", b'{"prompt": "' + b"x" * 100_001 + b'"}'),
        ("jobs/", b'{"prompt": "\\ud800"}'),
        ("jobs/", b'{"prompt": 1' + b"0" * 5_000 + b"}"),
        ("jobs/", b"\xff\xfe"),
        ("job-messages/", b"{}"),
        ("job-messages/", b'{"job_id": "x"}'),
    ],
)
async def test_a_bad_body_is_400(
    backend: Backend, http: aiohttp.ClientSession, account: Account, path: str, body: bytes
) -> None:
    headers = {**account.headers, "Content-Type": "application/json"}
    async with http.post(f"{backend.url}/api/{path}", data=body, headers=headers) as response:
        assert response.status == 400


@pytest.mark.parametrize(
    "metadata",
    ['{"a": "\\ud800"}', '{"\\udfff": 1}', "[]", "1", '{"a": ' + "[" * 40 + "]" * 40 + "}"],
)
async def test_metadata_that_cannot_be_sent_again_is_400(api: Api, metadata: str) -> None:
    job = await create_job(api.http, api.url, api.account)
    status, _ = await api.say(job["id"], metadata=json.loads(metadata))
    assert status == 400


async def test_a_body_over_the_limit_is_400(
    backend: Backend, http: aiohttp.ClientSession, account: Account
) -> None:
    headers = {**account.headers, "Content-Type": "application/json"}
    async with http.post(
        f"{backend.url}/api/jobs/", data=BytesIO(b" " * 3_000_000), headers=headers
    ) as response:
        assert response.status == 400


@pytest.mark.parametrize("query", ["", "?job_id=", "?job_id=x"])
async def test_a_transcript_without_a_job_is_400(api: Api, query: str) -> None:
    status, answer = await api.call("GET", f"job-messages/{query}")
    assert status == 400
    assert answer == {"detail": "Expected ?job_id=<uuid>."}


@pytest.mark.parametrize("number", ["9" * 30, "9" * 5_000])
async def test_an_impossible_number_is_404(api: Api, number: str) -> None:
    async with api.http.get(
        f"{api.url}/api/apps/{number}/", headers=api.account.headers
    ) as response:
        assert response.status == 404


async def test_fifty_writers_at_once_all_succeed(api: Api) -> None:
    jobs = await asyncio.gather(
        *(create_job(api.http, api.url, api.account, f"Job {n}") for n in range(50))
    )
    statuses = await asyncio.gather(*(api.say(job["id"]) for job in jobs))
    assert [status for status, _ in statuses] == [201] * 50
    for job in jobs:
        assert (await api.finished(job["id"]))["status"] == "done"


async def test_cors_knows_the_origin_but_not_the_version_header(
    backend: Backend, http: aiohttp.ClientSession
) -> None:
    headers = {
        "Origin": "http://localhost:3000",
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": "x-client-version",
    }
    async with http.options(f"{backend.url}/api/jobs/", headers=headers) as response:
        assert response.status == 200
        assert response.headers["Access-Control-Allow-Origin"] == "http://localhost:3000"
        allowed = response.headers["Access-Control-Allow-Headers"].lower().split(", ")
        assert "authorization" in allowed
        assert "x-client-version" not in allowed
    headers["Origin"] = "http://elsewhere.example"
    async with http.options(f"{backend.url}/api/jobs/", headers=headers) as response:
        assert "Access-Control-Allow-Origin" not in response.headers


async def test_an_unknown_host_is_400(backend: Backend, http: aiohttp.ClientSession) -> None:
    headers = {"Host": "elsewhere.example"}
    async with http.get(f"{backend.url}/api/auth/me/", headers=headers) as response:
        assert response.status == 400
