"""Where spans are sent."""

from __future__ import annotations

import pytest

from proxy.configuration import reading
from tests.support.configured import MINIMAL, problems


@pytest.mark.parametrize(
    "endpoint",
    ["http://127.0.0.1:4318/v1/traces", "https://[::1]:4318/x", "http://collector"],
)
def test_an_address_of_a_collector_is_read(endpoint: str) -> None:
    text = f"{MINIMAL}tracing: {{endpoint: '{endpoint}'}}\n"
    assert reading.load(text, "config.yaml", {}, {}, lambda _: "").tracing.endpoint == endpoint


@pytest.mark.parametrize(
    "endpoint",
    ["http://[::1", "http://a:99999999/", "ftp://a/", "http://a/ b", "http://u:p@a/", "a:4318", ""],
)
def test_what_is_none_is_refused_with_its_place(endpoint: str) -> None:
    (found,) = problems(f"{MINIMAL}tracing: {{endpoint: '{endpoint}'}}\n")
    assert found.path == "tracing.endpoint"
    assert "http://collector:4318/v1/traces" in found.message
