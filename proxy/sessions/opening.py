"""What a process needs for its sessions, made from the configuration."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from structlog.typing import FilteringBoundLogger

from proxy.configuration.sessions import SessionSettings, StoreSettings
from proxy.sessions.clock import SYSTEM_CLOCK
from proxy.sessions.refresh_call import Connect
from proxy.sessions.service import Sessions
from proxy.sessions.store.opening import open_sealer, open_store
from proxy.upstream.health import SignsOfLife


def open_sessions(
    store: StoreSettings,
    state_dir: Path,
    connect: Connect,
    settings: Callable[[], SessionSettings],
    log: FilteringBoundLogger,
    signs: SignsOfLife,
) -> Sessions:
    """Open the store, and what is built on it.

    Args:
        store: the section `store` of the configuration.
        state_dir: for a SQLite file, and for a key where none is configured.
        connect: opens connections to the server.
        settings: gives the section `sessions` that serves.
        log: for what happens to sessions.
        signs: what is heard of the server.

    Raises:
        ConfigError: the store or a key cannot be used.
    """
    opened = open_store(store, state_dir)
    sealer = open_sealer(store, state_dir, log)
    return Sessions(
        opened, sealer, connect, settings, SYSTEM_CLOCK, log, store.purge, store.sessions, signs
    )
