"""What Segue counts, and how Prometheus reads it.

The hot path adds to plain integers; the families are put together when the page is scraped. Label
values come from the configuration (cohorts, mappings, rules) or from fixed sets, never from a
client. The counts belong to the process: they outlive every reload.
"""

from __future__ import annotations

import asyncio
import platform
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from http import HTTPStatus
from typing import Any, Final

from prometheus_client import (
    CollectorRegistry,
    GCCollector,
    PlatformCollector,
    ProcessCollector,
    generate_latest,
)
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.openmetrics.exposition import generate_latest as generate_openmetrics
from prometheus_client.registry import Collector
from prometheus_client.samples import Exemplar

from proxy.errors import ClientGone
from proxy.observability.families import (
    Combined,
    Distribution,
    Families,
    Family,
    Samples,
    counter,
    gauge,
    histogram,
)
from proxy.observability.histogram import Histogram
from proxy.observability.limits import BY_ERROR, LIMITS
from proxy.rewriting import MessageCounts
from proxy.types import NONE, Direction

OPENMETRICS: Final = "application/openmetrics-text"
OPENMETRICS_CONTENT_TYPE: Final = f"{OPENMETRICS}; version=1.0.0; charset=utf-8"
CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"

_CODES: Final = {
    code: str(code) for code in (*(status.value for status in HTTPStatus), ClientGone.status)
}

_CLOSE_CODES: Final = frozenset(
    # Registered with IANA (RFC 6455 section 11.7), and the two of the server that Segue was first
    # built for: no token, and a job of somebody else.
    {*range(1000, 1004), *range(1005, 1016), 3000, 3003, 3008, 4001, 4003}
)

_CONNECTION_LIMITS: Final = tuple(limit.name for limit in LIMITS if limit.error is None)
"""Those that no error tells of."""


def code_label(status: int) -> str:
    """Return the label value of a status code; unregistered ones but 499 are `other`."""
    return _CODES.get(status, "other")


def close_code_label(code: int) -> str:
    """Return the label value of a WebSocket close code; unlisted ones are `other`."""
    return str(code) if code in _CLOSE_CODES else "other"


class Timings:
    """How long the requests of one cohort and protocol took; see the families of `Metrics`."""

    __slots__ = ("proxy", "upstream", "whole")

    def __init__(self) -> None:
        self.whole = Histogram()
        self.proxy = Histogram()
        self.upstream = Histogram()

    def observe(self, whole: float, waited: float) -> None:
        """Count one request.

        Args:
            whole: seconds from its head to its end.
            waited: how many of them Segue waited for the server; 0 where it was not asked.
        """
        self.whole.observe(whole)
        self.proxy.observe(whole - waited)
        if waited:
            self.upstream.observe(waited)

    def exemplify(self, whole: float, waited: float, trace_id: str, now: float) -> None:
        """Name the trace of a request that was counted; `whole` and `waited` as there."""
        self.whole.exemplify(whole, trace_id, now)
        self.proxy.exemplify(whole - waited, trace_id, now)
        if waited:
            self.upstream.exemplify(waited, trace_id, now)


_AT_ONCE: Final = 1_000
"""Accounts that are settled in one step of the loop."""


