"""The metrics page, read back by the parser of `prometheus_client`."""

from __future__ import annotations

import platform
from http import HTTPStatus

import pytest
from prometheus_client.parser import text_string_to_metric_families

from proxy.errors import (
    AddressFull,
    ConnectionsFull,
    HeadersTooLarge,
    MappingFailure,
    RequestTimeout,
)
from proxy.observability.families import Combined, gauge
from proxy.observability.metrics import CONTENT_TYPE, Metrics, close_code_label, code_label
from proxy.types import Direction, OnError

FAILURE = MappingFailure("m", "status", "cannot", OnError.PASS)


@pytest.fixture
def metrics() -> Metrics:
    return Metrics("1.2.3")


def samples(metrics: Metrics, name: str) -> dict[tuple[str, ...], float]:
    """The samples of one name on the page, by the values of the labels of its family."""
    labels = {family.name: family.labels for family in metrics.families}
    return {
        tuple(sample.labels[label] for label in labels[family.name]): sample.value
        for family in text_string_to_metric_families(metrics.page().decode())
        for sample in family.samples
        if sample.name == name
    }


def test_the_page_shows_every_family_with_its_meaning_and_kind(metrics: Metrics) -> None:
    shown = {
        family.name: (family.type, family.documentation)
        for family in text_string_to_metric_families(metrics.page().decode())
    }
    assert len(metrics.families) == 16
    for family in metrics.families:
        assert shown[family.name] == (family.kind, family.meaning)
        assert family.meaning.endswith(".")
    for name in ("process_resident_memory_bytes", "python_info", "python_gc_objects_collected"):
        assert name in shown
    assert CONTENT_TYPE == "text/plain; version=0.0.4; charset=utf-8"


def test_a_page_without_traffic_has_the_build_and_limits_that_were_never_hit(
    metrics: Metrics,
) -> None:
    names = {
        sample.name
        for family in text_string_to_metric_families(metrics.page().decode())
        for sample in family.samples
        if sample.name.startswith("segue_")
    }
    assert names == {"segue_build_info", "segue_limits_hit_total"}
    assert {*samples(metrics, "segue_limits_hit_total").values()} == {0}
    assert samples(metrics, "segue_build_info") == {("1.2.3", platform.python_version()): 1}


def test_the_outcomes_of_messages_add_up_to_those_received(metrics: Metrics) -> None:
    counts = metrics.messages("jobs-to-new", Direction.TO_CLIENT)
    counts.mapped, counts.passed, counts.dropped, counts.failed, counts.undelivered = 5, 4, 3, 2, 1
    counts.added = 7
    metrics.messages("none", Direction.TO_SERVER).passed += 1
    key = ("jobs-to-new", "to_client")
    shown = samples(metrics, "segue_messages_total")
    assert shown == {
        (*key, "mapped"): 5,
        (*key, "passed"): 4,
        (*key, "dropped"): 3,
        (*key, "failed"): 2,
        (*key, "undelivered"): 1,
        ("none", "to_server", "mapped"): 0,
        ("none", "to_server", "passed"): 1,
        ("none", "to_server", "dropped"): 0,
        ("none", "to_server", "failed"): 0,
        ("none", "to_server", "undelivered"): 0,
    }
    assert sum(value for labels, value in shown.items() if labels[:2] == key) == counts.received
    assert samples(metrics, "segue_messages_added_total") == {key: 7, ("none", "to_server"): 0}


def test_one_mapping_and_direction_has_one_account_for_good(metrics: Metrics) -> None:
    counts = metrics.messages("m", Direction.TO_CLIENT)
    assert metrics.messages("m", Direction.TO_CLIENT) is counts
    assert metrics.messages("m", Direction.TO_SERVER) is not counts
    assert metrics.messages("n", Direction.TO_CLIENT) is not counts


