"""What the server is told of a request: by whom, for whom, and for what, byte for byte."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

import pytest

from tests.support.rig import RawPeer, answering, raw_server, segue, status_of
from tests.support.sockets import fields_of, handshake, origin

OK: Final = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"

# Whom a request comes from.


CLAIMS: Final = (
    b"X-Forwarded-For: 198.51.100.1",
    b"X-Forwarded-Proto: https",
    b"X-Forwarded-Host: admin.example",
    b"X-Forwarded-Port: 1",
    b"X-Forwarded-Prefix: /admin",
    b"Forwarded: for=198.51.100.2",
    b"X-Real-IP: 198.51.100.3",
    b"X-Request-Id: theirs",
    b"Via: 1.1 theirs",
)
LOOK_ALIKES: Final = (
    b"X_Forwarded_For: 198.51.100.4",
    b"X-Forwarded_For: 198.51.100.4",
    b"x_forwarded-proto: https",
    b"X_Real_IP: 198.51.100.4",
    b"X_Request_Id: alike",
)
TRUST: Final = {"SEGUE_LISTEN__TRUSTED_PROXIES": "[127.0.0.0/8]"}
NOT_TRUST: Final = {"SEGUE_LISTEN__TRUSTED_PROXIES": "[10.0.0.0/8]"}


async def told(env: dict[str, str], *lines: bytes, upgrade: bool) -> bytes:
    """The head that the server gets of a request with these field lines."""
    if not upgrade:
        heads: list[bytes] = []
        async with raw_server(answering(OK, heads)) as server, segue(server.url, env) as proxy:
            async with proxy.client() as peer:
                await peer.send(b"\r\n".join((b"GET / HTTP/1.1", b"Host: h", *lines, b"\r\n")))
                await peer.read_response()
        return heads[0]
    async with origin() as sockets, segue(sockets.url, env) as proxy, proxy.client() as peer:
        await peer.send(handshake(b"/ws", *lines))
        socket, head = await sockets.accept()
        await peer.read_head()
        await socket.peer.close()
    return head


@pytest.mark.parametrize("upgrade", [False, True], ids=["request", "handshake"])
@pytest.mark.parametrize("env", [{}, NOT_TRUST], ids=["nobody trusted", "somebody else trusted"])
async def test_claims_of_a_stranger_are_replaced(env: dict[str, str], upgrade: bool) -> None:
    head = await told(env, *CLAIMS, *LOOK_ALIKES, upgrade=upgrade)
    assert b"198.51.100." not in head
    assert b"theirs" not in head
    assert b"alike" not in head
    assert fields_of(head, b"x-forwarded-for") == [b"127.0.0.1"]
    assert fields_of(head, b"x-forwarded-proto") == [b"http"]
    assert fields_of(head, b"x-forwarded-host") == fields_of(head, b"host")
    assert len(fields_of(head, b"x-request-id")) == 1
    assert fields_of(head, b"via") == [b"1.1 segue"]
    for name in (b"forwarded", b"x-real-ip", b"x-forwarded-port", b"x-forwarded-prefix"):
        assert fields_of(head, name) == []


@pytest.mark.parametrize("upgrade", [False, True], ids=["request", "handshake"])
async def test_claims_of_a_trusted_proxy_are_continued_without_look_alikes(upgrade: bool) -> None:
    head = await told(TRUST, *CLAIMS, *LOOK_ALIKES, upgrade=upgrade)
    assert b"198.51.100.4" not in head
    assert b"alike" not in head
    assert fields_of(head, b"x-forwarded-for") == [b"198.51.100.1, 127.0.0.1"]
    assert fields_of(head, b"x-forwarded-proto") == [b"https"]
    assert fields_of(head, b"x-forwarded-host") == [b"admin.example"]
    assert fields_of(head, b"x-request-id") == [b"theirs"]
    assert fields_of(head, b"via") == [b"1.1 theirs, 1.1 segue"]
    assert fields_of(head, b"forwarded") == [b"for=198.51.100.2"]
    assert fields_of(head, b"x-real-ip") == [b"198.51.100.3"]


async def test_connection_cannot_take_away_what_segue_says() -> None:
    named = b"Connection: X-Forwarded-For, X-Request-Id, Via, Host, X-Own"
    head = await told({}, named, b"X-Own: 1", upgrade=False)
    assert fields_of(head, b"x-forwarded-for") == [b"127.0.0.1"]
    assert fields_of(head, b"x-request-id")
    assert fields_of(head, b"via")
    assert fields_of(head, b"host") == [b"h"]
    assert fields_of(head, b"x-own") == []


# Whom it is for.


async def served(request: bytes, env: dict[str, str] | None = None) -> tuple[int, list[bytes]]:
    """The status of the answer to a request, and the heads that the server got."""
    heads: list[bytes] = []
    async with raw_server(answering(OK, heads)) as server, segue(server.url, env) as proxy:
        async with proxy.client() as peer:
            await peer.send(request)
            status = status_of((await peer.read_response())[0])
    return status, heads


HOSTS: Final = [
    *(b"", b"Host: \r\n", b"Host: a\r\nHost: b\r\n", b"Host: a\r\nhost: a\r\n", b"Host: a b\r\n"),
    *(b"Host: a/b\r\n", b"Host: a@b\r\n", b"Host: a,b\r\n", b"Host: a:99999\r\n", b"Host: a:x\r\n"),
    *(b"Host: a?b\r\n", b"Host: a#b\r\n", b"Host: [::1\r\n", b"Host: \xc3\xa4\r\n"),
    *(b"Host: http://a\r\n", b"Host: a\\b\r\n", b"Host: a%2fb\r\n", b"Host: a<b\r\n"),
]


async def test_request_without_one_valid_host_is_refused() -> None:
    heads: list[bytes] = []
    async with raw_server(answering(OK, heads)) as server, segue(server.url) as proxy:
        for host in HOSTS:
            response = await proxy.ask(b"GET / HTTP/1.1\r\n" + host + b"\r\n")
            assert status_of(response) == 400, host
            assert b"\r\nConnection: close\r\n" in response
    assert not heads


@pytest.mark.parametrize("host", [b"h", b"API.example:8080", b"[::1]:80", b"a_b.example."])
async def test_host_goes_on_as_it_came(host: bytes) -> None:
    status, (head,) = await served(b"GET / HTTP/1.1\r\nHost: " + host + b"\r\n\r\n")
    assert status == 200
    assert fields_of(head, b"host") == fields_of(head, b"x-forwarded-host") == [host]


async def test_authority_of_an_absolute_target_wins_over_host_and_chooses_no_server() -> None:
    status, (head,) = await served(
        b"GET http://elsewhere.example:81/x?y=/z HTTP/1.1\r\nHost: other.example\r\n\r\n"
    )
    assert status == 200
    assert head.startswith(b"GET /x?y=/z HTTP/1.1\r\n")
    assert fields_of(head, b"host") == [b"elsewhere.example:81"]
    assert fields_of(head, b"x-forwarded-host") == [b"elsewhere.example:81"]
    assert b"other.example" not in head


@pytest.mark.parametrize("target", [b"/", b"http://elsewhere.example/"])
async def test_name_of_the_server_is_not_the_clients_choice_where_it_is_configured(
    target: bytes,
) -> None:
    status, (head,) = await served(
        b"GET " + target + b" HTTP/1.1\r\nHost: elsewhere.example\r\n\r\n",
        {"SEGUE_UPSTREAM__PRESERVE_HOST": "false"},
    )
    assert status == 200
    assert fields_of(head, b"host")[0].startswith(b"127.0.0.1:")
    assert fields_of(head, b"x-forwarded-host") == [b"elsewhere.example"]


ELSEWHERE: Final = [
    *(b"http://user@elsewhere.example/", b"http://:80/", b"http:///x", b"http:/x", b"http:x"),
    *(b"ftp://elsewhere.example/", b"ws://elsewhere.example/", b"elsewhere.example:80"),
    *(b"elsewhere.example/x", b"?x", b"http://elsewhere.example\\@h/", b"http://a,b/"),
    *(b"http://elsewhere.example:99999/", b"http://[::1/", b"http://%65lsewhere.example/"),
    *(b"*", b"javascript:alert(1)", b"/#/x", b"\\\\elsewhere.example\\x"),
]


async def test_target_of_another_form_is_refused() -> None:
    heads: list[bytes] = []
    async with raw_server(answering(OK, heads)) as server, segue(server.url) as proxy:
        for target in ELSEWHERE:
            response = await proxy.ask(b"GET " + target + b" HTTP/1.1\r\nHost: h\r\n\r\n")
            assert status_of(response) == 400, target
    assert not heads


async def test_options_of_the_server_as_a_whole_go_through() -> None:
    status, (head,) = await served(b"OPTIONS * HTTP/1.1\r\nHost: h\r\n\r\n")
    assert status == 200
    assert head.startswith(b"OPTIONS * HTTP/1.1\r\n")


async def test_options_of_a_url_without_a_path_is_about_the_server_as_a_whole() -> None:
    status, (head,) = await served(b"OPTIONS http://elsewhere.example HTTP/1.1\r\nHost: h\r\n\r\n")
    assert status == 200
    assert head.startswith(b"OPTIONS * HTTP/1.1\r\n")
    assert fields_of(head, b"host") == [b"elsewhere.example"]


async def test_via_tells_the_server_that_the_client_speaks_http_1_0() -> None:
    status, (head,) = await served(b"GET / HTTP/1.0\r\n\r\n")
    assert status == 200
    assert fields_of(head, b"via") == [b"1.0 segue"]


@pytest.mark.parametrize(
    ("method", "told", "status", "forwarded"),
    [
        (b"OPTIONS", b"2", 200, [[b"1"]]),
        (b"TRACE", b"1", 200, [[b"0"]]),
        (b"OPTIONS", b"0", 200, []),
        (b"TRACE", b"0", 405, []),
        (b"OPTIONS", b"x", 400, []),
        (b"GET", b"0", 200, [[b"0"]]),
    ],
)
async def test_forwards_are_counted(
    method: bytes, told: bytes, status: int, forwarded: list[list[bytes]]
) -> None:
    request = method + b" /x HTTP/1.1\r\nHost: h\r\nMax-Forwards: " + told + b"\r\n\r\n"
    answered, heads = await served(request)
    assert answered == status
    assert [fields_of(head, b"max-forwards") for head in heads] == forwarded


async def test_options_that_goes_no_further_is_answered_with_what_is_allowed() -> None:
    request = b"OPTIONS * HTTP/1.1\r\nHost: h\r\nMax-Forwards: 0\r\n"
    async with raw_server(answering(OK)) as server, segue(server.url) as proxy:
        async with proxy.client() as peer:
            await peer.send(request + b"\r\n")
            head, body = await peer.read_response()
            assert b"GET" in fields_of(head, b"allow")[0]
            assert body == b""
            await peer.send(request + b"Content-Length: 5\r\n\r\n")
            head, _ = await peer.read_response()
            assert fields_of(head, b"connection") == [b"close"]
        assert server.connections == 0


async def test_connect_is_405_and_opens_no_tunnel() -> None:
    for target in (b"elsewhere.example:443", b"/"):
        heads: list[bytes] = []
        async with raw_server(answering(OK, heads)) as server, segue(server.url) as proxy:
            request = b"CONNECT " + target + b" HTTP/1.1\r\nHost: elsewhere.example:443\r\n\r\n"
            response = await proxy.ask(request + b"GET / HTTP/1.1\r\nHost: h\r\n\r\n")
            assert status_of(response) == 405
            assert b"\r\nConnection: close\r\n" in response
            assert response.count(b"\r\nX-Request-Id: ") == 1
        assert not heads


@pytest.mark.parametrize("upgrade", [b"h2c", b"HTTP/2.0", b"h2c, websocket", b"TLS/1.0", b"foo/2"])
async def test_upgrade_to_anything_but_websocket_is_never_forwarded(upgrade: bytes) -> None:
    heads: list[bytes] = []
    async with raw_server(answering(OK, heads)) as server, segue(server.url) as proxy:
        await proxy.ask(
            b"GET / HTTP/1.1\r\nHost: h\r\nConnection: Upgrade, HTTP2-Settings, close\r\n"
            b"Upgrade: " + upgrade + b"\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n\r\n"
        )
        await proxy.ask(
            b"GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n"
            b"HTTP2-Settings: AAMAAABkAAQAAP__\r\n\r\n"
        )
    for head in heads:
        assert b"h2c" not in head
        assert b"ettings" not in head
        assert fields_of(head, b"upgrade") in ([], [b"websocket"])


async def test_client_of_http_1_0_neither_upgrades_nor_waits_for_a_100() -> None:
    upgrade = handshake(b"/ws").replace(b" HTTP/1.1", b" HTTP/1.0", 1)
    status, (head,) = await served(
        upgrade.replace(b"\r\n\r\n", b"\r\nExpect: 100-continue\r\n\r\n")
    )
    assert status == 200
    assert fields_of(head, b"upgrade") == fields_of(head, b"expect") == []


# For what.


PATHS: Final = [
    *(b"/api/x/", b"/api/../api/x/", b"/api/./x/", b"/api/%78/", b"/api/x%2f", b"/api/%2e%2e/x/"),
    *(b"//api/x/", b"/api//x/", b"/api/x/;a", b"/API/x/", b"/api/x/%00", b"/api/x/\\..", b"///"),
    *(b"//elsewhere.example/api/x/", b"/http://elsewhere.example/api/x/", b"/api/x/%0d%0aX:%201"),
]

CONFIG: Final = """
upstream: {url: "http://127.0.0.1:1"}
versions: {default: "2"}
cohorts:
  - name: modern
    versions: ">=2"
    http:
      - {path: /api/x/, to_client: [renamed]}
