"""Metrics as data: what each is, where it is read, and how several processes' are added up.

Each room's `metrics` returns its families; the process shows them (`proxy.process.server`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from enum import StrEnum
from typing import Literal, NamedTuple

from proxy.observability.histogram import Histogram

Samples = Iterable[tuple[tuple[str, ...], float]]


class Combined(StrEnum):
    """What several processes of one Segue show as one: of samples that have the same labels."""

    SUM = "sum"
    MAX = "max"
    EACH = "each"
    """Each its own: there is no one value for all of them."""


class Family(NamedTuple):
    """One metric.

    Attributes:
        kind: its type.
        name: without the `_total` of counters.
        meaning: for whoever reads the page.
        labels: their names.
        read: gives the samples, at each scrape.
        over_processes: how those of several processes are added up.
    """

    kind: Literal["counter", "gauge"]
    name: str
    meaning: str
    labels: tuple[str, ...]
    read: Callable[[], Samples]
    over_processes: Combined


class Distribution(NamedTuple):
    """One metric of durations, in seconds; those of several processes are summed."""

    kind: Literal["histogram"]
    name: str
    meaning: str
    labels: tuple[str, ...]
    read: Callable[[], Iterable[tuple[tuple[str, ...], Histogram]]]
    over_processes: Combined


Families = tuple[Family | Distribution, ...]


def counter(
    name: str, meaning: str, labels: tuple[str, ...], read: Callable[[], Samples]
) -> Family:
    """A count that only grows; those of several processes are summed."""
    return Family("counter", name, meaning, labels, read, Combined.SUM)


def gauge(
    name: str,
    meaning: str,
    labels: tuple[str, ...],
    read: Callable[[], Samples],
    *,
    over_processes: Combined,
) -> Family:
    """A value that goes up and down."""
    return Family("gauge", name, meaning, labels, read, over_processes)


def histogram(
    name: str,
    meaning: str,
    labels: tuple[str, ...],
    read: Callable[[], Iterable[tuple[tuple[str, ...], Histogram]]],
) -> Distribution:
    """A distribution of durations."""
    return Distribution("histogram", name, meaning, labels, read, Combined.SUM)
