"""What must always be true, one group for each invariant, over real sockets.

Both ends count their messages themselves, and what they counted is held against the metrics.
"""

from __future__ import annotations

import asyncio
import json
import os
import socket
import sys
from collections.abc import Iterable
from pathlib import Path

import aiohttp
import jwt
import pytest

from proxy.control.loading import load
from proxy.errors import ConfigError
from tests.support.authority import Client, authority, proxied
from tests.support.rfc6455 import BINARY, CLOSE, CONTINUATION, PING, TEXT, wire
from tests.support.rig import RawPeer, Segue, answering, raw_server, segue
from tests.support.rig import status_of as answered_with
from tests.support.sockets import (
    KEY,
    MASK,
    Pair,
    Socket,
    closing,
    gone,
    handshake,
    open_pair,
    origin,
    relayed,
    status_of,
    switch,
    turn,
)
from tests.support.waiting import PATIENCE

MODERN, LEGACY = b"X-Client-Version: 2.1.0", b"X-Client-Version: 1.4"
OUTCOMES = ("mapped", "passed", "dropped", "failed", "undelivered")


async def accounts(proxy: Segue) -> dict[tuple[str, str], dict[str, int]]:
    """The outcomes on the metrics page: (mapping, direction) to those that are not zero."""
    found: dict[tuple[str, str], dict[str, int]] = {}
    for (name, labels), value in (await proxy.metrics()).items():
        if name == "segue_messages_total" and value:
            label = dict(labels)
            account = found.setdefault((label["mapping"], label["direction"]), {})
            account[label["outcome"]] = int(value)
    return found


def received(account: dict[str, int]) -> int:
    assert set(account) <= set(OUTCOMES)
    return sum(account.values())


# Invariant 1: transparent until told otherwise.


async def test_invariant_1_a_request_and_its_response_pass_byte_for_byte() -> None:
    sent = (
        b"PUT /a%2Fb//../c;d?q=%zz&&token=a+b HTTP/1.1\r\n"
        b"hOST: App.example.com\r\n"
        b"Accept-Encoding: gzip,\tbr\r\n"
        b"X-Same: 1\r\n"
        b"x-same: 2\r\n"
        b"X-Latin: \xe9\r\n"
        b'If-None-Match: W/"x"\r\n'
        b"Content-Type: application/json\r\n"
        b"Content-Length: 256\r\n"
    )
    body = bytes(range(256))
    answer = (
        b"HTTP/1.1 299 Not In The List\r\n"
        b"sErver: old\r\n"
        b"Set-Cookie: a=1\r\n"
        b"Set-Cookie: b=2; Path=/\r\n"
        b"Content-Encoding: gzip\r\n"
        b"Content-Length: 256\r\n"
        b"\r\n"
    ) + body[::-1]
    got: list[bytes] = []

    async def script(peer: RawPeer) -> None:
        got.extend((await peer.read_head(), await peer.read(256)))
        await peer.send(answer)
        await peer.read_all()

    async with raw_server(script) as server, segue(server.url) as proxy:
        client = await proxy.connect()
        await client.send(sent + b"\r\n" + body)
        assert await client.read(len(answer)) == answer
        await client.close()
    head, received_body = got
    # The forwarding fields are the listed exception; they stand behind what the client sent.
    assert head.startswith(sent)
    added = [line.partition(b":")[0] for line in head[len(sent) :].split(b"\r\n") if line]
    assert added == [
        b"X-Forwarded-For",
        b"X-Forwarded-Proto",
        b"X-Forwarded-Host",
        b"X-Request-Id",
        b"Via",
        b"traceparent",
    ]
    assert received_body == body


@pytest.mark.parametrize("fields", [(), (MODERN,)], ids=["no cohort", "mapped, without a match"])
@pytest.mark.parametrize("from_client", [True, False])
async def test_invariant_1_frames_and_close_codes_pass_byte_for_byte(
    fields: tuple[bytes, ...], from_client: bool
) -> None:
    async with relayed(None, *fields) as pair:
        one, other = (pair.client, pair.server) if from_client else (pair.server, pair.client)
        stream = b"".join(
            (
                one.frame(TEXT, b'{ "kind" : "other",\t"n" : 1.10 }'),
                one.frame(PING, b"\x00\xff"),
                one.frame(TEXT, b'{"kind": "jobStatus"}'[:9], fin=False),
                one.frame(CONTINUATION, b" and no JSON"),
                one.frame(BINARY, bytes(range(256)) * 300),
                one.frame(TEXT, b"\xff\xfe not UTF-8"),
                one.frame(CLOSE, closing(4999, "grüß dich")),
            )
        )
        await one.peer.send(stream)
        assert await other.peer.read(len(stream)) == stream


