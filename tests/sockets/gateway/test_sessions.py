"""The step `session`: tokens put in place of others, a refused one tried again, once."""

from __future__ import annotations

import asyncio
import gc
import gzip
import json
import zlib
from pathlib import Path

import pytest

from proxy.relay.exchange import Exchange
from proxy.relay.hold import Hold
from proxy.sessions import presenting
from tests.support.authority import (
    TOKEN_ERROR,
    Authority,
    Client,
    LaterClock,
    Received,
    authority,
    proxied,
    refreshes,
    response,
    token,
)
from tests.support.rig import RawPeer, Segue, status_of
from tests.support.sockets import fields_of, handshake, turn
from tests.support.waiting import PATIENCE

JOBS = "/api/jobs/"
LOGIN = "/api/auth/login/"
REFRESH = "/api/auth/token/refresh/"
SHORT = 0.3


async def logged_in(proxy: Segue) -> Client:
    client = Client(proxy)
    await client.log_in()
    return client


async def shake(client: Client, target: str, *fields: bytes) -> int:
    """Shake hands, and go; the status."""
    async with client.proxy.client() as peer:
        await peer.send(handshake(target.encode(), *fields))
        return status_of(await peer.read_head())


async def test_only_the_token_of_a_request_is_changed(tmp_path: Path) -> None:
    async with authority(access=SHORT) as server, proxied(server, tmp_path) as proxy:
        client = await logged_in(proxy)
        await client.send("POST", JOBS, b'{"a": 1.10}', b"X-Odd:  spaced ", b"Cookie: a=b")
        await asyncio.sleep(SHORT)
        await client.send("POST", JOBS, b'{"a": 1.10}', b"X-Odd:  spaced ", b"Cookie: a=b")
        before, after = server.at(JOBS)
        assert after.body == before.body
        assert after.token != before.token == client.access
        changing = (b"X-Request-Id", b"traceparent", b"Authorization")
        assert [
            [line for line in each.head.split(b"\r\n") if not line.startswith(changing)]
            for each in (before, after)
        ] == [[line for line in before.head.split(b"\r\n") if not line.startswith(changing)]] * 2


@pytest.mark.parametrize(
    "presented",
    [
        token("a", 99, 0, 4e9),
        token("a", 99, 0, 1),
        "eyJhbGciOiJub25lIn0.eyJleHAiOjF9.",
        "not-a-token",
        "x" * 9000,
        "a.b.c",
        "\xff.\xfe.\xfd",
    ],
)
async def test_tokens_that_no_login_through_segue_produced_pass_untouched(
    tmp_path: Path, presented: str
) -> None:
    async with authority() as server, proxied(server, tmp_path) as proxy:
        raw = presented.encode("latin-1")
        request = (
            b"GET /api/jobs/ HTTP/1.1\r\nHost: app.example.com\r\nAuthorization: Bearer " + raw
        )
        answers = [await proxy.ask(request + b"\r\nConnection: close\r\n\r\n") for _ in range(3)]
        (got,) = {each.head.split(b"Bearer ")[1].split(b"\r\n")[0] for each in server.at(JOBS)}
        assert got == raw
        wanted = 200 if server.is_good(presented) else 401
        assert [status_of(answer) for answer in answers] == [wanted] * 3
        assert server.presented() == []


@pytest.mark.parametrize("body", [None, b"", b"{}", b"x" * 1000])
async def test_a_401_for_the_token_leads_to_one_refresh_and_one_retry(
    tmp_path: Path, body: bytes | None
) -> None:
    async with authority() as server, proxied(server, tmp_path) as proxy:
        client = await logged_in(proxy)
        server.revoked.add(client.access)
        status, _, answer = await client.send("POST" if body is not None else "GET", JOBS, body)
        assert (status, answer) == (200, b'{"hello": "there"}')
        assert [each.body for each in server.at(JOBS)] == [body or b""] * 2
        assert await refreshes(proxy) == {("rejected", "renewed"): 1}
        assert await proxy.metric("segue_session_retries_total", protocol="http") == 1
        # From now on it is the fresh one that goes.
        assert await client.get() == 200
        assert len(server.at(JOBS)) == 3


