"""Which messages need which mapping, and when that cannot be seen."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from proxy.gateway import needs
from proxy.switching.table import SwitchName
from tests.support.rig import answering, raw_server, segue
from tests.support.sunsets import looked, stopped
from tests.support.switches import STATUS, SWITCH, Switched, sent, switched, until

NAME = SwitchName("modern", "old-to-new")
OTHER = SwitchName("legacy", "new-to-old")
UNTOUCHED = b'{"kind": "status", "jobId": "7"}'


async def test_what_is_mapped_is_needed_and_what_passes_is_not(tmp_path: Path) -> None:
    async with switched(tmp_path) as running:
        await stopped(running.proxy)
        pair = await running.open("2.1.4", b"Authorization: Bearer one")
        again = await running.open("2.1.4", b"Authorization: Bearer two")
        await sent(pair, UNTOUCHED, times=3)
        look = await looked(running.proxy)
        assert look.bound == {NAME, OTHER}
        assert (look.needed, look.users, look.versions, look.blind) == ({}, {}, {}, {})
        assert look.open == {NAME: 2}
        await sent(pair, times=2)
        await sent(again)
        # One that has ended is told of as well.
        again.client.peer.abort()
        again.server.peer.abort()
        await until(lambda: len(running.proxy.server._data.upgrades.sockets) == 1)
        look = await looked(running.proxy)
        assert look.needed == {NAME: 3}
        assert look.users[NAME].count() == 2
        assert look.versions == {NAME: {"2.1.4": 3}}
        assert look.open == {NAME: 1}
        assert (await looked(running.proxy)).needed == {}


async def test_what_fails_in_it_is_needed(tmp_path: Path) -> None:
    async with switched(tmp_path) as running:
        await stopped(running.proxy)
        pair = await running.open()
        await sent(pair, b'{"kind": "jobStatus", "jobId": "7", "type": "\\ud800"' + b" " * 9 + b"}")
        first = (await looked(running.proxy)).needed
        assert first == {NAME: 1}
        await sent(pair, b"[" * 3000 + b"]" * 3000)
        assert (await looked(running.proxy)).needed == {NAME: 1}


async def test_what_is_off_is_blind_even_between_two_looks(tmp_path: Path) -> None:
    async with switched(tmp_path) as running:
        await stopped(running.proxy)
        await running.turn("off")
        await running.turn("on")
        assert (await looked(running.proxy)).blind == {NAME: needs.OFF}
        assert (await looked(running.proxy)).blind == {}
        await running.turn("off", versions="==2.1.3", name="broken")
        await looked(running.proxy)
        assert (await looked(running.proxy)).blind == {NAME: needs.OFF}
        await running.ask("/switches/all-off", "POST", reason="a test")
        assert (await looked(running.proxy)).blind == {NAME: needs.OFF, OTHER: needs.OFF}


async def test_a_canary_is_blind_and_what_it_maps_is_needed(tmp_path: Path) -> None:
    async with switched(tmp_path) as running:
        await stopped(running.proxy)
        await running.turn("canary", percent=50)
        await looked(running.proxy)
        for number in range(16):
            await sent(await running.open("2.0", f"Authorization: Bearer {number}".encode()))
        look = await looked(running.proxy)
        assert look.blind == {NAME: needs.CANARY}
        assert 0 < look.needed[NAME] < 16
        assert look.users[NAME].count() == look.needed[NAME]
        await running.turn("canary", percent=100, open_sockets="next_message")
        await running.proxy.server._switches.rollover.finished()
        await looked(running.proxy)
        assert (await looked(running.proxy)).blind == {}


async def test_websockets_that_have_been_left_without_are_blind(tmp_path: Path) -> None:
    async with switched(tmp_path) as running:
        await stopped(running.proxy)
        await running.turn("off")
        pair = await running.open()
        await running.turn("on", open_sockets="keep")
        await looked(running.proxy)
        assert (await looked(running.proxy)).blind == {NAME: needs.LEFT}
        pair.client.peer.abort()
        pair.server.peer.abort()
        await until(lambda: not running.proxy.server._data.upgrades.sockets)
        assert (await looked(running.proxy)).blind == {}


async def test_a_shadow_watches_where_it_compares_everything(tmp_path: Path) -> None:
    more = "switching: {switches: {modern/old-to-new: shadow}, shadow_budget: 1}\n"
    async with switched(tmp_path, more) as running:
        await stopped(running.proxy)
        shadows = running.proxy.server._data.shadows
        pair = await running.open()
        assert await sent(pair, times=3) == STATUS
        account = shadows.account(SWITCH)
        assert account is not None
        await until(lambda: account.compared == 3)
        look = await looked(running.proxy)
        assert (look.needed, look.blind) == ({NAME: 3}, {})
        await sent(pair, UNTOUCHED)
        await until(lambda: account.compared == 4)
        look = await looked(running.proxy)
        assert (look.needed, look.blind) == ({}, {})
        await sent(pair, json.dumps({"kind": "jobStatus", "x": "y" * 70_000}).encode())
        await until(lambda: account.skipped == 1)
        look = await looked(running.proxy)
        assert (look.needed, look.blind) == ({}, {NAME: needs.SKIPPED})


@pytest.mark.parametrize(
    ("rule", "ignored"),
    [
        ('{user_agent: "KUBE-probe"}', True),
        ('{user_agent: "curl"}', False),
        ("{addresses: [127.0.0.0/8]}", True),
        ("{addresses: [10.0.0.0/8]}", False),
        ('{versions: "==2.1"}', True),
        ('{versions: ">=3"}', False),
        ('{user_agent: "kube", addresses: [10.0.0.0/8]}', False),
        ('{user_agent: "kube", addresses: ["127.0.0.1"], versions: "<3"}', True),
    ],
)
async def test_probes_are_counted_apart(tmp_path: Path, rule: str, *, ignored: bool) -> None:
    more = f"switching: {{sunset: {{ignore: [{rule}]}}}}\n"
    async with switched(tmp_path, more) as running:
        await stopped(running.proxy)
        pair = await running.open("2.1", b"User-Agent: kube-probe/1.30")
        await sent(pair, times=2)
        look = await looked(running.proxy)
        counts = ({}, {NAME: 2}) if ignored else ({NAME: 2}, {})
        assert (look.needed, look.ignored) == counts
        assert (NAME in look.users) is not ignored
        # Everywhere else they count as all others do.
        metric = running.proxy.metric
        assert await metric("segue_cohort_messages_total", cohort="modern", outcome="mapped") == 2
        apart = await metric("segue_mapping_ignored_messages_total", mapping="old-to-new")
        assert apart == (2 if ignored else 0)


HTTP = """
versions: {default: "1.0"}
mappings: {directory: mappings}
cohorts:
  - name: old
    versions: "<2"
    http:
      - {path: "/jobs/{}", methods: [GET], to_client: [jobs]}
