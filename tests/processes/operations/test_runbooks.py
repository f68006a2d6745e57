"""Alerts provoked in a real Prometheus, and each runbook followed to its end by its commands."""

from __future__ import annotations

import asyncio
import datetime as dt
import os
import shutil
import signal
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import aiohttp
import pytest
import trustme

from tests.conftest import require_component
from tests.support.authority import authority
from tests.support.load import origin
from tests.support.process import running
from tests.support.prometheus import Query, hurried, prometheus, queries, until
from tests.support.shell import Shell, recipes, shell
from tests.support.storages import RedisServer

RUNBOOKS = recipes("runbooks.md")

pytestmark = pytest.mark.needs_prometheus

SOUND = """\
name: m
description: How a job is.
channel: websocket
direction: to_client
kinds: {field: kind, known: [jobStatus, status, error]}
rules:
  - name: status
    match: {field: kind, equals: jobStatus}
    do: [set: {kind: status}]
    examples: [{in: {kind: jobStatus}, out: {kind: status}}]
"""
FAILING = SOUND.replace("do: [set: {kind: status}]", "do: [rename: {number: big}]").replace(
    "in: {kind: jobStatus}, out: {kind: status}",
    "in: {kind: jobStatus, number: 1}, out: {kind: jobStatus, big: 1}",
)
INCOMPLETE = SOUND.replace("equals: jobStatus", "equals: job").replace(
    "in: {kind: jobStatus}", "in: {kind: job}"
)
UNKNOWING = INCOMPLETE.replace("[jobStatus, ", "[")


@dataclass
class Scene:
    """A Segue that an operator has started, and a Prometheus that watches it."""

    directory: Path
    operator: Shell
    query: Query
    address: str

    async def fires(self, alert: str) -> None:
        """Wait until Prometheus would page somebody."""
        await until(self.query, f'ALERTS{{alertname="{alert}",alertstate="firing"}}')

    async def is_over(self, alert: str) -> None:
        await until(self.query, f'ALERTS{{alertname="{alert}"}}', is_there=False)

    async def look(self, alert: str) -> str:
        """Follow the first half of the runbook; what its commands print."""
        return await self.operator.look(RUNBOOKS[f"{alert}-look"])

    async def do(self, alert: str) -> None:
        """Follow the second half, and see the alert end by it."""
        await self.operator.run(RUNBOOKS[f"{alert}-do"])
        await self.is_over(alert)

    def write(self, name: str, text: str) -> None:
        """Edit a file as editors do."""
        new = self.directory / f"{name}.new"
        new.write_text(text, encoding="utf-8")
        new.rename(self.directory / name)


def free() -> str:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return f"127.0.0.1:{server.getsockname()[1]}"


@asynccontextmanager
async def scene(
    directory: Path, server: str, *, more: str = "", mapping: str = SOUND, **variables: str
) -> AsyncIterator[Scene]:
    """Start all of it as the documents say, on a configuration with `more` in it."""
    listen, admin = free(), free()
    (directory / "mappings").mkdir()
    (directory / "mappings" / "m.yaml").write_text(mapping, encoding="utf-8")
    (directory / "config.yaml").write_text(
        f"listen:\n  address: {listen}\nadmin:\n  address: {admin}\nupstream:\n  url: {server}\n"
        "cohorts:\n  - {name: modern, versions: '>=2', websocket: {to_client: [m]}}\n" + more,
        encoding="utf-8",
    )
    watching = directory / "prometheus"
    watching.mkdir()
    async with shell(directory, MAPPING="m", **variables) as operator:
        await operator.run(RUNBOOKS["SegueDown-do"])
        with prometheus(watching, admin, rules=hurried(watching)) as address:
            async with queries(address) as query:
                await until(query, "segue_build_info")
                yield Scene(directory, operator, query, listen)
        await operator.run("kill -TERM $(jobs -p); wait")


async def listening(address: str) -> None:
    """Hold one short WebSocket after the other, as a client of the modern cohort."""
    modern = {"X-Client-Version": "2.0"}
    async with aiohttp.ClientSession(headers=modern) as client:
        while True:
            with suppress(aiohttp.ClientError):
                async with client.ws_connect(f"http://{address}/ws") as websocket:
                    for _ in range(50):
                        await websocket.receive()
                    await websocket.send_json({"kind": "chat", "content": "stop"})
                    async for _ in websocket:
                        pass


@asynccontextmanager
async def traffic(address: str) -> AsyncIterator[None]:
    task = asyncio.create_task(listening(address))
    try:
        yield
        assert not task.done(), task
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def ask(address: str) -> int:
    async with (
        aiohttp.ClientSession() as client,
        client.post(f"http://{address}/echo", data=b"x") as answer,
    ):
        return answer.status