async def test_a_401_that_comes_over_a_second_connection_is_held_too(tmp_path: Path) -> None:
    async def go_first(server: Authority, _: RawPeer, received: Received) -> bytes | None:
        return None if len(server.at(JOBS)) == 1 else server.usual(received)

    async with (
        authority(answers={JOBS: go_first}) as server,
        proxied(server, tmp_path) as proxy,
    ):
        client = await logged_in(proxy)
        server.revoked.add(client.access)
        assert await client.get() == 200
        assert len(server.at(JOBS)) == 3
        assert await refreshes(proxy) == {("rejected", "renewed"): 1}


async def test_a_body_that_came_in_chunks_is_sent_again_whole(tmp_path: Path) -> None:
    async with authority() as server, proxied(server, tmp_path) as proxy:
        client = await logged_in(proxy)
        server.revoked.add(client.access)

        async def count(server: Authority, peer: RawPeer, received: Received) -> bytes | None:
            chunks = b""
            while not chunks.endswith(b"0\r\n\r\n"):
                chunks += await peer.read(1)
            bodies.append(chunks)
            return server.usual(received)

        bodies: list[bytes] = []
        server.answers[JOBS] = count
        chunked = b"Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n"
        answer = await proxy.ask(
            b"POST /api/jobs/ HTTP/1.1\r\nHost: app.example.com\r\n"
            b"Connection: close\r\nAuthorization: Bearer "
            + client.access.encode()
            + b"\r\n"
            + chunked
        )
        assert status_of(answer) == 200
        assert bodies == [b"5\r\nabcde\r\n0\r\n\r\n"] * 2
        heads = [each.head.lower() for each in server.at(JOBS)]
        assert [head.count(b"transfer-encoding") for head in heads] == [1, 1]


async def test_a_body_that_comes_later_than_its_head_is_kept_too(tmp_path: Path) -> None:
    async with authority() as server, proxied(server, tmp_path) as proxy, proxy.client() as peer:
        client = await logged_in(proxy)
        server.revoked.add(client.access)
        await peer.send(
            b"POST /api/jobs/ HTTP/1.1\r\nHost: app.example.com\r\n"
            b"Content-Length: 10\r\nAuthorization: Bearer "
            + client.access.encode()
            + b"\r\n\r\n01234"
        )
        await turn()
        await peer.send(b"56789")
        head, _ = await peer.read_response()
        assert status_of(head) == 200
        assert [each.body for each in server.at(JOBS)] == [b"0123456789"] * 2


async def test_a_client_that_waits_for_100_has_its_body_sent_once(tmp_path: Path) -> None:
    async def go_on(server: Authority, _: RawPeer, received: Received) -> bytes | None:
        return server.usual(received)

    async with (
        authority(answers={JOBS: go_on}) as server,
        proxied(server, tmp_path) as proxy,
        proxy.client() as peer,
    ):
        client = await logged_in(proxy)
        server.revoked.add(client.access)
        await peer.send(
            b"POST /api/jobs/ HTTP/1.1\r\nHost: app.example.com\r\n"
            b"Content-Length: 5\r\nExpect: 100-continue\r\n"
            b"Authorization: Bearer " + client.access.encode() + b"\r\n\r\n"
        )
        await turn()
        await peer.send(b"abcde")
        head, _ = await peer.read_response()
        assert status_of(head) == 401
        assert len(server.at(JOBS)) == 1
        assert server.presented() == []


async def test_a_body_that_is_not_kept_is_not_sent_again(tmp_path: Path) -> None:
    async with (
        authority() as server,
        proxied(server, tmp_path, SESSIONS__RETRY_BODY="1KiB") as proxy,
    ):
        client = await logged_in(proxy)
        server.revoked.add(client.access)
        status, head, answer = await client.send("POST", JOBS, b"x" * 1025)
        assert status == 401
        assert json.loads(answer) == TOKEN_ERROR
        assert b"\r\nContent-Length: " in head
        assert server.presented() == []


