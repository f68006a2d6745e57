"""Which requests are watched, for how long, and that a watch costs no more than it may."""

from __future__ import annotations

import asyncio
import io
import json
from typing import Any, Final

import pytest

from proxy.observability.decisions import MAX_WATCHES, DecisionLog, TooMany, Trail
from proxy.observability.log import Writer, build
from tests.support.waiting import PATIENCE

LONG: Final = 600.0


class Desk:
    """Watches, and what they wrote."""

    def __init__(self, level: str = "error") -> None:
        self._stream = io.StringIO()
        self._writer = Writer(self._stream)
        log = build(self._writer, level, "json", is_terminal=False)
        loop = asyncio.get_running_loop()
        self.decisions = DecisionLog(log, loop, everything=level == "debug")

    def request(self, request_id: str, cohort: str, received: bytes = b"") -> Trail | None:
        """A request that decides one thing before its cohort is known, and one after it."""
        if not self.decisions.active:
            return None
        trail = self.decisions.follow(request_id, received)
        if trail is not None:
            trail.note("session", session=None)
            trail = self.decisions.settle(trail, cohort)
        if trail is not None:
            trail.note("target", upstream="http://h")
        return trail

    def lines(self, event: str = "decision") -> list[dict[str, Any]]:
        self._writer.close()
        found = [json.loads(line) for line in self._stream.getvalue().splitlines()]
        return [line for line in found if line["event"] == event]


async def test_nothing_is_watched_until_somebody_asks() -> None:
    desk = Desk()
    assert not desk.decisions.active
    desk.request("1", "modern")
    assert not desk.lines()


async def test_a_cohort_is_watched_with_what_was_decided_before_it_was_known() -> None:
    desk = Desk()
    desk.decisions.start("modern", None, LONG, 100, "anna")
    desk.request("1", "modern")
    desk.request("2", "legacy")
    desk.request("3", "none")
    desk.decisions.close()
    assert [(line["request_id"], line["about"]) for line in desk.lines()] == [
        ("1", "session"),
        ("1", "target"),
    ]
    assert {line["level"] for line in desk.lines()} == {"debug"}


@pytest.mark.parametrize("received", [b"", b"wanted"])
async def test_a_request_id_is_watched_whoever_made_it(received: bytes) -> None:
    desk = Desk()
    desk.decisions.start(None, "wanted", LONG, 100, "anna")
    desk.request("own" if received else "wanted", "modern", received)
    desk.request("other", "modern", b"else")
    desk.decisions.close()
    assert [line["about"] for line in desk.lines()] == ["session", "target"]


async def test_a_watch_ends_by_its_time_its_lines_and_when_it_is_stopped() -> None:
    desk = Desk("warning")
    desk.decisions.start("a", None, 0.01, 100, "anna")
    async with asyncio.timeout(PATIENCE):
        while desk.decisions.watches:  # noqa: ASYNC110 (it tells nobody)
            await asyncio.sleep(0.005)
    desk.decisions.start("b", None, LONG, 3, "anna")
    desk.request("1", "b")
    trail = desk.request("2", "b")
    assert trail is not None
    assert trail.is_over
    trail.note("late")
    stopped = desk.decisions.start("c", None, LONG, 3, "anna")
    assert desk.decisions.stop(stopped.name)
    assert not desk.decisions.stop(stopped.name)
    assert not desk.decisions.active
    assert len(desk.lines()) == 3
    ended = desk.lines("log watch ended")
    assert [(line["cohort"], line["reason"]) for line in ended] == [
        ("a", "time"),
        ("b", "lines"),
        ("c", "stopped"),
    ]
    assert [line["author"] for line in desk.lines("log watch started")] == ["anna"] * 3


async def test_watches_and_what_waits_for_them_are_bounded() -> None:
    desk = Desk()
    for number in range(MAX_WATCHES):
        desk.decisions.start(str(number), None, LONG, 1000, "anna")
    with pytest.raises(TooMany):
        desk.decisions.start("more", None, LONG, 1000, "anna")
    trail = desk.decisions.follow("1", b"")
    assert trail is not None
    for _ in range(1000):
        trail.note("session")
    desk.decisions.settle(trail, "1")
    desk.decisions.close()
    assert len(desk.lines()) == 16


async def test_an_open_websocket_is_watched_since_it_is_asked_for() -> None:
    desk = Desk()
    late = desk.decisions.late
    assert late(None, "1", "modern") is None
    watch = desk.decisions.start(None, "1", LONG, 10, "anna")
    trail = late(None, "1", "modern")
    assert trail is not None
    assert late(trail, "1", "modern") is trail
    assert late(None, "2", "modern") is None
    desk.decisions.stop(watch.name)
    assert late(trail, "1", "modern") is None
    desk.decisions.start("modern", None, LONG, 10, "anna")
    assert late(trail, "1", "modern") is not None
    assert late(None, "2", "legacy") is None
    desk.decisions.close()


async def test_at_the_level_debug_everything_is_watched_without_an_end() -> None:
    desk = Desk("debug")
    for number in range(20):
        desk.request(str(number), "modern")
    desk.decisions.close()
    assert desk.decisions.active
    assert len(desk.lines()) == 40
