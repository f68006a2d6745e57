"""The recipes of `docs/operations.md`, each carried out under load, with nothing lost."""

from __future__ import annotations

import asyncio
import json
import shutil
import socket
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.conftest import require_component
from tests.support.checkout import ROOT
from tests.support.load import Load, Session, balancer, load, origin
from tests.support.process import running
from tests.support.shell import recipes, shell
from tests.support.storages import RedisServer
from tests.support.waiting import PATIENCE

RECIPES = recipes()


def free_addresses(number: int) -> list[str]:
    """Addresses that nobody listens on."""
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(number)]
    addresses = [f"127.0.0.1:{each.getsockname()[1]}" for each in sockets]
    for each in sockets:
        each.close()
    return addresses


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """The shipped configuration, with the default that today's clients want."""
    shutil.copytree(ROOT / "mappings", tmp_path / "mappings")
    text = (ROOT / "config.yaml").read_text(encoding="utf-8")
    shipped = '# versions:\n#   default: "1.0"\n'
    assert shipped in text
    text = text.replace(shipped, 'versions:\n  default: "1.0"\n')
    (tmp_path / "config.yaml").write_text(text, encoding="utf-8")
    return tmp_path


@pytest.fixture
def names() -> dict[str, str]:
    """The variables that the document asks to set."""
    keys = ("LISTEN", "ADMIN", "NEXT_LISTEN", "NEXT_ADMIN")
    return dict(zip(keys, free_addresses(len(keys)), strict=True))


def events(directory: Path, name: str = "segue.log") -> list[dict[str, Any]]:
    return [json.loads(line) for line in (directory / name).read_text().splitlines()]


async def logged(directory: Path, event: str, times: int = 1) -> None:
    """Wait for a line of the log."""
    async with asyncio.timeout(PATIENCE):
        while len([line for line in events(directory) if line["event"] == event]) < times:  # noqa: ASYNC110
            await asyncio.sleep(0.01)


def ended_orderly(directory: Path, name: str = "segue.log") -> bool:
    return [line["orderly"] for line in events(directory, name) if line["event"] == "stopped"] == [
        True
    ]


def kinds(traffic: Load, since: int = 0) -> list[set[str]]:
    """The kinds of messages that each WebSocket has got."""
    return [
        {message["kind"] for message in session.messages}
        for session in traffic.sessions[since:]
        if session.messages
    ]


async def renewed(traffic: Load) -> int:
    """Wait until every WebSocket of a short life is a new one; how many there were before."""
    since = len(traffic.sessions)
    async with asyncio.timeout(PATIENCE):
        while len(traffic.sessions) < since + 4 or not traffic.sessions[-1].messages:
            await traffic.pass_by(1)
    return since + 2  # Two may have been opened just before.


async def test_put_in_front_and_taken_away_again(directory: Path, names: dict[str, str]) -> None:
    async with origin() as server, shell(directory, SERVER=server.url, **names) as operator:
        target = server.url
        async with (
            balancer(lambda: target) as entrance,
            load(entrance, version=None) as traffic,
        ):
            await operator.run(RECIPES["start"])
            target = names["LISTEN"]
            await renewed(traffic)
            through = len([line for line in events(directory) if line["event"] == "request"])
            assert through > 0
            await traffic.stay()  # The others may have ended by themselves before Segue stops.
            target = server.url
            await operator.run(RECIPES["stop"])
            assert ended_orderly(directory)
            await traffic.pass_by(50)
        assert server.requests == traffic.answered
        assert 1012 in {session.code for session in traffic.sessions}, "nobody was told to return"


async def test_upgraded_behind_a_load_balancer(directory: Path, names: dict[str, str]) -> None:
    async with origin() as server, shell(directory, SERVER=server.url, **names) as operator:
        await operator.run(RECIPES["start"])
        target = names["LISTEN"]
        async with balancer(lambda: target) as entrance, load(entrance) as traffic:
            await operator.run(RECIPES["upgrade-start"])
            target = names["NEXT_LISTEN"]
            await operator.run(RECIPES["upgrade-stop"])
            assert ended_orderly(directory)
            await traffic.pass_by(50)
        assert server.requests == traffic.answered
        assert {"status"} in kinds(traffic)
        await operator.run(RECIPES["stop"])
        assert ended_orderly(directory, "next.log")


