"""What of a path is shown to those who look at messages."""

from __future__ import annotations

import pytest

from proxy.gateway.rewriting import shape_of

ROUTES = ("/api/JobRuns/{}/items", "/exports/**")


@pytest.mark.parametrize(
    ("path", "shown"),
    [
        ("/", "/"),
        ("/api/v1/users/17/", "/api/v1/users/{}/"),
        ("/users/jane.doe/mail", "/users/{}/mail"),
        ("/users/jane@example.com", "/users/{}"),
        ("/reset/kqZbWmXdPvRt", "/reset/{}"),
        ("/reset/abcdefghijklmnop", "/reset/{}"),
        ("/reset/eyJhbGciOi.eyJzdWIi.c2ln", "/reset/{}"),
        ("/Jane-Doe/_x_", "/{}/{}"),
        ("/v1234/V1", "/{}/{}"),
        # What the configuration names is no secret, where it names it.
        ("/api/JobRuns/JobRuns/items", "/api/JobRuns/{}/items"),
        ("/exports/**/{}", "/exports/{}/{}"),
    ],
)
def test_of_a_path_names_are_shown_and_nothing_that_may_be_data(path: str, shown: str) -> None:
    assert shape_of(path, ROUTES) == shown


def test_of_a_long_path_the_begin_is_shown() -> None:
    assert shape_of("/api" * 100, ()) == "/api" * 50
