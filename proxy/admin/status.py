"""`GET /status`: what runs, and what an operator would look at first."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import pydantic
from aiohttp import web

from proxy.admin.application import ProcessState
from proxy.admin.endpoints import Endpoint, Served
from proxy.admin.reload import Reloaded, described
from proxy.admin.switch_status import SwitchesStatus
from proxy.admin.upstreams import UpstreamView, upstream_view
from proxy.control.audit import Audit
from proxy.control.reload import Reloads
from proxy.downstream.certificate import Certificate
from proxy.downstream.listener import Listener
from proxy.downstream.websockets import Connections
from proxy.gateway.open_websocket import OpenWebSocket
from proxy.observability.metrics import Metrics
from proxy.snapshot import Live
from proxy.types import Role
from proxy.upstream.fleet import Fleet


class ConfigurationView(pydantic.BaseModel):
    """The configuration that serves.

    Attributes:
        file: as the process was told it; null where there is none, and variables and flags say all.
        digest: of its text and those of the mappings.
        since: when it was read, in seconds since 1970.
        mappings: their names.
    """

    file: str | None
    digest: str
    since: float
    mappings: list[str]


class ListenerView(pydantic.BaseModel):
    """Where the process listens.

    Attributes:
        name: `public`, `admin`, or `socket`, the Unix socket of the admin listener.
        address: host and port, or the file.
        tls: whether it speaks TLS.
        certificate_ends: when its certificate does, in seconds since 1970; null without one.
    """

    name: str
    address: str
    tls: bool = False
    certificate_ends: float | None = None


class SocketsView(pydantic.BaseModel):
    """Open WebSockets that are alike.

    Attributes:
        cohort: of their clients.
        configuration: the digest of the configuration under which they began.
        older_than_reload: whether another one serves now.
        open: how many there are.
    """

    cohort: str
    configuration: str
    older_than_reload: bool
    open: int


class StoreView(pydantic.BaseModel):
    """The session store.

    Attributes:
        sessions: whether they are enabled; the rest says nothing otherwise.
        state: `up`, `away`, or `read-only`.
        open: sessions in it, when it was asked last.
        unsaved: sessions whose newest tokens are in memory only.
    """

    sessions: bool
    state: str
    open: int
    unsaved: int


class AuditView(pydantic.BaseModel):
    """The audit.

    Attributes:
        trouble: why nothing can be written at the moment; null where all is well.
        written: lines that are on the disk, since the start.
        waiting: lines that are not yet.
        lost: lines that were given up; the log has what they said of who did what.
        head_behind: seconds for which the store has not known of the last line.
    """

    trouble: str | None
    written: int
    waiting: int
    lost: int
    head_behind: float


class Status(pydantic.BaseModel):
    """The process.

    Attributes:
        version: of Segue.
        pid: its process id.
        state: `starting`, `ready` or `draining`.
        since: when it was started, in seconds since 1970.
        configuration: what serves.
        listeners: where it listens.
        connections: of clients, WebSockets included.
        upstreams: the servers, in the order of the configuration.
        websockets: how many are open.
        last_reload: the newest attempt, and its faults; null before the first.
        reloads_succeeded, reloads_failed: how many there were since the start.
        limits: how often each limit was reached since the start; those that were.
        store: that of the sessions.
        switches: how they are, and their store.
        audit: whether it can be written.
    """

    version: str
    pid: int
    state: str
    since: float
    configuration: ConfigurationView
    listeners: list[ListenerView]
    connections: int
    upstreams: list[UpstreamView]
    websockets: list[SocketsView]
    last_reload: Reloaded | None
    reloads_succeeded: int
    reloads_failed: int
    limits: dict[str, int]
    store: StoreView
    switches: SwitchesStatus
    audit: AuditView


STATUS: Final = Endpoint("GET", "/status", Role.VIEWER, None, Status)


@dataclass(frozen=True, slots=True)
class Watched:
    """What a status is read from.

    Attributes:
        version, pid, since: see `Status`.
        state: gives where the process is in its life.
        addresses: gives where it listens: the public listener, the admin listener, the Unix socket,
            which is empty where there is none.
        store: gives the view of the session store.
        switches: gives that of the switches.
    """

    version: str
    pid: int
    since: float
    state: Callable[[], ProcessState]
    addresses: Callable[[], tuple[str, str, str]]
    live: Live
    reloads: Reloads
    fleet: Fleet
    listener: Listener
    connections: Connections
    certificates: tuple[Certificate, Certificate]
    metrics: Metrics
    store: Callable[[], StoreView]
    switches: Callable[[], SwitchesStatus]
    audit: Audit


class StatusPage:
    """Answers the request."""

    def __init__(self, watched: Watched) -> None:
        self._watched = watched

    def endpoints(self) -> tuple[Served, ...]:
        """What viewers may ask, and what answers."""
        return ((STATUS, self.status),)

    async def status(self, _: web.Request) -> Status:
        """Show how the process is, read at one moment."""
        watched = self._watched
        snapshot, reloads = watched.live.current, watched.reloads
        return Status(
            version=watched.version,
            pid=watched.pid,
            state=watched.state().value,
            since=watched.since,
            configuration=ConfigurationView(
                file=str(snapshot.source.file) if snapshot.source.required else None,
                digest=snapshot.digest,
                since=reloads.succeeded_at,
                mappings=list(snapshot.catalog.names),
            ),
            listeners=_listeners(watched),
            connections=watched.listener.open,
            upstreams=[upstream_view(pool) for pool in watched.fleet.pools],
            websockets=_sockets(watched.connections, snapshot.digest),
            last_reload=None if reloads.last is None else described(reloads.last),
            reloads_succeeded=reloads.succeeded,
            reloads_failed=reloads.failed,
            limits={name: n for name, n in watched.metrics.limits_reached.items() if n},
            store=watched.store(),
            switches=watched.switches(),
            audit=_audit(watched.audit),
        )


def _listeners(watched: Watched) -> list[ListenerView]:
    public, admin, local = watched.addresses()
    listeners = [
        ListenerView(
            name=name,
            address=address,
            tls=certificate.current is not None,
            certificate_ends=certificate.not_after,
        )
        for name, address, certificate in zip(
            ("public", "admin"), (public, admin), watched.certificates, strict=True
        )
    ]
    return listeners + ([ListenerView(name="socket", address=local)] if local else [])


def _audit(audit: Audit) -> AuditView:
    return AuditView(
        trouble=audit.trouble or None,
        written=audit.written,
        waiting=audit.waiting,
        lost=audit.lost,
        head_behind=round(audit.head.behind, 1),
    )


def _sockets(connections: Connections, serving: str) -> list[SocketsView]:
    counts = Counter(
        (each.info.cohort, each.configuration)
        for each in connections
        if isinstance(each, OpenWebSocket)
    )
    return [
        SocketsView(
            cohort=cohort,
            configuration=revision,
            older_than_reload=revision != serving,
            open=count,
        )
        for (cohort, revision), count in sorted(counts.items())
    ]
