"""The recording API over real sockets: who may use it, and what leaves it."""

from __future__ import annotations

import asyncio
import gzip
import json
import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, cast

import aiohttp
import pytest

from proxy.admin.recording import RecordingRequest, line_of
from proxy.configuration.document import parse
from proxy.gateway.open_websocket import OpenWebSocket
from proxy.mapping.catalog import CohortBinding, build
from proxy.mapping.engine.program import Program
from proxy.recording.bodies import BodyObserver
from proxy.recording.tap import Observed, TapPoint
from proxy.rewriting import Room
from proxy.types import Direction
from tests.support.mappings import JOBS
from tests.support.rfc6455 import TEXT
from tests.support.rig import CONFIG, RawPeer, answering, raw_server, segue
from tests.support.sockets import Pair, open_pair, origin, relayed
from tests.support.waiting import PATIENCE

MODERN = b"X-Client-Version: 2.0"
SECRET = "eyJhbGciOiJIUzI1NiJ9.c2VjcmV0.c2lnbmF0dXJl"
STATUS = json.dumps(
    {"kind": "jobStatus", "jobId": "j-1", "status": "running", "message": f"Anna {SECRET}"}
).encode()
STEP = json.dumps({"kind": "agentDialogue", "jobId": "j-1", "order": 3}).encode()


async def start(client: aiohttp.ClientSession, **order: object) -> str:
    async with client.post("/api/v1/recordings", json=order) as response:
        assert response.status == 201, await response.text()
        name = (await response.json())["name"]
        assert isinstance(name, str)
        return name


async def lines(client: aiohttp.ClientSession, name: str) -> list[dict[str, Any]]:
    async with asyncio.timeout(PATIENCE), client.get(f"/api/v1/recordings/{name}") as response:
        assert response.status == 200
        assert response.headers["Cache-Control"] == "no-store"
        return [json.loads(line) for line in (await response.text()).splitlines()]


async def exchange(pair: Pair, *messages: bytes) -> list[bytes]:
    """Let the server send messages; what the client gets."""
    for message in messages:
        await pair.server.send(TEXT, message)
    return [await pair.client.message() for _ in messages]


async def test_recording_shows_shapes_and_what_the_mapping_makes_of_them() -> None:
    async with relayed(None, MODERN) as pair, pair.segue.admin() as client:
        name = await start(client, mapping="old-to-new", count=2)
        await exchange(pair, STATUS, STEP)
        first, second, end = await lines(client, name)
        assert first["in"] == {
            "kind": "jobStatus",
            "jobId": "x-0",
            "status": "xxxxxxx",
            "message": first["in"]["message"],
        }
        assert first["out"] == {**first["in"], "kind": "status"}
        assert second["in"] == {"kind": "agentDialogue", "jobId": "x-0", "order": 1}
        assert second["out"]["kind"] == "step"
        assert {first["direction"], first["cohort"], first["mapping"]} == {
            "to_client",
            "modern",
            "old-to-new",
        }
        assert end == {"end": {"reason": "count", "messages": 2, "skipped": 0}}


async def test_invariant_7_nothing_that_was_written_leaves_in_a_recording() -> None:
    async with relayed(None, MODERN) as pair, pair.segue.admin() as client:
        name = await start(client, direction="to_client", count=1, keep=["kind", "message"])
        await exchange(pair, STATUS)
        async with client.get(f"/api/v1/recordings/{name}") as response:
            text = await response.text()
        assert "Anna" not in text
        for part in SECRET.split("."):
            assert part not in text


async def test_invariant_1_messages_are_the_same_before_during_and_after_a_recording() -> None:
    async with relayed(None, MODERN) as pair, pair.segue.admin() as client:
        before = await exchange(pair, STATUS, b"no JSON", STEP)
        name = await start(client)
        during = await exchange(pair, STATUS, b"no JSON", STEP)
        chat = b'{"kind": "chat", "content": "hello"}'
        await pair.client.send(TEXT, chat[:9], fin=False)
        await pair.client.send(0, chat[9:])
        assert (await pair.server.receive()).payload == chat[:9]
        assert (await pair.server.receive()).payload == chat[9:]
        async with client.delete(f"/api/v1/recordings/{name}") as response:
            assert response.status == 204
        after = await exchange(pair, STATUS, b"no JSON", STEP)
        assert before == during == after
        *found, end = await lines(client, name)
        assert [line.get("skipped") for line in found] == [None, "not a JSON object", None, None]
        assert found[-1]["direction"] == "to_server"
        # Nothing is bound that way: an author starts from what passes.
        assert found[-1]["in"] == found[-1]["out"] == {"kind": "chat", "content": "xxxxx"}
        assert end["end"]["reason"] == "stopped"
        labels = {"mapping": "old-to-new", "direction": "to_client"}
        assert await pair.segue.metric("segue_messages_total", outcome="mapped", **labels) == 6
        assert await pair.segue.metric("segue_messages_total", outcome="passed", **labels) == 3