@pytest.mark.parametrize(
    ("target", "reserved"),
    [(b"/_segue/client/", True), (b"/_segue/x", True), (b"/_segue", False), (b"/%5fsegue/", False)],
)
async def test_invariant_1_its_own_prefix_is_the_clients_only_where_that_is_enabled(
    target: bytes, reserved: bool
) -> None:
    got: list[bytes] = []
    request = b"GET %b HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n" % target
    answer = b"HTTP/1.1 299 Its own\r\nContent-Length: 0\r\n\r\n"
    async with raw_server(answering(answer, got)) as server:
        for env in ({}, {"SEGUE_CLIENT__ENABLED": "true"}):
            async with segue(server.url, env) as proxy:
                received = await proxy.ask(request)
            passes = not (reserved and env)
            assert (answered_with(received) == 299) is passes
            assert len(got) == passes
            got.clear()


# What sessions refuse or drop, because a server could read it in another way than they do.
GUARDED = {
    "several credentials": (
        b"GET /api/jobs/ HTTP/1.1\r\n",
        b"Authorization: Bearer a\r\nAuthorization: Basic YTpi\r\n",
        400,
    ),
    "a method that is overridden": (
        b"PUT /api/auth/logout/ HTTP/1.1\r\n",
        b"X-HTTP-Method-Override: POST\r\n",
        400,
    ),
    "a route of tokens, spelled oddly": (b"POST //api/auth/logout/ HTTP/1.1\r\n", b"", 400),
    "TRACE": (b"TRACE /api/jobs/ HTTP/1.1\r\n", b"X-A: b\r\n", 405),
    "fields that rewrite the path": (
        b"GET /api/jobs/ HTTP/1.1\r\n",
        b"SCRIPT_NAME: /x\r\nX-Original-URL: /api/auth/logout/\r\n",
        204,
    ),
}


@pytest.mark.parametrize("sessions", [False, True], ids=["without sessions", "with sessions"])
@pytest.mark.parametrize(("line", "fields", "status"), GUARDED.values(), ids=GUARDED)
async def test_invariant_1_what_sessions_refuse_or_drop_passes_without_them(
    tmp_path: Path, sessions: bool, line: bytes, fields: bytes, status: int
) -> None:
    got: list[bytes] = []

    async def script(peer: RawPeer) -> None:
        got.append(await peer.read_head())
        await peer.send(b"HTTP/1.1 204 No Content\r\n\r\n")
        await peer.read_all()

    settings = {"SEGUE_SESSIONS__ENABLED": str(sessions), "SEGUE_STATE_DIR": str(tmp_path)}
    async with raw_server(script) as server, segue(server.url, settings) as proxy:
        sent = line + b"Host: app.example.com\r\n" + fields
        answer = await proxy.ask(sent + b"Connection: close\r\n\r\n")
    if not sessions:
        assert status_of(answer) == 204
        assert got[0].startswith(sent)
    else:
        assert status_of(answer) == status
        assert not [head for head in got if fields and fields in head]
        assert len(got) == (status == 204)


UNREAD = {
    "two charsets": (b"Content-Type: application/json; charset=utf-8; charset=utf-16", b"{}", 415),
    "a content coding": (b"Content-Encoding: gzip", b"{}", 415),
    "a byte order mark": (b"Content-Type: application/json", b"\xef\xbb\xbf{}", 400),
}


@pytest.mark.parametrize("sessions", [False, True], ids=["without sessions", "with sessions"])
@pytest.mark.parametrize(("field", "body", "status"), UNREAD.values(), ids=UNREAD)
async def test_invariant_1_a_body_that_sessions_refuse_to_read_passes_without_them(
    tmp_path: Path, sessions: bool, field: bytes, body: bytes, status: int
) -> None:
    got: list[bytes] = []

    async def script(peer: RawPeer) -> None:
        got.append(await peer.read_head() + await peer.read(len(body)))
        await peer.send(b"HTTP/1.1 204 No Content\r\n\r\n")
        await peer.read_all()

    settings = {"SEGUE_SESSIONS__ENABLED": str(sessions), "SEGUE_STATE_DIR": str(tmp_path)}
    sent = (
        b"POST /api/auth/token/refresh/ HTTP/1.1\r\nHost: app.example.com\r\n%b\r\n"
        b"Content-Length: %d\r\n" % (field, len(body))
    )
    async with raw_server(script) as server, segue(server.url, settings) as proxy:
        answer = await proxy.ask(sent + b"Connection: close\r\n\r\n" + body)
    assert status_of(answer) == (status if sessions else 204)
    assert len(got) == (not sessions)
    assert all(each.startswith(sent) and each.endswith(body) for each in got)