def compressed(whole: bytes, coding: bytes = b"gzip") -> bytes:
    body = whole.partition(b"\r\n\r\n")[2]
    if coding != b"br":  # Of that only the name is needed.
        body = gzip.compress(body) if coding == b"gzip" else zlib.compress(body)
    return response(status_of(whole), body, b"Content-Encoding: " + coding)


@pytest.mark.parametrize("coding", [b"gzip", b"deflate"])
async def test_a_server_that_compresses_all_it_says_is_understood(
    tmp_path: Path, coding: bytes
) -> None:
    def plain(body: bytes) -> bytes:
        return gzip.decompress(body) if coding == b"gzip" else zlib.decompress(body)

    async def say(server: Authority, _: RawPeer, received: Received) -> bytes | None:
        return compressed(server.usual(received), coding)

    answers = dict.fromkeys((LOGIN, REFRESH, JOBS), say)
    async with authority(answers=answers) as server, proxied(server, tmp_path) as proxy:
        client = Client(proxy)
        _, _, body = await client.send("POST", LOGIN, b"{}")
        client.access = json.loads(plain(body))["access"]
        server.revoked.add(client.access)
        status, _, body = await client.send("GET", JOBS)
        assert (status, plain(body)) == (200, b'{"hello": "there"}')
        assert await refreshes(proxy) == {("rejected", "renewed"): 1}


async def test_a_refusal_of_a_refresh_that_came_compressed_is_read_and_passed_on_as_it_is(
    tmp_path: Path,
) -> None:
    async def refuse(_: Authority, __: RawPeer, ___: Received) -> bytes | None:
        return compressed(response(401, json.dumps(TOKEN_ERROR).encode()))

    async with authority(answers={REFRESH: refuse}) as server, proxied(server, tmp_path) as proxy:
        client = await logged_in(proxy)
        server.revoked.add(client.access)
        assert [await client.get() for _ in range(2)] == [401] * 2
        assert len(server.presented()) == 1
        status, head, body = await client.send(
            "POST", REFRESH, json.dumps({"refresh": client.refresh}).encode()
        )
        assert (status, fields_of(head, b"content-encoding")) == (401, [b"gzip"])
        assert json.loads(gzip.decompress(body)) == TOKEN_ERROR
        assert len(server.presented()) == 2


@pytest.mark.parametrize(
    "answer",
    [
        response(401, b'{"detail": "Authentication credentials were not provided."}'),
        response(401),
        compressed(response(401, json.dumps(TOKEN_ERROR).encode()), b"br"),
        response(
            401, gzip.compress(json.dumps(TOKEN_ERROR).encode())[:-9], b"Content-Encoding: gzip"
        ),
        response(401, b'{"code": "token_not_valid"' + b" " * 70_000 + b"}"),
        response(403, json.dumps(TOKEN_ERROR).encode()),
        response(400, json.dumps(TOKEN_ERROR).encode()),
    ],
    ids=[
        "other reason",
        "no body",
        "an unknown coding",
        "half of it",
        "larger than what is held",
        "403",
        "400",
    ],
)
async def test_any_other_refusal_reaches_the_client_as_it_is(tmp_path: Path, answer: bytes) -> None:
    async def refuse(_: Authority, __: RawPeer, ___: Received) -> bytes | None:
        return answer

    async with authority(answers={JOBS: refuse}) as server, proxied(server, tmp_path) as proxy:
        client = await logged_in(proxy)
        status, _, body = await client.send("GET", JOBS)
        assert status == status_of(answer)
        assert body == answer.partition(b"\r\n\r\n")[2]
        assert server.presented() == []
        assert len(server.at(JOBS)) == 1


