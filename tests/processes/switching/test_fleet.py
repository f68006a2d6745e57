"""Three processes on one Redis: a change is in force on all, whatever happens on the way to it."""

from __future__ import annotations

import asyncio
import math
import random
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Final

import pytest

from proxy.control.loading import load
from proxy.control.switch_store.scripts import CHANNEL
from proxy.mapping.switched import SwitchedCatalog
from proxy.switching.history import read_table
from proxy.switching.setting import Mode
from proxy.switching.table import SwitchName
from proxy.versions.version import Version
from tests.conftest import require_component
from tests.support.cut import wire
from tests.support.explained import Client
from tests.support.marking import canary_key
from tests.support.storages import RedisServer
from tests.support.switch_storages import switch_store_at
from tests.support.switched_fleet import Replica, agree, comes_to, fleet

FIRST, SECOND, ANSWER = "modern/first", "modern/second", "modern/answer"
CLIENT: Final = Client("somebody", "2.1.0")
BOTH: Final = (("first", "0"), ("second", "0"))
CHANGES: Final = 50
ROUNDS: Final = 20
USERS: Final = 400
MORE_USERS: Final = 100_000
SHARE: Final = 0.375


@pytest.fixture
def redis(tmp_path: Path) -> Iterator[RedisServer]:
    directory = tmp_path / "redis"
    directory.mkdir()
    server = RedisServer(require_component("redis-server"), directory)
    yield server
    server.process.kill()
    server.process.wait()


@pytest.fixture
async def three(tmp_path: Path, redis: RedisServer) -> AsyncIterator[list[Replica]]:
    async with fleet(tmp_path, dict.fromkeys("abc", redis.address)) as replicas:
        yield replicas


