"""Hosts that are the same, however they are named."""

from __future__ import annotations

import pytest

from proxy.http.hosts import host_name


@pytest.mark.parametrize(
    ("named", "plain"),
    [
        (b"App.Example.com", "app.example.com"),
        (b"app.example.com:443", "app.example.com"),
        (b"app.example.com:80", "app.example.com"),
        (b"app.example.com:", "app.example.com"),
        (b"app.example.com.", "app.example.com"),
        (b"app.example.com.:80", "app.example.com"),
        (b"app.example.com:8443", "app.example.com"),
        (b"127.0.0.1:9", "127.0.0.1"),
        (b"[::80]", "[::80]"),
        (b"[::1]:443", "[::1]"),
        (b"[::1]", "[::1]"),
        (b"", ""),
        (b"a\nb", "a\nb"),
    ],
)
def test_port_case_and_a_dot_at_the_end_do_not_count(named: bytes, plain: str) -> None:
    assert host_name(named) == plain