@pytest.mark.parametrize("sessions", [False, True], ids=["without sessions", "with sessions"])
async def test_invariant_1_what_is_refused_of_sessions_goes_to_the_server_without_them(
    tmp_path: Path, sessions: bool
) -> None:
    settings = {"SESSIONS__ENABLED": str(sessions), "SESSIONS__REPLAY_WINDOW": "0"}
    async with authority(rotate=False) as server, proxied(server, tmp_path, **settings) as proxy:
        client = Client(proxy)
        await client.log_in()
        refresh = json.dumps({"refresh": client.refresh}).encode()
        moved = b"POST /api/auth/token/refresh/ HTTP/1.1\r\nHost: other.example.com\r\n"
        moved += b"Connection: close\r\nContent-Length: %d\r\n\r\n" % len(refresh)
        # Under another host than the login's.
        assert status_of(await proxy.ask(moved + refresh)) == (421 if sessions else 200)
        # Of a session that somebody has ended, whatever the server thinks of its tokens.
        assert (await client.send("POST", "/api/auth/logout/", refresh))[0] == 205
        server.spent.clear()
        asked = len(server.received)
        assert await client.get() == (401 if sessions else 200)
        assert (await client.exchange())[0] == (401 if sessions else 200)
        assert len(server.received) - asked == (0 if sessions else 2)


# Invariant 2: nothing is lost silently.

RULES = """
on_error: {on_error}
rules:
  - name: mapped
    match: {{field: kind, equals: old}}
    do: [{{set: {{kind: new}}}}]
    examples: [{{in: {{kind: old}}, out: {{kind: new}}}}]
  - name: dropped
    match: {{field: kind, equals: noise}}
    do: [drop: true]
    examples: [{{in: {{kind: noise}}, out: null}}]
  - name: clash
    match: {{field: kind, equals: clash}}
    do: [{{rename: {{a: b}}}}]
    examples: [{{in: {{kind: clash, a: 1}}, out: {{kind: clash, b: 1}}}}]
"""


def write_configuration(directory: Path) -> Path:
    """One cohort for each `on_error`: versions 1, 2 and 3; all else is in no cohort."""
    (directory / "mappings").mkdir()
    cohorts = []
    for number, on_error in enumerate(("pass", "drop", "close"), 1):
        for direction in ("to_client", "to_server"):
            name = f"{direction.replace('_', '-')}-{on_error}"
            (directory / "mappings" / f"{name}.yaml").write_text(
                f"name: {name}\ndescription: For a test.\nchannel: websocket\n"
                f"direction: {direction}" + RULES.format(on_error=on_error),
                encoding="utf-8",
            )
        cohorts.append(
            f"  - name: {on_error}\n    versions: '=={number}'\n    websocket:\n"
            f"      to_client: [to-client-{on_error}]\n      to_server: [to-server-{on_error}]\n"
        )
    config = directory / "config.yaml"
    config.write_text(
        "upstream:\n  url: http://127.0.0.1:1\ncohorts:\n" + "".join(cohorts), encoding="utf-8"
    )
    return config


OLD, NEW = b'{"kind": "old", "n": 1}', b'{"kind": "new", "n": 1}'
NOISE, CLASH, PLAIN = b'{"kind": "noise"}', b'{"kind": "clash", "a": 1, "b": 2}', b"plain"
MIXED = (OLD, PLAIN, NOISE, CLASH, OLD, b"", b"[1]", NOISE, OLD)
"""Three mapped, three passed, two dropped, one failed."""


async def send_all(one: Socket, messages: Iterable[bytes]) -> int:
    count = 0
    for number, message in enumerate(messages):
        if number % 2 and message:  # Every other one in two fragments.
            await one.send(TEXT, message[:1], fin=False)
            await one.send(CONTINUATION, message[1:])
        else:
            await one.send(TEXT, message)
        count += 1
    return count


