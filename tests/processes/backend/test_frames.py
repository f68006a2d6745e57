"""Old frames, new frames: the real server and browser-style clients, with Segue between them."""

from __future__ import annotations

import asyncio
import json

import aiohttp
import pytest

from tests.support.backend import Backend
from tests.support.jobs import (
    FRAMES,
    KINDS,
    NEW,
    NEW_ORDER,
    OLD,
    OLD_ORDER,
    Job,
    members,
    watch_a_job,
    watching,
)
from tests.support.rig import segue
from tests.support.waiting import PATIENCE


def kinds(received: list[str]) -> list[str]:
    return [json.loads(message)["kind"] for message in received]


def assert_translated(before: str, after: str, to_new: bool) -> None:
    """`after` is `before` with the other name, everything else in its place."""
    (_, kind), *rest = members(before)
    (key, other), *kept = members(after)
    assert key == "kind"
    old, (new, fields) = next(
        pair for pair in KINDS.items() if kind == (pair[0] if to_new else pair[1][0])
    )
    assert other == (new if to_new else old)
    assert kept == rest
    assert [name for name, _ in kept] == fields


async def test_every_kind_arrives_in_order_with_the_name_that_each_client_wants(
    old_backend: Backend, http: aiohttp.ClientSession
) -> None:
    async with segue(old_backend.url) as proxy:
        direct, (new, old, untold) = await watch_a_job(http, old_backend, proxy, NEW, OLD, None)
        assert kinds(direct) == OLD_ORDER
        assert kinds(new) == NEW_ORDER
        for before, after in zip(direct, new, strict=True):
            assert_translated(before, after, to_new=True)
        # The old client and the one that tells nothing get the server's own bytes.
        assert old == direct
        assert untold == direct
        prd = json.loads(new[8])
        assert len(prd["prdMarkdown"]) == 400 * 1024

        # What the origin sent, what the clients got, and what was counted: all the same.
        for mapping, outcome in (("old-to-new", "mapped"), ("new-to-old", "passed")):
            counted = await proxy.metric(
                "segue_messages_total", mapping=mapping, direction="to_client", outcome=outcome
            )
            assert counted == len(direct) == FRAMES
        counts = {
            (dict(labels)["mapping"], dict(labels)["direction"], dict(labels)["outcome"]): value
            for (name, labels), value in (await proxy.metrics()).items()
            if name == "segue_messages_total" and value
        }
        assert counts == {
            ("old-to-new", "to_client", "mapped"): FRAMES,
            ("new-to-old", "to_client", "passed"): FRAMES,
            ("none", "to_client", "passed"): FRAMES,
            ("none", "to_server", "passed"): 1,
        }
        assert await proxy.metric("segue_websockets_total", cohort="modern") == 1


@pytest.mark.parametrize(("default", "expected"), [("1.0", OLD_ORDER), ("2.0", NEW_ORDER)])
async def test_todays_client_gets_the_dialect_that_the_default_version_names(
    old_backend: Backend, http: aiohttp.ClientSession, default: str, expected: list[str]
) -> None:
    async with segue(old_backend.url, {"SEGUE_VERSIONS__DEFAULT": default}) as proxy:
        direct, (untold, new, old) = await watch_a_job(http, old_backend, proxy, None, NEW, OLD)
        assert kinds(untold) == expected
        assert untold == (direct if default == "1.0" else new)
        assert kinds(new) == NEW_ORDER
        assert old == direct


async def test_a_server_of_the_new_dialect_serves_old_clients_and_leaves_new_ones_alone(
    new_backend: Backend, http: aiohttp.ClientSession
) -> None:
    async with segue(new_backend.url) as proxy:
        direct, (new, old, untold) = await watch_a_job(http, new_backend, proxy, NEW, OLD, None)
        assert kinds(direct) == NEW_ORDER
        assert new == direct
        assert untold == direct
        assert kinds(old) == OLD_ORDER
        for before, after in zip(direct, old, strict=True):
            assert_translated(before, after, to_new=False)


async def test_frames_arrive_while_the_job_is_still_running(
    old_backend: Backend, http: aiohttp.ClientSession
) -> None:
    async with segue(old_backend.url) as proxy:
        job = await Job.create(http, proxy.url)
        async with watching(proxy.url, job.path, NEW) as socket, asyncio.timeout(PATIENCE):
            await socket.send(json.dumps({"kind": "chat", "content": "begin"}))
            while (frame := json.loads(await socket.recv()))["kind"] != "step":
                assert frame["kind"] in ("chat", "status")
            url = f"{proxy.url}/api/jobs/{job.data['id']}/"
            async with http.get(url, headers=job.account.headers) as response:
                assert (await response.json())["status"] == "running"
            while frame.get("status") != "done":
                frame = json.loads(await socket.recv())


async def test_errors_of_the_server_and_odd_messages_of_a_client_pass(
    old_backend: Backend, http: aiohttp.ClientSession
) -> None:
    async with segue(old_backend.url) as proxy:
        job = await Job.create(http, proxy.url)
        async with (
            watching(old_backend.url, job.path) as direct,
            watching(proxy.url, job.path, NEW) as socket,
            asyncio.timeout(PATIENCE),
        ):
            for odd in ("", "not JSON", "[]", '{"kind": "status"}', b"\x00\xff"):
                await direct.send(odd)
                await socket.send(odd)
                answer = await socket.recv()
                assert answer == await direct.recv()
                assert json.loads(answer)["kind"] == "error"
            for client in (direct, socket):
                await client.close(4000, "enough")
            # Whatever the server makes of it, the client learns.
            assert socket.close_code == direct.close_code
            assert socket.close_reason == direct.close_reason
