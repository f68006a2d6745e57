"""What the store of switches knows of the audit of a state directory, for `segue audit verify`."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import NamedTuple

from proxy.configuration.sessions import StoreSettings
from proxy.control.switch_store.base import SwitchStore
from proxy.control.switch_store.opening import open_switch_store
from proxy.errors import ConfigError, StoreAway
from proxy.tokens.audit_chain import (
    AuditKeys,
    Head,
    has_head,
    heads_at,
    read_head,
    value_name,
    value_names,
)


class Known(NamedTuple):
    """What the store says.

    Attributes:
        trouble: why it could not be asked; empty where it was.
        head: of the chain in question; None where it has none, or none that a key attests.
        is_unread: whether it has something for that chain which no key attests.
        others: the heads of other chains that were written in the same state directory.
    """

    trouble: str = ""
    head: Head | None = None
    is_unread: bool = False
    others: tuple[Head, ...] = ()


def known(
    settings: StoreSettings, directory: Path, audit: str | None, place: str, keys: AuditKeys
) -> Known:
    """Ask the store; nothing is made or changed.

    Args:
        settings: the section of the configuration.
        directory: the state directory.
        audit: the name of the chain; None where nothing says it.
        place: of the state directory.
        keys: the configured ones.
    """
    scheme, _, file = settings.url.partition(":")
    if scheme == "sqlite" and not (directory / file).exists():
        # Whoever only looks makes no file.
        return Known()
    try:
        return asyncio.run(_asked(settings, directory, audit, place, keys))
    except ConfigError as error:
        return Known("; ".join(problem.message for problem in error.problems))
    except StoreAway as error:
        return Known(error.detail)


async def _asked(
    settings: StoreSettings, directory: Path, audit: str | None, place: str, keys: AuditKeys
) -> Known:
    store = open_switch_store(settings, directory)
    try:
        head, is_unread = None, False
        if audit is not None:
            value = await store.value(value_name(audit))
            head = read_head(value, audit, keys)
            is_unread = head is None and has_head(value, audit)
        return Known("", head, is_unread, await _others(store, audit, place, keys))
    finally:
        await store.close()


async def _others(
    store: SwitchStore, audit: str | None, place: str, keys: AuditKeys
) -> tuple[Head, ...]:
    found = [
        head
        for name in value_names()
        for head in heads_at(await store.value(name), place, keys)
        if head.audit != audit
    ]
    return tuple(sorted(found, key=lambda head: head.audit))
