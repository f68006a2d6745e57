"""How switches are shown: their table, what is to be said besides, and the YAML to commit."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, Final

from proxy.admin.shadow import ShadowOutcomes
from proxy.admin.switch_views import (
    DryRun,
    SwitchesView,
    SwitchView,
    TermView,
    UsersView,
)
from proxy.cli.styled import Column, Line, Piece, Span, Style, state
from proxy.cli.terminal import counted, shortened, span, when
from proxy.cli.written import yaml_scalar
from proxy.switching.setting import Mode, Setting, share_of

_WIDEST: Final = 60
"""Characters of a cell of the table that somebody has written."""

_NONE: Final = "-"


def columns(view: SwitchesView) -> tuple[Column, ...]:
    """Those of the table; some are there only where they have something to say."""
    return (
        Column("SWITCH"),
        Column("STATE"),
        *([Column("SET TO")] if view.all_off else []),
        *([Column("CONFIGURED")] if any(each.differs for each in view.switches) else []),
        Column("USERS", wrap=True),
        Column("OWNER", cut=True),
        Column("UNTIL", wrap=True),
        Column("BEHIND", right=True, spare=True),
        Column("REVISION", right=True, spare=True),
    )


def rows(view: SwitchesView, now: float) -> Iterator[Line]:
    """A row for each switch, and one for each exception below its switch.

    Args:
        view: the switches.
        now: in seconds since 1970.
    """
    differ = any(each.differs for each in view.switches)
    for each in view.switches:
        yield (
            shortened(each.switch, _WIDEST),
            state(str(setting(each.state, each.percent))),
            *([state(each.set_to)] if view.all_off else []),
            *([_configured(each)] if differ else []),
            users(each.users, each.state),
            shortened(each.term.owner, _WIDEST) or _NONE,
            _until(each.term, now),
            str(each.sockets_behind) if each.sockets_behind else _NONE,
            str(each.revision) if each.revision else _NONE,
        )
        for exception in each.exceptions:
            written = state(str(setting(exception.state, exception.percent)))
            yield (
                f"  {exception.name} ({shortened(exception.versions, _WIDEST)})",
                state(Mode.OFF) if view.all_off else written,
                *([written] if view.all_off else []),
                *([_NONE] if differ else []),
                users(exception.users, exception.state),
                shortened(exception.term.owner, _WIDEST) or _NONE,
                _until(exception.term, now),
                _NONE,
                _NONE,
            )


def setting(mode: Mode, percent: float | None) -> Setting:
    """What a state and a percentage are together."""
    return Setting(mode, 0 if percent is None else share_of(percent))


def users(seen: UsersView | None, mode: Mode) -> str:
    """About how many users a canary has seen."""
    if seen is None:
        return "nobody is in it" if mode is Mode.CANARY else _NONE
    total = seen.inside + seen.outside
    if not seen.inside:
        return f"nobody is in it (of ~{total:,} users)" if total else "nobody is in it"
    return f"~{seen.inside:,} of ~{total:,} users"


def _configured(each: SwitchView) -> Piece:
    if not each.differs:
        return _NONE
    if each.configured == each.set_to:
        return "other exceptions"
    return state(each.configured)


def _until(term: TermView, now: float) -> Piece:
    if term.until is None:
        return _NONE
    if term.overdue:
        return Span(f"overdue for {span(max(now - term.until, 0))}", Style.BAD)
    left = span(max(term.until - now, 0))
    return f"in {left}, then back" if term.restore else f"in {left}"


def notes(view: SwitchesView, now: float) -> Iterator[Line]:
    """What is to be said besides: what is not as it should be, and who has the say."""
    if view.all_off:
        yield _bad("everything is off; segue switch all restore ends that")
    if view.away_since is not None:
        since = span(max(now - view.away_since, 0))
        yield _bad(
            f"the store of switches is away for {since} ({view.store}): what is in force stays, and"
            " nothing can be changed"
        )
    if not view.kept:
        yield _bad("switches are kept in memory alone: what is set ends with the process")
    if view.stored != view.revision:
        yield _bad(f"revision {view.revision} is in force here, and {view.stored} is the newest")
    if view.stands_on:
        told = f", and turns {_names(view.unapplied)}" if view.unapplied else ""
        yield _bad(
            f"revision {view.stored} is of the configuration {view.stands_on}, which does not serve"
            f" here{told}: it is not applied"
        )
    elif view.unapplied:
        yield _bad(
            f"not in the configuration here, and set in the store: {_names(view.unapplied)}",
        )
    if view.orphans:
        yield _bad(f"set, but no cohort names the mapping any more: {_names(view.orphans)}")
    if view.authority == "file":
        yield ("the configuration file is the authority: only steps down are taken here",)


def _names(found: list[str]) -> str:
    return shortened(", ".join(found), 400)


def _bad(text: str) -> Line:
    return (Span(text, Style.BAD),)


def section(view: SwitchesView) -> dict[str, Any]:
    """The section `switching` with what switches are set to, as it could stand in the file."""
    return {
        "switches": {each.switch: each.set_to for each in view.switches if each.set_to != Mode.ON},
        "exceptions": [
            {
                "switch": each.switch,
                "name": one.name,
                # It may be written with any white space, some of which ends lines of YAML.
                "versions": "".join(one.versions.split()),
                "state": str(setting(one.state, one.percent)),
            }
            for each in view.switches
            for one in each.exceptions
        ],
    }


def exported(view: SwitchesView) -> Iterator[str]:
    """That section as YAML.

    Whatever else is in it stands in the file alone. Owners and times cannot be written there, and
    are in comments.
    """
    found = section(view)
    terms = {each.switch: each.term for each in view.switches}
    yield "switching:"
    yield "  switches:" if found["switches"] else "  switches: {}"
    for name, written in found["switches"].items():
        yield f"    {yaml_scalar(name)}: {yaml_scalar(written)}{_comment(terms[name])}"
    yield "  exceptions:" if found["exceptions"] else "  exceptions: []"
    excepted = [one.term for each in view.switches for one in each.exceptions]
    for keys, term in zip(found["exceptions"], excepted, strict=True):
        for number, (key, value) in enumerate(keys.items()):
            start, end = ("  ", "") if number else ("- ", _comment(term))
            yield f"    {start}{key}: {yaml_scalar(value)}{end}"


def _comment(term: TermView) -> str:
    # Escaped, so that nothing that somebody has written ends the line.
    owner = f"of {shortened(term.owner, _WIDEST)}" if term.owner else ""
    until = "" if term.until is None else f"until {when(term.until)}"
    if until and term.restore:
        until += ", then back"
    told = ", ".join(filter(None, (owner, until)))
    return f"  # {told}" if told else ""


def dry(run: DryRun, notes: Iterable[str] = ()) -> Iterator[Line]:
    """What a change would touch, and what is to be said of it besides."""
    lowers = ", which lowers" if run.lowers else ""
    was, versions = "", ""
    if run.exception is not None:
        was = f" ({run.before_versions})" if run.before_versions else ""
        versions = f" ({shortened(run.after_versions or '', _WIDEST)})"
    named = f" exception {run.exception}:" if run.exception else ""
    yield (
        f"{run.switch}{named} ",
        state(run.before),
        f"{was} -> ",
        state(run.after),
        versions,
        lowers,
    )
    for note in notes:
        yield (note,)
    cohort = run.switch.partition("/")[0]
    touched = f"{run.websockets} of {counted(run.of_websockets, 'open websocket')} of {cohort}"
    yield (f"{touched} would get something else, of about {counted(run.users, 'user')}",)
    if run.messages_per_second is not None:
        yield (f"{cohort} has ~{run.messages_per_second:,.1f} messages a second",)
    if run.shadow is not None:
        yield from _shadow(run.shadow)
    if run.shadow_dropped:
        yield _bad("in shadow, but not compared: there are too many switches in shadow")
    if run.exceptions_left_alone:
        yield (f"exceptions left alone: {_names(run.exceptions_left_alone)}",)
    yield ("nothing was changed",)


def _shadow(seen: ShadowOutcomes) -> Iterator[Line]:
    """What a shadow has seen, by rule."""
    if seen.still_mapped:
        still = counted(seen.still_mapped, "open websocket")
        have = "has" if seen.still_mapped == 1 else "have"
        left = f"{still} still {have} the mapping, and nothing of theirs is compared"
    else:
        left = ""
    if not seen.compared:
        yield (f"in shadow, nothing compared yet{f': {left}' if left else ''}",)
        return
    if left:
        yield (left,)
    told = (
        f"in shadow, of {counted(seen.compared, 'message')} compared ({seen.skipped} skipped):"
        f" {seen.would_map} would be mapped, {seen.would_pass} pass, {seen.would_drop} be dropped,"
        f" {seen.would_fail} fail"
    )
    yield (told,)
    for rule in seen.rules:
        yield (f"  rule {shortened(rule.rule, _WIDEST)}: {rule.messages}",)
    for each in seen.failures:
        where = shortened(f"{each.rule}, {each.operation}, {each.field}", 3 * _WIDEST)
        yield (Span(f"  would fail: {where}: {each.messages}", Style.BAD),)
