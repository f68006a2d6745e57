"""What is counted of sessions, and how the metrics page shows it."""

from __future__ import annotations

from collections import Counter
from enum import StrEnum
from itertools import product
from typing import Final

from proxy.observability.families import Combined, Families, counter, gauge, histogram
from proxy.observability.histogram import Histogram

_AGES: Final = (
    *(60.0, 600.0, 3600.0, 6 * 3600.0, 12 * 3600.0),
    *(day * 86400.0 for day in (1, 2, 3, 4, 5, 6, 7, 14, 30)),
)
"""The upper bounds of the buckets of ages, in seconds."""


_RESULTS: Final = ("renewed", "refused", "lost", "unavailable", "unknown", "store_away")


class Trigger(StrEnum):
    """Why tokens were renewed."""

    EXPIRY = "expiry"
    REJECTED = "rejected"
    HANDSHAKE = "handshake"
    CLIENT = "client"
    LOGOUT = "logout"
    SOCKET = "socket"


class Counts:
    """What happened to sessions in this process.

    Attributes:
        refreshes: refresh tokens that were presented or could not be, by trigger and result.
        waiters: requests that waited for a refresh that another had begun.
        captures: answers of the login, register, token and refresh paths, by result.
        retries: requests that were sent again with a fresh token, by protocol.
        reused: sessions that ended because a superseded refresh token came back.
        lease_waits: refreshes that had to wait for another process.
        ages: how old sessions were when they were renewed, and when they ended.
        evicted: sessions that ended because their user had too many.
        open: sessions in the store, of all processes, when it was asked last.
        capacity: how many it may hold.
        unsaved: sessions whose newest tokens are in memory only.
        up: whether the store answered when it was asked last.
        read_only: whether it answers, and cannot be written.
        shed: look-ups of unknown tokens that were given up, because too many waited.
        unreadable: answers of the store with a record that is damaged, or of a later version.
    """

    def __init__(self, capacity: int = 0) -> None:
        # From the start, so that the first of each kind is an increase.
        self.refreshes = Counter(dict.fromkeys(product(map(str, Trigger), _RESULTS), 0))
        self.waiters = 0
        self.captures = Counter(dict.fromkeys(("opened", "unreadable", "refused", "unsaved"), 0))
        self.retries = Counter(dict.fromkeys(("http", "websocket"), 0))
        self.reused = 0
        self.lease_waits = 0
        self.ages = {event: Histogram(_AGES) for event in ("renewed", "ended")}
        self.evicted = 0
        self.open = 0
        self.capacity = capacity
        self.unsaved = 0
        self.up = True
        self.read_only = False
        self.shed = 0
        self.unreadable = 0

    @property
    def trouble(self) -> str:
        """What is wrong with the store, in a word; empty where nothing is."""
        if not self.up:
            return "away"
        return "read-only" if self.read_only else ""

    def families(self) -> Families:
        """What is shown of sessions."""
        return (
            counter(
                "segue_session_refreshes",
                "Refreshes of sessions, by what asked for them (`expiry`: a token near its end or"
                " past it, `rejected`: a 401, `handshake`: a refused WebSocket handshake, `client`:"
                " the client's own refresh, `logout`, `socket`: an open WebSocket) and result:"
                " `renewed`, `refused` (the session has ended), `lost` (it has ended because"
                " answers were lost twice), `unavailable` (the server's answer was neither, or it"
                " could not be reached), `unknown` (no answer), `store_away`.",
                ("trigger", "result"),
                self.refreshes.items,
            ),
            counter(
                "segue_session_reuses",
                "Sessions that ended because a refresh token came back that its client had"
                " superseded: somebody has a copy (`sessions.reuse_detection`).",
                (),
                lambda: [((), self.reused)],
            ),
            counter(
                "segue_session_waiters",
                "Requests that waited for a refresh that another request had begun.",
                (),
                lambda: [((), self.waiters)],
            ),
            histogram(
                "segue_session_age_seconds",
                "How old sessions were when their tokens were renewed, and when they ended by"
                " logout, refusal or an operator: whether users stay logged in for longer than a"
                " day.",
                ("event",),
                lambda: [((event,), ages) for event, ages in self.ages.items()],
            ),
            gauge(
                "segue_sessions_open",
                "Sessions in the store, those of other replicas that share it included.",
                (),
                lambda: [((), self.open)],
                over_processes=Combined.MAX,
            ),
            gauge(
                "segue_sessions_capacity",
                "Open sessions that the store may hold (`store.sessions`): beyond them no login"
                " opens one. It holds as many ended ones beside them.",
                (),
                lambda: [((), self.capacity)],
                over_processes=Combined.MAX,
            ),
            counter(
                "segue_session_evictions",
                "Sessions that have ended because their user had more than `sessions.per_user`:"
                " those that were not used for the longest time.",
                (),
                lambda: [((), self.evicted)],
            ),
            counter(
                "segue_session_captures",
                "Successful answers of the login, register, token and refresh paths by result:"
                " `opened` a session, `unreadable` (no pair of tokens in it), `refused` (the store"
                " is full), `unsaved` (the store was away; it is written when it is back).",
                ("result",),
                lambda: [((result,), count) for result, count in self.captures.items()],
            ),
            counter(
                "segue_session_retries",
                "Requests and handshakes that the server refused and that were sent once more with"
                " a fresh token.",
                ("protocol",),
                lambda: [((protocol,), count) for protocol, count in self.retries.items()],
            ),
            counter(
                "segue_session_lease_waits",
                "Refreshes that waited for another process, which held the session's lease.",
                (),
                lambda: [((), self.lease_waits)],
            ),
            gauge(
                "segue_sessions_unsaved",
                "Sessions whose newest tokens are in the memory of this process only, because the"
                " store is away or read-only.",
                (),
                lambda: [((), self.unsaved)],
                over_processes=Combined.SUM,
            ),
            gauge(
                "segue_store_up",
                "1 if the session store answered when it was asked last, else 0.",
                (),
                lambda: [((), self.up)],
                over_processes=Combined.EACH,
            ),
            gauge(
                "segue_store_read_only",
                "1 where the session store answers and cannot be written, because its disk or"
                " memory is full, else 0. It is 0 again when two tries to write, five seconds"
                " apart, had room.",
                (),
                lambda: [((), self.read_only)],
                over_processes=Combined.EACH,
            ),
            counter(
                "segue_session_lookups_shed",
                "Look-ups of tokens that this process did not know and that were given up, because"
                " too many waited: a token that is valid by what it says passed untouched, any"
                " other was answered with 503. Many of them are made up by somebody.",
                (),
                lambda: [((), self.shed)],
            ),
            counter(
                "segue_session_records_unreadable",
                "Answers of the store with a record that is damaged, or of a later version: that"
                " session is neither renewed nor ended, the others are not concerned.",
                (),
                lambda: [((), self.unreadable)],
            ),
        )
