"""What may be held, and for whom: the rule in numbers."""

from __future__ import annotations

import random

import pytest

from proxy.memory import (
    KEPT,
    LITTLE,
    NOBODY,
    Kind,
    MemoryBudget,
    Reservation,
    SharedReservation,
)

SIZE = 1024 * 1024


def filled(budget: MemoryBudget, holder: str, step: int) -> Reservation:
    """Reserve for somebody, a step at a time, until there is no room."""
    held = budget.reserve(Kind.BODY, holder)
    while held.resize(held.size + step):
        pass
    return held


def test_what_is_reserved_is_counted_by_kind_and_given_back() -> None:
    budget = MemoryBudget(SIZE)
    body, message = budget.reserve(Kind.BODY, "a"), budget.reserve(Kind.MESSAGE, "b")
    assert body.resize(1000)
    assert message.resize(500)
    assert body.resize(400)
    assert (budget.held, budget.of("a"), budget.of("b"), budget.holders) == (900, 400, 500, 2)
    assert (budget.by_kind[Kind.BODY], budget.by_kind[Kind.MESSAGE]) == (400, 500)
    for each in (body, message, body):
        each.release()
    assert (budget.held, budget.of("a"), budget.holders, body.size) == (0, 0, 0, 0)
    assert not any(budget.by_kind.values())
    assert not any(budget.refused.values())


def test_one_alone_gets_three_eighths() -> None:
    budget = MemoryBudget(SIZE)
    alone = filled(budget, "a", 1)
    assert alone.size == budget.share == alone.most == SIZE * 3 // 8


def test_where_there_is_no_room_as_much_is_held_as_before_and_it_is_told() -> None:
    told: list[tuple[str, str]] = []
    budget = MemoryBudget(SIZE, lambda *what: told.append(what))
    held = budget.reserve(Kind.SHARED_ANSWER, "a")
    assert held.resize(1000)
    assert not held.resize(SIZE)
    assert (held.size, budget.held) == (1000, 1000)
    assert told == [("memory", "a")]
    assert budget.refused[Kind.SHARED_ANSWER] == 1
    assert held.resize(1000)


def test_all_that_one_has_counts_together() -> None:
    budget = MemoryBudget(SIZE)
    first = filled(budget, "a", 1024)
    assert not budget.reserve(Kind.MESSAGE, "a").resize(4096)
    first.release()
    assert budget.reserve(Kind.MESSAGE, "a").resize(4096)


def test_whoever_comes_later_gets_half_as_much_and_nobody_the_last_quarter() -> None:
    budget = MemoryBudget(SIZE)
    sizes = [filled(budget, f"large {number}", 64).size for number in range(LITTLE // KEPT)]
    assert sizes[1] == pytest.approx(sizes[0] / 2, abs=64)
    assert sizes[2] == pytest.approx(sizes[1] / 2, abs=64)
    assert min(sizes) == SIZE // LITTLE
    large = sum(each for each in sizes if each > SIZE // LITTLE)
    assert SIZE * 5 // 8 < large <= SIZE - SIZE // KEPT


def test_who_holds_little_finds_room_behind_those_who_take_what_they_get() -> None:
    budget = MemoryBudget(SIZE)
    # Of holders of more than a little, however many.
    held = []
    for number in range(10):
        held.append(budget.reserve(Kind.BODY, f"large {number}"))
        size = SIZE // LITTLE + 1
        while held[-1].resize(size):
            size += 16
    assert budget.reserve(Kind.BODY, "small").resize(SIZE // LITTLE)


def test_no_more_is_held_than_the_budget_however_many_hold_little() -> None:
    budget = MemoryBudget(SIZE)
    sizes = [filled(budget, f"{number}", SIZE // LITTLE).size for number in range(4 * LITTLE)]
    assert budget.held == sum(sizes) == SIZE
    assert not budget.reserve(Kind.BODY, "one more").resize(1)
    assert not budget.reserve(Kind.BODY, NOBODY).resize(1)


def test_who_stands_for_many_has_no_share_and_leaves_the_last_quarter() -> None:
    budget = MemoryBudget(SIZE)
    assert filled(budget, NOBODY, 1).size == SIZE - SIZE // KEPT
    assert budget.reserve(Kind.BODY, "a").resize(SIZE // LITTLE)


def test_what_is_there_already_counts_whether_or_not_there_is_room() -> None:
    budget = MemoryBudget(SIZE)
    there = budget.reserve(Kind.UNSENT, "a")
    there.take(2 * SIZE)
    assert (budget.held, budget.of("a")) == (2 * SIZE, 2 * SIZE)
    assert not budget.reserve(Kind.BODY, "b").resize(1)
    assert there.resize(SIZE)  # Less than before.
    there.release()
    assert budget.held == 0


def test_a_smaller_budget_leaves_what_is_held_and_takes_no_more() -> None:
    budget = MemoryBudget(SIZE)
    held = filled(budget, "a", 1024)
    budget.size = SIZE // 4
    assert held.size > budget.size
    assert not held.resize(held.size + 1)
    assert held.resize(held.size - 1)


@pytest.mark.parametrize("seed", range(20))
def test_the_rule_holds_after_whatever_is_reserved_and_given_back(seed: int) -> None:
    chance = random.Random(seed)
    budget = MemoryBudget(SIZE)
    held = [budget.reserve(Kind.BODY, f"{number % 7}") for number in range(40)]
    for _ in range(2000):
        one = chance.choice(held)
        before, grown = one.size, chance.randrange(SIZE // 4)
        holder = f"{held.index(one) % 7}"
        if one.resize(grown) and grown > before:
            mine, free = budget.of(holder), SIZE - budget.held
            assert mine <= SIZE // LITTLE or mine <= free - SIZE // KEPT
        assert 0 <= budget.held <= SIZE
        assert budget.held == sum(each.size for each in held)
    for each in held:
        each.release()
    assert (budget.held, budget.holders) == (0, 0)


def test_what_several_have_is_given_back_when_the_last_lets_go() -> None:
    budget = MemoryBudget(SIZE)
    held = budget.reserve(Kind.SHARED_ANSWER, "a")
    assert held.resize(1000)
    shared = SharedReservation(held)
    with shared:
        with shared:
            pass
        assert budget.held == 1000
    assert budget.held == 0


def test_what_is_kept_gives_way_to_all_else_where_that_makes_room() -> None:
    budget = MemoryBudget(SIZE)
    kept = [budget.reserve(Kind.KEPT_ANSWER, holder) for holder in "abd"]
    asked: list[str] = []

    def give_way(holder: str) -> bool:
        asked.append(holder)
        if kept:
            kept.pop(0).release()
            return True
        return False

    budget.give_way = give_way
    for each in kept:
        assert each.resize(SIZE * 3 // 20)
    another = budget.reserve(Kind.KEPT_ANSWER, "c")
    assert not another.resize(SIZE // 2), "a kept one does not take the others' room"
    body = budget.reserve(Kind.BODY, "c")
    assert not body.resize(SIZE), "that would not make room"
    assert not asked
    assert body.resize(SIZE // 4)
    assert asked == ["c", "c"]
    assert (budget.by_kind[Kind.KEPT_ANSWER], len(kept)) == (SIZE * 3 // 20, 1)
    assert body.has_room(SIZE // 4)
    kept.clear()
    assert not body.resize(SIZE * 3 // 8), "it was to give way, and did not"


def test_a_reservation_says_whether_several_have_it() -> None:
    shared = SharedReservation(MemoryBudget(SIZE).reserve(Kind.BODY, "a"))
    with shared:
        assert not shared.is_shared
        with shared:
            assert shared.is_shared