async def test_versionless_rolled_over_and_back(directory: Path, names: dict[str, str]) -> None:
    async with origin() as server, shell(directory, SERVER=server.url, **names) as operator:
        await operator.run(RECIPES["start"])
        async with load(names["LISTEN"], version=None) as traffic:
            assert all(each == {"jobStatus"} for each in kinds(traffic))
            await operator.run(RECIPES["roll-over"])
            await logged(directory, "reloaded")
            rolled = await renewed(traffic)
            assert all(each == {"status"} for each in kinds(traffic, rolled))
            await operator.run(RECIPES["go-back"])
            await logged(directory, "reloaded", 2)
            back = await renewed(traffic)
            assert all(each == {"jobStatus"} for each in kinds(traffic, back))
        assert all(len(each) == 1 for each in kinds(traffic)), "a WebSocket was mapped by halves"
        assert {session.code for session in traffic.sessions} == {1000}
        await operator.run(RECIPES["stop"])


def rolled(directory: Path) -> None:
    """The configuration in which the cohort waits for its switch."""
    text = (directory / "config.yaml").read_text(encoding="utf-8")
    waiting = "switching:\n  switches:\n    modern/old-to-new: off\n"
    (directory / "config.yaml").write_text(f"{text}\n{waiting}", encoding="utf-8")


async def all_get(kind: str, *loads: Load) -> None:
    """Wait until what arrives on every WebSocket that is open is of this kind; it stays so."""
    async with asyncio.timeout(PATIENCE):
        while True:
            for traffic in loads:
                await traffic.pass_by(20)
            seen = [each.messages for each in sessions_open(*loads)]
            if all(each and each[-1]["kind"] == kind for each in seen):
                break
    before = [(each, len(each.messages)) for each in sessions_open(*loads)]
    for traffic in loads:
        await traffic.pass_by(40)
    assert {message["kind"] for each, count in before for message in each.messages[count:]} == {
        kind
    }


def sessions_open(*loads: Load) -> list[Session]:
    return [each for traffic in loads for each in traffic.sessions if each.code is None]


async def test_cohort_rolled_over_by_its_switch(directory: Path, names: dict[str, str]) -> None:
    rolled(directory)
    async with origin() as server, shell(directory, SERVER=server.url, **names) as operator:
        await operator.run(RECIPES["start"])
        async with load(names["LISTEN"]) as traffic:
            assert all(each == {"jobStatus"} for each in kinds(traffic))
            told = await operator.run(RECIPES["switch-shadow"])
            assert "modern/old-to-new off -> shadow" in told
            await traffic.pass_by(50)
            assert all(each == {"jobStatus"} for each in kinds(traffic))
            await operator.run(RECIPES["switch-canary"])
            await renewed(traffic)
            await operator.run(RECIPES["switch-on"])
            since = await renewed(traffic)
            assert all(each == {"status"} for each in kinds(traffic, since))
            assert all(len(each) == 1 for each in kinds(traffic)), (
                "a WebSocket was mapped by halves"
            )
            await operator.run(RECIPES["switch-back"])
            await all_get("jobStatus", traffic)
        assert {session.code for session in traffic.sessions} == {1000}
        await operator.run(RECIPES["stop"])
        assert ended_orderly(directory)


async def test_broken_version_excepted(directory: Path, names: dict[str, str]) -> None:
    async with origin() as server, shell(directory, SERVER=server.url, **names) as operator:
        await operator.run(RECIPES["start"])
        async with (
            load(names["LISTEN"], "2.1.3") as broken,
            load(names["LISTEN"], "2.1.4") as sound,
        ):
            await all_get("status", broken, sound)
            await operator.run(RECIPES["switch-except"])
            await all_get("jobStatus", broken)
            assert all(each == {"status"} for each in kinds(sound))
            await operator.run(RECIPES["switch-drop"])
            since = await renewed(broken)
            assert all(each == {"status"} for each in kinds(broken, since))
            assert all(each == {"status"} for each in kinds(sound))
        await operator.run(RECIPES["stop"])


async def test_everything_off_and_back(directory: Path, names: dict[str, str]) -> None:
    async with origin() as server, shell(directory, SERVER=server.url, **names) as operator:
        await operator.run(RECIPES["start"])
        async with load(names["LISTEN"]) as traffic:
            await all_get("status", traffic)
            assert "everything is off" in await operator.run(RECIPES["all-off"])
            await all_get("jobStatus", traffic)
            assert "clients crash" in await operator.run(RECIPES["all-restore"])
            await all_get("status", traffic)
        assert {session.code for session in traffic.sessions} == {1000}
        await operator.run(RECIPES["stop"])
        assert ended_orderly(directory)


