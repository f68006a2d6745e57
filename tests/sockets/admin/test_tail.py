"""The live tail over real sockets: what is shown, to whom, and what it costs."""

from __future__ import annotations

import asyncio
import json
import socket
import ssl
from collections.abc import AsyncIterator
from pathlib import Path
from typing import cast

import aiohttp
import pytest
import trustme

from proxy.admin import connections, event_stream
from proxy.admin.recording import START, STOP, STREAM
from proxy.admin.tail import TAIL
from proxy.gateway.open_websocket import OpenWebSocket
from proxy.mapping.engine.program import Program
from proxy.recording.tail import MAX_SHOWN, MAX_WATCHERS
from tests.support.administered import (
    ADMIN,
    OPERATOR,
    TOKENS,
    VIEWER,
    Administered,
    administered,
    bearer,
)
from tests.support.event_streams import watching
from tests.support.mappings import JOBS, PARTS
from tests.support.rfc6455 import TEXT
from tests.support.rig import RawPeer, Segue, answering, raw_server, segue
from tests.support.sockets import Pair, open_pair, origin, relayed
from tests.support.waiting import PATIENCE

PATH = TAIL.target()
MODERN = b"X-Client-Version: 2.0"
SECRET = "eyJhbGciOiJIUzI1NiJ9.c2VjcmV0.c2lnbmF0dXJl"
STATUS = json.dumps(
    {"kind": "jobStatus", "jobId": "j-1", "status": "running", "message": f"Anna {SECRET}"}
).encode()
STEP = json.dumps({"kind": "agentDialogue", "jobId": "j-1", "order": 3}).encode()
RAW = {"SEGUE_ADMIN__ALLOW_RAW_RECORDINGS": "true"}


@pytest.fixture
async def running(tmp_path: Path) -> AsyncIterator[Administered]:
    async with administered(tmp_path) as found:
        yield found


async def exchange(pair: Pair, *messages: bytes) -> list[bytes]:
    """Let the server send messages; what the client gets."""
    for message in messages:
        await pair.server.send(TEXT, message)
    return [await pair.client.message() for _ in messages]


def opened(proxy: Segue) -> OpenWebSocket:
    (found,) = cast(list[OpenWebSocket], list(proxy.server._data.connections))
    return found


async def nobody_watches(proxy: Segue) -> None:
    async with asyncio.timeout(PATIENCE):
        while len(proxy.server._data.tail):  # noqa: ASYNC110 (it tells nobody)
            await asyncio.sleep(0.01)


async def test_message_is_shown_before_and_after_with_placeholders() -> None:
    async with relayed(None, MODERN) as pair, pair.segue.admin() as client:
        info = opened(pair.segue).info
        async with watching(client, PATH) as events:
            await exchange(pair, STATUS)
            shown = (await events.of("message")).data
            await pair.client.send(TEXT, b'{"kind": "chat", "content": "hello"}')
            sent = (await events.of("message")).data
    assert shown["time"] > 1_600_000_000
    assert shown["size"] == len(STATUS)
    assert {name: shown[name] for name in ("cohort", "mapping", "switches", "direction")} == {
        "cohort": "modern",
        "mapping": "old-to-new",
        "switches": ["modern/old-to-new"],
        "direction": "to_client",
    }
    assert {name: shown[name] for name in ("kind", "outcome", "request_id")} == {
        "kind": "jobStatus",
        "outcome": "mapped",
        "request_id": info.request_id,
    }
    assert shown["before"]["jobId"] == "x-0"
    assert shown["after"] == [{**shown["before"], "kind": "status"}]
    for secret in ("Anna", *SECRET.split(".")):
        assert secret not in json.dumps(shown)
    assert (sent["direction"], sent["mapping"], sent["switches"]) == ("to_server", None, [])
    assert sent["before"] == {"kind": "chat", "content": "xxxxx"}
    assert (sent["outcome"], sent["after"]) == ("passed", None)


async def test_invariant_1_messages_are_the_same_while_somebody_watches_and_afterwards() -> None:
    """And nothing of it is on the data path while nobody does."""
    async with relayed(None, MODERN) as pair, pair.segue.admin() as client:
        leg = opened(pair.segue).relay.server.frame_filter
        handling = leg.handling
        assert type(handling.rewriter) is Program
        before = await exchange(pair, STATUS, b"no JSON", STEP)
        async with watching(client, PATH) as first:
            async with watching(client, PATH):
                during = await exchange(pair, STATUS, b"no JSON", STEP)
            assert [(await first.of("message")).data["outcome"] for _ in range(3)] == [
                "mapped",
                "passed",
                "mapped",
            ]
        await nobody_watches(pair.segue)
        assert leg.handling is handling
        assert before == during == await exchange(pair, STATUS, b"no JSON", STEP)
        labels = {"mapping": "old-to-new", "direction": "to_client"}
        assert await pair.segue.metric("segue_messages_total", outcome="mapped", **labels) == 6


