"""The bounds of guards, and the hours in which switches rise, as they are written."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from proxy.configuration.guarding import Guard, RiseHours
from proxy.configuration.switching import Switching, unknown_switches
from proxy.switching.guards import GuardMode, GuardRules
from proxy.switching.table import SwitchName

SWITCH = SwitchName("modern", "frames")


def test_the_defaults_are_those_of_the_rules() -> None:
    rules = Guard().rules()
    assert rules.error == pytest.approx(GuardRules().error)
    assert rules == GuardRules(error=rules.error)


def test_one_switch_has_other_bounds_and_all_else_as_the_others() -> None:
    section = Switching.model_validate(
        {
            "guard": {"mode": "observe", "failed": "0.5%", "window": "10m"},
            "guards": {"modern/frames": {"failed": None, "min_users": "3"}},
        }
    )
    own, others = section.guard_rules(SWITCH), section.guard_rules(SwitchName("a", "b"))
    assert (own.failed, own.min_users, own.mode) == (None, 3, GuardMode.OBSERVE)
    assert (others.failed, others.min_users, others.window) == (0.005, 10, 600.0)
    assert own.window == 600.0
    assert not section.compares_requests
    compares = {"guards": {"a/b": {"http_errors": "1 %"}}}
    assert Switching.model_validate(compares).compares_requests
    (problem,) = unknown_switches(section, frozenset({SwitchName("a", "b")}))
    assert problem[0] == ("guards", "modern/frames")


@pytest.mark.parametrize(
    "share", ["1", 0.01, 1, "-1%", "101%", "100%", "%", "1%%", ["1%"], True, "0.00000001%"]
)
def test_no_share(share: object) -> None:
    with pytest.raises(ValidationError):
        Guard.model_validate({"failed": share})


def test_a_confidence_that_is_none_is_refused() -> None:
    for confidence in ("50%", "100%", "99.99999%", None):
        with pytest.raises(ValidationError):
            Guard.model_validate({"confidence": confidence})
    assert Guard.model_validate({"confidence": "95%"}).rules().error == pytest.approx(0.05)


def test_hours_are_read() -> None:
    hours = RiseHours.model_validate(
        {"hours": "9:00 - 16:30", "days": "mon-thu", "timezone": "Europe/Berlin"}
    )
    assert str(hours.window) == "mon, tue, wed, thu 09:00-16:30 Europe/Berlin"


@pytest.mark.parametrize(
    "wrong",
    [
        {"hours": "9-16"},
        {"hours": "09:00"},
        {"hours": "09:00-25:00"},
        {"hours": "09:00-16:00", "days": "workdays"},
        {"hours": "09:00-16:00", "timezone": "Mars/Olympus"},
        {"hours": "09:00-16:00", "timezone": "../../etc/passwd"},
        {"hours": "09:00-16:00", "timezone": ""},
        {},
    ],
)
def test_no_hours(wrong: dict[str, str]) -> None:
    with pytest.raises(ValidationError):
        RiseHours.model_validate(wrong)
