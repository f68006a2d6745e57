"""What commands that change switches have in common: their flags, and how a change is told."""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Iterable, Iterator, Mapping
from typing import Final

from proxy.admin.replicas import REPLICAS, ReplicasView
from proxy.admin.switch_views import Changed, NotKept, RevisionView, StateView
from proxy.cli.admin import ask, told_as
from proxy.cli.admin_place import Place
from proxy.cli.exit_codes import ExitCode
from proxy.cli.parser import seconds, whole
from proxy.cli.screen import Screen
from proxy.cli.styled import Line, Span, Style, state
from proxy.cli.terminal import counted, shortened, when
from proxy.switching.history import MAX_REASON
from proxy.switching.table import OpenSockets

MOST_REVISIONS: Final = 2**53
"""The highest number of a revision that is read."""

AS_CONFIGURED: Final = "as configured"
"""What a switch is set to that nobody has set, where it is not known what that is."""

_USUAL_WAIT: Final = 30.0
_LONGEST_WAIT: Final = 3600.0
_WIDEST: Final = 400
"""Characters of a list of replicas in a message."""

_PAUSE: Final = 0.2
"""Seconds between two looks at the replicas."""

Known = Mapping[str, StateView]
"""What the configuration says of switches, by their names, as far as it is known."""


def add_reason(command: argparse.ArgumentParser, *, required: bool = True) -> None:
    """Give a command the flag that every change needs."""
    command.add_argument(
        "--reason", type=reason, required=required, metavar="TEXT", help="why; it is kept"
    )


def add_open_sockets(command: argparse.ArgumentParser) -> None:
    """Give a command the flag that says what open WebSockets do."""
    command.add_argument(
        "--open-sockets",
        choices=[each.value for each in OpenSockets],
        help="what open websockets do (default: as switching.open_sockets says)",
    )


def add_if_revision(command: argparse.ArgumentParser, what: str) -> None:
    """Give a command the flag that says on which revision it builds."""
    command.add_argument(
        "--if-revision",
        type=whole(0, MOST_REVISIONS),
        metavar="N",
        help=f"only if {what} is at revision N (default: at what is read just before)",
    )


def add_conditions(command: argparse.ArgumentParser, what: str) -> None:
    """Give a command what a change is made under: for open WebSockets, its revision, a wait."""
    add_open_sockets(command)
    add_if_revision(command, what)
    add_wait(command)


def add_wait(command: argparse.ArgumentParser) -> None:
    """Give a command the flag that has it wait for the other processes on the same store."""
    command.add_argument(
        "--wait",
        type=seconds(_LONGEST_WAIT),
        nargs="?",
        const=_USUAL_WAIT,
        metavar="SECONDS",
        help=f"until all replicas have it (default: {_USUAL_WAIT:g}); 1 where some have not then",
    )


def reason(text: str) -> str:
    """The type of a flag whose value says why."""
    if not text.strip() or len(text) > MAX_REASON or not text.isprintable():
        raise argparse.ArgumentTypeError(
            f"expected some words on why, in one line, at most {MAX_REASON} characters"
        )
    return text


def tell(
    answer: object,
    *,
    as_json: bool,
    known: Known | None = None,
    notes: Iterable[str] = (),
    already: str = "nothing changed: it is so",
) -> None:
    """Print what came of a change.

    Args:
        answer: what the endpoint answered.
        as_json: whether to print that as it is.
        known: what the configuration says of switches that nobody had set.
        notes: what is to be said of it besides.
        already: what is said where nothing had to be changed.

    Raises:
        Refused: it cannot be read.
    """
    changed = told_as(Changed, answer, "it is")
    if as_json:
        print(json.dumps(answer))
        return
    screen, revision = Screen.of_stdout(), changed.revision
    if revision is None:
        screen.line(already)
        return
    if not changed.changed:
        screen.line(f"{already}, since revision {revision.number} by {revision.author}")
    for line in done(revision, known or {}) if changed.changed else ():
        screen.line(Span(f"revision {revision.number}: ", Style.HEADING), *line)
    for note in [*notes, *not_kept(changed.not_kept)]:
        screen.line(note)
    for line in sockets(changed, revision):
        screen.line(*line)


def not_kept(lost: NotKept | None) -> Iterator[str]:
    """What a change does not keep of owner and time, in a line; none for nothing."""
    if lost is not None:
        owner = f"owner {shortened(lost.owner, _WIDEST)}" if lost.owner else ""
        until = "" if lost.until is None else f"until {when(lost.until)}"
        gone = ", ".join(filter(None, (owner, until)))
        yield f"not kept from before: {gone} (say --owner and --until anew to keep them)"


def wait(where: Place, answer: object, options: argparse.Namespace) -> ExitCode:
    """Wait until what was changed is in force on all replicas that are known, if it is asked for.

    Args:
        where: the one that made the change.
        answer: what it answered.
        options: of the command line.

    Returns:
        OK; FAILED where some have not put it to work in time, which is said.

    Raises:
        Refused: nobody tells which replicas there are.
    """
    revision = told_as(Changed, answer, "it is").revision
    if options.wait is None or revision is None:
        return ExitCode.OK
    number, scope = revision.number, {*revision.scope}
    end = time.monotonic() + options.wait
    while True:
        view = told_as(ReplicasView, ask(where, REPLICAS), "the replicas are")
        # One that lacks what was turned has put the revision to work, but not what it is for.
        late = [
            each
            for each in view.replicas
            if each.revision < number or not scope.isdisjoint(each.unapplied)
        ]
        # The one that made the change is on the list from the moment on at which it says so itself.
        if not late and any(each.name == view.answered for each in view.replicas):
            if not options.json:
                told = counted(len(view.replicas), "replica")
                print(f"revision {number} is in force on {told}")
            return ExitCode.OK
        if time.monotonic() >= end:
            names = ", ".join(f"{each.name} (on {each.revision})" for each in late)
            names = shortened(names, _WIDEST) or "which there are is not told yet"
            told = f"not on all replicas after {options.wait:g} s: {names}"
            print(f"segue: revision {number} is {told}", file=sys.stderr)
            return ExitCode.FAILED
        time.sleep(_PAUSE)


