"""What is shown of reloads, of the configuration that serves, of switches, and of the audit."""

from __future__ import annotations

import time

from proxy.control.audit import Audit
from proxy.control.current_switches import CurrentSwitches
from proxy.control.guard_watch import GuardWatch
from proxy.control.reload import Reloads
from proxy.control.replicas import Replicas
from proxy.observability.families import Combined, Families, Samples, counter, gauge
from proxy.snapshot import Live
from proxy.switching.guards import Outcome
from proxy.switching.ramps import Move
from proxy.switching.terms import overdue


def families(
    live: Live,
    reloads: Reloads,
    audit: Audit,
    switches: CurrentSwitches,
    replicas: Replicas,
    guards: GuardWatch,
) -> Families:
    """Return what the metrics page shows of the control plane."""
    return (
        *_of_reloads(live, reloads),
        *_of_switches(switches, replicas),
        *_of_guards(guards),
        *_of_audit(audit),
    )


def _of_reloads(live: Live, reloads: Reloads) -> Families:
    return (
        counter(
            "segue_reloads",
            "Attempts to read the configuration and the mappings again, by result; after a"
            " `failure` the last good ones go on serving.",
            ("result",),
            lambda: [(("success",), reloads.succeeded), (("failure",), reloads.failed)],
        ),
        gauge(
            "segue_config_last_reload_successful",
            "1 if the newest attempt to read the configuration succeeded, or there was none since"
            " the start; 0 from a refused one until the mended files are read.",
            (),
            lambda: [((), reloads.last_succeeded)],
            over_processes=Combined.EACH,
        ),
        gauge(
            "segue_config_last_reload_success_timestamp_seconds",
            "When the configuration that serves was read, in Unix time.",
            (),
            lambda: [((), reloads.succeeded_at)],
            over_processes=Combined.EACH,
        ),
        gauge(
            "segue_config_info",
            "The digest of the configuration and mapping files that serve; always 1. Replicas of"
            " one configuration have one digest.",
            ("hash",),
            lambda: [((live.current.digest,), 1)],
            over_processes=Combined.EACH,
        ),
    )


def _of_switches(switches: CurrentSwitches, replicas: Replicas) -> Families:
    return (
        gauge(
            "segue_switch_revision",
            "The newest revision of the switches that is in force; 0 before the first.",
            (),
            lambda: [((), switches.in_force.table.number)],
            over_processes=Combined.EACH,
        ),
        gauge(
            "segue_switch_stored_revision",
            "The newest revision of the switches that was read from the store; another one than"
            " `segue_switch_revision` where it cannot be put to work here.",
            (),
            lambda: [((), switches.stored.number)],
            over_processes=Combined.EACH,
        ),
        gauge(
            "segue_switch_unapplied",
            "Switches that are set in the store and do nothing here, because the configuration"
            " lacks them or, where it is the authority, is another one; all others are as they are"
            " set.",
            (),
            lambda: [((), len(switches.unapplied))],
            over_processes=Combined.MAX,
        ),
        gauge(
            "segue_switch_store_age_seconds",
            "For how long the store of switches has not been read; it is looked at every 5"
            " seconds.",
            (),
            lambda: [((), time.monotonic() - switches.read_at)],
            over_processes=Combined.MAX,
        ),
        gauge(
            "segue_switch_replicas",
            "Processes on the same store of switches, this one included, by whether the newest"
            " revision is in force there (`current`) or not (`older`); none of both while the store"
            " is away. One that does not reach the store is not counted.",
            ("on",),
            lambda: _replicas(replicas),
            over_processes=Combined.MAX,
        ),
        gauge(
            "segue_switch_overdue",
            "Settings of switches and exceptions that are set for a time which is over.",
            (),
            lambda: [((), overdue(switches.in_force.table, time.time()))],
            over_processes=Combined.MAX,
        ),
    )


def _of_guards(guards: GuardWatch) -> Families:
    return (
        gauge(
            "segue_switch_guard_verdict",
            "1 for what the guard of a switch says of the figures of all processes, 0 for the rest:"
            " `pass`, `fail` or `inconclusive`, which is too little data. A switch that is not"
            " judged is not there.",
            ("switch", "verdict"),
            lambda: _verdicts(guards),
            over_processes=Combined.MAX,
        ),
        gauge(
            "segue_switch_guard_latched",
            "1 where a guard has set what a switch is, until a person sets it.",
            ("switch",),
            lambda: [((str(name),), each.latched) for name, each in guards.judged.items()],
            over_processes=Combined.MAX,
        ),
        counter(
            "segue_switch_guard_failures",
            "Guards that failed, by what came of it: this process took the switch one state back"
            " (`taken_back`), or it would have (`observed`), once for each revision.",
            ("action",),
            lambda: [(("taken_back",), guards.steps_back), (("observed",), guards.observed)],
        ),
        gauge(
            "segue_switch_ramp_state",
            "1 for where the ramp of a switch is, 0 for the rest: `running`, `held` (it would go"
            " on, and may not), `paused`, `stopped` (by the guard) or `finished`.",
            ("switch", "state"),
            lambda: _ramps(guards),
            over_processes=Combined.MAX,
        ),
        gauge(
            "segue_switch_ramp_held_seconds",
            "For how long the ramp of a switch has been held; 0 where it is not.",
            ("switch",),
            lambda: _held(guards),
            over_processes=Combined.MAX,
        ),
    )


def _verdicts(guards: GuardWatch) -> Samples:
    for name, each in guards.judged.items():
        for outcome in Outcome if each.verdict is not None else ():
            said = each.verdict is not None and each.verdict.outcome is outcome
            yield (str(name), outcome.value), said


def _ramps(guards: GuardWatch) -> Samples:
    for name, each in guards.judged.items():
        if each.state.ramp is None:
            continue
        now = "held" if each.move.move is Move.HOLD else each.state.ramp.status.value
        for state in ("running", "held", "paused", "stopped", "finished"):
            yield (str(name), state), state == now


def _held(guards: GuardWatch) -> Samples:
    for name, each in guards.judged.items():
        if each.state.ramp is not None:
            is_held = each.move.move is Move.HOLD
            yield (str(name),), max(time.time() - each.move.at, 0.0) if is_held else 0.0


def _replicas(replicas: Replicas) -> Samples:
    seen = replicas.last
    if seen is None:
        return
    current = sum(map(seen.is_current, seen.replicas.values()))
    yield ("current",), current
    yield ("older",), len(seen.replicas) - current


def _of_audit(audit: Audit) -> Families:
    return (
        counter(
            "segue_audit_lines",
            "Lines of the audit, by result: `written` are on the disk, `lost` are those that were"
            " given up because too many waited for it; what they said of who did what is in the log"
            " as `audit line lost`.",
            ("result",),
            lambda: [(("written",), audit.written), (("lost",), audit.lost)],
        ),
        counter(
            "segue_audit_failures",
            "Attempts to write to the audit that failed; what could not be written is tried again.",
            (),
            lambda: [((), audit.failures)],
        ),
        gauge(
            "segue_audit_waiting",
            "Lines of the audit that are not on the disk yet.",
            (),
            lambda: [((), audit.waiting)],
            over_processes=Combined.SUM,
        ),
        gauge(
            "segue_audit_head_behind_seconds",
            "For how long the store has not known of the last line of the audit; lines that are cut"
            " off meanwhile are not found to be missing.",
            (),
            lambda: [((), audit.head.behind)],
            over_processes=Combined.MAX,
        ),
    )
