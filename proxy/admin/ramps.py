"""The part of the admin API that shows guards, and begins, pauses and ends ramps.

`GET /switches/COHORT/MAPPING/guard` shows what the guard of a switch measures, what it says of
that, and what its ramp does. `POST .../ramp` begins a ramp, `.../ramp/pause`, `resume`, `next` and
`stop` do with it what they say.
"""

from __future__ import annotations

import time
from typing import Annotated, Final

import pydantic
from aiohttp import web
from pydantic import Field

from proxy.admin.endpoints import OF_A_SWITCH, SOME_SWITCH, Endpoint, Example, Served
from proxy.admin.orders import refusal
from proxy.admin.switch_endpoints import CHANGED, CONDITIONAL, IF_MATCH, NO_SWITCH, ChangeRequest
from proxy.admin.switch_views import Changed, FindingView, RampView, finding_view, ramp_view
from proxy.admin.switching import Answer, SwitchOrders, expected_of, switch_of
from proxy.control.guard_watch import MAX_WATCHED, GuardWatch, Judged
from proxy.control.switchboard import Switchboard
from proxy.switching.guards import GuardMode, Outcome
from proxy.switching.ramp_changes import SetRampStatus, StartRamp, StepRamp, StopRamp
from proxy.switching.ramps import (
    LEAST_EVERY,
    MOST_EVERY,
    MOST_STEPS,
    Move,
    Ramp,
    RampStatus,
    check_steps,
    parse_step,
)
from proxy.switching.setting import OFF
from proxy.switching.table import UNTOUCHED, OpenSockets, SwitchName
from proxy.types import Role


class GuardView(pydantic.BaseModel):
    """The guard of a switch, over all processes on the store.

    Attributes:
        switch: its name.
        setting: what it is set to.
        mode: `enforce`, `observe` or `off`.
        outcome: `pass`, `fail`, or `inconclusive`: too little data, which is no pass; null where
            nothing is judged, which `unjudged` tells.
        unjudged: why nothing is judged; empty where something is.
        missing: what keeps it from being a pass.
        findings: of each figure that has a bound.
        latched: whether a guard has set what the switch is: only a person raises it again.
        would_take_back: whether it fails and only observes.
        revision: that the samples are of.
        since: when that was made, in seconds since 1970; 0 where nobody knows.
        window: the number of the window that is told of, 0 for the first since then.
        window_seconds: that a window lasts.
        confidence: of a failure, from 0 to 1.
        messages: in the window.
        users: about how many users a canary had since the revision; null for all other states.
        at: when it was judged, in seconds since 1970; null where nothing is.
        ramp: that of the switch; null for none.
        leader: the name of the process that takes ramps on, as far as this one knows; empty for
            none.
    """

    switch: str
    setting: str
    mode: GuardMode
    outcome: Outcome | None
    unjudged: str
    missing: list[str]
    findings: list[FindingView]
    latched: bool
    would_take_back: bool
    revision: int
    since: float
    window: int
    window_seconds: float
    confidence: float
    messages: int
    users: int | None
    at: float | None
    ramp: RampView | None
    leader: str


_STEP: Final = r"^(off|shadow|on|(canary )?(100(\.00?)?|0?[0-9]{1,2}(\.[0-9]{1,2})?)%)$"
"""What `parse_step` takes, for the description: it says itself what is wrong."""


class RampRequest(ChangeRequest):
    """Through which states a switch is to go by itself.

    Attributes:
        steps: each higher than the one before, as `shadow`, `10%` (a canary) or `on`; the first
            that is not below what the switch is is taken at once.
        every: seconds that each is in force at least.
    """

    steps: Annotated[
        list[Annotated[str, Field(max_length=20, json_schema_extra={"pattern": _STEP})]],
        Field(min_length=1, max_length=MOST_STEPS),
    ]
    every: Annotated[float, Field(ge=LEAST_EVERY, le=MOST_EVERY)]


_READ: Final = {404: NO_SWITCH}
_NO_RAMP: Final = "The switch has no ramp that could do that; `detail` says what it is."

GUARD: Final = Endpoint(
    "GET",
    "/switches/{cohort}/{mapping}/guard",
    Role.VIEWER,
    None,
    GuardView,
    refusals=_READ,
    segments=OF_A_SWITCH,
    example=Example(segments=SOME_SWITCH),
)
RAMP: Final = Endpoint(
    "POST",
    "/switches/{cohort}/{mapping}/ramp",
    Role.OPERATOR,
    RampRequest,
    Changed,
    refusals={
        **CONDITIONAL,
        404: NO_SWITCH,
        409: "No step is above what it is, everything is off, it is no time at which switches may"
        " rise, or the configuration's file is the authority and says less.",
        422: "The steps do not rise.",
    },
    takes=(IF_MATCH,),
    segments=OF_A_SWITCH,
    example=Example(
        {
            "steps": ["shadow", "1%", "10%", "50%", "on"],
            "every": 600,
            "reason": "2.4 is out",
        },
        SOME_SWITCH,
        {"If-Match": '"7"'},
    ),
)


def _of_a_ramp(what: str) -> Endpoint:
    return Endpoint(
        "POST",
        f"/switches/{{cohort}}/{{mapping}}/ramp/{what}",
        Role.OPERATOR,
        ChangeRequest,
        Changed,
        refusals={**CHANGED, 404: NO_SWITCH, 409: _NO_RAMP},
        segments=OF_A_SWITCH,
        example=Example({"reason": "a look at the first users"}, SOME_SWITCH),
    )


