"""Several servers, one of them in trouble: who gets a request, and that none is sent twice."""

from __future__ import annotations

import asyncio
import json
import random
import socket
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from proxy.upstream.health import HealthState
from proxy.upstream.pool import Pool
from tests.support.rig import RawPeer, Segue, segue, status_of
from tests.support.sockets import fields_of, handshake, switch
from tests.support.waiting import PATIENCE

GET = b"GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n"
POST = b"POST / HTTP/1.1\r\nHost: h\r\nConnection: close\r\nContent-Length: 5\r\n\r\nhello"
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
BUSY = b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n"

QUICK = {"SEGUE_TIMEOUTS__WEBSOCKET_CLOSE": "50ms"}

SAFE = (b"GET", b"HEAD", b"OPTIONS")

Answer = Callable[[RawPeer], Awaitable[bool]]
"""What is done about one request; whether the connection goes on."""


async def serve_ok(peer: RawPeer) -> bool:
    await peer.send(OK)
    return True


async def say_busy(peer: RawPeer) -> bool:
    await peer.send(BUSY)
    return True


async def reset(peer: RawPeer) -> bool:
    peer.reset()
    return False


async def end(_: RawPeer) -> bool:
    return False


async def hang(peer: RawPeer) -> bool:
    await peer.read_all()
    return False


async def begin_and_reset(peer: RawPeer) -> bool:
    await peer.send(b"HTTP/1.1 200 OK\r\nContent-")
    return False


@dataclass
class Origin:
    """A server whose behaviour can change, and that remembers what it was sent."""

    port: int = 0
    behave: Answer = serve_ok
    received: list[bytes] = field(default_factory=list)
    connections: int = 0
    _server: asyncio.Server | None = None

    @property
    def name(self) -> str:
        return f"127.0.0.1:{self.port}"

    async def start(self) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    def stop(self) -> None:
        """Refuse connections from here on."""
        if self._server is not None:
            self._server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        peer = RawPeer(reader, writer)
        try:
            while True:
                head = await peer.read_head()
                size = fields_of(head, b"content-length")
                body = await peer.read(int(size[0])) if size else b""
                self.received.append(head + body)
                if not await self.behave(peer):
                    return
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            await peer.close()


@asynccontextmanager
async def origins(number: int = 2) -> AsyncIterator[list[Origin]]:
    servers = [Origin() for _ in range(number)]
    for server in servers:
        await server.start()
    try:
        yield servers
    finally:
        for server in servers:
            server.stop()


@pytest.fixture
def configured(tmp_path: Path) -> Callable[..., Path]:
    """Writes a configuration with these servers."""

    def write(*addresses: str, more: str = "") -> Path:
        (tmp_path / "mappings").mkdir(exist_ok=True)
        file = tmp_path / "config.yaml"
        targets = ", ".join(f'"http://{address}"' for address in addresses)
        file.write_text(f"upstream:\n  targets: [{targets}]\n{more}")
        return file

    return write


Configured = Callable[..., Path]


async def ask(proxy: Segue, request: bytes = GET) -> int:
    return status_of(await proxy.ask(request))


async def becomes(proxy: Segue, value: float, name: str, **labels: str) -> None:
    """Wait until a metric has this value."""
    async with asyncio.timeout(PATIENCE):
        while await proxy.metric(name, **labels) != value:  # noqa: ASYNC110 (it tells nobody)
            await asyncio.sleep(0.01)


def events(proxy: Segue, name: str) -> list[str]:
    """The servers that lines of this event name, as far as they are written."""
    lines = [json.loads(line) for line in proxy.log.getvalue().splitlines()]
    return [line["upstream"] for line in lines if line["event"] == name]


async def logged(proxy: Segue, name: str, number: int) -> list[str]:
    """The same, once there are so many: lines are written by a thread of their own."""
    async with asyncio.timeout(PATIENCE):
        while len(events(proxy, name)) < number:  # noqa: ASYNC110 (it tells nobody)
            await asyncio.sleep(0.01)
    return events(proxy, name)


@contextmanager
def saturated(port: int = 0) -> Iterator[str]:
    """An address at which connections neither succeed nor fail: its backlog is full."""
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(("127.0.0.1", port))
        listener.listen(0)
        fillers = [socket.socket() for _ in range(4)]
        for filler in fillers:
            filler.setblocking(False)
            filler.connect_ex(listener.getsockname())
        yield f"127.0.0.1:{listener.getsockname()[1]}"
        for filler in fillers:
            filler.close()


