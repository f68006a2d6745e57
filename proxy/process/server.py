"""The composition root: the only place that constructs. Listeners, clock, signals, drain.

A reload exchanges what serves in one step: the snapshot, the certificate, the limits of new
connections, and the servers with the connections to them.
"""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import time
from collections import Counter
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Final

from proxy.admin import metrics as admin_metrics
from proxy.admin.access import Access
from proxy.admin.application import AdminListener, ProcessState, application, probes
from proxy.admin.drain import DrainOrders
from proxy.admin.endpoints import Served
from proxy.admin.events import EventsPage
from proxy.admin.explain import Explanations
from proxy.admin.flow import FlowPage
from proxy.admin.log_watches import LogWatches
from proxy.admin.mappings import Mappings
from proxy.admin.metrics import Refusal
from proxy.admin.openapi import OpenApi
from proxy.admin.recording import Recordings
from proxy.admin.reload import ReloadOrders
from proxy.admin.replicas import ReplicasPage
from proxy.admin.sessions import SessionOrders
from proxy.admin.shadow import ShadowPage
from proxy.admin.sockets import SocketOrders
from proxy.admin.status import StatusPage, StoreView, Watched
from proxy.admin.switch_status import switches_status
from proxy.admin.switching import SwitchOrders
from proxy.admin.tail import TailPage
from proxy.admin.upstreams import Upstreams
from proxy.admin.versions import Versions
from proxy.control import metrics as control_metrics
from proxy.control.audit import Audit
from proxy.control.audit_details import added_and_removed, principals
from proxy.control.events import ControlEvents
from proxy.control.file_authority import ended_by
from proxy.control.reload import Commit, ReloadOutcome, Reloads
from proxy.downstream import metrics as downstream_metrics
from proxy.downstream.certificate import Certificate
from proxy.downstream.listener import Listener
from proxy.downstream.websockets import Connections
from proxy.errors import ConfigError, Diagnostic
from proxy.gateway import metrics as gateway_metrics
from proxy.gateway import switch_metrics
from proxy.gateway.coalescing import Coalescer
from proxy.gateway.flow import Flow, totals
from proxy.gateway.pipeline import Gateway, Steps
from proxy.gateway.rewriting import Rewriting
from proxy.gateway.rollover import Rollover
from proxy.gateway.sending import Sender
from proxy.gateway.sessions import SessionFilter, TokenRenewal
from proxy.gateway.shadow import Shadows
from proxy.gateway.token_endpoints import TokenEndpoints
from proxy.gateway.upgrade import Upgrades
from proxy.observability import log as logs
from proxy.observability import tracing
from proxy.observability.decisions import DecisionLog
from proxy.observability.limited import LimitedWarnings
from proxy.observability.log import Log, Writer
from proxy.observability.metrics import Metrics
from proxy.process.assembly import client_limits, connections_of, state_directory
from proxy.process.certificates import CertificateWatch
from proxy.process.inherited import inherited_socket
from proxy.process.local import LocalAccess
from proxy.process.supervisor import Supervisor
from proxy.process.switches import Switches, open_switches
from proxy.process.tls_files import ServedCertificate
from proxy.process.traces import access_log, span_queue
from proxy.recording.recorder import Recorder
from proxy.recording.tail import Tail
from proxy.recording.tap import Taps
from proxy.relay.dispatch import Dispatcher
from proxy.sessions.opening import open_sessions
from proxy.sessions.service import Sessions
from proxy.snapshot import Live, Snapshot
from proxy.storage.state_directory import check_private
from proxy.switching.history import Revision
from proxy.types import SEGUE
from proxy.upstream import metrics as upstream_metrics
from proxy.upstream.fleet import Fleet

_TICK: Final = 0.5
"""Seconds between two looks at the deadlines; a timeout is late by this much at most."""

_BACKLOG: Final = 4096

_LAST_REQUESTS: Final = 0.5
"""Seconds that a drain gives to connections on which a request may be on its way already: a client
cannot know that an idle connection is about to be closed (RFC 9112 section 9.5)."""


_LAST_SPANS: Final = 3.0
"""Seconds for which an end waits until the collector has the last spans."""

_LAST_LINES: Final = 3.0
"""Seconds for which an end waits until the last lines of the audit are on the disk."""


def segue_version() -> str:
    """Return the version of the installed distribution."""
    try:
        return version("segue-proxy")
    except PackageNotFoundError:
        return "unknown"


