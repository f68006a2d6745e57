"""What is done to the messages and bodies of a client, and where they count (step `bodies`)."""

from __future__ import annotations

import posixpath
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from typing import Final
from urllib.parse import unquote_to_bytes

from proxy.configuration.reading import Config
from proxy.errors import MappingFailure
from proxy.gateway.context import RequestContext
from proxy.gateway.identity import identity_of
from proxy.gateway.notices import Notices
from proxy.gateway.received_kinds import ReceivedKinds
from proxy.gateway.shadow import Shadows
from proxy.gateway.shadow_switch import ShadowTarget
from proxy.mapping.decision import NOTHING, Decision
from proxy.mapping.engine.program import Program, links_of
from proxy.mapping.programs import RoutePrograms
from proxy.memory import Kind
from proxy.observability.access_log import RequestInfo
from proxy.observability.decisions import DecisionLog
from proxy.observability.limited import LimitedWarnings
from proxy.observability.metrics import Metrics
from proxy.recording.tap import TapPoint, Taps
from proxy.relay.bodies import BodyMapping, HoldLimits
from proxy.relay.observed import Observer, Observers
from proxy.rewriting import MessageCounts, MessageHandling
from proxy.types import NONE, Direction

_NAME: Final = re.compile(r"[a-z]{1,12}|v[0-9]{1,3}")
_LONGEST: Final = 200

_NO_TARGETS: Final[Mapping[Direction, list[ShadowTarget]]] = {}


def shape_of(path: str, routes: Iterable[str]) -> str:
    """A path without what may be data: of each segment that is no name, `{}` is left.

    Names are short words in lower case, `v1` and the like, and what the path of a configured route
    has in the same place: of what clients send, whole names, mail addresses and tokens are none.

    Args:
        path: of a request.
        routes: the paths that the configuration names.
    """
    segments = path[:_LONGEST].split("/")
    named = {
        (place, each)
        for route in routes
        for place, each in enumerate(route.split("/"))
        if each not in ("{}", "**")
    }
    return "/".join(
        each if not each or _NAME.fullmatch(each) or (place, each) in named else "{}"
        for place, each in enumerate(segments)
    )


def _routes(config: Config) -> Iterator[str]:
    for cohort in config.cohorts:
        yield from (route.path for route in cohort.http)
    yield from (route.pattern for route in config.coalescing)


def _carries_tokens(context: RequestContext) -> bool:
    """Whether a request is for one of the routes of tokens, however a server may have it spelled.

    More spellings count than lead there: nobody needs what is not recorded of them.
    """
    paths = context.snapshot.config.sessions.paths
    routes = (*paths.login, paths.refresh, paths.logout)
    return _plain(context.path) in {_plain(route.encode()) for route in routes}


def _plain(path: bytes) -> bytes:
    # Servers decode a path before they look where it leads.
    return posixpath.normpath(b"/" + unquote_to_bytes(path).lstrip(b"/")).lower()


