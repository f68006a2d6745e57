"""What this process has counted of switches that have a guard, since it began.

Nothing is counted here but WebSockets when they end: what is on the data path counts anyway, and is
put together when somebody asks.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from typing import Final

from proxy.gateway.open_websocket import OpenWebSocket
from proxy.gateway.request_outcomes import RequestOutcomes
from proxy.gateway.rewriting import Rewriting
from proxy.gateway.upgrade import Upgrades
from proxy.mapping.engine.program import links_of
from proxy.mapping.switched import SwitchedCatalog
from proxy.observability.metrics import Metrics
from proxy.rewriting import OTHER_KIND
from proxy.snapshot import Live, Snapshot
from proxy.switching.canary import Sketch
from proxy.switching.guards import Figures
from proxy.switching.samples import Counted
from proxy.switching.setting import Mode
from proxy.switching.table import SwitchName
from proxy.websocket.closing import Side

PROTOCOL_ERRORS: Final = frozenset({1002, 1003, 1007})
"""Close codes of RFC 6455 section 7.4.1 by which a side says that what it was sent is wrong."""

_SIDES: Final = (Side.CLIENT.value, Side.SERVER.value)


class GuardFigures:
    """Puts them together."""

    def __init__(
        self,
        live: Live,
        metrics: Metrics,
        rewriting: Rewriting,
        upgrades: Upgrades,
        outcomes: RequestOutcomes,
        settled: Callable[[], Awaitable[None]],
    ) -> None:
        """Construct.

        Args:
            live: what serves.
            metrics, rewriting, outcomes: what is counted anyway.
            upgrades: tells of WebSockets that end.
            settled: waited for first: what was turned is brought to open WebSockets.
        """
        self._live = live
        self._metrics = metrics
        self._rewriting = rewriting
        self._outcomes = outcomes
        self._settled = settled
        self._ended: Counter[SwitchName] = Counter()
        self._closed: Counter[SwitchName] = Counter()
        self._serving: SwitchedCatalog = live.current.switches
        self._users: dict[SwitchName, tuple[int, Sketch]] = {}
        upgrades.on_end.append(self._note)
        live.on_replaced.append(self._follow)

    async def counted(self, slow: Mapping[SwitchName, float]) -> dict[SwitchName, Counted]:
        """What was counted of switches.

        Args:
            slow: those, and the seconds from which on a request of each is slow.
        """
        await self._settled()
        await self._metrics.settle()
        messages: Counter[tuple[str, str]] = Counter()
        unmapped: Counter[tuple[str, str]] = Counter()
        for (cohort, program, _), counts in self._metrics.accounts():
            for name in links_of(program):
                messages[cohort, name] += counts.received
                unmapped[cohort, name] += counts.unmapped.get(OTHER_KIND, 0)
        users = self._sketches()
        found = {}
        for switch, seconds in slow.items():
            shadow = self._rewriting.shadows.account(str(switch))
            requests, slower, errors, others, other_errors = self._outcomes.totals(switch, seconds)
            found[switch] = Counted(
                Figures(
                    messages=messages[switch] + (0 if shadow is None else shadow.compared),
                    failed=self._rewriting.failures[switch]
                    + (0 if shadow is None else shadow.would_fail),
                    unmapped=unmapped[switch],
                    sockets=self._ended[switch],
                    closed=self._closed[switch],
                    requests=requests,
                    slow=slower,
                    errors=errors,
                    others=others,
                    other_errors=other_errors,
                ),
                users.get(switch),
            )
        return found

    def _note(self, socket: OpenWebSocket) -> None:
        """Count a WebSocket that has ended."""
        codes = {code for side, code in socket.relay.closes if side in _SIDES}
        is_wrong = not codes.isdisjoint(PROTOCOL_ERRORS)
        for each in socket.decision.applied:
            if each.mode is Mode.ON:
                self._ended[each.switch] += 1
                self._closed[each.switch] += is_wrong

    def _follow(self, snapshot: Snapshot) -> None:
        """Keep the users of the catalogue that served, of switches that are what they were."""
        before, self._serving = self._serving, snapshot.switches
        if before is not self._serving:
            table = snapshot.switches.table
            kept = self._merged(before)
            self._users = {
                switch: (revision, users)
                for switch, (revision, users) in kept.items()
                if table.revision(switch) == revision
            }

    def _sketches(self) -> dict[SwitchName, Sketch]:
        """The users of canaries to whom the mapping is applied, since their newest revision."""
        return {switch: users for switch, (_, users) in self._merged(self._serving).items()}

    def _merged(self, switches: SwitchedCatalog) -> dict[SwitchName, tuple[int, Sketch]]:
        found: dict[SwitchName, tuple[int, Sketch]] = {}
        for switch, _, users in switches.users():
            revision = switches.table.revision(switch)
            merged = Sketch()
            merged.merge(users.inside)
            for known in (self._users.get(switch), found.get(switch)):
                if known is not None and known[0] == revision:
                    merged.merge(known[1])
            found[switch] = revision, merged
        return found
