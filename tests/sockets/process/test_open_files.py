"""Which part of the open files is whose, and how the soft limit is raised."""

from __future__ import annotations

import resource

import pytest

from proxy.process import open_files
from proxy.process.open_files import FileShares, raise_limit, shares, shares_of

NO_END = resource.RLIM_INFINITY


@pytest.mark.parametrize(
    ("limit", "whose"),
    [
        (1024, FileShares(1024, 928, 960, 992)),
        (256, FileShares(256, 208, 224, 240)),
        (1_048_576, FileShares(1_048_576, 1_047_808, 1_048_064, 1_048_320)),
        (20, FileShares(20, 0, 0, 4)),
    ],
)
def test_three_parts_are_kept_back_and_the_last_is_the_operators(
    limit: int, whose: FileShares
) -> None:
    assert shares_of(limit) == whose


class Limits:
    """Those of a process, as a system keeps them that allows no more than `most`."""

    def __init__(self, soft: int, hard: int, most: int) -> None:
        self.now, self.most = (soft, hard), most

    def get(self, _: int) -> tuple[int, int]:
        return self.now

    def set(self, _: int, wanted: tuple[int, int]) -> None:
        if wanted[0] == NO_END or wanted[0] > self.most:
            raise ValueError("current limit exceeds maximum limit")
        self.now = wanted


@pytest.mark.parametrize(
    ("soft", "hard", "most", "raised"),
    [
        (1024, 524_288, 524_288, 524_288),
        (4096, 4096, 4096, 4096),
        (256, NO_END, 24_576, 10_240),
        (256, NO_END, 1024, 256),
        (12_000, NO_END, 24_576, 12_000),
        (1024, 524_288, 20_000, 10_240),
    ],
    ids=[
        "raised",
        "as high as may be",
        "no end",
        "refused",
        "no end, and higher",
        "less than told",
    ],
)
def test_the_soft_limit_becomes_what_the_system_allows(
    monkeypatch: pytest.MonkeyPatch, soft: int, hard: int, most: int, raised: int
) -> None:
    limits = Limits(soft, hard, most)
    monkeypatch.setattr(resource, "getrlimit", limits.get)
    monkeypatch.setattr(resource, "setrlimit", limits.set)
    raise_limit()
    assert limits.now == (raised, hard)


def test_a_limit_without_an_end_keeps_nobody_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resource, "getrlimit", lambda _: (NO_END, NO_END))
    assert shares().clients > 10**9
    assert open_files.shares() == shares()