def done(revision: RevisionView, known: Known) -> Iterator[Line]:
    """What a revision changed, each thing in a line of its own.

    Args:
        revision: that one.
        known: what the configuration says of switches that nobody had set.
    """
    if revision.kind == "all-off":
        yield ("everything ", state("off"))
    elif revision.kind == "restore":
        yield ("everything is what it is set to again",)
    elif revision.kind == "follow":
        yield (f"the configuration {revision.configuration} is followed",)
        ends_all_off = revision.was_all_off and not revision.all_off
        steps = [name for name in revision.scope if _is_set(revision.before.get(name), cut=True)]
        yield from ((each,) for each in ended(steps, all_off=ends_all_off))
        again = [name for name in revision.scope if _is_set(revision.after.get(name), cut=False)]
        if again:
            names = shortened(", ".join(again), _WIDEST)
            yield (f"what was set under it before counts again: {names}",)
    if revision.cut:
        yield (f"{_cut(revision.scope)}; what each was set to was too much to be kept",)
    for name in revision.scope if not (revision.kind == "follow" or revision.cut) else ():
        before = _state(revision.before.get(name), known.get(name))
        after = _state(revision.after.get(name), known.get(name))
        yield from _turned(name, before, after, all_off=revision.all_off)
    for name in revision.outlived:
        yield (f"{name} comes back for good: the time for which it was set is over",)
    if revision.all_off and revision.kind != "all-off":
        yield ("everything is ", state("off"))
    elif not (revision.scope or revision.cut) and revision.kind == "undo":
        yield ("everything is what it was",)


def _cut(switches: list[str]) -> str:
    if not switches:
        return "many switches were changed"
    return f"{shortened(', '.join(switches), _WIDEST)} and others were changed"


def ended(switches: list[str], *, all_off: bool) -> Iterator[str]:
    """What another file ends, where it is the authority; in sentences.

    Args:
        switches: whose steps down.
        all_off: whether it ends that everything is off.
    """
    if all_off:
        yield "this ends everything off"
    if switches:
        names = shortened(", ".join(switches), _WIDEST)
        yield f"this ends {counted(len(switches), 'step')} down: {names}"


def _is_set(told: StateView | None, *, cut: bool) -> bool:
    """Whether somebody had set a switch; `cut` where the revision does not say."""
    return cut if told is None else told.setting is not None


def _state(told: StateView | None, known: StateView | None) -> StateView:
    if told is not None and (told.setting is not None or known is None):
        return told
    return known or set_for_good(None)


def set_for_good(setting: str | None, exceptions: Iterable[str] = ()) -> StateView:
    """What a switch is set to, without an owner or an end."""
    return StateView(
        setting=setting, exceptions=list(exceptions), owner="", until=None, restore=False
    )


def _turned(
    name: str, before: StateView, after: StateView, *, all_off: bool = False
) -> Iterator[Line]:
    was, now = before.setting or AS_CONFIGURED, after.setting or AS_CONFIGURED
    is_alike = True
    if was != now:
        is_alike = False
        yield (f"{name} ", state(was), " -> ", state(now))
    for each in before.exceptions:
        if before.setting is not None and each not in after.exceptions:
            is_alike = False
            if _name(each) not in map(_name, after.exceptions):
                are_like_others = not after.exceptions and not all_off
                yield (f"{name}: {_dropped(each, now if are_like_others else None)}",)
    for each in after.exceptions:
        if each not in before.exceptions:
            is_alike = False
            yield (f"{name} with exception {each}",)
    if is_alike:
        yield (f"{name} stays ", state(now))


def _dropped(exception: str, now: str | None) -> str:
    """What is said of one that is gone; `now`: what its versions are then, where that is known."""
    named, _, was = exception.rpartition("): ")
    told = f"exception {named}, was {was}) dropped" if named else f"exception {exception} dropped"
    return told if now is None else f"{told}: these versions are {now}"


def _name(exception: str) -> str:
    return exception.partition(" ")[0]


def sockets(changed: Changed, revision: RevisionView) -> Iterator[Line]:
    """On which revision the open WebSockets are, a line for each cohort.

    Args:
        changed: tells it.
        revision: that was made, or stands.
    """
    cohorts: dict[str, list[tuple[int, int]]] = {}
    for each in changed.sockets:
        cohorts.setdefault(each.cohort, []).append((each.revision, each.websockets))
    if not cohorts:
        yield ("no open websockets",)
    for cohort, found in sorted(cohorts.items()):
        parts = [
            f"{counted(count, 'websocket')} on revision {number}"
            for number, count in sorted(found, reverse=True)
        ]
        yield (f"{cohort or 'no cohort'}: {', '.join(parts)}",)
    if any(each.revision < revision.number for each in changed.sockets):
        told = {
            OpenSockets.KEEP: "those on older ones keep what they have, to their end",
            OpenSockets.NEXT_MESSAGE: "those on older ones were left with what they have before",
            OpenSockets.RECONNECT: "those on older ones are told to come back, one after the other",
        }
        yield (Span(told[revision.open_sockets], Style.DIM),)
