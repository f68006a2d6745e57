"""A fault that comes with every message does not fill the log, and none of it is kept secret."""

from __future__ import annotations

from typing import Any

import pytest
import structlog
from structlog.testing import capture_logs

from proxy.observability import limited
from proxy.observability.limited import MOST, PERIOD, LimitedWarnings

KIND = {"mapping": "m", "rule": "r"}


class Desk:
    """Warnings, what was written of them, and the time."""

    def __init__(self) -> None:
        self.now = 0.0
        self.warnings = LimitedWarnings(structlog.get_logger(), lambda: self.now)


@pytest.fixture
def desk() -> Desk:
    return Desk()


def events(lines: Any) -> list[str]:
    return [line["event"] for line in lines]


def test_a_few_are_written_and_the_rest_are_counted_and_told(desk: Desk) -> None:
    with capture_logs() as lines:
        for number in range(MOST + 7):
            desk.warnings.write("failed", KIND, request_id=str(number))
        desk.warnings.check(PERIOD - 1)
        assert [line["request_id"] for line in lines] == [str(number) for number in range(MOST)]
        assert lines[0] == {"event": "failed", "log_level": "warning", "request_id": "0", **KIND}
        desk.warnings.check(PERIOD)
        desk.warnings.check(PERIOD * 3)
    assert lines[MOST:] == [
        {
            "event": "warnings suppressed",
            "log_level": "warning",
            "of": "failed",
            **KIND,
            "suppressed": 7,
            "seconds": PERIOD,
        }
    ]


def test_a_period_that_nobody_ended_ends_with_the_next_warning(desk: Desk) -> None:
    with capture_logs() as lines:
        for _ in range(MOST + 1):
            desk.warnings.write("failed", KIND)
        desk.now = PERIOD
        desk.warnings.write("failed", KIND)
    assert events(lines) == ["failed"] * MOST + ["warnings suppressed", "failed"]


def test_kinds_are_limited_apart_and_what_was_kept_back_is_told_at_the_end(desk: Desk) -> None:
    with capture_logs() as lines:
        for rule in ("one", "two"):
            for _ in range(MOST + 1):
                desk.warnings.write("failed", {"rule": rule})
        desk.warnings.write("other", {"rule": "one"})
        desk.warnings.close()
        desk.warnings.close()
    told = [line for line in lines if line["event"] == "warnings suppressed"]
    assert [(line["rule"], line["suppressed"]) for line in told] == [("one", 1), ("two", 1)]
    assert len(lines) == 2 * MOST + 1 + 2


def test_however_many_kinds_there_are_what_is_kept_is_bounded(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limited, "_KINDS", 3)
    with capture_logs() as lines:
        for number in range(100):
            desk.warnings.write("failed", {"rule": str(number)})
        desk.warnings.close()
    written = [line for line in lines if line["event"] == "failed"]
    assert len(written) == 3 + MOST
    assert lines[-1]["suppressed"] == 100 - len(written)
    assert "rule" not in lines[-1]
