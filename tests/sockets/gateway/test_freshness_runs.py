"""Nothing is stale, however the server's messages and commits fall: many runs of the pattern."""

from __future__ import annotations

import asyncio
import os
import random
from pathlib import Path
from typing import Final

from tests.support.jobs_board import ROUTE, board
from tests.support.refetching_runs import MESSAGES, Run

RUNS: Final = int(os.environ.get("FRESHNESS_RUNS", "60"))
PAGES: Final = 12
"""At the same time, each of a session of its own."""

SETTLING: Final = ROUTE.replace("at_most", "settle: 50ms, at_most")


async def test_no_run_shows_a_page_that_is_older_than_a_message(tmp_path: Path) -> None:
    async with board(tmp_path, SETTLING) as it:
        numbers = iter(range(RUNS))
        ended: list[Run] = []

        async def visit() -> None:
            client = await it.other()
            for number in numbers:
                run = Run(it, client, f"run-{number}", random.Random(number))
                await run.go()
                assert run.stale == 0, f"run {number}"
                assert run.shown == MESSAGES, f"run {number}"
                ended.append(run)

        async with asyncio.TaskGroup() as pages:
            for _ in range(PAGES):
                pages.create_task(visit())
    assert len(ended) == RUNS
    gets, asked = sum(run.gets for run in ended), sum(run.asked for run in ended)
    print(  # noqa: T201 (for `make proof`)
        f"{RUNS} runs, {MESSAGES * RUNS} messages: {gets} GETs of the pages, {asked} at the server,"
        " none stale"
    )
    assert asked <= (MESSAGES + 2) * RUNS
