"""What Segue counts, and how Prometheus reads it.

The hot path adds to plain integers; the families are put together when the page is scraped. Label
values come from the configuration (cohorts, mappings, rules) or from fixed sets, never from a
client. The counts belong to the process: they outlive every reload.
"""

from __future__ import annotations

import platform
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from http import HTTPStatus
from typing import Final, Literal, NamedTuple

from prometheus_client import (
    CollectorRegistry,
    GCCollector,
    PlatformCollector,
    ProcessCollector,
    generate_latest,
)
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from proxy.errors import ClientGone
from proxy.values import Direction, MessageCounts

CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"

_CODES: Final = {
    code: str(code) for code in (*(status.value for status in HTTPStatus), ClientGone.status)
}

Samples = Iterable[tuple[tuple[str, ...], float]]


class Family(NamedTuple):
    """One metric: its name without the `_total` of counters, what it means, where it is read."""

    kind: Literal["counter", "gauge"]
    name: str
    meaning: str
    labels: tuple[str, ...]
    read: Callable[[], Samples]


def code_label(status: int) -> str:
    """Return the label value of a status code; unregistered ones but 499 are `other`."""
    return _CODES.get(status, "other")


class Metrics(Collector):
    """The counts of this process.

    Attributes:
        requests: HTTP requests by cohort and status code; handshakes are among them.
        version_sources: where the client's version was read.
        errors: answers that Segue made itself, by the label of the error.
        sockets: WebSockets opened, by cohort.
    """

    def __init__(self, version: str) -> None:
        self.requests: Counter[tuple[str, str]] = Counter()
        self.version_sources: Counter[str] = Counter()
        self.errors: Counter[str] = Counter()
        self.sockets: Counter[str] = Counter()
        self._messages: dict[tuple[str, Direction], MessageCounts] = {}
        self._families: list[Family] = []
        self._registry = CollectorRegistry(auto_describe=False)
        self._add_own_families(version)
        self._registry.register(self)
        ProcessCollector(registry=self._registry)
        PlatformCollector(registry=self._registry)
        GCCollector(registry=self._registry)

    def messages(self, mapping: str, direction: Direction) -> MessageCounts:
        """Return the account of a mapping (`none` where none applies) and a direction."""
        counts = self._messages.get((mapping, direction))
        if counts is None:
            counts = self._messages[mapping, direction] = MessageCounts()
        return counts

    def add(self, family: Family) -> None:
        """Show one more family, read at each scrape."""
        self._families.append(family)

    @property
    def families(self) -> tuple[Family, ...]:
        """All families, in the order of the page."""
        return tuple(self._families)

    def page(self) -> bytes:
        """Return the page that Prometheus scrapes, of type `CONTENT_TYPE`."""
        return generate_latest(self._registry)

    def collect(self) -> Iterator[Metric]:
        """Yield the families with their samples (the interface of `prometheus_client`)."""
        for family in self._families:
            metric = (
                CounterMetricFamily(family.name, family.meaning, labels=family.labels)
                if family.kind == "counter"
                else GaugeMetricFamily(family.name, family.meaning, labels=family.labels)
            )
            for labels, value in family.read():
                metric.add_metric(labels, value)
            yield metric

    def _add_own_families(self, version: str) -> None:
        build = (version, platform.python_version())
        self._families += [
            Family(
                "gauge",
                "segue_build_info",
                "The version of Segue and of the Python that runs it; always 1.",
                ("version", "python"),
                lambda: [(build, 1)],
            ),
            Family(
                "counter",
                "segue_requests",
                "Requests answered, WebSocket handshakes among them, by the client's cohort and"
                " the status code that it was sent; 499 where it had gone.",
                ("cohort", "code"),
                self.requests.items,
            ),
            Family(
                "counter",
                "segue_errors",
                "Answers that Segue made itself because something failed, by kind of error.",
                ("error",),
                lambda: _by_one(self.errors),
            ),
            Family(
                "counter",
                "segue_version_sources",
                "Requests by where the client's version was read.",
                ("source",),
                lambda: _by_one(self.version_sources),
            ),
            Family(
                "counter",
                "segue_websockets",
                "WebSockets opened, by the client's cohort.",
                ("cohort",),
                lambda: _by_one(self.sockets),
            ),
            Family(
                "counter",
                "segue_messages",
                "WebSocket data messages received whole, by the mapping that was bound, the"
                " direction, and what became of them.",
                ("mapping", "direction", "outcome"),
                self._message_outcomes,
            ),
            Family(
                "counter",
                "segue_messages_added",
                "Messages that a rule sent beyond one for one received.",
                ("mapping", "direction"),
                lambda: [(key, counts.added) for key, counts in self._messages.items()],
            ),
            Family(
                "counter",
                "segue_mapping_failures",
                "Messages that a rule matched and could not rewrite, by rule.",
                ("mapping", "direction", "rule"),
                self._failures,
            ),
        ]

    def _message_outcomes(self) -> Samples:
        for key, counts in self._messages.items():
            yield (*key, "mapped"), counts.mapped
            yield (*key, "passed"), counts.passed
            yield (*key, "dropped"), counts.dropped
            yield (*key, "failed"), counts.failed
            yield (*key, "undelivered"), counts.undelivered

    def _failures(self) -> Samples:
        for key, counts in self._messages.items():
            for rule, count in counts.failures.items():
                yield (*key, rule), count


def _by_one(counts: Counter[str]) -> Samples:
    return [((label,), value) for label, value in counts.items()]