def test_what_a_mapping_does_is_shown_by_cohort_too(metrics: Metrics) -> None:
    metrics.messages("m", Direction.TO_CLIENT, "modern").mapped += 3
    metrics.messages("m", Direction.TO_CLIENT, "newest").mapped += 4
    metrics.messages("m", Direction.TO_CLIENT, "newest").count_failure(FAILURE)
    metrics.messages("m", Direction.TO_CLIENT, "modern").count_failure(FAILURE)
    key = ("m", "to_client")
    assert samples(metrics, "segue_messages_total")[*key, "mapped"] == 7
    assert samples(metrics, "segue_messages_added_total") == {key: 0}
    assert samples(metrics, "segue_mapping_failures_total") == {(*key, "status"): 2}
    shown = samples(metrics, "segue_cohort_messages_total")
    assert shown["modern", *key, "mapped"] == 3
    assert shown["newest", *key, "mapped"] == 4


def test_failures_are_shown_by_rule(metrics: Metrics) -> None:
    counts = metrics.messages("m", Direction.TO_SERVER)
    for rule in ("status", "chat", "status"):
        counts.count_failure(MappingFailure("m", rule, "cannot", OnError.PASS))
    assert samples(metrics, "segue_mapping_failures_total") == {
        ("m", "to_server", "status"): 2,
        ("m", "to_server", "chat"): 1,
    }


def test_requests_errors_sources_and_sockets_are_shown_by_their_labels(metrics: Metrics) -> None:
    metrics.requests["modern", "200"] += 2
    metrics.requests["none", "404"] += 1
    metrics.errors["upstream_timeout"] += 3
    metrics.version_sources["query"] += 4
    metrics.sockets["legacy"] += 5
    assert samples(metrics, "segue_requests_total") == {("modern", "200"): 2, ("none", "404"): 1}
    assert samples(metrics, "segue_errors_total") == {("upstream_timeout",): 3}
    assert samples(metrics, "segue_version_sources_total") == {("query",): 4}
    assert samples(metrics, "segue_websockets_total") == {("legacy",): 5}


def test_the_labels_of_the_families_are_these(metrics: Metrics) -> None:
    assert {family.name: family.labels for family in metrics.families} == {
        "segue_build_info": ("version", "python"),
        "segue_requests": ("cohort", "code"),
        "segue_request_duration_seconds": ("cohort", "protocol"),
        "segue_proxy_duration_seconds": ("cohort", "protocol"),
        "segue_upstream_duration_seconds": ("cohort", "protocol"),
        "segue_errors": ("error",),
        "segue_version_sources": ("source",),
        "segue_websockets": ("cohort",),
        "segue_handshakes": ("cohort", "result"),
        "segue_websocket_closes": ("side", "code"),
        "segue_limits_hit": ("limit",),
        "segue_messages": ("mapping", "direction", "outcome"),
        "segue_cohort_messages": ("cohort", "mapping", "direction", "outcome"),
        "segue_messages_added": ("mapping", "direction"),
        "segue_mapping_failures": ("mapping", "direction", "rule"),
        "segue_unmapped_kinds": ("mapping", "direction", "kind"),
    }


def test_a_family_that_is_added_is_read_at_each_scrape(metrics: Metrics) -> None:
    open_now = 1
    metrics.add(
        (
            gauge(
                "segue_open",
                "Open now.",
                ("kind",),
                lambda: [(("http",), open_now)],
                over_processes=Combined.SUM,
            ),
        )
    )
    assert samples(metrics, "segue_open") == {("http",): 1}
    open_now = 0
    assert samples(metrics, "segue_open") == {("http",): 0}
    assert metrics.families[-1].name == "segue_open"


def test_odd_names_of_the_configuration_stay_one_label_value(metrics: Metrics) -> None:
    odd = 'a"b\\c\nd{e="f"} 1 é'
    metrics.sockets[odd] += 1
    assert samples(metrics, "segue_websockets_total") == {(odd,): 1}


def test_codes_that_nobody_registered_share_one_label_value() -> None:
    registered = {str(status.value) for status in HTTPStatus}
    assert {code_label(code) for code in range(1000)} == registered | {"499", "other"}
    assert code_label(200) == "200"
    assert code_label(799) == "other"
    assert code_label(0) == "other"