async def test_open_socket_has_the_programs_themselves_before_and_after_a_recording() -> None:
    async with relayed(None, MODERN) as pair, pair.segue.admin() as client:
        (socket,) = cast(list[OpenWebSocket], list(pair.segue.server._data.connections._open))
        relay = socket.relay
        before = relay.server.frame_filter.handling
        assert type(before.rewriter) is Program
        name = await start(client)
        assert relay.server.frame_filter.handling is not before
        async with client.delete(f"/api/v1/recordings/{name}"):
            assert relay.server.frame_filter.handling is before


async def test_sockets_that_open_later_are_recorded_too() -> None:
    async with origin() as upstream, segue(upstream.url) as running, running.admin() as client:
        name = await start(client, direction="to_client", cohort="modern", count=1)
        pairs = [
            await open_pair(running, upstream, fields=[b"X-Client-Version: " + version])
            for version in (b"1", b"2")
        ]
        for pair in pairs:
            await exchange(pair, STATUS)
        found, _ = await lines(client, name)
        assert found["cohort"] == "modern"
        for pair in pairs:
            await pair.client.peer.close()
            await pair.server.peer.close()


async def test_words_that_the_mapping_names_are_shown_and_no_others(tmp_path: Path) -> None:
    """Without `keep`: all values of its `kinds.field`, and those that its rules compare with."""
    (tmp_path / "mappings").mkdir()
    (tmp_path / "mappings/words.yaml").write_text(WORDS)
    config = tmp_path / "config.yaml"
    config.write_text(WORDED)
    told = [
        {"type": "note", "state": "open", "level": 3, "by": "Anna", "who": {"state": ["open"]}},
        {"type": "other", "state": "Anna", "level": 42, "by": "open"},
        {"type": SECRET, "state": SECRET, "level": 3.0},
    ]
    async with relayed(None, MODERN, config=config) as pair, pair.segue.admin() as client:
        name = await start(client, mapping="words", count=3)
        await exchange(pair, *(json.dumps(each).encode() for each in told))
        found = [line["in"] for line in (await lines(client, name))[:-1]]
        assert found[0] == {
            "type": "note",
            "state": "open",
            "level": 3,
            "by": "Xxxx",
            "who": {"state": ["open"]},
        }
        assert found[1] == {"type": "other", "state": "Xxxx", "level": 10, "by": "xxxx"}
        assert SECRET not in json.dumps(found)
        assert found[2]["level"] == 3.0


@pytest.mark.parametrize(
    ("outcome", "expected"),
    [("mapped", "jobStatus"), ("passed", "unknown"), ("dropped", None), ("failed", None)],
)
async def test_only_messages_that_ended_so_are_recorded(outcome: str, expected: str | None) -> None:
    async with relayed(None, MODERN) as pair, pair.segue.admin() as client:
        name = await start(client, mapping="old-to-new", outcomes=[outcome])
        await exchange(pair, STATUS, b'{"kind": "unknown"}')
        async with client.delete(f"/api/v1/recordings/{name}") as response:
            assert response.status == 204
        *found, _ = await lines(client, name)
        assert [line["outcome"] for line in found] == ([outcome] if expected else [])
        assert [line["in"]["kind"] for line in found] == ([expected] if expected else [])


async def test_setting_for_raw_recordings_changes_with_a_reload(tmp_path: Path) -> None:
    config = tmp_path / "config.yaml"
    text = "upstream: {url: 'http://127.0.0.1:9'}\n"
    config.write_text(text)
    async with segue(None, config=config) as running, running.admin() as client:
        for allowed, status in ((False, 403), (True, 201), (False, 403)):
            config.write_text(f"{text}admin: {{allow_raw_recordings: {str(allowed).lower()}}}\n")
            async with client.post("/api/v1/reload", json={}) as response:
                answer = await response.json()
                assert answer["succeeded"]
                assert answer["needs_restart"] == []
            async with client.post("/api/v1/recordings", json={"raw": True}) as response:
                assert response.status == status
                name = (await response.json()).get("name")
            if name is not None:
                await client.delete(f"/api/v1/recordings/{name}")
                await lines(client, name)


