"""The fields that a server's refresh route needs: remembered of the client, for Segue's own."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from proxy.sessions import renewals
from tests.support.authority import Authority, Client, Received, authority, proxied, response
from tests.support.rig import RawPeer, Segue
from tests.support.sockets import fields_of, handshake, status_of
from tests.support.storages import store_at

REFRESH = "/api/auth/token/refresh/"
SHORT = 0.3
CARRY = {"SESSIONS__CARRY": "[X-Tenant-Id, X-Device]"}
ACME = b"X-Tenant-Id: acme"


async def tenanted(server: Authority, _: RawPeer, received: Received) -> bytes | None:
    """Refreshes for nobody who does not say of which tenant."""
    if not fields_of(received.head, b"x-tenant-id"):
        return response(400, b'{"detail": "no tenant"}')
    return server.usual(received)


def tenants(server: Authority) -> list[list[bytes]]:
    return [fields_of(each.head, b"x-tenant-id") for each in server.at(REFRESH)]


async def logged_in(proxy: Segue, *fields: bytes) -> Client:
    client = Client(proxy, fields=fields)
    await client.log_in()
    client.fields = ()
    return client


@pytest.mark.parametrize("restarts", [False, True])
async def test_a_refresh_goes_with_the_field_of_the_login(tmp_path: Path, restarts: bool) -> None:
    """Case 22: Segue's own, for a request that does not bring it."""
    async with authority(access=SHORT, answers={REFRESH: tenanted}) as server:
        async with proxied(server, tmp_path, **CARRY) as proxy:
            client = await logged_in(proxy, ACME)
            if not restarts:
                await asyncio.sleep(SHORT)
                server.access = 3600
                assert await client.get() == 200
        if restarts:
            async with proxied(server, tmp_path, **CARRY) as proxy:
                client.proxy = proxy
                await asyncio.sleep(SHORT)
                server.access = 3600
                assert await client.get() == 200
        assert tenants(server) == [[b"acme"]]
        assert fields_of(server.at(REFRESH)[0].head, b"x-device") == []


async def test_a_refresh_goes_with_nothing_that_is_not_named(tmp_path: Path) -> None:
    async with authority(access=SHORT) as server, proxied(server, tmp_path) as proxy:
        client = await logged_in(proxy, ACME)
        await asyncio.sleep(SHORT)
        server.access = 3600
        client.fields = (ACME,)
        assert await client.get() == 200
        assert tenants(server) == [[]]


async def test_the_last_request_that_the_server_has_taken_counts(tmp_path: Path) -> None:
    async with authority() as server, proxied(server, tmp_path, **CARRY) as proxy:
        client = await logged_in(proxy, ACME, b"X-Device: 1")
        client.fields = (b"x-tenant-id: other",)
        assert await client.get() == 200
        server.revoked.add(client.access)
        assert await client.get() == 200
        assert tenants(server) == [[b"other"]]
        assert fields_of(server.at(REFRESH)[0].head, b"x-device") == [b"1"]


@pytest.mark.parametrize("status", [400, 401, 403, 404, 500])
async def test_one_request_with_a_stolen_token_chooses_no_tenant_for_its_owner(
    tmp_path: Path, status: int
) -> None:
    async def refuse(server: Authority, _: RawPeer, received: Received) -> bytes | None:
        mine = fields_of(received.head, b"x-tenant-id") != [b"evil"]
        return server.usual(received) if mine else response(status)

    async with (
        authority(answers={"/api/jobs/": refuse, "/ws/jobs/": refuse}) as server,
        proxied(server, tmp_path, **CARRY) as proxy,
    ):
        client = await logged_in(proxy, ACME)
        thief = Client(proxy, client.access, fields=(b"X-Tenant-Id: evil",))
        assert await thief.get() == status
        async with proxy.client() as peer:
            asked = handshake(f"/ws/jobs/?token={client.access}".encode())
            await peer.send(asked.replace(b"\r\n\r\n", b"\r\nX-Tenant-Id: evil\r\n\r\n"))
            assert status_of(await peer.read_head()) == status
        server.revoked.add(client.access)
        assert await client.get() == 200
        assert tenants(server) == [[b"acme"]]


async def test_a_refresh_that_was_refused_chooses_no_tenant_either(tmp_path: Path) -> None:
    async def refuse(server: Authority, _: RawPeer, received: Received) -> bytes | None:
        mine = fields_of(received.head, b"x-tenant-id") != [b"evil"]
        return server.usual(received) if mine else response(400, b'{"detail": "no such tenant"}')

    async with (
        authority(answers={REFRESH: refuse}) as server,
        proxied(server, tmp_path, **CARRY) as proxy,
    ):
        client = await logged_in(proxy, ACME)
        client.fields = (b"X-Tenant-Id: evil",)
        assert (await client.exchange())[0] == 400
        client.fields = ()
        server.revoked.add(client.access)
        assert await client.get() == 200
        assert tenants(server) == [[b"evil"], [b"acme"]]


async def test_a_websocket_goes_with_what_was_sent_before_it(tmp_path: Path) -> None:
    async with authority(access=SHORT) as server, proxied(server, tmp_path, **CARRY) as proxy:
        client = await logged_in(proxy, ACME)
        await asyncio.sleep(SHORT)
        server.access = 3600
        async with proxy.client() as peer:
            await peer.send(handshake(f"/ws/jobs/?token={client.access}".encode()))
            assert status_of(await peer.read_head()) == 101
        assert tenants(server) == [[b"acme"]]


@pytest.mark.parametrize("pause", [0.0, 3600.0])
async def test_what_is_remembered_is_written_and_not_with_each_request(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pause: float
) -> None:
    monkeypatch.setattr(renewals, "_REMEMBERED", pause)
    async with authority() as server:
        async with proxied(server, tmp_path, **CARRY) as proxy:
            client = await logged_in(proxy)
            store = store_at(f"sqlite:{tmp_path / 'sessions.sqlite3'}")
            sessions = proxy.server._data.sessions
            assert sessions is not None
            for tenant in (b"a", b"b", b"b"):
                client.fields = (b"X-Tenant-Id: " + tenant,)
                assert await client.get() == 200
                assert await sessions.drain(30)
            (record,) = (await store.sessions(user=None, after="", limit=1)).records
            await store.close()
            assert record.revision == (3 if pause == 0.0 else 2)
            assert b"X-Tenant-Id" not in record.carried
        # What was not written is not known to others.
        async with proxied(server, tmp_path, **CARRY) as proxy:
            client.proxy, client.fields = proxy, ()
            server.revoked.add(client.access)
            assert await client.get() == 200
            assert tenants(server) == [[b"b" if pause == 0.0 else b"a"]]


async def test_a_clients_own_refresh_is_remembered_too_and_has_only_its_own_fields(
    tmp_path: Path,
) -> None:
    async with authority(access=SHORT) as server, proxied(server, tmp_path, **CARRY) as proxy:
        client = await logged_in(proxy, b"X-Device: 1")
        client.fields = (ACME,)
        _, pair = await client.exchange()
        client = Client(proxy, pair["access"])
        await asyncio.sleep(SHORT)
        server.access = 3600
        assert await client.get() == 200
        assert tenants(server) == [[b"acme"], [b"acme"]]
        devices = [fields_of(each.head, b"x-device") for each in server.at(REFRESH)]
        assert devices == [[], [b"1"]]