async def test_every_change_is_in_force_on_all(three: list[Replica]) -> None:
    states = ("off", "shadow", "on")
    for number in range(1, CHANGES + 1):
        somebody = three[number % 3].operator
        await somebody.turn((FIRST, SECOND)[number % 2], states[number // 2 % 3])
        for replica in three:
            await replica.is_at(number)
    await agree(three, CHANGES)


async def test_first_change_of_all_is_brought_to_open_sockets_everywhere(
    three: list[Replica],
) -> None:
    here, _, there = three
    async with here.socket(CLIENT) as shown_here, there.socket(CLIENT) as shown_there:
        assert await shown_here() == await shown_there() == BOTH
        await here.operator.turn(FIRST, "off", open_sockets="next_message")
        assert await shown_here() == BOTH[1:]
        await comes_to(shown_there, BOTH[1:])


async def test_a_store_that_is_killed_and_comes_back(
    redis: RedisServer, three: list[Replica]
) -> None:
    first, second, third = three
    await first.operator.turn(FIRST, "off")
    await agree(three, 1)
    async with third.socket(CLIENT) as shown:
        with redis.away():
            for replica in three:
                told = await replica.operator.ask(
                    "PUT", f"/switches/{SECOND}", state="off", reason="r"
                )
                assert told.status == 503
                assert "the store of switches is away, for " in told.detail
                # What is in force stays, for whoever comes and whoever is there.
                async with replica.socket(CLIENT) as fresh:
                    assert await fresh() == BOTH[1:]
                assert "away" in await replica.readiness()
            assert await shown() == BOTH[1:]
        await agree(three, 1)
        for replica in three:
            await replica.says(lambda told: told["store"] == "up")
        await second.operator.turn(SECOND, "off", open_sockets="next_message")
        await comes_to(shown, ())
        await agree(three, 2)


async def test_a_store_that_has_lost_everything(tmp_path: Path, redis: RedisServer) -> None:
    async with fleet(tmp_path, dict.fromkeys("ab", redis.address)) as replicas:
        first, second = replicas
        for state in ("off", "on", "off"):
            await first.operator.turn(FIRST, state, open_sockets="next_message")
        await agree(replicas, 3)
        async with second.socket(CLIENT) as shown:
            assert await shown() == BOTH[1:]
            redis.empty()
            # All are as the configuration says; the numbers begin anew, and what is asked of open
            # sockets is done, though they have seen higher ones.
            await agree(replicas, 0)
            await first.operator.order("/switches/all-off")
            await agree(replicas, 1)
            await comes_to(shown, ())
            await first.operator.order("/switches/restore")
            await agree(replicas, 2)
            await comes_to(shown, BOTH)


async def test_a_replica_that_was_cut_off_catches_up(tmp_path: Path, redis: RedisServer) -> None:
    async with wire(redis.port) as line:
        stores = {"a": redis.address, "b": redis.address, "c": f"redis://127.0.0.1:{line.port}/0"}
        async with fleet(tmp_path, stores) as replicas:
            first, second, third = replicas
            await first.operator.turn(ANSWER, "off")
            await agree(replicas, 1)
            async with third.socket(CLIENT) as shown:
                with line.cut():
                    await third.says(lambda told: told["store"] != "up")
                    await first.operator.turn(FIRST, "off", open_sockets="next_message")
                    await second.operator.turn(SECOND, "shadow")
                    await second.operator.turn(ANSWER, "on")
                    await agree([first, second], 4)
                    await first.operator.turn(ANSWER, "canary", percent=50)
                    await agree([first, second], 5)
                    assert await shown() == BOTH
                    async with third.socket(CLIENT) as fresh:
                        assert await fresh() == BOTH
                    told = await third.operator.ask(
                        "PUT", f"/switches/{FIRST}", state="off", reason="r"
                    )
                    assert told.status == 503
                await agree(replicas, 5)
                await comes_to(shown, BOTH[1:])
            await third.operator.turn(FIRST, "on")
            await agree(replicas, 6)


async def test_a_replica_whose_files_lack_a_switch(tmp_path: Path, redis: RedisServer) -> None:
    stores = dict.fromkeys("ab", redis.address)
    async with fleet(tmp_path, stores, lacking="second") as (first, less):
        async with less.socket(CLIENT) as shown:
            assert await shown() == BOTH[:1]
            # The first revision of all is no other: what it names is not here.
            await first.operator.turn(SECOND, "off", open_sockets="next_message")
            told = await less.says(lambda told: told["unapplied"] == [SECOND])
            assert (told["revision"], told["stored"]) == (1, 1)
            assert f"set in the store: {SECOND}" in await less.readiness()
            await first.operator.turn(FIRST, "off", open_sockets="next_message")
            await comes_to(shown, ())
            await first.operator.turn(FIRST, "on", open_sockets="next_message")
            await comes_to(shown, BOTH[:1])
            assert await less.process.total("segue_switch_unapplied") == 1
            await first.operator.order("/switches/all-off")
            await comes_to(shown, ())
            assert (await less.operator.switches())["all_off"]
            await first.operator.order("/switches/restore")
            await comes_to(shown, BOTH[:1])


async def test_a_change_whose_announcement_is_lost_is_found(
    tmp_path: Path, redis: RedisServer
) -> None:
    async with wire(redis.port) as line:
        stores = {"a": redis.address, "b": f"redis://127.0.0.1:{line.port}/0"}
        async with fleet(tmp_path, stores) as replicas:
            await replicas[0].operator.turn(FIRST, "off")
            await agree(replicas, 1)
            with line.losing(CHANNEL.encode()):
                await replicas[0].operator.turn(FIRST, "on")
                await agree(replicas, 2)
            assert line.lost > 0


async def test_of_two_changes_at_the_same_moment_one_is_made(three: list[Replica]) -> None:
    first, second, _ = three
    number = 0
    for chance in range(ROUNDS):
        states = ("on", "off") if chance % 2 else ("canary", "shadow")
        more = [{"percent": 50} if state == "canary" else {} for state in states]
        expected = await first.operator.at(FIRST)
        assert expected == await second.operator.at(FIRST)
        told = await asyncio.gather(
            *(
                replica.operator.ask(
                    "PUT", f"/switches/{FIRST}", expected=expected, state=state, reason="r", **extra
                )
                for replica, state, extra in zip((first, second), states, more, strict=True)
            )
        )
        assert sorted(each.status for each in told) == [200, 412]
        (loser,) = [each for each in told if each.status == 412]
        number += 1
        assert f"it is at revision {number}, not {expected}" in loser.detail
        await agree(three, number)
    # Who lowers and says nothing of what it builds on comes after the other.
    told = await asyncio.gather(
        *(
            replica.operator.ask("PUT", f"/switches/{FIRST}", state="off", owner=owner, reason="r")
            for replica, owner in zip(three, "abc", strict=True)
        )
    )
    assert [each.status for each in told] == [200] * 3
    numbers = sorted(each.body["revision"]["number"] for each in told)
    assert numbers == [number + 1, number + 2, number + 3]
    await agree(three, number + 3)


async def test_three_processes_agree_on_who_is_in_a_canary(
    tmp_path: Path, redis: RedisServer, three: list[Replica]
) -> None:
    await three[0].operator.turn(ANSWER, "canary", percent=100 * SHARE)
    await agree(three, 1)
    store = switch_store_at(redis.address)
    try:
        found, key = await store.load(), await canary_key(store)
    finally:
        await store.close()
    assert found is not None
    # What each process decides by: its own files, and what the store has.
    catalogs = [
        SwitchedCatalog(
            load(tmp_path / name / "config.yaml", {}, {}).catalog,
            None,
            read_table(found.state),
            key,
        )
        for name in "abc"
    ]
    version = Version.parse(CLIENT.version)

    def is_in(catalog: SwitchedCatalog, user: str) -> bool:
        decision = catalog.decide("modern", version, f"u:{user}".encode)
        (mode,) = [
            each.mode for each in decision.applied if each.switch == SwitchName("modern", "answer")
        ]
        return mode is Mode.ON

    chance = random.Random(2026)
    users = [f"{chance.randrange(10**9)}-{number}" for number in range(MORE_USERS)]
    inside = 0
    for user in users:
        by_catalog = {is_in(catalog, user) for catalog in catalogs}
        assert len(by_catalog) == 1, user
        inside += by_catalog == {True}
    # Six standard deviations: one run in 500 million is outside by chance.
    bound = 6 * math.sqrt(MORE_USERS * SHARE * (1 - SHARE))
    assert abs(inside - MORE_USERS * SHARE) < bound
    for user in users[:USERS]:
        client = Client(user, CLIENT.version)
        answers = await asyncio.gather(*(replica.answered(client) for replica in three))
        assert {"answer" in each for each in answers} == {is_in(catalogs[0], user)}, user
