"""Nothing that is secret is in any line of the log, at the level debug, whatever happens."""

from __future__ import annotations

import json
import socket
from pathlib import Path
from typing import Final

import pytest

from proxy.tokens.redaction import REDACTED
from tests.support.rfc6455 import TEXT
from tests.support.rig import answering, raw_server, segue
from tests.support.sockets import gone, open_pair, origin

JWT: Final = "eyJhbGciOiJIUzI1NiJ9.eyJzZWNyZXQiOjF9.c2VjcmV0c2ln"
ONE_TIME: Final = "c8sd1f-0neT1me"
SECRETS: Final = (
    *(JWT, "opaque-bearer", "in-a-cookie", "in-the-query", "in-a-value", "set-by-it"),
    ONE_TIME,
)

FIELDS: Final = (
    b"Authorization: Bearer opaque-bearer",
    b"Cookie: sessionid=in-a-cookie; access=" + JWT.encode(),
    b"User-Agent: App Bearer opaque-bearer " + JWT.encode(),
    b"X-Client-Version: " + JWT.encode(),
    b"X-Request-Id: " + JWT.encode(),
    b"X-Forwarded-For: " + JWT.encode(),
    b"Referer: https://h/?token=in-the-query",
)
TARGETS: Final = (
    b"/api/jobs/?token=in-the-query&access_token=" + JWT.encode(),
    b"/" + JWT.encode() + b"/",
    b"/a;token=in-the-query",
    b"http://user:in-the-query@h/",
    b"/a#token=in-the-query",
    *(
        path.replace(b"TOKEN", ONE_TIME.encode())
        for path in (
            b"/reset/TOKEN/",
            b"/api/password_reset/confirm/MQ/TOKEN/",
            b"/invite/TOKEN",
            b"/auth/magic-link/TOKEN?next=/",
            b"/n/unsubscribe/17/TOKEN",
            b"/%72eset/TOKEN",
            b"//reset//TOKEN",
            b"/resetPassword;a=1/TOKEN",
        )
    ),
)
TRUSTED: Final = {"SEGUE_LISTEN__TRUSTED_PROXIES": "127.0.0.0/8"}

CONFIG_TEXT: Final = """
upstream: {url: "http://127.0.0.1:1"}
versions: {default: "2"}
cohorts:
  - name: modern
    versions: ">=2"
    websocket: {to_client: [failing], to_server: [back]}
"""
MAPPING: Final = """
name: NAME
description: Numbers become text.
channel: websocket
direction: DIRECTION
on_error: ON_ERROR
rules:
  - name: number
    match: {field: kind, exists: true}
    do:
      - unwrap: {field: meta}
      - convert: {value: {from: integer, to: string}}
    examples:
      - {in: {kind: a, value: 1}, out: {kind: a, value: "1"}}
"""


