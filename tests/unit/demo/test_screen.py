"""How lines are drawn: their colour, their width, and nothing that a terminal would obey."""

from __future__ import annotations

import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from demo.screen import Screen, Span, Style, columns_of, cut, fitted, harmless, value_text
from tests.support.screens import Terminal


def test_colour_is_for_terminals_that_want_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")

    def written(stream: io.StringIO, *, colour: bool = True) -> str:
        Screen.on(stream, colour=colour).line(Span("step", Style.NEW))
        return stream.getvalue()

    assert written(Terminal()) == "\x1b[1;32mstep\x1b[0m\n"
    assert written(Terminal(), colour=False) == "step\n"
    assert written(io.StringIO()) == "step\n"
    monkeypatch.setenv("NO_COLOR", "1")
    assert written(Terminal()) == "step\n"
    monkeypatch.delenv("NO_COLOR")
    monkeypatch.setenv("TERM", "dumb")
    assert written(Terminal()) == "step\n"


def test_a_long_value_is_cut_and_its_size_told() -> None:
    assert value_text('"' + "x" * 6142 + '"', 20) == '"xxxxxxxxxx… 6.0 KiB'
    assert value_text('"short"', 20) == '"short"'


@given(st.text(), st.integers(0, 60))
def test_what_is_cut_fits_and_what_fits_is_not_cut(text: str, width: int) -> None:
    shortened = cut(text, width)
    assert columns_of(shortened) <= width
    assert (shortened == text) == (columns_of(text) <= width)


@given(st.lists(st.text(), max_size=4), st.integers(1, 60))
def test_a_fitted_line_has_exactly_its_width(texts: list[str], width: int) -> None:
    line = fitted(tuple(Span(text) for text in texts), width)
    assert sum(columns_of(span.text) for span in line) == width


@given(st.text())
def test_nothing_that_a_terminal_obeys_is_written(text: str) -> None:
    assert harmless(text).isprintable()