RAMP_PAUSE: Final = _of_a_ramp("pause")
RAMP_RESUME: Final = _of_a_ramp("resume")
RAMP_NEXT: Final = _of_a_ramp("next")
RAMP_STOP: Final = _of_a_ramp("stop")


class RampOrders:
    """Answers the requests."""

    def __init__(self, orders: SwitchOrders, board: Switchboard, guards: GuardWatch) -> None:
        """Construct.

        Args:
            orders: carry changes out.
            board: knows what is in force.
            guards: judge.
        """
        self._orders = orders
        self._board = board
        self._guards = guards

    def endpoints(self) -> tuple[Served, ...]:
        """What operators may ask, and what carries it out."""
        return (
            (GUARD, self.guard),
            (RAMP, self.ramp),
            (RAMP_PAUSE, self.pause),
            (RAMP_RESUME, self.resume),
            (RAMP_NEXT, self.next),
            (RAMP_STOP, self.stop),
        )

    async def guard(self, request: web.Request) -> Answer:
        """Show what a guard measures and says, and what the ramp does."""
        switch = switch_of(request)
        current = self._board.current
        if switch not in current.in_force.first:
            return refusal(404, f"there is no switch `{switch}`; GET /switches lists them")
        rules = current.switching.guard_rules(switch)
        state = current.in_force.in_force(switch)
        each = self._guards.judged.get(switch)
        verdict = None if each is None else each.verdict
        return GuardView(
            switch=str(switch),
            setting=str(state.setting),
            mode=rules.mode,
            outcome=None if verdict is None else verdict.outcome,
            unjudged="" if verdict is not None else self._unjudged(switch),
            missing=[] if verdict is None else list(verdict.missing),
            findings=[finding_view(found) for found in (verdict.findings if verdict else ())],
            latched=each is not None and each.latched,
            would_take_back=each is not None and each.would,
            revision=state.revision,
            since=0.0 if each is None else each.since,
            window=0 if verdict is None else verdict.window,
            window_seconds=rules.window,
            confidence=1 - rules.error,
            messages=0 if verdict is None else verdict.messages,
            users=None if verdict is None else verdict.users,
            at=None if each is None else each.at,
            ramp=self._ramp(switch, each),
            leader=self._guards.leadership.holder,
        )

    async def ramp(self, request: web.Request, order: RampRequest) -> Answer:
        """Have a switch rise by itself, step by step, as long as its guard passes."""
        try:
            wanted = tuple(map(parse_step, order.steps))
        except ValueError as error:
            return refusal(400, f"steps: {error}")
        try:
            steps = check_steps(wanted)
        except ValueError as error:
            return refusal(422, f"steps: {error}")
        ramp = Ramp(
            steps,
            order.every,
            time.time(),
            author=self._orders.name_of(request),
            reason=order.reason,
            open_sockets=order.open_sockets or "",
        )
        change = StartRamp(switch_of(request), ramp, expected_of(request))
        return await self._orders.made(request, change, order.reason, order.open_sockets)

    async def pause(self, request: web.Request, order: ChangeRequest) -> Answer:
        """Have a ramp take no step until it is resumed; its guard goes on judging."""
        return await self._set(request, order, RampStatus.PAUSED)

    async def resume(self, request: web.Request, order: ChangeRequest) -> Answer:
        """Have a ramp go on that was paused; the time of its step begins anew."""
        return await self._set(request, order, RampStatus.RUNNING)

    async def next(self, request: web.Request, order: ChangeRequest) -> Answer:
        """Take the next step of a ramp now, whatever it waits for."""
        switch = switch_of(request)
        expected = self._board.current.base.revision(switch)
        change = StepRamp(switch, time.time(), expected)
        ramp = self._board.current.base.states.get(switch, UNTOUCHED).ramp
        said = order.open_sockets
        if said is None and ramp is not None and ramp.open_sockets:
            said = OpenSockets(ramp.open_sockets)
        return await self._orders.made(request, change, order.reason, said)

    async def stop(self, request: web.Request, order: ChangeRequest) -> Answer:
        """End a ramp; the switch stays what it is."""
        change = StopRamp(switch_of(request))
        return await self._orders.made(request, change, order.reason, order.open_sockets)

    async def _set(self, request: web.Request, order: ChangeRequest, status: RampStatus) -> Answer:
        change = SetRampStatus(switch_of(request), status, time.time())
        return await self._orders.made(request, change, order.reason, order.open_sockets)

    def _ramp(self, switch: SwitchName, each: Judged | None) -> RampView | None:
        state = self._board.current.base.states.get(switch, UNTOUCHED)
        if state.ramp is None or state.setting is None:
            return None
        view = ramp_view(state.ramp, state.setting)
        if each is not None and each.state.revision == state.revision:
            view.move, view.why = each.move.move, list(each.move.why)
            if each.move.move is Move.HOLD:
                view.held = max(time.time() - each.move.at, 0.0)
        return view

    def _unjudged(self, switch: SwitchName) -> str:
        current = self._board.current
        table = current.in_force.table
        if table.all_off:
            return "everything is off"
        if current.in_force.in_force(switch).setting == OFF:
            return "it is off"
        if current.switching.guard_rules(switch).mode is GuardMode.OFF:
            return "the guard is off (switching.guard.mode)"
        is_set = table.states.get(switch, UNTOUCHED).setting is not None
        if not is_set and str(switch) not in current.switching.switches:
            return "nobody has set it, nor does switching.switches name it"
        if len(self._guards.judged) >= MAX_WATCHED:
            return f"more than {MAX_WATCHED} switches have a guard; those set last are judged"
        if current.away_since is not None:
            return "the store of switches is away"
        return "it has not been judged yet: ask again in some seconds"
