"""What a process needs for its sessions, made from the section `store` of the configuration."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Final, NamedTuple

from structlog.typing import FilteringBoundLogger

from proxy.configuration.sessions import StoreSettings
from proxy.errors import ConfigError, Diagnostic
from proxy.sessions.store.base import Store
from proxy.sessions.store.sqlite import SqliteStore, check_file
from proxy.storage.extra import without_redis
from proxy.storage.state_directory import (
    KEY_FILE,
    check_development_key,
    development_key,
    prepare_directory,
)
from proxy.tokens.sealing import Sealer


class Backend(NamedTuple):
    """Where sessions may be kept.

    Attributes:
        schemes: of `store.url`.
        open: makes the store.
        check: finds what would keep it from that, without making anything or connecting to it.
    """

    schemes: tuple[str, ...]
    open: Callable[[StoreSettings, Path], Store]
    check: Callable[[StoreSettings, Path], object]


def open_store(store: StoreSettings, state_dir: Path) -> Store:
    """Open the store that the configuration names.

    Blocks for as long as opening a file takes; to be done before anything is served.

    Args:
        store: the section of the configuration.
        state_dir: where a SQLite file is, unless its name is absolute; made where it is missing.

    Raises:
        ConfigError: it cannot be used. (A server that is away is no such case.)
    """
    return _backend(store).open(store, state_dir)


def check_store(store: StoreSettings, state_dir: Path) -> None:
    """Find what would keep a start from `open_store` and `open_sealer`.

    Nothing is made and nothing connected to, so that some of it is only found by them: a file that
    is damaged behind its header, and a file system without what SQLite needs.

    Raises:
        ConfigError: with everything that was found.
    """
    checks: list[Callable[[], object]] = [lambda: _backend(store).check(store, state_dir)]
    if not store.keys:
        checks.append(lambda: check_development_key(state_dir))
    problems: list[Diagnostic] = []
    for check in checks:
        try:
            check()
        except ConfigError as error:
            problems += error.problems
    if problems:
        raise ConfigError(problems)


def open_sealer(store: StoreSettings, state_dir: Path, log: FilteringBoundLogger) -> Sealer:
    """Take the configured keys; where there are none, the state directory's own, with a warning.

    Raises:
        ConfigError: that one cannot be made or read.
    """
    if store.keys:
        return Sealer(store.keys)
    key = development_key(state_dir)
    log.warning(
        "sessions are sealed with a key from the state directory; set store.keys",
        file=str(state_dir / KEY_FILE),
    )
    return Sealer([key])


def _backend(store: StoreSettings) -> Backend:
    scheme = store.url.partition(":")[0]
    return next(backend for backend in BACKENDS if scheme in backend.schemes)


def _file(store: StoreSettings, state_dir: Path) -> Path:
    return state_dir / store.url.partition(":")[2]


def _open_sqlite(store: StoreSettings, state_dir: Path) -> Store:
    path = _file(store, state_dir)
    prepare_directory(path.parent)
    return SqliteStore(path, limit=store.sessions, timeout=store.timeout)


def _check_sqlite(store: StoreSettings, state_dir: Path) -> None:
    check_file(_file(store, state_dir))


def _open_redis(store: StoreSettings, _: Path) -> Store:
    try:
        # Only here: its package is an extra, which most installations do without.
        from proxy.sessions.store.redis import RedisStore  # noqa: PLC0415
    except ModuleNotFoundError as error:
        raise without_redis(error) from None
    return RedisStore(
        store.url,
        limit=store.sessions,
        timeout=store.timeout,
        connections=store.connections,
        ca_file=store.ca_file,
    )


BACKENDS: Final = (
    Backend(("sqlite",), _open_sqlite, _check_sqlite),
    # Nothing is connected to before it is used, so that making it checks it.
    Backend(("redis", "rediss", "redis+sentinel", "rediss+sentinel"), _open_redis, _open_redis),
)
"""All there are; the schemes are those that `store.url` may have."""
