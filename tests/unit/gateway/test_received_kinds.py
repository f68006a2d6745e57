"""With which kinds the messages of each server came."""

from __future__ import annotations

from proxy.gateway.received_kinds import MAX_UPSTREAMS, ReceivedKinds


def test_counts_are_those_of_a_server_and_are_kept() -> None:
    kinds = ReceivedKinds()
    kinds.of("a:1")["status"] = 3
    kinds.of("b:1")["jobStatus"] = 2
    assert kinds.of("a:1") is kinds.of("a:1")
    assert dict(kinds.totals()) == {("a:1", "status"): 3, ("b:1", "jobStatus"): 2}


def test_servers_that_were_named_first_are_forgotten_where_there_are_very_many() -> None:
    kinds = ReceivedKinds()
    for number in range(MAX_UPSTREAMS + 1):
        kinds.of(str(number))["status"] = 1
    names = [upstream for (upstream, _), _ in kinds.totals()]
    assert names == [str(number) for number in range(1, MAX_UPSTREAMS + 1)]
