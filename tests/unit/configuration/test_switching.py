"""The section `switching`: first states of switches, with line and column of what is wrong."""

from __future__ import annotations

from pathlib import Path

import pytest

from proxy.configuration.switching import Switching, unknown_switches
from proxy.control.loading import load
from proxy.errors import ConfigError
from proxy.switching.setting import OFF, ON, Mode, Setting
from proxy.switching.table import MAX_EXCEPTIONS, SwitchName
from tests.support.checkout import ROOT
from tests.support.configured import MINIMAL, problems, read

NAME = SwitchName("modern", "old-to-new")
COHORTS = (
    "cohorts: [{name: modern, versions: '>=2', websocket: {to_client: [old-to-new, other]}},"
    " {name: a, versions: '<2', websocket: {to_client: [b], to_server: [c]}}]\n"
)


def switching(text: str) -> Switching:
    return read(f"{MINIMAL}{COHORTS}switching: {text}\n").switching


@pytest.mark.parametrize(
    ("written", "setting"),
    [
        ("off", OFF),
        ("on", ON),
        ('"off"', OFF),
        ("'on'", ON),
        ("shadow", Setting(Mode.SHADOW)),
        ("canary 2.5%", Setting(Mode.CANARY, 250)),
        ('"canary 0%"', Setting(Mode.CANARY, 0)),
        ("canary 0.01%", Setting(Mode.CANARY, 1)),
        ("canary 100%", Setting(Mode.CANARY, 10_000)),
    ],
)
def test_a_state_is_read_as_it_is_written(written: str, setting: Setting) -> None:
    found = switching(f"{{switches: {{modern/old-to-new: {written}}}}}")
    assert found.first()[NAME].setting == setting


@pytest.mark.parametrize(
    "written",
    [
        "true",
        "5",
        "yes",
        "Off",
        "canary",
        "canary 5",
        "canary 101%",
        "[on]",
        "{on: 1}",
        "null",
        "~",
    ],
)
def test_what_is_no_state_is_refused_where_it_stands(written: str) -> None:
    (problem,) = problems(
        f"{MINIMAL}{COHORTS}switching:\n  switches:\n    modern/old-to-new: {written}\n"
    )
    assert (problem.line, problem.column) == (5, 24)
    assert "expected off, shadow, on, or a canary" in problem.message


@pytest.mark.parametrize("name", ["modern", "modern/", "/x", '"a/\\t"', "5"])
def test_what_is_no_name_of_a_switch_is_refused(name: str) -> None:
    (problem,) = problems(f"{MINIMAL}switching: {{switches: {{{name}: on}}}}\n")
    assert problem.line == 2
    assert "expected a cohort and a mapping" in problem.message


def test_exceptions_are_in_their_order_beside_the_state() -> None:
    first = switching(
        """
  switches: {modern/old-to-new: shadow}
  exceptions:
    - {switch: modern/old-to-new, name: broken, versions: "==2.1.3", state: off}
    - {switch: modern/old-to-new, name: next, versions: ">=3", state: on}
    - {switch: modern/other, name: broken, versions: "<3", state: canary 5%}"""
    ).first()
    state = first[NAME]
    assert state.setting == Setting(Mode.SHADOW)
    assert [(each.name, str(each.versions), each.setting) for each in state.exceptions] == [
        ("broken", "==2.1.3", OFF),
        ("next", ">=3", ON),
    ]
    other = first[SwitchName("modern", "other")]
    assert other.setting == ON
    assert [each.setting for each in other.exceptions] == [Setting(Mode.CANARY, 500)]


def test_without_the_section_operators_have_the_say_and_sockets_keep_what_they_have() -> None:
    found = read(MINIMAL).switching
    assert (found.authority, found.open_sockets, found.first()) == ("live", "keep", {})


@pytest.mark.parametrize(
    "text",
    [
        "{authority: git}",
        "{open_sockets: drop}",
        "{open_sockets: next-message}",
        "{reconnect_over: 2h}",
        "{shadow_budget: 2s}",
        "{shadow_budget: -1s}",
        "{exceptions: [{switch: a/b, name: Broken, versions: '==1', state: off}]}",
        "{exceptions: [{switch: a/b, name: broken, versions: '1', state: off}]}",
        "{exceptions: [{switch: a/b, name: broken, versions: '==1'}]}",
        "{exceptions: [{switch: a/b, name: none, versions: '==1', state: off}]}",
        "{states: {}}",
    ],
)
def test_what_the_section_does_not_know_is_refused(text: str) -> None:
    (problem,) = problems(f"{MINIMAL}switching: {text}\n")
    assert problem.line == 2


