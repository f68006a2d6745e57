"""`kill -9` at every stage of a refresh: what the server's state allows is saved."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import aiohttp

from proxy.sessions.store import scripts
from tests.support.backend import Account
from tests.support.fleet import Servers, crowd, exchange, expired, me, processes, settings
from tests.support.hops import Gate, Place, ServerHop, Step, store_hop
from tests.support.process import Process
from tests.support.storages import RedisServer, SqliteStorage
from tests.support.waiting import PATIENCE

PATIENT: Final = {
    "SEGUE_STORE__TIMEOUT": "60s",
    "SEGUE_SESSIONS__TIMEOUT": "60s",
    "SEGUE_SESSIONS__WAIT": "60s",
}
"""A process that is to be killed while it waits, and not to give up before."""


@dataclass(frozen=True, slots=True)
class Stage:
    """A moment at which the process is killed, and what has to come of it.

    Attributes:
        hold: where the refresh is then: at a command of Redis, on its way to the server or back;
            or where the request itself is, behind the refresh.
        presented: what comes of each time that the first refresh token reaches the server, as far
            as the process lives to hear it.
        status: what the user gets after a restart.
    """

    hold: Step | Place | str
    presented: tuple[int, ...]
    status: int


SAFE: Final = (200,)
"""Nothing had been presented before, or all had been written down."""
AGAIN: Final = (0, 200)
LOST: Final = (0, 401)
"""The server has taken the token, and its answer died with the process: it has nothing to give to
whoever presents the token once more. Only it could change that."""

BEFORE: Final = Place.REQUEST
DONE: Final = Place.ANSWER

STAGES: Final = {
    "looking the token up": Stage(Step(scripts.FIND, BEFORE), SAFE, 200),
    "asking for the lease": Stage(Step(scripts.ACQUIRE, BEFORE), SAFE, 200),
    "getting the lease": Stage(Step(scripts.ACQUIRE, DONE), SAFE, 200),
    "reading again": Stage(Step(scripts.LOAD, BEFORE), SAFE, 200),
    "having read again": Stage(Step(scripts.LOAD, DONE), SAFE, 200),
    "writing ahead": Stage(Step(scripts.SAVE, BEFORE), SAFE, 200),
    "having written ahead": Stage(Step(scripts.SAVE, DONE), SAFE, 200),
    "presenting": Stage(Place.REQUEST, AGAIN, 200),
    "being answered": Stage(Place.ANSWER, LOST, 401),
    "writing down": Stage(Step(scripts.SAVE, BEFORE, nth=2), (200, 401), 401),
    "having written down": Stage(Step(scripts.SAVE, DONE, nth=2), SAFE, 200),
    "giving the lease back": Stage(Step(scripts.RELEASE, BEFORE), SAFE, 200),
    "having given it back": Stage(Step(scripts.RELEASE, DONE), SAFE, 200),
    "sending the request": Stage("/api/auth/me/", SAFE, 200),
}


async def kill(process: Process, requests: list[asyncio.Task[int]]) -> None:
    """Kill a process, with the requests that it is busy with."""
    process.child.kill()
    await process.child.wait()
    outcomes = await asyncio.gather(*requests, return_exceptions=True)
    assert all(isinstance(outcome, aiohttp.ClientError) for outcome in outcomes), outcomes


async def test_killed_at_any_stage_of_a_refresh_in_front_of_redis(
    hop: ServerHop, servers: Servers, redis_server: RedisServer
) -> None:
    async with store_hop(redis_server.port) as between, crowd() as http:

        def gate(stage: Stage, user: Account) -> Gate:
            if isinstance(stage.hold, Step):
                return between.hold(stage.hold)
            if isinstance(stage.hold, Place):
                return hop.hold(stage.hold, user.refresh)
            return hop.hold(Place.REQUEST, stage.hold)

        env = settings(hop.url, f"redis://127.0.0.1:{between.port}/0")
        async with processes(1, env | PATIENT) as (victim,):
            somebody, *others = await expired(hop, servers, victim, 1 + len(STAGES))
            users = dict(zip(STAGES, others, strict=True))
            # Redis knows all scripts from here on: each step is one command.
            assert await me(http, victim, somebody.access) == 200
        async with processes(1, env | PATIENT) as (victim,):
            requests = []
            for name, stage in STAGES.items():
                held = gate(stage, users[name])
                requests.append(asyncio.create_task(me(http, victim, users[name].access)))
                await held.reached()
            await kill(victim, requests)
        hop.lose()
        between.lose()

        async with processes(1, env) as (survivor,):
            statuses = await asyncio.gather(
                *(me(http, survivor, users[name].access) for name in STAGES)
            )
            assert dict(zip(STAGES, statuses, strict=True)) == {
                name: stage.status for name, stage in STAGES.items()
            }
            assert {name: tuple(hop.presentations(users[name].refresh)) for name in STAGES} == {
                name: stage.presented for name, stage in STAGES.items()
            }
            # What is known to be spent is never presented again, not even by its owner; who asks
            # for what the server has refused gets that from the server.
            presented = len(hop.presented)
            for name, stage in STAGES.items():
                status, _ = await exchange(http, survivor, users[name].refresh)
                assert status == stage.status, name
            again = [each.token for each in hop.presented[presented:]]
            for name, stage in STAGES.items():
                by_its_owner = 1 if stage.status == 401 else 0
                assert again.count(users[name].refresh) <= by_its_owner, name


async def test_killed_twice_in_front_of_a_file(
    hop: ServerHop, servers: Servers, tmp_path: Path
) -> None:
    storage = SqliteStorage(tmp_path)
    env = settings(hop.url, storage.address)
    async with crowd() as http:
        async with processes(1, env | PATIENT) as (victim,):
            users = await expired(hop, servers, victim, 5)
            presenting, unlucky, answered, writing, sending = users
            requests = []

            async def begin(user: Account, place: Place, key: str) -> Gate:
                held = hop.hold(place, key)
                requests.append(asyncio.create_task(me(http, victim, user.access)))
                await held.reached()
                return held

            await begin(presenting, Place.REQUEST, presenting.refresh)
            await begin(unlucky, Place.REQUEST, unlucky.refresh)
            await begin(answered, Place.ANSWER, answered.refresh)
            await begin(sending, Place.REQUEST, "/api/auth/me/")
            answer = await begin(writing, Place.ANSWER, writing.refresh)
            with storage.locked():
                answer.open()
                async with asyncio.timeout(PATIENCE):
                    while hop.presentations(writing.refresh) != [200]:  # noqa: ASYNC110
                        await asyncio.sleep(0.01)
                await kill(victim, requests)
            hop.lose()

        async with processes(1, env | PATIENT) as (victim,):
            held = hop.hold(Place.REQUEST, unlucky.refresh)
            request = asyncio.create_task(me(http, victim, unlucky.access))
            await held.reached()
            await kill(victim, [request])
            hop.lose()

        async with processes(1, env) as (survivor,):
            statuses = await asyncio.gather(*(me(http, survivor, user.access) for user in users))
            assert [hop.presentations(user.refresh) for user in users] == [
                [0, 200],
                [0, 0],  # Its fate was unknown twice: that is enough, whatever the server saw.
                [0, 401],
                [200, 401],
                [200],
            ]
            assert statuses == [200, 401, 401, 401, 200]
