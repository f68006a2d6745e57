"""For whom connections count together, and who is counted apart."""

from __future__ import annotations

from ipaddress import ip_network

import pytest

from proxy.downstream.limits import client_bucket, is_in


@pytest.mark.parametrize(
    ("peer", "origin"),
    [
        ("", ""),
        ("192.0.2.7", "192.0.2.7"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2::", "2001:db8:1:2::/64"),
        ("2001:db8:1:3::1", "2001:db8:1:3::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("::1", "::/64"),
    ],
)
def test_ipv4_counts_by_address_and_ipv6_by_network(peer: str, origin: str) -> None:
    assert client_bucket(peer) == origin


@pytest.mark.parametrize(
    ("peer", "inside"),
    [
        *(("10.1.2.3", True), ("11.0.0.1", False), ("2001:db8::1", True), ("2001:db9::1", False)),
        *(("::ffff:10.1.2.3", True), ("::ffff:11.0.0.1", False), ("fe80::1%eth0", False)),
        ("", False),
    ],
)
def test_an_address_is_in_a_network_of_its_kind(peer: str, inside: bool) -> None:
    networks = (ip_network("10.0.0.0/8"), ip_network("2001:db8::/32"))
    assert is_in(networks, peer) is inside
    assert not is_in((), peer)
