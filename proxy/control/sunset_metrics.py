"""What is shown of when mappings can go: figures of the whole fleet, the same in each process."""

from __future__ import annotations

from collections.abc import Iterator

from proxy.control.sunset import SunsetRecords
from proxy.observability.families import Combined, Families, Samples, counter, gauge
from proxy.observability.metrics import Metrics
from proxy.switching.sunset_verdict import Verdict
from proxy.types import NONE


def families(records: SunsetRecords, metrics: Metrics) -> Families:
    """Return what the metrics page shows of it."""
    return (
        gauge(
            "segue_mapping_last_needed_timestamp_seconds",
            "When a message of a cohort last needed a mapping, in Unix time, in the whole fleet:"
            " was changed or dropped by it, or failed in it. No sample where that was not seen in"
            " 400 days.",
            ("cohort", "mapping"),
            lambda: _last(records),
            over_processes=Combined.MAX,
        ),
        gauge(
            "segue_mapping_users",
            "About how many users needed a mapping in the whole fleet, on the current day in UTC"
            " and the one before; the standard error is 3.3 %.",
            ("cohort", "mapping", "day"),
            lambda: _users(records),
            over_processes=Combined.MAX,
        ),
        gauge(
            "segue_mapping_verdict",
            "Whether a mapping of a cohort can go: 1 for the verdict that stands, 0 for the others."
            " `needed` within a day; `idle` for longer; `safe`: nothing needed it for"
            " `switching.sunset.idle`, and at least 95 % of that time was watched; `unknown`: too"
            " little was.",
            ("cohort", "mapping", "verdict"),
            lambda: _verdicts(records),
            over_processes=Combined.MAX,
        ),
        gauge(
            "segue_mapping_watched_ratio",
            "How much of the time was watched that the verdict stands on, from 0 to 1: since the"
            " mapping was last needed, or for `switching.sunset.idle`.",
            ("cohort", "mapping"),
            lambda: [(tuple(name), each.watched) for name, each in records.judgements().items()],
            over_processes=Combined.MAX,
        ),
        counter(
            "segue_mapping_ignored_messages",
            "Messages that needed a mapping, of clients that `switching.sunset.ignore` names: they"
            " keep none alive.",
            ("cohort", "mapping"),
            lambda: _ignored(metrics),
        ),
    )


def _last(records: SunsetRecords) -> Samples:
    for name, judgement in records.judgements().items():
        if judgement.last is not None:
            yield tuple(name), judgement.last


def _users(records: SunsetRecords) -> Samples:
    for name in records.judgements():
        for ago, day in enumerate(("today", "yesterday")):
            yield (*name, day), records.users(name, ago)


def _verdicts(records: SunsetRecords) -> Samples:
    for name, judgement in records.judgements().items():
        for verdict in Verdict:
            yield (*name, verdict.value), judgement.verdict is verdict


def _ignored(metrics: Metrics) -> Iterator[tuple[tuple[str, ...], float]]:
    for cohort, mapping, _, ignored in metrics.needs():
        if mapping != NONE and ignored:
            yield (cohort, mapping), ignored
