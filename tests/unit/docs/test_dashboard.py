"""The dashboard: its panels have the units of what they ask for, and say what an empty one means.

That every query has data is shown by a real Prometheus: `tests/processes/observability`.
"""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from tests.support.checkout import ROOT

DASHBOARD: dict[str, Any] = json.loads(
    (ROOT / "deploy/grafana/segue.json").read_text(encoding="utf-8")
)
PANELS = [panel for panel in DASHBOARD["panels"] if panel["type"] in ("stat", "timeseries")]
QUERIES = [(panel, target["expr"]) for panel in PANELS for target in panel["targets"]]
NAMED = {f"{panel['title']}, {panel['id']}": panel for panel in PANELS}

PER_SECOND = {"reqps", "cps", "suffix: msg/s"}

# The first that is found in an expression says what its values are.
UNITS = (
    (r"histogram_quantile\(", {"s"}),
    (r"ratio5m|share1h|\) / sum| / ", {"percentunit"}),
    (r"rate\(process_cpu_seconds_total", {"percentunit"}),
    (r"rate\(segue_bytes_total", {"binBps"}),
    (r"rate\(segue_(\w+_)?messages_(added_)?total", {"suffix: msg/s"}),
    (r"rate\(segue_(mapping_failures|unmapped_kinds)_total", {"suffix: msg/s"}),
    (r"rate\(segue_(requests|errors|handshakes|version_sources|upstream_retries)_total", {"reqps"}),
    (r"rate\(segue_coalescing_settle_seconds", {"short"}),
    (r"rate\(segue_coalescing_", {"reqps"}),
    (r"segue_switch_percent", {"percent"}),
    (r"\brate\(", PER_SECOND),
    (r"increase\(", {"short"}),
    (r"time\(\)", {"s"}),
    (r"_bytes\b", {"bytes"}),
    (r"(?:store|upstream)_up|_read_only|_successful", {"bool_yes_no"}),
    (r"", {"short"}),
)


@pytest.mark.parametrize("name", NAMED)
def test_unit_of_a_panel_is_that_of_each_of_its_queries(name: str) -> None:
    panel = NAMED[name]
    for target in panel["targets"]:
        wanted = next(units for pattern, units in UNITS if re.search(pattern, target["expr"]))
        assert panel["fieldConfig"]["defaults"]["unit"] in wanted, target["expr"]


@pytest.mark.parametrize(
    "asked",
    [
        'sum(up{job="$job"',
        "segue_upstream_up",
        "segue:request_errors:ratio5m",
        "segue:mapping_failures:ratio5m",
        "segue_proxy_duration_seconds",
        "segue_upstream_duration_seconds",
        "segue_store_up",
        "segue_store_read_only",
        "segue_config_last_reload_successful",
        "segue_config_info",
        "segue_certificate_expiry_timestamp_seconds",
        "segue_log_lines_dropped_total",
        "segue_switch_overdue",
        "segue_switch_unapplied",
        "process_cpu_seconds_total",
    ],
)
def test_what_can_be_wrong_has_thresholds_with_colours(asked: str) -> None:
    found = [panel for panel, expression in QUERIES if asked in expression]
    assert found
    for panel in found:
        steps = panel["fieldConfig"]["defaults"]["thresholds"]["steps"]
        values = [step["value"] for step in steps]
        assert values[0] is None
        assert values[1:] == sorted(values[1:])
        colours = {step["color"] for step in steps}
        assert "green" in colours
        assert colours & {"orange", "red"}
        if panel["type"] == "stat":
            assert panel["options"]["colorMode"] == "background"
        else:
            assert panel["fieldConfig"]["defaults"]["custom"]["thresholdsStyle"]["mode"] != "off"


def rows() -> dict[str, list[dict[str, Any]]]:
    found: dict[str, list[dict[str, Any]]] = {}
    row = ""
    for panel in DASHBOARD["panels"]:
        if panel["type"] == "row":
            row = panel["title"]
        else:
            found.setdefault(row, []).append(panel)
    return found


@pytest.mark.parametrize(
    ("row", "setting"), [("Sessions", "sessions.enabled"), ("Request coalescing", "coalescing")]
)
def test_row_of_a_part_that_is_off_says_so(row: str, setting: str) -> None:
    for panel in rows()[row]:
        assert setting in panel["fieldConfig"]["defaults"]["noValue"], panel["title"]


def test_panels_that_are_empty_until_something_happens_say_what_that_means() -> None:
    # These series come with the first of their kind, not with the process.
    late = (
        *("segue_mapping_failures_total", "segue_unmapped_kinds_total", "segue_errors_total"),
        *("segue_handshakes_total", "segue_open_websockets", "segue_websocket_closes_total"),
        *("segue_upstream_failures_total", "segue_upstream_retries_total"),
        *("segue_certificate_expiry", "segue_websockets_total", "segue:"),
        *("segue_switch_users", "segue_switch_shadow_messages_total"),
    )
    for panel, expression in QUERIES:
        if any(name in expression for name in late):
            assert panel["fieldConfig"]["defaults"].get("noValue"), panel["title"]


def test_reloads_and_other_changes_are_marked() -> None:
    marks = {mark["name"]: mark for mark in DASHBOARD["annotations"]["list"]}
    assert set(marks) == {"Reloads", "Refused reloads", "Switches", "Starts", "Versions of Segue"}
    for mark in marks.values():
        assert mark["enable"]
        assert mark["target"]["expr"] == mark["expr"]
        assert '{job="$job",instance=~"$instance"' in mark["expr"]
        assert "{{instance}}" in mark["titleFormat"]