async def test_bodies_of_unmapped_routes_are_recorded_and_pass_as_they_came() -> None:
    """Compressed ones too; in pieces; those of the routes of tokens never."""
    arrived: list[bytes] = []
    body = gzip.compress(b'[{"kind": "job", "name": "Anna"}]')

    async def script(peer: RawPeer) -> None:
        while True:
            head = await peer.read_head()
            size = int((re.findall(rb"(?i)content-length: (\d+)", head) or [b"0"])[0])
            if b"chunked" in head.lower():
                sent = await peer.reader.readuntil(b"0\r\n\r\n")
            else:
                sent = await peer.read(size)
            arrived.append(head.split(b"\r\n")[0] + b" " + sent)
            fields = b"Content-Type: application/json; charset=utf-8\r\nContent-Encoding: gzip\r\n"
            length = b'Content-Length: %d\r\nETag: "1"\r\n\r\n' % len(body)
            await peer.send(b"HTTP/1.1 200 OK\r\n" + fields + length + body)

    async def pieces() -> AsyncIterator[bytes]:
        yield b'{"kind": "ask", '
        yield b'"text": "Ben"}'

    async with raw_server(script) as server:
        async with segue(server.url) as running, running.admin() as client:
            name = await start(client, mapping="none")
            json_type = {"Content-Type": "application/json"}
            async with aiohttp.ClientSession(running.url, auto_decompress=False) as user:
                for path, data in (
                    ("/api/jobs/17/", b'{"kind": "ask", "text": "Anna"}'),
                    ("/api/jobs/", pieces()),
                    ("/api/auth/login/", b'{"password": "secret"}'),
                ):
                    async with user.post(path, data=data, headers=json_type) as answer:
                        assert answer.headers["ETag"] == '"1"'
                        assert answer.headers["Content-Encoding"] == "gzip"
                        assert await answer.read() == body
                async with user.post("/upload/", data=b"\x00" * 8) as answer:
                    assert await answer.read() == body
            async with client.delete(f"/api/v1/recordings/{name}"):
                pass
            *found, end = await lines(client, name)
    assert arrived[0] == b'POST /api/jobs/17/ HTTP/1.1 {"kind": "ask", "text": "Anna"}'
    assert b'{"kind": "ask", ' in arrived[1]
    answered = [{"kind": "job", "name": "Xxxx"}]
    assert [(each["direction"], each["route"], each["in"]) for each in found] == [
        ("to_server", "POST /api/jobs/{}/", {"kind": "ask", "text": "Xxxx"}),
        ("to_client", "POST /api/jobs/{}/", answered),
        ("to_server", "POST /api/jobs/", {"kind": "ask", "text": "Xxx"}),
        ("to_client", "POST /api/jobs/", answered),
        ("to_client", "POST /upload/", answered),
    ]
    assert all(each["in"] == each["out"] for each in found)
    assert end["end"]["skipped"] == 0


@pytest.mark.parametrize(
    "path",
    [
        "/api/%61uth/login/",
        "/api//auth/login/",
        "//api/auth/login/",
        "/api/auth/login",
        "/API/auth/Login/?x=1",
        "/api/auth%2Flogin/",
        "/api/jobs/%2e%2e/auth/token/refresh/",
    ],
    ids=["encoded", "doubled", "leading", "bare", "case", "slash", "dots"],
)
@pytest.mark.parametrize("mapped", [False, True])
async def test_no_spelling_of_a_route_of_tokens_is_recorded(
    tmp_path: Path, path: str, mapped: bool
) -> None:
    (tmp_path / "mappings").mkdir()
    (tmp_path / "mappings/jobs.yaml").write_text(JOBS)
    config = tmp_path / "config.yaml"
    every = ROUTED.replace("/api/jobs/", "/**" if mapped else "/none/")
    config.write_text(every + "sessions: {enabled: false}\n")
    body = b'[{"initial_prompt": "Anna"}]'
    response = (
        b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"
        % len(body)
    ) + body
    async with raw_server(answering(response)) as server:
        async with segue(server.url, config=config) as running, running.admin() as client:
            name = await start(client)
            for target in (path, "/api/other/"):
                async with running.client() as peer:
                    await peer.send(
                        f"POST {target} HTTP/1.1\r\nHost: h\r\nX-Client-Version: 2.0\r\n"
                        "Content-Type: application/json\r\nContent-Length: 2\r\n\r\n{}".encode()
                    )
                    head, _ = await peer.read_response()
                    assert head.startswith(b"HTTP/1.1 200")
            async with client.delete(f"/api/v1/recordings/{name}"):
                pass
            *found, end = await lines(client, name)
    # What went to the route of tokens is not there; the next request is.
    assert len(found) == (1 if mapped else 2), found
    assert end["end"]["skipped"] == 0