class Metrics(Collector):
    """The counts of this process.

    Attributes:
        requests: HTTP requests by cohort and status code; handshakes are among them.
        version_sources: where the client's version was read.
        errors: answers that Segue made itself, by the label of the error.
        sockets: WebSockets opened, by cohort.
        handshakes: by cohort and result.
        closes: Close frames of WebSockets by side and code.
        limits: how often a limit was reached that no error tells of, by its name.
        bytes: by direction and protocol, of what has ended.
    """

    def __init__(self, version: str) -> None:
        self.requests: Counter[tuple[str, str]] = Counter()
        self.version_sources: Counter[str] = Counter()
        self.errors: Counter[str] = Counter()
        self.sockets: Counter[str] = Counter()
        self.handshakes: Counter[tuple[str, str]] = Counter()
        self.closes: Counter[tuple[str, str]] = Counter()
        self.limits = dict.fromkeys(_CONNECTION_LIMITS, 0)
        self.bytes: Counter[tuple[str, str]] = Counter()
        self._timings: dict[tuple[str, str], Timings] = {}
        self._messages: dict[tuple[str, str, Direction], MessageCounts] = {}
        self._of_ignored: dict[tuple[str, str, Direction], MessageCounts] = {}
        self._open: set[MessageCounts] = set()
        self._families: list[Family | Distribution] = []
        self._preparations: list[Callable[[], Awaitable[None]]] = []
        self._registry = CollectorRegistry(auto_describe=False)
        self._add_own_families(version)
        self._registry.register(self)
        ProcessCollector(registry=self._registry)
        PlatformCollector(registry=self._registry)
        GCCollector(registry=self._registry)

    def messages(self, mapping: str, direction: Direction, cohort: str = NONE) -> MessageCounts:
        """Return the account of a mapping (`none` where none applies), a direction, a cohort."""
        counts = self._messages.get((cohort, mapping, direction))
        if counts is None:
            counts = self._messages[cohort, mapping, direction] = MessageCounts()
        return counts

    def accounts(self) -> Iterator[tuple[tuple[str, str, Direction], MessageCounts]]:
        """The accounts of messages: the cohort, the mapping and the direction, and what came."""
        for ignored in self._of_ignored.values():
            ignored.settle()
        yield from self._messages.items()

    def messages_of_ignored(self, mapping: str, direction: Direction, cohort: str) -> MessageCounts:
        """Return the account of clients that keep no mapping alive; it is a part of the whole one.

        All metrics count what is in it with the rest; `needs` tells it apart.
        """
        counts = self._of_ignored.get((cohort, mapping, direction))
        if counts is None:
            counts = self.messages(mapping, direction, cohort).part()
            self._of_ignored[cohort, mapping, direction] = counts
        return counts

    def needs(self) -> Iterator[tuple[str, str, int, int]]:
        """How many messages needed a mapping: were changed or dropped by it, or failed in it.

        Yields the cohort, the mapping, how many there were, and how many of them were of clients
        that keep none alive, as far as they are settled.
        """
        for key, counts in self.accounts():
            ignored = self._of_ignored.get(key)
            of_ignored = 0 if ignored is None else ignored.needed
            yield key[0], key[1], counts.needed, of_ignored

    def open_account(self, counts: MessageCounts) -> None:
        """Settle a part of an account with each scrape, from now on."""
        self._open.add(counts)

    def close_account(self, counts: MessageCounts) -> None:
        """Settle a part of an account for the last time."""
        self._open.discard(counts)
        counts.settle()

    def count_limit(self, limit: str) -> None:
        """Count that a limit of connections was reached: one of the attribute `limits`."""
        self.limits[limit] += 1

    @property
    def limits_reached(self) -> dict[str, int]:
        """How often each limit was reached, whether an error tells of it or not."""
        return {limit: int(count) for (limit,), count in self._limits_hit()}

    def timings(self, cohort: str, protocol: str) -> Timings:
        """Return the durations of the requests of a cohort (`none` for those of none)."""
        timings = self._timings.get((cohort, protocol))
        if timings is None:
            timings = self._timings[cohort, protocol] = Timings()
        return timings

    def add(self, families: Families) -> None:
        """Show more families, read at each scrape."""
        self._families += families

    def before_page(self, prepare: Callable[[], Awaitable[None]]) -> None:
        """Have something done before each page, by what takes too long to do at one go."""
        self._preparations.append(prepare)

    async def prepare(self) -> None:
        """Do what comes before a page, in steps between which the loop serves everybody else.

        With 50,000 WebSockets all accounts of messages take 10 to 40 ms.
        """
        await self.settle()
        for prepare in self._preparations:
            await prepare()

    async def settle(self) -> None:
        """Settle all accounts of messages, a thousand in each step of the loop."""
        for count, counts in enumerate(tuple(self._open), 1):
            counts.settle()
            if count % _AT_ONCE == 0:
                await asyncio.sleep(0)

    @property
    def families(self) -> Families:
        """All families, in the order of the page."""
        return tuple(self._families)

    def page(self) -> bytes:
        """Return the page that Prometheus scrapes, of type `CONTENT_TYPE`."""
        return generate_latest(self._registry)

    def openmetrics_page(self) -> bytes:
        """Return the same with exemplars, of type `OPENMETRICS_CONTENT_TYPE`."""
        page: bytes = generate_openmetrics(self._registry)  # type: ignore[no-untyped-call]
        return page

    def collect(self) -> Iterator[Metric]:
        """Yield the families with their samples (the interface of `prometheus_client`)."""
        for counts in tuple(self._open):
            counts.settle()
        for family in self._families:
            if family.kind == "histogram":
                yield _histograms(family)
            else:
                known = CounterMetricFamily if family.kind == "counter" else GaugeMetricFamily
                metric = known(family.name, family.meaning, labels=family.labels)
                for labels, value in family.read():
                    metric.add_metric(labels, value)
                yield metric

    def _add_own_families(self, version: str) -> None:
        build = (version, platform.python_version())
        self._families += [
            gauge(
                "segue_build_info",
                "The version of Segue and of the Python that runs it; always 1.",
                ("version", "python"),
                lambda: [(build, 1)],
                over_processes=Combined.MAX,
            ),
            counter(
                "segue_requests",
                "Requests answered, WebSocket handshakes among them, by the client's cohort and"
                " the status code that it was sent; 499 where it had gone.",
                ("cohort", "code"),
                self.requests.items,
            ),
            histogram(
                "segue_request_duration_seconds",
                "From when the head of a request was read to when its response was sent, by the"
                " client's cohort; for a WebSocket, to the end of its handshake.",
                ("cohort", "protocol"),
                lambda: [(key, timings.whole) for key, timings in self._timings.items()],
            ),
            histogram(
                "segue_proxy_duration_seconds",
                "Segue's own part of it: the whole without the time spent on connecting to the"
                " server and between handing it the request and its last byte.",
                ("cohort", "protocol"),
                lambda: [(key, timings.proxy) for key, timings in self._timings.items()],
            ),
            histogram(
                "segue_upstream_duration_seconds",
                "The other part of it, for requests that the server was asked: connecting, its"
                " answer, and the time that the client took with a body meanwhile.",
                ("cohort", "protocol"),
                lambda: [(key, timings.upstream) for key, timings in self._timings.items()],
            ),
            counter(
                "segue_errors",
                "Answers that Segue made itself because something failed, by kind of error.",
                ("error",),
                lambda: _by_one(self.errors),
            ),
            counter(
                "segue_version_sources",
                "Requests by where the client's version was read.",
                ("source",),
                lambda: _by_one(self.version_sources),
            ),
            counter(
                "segue_websockets",
                "WebSockets opened, by the client's cohort.",
                ("cohort",),
                lambda: _by_one(self.sockets),
            ),
            counter(
                "segue_handshakes",
                "WebSocket handshakes by result: accepted, refused (the server's answer was passed"
                " on), failed (Segue answered), abandoned (the client had gone), superseded (ended"
                " at once, for newer ones of the same session: `websocket.per_session`).",
                ("cohort", "result"),
                self.handshakes.items,
            ),
            counter(
                "segue_websocket_closes",
                "Close frames of WebSockets that have ended, by who sent them: the client, the"
                " server, or Segue to the client. 1005 had no code; 1006 stands for a connection"
                " that ended without any Close frame, and its side ended first; `other` is a code"
                " that is not registered.",
                ("side", "code"),
                self.closes.items,
            ),
            counter(
                "segue_limits_hit",
                "How often a limit was reached: `headers` (431), `target` (414), `body` (413),"
                " `client_time` (408), `upstream_time` (504), `connections`,"
                " `connections_per_address`, `resources` (files, ports or memory of the machine),"
                " `store_calls` (503), `origin` (403); of WebSockets `frame`, `message`,"
                " `fragments` (1009), `control_frames` and `message_time` (1008),"
                " `websocket_close` (cut, as it did not end in time), `websockets_per_session` (the"
                " oldest made room for a new one), `handshake_pace` (ended at once);"
                " `shared_waiters` (a request of `coalescing` was sent by itself); `keepalive`"
                " (closed, as no request came, or cut, as a response was not taken); `buffer` (a"
                " side was not read until the other took what waited); and `memory`"
                " (`segue_memory_refusals_total` says for what).",
                ("limit",),
                self._limits_hit,
            ),
            counter(
                "segue_messages",
                "WebSocket data messages received whole, and JSON bodies of routes that have a"
                " mapping, by the mapping that was bound, the direction, and what became of them.",
                ("mapping", "direction", "outcome"),
                lambda: _sums((key[1:], value) for key, value in self.message_outcomes()),
            ),
            counter(
                "segue_cohort_messages",
                "The same messages by the client's cohort: what a mapping that several cohorts"
                " share does for each of them.",
                ("cohort", "mapping", "direction", "outcome"),
                self.message_outcomes,
            ),
            counter(
                "segue_messages_added",
                "Messages that a rule sent beyond one for one received.",
                ("mapping", "direction"),
                lambda: _sums(self._added()),
            ),
            counter(
                "segue_mapping_failures",
                "Messages that a rule matched and could not rewrite, by rule.",
                ("mapping", "direction", "rule"),
                lambda: _sums(self._failures()),
            ),
            counter(
                "segue_unmapped_kinds",
                "Messages that a mapping left as they were, by their kind, where its file lists the"
                " `kinds`; `other` is in no list, and nobody has decided about it.",
                ("mapping", "direction", "kind"),
                lambda: _sums((labels[1:], count) for labels, count in self.unmapped_kinds()),
            ),
        ]

    def unmapped_kinds(self) -> Samples:
        """Messages that a mapping left alone, by cohort, mapping, direction and kind."""
        for key, counts in self._messages.items():
            for kind, count in counts.unmapped.items():
                yield (*key, kind), count

    def message_outcomes(self) -> Samples:
        """Messages by cohort, mapping, direction and outcome, as far as they are settled."""
        for key, counts in self.accounts():
            yield (*key, "mapped"), counts.mapped
            yield (*key, "passed"), counts.passed
            yield (*key, "dropped"), counts.dropped
            yield (*key, "failed"), counts.failed
            yield (*key, "undelivered"), counts.undelivered

    def _added(self) -> Samples:
        for key, counts in self.accounts():
            yield key[1:], counts.added

    def _limits_hit(self) -> Samples:
        for label, limit in BY_ERROR.items():
            yield (limit.name,), self.errors[label]
        for name, count in self.limits.items():
            yield (name,), count

    def _failures(self) -> Samples:
        for key, counts in self._messages.items():
            for rule, count in counts.failures.items():
                yield (*key[1:], rule), count


def _histograms(family: Distribution) -> Metric:
    metric = HistogramMetricFamily(family.name, family.meaning, labels=family.labels)
    for labels, durations in family.read():
        buckets: list[Any] = list(durations.buckets())
        for place, (trace_id, seconds, now) in durations.exemplars.items():
            exemplar = Exemplar({"trace_id": trace_id}, seconds, now)
            buckets[place] = (*buckets[place], exemplar)
        metric.add_metric(labels, buckets, sum_value=durations.total)
    return metric


def _sums(samples: Samples) -> Samples:
    """Add up the samples that have the same labels."""
    sums: dict[tuple[str, ...], float] = {}
    for labels, value in samples:
        sums[labels] = sums.get(labels, 0) + value
    return sums.items()


def _by_one(counts: Counter[str]) -> Samples:
    return [((label,), value) for label, value in counts.items()]
