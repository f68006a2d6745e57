"""What is imported for what is printed, and what a real terminal gets."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.checkout import ROOT
from tests.support.screens import on_a_terminal, uncoloured
from tests.support.waiting import PATIENCE

DRAWING = ("rich.console", "rich.table", "pygments")
EXPLAIN = ["explain", "--client-version", "2", "--frame", '{"kind": "jobStatus", "[bold]": "[/]"}']


def imported(*arguments: str) -> set[str]:
    """The modules that a command imports, by what Python says of it."""
    done = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "proxy", *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    lines = [line for line in done.stderr.splitlines() if line.startswith("import time:")]
    return {line.rpartition("|")[2].strip() for line in lines}


@pytest.mark.parametrize("arguments", [("--version",), ("validate",), (*EXPLAIN,), ("test",)])
def test_what_draws_is_not_imported_for_plain_text(arguments: tuple[str, ...]) -> None:
    modules = imported(*arguments)
    assert "structlog" in modules
    assert modules.isdisjoint(DRAWING)


def test_nor_by_a_server(tmp_path: Path) -> None:
    # One that ends where it would listen: an address that no machine has.
    modules = imported("run", "--state-dir", str(tmp_path), "--listen", "192.0.2.1:1")
    assert "uvloop" in modules
    assert "proxy.process.server" in modules
    assert modules.isdisjoint(DRAWING)


def test_a_terminal_gets_colours_unless_it_does_not_want_them() -> None:
    command = ("-m", "proxy", *EXPLAIN)
    coloured = on_a_terminal(80, *command)
    assert "\x1b[1mversion\x1b[0m" in coloured
    assert '"[bold]"' in coloured
    assert '"[/]"' in coloured
    for env in ({"NO_COLOR": "1"}, {"TERM": "dumb"}):
        assert on_a_terminal(80, *command, **env) == uncoloured(coloured)


TABLE = """
from proxy.cli.screen import Screen
from proxy.cli.styled import Column
columns = (Column("NAME"), Column("PATH", cut=True), Column("COUNT", right=True))
Screen.of_stdout().table(columns, [("n" * 32, "/p" * 50, "1")])
"""


@pytest.mark.parametrize(("columns", "lines"), [(30, 3), (80, 2), (160, 2)])
def test_a_table_fits_the_terminal(columns: int, lines: int) -> None:
    shown = uncoloured(on_a_terminal(columns, "-c", TABLE)).splitlines()
    assert len(shown) == lines
    assert "n" * 32 in "\n".join(shown)
    assert ("…" in shown[1]) is (columns == 80)
    if columns > 30:
        assert all(len(line) <= columns for line in shown)
