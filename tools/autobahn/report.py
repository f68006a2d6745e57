"""What the suite reports, and what it says of a proxy: nothing here runs anything."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

SECTIONS: Final = ("1", "2", "3", "4", "5", "6", "7", "10")
"""Those that are about the protocol; 9 is about speed, 12 and 13 about compression."""

CASES: Final = 247
"""How many cases these sections have."""

# Worse to the right. UNCLEAN: the TCP connection ended before the closing handshake did.
_GRADES: Final = ("OK", "INFORMATIONAL", "NON-STRICT", "UNCLEAN", "WRONG CODE", "FAILED BY CLIENT")
_FAILED: Final = len(_GRADES)
_ACCEPTABLE: Final = _GRADES.index("NON-STRICT")


@dataclass(frozen=True, slots=True)
class Outcome:
    """What the suite says of one case.

    Attributes:
        behavior: of the messages.
        close: of the closing handshake.
    """

    behavior: str
    close: str

    @property
    def grade(self) -> tuple[int, int]:
        """Higher is worse; what the suite does not say here is a failure."""
        return _grade(self.behavior), _grade(self.close)

    @property
    def failed(self) -> bool:
        """Whether the protocol was broken, in the suite's words."""
        return max(self.grade) > _ACCEPTABLE

    def __str__(self) -> str:
        return self.behavior if self.close == "OK" else f"{self.behavior}, close {self.close}"


Outcomes = Mapping[str, Outcome]
"""By the number of the case, as `6.4.1`."""


def _grade(word: str) -> int:
    return _GRADES.index(word) if word in _GRADES else _FAILED


def read(index: Path) -> dict[str, dict[str, Outcome]]:
    """Read the `index.json` of a report: the outcomes of each agent.

    Raises:
        ValueError: it is none.
    """
    try:
        agents = json.loads(index.read_text(encoding="utf-8"))
        return {
            agent: {
                number: Outcome(case["behavior"], case["behaviorClose"])
                for number, case in cases.items()
            }
            for agent, cases in agents.items()
        }
    except (OSError, TypeError, KeyError, AttributeError) as error:
        raise ValueError(f"{index} is no report of the suite") from error


def problems(
    name: str, found: Outcomes, without: Outcomes, tolerated: Iterable[str] = ()
) -> Iterator[str]:
    """Say which cases failed, are worse than without the proxy, or were not run.

    Args:
        name: of the run, for the messages.
        found: the outcomes through the proxy.
        without: those of the same peer without it.
        tolerated: cases that may be `NON-STRICT` where they are `OK` without the proxy.
    """
    if len(found) != CASES:
        yield f"{name}: {len(found)} of {CASES} cases were run"
    lenient = frozenset(tolerated)
    for number in sorted(found.keys() | without.keys(), key=_order):
        outcome, before = found.get(number), without.get(number)
        if outcome is None or before is None:
            yield f"{name}: {number} was run only {'without' if before else 'with'} the proxy"
        elif outcome.failed:
            yield f"{name}: {number} is {outcome}; without the proxy {before}"
        elif _is_worse(outcome, before) and number not in lenient:
            yield f"{name}: {number} is {outcome}, but {before} without the proxy"


def _is_worse(outcome: Outcome, before: Outcome) -> bool:
    return any(ours > theirs for ours, theirs in zip(outcome.grade, before.grade, strict=True))


def _order(number: str) -> tuple[int, ...]:
    return tuple(int(part) for part in number.split("."))


def table(runs: Mapping[str, Outcomes]) -> str:
    """Return a Markdown table: how many cases of each section had which outcome, run by run."""
    names = list(runs)
    lines = [_row(["section", "cases", *names]), _row(["---", "---:", *["---"] * len(names)])]
    for section in (*SECTIONS, "all"):
        chosen = [_of(section, outcomes) for outcomes in runs.values()]
        size = max(map(len, chosen), default=0)
        lines.append(_row([section, str(size), *map(_summary, chosen)]))
    return "\n".join(lines) + "\n"


def _of(section: str, outcomes: Outcomes) -> Sequence[Outcome]:
    return [
        outcome
        for number, outcome in outcomes.items()
        if section in ("all", number.partition(".")[0])
    ]


def _summary(outcomes: Sequence[Outcome]) -> str:
    counts = Counter(str(outcome) for outcome in outcomes)
    return ", ".join(f"{count} {word}" for word, count in sorted(counts.items(), key=_by_count))


def _by_count(item: tuple[str, int]) -> tuple[int, str]:
    return -item[1], item[0]


def _row(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"