async def receive_until(other: Socket, last: bytes) -> list[bytes]:
    """Messages, up to one that says it is the last."""
    messages = []
    while (message := await other.message()) != last:
        messages.append(message)
    return messages


@pytest.mark.parametrize("to_client", [True, False])
@pytest.mark.parametrize(
    ("version", "cohort", "delivered", "outcomes"),
    [
        (b"1", "pass", [NEW, PLAIN, CLASH, NEW, b"", b"[1]", NEW], (3, 4, 2, 1)),
        (b"2", "drop", [NEW, PLAIN, NEW, b"", b"[1]", NEW], (3, 4, 2, 1)),
        (b"9", "none", list(MIXED), (0, 10, 0, 0)),
    ],
)
async def test_invariant_2_every_message_has_one_outcome_and_the_counts_agree(
    tmp_path: Path,
    to_client: bool,
    version: bytes,
    cohort: str,
    delivered: list[bytes],
    outcomes: tuple[int, int, int, int],
) -> None:
    config = write_configuration(tmp_path)
    field = b"X-Client-Version: " + version
    async with relayed(None, field, config=config) as pair:
        one, other = (pair.server, pair.client) if to_client else (pair.client, pair.server)
        sent = await send_all(one, [*MIXED, b"the end"])
        messages = await receive_until(other, b"the end")
        assert messages == delivered
        direction = "to_client" if to_client else "to_server"
        mapping = "none" if cohort == "none" else f"{direction.replace('_', '-')}-{cohort}"
        names = ("mapped", "passed", "dropped", "failed")
        expected = {name: count for name, count in zip(names, outcomes, strict=True) if count}
        assert await accounts(pair.segue) == {(mapping, direction): expected}
        assert received(expected) == sent
        kept = expected.get("failed", 0) if cohort == "pass" else 0
        assert len(messages) + 1 == expected.get("mapped", 0) + expected["passed"] + kept
        failures = await pair.segue.metric(
            "segue_mapping_failures_total", mapping=mapping, direction=direction, rule="clash"
        )
        assert failures == outcomes[3]


@pytest.mark.parametrize("to_client", [True, False])
async def test_invariant_2_a_failure_that_closes_is_counted_and_told_to_both_sides(
    tmp_path: Path, to_client: bool
) -> None:
    config = write_configuration(tmp_path)
    async with relayed(None, b"X-Client-Version: 3", config=config) as pair:
        one, other = (pair.server, pair.client) if to_client else (pair.client, pair.server)
        await send_all(one, [OLD, CLASH])
        assert await other.message() == NEW
        assert (await other.close_frame())[0] == 1011
        await other.send(CLOSE, closing(1011))
        assert (await one.close_frame())[0] == 1011
        direction = "to_client" if to_client else "to_server"
        mapping = f"{direction.replace('_', '-')}-close"
        assert await accounts(pair.segue) == {(mapping, direction): {"mapped": 1, "failed": 1}}


@pytest.mark.parametrize("to_client", [True, False])
@pytest.mark.parametrize("version", [b"1", b"9"])
async def test_invariant_2_messages_for_a_side_that_has_gone_are_counted_as_undelivered(
    tmp_path: Path, to_client: bool, version: bytes
) -> None:
    config = write_configuration(tmp_path)
    field = b"X-Client-Version: " + version
    async with relayed(None, field, config=config) as pair:
        one, other = (pair.server, pair.client) if to_client else (pair.client, pair.server)
        sent = await send_all(one, [OLD, PLAIN])
        await other.message()
        await other.message()
        # Of this message the beginning was taken by somebody who then left.
        whole = one.frame(TEXT, b"x" * 1000)
        await one.peer.send(whole[:100])
        await turn()
        other.peer.abort()
        if to_client:
            await one.ended()
        else:
            assert (await one.close_frame())[0] == 1001
        await one.peer.send(whole[100:])
        sent += 1 + await send_all(one, [OLD, NOISE, CLASH])
        # A message whose end never comes was not received.
        await one.send(TEXT, b"half", fin=False)
        await one.peer.close()
        await gone(pair.segue)
        ((_, account),) = (await accounts(pair.segue)).items()
        assert account["undelivered"] == 4
        assert received(account) == sent


