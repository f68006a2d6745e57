"""The fuzz targets over their seeds and whatever once made one of them fail."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.checkout import ROOT
from tools.fuzz.targets import TARGETS

CORPUS = ROOT / "tests/corpus"
SEEDS = sorted(CORPUS.glob("*/*"))


@pytest.mark.parametrize("seed", SEEDS, ids=lambda seed: f"{seed.parent.name}-{seed.name}")
def test_no_seed_makes_its_target_fail(seed: Path) -> None:
    TARGETS[seed.parent.name](seed.read_bytes())


def test_every_target_has_seeds() -> None:
    assert {seed.parent.name for seed in SEEDS} == set(TARGETS)


@pytest.mark.parametrize("target", TARGETS)
@given(data=st.binary(max_size=200))
def test_no_bytes_make_a_target_fail(target: str, data: bytes) -> None:
    TARGETS[target](data)
