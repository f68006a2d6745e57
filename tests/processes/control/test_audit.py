"""The audit of real processes: two at once, full files, other keys, kills, full disks."""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import structlog

from proxy.cli.main import main
from proxy.configuration.audit import AuditSettings
from proxy.configuration.sessions import StoreSettings
from proxy.control.audit import Audit
from proxy.control.switch_store.sqlite import SqliteSwitchStore
from proxy.storage.audit_files import CURRENT
from proxy.storage.state_directory import KEY_FILE
from proxy.tokens.admin_token import hash_of
from proxy.tokens.sealing import new_key
from tests.support.administered import OPERATOR
from tests.support.full_disk import SmallDisk, small_disk
from tests.support.process import Process, running
from tests.support.waiting import PATIENCE

TOKEN = {"name": "ci", "role": "operator", "hash": hash_of(OPERATOR)}


def written(directory: Path, **more: object) -> Path:
    """A configuration with one operator; JSON is YAML."""
    config = directory / "config.yaml"
    told = {"upstream": {"url": "http://127.0.0.1:9"}, "admin": {"tokens": [TOKEN]}, **more}
    config.write_text(json.dumps(told))
    return config


async def ordered(process: Process, count: int) -> None:
    """Give orders that are audited, one after the other, as long as somebody answers."""
    fields = {"Authorization": f"Bearer {OPERATOR}"}
    url = f"http://{process.admin}/api/v1/sockets/close"
    async with aiohttp.ClientSession(headers=fields) as client:
        for _ in range(count):
            async with client.post(url, json={"everything": True, "seconds": 0}) as answer:
                assert answer.status == 200


async def audited(process: Process) -> float:
    return await process.total("segue_audit_lines_total", result="written")


class Verified:
    """What `segue audit verify --json` says, and with which exit code."""

    def __init__(
        self,
        capsys: pytest.CaptureFixture[str],
        config: Path,
        state: Path,
        *more: str,
    ) -> None:
        capsys.readouterr()
        command = ["audit", "verify", "--json", "--config", str(config), "--state-dir", str(state)]
        # It has a loop of its own.
        with ThreadPoolExecutor(1) as thread:
            self.code = thread.submit(main, [*command, *more]).result()
        said = capsys.readouterr()
        self.error = said.err
        self.told: dict[str, Any] = json.loads(said.out or "{}")

    @property
    def faults(self) -> list[str]:
        return [each["what"] for each in self.told["faults"]]