async def test_invariant_2_messages_behind_a_close_frame_of_segues_own_are_undelivered() -> None:
    async with relayed() as pair:
        await pair.server.send(TEXT, b"in time")
        assert await pair.client.message() == b"in time"
        pair.segue.server._data.connections._open.copy().popitem()[0].drain()
        assert (await pair.client.close_frame())[0] == 1012
        await pair.server.send(TEXT, b"too late")
        await pair.server.send(CLOSE, closing(1001))
        await pair.client.send(TEXT, b"too late as well")
        await pair.client.send(CLOSE, closing(1012))
        await pair.client.ended()
        await gone(pair.segue)
        assert await accounts(pair.segue) == {
            ("none", "to_client"): {"passed": 1, "undelivered": 1},
            ("none", "to_server"): {"undelivered": 1},
        }


# Invariant 3: only what a rule names changes.

ODD_VALUES = (
    b"340282366920938463463374607431768211457",
    b"-0",
    b"1.10",
    b"1E2",
    b"1e-07",
    b"6.02e+23",
    b"NaN",
    b"-Infinity",
    b"Infinity",
    rb'"\u00e9\/\ud83d\ude80"',
    rb'"\ud800 alone"',
    '"é 🚀"'.encode(),
    b'{"b": 1,  "a": [ ], "kind": "jobStatus"}',
    b"[" * 990 + b"]" * 990,
    b'{"a":' * 990 + b"0" + b"}" * 990,
)


@pytest.mark.parametrize("odd", ODD_VALUES, ids=lambda value: value.decode(errors="replace")[:20])
async def test_invariant_3_every_value_that_no_rule_names_keeps_its_bytes(odd: bytes) -> None:
    async with relayed(None, MODERN) as pair:
        await pair.server.send(
            TEXT, b'{"z": ' + odd + b', "kind": "jobStatus", "a": [' + odd + b"]}"
        )
        assert (
            await pair.client.message() == b'{"z":' + odd + b',"kind":"status","a":[' + odd + b"]}"
        )


UNTOUCHED = {
    "empty": b"",
    "not JSON": b"{kind: jobStatus}",
    "cut short": b'{"kind": "jobStatus"',
    "not an object": b'["jobStatus"]',
    "text": b'"jobStatus"',
    "null": b"null",
    "NaN": b"NaN",
    "nested 2000 deep": b"[" * 2000 + b"]" * 2000,
    "open 2000 deep": b'{"kind":' * 2000,
    "other kind": b'{ "kind" : "error" , "message" : 1.10 }',
    "kind elsewhere": b'{"inner": {"kind": "jobStatus"}}',
    "kind is no text": b'{"kind": ["jobStatus"]}',
    "not UTF-8": b'{"kind": "jobStatus", "x": "\xff"}',
    "byte order mark": b'\xef\xbb\xbf{"kind": "jobStatus"}',
}


@pytest.mark.parametrize("message", UNTOUCHED.values(), ids=UNTOUCHED)
async def test_invariant_3_a_message_that_no_rule_takes_keeps_its_bytes(message: bytes) -> None:
    async with relayed(None, MODERN) as pair:
        await pair.server.send(TEXT, message)
        await pair.server.send(BINARY, b'{"kind": "jobStatus"}')
        assert (await pair.client.receive()).raw == wire(TEXT, message)
        assert (await pair.client.receive()).raw == wire(BINARY, b'{"kind": "jobStatus"}')


# Invariant 4: both directions, both dialects, at once.

OLD_DIALECT = [
    b'{"kind": "jobStatus", "jobId": "1", "status": "running", "message": null}',
    b'{"kind": "agentDialogue", "jobId": "1", "agent": "a", "message": "m", "order": 1}',
    b'{"kind": "stageUpdate", "jobId": "1", "role": "user", "content": "c", "metadata": {}}',
    b'{"kind": "prdReady", "jobId": "1", "spec": {"v": "1.10"}, "prdMarkdown": "# P"}',
    b'{"kind": "error", "message": "no"}',
]
NEW_DIALECT = [
    b'{"kind": "status", "jobId": "1", "status": "running", "message": null}',
    b'{"kind": "step", "jobId": "1", "agent": "a", "message": "m", "order": 1}',
    b'{"kind": "chat", "jobId": "1", "role": "user", "content": "c", "metadata": {}}',
    b'{"kind": "app", "jobId": "1", "spec": {"v": "1.10"}, "prdMarkdown": "# P"}',
    b'{"kind": "error", "message": "no"}',
]


