"""Request coalescing between raw clients and a raw server that answers when the test says so."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, cast

import pytest

from proxy.downstream.connection import ClientConnection
from proxy.relay.dispatch import Dispatcher
from tests.support.authority import Client, Gate, authority, proxied
from tests.support.rig import CONFIG, RawPeer, Segue, raw_server, segue
from tests.support.sockets import fields_of, status_of, turn
from tests.support.waiting import PATIENCE

COALESCING: Final = {"SEGUE_COALESCING": "[{name: jobs, path: /api/**}]"}
TOKEN: Final = b"Authorization: Bearer a.b.c"
PIECE: Final = b"0123456789abcdef" * 4096


def get(*fields: bytes, target: bytes = b"/api/jobs/1/?full=1", method: bytes = b"GET") -> bytes:
    return b"\r\n".join((method + b" " + target + b" HTTP/1.1", b"Host: h", *fields, b"\r\n"))


def answer(body: bytes = b"ok", *fields: bytes, status: bytes = b"200 OK") -> bytes:
    length = b"Content-Length: %d" % len(body)
    return b"\r\n".join((b"HTTP/1.1 " + status, length, *fields, b"\r\n")) + body


@dataclass
class Asked:
    """A request that arrived at the server."""

    peer: RawPeer
    head: bytes
    ended: asyncio.Event
    """Whether Segue has ended the connection."""

    async def answer(self, body: bytes = b"ok", *fields: bytes) -> None:
        await self.peer.send(answer(body, *fields))

    @property
    def request_id(self) -> bytes:
        (value,) = fields_of(self.head, b"x-request-id")
        return value


@dataclass
class Rig:
    """A server, Segue, and as many clients as the test wants."""

    segue: Segue
    arrived: asyncio.Queue[Asked]
    stack: AsyncExitStack
    received: int = 0
    clients: list[RawPeer] = field(default_factory=list)

    async def ask(self, *requests: bytes) -> list[RawPeer]:
        """Send each request on a connection of its own; all have been received on return."""
        peers = [await self.stack.enter_async_context(self.segue.client()) for _ in requests]
        for peer, request in zip(peers, requests, strict=True):
            await peer.send(request)
        self.received += len(requests)
        await until(lambda: self.segue.server._data.coalescer.received["jobs"] >= self.received)
        return peers

    async def asked(self) -> Asked:
        """The next request at the server."""
        async with asyncio.timeout(PATIENCE):
            return await self.arrived.get()

    async def nothing_asked(self) -> None:
        await turn()
        assert self.arrived.empty()

    async def counts(self) -> tuple[float, float]:
        """What the metrics page says: received, sent."""
        received = await self.segue.metric("segue_coalescing_requests_total", route="jobs")
        return received, await self.segue.metric(
            "segue_coalescing_upstream_requests_total", route="jobs"
        )

    async def gone(self, count: int) -> None:
        """Wait until Segue knows that so many clients have gone."""
        requests = self.segue.server.metrics.requests
        await until(lambda: sum(n for (_, code), n in requests.items() if code == "499") >= count)


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(PATIENCE):
        while not condition():  # noqa: ASYNC110 (it tells nobody)
            await asyncio.sleep(0.002)


@asynccontextmanager
async def rig(env: Mapping[str, str] = COALESCING, config: Path = CONFIG) -> AsyncIterator[Rig]:
    arrived: asyncio.Queue[Asked] = asyncio.Queue()

    async def script(peer: RawPeer) -> None:
        ended = asyncio.Event()
        try:
            while True:
                head = await peer.reader.readuntil(b"\r\n\r\n")
                arrived.put_nowait(Asked(peer, head, ended))
        finally:
            ended.set()

    async with (
        raw_server(script) as server,
        segue(server.url, {**COALESCING, **env}, config) as proxy,
        AsyncExitStack() as stack,
    ):
        yield Rig(proxy, arrived, stack)


async def bodies(peers: Sequence[RawPeer]) -> list[bytes]:
    return [(await peer.read_response())[1] for peer in peers]


# Sharing.


async def test_a_get_that_comes_after_the_one_in_flight_was_sent_joins_the_next_one() -> None:
    async with rig() as it:
        first = await it.ask(get(TOKEN))
        in_flight = await it.asked()
        later = await it.ask(*[get(TOKEN)] * 5)
        await it.nothing_asked()
        await in_flight.answer(b"old")
        assert await bodies(first) == [b"old"]
        following = await it.asked()
        latest = await it.ask(get(TOKEN))
        await following.answer(b"new", b"X-Kept: 1")
        answers = [await peer.read_response() for peer in later]
        assert {body for _, body in answers} == {b"new"}
        assert len({head for head, _ in answers}) == 1
        assert fields_of(answers[0][0], b"x-kept") == [b"1"]
        await (await it.asked()).answer(b"newest")
        assert await bodies(latest) == [b"newest"]
        assert await it.counts() == (7, 3)


async def test_those_who_come_before_the_request_was_sent_share_it_and_its_error() -> None:
    """No request is sent before a TLS handshake is over, and this one never is."""
    hello = asyncio.Event()

    async def script(peer: RawPeer) -> None:
        await peer.read(1)
        await hello.wait()

    async with raw_server(script) as server:
        url = server.url.replace("http", "https")
        env = {**COALESCING, "SEGUE_LIMITS__SHARED_WAITERS": "9"}
        async with segue(url, env) as proxy, AsyncExitStack() as stack:
            peers = [await stack.enter_async_context(proxy.client()) for _ in range(9)]
            for peer in peers:
                await peer.send(get(TOKEN))
            counts = proxy.server._data.coalescer.received
            await until(lambda: counts["jobs"] == 9)
            hello.set()
            answers = [await peer.read_response() for peer in peers]
            assert server.connections == 1
            assert await proxy.metric("segue_coalescing_upstream_requests_total", route="jobs") == 1
    problems = [json.loads(body) for _, body in answers]
    assert [status_of(head) for head, _ in answers] == [502] * 9
    assert len({problem["request_id"] for problem in problems}) == 9
    assert {problem["title"] for problem in problems} == {"Bad gateway"}


async def test_the_log_says_under_whose_request_id_the_server_was_asked() -> None:
    async with rig() as it:
        (first,) = await it.ask(get())
        asked = await it.asked()
        others = await it.ask(get(), get())
        await asked.answer()
        shared = await it.asked()
        await shared.answer()
        await bodies([first, *others])
        await until(lambda: it.segue.log.getvalue().count('"request"') == 3)
    lines = [json.loads(line) for line in it.segue.log.getvalue().splitlines()]
    requests = {line["request_id"]: line for line in lines if line["event"] == "request"}
    assert "shared_from" not in requests[asked.request_id.decode()]
    assert "shared_from" not in requests.pop(shared.request_id.decode())
    (other,) = [line for line in requests.values() if "shared_from" in line]
    assert other["shared_from"] == shared.request_id.decode()
    assert other["upstream"] == requests[asked.request_id.decode()]["upstream"]
    assert other["response_size"] == 2


async def test_each_client_is_told_of_its_own_connection() -> None:
    async with rig() as it:
        await it.ask(get())
        in_flight = await it.asked()
        kept, ending = await it.ask(get(), get(b"Connection: close"))
        await in_flight.answer()
        await (await it.asked()).answer()
        head, _ = await kept.read_response()
        assert fields_of(head, b"connection") == []
        assert fields_of(await ending.read_all(), b"connection") == [b"close"]


async def test_a_conditional_get_shares_with_the_same_condition_only() -> None:
    async with rig() as it:
        await it.ask(get(b'If-None-Match: "0"'))
        in_flight = await it.asked()
        same = await it.ask(*[get(b'If-None-Match: "0"')] * 2)
        (other,) = await it.ask(get(b'If-None-Match: "1"'))
        await (await it.asked()).answer(b"other")
        assert (await other.read_response())[1] == b"other"
        await in_flight.peer.send(b'HTTP/1.1 304 Not Modified\r\nETag: "0"\r\n\r\n')
        await (await it.asked()).peer.send(b'HTTP/1.1 304 Not Modified\r\nETag: "0"\r\n\r\n')
        assert [status_of((await peer.read_response())[0]) for peer in same] == [304, 304]


async def test_a_chunked_answer_and_one_that_ends_with_its_connection_are_shared_whole() -> None:
    async with rig() as it:
        first = await it.ask(get())
        in_flight = await it.asked()
        others = await it.ask(get(), get())
        await in_flight.peer.send(
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n"
        )
        await in_flight.peer.send(b"2\r\ncd\r\n0\r\n\r\n")
        assert (await first[0].read_head()).count(b"chunked") == 1
        assert await first[0].read(19) == b"2\r\nab\r\n2\r\ncd\r\n0\r\n\r\n"
        ends = await it.asked()
        await ends.peer.send(b"HTTP/1.1 200 OK\r\n\r\nuntil")
        await ends.peer.close()
        for peer in others:
            await peer.read_head()
            assert await peer.read(15) == b"5\r\nuntil\r\n0\r\n\r\n"


# What is never shared.


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (get(TOKEN), get(b"Authorization: Bearer d.e.f")),
        (get(TOKEN), get()),
        (get(b"Cookie: session=1"), get(b"Cookie: session=2")),
        (get(b"Accept: application/json"), get(b"Accept: text/html")),
        (get(b"Accept-Language: de"), get(b"Accept-Language: en")),
        (get(b"Accept-Encoding: gzip"), get()),
        (get(b"X-Client-Version: 2.0"), get(b"X-Client-Version: 1.0")),
        (get(target=b"/api/jobs/1/"), get(target=b"/api/jobs/2/")),
        (get(target=b"/api/jobs/?a=1"), get(target=b"/api/jobs/?a=2")),
        (get().replace(b"Host: h", b"Host: i"), get()),
        # The server would see the same request, but not the client the same answer.
        (get(target=b"/api/?client_version=1.0"), get(target=b"/api/?client_version=2.0")),
        (get(b"Range: bytes=0-1"), get(b"Range: bytes=0-1")),
        (get(b"Cache-Control: no-store"), get(b"Cache-Control: no-store")),
    ],
)
async def test_requests_that_differ_in_what_the_server_sees_are_sent_apart(
    one: bytes, other: bytes
) -> None:
    async with rig() as it:
        (first,) = await it.ask(one)
        first_asked = await it.asked()
        (second,) = await it.ask(other)
        second_asked = await it.asked()
        await second_asked.answer(b"second")
        await first_asked.answer(b"first")
        assert await bodies([first, second]) == [b"first", b"second"]
        assert await it.counts() == (2, 2)


async def test_users_get_their_own_answers_when_many_of_two_ask_at_once() -> None:
    async with rig() as it:
        for name in (b"a", b"b"):
            await it.ask(get(b"Authorization: Bearer " + name))
        held = [await it.asked(), await it.asked()]
        waiting = {
            name: await it.ask(*[get(b"Authorization: Bearer " + name)] * 4)
            for name in (b"a", b"b", b"a", b"b")
        }
        for asked in held:
            await asked.answer(b"early")
        for _ in range(2):
            asked = await it.asked()
            (credentials,) = fields_of(asked.head, b"authorization")
            await asked.answer(b"for " + credentials)
        for name, peers in waiting.items():
            assert await bodies(peers) == [b"for Bearer " + name] * 4
        assert await it.counts() == (18, 4)


@pytest.mark.parametrize("request_", [get(method=b"HEAD"), get(method=b"DELETE")])
async def test_other_methods_are_never_shared(request_: bytes) -> None:
    async with rig() as it:
        peers = [await it.stack.enter_async_context(it.segue.client()) for _ in range(2)]
        for peer in peers:
            await peer.send(request_)
        asked = [await it.asked(), await it.asked()]
        for each in asked:
            await each.peer.send(b"HTTP/1.1 204 No Content\r\n\r\n")
        for peer in peers:
            assert status_of(await peer.read_head()) == 204
        assert await it.counts() == (0, 0)


async def test_gets_with_a_body_and_those_of_http_1_0_are_sent_alone() -> None:
    old = get(b"Connection: keep-alive").replace(b"HTTP/1.1", b"HTTP/1.0")
    async with rig() as it:
        peers = await it.ask(old, old)
        for _ in peers:
            await (await it.asked()).answer()
        assert await bodies(peers) == [b"ok", b"ok"]
        peers = await it.ask(*[get(b"Content-Length: 4") + b"body"] * 2)
        for _ in peers:
            asked = await it.asked()
            assert await asked.peer.read(0) == b""
            await asked.answer()
        assert await bodies(peers) == [b"ok", b"ok"]
        assert await it.counts() == (4, 4)


@pytest.mark.parametrize("target", [b"/", b"/other/"])
async def test_routes_without_a_name_are_left_alone(target: bytes) -> None:
    async with rig() as it:
        peers = [await it.stack.enter_async_context(it.segue.client()) for _ in range(2)]
        for peer in peers:
            await peer.send(get(target=target))
        asked = [await it.asked(), await it.asked()]
        for each in asked:
            await each.answer()
        assert await bodies(peers) == [b"ok", b"ok"]
        assert await it.counts() == (0, 0)


async def test_coalescing_is_off_by_default() -> None:
    async with rig({"SEGUE_COALESCING": "[]"}) as it:
        assert it.segue.server._live.current.coalescing is None
        peers = [await it.stack.enter_async_context(it.segue.client()) for _ in range(2)]
        for peer in peers:
            await peer.send(get())
        asked = [await it.asked(), await it.asked()]
        for each in asked:
            await each.answer()
        assert await bodies(peers) == [b"ok", b"ok"]


async def test_a_reload_between_two_requests_keeps_them_apart() -> None:
    async with rig() as it:
        (before,) = await it.ask(get())
        old = await it.asked()
        serving = it.segue.server._live.current
        it.segue.server.reload()
        await until(lambda: it.segue.server._live.current is not serving)
        (after,) = await it.ask(get())
        new = await it.asked()
        await new.answer(b"after")
        await old.answer(b"before")
        assert await bodies([before, after]) == [b"before", b"after"]


@pytest.mark.parametrize(
    "response",
    [
        answer(b"ok", b"Set-Cookie: session=1"),
        answer(b"ok", b"Cache-Control: no-store"),
        answer(b"ok", b"Cache-Control: private"),
        answer(b"ok", b"Vary: *"),
        answer(b"no", status=b"401 Unauthorized"),
        b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n" + answer(),
    ],
)
async def test_an_answer_for_one_client_goes_to_the_first_and_the_others_ask_alone(
    response: bytes,
) -> None:
    async with rig() as it:
        (first,) = await it.ask(get())
        in_flight = await it.asked()
        others = await it.ask(*[get()] * 3)
        await in_flight.peer.send(response)
        assert await first.read(len(response)) == response
        for _ in others:
            await (await it.asked()).answer(b"another")
        assert await bodies(others) == [b"another"] * 3
        assert await it.counts() == (4, 4)


async def test_those_who_shared_a_request_ask_alone_once_its_answer_is_for_one_client() -> None:
    async with rig() as it:
        (earlier,) = await it.ask(get())
        in_flight = await it.asked()
        first, second = await it.ask(get(), get())
        await in_flight.answer(b"early")
        shared = await it.asked()
        (queued,) = await it.ask(get())
        await shared.answer(b"one's own", b"Set-Cookie: a=1")
        asked = [await it.asked(), await it.asked()]
        for each in asked:
            await each.answer(b"another")
        peers = [earlier, first, second, queued]
        assert await bodies(peers) == [b"early", b"one's own", b"another", b"another"]
        assert await it.counts() == (4, 4)


async def test_private_answers_are_shared_between_requests_of_one_user() -> None:
    async with rig() as it:
        await it.ask(get(TOKEN))
        in_flight = await it.asked()
        others = await it.ask(get(TOKEN), get(TOKEN))
        await in_flight.answer(b"early", b"Cache-Control: private")
        await (await it.asked()).answer(b"mine", b"Cache-Control: private")
        assert await bodies(others) == [b"mine", b"mine"]
        assert await it.counts() == (3, 2)


@pytest.mark.parametrize("together", [True, False])
async def test_a_connection_that_ends_is_told_so_behind_a_1xx(together: bool) -> None:
    hints = b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"
    async with rig() as it:
        (peer,) = await it.ask(get(b"Connection: close"))
        asked = await it.asked()
        if together:
            await asked.peer.send(hints + answer())
            assert await peer.read_head() == hints
        else:
            await asked.peer.send(hints)
            assert await peer.read_head() == hints
            await asked.answer()
        received = await peer.read_all()
        assert status_of(received) == 200
        assert fields_of(received, b"connection") == [b"close"]
        assert received.endswith(b"\r\n\r\nok")


# Bounds.


@pytest.mark.parametrize("framing", ["length", "chunked"])
async def test_an_answer_too_large_to_be_held_streams_to_the_first(framing: str) -> None:
    async with rig({"SEGUE_LIMITS__SHARED_BODY": "64KiB"}) as it:
        (first,) = await it.ask(get())
        in_flight = await it.asked()
        (other,) = await it.ask(get())
        head, end = b"Content-Length: 131072", b""
        piece, last = PIECE, PIECE
        if framing == "chunked":
            head, end = b"Transfer-Encoding: chunked", b"0\r\n\r\n"
            piece = last = b"10000\r\n" + PIECE + b"\r\n"
        await in_flight.peer.send(b"HTTP/1.1 200 OK\r\n" + head + b"\r\n\r\n")
        # It begins to arrive before it is whole, and nobody waits for the rest of it.
        if framing == "length":
            received = await first.read_head()
            await in_flight.peer.send(piece)
        else:
            await in_flight.peer.send(piece)
            received = await first.read_head()
        await first.read(len(PIECE))
        await (await it.asked()).answer(b"small")
        assert await bodies([other]) == [b"small"]
        await in_flight.peer.send(last + end)
        rest = await first.read(len(piece + last + end) - len(PIECE))
        assert rest.endswith(last[-1000:] + end)
        assert head in received
        assert await it.counts() == (2, 2)


async def test_a_slow_reader_of_an_answer_that_streams_stops_its_own_server_only() -> None:
    env = {"SEGUE_LIMITS__SHARED_BODY": "1KiB", "SEGUE_LIMITS__BUFFER": "1KiB"}
    async with rig(env) as it:
        (slow,) = await it.ask(get())
        in_flight = await it.asked()
        slow.stop_reading()
        size = 64 << 20
        head = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % size
        in_flight.peer.writer.write(head + PIECE * (size // len(PIECE)))
        upstream = it.segue.server._data.fleet.pools[0]._open
        await until(lambda: any(not each.transport.is_reading() for each in upstream))
        (other,) = await it.ask(get())
        await (await it.asked()).answer(b"at once")
        assert await bodies([other]) == [b"at once"]
        slow.read_on()
        await slow.read_head()
        assert len(await slow.read(size)) == size


async def test_requests_beyond_the_number_that_may_wait_are_sent_alone() -> None:
    async with rig({"SEGUE_LIMITS__SHARED_WAITERS": "2"}) as it:
        peers = await it.ask(get())
        in_flight = await it.asked()
        peers += await it.ask(get())
        peers += await it.ask(get())
        await (await it.asked()).answer(b"alone")
        assert await bodies(peers[2:]) == [b"alone"]
        await in_flight.answer(b"first")
        await (await it.asked()).answer(b"second")
        assert await bodies(peers[:2]) == [b"first", b"second"]
        # Those who have their answers wait no more.
        peers = await it.ask(get())
        in_flight = await it.asked()
        peers += await it.ask(get())
        await it.nothing_asked()
        await in_flight.answer()
        await (await it.asked()).answer()
        assert await bodies(peers) == [b"ok", b"ok"]


# Clients that are slow, or go.


async def test_one_slow_reader_does_not_hold_the_others_up() -> None:
    # More than the sockets' own buffers take.
    whole = PIECE * 512
    env = {
        "SEGUE_LIMITS__BUFFER": "1KiB",
        "SEGUE_LIMITS__SHARED_BODY": "40MiB",
        "SEGUE_LIMITS__MEMORY": "1GiB",
    }
    async with rig(env) as it:
        await it.ask(get())
        in_flight = await it.asked()
        slow, quick, last = await it.ask(get(), get(), get())
        slow.stop_reading()
        await in_flight.answer()
        await (await it.asked()).answer(whole)
        assert await bodies([quick, last]) == [whole, whole]
        clients = cast(list[ClientConnection], it.segue.server._data.listener.connections)
        waiting = [
            cast(asyncio.Transport, each.transport).get_write_buffer_size() for each in clients
        ]
        assert 0 < max(waiting) <= 2 * len(PIECE)
        # While it reads nothing, the question can be asked again and again.
        for _ in range(2):
            (again,) = await it.ask(get())
            await (await it.asked()).answer(b"again")
            assert await bodies([again]) == [b"again"]
        slow.read_on()
        assert await bodies([slow]) == [whole]


async def test_a_client_that_goes_takes_nothing_away_from_the_others() -> None:
    async with rig() as it:
        await it.ask(get())
        in_flight = await it.asked()
        first, second, third = await it.ask(get(), get(), get())
        await in_flight.answer()
        shared = await it.asked()
        first.reset()
        await it.gone(1)
        await shared.answer(b"whole")
        assert await bodies([second, third]) == [b"whole", b"whole"]
        assert await it.counts() == (4, 2)


async def test_what_nobody_waits_for_any_more_is_given_up_and_the_next_one_sent() -> None:
    async with rig() as it:
        (first,) = await it.ask(get())
        in_flight = await it.asked()
        second, third = await it.ask(get(), get())
        first.reset()
        async with asyncio.timeout(PATIENCE):
            await in_flight.ended.wait()
        following = await it.asked()
        third.reset()
        await it.gone(2)
        await following.answer(b"next")
        assert await bodies([second]) == [b"next"]


async def test_a_queue_that_everybody_has_left_is_forgotten() -> None:
    async with rig() as it:
        (first,) = await it.ask(get())
        in_flight = await it.asked()
        (second,) = await it.ask(get())
        second.reset()
        await it.gone(1)
        await in_flight.answer()
        await bodies([first])
        await it.nothing_asked()
        assert await it.counts() == (2, 1)
        assert not it.segue.server._data.coalescer._queues
        assert it.segue.server._data.coalescer._waiting == 0


async def test_a_client_that_goes_while_an_answer_streams_to_it_ends_it() -> None:
    async with rig() as it:
        (first,) = await it.ask(get())
        in_flight = await it.asked()
        head = b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\nSet-Cookie: a=1\r\n\r\n"
        await in_flight.peer.send(head)
        assert await first.read_head() == head
        first.reset()
        async with asyncio.timeout(PATIENCE):
            await in_flight.ended.wait()


# Errors.


@pytest.mark.parametrize(
    "broken",
    [
        b"",
        b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n",
        b"not HTTP\r\n\r\n",
    ],
)
async def test_a_broken_answer_is_an_error_for_all_and_the_next_is_asked(broken: bytes) -> None:
    async with rig() as it:
        peers = await it.ask(get())
        asked = await it.asked()
        for _ in range(2):
            waiting = await it.ask(*[get()] * 2)
            await asked.peer.send(broken)
            await asked.peer.close()
            answers = [await peer.read_response() for peer in peers]
            assert [status_of(head) for head, _ in answers] == [502] * len(peers)
            ids = [json.loads(body)["request_id"] for _, body in answers]
            assert ids[0] == asked.request_id.decode()
            assert len(set(ids)) == len(peers)
            peers, asked = waiting, await it.asked()
        await asked.answer(b"well")
        assert await bodies(peers) == [b"well", b"well"]
        assert await it.counts() == (5, 3)


async def test_an_answer_that_breaks_off_while_it_streams_breaks_its_client_off() -> None:
    async with rig() as it:
        (first,) = await it.ask(get())
        in_flight = await it.asked()
        await in_flight.peer.send(
            b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\nSet-Cookie: a=1\r\n\r\nhalf"
        )
        await first.read_head()
        assert await first.read(4) == b"half"
        await in_flight.peer.close()
        assert await first.ended_by_reset()


async def test_a_fault_of_segues_own_is_told_to_all_and_ends_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def fail(*_: object) -> None:
        raise RuntimeError("Bearer a.b.c")

    async with rig() as it:
        with monkeypatch.context() as patch:
            patch.setattr(Dispatcher, "exchange", fail)
            (peer,) = await it.ask(get(TOKEN))
            head, body = await peer.read_response()
            assert status_of(head) == 500
            assert json.loads(body)["title"] == "Internal error"
        peers = await it.ask(get(TOKEN))
        await (await it.asked()).answer()
        assert await bodies(peers) == [b"ok"]
        assert "RuntimeError" in it.segue.log.getvalue()
        assert "a.b.c" not in it.segue.log.getvalue()


async def test_a_drain_answers_everybody_who_waits() -> None:
    async with rig() as it:
        (first,) = await it.ask(get())
        in_flight = await it.asked()
        others = await it.ask(get(), get())
        drain = asyncio.create_task(it.segue.server.drain())
        clients = cast(list[ClientConnection], it.segue.server._data.listener.connections)
        await until(lambda: not any(client.persistent for client in clients))
        await in_flight.answer(b"first")
        await (await it.asked()).answer(b"last")
        received = []
        for peer in (first, *others):
            received.append(await peer.read_all())
            await peer.close()
        assert [each.rpartition(b"\r\n\r\n")[2] for each in received] == [
            b"first",
            b"last",
            b"last",
        ]
        assert [fields_of(each, b"connection") for each in received] == [[b"close"]] * 3
        assert await drain


async def test_a_drain_that_is_out_of_time_leaves_nothing_behind() -> None:
    async with rig({"SEGUE_TIMEOUTS__DRAIN": "100ms"}) as it:
        peers = await it.ask(get(), get(b"Cookie: a=1"))
        held = [await it.asked(), await it.asked()]
        peers += await it.ask(get())
        assert not await it.segue.server.drain()
        for peer in peers:
            assert await peer.read_all() == b""
        for each in held:
            async with asyncio.timeout(PATIENCE):
                await each.ended.wait()
        assert not it.segue.server._data.coalescer._tasks


async def test_closing_gives_up_what_is_still_asked_of_the_server() -> None:
    async with rig() as it:
        (peer,) = await it.ask(get())
        asked = await it.asked()
        await it.segue.server._data.coalescer.close()
        async with asyncio.timeout(PATIENCE):
            await asked.ended.wait()
        assert not it.segue.server._data.coalescer._tasks
        peer.reset()
        await it.gone(1)


# Mapped bodies.


async def test_a_mapped_answer_is_mapped_once_for_all(tmp_path: Path) -> None:
    (tmp_path / "mappings").mkdir()
    (tmp_path / "mappings" / "prompt.yaml").write_text(
        "name: prompt\ndescription: Shows it.\nchannel: http\ndirection: to_client\nrules:\n"
        "  - name: prompt\n    match: {field: initial_prompt, exists: true}\n"
        "    do: [{rename: {initial_prompt: prompt}}]\n"
        "    examples: [{in: {initial_prompt: a}, out: {prompt: a}}]\n"
    )
    config = tmp_path / "config.yaml"
    config.write_text(
        "upstream: {url: 'http://127.0.0.1:1'}\nversions: {default: '2'}\n"
        "coalescing: [{name: jobs, path: '/api/jobs/{}/'}]\n"
        "cohorts:\n  - name: modern\n    versions: '>=2'\n"
        "    http: [{path: '/api/jobs/{}/', to_client: [prompt]}]\n"
    )
    async with rig({}, config) as it:
        peers = await it.ask(get(b"If-None-Match: x"))
        asked = await it.asked()
        peers += await it.ask(get(b"If-None-Match: x"), get(b"If-None-Match: y"))
        old = b'{"initial_prompt": 1}', b"Content-Type: application/json"
        await asked.answer(*old)
        await (await it.asked()).answer(*old)
        assert await bodies(peers) == [b'{"prompt":1}'] * 3
        labels = {"mapping": "prompt", "direction": "to_client", "outcome": "mapped"}
        assert await it.segue.metric("segue_messages_total", **labels) == 2
        assert await it.counts() == (3, 2)


async def test_who_has_the_token_without_the_cookie_shares_no_answer_of_its_owner(
    tmp_path: Path,
) -> None:
    """The cookie goes no further than Segue, so that the two requests look alike to the server."""
    settings = {"SESSIONS__BINDING": "cookie", "COALESCING": "[{name: jobs, path: /api/**}]"}
    async with authority() as server, proxied(server, tmp_path, **settings) as proxy:
        owner = Client(proxy)
        (cookie,) = fields_of(await owner.log_in(), b"set-cookie")
        owner.fields = (b"Cookie: " + cookie.partition(b";")[0],)
        thief = Client(proxy, owner.access)
        server.revoked.add(owner.access)  # From here on only the owner is let in, by the cookie.
        assert await owner.get() == 200
        assert await thief.get() == 401
        gate = Gate()
        server.answers["/api/jobs/"] = gate
        received = proxy.server._data.coalescer.received

        async def asking(client: Client) -> asyncio.Task[int]:
            before = received["jobs"]
            task = asyncio.create_task(client.get())
            await until(lambda: received["jobs"] > before)
            return task

        first = await asking(owner)
        await gate.reached.wait()
        second, stolen, third = [await asking(each) for each in (owner, thief, owner)]
        gate.open.set()
        async with asyncio.timeout(PATIENCE):
            assert [await each for each in (first, second, third)] == [200, 200, 200]
            assert await stolen == 401
        # The owner's own two have shared one.
        assert await proxy.metric("segue_coalescing_upstream_requests_total", route="jobs") == 5
