"""What a message costs whose switch is in shadow: while it is sent, and afterwards.

`python -m bench.shadow` prints microseconds of CPU for frames of 777 bytes, by the shipped mapping
`old-to-new`. On its own: what it takes to rewrite such a frame, which is a part of the second.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from pathlib import Path
from typing import Final

from proxy.control.loading import load
from proxy.gateway import shadow
from proxy.gateway.shadow import Shadows
from proxy.gateway.shadow_queue import MAX_QUEUED
from proxy.gateway.shadow_switch import ShadowTarget
from proxy.mapping.engine.program import Program
from proxy.rewriting import MessageCounts, MessageHandling
from proxy.types import Direction

ROOT: Final = Path(__file__).resolve().parent.parent
SIZE: Final = 777
ROUNDS: Final = 200
SWITCH: Final = "modern/old-to-new"


def frame(kind: str) -> bytes:
    """A message as the old server sends them, of `SIZE` bytes."""
    message = {
        "kind": kind,
        "jobId": "0b9c1f62-5c0a-4d0e-9a53-6f3a7d1c2b10",
        "agent": "architect",
        "order": 3,
        "timestamp": "2025-03-04T09:15:40.000731+00:00",
        "message": "",
    }
    message["message"] = "x" * (SIZE - len(json.dumps(message)))
    return json.dumps(message).encode()


def rewriting(program: Program, message: bytes) -> float:
    """Microseconds for rewriting it, the least of some rounds."""
    best = float("inf")
    for _ in range(ROUNDS):
        begun = time.thread_time()
        for _ in range(MAX_QUEUED):
            program.apply(message)
        best = min(best, time.thread_time() - begun)
    return best / MAX_QUEUED * 1e6


def shadowing(shadows: Shadows, program: Program, message: bytes) -> tuple[float, float]:
    """Microseconds for putting it into the queue, and for comparing it."""
    handling = shadows.tapped(
        MessageHandling(None, MessageCounts()),
        (ShadowTarget(SWITCH, program),),
        Direction.TO_CLIENT,
        "modern",
    )
    assert handling.observer is not None
    sent = compared = float("inf")
    for _ in range(ROUNDS):
        begun = time.thread_time()
        for _ in range(MAX_QUEUED):
            handling.observer.note(message)
        queued = time.thread_time()
        shadows._work()  # noqa: SLF001 (what the loop calls)
        sent = min(sent, queued - begun)
        compared = min(compared, time.thread_time() - queued)
    account = shadows.account(SWITCH)
    assert account is not None
    assert not account.waiting
    assert not account.skipped
    return sent / MAX_QUEUED * 1e6, compared / MAX_QUEUED * 1e6


async def main() -> None:
    """Measure, and print."""
    shadow.SLICE = float("inf")  # type: ignore[misc]
    program = load(ROOT / "config.yaml", {}, {}).catalog.for_cohort("modern").to_client
    assert program is not None
    out = sys.stdout.write
    out("| a frame that | is rewritten, µs | sent with a tap, µs | compared, µs |\n")
    out("|---|---:|---:|---:|\n")
    for what, kind in (("would be mapped", "agentDialogue"), ("would pass", "error")):
        message = frame(kind)
        shadows = Shadows(asyncio.get_running_loop(), budget=lambda: 1e9)
        apart = rewriting(program, message)
        tap, compared = shadowing(shadows, program, message)
        shadows.close()
        out(f"| {what} | {apart:.1f} | {tap:.1f} | {compared:.1f} |\n")


if __name__ == "__main__":
    asyncio.run(main())
