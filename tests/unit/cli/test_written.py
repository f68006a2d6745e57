"""Settings as people write them: what is printed is read as the same value again."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.cli.written import duration, size, written_value
from proxy.configuration import units
from proxy.configuration.sections import Listen
from proxy.versions.sources import VersionSource


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(15.0, "15s"), (0.5, "500ms"), (1.5, "1500ms"), (0.0, "0s"), (0.0001, "0.0001s")],
)
def test_durations(seconds: float, text: str) -> None:
    assert duration(seconds) == text


@pytest.mark.parametrize(
    ("number", "text"),
    [(65536, "64KiB"), (16 * 1024**2, "16MiB"), (1024**3, "1GiB"), (1000, "1000"), (0, "0")],
)
def test_sizes(number: int, text: str) -> None:
    assert size(number) == text


@given(st.integers(0, 10**9))
def test_written_durations_and_sizes_are_read_as_what_they_were(number: int) -> None:
    assert units.duration(duration(number / 1000)) == pytest.approx(number / 1000)
    assert units.size(size(number)) == number


def test_addresses_networks_and_sources_are_text() -> None:
    section = Listen.model_validate(
        {"address": "[::1]:80", "trusted_proxies": ["10.0.0.0/8"]},
    )
    assert written_value({"listen": section, "source": VersionSource.QUERY}) == {
        "listen": written_value(section),
        "source": "query",
    }
    found = written_value(section)
    assert isinstance(found, dict)
    assert (found["address"], found["trusted_proxies"]) == ("[::1]:80", ["10.0.0.0/8"])
