"""What `segue audit verify` finds by the store: ends that are cut off, files that are gone."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from proxy.control.switch_store.base import SwitchStore
from proxy.storage.audit_files import CURRENT
from proxy.tokens.audit_chain import AuditKeys, Head, Link, value_name, with_head
from proxy.tokens.sealing import new_key
from tests.conftest import require_component
from tests.processes.control.test_audit import Verified, ordered, written
from tests.support.process import running
from tests.support.storages import RedisServer
from tests.support.switch_storages import switch_store_at

KEY = new_key()
FILE = "sessions.sqlite3"


class Audited:
    """A state directory in which a process has run, and the store of its switches."""

    def __init__(self, directory: Path, store: str) -> None:
        self.state = directory / "state"
        self.store = store
        self.config = written(directory, store={"url": store, "keys": [KEY]})

    async def run(self, orders: int = 3) -> None:
        async with running(self.config, env={"SEGUE_STATE_DIR": str(self.state)}) as process:
            await ordered(process, orders)
            assert await process.terminate() == 0

    def cut(self, lines: int) -> None:
        """Cut lines off at the end."""
        path = self.state / CURRENT
        path.write_bytes(b"".join(path.read_bytes().splitlines(keepends=True)[:-lines]))

    def remove(self) -> None:
        for path in self.state.glob("audit*"):
            path.unlink()

    @property
    def name(self) -> str:
        first = (self.state / CURRENT).read_bytes().splitlines()[0]
        return str(json.loads(first)["details"]["audit"])

    def switches(self) -> SwitchStore:
        scheme, _, rest = self.store.partition(":")
        return switch_store_at(f"sqlite:{self.state / rest}" if scheme == "sqlite" else self.store)


@pytest.fixture
def redis(tmp_path: Path) -> Iterator[RedisServer]:
    directory = tmp_path / "redis"
    directory.mkdir()
    server = RedisServer(require_component("redis-server"), directory)
    yield server
    server.process.kill()
    server.process.wait()


@pytest.fixture(params=["sqlite", "redis"])
def audited(request: pytest.FixtureRequest, tmp_path: Path) -> Audited:
    if request.param == "sqlite":
        return Audited(tmp_path, f"sqlite:{FILE}")
    return Audited(tmp_path, request.getfixturevalue("redis").address)


async def test_what_is_cut_off_or_removed_is_found(
    audited: Audited, capsys: pytest.CaptureFixture[str]
) -> None:
    await audited.run()
    config, state = audited.config, audited.state
    found = Verified(capsys, config, state)
    assert (found.code, found.faults, found.told["notes"]) == (0, [], [])
    assert found.told["store"] == "up"
    name, last = audited.name, found.told["last"]
    whole = (state / CURRENT).read_bytes()

    audited.cut(2)
    found = Verified(capsys, config, state)
    lost = f"{last - 1} to {last}"
    assert (found.code, found.told["intact"]) == (1, False)
    assert found.faults == [
        f"the end was cut off: the store knows of lines that are missing: {lost}"
    ]
    (state / CURRENT).write_bytes(whole)
    assert Verified(capsys, config, state).code == 0

    # All of it is gone, and a process has begun anew.
    audited.remove()
    found = Verified(capsys, config, state)
    told = f"there is none, and there was one: the store knows of {name} with {last} lines"
    assert (found.code, found.told) == (1, {})
    assert told in found.error
    await audited.run()
    assert audited.name != name
    found = Verified(capsys, config, state)
    gone = f"there was another audit here, {name} with {last} lines, and its files are gone"
    assert (found.code, found.faults) == (1, [gone])
    # On purpose, somebody says.
    assert Verified(capsys, config, state, "--gone", name).code == 0


async def test_a_head_that_is_gone_or_not_segues_own_is_found(
    audited: Audited, capsys: pytest.CaptureFixture[str]
) -> None:
    await audited.run()
    audit, config, state = audited.name, audited.config, audited.state
    name, store = value_name(audit), audited.switches()
    try:
        value = await store.value(name)
        assert await store.replace(name, value, None)
        audited.cut(1)
        found = Verified(capsys, config, state)
        assert (found.code, found.faults) == (
            1,
            ["it knows nothing of this audit: lines may be missing at its end"],
        )
        planted = with_head(None, Head(audit, 1, Link(1, bytes(32))), AuditKeys([new_key()]))
        for hostile in (planted, b"\xff", b"[" * 10_000, json.dumps({audit: None}).encode()):
            assert await store.replace(name, await store.value(name), hostile)
            found = Verified(capsys, config, state)
            assert (found.code, found.faults) == (
                1,
                ["what it says of this audit is attested by no key that is configured"],
            )
    finally:
        await store.close()


async def test_a_store_that_is_away_is_told_and_the_files_are_read(
    tmp_path: Path, redis: RedisServer, capsys: pytest.CaptureFixture[str]
) -> None:
    audited = Audited(tmp_path, redis.address)
    await audited.run()
    config, state = audited.config, audited.state
    with redis.away():
        found = Verified(capsys, config, state)
        # What cannot be told is not told to be well.
        assert (found.code, found.told["intact"], found.faults) == (1, True, [])
        assert found.told["store"] != "up"
        (note,) = found.told["notes"]
        assert note["what"].startswith("it could not be asked (")
        assert note["what"].endswith("): an end that was cut off is not found")
        assert KEY not in json.dumps(found.told)
        text = (state / CURRENT).read_bytes()
        (state / CURRENT).write_bytes(text.replace(b"operator", b"viewer!!", 1))
        assert Verified(capsys, config, state).told["intact"] is False
        (state / CURRENT).write_bytes(text)
    assert Verified(capsys, config, state).code == 0


async def test_whoever_looks_makes_no_store(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    audited = Audited(tmp_path, f"sqlite:{FILE}")
    await audited.run()
    for path in audited.state.glob(f"{FILE}*"):
        path.unlink()
    found = Verified(capsys, audited.config, audited.state)
    assert found.faults == ["it knows nothing of this audit: lines may be missing at its end"]
    assert not list(audited.state.glob(f"{FILE}*"))
    # A file that is no store is told, and left as it is.
    (audited.state / FILE).write_bytes(b"no database" * 100)
    (audited.state / FILE).chmod(0o600)
    found = Verified(capsys, audited.config, audited.state)
    assert (found.code, found.faults, len(found.told["notes"])) == (1, [], 1)
    assert (audited.state / FILE).read_bytes() == b"no database" * 100
