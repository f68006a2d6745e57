"""The recorder on the data path: nothing of it without a recording, and bounds with one."""

from __future__ import annotations

import asyncio
import io
from collections.abc import AsyncIterator

import pytest

from proxy.observability import log as logs
from proxy.recording import recorder as module
from proxy.recording.recorder import Busy, Recorder, Recording, Wanted
from proxy.recording.tap import Taps
from proxy.types import Direction
from tests.support.tapped import FakeSocket, Upper, carried
from tests.support.waiting import PATIENCE


@pytest.fixture
def log() -> io.StringIO:
    return io.StringIO()


@pytest.fixture
def writer(log: io.StringIO) -> logs.Writer:
    return logs.Writer(log)


@pytest.fixture
def taps() -> Taps:
    return Taps()


@pytest.fixture
async def recorder(taps: Taps, writer: logs.Writer) -> AsyncIterator[Recorder]:
    made = Recorder(
        taps, asyncio.get_running_loop(), logs.build(writer, "debug", "json", is_terminal=False)
    )
    yield made
    made.close()
    writer.close()


def wanted(
    direction: Direction | None = None,
    *,
    cohort: str | None = None,
    mapping: str | None = None,
    count: int = 10,
    seconds: float = 60.0,
) -> Wanted:
    return Wanted(mapping, direction, cohort, count, seconds)


async def taken(recording: Recording) -> list[bytes]:
    return [each.message async for each in recording.messages() if each is not None]


@pytest.mark.usefixtures("recorder")
def test_without_a_recording_sockets_keep_the_very_treatments_they_were_given(taps: Taps) -> None:
    socket = FakeSocket()
    taps.attach(socket, "modern")
    assert socket.is_untouched()


async def test_open_and_later_sockets_are_recorded_and_get_their_own_treatments_back(
    taps: Taps,
    recorder: Recorder,
) -> None:
    early, late, left = FakeSocket(), FakeSocket(), FakeSocket()
    taps.attach(early, "modern")
    taps.attach(left, None)
    taps.detach(left)
    recording = recorder.start(wanted(), raw=False, author="anna")
    taps.attach(late, "legacy")
    assert left.is_untouched()
    assert early.server.frame_filter.handling.rewrite(b"one") == (b"ONE",)
    assert late.server.frame_filter.handling.rewrite(b"2") is None
    assert carried(late.client.frame_filter.handling, b"three") is None
    recorder.stop(recording, "stopped")
    assert early.is_untouched()
    assert late.is_untouched()
    found = [each async for each in recording.messages() if each is not None]
    assert [
        (each.point.direction, each.point.cohort, each.message, each.made) for each in found
    ] == [
        (Direction.TO_CLIENT, "modern", b"one", (b"ONE",)),
        (Direction.TO_CLIENT, "legacy", b"2", None),
        (Direction.TO_SERVER, "legacy", b"three", None),
    ]


async def test_invariant_2_messages_count_once_and_as_before_while_they_are_recorded(
    taps: Taps,
    recorder: Recorder,
) -> None:
    socket = FakeSocket()
    taps.attach(socket, None)
    recorder.start(wanted(), raw=False, author="anna")
    handling = socket.server.frame_filter.handling
    for message in (b"a", b"1", b"?"):
        handling.rewrite(message)
    counts = socket.handlings[1].counts
    assert (counts.mapped, counts.passed, counts.failed) == (1, 1, 1)
    assert counts.failures == {"first": 1}


async def test_message_that_began_under_a_recording_ends_as_it_would_have_after_it(
    taps: Taps,
    recorder: Recorder,
) -> None:
    socket = FakeSocket()
    taps.attach(socket, None)
    recording = recorder.start(wanted(), raw=False, author="anna")
    begun = socket.server.frame_filter.handling
    recorder.stop(recording, "stopped")
    assert begun.rewrite(b"late") == (b"LATE",)
    assert await taken(recording) == []