@pytest.fixture
def silent() -> Iterator[str]:
    with saturated() as address:
        yield address


# Which server.


async def test_requests_are_shared_out_and_the_log_names_the_server(configured: Configured) -> None:
    async with origins(3) as servers:
        config = configured(*(each.name for each in servers))
        async with segue(None, config=config) as proxy:
            for _ in range(9):
                assert await ask(proxy) == 200
            assert [len(each.received) for each in servers] == [3, 3, 3]
            named = await logged(proxy, "request", 9)
            assert sorted(named) == sorted([each.name for each in servers] * 3)
            for each in servers:
                assert await proxy.metric("segue_upstream_up", target=each.name) == 1
                assert await proxy.metric("segue_upstream_connects_total", target=each.name) == 1
                assert await proxy.metric("segue_upstream_reuses_total", target=each.name) == 2


async def test_server_that_has_less_to_do_gets_the_next_request(configured: Configured) -> None:
    arrived, release = asyncio.Event(), asyncio.Event()

    async def hold(peer: RawPeer) -> bool:
        arrived.set()
        await release.wait()
        return await serve_ok(peer)

    async with origins() as servers:
        for each in servers:
            each.behave = hold
        config = configured(*(each.name for each in servers))
        async with segue(None, config=config) as proxy:
            waiting = asyncio.create_task(ask(proxy))
            await arrived.wait()
            slow, quick = sorted(servers, key=lambda each: -len(each.received))
            quick.behave = serve_ok
            name = "segue_upstream_load"
            assert await proxy.metric(name, target=slow.name, kind="request") == 1
            for _ in range(5):
                assert await ask(proxy) == 200
            assert (len(slow.received), len(quick.received)) == (1, 5)
            release.set()
            assert await waiting == 200
            assert await proxy.metric(name) == 0


def accepting(end: asyncio.Event) -> Answer:
    """A behaviour: accept a WebSocket, and keep it open until it is to end."""

    async def accept(peer: RawPeer) -> bool:
        await peer.send(switch())
        await end.wait()
        return False

    return accept


async def open_sockets(proxy: Segue, clients: AsyncExitStack, number: int) -> None:
    for _ in range(number):
        client = await clients.enter_async_context(proxy.client())
        await client.send(handshake())
        assert status_of(await client.read_head()) == 101


async def test_open_websockets_count_as_load(configured: Configured) -> None:
    name, kind = "segue_upstream_load", "websocket"
    async with origins() as (one, other):
        ends = asyncio.Event(), asyncio.Event()
        one.behave, other.behave = (accepting(end) for end in ends)
        config = configured(one.name, other.name)
        async with AsyncExitStack() as clients, segue(None, QUICK, config) as proxy:
            await open_sockets(proxy, clients, 6)
            for each in (one, other):
                assert await proxy.metric(name, target=each.name, kind=kind) == 3
            ends[0].set()
            await becomes(proxy, 0, name, target=one.name)
            one.behave = accepting(ends[1])
            await open_sockets(proxy, clients, 3)
            assert (len(one.received), len(other.received)) == (6, 3)
            ends[1].set()
            await becomes(proxy, 0, name)


# A server that cannot be reached.


@pytest.mark.parametrize("request_bytes", [GET, POST], ids=["safe", "with an effect"])
async def test_request_goes_elsewhere_where_connecting_is_refused(
    configured: Configured, request_bytes: bytes
) -> None:
    async with origins() as (dead, alive):
        dead.stop()
        config = configured(dead.name, alive.name)
        async with segue(None, config=config) as proxy:
            for _ in range(10):
                assert await ask(proxy, request_bytes) == 200
            assert len(alive.received) == 10
            assert await logged(proxy, "request", 10) == [alive.name] * 10
            retries = await proxy.metric(
                "segue_upstream_retries_total", target=dead.name, reason="unreached"
            )
            assert retries == 3, "it was asked more often than it takes to be put out"
            assert await proxy.metric("segue_upstream_ejections_total", target=dead.name) == 1
            assert await proxy.metric("segue_upstream_up", target=dead.name) == 0
            assert await proxy.metric("segue_upstream_up", target=alive.name) == 1
            assert await proxy.metric("segue_errors_total") == 0
            assert await logged(proxy, "upstream ejected", 1) == [dead.name]
        assert all(each.endswith(b"hello") for each in alive.received) is (request_bytes is POST)