def test_a_client_that_had_gone_is_counted_as_499() -> None:
    assert code_label(499) == "499"


def test_durations_are_shown_in_buckets_with_their_sum_and_number(metrics: Metrics) -> None:
    metrics.timings("modern", "http").observe(0.002, 0.0019)
    metrics.timings("modern", "http").observe(70.0, 69.9)
    page = metrics.page().decode()
    family = 'segue_request_duration_seconds_bucket{cohort="modern",le="%s",protocol="http"} %s'
    for bound, count in (("0.001", "0.0"), ("0.0025", "1.0"), ("60", "1.0"), ("+Inf", "2.0")):
        assert family % (bound, count) in page.splitlines()
    key = ("modern", "http")
    assert samples(metrics, "segue_request_duration_seconds_sum") == {key: 70.002}
    assert samples(metrics, "segue_request_duration_seconds_count") == {key: 2}
    assert samples(metrics, "segue_proxy_duration_seconds_sum")[key] == pytest.approx(0.1001)
    assert samples(metrics, "segue_upstream_duration_seconds_count") == {key: 2}


def test_a_request_that_did_not_reach_the_server_has_no_duration_of_the_server(
    metrics: Metrics,
) -> None:
    metrics.timings("none", "http").observe(0.001, 0)
    assert samples(metrics, "segue_proxy_duration_seconds_count") == {("none", "http"): 1}
    assert samples(metrics, "segue_upstream_duration_seconds_count") == {("none", "http"): 0}


def test_limits_are_counted_by_the_error_that_says_so(metrics: Metrics) -> None:
    for error in (HeadersTooLarge, RequestTimeout, RequestTimeout, ConnectionsFull, AddressFull):
        metrics.errors[error.label] += 1
    metrics.errors["bad_request"] += 1
    for _ in range(4):
        metrics.count_limit("message")
    metrics.count_limit("control_frames")
    assert samples(metrics, "segue_limits_hit_total") == {
        ("headers",): 1,
        ("target",): 0,
        ("body",): 0,
        ("client_time",): 2,
        ("upstream_time",): 0,
        ("connections",): 1,
        ("connections_per_address",): 1,
        ("resources",): 0,
        ("origin",): 0,
        ("store_calls",): 0,
        ("frame",): 0,
        ("message",): 4,
        ("fragments",): 0,
        ("control_frames",): 1,
        ("message_time",): 0,
        ("websocket_close",): 0,
        ("websockets_per_session",): 0,
        ("handshake_pace",): 0,
        ("memory",): 0,
        ("shared_waiters",): 0,
        ("keepalive",): 0,
        ("buffer",): 0,
    }


def test_close_codes_that_nobody_registered_share_one_label_value() -> None:
    shown = {close_code_label(code) for code in range(70_000)}
    assert {"1000", "1005", "1006", "1009", "1012", "1014", "4001", "4003", "other"} <= shown
    assert len(shown) < 25


def test_counts_and_durations_are_summed_over_processes_and_a_gauge_says_how() -> None:
    combined = {family.name: family.over_processes for family in Metrics("1").families}
    assert combined["segue_requests"] is Combined.SUM
    assert combined["segue_request_duration_seconds"] is Combined.SUM
    assert combined["segue_build_info"] is Combined.MAX


def test_the_accounts_of_open_sockets_are_shown_with_the_rest(metrics: Metrics) -> None:
    whole = metrics.messages("m", Direction.TO_CLIENT)
    part = whole.part()
    metrics.open_account(part)
    key = ("m", "to_client")
    for mapped in (1, 2):
        part.mapped += 1
        assert samples(metrics, "segue_messages_total")[*key, "mapped"] == mapped
    part.dropped += 1
    metrics.close_account(part)
    assert samples(metrics, "segue_messages_total")[*key, "dropped"] == 1
    part.dropped += 1
    assert samples(metrics, "segue_messages_total")[*key, "dropped"] == 1
