"""Colours where they are wanted, tables that fit, and nothing printed that acts on a terminal."""

from __future__ import annotations

import io

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from proxy.cli.layout import fitted, widths
from proxy.cli.screen import Screen
from proxy.cli.styled import Column, Line, Span, Style, state
from tests.support.screens import Terminal, uncoloured, without_motion

HOSTILE = [
    "[bold]",
    "[/]",
    "[red]a[/red]",
    "[link=http://x]y[/link]",
    "\\[bold]",
    ":smile:",
    "\x1b[2J",
    "\x1b]0;title\x07",
    "\x9b31m",
    "a\rb",
    "a\nb",
    "a\tb",
    "\u202eabc",
    "\u2066abc",
    "\u2028",
    "\0",
    "\udcff",
    "完全な表",
    "e\u0301",
    "👩\u200d👩\u200d👧",
]
COLUMNS = (Column("NAME"), Column("USER", cut=True), Column("COUNT", right=True))


def written(stream: io.StringIO, env: dict[str, str], *rows: Line) -> list[str]:
    screen = Screen(stream, env)
    screen.table(COLUMNS, rows)
    return stream.getvalue().splitlines()


@pytest.mark.parametrize(
    ("stream", "env", "coloured"),
    [
        (Terminal(), {}, True),
        (Terminal(), {"NO_COLOR": ""}, True),
        (Terminal(), {"NO_COLOR": "1"}, False),
        (Terminal(), {"NO_COLOR": "1", "FORCE_COLOR": "1"}, False),
        (Terminal(), {"TERM": "dumb"}, False),
        (Terminal(), {"TERM": "dumb", "FORCE_COLOR": "1"}, True),
        (io.StringIO(), {"TERM": "xterm"}, False),
        (io.StringIO(), {"FORCE_COLOR": ""}, False),
        (io.StringIO(), {"FORCE_COLOR": "0"}, True),
    ],
)
def test_colours_are_for_terminals_unless_the_environment_says_otherwise(
    stream: io.StringIO, env: dict[str, str], coloured: bool
) -> None:
    screen = Screen(stream, env)
    screen.line("a ", Span("b", Style.BAD))
    screen.table(COLUMNS, [("a", Span("b", Style.BAD), "1")])
    assert ("\x1b[31mb" in stream.getvalue()) is coloured
    assert ("\x1b" in stream.getvalue()) is coloured
    assert uncoloured(stream.getvalue()) == "a b\nNAME  USER  COUNT\na     b         1\n"


def test_a_flag_forbids_colours_whatever_the_environment_says() -> None:
    stream = Terminal()
    Screen(stream, {"FORCE_COLOR": "1"}, colour=False).line(Span("b", Style.BAD))
    assert stream.getvalue() == "b\n"


@pytest.mark.parametrize(
    ("text", "code"), [("off", "2"), ("shadow", "94"), ("canary 10%", "33"), ("on", "32")]
)
def test_each_state_of_a_switch_has_its_colour(text: str, code: str) -> None:
    stream = Terminal()
    Screen(stream, {}).line(state(text))
    assert stream.getvalue() == f"\x1b[{code}m{text}\x1b[0m\n"


@pytest.mark.parametrize("hostile", HOSTILE)
@pytest.mark.parametrize("stream", [Terminal, io.StringIO])
def test_text_is_neither_obeyed_nor_taken_for_markup(
    hostile: str, stream: type[io.StringIO]
) -> None:
    escaped = "".join(
        each if each.isprintable() else each.encode("unicode-escape", "backslashreplace").decode()
        for each in hostile
    )
    for env in ({}, {"FORCE_COLOR": "1"}, {"NO_COLOR": "1"}):
        made = stream()
        screen = Screen(made, env)
        screen.line(hostile, Span(hostile, Style.DIM))
        screen.table(COLUMNS, [(hostile, Span(hostile, Style.BAD), hostile)])
        lines = uncoloured(made.getvalue()).splitlines()
        assert all(line.isprintable() for line in lines)
        assert lines[0] == escaped * 2
        assert lines[2].split("  ", 1)[0].strip() == escaped


@pytest.mark.parametrize("hostile", HOSTILE)
@pytest.mark.parametrize("stream", [Terminal, io.StringIO])
def test_nor_is_what_changes(hostile: str, stream: type[io.StringIO]) -> None:
    made = stream()
    with Screen(made, {"TERM": "xterm", "COLUMNS": "200"}).changing() as changing:
        changing.lines([(hostile,)])
        changing.table(COLUMNS, [(hostile, Span(hostile, Style.BAD), hostile)])
    shown = without_motion(uncoloured(made.getvalue()))
    assert all(line.isprintable() for line in shown.splitlines())
    assert ("[" in hostile) <= (hostile.lstrip("\x1b") in shown)


def test_columns_stand_below_each_other_whatever_the_width_of_characters() -> None:
    rows: list[Line] = [("完全な表", "x", "1"), ("e\u0301", "y", "22"), ("abc", "z", "333")]
    for stream in (Terminal(), io.StringIO()):
        lines = [uncoloured(line) for line in written(stream, {}, *rows)]
        starts = {
            cell_len(line[: line.index(mark)]) for line, mark in zip(lines[1:], "xyz", strict=True)
        }
        assert starts == {cell_len("完全な表") + 2}
        assert len({cell_len(line) for line in lines}) == 1


def test_what_is_no_terminal_gets_all_of_each_cell_on_one_line() -> None:
    for env in ({}, {"COLUMNS": "40"}, {"COLUMNS": "40", "FORCE_COLOR": "1"}):
        lines = written(io.StringIO(), env, ("n" * 300, "u" * 300, "1"))
        assert len(lines) == 2
        assert uncoloured(lines[1]) == f"{'n' * 300}  {'u' * 300}      1"


