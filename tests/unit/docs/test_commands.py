"""The page about the command line: its commands are understood, and none is missing."""

from __future__ import annotations

import re
import shlex

import pytest

from proxy.cli.main import main, parser
from tests.support.checkout import ROOT

PAGE = (ROOT / "docs/commands.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```console\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
LINES = [line for block in BLOCKS for line in block.splitlines()]


@pytest.mark.parametrize("line", LINES)
def test_command_of_the_page_is_understood(line: str) -> None:
    program, *arguments = shlex.split(line)
    assert program == "segue"
    assert parser().parse_args(arguments).command == arguments[0]


def test_no_command_is_missing_on_the_page(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--help"])
    commands = re.findall(r"^    ([a-z]+) +\S", capsys.readouterr().out, re.MULTILINE)
    assert len(commands) >= 10
    assert [command for command in commands if f"`segue {command}" not in PAGE] == []


def test_explained_frame_of_the_page_is_mapped(capsys: pytest.CaptureFixture[str]) -> None:
    (line,) = [line for line in LINES if "--diff" in line]
    root = ROOT
    assert main([*shlex.split(line)[1:], "--config", str(root / "config.yaml")]) == 0
    assert '+ kind: "status"' in capsys.readouterr().out
