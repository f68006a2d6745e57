"""What messages need which mappings, looked at from time to time: for when a mapping can go.

Nothing of this is on the path of a message: totals that are counted anyway are read, and what each
open WebSocket has had rewritten since it was last looked at is told of its user and its version.
A request on a route with a mapping is told of once it is over.

A need is told where something was changed, dropped, or failed; of a switch in shadow, where that
would have been. Where a switch is off or a canary for somebody, where an open WebSocket has been
left with less than is in force, or a shadow has not compared everything, needs can be there that
nobody sees: the mapping is told of as blind.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Final

from proxy.configuration.sunset import IgnoredClients
from proxy.downstream.limits import is_in
from proxy.gateway.context import RequestContext
from proxy.gateway.flow import numbers_of
from proxy.gateway.identity import identity_of
from proxy.gateway.open_websocket import OpenWebSocket
from proxy.gateway.shadow import Shadows
from proxy.gateway.upgrade import Upgrades
from proxy.mapping.decision import Decision
from proxy.mapping.engine.program import Program, links_of
from proxy.mapping.programs import RoutePrograms
from proxy.mapping.switched import SwitchedCatalog
from proxy.observability.access_log import RequestInfo
from proxy.observability.metrics import Metrics
from proxy.snapshot import Live, Snapshot
from proxy.switching.canary import Sketch, counted_as
from proxy.switching.setting import WHOLE, Mode, Setting
from proxy.switching.sunset_watch import Look
from proxy.switching.table import SwitchName
from proxy.types import NONE

_WOULD_NEED: Final = frozenset({"mapped", "dropped", "failed"})
_MAX_TOLD: Final = 200
"""Versions of one mapping that are told apart in one look; clients choose what they are called."""

OFF: Final = "it is off, for some clients at least"
CANARY: Final = "it is a canary: of those who are outside nothing is seen"
LEFT: Final = "open WebSockets have been left without it"
SKIPPED: Final = "its shadow has not compared all messages"


def is_ignored(rules: tuple[IgnoredClients, ...], info: RequestInfo) -> bool:
    """Whether a client keeps no mapping alive."""
    return any(_fits(rule, info) for rule in rules)


def _fits(rule: IgnoredClients, info: RequestInfo) -> bool:
    if rule.user_agent is not None:
        agent = info.user_agent.decode("latin-1").lower()
        if rule.user_agent.lower() not in agent:
            return False
    if rule.addresses and not is_in(rule.addresses, info.client or info.peer):
        return False
    version = None if info.selection is None else info.selection.version
    return rule.versions is None or (version is not None and version in rule.versions)


def blind_of(switches: SwitchedCatalog) -> dict[SwitchName, str]:
    """The switches that leave messages of some clients alone, and how."""
    found = {}
    for name in switches.first:
        state = switches.in_force(name)
        for setting in (state.setting, *(each.setting for each in state.exceptions)):
            why = _blind(setting, has_key=bool(switches.key))
            if why:
                found[name] = why
    return found


def _blind(setting: Setting | None, *, has_key: bool) -> str:
    if setting is None or setting.mode is Mode.OFF:
        return OFF
    if setting.mode is Mode.CANARY and not (setting.share == WHOLE and has_key):
        return CANARY
    return ""


class Needs:
    """Looks at what is needed in one process."""

    def __init__(self, metrics: Metrics, upgrades: Upgrades, shadows: Shadows, live: Live) -> None:
        """Construct; what comes from now on is told by the first look.

        Args:
            metrics: has the accounts of messages.
            upgrades: knows the open WebSockets, and tells of those that end.
            shadows: has the accounts of shadows.
            live: holds what serves, and tells when that is replaced.
        """
        self._metrics = metrics
        self._upgrades = upgrades
        self._shadows = shadows
        self._live = live
        self._needed: dict[SwitchName, int] = {}
        self._ignored: dict[SwitchName, int] = {}
        self._shadowed: dict[tuple[str, ...], float] = {}
        self._users: dict[SwitchName, Sketch] = {}
        self._versions: dict[SwitchName, Counter[str]] = {}
        # Whoever was blind at any moment since the last look was blind.
        self._blind = blind_of(live.current.switches)
        live.on_replaced.append(self._replaced)
        upgrades.on_end.append(self._note)

    async def look(self) -> Look:
        """Tell what there was since the look before, or the start."""
        opened: Counter[tuple[str, Decision]] = Counter()
        async for socket in self._upgrades.walk():
            self._note(socket)
            opened[socket.info.cohort, socket.decision] += 1
        # In one step from here on: what is counted meanwhile is in the next look.
        look = Look(bound=frozenset(self._live.current.switches.first), blind=self._blind)
        self._blind = blind_of(self._live.current.switches)
        self._read_accounts(look)
        self._read_shadows(look)
        self._read_sockets(look, opened)
        look.users, self._users = self._users, {}
        look.versions = {name: dict(counts) for name, counts in self._versions.items()}
        self._versions = {}
        return look

    def told(self, context: RequestContext) -> None:
        """A request on a route with a mapping is over: tell whose it was, if it needed that."""
        bodies, decision = context.bodies, context.decision
        if bodies is None or decision is None or context.info.selection is None:
            return
        route: RoutePrograms | None = None
        for handling, way in ((bodies.to_client, "to_client"), (bodies.to_server, "to_server")):
            if handling is None or not handling.counts.needed:
                continue
            if route is None:
                if self._is_ignored(context.info):
                    return
                route = decision.programs.route(context.request.method, context.path)
            program = None if route is None else getattr(route, way)
            if program is not None:
                self._tell(context.info, program, handling.counts.needed, identity_of(context))

    def _replaced(self, snapshot: Snapshot) -> None:
        self._blind = {**self._blind, **blind_of(snapshot.switches)}

    def _is_ignored(self, info: RequestInfo) -> bool:
        return is_ignored(self._live.current.config.switching.sunset.ignore, info)

    def _note(self, socket: OpenWebSocket) -> None:
        """Tell of what a socket has had rewritten since it was last looked at."""
        needed = socket.needed_since()
        for counts in socket.accounts:
            counts.settle()
        if not any(needed) or self._is_ignored(socket.info):
            return
        programs = socket.programs
        for program, count in zip((programs.to_client, programs.to_server), needed, strict=True):
            if program is not None and count:
                self._tell(socket.info, program, count, socket.identity)

    def _tell(self, info: RequestInfo, program: Program, count: int, user: bytes) -> None:
        key = self._live.current.switches.key
        place = counted_as(key, user) if key else None
        version = None if info.selection is None else info.selection.version
        numbers = NONE if version is None else numbers_of(version.epoch, version.release)
        for mapping in program.mappings:
            name = SwitchName(info.cohort, mapping)
            if place is not None:
                self._users.setdefault(name, Sketch()).add(place)
            versions = self._versions.setdefault(name, Counter())
            if numbers in versions or len(versions) < _MAX_TOLD:
                versions[numbers] += count

    def _read_accounts(self, look: Look) -> None:
        """By the totals, which miss nothing: what is told of users and versions may."""
        needed: Counter[SwitchName] = Counter()
        ignored: Counter[SwitchName] = Counter()
        for cohort, program, count, of_ignored in self._metrics.needs():
            if program == NONE:
                continue
            for mapping in links_of(program):
                name = SwitchName(cohort, mapping)
                needed[name] += count - of_ignored
                ignored[name] += of_ignored
        look.needed = _moved(self._needed, needed)
        look.ignored = _moved(self._ignored, ignored)
        self._needed, self._ignored = dict(needed), dict(ignored)

    def _read_shadows(self, look: Look) -> None:
        switches = self._live.current.switches
        names = {str(name): name for name in switches.first}
        totals = dict(self._shadows.messages())
        for (switch, outcome), count in totals.items():
            name = names.get(switch)
            more = int(count - self._shadowed.get((switch, outcome), 0))
            if name is None or more <= 0:
                continue
            if outcome == "skipped":
                look.blind[name] = SKIPPED
            elif outcome in _WOULD_NEED:
                look.needed[name] = look.needed.get(name, 0) + more
        self._shadowed = totals
        for name in switches.in_shadow():
            if self._shadows.account(str(name)) is None:
                look.blind[name] = SKIPPED

    def _read_sockets(self, look: Look, opened: Counter[tuple[str, Decision]]) -> None:
        bindings = self._live.current.catalog.bindings
        for (cohort, decision), count in opened.items():
            binding = bindings.get(cohort)
            if binding is None:
                continue
            modes = {each.switch.mapping: each.mode for each in decision.applied}
            for mapping in {*binding.to_client, *binding.to_server}:
                name = SwitchName(cohort, mapping)
                mode = modes.get(mapping, Mode.OFF)
                if mode is Mode.ON:
                    look.open[name] = look.open.get(name, 0) + count
                elif mode is Mode.OFF:
                    look.blind.setdefault(name, LEFT)


def _moved(before: dict[SwitchName, int], now: Counter[SwitchName]) -> dict[SwitchName, int]:
    moved: Iterator[tuple[SwitchName, int]] = (
        (name, count - before.get(name, 0)) for name, count in now.items()
    )
    return {name: more for name, more in moved if more > 0}
