"""How often guards take back what is healthy, and how soon what is broken: simulated rollouts.

`python -m tools.guard_runs` goes through a thousand runs of each kind: a canary of 10 % of the
users, whose messages three processes count, and a guard with the bounds of the defaults that looks
after every round. It fails if a healthy mapping is taken back more often than is stated, one that
fails exactly as often as it may too, or if one that fails on 5 % of the messages is not taken back,
or has been seen by more users than are in the canary. The dice are always the same.
"""

from __future__ import annotations

import sys
from math import log, sqrt
from random import Random
from typing import Final, NamedTuple

from proxy.switching.canary import KEY_LENGTH, Canary, Sketch
from proxy.switching.guards import Figures, GuardRules, Outcome, judge
from proxy.switching.samples import Counted, Sampler, Since, summed

RUNS: Final = 1_000
USERS: Final = 500
ROUNDS: Final = 100
MESSAGES: Final = 4
"""That each user gets in a round."""

PROCESSES: Final = 3
SWITCH: Final = "modern/old-to-new"
SHARE: Final = 1_000
"""Hundredths of a percent of the users."""


class Run(NamedTuple):
    """What came of one rollout.

    Attributes:
        messages: that the mapping was applied to, until it was taken back, or the end.
        users: who were in the canary.
        is_taken_back: whether it was.
        passes: at how many of the looks the guard passed.
    """

    messages: int
    users: int
    is_taken_back: bool
    passes: int


def run(dice: Random, failing: float, rules: GuardRules) -> Run:
    """Roll a mapping out that fails on a share of its messages."""
    canary = Canary(dice.randbytes(KEY_LENGTH), SWITCH, SHARE)
    places = [canary.place(b"u:%d" % number) for number in range(USERS)]
    inside = [place for place in places if canary.has(place)]
    samplers = [Sampler() for _ in range(PROCESSES)]
    totals = [Figures() for _ in range(PROCESSES)]
    sketches = [Sketch() for _ in range(PROCESSES)]
    since = Since(1, 1.0)
    for index, place in enumerate(inside):
        sketches[index % PROCESSES].add(place)
    for sampler in samplers:
        sampler.sample(SWITCH, since, 0, Counted(Figures()))
    seen = passes = 0
    for _ in range(ROUNDS):
        for number in range(PROCESSES):
            count = len(inside[number::PROCESSES]) * MESSAGES
            came = Figures(messages=count, failed=_failures(dice, count, failing))
            totals[number] += came
            seen += count
        said = [
            sampler.sample(SWITCH, since, 0, Counted(total, users))
            for sampler, total, users in zip(samplers, totals, sketches, strict=True)
        ]
        verdict = judge(rules, summed(said, SWITCH, since, 0))
        if verdict.outcome is Outcome.FAIL:
            return Run(seen, len(inside), is_taken_back=True, passes=passes)
        passes += verdict.outcome is Outcome.PASS
    return Run(seen, len(inside), is_taken_back=False, passes=passes)


def _failures(dice: Random, count: int, share: float) -> int:
    """How many of so many messages fail, each with the same chance: by the gaps between them."""
    failed, place = 0, 0
    while share:
        place += int(log(1 - dice.random()) / log(1 - share)) + 1
        if place > count:
            break
        failed += 1
    return failed


def main() -> int:
    """Go through the runs; the exit code."""
    rules, dice = GuardRules(), Random(20)  # noqa: S311 (the same dice each time)
    bound = rules.failed or 0.0
    # Of a binomial count that is as high as this by chance once in ten thousand times.
    most = RUNS * rules.error + 4 * sqrt(RUNS * rules.error) + 1
    kinds = (
        ("healthy: 0.2 % fail", bound / 5, 0.0, most),
        ("at its bound: 1 % fail", bound, 0.0, most),
        ("broken: 5 % fail", 5 * bound, RUNS - 1.0, RUNS + 0.0),
    )
    worst = USERS * SHARE / 10_000
    allowed = worst + 5 * sqrt(worst * (1 - SHARE / 10_000))
    is_well = True
    for name, failing, least, highest in kinds:
        found = [run(dice, failing, rules) for _ in range(RUNS)]
        taken = [each for each in found if each.is_taken_back]
        is_right = least <= len(taken) <= highest
        told = f"{name}: {len(taken)} of {RUNS} taken back"
        if taken:
            needed = sorted(each.messages for each in taken)
            users = max(each.users for each in taken)
            told += f", after {needed[len(needed) // 2]} messages (median; {needed[-1]} at most)"
            told += f"; {users} of {USERS} users had seen it at most"
            is_right = is_right and users <= allowed
        else:
            passes = sum(each.passes for each in found) / RUNS
            told += f"; {passes:.0f} of {ROUNDS} looks passed"
        print(f"{'ok  ' if is_right else 'FAIL'} {told}")
        is_well = is_well and is_right
    print(f"stated: {RUNS * rules.error:g} of {RUNS}, over all figures and windows")
    return 0 if is_well else 1


if __name__ == "__main__":
    sys.exit(main())
