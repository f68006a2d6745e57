"""Settings that are set, and do nothing, or less than they say, beside what else is set."""

from __future__ import annotations

from typing import Final

from structlog.typing import FilteringBoundLogger

from proxy.configuration.reading import Config
from proxy.errors import Diagnostic
from proxy.memory import MemoryBudget

MIB: Final = 1 << 20

HELD: Final = ("body", "message", "shared_body")
"""The limits of what is held whole, within `limits.memory`, for one address."""


def without_effect(config: Config, file: str) -> list[Diagnostic]:
    """Which of them do nothing, and what to do.

    Args:
        config: all settings.
        file: where they are from, as the user named it.
    """
    found = [] if config.sessions.enabled else _fresh_without_sessions(config)
    found += _beyond_the_share(config)
    return [Diagnostic(file, 0, 0, path, message) for path, message in found]


def _fresh_without_sessions(config: Config) -> list[tuple[str, str]]:
    message = "has no effect: answers are given again to sessions alone; set sessions.enabled"
    return [
        (f"coalescing[{index}].fresh_until", message)
        for index, route in enumerate(config.coalescing)
        if route.fresh_until is not None
    ]


def _beyond_the_share(config: Config) -> list[tuple[str, str]]:
    share = MemoryBudget(config.limits.memory).share
    found = []
    for name in HELD:
        size = getattr(config.limits, name)
        if size > share:
            needed = -(-size * 8 // (3 * MIB))
            message = (
                f"{size / MIB:.4g} MiB is never reached: an address has {share / MIB:.4g} MiB,"
                f" three eighths of limits.memory; set that to {needed}MiB or more"
            )
            found.append((f"limits.{name}", message))
    return found


def check(config: Config, log: FilteringBoundLogger) -> None:
    """Warn of them."""
    for each in without_effect(config, ""):
        log.warning("setting without effect", key=each.path, reason=each.message)
