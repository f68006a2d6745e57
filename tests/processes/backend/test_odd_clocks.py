"""Clocks that are two hours off: everybody stays logged in, and no storm of refreshes follows."""

from __future__ import annotations

import asyncio
import subprocess
from collections import Counter
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final

import pytest

from tests.conftest import require_component
from tests.processes.backend.conftest import running
from tests.support.backend import Backend, register
from tests.support.fleet import Servers, crowd, ended, expired, me, processes, settings
from tests.support.hops import ServerHop
from tests.support.storages import RedisServer

REQUESTS: Final = 20


def off(by: str) -> dict[str, str]:
    """The environment of a process whose clock differs; libfaketime stands before its libc."""
    command = [require_component("faketime"), "-f", by, "printenv", "LD_PRELOAD"]
    library = subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()
    # Time limits run on the other clock, which nobody sets.
    return {"LD_PRELOAD": library, "FAKETIME": by, "FAKETIME_DONT_FAKE_MONOTONIC": "1"}


@pytest.fixture
def issuer(servers: Servers, request: pytest.FixtureRequest) -> Iterator[Backend]:
    """The same server once more, with another clock."""
    with pytest.MonkeyPatch.context() as environment:
        for name, value in off(request.param).items():
            environment.setenv(name, value)
        context = running(Backend(servers.steady.state_dir))
        server = context.__enter__()
    try:
        yield server
    finally:
        context.__exit__(None, None, None)


async def test_replicas_whose_clocks_are_four_hours_apart_keep_users_logged_in(
    hop: ServerHop, servers: Servers, redis_server: RedisServer
) -> None:
    env = settings(hop.url, redis_server.address)
    async with (
        processes(1, env | off("+2h")) as (ahead,),
        processes(1, env | off("-2h")) as (behind,),
        crowd() as http,
    ):
        begun = [datetime.fromisoformat(each.lines[0]["timestamp"]) for each in (ahead, behind)]
        assert begun[0] - begun[1] > timedelta(hours=3, minutes=59)
        for process in (ahead, behind):
            for user in (
                await register(http, f"http://{process.address}"),
                *await expired(hop, servers, process),
            ):
                before = len(hop.presented)
                for _ in range(REQUESTS // 2):
                    assert await me(http, ahead, user.access) == 200
                    assert await me(http, behind, user.access) == 200
                # One at most for each clock that reads the other's times.
                assert len(hop.presented) - before <= 2
        assert not hop.twice_though_known
        assert {each.answered for each in hop.presented} == {200}


async def test_a_token_that_ends_too_early_for_a_clock_that_is_behind_is_renewed_when_refused(
    hop: ServerHop, servers: Servers, redis_server: RedisServer
) -> None:
    env = settings(hop.url, redis_server.address)
    async with (
        processes(1, env | off("+2h")) as (ahead,),
        processes(1, env) as (right,),
        crowd() as http,
    ):
        (user,) = await expired(hop, servers, ahead)
        hop.server = servers.brief.url
        assert await me(http, ahead, user.access) == 200
        await ended(*(token for token, kind in hop.issued.items() if kind == "access"))
        hop.server = servers.steady.url
        # Renewed in two hours' time, for as long as that: it takes the server to know better.
        assert await me(http, right, user.access) == 200
        assert {each.answered for each in hop.presented} == {200}
        assert len(hop.presented) == 2


@pytest.mark.parametrize("issuer", ["+2h", "-2h"], indirect=True)
async def test_tokens_that_are_never_good_cause_one_refresh_and_the_servers_own_refusal(
    hop: ServerHop, issuer: Backend, tmp_path: Path
) -> None:
    # What the one issues has ended for the other, or not begun (PyJWT checks `iat`).
    hop.issuer = issuer.url
    env = settings(hop.url, f"sqlite:{tmp_path / 'sessions.sqlite3'}")
    async with processes(1, env) as (process,), crowd() as http:
        user = await register(http, f"http://{process.address}")
        for _ in range(3):
            statuses = await asyncio.gather(
                *(me(http, process, user.access) for _ in range(REQUESTS))
            )
            assert Counter(statuses) == {401: REQUESTS}
        assert hop.presentations(user.refresh) == [200]
        assert len(hop.presented) == 1
