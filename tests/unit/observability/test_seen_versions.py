"""The table of versions: what it counts, and that clients cannot make it grow."""

from __future__ import annotations

from proxy.observability.seen_versions import MAX_KEPT, SHOWN, SeenVersion, SeenVersions
from proxy.versions.selection import Selection
from proxy.versions.sources import VersionSource
from proxy.versions.version import Version


def told(raw: str, cohort: str | None = None) -> Selection:
    version = Version.parse(raw)
    source = VersionSource.UNREADABLE if version is None else VersionSource.HEADER
    return Selection(version, source, cohort, raw)


UNTOLD = Selection(None, VersionSource.NONE, None)
DEFAULT = Selection(Version.parse("1"), VersionSource.DEFAULT, "legacy")


def test_requests_are_counted_by_spelling_and_cohort_the_most_frequent_first() -> None:
    seen = SeenVersions()
    for now, selection in enumerate(
        [told("1.0"), told("2", "modern"), UNTOLD, told("2", "modern"), DEFAULT, told("no version")]
    ):
        seen.note(selection, float(now))
    assert seen.most() == (
        [
            SeenVersion("2", "modern", readable=True, requests=2, last=3.0),
            SeenVersion("no version", "none", readable=False, requests=1, last=5.0),
            SeenVersion("1.0", "none", readable=True, requests=1, last=0.0),
        ],
        0,
    )
    assert seen.untold == 2


def test_what_a_reload_has_moved_to_another_cohort_is_shown_in_both() -> None:
    seen = SeenVersions()
    seen.note(told("2", "old"), 1.0)
    seen.note(told("2", "new"), 2.0)
    assert [(each.raw, each.cohort) for each in seen.most()[0]] == [("2", "new"), ("2", "old")]


def test_all_beyond_the_most_frequent_are_other() -> None:
    seen = SeenVersions()
    for number in range(SHOWN + 10):
        for _ in range(number + 1):
            seen.note(told(f"1.{number}"), 0.0)
    shown, other = seen.most()
    assert [each.raw for each in shown] == [f"1.{number}" for number in range(SHOWN + 9, 9, -1)]
    assert other == sum(range(1, 11))


def test_a_flood_of_spellings_is_bounded_loses_no_request_and_leaves_the_frequent_alone() -> None:
    seen = SeenVersions()
    for _ in range(3):
        seen.note(told("2.0", "modern"), 0.0)
    flood = 10 * MAX_KEPT
    for number in range(flood):
        seen.note(told(f"0.{number}"), 1.0)
        assert len(seen.most(flood)[0]) <= MAX_KEPT
    shown, other = seen.most()
    assert (shown[0].raw, shown[0].requests) == ("2.0", 3)
    assert sum(each.requests for each in shown) + other == 3 + flood
