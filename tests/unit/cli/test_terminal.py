"""Text as commands write it."""

from __future__ import annotations

import pytest

from proxy.cli.terminal import printable, shortened


@pytest.mark.parametrize("hostile", ["\x1b[2J", "a\rb", "\x9b31m", "\u202eabc", "\u2028", "\0"])
def test_text_that_could_act_on_a_terminal_is_escaped(hostile: str) -> None:
    assert printable(hostile).isprintable()
    assert printable("Zoë – 完") == "Zoë – 完"


def test_long_text_is_cut_and_says_so() -> None:
    assert shortened("abcdef", 6) == "abcdef"
    assert shortened("abcdefg", 3) == "abc... (7 characters)"
