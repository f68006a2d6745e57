"""Makes what is shown of switches and revisions, of what is in force and of the open sockets."""

from __future__ import annotations

import time
from collections import Counter

from proxy.admin.shadow import outcomes_of
from proxy.admin.switch_views import (
    DryRun,
    ExceptionView,
    NotKept,
    RevisionView,
    SocketsOnRevision,
    StateView,
    SwitchesView,
    SwitchView,
    TermView,
    UsersView,
    finding_view,
    ramp_view,
)
from proxy.control.current_switches import CurrentSwitches
from proxy.control.in_force import exception_in_force, switch_in_force
from proxy.gateway.flow import Rates
from proxy.gateway.rollover import Rollover
from proxy.gateway.shadow_account import ShadowAccount
from proxy.mapping.decision import SwitchUsers
from proxy.mapping.switched import SwitchedCatalog
from proxy.switching.canary import Sketch
from proxy.switching.exposure import lowers_for_good
from proxy.switching.history import Revision, StateText
from proxy.switching.switch_changes import (
    SetSwitch,
)
from proxy.switching.table import SwitchName, Table, Term
from proxy.switching.terms import not_kept


def switches_view(current: CurrentSwitches, rollover: Rollover) -> SwitchesView:
    """Show all switches, and how the store is."""
    switched, behind = current.in_force, _behind(rollover)
    users = _users(switched)
    return SwitchesView(
        revision=switched.table.number,
        stored=current.stored.number,
        all_off=switched.table.all_off,
        authority=current.authority,
        kept=current.is_kept,
        store=current.trouble or "up",
        away_since=current.away_since,
        unapplied=[str(name) for name in current.unapplied],
        stands_on=current.stands_on,
        orphans=[str(name) for name in current.orphans],
        switches=[_switch_view(switched, name, behind, users) for name in sorted(switched.first)],
        sockets=sockets_on_revisions(rollover),
    )


def sockets_on_revisions(rollover: Rollover) -> list[SocketsOnRevision]:
    """Show on which revision the open WebSockets are."""
    return [
        SocketsOnRevision(cohort=cohort, revision=number, websockets=count)
        for (cohort, number), count in sorted(rollover.by_revision().items())
    ]


def switch_view(current: CurrentSwitches, rollover: Rollover, switch: SwitchName) -> SwitchView:
    """Show one switch, which there has to be."""
    switched = current.in_force
    return _switch_view(switched, switch, _behind(rollover), _users(switched))


def revision_view(revision: Revision) -> RevisionView:
    """Show a revision."""
    return RevisionView(
        number=revision.number,
        at=revision.at,
        author=revision.author,
        role=revision.role,
        reason=revision.reason,
        kind=revision.kind,
        scope=list(revision.scope),
        open_sockets=revision.open_sockets,
        before={name: _state_view(each) for name, each in revision.before.items()},
        after={name: _state_view(each) for name, each in revision.after.items()},
        all_off=revision.all_off,
        configuration=revision.digest,
        outlived=list(revision.outlived),
        was_all_off=revision.was_all_off,
        cut=revision.cut,
        finding=None if revision.finding is None else finding_view(revision.finding),
        findings=[finding_view(each) for each in revision.findings],
    )


def not_kept_view(lost: Term | None, owner: str) -> NotKept | None:
    """Show what of owner and time is not kept.

    Args:
        lost: that.
        owner: who was named in their place; empty for nobody.
    """
    if lost is None or (owner and lost.until is None):
        return None
    return NotKept(owner="" if owner else lost.owner, until=lost.until)


async def dry_run_view(
    current: CurrentSwitches,
    rollover: Rollover,
    change: SetSwitch,
    after: Table,
    owner: str,
    rates: Rates,
    account: ShadowAccount | None,
    *,
    is_dropped: bool,
) -> DryRun:
    """Show what a change would touch.

    Args:
        current: what is in force.
        rollover: knows the open sockets.
        change: that would be made.
        after: the table that it would lead to.
        owner: who is named for it; empty for nobody.
        rates: how much flows.
        account: of the switch's shadow, if it ever was in one.
        is_dropped: whether there was no room for one.
    """
    now, name = current.in_force, change.switch
    would = SwitchedCatalog(now.catalog, now.first, after, now.key)
    touched = await rollover.touched(name.cohort, would)
    before, then = now.table.wanted(name, now.first), after.wanted(name, now.first)
    known = before.named(change.name)
    outcomes = None
    if account is not None and name in now.in_shadow():
        outcomes = outcomes_of(account, await rollover.mapped(name))
    left = {each.name for each in before.exceptions} - {change.name}
    return DryRun(
        switch=str(name),
        exception=change.name or None,
        before=str(before.setting if known is None else known.setting),
        after=str(change.setting),
        before_versions=None if known is None else str(known.versions),
        after_versions=None if change.versions is None else str(change.versions),
        lowers=lowers_for_good(before, then, now.first[name]),
        websockets=touched.websockets,
        of_websockets=touched.of_websockets,
        users=touched.users,
        exceptions_left_alone=sorted(left),
        messages_per_second=rates.messages_of(name.cohort),
        shadow=outcomes,
        shadow_dropped=is_dropped and name in now.in_shadow(),
        not_kept=not_kept_view(not_kept(before, then, change.name, time.time()), owner),
    )


def _switch_view(
    switched: SwitchedCatalog,
    name: SwitchName,
    behind: Counter[str],
    users: dict[tuple[SwitchName, str], SwitchUsers],
) -> SwitchView:
    first = switched.first
    now, wanted = switch_in_force(switched, name), switched.table.wanted(name, first)
    return SwitchView(
        switch=now.switch,
        state=now.state,
        percent=now.percent,
        set_to=str(wanted.setting),
        configured=str(first[name].setting),
        differs=(wanted.setting, wanted.exceptions)
        != (first[name].setting, first[name].exceptions),
        revision=now.revision,
        exceptions=[
            ExceptionView(
                **exception_in_force(each).model_dump(),
                users=_users_of(users, name, each.name),
                term=_term(each.term),
            )
            for each in wanted.exceptions
        ],
        users=_users_of(users, name, ""),
        sockets_behind=behind[name.cohort],
        term=_term(wanted.term),
        ramp=None
        if wanted.ramp is None or wanted.setting is None
        else ramp_view(wanted.ramp, wanted.setting),
    )


def _term(term: Term) -> TermView:
    overdue = term.until is not None and time.time() >= term.until
    return TermView(owner=term.owner, until=term.until, restore=term.restore, overdue=overdue)


def _users(switched: SwitchedCatalog) -> dict[tuple[SwitchName, str], SwitchUsers]:
    return {(switch, exception): users for switch, exception, users in switched.users()}


def _users_of(
    users: dict[tuple[SwitchName, str], SwitchUsers], switch: SwitchName, exception: str
) -> UsersView | None:
    found = users.get((switch, exception))
    return None if found is None else users_view(found)


def users_view(users: SwitchUsers) -> UsersView:
    """Show the users of a canary."""
    return UsersView(inside=users.inside.count(), outside=users.outside.count(), error=Sketch.ERROR)


def _behind(rollover: Rollover) -> Counter[str]:
    behind: Counter[str] = Counter()
    for (cohort, _), count in rollover.behind().items():
        behind[cohort] += count
    return behind


def _state_view(text: StateText) -> StateView:
    return StateView(
        setting=text.setting,
        exceptions=[f"{each.name} ({each.versions}): {each.setting}" for each in text.exceptions],
        owner=text.owner,
        until=text.until,
        restore=text.restore,
    )