def test_a_terminal_gets_cells_cut_off_and_no_trailing_space() -> None:
    lines = written(Terminal(), {"COLUMNS": "40"}, ("n" * 10, "u" * 300, "1"), ("n", "v", "2"))
    assert [uncoloured(line) for line in lines] == [
        f"NAME        USER{' ' * 19}COUNT",
        f"{'n' * 10}  {'u' * 20}…      1",
        f"n           v{' ' * 26}2",
    ]


def test_a_table_that_cannot_fit_becomes_a_block_of_lines_for_each_row() -> None:
    lines = written(Terminal(), {"COLUMNS": "20"}, ("n" * 30, "u" * 30, "1"), ("m", "v", "2"))
    assert [uncoloured(line) for line in lines] == [
        f"NAME   {'n' * 30}",
        f"USER   {'u' * 30}",
        "COUNT  1",
        "",
        "NAME   m",
        "USER   v",
        "COUNT  2",
    ]


def test_a_block_is_without_fields_that_say_nothing_and_indented_as_a_whole() -> None:
    wide = "n" * 30
    lines = written(Terminal(), {"COLUMNS": "20"}, (wide, "-", "1"), (f"  {wide}", "u", "-"))
    assert [uncoloured(line) for line in lines] == [
        f"NAME   {wide}",
        "COUNT  1",
        "",
        f"  NAME   {wide}",
        "  USER   u",
    ]


def test_cells_that_may_not_be_cut_go_on_in_the_next_line() -> None:
    stream = Terminal()
    columns = (Column("NAME"), Column("WHAT", wrap=True))
    rows: list[Line] = [("n" * 10, "modern/old-to-new on -> canary 10%"), ("m", "x" * 40)]
    Screen(stream, {"COLUMNS": "32"}).table(columns, rows)
    assert uncoloured(stream.getvalue()).splitlines() == [
        "NAME        WHAT",
        f"{'n' * 10}  modern/old-to-new on",
        "            -> canary 10%",
        f"m           {'x' * 20}",
        f"            {'x' * 20}",
    ]


def test_what_says_nothing_goes_before_what_is_spare_and_that_is_told() -> None:
    columns = (
        Column("NAME"),
        Column("EMPTY"),
        Column("FIRST", spare=True),
        Column("KEPT"),
        Column("LAST", spare=True),
    )
    shown = {}
    for width in (35, 34, 28, 20, 12):
        stream = Terminal()
        env = {"COLUMNS": str(width)}
        Screen(stream, env).table(columns, [("n" * 5, "-", "f" * 6, "k" * 5, "l" * 6)])
        shown[width] = uncoloured(stream.getvalue()).splitlines()
    assert shown[35][0].split() == ["NAME", "EMPTY", "FIRST", "KEPT", "LAST"]
    assert shown[34] == shown[28]
    assert shown[28][0].split() == ["NAME", "FIRST", "KEPT", "LAST"]
    assert len(shown[28]) == 2
    more = ": a wider terminal or --json has it"
    assert shown[20][0].split() == ["NAME", "FIRST", "KEPT"]
    assert shown[20][2] == f"no room for LAST{more}"
    assert shown[12][0].split() == ["NAME", "KEPT"]
    assert shown[12][2] == f"no room for FIRST, LAST{more}"


@given(
    st.lists(st.tuples(st.integers(1, 60), st.booleans()), min_size=1, max_size=6),
    st.integers(1, 200),
)
def test_what_is_fitted_fits_and_keeps_what_may_not_be_cut(
    cells: list[tuple[int, bool]], room: int
) -> None:
    columns = [Column("T", cut=cut) for _, cut in cells]
    wanted = widths(columns, [tuple("x" * width for width, _ in cells)])
    found = fitted(columns, wanted, room)
    gaps = 2 * (len(cells) - 1)
    smallest = [min(width, 8) if cut else width for width, cut in cells]
    assert (found is None) == (sum(smallest) + gaps > room)
    if found is not None:
        assert sum(found) + gaps <= max(room, 0)
        assert sum(found) == min(sum(wanted), room - gaps)
        for got, (width, cut) in zip(found, cells, strict=True):
            assert got == width or (cut and min(width, 8) <= got < width)


def test_what_changes_is_drawn_in_place_on_a_terminal() -> None:
    stream = Terminal()
    screen = Screen(stream, {"COLUMNS": "40", "TERM": "xterm"})
    with screen.changing() as changing:
        changing.table(COLUMNS, [("a", "b", "1")])
        screen.line("above")
        changing.table(COLUMNS, [("a", "b", "2")])
    text = stream.getvalue()
    assert "\x1b[1A" in text  # the cursor goes up, over what stood there
    assert text.index("above") > text.index("1")
    assert text.endswith("\x1b[?25h")  # and is shown again


@pytest.mark.parametrize("stream", [io.StringIO(), Terminal()])
def test_what_changes_is_told_line_by_line_where_no_cursor_moves(stream: io.StringIO) -> None:
    screen = Screen(stream, {"TERM": "dumb", "COLUMNS": "40"})
    with screen.changing() as changing:
        changing.table(COLUMNS, [("a", "b", "1"), ("c", "d", "1")])
        changing.table(COLUMNS, [("a", "b", "1"), ("c", "d", "2")])
        changing.table(COLUMNS, [("a", "b", "1"), ("c", "d", "2")])
        changing.lines([("done",)])
    assert stream.getvalue().splitlines() == [
        "NAME  USER  COUNT",
        "a     b         1",
        "c     d         1",
        "c     d         2",
        "done",
    ]
