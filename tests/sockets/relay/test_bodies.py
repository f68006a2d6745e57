"""JSON bodies of mapped routes between raw peers."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

import pytest

from tests.support.rig import RawPeer, Segue, raw_server, segue

CONFIG_TEXT: Final = """
upstream: {url: "http://127.0.0.1:1"}
versions: {default: "2"}
limits: {body: 4KiB}
cohorts:
  - name: modern
    versions: ">=2"
    http:
      - {path: "/api/jobs/{}/", to_client: [job-out], to_server: [job-in]}
      - {path: /api/strict/, methods: [GET], to_client: [strict]}
"""

MAPPINGS: Final = {
    "job-out": """
name: job-out
description: What a job looks like for the new clients.
channel: http
direction: to_client
rules:
  - name: prompt
    match: {field: initial_prompt, exists: true}
    do:
      - rename: {initial_prompt: prompt}
    examples:
      - {in: {initial_prompt: a}, out: {prompt: a}}
""",
    "job-in": """
name: job-in
description: What new clients send.
channel: http
direction: to_server
rules:
  - name: prompt
    match: {field: prompt, exists: true}
    do:
      - rename: {prompt: initial_prompt}
    examples:
      - {in: {prompt: a}, out: {initial_prompt: a}}
""",
    "strict": """
name: strict
description: Fails where a field is taken.
channel: http
direction: to_client
on_error: close
rules:
  - name: clash
    match: {field: a, exists: true}
    do:
      - rename: {a: b}
    examples:
      - {in: {a: 1}, out: {b: 1}}
