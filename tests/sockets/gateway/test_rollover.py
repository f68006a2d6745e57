"""A change of switches and the WebSockets that are open: what each message of them becomes."""

from __future__ import annotations

import asyncio
import io
import json
import shutil
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, cast
from unittest.mock import Mock

import pytest

from proxy.control.switchboard import Author, Switchboard
from proxy.gateway import rollover as rollover_module
from proxy.gateway.open_websocket import OpenWebSocket
from proxy.gateway.rollover import Rollover
from proxy.switching.changes import (
    AllOff,
    Restore,
)
from proxy.switching.history import Revision
from proxy.switching.setting import OFF, ON, Mode, Setting
from proxy.switching.switch_changes import (
    SetSwitch,
)
from proxy.switching.table import OpenSockets, SwitchName
from tests.support.checkout import ROOT
from tests.support.rfc6455 import BINARY, CLOSE, CONTINUATION, PING, TEXT, wire
from tests.support.rig import CONFIG, RawPeer, Segue, raw_server, segue
from tests.support.sockets import (
    Pair,
    Socket,
    accept_of,
    closing,
    fields_of,
    gone,
    handshake,
    open_pair,
    origin,
    relayed,
    status_of,
    switch,
)
from tests.support.waiting import PATIENCE

MODERN = b"X-Client-Version: 2.0"
NAME = SwitchName("modern", "old-to-new")
HALF = Setting(Mode.CANARY, 5000)
OPS = Author("ops", "operator")
KEEP, NEXT, RECONNECT = OpenSockets.KEEP, OpenSockets.NEXT_MESSAGE, OpenSockets.RECONNECT


def old(number: int, padding: str = "") -> bytes:
    """A message as the old server sends it."""
    message = {"kind": "jobStatus", "jobId": str(number), "status": "done", "message": padding}
    return json.dumps(message).encode()


def kind(message: bytes) -> str:
    return str(json.loads(message)["kind"])


def board_of(proxy: Segue) -> Switchboard:
    return proxy.server._switches.board


def rollover_of(proxy: Segue) -> Rollover:
    return proxy.server._switches.rollover


def behind(proxy: Segue) -> dict[tuple[str, int], int]:
    """Those that are behind; what is counted as they move is what there is."""
    rollover = rollover_of(proxy)
    upgrades = rollover._upgrades
    there = Counter((each.info.cohort, each.revision) for each in upgrades.sockets)
    assert dict(rollover.by_revision()) == dict(there)
    programs = Counter(
        (each.cohort, each.to_client, each.to_server, each.configuration)
        for each in (socket.open_as for socket in upgrades.sockets)
    )
    assert dict(upgrades.by_programs) == dict(programs)
    return rollover.behind()


def only_socket(proxy: Segue) -> OpenWebSocket:
    (socket,) = proxy.server._data.connections._open
    return cast(OpenWebSocket, socket)


async def turn_to(
    proxy: Segue, setting: Setting, sockets: OpenSockets | None, name: SwitchName = NAME
) -> Revision:
    """Turn a switch, and wait until all open sockets have been gone through."""
    board = board_of(proxy)
    change = SetSwitch(name, setting, expected=board.current.stored.revision(name))
    revision = (await board.change(change, OPS, "a test", sockets)).revision
    assert revision is not None
    await rollover_of(proxy).finished()
    return revision


async def next_kind(pair: Pair, number: int = 0) -> str:
    """Send a message of the old server; its kind as the client gets it."""
    await pair.server.send(TEXT, old(number))
    return kind(await pair.client.message())


async def until_read(pair: Pair, sent: int) -> None:
    """Wait until Segue has read that many bytes of the server."""
    socket = only_socket(pair.segue)
    async with asyncio.timeout(PATIENCE):
        while socket.state().server.received < sent:  # noqa: ASYNC110 (nobody is told)
            await asyncio.sleep(0.001)


async def outcomes(proxy: Segue) -> dict[tuple[str, str], int]:
    """The messages to clients of `modern`, by mapping and outcome, without the zeros."""
    found = Counter[tuple[str, str]]()
    for (name, pairs), value in (await proxy.metrics()).items():
        labels = dict(pairs)
        if name == "segue_messages_total" and labels["direction"] == "to_client" and value:
            found[labels["mapping"], labels["outcome"]] += int(value)
    return dict(found)


