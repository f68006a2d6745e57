"""Settings that are set, and do nothing beside what else is set."""

from __future__ import annotations

from structlog.typing import FilteringBoundLogger

from proxy.configuration.reading import Config
from proxy.errors import Diagnostic


def without_effect(config: Config, file: str) -> list[Diagnostic]:
    """Which of them do nothing, and what to do.

    Args:
        config: all settings.
        file: where they are from, as the user named it.
    """
    if config.sessions.enabled:
        return []
    message = "has no effect: answers are given again to sessions alone; set sessions.enabled"
    return [
        Diagnostic(file, 0, 0, f"coalescing[{index}].fresh_until", message)
        for index, route in enumerate(config.coalescing)
        if route.fresh_until is not None
    ]


def check(config: Config, log: FilteringBoundLogger) -> None:
    """Warn of them."""
    for each in without_effect(config, ""):
        log.warning("setting without effect", key=each.path, reason=each.message)
