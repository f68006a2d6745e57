"""Cookies: of requests, read and taken out; of answers, shared or not."""

from __future__ import annotations

import pytest

from proxy.http import cookies
from proxy.http.cookies import cookies_of, shared_cookies, without_cookie


def test_a_cookie_without_a_name_is_none_of_any_name() -> None:
    assert cookies.cookie(b" at ") == (b" at ", b"", b"")
    assert cookies.cookie(b" at = \t") == (b" at = \t", b"at", b"")


def test_every_cookie_of_a_name_is_read_once() -> None:
    fields = [(b"Cookie", b"a=1; sid=x=y"), (b"cookie", b"xsid=2; sid=; sidx=3")]
    assert cookies_of(fields, b"sid") == ("x=y",)
    assert cookies_of(fields, b"b") == ()
    more = [*fields, (b"Cookie", b"sid=z;sid=x=y;\tsid=\xff")]
    assert cookies_of(more, b"sid") == ("x=y", "z", "\xff")


def test_cookies_of_a_name_are_bounded() -> None:
    crowd = b"; ".join(b"sid=%d" % number for number in range(1000))
    found = cookies_of([(b"Cookie", crowd)], b"sid")
    assert found == tuple(str(number) for number in range(32))


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (b"sid=1", None),
        (b"a=1; sid=2; b=3", b"a=1; b=3"),
        (b"sid=2; b=3", b"b=3"),
        (b"a=sid; b=3", b"a=sid; b=3"),
        (b"b = 3 ;sid=1", b"b = 3 "),
    ],
)
def test_a_cookie_is_taken_out_and_the_others_keep_their_bytes(
    before: bytes, after: bytes | None
) -> None:
    fields = [(b"Cookie", before), (b"X", b"sid=1")]
    expected = [(b"X", b"sid=1")] if after is None else [(b"Cookie", after), (b"X", b"sid=1")]
    assert without_cookie(fields, b"sid") == expected


def test_cookies_are_taken_out_by_their_values_too() -> None:
    fields = [(b"Cookie", b'at=1; a=1; at="2";at=3'), (b"cookie", b"at=2"), (b"at", b"1")]
    assert cookies.without_values(fields, b"at", {"1", "2"}) == [
        (b"Cookie", b"a=1;at=3"),
        (b"at", b"1"),
    ]


COOKIES = [
    (b"Host", b"h"),
    (b"cookie", b'a=1; at=old;at="old" ; b=old; at=other; at='),
    (b"C", b""),
]


def test_the_values_of_a_cookie_are_read_as_servers_read_them() -> None:
    assert cookies.cookie_values(COOKIES, b"at") == ["old", "old", "other"]
    assert cookies.cookie_values(COOKIES, b"c") == []


def test_another_value_takes_the_place_of_an_old_one() -> None:
    assert cookies.with_cookie(COOKIES, b"at", "old", "new") == [
        (b"Host", b"h"),
        (b"cookie", b"a=1; at=new;at=new; b=old; at=other; at="),
        (b"C", b""),
    ]
    assert cookies.with_cookie(COOKIES, b"at", "none", "new") == COOKIES


def test_a_cookie_is_put_in_place_of_all_of_its_name_or_beside_the_others() -> None:
    assert cookies.put_cookie(COOKIES, b"at", "new")[1] == (
        b"cookie",
        b"a=1; at=new;at=new; b=old; at=new; at=",
    )
    assert cookies.put_cookie([(b"Cookie", b"a=1")], b"x", "v") == [(b"Cookie", b"a=1; x=v")]
    assert cookies.put_cookie([(b"Cookie", b" ")], b"x", "v") == [(b"Cookie", b"x=v")]
    assert cookies.put_cookie([(b"H", b"h")], b"x", "v") == [(b"H", b"h"), (b"Cookie", b"x=v")]


@pytest.mark.parametrize(
    ("values", "found"),
    [
        ([b"at=1; Path=/"], "1"),
        ([b"at=1", b"at=2; HttpOnly"], "2"),
        ([b'at="1"'], "1"),
        ([b"at=; Max-Age=0"], None),
        ([b"b=1; at=2"], None),
        ([], None),
    ],
)
def test_a_cookie_that_an_answer_sets_is_read(values: list[bytes], found: str | None) -> None:
    assert cookies.cookie_set([(b"Set-Cookie", value) for value in values], b"at") == found


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (b"at=1; Max-Age=5; Path=/", b"at=1; Path=/; Max-Age=60"),
        (b"at=1; expires=Thu, 01 Jan 2026 00:00:00 GMT; max-age=5", b"at=1; Max-Age=60"),
        (b"at=1; HttpOnly", b"at=1; HttpOnly"),
        (b"at=; Max-Age=0", b"at=; Max-Age=0"),
        (b"b=1; Max-Age=5", b"b=1; Max-Age=5"),
    ],
)
def test_a_cookie_that_is_to_end_lasts_as_long_as_it_is_told(before: bytes, after: bytes) -> None:
    fields = [(b"Max-Age", b"1"), (b"Set-Cookie", before)]
    assert cookies.lasting(fields, b"at", 60.5) == [fields[0], (b"Set-Cookie", after)]


def test_the_names_of_cookies_that_are_set_are_told() -> None:
    fields = [(b"Set-Cookie", b"at=1; Path=/"), (b"set-cookie", b" x = 2"), (b"Cookie", b"b=1")]
    assert cookies.names_set(fields) == ["at", "x"]


@pytest.mark.parametrize(
    ("field", "shared"),
    [
        (b"app-auth=x.y.z; Path=/; HttpOnly", True),
        (b'app-auth="x.y.z"', True),
        (b"app-auth = x.y.z ;Secure", True),
        (b"sessionid=1; Path=/", False),
        (b"sessionid=1; Path=x.y.z", False),
        (b"x.y.z", False),
        (b"a=b=x.y.z", False),
        (b'app-auth="', False),
        (b"", False),
    ],
)
def test_of_the_cookies_that_an_answer_sets_others_have_those_that_they_are_given_anyway(
    field: bytes, shared: bool
) -> None:
    fields = [(b"X", b"sessionid=1"), (b"set-cookie", field), (b"Content-Type", b"a/b")]
    kept = shared_cookies(fields, {b"x.y.z"})
    assert kept == (fields if shared else [fields[0], fields[2]])
    assert shared_cookies([(b"Set-Cookie2", b"a=1")], {b"x.y.z"}) == []