def lines(log: io.StringIO, event: str) -> list[dict[str, Any]]:
    found = [json.loads(line) for line in log.getvalue().splitlines()]
    return [line for line in found if line["event"] == event]


# The three ways.


async def test_a_socket_that_keeps_what_it_has_is_behind_until_it_ends() -> None:
    async with relayed(None, MODERN) as pair:
        assert await next_kind(pair) == "status"
        await turn_to(pair.segue, OFF, KEEP)
        assert await next_kind(pair) == "status"
        assert behind(pair.segue) == {("modern", 0): 1}
        fresh = await open_pair(pair.segue, pair.origin, fields=[MODERN])
        assert await next_kind(fresh) == "jobStatus"
        assert behind(pair.segue) == {("modern", 0): 1}
        await pair.client.peer.close()
        await pair.server.peer.close()
        await gone(pair.segue, 1)
        assert behind(pair.segue) == {}
        await fresh.client.peer.close()
        await fresh.server.peer.close()


async def test_from_the_next_message_on() -> None:
    async with relayed(None, MODERN) as pair:
        sockets = only_socket(pair.segue)
        for setting, expected in ((OFF, "jobStatus"), (ON, "status"), (OFF, "jobStatus")):
            revision = await turn_to(pair.segue, setting, NEXT)
            assert await next_kind(pair) == expected
            assert sockets.revision == revision.number
            assert behind(pair.segue) == {}
        # What passes, passes byte for byte.
        sent = await pair.server.send(TEXT, b'{ "kind":"jobStatus" }')
        assert (await pair.client.receive()).raw == sent
        assert only_socket(pair.segue).state().to_client == ""


async def test_sockets_are_told_to_come_back() -> None:
    async with relayed({"SEGUE_SWITCHING__RECONNECT_OVER": "0s"}, MODERN) as pair:
        legacy = await open_pair(pair.segue, pair.origin, fields=[b"X-Client-Version: 1.0"])
        await turn_to(pair.segue, OFF, RECONNECT)
        assert (await pair.client.close_frame())[0] == 1012
        await pair.client.send(CLOSE, closing(1012))
        assert (await pair.server.receive()).opcode == CLOSE
        # Those whom it does not concern stay, and are on the newest revision.
        assert behind(pair.segue) in ({}, {("modern", 0): 1})
        await legacy.server.send(TEXT, b'{"kind": "status"}')
        assert kind(await legacy.client.message()) == "jobStatus"
        (told,) = lines(pair.segue.log, "reconnecting websockets")
        assert (told["websockets"], told["revision"]) == (1, 1)
        await legacy.client.peer.close()
        await legacy.server.peer.close()


async def test_the_configuration_says_what_sockets_do_where_the_change_does_not() -> None:
    env = {"SEGUE_SWITCHING__OPEN_SOCKETS": "next_message"}
    async with relayed(env, MODERN) as pair:
        assert (await turn_to(pair.segue, OFF, None)).open_sockets is NEXT
        assert await next_kind(pair) == "jobStatus"


async def test_everything_off_acts_on_sockets_that_kept_what_they_have() -> None:
    async with relayed(None, MODERN) as pair:
        board = board_of(pair.segue)
        await turn_to(pair.segue, HALF, KEEP)
        await board.change(AllOff(), OPS, "stop")
        await rollover_of(pair.segue).finished()
        assert await next_kind(pair) == "jobStatus"
        assert behind(pair.segue) == {}
        await turn_to(pair.segue, OFF, KEEP)
        await board.change(Restore(3), OPS, "go on")
        await rollover_of(pair.segue).finished()
        assert await next_kind(pair) == "jobStatus"


async def test_what_one_switch_left_is_not_brought_by_another() -> None:
    async with relayed(None, MODERN) as pair:
        await turn_to(pair.segue, OFF, KEEP)
        await turn_to(pair.segue, OFF, NEXT, SwitchName("legacy", "new-to-old"))
        assert await next_kind(pair) == "status"
        assert behind(pair.segue) == {("modern", 0): 1}
        # Turned back, it is where all others are.
        await turn_to(pair.segue, ON, KEEP)
        assert behind(pair.segue) == {}