async def test_request_goes_elsewhere_where_connecting_hangs(
    configured: Configured, silent: str
) -> None:
    async with origins(1) as (alive,):
        config = configured(silent, alive.name)
        async with segue(None, {"SEGUE_TIMEOUTS__CONNECT": "100ms"}, config) as proxy:
            for _ in range(6):
                assert await ask(proxy, POST) == 200
            assert len(alive.received) == 6
            assert await proxy.metric("segue_upstream_ejections_total", target=silent) == 1


async def test_no_further_try_begins_when_the_answer_should_have_been_there(
    configured: Configured, silent: str
) -> None:
    async with origins(1) as (alive,):
        env = {"SEGUE_TIMEOUTS__CONNECT": "200ms", "SEGUE_TIMEOUTS__RESPONSE": "100ms"}
        async with segue(None, env, configured(silent, alive.name)) as proxy:
            statuses = {await ask(proxy) for _ in range(2)}
            assert statuses == {200, 504}
            assert len(alive.received) == 1


@pytest.mark.parametrize(("retries", "status"), [(0, 502), (1, 502), (2, 502), (3, 200)])
async def test_number_of_tries_is_bounded(
    configured: Configured, retries: int, status: int
) -> None:
    async with origins(4) as servers:
        *dead, alive = servers
        config = configured(
            *(each.name for each in servers),
            more=f"  retries: {retries}\n  ejection: {{failures: 1000}}\n",
        )
        for each in dead:
            each.stop()
        async with segue(None, config=config) as proxy:
            found = []
            for _ in range(4):
                before = await proxy.metric("segue_upstream_failures_total")
                found.append(await ask(proxy))
                tried = await proxy.metric("segue_upstream_failures_total") - before
                assert tried <= retries + 1
            assert len(alive.received) == found.count(200)
            if status == 200:
                assert found == [200] * 4
            else:
                assert 502 in found


async def test_where_all_are_out_all_are_tried(configured: Configured) -> None:
    async with origins() as servers:
        config = configured(
            *(each.name for each in servers), more="  ejection: {backoff: 1h, longest: 1h}\n"
        )
        for each in servers:
            each.stop()
        async with segue(None, config=config) as proxy:
            for _ in range(10):
                assert await ask(proxy) == 502
            # The last one that is in stays in, and the other is asked in its stead none the less.
            assert await proxy.metric("segue_upstream_ejections_total") == 1
            # Both are told of, the second as one that is still asked.
            out = await logged(proxy, "upstream ejected", 2)
            assert len(out) == 2
            [first] = [each for each in servers if each.name == out[0]]
            await first.start()
            assert await ask(proxy) == 200
            assert await logged(proxy, "upstream recovered", 1) == [first.name]


async def refuse(origin: Origin) -> None:
    origin.stop()


def behaving(behave: Answer) -> Callable[[Origin], Awaitable[None]]:
    async def change(origin: Origin) -> None:
        origin.behave = behave

    return change


@pytest.mark.parametrize(
    "trouble",
    [refuse, *map(behaving, (reset, end, hang, begin_and_reset, say_busy))],
    ids=["refuses", "resets", "ends", "hangs", "breaks off", "busy"],
)
async def test_server_that_was_in_trouble_comes_back_after_its_back_off(
    configured: Configured, trouble: Callable[[Origin], Awaitable[None]]
) -> None:
    async with origins() as (one, other):
        config = configured(
            one.name, other.name, more="  ejection: {failures: 1, backoff: 20ms, longest: 40ms}\n"
        )
        async with segue(None, {"SEGUE_TIMEOUTS__RESPONSE": "50ms"}, config) as proxy:
            await trouble(one)
            async with asyncio.timeout(PATIENCE):
                while not events(proxy, "upstream ejected"):
                    await ask(proxy, POST)
            one.behave = serve_ok
            if trouble is refuse:
                await one.start()
            before = len(one.received)
            async with asyncio.timeout(PATIENCE):
                while not events(proxy, "upstream recovered"):
                    assert await ask(proxy, POST) == 200
            assert len(one.received) > before
            assert set(events(proxy, "upstream ejected")) == {one.name}
            assert await proxy.metric("segue_upstream_up", target=one.name) == 1