async def test_a_recording_and_a_tail_see_the_same_messages() -> None:
    async with relayed(None, MODERN) as pair, pair.segue.admin() as client:
        async with client.post(START.target(), json={"mapping": "old-to-new"}) as response:
            name = (await response.json())["name"]
        async with watching(client, PATH) as events:
            await exchange(pair, STATUS)
            assert (await events.of("message")).data["kind"] == "jobStatus"
            async with client.delete(STOP.target(name=name)) as response:
                assert response.status == 204
            await exchange(pair, STEP)
            assert (await events.of("message")).data["kind"] == "agentDialogue"
        async with client.get(STREAM.target(name=name)) as response:
            recorded, end = (json.loads(line) for line in (await response.text()).splitlines())
    assert recorded["in"]["kind"] == "jobStatus"
    assert end["end"]["messages"] == 1


@pytest.mark.parametrize(
    ("query", "kinds"),
    [
        ("kind=agentDialogue", ["agentDialogue"]),
        ("outcome=passed", [None, "ping"]),
        ("direction=to_server", ["ping"]),
        ("mapping=old-to-new", ["jobStatus", None, "agentDialogue"]),
        ("mapping=none", ["ping"]),
        ("cohort=modern&outcome=mapped", ["jobStatus", "agentDialogue"]),
        ("cohort=none", []),
        ("kind=jobStatus&outcome=failed", []),
    ],
)
async def test_filters_show_what_is_wanted_and_nothing_else(
    query: str, kinds: list[str | None]
) -> None:
    async with relayed(None, MODERN) as pair, pair.segue.admin() as client:
        async with watching(client, f"{PATH}?{query}") as events:
            await exchange(pair, STATUS, b"no JSON", STEP)
            await pair.client.send(TEXT, b'{"kind": "ping"}')
            await pair.server.receive()
            pair.segue.server._data.tail.close()
            found = await events.rest()
    assert [each.data["kind"] for each in found if each.name == "message"] == kinds
    end = {"reason": "drain", "messages": len(kinds), "left_out": 0}
    assert (found[-1].name, found[-1].data) == ("end", end)


async def test_sockets_that_open_later_and_bodies_of_http_are_shown_too(tmp_path: Path) -> None:
    body = b'[{"initial_prompt": "Anna"}]'
    head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"
    (tmp_path / "mappings").mkdir()
    (tmp_path / "mappings/jobs.yaml").write_text(JOBS)
    config = tmp_path / "config.yaml"
    config.write_text(ROUTED)
    async with raw_server(answering(head % len(body) + body)) as server:
        async with segue(server.url, config=config) as running, running.admin() as client:
            async with watching(client, PATH) as events:
                for path in ("/api/jobs/", "/api/users/17/", "/api/auth/login/", "/api/jobs/"):
                    answer = await running.ask(f"GET {path} HTTP/1.0\r\n\r\n".encode())
                    assert b"Anna" in answer
                found = [(await events.of("message")).data for _ in range(3)]
    mapped, observed, again = found
    assert (mapped["mapping"], mapped["outcome"]) == ("jobs", "mapped")
    assert mapped["before"] == [{"initial_prompt": "Xxxx"}]
    assert mapped["after"] == [[{"prompt": "Xxxx"}]]
    assert mapped["request_id"]
    assert (observed["route"], observed["mapping"]) == ("GET /api/users/{}/", None)
    assert observed["before"] == mapped["before"]
    # What went to a route of tokens was left out.
    assert again["mapping"] == "jobs"


async def test_sockets_that_open_while_somebody_watches_are_shown() -> None:
    async with origin() as upstream, segue(upstream.url) as running, running.admin() as client:
        async with watching(client, PATH) as events:
            pair = await open_pair(running, upstream, fields=(MODERN,))
            await exchange(pair, STATUS)
            shown = (await events.of("message")).data
            await pair.client.peer.close()
            await pair.server.peer.close()
    assert shown["mapping"] == "old-to-new"


async def test_failed_message_says_which_rule_and_why(tmp_path: Path) -> None:
    (tmp_path / "mappings").mkdir()
    (tmp_path / "mappings/parts.yaml").write_text(PARTS)
    config = tmp_path / "config.yaml"
    config.write_text(WORDED)
    async with relayed(None, MODERN, config=config) as pair, pair.segue.admin() as client:
        async with watching(client, f"{PATH}?outcome=failed") as events:
            await exchange(pair, b'{"kind": "taken", "a": 1}', b'{"kind": "taken", "a":"A","b":2}')
            shown = (await events.of("message")).data
    assert shown["failure"] == {
        "mapping": "parts",
        "rule": "taken",
        "operation": "rename",
        "field": "a",
        "reason": "rename: `a` cannot become `b`, which is taken",
        "on_error": "pass",
    }
    assert shown["before"] == {"kind": "taken", "a": "X", "b": 1}
    assert "after" not in shown


