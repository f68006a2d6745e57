"""Colours only where they are wanted, and nothing printed that acts on a terminal."""

from __future__ import annotations

import io

import pytest

from proxy.cli.terminal import Paint, printable, shortened


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(
    ("stream", "env", "coloured"),
    [
        (Terminal(), {}, True),
        (Terminal(), {"NO_COLOR": ""}, True),
        (Terminal(), {"NO_COLOR": "1"}, False),
        (Terminal(), {"TERM": "dumb"}, False),
        (io.StringIO(), {"TERM": "xterm"}, False),
    ],
)
def test_colours_are_for_terminals_without_no_color(
    stream: io.StringIO, env: dict[str, str], coloured: bool
) -> None:
    paint = Paint(stream, env)
    for colour in (paint.red, paint.green, paint.dim, paint.bold):
        assert (colour("text") != "text") is coloured
        assert "text" in colour("text")


@pytest.mark.parametrize("hostile", ["\x1b[2J", "a\rb", "\x9b31m", "\u202eabc", "\u2028", "\0"])
def test_text_that_could_act_on_a_terminal_is_escaped(hostile: str) -> None:
    assert printable(hostile).isprintable()
    assert printable("Zoë – 完") == "Zoë – 完"


def test_long_text_is_cut_and_says_so() -> None:
    assert shortened("abcdef", 6) == "abcdef"
    assert shortened("abcdefg", 3) == "abc... (7 characters)"
