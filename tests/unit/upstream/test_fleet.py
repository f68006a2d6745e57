"""Which server gets the next request: fewest first, those that are in before those that are out."""

from __future__ import annotations

import asyncio
import io
from collections import Counter
from dataclasses import replace

import pytest

from proxy.observability import log as logs
from proxy.upstream.fleet import Fleet, Servers
from proxy.upstream.health import EjectionRules
from proxy.upstream.pool import Pool
from proxy.upstream.target import Target

RULES = EjectionRules(failures=3, backoff=1000.0, longest=30000.0)


def target(name: str) -> Target:
    return Target(
        host=name,
        port=80,
        authority=name.encode(),
        tls=None,
        server_name=None,
        connect_timeout=1.0,
        response_timeout=1.0,
        idle_timeout=1.0,
        max_head=1024,
        max_idle=1,
        keepalive=1.0,
        write_buffer=1024,
    )


def servers(*names: str) -> Servers:
    return Servers(tuple(target(name) for name in names), RULES, check=None, retries=1)


def fleet_of(*names: str) -> Fleet:
    log = logs.build(logs.Writer(io.StringIO()), "error", "json", is_terminal=False)
    return Fleet(servers(*names), asyncio.get_running_loop(), log)


def put_out(pool: Pool) -> None:
    for _ in range(RULES.failures):
        pool.failed(pool.epoch, "no answer")


async def test_server_with_the_fewest_requests_and_websockets_is_chosen() -> None:
    fleet = fleet_of("a", "b", "c")
    a, b, c = fleet.pools
    a.in_flight, b.sockets, c.in_flight, c.sockets = 3, 3, 1, 1
    assert [fleet.choose() for _ in range(6)] == [c] * 6
    a.in_flight = 1
    assert [fleet.choose() for _ in range(3)] == [a] * 3


async def test_servers_with_equally_few_take_turns() -> None:
    fleet = fleet_of("a", "b", "c")
    assert Counter(fleet.choose() for _ in range(300)) == dict.fromkeys(fleet.pools, 100)


async def test_server_that_is_out_is_not_chosen_however_little_it_has_to_do() -> None:
    fleet = fleet_of("a", "b", "c")
    a, b, c = fleet.pools
    put_out(a)
    b.in_flight = c.in_flight = 50
    assert Counter(fleet.choose() for _ in range(10)) == {b: 5, c: 5}
    assert a.counters.ejections == 1


async def test_last_server_is_never_put_out() -> None:
    fleet = fleet_of("a", "b")
    a, b = fleet.pools
    put_out(a)
    put_out(b)
    assert (a.health.is_healthy, b.health.is_healthy) == (False, True)
    assert b.counters.ejections == 0


async def test_where_all_are_sick_all_are_tried() -> None:
    fleet = fleet_of("a", "b")
    for pool in fleet.pools:
        pool.health.probed(passed=False, healthy=1, unhealthy=1)
        assert not pool.health.is_healthy
    assert Counter(fleet.choose() for _ in range(10)) == dict.fromkeys(fleet.pools, 5)


async def test_another_is_none_of_those_that_were_tried_and_rather_one_that_is_in() -> None:
    fleet = fleet_of("a", "b", "c")
    a, b, c = fleet.pools
    put_out(b)
    assert fleet.another([a]) is c
    assert fleet.another([a, c]) is b
    assert fleet.another([a, b, c]) is None


async def test_only_server_is_chosen_whatever_became_of_it() -> None:
    fleet = fleet_of("a")
    put_out(fleet.pools[0])
    assert fleet.choose() is fleet.pools[0]
    assert fleet.pools[0].health.is_healthy


async def test_change_keeps_what_is_known_of_servers_that_stay() -> None:
    fleet = fleet_of("a", "b", "c")
    a, b, c = fleet.pools
    put_out(b)
    b.sockets = 7
    fleet.change(servers("d", "b"))
    assert [pool.name for pool in fleet.pools] == ["d:80", "b:80"]
    assert fleet.pools[1] is b
    assert (b.health.is_healthy, b.sockets, b.counters.ejections) == (False, 7, 1)
    assert set(fleet.known) == {*fleet.pools, a, c}


async def test_change_of_what_is_expected_keeps_the_health() -> None:
    fleet = fleet_of("a", "b")
    a, _ = fleet.pools
    put_out(a)
    changed = servers("a", "b")
    slower = tuple(replace(each, response_timeout=9.0) for each in changed.targets)
    gentler = replace(RULES, failures=5)
    fleet.change(replace(changed, targets=slower, rules=gentler, retries=2))
    assert fleet.pools[0] is a
    assert not a.health.is_healthy
    assert (a.target.response_timeout, a.health.rules, fleet.retries) == (9.0, gentler, 2)


async def test_server_that_comes_back_into_the_configuration_has_its_counts_and_a_clean_slate() -> (
    None
):
    fleet = fleet_of("a", "b")
    a, _ = fleet.pools
    put_out(a)
    fleet.change(servers("b"))
    assert fleet.choose().name == "b:80"
    fleet.change(servers("a", "b"))
    assert fleet.pools[0] is a
    assert a.health.is_healthy
    assert a.counters.ejections == 1


@pytest.mark.parametrize("busy", [False, True])
async def test_servers_that_have_left_are_forgotten_in_the_end_unless_they_are_at_work(
    busy: bool,
) -> None:
    fleet = fleet_of("first")
    fleet.pools[0].sockets = int(busy)
    for number in range(100):
        fleet.change(servers(f"s{number}"))
    assert len(fleet.known) < 40
    assert ("first:80" in {pool.name for pool in fleet.known}) is busy
