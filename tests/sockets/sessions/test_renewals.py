"""Renewal: once for all who wait, at most twice for one token, and never the end by mistake."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable
from dataclasses import replace
from pathlib import Path

import pytest

from proxy.sessions import presenting
from tests.support.authority import (
    Authority,
    Client,
    Gate,
    LaterClock,
    Received,
    authority,
    proxied,
    refreshes,
    response,
)
from tests.support.rig import RawPeer, Segue
from tests.support.storages import store_at
from tests.support.waiting import PATIENCE

REFRESH = "/api/auth/token/refresh/"
SHORT = 0.3
"""Seconds that an access token lives where it is to end."""


async def ended(client: Client) -> Client:
    await asyncio.sleep(SHORT)
    return client


async def logged_in(proxy: Segue) -> Client:
    client = Client(proxy)
    await client.log_in()
    return client


async def lease_waits(*proxies: Segue) -> float:
    return sum([await proxy.metric("segue_session_lease_waits_total") for proxy in proxies])


async def eventually(client: Client, status: int) -> None:
    """Ask until the answer is this one, as a client that is told to come back does."""
    async with asyncio.timeout(PATIENCE):
        while await client.get() != status:  # noqa: ASYNC110 (as a client would)
            await asyncio.sleep(0.05)


@pytest.fixture
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """Failures are forgotten quickly."""
    monkeypatch.setattr(presenting, "_FIRST_PAUSE", 0.05)
    monkeypatch.setattr(presenting, "_UNKNOWN_PAUSE", 0.05)
    monkeypatch.setattr(presenting, "_SECOND_LOOKS", (0.0, 0.01, 0.01, 0.01))


async def test_a_token_near_its_end_is_renewed_on_a_fresh_connection(tmp_path: Path) -> None:
    async with authority(access=SHORT) as server, proxied(server, tmp_path) as proxy:
        client = await ended(await logged_in(proxy))
        server.access = 3600
        assert [await client.get() for _ in range(3)] == [200, 200, 200]
        (exchange,) = server.at(REFRESH)
        assert exchange.connection not in {
            each.connection for each in server.received if each.path != REFRESH
        } - {server.received[-1].connection}
        assert {each.token for each in server.at("/api/jobs/")} != {client.access}
        assert server.presented() == [client.refresh]
        assert await refreshes(proxy) == {("expiry", "renewed"): 1}


async def test_a_refresh_says_whom_it_is_for(tmp_path: Path) -> None:
    async with authority(access=SHORT) as server, proxied(server, tmp_path) as proxy:
        client = await ended(await logged_in(proxy))
        await client.get()
        head = server.at(REFRESH)[0].head
        assert b"\r\nHost: app.example.com\r\n" in head
        assert b"\r\nX-Forwarded-For: 127.0.0.1\r\n" in head
        assert b"Authorization" not in head


async def test_waiters_time_out_alone_and_the_refresh_goes_on(tmp_path: Path) -> None:
    gate = Gate()
    async with (
        authority(access=SHORT, answers={REFRESH: gate}) as server,
        proxied(server, tmp_path, SESSIONS__WAIT="100ms") as proxy,
    ):
        client = await ended(await logged_in(proxy))
        server.access = 3600
        status, head, _ = await client.send("GET", "/api/jobs/")
        assert status == 503
        assert b"\r\nRetry-After: " in head
        gate.open.set()
        await eventually(client, 200)
        assert len(server.presented()) == 1


async def test_a_client_that_goes_takes_no_refresh_with_it(tmp_path: Path) -> None:
    gate = Gate()
    async with (
        authority(access=SHORT, answers={REFRESH: gate}) as server,
        proxied(server, tmp_path) as proxy,
    ):
        client = await ended(await logged_in(proxy))
        server.access = 3600
        peer = await proxy.connect()
        await peer.send(
            b"GET /api/jobs/ HTTP/1.1\r\nHost: app.example.com\r\nAuthorization: Bearer "
            + client.access.encode()
            + b"\r\n\r\n"
        )
        await gate.reached.wait()
        peer.reset()
        waiting = asyncio.create_task(client.get())
        gate.open.set()
        assert await waiting == 200
        assert len(server.presented()) == 1


async def test_a_drain_waits_for_the_refresh_under_way(tmp_path: Path) -> None:
    gate = Gate()
    async with authority(access=SHORT, answers={REFRESH: gate}) as server:
        async with proxied(server, tmp_path, SESSIONS__WAIT="50ms") as proxy:
            client = await ended(await logged_in(proxy))
            assert await client.get() == 503
            drain = asyncio.create_task(proxy.server.drain())
            await asyncio.sleep(0.05)
            assert not drain.done()
            gate.open.set()
            assert await drain
        server.access = 3600
        async with proxied(server, tmp_path) as again:
            client.proxy = again
            assert await client.get() == 200
        assert server.presented()[0] == client.refresh
        assert len(set(server.presented())) == len(server.presented())


@pytest.mark.usefixtures("soon")
@pytest.mark.parametrize("status", [400, 403, 429, 503])
async def test_an_answer_that_is_no_refusal_of_the_token_ends_nothing(
    tmp_path: Path, status: int
) -> None:
    async def fail(_: Authority, __: RawPeer, ___: Received) -> bytes | None:
        return response(status, b'{"detail": "no", "code": "throttled"}')

    async with authority(access=SHORT, answers={REFRESH: fail}) as server:
        async with proxied(server, tmp_path) as proxy:
            client = await ended(await logged_in(proxy))
            for _ in range(3):
                assert await client.get() == 503
                await asyncio.sleep(0.06)
            server.access = 3600
            server.answers.clear()
            await eventually(client, 200)
            assert set(server.presented()) == {client.refresh}
            results = await refreshes(proxy)
            assert results["expiry", "renewed"] == 1
            assert results["expiry", "unavailable"] >= 2


@pytest.mark.usefixtures("soon")
async def test_which_answers_are_refusals_can_be_set_and_the_log_says_so(tmp_path: Path) -> None:
    async def forbid(_: Authority, __: RawPeer, ___: Received) -> bytes | None:
        return response(403, b'{"message":"Forbidden"}')

    def told(proxy: Segue) -> list[str]:
        lines = proxy.log.getvalue().splitlines()
        return [line for line in lines if "add it to sessions.refused" in line]

    async with authority(access=SHORT, answers={REFRESH: forbid}) as server:
        async with proxied(server, tmp_path) as proxy:
            client = await ended(await logged_in(proxy))
            assert await client.get() == 503
            await asyncio.sleep(0.06)
            assert await client.get() == 503
            assert len(server.presented()) == 2
            (line,) = told(proxy)
            assert '"status": 403' in line
        async with proxied(server, tmp_path, SESSIONS__REFUSED__STATUSES="[401, 403]") as proxy:
            client.proxy = proxy
            assert [await client.get() for _ in range(2)] == [401, 401]
            assert len(server.presented()) == 3
            assert await refreshes(proxy) == {("expiry", "refused"): 1}
            assert told(proxy) == []


@pytest.mark.usefixtures("soon")
@pytest.mark.parametrize(
    "refusal",
    [
        (401, b""),
        (401, b"{}"),
        (400, b'{"code":"token_not_valid"}'),
        (400, b'{"error":"invalid_grant"}'),
        (403, b'{"error":{"code":"invalid_grant"}}'),
    ],
)
async def test_a_definite_refusal_closes_the_session_and_segue_does_not_ask_again(
    tmp_path: Path, refusal: tuple[int, bytes]
) -> None:
    async def refuse(_: Authority, __: RawPeer, ___: Received) -> bytes | None:
        return response(*refusal)

    async with authority(access=SHORT, answers={REFRESH: refuse}) as server:
        async with proxied(server, tmp_path) as proxy:
            client = await ended(await logged_in(proxy))
            assert [await client.get() for _ in range(3)] == [401] * 3
            assert server.presented() == [client.refresh]
            assert server.at("/api/jobs/")[-1].token == client.access
            assert await refreshes(proxy) == {("expiry", "refused"): 1}
        # And another process knows it too.
        async with proxied(server, tmp_path) as again:
            client.proxy = again
            assert await client.get() == 401
            assert server.presented() == [client.refresh]
            # Who asks by itself gets the server's own answer.
            _, _, body = await client.send(
                "POST", REFRESH, json.dumps({"refresh": client.refresh}).encode()
            )
            assert body == refusal[1]
            assert server.presented() == [client.refresh] * 2
            assert await client.get() == 401


@pytest.mark.usefixtures("soon")
async def test_a_lost_answer_is_asked_for_once_more_and_no_third_time(tmp_path: Path) -> None:
    async def lose(_: Authority, __: RawPeer, ___: Received) -> bytes | None:
        return None

    async with authority(access=SHORT, answers={REFRESH: lose}) as server:
        async with proxied(server, tmp_path) as proxy:
            client = await ended(await logged_in(proxy))
            assert await client.get() == 503
            # The server's own refusal of the token that the client holds.
            await eventually(client, 401)
            assert server.presented() == [client.refresh] * 2
            assert await refreshes(proxy) == {("expiry", "unknown"): 2, ("expiry", "lost"): 1}


@pytest.mark.usefixtures("soon")
async def test_a_token_whose_answer_was_lost_is_good_where_the_server_never_took_it(
    tmp_path: Path,
) -> None:
    async def lose_once(server: Authority, _: RawPeer, __: Received) -> bytes | None:
        server.answers.clear()
        return None

    async with authority(access=SHORT, answers={REFRESH: lose_once}) as server:
        async with proxied(server, tmp_path) as proxy:
            client = await ended(await logged_in(proxy))
            server.access = 3600
            assert await client.get() == 503
            await eventually(client, 200)
            assert server.presented() == [client.refresh] * 2


@pytest.mark.usefixtures("soon")
async def test_while_renewal_fails_a_token_that_is_still_valid_is_used_as_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = LaterClock(monkeypatch)

    async def fail(_: Authority, __: RawPeer, ___: Received) -> bytes | None:
        return response(503)

    async with authority(access=1000, answers={REFRESH: fail}) as server:
        async with proxied(server, tmp_path) as proxy:
            client = await logged_in(proxy)
            clock.ahead = 850  # In its last fifth.
            assert await client.get() == 200
            assert len(server.presented()) == 1
            assert server.at("/api/jobs/")[-1].token == client.access


async def test_two_processes_that_share_a_store_renew_once(tmp_path: Path) -> None:
    gate = Gate()
    async with (
        authority(access=SHORT, answers={REFRESH: gate}) as server,
        proxied(server, tmp_path) as one,
        proxied(server, tmp_path) as other,
    ):
        client = await ended(await logged_in(one))
        server.access = 3600
        twin = Client(other, client.access, client.refresh)
        asked: list[Awaitable[int]] = [each.get() for each in (client, twin) for _ in range(20)]
        answers = asyncio.gather(*asked)
        await gate.reached.wait()
        async with asyncio.timeout(PATIENCE):
            while not await lease_waits(one, other):  # noqa: ASYNC110 (a counter tells nobody)
                await asyncio.sleep(0.01)
        gate.open.set()
        assert await answers == [200] * 40
        assert server.presented() == [client.refresh]
        assert await lease_waits(one, other) == 1


async def test_a_newer_generation_of_another_process_wins_over_a_refusal(tmp_path: Path) -> None:
    async with (
        authority(access=SHORT) as server,
        proxied(server, tmp_path) as one,
        proxied(server, tmp_path) as other,
    ):
        client = await ended(await logged_in(one))
        twin = Client(other, client.access, client.refresh)
        server.access = 3600
        assert await client.get() == 200
        # The other one has seen the session before it was renewed, or not at all.
        assert await twin.get() == 200
        assert len(server.presented()) == 1


async def test_the_lease_of_a_process_that_died_is_taken_over(tmp_path: Path) -> None:
    async with authority(access=SHORT) as server, proxied(server, tmp_path) as proxy:
        client = await ended(await logged_in(proxy))
        store = store_at(f"sqlite:{tmp_path / 'sessions.sqlite3'}")
        (record,) = (await store.sessions(user=None, after="", limit=1)).records
        assert await store.acquire(record.session, "somebody who dies", 0.5) is not None
        await store.close()
        assert await client.get() == 200
        assert await proxy.metric("segue_session_lease_waits_total") == 1
        assert server.presented() == [client.refresh]


async def test_the_pause_after_a_lost_answer_is_one_for_all_processes(tmp_path: Path) -> None:
    async def lose(_: Authority, __: RawPeer, ___: Received) -> bytes | None:
        return None

    async with (
        authority(access=SHORT, answers={REFRESH: lose}) as server,
        proxied(server, tmp_path) as one,
        proxied(server, tmp_path) as other,
    ):
        client = await ended(await logged_in(one))
        twin = Client(other, client.access, client.refresh)
        assert await client.get() == 503
        assert await twin.get() == 503
        assert (await twin.exchange())[0] == 503
        assert len(server.presented()) == 1


async def test_a_failure_of_a_clients_own_refresh_is_its_own_and_ends_nothing(
    tmp_path: Path,
) -> None:
    async def fail(_: Authority, __: RawPeer, ___: Received) -> bytes | None:
        return response(500, b'{"n": %d}' % len(server.presented()), b"X-Odd: 1")

    async with (
        authority(answers={REFRESH: fail}) as server,
        proxied(server, tmp_path) as proxy,
    ):
        client = await logged_in(proxy)
        # It asks by itself, as without Segue: no pause of Segue's is between it and the server.
        assert [await client.exchange() for _ in range(3)] == [(500, {"n": n}) for n in (1, 2, 3)]
        server.answers.clear()
        assert (await client.exchange())[0] == 200
        assert set(server.presented()) == {client.refresh}


@pytest.mark.parametrize("ahead", [-7200.0, 7200.0])
async def test_a_clock_that_is_two_hours_off_makes_no_storm(
    tmp_path: Path, ahead: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = LaterClock(monkeypatch)
    async with authority(access=1000, ahead=ahead) as server, proxied(server, tmp_path) as proxy:
        client = await logged_in(proxy)
        assert [await client.get() for _ in range(5)] == [200] * 5
        assert server.presented() == []
        server.access = 3600
        clock.ahead = 1000
        assert [await client.get() for _ in range(5)] == [200] * 5
        assert len(server.presented()) == 1


async def test_a_server_that_does_not_rotate_keeps_its_refresh_token_in_use(tmp_path: Path) -> None:
    async with authority(access=SHORT, rotate=False) as server, proxied(server, tmp_path) as proxy:
        client = await ended(await logged_in(proxy))
        assert await client.get() == 200
        await asyncio.sleep(SHORT)
        assert await client.get() == 200
        assert server.presented() == [client.refresh] * 2
        for _ in range(2):
            status, pair = await client.exchange()
            assert (status, list(pair)) == (200, ["access"])
        assert server.presented() == [client.refresh] * 4


@pytest.mark.parametrize("rotate", [True, False])
@pytest.mark.parametrize("ahead", [0.0, 7200.0])
async def test_a_server_that_copies_the_time_of_the_login_is_not_taken_for_one_whose_clock_is_off(
    tmp_path: Path, rotate: bool, ahead: float
) -> None:
    async with (
        authority(access=2.2, ahead=ahead, copies=True, rotate=rotate) as server,
        proxied(server, tmp_path) as proxy,
    ):
        client = await logged_in(proxy)
        for _ in range(2):
            await asyncio.sleep(2.2)
            assert await client.get() == 200
        # Each time it was known that the token had ended: the server had none to refuse.
        assert await refreshes(proxy) == {("expiry", "renewed"): 2}
        assert len(server.at("/api/jobs/")) == 2
        store = store_at(f"sqlite:{tmp_path / 'sessions.sqlite3'}")
        (record,) = (await store.sessions(user=None, after="", limit=1)).records
        await store.close()
        begun = record.refreshed if rotate else record.created
        assert begun + server.refresh - 2 <= record.refresh_expires <= begun + server.refresh + 0.1


async def test_a_refusal_ends_no_newer_generation_than_the_one_that_was_presented(
    tmp_path: Path,
) -> None:
    gate = Gate()

    async def refuse(server: Authority, peer: RawPeer, received: Received) -> bytes | None:
        await gate(server, peer, received)
        return response(401, b"{}")

    async with (
        authority(answers={REFRESH: refuse}) as server,
        proxied(server, tmp_path) as proxy,
    ):
        client = await logged_in(proxy)
        server.revoked.add(client.access)
        asked = asyncio.create_task(client.get())
        await gate.reached.wait()
        # Somebody whose lease had run out writes what came of it, and a request here reads that.
        store = store_at(f"sqlite:{tmp_path / 'sessions.sqlite3'}")
        (record,) = (await store.sessions(user=None, after="", limit=1)).records
        assert await store.save(replace(record, generation=2, attempt=None)) is not None
        assert proxy.server._data.sessions is not None
        await proxy.server._data.sessions._repository.find(record.handles[0].digest)
        gate.open.set()
        assert await asked == 401
        found = await store.load(record.session)
        await store.close()
        assert found is not None
        assert found.ended is None
