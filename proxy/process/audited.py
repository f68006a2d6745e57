"""What a process says in its audit of what was changed in it."""

from __future__ import annotations

import msgspec

from proxy.configuration.admin import Admin
from proxy.control.audit import Audit
from proxy.control.audit_details import added_and_removed
from proxy.control.reload import ReloadOutcome
from proxy.switching.guards import Finding, Verdict
from proxy.switching.history import Revision
from proxy.switching.table import SwitchName
from proxy.types import GUARD, SEGUE


def audit_reload(audit: Audit, outcome: ReloadOutcome, before: Admin, after: Admin) -> None:
    """Say what came of a reload, once for each who asked for it.

    Args:
        audit: is told.
        outcome: of the reload.
        before, after: the section `admin`, for those who may do something now, and no more.
    """
    for author, role in outcome.authors or ((SEGUE, ""),):
        audit.write(
            "reloaded" if outcome.succeeded else "reload failed",
            author=author,
            role=role,
            reason=outcome.reason,
            configuration=outcome.serving,
            problems=len(outcome.problems),
            needs_restart=list(outcome.needs_restart),
            **added_and_removed(before, after),
        )


def audit_revision(audit: Audit, revision: Revision, *, from_store: bool) -> None:
    """Say what was changed of the switches.

    Args:
        audit: is told.
        revision: that change.
        from_store: whether another process made it.
    """
    audit.write(
        "switches changed",
        author=revision.author,
        role=revision.role,
        revision=revision.number,
        kind=revision.kind,
        reason=revision.reason,
        scope=list(revision.scope),
        open_sockets=revision.open_sockets.value,
        before={name: each.setting for name, each in revision.before.items()},
        after={name: each.setting for name, each in revision.after.items()},
        all_off=revision.all_off,
        configuration=revision.digest,
        from_store=from_store,
        **({} if revision.finding is None else {"finding": _facts(revision.finding)}),
    )


def audit_observed(audit: Audit, switch: SwitchName, verdict: Verdict) -> None:
    """Say what a guard would have done, which only observes.

    Args:
        audit: is told.
        switch: which.
        verdict: why it would have been taken back.
    """
    finding = verdict.failure
    assert finding is not None
    audit.write(
        "guard would take back",
        author=GUARD,
        role="",
        scope=[str(switch)],
        reason=str(finding),
        finding=_facts(finding),
    )


def _facts(finding: Finding) -> dict[str, object]:
    facts: dict[str, object] = msgspec.to_builtins(finding)
    return facts