def state_of(pool: Pool) -> HealthState:
    return pool.health.state


@pytest.mark.parametrize("connected", [True, False], ids=["waiting", "connecting"])
async def test_trial_whose_client_leaves_is_followed_by_another(
    configured: Configured, connected: bool
) -> None:
    async with origins() as (one, other):
        config = configured(
            one.name, other.name, more="  ejection: {failures: 1, backoff: 20ms, longest: 40ms}\n"
        )
        async with segue(None, config=config) as proxy:
            [pool] = [each for each in proxy.server._data.fleet.pools if each.name == one.name]
            one.behave = end
            while pool.health.is_healthy:
                await ask(proxy)
            one.behave, other.behave = hang, hang
            clients: list[RawPeer] = []
            with ExitStack() as silence:
                if not connected:
                    one.stop()
                    await asyncio.sleep(0)
                    silence.enter_context(saturated(one.port))
                async with asyncio.timeout(PATIENCE):
                    # Of those that come now, one is the trial.
                    while state_of(pool) is not HealthState.HALF_OPEN:
                        clients.append(await proxy.connect())
                        await clients[-1].send(GET)
                        await asyncio.sleep(0.005)
                    while connected and not pool.busy:  # noqa: ASYNC110 (it tells nobody)
                        await asyncio.sleep(0.005)
                    for client in clients:
                        client.reset()
                    while pool.load:  # noqa: ASYNC110 (it tells nobody)
                        await asyncio.sleep(0.005)
            assert state_of(pool) is HealthState.EJECTED
            one.behave = other.behave = serve_ok
            if not connected:
                await one.start()
            async with asyncio.timeout(PATIENCE):
                while not pool.health.is_healthy:
                    assert await ask(proxy) == 200


async def test_connection_to_a_server_that_has_left_ends_with_its_exchange(
    configured: Configured,
) -> None:
    arrived, release, ended = asyncio.Event(), asyncio.Event(), asyncio.Event()

    async def hold(peer: RawPeer) -> bool:
        arrived.set()
        await release.wait()
        await serve_ok(peer)
        assert await peer.read_all() == b""
        ended.set()
        return False

    async with origins() as (one, other):
        one.behave = hold
        async with segue(None, config=configured(one.name)) as proxy:
            waiting = asyncio.create_task(ask(proxy))
            await arrived.wait()
            configured(other.name)
            proxy.server.reload()
            await becomes(proxy, 1, "segue_upstream_up", target=other.name)
            assert await ask(proxy) == 200
            assert len(other.received) == 1
            assert await proxy.metric("segue_upstream_connections", target=one.name) == 1
            release.set()
            assert await waiting == 200
            async with asyncio.timeout(PATIENCE):
                await ended.wait()


# A server that takes a request and does not answer it.


@pytest.mark.parametrize("trouble", [reset, end], ids=["reset", "end"])
@pytest.mark.parametrize("method", SAFE)
async def test_safe_request_that_was_not_answered_goes_elsewhere(
    configured: Configured, trouble: Answer, method: bytes
) -> None:
    async with origins() as (broken, alive):
        broken.behave = trouble
        async with segue(None, config=configured(broken.name, alive.name)) as proxy:
            for _ in range(8):
                assert await ask(proxy, GET.replace(b"GET", method)) == 200
            assert len(alive.received) == 8
            assert len(broken.received) == 3
            retries = await proxy.metric(
                "segue_upstream_retries_total", target=broken.name, reason="unanswered"
            )
            assert retries == 3


@pytest.mark.parametrize("trouble", [reset, end], ids=["reset", "end"])
@pytest.mark.parametrize(
    "request_bytes",
    [
        POST,
        POST.replace(b"Content-Length: 5\r\n\r\nhello", b"\r\n"),
        POST.replace(b"POST", b"PUT"),
        GET.replace(b"GET", b"DELETE"),
        POST.replace(b"POST", b"GET"),
    ],
    ids=["post", "post without body", "put", "delete", "get with body"],
)
async def test_request_that_is_not_safe_to_repeat_is_sent_once(
    configured: Configured, trouble: Answer, request_bytes: bytes
) -> None:
    async with origins() as (broken, alive):
        broken.behave = trouble
        async with segue(None, config=configured(broken.name, alive.name)) as proxy:
            statuses = [await ask(proxy, request_bytes) for _ in range(10)]
            assert statuses.count(502) == len(broken.received) == 3
            assert statuses.count(200) == len(alive.received) == 7
            assert await proxy.metric("segue_upstream_retries_total") == 0


