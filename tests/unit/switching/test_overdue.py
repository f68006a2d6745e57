"""What is counted as overdue: settings and exceptions whose time is over, however they end."""

from __future__ import annotations

from proxy.switching.setting import OFF, Mode, Setting
from proxy.switching.table import EMPTY, SwitchName, SwitchState, Table, Term, VersionException
from proxy.switching.terms import overdue
from proxy.versions.version import parse_range

ONE, OTHER = SwitchName("modern", "one"), SwitchName("modern", "other")
SHADOW = Setting(Mode.SHADOW)


def excepted(name: str, until: float | None) -> VersionException:
    return VersionException(name, parse_range("==1"), OFF, Term("ci", until))


def test_each_setting_and_each_exception_counts_from_its_time_on() -> None:
    exceptions = (excepted("a", 10), excepted("b", None), excepted("c", 20))
    states = {
        ONE: SwitchState(SHADOW, exceptions, Term("ci", 15, restore=True)),
        OTHER: SwitchState(SHADOW, (), Term("ci")),
    }
    table = Table(1, states)
    assert [overdue(table, now) for now in (9.9, 10, 15, 20)] == [0, 1, 2, 3]
    assert overdue(EMPTY, 10) == 0