async def test_invariant_4_every_client_gets_its_dialect_from_a_fleet_that_is_half_upgraded() -> (
    None
):
    async with origin() as upstream, segue(upstream.url) as proxy:
        pairs: list[tuple[Pair, list[bytes], list[bytes]]] = []
        for fields, wanted in (((MODERN,), NEW_DIALECT), ((LEGACY,), OLD_DIALECT)):
            for spoken in (OLD_DIALECT, NEW_DIALECT):
                pair = await open_pair(proxy, upstream, fields=fields)
                pairs.append((pair, spoken, wanted))
        # One replica that changes its dialect from one message to the next.
        turning = await open_pair(proxy, upstream, fields=(MODERN,))
        pairs.append((turning, [OLD_DIALECT[0], *NEW_DIALECT[1:]], NEW_DIALECT))
        unversioned = await open_pair(proxy, upstream)
        pairs.append((unversioned, OLD_DIALECT, OLD_DIALECT))

        for number in range(len(OLD_DIALECT)):
            for pair, spoken, _ in pairs:
                await pair.server.send(TEXT, spoken[number])
            for pair, spoken, wanted in pairs:
                message = await pair.client.message()
                if spoken[number] == wanted[number]:
                    assert message == wanted[number]  # Not even its white space changes.
                assert json.loads(message) == json.loads(wanted[number])
                assert list(json.loads(message)) == list(json.loads(wanted[number]))
        for pair, _, _ in pairs:
            chat = await pair.client.send(TEXT, b'{"kind": "chat", "content": "hello"}')
            assert (await pair.server.receive()).raw == chat

        counted = await accounts(proxy)
        assert counted["old-to-new", "to_client"] == {"mapped": 5, "passed": 10}
        assert counted["new-to-old", "to_client"] == {"mapped": 4, "passed": 6}
        assert counted["none", "to_client"] == {"passed": 5}
        assert counted["none", "to_server"] == {"passed": 6}
        for pair, _, _ in pairs:
            await pair.client.peer.close()
            await pair.server.peer.close()
        await gone(proxy)


# Invariant 5: one bad config changes nothing.


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
    return port


def spoil(directory: Path) -> None:
    """Put six mistakes into three files."""
    (directory / "config.yaml").write_text(
        "listen:\n"
        "  adress: 127.0.0.1:1\n"
        "upstream:\n"
        "  url: ftp://127.0.0.1\n"
        "cohorts:\n"
        "  - name: all\n"
        "    versions: 'about 2'\n",
        encoding="utf-8",
    )
    (directory / "mappings" / "to-client-drop.yaml").write_text(
        "name: to-client-drop\n"
        "description: Wrong.\n"
        "channel: websocket\n"
        "direction: sideways\n"
        "rules:\n"
        "  - name: mapped\n"
        "    match: {field: kind, equals: old}\n"
        "    do: [{sett: {kind: new}}]\n"
        "    examples: [{in: {kind: old}, out: {kind: new}}]\n",
        encoding="utf-8",
    )
    example = directory / "mappings" / "to-server-pass.yaml"
    text = example.read_text(encoding="utf-8")
    example.write_text(text.replace("out: {kind: new}", "out: {kind: newer}"), encoding="utf-8")


CONFIG_PLACES = ("config.yaml:2:3: listen.adress", "config.yaml:4:8: upstream.url")
MAPPING_PLACES = ("to-client-drop.yaml:4:12: direction", "to-client-drop.yaml:8:10: rules[0].do[0]")


async def segue_command(*arguments: str) -> tuple[int, str]:
    """Run the command to its end: exit code, and what it wrote to standard error."""
    environment = {key: value for key, value in os.environ.items() if "SEGUE" not in key}
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "proxy",
        *arguments,
        stderr=asyncio.subprocess.PIPE,
        env=environment,
    )
    async with asyncio.timeout(PATIENCE):
        _, errors = await process.communicate()
    assert process.returncode is not None
    return process.returncode, errors.decode()