async def test_answer_that_has_begun_is_not_asked_for_elsewhere(configured: Configured) -> None:
    async with origins() as (broken, alive):
        broken.behave = begin_and_reset
        async with segue(None, config=configured(broken.name, alive.name)) as proxy:
            statuses = [await ask(proxy) for _ in range(10)]
            assert statuses.count(502) == len(broken.received) == 3
            assert statuses.count(200) == len(alive.received) == 7


async def test_server_that_hangs_is_left_alone_and_its_requests_are_not_asked_elsewhere(
    configured: Configured,
) -> None:
    async with origins() as (stuck, alive):
        stuck.behave = hang
        env = {"SEGUE_TIMEOUTS__RESPONSE": "100ms"}
        config = configured(stuck.name, alive.name, more="  ejection: {backoff: 1h, longest: 1h}\n")
        async with segue(None, env, config) as proxy:
            statuses = await asyncio.gather(*(ask(proxy) for _ in range(10)))
            assert statuses.count(504) == len(stuck.received) > 0
            assert statuses.count(200) == len(alive.received)
            for _ in range(10):
                await ask(proxy)
            before = len(stuck.received)
            assert [await ask(proxy) for _ in range(10)] == [200] * 10
            assert len(stuck.received) == before
            assert await proxy.metric("segue_upstream_up", target=stuck.name) == 0


async def test_server_that_says_that_it_cannot_serve_is_left_alone(configured: Configured) -> None:
    async with origins() as (busy, alive):
        busy.behave = say_busy
        config = configured(busy.name, alive.name, more="  ejection: {backoff: 1h, longest: 1h}\n")
        async with segue(None, config=config) as proxy:
            statuses = [await ask(proxy) for _ in range(20)]
            assert statuses.count(503) == 3, "its answers are passed on, until it is left alone"
            assert statuses.count(200) == 17


async def test_with_no_retries_nothing_is_ever_sent_twice(configured: Configured) -> None:
    async with origins(1) as (only,):
        async with segue(None, config=configured(only.name, more="  retries: 0\n")) as proxy:
            assert await ask(proxy) == 200
            only.behave = end
            assert await ask(proxy) == 502
            assert len(only.received) == 2
            assert only.connections == 1


async def test_kept_connection_to_a_server_that_is_gone_leads_elsewhere(
    configured: Configured,
) -> None:
    """Stale on the one, refused by the one, answered by the other."""
    async with origins() as (one, other):
        config = configured(one.name, other.name)
        async with segue(None, config=config) as proxy:
            assert [await ask(proxy) for _ in range(2)] == [200, 200]

            async def stop_and_end(_: RawPeer) -> bool:
                one.stop()
                return False

            one.behave = stop_and_end
            assert [await ask(proxy) for _ in range(2)] == [200, 200]
            for reason in ("stale", "unreached"):
                name = "segue_upstream_retries_total"
                assert await proxy.metric(name, target=one.name, reason=reason) == 1


# WebSockets, and the name of the server.


async def test_handshake_goes_elsewhere_where_connecting_is_refused(configured: Configured) -> None:
    async with origins() as (dead, alive):
        dead.stop()
        end = asyncio.Event()
        alive.behave = accepting(end)
        config = configured(dead.name, alive.name)
        async with AsyncExitStack() as clients, segue(None, QUICK, config) as proxy:
            await open_sockets(proxy, clients, 6)
            assert len(alive.received) == 6
            name = "segue_upstream_load"
            assert await proxy.metric(name, target=alive.name, kind="websocket") == 6
            assert await proxy.metric(name) == 6
            end.set()
            await becomes(proxy, 0, name)


async def test_handshake_that_was_sent_is_not_sent_elsewhere(configured: Configured) -> None:
    async with origins() as (broken, alive):
        broken.behave = alive.behave = end
        async with segue(None, config=configured(broken.name, alive.name)) as proxy:
            assert status_of(await proxy.ask(handshake())) == 502
            assert len(broken.received) + len(alive.received) == 1


