"""Failed authentications are counted by client, within a bound."""

from __future__ import annotations

from proxy.admin.failures import MOST, MOST_CLIENTS, SECONDS, FailureLimit


def test_some_failures_are_free_and_more_have_to_wait() -> None:
    limit = FailureLimit()
    assert [limit.failed("a", 100.0) for _ in range(MOST)] == [0] * MOST
    wait = limit.failed("a", 100.0)
    assert 0 < wait <= SECONDS / MOST
    # Not even a storm makes it longer.
    assert {limit.failed("a", 100.0) for _ in range(1000)} == {wait}
    assert limit.failed("b", 100.0) == 0
    assert limit.failed("a", 100.0 + wait) == 0
    assert limit.failed("a", 100.0 + wait) > 0


def test_after_a_while_all_is_forgiven() -> None:
    limit = FailureLimit()
    for _ in range(MOST + 5):
        limit.failed("a", 0.0)
    assert [limit.failed("a", 2 * SECONDS) for _ in range(MOST)] == [0] * MOST


def test_invariant_8_clients_are_remembered_within_a_bound() -> None:
    limit = FailureLimit()
    for number in range(2 * MOST_CLIENTS):
        limit.failed(str(number), 0.0)
    assert len(limit) == MOST_CLIENTS
