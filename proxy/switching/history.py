"""Revisions: what changed, by whom and why; and how they and tables are written down, as JSON."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Annotated, Final

import msgspec

from proxy.switching.guards import Finding
from proxy.switching.ramps import Ramp, RampStatus, check_steps
from proxy.switching.setting import parse_setting
from proxy.switching.table import (
    MAX_EXCEPTIONS,
    MAX_FILES,
    NO_TERM,
    UNTOUCHED,
    Earlier,
    OpenSockets,
    SwitchName,
    SwitchState,
    Table,
    Term,
    VersionException,
    read_name,
)
from proxy.versions.version import parse_range

MAX_REASON: Final = 500
"""Characters."""

_FORMAT: Final = 1

_Number = Annotated[int, msgspec.Meta(ge=0, le=2**53)]
"""Of a revision; every store counts so far."""


class Unreadable(ValueError):
    """What is stored is no table, or no revision, or one of a later version of Segue."""


class ExceptionText(msgspec.Struct, frozen=True, omit_defaults=True):
    """An exception, as it is written."""

    name: str
    versions: str
    setting: str
    owner: str = ""
    until: float | None = None
    restore: bool = False
    before: str | None = None
    open_sockets: OpenSockets | None = None
    before_owner: str = ""
    before_until: float | None = None


class CopiedText(msgspec.Struct, frozen=True, omit_defaults=True):
    """What the configuration said of a switch, as it is written."""

    setting: str
    exceptions: tuple[ExceptionText, ...] = ()


class RampText(msgspec.Struct, frozen=True, omit_defaults=True):
    """A ramp, as it is written."""

    steps: tuple[str, ...]
    every: float
    since: float
    status: RampStatus
    author: str = ""
    reason: str = ""
    open_sockets: OpenSockets | None = None


class StateText(msgspec.Struct, frozen=True, omit_defaults=True):
    """What one switch is set to, as it is written; no `setting`: the configuration's."""

    setting: str | None = None
    exceptions: tuple[ExceptionText, ...] = ()
    owner: str = ""
    until: float | None = None
    restore: bool = False
    before: str | None = None
    revision: _Number = 0
    open_sockets: OpenSockets | None = None
    before_owner: str = ""
    before_until: float | None = None
    copied: CopiedText | None = None
    ramp: RampText | None = None


class _TableText(msgspec.Struct, frozen=True, omit_defaults=True):
    format: int
    number: _Number
    states: dict[str, StateText]
    all_off: bool
    digest: str
    others: dict[str, dict[str, StateText]] = {}


class Revision(msgspec.Struct, frozen=True, kw_only=True):
    """One change that was made.

    Attributes:
        number: 1 for the first; each is one more than that before it.
        at: when, in seconds since 1970.
        author: who was authenticated; `configuration DIGEST` where the file was the authority.
        role: what they were allowed then.
        reason: in their words.
        kind: `set`, `drop`, `all-off`, `restore`, `restore-switch`, `undo`, `follow`, `expire`,
            `guard`, `ramp`, `ramp-step`, `ramp-pause`, `ramp-resume`, `ramp-stop`.
        scope: the names of the switches that changed.
        open_sockets: what WebSockets that were open did.
        before, after: what the switches of `scope` were set to.
        all_off: whether everything is off since.
        was_all_off: whether it was before; False in those that older versions wrote.
        digest: of the configuration that served where the change was made.
        id: random: tells it from another one of the same number, which a store can have that has
            lost the first. Empty in those that older versions wrote.
        outlived: what an undo brought back for good, because the time for which it was set was
            over: switches, and exceptions of them.
        cut: whether there was more of it than can be kept: `before` and `after` are empty then,
            `scope` and `outlived` may lack some, `findings` is empty. The tables of before and
            after are whole.
        finding: why a guard took a switch back; None for all other changes.
        findings: what was said of each figure then, that one included; empty for all other changes,
            and in those that older versions wrote.
    """

    number: _Number
    at: float
    author: str
    role: str
    reason: str
    kind: str
    scope: tuple[str, ...]
    open_sockets: OpenSockets
    before: dict[str, StateText]
    after: dict[str, StateText]
    all_off: bool
    digest: str
    id: str = ""
    outlived: tuple[str, ...] = ()
    was_all_off: bool = False
    cut: bool = False
    finding: Finding | None = None
    findings: tuple[Finding, ...] = ()


def revision_of(
    before: Table,
    after: Table,
    scope: tuple[SwitchName, ...],
    **facts: object,
) -> Revision:
    """Write down what a change did.

    Args:
        before, after: the tables.
        scope: the switches that it changed.
        facts: the attributes of `Revision` that tables do not tell.
    """
    return Revision(
        number=after.number,
        scope=tuple(map(str, scope)),
        before={str(name): state_text(before.states.get(name, UNTOUCHED)) for name in scope},
        after={str(name): state_text(after.states.get(name, UNTOUCHED)) for name in scope},
        all_off=after.all_off,
        was_all_off=before.all_off,
        **facts,  # type: ignore[arg-type]  # checked by the decoder of whoever reads it
    )


def write_revision(revision: Revision) -> bytes:
    """Write a revision."""
    return msgspec.json.encode(revision)


