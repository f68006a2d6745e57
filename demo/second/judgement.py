"""What is wrong with what the clients of the second act got, step by step.

Pure, and without the proxy's own code, as the verdict of the first act is. Frames come while the
switch is turned: those between the asking and the answer may be of either dialect, but the old one
ends where the new one begins.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import zip_longest
from typing import Final, NamedTuple

from demo.second.script import STEPS, Gets
from demo.verdict import Counts, Dialect, Frame, count_faults, fault

_MOST_SHOWN: Final = 3
_WORDS: Final = {Dialect.OLD: "the server's bytes", Dialect.NEW: "new kinds", None: "neither"}


class Cut(NamedTuple):
    """A step, as one client saw it.

    Attributes:
        begun: how many frames the client had when the change was asked for.
        mark: the index of what the server said when the change was in force; None: it did not come.
    """

    begun: int
    mark: int | None


class Seen(NamedTuple):
    """All that came over one WebSocket.

    Attributes:
        name: the client's.
        user: whose it is.
        is_switched: whether it is of the cohort whose switch is turned.
        sent: what the server sent.
        got: what the client got.
        cuts: the steps that were taken.
    """

    name: str
    user: str
    is_switched: bool
    sent: Sequence[Frame]
    got: Sequence[Frame]
    cuts: Sequence[Cut]

    @property
    def dialects(self) -> list[Dialect | None]:
        """That of each frame that it got; None where it is what it should be in neither."""
        pairs = zip(self.sent, self.got, strict=False)
        return [_dialect(sent, got) for sent, got in pairs]

    def at(self, step: int) -> Dialect | None:
        """The dialect of what the server said at a step; None where that is in neither."""
        mark = self.cuts[step].mark
        dialects = self.dialects
        return None if mark is None or mark >= len(dialects) else dialects[mark]

    def wanted(self, step: int) -> Dialect | None:
        """The dialect that it must have at a step; None where the canary decides, and did not."""
        if not self.is_switched:
            return Dialect.OLD
        match STEPS[step].gets:
            case Gets.OLD:
                return Dialect.OLD
            case Gets.NEW:
                return Dialect.NEW
            case Gets.SOME:
                return self.at(step)
            case Gets.SAME:
                return self.at(_canary())

    def span(self, step: int) -> tuple[int, int, int]:
        """Where the frames of a step begin, those that are of it for sure, and those of the next.

        The mark must have come.
        """
        begun, mark = self.cuts[step]
        assert mark is not None
        end = self.cuts[step + 1].begun if step + 1 < len(self.cuts) else len(self.got)
        return begun, mark, end


def arrival_faults(seen: Seen) -> list[str]:
    """The frames that are missing, too many, or of neither dialect; the first three."""
    found = []
    for number, (sent, got) in enumerate(zip_longest(seen.sent, seen.got), 1):
        if sent is not None and got is not None and _dialect(sent, got) is not None:
            continue
        wrong = fault(Dialect.NEW, sent, got)
        found.append(f"{seen.name}, frame {number}: {wrong}")
    return _first(found)


def step_faults(seen: Seen, step: int) -> list[str]:
    """What is wrong with the dialects that a client got at a step; the first three."""
    wanted = seen.wanted(step)
    if seen.cuts[step].mark is None:
        return [f"{seen.name}: what the server said then did not come in time"]
    before = seen.wanted(step - 1) if step else wanted
    begun, mark, end = seen.span(step)
    dialects = seen.dialects
    found, has_turned = [], before is wanted
    for index, dialect in enumerate(dialects[begun:end], begun):
        has_turned = has_turned or index >= mark or dialect is wanted
        expected = wanted if has_turned else before
        # One of neither dialect is told with what arrived.
        if dialect is not None and dialect is not expected:
            found.append(
                f"{seen.name}, frame {index + 1}: {_WORDS[dialect]}, expected {_WORDS[expected]}"
            )
    return _first(found)


def inside(seen: Sequence[Seen], step: int) -> dict[str, bool]:
    """The users of the cohort, and whether the switch applied to them at a step."""
    return {each.user: each.at(step) is Dialect.NEW for each in reversed(seen) if each.is_switched}


def canary_faults(
    seen: Sequence[Seen], step: int, told: tuple[int | None, int | None]
) -> list[str]:
    """What is wrong with who is in a canary: users with two dialects, or another count.

    Args:
        seen: what everybody got.
        step: that of the canary.
        told: how many users the admin API counts inside and outside: it counts by a sketch, to
            which two of a few users may look like one.
    """
    users = inside(seen, step)
    wrong = [
        f"{each.user} got {_WORDS[each.at(step)]} with one login, and not with another"
        for each in seen
        if each.is_switched and (each.at(step) is Dialect.NEW) is not users[each.user]
    ]
    got = sum(users.values()), len(users) - sum(users.values())
    for count, shown, where in zip(got, told, ("in", "not in"), strict=True):
        if shown is None or not max(count - 1, min(count, 1)) <= shown <= count:
            wrong.append(f"the admin API counts {shown} users who are {where} it, expected {count}")
    return wrong


def same_faults(seen: Sequence[Seen], step: int) -> list[str]:
    """Who is in the canary, now that it is back, and was not before, or the other way round."""
    before, now = inside(seen, _canary()), inside(seen, step)
    return [f"{user} was moved" for user in before if before[user] is not now[user]]


def shadow_least(seen: Sequence[Seen], step: int) -> int:
    """How many messages have come by in shadow for sure, while that is the step."""
    return sum(
        len(each.got) - each.span(step)[1]
        for each in seen
        if each.is_switched and each.cuts[step].mark is not None
    )


def shadow_faults(
    seen: Sequence[Seen], step: int, counts: Mapping[str, int], least: int
) -> list[str]:
    """What is wrong with what the proxy counts of a shadow, with the shipped mappings.

    Args:
        seen: what everybody got, in the end.
        step: that of the shadow; it is not the last one.
        counts: messages by what would have become of them.
        least: how many there were when that was read.
    """
    wrong = [
        f"{counts[outcome]} would have been {outcome}, expected 0"
        for outcome in ("passed", "dropped", "failed")
        if counts.get(outcome)
    ]
    if not counts.get("mapped"):
        wrong.append("none would have been mapped")
    most = 0
    for each in seen:
        if each.is_switched:
            after = each.cuts[step + 1].mark
            most += (len(each.got) if after is None else after) - each.cuts[step].begun
    total = sum(counts.values())
    if not least <= total <= most:
        wrong.append(f"{total} messages are counted, expected {least} to {most}")
    return wrong


def account_faults(seen: Sequence[Seen], before: Counts, after: Counts) -> list[str]:
    """Where the proxy's counts of messages to clients are not what the clients got.

    Args:
        seen: what everybody got.
        before, after: the act.
    """
    new = sum(each.dialects.count(Dialect.NEW) for each in seen)
    total = sum(len(each.got) for each in seen)
    return count_faults(_account(before, after), _accounted(new, total - new))


def _account(before: Counts, after: Counts) -> Counts:
    mapped = total = 0
    for key, count in after.items():
        mapping, direction, outcome = key
        if direction == "to_client":
            more = count - before.get(key, 0)
            total += more
            mapped += more if (mapping, outcome) == ("old-to-new", "mapped") else 0
    return _accounted(mapped, total - mapped)


def _accounted(mapped: int, others: int) -> Counts:
    return {
        ("old-to-new", "to_client", "mapped"): mapped,
        ("all others", "to_client", "together"): others,
    }


def claim(seen: Sequence[Seen], step: int, number: int) -> str:
    """What is claimed of a step, if nothing is found wrong.

    Args:
        seen: what everybody got.
        step: which.
        number: that of its revision.
    """
    users, gets = inside(seen, step), STEPS[step].gets
    got = f"all {len(users)} users got {gets.value}"
    if gets in (Gets.SOME, Gets.SAME):
        got = f"{sum(users.values())} of {len(users)} users got new frames"
    if gets is Gets.SAME:
        got += ", the same ones"
    return f"revision {number}, {STEPS[step].title}: {got}"


def _canary() -> int:
    return next(index for index, step in enumerate(STEPS) if step.gets is Gets.SOME)


def _dialect(sent: Frame, got: Frame) -> Dialect | None:
    if got.payload == sent.payload:
        return Dialect.OLD
    return Dialect.NEW if fault(Dialect.NEW, sent, got) is None else None


def _first(found: list[str]) -> list[str]:
    more = len(found) - _MOST_SHOWN
    return [*found[:_MOST_SHOWN], *([f"and {more} more"] if more > 0 else [])]
