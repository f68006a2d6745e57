"""From the configuration to a store and a sealer."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
import structlog
from structlog.testing import capture_logs

from proxy.configuration.sessions import StoreSettings
from proxy.configuration.units import store_url
from proxy.control.switch_store.opening import open_switch_store
from proxy.errors import ConfigError
from proxy.process.switches import open_switches
from proxy.sessions.store.opening import BACKENDS, open_sealer, open_store
from proxy.sessions.store.sqlite import SqliteStore
from proxy.tokens.sealing import new_key
from tests.support.checkout import ROOT
from tests.support.records import record
from tests.support.storages import RedisServer, mode_of
from tests.support.switch_storages import appended, revision


async def test_the_default_is_a_file_in_the_state_directory(tmp_path: Path) -> None:
    store = open_store(StoreSettings(), tmp_path / "state")
    try:
        assert isinstance(store, SqliteStore)
        await store.save(record())
    finally:
        await store.close()
    assert mode_of(tmp_path / "state") == 0o700
    assert mode_of(tmp_path / "state" / "sessions.sqlite3") == 0o600


async def test_a_file_may_be_anywhere(tmp_path: Path) -> None:
    store = open_store(StoreSettings(url=f"sqlite:{tmp_path}/elsewhere/file"), tmp_path / "state")
    await store.close()
    assert (tmp_path / "elsewhere" / "file").is_file()
    assert not (tmp_path / "state").exists()


async def test_a_server_is_used_as_the_settings_say(
    redis_server: RedisServer, tmp_path: Path
) -> None:
    settings = StoreSettings(url=redis_server.address, keys=(new_key(),))
    store = open_store(settings, tmp_path / "state")
    try:
        assert await store.save(record()) == await store.load(record().session)
    finally:
        await store.close()
    assert not (tmp_path / "state").exists()


async def test_switches_are_kept_where_sessions_are(
    redis_server: RedisServer, tmp_path: Path
) -> None:
    for settings in (
        StoreSettings(),
        StoreSettings(url=f"sqlite:{tmp_path}/elsewhere/file"),
        StoreSettings(url=redis_server.address, keys=(new_key(),)),
    ):
        sessions = open_store(settings, tmp_path / "state")
        switches = open_switch_store(settings, tmp_path / "state")
        again = open_switch_store(settings, tmp_path / "state")
        try:
            await sessions.save(record())
            await appended(switches, 1)
            assert await again.load() == revision(1)
        finally:
            for store in (sessions, switches, again):
                await store.close()
    assert mode_of(tmp_path / "state") == 0o700
    assert (tmp_path / "elsewhere" / "file").is_file()


def test_a_store_of_switches_that_cannot_be_opened_is_told(tmp_path: Path) -> None:
    (tmp_path / "sessions.sqlite3").write_bytes(b"not a database" * 10)
    with pytest.raises(ConfigError, match=r"store\.url: the file of sessions is damaged"):
        open_switch_store(StoreSettings(), tmp_path)
    with pytest.raises(ConfigError, match=r"state directory"):
        open_switch_store(StoreSettings(url="sqlite:sessions.sqlite3/in/a/file"), tmp_path)
    settings = StoreSettings(url="rediss://127.0.0.1:1", keys=(new_key(),), ca_file="missing.pem")
    with pytest.raises(ConfigError, match=r"store\.ca_file: cannot be read"):
        open_switch_store(settings, tmp_path)


def garbage(file: Path) -> None:
    file.write_bytes(b"not a database" * 100)


def of_a_later_version(file: Path) -> None:
    with closing(sqlite3.connect(file)) as connection:
        connection.execute("PRAGMA user_version = 1000")


@pytest.mark.parametrize("spoil", [garbage, of_a_later_version])
async def test_what_is_off_is_not_on_again_because_its_file_is_spoilt(
    tmp_path: Path, spoil: Callable[[Path], None]
) -> None:
    log = structlog.get_logger()
    opened = open_switches(StoreSettings(), tmp_path, log)
    assert opened.is_kept
    await opened.store.append(revision(1))
    await opened.store.close()
    file = tmp_path / "sessions.sqlite3"
    spoil(file)
    with pytest.raises(ConfigError, match=r"store\.url: the file of sessions"):
        open_switches(StoreSettings(), tmp_path, log)


async def test_without_a_state_directory_switches_live_in_memory(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with capture_logs() as logs:
        opened = open_switches(StoreSettings(), tmp_path / "file", structlog.get_logger())
    assert not opened.is_kept
    assert await opened.store.append(revision(1))
    (line,) = logs
    assert line["event"] == "switches are kept in memory alone, and end with the process"


@pytest.mark.parametrize(
    ("module", "function"),
    [
        ("proxy.sessions.store.opening", "open_store"),
        ("proxy.control.switch_store.opening", "open_switch_store"),
    ],
)
def test_without_its_package_redis_is_refused_at_the_start(module: str, function: str) -> None:
    """In a process where the import fails as it does where the extra is not installed."""
    code = f"""
