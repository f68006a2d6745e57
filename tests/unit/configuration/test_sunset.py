"""The section `switching.sunset`."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from proxy.configuration.sunset import Sunset
from proxy.configuration.switching import Switching, unknown_switches
from proxy.switching.table import SwitchName

DAY = 86_400
ONE = {"switch": "a/b", "deprecation": "2026-12-01"}


def read(**section: Any) -> Sunset:
    return Sunset.model_validate(section)


def test_defaults() -> None:
    found = read()
    assert (found.idle, found.ignore, found.announce) == (14 * DAY, (), ())


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("1970-01-01", 0),
        ("2026-12-01", 1_796_083_200),
        ("2026-12-01T08:00Z", 1_796_083_200 + 8 * 3600),
        ("2026-12-01 08:00:05Z", 1_796_083_200 + 8 * 3600 + 5),
        ("2028-02-29", 1_835_395_200),
    ],
)
def test_moments(text: str, seconds: int) -> None:
    (found,) = read(announce=[{**ONE, "deprecation": text}]).announce
    assert found.deprecation == seconds


@pytest.mark.parametrize(
    "wrong",
    [
        {"idle": "23h"},
        {"idle": "8761h"},
        {"ignore": [{}]},
        {"ignore": [{"user_agent": ""}]},
        {"ignore": [{"addresses": ["10.0.0.1/8"]}]},
        *(
            {"announce": [{**ONE, "deprecation": text}]}
            for text in (
                *(
                    "2027-02-29",
                    "2026-13-01",
                    "2026-00-01",
                    "2026-12-00",
                    "1969-12-31",
                    "0000-01-01",
                ),
                *("2026-12-01T24:00Z", "2026-12-01T00:60Z", "2026-12-01T00:00:60Z"),
                *("2026-12-01T08:00", "tomorrow", "", 17, None),
            )
        ),
        {"announce": [{**ONE, "sunset": "2026-11-30"}]},
        {"announce": [{**ONE, "switch": "a"}]},
        {"announce": [{"switch": "a/b"}]},
        *(
            {"announce": [{**ONE, "link": text}]}
            for text in ("javascript:x", "https://a/>; rel=x", "/a b", "/a\r\nb", "//x y", 'a"')
        ),
    ],
)
def test_what_cannot_be_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        read(**wrong)


def test_announced_switches_have_to_be_there_once() -> None:
    settings = Switching.model_validate(
        {"sunset": {"announce": [ONE, {**ONE, "switch": "a/c"}, {**ONE, "link": "/why"}]}}
    )
    found = unknown_switches(settings, frozenset({SwitchName("a", "b")}))
    assert [(path[2], message.split(";")[0]) for path, message in found] == [
        (1, "no cohort names this mapping"),
        (2, "`a/b` is in switching.sunset.announce[0]"),
    ]


def test_ignored_clients_and_announcements_are_read() -> None:
    found = read(
        ignore=[{"user_agent": "probe"}, {"addresses": ["10.0.0.0/8"]}, {"versions": "==0.1"}],
        announce=[{**ONE, "sunset": "2027-01-01", "link": "https://e.org/a?b#c"}],
    )
    assert [each.user_agent for each in found.ignore] == ["probe", None, None]
    assert found.announced == {"a/b": found.announce[0]}
    assert found.announce[0].link == "https://e.org/a?b#c"
