"""The head of a request: the same for every server, or with the name of the one that is asked."""

from __future__ import annotations

import pytest

from proxy.errors import ClientError
from proxy.http.headers import SERVERS_OWN
from proxy.http.request_head import RequestHead

LINE = b"GET /a HTTP/1.1"


def test_a_head_with_a_host_of_its_own_is_the_same_for_all() -> None:
    head = RequestHead(LINE, [(b"Host", b"app"), (b"X", b"1")])
    for authority in (b"one:1", b"two:2"):
        assert head.for_server(authority) == b"GET /a HTTP/1.1\r\nHost: app\r\nX: 1\r\n\r\n"


def test_what_was_written_once_is_not_kept() -> None:
    head = RequestHead(LINE, [(b"Host", b"app")])
    assert head.for_server(b"one:1") is not head.for_server(b"one:1")


def test_a_head_that_names_the_server_is_written_for_each() -> None:
    head = RequestHead(LINE, [(b"Host", SERVERS_OWN), (b"X", b"1")])
    for authority in (b"one:1", b"two:2"):
        expected = b"GET /a HTTP/1.1\r\nHost: %b\r\nX: 1\r\n\r\n" % authority
        assert head.for_server(authority) == expected


def test_a_head_without_fields_is_one() -> None:
    assert RequestHead(LINE, []).for_server(b"one") == b"GET /a HTTP/1.1\r\n\r\n"


@pytest.mark.parametrize("value", [b"a\r\nX: 1", b"a\nb", b"a\0"])
@pytest.mark.parametrize("host", [b"app", SERVERS_OWN])
def test_a_field_that_could_be_read_as_two_is_refused(value: bytes, host: bytes) -> None:
    with pytest.raises(ClientError, match="line break or a NUL"):
        RequestHead(LINE, [(b"Host", host), (b"X", value)]).for_server(b"one")
