"""Shadows in a test's own loop, and a mapping whose switch is in one."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Final

from proxy.gateway.shadow import Shadows
from proxy.gateway.shadow_account import ShadowAccount
from proxy.gateway.shadow_switch import ShadowTarget
from proxy.mapping.engine.program import Program
from proxy.rewriting import MessageCounts, MessageHandling, Rewriter
from proxy.types import Direction
from tests.support.rules import compiled
from tests.support.waiting import PATIENCE

SWITCH: Final = "modern/tested"
RULES: Final = """
- name: chat
  match: {field: kind, equals: chat}
  do: [{rename: {content: text}}]
- name: gone
  match: {field: kind, equals: gone}
  do: [{drop: true}]
- name: broken
  match: {field: kind, equals: broken}
  do: [{set: {kind.deep: 1}}]
- name: same
  match: {field: kind, equals: same}
  do: [{set: {kind: same}}]
"""
CHAT: Final = b'{"kind": "chat", "content": "Anna, 31"}'
GONE: Final = b'{"kind": "gone"}'
BROKEN: Final = b'{"kind": "broken"}'
SAME: Final = b'{"kind": "same"}'
OTHER: Final = b'{"kind": "other"}'
AMPLE: Final = 1_000.0


def dialect(on_error: str = "pass", channel: str = "websocket") -> Program:
    rules = RULES if channel == "websocket" else RULES.partition("- name: gone")[0]
    return Program([compiled(rules, on_error=on_error, channel=channel)])


@asynccontextmanager
async def shadowing(**settings: Any) -> AsyncIterator[Shadows]:
    """Shadows in this loop, with time for everything unless the settings say otherwise."""
    made = Shadows(asyncio.get_running_loop(), **{"budget": lambda: AMPLE, **settings})
    try:
        yield made
    finally:
        made.close()


def tap(
    shadows: Shadows,
    inner: Rewriter | None = None,
    *targets: ShadowTarget,
) -> MessageHandling:
    return shadows.tapped(
        MessageHandling(inner, MessageCounts()),
        targets or (ShadowTarget(SWITCH, dialect()),),
        Direction.TO_CLIENT,
        "modern",
    )


def account(shadows: Shadows, switch: str = SWITCH) -> ShadowAccount:
    found = shadows.account(switch)
    assert found is not None
    return found


async def settled(shadows: Shadows, switch: str = SWITCH) -> ShadowAccount:
    """Wait until nothing waits to be compared; the account then balances."""
    async with asyncio.timeout(PATIENCE):
        while account(shadows, switch).waiting or shadows._queue:  # noqa: ASYNC110 (it tells nobody)
            await asyncio.sleep(0.002)
    found = account(shadows, switch)
    assert found.offered == found.compared + found.skipped
    assert sum(found.outcomes().values()) == found.offered
    assert not shadows._queue.bytes
    return found


def counts(found: ShadowAccount) -> tuple[int, int, int, int]:
    return found.would_map, found.would_pass, found.would_drop, found.would_fail
