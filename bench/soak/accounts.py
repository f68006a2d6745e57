"""The books of a soak: what was sent, what arrived, and what Segue says came in between.

Sockets of the cohort `steady` end in an orderly way: their messages are accounted for one by one.
Those of `wild` are reset in the middle of the stream, where bytes die in buffers that nobody can
look into: of theirs no more can arrive than was sent.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from statistics import median
from typing import Final

STEADY: Final = "steady"
WILD: Final = "wild"
TO_CLIENT: Final = "to_client"
TO_SERVER: Final = "to_server"

OUTCOMES: Final = {
    TO_CLIENT: {
        "jobStatus": "mapped",
        "batch": "mapped",
        "noise": "dropped",
        "clash": "failed",
        "plain": "passed",
        "end": "passed",
    },
    TO_SERVER: {"chat": "mapped", "typing": "dropped", "plain": "passed", "stop": "passed"},
}
"""What the mappings of a soak do to each kind; see `bench.soak.setting`."""

BATCH: Final = 3
"""Messages that a batch is split into."""

TOLERANCE: Final = 8 * 1024 * 1024
"""Bytes by which resident memory may be larger at the end than after warm-up: a tenth of what a
process of Segue's takes, and less than 100 bytes leaked for each request of ten minutes."""

WARM_UP: Final = 0.2
WINDOW: Final = 0.1
"""Parts of a soak: before memory counts, and for which it does, at the beginning and the end."""

Samples = Mapping[tuple[str, frozenset[tuple[str, str]]], float]


@dataclass
class Ledger:
    """What both ends counted.

    Attributes:
        sent, arrived: messages by (cohort, direction, kind), as the sender and as the receiver of
            the direction saw them.
        requests: HTTP requests that clients began, handshakes among them.
        handshakes: those that succeeded.
        polls, polled: requests on the route with coalescing: of clients, and at the server.
        reloads: how often a reload was asked for: of a good configuration, of a broken one.
        faults: whatever went wrong otherwise, in words.
        memory: resident memory of Segue, in bytes, at equal intervals.
    """

    sent: Counter[tuple[str, str, str]] = field(default_factory=Counter)
    arrived: Counter[tuple[str, str, str]] = field(default_factory=Counter)
    requests: int = 0
    handshakes: int = 0
    resets: int = 0
    polls: int = 0
    polled: int = 0
    good_reloads: int = 0
    bad_reloads: int = 0
    faults: list[str] = field(default_factory=list)
    memory: list[int] = field(default_factory=list)

    @property
    def messages(self) -> int:
        """How many messages arrived."""
        return self.arrived.total()


def imbalances(ledger: Ledger, page: Samples) -> list[str]:
    """Return what does not balance, in words; nothing if all is well.

    Args:
        ledger: of both ends, after the last connection has ended.
        page: the metrics page at the same time: (sample name, its labels) to value.
    """
    found = [f"fault: {fault}" for fault in ledger.faults]
    for direction in (TO_CLIENT, TO_SERVER):
        found += _steady(ledger, page, direction)
        found += _wild(ledger, page, direction)
    expected = {
        "requests": (ledger.requests, _total(page, "segue_requests_total")),
        "handshakes": (
            ledger.handshakes,
            _total(page, "segue_handshakes_total", result="accepted"),
        ),
        "polls received": (ledger.polls, _total(page, "segue_coalescing_requests_total")),
        "polls sent": (ledger.polled, _total(page, "segue_coalescing_upstream_requests_total")),
        "reloads": (
            ledger.good_reloads,
            _total(page, "segue_reloads_total", result="success"),
        ),
        "failed reloads": (
            ledger.bad_reloads,
            _total(page, "segue_reloads_total", result="failure"),
        ),
        "open connections": (0, _total(page, "segue_open_connections")),
        "requests in flight": (0, _total(page, "segue_requests_in_flight")),
        "busy connections": (0, _total(page, "segue_upstream_connections", state="busy")),
        "lost log lines": (0, _total(page, "segue_log_lines_dropped_total")),
    }
    found += [
        f"{name}: {here} here, {there:.0f} on the metrics page"
        for name, (here, there) in expected.items()
        if here != there
    ]
    return found


def _steady(ledger: Ledger, page: Samples, direction: str) -> list[str]:
    """Every message has the outcome that the mapping says, and arrives unless it was dropped."""
    found = []
    outcomes: Counter[str] = Counter()
    for kind, outcome in OUTCOMES[direction].items():
        sent = ledger.sent[STEADY, direction, kind]
        arrived = ledger.arrived[STEADY, direction, kind]
        outcomes[outcome] += sent
        due = 0 if outcome == "dropped" else sent * (BATCH if kind == "batch" else 1)
        if arrived != due:
            found.append(f"{kind}, {direction}: {due} were due, {arrived} arrived")
    for outcome in ("mapped", "passed", "dropped", "failed", "undelivered"):
        counted = _messages(page, STEADY, direction, outcome)
        if counted != outcomes[outcome]:
            found.append(f"{outcome}, {direction}: {outcomes[outcome]} sent, {counted:.0f} counted")
    return found


def _wild(ledger: Ledger, page: Samples, direction: str) -> list[str]:
    """No message comes from nowhere."""
    received = sum(
        _messages(page, WILD, direction, outcome)
        for outcome in ("mapped", "passed", "dropped", "failed", "undelivered")
    )
    sent = sum(n for (who, way, _), n in ledger.sent.items() if (who, way) == (WILD, direction))
    delivered = received - sum(
        _messages(page, WILD, direction, outcome) for outcome in ("dropped", "undelivered")
    )
    arrived = sum(
        n / (BATCH if kind == "batch" else 1)
        for (who, way, kind), n in ledger.arrived.items()
        if (who, way) == (WILD, direction)
    )
    found = []
    if received > sent:
        found.append(f"reset sockets, {direction}: {sent} sent, {received:.0f} counted")
    if arrived > delivered:
        found.append(f"reset sockets, {direction}: {delivered:.0f} sent on, {arrived:.0f} arrived")
    return found


def growth(memory: Sequence[int]) -> tuple[int, int, int] | None:
    """Return resident memory after warm-up, at the end, and the difference, in bytes.

    Medians over a window each, so that a single collection of garbage decides nothing. None where
    there are too few samples to have windows.
    """
    size = int(len(memory) * WINDOW)
    if not size:
        return None
    start = int(len(memory) * WARM_UP)
    warm, last = median(memory[start : start + size]), median(memory[-size:])
    return int(warm), int(last), int(last - warm)


def _messages(page: Samples, cohort: str, direction: str, outcome: str) -> float:
    return _total(
        page, "segue_cohort_messages_total", cohort=cohort, direction=direction, outcome=outcome
    )


def _total(page: Samples, name: str, **labels: str) -> float:
    wanted = labels.items()
    return sum(value for (found, has), value in page.items() if found == name and wanted <= has)
