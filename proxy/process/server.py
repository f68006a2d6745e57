"""The composition root: a process of Segue. What is constructed, when it begins, and how it ends.

What clients' traffic goes through is `data_plane`; here are what decides what serves, what answers
operators, and the clock. A reload exchanges what serves in one step: the snapshot, the certificate,
the limits of new connections, and the servers with the connections to them.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections import Counter
from functools import partial
from pathlib import Path
from typing import Final

from proxy.admin import metrics as admin_metrics
from proxy.admin import whoami
from proxy.admin.access import Access
from proxy.admin.application import AdminListener, ProcessState, application, probes
from proxy.admin.console import Console
from proxy.admin.drain import DrainOrders
from proxy.admin.endpoints import Served
from proxy.admin.events import EventsPage
from proxy.admin.explain import Explanations
from proxy.admin.flow import FlowPage
from proxy.admin.last_hour import LastHourPage
from proxy.admin.log_watches import LogWatches
from proxy.admin.mappings import Mappings
from proxy.admin.metrics import Refusal
from proxy.admin.openapi import OpenApi
from proxy.admin.ramps import RampOrders
from proxy.admin.recording import Recordings
from proxy.admin.reload import ReloadOrders
from proxy.admin.replicas import ReplicasPage
from proxy.admin.sessions import SessionOrders
from proxy.admin.shadow import ShadowPage
from proxy.admin.sockets import SocketOrders
from proxy.admin.status import StatusPage, StoreView, Watched
from proxy.admin.sunset import SunsetPage
from proxy.admin.switch_status import switches_status
from proxy.admin.switching import SwitchOrders
from proxy.admin.tail import TailPage
from proxy.admin.upstreams import Upstreams
from proxy.admin.versions import Versions
from proxy.control import metrics as control_metrics
from proxy.control import sunset_metrics
from proxy.control.audit import Audit
from proxy.control.audit_details import principals
from proxy.control.events import ControlEvents
from proxy.control.file_authority import ended_by
from proxy.control.reload import Commit, ReloadOutcome, Reloads
from proxy.control.sunset import SunsetRecords
from proxy.downstream.certificate import Certificate
from proxy.gateway.guard_figures import GuardFigures
from proxy.gateway.rollover import Rollover
from proxy.observability import log as logs
from proxy.observability.log import Log, Writer
from proxy.observability.metrics import Metrics
from proxy.process import open_files, without_effect
from proxy.process.assembly import client_limits, connections_of, state_directory
from proxy.process.audited import audit_observed, audit_reload, audit_revision
from proxy.process.certificates import CertificateWatch
from proxy.process.data_plane import DataPlane
from proxy.process.inherited import inherited_socket
from proxy.process.listening import authority_of, cannot_listen, listen
from proxy.process.local import LocalAccess
from proxy.process.supervisor import Supervisor
from proxy.process.switches import Switches, open_switches
from proxy.process.tls_files import ServedCertificate
from proxy.process.traces import span_queue
from proxy.process.version import segue_version
from proxy.snapshot import Live, Snapshot
from proxy.storage.state_directory import check_private
from proxy.types import SEGUE

_TICK: Final = 0.5
"""Seconds between two looks at the deadlines; a timeout is late by this much at most."""

_LAST_SPANS: Final = 3.0
"""Seconds for which an end waits until the collector has the last spans."""

_LAST_LINES: Final = 3.0
"""Seconds for which an end waits until the last lines of the audit are on the disk."""


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
        made = connections_of(config)
        self._spans = span_queue(config.tracing, segue_version(), log)
        self._events = ControlEvents()
        publish = self._events.publish
        self._certificate = Certificate(made.tls, _end_of(made.certificate))
        self._admin_certificate = Certificate(made.admin_tls, _end_of(made.admin_certificate))
        self._watch = CertificateWatch(made.served, log, publish)
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
        self._data = DataPlane(self._live, made.servers, self.metrics, self._spans, log, publish)
        self._socket_orders = SocketOrders(self._data.connections, self._live, log, self.audit)
        self._servers: list[asyncio.Server] = []
        self._admin: AdminListener | None = None
        self._refused: Counter[Refusal] = Counter()
        self._local: LocalAccess | None = None
        self._ticker: asyncio.TimerHandle | None = None
        self._supervisor = Supervisor(snapshot.source.env, log)
        rollover = Rollover(
            self._data.upgrades,
            log,
            lambda: self._live.current.switches.table.number,
        )
        figures = GuardFigures(
            self._live,
            self.metrics,
            self._data.rewriting,
            self._data.upgrades,
            self._data.outcomes,
            rollover.finished,
        )
        self._switches = Switches(
            self._live,
            opened,
            rollover,
            self._data.shadows,
            log,
            partial(audit_revision, self.audit, from_store=False),
            partial(audit_revision, self.audit, from_store=True),
            self._events.publish,
            segue_version(),
            figures.counted,
            partial(audit_observed, self.audit),
        )
        replicas = self._switches.replicas
        self._sunset = SunsetRecords(
            opened.store,
            replicas.name,
            self._data.needs.look,
            lambda: replicas.last,
            lambda: self._live.current.switches.first,
            lambda: self._live.current.config.switching.sunset.idle,
            log,
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
            lambda snapshot: self._sunset.removed_by(snapshot.switches.first),
        )
        self._store_was = ""
        self._reloading: asyncio.Task[None] | None = None
        for families in (
            *self._data.families(self._certificate, self._admin_certificate),
            logs.families(lambda: 0 if writer is None else writer.dropped),
            control_metrics.families(
                self._live,
                self._reloads,
                self.audit,
                self._switches.current,
                self._switches.replicas,
                self._switches.guards,
            ),
            sunset_metrics.families(self._sunset, self.metrics),
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
        self._sunset.start()
        config = self._live.current.config
        access = Access(
            lambda: self._live.current.config.admin, self._log, self._refused, self.audit
        )
        pages = Console(lambda: self._live.current.config.admin.console)
        admin = AdminListener(application(self.endpoints(), access, pages), self._refused)
        place = config.admin.address
        tls = self._admin_certificate.for_listener()
        try:
            self.admin_address = authority_of(await admin.start(place.host, place.port, tls))
        except OSError as error:
            raise cannot_listen("admin.address", str(place), error) from None
        self._admin = admin
        try:
            inherited = inherited_socket(self._live.current.source.env)
            tls = self._certificate.for_listener()
            server = await listen(self._data.listener, tls, config, inherited)
        except OSError as error:
            await admin.close()
            raise cannot_listen("listen.address", str(config.listen.address), error) from None
        # Last of all: one that cannot start takes it from no other.
        scheme = "http" if self._admin_certificate.current is None else "https"
        source = self._live.current.source
        self._local = LocalAccess(state_directory(source.env), source.file, self._log)
        self.admin_socket = await self._local.open(admin, f"{scheme}://{self.admin_address}")
        self._servers.append(server)
        self.address = authority_of(server.sockets[0].getsockname())
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
        self._data.fleet.start()
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
        data = self._data
        administration = None if data.sessions is None else data.sessions.administration
        orders = SwitchOrders(
            self._switches.board, self._switches.rollover, data.flow, data.shadows
        )
        endpoints = (
            *probes(
                self.metrics, lambda: self.state, self._store_state, lambda: self._switches.trouble
            ),
            *Recordings(data.recorder, self._live, self.audit).endpoints(),
            *SessionOrders(administration, self.audit).endpoints(),
            *TailPage(data.tail, self._live, self.audit).endpoints(),
            *EventsPage(self._events).endpoints(),
            *ReloadOrders(self._reloads).endpoints(),
            *Versions(data.access_log.versions).endpoints(),
            *LogWatches(data.decisions, self._live, self.audit).endpoints(),
            *self._socket_orders.endpoints(),
            *orders.endpoints(),
            *RampOrders(orders, self._switches.board, self._switches.guards).endpoints(),
            *ReplicasPage(self._switches.replicas).endpoints(),
            *SunsetPage(self._sunset, self._live).endpoints(),
            *ShadowPage(data.shadows, self._switches.rollover, self._live, self.audit).endpoints(),
            *FlowPage(data.flow, data.upgrades, self._live).endpoints(),
            *LastHourPage(data.last_hour).endpoints(),
            *StatusPage(self._watched()).endpoints(),
            *whoami.endpoints(),
            *Mappings(self._live).endpoints(),
            *Explanations(self._live).endpoints(),
            *Upstreams(data.fleet).endpoints(),
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
        audit_reload(self.audit, outcome, self._audited_admin, admin)
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
        websockets = len(self._data.connections)
        self._log.info("draining", websockets=websockets, seconds=timeout)
        self.audit.write("draining", author=SEGUE, role="", websockets=websockets, seconds=timeout)
        self._events.publish("draining", websockets=websockets, seconds=timeout)
        for server in self._servers:
            server.close()
        orderly = await self._data.drain(timeout)
        self.audit.write("stopped", author=SEGUE, role="", pid=os.getpid(), orderly=orderly)
        await self.close()
        self._log.info("stopped", orderly=orderly)
        return orderly

    async def close(self) -> None:
        """Give up what is left: clients, WebSockets, the servers, the clock, the admin listener."""
        for server in self._servers:
            server.close()
        if self._reloading is not None:
            self._reloading.cancel()
            await asyncio.wait((self._reloading,))
        if self._ticker is not None:
            self._ticker.cancel()
        await self._data.close()
        self._events.close()
        if self._local is not None:
            self._local.close()
        self._supervisor.close()
        if self._admin is not None:
            await self._admin.close()
        # Its head goes into the store of the switches, which closes with their board.
        await self.audit.close(_LAST_LINES)
        await self._sunset.close()
        await self._switches.close()
        if self._spans is not None:
            await asyncio.to_thread(self._spans.close, _LAST_SPANS)

    def _tick(self) -> None:
        self._watch.look()
        self._data.check()
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
        return self._data.listener.open, len(self._data.connections)

    def _store_state(self) -> str:
        """What is wrong with the session store, for `/readyz`; empty where nothing is."""
        return "" if self._data.sessions is None else self._data.sessions.counts.trouble

    def _look_at_store(self) -> None:
        now = self._store_state()
        if now != self._store_was:
            self._store_was = now
            self._events.publish(f"store_{(now or 'back').replace('-', '_')}")

    def _watched(self) -> Watched:
        data = self._data

        def store() -> StoreView:
            if data.sessions is None:
                return StoreView(sessions=False, state="up", open=0, unsaved=0)
            counts = data.sessions.counts
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
            fleet=data.fleet,
            listener=data.listener,
            connections=data.connections,
            certificates=(self._certificate, self._admin_certificate),
            metrics=self.metrics,
            store=store,
            switches=lambda: switches_status(self._switches.current, self._switches.rollover),
            audit=self.audit,
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
            self._data.listener.limits = client_limits(snapshot.config)
            self._data.memory.size = snapshot.config.limits.memory
            self._data.fleet.change(made.servers)
            open_files.check(snapshot.config, self._log)
            without_effect.check(snapshot.config, self._log)

        return commit


def _end_of(certificate: ServedCertificate | None) -> float | None:
    return None if certificate is None else certificate.not_after
