"""What a refresh goes with."""

from __future__ import annotations

from proxy.tokens import credentials


def test_a_refresh_goes_with_the_host_and_the_address_of_whom_it_is_for() -> None:
    fields = [
        (b"Host", b"app"),
        (b"Cookie", b"c"),
        (b"Authorization", b"Bearer t"),
        (b"X-Forwarded-For", b"1.2.3.4"),
        (b"X-Request-Id", b"1"),
        (b"Via", b"1.1 segue"),
    ]
    names = [name for name, _ in credentials.carried(fields)]
    assert names == [b"Host", b"X-Forwarded-For", b"X-Request-Id", b"Via"]
