"""One run: every proxy under every load, interleaved, several rounds, medians.

The machine may be busy with other things. So each load goes to one proxy after the other before
the next load begins, the order changes from round to round, and of each figure the median of the
rounds counts.
"""

from __future__ import annotations

import os
import re
import statistics
import subprocess
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from bench.check import check
from bench.loads import Generator, Load, Reading
from bench.peers import Peer, Running
from bench.processes import Failed


@dataclass(frozen=True, slots=True)
class Plan:
    """What is to be measured.

    Attributes:
        peers: in the order of the report.
        loads: in the order in which they are put on.
        rounds: how often everything is measured.
        seconds: how long each measurement takes, without its warm-up.
        proxy_core: the number of the core for all proxies.
        load_core: the number of the core for origin and load generators.
    """

    peers: Sequence[Peer]
    loads: Sequence[Load]
    rounds: int
    seconds: float
    proxy_core: int
    load_core: int


@dataclass(slots=True)
class Results:
    """What came out.

    Attributes:
        readings: the name of the peer, that of the load, and a reading for each round, by its
            number; a round that failed has none.
        troubles: the name of the peer, that of the load or "start", and what went wrong.
        versions: the name of the peer, and what it calls itself.
    """

    readings: dict[tuple[str, str], dict[int, Reading]] = field(default_factory=dict)
    troubles: dict[tuple[str, str], str] = field(default_factory=dict)
    versions: dict[str, str] = field(default_factory=dict)

    def median(self, peer: str, load: str) -> Reading | None:
        """The median of each figure over the rounds; None where there is none."""
        readings = self.readings.get((peer, load), {}).values()
        if not readings:
            return None
        middle: dict[str, Any] = {}
        for figure in fields(Reading):
            values = [getattr(reading, figure.name) for reading in readings]
            known = [value for value in values if value is not None]
            middle[figure.name] = statistics.median(known) if known else None
        return Reading(**middle)

    def ratio(self, one: tuple[str, str], other: tuple[str, str]) -> float | None:
        """How much more one costs than another, each a peer and a load; None where unknown.

        The median of the rounds' ratios: the two were measured within a minute in each round, and
        what else the machine did then touched both.
        """
        first, second = self.readings.get(one, {}), self.readings.get(other, {})
        ratios = [
            first[number].cost / second[number].cost
            for number in first.keys() & second.keys()
            if second[number].cost > 0
        ]
        return statistics.median(ratios) if ratios else None


def measure(plan: Plan, say: Callable[[str], None]) -> Results:
    """Carry a plan out; `say` is told how it goes on.

    Raises:
        Failed: there is no load generator. What fails for one proxy is in the results.
    """
    results = Results()
    os.sched_setaffinity(0, {plan.load_core})
    with tempfile.TemporaryDirectory(prefix="segue-bench-") as directory:
        generator = Generator(Path(directory), plan.load_core)
        try:
            for number in range(plan.rounds):
                say(f"round {number + 1} of {plan.rounds}")
                place = Path(directory) / f"round-{number}"
                place.mkdir()
                _round(plan, number, generator, place, results, say)
        finally:
            generator.stop()
    for peer in plan.peers:
        results.versions[peer.name] = _version(peer)
    return results


def _round(
    plan: Plan,
    number: int,
    generator: Generator,
    directory: Path,
    results: Results,
    say: Callable[[str], None],
) -> None:
    turn = number % len(plan.peers)
    started: list[Running] = []
    try:
        for peer in (*plan.peers[turn:], *plan.peers[:turn]):
            running = None
            try:
                running = Running(peer, generator.port, directory / peer.name, plan.proxy_core)
                check(running)
            except Failed as trouble:
                results.troubles[peer.name, "start"] = str(trouble)
                say(f"  {peer.name}: {trouble}")
                if running is not None:
                    running.process.stop()
            else:
                started.append(running)
        for load in plan.loads:
            say(f"  {load.title}, {load.unit}")
            for running in started:
                _put(plan, number, load, generator, running, results, say)
    finally:
        for running in started:
            running.process.stop()


def _put(
    plan: Plan,
    number: int,
    load: Load,
    generator: Generator,
    running: Running,
    results: Results,
    say: Callable[[str], None],
) -> None:
    peer = running.peer
    if peer.loads is not None and load.name not in peer.loads:
        return
    try:
        reading = load.measure(generator, running, plan.seconds)
    except (Failed, subprocess.SubprocessError) as trouble:
        results.troubles[peer.name, load.name] = str(trouble)
        say(f"    {peer.name:13} {trouble}")
        return
    results.readings.setdefault((peer.name, load.name), {})[number] = reading
    busy = (
        ""
        if reading.busy is None or reading.load_busy is None
        else f"   cores {reading.busy:4.0%} {reading.load_busy:4.0%}"
    )
    rate = "" if reading.rate is None else f" {reading.rate:10,.0f}/s"
    say(f"    {peer.name:13} {reading.cost:10.2f}{rate}{busy}")


def _version(peer: Peer) -> str:
    try:
        done = subprocess.run(  # noqa: S603 (the peers' own programs)
            peer.version(),
            capture_output=True,
            text=True,
            timeout=20,
            check=False,
            cwd=Path(__file__).parent.parent,
        )
    except (Failed, OSError, subprocess.SubprocessError):
        return "not installed"
    text = done.stdout.strip() or done.stderr.strip()
    found = re.search(r"\d+\.\d+(?:\.\d+)?(?: on \S+ \S+)?", text)
    return "unknown" if found is None else found[0]
