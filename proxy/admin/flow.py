"""The part of the admin API from which a picture of the flow can be drawn.

`GET /flow` shows how much goes by in a second, and for whom; `GET /connections` shows the open
WebSockets by what is done to their messages. Both are of the process that answers.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping
from typing import Any, Final, TypeVar

import pydantic
from aiohttp import web

from proxy.admin.endpoints import Endpoint, Served
from proxy.admin.switch_views import UsersView
from proxy.admin.switches_shown import users_view
from proxy.gateway.flow import Flow, Rates
from proxy.gateway.upgrade import Upgrades
from proxy.mapping.engine.program import links_of
from proxy.snapshot import Live
from proxy.types import NONE, Direction, Role

_Labels = TypeVar("_Labels", bound=tuple[Any, ...])
_Number = TypeVar("_Number", int, float)

MAX_ROWS: Final = 1_000
"""Rows of one list of an answer."""


class MessageRate(pydantic.BaseModel):
    """WebSocket messages received whole, and bodies of routes that have a mapping.

    Attributes:
        cohort: of the client; `none` for none.
        mapping: what was applied, the members of a chain joined by `+`; `none` where nothing was.
        direction: which way.
        outcome: what became of them.
        per_second: how many in a second.
    """

    cohort: str
    mapping: str
    direction: Direction
    outcome: str
    per_second: float


class KindRate(pydantic.BaseModel):
    """Messages that a mapping left as they were, by the kind that they came with.

    Attributes:
        cohort: of the client.
        mapping: which it was.
        direction: which way.
        kind: one of those that the mapping's file lists, or `other`.
        per_second: how many in a second.
    """

    cohort: str
    mapping: str
    direction: Direction
    kind: str
    per_second: float


class VersionRate(pydantic.BaseModel):
    """WebSocket messages by the version of the client.

    Attributes:
        cohort: of the client; `none` for none.
        version: its release numbers, without zeros at their end; `none` where there is none,
            `other` for those seen least, where there are very many.
        direction: which way.
        per_second: how many in a second.
    """

    cohort: str
    version: str
    direction: Direction
    per_second: float


class RequestRate(pydantic.BaseModel):
    """Requests that were answered, WebSocket handshakes among them.

    Attributes:
        cohort: of their clients; `none` for none.
        per_second: how many in a second.
    """

    cohort: str
    per_second: float


class DirectionRate(pydantic.BaseModel):
    """Messages of all cohorts.

    Attributes:
        direction: which way.
        per_second: how many in a second.
    """

    direction: Direction
    per_second: float


class UpstreamRate(pydantic.BaseModel):
    """What goes to a server, and comes from it.

    Attributes:
        upstream: its address.
        to_client: WebSocket messages that it sent, in a second.
        to_server: WebSocket messages for it, in a second.
        exchanges: requests and handshakes that were begun with it, in a second.
    """

    upstream: str
    to_client: float
    to_server: float
    exchanges: float


class UpstreamKindRate(pydantic.BaseModel):
    """WebSocket messages of a server by the kind with which they came: which dialect it speaks.

    Attributes:
        upstream: its address.
        kind: as the server sent it: one that a mapping's file lists or its rules ask for, or
            `other`.
        per_second: about how many in a second, by a sample of one in 32.
    """

    upstream: str
    kind: str
    per_second: float


class SwitchUsersView(UsersView):
    """About how many users a canary has met.

    Attributes:
        exception: the name of the exception that it is set for; empty for none.
    """

    exception: str


class SwitchRate(pydantic.BaseModel):
    """What goes by a switch, in a second.

    Attributes:
        switch: its name.
        messages: those to which its mapping was applied, by outcome; of a chain, by that of the
            whole chain.
        decisions: how often it was decided whether it applies, by `true`, `false` and `shadow`; for
            requests of its cohort and for WebSockets, when they open and when a switch is turned.
        shadow: messages that came by while it was in shadow, by what would have become of them.
        users: of its canaries, since a switch was turned last.
    """

    switch: str
    messages: dict[str, float]
    decisions: dict[str, float]
    shadow: dict[str, float]
    users: list[SwitchUsersView]


class FlowView(pydantic.BaseModel):
    """How much flows through the process that answers. What did not move is left out.

    Attributes:
        seconds: over which the rates are taken: about 10 for whoever asks every few seconds, up to
            40 for the first to ask after a while, less when the process is younger; 0 where nothing
            can be said yet.
        revision: of the switches that are in force.
        requests: by cohort.
        messages: by cohort, mapping, direction and outcome.
        kinds: those of them that were left as they were, by kind, where a mapping lists kinds.
        versions: by cohort, version and direction.
        directions: all of the messages.
        upstreams: by server.
        upstream_kinds: those of WebSockets with a mapping that lists kinds, by server and kind, as
            the server sent them, whether a rule maps them or not; an estimate.
        switches: all that there are, in the order of their names.
    """

    seconds: float
    revision: int
    requests: list[RequestRate]
    messages: list[MessageRate]
    kinds: list[KindRate]
    versions: list[VersionRate]
    directions: list[DirectionRate]
    upstreams: list[UpstreamRate]
    upstream_kinds: list[UpstreamKindRate]
    switches: list[SwitchRate]


class ConnectionsRow(pydantic.BaseModel):
    """Open WebSockets that are alike.

    Attributes:
        cohort: of their clients; `none` for none.
        to_client, to_server: what is applied to their messages; `none` for nothing.
        revision: of the switches, by which that was decided.
        behind: whether that is not the newest that is in force.
        websockets: how many there are.
    """

    cohort: str
    to_client: str
    to_server: str
    revision: int
    behind: bool
    websockets: int


class ConnectionsView(pydantic.BaseModel):
    """The open WebSockets of the process that answers.

    Attributes:
        revision: of the switches that are in force.
        websockets: all of them.
        behind: those that are on an older revision.
        connections: most first, at most 1,000 rows.
        left_out: WebSockets that are in none of these rows.
    """

    revision: int
    websockets: int
    behind: int
    connections: list[ConnectionsRow]
    left_out: int


FLOW: Final = Endpoint("GET", "/flow", Role.VIEWER, None, FlowView)
CONNECTIONS: Final = Endpoint("GET", "/connections", Role.VIEWER, None, ConnectionsView)


class FlowPage:
    """Answers the requests."""

    def __init__(self, flow: Flow, upgrades: Upgrades, live: Live) -> None:
        """Construct.

        Args:
            flow: knows the rates.
            upgrades: knows the open sockets.
            live: which switches there are.
        """
        self._flow = flow
        self._upgrades = upgrades
        self._live = live

    def endpoints(self) -> tuple[Served, ...]:
        """What may be asked, and what answers."""
        return ((FLOW, self.show), (CONNECTIONS, self.connections))

    async def show(self, _: web.Request) -> FlowView:
        """Show how much flows, and where."""
        rates = await self._flow.rates()
        return FlowView(
            seconds=rates.seconds,
            revision=self._live.current.switches.table.number,
            requests=[
                RequestRate(cohort=cohort, per_second=rate)
                for (cohort,), rate in _most(rates.of("request"))
            ],
            messages=[
                MessageRate(
                    cohort=cohort,
                    mapping=mapping,
                    direction=Direction(way),
                    outcome=outcome,
                    per_second=rate,
                )
                for (cohort, mapping, way, outcome), rate in _most(rates.of("message"))
            ],
            kinds=[
                KindRate(
                    cohort=cohort,
                    mapping=mapping,
                    direction=Direction(way),
                    kind=kind,
                    per_second=rate,
                )
                for (cohort, mapping, way, kind), rate in _most(rates.of("kind"))
            ],
            versions=[
                VersionRate(
                    cohort=cohort, version=version, direction=Direction(way), per_second=rate
                )
                for (cohort, version, way), rate in _most(rates.of("version"))
            ],
            directions=[
                DirectionRate(direction=way, per_second=rate)
                for way, rate in _by_direction(rates).items()
            ],
            upstreams=_upstreams(rates),
            upstream_kinds=[
                UpstreamKindRate(upstream=upstream, kind=kind, per_second=rate)
                for (upstream, kind), rate in _most(rates.of("received_kind"))
            ],
            switches=self._switches(rates),
        )

    async def connections(self, _: web.Request) -> ConnectionsView:
        """Show the open WebSockets by cohort, mapping and revision."""
        counts: Counter[tuple[str, str, str, int]] = Counter()
        async for socket in self._upgrades.walk():
            to_client, to_server = socket.programs.to_client, socket.programs.to_server
            names = [NONE if each is None else each.name for each in (to_client, to_server)]
            counts[socket.info.cohort, names[0], names[1], socket.revision] += 1
        number = self._live.current.switches.table.number
        rows = [
            ConnectionsRow(
                cohort=cohort,
                to_client=to_client,
                to_server=to_server,
                revision=revision,
                behind=revision != number,
                websockets=count,
            )
            for (cohort, to_client, to_server, revision), count in _most(counts)
        ]
        return ConnectionsView(
            revision=number,
            websockets=counts.total(),
            behind=sum(n for key, n in counts.items() if key[3] != number),
            connections=rows,
            left_out=counts.total() - sum(row.websockets for row in rows),
        )

    def _switches(self, rates: Rates) -> list[SwitchRate]:
        switches = self._live.current.switches
        messages: dict[str, dict[str, float]] = defaultdict(lambda: defaultdict(float))
        for (cohort, program, _, outcome), rate in rates.of("message").items():
            for mapping in dict.fromkeys(links_of(program)):
                messages[f"{cohort}/{mapping}"][outcome] += rate
        decisions: dict[str, dict[str, float]] = defaultdict(lambda: defaultdict(float))
        for (switch, _, applied), rate in rates.of("decision").items():
            decisions[switch][applied] += rate
        shadow: dict[str, dict[str, float]] = defaultdict(dict)
        for (switch, outcome), rate in rates.of("shadow").items():
            shadow[switch][outcome] = rate
        users: dict[str, list[SwitchUsersView]] = defaultdict(list)
        for name, exception, found in switches.users():
            view = users_view(found).model_dump()
            users[str(name)].append(SwitchUsersView(exception=exception, **view))
        return [
            SwitchRate(
                switch=name,
                messages=dict(messages[name]),
                decisions=dict(decisions[name]),
                shadow=shadow[name],
                users=users[name],
            )
            for name in sorted(map(str, switches.first))
        ]


def _by_direction(rates: Rates) -> dict[Direction, float]:
    sums = dict.fromkeys(Direction, 0.0)
    for (_, _, way, _), rate in rates.of("message").items():
        sums[Direction(way)] += rate
    return sums


def _upstreams(rates: Rates) -> list[UpstreamRate]:
    messages, exchanges = rates.of("upstream"), rates.of("exchange")
    names = dict.fromkeys([key[0] for key in (*exchanges, *messages)])
    return [
        UpstreamRate(
            upstream=name,
            to_client=messages.get((name, Direction.TO_CLIENT), 0.0),
            to_server=messages.get((name, Direction.TO_SERVER), 0.0),
            exchanges=exchanges.get((name,), 0.0),
        )
        for name in list(names)[:MAX_ROWS]
    ]


def _most(counts: Mapping[_Labels, _Number]) -> list[tuple[_Labels, _Number]]:
    """The highest of them, highest first."""
    return sorted(counts.items(), key=lambda each: (-each[1], each[0]))[:MAX_ROWS]
