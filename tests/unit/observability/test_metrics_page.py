"""What is done before a page of metrics is done in steps."""

from __future__ import annotations

import asyncio

from proxy.observability.metrics import Metrics
from proxy.types import Direction


async def test_what_comes_before_a_page_lets_others_have_their_turn() -> None:
    metrics = Metrics("1.2.3")
    whole = metrics.messages("none", Direction.TO_CLIENT)
    for _ in range(3_500):
        part = whole.part()
        metrics.open_account(part)
        part.passed += 1
    seen: list[int] = []
    prepared: list[int] = []

    async def prepare() -> None:
        prepared.append(whole.passed)

    metrics.before_page(prepare)
    preparing = asyncio.ensure_future(metrics.prepare())
    while not preparing.done():
        await asyncio.sleep(0)
        seen.append(whole.passed)
    assert seen[:3] == [1_000, 2_000, 3_000]
    assert prepared == [3_500]