async def test_messages_are_shown_as_they_are_to_admins_where_that_is_allowed() -> None:
    hostile = '{"kind": "jobStatus",\r\n "message": "\x9b31m\\u001b[2J\u2028 data: x", "a": 1.10}'
    async with relayed(RAW, MODERN) as pair, pair.segue.admin() as client:
        async with watching(client, f"{PATH}?raw=true") as events:
            (mapped,) = await exchange(pair, hostile.encode())
            shown = (await events.of("message")).data
            assert shown["before"] == json.loads(hostile)
            assert shown["after"] == [json.loads(mapped)]


async def test_raw_needs_the_setting_and_the_role_to_the_end(tmp_path: Path) -> None:
    async with administered(tmp_path, tokens=TOKENS, allow_raw_recordings=True) as running:
        answer = await running.ask(f"{PATH}?raw=true", bearer(OPERATOR))
        assert (answer.status, "role admin" in answer.detail) == (403, True)
        base = f"http://{running.proxy.server.admin_address}"
        headers = {"Authorization": f"Bearer {ADMIN}"}
        async with aiohttp.ClientSession(base, headers=headers) as client:
            async with watching(client, f"{PATH}?raw=true") as events:
                await running.reload(tokens=TOKENS)
                end = await events.of("end")
        assert end.data["reason"] == "raw recordings are not allowed any more"
        answer = await running.ask(f"{PATH}?raw=true", bearer(ADMIN))
        assert (answer.status, "allow_raw_recordings" in answer.detail) == (403, True)


@pytest.mark.parametrize("tokens", [[], [{**TOKENS[2], "role": "viewer"}]])
async def test_who_may_watch_no_more_sees_no_more(
    tmp_path: Path, tokens: list[dict[str, str]]
) -> None:
    """A token is revoked, or has a lower role, while its stream goes on."""
    async with administered(tmp_path) as running:
        assert (await running.ask(PATH, bearer(VIEWER))).status == 403
        base = f"http://{running.proxy.server.admin_address}"
        headers = {"Authorization": f"Bearer {OPERATOR}"}
        async with aiohttp.ClientSession(base, headers=headers) as client:
            async with watching(client, PATH) as events:
                await running.reload(tokens=tokens)
                assert (await events.of("end")).data["reason"] == "access revoked"
        await nobody_watches(running.proxy)
        audit = Path(running.proxy.state_directory) / "audit.jsonl"
        async with asyncio.timeout(PATIENCE):
            while '"tail started"' not in audit.read_text(encoding="utf-8"):  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        (started,), (ended,) = running.lines("tail started"), running.lines("tail ended")
    assert started["author"] == ended["author"] == "operator-token (token)"
    assert (started["raw"], ended["reason"]) == (False, "the watcher left")


async def test_by_tls_too(tmp_path: Path) -> None:
    authority = trustme.CA()
    issued = authority.issue_cert("localhost")
    issued.private_key_pem.write_to_path(str(tmp_path / "key.pem"))
    issued.cert_chain_pems[0].write_to_path(str(tmp_path / "certificate.pem"))
    context = ssl.create_default_context()
    authority.configure_trust(context)
    tls = {"certificate": "certificate.pem", "key": "key.pem"}
    async with administered(tmp_path, context, tokens=TOKENS, tls=tls) as running:
        headers = {"Authorization": f"Bearer {OPERATOR}"}
        port = running.place[1]
        connector = aiohttp.TCPConnector(ssl=context, family=socket.AF_INET)
        async with aiohttp.ClientSession(
            f"https://localhost:{port}", headers=headers, connector=connector
        ) as client:
            async with watching(client, f"{PATH}?seconds=0.1") as events:
                assert (await events.of("end")).data["reason"] == "time"


@pytest.mark.parametrize(
    "query",
    [
        "seconds=0",
        "seconds=3601",
        "seconds=nan",
        "rate=0",
        "rate=201",
        "outcome=lost",
        "direction=sideways",
        "mapping=old-to-nwe",
        "cohort=moderm",
        "what=1",
        "kind=",
        f"kind={'x' * 257}",
        f"mapping={'x' * 7000}",
        f"kind={'x' * 100_000}",
        "raw=perhaps",
    ],
)
async def test_invariant_8_order_beyond_the_bounds_is_refused(query: str) -> None:
    async with segue("http://127.0.0.1:9") as running, running.admin() as client:
        async with client.get(f"{PATH}?{query}") as response:
            assert response.status == 400
        assert len(running.server._data.tail) == 0


