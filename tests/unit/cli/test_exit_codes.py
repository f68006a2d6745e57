"""The exit codes: the documents have the same as the code."""

from __future__ import annotations

import argparse
import re

import pytest

from proxy.cli.admin import Refused
from proxy.cli.asking import add_asking
from proxy.cli.exit_codes import (
    AUTHORITY_PROBLEM,
    CHANGING,
    COMMON,
    ExitCode,
    of_answer,
)
from proxy.cli.main import parser
from proxy.cli.parser import Parser
from tests.support.checkout import ROOT

_ROW = re.compile(r"^\| (?P<first>[^|]+) \| (?P<second>[^|]+) \|", re.MULTILINE)


def section() -> str:
    text = (ROOT / "docs" / "commands.md").read_text(encoding="utf-8")
    return text.partition("\n## Exit codes\n")[2].partition("\n## ")[0]


def commands(made: Parser, before: str = "") -> dict[str, frozenset[ExitCode]]:
    """The commands that can be run, and the exit codes that they say they have."""
    found: dict[str, frozenset[ExitCode]] = {}
    for name, inner in made.commands().items():
        if below := commands(inner, f"{before}{name} "):
            found |= below
        else:
            found[f"{before}{name}"] = inner.get_default("codes") or COMMON
    return found


def test_each_code_is_in_the_documents() -> None:
    rows = {row["first"].strip() for row in _ROW.finditer(section())}
    assert {str(code.value) for code in ExitCode} <= rows
    assert {row for row in rows if row.isdecimal()} == {str(code.value) for code in ExitCode}


def test_each_command_is_in_the_documents_with_its_codes() -> None:
    told: dict[str, frozenset[ExitCode]] = {}
    for row in _ROW.finditer(section()):
        if not row["first"].startswith("`segue "):
            continue
        codes = frozenset(ExitCode(int(each)) for each in row["second"].split(", "))
        for name in re.findall(r"`segue ([a-z -]+)`", row["first"]):
            assert name not in told
            told[name] = codes
    assert told == commands(parser())


@pytest.mark.parametrize("command", sorted(commands(parser())))
def test_a_command_line_that_cannot_be_understood_is_usage(command: str) -> None:
    if command in ("demo", "help"):
        return  # The one is another program's, the other takes any words.
    with pytest.raises(SystemExit) as ended:
        parser().parse_args([*command.split(), "--no-such-flag"])
    assert ended.value.code == ExitCode.USAGE


@pytest.mark.parametrize(
    ("status", "problem_type", "code"),
    [
        (412, "about:blank", 3),
        (428, "", 3),
        (401, "", 4),
        (403, "about:blank", 4),
        (409, f"/problems/{AUTHORITY_PROBLEM}", 5),
        (409, f"urn:segue:problem:{AUTHORITY_PROBLEM}", 5),
        (409, f"https://segue.example/problems#{AUTHORITY_PROBLEM}", 5),
        (409, f"/problems/not-{AUTHORITY_PROBLEM}", 1),
        (409, "about:blank", 1),
        (404, f"/problems/{AUTHORITY_PROBLEM}", 1),
        (503, "", 1),
        (None, "", 1),
    ],
)
def test_an_answer_tells_the_exit_code(status: int | None, problem_type: str, code: int) -> None:
    assert of_answer(status, problem_type) == code


@pytest.mark.parametrize(("codes", "expected"), [(COMMON, 1), (CHANGING, 4)])
def test_a_command_ends_with_no_code_that_it_does_not_have(
    codes: frozenset[ExitCode], expected: int, capsys: pytest.CaptureFixture[str]
) -> None:
    def refused(_: argparse.Namespace) -> None:
        raise Refused("no", 403, {"detail": "no"}, "GET http://segue/: 403")

    made = argparse.ArgumentParser()
    add_asking(made.add_subparsers(), "set", "set it", refused, codes)
    options = made.parse_args(["set"])
    assert options.run(options) == expected
    assert capsys.readouterr().err == "segue: no\n"
    options = made.parse_args(["set", "--verbose"])
    assert options.run(options) == expected
    assert capsys.readouterr().err == "segue: no\nsegue: asked GET http://segue/: 403\n"
