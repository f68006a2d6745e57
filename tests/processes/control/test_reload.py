"""Reloads of a running process: by signal and by changed files, under load, with broken files."""

from __future__ import annotations

import asyncio
import io
import json
import os
import shutil
import signal
import socket
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import trustme

from proxy.control.loading import load as load_snapshot
from proxy.observability import log as logs
from proxy.process.server import Server
from tests.support.load import load, origin
from tests.support.process import Process, running
from tests.support.rig import answering, raw_server
from tests.support.waiting import PATIENCE

MAPPING = """\
name: old-to-new
description: Marks the message twice, so that half a mapping shows.
channel: websocket
direction: to_client
rules:
  - name: status
    match: {{field: kind, equals: jobStatus}}
    do:
      - set: {{kind: status, first: "{mark}"}}
      - set: {{second: "{mark}"}}
    examples:
      - in: {{kind: jobStatus}}
        out: {{kind: status, first: "{mark}", second: "{mark}"}}
"""


def write(directory: Path, upstream: str, mark: str = "0", more: str = "") -> Path:
    """Write a configuration with one mapping; its file."""
    (directory / "mappings").mkdir(exist_ok=True)
    (directory / "mappings" / "old-to-new.yaml").write_text(MAPPING.format(mark=mark))
    config = directory / "config.yaml"
    config.write_text(
        f"upstream: {{url: '{upstream}'}}\n"
        "timeouts: {drain: 2s}\n"
        "cohorts:\n"
        "  - {name: modern, versions: '>=2', websocket: {to_client: [old-to-new]}}\n" + more
    )
    return config


def cut_short(directory: Path) -> None:
    mapping = directory / "mappings" / "old-to-new.yaml"
    mapping.write_text(mapping.read_text()[:120])


def fail_an_example(directory: Path) -> None:
    mapping = directory / "mappings" / "old-to-new.yaml"
    mapping.write_text(mapping.read_text().replace("out: {kind: status", "out: {kind: other"))


def lose_the_mappings(directory: Path) -> None:
    shutil.rmtree(directory / "mappings")


def misspell_a_key(directory: Path) -> None:
    config = directory / "config.yaml"
    config.write_text(config.read_text() + "timeout: {drain: 2s}\n")


def lose_the_configuration(directory: Path) -> None:
    (directory / "config.yaml").unlink()


BREAKAGES: tuple[Callable[[Path], None], ...] = (
    cut_short,
    fail_an_example,
    lose_the_mappings,
    misspell_a_key,
    lose_the_configuration,
)


def marks(messages: list[dict[str, Any]]) -> set[tuple[str, str, str]]:
    """How the messages of one WebSocket were mapped; one member where all were by one mapping."""
    return {(message["kind"], message["first"], message["second"]) for message in messages}


