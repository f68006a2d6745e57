"""A request whose body comes slowly is one of a session that may have ended meanwhile."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

import pytest

from proxy.sessions import service
from tests.support.authority import Authority, Client, authority, proxied
from tests.support.rig import RawPeer, Segue, segue, status_of

JOBS: Final = "/api/jobs/"
CONFIG: Final = """
upstream: {url: "http://127.0.0.1:1"}
versions: {default: "2"}
sessions: {enabled: true}
cohorts:
  - name: modern
    versions: ">=2"
    http: [{path: /api/jobs/, to_server: [in]}]
"""
IN: Final = """
name: in
description: What the new clients send.
channel: http
direction: to_server
rules:
  - name: prompt
    match: {field: text, exists: true}
    do:
      - rename: {text: prompt}
    examples:
      - {in: {text: a}, out: {prompt: a}}
"""


@asynccontextmanager
async def mapped(server: Authority, directory: Path) -> AsyncIterator[Segue]:
    """Segue with a mapping for what is posted, which holds it until it is whole."""
    (directory / "mappings").mkdir()
    (directory / "mappings/in.yaml").write_text(IN)
    (directory / "config.yaml").write_text(CONFIG)
    settings = {"SEGUE_STATE_DIR": str(directory), "SEGUE_SESSIONS__ENABLED": "true"}
    async with segue(server.url, settings, config=directory / "config.yaml") as proxy:
        yield proxy


async def begin(peer: RawPeer, client: Client) -> None:
    """Send a request but for the end of its body."""
    await peer.send(
        b"POST %b HTTP/1.1\r\nHost: app.example.com\r\nAuthorization: Bearer %b\r\n"
        b'Content-Type: application/json\r\nContent-Length: 13\r\n\r\n{"text":'
        % (JOBS.encode(), client.access.encode())
    )


async def end(proxy: Segue) -> None:
    """End all sessions, as an operator."""
    assert proxy.server._data.sessions is not None
    administration = proxy.server._data.sessions.administration
    assert await administration.end_all("7", "", "anna") == (1, "")


async def noticed(peer: RawPeer, proxy: Segue) -> None:
    """Return when Segue has the head of a request: an answer to a later one says so."""
    del peer
    assert await Client(proxy).get("/api/nothing/") == 401


@pytest.mark.parametrize("holds", [False, True], ids=["kept for a retry", "mapped"])
async def test_a_request_whose_session_ends_while_its_body_comes_goes_no_further(
    tmp_path: Path, holds: bool
) -> None:
    async with authority() as server:
        async with mapped(server, tmp_path) if holds else proxied(server, tmp_path) as proxy:
            client = Client(proxy)
            await client.log_in()
            async with proxy.client() as peer:
                await begin(peer, client)
                await noticed(peer, proxy)
                await end(proxy)
                await peer.send(b'"x" }')
                head, body = await peer.read_response()
            assert status_of(head) == 401
            assert b"session_ended" in body or b"token_not_valid" in body
            assert server.at(JOBS) == []


async def test_an_end_at_another_replica_is_one_for_it_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(service, "TRUST", 0.0)
    async with (
        authority() as server,
        proxied(server, tmp_path) as proxy,
        proxied(server, tmp_path) as other,
    ):
        client = Client(proxy)
        await client.log_in()
        async with proxy.client() as peer:
            await begin(peer, client)
            await noticed(peer, proxy)
            await end(other)
            await peer.send(b'"x" }')
            head, _ = await peer.read_response()
        assert status_of(head) == 401
        assert server.at(JOBS) == []


async def test_a_request_whose_session_goes_on_goes_on_with_its_body(tmp_path: Path) -> None:
    async with authority() as server, proxied(server, tmp_path) as proxy:
        client = Client(proxy)
        await client.log_in()
        async with proxy.client() as peer:
            await begin(peer, client)
            await noticed(peer, proxy)
            await peer.send(b'"x" }')
            head, _ = await peer.read_response()
        assert status_of(head) == 200
        (received,) = server.at(JOBS)
        assert received.body == b'{"text":"x" }'
