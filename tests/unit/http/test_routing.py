"""Routes: which request's bodies are mapped by what."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.http.routing import Routes, check_pattern
from proxy.mapping.programs import NO_PROGRAMS, Programs, RoutePrograms


def programs(*routes: tuple[str, str]) -> Programs:
    """Routes from pairs of methods and a pattern."""
    return Programs(
        routes=Routes(
            [RoutePrograms(pattern, frozenset(methods.split())) for methods, pattern in routes]
        )
    )


def found(where: Programs, method: str, path: bytes) -> str | None:
    route = where.route(method, path)
    return None if route is None else route.pattern


@pytest.mark.parametrize(
    ("pattern", "path", "fits"),
    [
        ("/", b"/", True),
        ("/api/jobs/", b"/api/jobs/", True),
        ("/api/jobs/", b"/api/jobs", False),
        ("/api/jobs/", b"/api/jobs/1/", False),
        ("/api/jobs/{}/", b"/api/jobs/1/", True),
        ("/api/jobs/{}/", b"/api/jobs/a%2Fb/", True),
        ("/api/jobs/{}/", b"/api/jobs/\xff\n/", True),
        ("/api/jobs/{}/", b"/api/jobs//", False),
        ("/api/jobs/{}/", b"/api/jobs/1/2/", False),
        ("/api/jobs/{}/", b"/api/jobs/1", False),
        ("/{}/{}", b"/a/b", True),
        ("/{}/{}", b"/a/", False),
        ("/api/**", b"/api/", True),
        ("/api/**", b"/api/a/b", True),
        ("/api/**", b"/api", False),
        ("/api/{}/**", b"/api/a/", True),
        ("/api/{}/**", b"/api//a", False),
        ("/**", b"/", True),
        ("/a.b", b"/axb", False),
        ("/a.b/{}", b"/axb/1", False),
    ],
)
def test_a_pattern_fits_whole_paths(pattern: str, path: bytes, fits: bool) -> None:
    assert (found(programs(("", pattern)), "GET", path) == pattern) is fits


def test_the_first_route_that_fits_counts_whatever_its_kind() -> None:
    routes = programs(
        ("POST", "/jobs/purge"), ("GET", "/jobs/{}"), ("", "/jobs/purge"), ("", "/jobs/**")
    )
    assert found(routes, "POST", b"/jobs/purge") == "/jobs/purge"
    assert found(routes, "GET", b"/jobs/purge") == "/jobs/{}"
    assert found(routes, "PUT", b"/jobs/purge") == "/jobs/purge"
    assert found(routes, "PUT", b"/jobs/1") == "/jobs/**"
    assert found(routes, "PUT", b"/other") is None


def test_methods_are_compared_as_they_are_and_none_means_all() -> None:
    routes = programs(("GET PATCH", "/a"))
    assert found(routes, "PATCH", b"/a") == "/a"
    assert found(routes, "get", b"/a") is None
    assert found(routes, "HEAD", b"/a") == "/a"
    assert found(programs(("PATCH", "/a")), "HEAD", b"/a") is None
    assert found(programs(("", "/a")), "BREW", b"/a") == "/a"


def test_without_routes_there_is_none() -> None:
    assert NO_PROGRAMS.route("GET", b"/") is None


@pytest.mark.parametrize(
    "pattern",
    ["", "a", "/a?b", "/a#b", "/a b", "/é", "/{id}", "/a{}", "/{}a", "/**/a", "/a**", "/*", "/{"],
)
def test_what_is_no_pattern_is_refused(pattern: str) -> None:
    with pytest.raises(ValueError, match="expected a path"):
        check_pattern(pattern)


segments = st.sampled_from(["a", "b", "{}"])


@given(
    st.lists(st.tuples(st.lists(segments, max_size=3), st.sampled_from(["", "/", "/**"]))),
    st.lists(st.sampled_from(["a", "b", ""]), max_size=4),
)
def test_finding_agrees_with_comparing_segment_by_segment(
    routes: list[tuple[list[str], str]], path: list[str]
) -> None:
    patterns = ["".join(f"/{part}" for part in parts) + end or "/" for parts, end in routes]
    for pattern in patterns:
        assert check_pattern(pattern) == pattern

    def fits(pattern: str) -> bool:
        wanted = pattern.split("/")[1:]
        if wanted[-1] == "**":
            wanted = wanted[:-1]
            if len(given_) <= len(wanted):
                return False
        elif len(given_) != len(wanted):
            return False
        return all(
            one == other or (one == "{}" and other != "")
            for one, other in zip(wanted, given_, strict=False)
        )

    given_ = path or [""]
    expected = next((pattern for pattern in patterns if fits(pattern)), None)
    text = "/" + "/".join(given_)
    assert found(programs(*(("", each) for each in patterns)), "GET", text.encode()) == expected
