"""Trace Context, by the examples and the rules of the recommendation."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.http.headers import shape_of
from proxy.http.traceparent import TraceContext, carried, has_trace, trace_of

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
    assert trace == TraceContext(TRACE_ID, b"", replaces=False)
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
