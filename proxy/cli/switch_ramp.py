"""`segue switch ramp` and `segue switch guard`: what rises by itself, and what takes it back."""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterator
from typing import Final

from proxy.admin.ramps import (
    GUARD,
    RAMP,
    RAMP_NEXT,
    RAMP_PAUSE,
    RAMP_RESUME,
    RAMP_STOP,
    GuardView,
)
from proxy.admin.switch_views import RampView
from proxy.cli import changes
from proxy.cli.admin import ask, told_as
from proxy.cli.admin_place import place
from proxy.cli.advice import change
from proxy.cli.asking import add_asking
from proxy.cli.configuration import Subparsers
from proxy.cli.exit_codes import CHANGING, ExitCode
from proxy.cli.screen import Screen
from proxy.cli.styled import Line, Span, Style
from proxy.cli.switch_arguments import add_switch, period
from proxy.cli.switch_reads import read_switch, set_before
from proxy.cli.terminal import shortened, span, when
from proxy.switching.guards import Outcome
from proxy.switching.ramps import Move, RampStatus, check_steps, parse_step

_ACTIONS: Final = {
    "pause": RAMP_PAUSE,
    "resume": RAMP_RESUME,
    "next": RAMP_NEXT,
    "stop": RAMP_STOP,
}

_STYLES: Final = {
    Outcome.PASS: Style.GOOD,
    Outcome.FAIL: Style.BAD,
    Outcome.INCONCLUSIVE: Style.CANARY,
}
_WIDEST: Final = 300
"""Characters of what somebody has written."""


def add(actions: Subparsers[argparse.ArgumentParser]) -> None:
    """Put the commands into place, among the actions of `segue switch`."""
    text = "have one rise by itself, step by step, as long as its guard passes"
    action = add_asking(actions, "ramp", text, _ramp, CHANGING)
    action.add_argument(
        "what",
        nargs="?",
        choices=sorted(_ACTIONS),
        help="of a ramp that there is: pause it, resume it, take its next step now, or stop it",
    )
    add_switch(action)
    action.add_argument(
        "--steps",
        type=_steps,
        metavar="STEPS",
        help='each higher than the one before, such as "shadow,1%%,10%%,50%%,on"',
    )
    action.add_argument(
        "--every", type=period, metavar="TIME", help="that each step lasts at least, such as 10m"
    )
    changes.add_reason(action)
    changes.add_conditions(action, "the switch")
    action.set_defaults(refuse=action.error)
    text = "show what the guard of one measures, what it says, and what its ramp does"
    add_switch(add_asking(actions, "guard", text, _guard))


def _steps(text: str) -> list[str]:
    try:
        return [
            str(each)
            for each in check_steps(tuple(parse_step(step.strip()) for step in text.split(",")))
        ]
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{error}, not {shortened(text, 60)!r}") from None


def _ramp(options: argparse.Namespace) -> ExitCode:
    begins = options.what is None
    if begins and (options.steps is None or options.every is None):
        options.refuse('say through which states, and when: --steps "shadow,10%,on" --every 10m')
    if not begins and (options.steps is not None or options.every is not None):
        options.refuse(f"--steps and --every begin a ramp; they are not for {options.what!r}")
    where, name = place(options), options.switch
    view = read_switch(where, name)
    asked = {"reason": options.reason, "open_sockets": options.open_sockets}
    if begins:
        asked |= {"steps": options.steps, "every": options.every}
    named = options.if_revision
    answer = change(
        where,
        RAMP if begins else _ACTIONS[options.what],
        asked,
        if_match=(view.revision if named is None else named) if begins else None,
        newest=view.revision,
        named=named,
        cohort=name.cohort,
        mapping=name.mapping,
    )
    if not options.json:
        changes.tell(answer, as_json=False, known=set_before(view))
        after = read_switch(where, name).ramp
        screen, now = Screen.of_stdout(), time.time()
        for line in ramp_lines(after, now):
            screen.line(*line)
    else:
        print(json.dumps(answer))
    return changes.wait(where, answer, options)


def _guard(options: argparse.Namespace) -> None:
    where, name = place(options), options.switch
    read_switch(where, name)  # It says which there are, where there is none of this name.
    answer = ask(where, GUARD, cohort=name.cohort, mapping=name.mapping)
    view = told_as(GuardView, answer, "it is")
    if options.json:
        print(json.dumps(answer))
        return
    screen, now = Screen.of_stdout(), time.time()
    for line in guard_lines(view, now):
        screen.line(*line)


def guard_lines(view: GuardView, now: float) -> Iterator[Line]:
    """What a guard says, in lines.

    Args:
        view: that guard.
        now: in seconds since 1970.
    """
    said = Span("not judged", Style.DIM)
    if view.outcome is not None:
        said = Span(view.outcome.value, _STYLES[view.outcome])
    mode = "" if view.mode == "enforce" else f" (guard.mode: {view.mode})"
    yield (f"{view.switch} {view.setting}: ", said, mode)
    if view.unjudged:
        yield (f"  {view.unjudged}",)
    elif view.at is not None:
        users = "" if view.users is None else f" of about {view.users:,} users"
        since = "the configuration" if not view.since else f"revision {view.revision}"
        window = f"window {view.window + 1} of {span(view.window_seconds)}"
        yield (f"  {view.messages:,} messages{users} since {since}, in {window}",)
    for each in view.findings:
        yield ("  ", Span(f"{each.outcome.value:12}", _STYLES[each.outcome]), f" {each.text}")
    for missing in view.missing:
        yield (f"  to pass: {missing}",)
    if view.latched:
        yield (Span("  a guard has taken it back; only a person raises it again", Style.BAD),)
    if view.would_take_back:
        yield (Span("  it would have been taken back; the guard only observes", Style.BAD),)
    yield from ramp_lines(view.ramp, now)


def ramp_lines(ramp: RampView | None, now: float) -> Iterator[Line]:
    """What a ramp does, in lines; none where there is none.

    Args:
        ramp: that one.
        now: in seconds since 1970.
    """
    if ramp is None:
        return
    style = Style.BAD if ramp.status is RampStatus.STOPPED else Style.HEADING
    steps = " -> ".join(step.removeprefix("canary ") for step in ramp.steps)
    begun = f"by {shortened(ramp.author, 60)}: {shortened(ramp.reason, _WIDEST)}"
    every = f": {steps}, every {span(ramp.every)}, {begun}"
    yield ("ramp ", Span(ramp.status.value, style), every)
    if ramp.step is None or ramp.status is not RampStatus.RUNNING:
        return
    if ramp.move is Move.HOLD and ramp.held is not None:
        held = f"  held for {span(ramp.held)} before {ramp.step}: "
        yield (Span(held, Style.CANARY), "; ".join(ramp.why))
    elif now < ramp.since + ramp.every:
        yield (f"  {ramp.step} at {when(ramp.since + ramp.every)} at the earliest",)
