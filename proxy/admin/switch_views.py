"""What the admin API shows of switches and revisions: its models."""

from __future__ import annotations

from typing import Literal

import pydantic

from proxy.admin.shadow import ShadowOutcomes
from proxy.control.in_force import ExceptionInForce
from proxy.switching.guards import Figure, Finding, Outcome
from proxy.switching.ramps import Move, Ramp, RampStatus
from proxy.switching.setting import Mode, Setting
from proxy.switching.table import OpenSockets


class UsersView(pydantic.BaseModel):
    """About how many users a canary has seen in this process since the newest revision.

    Attributes:
        inside: for whom the mapping applies.
        outside: the others.
        error: the standard error of both, as a part of 1.
    """

    inside: int
    outside: int
    error: float


class TermView(pydantic.BaseModel):
    """Who answers for what is temporary.

    Attributes:
        owner: their name.
        until: in seconds since 1970; null where no time was said.
        restore: whether it ends by itself then.
        overdue: whether that time is over.
    """

    owner: str
    until: float | None
    restore: bool
    overdue: bool


class ExceptionView(ExceptionInForce):
    """Another setting for some versions.

    Attributes:
        term: who answers for it, and until when.
        users: of a canary: about how many it has met; null for everything else.
    """

    term: TermView
    users: UsersView | None


class RampView(pydantic.BaseModel):
    """Through which states a switch goes by itself.

    Attributes:
        steps: as they are written.
        step: the one that is next; null where there is none.
        every: seconds that each is in force at least.
        since: when the newest was taken, or the ramp was resumed, in seconds since 1970.
        status: `running`, `paused`, `stopped` (by the guard) or `finished`.
        author, reason: who began it, and why.
        move: what it does now: `wait`, `hold`, `step` or `none`; null where this process does not
            know.
        why: for what it holds.
        held: for how many seconds it has been held; null where it is not.
    """

    steps: list[str]
    step: str | None
    every: float
    since: float
    status: RampStatus
    author: str
    reason: str
    move: Move | None = None
    why: list[str] = []
    held: float | None = None


def ramp_view(ramp: Ramp, setting: Setting) -> RampView:
    """Show a ramp.

    Args:
        ramp: that one.
        setting: of its switch.
    """
    to = ramp.after(setting)
    return RampView(
        steps=[str(each) for each in ramp.steps],
        step=None if to is None else str(to),
        every=ramp.every,
        since=ramp.since,
        status=ramp.status,
        author=ramp.author,
        reason=ramp.reason,
    )


class SwitchView(pydantic.BaseModel):
    """One switch, as it is in force in the process that answers.

    Attributes:
        switch: its name.
        state, percent: what it does; `off` while everything is off.
        set_to: what it is set to, as it is written: differs from `state` while everything is off.
        configured: its first state, by the configuration.
        differs: whether what it is set to is not what the configuration says.
        revision: that set it last; 0 for none.
        exceptions: in their order.
        term: of what it is set to.
        users: of a canary.
        sockets_behind: open WebSockets of its cohort that are not on the newest revision.
        ramp: through which states it goes by itself; null for none.
    """

    switch: str
    state: Mode
    percent: float | None
    set_to: str
    configured: str
    differs: bool
    revision: int
    exceptions: list[ExceptionView]
    term: TermView
    users: UsersView | None
    sockets_behind: int
    ramp: RampView | None = None


class SocketsOnRevision(pydantic.BaseModel):
    """How many WebSockets of a cohort have their programs from a revision.

    Attributes:
        cohort: of their clients; empty for none.
        revision: by which it was decided what applies to them.
        websockets: how many there are.
    """

    cohort: str
    revision: int
    websockets: int


class SwitchingState(pydantic.BaseModel):
    """What is in force of all switches in the process that answers, and how their store is.

    Attributes:
        revision: the newest that is in force here.
        stored: the newest in the store, as far as it was read; another one where this process lacks
            what it names.
        all_off: whether everything is off.
        authority: `live` or `file`.
        kept: whether the store outlives the process.
        store: `up`, or why it is away.
        away_since: in seconds since 1970; null while it answers.
        unapplied: what is set in the store and does nothing here: the configuration lacks it, or
            `stands_on` is not empty.
        stands_on: the digest of the configuration that the newest revision is about, where the file
            is the authority and another one serves here; empty otherwise.
        orphans: switches that are set, of mappings that no cohort names any more.
    """

    revision: int
    stored: int
    all_off: bool
    authority: Literal["live", "file"]
    kept: bool
    store: str
    away_since: float | None
    unapplied: list[str]
    stands_on: str
    orphans: list[str]


class SwitchesView(SwitchingState):
    """All switches.

    Attributes:
        switches: in the order of their names.
        sockets: the open WebSockets, by the revision that they are on.
    """

    switches: list[SwitchView]
    sockets: list[SocketsOnRevision]


class StateView(pydantic.BaseModel):
    """What a switch was set to.

    Attributes:
        setting: as it is written, such as `canary 10%`; null where the configuration's first state
            counted.
        exceptions: each as `NAME (RANGE): SETTING`.
        owner: who answers for what is temporary; empty for nobody.
        until: when it is overdue, or ends, in seconds since 1970; null for no time.
        restore: whether it ends by itself then.
    """

    setting: str | None
    exceptions: list[str]
    owner: str
    until: float | None
    restore: bool