import sys
sys.modules["redis"] = None
from pathlib import Path
from proxy.errors import ConfigError
from proxy.configuration.sessions import StoreSettings
from {module} import {function}
try:
    settings = StoreSettings(url="redis://:hunter2@127.0.0.1:1", keys=({new_key()!r},))
    {function}(settings, Path("state"))
except ConfigError as error:
    print(error)
"""
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout == (
        "configuration: store.url: needs a package that is not installed: "
        "pip install 'segue-proxy[redis]'\n"
    )


async def test_a_server_that_is_away_does_not_keep_from_starting(tmp_path: Path) -> None:
    store = open_store(StoreSettings(url="redis://127.0.0.1:1", keys=(new_key(),)), tmp_path)
    await store.close()


@pytest.mark.parametrize("text", [None, "no certificate"])
def test_authorities_that_cannot_be_read_are_told(tmp_path: Path, text: str | None) -> None:
    file = tmp_path / "ca.pem"
    if text is not None:
        file.write_text(text)
    settings = StoreSettings(url="rediss://127.0.0.1:1", keys=(new_key(),), ca_file=str(file))
    with pytest.raises(ConfigError, match=r"ca\.pem: store\.ca_file: cannot be read"):
        open_store(settings, tmp_path)


def test_configured_keys_seal_and_leave_the_state_directory_alone(tmp_path: Path) -> None:
    old, new = new_key(), new_key()
    with capture_logs() as lines:
        sealer = open_sealer(
            StoreSettings(keys=(new, old)), tmp_path / "state", structlog.get_logger()
        )
        before = open_sealer(StoreSettings(keys=(old,)), tmp_path / "state", structlog.get_logger())
    assert sealer.unseal(before.seal("token")) == "token"
    assert lines == []
    assert not (tmp_path / "state").exists()


def test_a_key_of_the_state_directory_comes_with_a_warning(tmp_path: Path) -> None:
    with capture_logs() as lines:
        sealer = open_sealer(StoreSettings(), tmp_path, structlog.get_logger())
        again = open_sealer(StoreSettings(), tmp_path, structlog.get_logger())
    assert again.unseal(sealer.seal("token")) == "token"
    assert [line["log_level"] for line in lines] == ["warning", "warning"]
    assert "set store.keys" in lines[0]["event"]
    assert (tmp_path / "sessions.key").read_text().strip() not in str(lines)


@pytest.mark.parametrize(
    "url",
    [
        "sqlite:a.sqlite3",
        "redis://h",
        "rediss://h:1/2",
        "redis+sentinel://h/main",
        "rediss+sentinel://u:p@h:1,[::1]:2/main/3",
    ],
)
def test_every_url_that_the_configuration_takes_has_its_back_end(url: str) -> None:
    assert store_url(url) == url
    (backend,) = (each for each in BACKENDS if url.partition(":")[0] in each.schemes)
    assert callable(backend.open)
