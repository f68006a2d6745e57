"""What is shown of the steps of requests."""

from __future__ import annotations

from collections import Counter

from proxy.gateway.coalescing import Coalescer
from proxy.gateway.shadow import Shadows
from proxy.gateway.upgrade import Upgrades
from proxy.memory import Kind, MemoryBudget
from proxy.observability.families import Combined, Families, Samples, counter, gauge
from proxy.snapshot import Live
from proxy.types import NONE


class HeldBytes:
    """What open WebSockets have in memory, as it was found by the last look.

    To be up to date at every moment, it would have to be counted with each frame. To look takes
    about 1 microsecond a socket, 55 ms for 50,000: in steps, before each page of metrics.

    Attributes:
        messages: of messages that are not whole yet.
        unsent: written, and not yet taken.
    """

    def __init__(self, upgrades: Upgrades) -> None:
        self._upgrades = upgrades
        self.messages = 0
        self.unsent = 0

    async def look(self) -> None:
        """Look at all of them, some in each step of the loop."""
        messages = unsent = 0
        async for socket in self._upgrades.walk():
            waiting, written = socket.relay.held
            messages += waiting
            unsent += written
        self.messages, self.unsent = messages, unsent


def families(
    coalescer: Coalescer,
    memory: MemoryBudget,
    upgrades: Upgrades,
    held: HeldBytes,
    shadows: Shadows,
    live: Live,
) -> Families:
    """What coalescing asks, what is open and in memory for it, what switches would have done."""
    return (
        counter(
            "segue_coalescing_requests",
            "GETs of clients on the routes of `coalescing`.",
            ("route",),
            lambda: [((route,), count) for route, count in coalescer.received.items()],
        ),
        counter(
            "segue_coalescing_upstream_requests",
            "Requests that were made to the server for them; the difference is what sharing"
            " spared it.",
            ("route",),
            lambda: [((route,), count) for route, count in coalescer.sent.items()],
        ),
        gauge(
            "segue_open_websockets",
            "WebSockets open now, by the client's cohort, what is done to their messages (`none`"
            " where nothing is), and the configuration under which they were opened: `current`, the"
            " one that serves, or `older`. A roll-over has ended when none is `older`.",
            ("cohort", "to_client", "to_server", "configuration"),
            lambda: _open(upgrades, live.current.digest),
            over_processes=Combined.SUM,
        ),
        counter(
            "segue_handshakes_paced",
            "Handshakes that waited for their turn, because their session had as many WebSockets"
            " open at that path as `websocket.per_session` lets it.",
            (),
            lambda: [((), upgrades.bounds.paced)],
        ),
        gauge(
            "segue_handshakes_waiting",
            "Those that wait now.",
            (),
            lambda: [((), upgrades.bounds.waiting)],
            over_processes=Combined.SUM,
        ),
        gauge(
            "segue_held_bytes",
            "Bytes in memory: `message`, of WebSocket messages that are not whole yet, with copies"
            " of those that somebody looks at; `body`, of bodies on routes that have a mapping;"
            " `shared_answer`, of answers that several requests share; `unsent`, written to the two"
            " sides of WebSockets and not yet taken by their kernel buffers.",
            ("kind",),
            lambda: _held(memory, held),
            over_processes=Combined.SUM,
        ),
        gauge(
            "segue_memory_reserved_bytes",
            "Bytes that are counted against `limits.memory`, by what they are: `body`, `message`,"
            " `shared_answer` as in `segue_held_bytes`; `kept_answer`, of answers that may be given"
            " again; `received`, of requests, and not read yet; `head`, of requests that are being"
            " answered;"
            " `unsent`, written to clients and servers that are slow to take it. What is small on"
            " one connection is left out (docs/limits.md).",
            ("kind",),
            lambda: [((kind,), memory.by_kind[kind]) for kind in Kind],
            over_processes=Combined.SUM,
        ),
        gauge(
            "segue_memory_budget_bytes",
            "`limits.memory`: how much of that there may be.",
            (),
            lambda: [((), memory.size)],
            over_processes=Combined.SUM,
        ),
        counter(
            "segue_memory_refusals",
            "How often there was no room in `limits.memory`, for a client that holds much or for"
            " anybody, by what it was for; see `segue_memory_reserved_bytes`.",
            ("kind",),
            lambda: [((kind,), memory.refused[kind]) for kind in Kind],
        ),
        counter(
            "segue_switch_shadow_messages",
            "Messages and bodies that came by a switch in shadow, by what would have become of"
            " them, compared with what was sent: `mapped`, `passed` (the same), `dropped`,"
            " `failed`; `skipped` are those left out: there was no time for them in the budget, or"
            " they were too large.",
            ("switch", "outcome"),
            shadows.messages,
        ),
        counter(
            "segue_switch_shadow_cpu_seconds",
            "CPU time that comparing them took, which the budget bounds.",
            ("switch",),
            shadows.seconds,
        ),
    )


def _open(upgrades: Upgrades, digest: str) -> Samples:
    counts: Counter[tuple[str, ...]] = Counter()
    for (cohort, to_client, to_server, configuration), count in upgrades.by_programs.items():
        which = "current" if configuration == digest else "older"
        counts[cohort, to_client or NONE, to_server or NONE, which] += count
    return counts.items()


def _held(memory: MemoryBudget, held: HeldBytes) -> Samples:
    return (
        (("message",), held.messages),
        (("body",), memory.by_kind[Kind.BODY]),
        (("shared_answer",), memory.by_kind[Kind.SHARED_ANSWER]),
        (("unsent",), held.unsent),
    )
