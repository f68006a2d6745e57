"""What is in force of switches, told to whoever asks about a client or a mapping."""

from __future__ import annotations

from collections.abc import Collection

import pydantic

from proxy.mapping.decision import Applied, Decision
from proxy.mapping.switched import SwitchedCatalog
from proxy.switching.setting import Mode, Setting
from proxy.switching.table import SwitchName, VersionException
from proxy.versions.version import Version


class DecidingSwitch(pydantic.BaseModel):
    """A switch that decides about a client.

    Attributes:
        switch: its name.
        state, percent: what it does for a client of this version.
        exception: the name of the exception that the version falls under; empty for none.
        applied: whether the mapping is applied for this client.
        revision: that set it last; 0: it is as the configuration says. While everything is off,
            the newest: everything has been off since then, or since before.
        told: the same in words.
    """

    switch: str
    state: Mode
    percent: float | None
    exception: str
    applied: bool
    revision: int
    told: str


class ExceptionInForce(pydantic.BaseModel):
    """What a switch does for some versions.

    Attributes:
        name: of the exception.
        versions: the range for which it counts.
        state: what the switch does for these versions.
        percent: of a canary; null for everything else.
    """

    name: str
    versions: str
    state: Mode
    percent: float | None


class SwitchInForce(pydantic.BaseModel):
    """What a switch does, in the process that answers.

    Attributes:
        switch: its name.
        state, percent: what it does; `off`, without exceptions, while everything is off.
        exceptions: in their order; the first that has the client's version counts.
        revision: that set it last; 0 for none.
    """

    switch: str
    state: Mode
    percent: float | None
    exceptions: list[ExceptionInForce]
    revision: int


def exception_in_force(exception: VersionException) -> ExceptionInForce:
    """Tell what an exception of a switch does."""
    return ExceptionInForce(
        name=exception.name,
        versions=str(exception.versions),
        state=exception.setting.mode,
        percent=exception.setting.percent,
    )


def switch_in_force(switched: SwitchedCatalog, name: SwitchName) -> SwitchInForce:
    """Tell what a switch does."""
    state = switched.in_force(name)
    _, setting = state.for_version(None)
    return SwitchInForce(
        switch=str(name),
        state=setting.mode,
        percent=setting.percent,
        exceptions=[exception_in_force(each) for each in state.exceptions],
        revision=switched.table.revision(name),
    )


def deciding_switches(
    switched: SwitchedCatalog,
    decision: Decision,
    version: Version | None,
    mappings: Collection[str],
    *,
    has_user: bool,
) -> list[DecidingSwitch]:
    """Tell which switches decided, and why so.

    Args:
        switched: what decided.
        decision: what came of it.
        version: of the client.
        mappings: those that are asked about; what was decided about others is left out.
        has_user: whether it is known who the client's user is.
    """
    return [
        _deciding(switched, applied, version, has_user=has_user)
        for applied in decision.applied
        if applied.switch.mapping in mappings
    ]


def _deciding(
    switched: SwitchedCatalog, applied: Applied, version: Version | None, *, has_user: bool
) -> DecidingSwitch:
    table = switched.table
    _, setting = switched.in_force(applied.switch).for_version(version)
    revision = table.number if table.all_off else table.revision(applied.switch)
    told = (
        f"everything is off, since revision {revision} or before"
        if table.all_off
        else f"{setting}, {_by(applied, revision)}"
        + _meaning(switched, applied, setting, has_user=has_user)
    )
    return DecidingSwitch(
        switch=str(applied.switch),
        state=setting.mode,
        percent=setting.percent,
        exception=applied.exception,
        applied=applied.mode is Mode.ON,
        revision=revision,
        told=told,
    )


def _by(applied: Applied, revision: int) -> str:
    by = f"by revision {revision}" if revision else "by the configuration"
    return f"by the exception `{applied.exception}`, {by}" if applied.exception else by


def _meaning(
    switched: SwitchedCatalog, applied: Applied, setting: Setting, *, has_user: bool
) -> str:
    if setting.mode is Mode.SHADOW:
        return ": a copy is rewritten and compared, the original is sent"
    if setting.mode is not Mode.CANARY:
        return ""
    if not switched.key:
        return ": nobody is in it while the key of the canaries cannot be had"
    if applied.mode is Mode.ON:
        return ": this user is in it" if has_user else ": everybody is in it"
    if has_user:
        return ": this user is not in it"
    share = f"{setting.percent:g} % of the users"
    return f": {share} have it applied, and this is what the others get (name a `user`)"
