"""Reading versions and ranges, and what cohorts contain."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from packaging.version import Version as Pep440Version

from proxy.versions.cohorts import Cohort, Cohorts
from proxy.versions.version import (
    MAX_COMPARATORS,
    MAX_DIGITS,
    MAX_LENGTH,
    MAX_NUMBERS,
    Version,
    parse_range,
)


def read(text: str) -> Version:
    version = Version.parse(text)
    assert version is not None, text
    return version


def cohorts(**ranges: str) -> Cohorts:
    return Cohorts([Cohort(name, parse_range(text)) for name, text in ranges.items()])


releases = st.lists(st.integers(0, 30), min_size=1, max_size=4)
versions = releases.map(lambda numbers: read(".".join(map(str, numbers))))


@pytest.mark.parametrize(
    ("text", "release"),
    [
        ("2", (2,)),
        ("2.1.0", (2, 1)),
        ("1.10", (1, 10)),
        ("v2.1", (2, 1)),
        ("V2.1", (2, 1)),
        (" 2.1\t", (2, 1)),
        ("0.0", ()),
        ("02.01", (2, 1)),
        ("2.0.0-rc.1", (2,)),
        ("2.1.0-next.1", (2, 1)),
        ("2.0.0+build", (2,)),
        ("2.1.0-next.1+build.5-x", (2, 1)),
        ("2.1.0-0.3.7", (2, 1)),
        ("2.1rc1", (2, 1)),
        ("2.1.dev4", (2, 1)),
        ("2.1.post1", (2, 1)),
        ("2.1a2.post3.dev4+local.1", (2, 1)),
        ("1.0-1", (1,)),
        ("20240115123045", (20240115123045,)),
    ],
)
def test_pep440_and_semver_spellings_count_as_their_release(
    text: str, release: tuple[int, ...]
) -> None:
    assert read(text).release == release


@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        "latest",
        "2.",
        ".2",
        "2..1",
        "-1",
        "2.1 beta x",
        "2.1.0-",
        "2.1.0+",
        "2.1.0-a..b",
        "2,1",
        "vv2",
        "2.1\n",
        "2.1\0",
        "\N{FULLWIDTH DIGIT TWO}.1",
        "\N{ARABIC-INDIC DIGIT TWO}",
        "2.1.0-é",
        "1" * (MAX_DIGITS + 1),
        ".".join("1" * (MAX_NUMBERS + 1)),
        ".".join("1" * (MAX_NUMBERS + 1)) + "rc1",
        f"{'1' * (MAX_DIGITS + 1)}!2.0",
        "1" * 5000,
        "2.0+" + "a" * MAX_LENGTH,
        "1!" * 60,
    ],
)
def test_what_cannot_be_read_is_none(text: str) -> None:
    assert Version.parse(text) is None


def test_the_bounds_themselves_are_readable() -> None:
    assert read("1" * MAX_DIGITS).release == (int("1" * MAX_DIGITS),)
    assert len(read(".".join("1" * MAX_NUMBERS)).release) == MAX_NUMBERS
    longest = "2.0+" + "a" * (MAX_LENGTH - 4)
    assert read(longest).release == (2,)


def test_versions_are_ordered_by_number_not_by_text() -> None:
    ascending = ["0", "1.9", "1.10", "2", "2.0.0.1", "2.0.1", "10.0", "1!0.1"]
    assert all(read(a) < read(b) for a, b in pairwise(ascending))


def test_equal_releases_are_equal_and_hash_alike_whatever_their_spelling() -> None:
    spellings = [read(text) for text in ("2", "2.0", "v2.0.0", "2.0.0-rc.1", "2.0+build")]
    assert len(set(spellings)) == 1
    assert str(spellings[3]) == "2.0.0-rc.1"


@given(versions, versions, versions)
def test_the_order_is_total(a: Version, b: Version, c: Version) -> None:
    assert (a < b) + (a == b) + (a > b) == 1
    assert not (a <= b <= c) or a <= c
    assert (a <= b) == (b >= a) == (not a > b)


@given(releases, releases)
def test_the_order_of_releases_is_that_of_pep440(a: list[int], b: list[int]) -> None:
    left, right = (".".join(map(str, numbers)) for numbers in (a, b))
    assert (read(left) < read(right)) == (Pep440Version(left) < Pep440Version(right))
    assert (read(left) == read(right)) == (Pep440Version(left) == Pep440Version(right))


@given(st.text())
def test_no_text_breaks_the_reader(text: str) -> None:
    version = Version.parse(text)
    assert version is None or (version.epoch >= 0 and all(n >= 0 for n in version.release))


@pytest.mark.parametrize(
    ("text", "inside", "outside"),
    [
        (">=2,<3", ["2", "2.0.0-rc.1", "2.99"], ["1.99", "3", "3.0.0-rc.1"]),
        (">2", ["2.0.1"], ["2", "2.0.0+build"]),
        ("<=2", ["2.0", "1"], ["2.0.1"]),
        ("== 2.1", ["2.1.0"], ["2.1.1"]),
        ("!=2.1 , >=2", ["2", "2.1.1"], ["2.1", "1"]),
        (">=1.10", ["1.10", "1.11"], ["1.9"]),
    ],
)
def test_a_range_holds_where_all_its_comparators_do(
    text: str, inside: list[str], outside: list[str]
) -> None:
    versions = parse_range(text)
    assert [v for v in inside if read(v) not in versions] == []
    assert [v for v in outside if read(v) in versions] == []
    assert str(versions) == text


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "part 1 of the range has to begin with"),
        ("2", "part 1 of the range has to begin with"),
        ("=2", "has to begin with"),
        ("~=2.1", "has to begin with"),
        (">=2,", "part 2 of the range has to begin with"),
        (">=", "has to name a version after >="),
        (">=2,<three", "part 2 of the range has to name a version after <"),
        (">=2 <3", "has to name a version"),
        ("==2.*", "has to name a version"),
        (">=" + "1" * 5000, "has to name a version"),
        (",".join([">=1"] * (MAX_COMPARATORS + 1)), "at most 16 parts"),
        ("," * 100_000, "at most 16 parts"),
    ],
)
def test_a_range_that_cannot_be_read_says_which_part(text: str, reason: str) -> None:
    with pytest.raises(ValueError, match=reason) as raised:
        parse_range(text)
    assert len(str(raised.value)) < 200


def test_the_first_cohort_that_contains_the_version_wins() -> None:
    listed = cohorts(pilot="==2.1", modern=">=2", rest=">=1")
    assert listed.find(read("2.1")) == "pilot"
    assert listed.find(read("2.2")) == "modern"
    assert listed.find(read("1.5")) == "rest"
    assert listed.find(read("0.9")) is None


def test_shipped_cohorts_share_every_version_out() -> None:
    assert cohorts(modern=">=2", legacy="<2").unreachable() == []


@pytest.mark.parametrize(
    ("ranges", "index", "reason"),
    [
        ({"a": ">=2", "b": ">=3"}, 1, "'a'"),
        ({"a": ">=2", "b": ">=2"}, 1, "'a'"),
        ({"a": "<2", "b": ">=2", "c": ">=1,<3"}, 2, "'a' and 'b'"),
        ({"a": "!=2", "b": "==2", "c": "==2"}, 2, "'b'"),
        ({"a": ">=0", "b": "<1"}, 1, "'a'"),
        ({"a": ">2,<2.0.1", "b": ">2,<2.0.1"}, 1, "'a'"),
        ({"a": ">=2,<1"}, 0, "contains no version"),
        ({"a": "<0"}, 0, "contains no version"),
        ({"a": "==1,!=1"}, 0, "contains no version"),
    ],
)
def test_a_cohort_that_no_version_reaches_is_found(
    ranges: dict[str, str], index: int, reason: str
) -> None:
    ((found, message),) = cohorts(**ranges).unreachable()
    assert found == index
    assert reason in message


@pytest.mark.parametrize(
    "ranges",
    [
        {"a": ">=2", "b": ">=1"},
        {"a": ">2", "b": ">=2"},
        {"a": "!=2", "b": ">=1"},
        {"a": ">=2,<3", "b": ">=2.5"},
        {"a": "<2.0.1", "b": "<=2.0.1"},
        {"a": "<1!0", "b": ">=2"},
    ],
)
def test_a_cohort_that_some_version_reaches_is_not_reported(ranges: dict[str, str]) -> None:
    assert cohorts(**ranges).unreachable() == []


comparators = st.builds(
    lambda operator, major, minor: f"{operator}{major}.{minor}",
    st.sampled_from([">=", ">", "<=", "<", "==", "!="]),
    st.integers(0, 2),
    st.integers(0, 2),
)
ranges = st.lists(comparators, min_size=1, max_size=3).map(",".join)


@given(st.lists(ranges, min_size=1, max_size=4))
def test_unreachable_agrees_with_trying_every_version(texts: list[str]) -> None:
    listed = Cohorts([Cohort(str(i), parse_range(text)) for i, text in enumerate(texts)])
    tried = [read(f"{a}.{b}.{c}") for a in range(4) for b in range(4) for c in range(2)]
    reached = {listed.find(version) for version in tried}
    unreached = {str(i) for i in range(len(texts))} - reached
    assert {str(index) for index, _ in listed.unreachable()} == unreached


@given(st.lists(ranges, min_size=1, max_size=4), ranges)
def test_never_met_agrees_with_trying_every_version(texts: list[str], excepted: str) -> None:
    listed = Cohorts([Cohort(str(i), parse_range(text)) for i, text in enumerate(texts)])
    versions = parse_range(excepted)
    tried = [read(f"{a}.{b}.{c}") for a in range(4) for b in range(4) for c in range(2)]
    for i, text in enumerate(texts):
        met = any(each in versions and listed.find(each) == str(i) for each in tried)
        told = "" if met else f"no version of the cohort {i} ({text}) is in {excepted}"
        assert listed.never_met(str(i), versions) == told
    assert listed.never_met("gone", versions) == ""
