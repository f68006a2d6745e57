"""Results as Markdown and JSON: the figures, and the ratios that Segue is to reach."""

from __future__ import annotations

import json
import os
import platform
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from bench.loads import Load
from bench.measure import Plan, Results
from bench.peers import Peer


@dataclass(frozen=True, slots=True)
class Goal:
    """A ratio to reach: the cost of `peer` under `load`, divided by that of the other.

    Attributes:
        text: what is compared, and with whom.
        load: the load of Segue.
        other: the other proxy, and its load.
        most: the largest ratio that reaches the goal.
    """

    text: str
    load: str
    other: tuple[str, str]
    most: float


GOALS: Final = (
    Goal(
        "one frame per wake-up, rewriting: Envoy passing through",
        "one-50",
        ("envoy", "one-50"),
        1.0,
    ),
    Goal(
        "one frame per wake-up, rewriting: nginx passing through",
        "one-50",
        ("nginx", "one-50"),
        1.4,
    ),
    Goal(
        "one frame per wake-up, rewriting: Node `ws` rewriting",
        "one-50",
        ("node-ws", "one-50"),
        0.45,
    ),
    Goal("bursts, rewriting: Node `ws` rewriting", "bursts", ("node-ws", "bursts"), 0.25),
    Goal(
        "bursts, rewriting: aiohttp by the book, rewriting", "bursts", ("aiohttp", "bursts"), 0.35
    ),
    Goal("HTTP small JSON: Envoy", "http-small", ("envoy", "http-small"), 1.0),
    Goal("HTTP small JSON: aiohttp by the book", "http-small", ("aiohttp", "http-small"), 0.35),
    Goal("HTTP small JSON: `http-proxy-3`", "http-small", ("http-proxy-3", "http-small"), 0.6),
    Goal("handshakes: aiohttp by the book", "handshakes", ("aiohttp", "handshakes"), 0.4),
    Goal("memory of an open socket pair: nginx", "memory", ("nginx", "memory"), 1.0),
    Goal("2,000 connections: Segue's own at 50", "one-2000", ("segue", "one-50"), 1.3),
)


@dataclass(frozen=True, slots=True)
class Outcome:
    """How far a goal is. `ratio` is None where one of its figures is missing."""

    goal: Goal
    ratio: float | None

    @property
    def verdict(self) -> str:
        """One word or two."""
        if self.ratio is None:
            return "not measured"
        return "reached" if self.ratio <= self.goal.most else "not reached"


