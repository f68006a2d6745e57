"""Answers that are given again, until the server says that something has changed."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from proxy.freshness.generations import Sign
from proxy.memory import Kind
from tests.support.authority import Authority, Client, response
from tests.support.jobs_board import ROUTE, Board, board, heard
from tests.support.rfc6455 import BINARY, CLOSE, CONTINUATION, PING, TEXT
from tests.support.rig import RawPeer
from tests.support.sockets import Socket, closing
from tests.support.waiting import PATIENCE

NAMING = json.dumps({"kind": "jobStatus", "jobId": "1"}).encode()


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(PATIENCE):
        while not condition():  # noqa: ASYNC110 (it tells nobody)
            await asyncio.sleep(0.002)


async def kept(it: Board, job: str = "1") -> int:
    """Have an answer kept that will be old from here on; its version."""
    version = await it.get(job)
    asked = it.asked[job]
    assert await it.get(job) == version
    assert it.asked[job] == asked, "it was not kept"
    it.versions[job] += 1
    return version


async def test_an_answer_is_given_again_until_a_message_about_it_comes(tmp_path: Path) -> None:
    async with board(tmp_path) as it:
        socket = await it.open()
        assert [await it.get() for _ in range(5)] == [0] * 5
        assert it.asked["1"] == 1
        it.versions["1"] += 1
        assert await it.get() == 0, "nothing has been said of it"
        await it.tell()
        await socket.message()
        assert [await it.get() for _ in range(5)] == [1] * 5
        assert it.asked["1"] == 2
        assert await it.counts() == (11, 2, 9)


async def test_what_is_given_again_says_how_old_it_is_and_is_logged_as_anothers(
    tmp_path: Path,
) -> None:
    async with board(tmp_path) as it:
        await it.open()
        it.also = (b"X-Kept: 1", b"Age: 3")
        heads = [(await it.client.send("GET", "/api/jobs/1/"))[1] for _ in range(2)]
        it.proxy.server._data.freshness.clock = later(it, 7.5)
        heads.append((await it.client.send("GET", "/api/jobs/1/"))[1])
        ages = [re.findall(rb"(?i)\r\nage: (\d+)", head) for head in heads]
        assert ages == [[b"3"], [b"3"], [b"10"]]
        assert all(b"X-Kept: 1" in head for head in heads)
        assert all(b"Connection: close" in head for head in heads)
        lines = [json.loads(line) for line in it.proxy.log.getvalue().splitlines()]
        logged = [each for each in lines if each.get("path") == "/api/jobs/1/"]
        assert [each.get("shared_from") for each in logged] == [
            None,
            logged[0]["request_id"],
            logged[0]["request_id"],
        ]
        assert {each["response_size"] for each in logged} == {logged[0]["response_size"]}
        assert len({each["upstream"] for each in logged}) == 1


def later(it: Board, seconds: float) -> Callable[[], float]:
    clock = it.proxy.server._data.freshness.clock
    return lambda: clock() + seconds


Say = Callable[[Board], Awaitable[None]]


async def _in_a_list(it: Board) -> None:
    await it.tell(message=[{"kind": "other"}, {"items": [{"jobId": 1}]}])


async def _without_a_name(it: Board) -> None:
    await it.tell(message={"kind": "error"})


async def _unreadable(it: Board) -> None:
    await it.sockets["1"][0].send(TEXT, b"no JSON")


async def _binary(it: Board) -> None:
    await it.sockets["1"][0].send(BINARY, NAMING)


async def _in_two_fragments(it: Board) -> None:
    await it.sockets["1"][0].send(TEXT, NAMING[:9], fin=False)
    await it.sockets["1"][0].send(CONTINUATION, NAMING[9:])


async def _large(it: Board) -> None:
    await it.tell(message={"jobId": "1", "prdMarkdown": "a" * 400_000})


async def _too_large(it: Board) -> None:
    await it.tell(message={"jobId": "1", "prdMarkdown": "a" * 1_200_000})


@pytest.mark.parametrize(
    "say",
    [
        _in_a_list,
        _without_a_name,
        _unreadable,
        _binary,
        _in_two_fragments,
        _large,
        _too_large,
    ],
)
async def test_any_message_of_its_websocket_counts(tmp_path: Path, say: Say) -> None:
    async with board(tmp_path) as it:
        socket = await it.open()
        old = await kept(it)
        await say(it)
        await socket.message()
        assert await it.get() == old + 1


@pytest.mark.parametrize("opcode", [TEXT, BINARY])
async def test_what_cannot_be_read_counts_for_all_of_its_session(
    tmp_path: Path, opcode: int
) -> None:
    async with board(tmp_path) as it:
        await it.open("1")
        socket = await it.open("2")
        old = await kept(it)
        await it.sockets["2"][0].send(opcode, b"\xf0\x9f")
        assert (await socket.message()) == b"\xf0\x9f"
        assert await it.get("1") == old + 1


async def test_nothing_is_given_from_the_first_fragment_on(tmp_path: Path) -> None:
    """Of a message that a mapping holds, nothing has reached a client then."""
    async with board(tmp_path, VERSIONS__DEFAULT="2.0") as it:
        socket = await it.open()
        old = await kept(it)
        await it.sockets["1"][0].send(TEXT, NAMING[:9], fin=False)
        await it.sockets["1"][0].send(PING)
        assert (await socket.receive()).opcode == PING, "it has come"
        asked = it.asked["1"]
        assert [await it.get() for _ in range(3)] == [old + 1] * 3
        assert it.asked["1"] == asked + 3
        await it.sockets["1"][0].send(CONTINUATION, NAMING[9:])
        assert json.loads(await socket.message())["kind"] == "status", "it was mapped"
        await kept(it)


async def test_a_message_names_resources_of_other_websockets_and_sessions(tmp_path: Path) -> None:
    async with board(tmp_path) as it:
        other = await it.other()
        await it.open("1")
        socket = await it.open("2", other)
        old = await kept(it)
        await it.tell("2", {"jobId": "1"})
        await socket.message()
        assert await it.get() == old + 1


async def test_an_answer_that_was_asked_for_before_a_message_is_not_kept(tmp_path: Path) -> None:
    async with board(tmp_path) as it:
        socket = await it.open()
        it.holding.clear()
        asking = asyncio.create_task(it.get())
        await it.arrived.get()
        it.versions["1"] += 1
        await it.tell()
        await socket.message()
        it.holding.set()
        assert await asking == 0
        assert await it.get() == 1
        assert await it.reasons() == {"changed": 1}


async def test_those_who_wait_for_the_next_get_an_answer_that_holds(tmp_path: Path) -> None:
    async with board(tmp_path) as it:
        await it.open()
        it.holding.clear()
        first = asyncio.create_task(it.get())
        await it.arrived.get()
        others = [asyncio.create_task(it.get()) for _ in range(5)]
        received = it.proxy.server._data.coalescer.received
        await until(lambda: received["job"] == 6)
        it.holding.set()
        assert [await each for each in (first, *others)] == [0] * 6
        assert it.asked["1"] == 1


@pytest.mark.parametrize("how", ["closes", "is closed by the server", "is cut"])
async def test_when_all_have_closed_that_were_open_nothing_is_given(
    tmp_path: Path, how: str
) -> None:
    """What was on its way to them, those that opened later were not sent."""
    async with board(tmp_path) as it:
        socket = await it.open()
        old = await kept(it)
        await it.open()
        assert await it.get() == old
        signs = it.proxy.server._data.freshness.generations.signs
        before = signs[Sign.SOCKET]
        if how == "closes":
            await socket.send(CLOSE, closing(1000))
            await it.sockets["1"][0].send(CLOSE, closing(1000))
        elif how == "is closed by the server":
            # Its client does not answer yet.
            await it.sockets["1"][0].send(CLOSE, closing(1001))
            await socket.close_frame()
        else:
            it.sockets["1"][0].peer.abort()
        await until(lambda: signs[Sign.SOCKET] == before + 1)
        assert await it.get() == old + 1


@pytest.mark.parametrize("who", ["its client", "a drain", "the end of its session", "newer ones"])
async def test_once_the_server_is_told_to_close_nothing_is_given(tmp_path: Path, who: str) -> None:
    """It may unsubscribe at once, and answer late or never."""
    async with board(tmp_path) as it:
        socket = await it.open()
        old = await kept(it)
        (opened,) = it.proxy.server._data.upgrades.sockets
        if who == "its client":
            await socket.send(CLOSE, closing(1000))
        elif who == "a drain":
            opened.relay.drain()
        elif who == "the end of its session":
            opened.relay.revoke()
        else:
            opened.relay.make_room(1000)
        await until(lambda: opened.relay._closing is not None)
        assert await it.get() == old + 1
        assert await it.reasons() == {"socket": 1}


async def test_while_a_client_takes_nothing_its_websocket_counts_as_closed(tmp_path: Path) -> None:
    """The server is not read then, and its messages are not heard."""
    async with board(tmp_path) as it:
        socket = await it.open()
        old = await kept(it)
        (opened,) = it.proxy.server._data.upgrades.sockets
        socket.peer.stop_reading()
        flood = asyncio.create_task(_flood(it.sockets["1"][0], until_set := asyncio.Event()))
        await until(lambda: opened.relay.client.unsent is not None)
        assert [await it.get(), await it.get()] == [old + 1] * 2
        assert (await it.reasons())["socket"] == 2
        until_set.set()
        socket.peer.read_on()
        await until(lambda: opened.relay.client.unsent is None and flood.done())
        while (await socket.message()) != b'"last"':
            pass
        await kept(it)


async def _flood(server: Socket, over: asyncio.Event) -> None:
    text = json.dumps({"text": "a" * 60_000}).encode()
    while not over.is_set():
        await server.send(TEXT, text)
    await server.send(TEXT, b'"last"')


@pytest.mark.parametrize(
    ("method", "path", "is_own"),
    [
        ("PATCH", "/api/jobs/1/", True),
        ("DELETE", "/api/jobs/1/", False),
        ("POST", "/api/jobs/1/steps/", False),
        ("POST", "/api/elsewhere/", True),
        ("PUT", "/api//jobs/%31", False),
    ],
)
async def test_a_write_counts_by_whom_ever_and_all_writes_of_its_own(
    tmp_path: Path, method: str, path: str, is_own: bool
) -> None:
    async with board(tmp_path) as it:
        await it.open()
        old = await kept(it)
        writer = it.client if is_own else Client(it.proxy)
        await writer.send(method, path, b"{}")
        assert await it.get() > old


async def test_an_answer_that_was_asked_for_during_a_write_is_not_kept(tmp_path: Path) -> None:
    async with board(tmp_path) as it:
        await it.open()
        reached, go = asyncio.Event(), asyncio.Event()
        patch = it.server.answers["/api/jobs/1/"]

        async def slow(*what: object) -> bytes | None:
            reached.set()
            await go.wait()
            it.versions["1"] += 1
            return it.server.usual(what[2])  # type: ignore[arg-type]

        it.server.answers["/api/jobs/1/"] = slow
        writing = asyncio.create_task(it.client.send("PATCH", "/api/jobs/1/", b"{}"))
        await reached.wait()
        it.server.answers["/api/jobs/1/"] = patch
        assert [await it.get(), await it.get()] == [0, 0]
        assert it.asked["1"] == 2
        go.set()
        await writing
        assert await it.get() == 1


@pytest.mark.parametrize("how", ["its client goes", "it takes too long", "a gateway answers"])
async def test_after_a_write_without_an_answer_nothing_is_given_for_the_longest_at_most(
    tmp_path: Path, how: str
) -> None:
    """The server may still carry it out, and send no message of it."""
    settings = {"TIMEOUTS__RESPONSE": "50ms"} if how == "it takes too long" else {}
    async with board(tmp_path, **settings) as it:
        await it.open()
        await kept(it)
        reached, go = asyncio.Event(), asyncio.Event()
        usual = it.server.answers["/api/jobs/1/"]

        async def slow(*what: object) -> bytes | None:
            reached.set()
            if how == "a gateway answers":
                return response(504, b"")
            await go.wait()
            return it.server.usual(what[2])  # type: ignore[arg-type]

        it.server.answers["/api/jobs/1/"] = slow
        signs = it.proxy.server._data.freshness.generations.signs
        if how == "its client goes":
            peer = await it.proxy.connect()
            fields = b"Host: app.example.com\r\nAuthorization: Bearer " + it.client.access.encode()
            await peer.send(b"DELETE /api/jobs/1/ HTTP/1.1\r\n" + fields + b"\r\n\r\n")
            await reached.wait()
            peer.reset()
            await until(lambda: signs[Sign.WRITE] == 2)
        else:
            assert (await it.client.send("DELETE", "/api/jobs/1/"))[0] == 504
        it.server.answers["/api/jobs/1/"] = usual
        assert [await it.get(), await it.get()] == [1, 1]
        it.versions["1"] += 1  # It is carried out.
        go.set()
        assert await it.get() == 2
        freshness = it.proxy.server._data.freshness
        freshness.clock = later(it, 3599.0)
        freshness.check()
        asked = it.asked["1"]
        assert [await it.get(), await it.get()] == [2, 2]
        assert it.asked["1"] == asked + 2
        freshness.clock = later(it, 3600.0)
        freshness.check()
        await kept(it)


async def test_copies_of_a_message_on_many_websockets_cost_one_question(tmp_path: Path) -> None:
    async with board(tmp_path) as it:
        sockets = [await it.open() for _ in range(8)]
        for version in (1, 2, 3):
            it.versions["1"] = version
            await it.tell()
            for socket in sockets:
                await socket.message()
                assert await it.get() == version
        assert it.asked["1"] == 3
        signs = it.proxy.server._data.freshness.generations.signs
        assert (signs[Sign.MESSAGE], signs[Sign.COPY]) == (3, 21)


# Who gets nothing.


async def test_a_websocket_of_another_session_or_resource_or_none_is_of_no_use(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with board(tmp_path) as it:
        other = await it.other()
        await it.open("1", other)
        await it.open("2")
        nobody = Client(it.proxy, "not.of.a.session")
        monkeypatch.setattr(Authority, "is_good", lambda _, __: True)
        await it.open("1", nobody)
        assert [await it.get() for _ in range(2)] == [0, 0]
        assert [await it.get(client=nobody) for _ in range(2)] == [0, 0]
        assert it.asked["1"] == 4
        assert await it.reasons() == {"socket": 2, "session": 2}


async def test_one_session_gets_nothing_that_was_kept_for_another(tmp_path: Path) -> None:
    async with board(tmp_path) as it:
        other = await it.other()
        await it.open()
        await it.open("1", other)
        await kept(it)
        assert await it.get(client=other) == 1
        assert await it.get() == 0


@pytest.mark.parametrize(
    "field", [b"Cache-Control: no-cache", b"Cache-Control: max-age=0", b"Pragma: no-cache"]
)
async def test_a_request_that_wants_a_new_answer_gets_one(tmp_path: Path, field: bytes) -> None:
    async with board(tmp_path) as it:
        await it.open()
        old = await kept(it)
        assert [await it.get("1", field) for _ in range(2)] == [old + 1] * 2
        assert it.asked["1"] == 3


@pytest.mark.parametrize(
    "field",
    [
        b"Cache-Control: no-cache",
        b"Cache-Control: no-store",
        b"Cache-Control: max-age=0",
        b"Set-Cookie: a=b",
        b"Vary: *",
    ],
)
async def test_an_answer_that_forbids_it_is_not_given_again(tmp_path: Path, field: bytes) -> None:
    async with board(tmp_path) as it:
        await it.open()
        it.also = (field,)
        assert [await it.get() for _ in range(3)] == [0] * 3
        assert it.asked["1"] == 3


async def test_what_went_wrong_is_not_given_again(tmp_path: Path) -> None:
    async with board(tmp_path) as it:
        await it.open()
        it.status = 503
        assert [await it.get() for _ in range(2)] == [0] * 2
        assert it.asked["1"] == 2
        assert await it.reasons() == {"response": 2}


async def test_requests_that_the_server_can_tell_apart_are_answered_apart(tmp_path: Path) -> None:
    async with board(tmp_path) as it:
        await it.open()
        for field in (b"Accept: a/a", b"Accept: b/b", b"Accept: a/a", b"X-Forwarded-For: 1.2.3.4"):
            await it.get("1", field)
        assert it.asked["1"] == 3


async def test_it_is_given_for_so_long_at_most_and_then_forgotten(tmp_path: Path) -> None:
    async with board(tmp_path, ROUTE.replace("1h", "90s")) as it:
        await it.open()
        old = await kept(it)
        freshness = it.proxy.server._data.freshness
        now = freshness.clock
        freshness.clock = lambda: now() - 30.0
        assert await it.get() == old
        freshness.clock = lambda: now() + 90.0
        freshness.check()
        assert len(freshness.answers) == freshness.answers.size == 0
        assert it.proxy.server._data.memory.by_kind[Kind.KEPT_ANSWER] == 0
        assert await it.get() == old + 1


async def test_it_ends_with_the_session(tmp_path: Path) -> None:
    async with board(tmp_path) as it:
        socket = await it.open()
        await kept(it)
        body = json.dumps({"refresh": it.client.refresh}).encode()
        assert (await it.client.send("POST", "/api/auth/logout/", body))[0] == 205
        status, _, _ = await it.client.send("GET", "/api/jobs/1/")
        assert status == 401
        assert await socket.close_frame() == (1008, "session ended")
        await it.sockets["1"][0].send(CLOSE, closing(1008))
        freshness = it.proxy.server._data.freshness
        await until(lambda: freshness.generations.signs[Sign.SOCKET] == 2)
        freshness.check()
        assert len(freshness.answers) == 0


async def test_what_a_reload_may_have_changed_is_not_given(tmp_path: Path) -> None:
    async with board(tmp_path) as it:
        await it.open()
        old = await kept(it)
        live = it.proxy.server._live
        serving = live.current
        it.proxy.server.reload()
        await until(lambda: live.current is not serving)
        assert await it.get() == old + 1
        await kept(it)


async def test_there_is_a_bound_for_all_that_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("proxy.gateway.kept_answers.MAX_KEPT", 2200)
    async with board(tmp_path) as it:
        for job in "12":
            await it.open(job)
            await kept(it, job)
        freshness = it.proxy.server._data.freshness
        assert len(freshness.answers) == 1, "the oldest gave way"
        assert it.proxy.server._data.memory.by_kind[Kind.KEPT_ANSWER] == freshness.answers.size
        assert await it.proxy.metric("segue_coalescing_kept_answers") == 1
        it.also = (b"X-Large: " + b"a" * 2000,)
        assert await it.get("1", b"Accept: other/other") == 1
        assert await it.reasons() == {"full": 1}


async def test_where_there_is_no_room_in_memory_nothing_is_kept(tmp_path: Path) -> None:
    async with board(tmp_path) as it:
        await it.open()
        it.proxy.server._data.memory.size = 1000
        assert [await it.get() for _ in range(2)] == [0, 0]
        assert it.asked["1"] == 2
        assert await it.reasons() == {"full": 2}


async def ask_and_read_nothing(it: Board, count: int = 1) -> RawPeer:
    """Send requests on a connection whose client takes no answer."""
    peer = await it.proxy.connect()
    peer.stop_reading()
    fields = b"Host: app.example.com\r\nAuthorization: Bearer " + it.client.access.encode()
    await peer.send((b"GET /api/jobs/1/ HTTP/1.1\r\n" + fields + b"\r\n\r\n") * count)
    return peer


async def test_an_answer_that_somebody_takes_counts_until_nobody_does(tmp_path: Path) -> None:
    async with board(tmp_path, LIMITS__SHARED_BODY="8MiB", LIMITS__SHARED_WAITERS="1") as it:
        socket = await it.open()
        it.padding = 7_000_000  # More than kernels keep.
        await kept(it)
        peer = await ask_and_read_nothing(it)
        data = it.proxy.server._data
        await until(lambda: data.freshness.given["job"] == 2)
        # It counts as one that waits, and there may be no more of them.
        assert await it.get() == 1
        await it.tell()
        await socket.message()
        data.freshness.check()
        assert len(data.freshness.answers) == 0
        assert data.memory.by_kind[Kind.KEPT_ANSWER] > 7_000_000
        peer.reset()
        await until(lambda: data.memory.by_kind[Kind.KEPT_ANSWER] == 0)
        assert await it.get() == 1
        assert await it.get() == 1
        assert data.freshness.given["job"] == 3


async def test_an_answer_to_the_one_before_counts_until_those_who_waited_have_it(
    tmp_path: Path,
) -> None:
    async with board(tmp_path, LIMITS__SHARED_BODY="8MiB") as it:
        await it.open()
        it.padding = 7_000_000
        it.holding.clear()
        first = asyncio.create_task(it.get())
        await it.arrived.get()
        peer = await ask_and_read_nothing(it)
        data = it.proxy.server._data
        await until(lambda: data.coalescer.received["job"] == 2)
        it.holding.set()
        assert await first == 0
        assert it.asked["1"] == 1
        assert data.memory.by_kind[Kind.SHARED_ANSWER] > 7_000_000
        peer.reset()
        await until(lambda: data.memory.by_kind[Kind.SHARED_ANSWER] == 0)


async def test_where_too_many_wait_an_answer_is_kept_all_the_same(tmp_path: Path) -> None:
    async with board(tmp_path, LIMITS__SHARED_WAITERS="1") as it:
        await it.open("1")
        await it.open("2")
        it.holding.clear()
        first = asyncio.create_task(it.get("1"))
        await it.arrived.get()
        others = [asyncio.create_task(it.get("1"))]
        await it.arrived.get()
        others.append(asyncio.create_task(it.get("2")))
        await it.arrived.get()
        it.holding.set()
        for each in (first, *others):
            assert await each == 0
        await kept(it, "2")
        assert it.asked["2"] == 1
        assert await it.reasons() == {"waiters": 1}
        assert await it.proxy.metric("segue_limits_hit_total", limit="shared_waiters") == 1
        assert '"limit reached"' in it.proxy.log.getvalue()


async def test_kept_answers_give_way_to_what_is_going_on(tmp_path: Path) -> None:
    async with board(tmp_path, LIMITS__SHARED_BODY="8MiB") as it:
        it.padding = 6_000_000
        for number in range(5):
            await it.open()
            await it.get("1", b"X-Number: %d" % number)
        data = it.proxy.server._data
        before = len(data.freshness.answers)
        assert before > 1
        room = data.memory.reserve(Kind.BODY, "127.0.0.1")
        assert room.resize(data.memory.share - 1_000_000)
        assert len(data.freshness.answers) < before
        room.release()


# Where messages overtake the database.


async def test_a_question_waits_until_a_message_has_settled(tmp_path: Path) -> None:
    async with board(tmp_path, ROUTE.replace("at_most", "settle: 5ms, at_most")) as it:
        socket = await it.open()
        freshness = it.proxy.server._data.freshness
        time = [1000.0]
        freshness.clock = lambda: time[0]
        assert await it.get() == 0
        await it.tell()
        await socket.message()
        asking = asyncio.create_task(it.get())
        others = [asyncio.create_task(it.get("1", b"Range: bytes=0-")) for _ in range(2)]
        received = it.proxy.server._data.coalescer.received
        await until(lambda: received["job"] == 4)
        await asyncio.sleep(0.02)
        assert it.asked["1"] == 1
        it.versions["1"] += 1  # The commit that the message has overtaken.
        time[0] += 0.006
        assert [await each for each in (asking, *others)] == [1] * 3
        waited = await it.proxy.metric("segue_coalescing_settle_seconds_total", route="job")
        assert waited == pytest.approx(0.018)
        await kept(it)


async def test_who_asks_after_a_later_message_waits_for_that_one(tmp_path: Path) -> None:
    async with board(tmp_path, ROUTE.replace("at_most", "settle: 5ms, at_most")) as it:
        socket = await it.open()
        time = [1000.0]
        it.proxy.server._data.freshness.clock = lambda: time[0]
        await it.tell()
        await socket.message()
        first = asyncio.create_task(it.get())
        received = it.proxy.server._data.coalescer.received
        await until(lambda: received["job"] == 1)
        time[0] += 0.004
        it.versions["1"] += 1
        await it.tell()
        await socket.message()
        second = asyncio.create_task(it.get())
        await until(lambda: received["job"] == 2)
        time[0] += 0.002
        assert await first == 1
        await asyncio.sleep(0.02)
        assert it.asked["1"] == 1
        time[0] += 0.004
        it.versions["1"] += 1
        assert await second == 2
        assert await it.get() == 2
        assert it.asked["1"] == 2
        assert await it.reasons() == {"changed": 1}


async def test_a_client_that_goes_while_its_question_waits_asks_nothing(tmp_path: Path) -> None:
    async with board(tmp_path, ROUTE.replace("at_most", "settle: 10s, at_most")) as it:
        socket = await it.open()
        await it.tell()
        await socket.message()
        peer = await it.proxy.connect()
        fields = b"Host: app.example.com\r\nAuthorization: Bearer " + it.client.access.encode()
        await peer.send(b"GET /api/jobs/1/ HTTP/1.1\r\n" + fields + b"\r\n\r\n")
        coalescer = it.proxy.server._data.coalescer
        await until(lambda: bool(coalescer._tasks))
        peer.reset()
        await until(lambda: not coalescer._tasks)
        assert it.asked["1"] == 0


# Whose WebSocket it is may be known late.


async def test_a_websocket_whose_first_message_says_whose_it_is_counts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    places = {"SESSIONS__TOKENS__FIRST_MESSAGE": "token"}
    async with board(tmp_path, **places) as it:
        nobody = Client(it.proxy)
        monkeypatch.setattr(Authority, "is_good", lambda _, __: True)
        socket = await it.open("1", nobody)
        assert [await it.get() for _ in range(2)] == [0, 0]
        assert it.asked["1"] == 2
        await socket.send(TEXT, json.dumps({"token": it.client.access}).encode())
        await until(lambda: it.proxy.server._data.freshness.generations.signs[Sign.SOCKET] == 1)
        old = await kept(it)
        await it.tell()
        await socket.message()
        await heard(it.proxy, 1)
        assert await it.get() == old + 1


async def test_what_has_not_happened_yet_is_shown_as_nothing(tmp_path: Path) -> None:
    async with board(tmp_path) as it:
        shown = {
            (name, dict(labels).get("reason"))
            for (name, labels), value in (await it.proxy.metrics()).items()
            if dict(labels).get("route") == "job" and value == 0
        }
        assert ("segue_coalescing_given_total", None) in shown
        assert ("segue_coalescing_settle_seconds_total", None) in shown
        reasons = {reason for name, reason in shown if name == "segue_coalescing_not_kept_total"}
        assert reasons == {"session", "request", "response", "socket", "changed", "full", "waiters"}


async def test_nothing_is_heard_where_no_route_has_fresh_until(tmp_path: Path) -> None:
    async with board(tmp_path, "[{name: job, path: '/api/jobs/{id}/'}]") as it:
        await it.open()
        (socket,) = it.proxy.server._data.upgrades.sockets
        assert socket.relay.server.watcher is None
        assert [await it.get() for _ in range(2)] == [0, 0]
        assert it.asked["1"] == 2
        await it.client.send("PATCH", "/api/jobs/1/", b"{}")
        assert it.proxy.server._data.freshness.generations.signs[Sign.WRITE] == 0