class FindingView(pydantic.BaseModel):
    """What is said of one figure.

    Attributes:
        figure: `failed`, `unmapped`, `protocol_closes`, `added_latency` (requests that are slower
            than `limit`) or `http_errors`.
        outcome: `pass`, `fail` or `inconclusive`.
        value: the share that was seen, from 0 to 1; null where there is nothing to take it of.
        lower, upper: between which the true share is, with the confidence of the guard.
        bound: what it may be at most.
        limit: the bound as the configuration has it; of `added_latency` in seconds.
        failed, of: the sample.
        text: all of it, in words.
    """

    figure: Figure
    outcome: Outcome
    value: float | None
    lower: float
    upper: float
    bound: float
    limit: float
    failed: int
    of: int
    text: str


def finding_view(found: Finding) -> FindingView:
    """Show what is said of a figure."""
    return FindingView(
        figure=found.figure,
        outcome=found.outcome,
        value=found.value,
        lower=found.lower,
        upper=found.upper,
        bound=found.bound,
        limit=found.limit,
        failed=found.failed,
        of=found.of,
        text=str(found),
    )


class RevisionView(pydantic.BaseModel):
    """One change that was made.

    Attributes:
        number: 1 for the first; each is one more than the one before it.
        at: when, in seconds since 1970.
        author: who made it: `NAME (token)`, `uid 1000 (socket)` and the like; `configuration
            DIGEST` where the file is the authority; `guard`, `ramp` and `segue` for what is done by
            itself.
        role: what they were allowed then; empty where Segue did it by itself.
        reason: in their words.
        kind: `set`, `drop`, `all-off`, `restore`, `restore-switch`, `undo`, `follow` (another
            configuration file, which is the authority), `expire`, `guard` (a step back), `ramp`
            (one that begins), `ramp-step`, `ramp-pause`, `ramp-resume` or `ramp-stop`.
        scope: the names of the switches that changed.
        open_sockets: what WebSockets that were open did.
        before, after: what the switches of `scope` were set to, by their names.
        all_off: whether everything is off since.
        configuration: the digest of the configuration that served where the change was made.
        outlived: what an undo brought back for good, because the time for which it was set was
            over: switches, and exceptions of them.
        was_all_off: whether everything was off before.
        cut: whether there was more of it than can be kept: `before` and `after` are empty then,
            `scope` and `outlived` may lack some, `findings` is empty.
        finding: why a guard took a switch back: the figure, its value, its bound and the sample;
            null for all other changes.
        findings: what was said of each figure then, that one included; empty for all other changes.
    """

    number: int
    at: float
    author: str
    role: str
    reason: str
    kind: str
    scope: list[str]
    open_sockets: OpenSockets
    before: dict[str, StateView]
    after: dict[str, StateView]
    all_off: bool
    configuration: str
    outlived: list[str] = []
    was_all_off: bool = False
    cut: bool = False
    finding: FindingView | None = None
    findings: list[FindingView] = []


class RevisionPage(pydantic.BaseModel):
    """Some revisions, the newest first.

    Attributes:
        revisions: the newest first; empty where there are no more.
    """

    revisions: list[RevisionView]


class NotKept(pydantic.BaseModel):
    """What was said before of what a change sets, and is not kept because it was not said anew.

    Attributes:
        owner: who answered for it; empty where they still do, or another was named.
        until: when it was to be overdue or to end, in seconds since 1970; null where that is kept.
    """

    owner: str
    until: float | None


class Changed(pydantic.BaseModel):
    """A change that is in force in the process that answers, and where its WebSockets are.

    Attributes:
        revision: that it made; where it changed nothing, the one that made it so, or null where
            none did of those that were looked through: everything off, or its end, alone.
        changed: whether it made one.
        sockets: how many of each cohort are on which revision.
        not_kept: owner and time of before that are not kept; null for nothing.
    """

    revision: RevisionView | None
    changed: bool
    sockets: list[SocketsOnRevision]
    not_kept: NotKept | None = None


class DryRun(pydantic.BaseModel):
    """What a change would touch, in the process that answers.

    Attributes:
        switch: its name.
        exception: the name of the exception that would be made or changed; null for none.
        before: what it is set to; of a new exception, what the switch is for all other versions.
        after: what it would be set to.
        before_versions: of the exception; null for a new one, and for the switch itself.
        after_versions: those that it would have.
        lowers: whether nobody would have more rewritten.
        websockets: open ones for which another program would apply.
        of_websockets: open ones of the cohort.
        users: about how many users these belong to.
        exceptions_left_alone: which it does not touch.
        messages_per_second: all messages of the cohort, over the last 10 to 40 seconds; null where
            nothing can be said yet.
        shadow: what would be mapped or fail, by rule, since the shadow of the switch began; null
            where it is not in shadow, or not compared.
        shadow_dropped: whether it is in shadow, and not compared: there are too many.
        not_kept: owner and time of now that would not be kept; null for nothing.
    """

    switch: str
    exception: str | None = None
    before: str
    after: str
    before_versions: str | None = None
    after_versions: str | None = None
    lowers: bool
    websockets: int
    of_websockets: int
    users: int
    exceptions_left_alone: list[str]
    messages_per_second: float | None = None
    shadow: ShadowOutcomes | None = None
    shadow_dropped: bool = False
    not_kept: NotKept | None = None
