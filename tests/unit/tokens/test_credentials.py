"""What a refresh goes with."""

from __future__ import annotations

from proxy.http.headers import SERVERS_OWN
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


def test_a_refresh_goes_with_the_host_at_which_its_session_began() -> None:
    fields = [
        (b"hOST", b"API.example.com"),
        (b"X-Forwarded-Host", b"API.example.com"),
        (b"User-Agent", b"API.example.com"),
    ]
    assert credentials.for_host(fields, b"api.example.com") == [
        (b"hOST", b"api.example.com"),
        (b"X-Forwarded-Host", b"api.example.com"),
        (b"User-Agent", b"API.example.com"),
    ]
    # What a trusted proxy says that it was asked for stays.
    other = [(b"Host", b"inner"), (b"X-Forwarded-Host", b"outer")]
    assert credentials.for_host(other, b"in") == [(b"Host", b"in"), (b"X-Forwarded-Host", b"outer")]


def test_a_refresh_goes_with_the_host_that_there_is_where_none_is_known_or_it_is_the_servers() -> (
    None
):
    fields = [(b"Host", b"app")]
    assert credentials.for_host(fields, b"") is fields
    assert credentials.for_host(fields, b"app") is fields
    own = [(b"Host", SERVERS_OWN)]
    assert credentials.for_host(own, b"app") is own