class Report:
    """What is to be said about a run."""

    def __init__(self, plan: Plan, results: Results) -> None:
        self.plan = plan
        self.results = results
        self._taken = datetime.now(UTC)

    def outcomes(self) -> list[Outcome]:
        """The goals, in the order of their table."""
        return [
            Outcome(goal, self.results.ratio(("segue", goal.load), goal.other)) for goal in GOALS
        ]

    def costs(self, load: Load) -> list[tuple[Peer, float]]:
        """What a unit of the load costs each proxy that could be measured."""
        medians = [(peer, self.results.median(peer.name, load.name)) for peer in self.plan.peers]
        return [(peer, median.cost) for peer, median in medians if median is not None]

    def json(self) -> str:
        """Everything, for programs."""
        content: dict[str, Any] = {
            "taken": self._taken.isoformat(timespec="seconds"),
            "machine": _machine(),
            "rounds": self.plan.rounds,
            "seconds": self.plan.seconds,
            "peers": {
                peer.name: {
                    "rewrites": peer.rewrites,
                    "what": peer.what,
                    "version": self.results.versions.get(peer.name, ""),
                }
                for peer in self.plan.peers
            },
            "loads": {
                load.name: {"title": load.title, "unit": load.unit} for load in self.plan.loads
            },
            "figures": [
                {
                    "peer": peer,
                    "load": load,
                    **asdict(median),
                    "costs": [round(reading.cost, 3) for reading in readings.values()],
                }
                for (peer, load), readings in self.results.readings.items()
                if (median := self.results.median(peer, load)) is not None
            ],
            "troubles": [
                {"peer": peer, "load": load, "what": what}
                for (peer, load), what in self.results.troubles.items()
            ],
            "ratios": [
                {
                    "what": outcome.goal.text,
                    "ratio": outcome.ratio,
                    "at_most": outcome.goal.most,
                    "verdict": outcome.verdict,
                }
                for outcome in self.outcomes()
            ],
        }
        return json.dumps(content, indent=1, ensure_ascii=False) + "\n"

    def markdown(self) -> str:
        """Everything, for people."""
        plan = self.plan
        lines = [
            "# Benchmark results",
            "",
            f"Taken {self._taken:%Y-%m-%d %H:%M} UTC on {_machine()}.",
            f"Each figure is the median of {plan.rounds} rounds of {plan.seconds:g} s.",
            "Each proxy on the same one core, origin and load generator on another.",
            "[docs/performance.md](../../docs/performance.md) says how it is measured.",
            "",
            *self._peers(),
            "",
            "## CPU time and memory",
            "",
            *self._costs(),
            "",
            "![The same as bars](results.svg)",
            "",
            "## Ratios",
            "",
            *self._ratios(),
            "",
            "## Each load",
        ]
        for load in plan.loads:
            lines += ["", f"### {load.title}", "", *self._load(load)]
        return "\n".join(lines) + "\n"

    def _peers(self) -> list[str]:
        lines = ["| proxy | frames | what it is | version |", "|---|---|---|---|"]
        for peer in self.plan.peers:
            does = "**rewrites**" if peer.rewrites else "passes through"
            version = self.results.versions.get(peer.name, "")
            lines.append(f"| {peer.name} | {does} | {peer.what} | {version} |")
        for (name, load), trouble in self.results.troubles.items():
            if load == "start":
                lines += ["", f"Not measured in every round: {name}. {trouble}"]
        return lines

    def _costs(self) -> list[str]:
        loads = self.plan.loads
        lines = [
            "| proxy | " + " | ".join(f"{load.name}, {load.unit}" for load in loads) + " |",
            "|---" + "|---:" * len(loads) + "|",
        ]
        for peer in self.plan.peers:
            cells = []
            for load in loads:
                median = self.results.median(peer.name, load.name)
                cells.append("" if median is None else _number(median.cost))
            star = "\\*" if peer.rewrites else ""
            lines.append(f"| {peer.name}{star} | " + " | ".join(cells) + " |")
        return [*lines, "", "\\* rewrites frames; the others pass them through."]

    def _ratios(self) -> list[str]:
        lines = ["| Segue's cost: divided by that of | ratio | at most | |", "|---|---:|---:|---|"]
        for outcome in self.outcomes():
            ratio = "" if outcome.ratio is None else f"{outcome.ratio:.2f}"
            verdict = f"**{outcome.verdict}**" if outcome.verdict != "reached" else outcome.verdict
            lines.append(f"| {outcome.goal.text} | {ratio} | {outcome.goal.most:.2f} | {verdict} |")
        return lines

    def _load(self, load: Load) -> list[str]:
        lines = [
            f"| proxy | {load.unit} | per second | p50 ms | p99 ms | MiB | its core | the other |",
            "|---|---:|---:|---:|---:|---:|---:|---:|",
        ]
        notes = []
        for peer in self.plan.peers:
            trouble = self.results.troubles.get((peer.name, load.name))
            if trouble is not None:
                notes.append(f"{peer.name}: {trouble}.")
            median = self.results.median(peer.name, load.name)
            if median is None:
                continue
            cells = [
                peer.name,
                _number(median.cost),
                "" if median.rate is None else f"{median.rate:,.0f}",
                "" if median.p50 is None else _number(median.p50),
                "" if median.p99 is None else _number(median.p99),
                f"{median.resident:,.1f}",
                "" if median.busy is None else f"{median.busy:.0%}",
                "" if median.load_busy is None else f"{median.load_busy:.0%}",
            ]
            lines.append("| " + " | ".join(cells) + " |")
        return [*lines, *(("", *notes) if notes else ())]


def _number(value: float) -> str:
    """Three significant digits, as far as they go."""
    if value >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def _machine() -> str:
    model = platform.machine()
    for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
        if line.startswith("model name"):
            model = line.partition(":")[2].strip()
            break
    kernel = platform.release().partition("-")[0]
    python = platform.python_version()
    return f"{os.cpu_count()} cores of {model}, Linux {kernel}, Python {python}"
