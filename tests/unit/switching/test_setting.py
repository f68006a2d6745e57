"""What one switch is set to: how it is written, read and compared."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.switching.setting import OFF, ON, WHOLE, Mode, Setting, parse_setting, share_of

shares = st.integers(0, WHOLE)
settings = st.one_of(
    st.sampled_from([OFF, ON, Setting(Mode.SHADOW)]),
    st.builds(Setting, st.just(Mode.CANARY), shares),
)


@given(settings)
def test_what_is_written_is_read(setting: Setting) -> None:
    assert parse_setting(str(setting)) == setting


@pytest.mark.parametrize(
    ("text", "share", "written"),
    [
        ("canary 0%", 0, "canary 0%"),
        ("canary 0.01%", 1, "canary 0.01%"),
        ("canary 2.5%", 250, "canary 2.5%"),
        ("canary 2.50%", 250, "canary 2.5%"),
        ("canary 007%", 700, "canary 7%"),
        ("canary 10%", 1000, "canary 10%"),
        ("canary 99.99%", 9999, "canary 99.99%"),
        ("canary 100.00%", 10000, "canary 100%"),
    ],
)
def test_a_canary_is_written_with_its_share(text: str, share: int, written: str) -> None:
    setting = parse_setting(text)
    assert (setting, str(setting)) == (Setting(Mode.CANARY, share), written)
    assert setting.percent == share / 100


@pytest.mark.parametrize(
    "text",
    [
        "", "On", "on ", " on", "canary", "canary 5", "canary5%", "canary  5%", "canary -1%",
        "canary 100.01%", "canary 101%", "canary 1000%", "canary 1.234%", "canary .5%",
        "canary 1.%", "canary ٥%", "canary 1e1%", "canary nan%", "canary 5%\n", "true", "5%",
    ],
)  # fmt: skip
def test_what_is_no_setting_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"expected off, shadow, on, or a canary"):
        parse_setting(text)


@given(st.text())
def test_any_text_is_a_setting_or_refused(text: str) -> None:
    try:
        setting = parse_setting(text)
    except ValueError:
        return
    assert parse_setting(str(setting)) == setting


@pytest.mark.parametrize(
    ("mode", "share"),
    [(Mode.CANARY, -1), (Mode.CANARY, WHOLE + 1), (Mode.ON, 1), (Mode.OFF, 5), (Mode.SHADOW, 100)],
)
def test_a_share_is_that_of_a_canary(mode: Mode, share: int) -> None:
    with pytest.raises(ValueError, match="of a canary alone"):
        Setting(mode, share)


def test_only_a_canary_has_a_percentage() -> None:
    assert (OFF.percent, ON.percent, Setting(Mode.SHADOW).percent) == (None, None, None)


@given(shares)
def test_a_percentage_with_two_decimals_is_a_share(share: int) -> None:
    assert share_of(share / 100) == share
    assert share_of(float(f"{share / 100:.2f}")) == share


@pytest.mark.parametrize(
    "percent", [-0.01, 100.01, 0.005, 33.333, float("nan"), float("inf"), -float("inf"), 1e300]
)
def test_no_other_number_is_a_share(percent: float) -> None:
    with pytest.raises(ValueError, match="at most two decimals"):
        share_of(percent)


LADDER = [
    OFF,
    Setting(Mode.SHADOW),
    Setting(Mode.CANARY, 0),
    Setting(Mode.CANARY, 1),
    Setting(Mode.CANARY, WHOLE),
    ON,
]
"""From the lowest to the highest."""


def test_each_setting_lowers_those_above_it_and_itself() -> None:
    for (low, lower), (high, higher) in itertools.product(enumerate(LADDER), repeat=2):
        assert lower.lowers(higher) is (low <= high)
