"""How long a refresh that failed waits, and what ends the wait."""

from __future__ import annotations

import pytest

from proxy.sessions.pace import LONGEST_PAUSE, Pace, Sign
from proxy.upstream.health import SignsOfLife

FIRST = 1.0


def failing(times: int, after: Sign | None, signs: SignsOfLife) -> Pace:
    """A pace after so many failures at 100."""
    pace = Pace(0.0)
    for _ in range(times):
        pace.fail(100.0, FIRST, after, signs)
    return pace


def test_a_pause_doubles_and_has_an_end() -> None:
    signs = SignsOfLife()
    for times, pause in ((1, 1.0), (2, 2.0), (5, 16.0), (6, LONGEST_PAUSE), (50, LONGEST_PAUSE)):
        pace = failing(times, Sign.ANSWER, signs)
        assert not pace.may_refresh(100.0 + pause - 0.1, signs)
        assert pace.may_refresh(100.0 + pause, signs)


@pytest.mark.parametrize(
    ("after", "heard", "ends"),
    [
        (Sign.ANSWER, SignsOfLife(answers=8, recoveries=3), True),
        (Sign.RECOVERY, SignsOfLife(answers=7, recoveries=4), True),
        (Sign.RECOVERY, SignsOfLife(answers=8, recoveries=3), False),
        (None, SignsOfLife(answers=8, recoveries=4), False),
    ],
    ids=["answers", "has recovered", "answers others only", "not the server's part"],
)
def test_a_sign_of_life_makes_it_the_first_pause_again(
    after: Sign | None, heard: SignsOfLife, ends: bool
) -> None:
    before = SignsOfLife(answers=7, recoveries=3)
    pace = failing(6, after, before)
    assert not pace.may_refresh(100.0 + FIRST, before)
    assert not pace.may_refresh(100.0 + FIRST - 0.1, heard)
    assert pace.may_refresh(100.0 + FIRST, heard) is ends


def test_what_has_recovered_waits_for_nothing_and_begins_anew() -> None:
    signs = SignsOfLife()
    pace = failing(6, None, signs)
    pace.recover()
    assert pace.may_refresh(100.0, signs)
    pace.fail(100.0, FIRST, None, signs)
    assert pace.may_refresh(100.0 + FIRST, signs)