"""
MAPPING = """
name: jobs
description: A field has another name.
channel: http
direction: to_client
rules:
  - name: renamed
    match: {field: old, exists: true}
    do: [{rename: {old: new}}]
    examples: [{in: {old: 1}, out: {new: 1}}]
"""


def get(path: str, *fields: str) -> bytes:
    return "\r\n".join((f"GET {path} HTTP/1.1", "Host: h", *fields, "", "")).encode()


async def test_bodies_count_as_messages_do(tmp_path: Path) -> None:
    (tmp_path / "mappings").mkdir()
    (tmp_path / "mappings" / "jobs.yaml").write_text(MAPPING)
    config = tmp_path / "config.yaml"
    config.write_text(HTTP + 'switching: {sunset: {ignore: [{user_agent: "probe"}]}}\n')
    name = SwitchName("old", "jobs")
    body = b'{"old": 1}'
    answer = (
        b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%b"
        % (len(body), body)
    )
    async with (
        raw_server(answering(answer)) as server,
        segue(server.url, config=config) as proxy,
    ):
        await stopped(proxy)
        for user in ("one", "two", "one"):
            assert b'{"new":1}' in await proxy.ask(
                get("/jobs/1", f"Authorization: Bearer {user}", "Connection: close")
            )
        await proxy.ask(get("/jobs/1", "User-Agent: a probe", "Connection: close"))
        await proxy.ask(get("/other", "Connection: close"))
        look = await looked(proxy)
        assert (look.needed, look.ignored, look.blind) == ({name: 3}, {name: 1}, {})
        assert look.users[name].count() == 2
        assert look.versions == {name: {"1": 3}}


async def test_counts_balance_with_probes_among_clients(tmp_path: Path) -> None:
    more = 'switching: {sunset: {ignore: [{user_agent: "probe"}]}}\n'
    async with switched(tmp_path, more) as running:
        await stopped(running.proxy)
        await _talk(running)
        outcomes = {
            outcome: await running.proxy.metric(
                "segue_messages_total", mapping="old-to-new", outcome=outcome
            )
            for outcome in ("mapped", "passed")
        }
        assert outcomes == {"mapped": 4.0, "passed": 2.0}
        await running.turn("off", open_sockets="next_message")
        await running.proxy.server._switches.rollover.finished()
        look = await looked(running.proxy)
        assert (look.needed, look.ignored) == ({NAME: 2}, {NAME: 2})


async def _talk(running: Switched) -> None:
    for agent in (b"probe", b"browser"):
        pair = await running.open("2.1", b"User-Agent: " + agent)
        await sent(pair, times=2)
        await sent(pair, UNTOUCHED)
