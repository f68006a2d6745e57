"""The part of the admin API that shows what a switch in shadow would have done.

`GET /switches/COHORT/MAPPING/shadow` shows its account since the shadow began in the process that
answers, and a sample of messages that would have come out otherwise, by rule and field, with
placeholders in place of what people wrote.
"""

from __future__ import annotations

from typing import Final

import pydantic
from aiohttp import web

from proxy.admin.access import author, signature
from proxy.admin.endpoints import OF_A_SWITCH, SOME_SWITCH, Endpoint, Example, Served
from proxy.admin.orders import AdminRequest, refusal
from proxy.admin.recording import for_admins, raw_needs_setting
from proxy.control.audit import Audit
from proxy.gateway.rollover import Rollover
from proxy.gateway.shadow import Shadows
from proxy.gateway.shadow_account import ShadowAccount, ShadowExample
from proxy.mapping.engine.difference import DifferenceKind
from proxy.mapping.engine.explanation import MessageOutcome
from proxy.snapshot import Live
from proxy.switching.table import SwitchName
from proxy.types import Direction, Role


class ShadowRule(pydantic.BaseModel):
    """How many messages a rule would have mapped or dropped.

    Attributes:
        rule: its name.
        messages: how many.
    """

    rule: str
    messages: int


class ShadowFailure(pydantic.BaseModel):
    """How many messages a rule could not be carried out on, by operation and field of the rule.

    Attributes:
        rule: its name.
        operation: that could not be carried out.
        field: of which it is.
        messages: how many.
    """

    rule: str
    operation: str
    field: str
    messages: int


class ShadowOutcomes(pydantic.BaseModel):
    """What would have become of messages, compared with what was sent.

    Attributes:
        offered: that came by since it began.
        compared: those of them that were rewritten, too, and compared.
        skipped: those that were not: there was no time in the budget, or they were too large.
        skipped_part: how much of those offered that is, from 0 to 1.
        too_large: those of the skipped that were, or could not be read.
        waiting: those that are neither yet.
        would_map, would_pass, would_drop, would_fail: what would have become of those compared.
        still_mapped: open WebSockets to which the mapping is still applied, because they keep what
            they had: nothing of theirs is offered.
        rules: those mapped or dropped, by rule; several rules may work on one body.
        failures: those that would have failed.
    """

    offered: int
    compared: int
    skipped: int
    skipped_part: float
    too_large: int
    waiting: int
    would_map: int
    would_pass: int
    would_drop: int
    would_fail: int
    still_mapped: int = 0
    rules: list[ShadowRule]
    failures: list[ShadowFailure]


class ShadowField(pydantic.BaseModel):
    """A field that would have come out otherwise.

    Attributes:
        field: its path.
        change: how it differs.
    """

    field: str
    change: DifferenceKind


class ShadowExampleView(pydantic.BaseModel):
    """Messages that would have come out otherwise by the same rules, in the same fields.

    Attributes:
        outcome: what would have become of them.
        rules: by which.
        fields: which differ, from what was sent.
        more_fields: whether there may be more of them.
        direction, cohort: of the last one.
        first, last: when the first and the last one came, in seconds since 1970.
        messages: how many there were.
        before: the first of them, as it was sent: JSON, null in place of one that is none; null
            as a whole where it was too large to be kept.
        after: what would have been sent in its place.
        raw: whether these are as they were, and not with placeholders.
    """

    outcome: MessageOutcome
    rules: list[str]
    fields: list[ShadowField]
    more_fields: bool
    direction: Direction
    cohort: str
    first: float
    last: float
    messages: int
    before: list[str | None] | None
    after: list[str | None] | None
    raw: bool


class ShadowView(pydantic.BaseModel):
    """A switch in shadow, in the process that answers.

    Attributes:
        switch: its name.
        in_shadow: whether it is in shadow now; what is shown of one that was stays.
        since: when its shadow began, in seconds since 1970; null where it has never been in one
            since the process began, or was `dropped`.
        dropped: whether there are too many switches (256) for an account of this one: in shadow, it
            is not compared; otherwise what there was is lost.
        outcomes: what would have become of its messages; null where there is no account.
        cpu_seconds: what comparing them took.
        examples: the newest of those that differ in rules or fields, the newest last.
    """

    switch: str
    in_shadow: bool
    since: float | None
    dropped: bool
    outcomes: ShadowOutcomes | None
    cpu_seconds: float
    examples: list[ShadowExampleView]