@pytest.fixture
def closed_port() -> int:
    """A port that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as placeholder:
        port: int = placeholder.getsockname()[1]
        return port


def assert_silent(log: str) -> None:
    assert log.count("\n") > 3
    assert [secret for secret in SECRETS if secret in log] == []
    for line in log.splitlines():
        json.loads(line)


async def test_no_line_of_a_request_holds_a_secret() -> None:
    response = b"HTTP/1.1 200 OK\r\nSet-Cookie: sessionid=set-by-it\r\nContent-Length: 10\r\n\r\n"
    async with (
        raw_server(answering(response + b"in-a-value")) as upstream,
        segue(upstream.url, TRUSTED) as proxy,
    ):
        for target in TARGETS:
            lines = [b"POST " + target + b" HTTP/1.1", b"Host: h", *FIELDS]
            lines += [b"Connection: close", b"Content-Length: 10", b"", b"in-a-value"]
            await proxy.ask(b"\r\n".join(lines))
        await proxy.ask(b"GET /?token=in-the-query HTTP/1.1\r\nin-the-query: \x00" + b"\r\n\r\n")
        async with proxy.admin() as admin:
            await admin.get("/api/v1/sessions?token=in-the-query")
            await admin.post("/api/v1/log/watches", data="in-a-value")
    log = proxy.log.getvalue()
    assert_silent(log)
    assert REDACTED in log
    assert '"decision"' in log


async def test_no_line_of_an_outage_holds_a_secret(closed_port: int) -> None:
    async with segue(f"http://127.0.0.1:{closed_port}", TRUSTED) as proxy:
        for target in (*TARGETS, b"/ws/?token=in-the-query"):
            lines = [b"GET " + target + b" HTTP/1.1", b"Host: h", *FIELDS, b"Connection: close"]
            await proxy.ask(b"\r\n".join([*lines, b"\r\n"]))
    assert '"upstream ejected"' in proxy.log.getvalue()
    assert_silent(proxy.log.getvalue())


async def test_no_line_of_a_websocket_holds_a_secret(tmp_path: Path) -> None:
    (tmp_path / "mappings").mkdir()
    for name, way, on_error in (("failing", "to_client", "pass"), ("back", "to_server", "close")):
        text = MAPPING.replace("NAME", name).replace("DIRECTION", way)
        file = tmp_path / "mappings" / f"{name}.yaml"
        file.write_text(text.replace("ON_ERROR", on_error))
    config = tmp_path / "config.yaml"
    config.write_text(CONFIG_TEXT)
    env = {**TRUSTED, "SEGUE_TIMEOUTS__WEBSOCKET_CLOSE": "50ms"}  # Nobody answers a Close here.
    async with origin() as upstream, segue(upstream.url, env, config) as proxy:
        pair = await open_pair(
            proxy, upstream, target=b"/ws/jobs/1/?token=in-the-query", fields=FIELDS[:3]
        )
        for message in (
            b'{"kind":"in-a-value","value":"in-a-value"}',
            b'{"kind":"a","meta":{"in-a-value":1},"in-a-value":2}',
            b'{"kind":"a","meta":"in-a-value"}',
            b'{"kind":"a","value":' + b'{"in-a-value":' * 2000 + b"1" + b"}" * 2000 + b"}",
            b"in-a-value\xff",
        ):
            await pair.server.peer.send(pair.server.frame(TEXT, message))
        await pair.client.send(TEXT, b'{"kind":"a","meta":"in-a-value"}')
        await gone(proxy)
        pair.client.peer.abort()
        pair.server.peer.abort()
    log = proxy.log.getvalue()
    assert log.count('"mapping failed"') >= 5
    assert_silent(log)


async def test_nothing_that_is_shown_of_a_path_holds_a_one_time_token(tmp_path: Path) -> None:
    config = tmp_path / "config.yaml"
    config.write_text(
        'upstream: {url: "http://127.0.0.1:1"}\nlog: {redact_paths: ["door/{}", "/s/**"]}\n'
    )
    paths = [f"/ws/door/{ONE_TIME}/", f"/s/{ONE_TIME}"]
    async with origin() as upstream, segue(upstream.url, TRUSTED, config) as proxy:
        for path in paths:
            pair = await open_pair(proxy, upstream, target=path.encode())
            async with proxy.admin() as admin:
                shown = await (await admin.get("/api/v1/sockets")).text()
            assert ONE_TIME not in shown
            assert REDACTED in shown
            pair.client.peer.abort()
            pair.server.peer.abort()
            await gone(proxy)
        for path in (*paths, "/door/"):
            request = f"GET {path} HTTP/1.1\r\nHost: h\r\nContent-Length: a\r\n\r\n"
            answer = await proxy.ask(request.encode())
            assert b" 400 " in answer
            assert ONE_TIME.encode() not in answer
        assert "/ws/door/[redacted]/" in proxy.log.getvalue()
    assert_silent(proxy.log.getvalue())
