"""The section `switching` of the configuration: first states of switches, and who has the say."""

from __future__ import annotations

from functools import cached_property
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, PlainValidator

from proxy.configuration.document import WrittenText, as_written
from proxy.configuration.fields import Label, Seconds, Section, VersionRange
from proxy.configuration.guarding import Guard, RiseHours
from proxy.configuration.sunset import Sunset
from proxy.switching.guards import GuardRules
from proxy.switching.setting import Setting, parse_setting
from proxy.switching.table import (
    ALL_ON,
    MAX_EXCEPTIONS,
    First,
    SwitchName,
    SwitchState,
    VersionException,
    read_name,
)


def _setting(value: object) -> Setting:
    written = as_written(value)
    if not isinstance(written, str):
        raise ValueError('expected off, shadow, on, or a canary such as "canary 2.5%"')
    return parse_setting(written)


def _switch(value: str) -> str:
    return str(read_name(value))


State = Annotated[Setting, PlainValidator(_setting, json_schema_input_type=str)]
Switch = Annotated[WrittenText, AfterValidator(_switch)]


class SwitchException(Section):
    """Another first state of a switch for some versions of its cohort.

    Attributes:
        switch: which.
        name: what lists and metrics call it.
        versions: for which, as `==2.1.3`; the first exception that has a version counts.
        state: what the switch is for them.
    """

    switch: Switch
    name: Label
    versions: VersionRange
    state: State


class Switching(Section):
    """How much of each cohort's traffic its mappings are applied to.

    Attributes:
        authority: `live`: operators turn switches while traffic flows, and what they did last wins
            over this file. `file`: this file is the truth, and only steps down are taken from
            operators, until the file changes.
        switches: the first state of switches, by their names, as `modern/old-to-new`: `off`,
            `shadow`, `canary 2.5%` or `on`. Those that are not listed are `on`.
        exceptions: the first state for some versions.
        open_sockets: what open WebSockets do when a switch is turned, unless the change says it:
            `keep` what they have, change from the `next_message` on, or `reconnect`.
        reconnect_over: the time over which `reconnect` is spread.
        guard: what takes a switch back by itself.
        guards: other bounds for single switches, by their names; what is left out is as in `guard`.
        windows: when switches may rise, by whomever; in any of them, and at all times where there
            is none. What lowers is allowed at all times.
        shadow_budget: the time of the processor that shadows may take of each second; what does not
            fit is not compared, and counted.
        sunset: when a mapping can go, and what clients are told of that.
    """

    authority: Literal["live", "file"] = "live"
    switches: Annotated[dict[Switch, State], Field(max_length=2000)] = Field(default_factory=dict)
    exceptions: Annotated[tuple[SwitchException, ...], Field(max_length=2000)] = ()
    open_sockets: Literal["keep", "next_message", "reconnect"] = "keep"
    reconnect_over: Annotated[Seconds, Field(ge=0, le=3600)] = 30.0
    shadow_budget: Annotated[Seconds, Field(ge=0, le=1)] = 0.05
    guard: Guard = Guard()
    guards: Annotated[dict[Switch, Guard], Field(max_length=2000)] = Field(default_factory=dict)
    windows: Annotated[tuple[RiseHours, ...], Field(max_length=50)] = ()
    sunset: Sunset = Sunset()

    def guard_rules(self, switch: SwitchName) -> GuardRules:
        """What the guard of a switch goes by."""
        return self.guard.rules(self.guards.get(str(switch)))

    @cached_property
    def compares_requests(self) -> bool:
        """Whether a guard asks for the HTTP errors of those who are in a canary, and of others."""
        guards = (self.guard, *self.guards.values())
        return any(each.http_errors is not None for each in guards)

    def first(self) -> First:
        """The switches that are named here, and their states."""
        first = {read_name(name): SwitchState(setting) for name, setting in self.switches.items()}
        for each in self.exceptions:
            name = read_name(each.switch)
            state = first.get(name, ALL_ON)
            made = VersionException(each.name, each.versions, each.state)
            first[name] = SwitchState(state.setting, (*state.exceptions, made))
        return first


def unknown_switches(
    settings: Switching, known: frozenset[SwitchName]
) -> list[tuple[tuple[str | int, ...], str]]:
    """Find what the section says of switches that are not there.

    Returns:
        Where in the section, and what is wrong there.
    """
    found: list[tuple[tuple[str | int, ...], str]] = []
    found += [
        ((key, name), _unknown(name, known))
        for key in ("switches", "guards")
        for name in getattr(settings, key)
        if read_name(name) not in known
    ]
    announced: dict[str, int] = {}
    for index, announcement in enumerate(settings.sunset.announce):
        where = ("sunset", "announce", index, "switch")
        if read_name(announcement.switch) not in known:
            found.append((where, _unknown(announcement.switch, known)))
        first = announced.setdefault(announcement.switch, index)
        if first != index:
            text = f"`{announcement.switch}` is in switching.sunset.announce[{first}]"
            found.append((where, text))
    names: dict[tuple[str, str], int] = {}
    counts: dict[str, int] = {}
    for index, each in enumerate(settings.exceptions):
        counts[each.switch] = counts.get(each.switch, 0) + 1
        if read_name(each.switch) not in known:
            found.append((("exceptions", index, "switch"), _unknown(each.switch, known)))
        first = names.setdefault((each.switch, each.name), index)
        if first != index:
            text = f"the name `{each.name}` is taken by switching.exceptions[{first}]"
            found.append((("exceptions", index, "name"), text))
        if counts[each.switch] == MAX_EXCEPTIONS + 1:
            text = f"`{each.switch}` has more than {MAX_EXCEPTIONS} exceptions"
            found.append((("exceptions", index), text))
    return found


def _unknown(name: str, known: frozenset[SwitchName]) -> str:
    cohort = read_name(name).cohort
    near = sorted(str(each) for each in known if each.cohort == cohort) or sorted(map(str, known))
    return f"no cohort names this mapping; there are: {', '.join(near[:20]) or 'none'}"
