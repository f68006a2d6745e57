"""What a process keeps of the last hour, and who somebody is taken for."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from proxy.gateway import flow
from proxy.observability import last_hour
from tests.support.administered import OPERATOR, VIEWER, administered, bearer
from tests.support.switches import sent, switched
from tests.support.waiting import PATIENCE


async def test_the_last_hour_has_messages_failures_and_sockets(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(last_hour, "STEP", 0.01)
    monkeypatch.setattr(flow, "FRESH", 0.0)
    async with switched(tmp_path) as running:
        assert (await running.ask("/last-hour"))["left_out"] == 0
        new = await running.open("2.1")
        await sent(new, times=5)
        await sent(new, b'{"kind": "unheard"}', times=2)
        async with asyncio.timeout(PATIENCE):
            while True:
                await running.ask("/flow")  # Looks, so that nobody waits half a minute.
                view = await running.ask("/last-hour")
                named = {(each["figure"], each["cohort"]): each for each in view["series"]}
                if any(named.get(("messages", "modern"), {"values": []})["values"]) and any(
                    named["unmapped", ""]["values"]
                ):
                    break
        assert all(len(each["values"]) == len(view["times"]) for each in view["series"])
        assert named["sockets", "modern"]["values"][-1] == 1
        assert named["sockets", "modern"]["revision"] == 0
        assert not any(named["failed", ""]["values"])
        assert view["times"] == sorted(view["times"])
        assert ("sessions", "") not in named  # They are off.


async def test_who_asks_is_told_who_they_are_taken_for(tmp_path: Path) -> None:
    async with administered(tmp_path) as running:
        for token, name in ((VIEWER, "viewer"), (OPERATOR, "operator")):
            answer = await running.ask("/api/v1/whoami", bearer(token))
            assert answer.status == 200
            assert f'"name":"{name}-token","role":"{name}","by":"token"' in answer.body
