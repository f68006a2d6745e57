"""Clients are told of the end of what they use, where a mapping applies to the answer."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from tests.support.rig import Segue, answering, raw_server, segue

CONFIG = """
versions: {default: "1.0"}
mappings: {directory: mappings}
cohorts:
  - name: old
    versions: "<2"
    http:
      - {path: "/jobs/{}", methods: [GET, HEAD], to_client: [jobs]}
      - {path: "/in", methods: [POST], to_server: [sent]}
  - name: new
    versions: ">=2"
    http:
      - {path: "/jobs/{}", methods: [GET], to_client: [jobs]}
switching:
  sunset:
    announce:
      - switch: old/jobs
        deprecation: "2026-12-01"
        sunset: "2027-06-01T12:00Z"
        link: https://example.com/new
      - {switch: old/sent, deprecation: "2026-12-02"}
coalescing:
  - {name: jobs, path: "/jobs/{}"}
"""
MAPPINGS = {
    name: f"""
name: {name}
description: A field has another name.
channel: http
direction: {direction}
rules:
  - name: renamed
    match: {{field: old, exists: true}}
    do: [{{rename: {{old: new}}}}]
    examples: [{{in: {{old: 1}}, out: {{new: 1}}}}]
"""
    for name, direction in (("jobs", "to_client"), ("sent", "to_server"))
}
DEPRECATION = b"@1796083200"
SUNSET = b"Tue, 01 Jun 2027 12:00:00 GMT"
LINK = b'<https://example.com/new>; rel="deprecation"; type="text/html"'


def answer(*fields: str, status: str = "200 OK") -> bytes:
    body = '{"old": 1}'
    return "\r\n".join(
        (
            f"HTTP/1.1 {status}",
            "Content-Type: application/json",
            f"Content-Length: {len(body)}",
            *fields,
            "",
            body,
        )
    ).encode()


@asynccontextmanager
async def serving(directory: Path, response: bytes) -> AsyncIterator[Segue]:
    (directory / "mappings").mkdir()
    for name, text in MAPPINGS.items():
        (directory / "mappings" / f"{name}.yaml").write_text(text)
    config = directory / "config.yaml"
    config.write_text(CONFIG)
    async with (
        raw_server(answering(response)) as server,
        segue(server.url, config=config) as proxy,
    ):
        yield proxy


async def told(
    proxy: Segue, *fields: str, path: str = "/jobs/1", method: str = "GET"
) -> list[tuple[bytes, bytes]]:
    """The fields of the answer that tell of an end, and of who may read them."""
    request = "\r\n".join(
        (f"{method} {path} HTTP/1.1", "Host: h", "Connection: close", *fields, "", "")
    )
    response = await proxy.ask(request.encode())
    wanted = {b"deprecation", b"sunset", b"link", b"vary", b"access-control-expose-headers"}
    lines = response.partition(b"\r\n\r\n")[0].split(b"\r\n")[1:]
    pairs = [line.split(b": ", 1) for line in lines]
    return [(name.lower(), value) for name, value in pairs if name.lower() in wanted]


VARY = (b"vary", b"X-Client-Version")
ALL = [VARY, (b"deprecation", DEPRECATION), (b"sunset", SUNSET), (b"link", LINK)]


async def test_answers_of_a_mapped_route_say_it(tmp_path: Path) -> None:
    async with serving(tmp_path, answer()) as proxy:
        assert await told(proxy) == ALL
        assert await told(proxy, method="HEAD") == ALL
        # Not those of another cohort, or of another route; nor where it is not named.
        assert await told(proxy, "X-Client-Version: 2.0") == [VARY]
        assert await told(proxy, path="/other") == []
        sent = await told(proxy, path="/in", method="POST")
        assert sent == [VARY, (b"deprecation", b"@1796169600")]
        metric = "segue_deprecation_answers_total"
        assert await proxy.metric(metric, cohort="old", mapping="jobs") == 2
        assert await proxy.metric(metric, cohort="old", mapping="sent") == 1


async def test_it_is_said_with_errors_and_other_bodies_too(tmp_path: Path) -> None:
    async with serving(tmp_path, answer(status="404 Not Found")) as proxy:
        assert await told(proxy) == ALL


@pytest.mark.parametrize("own", ["Deprecation: @5", "sunset: Tue, 01 Jun 2027 12:00:00 GMT"])
async def test_the_servers_own_fields_win(tmp_path: Path, own: str) -> None:
    async with serving(tmp_path, answer(own, "Link: </a>; rel=next")) as proxy:
        found = await told(proxy)
        name, _, value = own.partition(": ")
        assert sorted(found) == sorted(
            [VARY, (name.lower().encode(), value.encode()), (b"link", b"</a>; rel=next")]
        )
        assert await proxy.metric("segue_deprecation_answers_total") == 0


async def test_other_links_of_the_server_stay(tmp_path: Path) -> None:
    async with serving(tmp_path, answer("Link: </a>; rel=next")) as proxy:
        assert (b"link", b"</a>; rel=next") in await told(proxy)
        assert (b"link", LINK) in await told(proxy)


async def test_pages_that_may_read_the_answer_may_read_it(tmp_path: Path) -> None:
    async with serving(tmp_path, answer("Access-Control-Allow-Origin: https://a")) as proxy:
        expose = b"access-control-expose-headers"
        assert (expose, b"Deprecation, Sunset, Link") in await told(proxy, "Origin: https://a")
        assert expose not in dict(await told(proxy))


async def test_nothing_is_said_where_the_mapping_is_off(tmp_path: Path) -> None:
    async with serving(tmp_path, answer()) as proxy:
        async with (
            proxy.admin() as client,
            client.post("/api/v1/switches/all-off", json={"reason": "a test"}) as done,
        ):
            assert done.status == 200
        assert await told(proxy) == []


async def test_all_who_share_an_answer_are_told(tmp_path: Path) -> None:
    async with serving(tmp_path, answer()) as proxy:
        found = await asyncio.gather(*(told(proxy) for _ in range(6)))
        assert found == [ALL] * 6
