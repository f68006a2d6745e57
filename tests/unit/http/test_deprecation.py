"""What is told of a deprecation: how it is written, and what a server says itself."""

from __future__ import annotations

import pytest

from proxy.http.deprecation import Deprecation, says_so, tell, together

SINCE = 1_688_169_599
"""The example of RFC 9745: Friday, June 30, 2023 at 23:59:59 UTC."""


def test_the_fields_are_those_of_the_rfcs() -> None:
    assert Deprecation(SINCE).fields() == [(b"Deprecation", b"@1688169599")]
    # The example of RFC 8594: Sat, 31 Dec 2018 has a wrong day of the week there.
    assert Deprecation(0, 1_546_300_799, ("https://e.org/a", "/b")).fields() == [
        (b"Deprecation", b"@0"),
        (b"Sunset", b"Mon, 31 Dec 2018 23:59:59 GMT"),
        (b"Link", b'<https://e.org/a>; rel="deprecation"; type="text/html"'),
        (b"Link", b'</b>; rel="deprecation"; type="text/html"'),
    ]


def test_of_several_the_earliest_counts() -> None:
    assert together([]) is None
    one = Deprecation(10, None, ("/a",))
    assert together([one]) == one
    assert together([one, Deprecation(5, 30, ("/b", "/a")), Deprecation(20, 25)]) == Deprecation(
        5, 25, ("/a", "/b")
    )


@pytest.mark.parametrize("name", [b"Deprecation", b"sunset", b"SUNSET"])
def test_a_server_that_says_so_itself_is_heard(name: bytes) -> None:
    assert says_so([(b"Via", b"x"), (name, b"@1")])
    assert not says_so([(b"X-" + name, b"@1")])


def test_pages_that_may_read_the_answer_may_read_that() -> None:
    told = Deprecation(5, None, ("/a",))
    fields = told.fields()
    page = [(b"Origin", b"https://a")]
    allowed = (b"Access-Control-Allow-Origin", b"https://a")
    exposed = b"Access-Control-Expose-Headers"
    assert tell([], [allowed], told) == [allowed, *fields]
    assert tell(page, [], told) == fields
    assert tell(page, [allowed], told) == [allowed, *fields, (exposed, b"Deprecation, Link")]
    assert tell(page, [allowed, (exposed, b"x, link")], told) == [
        allowed,
        (exposed, b"x, link, Deprecation"),
        *fields,
    ]
    every = [(b"Access-Control-Allow-Origin", b"*"), (exposed, b"*")]
    assert tell(page, list(every), told) == [*every, *fields]
    credentials = (b"Access-Control-Allow-Credentials", b"true")
    assert tell(page, [allowed, credentials, (exposed, b"*")], told)[2] == (
        exposed,
        b"*, Deprecation, Link",
    )
