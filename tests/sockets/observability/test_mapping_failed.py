"""Why was this frame not rewritten? The log says it, and says nothing of what the frame said."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

import pytest

from proxy.observability.limited import MOST
from tests.support.rfc6455 import TEXT
from tests.support.rig import Segue, answering, raw_server, segue
from tests.support.sockets import gone, relayed

CONFIG_TEXT: Final = """
upstream: {url: "http://127.0.0.1:1"}
versions: {default: "2"}
limits: {body: 1KiB}
cohorts:
  - name: modern
    versions: ">=2"
    websocket: {to_client: [frames]}
    http: [{path: /api/, to_client: [bodies]}]
"""

MAPPING: Final = """
name: NAME
description: Numbers become text.
channel: CHANNEL
direction: to_client
on_error: ON_ERROR
rules:
  - name: number
    match: {field: kind, equals: number}
    do:
      - convert: {meta.value: {from: integer, to: string}}
    examples:
      - {in: {kind: number, meta: {value: 1}}, out: {kind: number, meta: {value: "1"}}}
"""

GOOD: Final = b'{"kind":"number","meta":{"value":7}}'
BAD: Final = b'{"kind":"number","meta":{"value":"secret-value"}}'


@pytest.fixture
def config(tmp_path: Path) -> Path:
    (tmp_path / "mappings").mkdir()
    for name, channel, on_error in (("frames", "websocket", "pass"), ("bodies", "http", "close")):
        text = MAPPING.replace("NAME", name).replace("CHANNEL", channel)
        (tmp_path / "mappings" / f"{name}.yaml").write_text(text.replace("ON_ERROR", on_error))
    file = tmp_path / "config.yaml"
    file.write_text(CONFIG_TEXT)
    return file


def lines(proxy: Segue, event: str) -> list[dict[str, Any]]:
    found = [json.loads(line) for line in proxy.log.getvalue().splitlines()]
    return [line for line in found if line["event"] == event]


async def test_a_frame_that_could_not_be_mapped_is_a_warning_without_its_values(
    config: Path,
) -> None:
    async with relayed(config=config) as pair:
        await pair.server.send(TEXT, GOOD)
        assert await pair.client.message() == b'{"kind":"number","meta":{"value":"7"}}'
        assert not lines(pair.segue, "mapping failed")
        await pair.server.send(TEXT, BAD)
        assert await pair.client.message() == BAD
        (line,) = lines(pair.segue, "mapping failed")
        pair.client.peer.abort()
        pair.server.peer.abort()
        await gone(pair.segue)
        (ended,) = lines(pair.segue, "websocket")
        assert "secret-value" not in pair.segue.log.getvalue()
    del line["timestamp"]
    assert line == {
        "event": "mapping failed",
        "level": "warning",
        "mapping": "frames",
        "rule": "number",
        "operation": "convert",
        "field": "meta.value",
        "reason": "convert: `meta.value`: this string is no integer (from integer to string)",
        "on_error": "pass",
        "direction": "to_client",
        "cohort": "modern",
        "request_id": ended["request_id"],
    }


async def test_a_frame_that_no_rule_was_asked_about_names_the_mapping(config: Path) -> None:
    async with relayed({"SEGUE_LIMITS__JSON_DEPTH": "8"}, config=config) as pair:
        deep = b'{"a":' * 9 + b"1" + b"}" * 9
        await pair.server.send(TEXT, deep)
        assert await pair.client.message() == deep
        (line,) = lines(pair.segue, "mapping failed")
        assert (line["mapping"], line["rule"]) == ("frames", "none")
        assert line["reason"] == "nested deeper than 8 levels"
        assert "operation" not in line
        assert "field" not in line


async def test_a_flood_of_failures_is_a_few_lines_and_a_number(config: Path) -> None:
    async with relayed(config=config) as pair:
        for _ in range(MOST + 20):
            await pair.server.send(TEXT, BAD)
            assert await pair.client.message() == BAD
        assert len(lines(pair.segue, "mapping failed")) == MOST
        assert not lines(pair.segue, "warnings suppressed")
    # At the end of Segue, or of ten seconds.
    (told,) = lines(pair.segue, "warnings suppressed")
    assert (told["of"], told["mapping"], told["rule"]) == ("mapping failed", "frames", "number")
    assert told["suppressed"] == 20


@pytest.mark.parametrize(
    ("body", "status", "expected"),
    [
        (BAD, 502, ("number", "convert", "meta.value", "close")),
        (b'{"kind":"secret-value' + b"x" * 2048 + b'"}', 200, ("none", None, None, "pass")),
    ],
    ids=["failed", "too large"],
)
async def test_a_body_that_could_not_be_mapped_is_a_warning_too(
    config: Path, body: bytes, status: int, expected: tuple[str | None, ...]
) -> None:
    head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"
    async with (
        raw_server(answering(head % len(body) + body)) as origin,
        segue(origin.url, config=config) as proxy,
        proxy.client() as peer,
    ):
        await peer.send(b"GET /api/?token=secret-value HTTP/1.1\r\nHost: h\r\n\r\n")
        response, _ = await peer.read_response()
        assert int(response.split()[1]) == status
        (line,) = lines(proxy, "mapping failed")
        (request,) = lines(proxy, "request")
        found = [line.get(name) for name in ("rule", "operation", "field", "on_error")]
        assert found == list(expected)
        assert line["mapping"] == "bodies"
        assert line["request_id"] == request["request_id"]
        assert "secret-value" not in proxy.log.getvalue()


async def test_a_websocket_has_a_line_when_it_opens_and_its_end_says_what_became_of_messages(
    config: Path,
) -> None:
    async with relayed(config=config) as pair:
        (opened,) = lines(pair.segue, "websocket opened")
        for message in (GOOD, GOOD, BAD, b'{"kind":"else"}'):
            await pair.server.send(TEXT, message)
            await pair.client.message()
        await pair.client.send(TEXT, BAD)
        assert await pair.server.message() == BAD
        labels = {"mapping": "frames", "direction": "to_client", "outcome": "mapped"}
        assert await pair.segue.metric("segue_messages_total", **labels) == 2
        pair.client.peer.abort()
        pair.server.peer.abort()
        await gone(pair.segue)
        assert await pair.segue.metric("segue_messages_total", **labels) == 2
        labels["outcome"] = "failed"
        assert await pair.segue.metric("segue_mapping_failures_total", mapping="frames") == 1
        assert await pair.segue.metric("segue_messages_total", **labels) == 1
        (ended,) = lines(pair.segue, "websocket")
    assert opened["request_id"] == ended["request_id"]
    assert (opened["to_client"], opened["to_server"]) == ("frames", None)
    assert (opened["cohort"], opened["status"], opened["level"]) == ("modern", 101, "info")
    assert opened["upstream"]
    none = {"mapped": 0, "passed": 0, "dropped": 0, "failed": 0, "undelivered": 0}
    assert ended["to_client_messages"] == {**none, "mapped": 2, "passed": 1, "failed": 1}
    assert ended["to_server_messages"] == {**none, "passed": 1}


@pytest.mark.parametrize(
    ("kind", "body", "outcome"),
    [
        (b"application/json", GOOD, "mapped"),
        (b"application/json", b'{"kind":"else"}', "passed"),
        (b"application/json", BAD, "failed"),
        (b"text/plain", GOOD, "none"),
    ],
    ids=["mapped", "passed", "failed", "none"],
)
async def test_a_request_says_whether_its_body_was_mapped(
    config: Path, kind: bytes, body: bytes, outcome: str
) -> None:
    response = b"HTTP/1.1 200 OK\r\nContent-Type: %b\r\nContent-Length: %d\r\n\r\n%b"
    async with (
        raw_server(answering(response % (kind, len(body), body))) as origin,
        segue(origin.url, config=config) as proxy,
        proxy.client() as peer,
    ):
        for path in (b"/api/", b"/else/"):
            await peer.send(b"GET %b HTTP/1.1\r\nHost: h\r\n\r\n" % path)
            await peer.read_response()
        mapped, other = lines(proxy, "request")
        assert (mapped["to_client"], mapped["to_client_outcome"]) == ("bodies", outcome)
        assert "to_client_outcome" not in other
        counted = await proxy.metric("segue_messages_total", mapping="bodies", outcome=outcome)
        assert counted == (outcome != "none")
