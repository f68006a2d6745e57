"""What docstrings say of models and of their properties."""

from __future__ import annotations

from proxy.configuration.docstrings import taken_apart


def test_attributes_are_taken_from_what_is_said_of_the_whole() -> None:
    text = """A page.

In two lines.

Attributes:
    user: only this one's,
        and nobody else's.
    after, limit: where it goes on: and how far.
"""
    assert taken_apart(text) == (
        "A page. In two lines.",
        {
            "user": "only this one's, and nobody else's.",
            "after": "where it goes on: and how far.",
            "limit": "where it goes on: and how far.",
        },
    )


def test_what_has_no_attributes_is_said_of_the_whole() -> None:
    assert taken_apart("A page.") == ("A page.", {})
    assert taken_apart("") == ("", {})