async def test_handshakes_that_hang_put_a_server_out(configured: Configured) -> None:
    async with origins() as (stuck, alive):
        stuck.behave = hang
        env = {
            "SEGUE_TIMEOUTS__WEBSOCKET_HANDSHAKE": "50ms",
            "SEGUE_TIMEOUTS__WEBSOCKET_CLOSE": "50ms",
        }
        config = configured(stuck.name, alive.name, more="  ejection: {backoff: 1h, longest: 1h}\n")
        done = asyncio.Event()
        alive.behave = accepting(done)
        done.set()
        async with segue(None, env, config) as proxy:
            for _ in range(8):
                await proxy.ask(handshake())
            assert len(stuck.received) == 3
            assert await logged(proxy, "upstream ejected", 1) == [stuck.name]
            reason = '"reason": "the server did not answer the handshake in time"'
            assert reason in proxy.log.getvalue()


@pytest.mark.parametrize("target", [b"/", b"http://elsewhere/"], ids=["origin", "absolute"])
@pytest.mark.parametrize("preserved", [True, False])
async def test_host_is_that_of_the_server_that_is_asked_unless_the_clients_is_kept(
    configured: Configured, preserved: bool, target: bytes
) -> None:
    async with origins() as (broken, alive):
        broken.behave = end
        more = f"  preserve_host: {str(preserved).lower()}\n"
        async with segue(None, config=configured(broken.name, alive.name, more=more)) as proxy:
            for _ in range(2):
                assert await ask(proxy, GET.replace(b" /", b" " + target, 1)) == 200
            for each in (broken, alive):
                hosts = {value for head in each.received for value in fields_of(head, b"host")}
                named = b"h" if target == b"/" else b"elsewhere"
                assert hosts == {named if preserved else each.name.encode()}


# All of it at once.


async def test_nothing_is_sent_twice_that_must_not_be_whatever_the_servers_do(
    configured: Configured,
) -> None:
    """Three servers change what they do all the time; each request bears a number of its own."""
    chance = random.Random(4)
    troubles = (serve_ok, serve_ok, serve_ok, reset, end, begin_and_reset, say_busy)
    statuses: dict[bytes, int] = {}

    async with origins(3) as servers:
        more = "  retries: 2\n  ejection: {failures: 2, backoff: 5ms, longest: 10ms}\n"
        config = configured(*(each.name for each in servers), more=more)
        async with segue(None, config=config) as proxy:

            async def client(number: int) -> None:
                async with AsyncExitStack() as open_now:
                    peer: RawPeer | None = None
                    for count in range(40):
                        servers[chance.randrange(3)].behave = chance.choice(troubles)
                        method, body = chance.choice(
                            ((b"GET", b""), (b"POST", b"hello"), (b"DELETE", b""), (b"PUT", b"x"))
                        )
                        path = b"/%b/%d/%d" % (method, number, count)
                        if peer is None:
                            peer = await open_now.enter_async_context(proxy.client())
                        await peer.send(
                            b"%b %b HTTP/1.1\r\nHost: h\r\nContent-Length: %d\r\n\r\n%b"
                            % (method, path, len(body), body)
                        )
                        head, _ = await peer.read_response()
                        statuses[path] = status_of(head)
                        if b"Connection: close" in head:
                            peer = None

            async def outages() -> None:
                for each in servers * 2:
                    each.stop()
                    # Where this is behind, the last requests are over before the last outage is.
                    wanted = min(len(statuses) + 40, 8 * 40)
                    while len(statuses) < wanted:  # noqa: ASYNC110 (a count tells nobody)
                        await asyncio.sleep(0.001)
                    await each.start()

            async with asyncio.timeout(PATIENCE):
                await asyncio.gather(outages(), *(client(number) for number in range(8)))
            assert await proxy.metric("segue_upstream_load") == 0
            assert await proxy.metric("segue_upstream_retries_total") > 0
    sent = Counter(head.split(b" ")[1] for each in servers for head in each.received)
    assert len(statuses) == 8 * 40
    for path, status in statuses.items():
        if path.startswith(b"/GET/"):
            # On each of three servers once on a kept connection, and once on a fresh one.
            assert sent[path] <= 6
        else:
            assert sent[path] <= 1, path
        assert sent[path] >= 1 or status == 502
    assert {200, 502, 503} == set(statuses.values())
