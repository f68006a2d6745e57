"""What all switches are set to: what a table says of one, for whom."""

from __future__ import annotations

import pytest

from proxy.switching.setting import OFF, ON, Mode, Setting
from proxy.switching.table import (
    ALL_ON,
    EMPTY,
    SwitchName,
    SwitchState,
    Table,
    VersionException,
    read_name,
)
from proxy.versions.version import Version, parse_range

NAME = SwitchName("modern", "old-to-new")
SHADOW = Setting(Mode.SHADOW)


def version(text: str) -> Version:
    found = Version.parse(text)
    assert found is not None
    return found


def exception(name: str, versions: str, setting: Setting) -> VersionException:
    return VersionException(name, parse_range(versions), setting)


def test_a_name_is_read_as_it_is_written() -> None:
    assert read_name("modern/old-to-new") == NAME
    assert str(NAME) == "modern/old-to-new"
    assert read_name("a/b/c") == SwitchName("a", "b/c")


@pytest.mark.parametrize(
    "text", ["", "/", "modern", "modern/", "/old-to-new", "a/b\n", "a/\x00", f"a/{'b' * 255}"]
)
def test_what_is_no_name_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="expected a cohort and a mapping"):
        read_name(text)


def test_the_first_exception_that_has_the_version_counts() -> None:
    state = SwitchState(
        ON, (exception("narrow", "==2.1.3", OFF), exception("wide", ">=2.1,<2.2", SHADOW))
    )
    assert state.for_version(version("2.1.3")) == ("narrow", OFF)
    assert state.for_version(version("2.1.4")) == ("wide", SHADOW)
    assert state.for_version(version("2.2")) == ("", ON)
    assert state.for_version(None) == ("", ON)
    assert state.named("wide") is state.exceptions[1]
    assert state.named("else") is None


def test_what_nobody_has_set_is_as_the_configuration_says() -> None:
    first = {NAME: SwitchState(SHADOW, (exception("e", "==1", OFF),))}
    untouched = Table(5, {NAME: SwitchState(revision=4)})
    assert untouched.wanted(NAME, first) == SwitchState(SHADOW, first[NAME].exceptions, revision=4)
    assert EMPTY.wanted(NAME, first) == first[NAME]
    assert EMPTY.wanted(NAME, {NAME: ALL_ON}).for_version(None) == ("", ON)
    assert SwitchState().for_version(None) == ("", ON)


def test_what_somebody_has_set_wins() -> None:
    table = Table(7, {NAME: SwitchState(OFF, revision=7)})
    assert table.wanted(NAME, {NAME: ALL_ON}).setting == OFF
    assert table.revision(NAME) == 7
    assert table.revision(SwitchName("a", "b")) == 0


def test_a_switch_that_is_not_there_is_off() -> None:
    assert EMPTY.wanted(NAME, {}).setting == OFF


def test_everything_off_covers_exceptions_too() -> None:
    first = {NAME: SwitchState(ON, (exception("e", "==1", ON),))}
    table = Table(3, {NAME: SwitchState(ON, first[NAME].exceptions, revision=2)}, all_off=True)
    assert table.in_force(NAME, first).for_version(version("1")) == ("", OFF)
    assert table.wanted(NAME, first).for_version(version("1")) == ("e", ON)
    assert EMPTY.in_force(NAME, first) == first[NAME]