def fitted(revision: Revision, most: int) -> Revision:
    """A revision with as much of what it says as there is room for; it never keeps it from being.

    Args:
        revision: that one.
        most: bytes of it, as it is written.
    """
    if len(write_revision(revision)) <= most:
        return revision
    found = msgspec.structs.replace(revision, before={}, after={}, findings=(), cut=True)
    while len(write_revision(found)) > most and (found.scope or found.outlived):
        found = msgspec.structs.replace(
            found,
            scope=found.scope[: len(found.scope) // 2],
            outlived=found.outlived[: len(found.outlived) // 2],
        )
    return found


def read_revision(written: bytes) -> Revision:
    """Read a revision.

    Raises:
        Unreadable: it is none.
    """
    try:
        return msgspec.json.decode(written, type=Revision)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        raise Unreadable("not a revision that this version of Segue reads") from None


def write_table(table: Table) -> bytes:
    """Write a table."""
    others = {digest: _texts(states) for digest, states in table.others.items()}
    return msgspec.json.encode(
        _TableText(_FORMAT, table.number, _texts(table.states), table.all_off, table.digest, others)
    )


def within(table: Table, most: int) -> Table:
    """A table that forgets what is set under other configurations, as far as there is no room.

    Args:
        table: that one.
        most: bytes of it, as it is written.
    """
    while table.others and len(write_table(table)) > most:
        table = replace(table, others=dict(list(table.others.items())[:-1]))
    return table


def read_table(written: bytes) -> Table:
    """Read a table.

    Raises:
        Unreadable: it is none.
    """
    try:
        text = msgspec.json.decode(written, type=_TableText)
        if text.format != _FORMAT:
            raise Unreadable(f"a table of format {text.format}; this version reads {_FORMAT}")
        if len(text.others) >= MAX_FILES:
            raise ValueError(f"the states of more than {MAX_FILES} configurations")
        states = _states(text.states)
        others = {digest: _states(each) for digest, each in text.others.items()}
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        raise Unreadable("not a table of switches") from None
    except ValueError as error:
        raise Unreadable(str(error)) from None
    return Table(text.number, states, text.all_off, text.digest, others)


def _texts(states: Mapping[SwitchName, SwitchState]) -> dict[str, StateText]:
    return {str(name): state_text(state) for name, state in states.items()}


def _states(texts: dict[str, StateText]) -> dict[SwitchName, SwitchState]:
    return {read_name(name): _state(each) for name, each in texts.items()}


def state_text(state: SwitchState) -> StateText:
    """Write what one switch is set to."""
    return StateText(
        setting=None if state.setting is None else str(state.setting),
        exceptions=tuple(map(_exception_text, state.exceptions)),
        owner=state.term.owner,
        until=state.term.until,
        restore=state.term.restore,
        before=_before_text(state.before),
        revision=state.revision,
        open_sockets=state.term.open_sockets,
        before_owner=_before_term(state.before).owner,
        before_until=_before_term(state.before).until,
        copied=None
        if state.copied is None
        else CopiedText(
            str(state.copied.setting), tuple(map(_exception_text, state.copied.exceptions))
        ),
        ramp=None if state.ramp is None else _ramp_text(state.ramp),
    )


def _ramp_text(ramp: Ramp) -> RampText:
    return RampText(
        tuple(map(str, ramp.steps)),
        ramp.every,
        ramp.since,
        ramp.status,
        ramp.author,
        ramp.reason,
        OpenSockets(ramp.open_sockets) if ramp.open_sockets else None,
    )


def _ramp(text: RampText) -> Ramp:
    steps = check_steps(tuple(map(parse_setting, text.steps)))
    return Ramp(
        steps,
        text.every,
        text.since,
        text.status,
        text.author,
        text.reason,
        text.open_sockets or "",
    )


def _exception_text(exception: VersionException) -> ExceptionText:
    return ExceptionText(
        exception.name,
        str(exception.versions),
        str(exception.setting),
        exception.term.owner,
        exception.term.until,
        exception.term.restore,
        _before_text(exception.before),
        exception.term.open_sockets,
        _before_term(exception.before).owner,
        _before_term(exception.before).until,
    )


def _before_text(before: Earlier | None) -> str | None:
    return None if before is None else str(before.setting)


def _before_term(before: Earlier | None) -> Term:
    return NO_TERM if before is None else before.term


def _state(text: StateText) -> SwitchState:
    copied = text.copied
    return SwitchState(
        setting=None if text.setting is None else parse_setting(text.setting),
        exceptions=_exceptions(text.exceptions),
        term=Term(text.owner, text.until, text.restore, text.open_sockets),
        before=_before(text),
        revision=text.revision,
        copied=None
        if copied is None
        else SwitchState(parse_setting(copied.setting), _exceptions(copied.exceptions)),
        ramp=None if text.ramp is None else _ramp(text.ramp),
    )


def _exceptions(texts: tuple[ExceptionText, ...]) -> tuple[VersionException, ...]:
    if len(texts) > MAX_EXCEPTIONS:
        raise ValueError(f"more than {MAX_EXCEPTIONS} exceptions")
    return tuple(
        VersionException(
            each.name,
            parse_range(each.versions),
            parse_setting(each.setting),
            Term(each.owner, each.until, each.restore, each.open_sockets),
            _before(each),
        )
        for each in texts
    )


def _before(text: StateText | ExceptionText) -> Earlier | None:
    if text.before is None:
        return None
    return Earlier(parse_setting(text.before), Term(text.before_owner, text.before_until))