async def test_twenty_reloads_five_of_them_broken_lose_nothing_under_load(tmp_path: Path) -> None:
    """No connection is dropped, no message lost, none half-mapped."""
    good = ["0"]
    async with origin() as server, running(write(tmp_path, server.url)) as process:
        async with load(process.address, lifetime=0.03) as traffic:
            for number in range(1, 21):
                mark = str(number)
                write(tmp_path, server.url, mark)
                if broken := number % 4 == 0:
                    BREAKAGES[number // 4 - 1](tmp_path)
                else:
                    good.append(mark)
                process.hang_up()
                result = await process.event("reloaded", "reload failed")
                assert result["event"] == ("reload failed" if broken else "reloaded")
                await traffic.pass_by()
        assert server.requests == traffic.answered
        assert {session.code for session in traffic.sessions} == {1000}
        seen = [marks(session.messages) for session in traffic.sessions if session.messages]
        assert all(len(mapped) == 1 for mapped in seen), seen
        assert {mark for [(kind, mark, _)] in seen if kind == "status"} <= set(good)
        assert len({mark for [(_, mark, _)] in seen}) > 3, "hardly a new mapping was seen at work"
        assert all(first == second for [(_, first, second)] in seen)
        longest = max(traffic.sessions, key=lambda session: len(session.messages))
        assert marks(longest.messages) == {("status", "0", "0")}, "an open WebSocket changed"
        name, to_client, to_server = "segue_messages_total", "to_client", "to_server"
        assert await process.total(name, direction=to_client) == server.sent
        assert await process.total(name, direction=to_server) == server.received
        assert await process.total(name, outcome="mapped") == traffic.messages
        for outcome in ("failed", "dropped", "undelivered"):
            assert await process.total(name, outcome=outcome) == 0
        assert await process.total("segue_reloads_total", result="success") == 15
        assert await process.total("segue_reloads_total", result="failure") == 5
        assert not process.events("internal error")


async def test_hang_up_in_the_middle_of_the_start_waits_and_reloads(tmp_path: Path) -> None:
    caught = False

    async def hang_up(process: Process) -> None:
        # Before that line of its program, Python itself starts, and the signal's default holds.
        nonlocal caught
        hang_ups = 1 << (signal.SIGHUP - 1)
        status = Path(f"/proc/{process.child.pid}/status")
        async with asyncio.timeout(PATIENCE):
            while not caught:
                masks = dict(line.split(":", 1) for line in status.read_text().splitlines())
                if int(masks["SigCgt"], 16) & hang_ups:
                    return  # It was quicker than this test.
                caught = bool(int(masks["SigBlk"], 16) & hang_ups)
                await asyncio.sleep(0)
        process.hang_up()

    async with origin() as server:
        config = write(tmp_path, server.url)
        for _ in range(10):
            async with running(config, starting=hang_up) as process:
                if caught:
                    await process.event("reloaded")
                    return
    pytest.fail("no start could be caught in the middle")


async def test_failed_reload_logs_every_problem_with_its_place(tmp_path: Path) -> None:
    async with (
        raw_server(answering(b"")) as server,
        running(write(tmp_path, server.url)) as process,
    ):
        digest = [key for key in await process.metrics() if key[0] == "segue_config_info"]
        cut_short(tmp_path)
        misspell_a_key(tmp_path)
        (tmp_path / "mappings" / "directory.yaml").mkdir()
        os.mkfifo(tmp_path / "mappings" / "pipe.yaml")
        process.hang_up()
        failed = await process.event("reload failed")
        texts = [line["problem"] for line in process.events("configuration problem")]
        assert len(texts) == failed["problems"] >= 4
        mapping, config = tmp_path / "mappings" / "old-to-new.yaml", tmp_path / "config.yaml"
        assert any(text.startswith(f"{config}:5:1: timeout: unknown key") for text in texts), texts
        assert any(text.startswith(f"{mapping}:") for text in texts), texts
        assert f"{tmp_path}/mappings/directory.yaml: is a directory" in texts
        assert f"{tmp_path}/mappings/pipe.yaml: not a file but a pipe" in texts
        assert [key for key in await process.metrics() if key[0] == "segue_config_info"] == digest
        assert await process.ready() == 200


async def test_success_shows_in_the_metrics(tmp_path: Path) -> None:
    async with (
        raw_server(answering(b"")) as server,
        running(write(tmp_path, server.url)) as process,
    ):
        before = await process.metrics()
        write(tmp_path, server.url, "1")
        process.hang_up()
        assert (await process.event("reloaded"))["reason"] == "asked"
        after = await process.metrics()
        when = ("segue_config_last_reload_success_timestamp_seconds", frozenset[tuple[str, str]]())
        assert after[when] > before[when]
        digests = [key for key in (*before, *after) if key[0] == "segue_config_info"]
        assert len(digests) == 2 == len(set(digests))


async def test_refused_files_show_in_the_metrics_until_mended_ones_are_loaded(
    tmp_path: Path,
) -> None:
    gauge = "segue_config_last_reload_successful"
    async with (
        raw_server(answering(b"")) as server,
        running(write(tmp_path, server.url)) as process,
    ):
        assert await process.total(gauge) == 1
        for _ in range(2):
            cut_short(tmp_path)
            process.hang_up()
            await process.event("reload failed")
            assert await process.total(gauge) == 0
        write(tmp_path, server.url)
        process.hang_up()
        await process.event("reloaded")
        assert await process.total(gauge) == 1
        assert await process.total("segue_reloads_total", result="failure") == 2


async def test_what_needs_a_restart_is_named_and_keeps_its_old_value(tmp_path: Path) -> None:
    ok = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
    async with raw_server(answering(ok)) as server:
        config = write(tmp_path, server.url, more="log: {level: info}\n")
        async with running(config) as process:
            write(tmp_path, server.url, more="log: {level: error}\nlimits: {message: 1MiB}\n")
            process.hang_up()
            needed = await process.event("a restart is needed for some changes")
            assert needed["keys"] == ["log.level"]
            assert await process.event("reloaded")


async def test_new_upstream_gets_new_requests_and_those_under_way_end_on_the_old(
    tmp_path: Path,
) -> None:
    async with origin() as old, origin() as new, running(write(tmp_path, old.url)) as process:
        async with load(process.address) as traffic:
            write(tmp_path, new.url)
            process.hang_up()
            await process.event("reloaded")
            reached = old.requests
            await traffic.pass_by(50)
            # Those that were on their way when it was read.
            assert old.requests <= reached + 4
        assert new.requests > 50 - 4
        assert old.requests + new.requests == traffic.answered


def write_several(directory: Path, *urls: str) -> None:
    config = write(directory, "http://one")
    targets = ", ".join(f"'{url}'" for url in urls)
    text = config.read_text().replace("url: 'http://one'", f"targets: [{targets}]")
    config.write_text(text)


async def test_servers_come_and_go_under_load_and_nothing_is_lost(tmp_path: Path) -> None:
    async with origin() as one, origin() as two, origin() as three:
        write_several(tmp_path, one.url)
        async with running(tmp_path / "config.yaml") as process, load(process.address) as traffic:
            for servers in ((one, two), (two, three), (three,), (three, one), (one, two, three)):
                write_several(tmp_path, *(server.url for server in servers))
                process.hang_up()
                assert (await process.event("reloaded", "reload failed"))["event"] == "reloaded"
                before = {server.url: server.requests for server in (one, two, three)}
                await traffic.pass_by(60)
                for server in (one, two, three):
                    # Those that were on their way when it was read.
                    assert server in servers or server.requests <= before[server.url] + 4
            await traffic.end()
            assert one.requests + two.requests + three.requests == traffic.answered
            assert {session.code for session in traffic.sessions} == {1000}
            # Which of them gets how much is for the WebSockets to say that stay where they began.
            assert all(server.requests for server in (one, two, three))
            shown = [key for key in await process.metrics() if key[0] == "segue_upstream_up"]
            assert len(shown) == 3
            assert await process.total("segue_upstream_failures_total") == 0


async def test_what_is_known_of_a_servers_health_survives_a_reload(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as held:
        dead = f"http://127.0.0.1:{held.getsockname()[1]}"
    lasting = "ejection: {failures: 1, backoff: 1h, longest: 1h}"
    async with origin() as one, origin() as two:

        def several(*urls: str) -> Path:
            write_several(tmp_path, *urls)
            config = tmp_path / "config.yaml"
            config.write_text(config.read_text().replace("targets:", f"{lasting}, targets:"))
            return config

        async with running(several(dead, one.url)) as process:
            async with load(process.address):
                await process.event("upstream ejected")
            name = dead.removeprefix("http://")
            # Several may have been on their way to it at once.
            failures = await process.total("segue_upstream_failures_total", target=name)
            several(dead, two.url)
            process.hang_up()
            await process.event("reloaded")
            async with load(process.address):
                pass
            assert await process.total("segue_upstream_failures_total", target=name) == failures
            assert await process.total("segue_upstream_ejections_total", target=name) == 1
            assert await process.total("segue_upstream_up", target=name) == 0
            assert two.requests > 0


def certificate_of(address: str, authority: trustme.CA) -> bytes:
    """The certificate that a new handshake gets."""
    context = ssl.create_default_context()
    authority.configure_trust(context)
    host, _, port = address.rpartition(":")
    with (
        socket.create_connection((host, int(port))) as plain,
        context.wrap_socket(plain, server_hostname="localhost") as secure,
    ):
        found = secure.getpeercert(binary_form=True)
        assert found is not None
        return found


def issue(authority: trustme.CA, directory: Path) -> None:
    """Write a new certificate and its key."""
    issued = authority.issue_cert("localhost")
    issued.private_key_and_cert_chain_pem.write_to_path(str(directory / "both.pem"))


async def test_new_certificate_is_for_new_handshakes_and_a_broken_one_for_none(
    tmp_path: Path,
) -> None:
    authority = trustme.CA()
    issue(authority, tmp_path)
    tls = "listen: {tls: {certificate: both.pem, key: both.pem}}\n"
    async with (
        raw_server(answering(b"")) as server,
        running(write(tmp_path, server.url, more=tls)) as process,
    ):
        first = await asyncio.to_thread(certificate_of, process.address, authority)
        issue(authority, tmp_path)
        process.hang_up()
        await process.event("reloaded")
        second = await asyncio.to_thread(certificate_of, process.address, authority)
        assert second != first
        (tmp_path / "both.pem").write_text("no certificate")
        process.hang_up()
        await process.event("reload failed")
        for problem, key in zip(
            process.events("configuration problem"), ("certificate", "key"), strict=True
        ):
            assert f"both.pem: listen.tls.{key}: not PEM: there is no line" in str(problem)
        assert await asyncio.to_thread(certificate_of, process.address, authority) == second


class Volume:
    """A directory as Kubernetes mounts a ConfigMap: files are links into `..data`, itself a link.

    An update writes a new directory and exchanges that link in one step.
    """

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._updates = 0

    def update(self, files: dict[str, str]) -> None:
        self._updates += 1
        content = self.directory / f"..{self._updates}"
        content.mkdir(parents=True)
        for name, text in files.items():
            (content / name).write_text(text)
            link = self.directory / name
            if not link.is_symlink():
                link.symlink_to(Path("..data") / name)
        fresh = self.directory / "..data_tmp"
        fresh.symlink_to(content.name)
        fresh.rename(self.directory / "..data")


@asynccontextmanager
async def watching(config: Path) -> AsyncIterator[Watching]:
    """Segue in this process, which looks at its files fifty times a second."""
    log = io.StringIO()
    writer = logs.Writer(log)
    env = {"SEGUE_RELOAD__WATCH": "true", "SEGUE_RELOAD__INTERVAL": "20ms"}
    snapshot = load_snapshot(config, env, {"listen": "127.0.0.1:0", "admin": "127.0.0.1:0"})
    lines = logs.build(writer, "info", "json", is_terminal=False)
    server = Server(snapshot, lines, writer)
    await server.start()
    try:
        yield Watching(server, log)
    finally:
        await server.drain()
        writer.close()


@dataclass
class Watching:
    """A server, and its log."""

    server: Server
    log: io.StringIO

    def events(self, name: str) -> list[dict[str, Any]]:
        entries = [json.loads(line) for line in self.log.getvalue().splitlines()]
        return [entry for entry in entries if entry["event"] == name]

    async def event(self, name: str, nth: int = 1) -> dict[str, Any]:
        async with asyncio.timeout(PATIENCE):
            while len(found := self.events(name)) < nth:  # noqa: ASYNC110 (a log tells nobody)
                await asyncio.sleep(0.005)
        return found[nth - 1]


async def test_exchanged_link_of_a_config_map_is_noticed_and_read_once(tmp_path: Path) -> None:
    write(tmp_path, "http://127.0.0.1:9")
    shutil.rmtree(tmp_path / "mappings")
    volume = Volume(tmp_path / "mappings")
    volume.update({"old-to-new.yaml": MAPPING.format(mark="0")})
    async with watching(tmp_path / "config.yaml") as watched:
        other = MAPPING.replace("old-to-new", "another")
        for number in range(1, 4):
            files = {"old-to-new.yaml": MAPPING.format(mark=str(number))}
            if number == 3:
                files["another.yaml"] = other.format(mark="x")
            volume.update(files)
            assert (await watched.event("reloaded", number))["reason"] == "files"
        newest = await watched.event("reloaded", 3)
        assert newest["mappings"] == ["another", "old-to-new"]
        await asyncio.sleep(0.1)
        assert len(watched.events("reloaded")) == 3
        assert watched.events("reload failed") == []


async def test_file_that_was_broken_is_read_again_when_it_is_mended(tmp_path: Path) -> None:
    config = write(tmp_path, "http://127.0.0.1:9")
    async with watching(config) as watched:
        elsewhere = tmp_path / "elsewhere"
        elsewhere.mkdir()
        cut_short(tmp_path)
        (tmp_path / "mappings" / "old-to-new.yaml").rename(elsewhere / "old-to-new.yaml")
        config.write_text(config.read_text() + "mappings: {directory: elsewhere}\n")
        await watched.event("reload failed")
        # Nothing that serves was ever read there.
        (elsewhere / "old-to-new.yaml").write_text(MAPPING.format(mark="1"))
        assert (await watched.event("reloaded"))["reason"] == "files"


async def test_file_that_is_being_written_is_not_read_before_it_rests(tmp_path: Path) -> None:
    config = write(tmp_path, "http://127.0.0.1:9")
    async with watching(config) as watched:
        with (tmp_path / "mappings" / "old-to-new.yaml").open("w") as file:
            for character in MAPPING.format(mark="1"):
                file.write(character)
                file.flush()
                await asyncio.sleep(0.0005)
        await watched.event("reloaded")
        assert watched.events("reload failed") == []
        assert len(watched.events("reloaded")) == 1


async def test_process_watches_where_its_configuration_says_so_and_stops_where_it_no_longer_does(
    tmp_path: Path,
) -> None:
    watch = "reload: {watch: true, interval: 20ms}\n"
    async with (
        raw_server(answering(b"")) as server,
        running(write(tmp_path, server.url, more=watch)) as process,
    ):
        write(tmp_path, server.url, "1")
        assert (await process.event("reloaded"))["reason"] == "files"
        write(tmp_path, server.url, "2")
        await asyncio.sleep(0.2)
        assert len(process.events("reloaded")) == 1
        process.hang_up()
        assert (await process.event("reloaded"))["reason"] == "asked"
