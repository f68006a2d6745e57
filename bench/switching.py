"""What a decision about switches costs, and how soon a change is in force on all replicas.

`python -m bench.switching` prints microseconds of CPU for what is done once for each WebSocket or
request; with `--fleet`, also milliseconds from a change being asked for to its being in force on
three processes on one Redis, which needs `redis-server`, and the tests' packages.
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Final

from proxy.control.loading import load
from proxy.gateway import identity
from proxy.mapping.switched import MAX_USERS, SwitchedCatalog
from proxy.switching.setting import Mode, Setting
from proxy.switching.table import EMPTY, SwitchName, SwitchState, Table
from proxy.versions.version import Version

ROOT: Final = Path(__file__).resolve().parent.parent
ROUNDS: Final = 40
CALLS: Final = 2_000
CHANGES: Final = 50
SWITCH: Final = SwitchName("modern", "old-to-new")


def microseconds(calls: Callable[[], int]) -> float:
    """CPU time of one call, the least of some rounds."""
    best = float("inf")
    for _ in range(ROUNDS):
        begun = time.process_time()
        count = calls()
        best = min(best, (time.process_time() - begun) / count)
    return best * 1e6


def decisions() -> list[tuple[str, float]]:
    """What it costs to decide, for those of whom more and less is known."""
    catalog = load(ROOT / "config.yaml", {}, {}).catalog
    state = SwitchState(Setting(Mode.CANARY, 1000))
    all_on = SwitchedCatalog(catalog, None, EMPTY, b"k" * 32)
    canary = SwitchedCatalog(catalog, None, Table(1, {SWITCH: state}), b"k" * 32)
    version = Version.parse("2.1.3")
    users = [f"u:user-{number}".encode() for number in range(MAX_USERS * 3)]
    identified = [partial(bytes, user) for user in users]

    def of(switched: SwitchedCatalog, who: Sequence[Callable[[], bytes]]) -> Callable[[], int]:
        # Who comes round again has been forgotten, where there are more than are remembered.
        def calls() -> int:
            decide = switched.decide
            for each in who:
                decide("modern", version, each)
            return len(who)

        return calls

    def names() -> int:
        read = identity._of_token  # noqa: SLF001 (what `identity_of` does with a token)
        for _ in range(CALLS):
            read("e" * 36 + "." + "y" * 180 + "." + "z" * 43)
        return CALLS

    return [
        ("all switches on", microseconds(of(all_on, identified[:CALLS]))),
        ("a canary, of a user that is known", microseconds(of(canary, identified[:CALLS]))),
        ("a canary, of a user that is not known", microseconds(of(canary, identified))),
        ("who the user is, by a token seen before", microseconds(names)),
    ]


async def delays(directory: Path) -> list[float]:
    """Milliseconds from a change being asked for to its being in force on all three."""
    from tests.support.storages import RedisServer  # noqa: PLC0415 (not needed without --fleet)
    from tests.support.switched_fleet import fleet  # noqa: PLC0415

    (directory / "redis").mkdir()
    redis = RedisServer("redis-server", directory / "redis")
    taken = []
    try:
        async with fleet(directory, dict.fromkeys("abc", redis.address)) as replicas:
            for number in range(1, CHANGES + 1):
                switch = ("modern/first", "modern/second")[number % 2]
                expected = await replicas[0].operator.at(switch)
                state = ("off", "on")[number // 2 % 2]
                begun = time.perf_counter()
                asked = replicas[0].operator.done(
                    "PUT", f"/switches/{switch}", expected=expected, state=state, reason="bench"
                )
                await asyncio.gather(asked, *(each.is_at(number) for each in replicas))
                taken.append((time.perf_counter() - begun) * 1e3)
    finally:
        redis.stop()
    return sorted(taken)


def main() -> None:
    """Measure, and print."""
    out = sys.stdout.write
    out("| a decision | µs |\n|---|---:|\n")
    for what, cost in decisions():
        out(f"| {what} | {cost:.2f} |\n")
    if "--fleet" in sys.argv:
        with tempfile.TemporaryDirectory() as directory:
            taken = asyncio.run(delays(Path(directory)))
        out(
            f"\n{len(taken)} changes were in force on three processes after"
            f" {taken[len(taken) // 2]:.0f} ms (p50), {taken[len(taken) * 99 // 100]:.0f} ms (p99),"
            f" {taken[-1]:.0f} ms (max)\n"
        )


if __name__ == "__main__":
    main()