class Server:
    """One process of Segue, from its sockets down.

    Attributes:
        state: what `/readyz` says.
        metrics: what `/metrics` shows.
        address, admin_address: `host:port` of the sockets, once they listen.
        admin_socket: the Unix socket of the admin listener; None before, and where there is none.
        ending: set where an operator has ordered the end: whoever runs this then calls `drain`.
    """

    def __init__(self, snapshot: Snapshot, log: Log, writer: Writer | None = None) -> None:
        """Construct everything; nothing listens yet.

        Args:
            snapshot: what serves first.
            log: for all lines.
            writer: who writes them, for the number of those that were lost.

        Raises:
            ConfigError: a certificate, key or CA file cannot be used.
        """
        config = snapshot.config
        loop = asyncio.get_running_loop()
        self.state = ProcessState.STARTING
        self.address = ""
        self.admin_address = ""
        self.admin_socket: Path | None = None
        self.ending = asyncio.Event()
        self._live = Live(snapshot)
        self._log = log
        self._loop = loop
        self.metrics = Metrics(segue_version())
        everything = log.is_enabled_for(logging.DEBUG)
        self._decisions = DecisionLog(log, loop, everything=everything)
        self._warnings = LimitedWarnings(log, loop.time)
        made = connections_of(config)
        self._spans = span_queue(config.tracing, segue_version(), log)
        self._access_log = access_log(config, self.metrics, log, self._decisions, self._spans)
        self._events = ControlEvents()
        publish = self._events.publish
        self._fleet = Fleet(made.servers, loop, log, publish)
        self._certificate = Certificate(made.tls, _end_of(made.certificate))
        self._admin_certificate = Certificate(made.admin_tls, _end_of(made.admin_certificate))
        self._watch = CertificateWatch(made.served, log, publish)
        self._connections = Connections()
        directory = state_directory(snapshot.source.env)
        check_private(directory, user=os.geteuid())  # Before anything in it is believed.
        opened = open_switches(config.store, directory, log)
        self.audit = Audit(
            directory,
            config.store,
            lambda: self._live.current.config.audit,
            log,
            opened.store,
        )
        self._audited_admin = config.admin
        self._socket_orders = SocketOrders(self._connections, self._live, log, self.audit)
        taps = Taps()
        self._recorder = Recorder(taps, loop, log)
        self._shadows = Shadows(
            loop,
            budget=lambda: self._live.current.config.switching.shadow_budget,
            allows_raw=lambda: self._live.current.config.admin.allow_raw_recordings,
        )
        self._tail = Tail(taps, loop, log)
        self._sessions = self._open_sessions(snapshot) if config.sessions.enabled else None
        renewal = None if self._sessions is None else TokenRenewal(self._sessions)
        session_filter = renewal or SessionFilter()
        rewriting = Rewriting(self.metrics, taps, self._shadows, self._warnings, self._decisions)
        sender = Sender(Dispatcher(self._fleet), session_filter, rewriting, loop)
        self._coalescer = Coalescer(sender, loop)
        upgrades = Upgrades(
            sender,
            session_filter,
            rewriting,
            self._connections,
            self._access_log,
            self.metrics.count_limit,
            self._live,
            loop,
        )
        endpoints = None if renewal is None else TokenEndpoints(renewal, sender)
        steps = Steps(session_filter, endpoints, rewriting, self._coalescer, upgrades)
        gateway = Gateway(self._live, steps, self._access_log)
        self._listener = Listener(
            gateway.serve,
            gateway.refuse,
            client_limits(config),
            self._connections,
            self.metrics.count_limit,
            loop,
        )
        self._servers: list[asyncio.Server] = []
        self._admin: AdminListener | None = None
        self._refused: Counter[Refusal] = Counter()
        self._local: LocalAccess | None = None
        self._ticker: asyncio.TimerHandle | None = None
        self._supervisor = Supervisor(snapshot.source.env, log)
        rollover = Rollover(
            upgrades,
            log,
            lambda: self._live.current.switches.table.number,
        )
        self._switches = Switches(
            self._live,
            opened,
            rollover,
            self._shadows,
            log,
            partial(self._audit_revision, from_store=False),
            partial(self._audit_revision, from_store=True),
            self._events.publish,
            segue_version(),
        )
        self._reloads = Reloads(
            self._live,
            self._prepare,
            self._watch_interval,
            log,
            self._supervisor.reloading,
            self._reloaded,
            self._switches.current.under,
            partial(ended_by, self._switches.current),
        )
        decided = switch_metrics.DecisionTotals(self._live)
        self._upgrades = upgrades
        self._flow = Flow(
            upgrades,
            partial(
                totals,
                self.metrics,
                decided,
                self._shadows,
                rewriting.received_kinds,
                self._fleet,
            ),
            loop,
        )
        self._store_was = ""
        self._reloading: asyncio.Task[None] | None = None
        for families in (
            self._access_log.families(),
            tracing.families(self._spans),
            gateway_metrics.families(
                self._coalescer, rewriting, upgrades, self._shadows, self._live
            ),
            switch_metrics.families(self._live, upgrades, decided),
            () if self._sessions is None else self._sessions.counts.families(),
            downstream_metrics.families(
                self._listener, self._connections, self._certificate, self._admin_certificate
            ),
            upstream_metrics.families(self._fleet),
            logs.families(lambda: 0 if writer is None else writer.dropped),
            control_metrics.families(
                self._live,
                self._reloads,
                self.audit,
                self._switches.current,
                self._switches.replicas,
            ),
            admin_metrics.families(self._refused),
        ):
            self.metrics.add(families)

    async def start(self) -> None:
        """Listen.

        Raises:
            ConfigError: an address cannot be listened on.
        """
        # First of all: the first request is to meet what was turned before.
        await self._switches.start()
        config = self._live.current.config
        access = Access(
            lambda: self._live.current.config.admin, self._log, self._refused, self.audit
        )
        admin = AdminListener(application(self.endpoints(), access), self._refused)
        place = config.admin.address
        tls = self._admin_certificate.for_listener()
        try:
            self.admin_address = _authority(await admin.start(place.host, place.port, tls))
        except OSError as error:
            raise _cannot_listen("admin.address", str(place), error) from None
        self._admin = admin
        try:
            inherited = inherited_socket(self._live.current.source.env)
            tls = self._certificate.for_listener()
            place = config.listen.address
            create = partial(
                self._loop.create_server,
                self._listener,
                ssl=tls,
                backlog=_BACKLOG,
                ssl_handshake_timeout=None if tls is None else config.timeouts.tls_handshake,
            )
            server = await (
                create(place.host, place.port) if inherited is None else create(sock=inherited)
            )
        except OSError as error:
            await admin.close()
            raise _cannot_listen("listen.address", str(config.listen.address), error) from None
        for listening in server.sockets:
            # Connections inherit it: a client that vanished is noticed some time, however silent.
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        # Last of all: one that cannot start takes it from no other.
        scheme = "http" if self._admin_certificate.current is None else "https"
        source = self._live.current.source
        self._local = LocalAccess(state_directory(source.env), source.file, self._log)
        self.admin_socket = await self._local.open(admin, f"{scheme}://{self.admin_address}")
        self._servers.append(server)
        self.address = _authority(server.sockets[0].getsockname())
        self.audit.start()
        self.audit.write(
            "started",
            author=SEGUE,
            role="",
            version=segue_version(),
            pid=os.getpid(),
            configuration=self._live.current.digest,
            may=principals(config.admin),
        )
        self._tick()
        self._fleet.start()
        self._reloading = asyncio.create_task(self._reloads.run())
        self.state = ProcessState.READY
        self._supervisor.ready(self._live.current.digest)
        self._log.info(
            "listening",
            address=self.address,
            admin=self.admin_address,
            admin_socket=None if self.admin_socket is None else str(self.admin_socket),
            upstream=", ".join(config.upstream.urls),
            tls=tls is not None,
            inherited=inherited is not None,
        )

    def endpoints(self) -> tuple[Served, ...]:
        """Everything that the admin listener answers."""
        administration = None if self._sessions is None else self._sessions.administration
        endpoints = (
            *probes(
                self.metrics, lambda: self.state, self._store_state, lambda: self._switches.trouble
            ),
            *Recordings(self._recorder, self._live, self.audit).endpoints(),
            *SessionOrders(administration, self.audit).endpoints(),
            *TailPage(self._tail, self._live, self.audit).endpoints(),
            *EventsPage(self._events).endpoints(),
            *ReloadOrders(self._reloads).endpoints(),
            *Versions(self._access_log.versions).endpoints(),
            *LogWatches(self._decisions, self._live, self.audit).endpoints(),
            *self._socket_orders.endpoints(),
            *SwitchOrders(
                self._switches.board, self._switches.rollover, self._flow, self._shadows
            ).endpoints(),
            *ReplicasPage(self._switches.replicas).endpoints(),
            *ShadowPage(self._shadows, self._switches.rollover, self._live, self.audit).endpoints(),
            *FlowPage(self._flow, self._upgrades, self._live).endpoints(),
            *StatusPage(self._watched()).endpoints(),
            *Mappings(self._live).endpoints(),
            *Explanations(self._live).endpoints(),
            *Upstreams(self._fleet).endpoints(),
            *DrainOrders(self._end, self._left, self._log, self.audit).endpoints(),
        )
        return (*endpoints, *OpenApi(endpoints, segue_version()).endpoints())

    def reload(self) -> None:
        """Read configuration, mappings and TLS files again, soon; what is wrong changes nothing."""
        self._reloads.ask()

    def _reloaded(self, outcome: ReloadOutcome) -> None:
        """Say what came of a reload: to supervisor, switches, watchers and the audit."""
        self._supervisor.reloaded(outcome)
        self._switches.reloaded()
        self._events.publish(
            "reloaded" if outcome.succeeded else "reload_failed",
            reason=outcome.reason,
            serving=outcome.serving,
            problems=len(outcome.problems),
            needs_restart=list(outcome.needs_restart),
        )
        admin = self._live.current.config.admin
        for author, role in outcome.authors or ((SEGUE, ""),):
            self.audit.write(
                "reloaded" if outcome.succeeded else "reload failed",
                author=author,
                role=role,
                reason=outcome.reason,
                configuration=outcome.serving,
                problems=len(outcome.problems),
                needs_restart=list(outcome.needs_restart),
                **added_and_removed(self._audited_admin, admin),
            )
        self._audited_admin = admin

    async def drain(self) -> bool:
        """End in an orderly way: unready, accept no more, finish requests, close sockets.

        Between the first two `timeouts.drain_delay` passes.

        Returns whether everything ended by itself within `timeouts.drain`.
        """
        timeouts = self._live.current.config.timeouts
        timeout, delay = timeouts.drain, timeouts.drain_delay
        self.state = ProcessState.DRAINING
        self._supervisor.stopping(delay + timeout)
        if delay:
            self._log.info("unready", seconds=delay)
            self._events.publish("unready", seconds=delay)
            await asyncio.sleep(delay)
        self._socket_orders.stop()
        self._log.info("draining", websockets=len(self._connections), seconds=timeout)
        self.audit.write(
            "draining", author=SEGUE, role="", websockets=len(self._connections), seconds=timeout
        )
        self._events.publish("draining", websockets=len(self._connections), seconds=timeout)
        for server in self._servers:
            server.close()
        deadline = self._loop.time() + timeout
        orderly = all(
            await asyncio.gather(self._drain_requests(timeout), self._connections.drain(timeout))
        )
        # A handshake may have become a WebSocket after the last one had ended.
        left = max(deadline - self._loop.time(), 0)
        orderly = await self._connections.drain(left) and orderly
        if self._sessions is not None:
            left = max(deadline - self._loop.time(), 0)
            orderly = await self._sessions.drain(left) and orderly
        self.audit.write("stopped", author=SEGUE, role="", pid=os.getpid(), orderly=orderly)
        await self.close()
        self._log.info("stopped", orderly=orderly)
        return orderly

    async def _drain_requests(self, timeout: float) -> bool:
        """Answer what is on its way, each as the last of its connection; then end idle ones too."""
        listener, begin = self._listener, self._loop.time()
        listener.draining = True
        last = begin + min(_LAST_REQUESTS, timeout / 10)
        while listener.connections and self._loop.time() < last:  # noqa: ASYNC110 (it tells nobody)
            await asyncio.sleep(0.01)
        return await listener.drain(timeout - (self._loop.time() - begin))

    async def close(self) -> None:
        """Give up what is left: clients, WebSockets, the servers, the clock, the admin listener."""
        for server in self._servers:
            server.close()
        if self._reloading is not None:
            self._reloading.cancel()
            await asyncio.wait((self._reloading,))
        await asyncio.gather(self._listener.drain(0), self._connections.drain(0))
        await self._coalescer.close()
        if self._ticker is not None:
            self._ticker.cancel()
        await self._flow.close()
        if self._sessions is not None:
            await self._sessions.close()
        self._fleet.close()
        self._recorder.close()
        self._shadows.close()
        self._tail.close()
        self._events.close()
        if self._local is not None:
            self._local.close()
        self._decisions.close()
        self._supervisor.close()
        self._warnings.close()
        if self._admin is not None:
            await self._admin.close()
        # Its head goes into the store of the switches, which closes with their board.
        await self.audit.close(_LAST_LINES)
        await self._switches.close()
        if self._spans is not None:
            await asyncio.to_thread(self._spans.close, _LAST_SPANS)

    def _tick(self) -> None:
        now = self._loop.time()
        self._watch.look()
        self._listener.check(now)
        self._fleet.check(now)
        self._warnings.check(now)
        self._flow.check(now)
        if self._sessions is not None:
            self._sessions.tick()
        self._look_at_store()
        self._ticker = self._loop.call_later(_TICK, self._tick)

    def _end(self) -> bool:
        """Have whoever runs this drain it; False where that has been ordered before."""
        if self.ending.is_set() or self.state is ProcessState.DRAINING:
            return False
        self.state = ProcessState.DRAINING
        self.ending.set()
        return True

    def _left(self) -> tuple[int, int]:
        return self._listener.open, len(self._connections)

    def _store_state(self) -> str:
        """What is wrong with the session store, for `/readyz`; empty where nothing is."""
        return "" if self._sessions is None else self._sessions.counts.trouble

    def _look_at_store(self) -> None:
        now = self._store_state()
        if now != self._store_was:
            self._store_was = now
            self._events.publish(f"store_{(now or 'back').replace('-', '_')}")

    def _watched(self) -> Watched:
        def store() -> StoreView:
            if self._sessions is None:
                return StoreView(sessions=False, state="up", open=0, unsaved=0)
            counts = self._sessions.counts
            return StoreView(
                sessions=True,
                state=counts.trouble or "up",
                open=counts.open,
                unsaved=counts.unsaved,
            )

        return Watched(
            version=segue_version(),
            pid=os.getpid(),
            since=time.time(),
            state=lambda: self.state,
            addresses=lambda: (self.address, self.admin_address, str(self.admin_socket or "")),
            live=self._live,
            reloads=self._reloads,
            fleet=self._fleet,
            listener=self._listener,
            connections=self._connections,
            certificates=(self._certificate, self._admin_certificate),
            metrics=self.metrics,
            store=store,
            switches=lambda: switches_status(self._switches.current, self._switches.rollover),
            audit=self.audit,
        )

    def _open_sessions(self, snapshot: Snapshot) -> Sessions:
        return open_sessions(
            snapshot.config.store,
            state_directory(snapshot.source.env),
            self._fleet.connect,
            lambda: self._live.current.config.sessions,
            self._log,
        )

    def _audit_revision(self, revision: Revision, *, from_store: bool) -> None:
        """Say in the audit what was changed."""
        self.audit.write(
            "switches changed",
            author=revision.author,
            role=revision.role,
            revision=revision.number,
            kind=revision.kind,
            reason=revision.reason,
            scope=list(revision.scope),
            open_sockets=revision.open_sockets.value,
            before={name: each.setting for name, each in revision.before.items()},
            after={name: each.setting for name, each in revision.after.items()},
            all_off=revision.all_off,
            configuration=revision.digest,
            from_store=from_store,
        )

    def _watch_interval(self) -> float | None:
        settings = self._live.current.config.reload
        return settings.interval if settings.watch else None

    def _prepare(self, snapshot: Snapshot) -> Commit:
        """Build what a new snapshot needs; return what puts it to work, all in one step.

        Raises:
            ConfigError: a certificate, key or CA file cannot be used.
        """
        made = connections_of(snapshot.config)
        self._watch.check_new(made.served)

        def commit() -> None:
            self._certificate.change(made.tls, _end_of(made.certificate))
            self._admin_certificate.change(made.admin_tls, _end_of(made.admin_certificate))
            self._watch.change(made.served)
            self._listener.limits = client_limits(snapshot.config)
            self._fleet.change(made.servers)

        return commit


def _end_of(certificate: ServedCertificate | None) -> float | None:
    return None if certificate is None else certificate.not_after


def _authority(address: tuple[object, ...]) -> str:
    host, port = address[0], address[1]
    return f"[{host}]:{port}" if ":" in str(host) else f"{host}:{port}"


def _cannot_listen(path: str, address: str, error: OSError) -> ConfigError:
    # The loop puts the address in front of the system's text; a resolver's codes are negative.
    code = error.errno or 0
    reason = os.strerror(code) if code > 0 else error.strerror or "not possible"
    return ConfigError([Diagnostic(address, 0, 0, path, f"cannot listen there: {reason.lower()}")])