class ShadowQuery(AdminRequest):
    """What is asked for.

    Attributes:
        raw: whether examples are shown as they were; needs `admin.allow_raw_recordings`, also
            while they came, and the role `admin`.
    """

    raw: bool = False


SHADOW: Final = Endpoint(
    "GET",
    "/switches/{cohort}/{mapping}/shadow",
    Role.VIEWER,
    ShadowQuery,
    ShadowView,
    refusals={404: "There is no switch of this name."},
    segments=OF_A_SWITCH,
    example=Example(segments=SOME_SWITCH),
)


class ShadowPage:
    """Answers the request."""

    def __init__(self, shadows: Shadows, rollover: Rollover, live: Live, audit: Audit) -> None:
        """Construct.

        Args:
            shadows: keep the accounts.
            rollover: knows the open sockets.
            live: which switches there are, and whether messages may be shown as they are.
            audit: is told who has seen them so.
        """
        self._shadows = shadows
        self._rollover = rollover
        self._live = live
        self._audit = audit

    def endpoints(self) -> tuple[Served, ...]:
        """What may be asked, and what answers."""
        return ((SHADOW, self.show),)

    async def show(
        self, request: web.Request, query: ShadowQuery
    ) -> web.Response | pydantic.BaseModel:
        """Show what a switch in shadow would have done."""
        switch = SwitchName(request.match_info["cohort"], request.match_info["mapping"])
        snapshot = self._live.current
        if switch not in snapshot.switches.first:
            return refusal(404, f"there is no switch `{switch}`; GET /switches lists them")
        if query.raw:
            if not snapshot.config.admin.allow_raw_recordings:
                return raw_needs_setting()
            if not author(request).role.covers(Role.ADMIN):
                return for_admins(request)
            self._audit.write(
                "shadow examples shown", **signature(request), switch=str(switch), raw=True
            )
        account = self._shadows.account(str(switch))
        return ShadowView(
            switch=str(switch),
            in_shadow=switch in snapshot.switches.in_shadow(),
            since=None if account is None else account.since,
            dropped=self._shadows.was_dropped(str(switch)),
            outcomes=None
            if account is None
            else outcomes_of(account, await self._rollover.mapped(switch)),
            cpu_seconds=0.0 if account is None else round(account.seconds, 6),
            examples=[]
            if account is None
            else [_example(each, raw=query.raw) for each in account.examples.values()],
        )


def outcomes_of(account: ShadowAccount, still_mapped: int) -> ShadowOutcomes:
    """Show what would have become of messages, and to how many sockets the mapping is applied."""
    return ShadowOutcomes(
        offered=account.offered,
        compared=account.compared,
        skipped=account.skipped,
        skipped_part=account.skipped / account.offered if account.offered else 0.0,
        too_large=account.too_large,
        waiting=account.waiting,
        would_map=account.would_map,
        would_pass=account.would_pass,
        would_drop=account.would_drop,
        would_fail=account.would_fail,
        still_mapped=still_mapped,
        rules=[ShadowRule(rule=rule, messages=n) for rule, n in account.rules.items()],
        failures=[
            ShadowFailure(rule=place.rule, operation=place.operation, field=place.field, messages=n)
            for place, n in account.failures.items()
        ],
    )


def _example(example: ShadowExample, *, raw: bool) -> ShadowExampleView:
    messages = example.messages(raw=raw)
    return ShadowExampleView(
        outcome=example.outcome,
        rules=list(example.rules),
        fields=[ShadowField(field=field, change=change) for field, change in example.fields],
        more_fields=example.cut,
        direction=example.point.direction,
        cohort=example.point.cohort,
        first=example.first,
        last=example.last,
        messages=example.count,
        before=None if messages is None else list(messages.before),
        after=None if messages is None else list(messages.after),
        raw=messages is not None and messages.raw,
    )