async def test_a_server_that_refuses_every_token_is_asked_for_one_refresh_a_minute(
    tmp_path: Path,
) -> None:
    async def refuse(_: Authority, __: RawPeer, ___: Received) -> bytes | None:
        return response(401, json.dumps(TOKEN_ERROR).encode())

    async with authority(answers={JOBS: refuse}) as server, proxied(server, tmp_path) as proxy:
        client = await logged_in(proxy)
        assert await asyncio.gather(*(client.get() for _ in range(10))) == [401] * 10
        assert [await client.get() for _ in range(10)] == [401] * 10
        assert len(server.presented()) == 1
        async with proxied(server, tmp_path) as other:
            client.proxy = other
            assert await client.get() == 401
        assert len(server.presented()) == 1


async def test_a_refused_token_that_cannot_be_renewed_now_is_no_reason_to_log_out(
    tmp_path: Path,
) -> None:
    async def fail(_: Authority, __: RawPeer, ___: Received) -> bytes | None:
        return response(500)

    async with authority(answers={REFRESH: fail}) as server, proxied(server, tmp_path) as proxy:
        client = await logged_in(proxy)
        server.revoked.add(client.access)
        for _ in range(3):
            status, head, _ = await client.send("GET", JOBS)
            assert status == 503
            assert b"Retry-After" in head
        assert len(server.presented()) == 1


async def test_the_version_of_the_client_is_remembered_in_its_session(tmp_path: Path) -> None:
    async with authority() as server, proxied(server, tmp_path) as proxy:
        client = await logged_in(proxy)
        await client.get()
        await client.send("GET", JOBS, None, b"X-Client-Version: 2.1.0")
        await client.get()
        assert await proxy.metric("segue_version_sources_total", source="session") == 1
        assert await proxy.metric("segue_requests_total", cohort="modern", code="200") == 2
    async with authority() as server, proxied(server, tmp_path) as proxy:
        client.proxy = proxy
        await client.get()
        assert await proxy.metric("segue_version_sources_total", source="session") == 1


# WebSockets.


@pytest.mark.parametrize("name", ["token", "access_token"])
async def test_a_handshake_goes_with_a_fresh_token_in_its_query(tmp_path: Path, name: str) -> None:
    async with authority(access=SHORT) as server, proxied(server, tmp_path) as proxy:
        client = await logged_in(proxy)
        await asyncio.sleep(SHORT)
        assert await shake(client, f"/ws/1/?a=1&{name}={client.access}&b=%41") == 101
        path = server.received[-1].path
        assert path.startswith(f"/ws/1/?a=1&{name}=ey")
        assert path.endswith("&b=%41")
        assert client.access not in path
        assert await refreshes(proxy) == {("handshake", "renewed"): 1}


@pytest.mark.parametrize(
    "query", ["a=1;token=%s", "token=%s;a=1", "access.token=%s", "token%%00=%s"]
)
async def test_an_ended_token_shakes_no_hands_in_a_query_that_some_servers_read_otherwise(
    tmp_path: Path, query: str
) -> None:
    """Rack 2 separates by semicolons, and PHP makes variables of names."""
    async with authority() as server, proxied(server, tmp_path) as proxy:
        client = await logged_in(proxy)
        target = "/ws/1/?" + query % client.access
        assert await shake(client, target) in (101, 403)
        body = json.dumps({"refresh": client.refresh}).encode()
        assert (await client.send("POST", "/api/auth/logout/", body))[0] == 205
        count = len(server.received)
        assert await shake(client, target) == 401
        assert len(server.received) == count


async def test_a_handshake_goes_with_a_fresh_token_in_its_header(tmp_path: Path) -> None:
    async with authority(access=SHORT) as server, proxied(server, tmp_path) as proxy:
        client = await logged_in(proxy)
        await asyncio.sleep(SHORT)
        field = b"Authorization: Bearer " + client.access.encode()
        assert await shake(client, "/ws/1/", field) == 101
        assert server.received[-1].token not in ("", client.access)


async def test_a_refused_handshake_with_a_good_token_is_meant(tmp_path: Path) -> None:
    async with authority() as server, proxied(server, tmp_path) as proxy:
        client = await logged_in(proxy)
        server.revoked.add(client.access)
        assert await shake(client, f"/ws/1/?token={client.access}") == 403
        assert server.presented() == []
        assert len(server.at("/ws/1/")) == 1