def test_bodies_that_go_by_together_have_one_bound() -> None:
    fields = [(b"Content-Type", b"application/json")]
    room = Room(1000)
    taken: list[bytes | None] = []
    observers = [
        BodyObserver(lambda _, body: taken.append(body), [Direction.TO_SERVER], fields, room)
        for _ in range(3)
    ]
    for observer in observers:
        observer.request_piece(b"[" + b"1" * 399)
    assert room.left == 200
    observers[2].request_piece(b"1")  # It found no room once, and is no whole body any more.
    observers[0].request_piece(b"]")
    observers[0].end()
    observers[2].end()
    assert taken == [b"[" + b"1" * 399 + b"]", None]
    assert room.left == 600
    del observers, observer  # The second was broken off.
    assert room.left == 1000


@pytest.mark.parametrize("odd", ["too long", "too long when it is read", "damaged", "cut"])
async def test_body_that_cannot_be_looked_at_is_skipped_and_passes(odd: str) -> None:
    content, coding = b'{"a": "' + b"x" * 300_000 + b'"}', b""
    length = len(content)
    if odd != "too long":
        content, coding = gzip.compress(content), b"Content-Encoding: gzip\r\n"
        content = content[:-9] if odd == "damaged" else content
        length = len(content) + (1 if odd == "cut" else 0)
    fields = b"Content-Type: application/json\r\n%bContent-Length: %d\r\n\r\n" % (coding, length)

    async def script(peer: RawPeer) -> None:
        await peer.read_head()
        await peer.send(b"HTTP/1.1 200 OK\r\n" + fields + content)

    async with raw_server(script) as server:
        async with segue(server.url) as running, running.admin() as client:
            name = await start(client, direction="to_client")
            answer = await running.ask(b"GET /api/x/ HTTP/1.0\r\n\r\n")
            assert answer.endswith(content)
            async with client.delete(f"/api/v1/recordings/{name}"):
                pass
            *found, end = await lines(client, name)
    assert found == []
    assert end["end"]["skipped"] == (0 if odd == "cut" else 1)


WORDS = """\
name: words
description: Notes that are open or done.
channel: websocket
direction: to_client
kinds: {field: type, known: [note, other]}
rules:
  - name: open
    match: {all: [{field: state, one_of: [open, done]}, {not: {field: level, equals: 3}}]}
    do: [{set: {seen: true}}]
    examples: [{in: {state: open}, out: {state: open, seen: true}}]
"""

WORDED = """\
upstream: {url: "http://127.0.0.1:1"}
cohorts: [{name: modern, versions: ">=2", websocket: {to_client: [words]}}]
"""


async def test_raw_recording_needs_the_setting() -> None:
    async with segue("http://127.0.0.1:9") as running, running.admin() as client:
        async with client.post("/api/v1/recordings", json={"raw": True}) as response:
            assert response.status == 403
            assert "allow_raw_recordings" in (await response.json())["detail"]


async def test_raw_recording_shows_messages_as_they_are() -> None:
    env = {"SEGUE_ADMIN__ALLOW_RAW_RECORDINGS": "true"}
    async with relayed(env, MODERN) as pair, pair.segue.admin() as client:
        name = await start(client, raw=True, count=1)
        (mapped,) = await exchange(pair, STATUS)
        found, _ = await lines(client, name)
        assert found["in"] == json.loads(STATUS)
        assert found["out"] == json.loads(mapped)


@pytest.mark.parametrize(
    "order",
    [
        {"count": 0},
        {"count": 1001},
        {"seconds": 0},
        {"seconds": 301},
        {"direction": "sideways"},
        {"what": 1},
        {"keep": ["k"] * 101},
        [],
    ],
)
async def test_invariant_8_order_beyond_the_bounds_is_refused(order: object) -> None:
    async with segue("http://127.0.0.1:9") as running, running.admin() as client:
        async with client.post("/api/v1/recordings", json=order) as response:
            assert response.status == 400
            assert response.content_type == "application/problem+json"


@pytest.mark.parametrize("order", [{"mapping": "old-to-nwe"}, {"cohort": "moderm"}])
async def test_names_of_nothing_are_refused(order: object) -> None:
    async with segue("http://127.0.0.1:9") as running, running.admin() as client:
        async with client.post("/api/v1/recordings", json=order) as response:
            assert response.status == 422
            assert "there are: " in (await response.json())["detail"]


async def test_second_recording_is_refused_while_there_is_one() -> None:
    async with segue("http://127.0.0.1:9") as running, running.admin() as client:
        await start(client)
        async with client.post("/api/v1/recordings", json={}) as response:
            assert response.status == 409


