"""Fields of JSON texts, as people name them."""

from __future__ import annotations

import pytest

from proxy.configuration.field_paths import read_path, render


@pytest.mark.parametrize(
    ("written", "path"),
    [
        ("id", ("id",)),
        ("meta.id", ("meta", "id")),
        (r"meta.a\.b", ("meta", "a.b")),
        (["meta", "a.b"], ("meta", "a.b")),
    ],
)
def test_a_field_is_read_by_its_keys(written: object, path: tuple[str, ...]) -> None:
    assert read_path(written) == path
    assert render(path) == ".".join(path)


@pytest.mark.parametrize("written", ["", ".", "a..b", [], ["a", 1], None, {"a": 1}])
def test_what_names_no_field_is_refused(written: object) -> None:
    with pytest.raises(ValueError, match="expected a field"):
        read_path(written)