async def test_a_refused_handshake_near_the_tokens_end_is_tried_once_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(presenting, "_FIRST_PAUSE", 0.0)
    clock = LaterClock(monkeypatch)

    async def fail_once(server: Authority, _: RawPeer, __: Received) -> bytes | None:
        server.answers.clear()
        return response(503)

    async with (
        authority(access=1000, answers={REFRESH: fail_once}) as server,
        proxied(server, tmp_path) as proxy,
    ):
        client = await logged_in(proxy)
        clock.ahead = 850
        server.access = 3600
        # It cannot be renewed at the moment, and is sent as it is; the server has had enough of it.
        server.revoked.add(client.access)
        assert await shake(client, f"/ws/1/?token={client.access}") == 101
        assert len(server.at("/ws/1/")) == 2
        assert await proxy.metric("segue_session_retries_total", protocol="websocket") == 1


async def test_a_refused_handshake_stands_where_there_is_no_fresh_token(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = LaterClock(monkeypatch)

    async def fail(_: Authority, __: RawPeer, ___: Received) -> bytes | None:
        return response(503)

    async with (
        authority(access=1000, answers={REFRESH: fail}) as server,
        proxied(server, tmp_path) as proxy,
    ):
        client = await logged_in(proxy)
        clock.ahead = 850
        server.revoked.add(client.access)
        assert await shake(client, f"/ws/1/?token={client.access}") == 403
        assert len(server.at("/ws/1/")) == 1


async def test_a_session_is_renewed_while_only_a_websocket_uses_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = LaterClock(monkeypatch)
    async with (
        authority(access=7200, refresh=3600) as server,
        proxied(server, tmp_path) as proxy,
        proxy.client() as peer,
    ):
        client = await logged_in(proxy)
        await peer.send(handshake(f"/ws/1/?token={client.access}".encode()))
        assert status_of(await peer.read_head()) == 101
        assert await refreshes(proxy) == {}
        clock.ahead = 3000  # The last fifth of the refresh token's life; the access token is good.
        async with asyncio.timeout(PATIENCE):
            # Counted when the answer has been read, a moment after the server has been asked.
            while not await refreshes(proxy):  # noqa: ASYNC110 (nobody tells)
                await asyncio.sleep(0.05)
        assert (await refreshes(proxy)).keys() == {("socket", "renewed")}
        assert len(set(server.presented())) == len(server.presented())


# The cookie.


async def test_with_a_cookie_binding_a_token_alone_is_not_renewed(tmp_path: Path) -> None:
    async with (
        authority(access=SHORT) as server,
        proxied(server, tmp_path, SESSIONS__BINDING="cookie") as proxy,
    ):
        client = Client(proxy)
        head = await client.log_in()
        (cookie,) = fields_of(head, b"set-cookie")
        value, *flags = cookie.split(b"; ")
        assert {b"HttpOnly", b"Secure", b"SameSite=Lax", b"Path=/"} < set(flags)
        assert value.startswith(b"__Host-segue_session=")
        await asyncio.sleep(SHORT)
        assert await client.get() == 401
        client.fields = (b"Cookie: __Host-segue_session=" + b"A" * 43,)
        assert await client.get() == 401
        assert (await client.exchange())[0] == 401
        assert server.presented() == []
        client.fields = (b"Cookie: theme=dark; " + value + b"; x=y",)
        assert await client.get() == 200
        assert (await client.exchange())[0] == 200
        got = server.at(JOBS)[-1].head
        assert fields_of(got, b"cookie") == [b"theme=dark; x=y"]
        # Whoever else brings the cookie along: it is nobody's but Segue's.
        for access in ("", "a.b.c"):
            await client.send("GET", JOBS, access=access)
            await shake(client, f"/ws/1/?token={access}", *client.fields)
        assert value not in b"".join(each.head for each in server.received)
        assert value not in b"".join(each.head for each in server.at(REFRESH))


async def test_a_cookie_of_the_same_name_from_a_sibling_host_locks_nobody_out(
    tmp_path: Path,
) -> None:
    """Cookie tossing: `blog.example.com` sets one for all of `example.com`."""
    settings = {"SESSIONS__BINDING": "cookie", "SESSIONS__COOKIE": "sid"}
    async with authority() as server, proxied(server, tmp_path, **settings) as proxy:
        client, other = Client(proxy), Client(proxy)
        own, foreign = [
            fields_of(await each.log_in(), b"set-cookie")[0].partition(b";")[0]
            for each in (client, other)
        ]
        server.revoked.add(client.access)
        tossed = [b"sid=%d" % number for number in range(20)]
        for cookies in (
            [b"sid=x", own],
            [own, b"sid=x", b"a=b"],
            [foreign, own],
            [*tossed, own],
            [b"sid=", own],
        ):
            client.fields = (b"Cookie: " + b"; ".join(cookies),)
            assert await client.get() == 200
            assert b"sid=" not in server.at(JOBS)[-1].head
            target = f"/ws/1/?token={client.access}"
            page = b"Origin: http://app.example.com"
            assert await shake(client, target, *client.fields, page) == 101
            assert (await client.exchange())[0] == 200
        # None of them proves it; and a crowd is not gone through.
        crowd = [b"sid=%d" % number for number in range(40)]
        for cookies in ([foreign, b"sid=x"], [*crowd, own]):
            client.fields = (b"Cookie: " + b"; ".join(cookies),)
            assert await client.get() == 401
            assert (await client.exchange())[0] == 401
        client.fields = (b"Cookie: sid=x; " + own,)
        assert (await client.send("POST", "/api/auth/logout/", b"{}"))[0] == 205
        assert await other.get() == 200


@pytest.mark.parametrize(
    ("origin", "status"),
    [
        (b"https://app.example.com", 101),
        (b"http://listed.example.com", 101),
        (b"https://evil.example.com", 403),
        (b"null", 403),
        (None, 403),
    ],
)
async def test_with_a_cookie_binding_only_its_own_pages_shake_hands(
    tmp_path: Path, origin: bytes | None, status: int
) -> None:
    settings = {"SESSIONS__BINDING": "cookie", "CORS__ORIGINS": "[http://listed.example.com]"}
    async with authority() as server, proxied(server, tmp_path, **settings) as proxy:
        client = Client(proxy)
        (cookie,) = fields_of(await client.log_in(), b"set-cookie")
        fields = [b"Cookie: " + cookie.split(b";")[0]]
        fields += [] if origin is None else [b"Origin: " + origin]
        assert await shake(client, f"/ws/1/?token={client.access}", *fields) == status
        sent = [fields_of(each.head, b"cookie") for each in server.at("/ws/1/")]
        assert sent == ([[]] if status == 101 else [])


async def test_coalescing_asks_with_a_fresh_token_and_again_after_a_401(tmp_path: Path) -> None:
    settings = {"COALESCING": '[{name: jobs, path: "/api/jobs/"}]'}
    async with authority() as server, proxied(server, tmp_path, **settings) as proxy:
        client = await logged_in(proxy)
        server.revoked.add(client.access)
        assert await asyncio.gather(*(client.get() for _ in range(10))) == [200] * 10
        assert len(server.presented()) == 1
        assert len(server.at(JOBS)) < 10


async def test_an_answer_that_goes_on_leaves_nothing_for_the_garbage_collector(
    tmp_path: Path,
) -> None:
    async with authority() as server, proxied(server, tmp_path) as proxy:
        client = await logged_in(proxy)
        assert await client.get() == 200
        gc.collect()
        gc.disable()
        try:
            assert [await client.get() for _ in range(5)] == [200] * 5
            gc.set_debug(gc.DEBUG_SAVEALL)
            gc.collect()
            left = [found for found in gc.garbage if isinstance(found, Exchange | Hold)]
        finally:
            gc.set_debug(0)
            gc.garbage.clear()
            gc.enable()
        assert left == []