async def test_a_store_that_went_back_does_not_keep_sockets_from_what_comes() -> None:
    async with relayed(None, MODERN) as pair:
        for setting in (OFF, ON, OFF, ON):
            await turn_to(pair.segue, setting, NEXT)
        socket = only_socket(pair.segue)
        assert socket.revision == 4
        socket.revision = 1000  # As if a backup had been restored meanwhile.
        await board_of(pair.segue).change(AllOff(), OPS, "stop")
        await rollover_of(pair.segue).finished()
        assert await next_kind(pair) == "jobStatus"
        assert socket.revision == 5


# In the middle of a message.


async def test_a_message_whose_beginning_is_held_ends_as_it_began() -> None:
    async with relayed(None, MODERN) as pair:
        message = old(1)
        first = await pair.server.send(TEXT, message[:10], fin=False)
        await until_read(pair, len(first))
        await turn_to(pair.segue, OFF, NEXT)
        await turn_to(pair.segue, ON, NEXT)
        await turn_to(pair.segue, OFF, NEXT)
        await pair.server.send(PING, b"between")
        assert (await pair.client.receive()).opcode == PING
        await pair.server.send(CONTINUATION, message[10:])
        assert kind(await pair.client.message()) == "status"
        assert await next_kind(pair) == "jobStatus"
        assert await outcomes(pair.segue) == {("old-to-new", "mapped"): 1, ("none", "passed"): 1}


async def test_a_message_whose_beginning_has_passed_passes_whole() -> None:
    async with relayed(None, MODERN) as pair:
        await turn_to(pair.segue, OFF, NEXT)
        message = old(1)
        first = await pair.server.send(TEXT, message[:10], fin=False)
        assert (await pair.client.receive()).raw == first
        await turn_to(pair.segue, ON, NEXT)
        second = await pair.server.send(CONTINUATION, message[10:])
        assert (await pair.client.receive()).raw == second
        assert await next_kind(pair) == "status"
        assert await outcomes(pair.segue) == {("old-to-new", "mapped"): 1, ("none", "passed"): 1}


@pytest.mark.parametrize("cut", [1, 2, 3, 4, 10])
@pytest.mark.parametrize("begins_on", [True, False])
async def test_in_the_middle_of_a_frame_each_message_is_one_thing(
    cut: int, *, begins_on: bool
) -> None:
    async with relayed(None, MODERN) as pair:
        if not begins_on:
            await turn_to(pair.segue, OFF, NEXT)
        frame = wire(TEXT, old(1, "x" * 300))
        await pair.server.peer.send(frame[:cut])
        await until_read(pair, cut)
        await turn_to(pair.segue, OFF if begins_on else ON, NEXT)
        await pair.server.peer.send(frame[cut:])
        received = await pair.client.receive()
        if received.raw != frame:
            assert json.loads(received.payload) == json.loads(old(1, "x" * 300)) | {
                "kind": "status"
            }
        assert await next_kind(pair) == ("jobStatus" if begins_on else "status")
        found = await outcomes(pair.segue)
        mapped = (received.raw != frame) + (not begins_on)
        assert found.get(("old-to-new", "mapped"), 0) == mapped
        assert sum(found.values()) == 2


async def test_the_other_direction_is_brought_too(tmp_path: Path) -> None:
    async with mapped(tmp_path) as (proxy, upstream):
        pair = await open_pair(proxy, upstream)
        name = SwitchName("modern", "answer")
        await pair.client.send(TEXT, b'{"to": 1}')
        assert json.loads(await pair.server.message()) == {"for": 1}
        first = pair.client.frame(TEXT, b'{"to"', fin=False)
        await pair.client.peer.send(first)
        async with asyncio.timeout(PATIENCE):
            while only_socket(proxy).state().client.frame_filter.raw != first:  # noqa: ASYNC110
                await asyncio.sleep(0.001)
        await turn_to(proxy, OFF, NEXT, name)
        await pair.client.send(CONTINUATION, b": 2}")
        assert json.loads(await pair.server.message()) == {"for": 2}
        sent = await pair.client.send(TEXT, b'{"to": 3}')
        assert (await pair.server.receive()).raw == sent
        await pair.client.peer.close()
        await pair.server.peer.close()


