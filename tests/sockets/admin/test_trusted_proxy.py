"""An authenticating proxy that says who its user is: a raw one, that forwards byte for byte."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.support.administered import (
    OPERATOR,
    TOKENS,
    UNKNOWN,
    Administered,
    Answer,
    administered,
    bearer,
)
from tests.support.rig import RawPeer, raw_server, status_of

SECTION: dict[str, Any] = {
    "tokens": TOKENS,
    "hosts": ["segue.example"],
    "trusted_proxies": ["127.0.0.0/8"],
    "trusted_user_header": "X-Forwarded-User",
    "users": {"anna@example.com": "operator", "ben": "viewer"},
}


@asynccontextmanager
async def behind(
    directory: Path, *added: str, **section: Any
) -> AsyncIterator[tuple[Administered, str]]:
    """Segue behind a proxy that adds these fields to each request; the proxy's address."""
    async with administered(directory, **(section or SECTION)) as running:

        async def forward(peer: RawPeer) -> None:
            head = await peer.read_head()
            onward = RawPeer(*await asyncio.open_connection(*running.place))
            fields = "".join(f"{field}\r\n" for field in added).encode()
            await onward.send(head[:-2] + fields + b"\r\n")
            await peer.send(await onward.read_all())
            await onward.close()

        async with raw_server(forward) as proxy:
            yield running, proxy.url.removeprefix("http://")


async def ask(address: str, *fields: str) -> int:
    host, _, port = address.rpartition(":")
    peer = RawPeer(*await asyncio.open_connection(host, int(port)))
    lines = [
        "GET /api/v1/sessions HTTP/1.1",
        "Host: segue.example",
        "Connection: close",
        *fields,
        "",
        "",
    ]
    await peer.send("\r\n".join(lines).encode())
    answer = await peer.read_all()
    await peer.close()
    return status_of(answer)


async def test_user_that_the_proxy_names_has_the_role_that_is_listed(tmp_path: Path) -> None:
    async with behind(tmp_path, "X-Forwarded-User: anna@example.com") as (running, proxy):
        # What such a proxy passes on of its own dealings with the user is not Segue's.
        for fields in ((), ("Authorization: Basic YW5uYTpz",), ("Cookie: _oauth2_proxy=x",)):
            assert await ask(proxy, *fields) == 404
        assert {
            (line["author"], line["by"], line["role"]) for line in running.lines("admin request")
        } == {("anna@example.com", "proxy", "operator")}
        order = await running.ask(
            "/api/v1/sessions/end", "X-Forwarded-User: ben", method="POST", body="{}"
        )
        assert (order.status, "ben (proxy) has the role viewer" in order.detail) == (403, True)


@pytest.mark.parametrize("user", ["carl", "Anna@example.com", "anna@example.com, ben"])
async def test_unlisted_user_has_none(tmp_path: Path, user: str) -> None:
    async with behind(tmp_path, f"X-Forwarded-User: {user}") as (running, proxy):
        assert await ask(proxy) == 403
        (line,) = running.lines("admin request refused")
        assert "admin.users" in line["reason"]


async def test_proxy_that_adds_to_what_its_client_has_written_is_not_believed(
    tmp_path: Path,
) -> None:
    async with behind(tmp_path, "X-Forwarded-User: ben") as (_, proxy):
        assert await ask(proxy) == 404
        assert await ask(proxy, "X-Forwarded-User: anna@example.com") == 400
        assert await ask(proxy, "x-forwarded-USER: ben") == 400
        # Look-alikes, as CGI and WSGI take them for the same.
        assert await ask(proxy, "X_Forwarded_User: anna@example.com") == 404


async def test_proxy_that_names_nobody_lets_nobody_in(tmp_path: Path) -> None:
    async with behind(tmp_path) as (_, proxy):
        assert await ask(proxy) == 401
        assert await ask(proxy, "X_Forwarded_User: ben") == 401
        # A token comes through it as through any other.
        assert await ask(proxy, bearer(OPERATOR)) == 404
        assert await ask(proxy, bearer(UNKNOWN)) == 401


async def test_proxy_elsewhere_is_not_believed_and_stops_being_by_a_reload(
    tmp_path: Path,
) -> None:
    async with behind(tmp_path, "X-Forwarded-User: ben") as (running, proxy):
        assert await ask(proxy) == 404
        await running.reload(**SECTION | {"trusted_proxies": ["192.0.2.0/24"]})
        assert await ask(proxy) == 401
        await running.reload(**SECTION | {"trusted_user_header": "X-Remote-User"})
        assert await ask(proxy) == 401
        await running.reload(**SECTION | {"users": {"ben": "metrics"}})
        assert await ask(proxy) == 403


async def test_page_of_another_site_gets_nothing_in_the_users_name(tmp_path: Path) -> None:
    async with behind(tmp_path, "X-Forwarded-User: anna@example.com") as (_, proxy):
        assert await ask(proxy, "Origin: https://segue.example") == 404
        assert await ask(proxy, "Origin: https://evil.example") == 403
        assert await ask(proxy, "Sec-Fetch-Site: cross-site") == 403


async def test_everybody_who_comes_from_there_is_believed(tmp_path: Path) -> None:
    """The price of trust in an address, which the documents name."""
    async with administered(tmp_path, **SECTION) as running:
        answer: Answer = await running.ask("/api/v1/sessions", "X-Forwarded-User: ben")
        assert answer.status == 404
