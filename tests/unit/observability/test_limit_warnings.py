"""Every limit is in one list, warned about once a minute, and covered by the alert."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import structlog
import yaml
from structlog.testing import capture_logs

from proxy.configuration.sections import Config
from proxy.observability import limits
from proxy.observability.limits import BY_NAME, LIMITS, PERIOD, LimitWarnings
from proxy.observability.metrics import Metrics
from tests.support.checkout import ROOT
from tools import prometheus_rule

ALERTS = ROOT / "deploy" / "prometheus" / "segue-alerts.yml"
FULL = BY_NAME["connections_per_address"]


@dataclass
class Desk:
    """Warnings, and the time."""

    now: float = 0.0
    warnings: LimitWarnings = field(init=False)

    def __post_init__(self) -> None:
        self.warnings = LimitWarnings(
            structlog.get_logger(), lambda: self.now, lambda key: f"of {key}", lambda of: of[:4]
        )


@pytest.fixture
def desk() -> Desk:
    return Desk()


def test_the_first_is_told_at_once_and_the_others_once_a_minute(desk: Desk) -> None:
    assert FULL.error is not None
    with capture_logs() as lines:
        desk.warnings.failed(FULL.error.label, "10.1")
        assert lines == [
            {
                "event": "limit reached",
                "log_level": "warning",
                "limit": "connections_per_address",
                "set": {"limits.connections_per_address": "of limits.connections_per_address"},
                "times": 1,
                "effect": FULL.effect,
                "address": "10.1",
                "of_address": 1,
                "addresses": 1,
                "advice": FULL.advice,
            }
        ]
        # Those of one bucket count together.
        for address in ("10.1.7", "10.2.8", "10.2.9", "10.2"):
            desk.warnings.failed(FULL.error.label, address)
        desk.warnings.check(PERIOD - 1)
        assert len(lines) == 1
        desk.warnings.check(PERIOD)
        told = lines[-1]
        assert (told["times"], told["address"], told["of_address"], told["addresses"]) == (
            *(4, "10.2", 3, 2),
        )
        desk.warnings.check(2 * PERIOD)
        desk.warnings.check(9 * PERIOD)
        assert len(lines) == 2
        desk.now = 9 * PERIOD
        desk.warnings.failed(FULL.error.label, "10.1")
    assert len(lines) == 3


def test_each_limit_has_a_minute_of_its_own(desk: Desk) -> None:
    with capture_logs() as lines:
        for limit in LIMITS:
            if limit.error is None:
                desk.warnings.reached(limit.name, "10.1")
            else:
                desk.warnings.failed(limit.error.label, "10.1")
    assert [line["limit"] for line in lines] == [each.name for each in LIMITS if not each.is_usual]


def test_other_errors_are_no_limits(desk: Desk) -> None:
    with capture_logs() as lines:
        desk.warnings.failed("upstream_unreachable", "10.1")
    assert not lines


def test_who_is_not_known_has_no_address(desk: Desk) -> None:
    with capture_logs() as lines:
        desk.warnings.reached("memory", "")
    assert lines[0]["address"] is None


def test_the_addresses_of_a_period_are_bounded(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "_MOST_ADDRESSES", 3)
    with capture_logs() as lines:
        for number in range(20):
            desk.warnings.reached("frame", str(number))
        desk.warnings.check(PERIOD)
    assert (lines[-1]["times"], lines[-1]["addresses"]) == (19, 3)


def test_whoever_comes_after_a_thousand_others_is_named(desk: Desk) -> None:
    with capture_logs() as lines:
        for number in range(1500):
            desk.warnings.reached("frame", str(number))
        for _ in range(100):
            desk.warnings.reached("frame", "late")
        desk.warnings.check(PERIOD)
    assert lines[-1]["address"] == "late"
    assert lines[-1]["of_address"] == 100


def test_the_list_is_that_of_the_metrics() -> None:
    assert list(BY_NAME) == [limit.name for limit in LIMITS]
    assert Metrics("1").limits_reached.keys() == BY_NAME.keys()


def test_every_limit_says_what_to_do_and_names_keys_that_there_are() -> None:
    for limit in LIMITS:
        assert limit.effect
        assert limit.is_usual or limit.advice, limit.name
        for key in limit.keys:
            section, name = key.split(".")
            kind = Config.model_fields[section].annotation
            assert name in kind.model_fields, key  # type: ignore[union-attr]


def covering(rules: Path) -> tuple[re.Pattern[str], re.Pattern[str]]:
    """The labels that the alert of numbers leaves out, and those that the one of shares takes."""
    text = rules.read_text(encoding="utf-8")
    expressions = {
        rule["alert"]: rule["expr"]
        for document in yaml.safe_load_all(text)
        for group in document.get("groups") or document["spec"]["groups"]
        for rule in group["rules"]
        if "alert" in rule
    }
    # The first names what it leaves out, so that a new limit is in; Prometheus anchors a match.
    label = r'segue_limits_hit_total\{limit%s~"([a-z_|]+)"\}'
    left_out = re.search(label % "!", expressions["SegueLimitsHit"])
    taken = re.search(label % "=", expressions["SegueTimeLimitsHit"])
    assert left_out is not None
    assert taken is not None
    return re.compile(f"(?:{left_out[1]})"), re.compile(f"(?:{taken[1]})")


@pytest.mark.parametrize("rules", [ALERTS, prometheus_rule.TARGET], ids=["prometheus", "operator"])
@pytest.mark.parametrize("limit", LIMITS, ids=lambda limit: limit.name)
def test_the_alerts_cover_every_limit_that_is_not_reached_in_the_course_of_things(
    limit: limits.Limit, rules: Path
) -> None:
    left_out, taken = covering(rules)
    is_covered = not left_out.fullmatch(limit.name) or taken.fullmatch(limit.name) is not None
    assert is_covered is not limit.is_usual


def test_every_limit_is_in_the_documentation() -> None:
    page = (ROOT / "docs" / "limits.md").read_text(encoding="utf-8")
    for limit in LIMITS:
        assert f"`{limit.name}`" in page, f"docs/limits.md does not say what `{limit.name}` is"
    json.dumps([limit.keys for limit in LIMITS])