"""

MAPPING: Final = """
name: renamed
description: What the route answers.
channel: http
direction: to_client
rules:
  - name: all
    match: {field: old, exists: true}
    do:
      - rename: {old: new}
    examples:
      - {in: {old: 1}, out: {new: 1}}
"""


async def test_a_rule_sees_the_bytes_of_the_path_that_the_server_sees(tmp_path: Path) -> None:
    (tmp_path / "mappings").mkdir()
    (tmp_path / "mappings" / "renamed.yaml").write_text(MAPPING)
    (tmp_path / "config.yaml").write_text(CONFIG)
    seen: list[bytes] = []

    async def script(peer: RawPeer) -> None:
        while True:
            seen.append((await peer.read_head()).split(b" ")[1])
            await peer.send(
                b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 9\r\n\r\n"
                b'{"old":1}'
            )

    config = tmp_path / "config.yaml"
    async with raw_server(script) as server, segue(server.url, config=config) as proxy:
        async with proxy.client() as peer:
            for path in PATHS:
                for prefix in (b"", b"http://h"):
                    await peer.send(b"GET " + prefix + path + b"?q HTTP/1.1\r\nHost: h\r\n\r\n")
                    _, body = await peer.read_response()
                    assert seen.pop() == path + b"?q"
                    assert bool(re.search(b'"new"', body)) is (path == b"/api/x/"), path