# Accounts.


async def test_each_message_has_one_outcome_over_many_changes() -> None:
    async with relayed(None, MODERN) as pair:
        expected = Counter[tuple[str, str]]()
        for number in range(40):
            state = [ON, OFF][number % 2]
            await turn_to(pair.segue, state, NEXT)
            told = await next_kind(pair, number)
            assert told == ("status" if state == ON else "jobStatus")
            await pair.server.send(BINARY, b"\x00")
            await pair.client.receive()
            mapping = "old-to-new" if state == ON else "none"
            expected[mapping, "mapped" if state == ON else "passed"] += 1
            expected[mapping, "passed"] += 1
        assert await outcomes(pair.segue) == dict(expected)
        socket = only_socket(pair.segue)
        # What is settled is forgotten: one account a direction, and all that it had been.
        assert len(socket.accounts) == 2
        assert len(pair.segue.server.metrics._open) == 2
        await pair.server.send(CLOSE, closing(1000))
        await pair.client.receive()
        await pair.client.send(CLOSE, closing(1000))
        await pair.server.receive()
        for side in (pair.server, pair.client):
            await side.peer.close()
        await gone(pair.segue)
        assert await outcomes(pair.segue) == dict(expected)
        assert pair.segue.server.metrics._open == set()
        (line,) = lines(pair.segue.log, "websocket")
        totals = line["to_client_messages"]
        assert (totals["mapped"], totals["passed"]) == (20, 60)
        assert totals["failed"] == totals["dropped"] == totals["undelivered"] == 0


async def test_a_message_that_never_ends_keeps_its_account_and_no_other() -> None:
    async with relayed(None, MODERN) as pair:
        first = await pair.server.send(TEXT, old(1)[:5], fin=False)
        await until_read(pair, len(first))
        for number in range(10):
            await turn_to(pair.segue, [OFF, ON][number % 2], NEXT)
        socket = only_socket(pair.segue)
        assert len(socket.accounts) == 3
        pair.client.peer.abort()
        pair.server.peer.abort()
        await gone(pair.segue)
        assert pair.segue.server.metrics._open == set()
        assert await outcomes(pair.segue) == {}


# Around a handshake.


@pytest.mark.parametrize("reloads", [False, True])
@pytest.mark.parametrize("all_off", [False, True])
async def test_a_switch_that_is_turned_during_a_handshake(
    tmp_path: Path, *, reloads: bool, all_off: bool
) -> None:
    shutil.copytree(ROOT / "mappings", tmp_path / "mappings")
    file = Path(shutil.copy(CONFIG, tmp_path))
    async with origin() as upstream, segue(upstream.url, None, file) as proxy:
        peer = await proxy.connect()
        await peer.send(handshake(b"/ws/jobs/1/", MODERN))
        server = await upstream.connection()
        (key,) = fields_of(await server.read_head(), b"sec-websocket-key")
        if reloads:
            file.write_text(file.read_text("utf-8") + "# Read anew.\n", encoding="utf-8")
            before = proxy.server._live.current.digest
            proxy.server.reload()
            async with asyncio.timeout(PATIENCE):
                while proxy.server._live.current.digest == before:  # noqa: ASYNC110
                    await asyncio.sleep(0.001)
        if all_off:
            await board_of(proxy).change(AllOff(), OPS, "stop")
        else:
            await turn_to(proxy, OFF, KEEP)
        await rollover_of(proxy).finished()
        await server.send(switch(accept=accept_of(key)))
        assert status_of(await peer.read_head()) == 101
        pair = Pair(proxy, upstream, Socket(peer, is_client=True), Socket(server, is_client=False))
        assert await next_kind(pair) == "jobStatus"
        assert behind(proxy) == {}
        await peer.close()
        await server.close()


