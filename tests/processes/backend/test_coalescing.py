"""Request coalescing in front of the real server: what today's client does after every frame."""

from __future__ import annotations

import asyncio
from typing import Any, Final

import aiohttp

from tests.support.backend import Account, Backend, create_job, register
from tests.support.rig import segue

COALESCING: Final = {"SEGUE_COALESCING": "[{name: job, path: '/api/jobs/{}/'}]"}
POLLS: Final = 48


async def fetch(
    http: aiohttp.ClientSession, url: str, account: Account
) -> tuple[int, dict[str, Any]]:
    async with http.get(url, headers=account.headers) as response:
        return response.status, await response.json()


async def test_dozens_of_the_same_get_become_a_few_and_each_user_sees_their_own(
    old_backend: Backend,
) -> None:
    connector = aiohttp.TCPConnector(limit=0)
    async with (
        segue(old_backend.url, COALESCING) as proxy,
        aiohttp.ClientSession(connector=connector) as http,
    ):
        owner, stranger = await register(http, proxy.url), await register(http, proxy.url)
        job = await create_job(http, proxy.url, owner)
        url = f"{proxy.url}/api/jobs/{job['id']}/"
        answers = await asyncio.gather(
            *(fetch(http, url, owner) for _ in range(POLLS)),
            *(fetch(http, url, stranger) for _ in range(POLLS)),
        )
        received = await proxy.metric("segue_coalescing_requests_total", route="job")
        sent = await proxy.metric("segue_coalescing_upstream_requests_total", route="job")
    assert [(status, body["id"]) for status, body in answers[:POLLS]] == [(200, job["id"])] * POLLS
    assert {status for status, _ in answers[POLLS:]} == {404}
    assert received == 2 * POLLS
    # Two users, each with those that came before the first was sent, and those that came after.
    # The clients' connections are made one by one, so that a few more turns may begin.
    assert sent <= POLLS / 2


async def test_a_get_after_a_change_sees_it_however_many_poll(old_backend: Backend) -> None:
    connector = aiohttp.TCPConnector(limit=0)
    async with (
        segue(old_backend.url, COALESCING) as proxy,
        aiohttp.ClientSession(connector=connector) as http,
    ):
        account = await register(http, proxy.url)
        job = await create_job(http, proxy.url, account)
        url = f"{proxy.url}/api/jobs/{job['id']}/"
        for turn in range(5):
            polls = [asyncio.create_task(fetch(http, url, account)) for _ in range(8)]
            change = {"initial_prompt": f"Wish {turn}"}
            async with http.patch(url, json=change, headers=account.headers) as response:
                assert response.status == 200
            _, seen = await fetch(http, url, account)
            assert seen["initial_prompt"] == f"Wish {turn}"
            await asyncio.gather(*polls)