async def test_nobody_finds_a_recording_without_its_name() -> None:
    async with segue("http://127.0.0.1:9") as running, running.admin() as client:
        await start(client)
        for method in ("GET", "DELETE"):
            async with client.request(method, "/api/v1/recordings/guess") as response:
                assert response.status == 404


async def test_form_of_a_web_page_is_refused() -> None:
    async with segue("http://127.0.0.1:9") as running, running.admin() as client:
        async with client.post("/api/v1/recordings", data="{}") as response:
            assert response.status == 415


async def test_reader_that_goes_away_ends_the_recording() -> None:
    async with relayed(None, MODERN) as pair, pair.segue.admin() as client:
        name = await start(client)
        response = await client.get(f"/api/v1/recordings/{name}")
        response.close()
        async with asyncio.timeout(PATIENCE):
            while True:
                async with client.post("/api/v1/recordings", json={"count": 1}) as again:
                    if again.status == 201:
                        break
                await asyncio.sleep(0.05)


ROUTED = """\
upstream: {url: "http://127.0.0.1:1"}
versions: {default: "2"}
cohorts:
  - name: modern
    versions: ">=2"
    http: [{path: /api/jobs/, to_client: [jobs]}]
"""


async def test_bodies_of_a_mapped_route_are_recorded_and_no_others(tmp_path: Path) -> None:
    (tmp_path / "mappings").mkdir()
    (tmp_path / "mappings/jobs.yaml").write_text(JOBS)
    config = tmp_path / "config.yaml"
    config.write_text(ROUTED)
    body = b'[{"initial_prompt": "Anna"}, {"id": 7}]'
    response = (
        b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"
        % len(body)
    ) + body
    async with raw_server(answering(response)) as server:
        async with segue(server.url, config=config) as running, running.admin() as client:
            name = await start(client, mapping="jobs", count=1)
            async with aiohttp.ClientSession(running.url) as user:
                for path in ("/api/other/", "/api/jobs/"):
                    async with user.get(path) as answer:
                        assert answer.status == 200
            found, end = await lines(client, name)
    assert found["in"] == [{"initial_prompt": "Xxxx"}, {"id": 1}]
    assert found["out"] == [{"prompt": "Xxxx"}, {"id": 1}]
    assert (found["cohort"], found["mapping"]) == ("modern", "jobs")
    assert end["end"]["messages"] == 1


SPLIT = """\
name: parts
description: One message becomes several, or none; a status must be known.
channel: websocket
direction: to_client
rules:
  - name: silent
    match: {field: kind, equals: silent}
    do: [{drop: true}]
    examples: [{in: {kind: silent}, out: null}]
  - name: taken
    match: {field: kind, equals: taken}
    do: [{rename: {a: b}}]
    examples: [{in: {kind: taken, a: 1}, out: {kind: taken, b: 1}}]
"""


def program() -> Program:
    bindings = {"all": CohortBinding(to_client=("parts",))}
    found = build([parse(SPLIT, "parts.yaml")], bindings).for_cohort("all").to_client
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        (b'{"kind": "silent"}', {"in": {"kind": "silent"}, "out": None}),
        (b'{"kind": "taken", "a": "q"}', {"out": {"kind": "taken", "b": "x"}}),
        (b'{"kind": "taken", "a": 1, "b": 2}', {"unshown": "taken"}),
        (b'{"kind":\n"other"}', {"in": {"kind": "other"}, "out": {"kind": "other"}}),
    ],
)
def test_line_is_an_example_that_holds(message: bytes, expected: dict[str, object]) -> None:
    point = TapPoint(Direction.TO_CLIENT, "modern")
    recorded = Observed(point, program(), message, None, None)
    line = line_of(recorded, RecordingRequest())
    assert line.count(b"\n") == 1
    found = json.loads(line)
    assert {key: found.get(key, "missing") for key in expected} == expected
    assert ("out" in found) is ("unshown" not in found)


def test_raw_line_has_every_message_that_was_sent() -> None:
    for made, out in (((), "null"), ((b'{"a":1}', b'{"b":2}'), '[{"a":1}, {"b":2}]')):
        point = TapPoint(Direction.TO_CLIENT, "none")
        recorded = Observed(point, None, b'{"c":3}', made, None)
        line = line_of(recorded, RecordingRequest(raw=True)).decode()
        assert f'"in": {{"c":3}}, "out": {out}' in line


def test_shipped_configuration_allows_no_raw_recording() -> None:
    assert "allow_raw" not in CONFIG.read_text(encoding="utf-8")