""",
}

OLD: Final = b'{"id": 12345678901234567890, "initial_prompt": "x", "cost": 1.10, "e": "\\u00e9"}'
NEW: Final = b'{"id":12345678901234567890,"prompt":"x","cost":1.10,"e":"\\u00e9"}'
GET: Final = b"GET %b HTTP/1.1\r\nHost: h\r\n%b\r\n"


@pytest.fixture
def config(tmp_path: Path) -> Path:
    (tmp_path / "mappings").mkdir()
    for name, text in MAPPINGS.items():
        (tmp_path / "mappings" / f"{name}.yaml").write_text(text)
    file = tmp_path / "config.yaml"
    file.write_text(CONFIG_TEXT)
    return file


@asynccontextmanager
async def between(
    config: Path, response: bytes, requests: list[tuple[bytes, bytes]] | None = None
) -> AsyncIterator[tuple[Segue, RawPeer]]:
    """A client of Segue in front of a server that notes requests and gives one response."""

    async def script(peer: RawPeer) -> None:
        while True:
            head = await peer.read_head()
            size = int(values(head, b"content-length") or b"0")
            body = await peer.read(size)
            if requests is not None:
                requests.append((head, body))
            await peer.send(response)

    async with (
        raw_server(script) as origin,
        segue(origin.url, config=config) as proxy,
        proxy.client() as peer,
    ):
        yield proxy, peer


def values(head: bytes, name: bytes) -> bytes:
    lines = (line.partition(b":") for line in head.split(b"\r\n")[1:])
    return b", ".join(value.strip() for key, _, value in lines if key.lower() == name)


def answer(body: bytes, *fields: bytes, status: bytes = b"200 OK") -> bytes:
    lines = [b"HTTP/1.1 " + status, b"Content-Type: application/json", *fields]
    return b"\r\n".join([*lines, b"Content-Length: %d" % len(body), b"", body])


async def read_response(peer: RawPeer) -> tuple[bytes, bytes]:
    head = await peer.read_head()
    return head, await peer.read(int(values(head, b"content-length")))


async def test_response_is_rewritten_and_measured_anew_and_only_named_values_change(
    config: Path,
) -> None:
    requests: list[tuple[bytes, bytes]] = []
    response = answer(OLD, b'ETag: "1"', b"Last-Modified: x", b"X-Own: 1", b"Vary: Accept")
    async with between(config, response, requests) as (proxy, peer):
        asked = b'Range: bytes=0-1\r\nIf-None-Match: "1"\r\nIf-Match: "2"\r\n'
        asked += b"Accept-Encoding: br\r\n"
        await peer.send(GET % (b"/api/jobs/1/?a=1", asked))
        head, body = await read_response(peer)
        assert body == NEW
        assert values(head, b"etag") == values(head, b"last-modified") == b""
        assert values(head, b"x-own") == b"1"
        assert values(head, b"vary") == b"Accept, X-Client-Version"
        sent = requests[0][0]
        assert values(sent, b"accept-encoding") == b"identity"
        assert values(sent, b"range") == values(sent, b"if-none-match") == b""
        assert values(sent, b"if-match") == b'"2"'
        labels = {"mapping": "job-out", "direction": "to_client"}
        assert await proxy.metric("segue_messages_total", outcome="mapped", **labels) == 1


@pytest.mark.parametrize("size", [1, 7, 100])
async def test_response_in_chunks_is_rewritten_whole(config: Path, size: int) -> None:
    chunks = b"".join(
        b"%x\r\n%b\r\n" % (len(OLD[i : i + size]), OLD[i : i + size])
        for i in range(0, len(OLD), size)
    )
    response = (
        b"HTTP/1.1 200 OK\r\nContent-Type: application/problem+json; charset=utf-8\r\n"
        b"Transfer-Encoding: chunked\r\n\r\n" + chunks + b"0\r\n\r\n"
    )
    async with between(config, response) as (_, peer):
        for _ in range(2):
            await peer.send(GET % (b"/api/jobs/1/", b""))
            head, body = await read_response(peer)
            assert (body, values(head, b"transfer-encoding")) == (NEW, b"")


@pytest.mark.parametrize("chunked", [True, False])
async def test_request_is_rewritten_and_gets_a_length(config: Path, chunked: bool) -> None:
    requests: list[tuple[bytes, bytes]] = []
    async with between(config, answer(b"{}"), requests) as (_, peer):
        framing = (
            b"Transfer-Encoding: chunked\r\n\r\n%x\r\n%b\r\n0\r\n\r\n" % (len(NEW), NEW)
            if chunked
            else b"Content-Length: %d\r\n\r\n%b" % (len(NEW), NEW)
        )
        await peer.send(
            b"PATCH /api/jobs/1/ HTTP/1.1\r\nHost: h\r\n"
            b"Content-Type: application/json\r\n" + framing
        )
        await read_response(peer)
        head, body = requests[0]
        assert body == OLD.replace(b": ", b":").replace(b", ", b",")
        assert values(head, b"transfer-encoding") == b""


async def test_client_that_waits_for_100_is_told_to_go_on(config: Path) -> None:
    requests: list[tuple[bytes, bytes]] = []
    async with between(config, answer(b"{}"), requests) as (_, peer):
        await peer.send(
            b"PUT /api/jobs/1/ HTTP/1.1\r\nHost: h\r\nContent-Type: application/json\r\n"
            b"Expect: 100-continue\r\nContent-Length: 14\r\n\r\n"
        )
        assert await peer.read_head() == b"HTTP/1.1 100 Continue\r\n\r\n"
        await peer.send(b'{"prompt":"a"}')
        await read_response(peer)
        assert requests[0][1] == b'{"initial_prompt":"a"}'
        assert values(requests[0][0], b"expect") == b""


@pytest.mark.parametrize(
    ("version", "expect", "length", "began"),
    [
        (b"1.1", b"100-continue", 99_999_999, b"HTTP/1.1 413 "),
        (b"1.0", b"100-continue", 14, b"HTTP/1.1 200 "),
        (b"1.1", b"something-else", 14, b"HTTP/1.1 200 "),
    ],
    ids=["too large", "HTTP/1.0", "another expectation"],
)
async def test_nobody_else_is_told_to_go_on(
    config: Path, version: bytes, expect: bytes, length: int, began: bytes
) -> None:
    async with between(config, answer(b"{}")) as (_, peer):
        await peer.send(
            b"PUT /api/jobs/1/ HTTP/%b\r\nHost: h\r\nContent-Type: application/json\r\n"
            b"Expect: %b\r\nContent-Length: %d\r\n\r\n" % (version, expect, length)
        )
        if length == 14:
            await peer.send(b'{"prompt":"a"}')
        assert (await peer.read_head()).startswith(began)


async def test_a_head_does_not_tell_the_length_of_the_body_that_is_rewritten(config: Path) -> None:
    response = answer(OLD, b'ETag: "1"').partition(b"\r\n\r\n")[0] + b"\r\n\r\n"
    async with between(config, response) as (_, peer):
        await peer.send((GET % (b"/api/jobs/1/", b"")).replace(b"GET", b"HEAD", 1))
        head = await peer.read_head()
        assert (values(head, b"content-length"), values(head, b"etag")) == (b"", b"")
        assert values(head, b"content-type") == b"application/json"


@pytest.mark.parametrize(
    ("target", "fields", "response"),
    [
        (b"/api/jobs/1", b"", answer(OLD, b'ETag: "1"')),
        (b"/api/jobs/1/x/", b"", answer(OLD, b'ETag: "1"')),
        (b"/api/jobs/1/", b"X-Client-Version: 1\r\n", answer(OLD, b'ETag: "1"')),
    ],
    ids=["other path", "longer path", "other cohort"],
)
async def test_what_is_not_named_passes_byte_for_byte(
    config: Path, target: bytes, fields: bytes, response: bytes
) -> None:
    async with between(config, response) as (_, peer):
        await peer.send(GET % (target, fields))
        assert await peer.read(len(response)) == response


@pytest.mark.parametrize(
    "response",
    [
        answer(OLD, b'ETag: "1"').replace(b"application/json", b"text/plain"),
        answer(b"\x1f\x8b...", b"Content-Encoding: gzip"),
        answer(b"not json"),
        answer(b'{"other": 1}'),
        answer(b""),
        b"HTTP/1.1 304 Not Modified\r\nContent-Type: application/json\r\nContent-Length: 9\r\n\r\n",
    ],
    ids=["no JSON type", "encoded", "not JSON", "no rule", "empty", "304"],
)
async def test_a_body_that_is_not_rewritten_keeps_its_bytes_and_fields(
    config: Path, response: bytes
) -> None:
    fields, _, body = response.partition(b"\r\n\r\n")
    async with between(config, response) as (_, peer):
        await peer.send(GET % (b"/api/jobs/1/", b""))
        head = await peer.read_head()
        assert set(fields.split(b"\r\n")) < set(head.split(b"\r\n"))
        assert await peer.read(len(body)) == body
        assert values(head, b"vary") == b"X-Client-Version"


async def test_a_response_beyond_the_limit_passes_and_counts_as_failed(config: Path) -> None:
    body = b'{"initial_prompt": "%b"}' % (b"x" * 100_000)
    async with between(config, answer(body)) as (proxy, peer):
        await peer.send(GET % (b"/api/jobs/1/", b""))
        assert (await read_response(peer))[1] == body
        labels = {"mapping": "job-out", "direction": "to_client"}
        assert await proxy.metric("segue_messages_total", outcome="failed", **labels) == 1
        assert await proxy.metric("segue_messages_total", outcome="mapped", **labels) == 0


async def test_a_request_beyond_the_limit_gets_413(config: Path) -> None:
    requests: list[tuple[bytes, bytes]] = []
    async with between(config, answer(b"{}"), requests) as (_, peer):
        await peer.send(
            b"PUT /api/jobs/1/ HTTP/1.1\r\nHost: h\r\nContent-Type: application/json\r\n"
            b"Content-Length: 100000\r\n\r\n" + b"x" * 5000
        )
        head, body = await read_response(peer)
        assert head.startswith(b"HTTP/1.1 413 ")
        assert json.loads(body)["status"] == 413
        assert requests == []


async def test_a_failure_that_closes_is_502_and_not_the_server_s_body(config: Path) -> None:
    async with between(config, answer(b'{"a": 1, "b": 2}')) as (_, peer):
        for _ in range(2):
            await peer.send(GET % (b"/api/strict/", b""))
            head, body = await read_response(peer)
            assert head.startswith(b"HTTP/1.1 502 ")
            assert values(head, b"content-type") == b"application/problem+json"
            assert b'"b": 2' not in body


async def test_a_preflight_is_never_mapped(config: Path) -> None:
    response = answer(OLD, b'ETag: "1"')
    fields = b"Origin: http://a.test\r\nAccess-Control-Request-Method: GET\r\n"
    async with between(config, response) as (_, peer):
        await peer.send(b"OPTIONS /api/jobs/1/ HTTP/1.1\r\nHost: h\r\n" + fields + b"\r\n")
        assert await peer.read(len(response)) == response


async def test_a_response_that_breaks_off_is_no_response(config: Path) -> None:
    async def script(peer: RawPeer) -> None:
        await peer.read_head()
        await peer.send(answer(OLD)[:-5])

    async with (
        raw_server(script) as origin,
        segue(origin.url, config=config) as proxy,
        proxy.client() as peer,
    ):
        await peer.send(GET % (b"/api/jobs/1/", b""))
        assert (await peer.read_head()).startswith(b"HTTP/1.1 502 ")