@pytest.mark.parametrize("command", ["run", "validate"])
async def test_invariant_5_a_bad_configuration_starts_nothing_and_every_error_has_its_place(
    tmp_path: Path, command: str
) -> None:
    config = write_configuration(tmp_path)
    spoil(tmp_path)
    port = free_port()
    code, errors = await segue_command(
        command, "--config", str(config), "--listen", f"127.0.0.1:{port}"
    )
    assert code == 1
    for place in CONFIG_PLACES:
        assert place in errors
    assert "config.yaml:7:15: cohorts[0].versions" in errors
    assert "listening" not in errors
    with pytest.raises(ConnectionRefusedError):
        await asyncio.open_connection("127.0.0.1", port)


@pytest.mark.parametrize("command", ["run", "validate"])
async def test_invariant_5_bad_mappings_start_nothing_and_are_reported_all_at_once(
    tmp_path: Path, command: str
) -> None:
    config = write_configuration(tmp_path)
    good = config.read_text(encoding="utf-8")
    spoil(tmp_path)
    config.write_text(good.replace("[to-client-close]", "[to-client-clothes]"), encoding="utf-8")
    port = free_port()
    code, errors = await segue_command(
        command, "--config", str(config), "--listen", f"127.0.0.1:{port}"
    )
    assert code == 1
    for place in MAPPING_PLACES:
        assert place in errors
    assert "to-server-pass.yaml:" in errors
    assert "rules[0].examples[0]: the example fails" in errors
    assert "there is no mapping `to-client-clothes`" in errors
    assert errors.rstrip().endswith("4 problems found")
    with pytest.raises(ConnectionRefusedError):
        await asyncio.open_connection("127.0.0.1", port)


async def test_invariant_5_files_that_turn_bad_do_not_touch_what_serves(tmp_path: Path) -> None:
    config = write_configuration(tmp_path)
    async with origin() as upstream, segue(upstream.url, config=config) as proxy:
        pair = await open_pair(proxy, upstream, fields=(b"X-Client-Version: 1",))
        spoil(tmp_path)
        with pytest.raises(ConfigError):
            load(config, {}, {"upstream": upstream.url})
        later = await open_pair(proxy, upstream, fields=(b"X-Client-Version: 1",))
        for each in (pair, later):
            await each.server.send(TEXT, OLD)
            assert await each.client.message() == NEW
            await each.client.peer.close()
            await each.server.peer.close()


# Invariant 7: no token in a log, a metric, an error page or a trace.

TOKEN = jwt.encode({"sub": "ana", "exp": 1}, "k" * 32, algorithm="HS256")
OPAQUE = "s3cr3t-0p4que-r3fresh-v4lue"
SECRETS = (TOKEN, TOKEN.split(".")[1], TOKEN.split(".")[2], OPAQUE)


async def metrics_page(proxy: Segue) -> str:
    async with (
        aiohttp.ClientSession() as client,
        client.get(f"http://{proxy.server.admin_address}/metrics") as response,
    ):
        return await response.text()


def carrying(method: str, target: str = "/ws/jobs/1/") -> bytes:
    """A request with tokens wherever a client may put one."""
    return (
        f"{method} {target}?token={TOKEN}&access_token={OPAQUE}&client_version={OPAQUE} HTTP/1.1"
        f"\r\nHost: a\r\nAuthorization: Bearer {TOKEN}\r\nCookie: refresh={OPAQUE}; a={TOKEN}\r\n"
        f"X-Client-Version: {TOKEN}\r\nReferer: http://a/?token={TOKEN}\r\n"
    ).encode()


UPGRADE = (
    b"Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
    b"Sec-WebSocket-Key: " + KEY + b"\r\nSec-WebSocket-Protocol: client-version."
) + OPAQUE.encode()