async def test_segue_down(tmp_path: Path) -> None:
    async with origin() as server, scene(tmp_path, server.url) as watched:
        await watched.operator.run("kill -KILL $(jobs -p); wait || true")
        await watched.fires("SegueDown")
        told = await watched.look("SegueDown")
        assert "segue: " in told
        assert "config.yaml" in told
        await watched.do("SegueDown")


async def test_upstream_down(tmp_path: Path) -> None:
    address = free()
    async with scene(tmp_path, f"http://{address}") as watched:
        assert await ask(watched.address) == 502
        await watched.fires("SegueUpstreamDown")
        told = await watched.look("SegueUpstreamDown")
        assert f"http://{address}" in told
        assert "upstream_unreachable" in told
        async with origin() as server:  # The remedy is not Segue's: a server that can be reached.
            text = (tmp_path / "config.yaml").read_text(encoding="utf-8")
            watched.write("config.yaml", text.replace(f"http://{address}", server.url))
            await watched.operator.run("segue reload --config config.yaml")
            assert await ask(watched.address) == 200
            await watched.is_over("SegueUpstreamDown")


async def test_mapping_failing(tmp_path: Path) -> None:
    async with (
        origin() as server,
        scene(tmp_path, server.url, mapping=FAILING) as watched,
        traffic(watched.address),
    ):
        await watched.fires("SegueMappingFailing")
        told = await watched.look("SegueMappingFailing")
        for part in ('"rule": "status"', "rename", "number", "taken", "request_id"):
            assert part.replace(" ", "") in told.replace(" ", "")
        watched.write("mappings/m.yaml", SOUND)
        await watched.do("SegueMappingFailing")


async def test_unmapped_kinds(tmp_path: Path) -> None:
    async with (
        origin() as server,
        scene(tmp_path, server.url, mapping=UNKNOWING) as watched,
        traffic(watched.address),
    ):
        await watched.fires("SegueUnmappedKinds")
        assert '"jobStatus"' in await watched.look("SegueUnmappedKinds")
        watched.write("mappings/m.yaml", INCOMPLETE)
        await watched.do("SegueUnmappedKinds")


async def test_reload_failed(tmp_path: Path) -> None:
    async with origin() as server, scene(tmp_path, server.url) as watched:
        watched.write("mappings/m.yaml", SOUND.replace("equals: jobStatus", "equal: jobStatus"))
        told = await watched.operator.look("segue reload --config config.yaml; echo exit $?")
        assert "exit 1" in told
        await watched.fires("SegueReloadFailed")
        assert "m.yaml:8:" in await watched.look("SegueReloadFailed")
        watched.write("mappings/m.yaml", SOUND)
        await watched.do("SegueReloadFailed")


async def test_store_filling(tmp_path: Path) -> None:
    more = "sessions: {enabled: true}\nstore: {sessions: 2}\n"
    async with (
        authority() as server,
        scene(tmp_path, server.url, more=more, USER_ID="7") as watched,
        aiohttp.ClientSession() as client,
    ):
        for _ in range(2):
            login = f"http://{watched.address}/api/auth/login/"
            async with client.post(login, json={}) as response:
                assert response.status == 200
        await watched.fires("SegueStoreFilling")
        told = await watched.look("SegueStoreFilling")
        assert "the session store is filling up" in told
        assert '2 "user":' in told
        await watched.do("SegueStoreFilling")


async def test_store_away(tmp_path: Path) -> None:
    kept = tmp_path / "redis"
    kept.mkdir()
    redis = RedisServer(require_component("redis-server"), kept)
    key = "A" * 43 + "="
    store = {"SEGUE_STORE__URL": redis.address, "SEGUE_STORE__KEYS": key}
    try:
        async with (
            origin() as server,
            scene(tmp_path, server.url, more="sessions: {enabled: true}\n", **store) as watched,
        ):
            redis.process.kill()
            redis.process.wait()
            await watched.fires("SegueStoreAway")
            told = await watched.look("SegueStoreAway")
            assert "the session store is away" in told
            assert "Connection refused" in told
            redis.start()
            await watched.do("SegueStoreAway")
    finally:
        if redis.process.poll() is None:
            os.kill(redis.process.pid, signal.SIGKILL)
            redis.process.wait()


