"""What a process takes down of its looks: slots, days, ends, and clocks that jump."""

from __future__ import annotations

from proxy.switching.canary import Sketch, counted_as
from proxy.switching.sunset_days import DAY, SLOT, SLOTS, Day, day_of, merged, watched
from proxy.switching.sunset_watch import (
    KEPT,
    MAX_JUMPS,
    Look,
    Unwritten,
    Watch,
    Watches,
    replica_of,
)
from proxy.switching.table import SwitchName

NOON = 20_000 * DAY + DAY / 2
TODAY = 20_000
A, B = SwitchName("old", "a"), SwitchName("old", "b")
BOTH = frozenset((A, B))


def look(**parts: object) -> Look:
    return Look(bound=BOTH, **parts)  # type: ignore[arg-type]


def slots(day: Day, name: SwitchName = A) -> list[int]:
    """The watched slots, from noon on."""
    seen = watched(day.mappings[name])
    return [slot - SLOTS // 2 for slot in range(SLOTS) if seen >> slot & 1]


def written(watches: Watches) -> list[Unwritten]:
    """What is to be written, which is written now."""
    found = list(watches.unwritten())
    for each in found:
        each.is_written()
    return found


def test_a_slot_is_watched_once_it_is_over() -> None:
    watch = Watch(NOON + 10, starts=True)
    watch.look(look(), NOON + 40, 40.0)
    assert slots(watch.days[TODAY]) == []
    watch.look(look(), NOON + SLOT - 1, 299.0)
    assert slots(watch.days[TODAY]) == []
    watch.look(look(), NOON + SLOT, 300.0)
    # That it began within it does not matter: it had no traffic before.
    assert slots(watch.days[TODAY]) == [0]
    # One that was late misses nothing.
    watch.look(look(), NOON + 4 * SLOT + 7, 1207.0)
    assert slots(watch.days[TODAY]) == [0, 1, 2, 3]


def test_one_that_goes_on_has_not_watched_the_slot_in_which_it_began() -> None:
    watch = Watch(NOON + 10, starts=False)
    watch.look(look(), NOON + 2 * SLOT, 600.0)
    assert slots(watch.days[TODAY]) == [1]


def test_an_end_is_told_of_and_a_kill_is_noticed() -> None:
    watch = Watch(NOON, starts=True)
    watch.look(look(open={A: 3, B: 0}), NOON + 10, 10.0)
    day = watch.days[TODAY]
    assert day.open == {A: 3}
    # If nothing more comes: it ran in this slot, perhaps in the next, and what it saw is lost.
    assert day.mappings[A].blind == 3 << SLOTS // 2
    watch.close(NOON + 20)
    assert slots(day) == [0]
    assert (day.up, day.open, day.mappings[A].blind) == (1 << SLOTS // 2, {}, 0)


def test_the_last_slot_of_a_day_claims_the_first_of_the_next() -> None:
    late = NOON + DAY / 2 - 10
    watch = Watch(late, starts=True)
    assert watch.days[TODAY + 1].up == 1
    watch.look(look(needed={A: 1}), late + 20, 20.0)
    assert slots(watch.days[TODAY])[-1] == SLOTS // 2 - 1
    assert watch.days[TODAY + 1].mappings[A].last == late + 20
    watch.close(late + 25)
    assert watch.days[TODAY + 1].up == 1


def test_an_end_before_midnight_takes_the_claim_back() -> None:
    late = NOON + DAY / 2 - 10
    watch = Watch(late, starts=True)
    watch.look(look(), late + 2, 2.0)
    watch.close(late + 3)
    assert watch.days[TODAY + 1].up == 0
    assert watch.unwritten == {TODAY, TODAY + 1}


def test_what_is_blind_is_not_watched_and_nothing_else() -> None:
    watch = Watch(NOON, starts=True)
    watch.look(look(), NOON + SLOT + 10, 310.0)
    watch.look(look(blind={A: "off"}), NOON + SLOT + 40, 340.0)
    watch.look(look(), NOON + 3 * SLOT, 900.0)
    assert slots(watch.days[TODAY], A) == [0, 2]
    assert slots(watch.days[TODAY], B) == [0, 1, 2]


def test_a_mapping_that_is_new_was_not_watched_before() -> None:
    watch = Watch(NOON, starts=True)
    watch.look(Look(bound=frozenset((A,))), NOON + SLOT, 300.0)
    watch.look(look(), NOON + SLOT + 30, 330.0)
    watch.look(look(), NOON + 3 * SLOT, 900.0)
    assert slots(watch.days[TODAY], A) == [0, 1, 2]
    assert slots(watch.days[TODAY], B) == [2]


def test_one_that_was_bound_to_nothing_did_not_watch() -> None:
    watch = Watch(NOON, starts=True)
    watch.look(Look(), NOON + SLOT, 300.0)
    watch.look(look(), NOON + SLOT + 30, 330.0)
    watch.look(look(), NOON + 3 * SLOT, 900.0)
    assert slots(watch.days[TODAY], A) == [2]


def test_needs_are_counted() -> None:
    users = Sketch()
    users.add(counted_as(b"key", b"u"))
    watch = Watch(NOON, starts=True)
    watch.look(
        look(needed={A: 2, B: 0}, ignored={B: 5}, users={A: users}, versions={A: {"1.2": 2}}),
        NOON + 30,
        30.0,
    )
    part, other = watch.days[TODAY].mappings[A], watch.days[TODAY].mappings[B]
    assert (part.last, part.messages, part.users.count()) == (NOON + 30, 2, 1)
    assert part.versions == {"1.2": 2}
    assert (other.last, other.messages, other.ignored) == (0.0, 0, 5)
    assert watch.seen == {A: 30.0}
    # Of one that no cohort names any more, an open WebSocket may still have something rewritten.
    watch.look(Look(needed={A: 1}), NOON + 60, 60.0)
    assert part.messages == 3


def test_old_days_are_forgotten() -> None:
    watch = Watch(NOON, starts=True)
    for number in range(KEPT + 3):
        watch.look(look(), NOON + number * DAY, number * DAY)
    last = TODAY + KEPT + 2
    assert sorted(watch.days) == list(range(last - KEPT, last + 1))
    assert watch.unwritten <= set(watch.days)


def test_only_what_has_changed_is_written() -> None:
    watches = Watches("one", NOON, 0.0)
    assert not watches.look(look(), NOON + 30, 30.0)
    assert [(each.name, each.number) for each in written(watches)] == [("one", TODAY)]
    assert written(watches) == []
    watches.look(look(), NOON + 60, 60.0)
    assert len(written(watches)) == 1
    watches.close(NOON + 70)
    assert slots(written(watches)[0].day) == [0]


def test_a_clock_that_jumps_ahead_and_back() -> None:
    watches = Watches("one", NOON, 0.0)
    watches.look(look(needed={A: 1}), NOON + 600, 600.0)
    assert watches.look(look(needed={B: 1}), NOON + 5 * DAY + 630, 630.0)
    found = {(each.name, each.number): each.day for each in watches.unwritten()}
    # What was written by the old time stays, and by the new time the need was 30 seconds ago.
    assert found["one", TODAY].mappings[A].last == NOON + 600
    ahead = found["one~1", TODAY + 5]
    assert ahead.mappings[A].last == NOON + 5 * DAY + 600
    assert ahead.mappings[B].last == NOON + 5 * DAY + 630
    assert watched(ahead.mappings[A]) == 0
    assert watches.look(look(), NOON + 660, 660.0)
    found = {(each.name, each.number): each.day for each in watches.unwritten()}
    # That was not in the future.
    assert found["one~1", TODAY + 5].mappings[B].last == NOON + 660
    assert found["one~2", TODAY].mappings[A].last == NOON + 600
    assert found["one~2", TODAY].mappings[B].last == NOON + 630
    total = merged(day for (_, number), day in found.items() if number == TODAY)
    assert (total.mappings[A].last, total.mappings[A].messages) == (NOON + 600, 1)
    assert watches.jumps == 2
    assert replica_of("one~2") == replica_of("one") == "one"


def test_a_machine_that_sleeps_has_not_watched() -> None:
    watches = Watches("one", NOON, 0.0)
    watches.look(look(), NOON + SLOT, 300.0)
    watches.look(look(), NOON + 10 * SLOT, 310.0)
    watches.look(look(), NOON + 11 * SLOT, 610.0)
    total = merged(each.day for each in watches.unwritten())
    assert slots(total) == [0, 10]


def test_a_clock_that_jumps_on_and_on_makes_no_end_of_names() -> None:
    watches, names = Watches("one", NOON, 0.0), set()
    for number in range(1, 3 * MAX_JUMPS):
        watches.look(look(needed={A: 1}), NOON + number % 2 * 3 * DAY + number, float(number))
        names |= {each.name for each in watches.unwritten()}
    assert len(names) == MAX_JUMPS + 1
    newest = [each for each in watches.unwritten() if each.number == day_of(NOON)][-1]
    assert newest.day.mappings[A].last >= NOON


def test_what_has_no_room_is_passed_over() -> None:
    watch = Watch(NOON, starts=True)
    many = frozenset(SwitchName("a", f"m{number:03}") for number in range(201))
    watch.look(Look(bound=many), NOON + SLOT, 300.0)
    watch.recall(SwitchName("a", "m200"), NOON, 300.0, TODAY)
    assert len(watch.days[TODAY].mappings) == 200
    assert SwitchName("a", "m200") not in watch.days[TODAY].mappings
