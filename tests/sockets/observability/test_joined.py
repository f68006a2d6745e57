"""Lines of requests can be joined with those of the proxy in front and of the server behind."""

from __future__ import annotations

import json
from ipaddress import ip_network
from typing import Any

import pytest

from proxy.downstream.limits import client_address
from tests.support.authority import Client, authority, proxied
from tests.support.rig import Segue, answering, raw_server, segue
from tests.support.sockets import fields_of

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
TRUSTED = {"SEGUE_LISTEN__TRUSTED_PROXIES": "[127.0.0.0/8, 10.0.0.0/8]"}


def lines(proxy: Segue, event: str) -> list[dict[str, Any]]:
    found = [json.loads(line) for line in proxy.log.getvalue().splitlines()]
    return [line for line in found if line["event"] == event]


async def asked(settings: dict[str, str], *fields: bytes) -> tuple[dict[str, Any], bytes]:
    """The line of a request with these fields, and the head that the server got."""
    heads: list[bytes] = []
    async with (
        raw_server(answering(OK, heads)) as upstream,
        segue(upstream.url, settings, level="info") as proxy,
    ):
        head = [b"GET / HTTP/1.1", b"Host: h", b"Connection: close", *fields, b"\r\n"]
        await proxy.ask(b"\r\n".join(head))
        (line,) = lines(proxy, "request")
    return line, heads[0]


async def test_behind_a_trusted_proxy_its_request_id_is_the_one_everywhere() -> None:
    line, head = await asked(
        TRUSTED, b"X-Request-Id: from-the-edge", b"X-Forwarded-For: 6.6.6.6, 192.0.2.7, 10.0.0.3"
    )
    assert line["request_id"] == "from-the-edge"
    assert fields_of(head, b"x-request-id") == [b"from-the-edge"]
    assert (line["client"], line["peer"]) == ("192.0.2.7", "127.0.0.1")


@pytest.mark.parametrize(
    "settings", [TRUSTED, {}], ids=["of a trusted proxy, and odd", "of anybody"]
)
@pytest.mark.parametrize(
    "odd",
    [b"two words", b"x" * 129, b"eyJhbGciOiJIUzI1NiJ9.e30.c2VjcmV0", b"caf\xe9"],
    ids=["space", "long", "token", "byte"],
)
async def test_the_server_gets_the_request_id_of_the_line_whatever_came(
    settings: dict[str, str], odd: bytes
) -> None:
    line, head = await asked(settings, b"X-Request-Id: " + odd)
    assert fields_of(head, b"x-request-id") == [line["request_id"].encode()]
    assert line["request_id"].encode() != odd


async def test_whom_nobody_trusts_says_nothing_of_the_client() -> None:
    line, _ = await asked({}, b"X-Forwarded-For: 192.0.2.7", b"X-Request-Id: mine")
    assert "client" not in line
    assert line["request_id"] != "mine"


@pytest.mark.parametrize(
    ("forwarded", "client"),
    [
        ("", ""),
        ("192.0.2.7", "192.0.2.7"),
        ("192.0.2.7:4711", "192.0.2.7"),
        ("[2001:db8::1]:80", "2001:db8::1"),
        ("2001:db8::1", "2001:db8::1"),
        ("1.1.1.1, 192.0.2.7, 10.0.0.1", "192.0.2.7"),
        ("10.0.0.2, 10.0.0.1", "10.0.0.2"),
        ("unknown", ""),
        ("evil\x1b[31m, 10.0.0.1", "10.0.0.1"),
        ("1.1.1.1," * 10_000 + "10.0.0.1", "1.1.1.1"),
        ("10.0.0.1," * 10_000 + "10.0.0.1", "10.0.0.1"),
    ],
    ids=[
        *("none", "one", "with port", "IPv6 with port", "IPv6", "the last untrusted"),
        *("all trusted", "no address", "hostile", "long", "long and trusted"),
    ],
)
def test_the_client_is_the_last_address_that_is_no_trusted_proxy(
    forwarded: str, client: str
) -> None:
    assert client_address([ip_network("10.0.0.0/8")], forwarded) == client


async def test_version_and_user_agent_are_told_short_and_sanitised() -> None:
    line, _ = await asked({}, b"X-Client-Version: beta\xe9", b"User-Agent: App/1 " + b"x" * 5000)
    assert line["version"] == "beta?"
    assert line["version_source"] == "unreadable"
    assert line["user_agent"].startswith("App/1 xxx")
    assert len(line["user_agent"]) == 120


@pytest.mark.parametrize("subjects", [True, False])
async def test_the_session_is_told_and_its_user_where_that_is_allowed(
    tmp_path: Any, subjects: bool
) -> None:
    async with (
        authority() as server,
        proxied(server, tmp_path, **({"LOG__SUBJECTS": "true"} if subjects else {})) as proxy,
    ):
        server.user = "anna"
        client = Client(proxy)
        await client.log_in()
        await client.get()
        line = lines(proxy, "request")[-1]
    assert line["session"]
    assert line.get("subject") == ("anna" if subjects else None)