async def test_switch_store_away(tmp_path: Path) -> None:
    kept = tmp_path / "redis"
    kept.mkdir()
    redis = RedisServer(require_component("redis-server"), kept)
    store = {"SEGUE_STORE__URL": redis.address, "SEGUE_STORE__KEYS": "A" * 43 + "="}
    try:
        # Without sessions, too.
        async with origin() as server, scene(tmp_path, server.url, **store) as watched:
            redis.stop()
            await watched.fires("SegueSwitchStoreAway")
            told = await watched.look("SegueSwitchStoreAway")
            assert "the store of switches is away" in told
            assert "Connection refused" in told
            redis.start()
            await watched.do("SegueSwitchStoreAway")
    finally:
        redis.stop()


async def test_switches_unapplied(tmp_path: Path) -> None:
    # Another replica, whose files have one mapping more.
    there = tmp_path / "there"
    (there / "mappings").mkdir(parents=True)
    (there / "mappings" / "m.yaml").write_text(SOUND, encoding="utf-8")
    (there / "mappings" / "more.yaml").write_text(SOUND.replace("name: m", "name: more", 1))
    store = {
        "SEGUE_STORE__URL": f"sqlite:{tmp_path / 'switches.sqlite3'}",
        "SEGUE_STORE__KEYS": "A" * 43 + "=",
    }
    async with origin() as server, scene(tmp_path, server.url, **store) as watched:
        config = (tmp_path / "config.yaml").read_text(encoding="utf-8")
        config = config.replace("to_client: [m]", "to_client: [m, more]")
        (there / "config.yaml").write_text(config, encoding="utf-8")
        env = {**store, "SEGUE_STATE_DIR": str(there / "state")}
        async with running(there / "config.yaml", env=env):
            turn = "segue switch set modern/more off --reason broken"
            await watched.operator.run(f"{turn} --state-dir there/state")
            await watched.fires("SegueSwitchesUnapplied")
            assert "modern/more" in await watched.look("SegueSwitchesUnapplied")
            shutil.copy(there / "mappings" / "more.yaml", tmp_path / "mappings")
            watched.write("config.yaml", config)
            await watched.do("SegueSwitchesUnapplied")


async def test_switches_overdue(tmp_path: Path) -> None:
    async with origin() as server, scene(tmp_path, server.url, SWITCH="modern/m") as watched:
        await watched.operator.run(
            "segue switch set $SWITCH canary --percent 5 --until 1s --owner ann --reason first"
            " --config config.yaml"
        )
        await watched.fires("SegueSwitchesOverdue")
        told = await watched.look("SegueSwitchesOverdue")
        assert "modern/m" in told
        assert "ann" in told
        await watched.do("SegueSwitchesOverdue")


async def test_guard_failed(tmp_path: Path) -> None:
    async with (
        origin() as server,
        scene(tmp_path, server.url, SWITCH="modern/m") as watched,
    ):
        await watched.operator.run(
            "segue switch set $SWITCH canary --percent 50 --reason first --config config.yaml"
        )
        told = await watched.look("SegueGuardFailed")
        assert "modern/m canary 50%: " in told
        assert "first" in told
        await watched.operator.run(RUNBOOKS["SegueGuardFailed-do"])


@pytest.mark.needs_openssl
async def test_certificate_expiring(tmp_path: Path) -> None:
    authority = trustme.CA()

    def renew(days: int) -> None:
        end = dt.datetime.now(dt.UTC) + dt.timedelta(days=days)
        issued = authority.issue_cert("localhost", "127.0.0.1", not_after=end)
        issued.private_key_and_cert_chain_pem.write_to_path(tmp_path / "tls.crt.new")
        (tmp_path / "tls.crt.new").rename(tmp_path / "tls.crt")

    renew(10)
    tls = "  tls: {certificate: tls.crt, key: tls.crt}\n"
    async with origin() as server:
        async with scene(tmp_path, server.url, more="") as watched:
            text = (tmp_path / "config.yaml").read_text(encoding="utf-8")
            watched.write("config.yaml", text.replace("admin:\n", f"{tls}admin:\n", 1))
            # Turning TLS on needs a restart.
            await watched.operator.run("kill -TERM $(jobs -p); wait")
            await watched.operator.run(RUNBOOKS["SegueDown-do"])
            await watched.fires("SegueCertificateExpiring")
            assert "notAfter=" in await watched.look("SegueCertificateExpiring")
            renew(90)
            await watched.do("SegueCertificateExpiring")


def test_every_block_of_the_runbooks_is_run() -> None:
    used = Path(__file__).read_text(encoding="utf-8")
    assert all(f'"{name.rpartition("-")[0]}"' in used for name in RUNBOOKS)
