"""The part of the admin API that shows the mappings that serve, with their rules and examples."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any, Final

import pydantic
from aiohttp import web

from proxy.admin.endpoints import Endpoint, Served
from proxy.control.in_force import SwitchInForce, switch_in_force
from proxy.mapping.language.model import Derivation, Rule
from proxy.snapshot import Live, Snapshot
from proxy.switching.table import SwitchName
from proxy.types import Channel, Direction, OnError, Role


class Use(pydantic.BaseModel):
    """A place where a cohort names a mapping.

    Attributes:
        cohort: its name.
        channel: WebSocket messages, or the bodies of a route.
        direction: which way they go.
        route: the pattern of its path; null for WebSockets.
        methods: of the route; empty for all.
        position: in the chain, from 0.
        chain: all mappings of that place, first to last.
    """

    cohort: str
    channel: Channel
    direction: Direction
    route: str | None = None
    methods: list[str] = []
    position: int
    chain: list[str]


class RuleView(pydantic.BaseModel):
    """A rule, as its file has it.

    Attributes:
        name: unique in the mapping.
        match: which messages it is for.
        do: its operations, one after the other.
        loses: fields whose values the way back does not restore.
        examples: messages, `in`, and what the rule makes of them, `out`.
    """

    name: str
    match: dict[str, Any]
    do: list[Any]
    loses: list[Any]
    examples: list[dict[str, Any]]


class MappingView(pydantic.BaseModel):
    """A mapping.

    Attributes:
        name, description, channel, direction, on_error: as its file has them.
        inverse: the name of the mapping that leads back; null where there is none.
        derived_from: the name of the mapping that this one was made from; null where it has a file.
        rules: in order: the first that matches applies.
        used_by: where cohorts name it; empty where none does.
        switches: one for each cohort that names it, and what is in force for it.
    """

    name: str
    description: str
    channel: Channel
    direction: Direction
    on_error: OnError
    inverse: str | None
    derived_from: str | None
    rules: list[RuleView]
    used_by: list[Use]
    switches: list[SwitchInForce]


class MappingList(pydantic.BaseModel):
    """The mappings, in the order of their files.

    Attributes:
        configuration: the digest of what serves.
        revision: of the switches that is in force.
        all_off: whether everything is off.
        mappings: all of them.
    """

    configuration: str
    revision: int
    all_off: bool
    mappings: list[MappingView]


LIST: Final = Endpoint("GET", "/mappings", Role.VIEWER, None, MappingList)


class Mappings:
    """Answers the request."""

    def __init__(self, live: Live) -> None:
        self._live = live

    def endpoints(self) -> tuple[Served, ...]:
        """What viewers may ask, and what answers."""
        return ((LIST, self.show),)

    async def show(self, _: web.Request) -> MappingList:
        """Show the mappings that serve: rules, examples, where they are used, what is in force."""
        # In a thread: files can be large.
        return await asyncio.to_thread(_told, self._live.current)


def _told(snapshot: Snapshot) -> MappingList:
    uses: dict[str, list[Use]] = {}
    for name, use in _uses(snapshot):
        uses.setdefault(name, []).append(use)
    return MappingList(
        configuration=snapshot.digest,
        revision=snapshot.switches.table.number,
        all_off=snapshot.switches.table.all_off,
        mappings=[_mapping(snapshot, name, uses.get(name, [])) for name in snapshot.catalog.names],
    )


def _mapping(snapshot: Snapshot, name: str, uses: list[Use]) -> MappingView:
    file = snapshot.catalog.files[name]
    inverse = file.inverse
    cohorts = dict.fromkeys(use.cohort for use in uses)
    return MappingView(
        name=file.name,
        description=file.description,
        channel=file.channel,
        direction=file.direction,
        on_error=file.on_error,
        inverse=inverse.derive if isinstance(inverse, Derivation) else inverse,
        derived_from=snapshot.catalog.derived_from.get(name),
        rules=[_rule(each) for each in file.rules],
        used_by=uses,
        switches=[
            switch_in_force(snapshot.switches, SwitchName(cohort, name)) for cohort in cohorts
        ],
    )


def _rule(rule: Rule) -> RuleView:
    plain = rule.model_dump(mode="json", by_alias=True, exclude_unset=True)
    return RuleView(**{"loses": [], **plain})


def _uses(snapshot: Snapshot) -> Iterator[tuple[str, Use]]:
    for cohort in snapshot.config.cohorts:
        for direction in Direction:
            chain = list(getattr(cohort.websocket, direction))
            for position, name in enumerate(chain):
                yield (
                    name,
                    Use(
                        cohort=cohort.name,
                        channel=Channel.WEBSOCKET,
                        direction=direction,
                        position=position,
                        chain=chain,
                    ),
                )
            for route in cohort.http:
                chain = list(getattr(route, direction))
                for position, name in enumerate(chain):
                    yield (
                        name,
                        Use(
                            cohort=cohort.name,
                            channel=Channel.HTTP,
                            direction=direction,
                            route=route.path,
                            methods=list(route.methods),
                            position=position,
                            chain=chain,
                        ),
                    )