async def test_many_sockets_are_brought_while_messages_go_on() -> None:
    async with relayed(None, MODERN) as pair:
        others = [await open_pair(pair.segue, pair.origin, fields=[MODERN]) for _ in range(120)]
        board = board_of(pair.segue)
        for setting in (OFF, ON, OFF):
            change = SetSwitch(NAME, setting, expected=board.current.stored.revision(NAME))
            await board.change(change, OPS, "a test", NEXT)
        await rollover_of(pair.segue).finished()
        assert behind(pair.segue) == {}
        for each in others:
            assert await next_kind(each) == "jobStatus"
        for each in others:
            await each.client.peer.close()
            await each.server.peer.close()


# Recordings.


async def test_what_a_change_would_touch_is_found_while_others_go_on() -> None:
    async with relayed(None, MODERN) as pair:
        proxy, rollover = pair.segue, rollover_of(pair.segue)
        switches = board_of(proxy).current.in_force
        (socket,) = rollover._upgrades.sockets
        # As many as are gone through in five steps, and one that ends meanwhile.
        many = {cast(OpenWebSocket, Mock(info=socket.info)) for _ in range(500)}
        steps = 0

        async def others() -> None:
            nonlocal steps
            while True:
                steps += 1
                await asyncio.sleep(0)

        running = asyncio.create_task(others())
        rollover._upgrades.sockets |= many
        try:
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(rollover_module, "_would_change", lambda *_: False)
                assert await rollover.touched("modern", switches) == (0, 501, 0)
        finally:
            rollover._upgrades.sockets -= many
            running.cancel()
        assert steps >= 5


async def test_a_recording_goes_on_over_a_change() -> None:
    async with relayed(None, MODERN) as pair, pair.segue.admin() as client:
        async with client.post("/api/v1/recordings", json={"count": 3}) as response:
            assert response.status == 201, await response.text()
            name = (await response.json())["name"]
        assert await next_kind(pair) == "status"
        await turn_to(pair.segue, OFF, NEXT)
        assert await next_kind(pair) == "jobStatus"
        await turn_to(pair.segue, ON, NEXT)
        assert await next_kind(pair) == "status"
        async with client.get(f"/api/v1/recordings/{name}") as response:
            noted = [json.loads(line) for line in (await response.text()).splitlines()]
        seen = [line.get("outcome") for line in noted if "outcome" in line]
        assert seen == ["mapped", "passed", "mapped"]
        # Nothing of it is left on the path of messages.
        assert await next_kind(pair) == "status"
        program = only_socket(pair.segue).programs.to_client
        assert only_socket(pair.segue).relay.server.frame_filter.handling.rewriter is program
        assert sum((await outcomes(pair.segue)).values()) == 4


# HTTP.

CONFIG_TEXT = """
upstream: {url: "http://127.0.0.1:1"}
versions: {default: "2"}
cohorts:
  - name: modern
    versions: ">=2"
    websocket: {to_server: [answer]}
    http:
      - {path: "/api/jobs/{}/", to_client: [job-out]}
"""
RENAMING = """
name: %s
description: A field has another name.
channel: %s
direction: %s
rules:
  - name: field
    match: {field: %s, exists: true}
    do: [{rename: {%s: %s}}]
    examples: [{in: {%s: a}, out: {%s: a}}]
"""


def write_config(directory: Path) -> Path:
    (directory / "mappings").mkdir()
    for name, channel, direction, before, after in (
        ("job-out", "http", "to_client", "initial_prompt", "prompt"),
        ("answer", "websocket", "to_server", "to", "for"),
    ):
        text = RENAMING % (name, channel, direction, before, before, after, before, after)
        (directory / "mappings" / f"{name}.yaml").write_text(text)
    file = directory / "config.yaml"
    file.write_text(CONFIG_TEXT)
    return file


@asynccontextmanager
async def mapped(directory: Path) -> AsyncIterator[tuple[Segue, Any]]:
    async with (
        origin() as upstream,
        segue(upstream.url, None, write_config(directory)) as proxy,
    ):
        yield proxy, upstream


BODY = b'{ "initial_prompt": "x", "cost": 1.10 }'
JOB_OUT = SwitchName("modern", "job-out")


