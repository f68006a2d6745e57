"""The pipeline over sockets: handshakes, the choice of a version, CORS, answers of Segue's own."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence

import pytest

from tests.support.rfc6455 import CLOSE, TEXT
from tests.support.rig import RawPeer, Segue, raw_server, segue
from tests.support.sockets import (
    ACCEPT,
    KEY,
    Origin,
    Socket,
    closing,
    fields_of,
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

OLD = b'{"kind": "jobStatus", "jobId": "1", "status": "done", "message": null, "timestamp": "t"}'
"""As the old server sends it."""
NEW = b'{"kind": "status", "jobId": "1", "status": "done", "message": null, "timestamp": "t"}'
"""The same as new clients want it, written by hand."""

PAGE = b"Origin: https://app.example.com"
QUICK = {"SEGUE_TIMEOUTS__WEBSOCKET_HANDSHAKE": "200ms"}


async def refusal(
    upstream: Origin, proxy: Segue, answer: bytes, *fields: bytes
) -> tuple[bytes, bytes]:
    """Shake hands; the server answers so. The head and the body that the client gets."""
    client = await proxy.connect()
    await client.send(handshake(b"/ws/", *fields))
    server = await upstream.connection()
    await server.read_head()
    await server.send(answer)
    head = await client.read_head()
    body = await client.read_all()
    await client.close()
    await server.close()
    return head, body


# The handshake, forwarded.


async def test_a_handshake_goes_through_byte_for_byte_but_for_the_listed_fields() -> None:
    async with origin() as upstream, segue(upstream.url) as proxy:
        client = await proxy.connect()
        await client.send(
            b"GET /ws/jobs/%7e1/?token=a%2Bb&&x=%zz;y=1?#"[:-1] + b" HTTP/1.1\r\n"
            b"host: App.Example.com:8080\r\n"
            b"CONNECTION: keep-alive, X-Hop, Upgrade\r\n"
            b"upgrade: WebSocket\r\n"
            b"X-Hop: for this connection only\r\n"
            b"Sec-WebSocket-KEY:  " + KEY + b"\r\n"
            b"sec-websocket-version: 13\r\n"
            b"Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n"
            b"Sec-WebSocket-Protocol: chat, client-version.2.0\r\n"
            b"Sec-WebSocket-Protocol: superchat\r\n"
            b"Origin: https://app.example.com\r\n"
            b"Cookie: a=1; b=\xc3\xa9\r\n"
            b"X-Twice: 1\r\n"
            b"X-Twice: 2\r\n"
            b"X-Forwarded-For: 6.6.6.6\r\n"
            b"\r\n"
        )
        server, head = await upstream.accept()
        request_line, *lines = head.removesuffix(b"\r\n\r\n").split(b"\r\n")
        assert request_line == b"GET /ws/jobs/%7e1/?token=a%2Bb&&x=%zz;y=1? HTTP/1.1"
        (request_id,) = fields_of(head, b"x-request-id")
        (traceparent,) = fields_of(head, b"traceparent")
        assert lines == [
            b"host: App.Example.com:8080",
            b"Sec-WebSocket-KEY: " + KEY,
            b"sec-websocket-version: 13",
            b"Origin: https://app.example.com",
            b"Cookie: a=1; b=\xc3\xa9",
            b"X-Twice: 1",
            b"X-Twice: 2",
            b"X-Forwarded-For: 127.0.0.1",
            b"X-Forwarded-Proto: http",
            b"X-Forwarded-Host: App.Example.com:8080",
            b"X-Request-Id: " + request_id,
            b"Via: 1.1 segue",
            b"traceparent: " + traceparent,
            b"Connection: Upgrade",
            b"Upgrade: websocket",
            b"Sec-WebSocket-Protocol: chat, superchat",
        ]
        await client.close()
        await server.peer.close()


async def test_the_servers_101_reaches_the_client_with_its_fields() -> None:
    async with origin() as upstream, segue(upstream.url) as proxy:
        client = await proxy.connect()
        await client.send(handshake(b"/ws/"))
        server, _ = await upstream.accept(
            b"Set-Cookie: a=1", b"set-cookie: b=2", b"Server: daphne", b"Keep-Alive: 5"
        )
        lines = (await client.read_head()).split(b"\r\n")
        assert lines == [
            b"HTTP/1.1 101 Switching Protocols",
            b"Sec-WebSocket-Accept: " + ACCEPT,
            b"Set-Cookie: a=1",
            b"set-cookie: b=2",
            b"Server: daphne",
            b"Connection: Upgrade",
            b"Upgrade: websocket",
            b"",
            b"",
        ]
        await client.close()
        await server.peer.close()


@pytest.mark.parametrize(
    ("answer", "status", "kept", "body"),
    [
        (
            (
                b"HTTP/1.1 403 Access denied\r\nContent-Type: text/plain\r\nContent-Length: 13\r\n"
                b"X-Why: not yours\r\n\r\nAccess denied"
            ),
            403,
            b"X-Why: not yours",
            b"Access denied",
        ),
        (
            (
                b'HTTP/1.1 401 Unauthorized\r\nWWW-Authenticate: Bearer realm="api"\r\n'
                b"Content-Length: 0\r\n\r\n"
            ),
            401,
            b'WWW-Authenticate: Bearer realm="api"',
            b"",
        ),
        (
            (
                b"HTTP/1.1 426 Upgrade Required\r\nSec-WebSocket-Version: 13, 8\r\n"
                b"Content-Length: 2\r\n\r\nno"
            ),
            426,
            b"Sec-WebSocket-Version: 13, 8",
            b"no",
        ),
        (
            b"HTTP/1.1 302 Found\r\nLocation: /login/?next=%2Fws\r\nContent-Length: 4\r\n\r\nover",
            302,
            b"Location: /login/?next=%2Fws",
            b"over",
        ),
        (
            (
                b"HTTP/1.1 503 Full\r\nTransfer-Encoding: chunked\r\nRetry-After: 9\r\n\r\n"
                b"4\r\nback\r\n6\r\n later\r\n0\r\n\r\n"
            ),
            503,
            b"Retry-After: 9",
            b"4\r\nback\r\n6\r\n later\r\n0\r\n\r\n",
        ),
        (
            b"HTTP/1.0 400 Bad\r\nX-Ends: with the connection\r\n\r\nuntil the end",
            400,
            b"X-Ends: with the connection",
            b"d\r\nuntil the end\r\n0\r\n\r\n",
        ),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nX-A: b\r\n\r\nplain", 200, b"X-A: b", b"plain"),
    ],
    ids=["403", "401", "426", "302", "chunked", "until close", "200"],
)
async def test_a_refused_handshake_reaches_the_client_with_status_fields_and_body(
    answer: bytes, status: int, kept: bytes, body: bytes
) -> None:
    async with raw_server(lambda peer: _answer(peer, answer)) as server, segue(server.url) as proxy:
        client = await proxy.connect()
        await client.send(handshake(b"/ws/"))
        head = await client.read_head()
        assert status_of(head) == status
        assert kept in head.split(b"\r\n")
        assert (
            head.split(b"\r\n")[0].split(b" ", 2)[2] == answer.split(b"\r\n")[0].split(b" ", 2)[2]
        )
        assert await client.read_all() == body
        await client.close()
        assert await proxy.metric("segue_requests_total", cohort="none", code=str(status)) == 1


async def _answer(peer: RawPeer, answer: bytes) -> None:
    await peer.read_head()
    await peer.send(answer)


async def test_an_informational_response_before_the_101_reaches_the_client() -> None:
    async with origin() as upstream, segue(upstream.url) as proxy:
        client = await proxy.connect()
        await client.send(handshake())
        server = await upstream.connection()
        await server.read_head()
        await server.send(b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n" + switch())
        assert await client.read_head() == b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"
        assert status_of(await client.read_head()) == 101
        await client.close()
        await server.close()


# Subprotocols.


@pytest.mark.parametrize(
    ("offered", "forwarded", "chosen", "answered"),
    [
        ([b"chat, superchat"], [b"chat, superchat"], b"superchat", [b"superchat"]),
        ([b"chat"], [b"chat"], None, []),
        ([b"client-version.2.1.0"], [], None, [b"client-version.2.1.0"]),
        ([b"chat, client-version.2.1.0"], [b"chat"], b"chat", [b"chat"]),
        ([b"client-version.2.1.0, chat"], [b"chat"], None, [b"client-version.2.1.0"]),
        ([b"chat", b"client-version.1", b"x"], [b"chat, x"], b"x", [b"x"]),
        ([], [], None, []),
    ],
)
async def test_subprotocols_are_the_servers_choice_and_version_tokens_are_segues_own(
    offered: Sequence[bytes],
    forwarded: list[bytes],
    chosen: bytes | None,
    answered: list[bytes],
) -> None:
    name = b"Sec-WebSocket-Protocol: "
    async with origin() as upstream, segue(upstream.url) as proxy:
        client = await proxy.connect()
        await client.send(handshake(b"/ws/", *(name + value for value in offered)))
        server, head = await upstream.accept(*([] if chosen is None else [name + chosen]))
        assert fields_of(head, b"sec-websocket-protocol") == forwarded
        assert b"client-version" not in head
        response = await client.read_head()
        assert status_of(response) == 101
        assert fields_of(response, b"sec-websocket-protocol") == answered
        await client.close()
        await server.peer.close()


# What a server must not answer.


@pytest.mark.parametrize(
    "answer",
    [
        switch(accept=b"AAAAAAAAAAAAAAAAAAAAAAAAAAA="),
        switch().replace(b"Sec-WebSocket-Accept", b"X-Accept"),
        switch(b"Sec-WebSocket-Accept: " + ACCEPT),
        switch(b"Sec-WebSocket-Protocol: chat.v2"),
        switch(b"Sec-WebSocket-Protocol: client-version.2.1.0"),
        switch(b"Sec-WebSocket-Protocol: chat", b"Sec-WebSocket-Protocol: chat"),
        switch(b"Sec-WebSocket-Extensions: permessage-deflate"),
        switch().replace(b"Upgrade: websocket", b"Upgrade: h2c"),
        switch().replace(b"Upgrade: websocket\r\n", b""),
        switch().replace(b"Connection: Upgrade", b"Connection: close"),
        b"HTTP/1.1 101\r\n\r\n",
        b"not HTTP at all\r\n\r\n",
        b"",
    ],
    ids=[
        "wrong accept",
        "no accept",
        "accept twice",
        "foreign subprotocol",
        "version token",
        "subprotocol twice",
        "extension",
        "other protocol",
        "no upgrade",
        "no connection",
        "bare 101",
        "garbage",
        "hangs up",
    ],
)
async def test_a_server_that_answers_the_handshake_wrongly_gives_502(answer: bytes) -> None:
    async with origin() as upstream, segue(upstream.url) as proxy:
        client = await proxy.connect()
        offered = b"Sec-WebSocket-Protocol: chat, client-version.2.1.0"
        await client.send(handshake(b"/ws/?token=s3cret", offered))
        server = await upstream.connection()
        await server.read_head()
        if answer:
            await server.send(answer)
        else:
            await server.close()
        head = await client.read_head()
        assert status_of(head) == 502
        assert fields_of(head, b"content-type") == [b"application/problem+json"]
        body = await client.read_all()
        assert json.loads(body)["status"] == 502
        assert await server.read_all() == b""
        assert b"s3cret" not in body
        assert await proxy.metric("segue_errors_total", error="upstream_broken") == 1
        await client.close()
        await server.close()
        await gone(proxy)


async def test_a_server_that_does_not_answer_the_handshake_in_time_gives_504() -> None:
    async with origin() as upstream, segue(upstream.url, QUICK) as proxy:
        client = await proxy.connect()
        await client.send(handshake())
        server = await upstream.connection()
        head = await client.read_head()
        assert status_of(head) == 504
        assert json.loads(await client.read_all())["title"] == "Gateway timeout"
        await server.read_head()
        assert await server.read_all() == b""
        await client.close()
        await server.close()


async def test_a_refusal_that_stops_in_its_body_never_looks_complete() -> None:
    async with origin() as upstream, segue(upstream.url, QUICK) as proxy:
        client = await proxy.connect()
        await client.send(handshake())
        server = await upstream.connection()
        await server.read_head()
        await server.send(b"HTTP/1.1 403 No\r\nContent-Length: 2000\r\n\r\nthe beginning")
        assert status_of(await client.read_head()) == 403
        assert await client.read_all() == b"the beginning"
        await client.close()
        await server.close()


async def test_a_server_that_is_down_gives_502() -> None:
    async with origin() as upstream:
        url = upstream.url
    async with segue(url) as proxy:
        client = await proxy.connect()
        await client.send(handshake())
        assert status_of(await client.read_head()) == 502
        await client.close()
        assert await proxy.metric("segue_errors_total", error="upstream_unreachable") == 1
        assert await proxy.metric("segue_upstream_up") == 0


@pytest.mark.parametrize("how", ["reset", "end of stream"])
@pytest.mark.parametrize("when", ["before the answer", "with the answer"])
async def test_a_client_that_leaves_inside_the_handshake_leaves_nothing_behind(
    how: str, when: str
) -> None:
    async with origin() as upstream, segue(upstream.url) as proxy:
        client = await proxy.connect()
        await client.send(handshake())
        server = await upstream.connection()
        await server.read_head()

        if when == "with the answer":
            server.writer.write(switch())
        if how == "reset":
            client.abort()
        else:
            await client.close()
        if when == "before the answer":
            await turn()
            await server.send(switch())
        assert await server.read_all() == b""
        await server.close()
        await gone(proxy)
        async with asyncio.timeout(PATIENCE):
            while await proxy.metric("segue_upstream_connections", state="busy"):
                await turn()
        assert "internal error" not in proxy.log.getvalue()


async def test_a_refusing_servers_connection_is_used_again() -> None:
    served = 0

    async def script(peer: RawPeer) -> None:
        nonlocal served
        while True:
            await peer.read_head()
            served += 1
            await peer.send(b"HTTP/1.1 403 No\r\nContent-Length: 2\r\n\r\nno")

    async with raw_server(script) as server, segue(server.url) as proxy:
        for _ in range(3):
            client = await proxy.connect()
            await client.send(handshake())
            assert status_of(await client.read_head()) == 403
            await client.close()
            await client_get(proxy, b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        assert served == 6
        assert server.connections < 6


async def client_get(proxy: Segue, request: bytes) -> tuple[bytes, bytes]:
    client = await proxy.connect()
    await client.send(request)
    head = await client.read_head()
    body = await client.read_all()
    await client.close()
    return head, body


# The choice of a version.

HEADER_OLD, HEADER_NEW = b"X-Client-Version: 1.4", b"x-client-version: 2.1.0"
SUB_OLD = b"Sec-WebSocket-Protocol: client-version.1.10"
SUB_NEW = b"Sec-WebSocket-Protocol: chat, client-version.2.0.0-rc.1"
COOKIE_OLD, COOKIE_NEW = b"Cookie: a=b; client_version=1.9", b"Cookie: client_version=2.0"


@pytest.mark.parametrize(
    ("target", "fields", "source", "mapped"),
    [
        (b"/ws/?client_version=1.0", [HEADER_NEW, SUB_OLD, COOKIE_OLD], "header", True),
        (b"/ws/?client_version=2.0", [HEADER_OLD, SUB_NEW, COOKIE_NEW], "header", False),
        (b"/ws/?client_version=1.0", [SUB_NEW, COOKIE_OLD], "subprotocol", True),
        (b"/ws/?client_version=2.0", [SUB_OLD, COOKIE_NEW], "subprotocol", False),
        (b"/ws/?client_version=2.10", [COOKIE_OLD], "query", True),
        (b"/ws/?client_version=1.10", [COOKIE_NEW], "query", False),
        (b"/ws/", [COOKIE_NEW], "cookie", True),
        (b"/ws/", [COOKIE_OLD], "cookie", False),
        (b"/ws/", [], "default", True),
        (b"/ws/?client_version=new", [COOKIE_OLD], "unreadable", True),
        (b"/ws/", [b"X-Client-Version: ", SUB_OLD], "unreadable", True),
        (b"/ws/", [b"X-Client-Version: " + b"9" * 500], "unreadable", True),
        (b"/ws/", [HEADER_OLD, HEADER_OLD], "unreadable", True),
    ],
)
async def test_the_first_source_present_decides_and_is_counted(
    target: bytes, fields: Sequence[bytes], source: str, mapped: bool
) -> None:
    env = {"SEGUE_VERSIONS__DEFAULT": "2.0"}
    async with origin() as upstream, segue(upstream.url, env) as proxy:
        pair = await open_pair(proxy, upstream, target=target, fields=fields)
        await pair.server.send(TEXT, OLD)
        assert await pair.client.message() == (NEW if mapped else OLD)
        assert await proxy.metric("segue_version_sources_total", source=source) == 1
        cohort = "modern" if mapped else "legacy"
        assert await proxy.metric("segue_websockets_total", cohort=cohort) == 1
        await pair.client.peer.close()
        await pair.server.peer.close()


@pytest.mark.parametrize(
    ("default", "source", "cohort", "received"),
    [
        (None, "none", "none", OLD),
        ("1.0", "default", "legacy", OLD),
        ("2.0", "default", "modern", NEW),
    ],
)
async def test_todays_client_gets_what_the_default_version_says(
    default: str | None, source: str, cohort: str, received: bytes
) -> None:
    env = {} if default is None else {"SEGUE_VERSIONS__DEFAULT": default}
    async with relayed(env) as pair:
        await pair.server.send(TEXT, OLD)
        assert await pair.client.message() == received
        assert await pair.segue.metric("segue_version_sources_total", source=source) == 1
        assert await pair.segue.metric("segue_websockets_total", cohort=cohort) == 1
        assert await pair.segue.metric("segue_requests_total", cohort=cohort, code="101") == 1
        counted = {"mapping": "none"} if cohort == "none" else {}
        if counted:
            passed = await pair.segue.metric(
                "segue_messages_total", direction="to_client", outcome="passed", **counted
            )
            assert passed == 1


async def test_an_unreadable_version_without_a_default_is_mapped_by_nobody_and_counted() -> None:
    async with relayed(None, b"X-Client-Version: latest") as pair:
        await pair.server.send(TEXT, OLD)
        assert await pair.client.message() == OLD
        assert await pair.segue.metric("segue_version_sources_total", source="unreadable") == 1


@pytest.mark.parametrize(
    ("sent", "forwarded"),
    [
        (b"/ws/?client_version=2.0", b"/ws/"),
        (b"/ws/?token=a%2fb&client_version=2.0&x=1", b"/ws/?token=a%2fb&x=1"),
        (b"/ws/?client%5Fversion=2.0&&y", b"/ws/?&y"),
        (b"/ws/?client_version=2.0&client_version=1.0&z=%", b"/ws/?z=%"),
        (b"/ws/?my_client_version=1", b"/ws/?my_client_version=1"),
        (b"/w%73/?", b"/w%73/?"),
        (b"/client_version=2.0/?a=client_version", b"/client_version=2.0/?a=client_version"),
    ],
)
@pytest.mark.parametrize("upgrade", [True, False])
async def test_the_version_parameter_is_taken_out_and_every_other_byte_stays(
    sent: bytes, forwarded: bytes, upgrade: bool
) -> None:
    async with origin() as upstream, segue(upstream.url) as proxy:
        client = await proxy.connect()
        plain = b"GET " + sent + b" HTTP/1.1\r\nHost: a\r\n\r\n"
        await client.send(handshake(sent) if upgrade else plain)
        server = await upstream.connection()
        assert (await server.read_head()).split(b"\r\n")[0] == b"GET " + forwarded + b" HTTP/1.1"
        await client.close()
        await server.close()


async def test_a_source_that_is_not_configured_is_the_clients_own_data() -> None:
    env = {"SEGUE_VERSIONS__SOURCES": "[cookie]"}
    async with origin() as upstream, segue(upstream.url, env) as proxy:
        client = await proxy.connect()
        await client.send(handshake(b"/ws/?client_version=2.0", SUB_NEW))
        server, head = await upstream.accept(b"Sec-WebSocket-Protocol: client-version.2.0.0-rc.1")
        assert b"GET /ws/?client_version=2.0 HTTP/1.1" in head
        response = await client.read_head()
        assert fields_of(response, b"sec-websocket-protocol") == [b"client-version.2.0.0-rc.1"]
        await server.send(TEXT, OLD)
        assert await Socket(client, is_client=True).message() == OLD
        await client.close()
        await server.peer.close()


async def test_the_version_header_goes_on_to_the_server() -> None:
    async with origin() as upstream, segue(upstream.url) as proxy:
        client = await proxy.connect()
        await client.send(handshake(b"/ws/", HEADER_NEW))
        server, head = await upstream.accept()
        assert fields_of(head, b"x-client-version") == [b"2.1.0"]
        await client.close()
        await server.peer.close()


# CORS.

PREFLIGHT = (
    b"OPTIONS /api/jobs/ HTTP/1.1\r\nHost: a\r\n" + PAGE + b"\r\n"
    b"Access-Control-Request-Method: GET\r\n"
    b"Access-Control-Request-Headers: authorization,x-client-version\r\nConnection: close\r\n\r\n"
)


async def preflight(answer: bytes, request: bytes = PREFLIGHT) -> list[bytes]:
    """What `Access-Control-Allow-Headers` the page gets where the server answers so."""
    whole = b"HTTP/1.1 200 OK\r\n" + answer + b"Content-Length: 0\r\n\r\n"
    async with raw_server(lambda peer: _answer(peer, whole)) as server, segue(server.url) as proxy:
        head, _ = await client_get(proxy, request)
        assert status_of(head) == 200
        return fields_of(head, b"access-control-allow-headers")


ALLOWED = b"Access-Control-Allow-Origin: https://app.example.com\r\n"


@pytest.mark.parametrize(
    ("answer", "allowed"),
    [
        (
            ALLOWED + b"Access-Control-Allow-Headers: authorization, content-type\r\n",
            [b"authorization, content-type, X-Client-Version"],
        ),
        (ALLOWED, [b"X-Client-Version"]),
        (
            b"access-control-allow-origin: *\r\naccess-control-allow-headers: authorization\r\n",
            [b"authorization, X-Client-Version"],
        ),
        (ALLOWED + b"Access-Control-Allow-Headers: X-CLIENT-version\r\n", [b"X-CLIENT-version"]),
        (ALLOWED + b"Access-Control-Allow-Headers: *\r\n", [b"*"]),
    ],
    ids=["listed", "none listed", "any origin", "known already", "any header"],
)
async def test_a_preflight_that_the_server_allows_learns_of_the_version_header(
    answer: bytes, allowed: list[bytes]
) -> None:
    assert await preflight(answer) == allowed


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"Access-Control-Allow-Origin: https://other.example.com\r\n",
        b"Access-Control-Allow-Origin: null\r\n",
    ],
)
async def test_a_preflight_that_the_server_does_not_allow_is_left_alone(answer: bytes) -> None:
    answer += b"Access-Control-Allow-Headers: authorization\r\n"
    assert await preflight(answer) == [b"authorization"]


async def test_an_options_request_that_is_no_preflight_is_left_alone() -> None:
    request = PREFLIGHT.replace(b"Access-Control-Request-Method", b"X-Request-Method")
    answer = ALLOWED + b"Access-Control-Allow-Headers: authorization\r\n"
    assert await preflight(answer, request) == [b"authorization"]


async def test_a_preflight_goes_to_the_server_as_it_came() -> None:
    async with origin() as upstream, segue(upstream.url) as proxy:
        client = await proxy.connect()
        await client.send(PREFLIGHT)
        server = await upstream.connection()
        head = await server.read_head()
        assert head.startswith(b"OPTIONS /api/jobs/ HTTP/1.1\r\n")
        for line in (
            PAGE,
            b"Access-Control-Request-Method: GET",
            b"Access-Control-Request-Headers: authorization,x-client-version",
        ):
            assert line in head.split(b"\r\n")
        await client.close()
        await server.close()


@pytest.mark.parametrize("upgrade", [True, False])
@pytest.mark.parametrize(
    ("origins", "allowed"),
    [
        ('["https://app.example.com"]', [b"https://app.example.com"]),
        ('["https://other.example.com"]', []),
        ('["*"]', [b"*"]),
        ("[]", []),
    ],
)
async def test_errors_of_segues_own_can_be_read_by_pages_of_configured_origins_only(
    origins: str, allowed: list[bytes], upgrade: bool
) -> None:
    async with origin() as upstream:
        url = upstream.url
    request = b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n" + PAGE + b"\r\n\r\n"
    async with segue(url, {"SEGUE_CORS__ORIGINS": origins}) as proxy:
        head, body = await client_get(proxy, handshake(b"/", PAGE) if upgrade else request)
        assert status_of(head) == 502
        assert fields_of(head, b"access-control-allow-origin") == allowed
        assert fields_of(head, b"x-request-id") == [json.loads(body)["request_id"].encode()]


async def test_the_servers_own_errors_get_no_cors_fields_of_segue() -> None:
    answer = b"HTTP/1.1 500 Oops\r\nContent-Length: 0\r\n\r\n"
    env = {"SEGUE_CORS__ORIGINS": '["*"]'}
    async with (
        raw_server(lambda peer: _answer(peer, answer)) as server,
        segue(server.url, env) as proxy,
    ):
        request = b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n" + PAGE + b"\r\n\r\n"
        head, _ = await client_get(proxy, request)
        assert status_of(head) == 500
        assert fields_of(head, b"access-control-allow-origin") == []


async def test_each_client_of_one_process_gets_its_own_dialect_at_the_same_time() -> None:
    async with origin() as upstream, segue(upstream.url) as proxy:
        pairs = [
            await open_pair(proxy, upstream, fields=[field] if field else [])
            for field in (HEADER_NEW, HEADER_OLD, b"")
        ]
        for pair in pairs:
            await pair.server.send(TEXT, OLD)
        assert [await pair.client.message() for pair in pairs] == [NEW, OLD, OLD]
        for pair in pairs:
            await pair.client.send(CLOSE, closing(1000))
            await pair.server.close_frame()
            await pair.server.peer.close()
            await pair.client.peer.close()
        await gone(proxy)
