"""Shadows: what is counted, what work and memory are bounded by, and what is left in the end."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import Any

import pytest

from proxy.errors import MappingFailure
from proxy.gateway import shadow as module
from proxy.gateway.shadow import BURST, SLICE
from proxy.gateway.shadow_queue import MAX_MESSAGE, MAX_QUEUED, MAX_QUEUED_BYTES
from proxy.gateway.shadow_switch import ShadowTarget
from proxy.mapping.engine.program import Program, program_of
from proxy.rewriting import MessageCounts, MessageHandling
from proxy.types import Direction
from tests.support.rules import compiled
from tests.support.shadows import (
    BROKEN,
    CHAT,
    GONE,
    OTHER,
    RULES,
    SAME,
    SWITCH,
    account,
    counts,
    dialect,
    settled,
    shadowing,
    tap,
)
from tests.support.tapped import carried
from tests.support.waiting import PATIENCE

# What would become of messages.


async def test_messages_are_compared_after_they_were_sent() -> None:
    async with shadowing() as shadows:
        handling = tap(shadows)
        for message in (CHAT, CHAT, GONE, BROKEN, SAME, OTHER, b"no JSON", b"\xff"):
            assert carried(handling, message) is None
        assert handling.counts.passed == 8
        before = account(shadows)
        assert (before.offered, before.compared) == (8, 0)

        found = await settled(shadows)
    assert counts(found) == (2, 3, 1, 2)
    assert found.rules == {"chat": 2, "gone": 1}
    assert found.failures == {("broken", "set", "kind"): 1, ("none", "", ""): 1}
    assert found.seconds > 0
    mapped, dropped, failed, unreadable = found.examples.values()
    assert (mapped.rules, mapped.count) == (("chat",), 2)
    assert [(path, kind.value) for path, kind in mapped.fields] == [
        ("content", "removed"),
        ("text", "added"),
    ]
    shown = mapped.messages(raw=True)
    assert shown is not None
    assert not shown.raw
    assert shown.after == ('{"kind":"chat","text":"Xxxx, 00"}',)
    assert [(path, kind.value) for path, kind in dropped.fields] == [("", "removed")]
    assert (failed.outcome.value, failed.rules, failed.fields) == ("failed", ("broken",), ())
    assert unreadable.rules == ("none",)


async def test_what_would_become_of_a_message_is_told_in_relation_to_what_was_sent() -> None:
    first = compiled(
        "\n- name: loud\n  match: {field: kind, one_of: [chat, other]}\n  do: [{set: {loud: 1}}]",
        name="first",
    )
    second = compiled(RULES)
    both = Program([first, second])
    async with shadowing() as shadows:
        handling = tap(shadows, Program([first]), ShadowTarget(SWITCH, both))
        assert handling.rewrite(OTHER) == (b'{"kind":"other","loud":1}',)
        assert handling.rewrite(CHAT) == (b'{"kind":"chat","content":"Anna, 31","loud":1}',)
        found = await settled(shadows)
    assert counts(found) == (1, 1, 0, 0)
    assert found.rules == {"chat": 1}
    (example,) = found.examples.values()
    assert [path for path, _ in example.fields] == ["content", "text"]


@pytest.mark.parametrize("on_error", ["pass", "drop", "close"])
async def test_a_failure_that_there_is_without_the_switch_is_none_of_its_own(on_error: str) -> None:
    first = compiled(
        "\n- name: clash\n  match: {field: kind, equals: other}\n  do: [{set: {kind.a: 1}}]",
        name="first",
        on_error=on_error,
    )
    async with shadowing() as shadows:
        both = Program([first, compiled(RULES)])
        handling = tap(shadows, Program([first]), ShadowTarget(SWITCH, both))
        if on_error == "close":
            with pytest.raises(MappingFailure):
                handling.rewrite(OTHER)
        else:
            assert handling.rewrite(OTHER) == (None if on_error == "pass" else ())
        assert handling.counts.failed == 1
        assert counts(await settled(shadows)) == (0, 1, 0, 0)


async def test_a_message_can_be_in_the_shadow_of_two_switches() -> None:
    other = ShadowTarget("modern/other", Program([compiled(RULES, name="other")]))
    async with shadowing() as shadows:
        handling = tap(shadows, None, ShadowTarget(SWITCH, dialect()), other)
        carried(handling, CHAT)
        assert (await settled(shadows)).rules == {"chat": 1}
        assert (await settled(shadows, "modern/other")).rules == {"chat": 1}


async def test_examples_are_kept_as_they_were_only_where_that_is_allowed() -> None:
    async with shadowing(allows_raw=lambda: True) as shadows:
        carried(tap(shadows), CHAT)
        (example,) = (await settled(shadows)).examples.values()
    shown, raw = example.messages(raw=False), example.messages(raw=True)
    assert shown is not None
    assert "Anna" not in str(shown)
    assert raw is not None
    assert raw.before == (CHAT.decode(),)


async def test_nothing_is_done_without_a_target() -> None:
    async with shadowing() as shadows:
        handling = MessageHandling(dialect(), MessageCounts())
        assert shadows.tapped(handling, (), Direction.TO_CLIENT, "modern") is handling
        observed = {Direction.TO_CLIENT: ()}
        assert shadows.observer(observed, "modern", ()) is None
        assert list(shadows.messages()) == []


# Bounds.


@dataclass
class Clock:
    """CPU time that goes on by so much with each look at it."""

    step: float
    now: float = field(default=0.0)

    def __call__(self) -> float:
        self.now += self.step
        return self.now


async def test_a_flood_is_sampled_within_the_budget() -> None:
    loop = asyncio.get_running_loop()
    cpu = Clock(0.000_3)
    begun = loop.time()
    async with shadowing(budget=lambda: 0.05, cpu=cpu) as shadows:
        handling = tap(shadows)
        for _ in range(100):
            for _ in range(100):
                assert carried(handling, CHAT) is None
                assert account(shadows).waiting <= MAX_QUEUED
            await asyncio.sleep(0.002)
        found = account(shadows)
        # A slice may end with a message, and with a look at the clock, beyond it.
        most = 0.05 * (loop.time() - begun + BURST) + 2 * cpu.step
        assert 0 < found.seconds <= most
        assert found.offered == found.compared + found.skipped + found.waiting == 10_000
        assert found.skipped
        assert handling.counts.passed == 10_000
    assert found.offered == found.compared + found.skipped


async def test_the_loop_gets_its_turn_after_a_slice() -> None:
    cpu = Clock(SLICE)
    async with shadowing(cpu=cpu) as shadows:
        handling = tap(shadows)
        for _ in range(10):
            carried(handling, CHAT)
        found = account(shadows)
        turns = []
        async with asyncio.timeout(PATIENCE):
            while found.waiting:
                turns.append(found.compared)
                await asyncio.sleep(0)
    assert turns == list(range(10))


async def test_all_of_a_burst_have_the_same_chance() -> None:
    tenths = "".join(
        f"\n- name: n{number}\n  match: {{field: n, equals: {number}}}\n  do: [{{set: {{a: 1}}}}]"
        for number in range(10)
    )
    async with shadowing() as shadows:
        handling = tap(shadows, None, ShadowTarget(SWITCH, Program([compiled(tenths)])))
        for number in range(10_000):
            carried(handling, b'{"n":%d}' % (number // 1_000))
        found = await settled(shadows)
    assert (found.compared, found.skipped) == (MAX_QUEUED, 10_000 - MAX_QUEUED)
    # That one of them is missing by chance: ten in a million million.
    assert set(found.rules) == {f"n{number}" for number in range(10)}


async def test_what_waits_is_bounded_in_bytes_and_large_messages_are_left_out() -> None:
    large = b'{"kind":"chat","content":"%b"}' % (b"x" * (MAX_MESSAGE - 100))
    async with shadowing() as shadows:
        handling = tap(shadows)
        carried(handling, b'{"kind":"chat","content":"%b"}' % (b"x" * MAX_MESSAGE))
        assert account(shadows).too_large == account(shadows).skipped == 1
        for _ in range(MAX_QUEUED // 2):
            carried(handling, CHAT)
        for _ in range(MAX_QUEUED):
            carried(handling, large)
            assert shadows._queue.bytes <= MAX_QUEUED_BYTES
            assert shadows._queue.bytes == sum(each.size for each in shadows._queue)
        found = await settled(shadows)
        assert found.compared < MAX_QUEUED
        assert found.too_large == 1


async def test_what_a_rule_made_of_a_message_counts_among_its_bytes() -> None:
    split = compiled(
        "\n- name: batch\n  match: {field: l, exists: true}\n  do: [{split: {field: l, into: e}}]"
    )
    message = b'{"big":"%b","l":[1,2,3,4,5]}' % (b"x" * (MAX_MESSAGE // 2))
    async with shadowing() as shadows:
        assert len(tap(shadows, Program([split])).rewrite(message) or ()) == 5
        found = await settled(shadows)
    assert (found.skipped, found.too_large) == (1, 1)


async def test_nothing_is_compared_without_a_budget() -> None:
    async with shadowing(budget=lambda: 0.0) as shadows:
        handling = tap(shadows)
        carried(handling, CHAT)
        assert (await settled(shadows)).skipped == 1


async def test_a_fault_of_the_comparison_is_reported_and_ends_nothing() -> None:
    reported: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: reported.append(context))
    wrong = dialect()

    def apply(_: bytes) -> tuple[bytes, ...] | None:
        raise RuntimeError("a fault")

    wrong.apply = apply
    async with shadowing() as shadows:
        other = ShadowTarget("modern/other", dialect())
        handling = tap(shadows, None, ShadowTarget(SWITCH, wrong), other)
        assert carried(handling, CHAT) is None
        assert carried(handling, CHAT) is None
        found = await settled(shadows)
        assert (found.compared, found.skipped) == (0, 2)
        assert (await settled(shadows, "modern/other")).skipped == 2
    assert [str(each["exception"]) for each in reported] == ["a fault"] * 2


async def test_only_so_many_switches_have_an_account_and_who_has_none_is_told(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "MAX_SWITCHES", 3)
    told: list[tuple[str, str]] = []
    async with shadowing(on_dropped=lambda *each: told.append(each)) as shadows:
        one = ShadowTarget("c/m0", dialect())
        compared = tap(shadows, None, one)
        for number in range(1, 5):
            shadows.begin(f"c/m{number}")
        # Those that were first stay; whoever opens a socket finds the same.
        assert told == [("c/m3", "not compared"), ("c/m4", "not compared")]
        plain = MessageHandling(None, MessageCounts())
        late = ShadowTarget("c/m3", dialect())
        way = Direction.TO_CLIENT
        assert shadows.tapped(plain, (late,), way, "modern") is plain
        assert shadows.observer({way: (late,)}, "modern", ()) is None
        assert shadows.observer({way: (late, one)}, "modern", ()) is not None
        shadows.renew("c/m3")
        assert len(told) == 2
        carried(compared, CHAT)
        carried(tap(shadows, None, late, one), CHAT)
        found = await settled(shadows, "c/m0")
        assert (found.compared, shadows.account("c/m3")) == (2, None)
        assert [shadows.was_dropped(f"c/m{each}") for each in range(5)] == [False] * 3 + [True] * 2

        # What has ended makes room, and is told of, too.
        shadows.end("c/m1")
        assert shadows.account("c/m1") is not None
        carried(tap(shadows, None, late), CHAT)
        assert (await settled(shadows, "c/m3")).compared == 1
        assert told[2:] == [("c/m1", "numbers lost")]
        assert (shadows.was_dropped("c/m3"), shadows.was_dropped("c/m1")) == (False, True)
        assert [switch for ((switch,), _) in shadows.seconds()] == ["c/m0", "c/m2", "c/m3"]


async def test_names_of_switches_without_an_account_are_no_more_than_there_is_room_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "MAX_SWITCHES", 0)
    monkeypatch.setattr(module, "_MAX_DROPPED", 2)
    async with shadowing() as shadows:
        for number in range(3):
            shadows.begin(f"c/m{number}")
        assert [shadows.was_dropped(f"c/m{each}") for each in range(3)] == [False, True, True]


# Beginnings and ends.


async def test_an_account_begins_anew_and_the_metrics_go_on() -> None:
    async with shadowing() as shadows:
        handling = tap(shadows)
        carried(handling, CHAT)
        old = await settled(shadows)
        carried(handling, CHAT)
        shadows.begin(SWITCH)
        assert (old.offered, old.compared, old.skipped) == (2, 1, 1)

        assert account(shadows) is not old
        assert account(shadows).offered == 0
        carried(handling, GONE)
        found = await settled(shadows)
        assert counts(found) == (0, 0, 1, 0)
        assert {labels[1]: count for labels, count in shadows.messages()} == {
            "mapped": 1,
            "passed": 0,
            "dropped": 1,
            "failed": 0,
            "skipped": 1,
        }
        assert list(shadows.seconds()) == [((SWITCH,), old.seconds + found.seconds)]


async def test_an_end_counts_for_open_sockets_too_until_it_begins_again() -> None:
    async with shadowing() as shadows:
        other = ShadowTarget("modern/other", dialect())
        handling = tap(shadows, None, ShadowTarget(SWITCH, dialect()), other)
        carried(handling, CHAT)
        shadows.end(SWITCH)
        shadows.end("modern/unknown")
        assert carried(handling, CHAT) is None
        carried(tap(shadows), CHAT)
        assert ((await settled(shadows)).offered, account(shadows).skipped) == (1, 1)
        assert (await settled(shadows, "modern/other")).offered == 2

        shadows.begin(SWITCH)
        carried(handling, CHAT)
        assert (await settled(shadows)).compared == 1


async def test_nothing_is_left_after_an_end() -> None:
    async with shadowing(budget=lambda: 0.000_001) as shadows:
        handling = tap(shadows, dialect())
        for _ in range(1_000):
            handling.rewrite(CHAT)
        await asyncio.sleep(0)
        following = shadows._next
        assert following is not None
        shadows.close()
        found = await settled(shadows)
        assert following.cancelled()

        assert handling.rewrite(CHAT) is not None
        plain = MessageHandling(None, MessageCounts())
        target = ShadowTarget(SWITCH, dialect())
        assert shadows.tapped(plain, (target,), Direction.TO_CLIENT, "modern") is plain
        assert shadows.observer({Direction.TO_CLIENT: (target,)}, "m", ()) is None
        assert (found.offered, len(shadows._queue), shadows._next) == (1_000, 0, None)


async def test_who_looks_sees_the_program_inside() -> None:
    async with shadowing() as shadows:
        inner = dialect()
        assert program_of(tap(shadows, inner).rewriter) is inner
        assert program_of(tap(shadows).rewriter) is None
        assert program_of(inner) is inner
        assert program_of(None) is None


async def test_a_body_on_its_way_when_the_shadow_ends_counts_no_more() -> None:
    async with shadowing() as shadows:
        targets = {Direction.TO_SERVER: (ShadowTarget(SWITCH, dialect(channel="http")),)}
        fields = ((b"Content-Type", b"application/json"),)
        for size in (1_000_000, 100):
            before = shadows.observer(targets, "modern", fields)
            assert before is not None
            before.request_piece(b"[" + b"1," * size + b"1]")
            shadows.end(SWITCH)
            before.end()
            assert account(shadows).offered == 0
            shadows.begin(SWITCH)
