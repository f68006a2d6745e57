"""`python -m bench`: measure Segue beside its peers; `python -m bench install`: fetch the peers.

Everything stays on the loopback interface, is bounded in time, and ends what it started. The
figures go to `bench/results/`: `results.md`, `results.json`, `results.svg`.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable
from pathlib import Path

from bench.install import install
from bench.loads import LOADS
from bench.measure import Plan, measure
from bench.peers import HERE, OTHER_PYTHONS, PEERS
from bench.plot import plot
from bench.processes import Failed
from bench.report import Report


def main() -> int:
    """Run; the exit code is 1 where nothing could be measured."""
    options = _parser().parse_args()
    try:
        if options.command == "install":
            install(_say)
            return 0
        plan = Plan(
            peers=[peer for peer in (*PEERS, *OTHER_PYTHONS) if peer.name in options.peers],
            loads=[load for load in LOADS if load.name in options.loads],
            rounds=options.rounds,
            seconds=options.seconds,
            proxy_core=options.proxy_core,
            load_core=options.load_core,
        )
        if os.cpu_count() == 1 or plan.proxy_core == plan.load_core:
            raise Failed("two cores are needed: one for the proxies, one for the load")
        report = Report(plan, measure(plan, _say))
    except Failed as trouble:
        print(f"bench: {trouble}", file=sys.stderr)  # noqa: T201 (a command-line tool)
        return 1
    except KeyboardInterrupt:
        return 130
    options.output.mkdir(parents=True, exist_ok=True)
    for name, text in (
        ("results.json", report.json()),
        ("results.md", report.markdown()),
        ("results.svg", plot(report)),
    ):
        (options.output / name).write_text(text, encoding="utf-8")
    _say(report.markdown())
    return 0


def _say(text: str) -> None:
    print(text, flush=True)  # noqa: T201 (a command-line tool)


def _names(known: list[str]) -> Callable[[str], list[str]]:
    def names(text: str) -> list[str]:
        wanted = text.split(",")
        unknown = [name for name in wanted if name not in known]
        if unknown:
            raise argparse.ArgumentTypeError(f"{unknown[0]} is none of {', '.join(known)}")
        return wanted

    return names


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m bench", description="Measure Segue beside its peers."
    )
    peers, loads = [peer.name for peer in PEERS], [load.name for load in LOADS]
    known = peers + [peer.name for peer in OTHER_PYTHONS]
    parser.add_argument("command", nargs="?", choices=("run", "install"), default="run")
    parser.add_argument("--peers", type=_names(known), default=peers, help=", ".join(known))
    parser.add_argument("--loads", type=_names(loads), default=loads, help=", ".join(loads))
    parser.add_argument("--seconds", type=float, default=3.0, help="of each measurement")
    parser.add_argument("--rounds", type=int, default=3, help="of which the median counts")
    parser.add_argument("--proxy-core", type=int, default=0)
    parser.add_argument("--load-core", type=int, default=1)
    parser.add_argument("--output", type=Path, default=HERE / "results", metavar="DIRECTORY")
    return parser


if __name__ == "__main__":
    sys.exit(main())
