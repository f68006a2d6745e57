"""Probes: what is asked, what counts as an answer, and that they stay out of everything else."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path

import pytest

from proxy.upstream.probe import Check, probe
from proxy.upstream.target import Target
from tests.support.rig import RawPeer, Segue, answering, raw_server, segue, status_of
from tests.support.waiting import PATIENCE

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
SICK = b"HTTP/1.1 500 Internal Server Error\r\nContent-Length: 0\r\n\r\n"
GET = b"GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n"

CHECK = Check(
    path="/healthz?deep=1",
    host="",
    interval=1.0,
    timeout=PATIENCE,
    healthy=1,
    unhealthy=1,
    statuses=frozenset({200, 204}),
)


def target(url: str) -> Target:
    host, _, port = url.removeprefix("http://").rpartition(":")
    return Target(
        host=host,
        port=int(port),
        authority=f"{host}:{port}".encode(),
        tls=None,
        server_name=None,
        connect_timeout=PATIENCE,
        response_timeout=PATIENCE,
        idle_timeout=PATIENCE,
        max_head=1024,
        max_idle=1,
        keepalive=PATIENCE,
        write_buffer=1024,
    )


async def well(url: str, check: Check = CHECK) -> bool:
    return await probe(target(url), check, asyncio.get_running_loop())


async def test_probe_is_one_get_on_a_connection_that_ends_with_it() -> None:
    heads: list[bytes] = []
    async with raw_server(answering(OK, heads)) as server:
        assert await well(server.url)
        assert await well(server.url, replace(CHECK, host="app.example.com"))
        assert server.connections == 2
    own, named = (head.decode().split("\r\n") for head in heads)
    assert own[:2] == [
        "GET /healthz?deep=1 HTTP/1.1",
        f"Host: {server.url.removeprefix('http://')}",
    ]
    assert named[1] == "Host: app.example.com"
    assert "Connection: close" in own


@pytest.mark.parametrize(
    ("answer", "passes"),
    [
        (OK, True),
        (b"HTTP/1.1 204 No Content\r\n\r\n", True),
        (b"HTTP/1.1 103 Early Hints\r\n\r\n" + OK, True),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\nthe rest is not waited for", True),
        (SICK, False),
        (b"HTTP/1.1 302 Found\r\nLocation: /\r\n\r\n", False),
        (b"HTTP/1.1 101 Switching Protocols\r\n\r\n", False),
        (b"SSH-2.0-OpenSSH_9.2\r\n", False),
        (b"HTTP/1.1 200 OK\r\nX: " + b"x" * 2000, False),
        (b"", False),
    ],
    ids=[
        "200",
        "204",
        "after a 103",
        "large",
        "500",
        "302",
        "101",
        "no HTTP",
        "head too large",
        "nothing",
    ],
)
async def test_status_decides_and_whatever_is_no_answer_is_a_bad_one(
    answer: bytes, passes: bool
) -> None:
    async def script(peer: RawPeer) -> None:
        await peer.read_head()
        await peer.send(answer)
        if answer:
            await peer.read_all()

    async with raw_server(script) as server:
        assert await well(server.url) is passes


async def test_probe_that_gets_no_answer_in_time_is_a_bad_one() -> None:
    async def script(peer: RawPeer) -> None:
        await peer.read_all()

    async with raw_server(script) as server:
        assert not await well(server.url, replace(CHECK, timeout=0.02))


async def test_server_that_refuses_connections_fails_its_probes() -> None:
    async with raw_server(answering(OK)) as server:
        url = server.url
    assert not await well(url)


# In a running Segue.


def switchable(state: dict[str, bytes]) -> Callable[[RawPeer], Awaitable[None]]:
    """A server whose answer to probes can be changed; what else is asked is answered with 200."""

    async def script(peer: RawPeer) -> None:
        while True:
            probed = (await peer.read_head()).startswith(b"GET /healthz ")
            await peer.send(state["answer"] if probed else OK)

    return script


def write(directory: Path, *urls: str, health: str = "{path: /healthz, interval: 10ms}") -> Path:
    (directory / "mappings").mkdir(exist_ok=True)
    file = directory / "config.yaml"
    listed = ", ".join(f'"{url}"' for url in urls)
    file.write_text(f"upstream: {{targets: [{listed}], health: {health}}}\n")
    return file


async def becomes(proxy: Segue, url: str, *, up: bool) -> None:
    name = url.removeprefix("http://")
    async with asyncio.timeout(PATIENCE):
        while await proxy.metric("segue_upstream_up", target=name) != up:  # noqa: ASYNC110
            await asyncio.sleep(0.01)


async def test_unhealthy_server_gets_no_requests_until_it_is_well_again(tmp_path: Path) -> None:
    one_is, other_is = {"answer": OK}, {"answer": OK}
    async with raw_server(switchable(one_is)) as one, raw_server(switchable(other_is)) as other:
        async with segue(None, config=write(tmp_path, one.url, other.url)) as proxy:
            name = one.url.removeprefix("http://")
            one_is["answer"] = SICK
            await becomes(proxy, one.url, up=False)
            for _ in range(6):
                assert status_of(await proxy.ask(GET)) == 200
            name = one.url.removeprefix("http://")
            assert await proxy.metric("segue_upstream_connects_total", target=name) == 0
            assert await proxy.metric("segue_upstream_ejections_total", target=name) == 0
            one_is["answer"] = OK
            await becomes(proxy, one.url, up=True)
            for _ in range(6):
                assert status_of(await proxy.ask(GET)) == 200
            assert await proxy.metric("segue_upstream_connects_total", target=name) == 1
        lines = [json.loads(line) for line in proxy.log.getvalue().splitlines()]
        told = [
            (line["event"], line.get("unhealthy"))
            for line in lines
            if line["event"].startswith("upstream ")
        ]
        assert told == [("upstream ejected", True), ("upstream recovered", None)]


async def test_where_every_server_is_sick_requests_are_served_all_the_same(tmp_path: Path) -> None:
    unhealthy = {"answer": SICK}
    async with raw_server(switchable(unhealthy)) as one, raw_server(switchable(unhealthy)) as other:
        async with segue(None, config=write(tmp_path, one.url, other.url)) as proxy:
            await becomes(proxy, one.url, up=False)
            await becomes(proxy, other.url, up=False)
            for _ in range(4):
                assert status_of(await proxy.ask(GET)) == 200
            for each in (one, other):
                name = each.url.removeprefix("http://")
                assert await proxy.metric("segue_upstream_connects_total", target=name) == 1


async def test_probes_that_are_turned_off_by_a_reload_are_forgotten(tmp_path: Path) -> None:
    unhealthy = {"answer": SICK}
    async with raw_server(switchable(unhealthy)) as one, raw_server(answering(OK)) as other:
        async with segue(None, config=write(tmp_path, one.url, other.url)) as proxy:
            await becomes(proxy, one.url, up=False)
            write(tmp_path, one.url, other.url, health="null")
            proxy.server.reload()
            await becomes(proxy, one.url, up=True)


async def test_what_probes_have_found_out_survives_a_reload(tmp_path: Path) -> None:
    one_is = {"answer": SICK}
    async with (
        raw_server(switchable(one_is)) as one,
        raw_server(answering(OK)) as other,
        raw_server(answering(OK)) as third,
    ):
        async with segue(None, config=write(tmp_path, one.url, other.url)) as proxy:
            await becomes(proxy, one.url, up=False)
            never = "{path: /healthz, interval: 1h}"
            write(tmp_path, one.url, third.url, health=never)
            proxy.server.reload()
            await becomes(proxy, third.url, up=True)
            assert (
                await proxy.metric("segue_upstream_up", target=one.url.removeprefix("http://")) == 0
            )