def test_a_switch_twice_is_refused() -> None:
    (problem,) = problems(f"{MINIMAL}switching:\n  switches:\n    a/b: on\n    a/b: off\n")
    assert problem.line == 5
    assert "already given in line 4" in problem.message


# What is not there: of the whole configuration, with its mappings.


def told(directory: Path, text: str) -> list[tuple[int, int, str, str]]:
    file = directory / "config.yaml"
    whole = (ROOT / "config.yaml").read_text("utf-8")
    file.write_text(f"{text}\n{whole}", encoding="utf-8")
    (directory / "mappings").symlink_to(ROOT / "mappings")
    with pytest.raises(ConfigError) as caught:
        load(file, {}, {})
    return [(each.line, each.column, each.path, each.message) for each in caught.value.problems]


def test_an_unknown_switch_is_shown_where_it_stands_with_those_that_there_are(
    tmp_path: Path,
) -> None:
    text = """switching:
  switches:
    modern/new-to-old: off
    nobody/old-to-new: off
    modern/old-to-new: off
  exceptions:
    - {switch: legacy/old-to-new, name: e, versions: "==1", state: off}"""
    assert [each[:3] for each in told(tmp_path, text)] == [
        (3, 24, 'switching.switches["modern/new-to-old"]'),
        (4, 24, 'switching.switches["nobody/old-to-new"]'),
        (7, 16, "switching.exceptions[0].switch"),
    ]


def test_an_exception_for_nobody_is_shown_where_it_stands(tmp_path: Path) -> None:
    text = """switching:
  exceptions:
    - {switch: modern/old-to-new, name: a, versions: "==1.0", state: off}
    - {switch: modern/old-to-new, name: b, versions: "==2.1.3,<1", state: off}
    - {switch: modern/old-to-new, name: c, versions: "==2.1.3", state: off}"""
    assert [each[2:] for each in told(tmp_path, text)] == [
        (
            f"switching.exceptions[{index}].versions",
            f"no version of the cohort modern (>=2) is in {versions}",
        )
        for index, versions in enumerate(("==1.0", "==2.1.3,<1"))
    ]


def test_what_is_unknown_names_what_is_near() -> None:
    settings = Switching.model_validate(
        {"switches": {"modern/zzz": "on", "nobody/zzz": "on", "modern/old-to-new": "on"}}
    )
    known = frozenset({NAME, SwitchName("legacy", "new-to-old")})
    assert [
        (place, text.rpartition("are: ")[2]) for place, text in unknown_switches(settings, known)
    ] == [
        (("switches", "modern/zzz"), "modern/old-to-new"),
        (("switches", "nobody/zzz"), "legacy/new-to-old, modern/old-to-new"),
    ]
    assert unknown_switches(settings, frozenset())[0][1].endswith("there are: none")


def of_exceptions(*pairs: tuple[str, str]) -> str:
    lines = [
        f"\n    - {{switch: {switch}, name: {name}, versions: '==1', state: off}}"
        for switch, name in pairs
    ]
    return "".join(("\n  exceptions:", *lines))


def refused(*pairs: tuple[str, str]) -> list[tuple[int, str, str]]:
    found = problems(f"{MINIMAL}{COHORTS}switching:{of_exceptions(*pairs)}\n")
    return [(each.line, each.path, each.message) for each in found]


def test_a_name_is_that_of_one_exception_of_its_switch() -> None:
    pairs = ("a/b", "one"), ("a/c", "one"), ("a/b", "two")
    assert len(switching(of_exceptions(*pairs)).exceptions) == 3
    assert refused(*pairs, ("a/b", "one")) == [
        (
            8,
            "switching.exceptions[3].name",
            "the name `one` is taken by switching.exceptions[0]",
        )
    ]


def test_a_switch_has_no_more_than_twenty_exceptions() -> None:
    names = [("a/b", f"e{number}") for number in range(MAX_EXCEPTIONS)]
    state = switching(of_exceptions(*names, ("a/c", "e"))).first()[SwitchName("a", "b")]
    assert len(state.exceptions) == MAX_EXCEPTIONS
    assert refused(*names, ("a/b", "x"), ("a/b", "y")) == [
        (25, "switching.exceptions[20]", "`a/b` has more than 20 exceptions")
    ]