@pytest.mark.parametrize(
    ("order", "expected"),
    [
        (wanted(Direction.TO_SERVER), [b"server"]),
        (wanted(Direction.TO_CLIENT), [b"client"]),
        (wanted(cohort="modern"), [b"client", b"server"]),
        (wanted(cohort="legacy"), []),
        (wanted(mapping="old-to-new"), []),
        (wanted(mapping="none"), [b"client", b"server"]),
    ],
)
async def test_only_what_is_wanted_is_recorded(
    taps: Taps, recorder: Recorder, order: Wanted, expected: list[bytes]
) -> None:
    socket = FakeSocket(to_server=Upper())
    taps.attach(socket, "modern")
    recording = recorder.start(order, raw=False, author="anna")
    socket.server.frame_filter.handling.rewrite(b"client")
    carried(socket.client.frame_filter.handling, b"server")
    recorder.stop(recording, "stopped")
    assert await taken(recording) == expected


async def test_invariant_8_a_recording_ends_with_its_count(taps: Taps, recorder: Recorder) -> None:
    socket = FakeSocket()
    taps.attach(socket, None)
    recording = recorder.start(wanted(count=2), raw=False, author="anna")
    for message in (b"a", b"b", b"c"):
        socket.server.frame_filter.handling.rewrite(message)
    assert await taken(recording) == [b"a", b"b", b"c"][: len(recording)]
    assert recording.ended == "count"
    assert socket.is_untouched()


async def test_invariant_8_a_recording_ends_with_its_time(taps: Taps, recorder: Recorder) -> None:
    socket = FakeSocket()
    taps.attach(socket, None)
    recording = recorder.start(wanted(seconds=0.02), raw=False, author="anna")
    async with asyncio.timeout(PATIENCE):
        assert await taken(recording) == []
    assert recording.ended == "time"
    assert socket.is_untouched()


async def test_invariant_8_messages_beyond_the_bytes_are_skipped(
    taps: Taps, recorder: Recorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MAX_BYTES", 10)
    socket = FakeSocket()
    taps.attach(socket, None)
    recording = recorder.start(wanted(), raw=False, author="anna")
    for message in (b"abcd", b"too large", b"1"):
        socket.server.frame_filter.handling.rewrite(message)
    recorder.stop(recording, "stopped")
    assert await taken(recording) == [b"abcd", b"1"]
    assert recording.skipped == 1


async def test_one_recording_at_a_time_until_it_is_forgotten(recorder: Recorder) -> None:
    first = recorder.start(wanted(), raw=False, author="anna")
    with pytest.raises(Busy):
        recorder.start(wanted(), raw=False, author="anna")
    recorder.stop(first, "stopped")
    with pytest.raises(Busy):
        recorder.start(wanted(), raw=False, author="anna")
    recorder.forget(first)
    assert recorder.find(first.name) is None
    second = recorder.start(wanted(), raw=False, author="anna")
    assert recorder.find(second.name) is second
    assert recorder.find("something else") is None
    assert recorder.find("naïve") is None


async def test_recording_that_nobody_reads_is_forgotten(
    recorder: Recorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "LINGER", 0.02)
    recording = recorder.start(wanted(), raw=False, author="anna")
    recorder.stop(recording, "stopped")
    await asyncio.sleep(0.1)
    assert recorder.find(recording.name) is None


async def test_reader_that_waits_is_asked_whether_it_is_still_there(recorder: Recorder) -> None:
    recording = recorder.start(wanted(), raw=False, author="anna")
    messages = recording.messages(pause=0.01)
    assert await anext(messages) is None
    await messages.aclose()


async def test_log_says_who_was_recorded_and_for_how_long(
    recorder: Recorder, writer: logs.Writer, log: io.StringIO
) -> None:
    recording = recorder.start(
        wanted(Direction.TO_CLIENT, cohort="modern"), raw=True, author="anna"
    )
    recorder.stop(recording, "stopped")
    writer.close()
    first, second = log.getvalue().splitlines()
    assert '"recording started"' in first
    assert '"raw":true' in first.replace(" ", "")
    assert '"recording ended"' in second
