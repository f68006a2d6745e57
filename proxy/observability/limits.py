"""The limits whose being reached is counted, and a warning of each, once a minute.

The list is the one place that knows them all: metrics, warnings and documentation are made from it,
and the alert has to cover it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from structlog.typing import FilteringBoundLogger

from proxy.errors import (
    AddressFull,
    ConnectionsFull,
    ContentTooLarge,
    HeadersTooLarge,
    OriginRefused,
    OutOfResources,
    RequestTimeout,
    SegueError,
    StoreBusy,
    TargetTooLong,
    UpstreamTimeout,
)
from proxy.observability.frequent import FrequentNames

PERIOD: Final = 60.0
"""Seconds between two warnings of one limit."""

_MOST_ADDRESSES: Final = 1000
"""Addresses that are told apart at the same time; whoever comes often is always among them."""


@dataclass(frozen=True, slots=True)
class Limit:
    """One of them.

    Attributes:
        name: the label of `segue_limits_hit_total`.
        effect: what became of whoever reached it.
        advice: what to do.
        keys: of the configuration that say how much it is.
        error: what is raised where it is reached; None where it is told of by name.
        is_usual: whether it is reached in the course of things, so that it is counted, and nobody
            is warned.
    """

    name: str
    effect: str
    advice: str
    keys: tuple[str, ...] = ()
    error: type[SegueError] | None = None
    is_usual: bool = False


_RAISE: Final = "raise it if these clients are what they should be: one address is a fault, mostly"
_SLOW: Final = "look at the network of these clients; raise it if they are slow by nature"

LIMITS: Final = (
    Limit(
        "headers",
        "431",
        _RAISE,
        ("limits.headers", "limits.header_line", "limits.request_headers"),
        HeadersTooLarge,
    ),
    Limit("target", "414", _RAISE, ("limits.header_line",), TargetTooLong),
    Limit("body", "413", _RAISE, ("limits.request_body", "limits.body"), ContentTooLarge),
    Limit("client_time", "408", _SLOW, ("timeouts.header", "timeouts.body"), RequestTimeout),
    Limit(
        "upstream_time",
        "504",
        "look at the server; raise it if its answers take so long by nature",
        ("timeouts.connect", "timeouts.response", "timeouts.idle", "timeouts.websocket_handshake"),
        UpstreamTimeout,
    ),
    Limit(
        "connections",
        "503 for everybody who connects",
        "raise it, with LimitNOFILE above twice as much, or start more replicas",
        ("limits.connections",),
        ConnectionsFull,
    ),
    Limit(
        "connections_per_address",
        "503 for everybody who connects from there",
        "if it is a proxy with many clients, name it in listen.trusted_proxies, or raise the limit;"
        " if a client opens sockets without end, bound it by websocket.per_session",
        ("limits.connections_per_address",),
        AddressFull,
    ),
    Limit(
        "resources",
        "503",
        "the line `out of resources`, or the detail of the answer, says what to raise",
        (),
        OutOfResources,
    ),
    Limit(
        "origin",
        "403",
        "add the page's origin to it if it is one of yours",
        ("listen.origins",),
        OriginRefused,
    ),
    Limit(
        "store_calls",
        "503",
        "the store is too slow for what is asked of it: look at it, and at the logins in a second",
        ("store.connections",),
        StoreBusy,
    ),
    Limit("frame", "close code 1009", _RAISE, ("limits.frame",)),
    Limit("message", "close code 1009", _RAISE, ("limits.message",)),
    Limit("fragments", "close code 1009", _RAISE, ("limits.fragments",)),
    Limit("control_frames", "close code 1008", _RAISE, ("limits.control_frames",)),
    Limit("message_time", "close code 1008, or 408", _SLOW, ("timeouts.message",)),
    Limit("websocket_close", "the connection was cut", _SLOW, ("timeouts.websocket_close",)),
    Limit(
        "websockets_per_session",
        "the oldest WebSocket of the session at its path was ended",
        "a client opens WebSockets without end, and its bound holds: mend it when you can",
        ("websocket.per_session",),
    ),
    Limit(
        "handshake_pace",
        "a handshake was answered and its WebSocket ended at once, or 503",
        "a client opens WebSockets without end; raise the pace if the server can take it",
        ("websocket.per_session",),
    ),
    Limit(
        "memory",
        "503, 413, close code 1013; a response passes unmapped, an answer is not shared; who takes"
        " nothing is cut off",
        "`segue_memory_refusals_total` says for what; raise it if the machine has more",
        ("limits.memory",),
    ),
    Limit(
        "shared_waiters",
        "a request was sent to the server by itself",
        "look at how long answers of `coalescing` take, and at who asks; raise it if that is usual",
        ("limits.shared_waiters",),
    ),
    Limit("keepalive", "the connection was closed", "", ("timeouts.keepalive",), is_usual=True),
    Limit("buffer", "the other side was not read", "", ("limits.buffer",), is_usual=True),
)

BY_ERROR: Final = {limit.error.label: limit for limit in LIMITS if limit.error is not None}
BY_NAME: Final = {limit.name: limit for limit in LIMITS}


@dataclass(slots=True)
class _Period:
    """What came of one limit since its last warning."""

    ends: float
    times: int
    addresses: FrequentNames


def _new_period(now: float) -> _Period:
    return _Period(now + PERIOD, 0, FrequentNames(_MOST_ADDRESSES))


class LimitWarnings:
    """Warns that a limit is reached: at once, and then once a minute while it goes on."""

    def __init__(
        self,
        log: FilteringBoundLogger,
        clock: Callable[[], float],
        value_of: Callable[[str], object],
        bucket_of: Callable[[str], str],
    ) -> None:
        """Construct.

        Args:
            log: where they go.
            clock: in seconds; does not go back.
            value_of: how much a key of the configuration says.
            bucket_of: for whom an address counts.
        """
        self._log = log
        self._clock = clock
        self._value_of = value_of
        self._bucket_of = bucket_of
        self._periods: dict[str, _Period] = {}

    def failed(self, label: str, address: str) -> None:
        """An error was the answer; most are not about a limit.

        Args:
            label: of the error.
            address: of the client; empty where it is not known.
        """
        limit = BY_ERROR.get(label)
        if limit is not None:
            self.reached(limit.name, address)

    def reached(self, name: str, address: str) -> None:
        """A limit was reached, by a client of this address."""
        limit = BY_NAME[name]
        if limit.is_usual:
            return
        bucket = self._bucket_of(address)
        period = self._periods.get(name)
        if period is None:
            self._periods[name] = _new_period(self._clock())
            alone = FrequentNames(1)
            alone.add(bucket)
            self._warn(limit, 1, alone)
            return
        period.times += 1
        period.addresses.add(bucket)

    def check(self, now: float) -> None:
        """Tell what came in periods that are over; called about once a second."""
        for name, period in [each for each in self._periods.items() if now >= each[1].ends]:
            del self._periods[name]
            if period.times:
                self._periods[name] = _new_period(now)
                self._warn(BY_NAME[name], period.times, period.addresses)

    def _warn(self, limit: Limit, times: int, addresses: FrequentNames) -> None:
        most, of_them = addresses.first()
        self._log.warning(
            "limit reached",
            limit=limit.name,
            set={key: self._value_of(key) for key in limit.keys},
            times=times,
            effect=limit.effect,
            address=most or None,
            of_address=of_them,
            addresses=addresses.told_apart,
            advice=limit.advice,
        )
