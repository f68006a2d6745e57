"""Requests that a server reads in another way than Segue are not taken for what they look like."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.support.authority import Client, authority, proxied
from tests.support.rig import Segue
from tests.support.sockets import fields_of

LOGIN = "/api/auth/login/"
LOGOUT = "/api/auth/logout/"
REFRESH = "/api/auth/token/refresh/"
JOBS = "/api/jobs/"
SHORT = 0.3


async def logged_in(proxy: Segue) -> Client:
    client = Client(proxy)
    await client.log_in()
    return client


def detail(body: bytes) -> str:
    return str(json.loads(body)["detail"])


@pytest.mark.parametrize("path", [JOBS, LOGIN, LOGOUT, REFRESH, "/ws/jobs/1/"])
@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize("other", [b"Bearer x", b"Basic YTpi", b""])
async def test_several_credentials_are_refused(
    tmp_path: Path, path: str, method: str, other: bytes
) -> None:
    async with authority() as server, proxied(server, tmp_path) as proxy:
        client = await logged_in(proxy)
        server.received.clear()
        status, _, body = await client.send(
            method, path, b"{}" if method == "POST" else None, b"Authorization: " + other
        )
        assert (status, detail(body)) == (400, "there are several Authorization fields")
        assert server.received == []
        assert await client.get() == 200


HIDING = (
    b"Basic YTpi, Bearer %b",
    b"Bearer x, Bearer %b",
    b"Bearer %b, x",
    b"bearer\xa0%b",
    b"Bearer\xc2\xa0%b",
    b'Bearer "%b"',
    b"Bearer%b",
    b'Digest realm="x, Bearer %b"',
)
"""How a token may stand in `Authorization` so that servers read it: flask-jwt-extended takes of
several the one with its scheme, Python's `split` knows more white space than ASCII's, and many a
server cuts the scheme off without a look at it."""


@pytest.mark.parametrize("path", [JOBS, LOGIN, LOGOUT, REFRESH, "/ws/jobs/1/"])
async def test_a_token_that_is_hidden_among_credentials_goes_no_further(
    tmp_path: Path, path: str
) -> None:
    async with authority() as server, proxied(server, tmp_path) as proxy:
        client = await logged_in(proxy)
        server.received.clear()
        for hiding in HIDING:
            line = b"Authorization: " + hiding % client.access.encode()
            status, _, body = await client.send("POST", path, b"{}", line, access="")
            assert (status, client.access in body.decode()) == (400, False), hiding
            assert "one scheme and one token" in detail(body)
        assert server.received == []


async def test_other_credentials_reach_the_server_as_they_are(tmp_path: Path) -> None:
    async with authority() as server, proxied(server, tmp_path) as proxy:
        client = await logged_in(proxy)
        for credentials in (
            b"Basic YmVhcmVyOmJlYXJlcg==",
            b'Digest username="bearer", realm="Bearer", uri="/a.b.c/", response="6629fae49393a05"',
            b"Bearer",
            b"Bearer null",
            b"Bearer 1|LcTqEKLPm5zTZN",
            b"Bearer a b",
        ):
            line = b"Authorization: " + credentials
            assert (await client.send("GET", JOBS, None, line, access=""))[0] == 401
            assert fields_of(server.received[-1].head, b"authorization") == [credentials]


async def test_trace_is_not_forwarded(tmp_path: Path) -> None:
    async with authority() as server, proxied(server, tmp_path) as proxy:
        client = await logged_in(proxy)
        server.received.clear()
        for hops in ((), (b"Max-Forwards: 5",), (b"Max-Forwards: 0",)):
            status, head, _ = await client.send("TRACE", JOBS, None, *hops)
            assert status == 405
            assert b"TRACE" not in fields_of(head, b"allow")[0]
        assert server.received == []


REWRITING = (
    b"Daphne-Root-Path",
    b"SCRIPT_NAME",
    b"Script-Name",
    b"script_name",
    b"X-Script-Name",
    b"X_SCRIPT_NAME",
    b"x-script_name",
    b"PATH_INFO",
    b"Path-Info",
    b"X-Original-URL",
    b"X_Original_Url",
    b"X-Rewrite-URL",
)


def rewriting_in(head: bytes) -> list[bytes]:
    names = [line.partition(b":")[0] for line in head.split(b"\r\n")[1:]]
    return [name for name in names if name in REWRITING]


async def test_fields_that_rewrite_the_path_do_not_reach_the_server(tmp_path: Path) -> None:
    async with authority() as server, proxied(server, tmp_path) as proxy:
        client = await logged_in(proxy)
        server.received.clear()
        lines = [name + b": " + LOGOUT.encode() for name in REWRITING]
        assert (await client.send("POST", JOBS, b"{}", *lines))[0] == 200
        assert (await client.send("GET", JOBS, None, *lines, b"X-Odd: 1"))[0] == 200
        assert [rewriting_in(each.head) for each in server.received] == [[], []]
        assert fields_of(server.received[1].head, b"x-odd") == [b"1"]


async def test_some_of_them_can_be_kept(tmp_path: Path) -> None:
    kept = {"SESSIONS__KEEP_FIELDS": "[X-Script-Name]"}
    async with authority() as server, proxied(server, tmp_path, **kept) as proxy:
        client = await logged_in(proxy)
        lines = [name + b": /x" for name in REWRITING]
        assert (await client.send("GET", JOBS, None, *lines))[0] == 200
        assert rewriting_in(server.received[-1].head) == [
            b"X-Script-Name",
            b"X_SCRIPT_NAME",
            b"x-script_name",
        ]


async def test_a_proxy_that_is_trusted_may_send_them(tmp_path: Path) -> None:
    trusted = {"LISTEN__TRUSTED_PROXIES": "[127.0.0.1, '::1']"}
    async with authority() as server, proxied(server, tmp_path, **trusted) as proxy:
        client = await logged_in(proxy)
        await client.send("GET", JOBS, None, b"X-Script-Name: /x")
        assert rewriting_in(server.received[-1].head) == [b"X-Script-Name"]


@pytest.mark.parametrize(
    "name",
    [b"X-HTTP-Method-Override", b"X_HTTP_METHOD_OVERRIDE", b"X-Method-Override", b"X-HTTP-Method"],
)
async def test_no_field_overrides_the_method_of_a_request_for_tokens(
    tmp_path: Path, name: bytes
) -> None:
    async with authority() as server, proxied(server, tmp_path) as proxy:
        client = await logged_in(proxy)
        server.received.clear()
        body = json.dumps({"refresh": client.refresh}).encode()
        for method in ("GET", "PUT", "POST"):
            for path in (LOGIN, LOGOUT, REFRESH, "/api//auth/logout/"):
                status, _, _ = await client.send(method, path, body, name + b": POST")
                assert status == 400
        assert server.received == []
        assert (await client.send("POST", JOBS, b"{}", name + b": PATCH"))[0] == 200
        assert fields_of(server.received[0].head, name.lower()) == [b"PATCH"]


@pytest.mark.parametrize("path", [LOGIN, LOGOUT, REFRESH])
async def test_a_path_that_a_server_may_read_as_a_route_of_tokens_is_refused(
    tmp_path: Path, path: str
) -> None:
    async with authority() as server, proxied(server, tmp_path) as proxy:
        client = await logged_in(proxy)
        server.received.clear()
        body = json.dumps({"refresh": client.refresh}).encode()
        for spelled in (
            "/" + path,
            path.replace("/auth", "/./auth"),
            "/x/.." + path,
            path[:-1] + ";a=b/",
            path.upper(),
            path.replace("auth", "a%2575th"),
            path.replace("/auth", "\\auth"),
            path[:-1],
            path + "%00",
            path + "?a=b&c=/d",
        ):
            status, _, answer = await client.send("POST", spelled, body)
            if "?" in spelled:
                assert status in (200, 205)
                continue
            assert status == 400, spelled
            assert "`sessions.paths`" in detail(answer)
        assert len(server.received) == 1
        for other in (path + "more/", "/v1" + path, path[:-1] + "-all/"):
            assert (await client.send("POST", other, body, access=""))[0] == 401
            assert server.received[-1].path == other
        assert (await client.send("GET", "/" + path, access=""))[0] == 401