async def test_invariant_8_thousands_who_want_to_watch_are_refused(running: Administered) -> None:
    """Connections too are bounded; operators get in, and who watches sees on."""
    place = running.place
    head = f"GET {PATH} HTTP/1.1\r\nHost: localhost\r\n"
    watchers = []
    for number in range(MAX_WATCHERS):
        # Nobody has more than half of all.
        who = ADMIN if number % 2 else OPERATOR
        request = f"{head}{bearer(who)}\r\n\r\n".encode()
        peer = RawPeer(*await asyncio.open_connection(*place))
        await peer.send(request)
        assert b"200 OK" in await peer.read_head()
        watchers.append(peer)
    answer = await running.ask(PATH, bearer(OPERATOR))
    assert (answer.status, "watchers already" in answer.detail) == (409, True)

    async def attempt() -> bytes:
        peer = RawPeer(*await asyncio.open_connection(*place))
        try:
            await peer.send(request)
            return await peer.read_head()
        except (ConnectionError, asyncio.IncompleteReadError):
            return b""
        finally:
            await peer.close()

    for _ in range(20):
        answers = await asyncio.gather(*(attempt() for _ in range(100)))
        assert {each[:12] for each in answers} <= {b"HTTP/1.1 409", b""}
    assert len(running.proxy.server._data.tail) == MAX_WATCHERS
    assert (await running.ask("/readyz")).status == 200
    for peer in watchers:
        assert not peer.reader.at_eof()
        await peer.close()
    await nobody_watches(running.proxy)
    assert (await running.ask(f"{PATH}?seconds=0.01", bearer(OPERATOR))).status == 200


async def test_invariant_8_watcher_that_never_reads_holds_nothing_up_and_is_given_up(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(connections, "TAKEN", 0.3)
    text = "x" * (MAX_SHOWN - 100)
    message = f'{{"kind": "agentDialogue", "text": "{text}"}}'.encode()
    async with relayed(RAW, MODERN) as pair:
        path = str(pair.segue.server.admin_socket)
        peer = RawPeer(*await asyncio.open_unix_connection(path))
        await peer.send(f"GET {PATH}?raw=1 HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
        await peer.read_head()
        peer.stop_reading()
        async with asyncio.timeout(PATIENCE):
            while len(pair.segue.server._data.tail):
                (watcher,) = pair.segue.server._data.tail._watchers
                assert watcher._queued <= 1024 * 1024
                assert await exchange(pair, message) == [message.replace(b"agentDialogue", b"step")]
                await asyncio.sleep(0.01)
        peer.abort()
        assert await exchange(pair, STEP)


async def test_large_messages_and_those_above_the_rate_are_told() -> None:
    large = json.dumps({"kind": "jobStatus", "message": "x" * MAX_SHOWN}).encode()
    async with relayed(None, MODERN) as pair, pair.segue.admin() as client:
        async with watching(client, f"{PATH}?rate=2") as events:
            await exchange(pair, large, *[STEP] * 20)
            first = (await events.of("message")).data
            left_out = (await events.of("left_out")).data
            pair.segue.server._data.tail.close()
            end = (await events.of("end")).data
    assert (first["skipped"], first["outcome"], first["kind"]) == ("too large", "mapped", None)
    assert first["size"] > MAX_SHOWN
    assert left_out["rate"] >= 1
    assert end["messages"] + end["left_out"] == 21


async def test_quiet_stream_is_kept_alive_by_comments(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(event_stream, "QUIET", 0.1)
    async with segue("http://127.0.0.1:9") as running, running.admin() as client:
        async with watching(client, f"{PATH}?seconds=3") as events:
            await events.of("end")
    assert set(events.comments) == {"still here"}


async def test_it_ends_with_the_process_and_when_its_reader_goes(tmp_path: Path) -> None:
    async with administered(tmp_path) as running, running.proxy.admin() as client:
        response = await client.get(PATH)
        response.close()
        await nobody_watches(running.proxy)
        async with watching(client, PATH, **{"Last-Event-ID": "0123abcd-7"}) as events:
            drain = asyncio.create_task(running.proxy.server.drain())
            end = await events.of("end")
            assert await events.next() is None
            assert await drain
    assert end.data == {"reason": "drain", "messages": 0, "left_out": 0}


ROUTED = """\
upstream: {url: "http://127.0.0.1:1"}
versions: {default: "2"}
sessions: {enabled: false}
cohorts:
  - name: modern
    versions: ">=2"
    http: [{path: /api/jobs/, to_client: [jobs]}]
"""

WORDED = """\
upstream: {url: "http://127.0.0.1:1"}
cohorts: [{name: modern, versions: ">=2", websocket: {to_client: [parts]}}]
"""