def test_a_faulty_configuration_is_told_with_the_flag_that_names_another(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = tmp_path / "config.yaml"
    config.write_text("upstream: 7\n")
    command = ["audit", "verify", "--config", str(config), "--state-dir", str(tmp_path / "state")]
    assert main(command) == 1
    hint, _, count = capsys.readouterr().err.splitlines()
    assert hint.endswith("stands in the configuration: name a sound one with --config")
    assert count == "segue: 1 problem found"


async def test_two_processes_write_one_chain_whose_files_give_way(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    state = tmp_path / "state"
    config = written(tmp_path, audit={"max_size": "64KiB", "keep": 100})
    env = {"SEGUE_STATE_DIR": str(state)}
    async with running(config, env=env) as one, running(config, env=env) as other:
        await asyncio.gather(*(ordered(each, 300) for each in (one, other)))
        assert [await each.terminate() for each in (one, other)] == [0, 0]
    found = Verified(capsys, config, state)
    assert (found.code, found.told["intact"], found.faults) == (0, True, [])
    assert found.told["files"] > 3
    read = [
        json.loads(line)
        for path in [*sorted(state.glob("audit-*.jsonl")), state / CURRENT]
        for line in path.read_text().splitlines()
    ]
    assert [each["seq"] for each in read] == list(range(1, len(read) + 1))
    assert sum(each["event"] == "closing websockets" for each in read) == 600
    assert sum(each["event"] == "stopped" for each in read) == 2
    assert all(path.stat().st_size <= 64 << 10 for path in state.glob("audit*.jsonl"))


async def test_a_chain_goes_on_when_keys_are_rotated(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    state, old, new = tmp_path / "state", new_key(), new_key()
    env, config = {"SEGUE_STATE_DIR": str(state)}, tmp_path / "config.yaml"
    for keys in ([old], [new, old], [new]):
        assert config == written(tmp_path, store={"keys": keys})
        async with running(config, env=env) as process:
            await ordered(process, 3)
            await process.terminate()
            assert not process.events("audit damaged")
    found = Verified(capsys, config, state)
    assert (found.code, found.faults, found.told["files"]) == (0, [], 1)
    assert (
        len({json.loads(line)["key"] for line in (state / CURRENT).read_text().splitlines()}) == 2
    )
    # One that is exchanged at once leaves what nothing attests, and that is said.
    config = written(tmp_path, store={"keys": [other := new_key()]})
    async with running(config, env=env) as process:
        await process.event("audit damaged")
        await process.terminate()
    found = Verified(capsys, config, state)
    assert found.code == 1
    head = "what the store knew of the audit was altered, or of an unknown key"
    assert sorted(each.partition(":")[0] for each in found.faults) == [
        "attested by no key that is configured",
        head,
    ]
    # With the old key the lines are attested; what was said of the head stays.
    config = written(tmp_path, store={"keys": [other, new]})
    found = Verified(capsys, config, state)
    assert [each.partition(":")[0] for each in found.faults] == [head]


async def test_a_process_that_is_killed_while_it_writes_damages_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    state = tmp_path / "state"
    config = written(tmp_path, audit={"max_size": "64KiB"})
    env = {"SEGUE_STATE_DIR": str(state)}
    chance = random.Random(5)
    known = 0.0
    for _ in range(6):
        async with running(config, env=env) as process:
            orders = asyncio.create_task(ordered(process, 10_000))
            wanted = chance.randint(20, 120)
            async with asyncio.timeout(PATIENCE):
                while await audited(process) < wanted:  # noqa: ASYNC110 (it tells nobody)
                    await asyncio.sleep(0)
            known += await audited(process)
            process.child.kill()
            with pytest.raises(aiohttp.ClientError):
                await orders
        found = Verified(capsys, config, state)
        assert (found.code, found.faults) == (0, [])
        assert found.told["last"] >= known
    async with running(config, env=env) as process:
        await process.terminate()
    found = Verified(capsys, config, state)
    assert (found.code, found.faults) == (0, [])


@pytest.fixture(params=["mounted", "limited"])
def disk(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[SmallDisk]:
    with small_disk(request.param, tmp_path) as found:
        yield found


async def test_lines_wait_for_room_on_a_disk_that_is_full(
    disk: SmallDisk, capsys: pytest.CaptureFixture[str], tmp_path_factory: pytest.TempPathFactory
) -> None:
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    store = SqliteSwitchStore(elsewhere / "switches", timeout=PATIENCE)
    config = written(elsewhere, store={"url": f"sqlite:{elsewhere}/switches"})
    log = structlog.get_logger()
    audit = Audit(disk.directory, StoreSettings(), AuditSettings, log, store)
    audit.start()
    audit.write("switched", author="ann", role="operator", number=0)
    assert await audit.flushed(PATIENCE)
    disk.fill()
    for number in range(1, 500):
        audit.write("switched", author="ann", role="operator", number=number)
    async with asyncio.timeout(PATIENCE):
        while audit.failures < 2:  # noqa: ASYNC110 (it tells nobody)
            await asyncio.sleep(0.01)
    assert audit.waiting > 100
    assert audit.trouble
    disk.clear()
    assert await audit.flushed(PATIENCE)
    await audit.close(PATIENCE)
    await store.close()
    assert (audit.lost, audit.waiting, audit.trouble) == (0, 0, "")
    found = Verified(capsys, config, disk.directory)
    assert (found.code, found.faults, found.told["notes"]) == (0, [], [])
    read = [json.loads(line) for line in (disk.directory / CURRENT).read_text().splitlines()]
    numbers = [each["details"]["number"] for each in read if each["event"] == "switched"]
    assert numbers == list(range(500))


def damaged(text: list[bytes], how: str) -> list[bytes]:
    return {
        "altered": [*text[:2], text[2].replace(b"somebody", b"nobody!!"), *text[3:]],
        "removed": [*text[:2], *text[3:]],
        "moved": [*text[:2], text[3], text[2], *text[4:]],
        "put in": [*text[:2], b'{"seq":3}\n', *text[2:]],
    }[how]


@pytest.mark.parametrize(
    ("how", "line", "what"),
    [
        ("altered", 3, "the line was altered, or put in place of another one"),
        ("removed", 3, "lines are missing before it: 3"),
        ("moved", 3, "lines are missing before it: 3"),
        ("put in", 3, "9 bytes that are no lines of the audit"),
    ],
)
async def test_verify_says_which_line_and_what_is_wrong(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], how: str, line: int, what: str
) -> None:
    config = written(tmp_path)
    state = await some_lines(tmp_path)
    text = (state / CURRENT).read_bytes().splitlines(keepends=True)
    (state / CURRENT).write_bytes(b"".join(damaged(text, how)))
    found = Verified(capsys, config, state)
    assert (found.code, found.told["intact"]) == (1, False)
    first = found.told["faults"][0]
    assert (first["file"], first["line"], first["what"]) == (CURRENT, line, what)
    command = ["audit", "verify", "--config", str(config), "--state-dir", str(state)]
    assert await asyncio.to_thread(main, command) == 1
    told = capsys.readouterr().out
    assert told.startswith(f"{CURRENT}:{line}: {what}\n")
    assert f"{state}: NOT as it was written" in told


async def test_verify_says_that_all_is_well(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = written(tmp_path)
    state = await some_lines(tmp_path)
    command = ["audit", "verify", "--config", str(config), "--state-dir", str(state)]
    assert await asyncio.to_thread(main, command) == 0
    (last,) = capsys.readouterr().out.splitlines()
    assert last == f"{state}: intact, 6 lines in 1 file (1 to 6)"


async def test_verify_says_why_it_cannot(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = written(tmp_path)

    async def said(state: Path) -> str:
        command = ["audit", "verify", "--config", str(config), "--state-dir", str(state)]
        assert await asyncio.to_thread(main, command) == 1
        return capsys.readouterr().err

    assert "there is no key" in await said(tmp_path / "nowhere")
    state = await some_lines(tmp_path)
    (state / CURRENT).unlink()
    assert "there is none, and there was one: the store knows of" in await said(state)
    (state / CURRENT).symlink_to(tmp_path / "other")
    assert "audit: " in await said(state)
    (state / KEY_FILE).chmod(0o644)
    assert "others may read this key" in await said(state)
    with pytest.raises(SystemExit) as ended:
        main(["audit", "verify", "--nonsense"])
    assert ended.value.code == 2


async def some_lines(directory: Path) -> Path:
    """A state directory with six lines."""
    state = directory / "state"
    state.mkdir(0o700)
    store = SqliteSwitchStore(state / "sessions.sqlite3", timeout=PATIENCE)
    audit = Audit(state, StoreSettings(), AuditSettings, structlog.get_logger(), store)
    audit.start()
    for number in range(5):
        audit.write("switched", author="somebody", role="operator", number=number)
    assert await audit.flushed(PATIENCE)
    await audit.close(PATIENCE)
    await store.close()
    return state
