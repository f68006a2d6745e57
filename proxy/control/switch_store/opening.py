"""The store of switches that the section `store` of the configuration names."""

from __future__ import annotations

from pathlib import Path

from proxy.configuration.sessions import StoreSettings
from proxy.control.switch_store.base import SwitchStore
from proxy.control.switch_store.sqlite import SqliteSwitchStore
from proxy.storage.extra import without_redis
from proxy.storage.state_directory import prepare_directory


def open_switch_store(store: StoreSettings, state_dir: Path) -> SwitchStore:
    """Open the store, whether sessions are kept in it or not.

    Blocks for as long as opening a file takes; to be done before anything is served. Where nothing
    can be written, `memory.MemorySwitchStore` is what its caller may take instead.

    Args:
        store: the section of the configuration.
        state_dir: where a SQLite file is, unless its name is absolute; made where it is missing.

    Raises:
        ConfigError: it cannot be used. (A server that is away is no such case.)
    """
    scheme, _, rest = store.url.partition(":")
    if scheme == "sqlite":
        path = state_dir / rest
        prepare_directory(path.parent)
        return SqliteSwitchStore(path, timeout=store.timeout)
    try:
        from proxy.control.switch_store.redis import RedisSwitchStore  # noqa: PLC0415
    except ModuleNotFoundError as error:
        raise without_redis(error) from None
    return RedisSwitchStore(
        store.url, timeout=store.timeout, connections=store.connections, ca_file=store.ca_file
    )
