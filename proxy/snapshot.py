"""The seam between control plane and data plane: immutable values, and the one that serves.

Whatever is decided anywhere ends as a snapshot. The data plane reads the current one once for each
request; the control plane puts another in its place with one assignment.

What a snapshot says never changes. One part of it keeps accounts: `switches` counts how often it
decided what, and remembers of whom, which changes nothing of what it decides. That begins anew with
each snapshot, so the accounts of switches that were turned are never mixed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from proxy.configuration.reading import Config
from proxy.configuration.sections import CoalescingRoute
from proxy.configuration.websocket import SocketBound
from proxy.freshness.resources import FreshRoutes
from proxy.http.routing import Routes
from proxy.mapping.catalog import Catalog
from proxy.mapping.switched import SwitchedCatalog
from proxy.switching.table import OpenSockets, SwitchName
from proxy.versions.selection import VersionRules

Stamp = tuple[int, int, int, int] | tuple[str, ...] | None
"""What tells one state of a path from the next: a file's device, inode, size and time of change, a
directory's mapping files, None for what cannot be seen. Symbolic links are followed."""


@dataclass(frozen=True, slots=True)
class Source:
    """Where a snapshot was read, so that it can be read again.

    Attributes:
        file: the configuration file; the mappings and the TLS files are relative to its directory.
        env: the environment, for `SEGUE_...` overrides.
        flags: what the command line says, by the name of the flag.
        required: whether the file has to be there. One that nobody named need not be: what is in
            force then is what variables and flags say.
    """

    file: Path
    env: Mapping[str, str] = field(repr=False)
    flags: Mapping[str, object]
    required: bool = True


@dataclass(frozen=True, slots=True, eq=False)
class Snapshot:
    """Everything that a request needs to know of the configuration. Each is equal to itself alone.

    Attributes:
        config: the effective configuration; the names of TLS files are resolved.
        versions: chooses a client's version and cohort.
        catalog: the compiled mappings of each cohort.
        switches: which of them apply to whom; it counts what it decides.
        coalescing: the routes on which GETs share an upstream request; None where there are none.
        fresh: those of them on which answers are given again; None where there are none.
        socket_bounds: the paths at which a session may have so many WebSockets; None where there
            are none.
        source: where it was read.
        files: what was read, and in which state it was then.
        digest: of the texts of configuration and mappings, in their order; 12 hexadecimal digits.
    """

    config: Config
    versions: VersionRules
    catalog: Catalog
    switches: SwitchedCatalog
    coalescing: Routes[CoalescingRoute] | None
    fresh: FreshRoutes | None
    socket_bounds: Routes[SocketBound] | None
    source: Source = field(repr=False)
    files: Mapping[Path, Stamp] = field(repr=False)
    digest: str


@dataclass(frozen=True, slots=True)
class SwitchChange:
    """A change of switches that was put to work.

    Attributes:
        snapshot: what serves since.
        scope: the switches that changed; None for all.
        policy: what open sockets do.
    """

    snapshot: Snapshot
    scope: frozenset[SwitchName] | None
    policy: OpenSockets


class Live:
    """Holds the snapshot that serves.

    Attributes:
        current: read once for each request.
        on_replaced: told of each one that took the place of another.
    """

    def __init__(self, snapshot: Snapshot) -> None:
        self.current = snapshot
        self.on_replaced: list[Callable[[Snapshot], None]] = []

    def replace(self, snapshot: Snapshot) -> None:
        """Have another one serve, from the next request on."""
        self.current = snapshot
        for told in self.on_replaced:
            told(snapshot)
