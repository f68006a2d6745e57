"""Trace Context, by the examples and the rules of the recommendation."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.http.headers import shape_of
from proxy.http.traceparent import (
    Sampling,
    TraceContext,
    carried,
    has_trace,
    new_span_id,
    trace_of,
    with_span,
)

TRACE_ID = "4bf92f3577b34da6a3ce929d0e0e4736"
PARENT = b"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
STATE = (b"tracestate", b"congo=t61rcWkgMzE")
REST = [(b"Host", b"example.com"), (b"User-Agent", b"test"), (b"X-Eleven-11", b"1")]


def bits(size: int) -> int:
    return random.Random(1).getrandbits(size)


@pytest.mark.parametrize("name", [b"traceparent", b"TraceParent", b"tracestate"])
def test_whether_there_is_anything_to_read_shows_in_the_names(name: bytes) -> None:
    assert has_trace(shape_of([*REST, (name, b"anything")]))
    assert not has_trace(shape_of([*REST, (name + b"s", b"anything")]))


def is_valid(parent: bytes) -> bool:
    return not trace_of([(b"traceparent", parent)], bits).started


@pytest.mark.parametrize("name", [b"traceparent", b"Traceparent", b"TRACEPARENT"])
def test_a_valid_trace_goes_on_untouched(name: bytes) -> None:
    fields = [*REST, (name, PARENT), STATE]
    trace = trace_of(fields, bits)
    parent_id = "00f067aa0ba902b7"
    assert trace == TraceContext(TRACE_ID, b"", replaces=False, parent_id=parent_id, sampled=True)
    assert carried(list(fields), trace) == fields


@pytest.mark.parametrize(
    "parent",
    [
        b"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00",
        b"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-ff",
        b"cc-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        b"cc-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-what-comes-later",
        b"fe-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-",
    ],
)
def test_known_and_later_versions_are_valid(parent: bytes) -> None:
    assert is_valid(parent)


@pytest.mark.parametrize(
    "parent",
    [
        b"",
        b"00",
        b"ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        b"0-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        b"00-4bf92f3577b34da6a3ce929d0e0e473-00f067aa0ba902b7-01",
        b"00-4bf92f3577b34da6a3ce929d0e0e47366-00f067aa0ba902b7-01",
        b"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b-01",
        b"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-1",
        b"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-more",
        b"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-",
        b"cc-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01.more",
        b"00-00000000000000000000000000000000-00f067aa0ba902b7-01",
        b"00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
        b"00-4BF92F3577B34DA6A3CE929D0E0E4736-00F067AA0BA902B7-01",
        b"00-4bf92f3577b34da6a3ce929d0e0e473g-00f067aa0ba902b7-01",
        b"00_4bf92f3577b34da6a3ce929d0e0e4736_00f067aa0ba902b7_01",
        b" 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        PARENT + b"\n",
        b"cc" + PARENT[2:] + b"-" + b"x" * 500,
    ],
)
def test_an_invalid_one_starts_a_trace_and_takes_the_state_with_it(parent: bytes) -> None:
    fields = [REST[0], STATE, REST[1], (b"Traceparent", parent), REST[2]]
    trace = trace_of(fields, bits)
    assert trace.replaces
    assert carried(fields, trace) == [*REST, (b"traceparent", trace.started)]


def test_two_parents_are_none() -> None:
    fields = [(b"traceparent", PARENT), *REST, (b"traceparent", PARENT)]
    trace = trace_of(fields, bits)
    assert trace.trace_id != TRACE_ID
    assert carried(fields, trace) == [*REST, (b"traceparent", trace.started)]


def test_a_state_without_a_parent_means_nothing() -> None:
    fields = [STATE, *REST]
    trace = trace_of(fields, bits)
    assert carried(fields, trace) == [*REST, (b"traceparent", trace.started)]


@given(number=st.integers(0, 2**192 - 1) | st.sampled_from([0, 2**192 - 1, 1 << 64, 1]))
def test_what_is_started_is_valid_and_says_that_nothing_was_recorded(number: int) -> None:
    trace = trace_of(REST, lambda _: number)
    assert not trace.replaces
    assert trace.started.startswith(b"00-" + trace.trace_id.encode() + b"-")
    assert trace.started.endswith(b"-00")
    assert is_valid(trace.started)
    assert carried(list(REST), trace) == [*REST, (b"traceparent", trace.started)]


@given(value=st.binary(max_size=80))
def test_any_value_is_read_without_a_fault(value: bytes) -> None:
    trace = trace_of([(b"traceparent", value)], bits)
    assert len(trace.trace_id) == 32


# Spans.

ALL, NOTHING = Sampling(1.0, follow_parent=True), Sampling(0.0, follow_parent=True)
SPAN = 0x0102030405060708


def received(flags: bytes) -> TraceContext:
    value = b"00-" + b"0" * 31 + b"1-" + b"a" * 16 + b"-" + flags
    return trace_of(((b"Traceparent", value),), lambda _: 1)


def test_span_takes_the_place_of_its_parent_and_leaves_what_vendors_add() -> None:
    trace = with_span(received(b"01"), NOTHING, lambda _: SPAN)
    assert (trace.parent_id, trace.span_id) == ("a" * 16, "0102030405060708")
    fields = [(b"TraceParent", b"old"), (b"tracestate", b"a=b"), (b"X", b"y")]
    told = b"00-" + b"0" * 31 + b"1-0102030405060708-01"
    assert carried(fields, trace) == [
        (b"tracestate", b"a=b"),
        (b"X", b"y"),
        (b"traceparent", told),
    ]


def test_parent_that_is_not_sampled_goes_on_as_it_came() -> None:
    trace = received(b"00")
    assert with_span(trace, ALL, lambda _: SPAN) is trace
    fields = [(b"traceparent", b"as it came")]
    assert carried(fields, trace) == fields


def test_ratio_decides_by_the_id_of_the_trace_where_no_parent_is_followed() -> None:
    half = Sampling(0.5, follow_parent=False)
    low = received(b"00")
    high = low._replace(trace_id="f" * 32)
    assert with_span(low, half, lambda _: SPAN).span_id
    assert with_span(high, half, lambda _: SPAN) is high
    begun = trace_of((), lambda _: 1)
    assert with_span(begun, ALL, lambda _: SPAN).span_id
    assert with_span(begun, NOTHING, lambda _: SPAN) is begun


def test_id_of_a_span_is_never_zero() -> None:
    assert new_span_id(lambda _: 0) == "0000000000000001"
