"""Resources: by paths, by messages, by WebSockets."""

from __future__ import annotations

import pytest

from proxy.freshness.resources import (
    FreshRoute,
    FreshRoutes,
    Name,
    check_named_pattern,
    loosely,
    placeholders,
    without_names,
)

JOB = FreshRoute("/api/jobs/{id}/", ((("jobId",), "id"),), "/ws/jobs/{id}/")
ANY = FreshRoute("/api/apps/by-job/{job}/", ((("jobId",), "job"), (("job", "id"), "job")), None)
OF_TWO = FreshRoute(
    "/o/{org}/{}/{id}/**", ((("id",), "id"), (("org",), "org")), "/ws/{org}/jobs/{id}/**"
)
UUID = "9F3C8a52-0b1d-4a6e-8f2b-3c5d7e9f1a2b"


def names(*spelled: str) -> set[Name]:
    return {Name(("jobId",), each) for each in spelled}


@pytest.mark.parametrize("pattern", ["/a", "/a/{}/", "/a/{id}/{job_2}/{}/**", "/{a}"])
def test_placeholders_may_have_names(pattern: str) -> None:
    assert check_named_pattern(pattern) == pattern


@pytest.mark.parametrize(
    "pattern", ["", "a", "/a?b", "/{Id}/", "/{1}/", "/a{id}/", "/{id}b/", "/{id}/{id}/", "/{a b}/"]
)
def test_what_is_no_pattern_is_refused(pattern: str) -> None:
    with pytest.raises(ValueError, match=r"expected a path|twice"):
        check_named_pattern(pattern)


def test_names_are_told_and_taken_out() -> None:
    assert placeholders("/a/{id}/{}/{job}/**") == ("id", "job")
    assert without_names("/a/{id}/{}/{job}/**") == "/a/{}/{}/{}/**"


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (UUID, UUID.lower()),
        (UUID, UUID.replace("-", "")),
        (UUID, "{" + UUID + "}"),
        ("7", "007"),
        ("Straße", "STRASSE"),
        ("caf\u00e9", "cafe\u0301"),
        ("a_b", "a-b"),
        ("x" * 100, "X" * 100),
    ],
)
def test_spellings_of_one_value_are_taken_for_one(one: str, other: str) -> None:
    assert loosely(one) == loosely(other)


def test_values_are_told_apart() -> None:
    assert len({loosely(each) for each in ("1", "2", "12", "ab", "b", "ü", "10")}) == 7


def test_a_path_names_a_resource_by_its_values() -> None:
    routes = FreshRoutes([JOB, OF_TWO])
    found = routes.resource(JOB, b"/api/jobs/A%2D1/")
    assert found is not None
    assert found.values == ("A-1",)
    assert set(found.names) == names("a1")
    assert routes.resource(JOB, b"/api/jobs/1/2/") is None
    assert routes.resource(JOB, b"/api/jobs//") is None
    two = routes.resource(OF_TWO, b"/o/7/x/8/and/more")
    assert two is not None
    assert two.values == ("8", "7")
    assert two.names == (Name(("id",), "8"), Name(("org",), "7"))
    assert routes.fields == {("jobId",), ("id",), ("org",)}


def test_exact_values_tell_resources_apart_that_have_the_same_names() -> None:
    routes = FreshRoutes([JOB])
    spelled = [routes.resource(JOB, path) for path in (b"/api/jobs/a/", b"/api/jobs/A/")]
    assert spelled[0] != spelled[1]
    odd = [routes.resource(JOB, path) for path in (b"/api/jobs/%ff/", b"/api/jobs/%fe/")]
    assert odd[0] != odd[1]


@pytest.mark.parametrize(
    "path",
    [
        b"/api/jobs/X1/",
        b"/api/jobs/X1",
        b"//api/./jobs/%581/",
        b"/API/JOBS/x1/",
        b"/api/jobs/x1/steps/4/",
        b"/api/other/../jobs/x1/",
        b"/api/jobs%2Fx1/",
        b"/api/jobs;v=1/x1;v=2/",
    ],
)
def test_a_write_counts_for_what_its_path_may_name_however_it_is_spelled(path: bytes) -> None:
    assert FreshRoutes([JOB]).written(path) == names("x1")


@pytest.mark.parametrize("path", [b"/api/jobs/", b"/api/jobs", b"/api/", b"/x/api/jobs/1/", b"*"])
def test_a_write_elsewhere_counts_for_nothing(path: bytes) -> None:
    assert FreshRoutes([JOB]).written(path) == frozenset()


@pytest.mark.parametrize(
    "path",
    [b"/api/jobs/x1.json", b"/api/jobs/x1.a/", b"/api/jobs/x1.a;v", b"/api/jobs/x1%3Bv/steps/"],
)
def test_what_may_be_a_format_or_a_parameter_counts_with_and_without(path: bytes) -> None:
    assert FreshRoutes([JOB]).written(path) > names("x1")


def test_a_write_counts_for_all_routes_that_it_may_be_of() -> None:
    rest = FreshRoute("/api/jobs/{id}/**", ((("other",), "id"),), None)
    assert FreshRoutes([JOB, rest]).written(b"/api/jobs/1/") == {
        *names("1"),
        Name(("other",), "1"),
    }


def test_a_websocket_is_for_what_its_path_names() -> None:
    routes = FreshRoutes([JOB, OF_TWO])
    (found,) = routes.heard_on(b"/ws/jobs/1/")
    assert found == routes.resource(JOB, b"/api/jobs/1/")
    (two,) = routes.heard_on(b"/ws/7/jobs/8/x")
    assert two == routes.resource(OF_TWO, b"/o/7/any/8/")
    assert routes.heard_on(b"/ws/") == ()


def test_where_no_path_is_said_it_is_for_each_value_of_a_segment() -> None:
    routes = FreshRoutes([ANY])
    found = routes.heard_on(b"/ws/jobs/%31/jobs/")
    assert [each.values for each in found] == [("ws", "ws"), ("jobs", "jobs"), ("1", "1")]
    assert routes.resource(ANY, b"/api/apps/by-job/1/") in found
    assert len(routes.heard_on(b"/%s" % b"/".join(b"%d" % each for each in range(50)))) == 8
