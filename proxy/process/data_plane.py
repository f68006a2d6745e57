"""What clients' traffic goes through, constructed in the order of the floors; and how it ends."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Iterator
from functools import partial
from typing import Final

from proxy.downstream import metrics as downstream_metrics
from proxy.downstream.certificate import Certificate
from proxy.downstream.limits import client_bucket
from proxy.downstream.listener import Listener
from proxy.downstream.websockets import Connections
from proxy.gateway import figures, freshness_metrics, switch_metrics
from proxy.gateway import metrics as gateway_metrics
from proxy.gateway.client_page import ClientPage
from proxy.gateway.coalescing import Coalescer
from proxy.gateway.flow import Flow, totals
from proxy.gateway.freshness import Freshness
from proxy.gateway.needs import Needs, is_ignored
from proxy.gateway.pipeline import Gateway, Steps
from proxy.gateway.request_outcomes import RequestOutcomes
from proxy.gateway.rewriting import Rewriting
from proxy.gateway.sending import Sender
from proxy.gateway.sessions import SessionFilter, TokenRenewal
from proxy.gateway.shadow import Shadows
from proxy.gateway.token_endpoints import TokenEndpoints
from proxy.gateway.upgrade import Upgrades
from proxy.memory import MemoryBudget
from proxy.observability import tracing
from proxy.observability.decisions import DecisionLog
from proxy.observability.families import Families
from proxy.observability.last_hour import LastHour
from proxy.observability.limited import LimitedWarnings
from proxy.observability.limits import LimitWarnings
from proxy.observability.log import Log
from proxy.observability.metrics import Metrics
from proxy.observability.tracing import SpanQueue
from proxy.process.assembly import client_limits, state_directory
from proxy.process.heap import Heap
from proxy.process.traces import access_log
from proxy.recording.recorder import Recorder
from proxy.recording.tail import Tail
from proxy.recording.tap import Taps
from proxy.relay.dispatch import Dispatcher
from proxy.sessions.opening import open_sessions
from proxy.sessions.service import Sessions
from proxy.snapshot import Live
from proxy.types import Publish
from proxy.upstream import metrics as upstream_metrics
from proxy.upstream.fleet import Fleet, Servers

_LAST_REQUESTS: Final = 0.5
"""Seconds that a drain gives to connections on which a request may be on its way already: a client
cannot know that an idle connection is about to be closed (RFC 9112 section 9.5)."""


class DataPlane:
    """All of it, for one process.

    Attributes:
        fleet: the servers.
        memory: what may be held for clients, and is.
        connections: the open WebSockets.
        listener: makes connections of clients.
        upgrades: makes WebSockets of handshakes.
        sessions: None where they are off.
        access_log, decisions: what is known of requests, and what is logged of how they were
            decided.
        recorder, tail, shadows: who looks at messages.
        freshness: which answers are kept.
        flow: how much goes through.
        last_hour: how much did, for plots.
        outcomes: what became of requests.
        rewriting: finds the programs of requests.
        needs: what needs which mapping.
    """

    def __init__(
        self,
        live: Live,
        servers: Servers,
        metrics: Metrics,
        spans: SpanQueue | None,
        log: Log,
        publish: Publish,
    ) -> None:
        """Construct it; nothing listens yet.

        Args:
            live: what serves.
            servers: where the servers are.
            metrics: counts.
            spans: takes those of requests; None where there are none.
            log: for all lines.
            publish: tells whoever watches the control plane.

        Raises:
            ConfigError: the store of sessions cannot be used.
        """
        config = live.current.config
        loop = asyncio.get_running_loop()
        self._loop = loop
        self._live = live
        self._spans = spans
        everything = log.is_enabled_for(logging.DEBUG)
        self.decisions = DecisionLog(log, loop, everything=everything)
        self._warnings = LimitedWarnings(log, loop.time)
        self._metrics = metrics
        self._limits = LimitWarnings(log, loop.time, self._set_value, client_bucket)
        self.access_log = access_log(
            config, metrics, log, self.decisions, spans, self._limits.failed
        )
        self.fleet = Fleet(servers, loop, log, publish)
        self.connections = Connections()
        self.memory = MemoryBudget(config.limits.memory, self._limit_reached)
        self._heap = Heap(loop)
        taps = Taps()
        self.recorder = Recorder(taps, loop, log)
        self.shadows = Shadows(
            loop,
            budget=lambda: live.current.config.switching.shadow_budget,
            allows_raw=lambda: live.current.config.admin.allow_raw_recordings,
            on_dropped=self._shadow_dropped,
        )
        self.tail = Tail(taps, loop, log)
        self.sessions = self._open_sessions(log) if config.sessions.enabled else None
        renewal = None if self.sessions is None else TokenRenewal(self.sessions)
        session_filter = renewal or SessionFilter()
        self.rewriting = Rewriting(
            metrics,
            taps,
            self.shadows,
            self._warnings,
            self.decisions,
            lambda info: is_ignored(live.current.config.switching.sunset.ignore, info),
        )
        sender = Sender(Dispatcher(self.fleet), session_filter, self.rewriting, loop)
        self.freshness = Freshness()
        self.memory.give_way = self.freshness.answers.give_way
        self.coalescer = Coalescer(sender, self.freshness, self._limit_reached, loop)
        self.upgrades = Upgrades(
            sender,
            session_filter,
            self.rewriting,
            self.freshness,
            self.connections,
            self.access_log,
            self._limit_reached,
            live,
            loop,
        )
        endpoints = None if renewal is None else TokenEndpoints(renewal, sender)
        self.outcomes = RequestOutcomes()
        steps = Steps(
            session_filter,
            endpoints,
            self.rewriting,
            self.coalescer,
            self.upgrades,
            self.outcomes,
            ClientPage(),
        )
        gateway = Gateway(live, steps, self.access_log)
        self.listener = Listener(
            gateway.serve,
            gateway.refuse,
            client_limits(config),
            self.connections,
            self._limit_reached,
            self.memory,
            loop,
        )
        self.needs = Needs(metrics, self.upgrades, self.shadows, live)
        self.rewriting.on_mapped.append(self.needs.told)
        self._decided = switch_metrics.DecisionTotals(live)
        self._held = gateway_metrics.HeldBytes(self.upgrades)
        metrics.before_page(self._held.look)
        self.flow = Flow(
            self.upgrades,
            partial(
                totals,
                metrics,
                self._decided,
                self.shadows,
                self.rewriting.received_kinds,
                self.fleet,
            ),
            loop,
        )
        self.last_hour = LastHour()
        self._keep_figures()
        self.flow.on_look.append(self._keep_figures)

    def _keep_figures(self) -> None:
        """Take a point of the last hour, if it is time for one."""
        now = self._loop.time()
        if self.last_hour.is_due(now):
            self.last_hour.take(
                now,
                time.time(),
                figures.counts(self._metrics, self.sessions),
                figures.levels(self.upgrades.by_revision, self.sessions),
            )

    def _open_sessions(self, log: Log) -> Sessions:
        snapshot = self._live.current
        return open_sessions(
            snapshot.config.store,
            state_directory(snapshot.source.env),
            self.fleet.connect,
            lambda: self._live.current.config.sessions,
            log,
            self.fleet.signs,
        )

    def families(
        self, certificate: Certificate, admin_certificate: Certificate
    ) -> Iterator[Families]:
        """What is measured of it, with the certificates that the listeners show."""
        yield self.access_log.families()
        yield tracing.families(self._spans)
        yield gateway_metrics.families(
            self.coalescer,
            self.memory,
            self.upgrades,
            self._held,
            self.shadows,
            self._live,
        )
        yield self.rewriting.notices.families()
        yield freshness_metrics.families(self.freshness, self._live)
        yield switch_metrics.families(self._live, self.upgrades, self._decided)
        if self.sessions is not None:
            yield self.sessions.counts.families()
        yield downstream_metrics.families(
            self.listener, self.connections, certificate, admin_certificate
        )
        yield upstream_metrics.families(self.fleet)

    def _limit_reached(self, name: str, address: str) -> None:
        self._metrics.count_limit(name)
        self._limits.reached(name, address)

    def _set_value(self, key: str) -> object:
        """What the configuration that serves says under a key, as the log can show it."""
        section, name = key.split(".")
        dumped = getattr(self._live.current.config, section).model_dump(mode="json", include={name})
        return dumped[name]

    def _shadow_dropped(self, switch: str, outcome: str) -> None:
        # All of them are one kind: a file may put hundreds into shadow at once.
        self._warnings.write("shadow dropped", {}, switch=switch, outcome=outcome)

    def check(self) -> None:
        """Look at the deadlines."""
        now = self._loop.time()
        self.listener.check(now)
        self.fleet.check(now)
        self._warnings.check(now)
        self._heap.check(self.memory.held)
        self._limits.check(now)
        self.flow.check(now)
        self.freshness.check()
        if self.sessions is not None:
            self.sessions.tick()

    async def drain(self, timeout: float) -> bool:
        """Finish requests, and close WebSockets, in so many seconds; nobody new is accepted.

        Returns whether everything ended by itself.
        """
        deadline = self._loop.time() + timeout
        orderly = all(
            await asyncio.gather(self._drain_requests(timeout), self.connections.drain(timeout))
        )
        # A handshake may have become a WebSocket after the last one had ended.
        left = max(deadline - self._loop.time(), 0)
        orderly = await self.connections.drain(left) and orderly
        if self.sessions is not None:
            left = max(deadline - self._loop.time(), 0)
            orderly = await self.sessions.drain(left) and orderly
        return orderly

    async def _drain_requests(self, timeout: float) -> bool:
        """Answer what is on its way, each as the last of its connection; then end idle ones too."""
        listener, begin = self.listener, self._loop.time()
        listener.draining = True
        last = begin + min(_LAST_REQUESTS, timeout / 10)
        while listener.connections and self._loop.time() < last:  # noqa: ASYNC110 (it tells nobody)
            await asyncio.sleep(0.01)
        return await listener.drain(timeout - (self._loop.time() - begin))

    async def close(self) -> None:
        """Give up what is left: clients, WebSockets, the servers."""
        await asyncio.gather(self.listener.drain(0), self.connections.drain(0))
        await self.coalescer.close()
        await self.flow.close()
        if self.sessions is not None:
            await self.sessions.close()
        self.fleet.close()
        self.recorder.close()
        self.shadows.close()
        self.tail.close()
        self.decisions.close()
        self._warnings.close()
