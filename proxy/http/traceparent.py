"""W3C Trace Context: which trace a request belongs to (the recommendation of 23 November 2021).

Segue records no spans. It is therefore no node of the trace, and passes a valid `traceparent` on
as it came, with its `tracestate`: the server's span is the child of the client's. (A parent id of
Segue's own would name a span that no tracing system has ever seen.) The trace id goes into the log
line, where it joins Segue's view of the request to the server's.

Where there is none, or an invalid one, Segue starts a trace, so that its line and the server's can
still be joined. Its flags say that nothing was recorded, which is the truth; a server that samples
as its parent did needs a sampler of its own for such requests.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final, NamedTuple

from proxy.http.headers import RawFields, Shape

TRACEPARENT: Final = b"traceparent"
TRACESTATE: Final = b"tracestate"

_NAMES: Final = frozenset({TRACEPARENT, TRACESTATE})

# Section 3.2.2: lower-case hexadecimal only; version ff and ids of nothing but zeros are invalid.
# A version 00 ends behind the flags; a later one may go on behind another hyphen (section 4.3).
_PARENT: Final = re.compile(
    rb"(?!ff)([0-9a-f]{2})-(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-([0-9a-f]{2})(-.*)?",
    re.DOTALL,
)
_MAX_LENGTH: Final = 512
"""Bytes of the longest `traceparent` that is read: nine times what any version known has."""


_SAMPLED: Final = 1
"""The flag of section 3.2.3.1."""

_NOT_ZERO: Final = 1 << 64 | 1
"""A bit of each id, which must not be zero."""


class TraceContext(NamedTuple):
    """The trace of a request.

    Attributes:
        trace_id: 32 hexadecimal digits.
        started: the `traceparent` to send where Segue starts the trace; empty where it goes on.
        replaces: whether the request came with fields that it takes the place of.
        parent_id: 16 hexadecimal digits, the span of whoever asked; empty where it told none.
        sampled: whether that one says that it is sampled.
        span_id: 16 hexadecimal digits, the span of this request; empty where it has none.
    """

    trace_id: str
    started: bytes
    replaces: bool
    parent_id: str = ""
    sampled: bool = False
    span_id: str = ""


class Sampling(NamedTuple):
    """Which requests have a span.

    Attributes:
        ratio: the part of those that have no parent, from 0 to 1.
        follow_parent: whether the others are as their parents say; otherwise `ratio` is for all.
    """

    ratio: float
    follow_parent: bool


def has_trace(shape: Shape) -> bool:
    """Whether there is anything among the fields of this shape that `trace_of` reads."""
    return TRACEPARENT in shape or TRACESTATE in shape


def trace_of(fields: RawFields, random_bits: Callable[[int], int]) -> TraceContext:
    """Return the trace that a request belongs to, or start one.

    Args:
        fields: as received.
        random_bits: returns a number of that many random bits; ids are no secrets.
    """
    present = [field for field in fields if field[0].lower() in _NAMES]
    if present:
        parents = [value for name, value in present if len(name) == len(TRACEPARENT)]
        # Section 3.2: there is one, or none.
        if len(parents) == 1 and len(parents[0]) <= _MAX_LENGTH:
            parent = _PARENT.fullmatch(parents[0])
            if parent is not None and (parent[5] is None or parent[1] != b"00"):
                sampled = bool(int(parent[4], 16) & _SAMPLED)
                return TraceContext(
                    parent[2].decode(),
                    b"",
                    replaces=False,
                    parent_id=parent[3].decode(),
                    sampled=sampled,
                )
    digits = (
        (random_bits(192) | _NOT_ZERO).to_bytes(24, "big").hex()
    )  # Formatting takes thrice that.
    trace_id = digits[:32]
    return TraceContext(trace_id, f"00-{trace_id}-{digits[32:]}-00".encode(), bool(present))


def with_span(
    trace: TraceContext, sampling: Sampling, random_bits: Callable[[int], int]
) -> TraceContext:
    """Return the trace with a span for the request, where it is sampled; else as it was.

    The decision by ratio is one by the trace's id, the same for everybody who asks.

    Args:
        trace: of the request, as it came.
        sampling: which requests have a span.
        random_bits: as for `trace_of`.
    """
    if trace.parent_id and sampling.follow_parent:
        sampled = trace.sampled
    else:
        sampled = int(trace.trace_id[16:], 16) < sampling.ratio * 2**64
    if not sampled:
        return trace
    span_id = new_span_id(random_bits)
    told = f"00-{trace.trace_id}-{span_id}-01".encode()
    return trace._replace(started=told, span_id=span_id)


def new_span_id(random_bits: Callable[[int], int]) -> str:
    """Return 16 hexadecimal digits that are not all zero."""
    return f"{random_bits(64) or 1:016x}"


def carried(fields: list[tuple[bytes, bytes]], trace: TraceContext) -> list[tuple[bytes, bytes]]:
    """Return the fields of a request with its trace.

    What cannot be read is left out, `tracestate` too: without a valid `traceparent` it means
    nothing (section 4.3).
    """
    if not trace.started:
        return fields
    if trace.parent_id:
        # The span of this request stands for its parent; what vendors add goes on (section 3.5).
        fields = [field for field in fields if field[0].lower() != TRACEPARENT]
    elif trace.replaces:
        fields = [field for field in fields if field[0].lower() not in _NAMES]
    fields.append((TRACEPARENT, trace.started))
    return fields
