"""What is remembered of a client's fields: the last of each, within bounds."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from proxy.sessions.carried_fields import (
    MAX_FIELDS,
    MAX_SIZE,
    MAX_VALUE,
    Carried,
    picked,
    read,
    remembered,
    written,
)

NAMES = ("X-Tenant-Id", "X-Device")
TENANT, DEVICE = (b"x-tenant-id", b"acme"), (b"X-Device", b"1")
FIELDS = st.lists(
    st.tuples(
        st.sampled_from([b"X-Tenant-Id", b"x-tenant-id", b"X-DEVICE", b"Other"]),
        st.binary(max_size=MAX_VALUE + 1),
    ),
    max_size=24,
)


def test_fields_are_picked_by_their_names_whatever_the_case() -> None:
    fields = (TENANT, (b"Other", b"x"), DEVICE, (b"X-Tenant-Id", b"b"))
    assert picked(fields, NAMES) == (TENANT, DEVICE, fields[3])
    assert picked(fields, ()) == ()


def test_the_last_request_counts_for_the_names_that_it_has() -> None:
    known = remembered((), (TENANT, DEVICE), NAMES)
    assert known == (TENANT, DEVICE)
    assert remembered(known, (DEVICE, TENANT), NAMES) is known
    assert remembered(known, ((b"Other", b"x"),), NAMES) is known
    assert remembered(known, (), NAMES) is known
    two = ((b"X-Tenant-Id", b"b"), (b"X-Tenant-Id", b"c"))
    assert remembered(known, two, NAMES) == (*two, DEVICE)


def test_what_is_too_long_is_forgotten() -> None:
    long = (b"X-Tenant-Id", bytes(MAX_VALUE + 1))
    assert remembered((TENANT, DEVICE), (long,), NAMES) == (DEVICE,)
    assert remembered((), (long,), NAMES) == ()


def test_what_has_no_room_is_left_out() -> None:
    many = tuple((b"X-Device", b"%d" % number) for number in range(MAX_FIELDS + 1))
    assert remembered((), many, NAMES) == many[:MAX_FIELDS]
    large = tuple((b"X-Device", bytes(MAX_VALUE)) for _ in range(4))
    assert remembered((), large, NAMES) == large[:3]


@given(FIELDS, FIELDS)
def test_it_is_bounded_and_read_as_it_was_written(
    before: list[tuple[bytes, bytes]], fields: list[tuple[bytes, bytes]]
) -> None:
    known: Carried = ()
    for each in (before, fields):
        known = remembered(known, each, NAMES)
        assert len(known) <= MAX_FIELDS
        assert sum(len(name) + len(value) for name, value in known) <= MAX_SIZE
        assert read(written(known)) == known
