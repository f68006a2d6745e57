"""How many files this process may open, how many it needs, and who goes without first.

Every connection is an open file. A client takes one, and its request or WebSocket one more, to the
server. Where there are too few, clients are refused before connections to servers are, and the last
ones are left to those who look after the process: the admin listener, the store, the log. The next
file always gets the lowest number that is free (POSIX), so that its number says how many there are.
"""

from __future__ import annotations

import resource
from typing import Final, NamedTuple

from structlog.typing import FilteringBoundLogger

from proxy.configuration.reading import Config

_OWN: Final = 64
"""Files that a process needs beside its connections to clients and servers: the admin listener and
those who ask there, the store, the audit, what a reload and a look-up of names open."""

_PART: Final = 32
_LEAST: Final = 16
_MOST: Final = 256
"""Each of three parts that are kept back: a part of the files, no less than this, and no more."""

_WITHOUT_AN_END: Final = 10_240
"""What a system that names no end may allow: macOS (OPEN_MAX)."""


class FileShares(NamedTuple):
    """Who may open files up to which number; the lowest that is free is what the next one gets.

    Attributes:
        limit: that of the process.
        clients: a client that gets this one or a higher one is refused.
        refusals: one that gets this one is not even waited for until it has taken its answer.
        servers: a connection to a server that gets this one is closed.
    """

    limit: int
    clients: int
    refusals: int
    servers: int


def raise_limit() -> None:
    """Let this process open as many files as it may let itself open.

    The soft limit is 1,024 on most machines, for programs that use select(2); this one does not.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    for wanted in (hard, _WITHOUT_AN_END):
        if wanted == soft or (wanted != resource.RLIM_INFINITY and 0 < wanted < soft):
            return
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
        except (OSError, ValueError):
            continue
        return


def shares() -> FileShares:
    """Who may open which part of the files that this process may open now."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return shares_of((1 << 31) - 1 if soft == resource.RLIM_INFINITY else soft)


def shares_of(limit: int) -> FileShares:
    """Who may open which part of so many files."""
    part = min(max(limit // _PART, _LEAST), _MOST)
    clients, refusals, servers = (max(limit - parts * part, 0) for parts in (3, 2, 1))
    return FileShares(limit, clients, refusals, servers)


def needed(config: Config) -> int:
    """The files that a process needs that serves as many clients as the configuration promises."""
    return 2 * config.limits.connections + _idle(config) + _OWN


def check(config: Config, log: FilteringBoundLogger) -> None:
    """Warn where there are fewer files than the configuration needs."""
    files, need = shares(), needed(config)
    if files.limit >= need:
        return
    log.warning(
        "too few open files",
        limit=files.limit,
        needed=need,
        arithmetic=f"2 x limits.connections ({config.limits.connections}: each client, and its"
        f" connection to the server) + {_idle(config)} idle connections to servers"
        f" (upstream.connections of each) + {_OWN} of its own",
        enough_for=max(files.clients - _OWN, 0) // 2,
        advice="raise LimitNOFILE (ulimit -Hn) to what is needed, or lower limits.connections:"
        " clients beyond it are refused with 503",
    )


def _idle(config: Config) -> int:
    return config.upstream.connections * len(config.upstream.urls)
