"""Who comes most often is found, however many others come before."""

from __future__ import annotations

from proxy.observability.frequent import FrequentNames


def test_few_are_counted_as_they_are() -> None:
    names = FrequentNames(3)
    for name in "abbc":
        names.add(name)
    assert (names.first(), names.told_apart) == (("b", 2), 3)


def test_whoever_comes_after_many_is_found() -> None:
    names = FrequentNames(10)
    for number in range(1000):
        names.add(str(number))
        if number > 500:
            names.add("late")
    name, count = names.first()
    assert name == "late"
    assert 499 - 1499 // 10 <= count <= 499
    assert names.told_apart == 10


def test_who_is_rare_finds_no_room_among_the_frequent() -> None:
    names = FrequentNames(2)
    for name in "aabbbc":
        names.add(name)
    assert names.first() == ("b", 2)
