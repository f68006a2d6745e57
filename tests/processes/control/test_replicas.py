"""Several processes on one store: what each says of itself, and what the others are told of it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from proxy.cli.main import main
from proxy.tokens.admin_token import hash_of
from proxy.tokens.sealing import new_key
from tests.conftest import require_component
from tests.support.administered import OPERATOR
from tests.support.process import Process, running
from tests.support.storages import RedisServer
from tests.support.switch_storages import switch_store_at
from tests.support.waiting import PATIENCE

TOKEN = {"name": "ci", "role": "operator", "hash": hash_of(OPERATOR)}
FIELDS = {"Authorization": f"Bearer {OPERATOR}"}
KEY = new_key()

ONE, OTHER = "modern/one", "modern/other"

MAPPING = """\
name: NAME
description: How a job is.
channel: websocket
direction: to_client
rules:
  - name: status
    match: {field: kind, equals: jobStatus}
    do: [set: {NAME: 1}]
    examples: [{in: {kind: jobStatus}, out: {kind: jobStatus, NAME: 1}}]
"""


@pytest.fixture
def redis(tmp_path: Path) -> Iterator[RedisServer]:
    directory = tmp_path / "redis"
    directory.mkdir()
    server = RedisServer(require_component("redis-server"), directory)
    yield server
    server.process.kill()
    server.process.wait()


def configured(directory: Path, name: str, *mappings: str, switching: object = None) -> Path:
    """A configuration whose cohort `modern` has these mappings; JSON is YAML."""
    place = directory / name
    (place / "mappings").mkdir(parents=True)
    for mapping in mappings:
        (place / "mappings" / f"{mapping}.yaml").write_text(MAPPING.replace("NAME", mapping))
    cohort = {"name": "modern", "versions": ">=2", "websocket": {"to_client": [*mappings]}}
    told = {
        "upstream": {"url": "http://127.0.0.1:9"},
        "admin": {"tokens": [TOKEN]},
        "cohorts": [cohort],
        "switching": switching or {},
    }
    (place / "config.yaml").write_text(json.dumps(told))
    return place / "config.yaml"


@asynccontextmanager
async def replica(config: Path, store: str) -> AsyncIterator[Process]:
    env = {
        "SEGUE_STORE__URL": store,
        "SEGUE_STORE__KEYS": KEY,
        "SEGUE_STATE_DIR": str(config.parent / f"state-{len(list(config.parent.iterdir()))}"),
    }
    async with running(config, env=env) as process:
        yield process


async def asked(process: Process, path: str = "/replicas") -> tuple[int, dict[str, Any]]:
    async with (
        aiohttp.ClientSession(headers=FIELDS) as client,
        client.get(f"http://{process.admin}/api/v1{path}") as answer,
    ):
        return answer.status, json.loads(await answer.read())


async def ready(process: Process) -> tuple[int, str]:
    """What `/readyz` says."""
    async with (
        aiohttp.ClientSession() as client,
        client.get(f"http://{process.admin}/readyz") as answer,
    ):
        return answer.status, await answer.text()


async def listed(
    process: Process, is_so: Callable[[list[dict[str, Any]]], bool]
) -> list[dict[str, Any]]:
    """Wait until a process lists the replicas so."""
    async with asyncio.timeout(PATIENCE):
        while True:
            status, told = await asked(process)
            if status == 200 and is_so(told["replicas"]):
                return list(told["replicas"])
            await asyncio.sleep(0.05)


async def counts(process: Process, number: int, **labels: str) -> None:
    """Wait until a process counts so many replicas."""
    async with asyncio.timeout(PATIENCE):
        while True:
            if await process.total("segue_switch_replicas", **labels) == number:
                return
            await asyncio.sleep(0.05)


async def turn(process: Process, switch: str, state: str) -> int:
    """Turn a switch down; the revision."""
    async with (
        aiohttp.ClientSession(headers=FIELDS) as client,
        client.put(
            f"http://{process.admin}/api/v1/switches/{switch}",
            json={"state": state, "reason": "a test"},
        ) as answer,
    ):
        assert answer.status == 200, await answer.text()
        return int((await answer.json())["revision"]["number"])


def status_lines(process: Process, capsys: pytest.CaptureFixture[str], *more: str) -> str:
    """What `segue status` prints."""
    capsys.readouterr()
    assert main(["status", "--admin", f"http://{process.admin}", *more]) == 0
    return capsys.readouterr().out


async def test_every_replica_lists_all_and_which_are_on_the_newest_revision(
    tmp_path: Path, redis: RedisServer, capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setenv("SEGUE_ADMIN_TOKEN", OPERATOR)
    config = configured(tmp_path, "a", "one")
    async with (
        replica(config, redis.address) as first,
        replica(config, redis.address) as second,
        replica(config, redis.address) as third,
    ):
        processes = (first, second, third)
        for process in processes:
            found = await listed(process, lambda replicas: len(replicas) == 3)
            assert {each["pid"] for each in found} == {each.child.pid for each in processes}
            assert len({each["name"] for each in found}) == 3
            _, told = await asked(process)
            (answered,) = [each for each in found if each["name"] == told["answered"]]
            assert answered["pid"] == process.child.pid
            assert not any(each["other_configuration"] for each in found)
        number = await turn(second, ONE, "off")
        for process in processes:
            await listed(
                process,
                lambda replicas: all(
                    each["current"] and each["revision"] == each["stored"] == number
                    for each in replicas
                ),
            )
        await counts(third, 3, on="current")
        assert await third.total("segue_switch_replicas", on="older") == 0
        assert await third.total("segue_switch_revision") == number
        assert await third.total("segue_switch_stored_revision") == number
        said = await asyncio.to_thread(status_lines, first, capsys)
        assert said.count("\nreplica ") == 3
        assert said.count("; it answers") == 1
        assert f"on revision {number}" in said

        # Who ends in an orderly way says so; who is killed is forgotten after a while.
        assert await third.terminate() == 0
        await listed(first, lambda replicas: len(replicas) == 2)
        second.child.kill()
        await second.child.wait()
        (left,) = await listed(first, lambda replicas: len(replicas) == 1)
        assert left["pid"] == first.child.pid
        assert "\nreplica " not in await asyncio.to_thread(status_lines, first, capsys)


async def test_a_replica_with_other_files_says_what_it_lacks(
    tmp_path: Path, redis: RedisServer, capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setenv("SEGUE_ADMIN_TOKEN", OPERATOR)
    whole, less = configured(tmp_path, "a", "one", "other"), configured(tmp_path, "b", "one")
    async with replica(whole, redis.address) as first, replica(less, redis.address) as second:
        assert await turn(first, ONE, "off") == 1
        await listed(first, lambda found: [each["revision"] for each in found] == [1, 1])
        assert await turn(first, OTHER, "off") == 2
        found = await listed(first, lambda found: any(each["unapplied"] for each in found))
        (lacking,) = [each for each in found if each["unapplied"]]
        assert lacking["pid"] == second.child.pid
        assert (lacking["unapplied"], lacking["revision"], lacking["stored"]) == ([OTHER], 2, 2)
        assert (lacking["current"], lacking["other_configuration"]) == (True, True)
        assert await second.total("segue_switch_unapplied") == 1
        assert await second.total("segue_switch_stored_revision") == 2
        said = await asyncio.to_thread(status_lines, first, capsys)
        assert f"on revision 2 (not turned there: {OTHER}), with other files (" in said


async def test_a_replica_with_another_file_that_is_the_authority_says_what_is_not_turned_there(
    tmp_path: Path, redis: RedisServer
) -> None:
    file = {"authority": "file"}
    old = configured(tmp_path, "a", "one", "other", switching=file)
    new = configured(tmp_path, "b", "one", "other", switching={**file, "reconnect_over": 1})
    async with replica(old, redis.address) as first:
        await listed(first, lambda found: [each["revision"] for each in found] == [1])
        async with replica(new, redis.address) as second:
            # The new file is a revision that turns nothing; it is not applied where the old one is.
            found = await listed(first, lambda found: {each["stored"] for each in found} == {2})
            assert [each["unapplied"] for each in found] == [[], []]
            digest = {each["configuration"] for each in found if each["pid"] == second.child.pid}
            status, told = await ready(first)
            assert status == 200
            assert f"it is of the configuration {digest.pop()}, and " in told
            # What is stepped down there is not here, and both say so.
            assert await turn(second, ONE, "off") == 3
            found = await listed(second, lambda found: any(each["unapplied"] for each in found))
            (behind,) = [each for each in found if each["unapplied"]]
            assert behind["pid"] == first.child.pid
            assert (behind["unapplied"], behind["revision"], behind["stored"]) == ([ONE], 3, 3)
            assert await first.total("segue_switch_unapplied") == 1
            assert f"(it turns {ONE})" in (await ready(first))[1]
            assert (await asked(first, f"/switches/{ONE}"))[1]["state"] == "on"
            # With the file comes what was turned.
            old.write_text(new.read_text())
            async with (
                aiohttp.ClientSession(headers=FIELDS) as client,
                client.post(f"http://{first.admin}/api/v1/reload", json={}) as answer,
            ):
                assert answer.status == 200
            assert (await asked(first, f"/switches/{ONE}"))[1]["state"] == "off"
            await listed(
                first,
                lambda found: (
                    [(each["revision"], each["unapplied"]) for each in found] == 2 * [(3, [])]
                ),
            )
            assert await first.total("segue_switch_unapplied") == 0
            assert "not applied" not in (await ready(first))[1]


async def test_what_others_write_into_the_store_is_no_replica_and_moves_no_terminal(
    tmp_path: Path, redis: RedisServer, capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setenv("SEGUE_ADMIN_TOKEN", OPERATOR)
    sound = {
        "version": "1",
        "pid": 7,
        "since": 1.0,
        "configuration": "c",
        "revision": 0,
        "stored": 0,
    }
    unreadable: dict[str, object] = {
        "many": {**sound, "unapplied": ["a/b"] * 21},
        "long": {**sound, "version": "1" * 257},
        "negative": {**sound, "revision": -1},
        "huge": {**sound, "stored": 2**63},
        "text": {**sound, "pid": "7"},
        "early": {**sound, "since": -1},
        "late": {**sound, "since": 1e300},
        "list": [sound],
        "null": None,
    }
    async with replica(configured(tmp_path, "a", "one"), redis.address) as process:
        store = switch_store_at(redis.address)
        try:
            for name, document in unreadable.items():
                await store.announce(name, json.dumps(document).encode(), 600)
            await store.announce("broken", b'{"version":', 600)
            await store.announce("endless", b'{"since": 1e999}', 600)
            await store.announce("bytes", b"\xff\x00", 600)
            odd = {**sound, "version": "\x1b[2J\n2", "a later version": {"says": "more"}}
            await store.announce("odd", json.dumps(odd).encode(), 600)
            (odd_one,) = [
                each
                for each in await listed(process, lambda found: len(found) == 2)
                if each["name"] == "odd"
            ]
            assert odd_one["version"] == "\x1b[2J\n2"
            said = await asyncio.to_thread(status_lines, process, capsys)
            assert "\x1b" not in said
            assert "\\x1b[2J\\n2" in said
        finally:
            await store.close()


async def test_while_the_store_is_away_nobody_says_who_else_is_there(
    tmp_path: Path, redis: RedisServer, capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setenv("SEGUE_ADMIN_TOKEN", OPERATOR)
    config = configured(tmp_path, "a", "one")
    async with replica(config, redis.address) as first, replica(config, redis.address):
        await listed(first, lambda found: len(found) == 2)
        with redis.away():
            status, told = await asked(first)
            assert status == 503
            assert "away" in told["detail"]
            said = await asyncio.to_thread(status_lines, first, capsys)
            assert "not known: the store of switches is away" in said
            said = await asyncio.to_thread(status_lines, first, capsys, "--json")
            assert json.loads(said)["replicas"] is None
            await counts(first, 0)
        await listed(first, lambda found: len(found) == 2)
        said = await asyncio.to_thread(status_lines, first, capsys, "--json")
        assert len(json.loads(said)["replicas"]["replicas"]) == 2
