"""Command lines that are wrong are answered in the words of the command line."""

from __future__ import annotations

import argparse
from collections.abc import Iterator

import pytest

from proxy.cli.main import main, parser
from proxy.cli.parser import Parser, did_you_mean, seconds, whole


def said(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    """The line that says what is wrong, without where to read on."""
    with pytest.raises(SystemExit) as caught:
        main(arguments)
    assert caught.value.code == 2
    (line,) = capsys.readouterr().err.splitlines()
    said, _, more = line.partition(" (see `segue")
    assert more.endswith(" --help`)")
    return said


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["rnu"], "segue: unknown command 'rnu'; did you mean 'run'?"),
        (["sessions", "lst"], "segue sessions: unknown action 'lst'; did you mean 'list'?"),
        (["sessions", "x"], "segue sessions: unknown action 'x'; there are: list, end, end-user"),
        (
            ["run", "--conifg", "x"],
            "segue run: unknown option '--conifg'; did you mean '--config'?",
        ),
        (
            ["run", "--conifg=x"],
            "segue run: unknown option '--conifg'; did you mean '--config'?",
        ),
        (["run", "--conf", "x"], "segue run: unknown option '--conf'; did you mean '--config'?"),
        (["validate", "extra"], "segue validate: unknown argument 'extra'"),
        (
            ["schema", "confg"],
            "argument what: 'confg' is none of config, mapping; did you mean 'config'?",
        ),
        (
            ["explain", "--direction", "to-client"],
            "'to-client' is none of to_client, to_server; did you mean 'to_client'?",
        ),
        (
            ["switch", "set", "a/b", "OFF"],
            "'OFF' is none of off, shadow, canary, on; did you mean 'off'?",
        ),
        (
            ["switch", "set", "a/b", "canary", "10%"],
            "segue switch set: unknown argument '10%'; did you mean --percent 10%?",
        ),
        (["switch", "set", "a/b", "on", "10"], "segue switch set: unknown argument '10'"),
        (
            ["switch", "set", "a/b", "off", "--for", "10"],
            "argument --for: expected a time with its unit, such as 10m",
        ),
        (["help", "exlpain"], "segue: unknown command 'exlpain'; did you mean 'explain'?"),
    ],
)
def test_what_is_misspelt_is_answered_with_what_it_may_have_meant(
    arguments: list[str], line: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert said(arguments, capsys).endswith(line)


def leaves(reader: Parser) -> Iterator[Parser]:
    yield reader
    for inner in reader.commands().values():
        yield from leaves(inner)


def test_no_message_names_a_function() -> None:
    """Each flag with a type of its own refuses what it cannot read with words."""
    typed = 0
    for reader in leaves(parser()):
        for action in [*reader.options(), *reader.arguments()]:
            if action.type is None:
                continue
            typed += 1
            assert callable(action.type)
            with pytest.raises(argparse.ArgumentTypeError, match="expected"):
                action.type("\x00 no such thing")
    assert typed >= 5


@pytest.mark.parametrize("text", ["", "x", "0", "11", "-1", "1.5", "\u0661", "9" * 5000])
def test_whole_numbers_within_bounds(text: str) -> None:
    read = whole(1, 10)
    assert (read("1"), read("10")) == (1, 10)
    with pytest.raises(argparse.ArgumentTypeError, match="expected a whole number from 1 to 10"):
        read(text)


@pytest.mark.parametrize("text", ["", "x", "0", "-1", "nan", "inf", "61", "1e999"])
def test_seconds_within_bounds(text: str) -> None:
    read = seconds(60)
    assert (read("0.5"), read("60")) == (0.5, 60)
    with pytest.raises(argparse.ArgumentTypeError, match="expected a number of seconds, 60"):
        read(text)


def test_nothing_near_is_no_suggestion() -> None:
    assert did_you_mean("xyzzy", ["run"]) == ""


@pytest.mark.parametrize("topic", [[], ["run"], ["sessions"], ["sessions", "list"]])
def test_help_prints_what_the_flag_prints(
    topic: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    printed = []
    for arguments in (["help", *topic], [*topic, "--help"]):
        with pytest.raises(SystemExit) as caught:
            main(arguments)
        assert caught.value.code == 0
        printed.append(capsys.readouterr().out)
    assert printed[0] == printed[1] != ""


def test_the_version_is_told_in_three_ways(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["version"]) == 0
    told = capsys.readouterr().out
    with pytest.raises(SystemExit) as caught:
        main(["--version"])
    assert (caught.value.code, capsys.readouterr().out) == (0, told)
    assert main(["version", "--json"]) == 0
    assert f'"version": "{told.split()[1]}"' in capsys.readouterr().out


def test_help_tells_the_exit_codes(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["switch", "set", "--help"])
    told = " ".join(capsys.readouterr().out.split())
    assert "canary (with --percent)" in told
    assert "Exit codes: 0 done, 1 failed, 2 command line, 3 changed meanwhile, 4 not" in told


def test_every_command_that_reads_has_json() -> None:
    without = {"run", "demo", "help", "completion", "schema", "record"}
    found = {
        reader.prog.removeprefix("segue "): {
            name for action in reader.options() for name in action.option_strings
        }
        for reader in leaves(parser())
        if not reader.commands()
    }
    assert {name for name, flags in found.items() if "--json" not in flags} == without
