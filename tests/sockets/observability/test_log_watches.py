"""Operators have the decisions about some requests logged: over the API, and for a while."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from proxy.cli.main import main
from tests.support.rig import RawPeer, Segue, answering, raw_server, segue
from tests.support.sockets import open_pair, origin

ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
MODERN = b"X-Client-Version: 2.0\r\n"


def lines(proxy: Segue, event: str = "decision") -> list[dict[str, Any]]:
    found = [json.loads(line) for line in proxy.log.getvalue().splitlines()]
    return [line for line in found if line["event"] == event]


async def get(peer: RawPeer, fields: bytes = b"") -> None:
    await peer.send(b"GET /api/jobs/ HTTP/1.1\r\nHost: h\r\n" + fields + b"\r\n")
    await peer.read_response()


async def command(proxy: Segue, *arguments: str) -> int:
    full = ["log", *arguments, "--state-dir", proxy.state_directory]
    return await asyncio.to_thread(main, full)


async def test_each_decision_of_a_watched_request_is_a_line_at_the_level_info(
    capsys: pytest.CaptureFixture[str],
) -> None:
    async with (
        raw_server(answering(ANSWER)) as upstream,
        segue(upstream.url, level="info") as proxy,
        proxy.client() as peer,
    ):
        await get(peer, MODERN)
        assert not lines(proxy)
        assert await command(proxy, "watch", "--cohort", "modern", "--json") == 0
        watch = json.loads(capsys.readouterr().out)
        assert watch["lines_left"] == 1000
        await get(peer, MODERN)
        await get(peer, b"X-Client-Version: 1.0\r\n")
        request_id = lines(proxy, "request")[1]["request_id"]
        told = {line["about"]: line for line in lines(proxy)}
        assert list(told) == ["session", "version", "route", "coalescing", "target"]
        assert {line["request_id"] for line in told.values()} == {request_id}
        assert {line["level"] for line in told.values()} == {"debug"}
        assert told["session"]["session"] is None
        version = told["version"]
        found = (version["version"], version["source"], version["cohort"])
        assert found == ("2.0", "header", "modern")
        assert told["route"]["path"] is None
        assert told["target"]["healthy"] is True
        assert await command(proxy, "list") == 0
        assert watch["name"] in capsys.readouterr().out
        assert await command(proxy, "stop", watch["name"]) == 0
        assert await command(proxy, "stop", watch["name"]) == 1
        count = len(lines(proxy))
        await get(peer, MODERN)
        assert len(lines(proxy)) == count


async def test_a_request_id_that_a_client_brings_is_watched_and_so_is_an_open_websocket() -> None:
    async with origin() as upstream, segue(upstream.url, level="info") as proxy:
        before = await open_pair(proxy, upstream, fields=(b"X-Client-Version: 2.0",))
        async with proxy.admin() as admin:
            body = {"request_id": "from-my-shell"}
            response = await admin.post("/api/v1/log/watches", json=body)
            assert response.status == 200, await response.text()
        watched = await open_pair(
            proxy, upstream, fields=(b"X-Client-Version: 2.0", b"X-Request-Id: from-my-shell")
        )
        opened = lines(proxy, "websocket opened")[1]
        assert {line["request_id"] for line in lines(proxy)} == {opened["request_id"]}
        (mapping,) = [line for line in lines(proxy) if line["about"] == "mapping"]
        assert mapping["to_client"] == "old-to-new"
        for pair in (before, watched):
            pair.client.peer.abort()
            pair.server.peer.abort()


@pytest.mark.parametrize(
    ("order", "status"),
    [
        ({}, 400),
        ({"cohort": "modern", "request_id": "x"}, 400),
        ({"cohort": "nobody"}, 422),
        ({"cohort": "none"}, 200),
        ({"request_id": "with space"}, 400),
        ({"request_id": "x" * 129}, 400),
        ({"request_id": "a\r\nb"}, 400),
        ({"cohort": "modern", "seconds": 3601}, 400),
        ({"cohort": "modern", "seconds": 0}, 400),
        ({"cohort": "modern", "lines": 100001}, 400),
        ({"cohort": "modern", "level": "debug"}, 400),
    ],
)
async def test_an_order_has_to_be_one(order: dict[str, object], status: int) -> None:
    async with segue("http://127.0.0.1:1", level="info") as proxy, proxy.admin() as admin:
        response = await admin.post("/api/v1/log/watches", json=order)
        assert response.status == status


async def test_watches_are_for_operators_and_there_are_only_so_many() -> None:
    async with segue("http://127.0.0.1:1", level="info") as proxy, proxy.admin() as admin:
        for expected in [200] * 8 + [409]:
            response = await admin.post("/api/v1/log/watches", json={"cohort": "modern"})
            assert response.status == expected
        listed = await (await admin.get("/api/v1/log/watches")).json()
        assert len(listed["watches"]) == 8
        assert (await admin.delete("/api/v1/log/watches/unknown")).status == 404