async def test_everything_off_without_the_store_of_switches(
    directory: Path, names: dict[str, str], tmp_path: Path
) -> None:
    kept = tmp_path / "redis"
    kept.mkdir()
    redis = RedisServer(require_component("redis-server"), kept)
    store = {"SEGUE_STORE__URL": redis.address, "SEGUE_STORE__KEYS": "A" * 43 + "="}
    rolled(directory)
    try:
        async with (
            origin() as server,
            shell(directory, SERVER=server.url, **store, **names) as operator,
        ):
            await operator.run(RECIPES["start"])
            # What the configuration says of a switch is nothing once somebody has turned it.
            await operator.run(RECIPES["switch-on"])
            async with load(names["LISTEN"]) as traffic:
                await all_get("status", traffic)
                redis.stop()
                refused = await operator.look(f"{RECIPES['all-off'].splitlines()[0]} 2>&1")
                assert "the store of switches is away" in refused
                assert "`segue history`" in refused
                assert "take the mappings from the cohorts" in refused
                config = directory / "config.yaml"
                text = config.read_text(encoding="utf-8")
                await operator.run("segue reload")
                await all_get("status", traffic)
                # Nor could `switching` name what no cohort names.
                config.write_text(text.partition("\nswitching:")[0], encoding="utf-8")
                await operator.run(RECIPES["off-without-store"])
                await all_get("jobStatus", traffic)
            await operator.run(RECIPES["stop"])
    finally:
        redis.stop()


async def metric(names: dict[str, str], name: str, **labels: str) -> float:
    """The sum of the samples of a metric that have these labels."""
    async with (
        aiohttp.ClientSession() as client,
        client.get(f"http://{names['ADMIN']}/metrics") as response,
    ):
        text = await response.text()
    return sum(
        sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if sample.name == name and labels.items() <= sample.labels.items()
    )


async def test_server_taken_out_and_put_back(directory: Path, names: dict[str, str]) -> None:
    async with origin() as one, origin() as other:
        (directory / "config.yaml").write_text(
            f"upstream:\n  targets:\n    - {one.url}\n    - {other.url}\n"
            "cohorts: [{name: modern, versions: '>=2', websocket: {to_client: [old-to-new]}}]\n"
        )
        async with shell(directory, SERVER=one.url, **names) as operator:
            await operator.run(RECIPES["start-several"])
            async with load(names["LISTEN"]) as traffic:
                assert min(one.requests, other.requests) > 0
                await operator.run(RECIPES["take-out"])
                await logged(directory, "reloaded")
                name, target = "segue_upstream_load", one.url.removeprefix("http://")
                async with asyncio.timeout(PATIENCE):
                    while await metric(names, name, target=target, kind="request"):  # noqa: ASYNC110
                        await asyncio.sleep(0.01)
                before = one.requests
                await traffic.pass_by(50)
                assert one.requests == before
                await operator.run(RECIPES["put-back"])
                await logged(directory, "reloaded", 2)
                await traffic.pass_by(50)
                assert one.requests > before
            assert one.requests + other.requests == traffic.answered
            assert {session.code for session in traffic.sessions} == {1000}
            await operator.run(RECIPES["stop"])
            assert ended_orderly(directory)


async def test_restarted_behind_a_socket_that_its_supervisor_holds(directory: Path) -> None:
    """As `systemctl restart segue` does with `segue.socket`: stop the one, then start the next."""
    config = directory / "config.yaml"
    with socket.create_server(("127.0.0.1", 0), backlog=128) as held:
        address = f"127.0.0.1:{held.getsockname()[1]}"
        async with origin() as server:
            env = {"SEGUE_UPSTREAM__URL": server.url}
            async with running(config, env=env, inherited=held) as first:
                assert first.address == address
                async with load(address) as traffic:
                    assert await first.terminate() == 0
                    assert first.events("stopped")[0]["orderly"]
                    async with running(config, env=env, inherited=held) as second:
                        await traffic.pass_by(50)
                        assert not second.events("internal error")
                        await traffic.end()
            assert server.requests == traffic.answered


def test_every_recipe_that_is_marked_is_carried_out_here() -> None:
    text = Path(__file__).read_text(encoding="utf-8")
    assert {name for name in RECIPES if f'RECIPES["{name}"]' in text} == set(RECIPES) != set()