class Rewriting:
    """Finds the programs of a request, and gives them their accounts.

    Attributes:
        taps: through which messages on their way are looked at.
        shadows: work out what switches in shadow would have made of messages.
        received_kinds: with which kinds the messages of servers came.
        failures: messages that a mapping failed on, by the client's cohort and the mapping's name.
        notices: what clients are told of the end of what they use.
        on_mapped: told of each request on a route with a mapping that is over.
    """

    def __init__(
        self,
        metrics: Metrics,
        taps: Taps,
        shadows: Shadows,
        warnings: LimitedWarnings,
        decisions: DecisionLog,
        ignored: Callable[[RequestInfo], bool] = lambda _: False,
    ) -> None:
        """Construct.

        Args:
            metrics: has the accounts.
            taps, shadows: see the attributes.
            warnings: told of messages that could not be mapped.
            decisions: who watches requests.
            ignored: says whether a client keeps no mapping alive.
        """
        self._ignored = ignored
        self.on_mapped: list[Callable[[RequestContext], None]] = []
        self._metrics = metrics
        self._warnings = warnings
        self._decisions = decisions
        self.taps = taps
        self.shadows = shadows
        self.received_kinds = ReceivedKinds()
        self.failures: Counter[tuple[str, str]] = Counter()
        self.notices = Notices()

    def forget(self, context: RequestContext) -> None:
        """A request on a route with a mapping is over."""
        for told in self.on_mapped:
            told(context)

    def open_account(self, counts: MessageCounts) -> None:
        """Show what a part of an account counts, from now on."""
        self._metrics.open_account(counts)

    def close_account(self, counts: MessageCounts) -> None:
        """Nothing is counted there any more."""
        self._metrics.close_account(counts)

    def decide(self, context: RequestContext) -> Decision:
        """Decide which mappings apply to a client: what its cohort names, as its switches say."""
        selection = context.info.selection
        decision = NOTHING
        if selection is not None:
            decision = context.snapshot.switches.decide(
                selection.cohort, selection.version, partial(identity_of, context)
            )
        context.decision = decision
        return decision

    def handling(
        self,
        info: RequestInfo,
        program: Program | None,
        way: Direction,
        targets: Sequence[ShadowTarget] = (),
        *,
        secret: bool = False,
        upstream: str | None = None,
    ) -> MessageHandling:
        """What is done to the messages of one direction, counted and open to those who look.

        The account is a part of that of the cohort: somebody has to settle it.

        Args:
            info: of the client's request.
            program: None where none is bound.
            way: the direction.
            targets: what would be done to them if switches in shadow were on.
            secret: whether nobody may look at them.
            upstream: the server whose messages they are, for the kinds with which they come.
        """
        cohort = info.cohort
        if program is None:
            handling = MessageHandling(None, self._metrics.messages(NONE, way, cohort).part())
        else:
            account = (
                self._metrics.messages_of_ignored if self._ignored(info) else self._metrics.messages
            )
            whole = account(program.name, way, cohort)
            counts = whole.part(partial(self._failed, info, program.name, way))
            kinds = None if upstream is None else program.received_kind_of
            if upstream is not None and kinds is not None:
                counts.received_kinds = self.received_kinds.of(upstream)
            handling = MessageHandling(program, counts, program.kind_of, kinds)
        if secret:
            return handling
        if targets:
            handling = self.shadows.tapped(handling, targets, way, cohort)
        if not self.taps.are_used:
            return handling
        return self.taps.tapped(handling, TapPoint(way, cohort, info.request_id))

    def bodies(self, context: RequestContext) -> BodyMapping | None:
        """What is done to the bodies of a route; None for nearly all. Preflights have none."""
        route = None
        info, config = context.info, context.snapshot.config
        if (
            context.snapshot.catalog.for_cohort(info.selected).routes is not None
            or config.switching.compares_requests
        ):
            programs = self.decide(context).programs
            route = programs.route(context.request.method, context.path)
        if info.trail is not None:
            info.trail.note("route", **_bound(route), preflight=context.head.preflight)
        if route is None or context.head.preflight:
            return None
        to_server, to_client = route.to_server, route.to_client
        if to_server is None and to_client is None:
            return None  # All of it is switched off: the bytes pass as they are.
        info.to_server = "" if to_server is None else to_server.name
        info.to_client = "" if to_client is None else to_client.name
        shadowed = self._shadow_targets(context)
        secret = bool(shadowed or self.taps.are_used) and _carries_tokens(context)

        def handling(program: Program | None, way: Direction) -> MessageHandling | None:
            if program is None:
                return None
            return self.handling(info, program, way, shadowed.get(way, ()), secret=secret)

        server = handling(to_server, Direction.TO_SERVER)
        client = handling(to_client, Direction.TO_CLIENT)
        info.to_server_counts = None if server is None else server.counts
        info.to_client_counts = None if client is None else client.counts
        return BodyMapping(
            server,
            client,
            limits=HoldLimits(config.limits.body, config.timeouts.body, config.timeouts.message),
            vary=context.snapshot.versions.header,
            request_held=context.client.reserve(Kind.BODY),
            response_held=context.client.reserve(Kind.BODY),
            notice=self.notices.of(context, (to_server, to_client)),
        )

    def observer(self, context: RequestContext) -> Observer | None:
        """Who looks at bodies that no mapping is bound to; None where nobody wants to.

        Routes of tokens are left out: what they carry is secret as a whole.
        """
        shadowed = self._shadow_targets(context)
        if not (shadowed or self.taps.are_used) or context.head.preflight:
            return None
        if _carries_tokens(context):
            return None
        bodies, info = context.bodies, context.info
        ways = [
            way
            for way, mapped in (
                (Direction.TO_SERVER, bodies and bodies.to_server),
                (Direction.TO_CLIENT, bodies and bodies.to_client),
            )
            if not mapped
        ]
        route = f"{info.method} {shape_of(info.path, _routes(context.snapshot.config))}"

        def point(way: Direction) -> TapPoint:
            return TapPoint(way, info.cohort, info.request_id, route)

        fields = context.request.fields
        found: tuple[Observer | None, ...] = (
            self.taps.observer(ways, point, fields),
            self.shadows.observer(
                {way: shadowed[way] for way in ways if way in shadowed}, info.cohort, fields
            ),
        )
        looking = [each for each in found if each is not None]
        return looking[0] if len(looking) == 1 else Observers(looking) if looking else None

    def _shadow_targets(self, context: RequestContext) -> Mapping[Direction, list[ShadowTarget]]:
        """What switches in shadow would do to the bodies of a request; empty for nearly all."""
        decision = context.decision
        if decision is None or not decision.shadows:
            return _NO_TARGETS  # Asked for every request.
        targets: dict[Direction, list[ShadowTarget]] = {}
        method, path = context.request.method, context.path
        applied = decision.programs.route(method, path)
        for shadow in decision.shadows:
            route = shadow.programs.route(method, path)
            if route is None:
                continue
            for way in Direction:
                program = getattr(route, way)
                if program is not None and program is not getattr(applied, way, None):
                    targets.setdefault(way, []).append(ShadowTarget(str(shadow.switch), program))
        return targets

    def _failed(
        self, info: RequestInfo, program: str, way: Direction, failure: MappingFailure
    ) -> None:
        """Warn of a message that could not be mapped; nothing of what it says is told."""
        for name in links_of(failure.mapping or program):
            self.failures[info.cohort, name] += 1
        kind = {"mapping": failure.mapping or program, "rule": failure.rule}
        where = {"operation": failure.operation, "field": failure.field}
        info.trail = self._decisions.late(info.trail, info.request_id, info.cohort)
        if info.trail is not None:
            info.trail.note("mapping", failed=failure.detail, direction=way.value, **kind, **where)
        self._warnings.write(
            "mapping failed",
            kind,
            **{name: value for name, value in where.items() if value},
            reason=failure.detail,
            on_error=failure.on_error.value,
            direction=way.value,
            cohort=info.cohort,
            request_id=info.request_id,
        )


def _bound(route: RoutePrograms | None) -> dict[str, str | None]:
    """What a decision says of the route of a request."""
    if route is None:
        return {"path": None}
    programs = {"to_client": route.to_client, "to_server": route.to_server}
    names = {way: None if each is None else each.name for way, each in programs.items()}
    return {"path": route.pattern, **names}
