"""Switches as the commands read them, before they show or change them."""

from __future__ import annotations

from typing import Final

from proxy.admin.switch_endpoints import LIST, SHOW
from proxy.admin.switch_views import StateView, SwitchesView, SwitchView
from proxy.cli import switch_lists
from proxy.cli.admin import Refused, ask, told_as
from proxy.cli.admin_place import Place
from proxy.cli.changes import set_for_good
from proxy.cli.parser import did_you_mean
from proxy.cli.terminal import shortened
from proxy.switching.table import SwitchName

_UNKNOWN: Final = 404
_WIDEST: Final = 400
"""Characters of a list of switches in a message."""


def read_switches(where: Place) -> tuple[SwitchesView, dict[str, object]]:
    """Read all of them: as a view, and the object that was answered.

    Raises:
        Refused: they cannot be had.
    """
    answer = ask(where, LIST)
    return told_as(SwitchesView, answer, "they are"), answer


def read_switch(where: Place, name: SwitchName) -> SwitchView:
    """Read one.

    Raises:
        Refused: it cannot be had; where there is none of this name, with those that there are.
    """
    try:
        answer = ask(where, SHOW, cohort=name.cohort, mapping=name.mapping)
    except Refused as refused:
        if refused.status != _UNKNOWN:
            raise
        known = [each.switch for each in read_switches(where)[0].switches]
        hint = did_you_mean(str(name), known)
        listed = f"; there are: {shortened(', '.join(known), _WIDEST)}" if known else "; none is"
        raise Refused(f"there is no switch {str(name)!r}{hint}{listed}", _UNKNOWN) from None
    return told_as(SwitchView, answer, "it is")


def set_before(view: SwitchView) -> dict[str, StateView]:
    """What the switch was set to, for where that was what the configuration says."""
    exceptions = [
        f"{each.name} ({each.versions}): {switch_lists.setting(each.state, each.percent)}"
        for each in view.exceptions
    ]
    return {view.switch: set_for_good(view.set_to, exceptions)}