SECRET = OPAQUE.encode()
REQUESTS = {
    "plain": carrying("GET") + b"Connection: close\r\n\r\n",
    "in the path": carrying("GET", f"/reset/{TOKEN}/") + b"Connection: close\r\n\r\n",
    "handshake": carrying("GET") + UPGRADE + b"\r\n\r\n",
    "bad field": carrying("GET") + b"Bad Field " + SECRET + b"\r\n\r\n",
    "bad line": b"GET /?token=" + SECRET + b" extra HTTP/1.1\r\nHost: a\r\n\r\n",
    "bad method": SECRET + b"{} / HTTP/1.1\r\n\r\n",
    "bad version": carrying("GET").replace(b"HTTP/1.1", b"HTTP/" + SECRET) + b"\r\n",
    "bad target": carrying("GET", f"{OPAQUE}:") + b"\r\n",
    "bad length": carrying("POST") + b"Content-Length: " + SECRET + b"\r\n\r\n",
    "bad chunk": carrying("POST") + b"Transfer-Encoding: chunked\r\n\r\n" + SECRET + b"\r\n",
    "long line": carrying("GET") + b"X: " + SECRET * 2000 + b"\r\n\r\n",
    "connect": carrying("CONNECT", "a:1") + b"\r\n",
}
ANSWERS = {
    "nothing": b"",
    "refusal": b"HTTP/1.1 403 No\r\nContent-Length: 0\r\n\r\n",
    "garbage": SECRET + b"\r\n\r\n",
    "bad field": b"HTTP/1.1 200 OK\r\n" + SECRET + b" x\r\n\r\n",
    "bad switch": switch(b"Sec-WebSocket-Protocol: " + SECRET),
    "switch and garbage": switch() + b"\xff\xff" + SECRET,
    "switch and close": switch() + wire(CLOSE, closing(999, OPAQUE)),
}


@pytest.mark.parametrize("answer", ANSWERS.values(), ids=ANSWERS)
async def test_invariant_7_no_token_is_in_a_log_a_metric_or_an_error_page(
    answer: bytes, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level("DEBUG")

    async def script(peer: RawPeer) -> None:
        await peer.read_head()
        if answer:
            await peer.send(answer)

    pages = []
    async with (
        raw_server(script) as server,
        segue(server.url, {"SEGUE_LOG__LEVEL": "debug"}) as proxy,
    ):
        for request in REQUESTS.values():
            client = await proxy.connect()
            await client.send(request)
            client.writer.write_eof()
            page = await client.read_all()
            # What the server says goes through, whatever it is; Segue's own answers are searched.
            if b"application/problem+json" in page:
                pages.append(page.decode())
            await client.close()
        said = await metrics_page(proxy)
    captured = capfd.readouterr()
    said += proxy.log.getvalue() + "".join(pages) + caplog.text + captured.out + captured.err
    assert '"event": "request"' in said
    assert len(pages) >= 5
    for secret in SECRETS:
        assert secret not in said


async def test_invariant_7_no_token_in_a_relays_frames_and_reasons_is_logged(
    caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    caplog.set_level("DEBUG")
    config = write_configuration(tmp_path)
    clash = b'{"kind": "clash", "a": "' + SECRET + b'", "b": "' + TOKEN.encode() + b'"}'
    async with relayed(None, b"X-Client-Version: 3", config=config) as pair:
        await pair.client.send(TEXT, clash)
        await pair.server.close_frame()
        await pair.server.send(CLOSE, closing(1000, OPAQUE))
        assert (await pair.client.close_frame())[0] == 1011
        await pair.client.peer.close()
        await pair.server.peer.close()
        await gone(pair.segue)
        said = await metrics_page(pair.segue)
    said += pair.segue.log.getvalue() + caplog.text
    assert '"event": "websocket"' in said
    for secret in SECRETS:
        assert secret not in said


async def test_invariant_7_an_unreachable_server_is_told_without_the_request() -> None:
    async with origin() as upstream:
        url = upstream.url
    async with segue(url) as proxy:
        client = await proxy.connect()
        await client.send(carrying("GET") + UPGRADE + b"\r\n\r\n")
        page = await client.read_all()
        await client.close()
        assert status_of(page) == 502
        said = page.decode() + await metrics_page(proxy)
    said += proxy.log.getvalue()
    for secret in SECRETS:
        assert secret not in said


async def test_labels_of_the_metrics_never_come_from_a_client() -> None:
    async with origin() as upstream, segue(upstream.url) as proxy:
        before = {(name, frozenset(dict(labels))) for name, labels in await proxy.metrics()}
        for number in range(5):
            client = await proxy.connect()
            version = b"X-Client-Version: 2.%d.990077" % number
            await client.send(handshake(b"/never-%d-seen/" % number, version))
            server, _ = await upstream.accept()
            await client.read_head()
            await client.send(wire(TEXT, b"x", key=MASK))
            await client.close()
            await server.peer.close()
        await gone(proxy)
        samples = await proxy.metrics()
        values = {value for _, labels in samples for _, value in labels}
        assert not [value for value in values if "990077" in value or "never" in value]
        assert {(name, frozenset(dict(labels))) for name, labels in samples} >= before
        assert await proxy.metric("segue_websockets_total", cohort="modern") == 5
