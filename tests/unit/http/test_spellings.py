"""Paths as servers may read them: each spelling of a route is found, and nothing else is."""

from __future__ import annotations

import string
from urllib.parse import quote

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from proxy.http.spellings import SpelledPaths

LOGIN, REFRESH = b"/api/auth/login/", b"/api/auth/token/refresh/"
ROUTES = SpelledPaths((LOGIN, REFRESH))


@pytest.mark.parametrize(
    "path",
    [
        LOGIN,
        b"/api/auth/login",
        b"/api/auth/login//",
        b"/api/auth/login/.",
        b"/api/auth/login.",
        b"/api/auth/login...",
        b"/api/auth/login.json",
        b"/api/auth/login.geojsonsequence",
        b"/api/auth/login.x-custom+json",
        b"/api/auth/login/%2e",
        b"//api/auth/login/",
        b"/api//auth/login/",
        b"/api/./auth/login/",
        b"/x/../api/auth/login/",
        b"/../api/auth/login/",
        b"/api//../auth/login/",
        b"/api/x/..%2fauth/login/",
        b"/api/auth/login/x/..",
        b"/api/auth/login;/",
        b"/api;v=1/auth;/login;jsessionid=1",
        b"/x/..;/api/auth/login/",
        b"/api/auth/login/;x",
        b"/api/auth/login/%3bx",
        b"/API/Auth/LOGIN/",
        b"/API/Auth/LOGIN",
        b"/api/auth/lo%67in/",
        b"/api/auth/lo%2567in/",
        b"/api/auth/lo%252567in/",
        b"/api%2fauth%2flogin%2f",
        b"/api%252fauth%252flogin",
        b"\\api\\auth\\login\\",
        b"/api/auth%5clogin/",
        b"/api/auth/login/%00",
        b"/api/auth/login/%00.png",
        b"/api/auth/log%00in/",
        b"/api/auth/login/%0a",
        b"/api/auth/login%09",
        b"/api/auth/login%20",
        b"/api/auth/login/%3fx=1",
        b"/api/auth/login%23",
        b"/api/auth/login/%253f",
        "/api/auth/token/refre\u017fh/".encode(),
        b"/api/auth/to%E2%84%AAen/refresh/",
        b"/%2e%2e/api/auth/token/refresh/",
    ],
)
def test_a_spelling_of_a_route_is_found(path: bytes) -> None:
    assert ROUTES.may_be(path)


@pytest.mark.parametrize(
    "path",
    [
        b"/",
        b"*",
        b"",
        b"/api/auth/",
        b"/api/auth/login/more",
        b"/api/auth/login-page/",
        b"/api/auth/logins",
        b"/api/auth/login/../logout/",
        b"/v1/api/auth/login/",
        b"/api/auth/token/refresh-all/",
        b"/api/auth/token/../x/",
        b"/api/%61uth/login/x",
        b"/api/auth/login%2fmore",
        b"/api/auth/\xff\xfe/",
        b"/api/auth/login/%zz",
        b"/files/a.b.json",
        b"/a/%2525252525252e",
        b"/a%20" + b"b" * 4000,
        b"/" + b"b" * 9000,
    ],
)
def test_what_is_no_spelling_of_a_route_is_not(path: bytes) -> None:
    assert not ROUTES.may_be(path)


def test_a_route_may_itself_be_spelled_oddly() -> None:
    routes = SpelledPaths((b"/a%20b/", b"/", b"/C;d/e.json"))
    assert routes.may_be(b"/a%20b")
    assert routes.may_be(b"//")
    assert routes.may_be(b"/c;d/E.json")
    assert not routes.may_be(b"/a")


def test_a_long_odd_path_may_be_a_route() -> None:
    assert ROUTES.may_be(b"/a%20" + b"b" * 5000)


def once_more(path: bytes) -> st.SearchStrategy[bytes]:
    """Another spelling of a path, by one of the ways in which servers read paths."""
    place = st.integers(0, len(path))
    slashes = st.sampled_from([at for at, byte in enumerate(path) if byte == 0x2F])
    return st.one_of(
        # Every byte that is percent-encoded is decoded by somebody.
        place.map(
            lambda at: (
                path[:at] + b"".join(b"%%%02x" % x for x in path[at : at + 1]) + path[at + 1 :]
            )
        ),
        slashes.map(lambda at: path[:at] + b"/" + path[at:]),
        slashes.map(lambda at: path[:at] + b"/." + path[at:]),
        slashes.map(lambda at: path[:at] + b"/x/.." + path[at:]),
        slashes.map(lambda at: path[:at] + b";a=b" + path[at:] if at else path),
        slashes.map(lambda at: path[:at] + b"\\" + path[at + 1 :]),
        st.sampled_from([path + b"/", path + b"%00", path + b"%0a"]),
        st.just(path.swapcase()),
    )


@given(st.sampled_from([LOGIN, REFRESH]).flatmap(once_more))
def test_any_one_step_leads_to_the_route(path: bytes) -> None:
    assert ROUTES.may_be(path)


@given(st.sampled_from([LOGIN, REFRESH]).flatmap(once_more).flatmap(once_more))
def test_any_two_steps_lead_to_the_route(path: bytes) -> None:
    # A parameter with a slash in it is two segments to whoever does not decode first.
    assume(b"%2f" not in path or b";" not in path)
    assert ROUTES.may_be(path)


SEGMENTS = st.text(string.ascii_letters + string.digits + "-_~", min_size=1)


@given(st.lists(SEGMENTS, min_size=1), st.booleans())
def test_a_path_behind_a_route_is_another_one(more: list[str], slash: bool) -> None:
    path = LOGIN + "/".join(more).encode() + b"/" * slash
    assert not ROUTES.may_be(path)
    assert not ROUTES.may_be(b"/" + "/".join(more).encode() + REFRESH)


@given(st.lists(SEGMENTS, min_size=1))
def test_a_plain_path_is_read_as_any_other(segments: list[str]) -> None:
    """The quick test and the thorough one agree."""
    path = "/" + "/".join(segments)
    routes = SpelledPaths((path.encode(),))
    assert routes.may_be(path.encode())
    assert routes.may_be(quote(path, safe="").encode())
    assert not routes.may_be(path.encode() + b"/x")


@given(st.binary(max_size=60))
def test_any_bytes_are_read(path: bytes) -> None:
    assert not ROUTES.may_be(b"/files/" + path.replace(b".", b"").replace(b"%", b""))
    ROUTES.may_be(path)