async def answered(proxy: Segue, *fields: bytes) -> tuple[bytes, bytes]:
    request = b"\r\n".join(
        (b"GET /api/jobs/1/ HTTP/1.1", b"Host: h", *fields, b"Connection: close", b"\r\n")
    )
    head, _, body = (await proxy.ask(request)).partition(b"\r\n\r\n")
    return head, body


@pytest.mark.parametrize(
    ("fields", "body"),
    [
        ([b"Content-Type: application/json", b'ETag: "1"', b"Accept-Ranges: bytes"], BODY),
        ([b"Content-Type: application/json", b"Content-Encoding: gzip"], b"\x1f\x8b no gzip"),
        ([b"Content-Type: application/json", b"Content-Range: bytes 0-38/99"], BODY),
        ([b"Content-Type: application/json", b"Content-MD5: abc", b"Digest: sha-256=x"], BODY),
        ([b"Content-Type: application/json"], b"{ no json"),
    ],
)
async def test_a_route_that_is_off_passes_bytes_as_they_are(
    tmp_path: Path, fields: list[bytes], body: bytes
) -> None:
    heads: list[bytes] = []
    status = (
        b"206 Partial" if any(each.startswith(b"Content-Range") for each in fields) else b"200 O"
    )
    response = b"\r\n".join(
        (b"HTTP/1.1 " + status, *fields, b"Content-Length: %d" % len(body), b"", body)
    )

    async def script(peer: RawPeer) -> None:
        heads.append(await peer.read_head())
        await peer.send(response)

    asked = (b"Range: bytes=0-38", b"Accept-Encoding: gzip, br", b'If-None-Match: "1"')
    async with (
        raw_server(script) as server,
        segue(server.url, None, write_config(tmp_path)) as proxy,
    ):
        await turn_to(proxy, OFF, KEEP, JOB_OUT)
        head, received = await answered(proxy, *asked)
        assert received == body
        for field in fields:
            assert field in head.split(b"\r\n")
        for field in asked:
            assert field in heads[0].split(b"\r\n")
        assert b"Vary" not in head


async def test_requests_follow_a_change_at_once(tmp_path: Path) -> None:
    response = (
        b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"
        % len(BODY)
        + BODY
    )

    async def script(peer: RawPeer) -> None:
        await peer.read_head()
        await peer.send(response)

    async with (
        raw_server(script) as server,
        segue(server.url, None, write_config(tmp_path)) as proxy,
    ):
        for setting in (ON, OFF, ON):
            await turn_to(proxy, setting, KEEP, JOB_OUT)
            body = (await answered(proxy))[1]
            assert (b'"prompt"' in body) is (setting == ON)
            assert (body == BODY) is (setting == OFF)


async def test_a_users_requests_and_sockets_agree_who_they_are(tmp_path: Path) -> None:
    async def script(peer: RawPeer) -> None:
        head = await peer.read_head()
        keys = fields_of(head, b"sec-websocket-key")
        if keys:
            await peer.send(switch(accept=accept_of(keys[0])))
            await peer.reader.read()
        else:
            await peer.send(b"HTTP/1.1 204 No Content\r\n\r\n")

    async with (
        raw_server(script) as server,
        segue(server.url, None, write_config(tmp_path)) as proxy,
    ):
        await turn_to(proxy, HALF, KEEP, JOB_OUT)
        switched = board_of(proxy).current.in_force
        modes = []
        for number in range(30):
            bearer = b"Authorization: Bearer opaque-%d" % number
            before = dict(switched.counts())
            await answered(proxy, bearer)
            (mode,) = (
                applied.mode
                for applied, count in switched.counts().items()
                if applied.switch == JOB_OUT and count > before.get(applied, 0)
            )
            async with proxy.client() as peer:
                await peer.send(handshake(b"/ws/", bearer))
                assert status_of(await peer.read_head()) == 101
                applied = {each.switch: each.mode for each in only_socket(proxy).decision.applied}
                assert applied[JOB_OUT] is mode
            await gone(proxy)
            modes.append(mode)
        assert {*modes} == {Mode.ON, Mode.OFF}
        ((_, _, users),) = switched.users()
        assert users.inside.count() + users.outside.count() == pytest.approx(30, abs=2)
