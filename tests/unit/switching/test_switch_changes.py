"""What is done to one switch by name; all else of it stands in `test_changes`."""

from __future__ import annotations

import pytest

from proxy.switching.refusal import ChangeRefused, Why
from proxy.switching.setting import OFF, ON
from proxy.switching.switch_changes import (
    RestoreSwitch,
    SetSwitch,
    check_expected,
    check_switch,
    switched,
)
from proxy.switching.table import ALL_ON, EMPTY, SwitchName, SwitchState

ONE = SwitchName("modern", "one")
FIRST = {ONE: ALL_ON}


def test_what_is_set_is_at_the_next_number_and_can_be_ended() -> None:
    table = switched(EMPTY, SetSwitch(ONE, OFF), FIRST)
    assert table.states == {ONE: SwitchState(OFF, revision=1)}
    back = switched(table, RestoreSwitch(ONE, 1), FIRST)
    assert back.states == {ONE: SwitchState(revision=2)}


def test_what_is_there_and_at_which_revision() -> None:
    assert check_switch(EMPTY, ONE, FIRST).setting == ON
    with pytest.raises(ChangeRefused, match="there is no switch `modern/two`"):
        check_switch(EMPTY, SwitchName("modern", "two"), FIRST)
    check_expected(SwitchState(ON, revision=3), ONE, 3)
    check_expected(SwitchState(ON, revision=3), ONE, None)
    with pytest.raises(ChangeRefused) as refused:
        check_expected(SwitchState(ON, revision=3), ONE, 2)
    assert refused.value.why is Why.CHANGED
