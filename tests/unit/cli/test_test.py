"""`segue test`: what runs, what is shown where it fails, and the exit code."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import pytest

from proxy.cli.main import main
from tests.support.checkout import ROOT


@pytest.fixture
def project(tmp_path: Path) -> Path:
    shutil.copytree(ROOT / "mappings", tmp_path / "mappings")
    shutil.copy(ROOT / "config.yaml", tmp_path)
    return tmp_path


def run(project: Path, *mappings: str) -> int:
    return main(["test", "--config", str(project / "config.yaml"), *mappings])


def line_of(file: Path, text: str) -> int:
    lines = file.read_text(encoding="utf-8").splitlines()
    return next(number for number, line in enumerate(lines, 1) if text in line)


def test_shipped_mappings_hold(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(project) == 0
    out, err = capsys.readouterr()
    assert err == ""
    assert "  ok    job-status: 2 examples" in out
    assert re.fullmatch(
        r"2 mappings, 8 rules, \d+ examples, \d+ recorded: all hold", out.splitlines()[-1]
    )
    assert "\x1b" not in out


def test_example_that_fails_is_1_and_shows_field_expected_got_and_lines(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = project / "mappings/old-to-new.yaml"
    text = file.read_text(encoding="utf-8")
    file.write_text(text.replace("set: {kind: status}", "set: {kind: state}"), encoding="utf-8")
    assert run(project, "old-to-new") == 1
    out = capsys.readouterr().out
    rule, example = line_of(file, "name: job-status"), line_of(file, "- in:")
    assert f"  FAIL  job-status: 2 of 2 examples ({file}:{rule})\n" in out
    assert f"{file}:{example}: - expected, + got\n" in out
    assert '- kind: "status"\n' in out
    assert '+ kind: "state"\n' in out
    assert "  ok    agent-dialogue: 1 example\n" in out
    assert out.splitlines()[-1].endswith(": 2 failed")
    # It is told once, though a load finds it too.
    assert out.count('"state"') == 2


MAPPING = """\
name: parts
description: For these tests.
channel: websocket
direction: to_client
rules:
  - name: first
    match: {field: kind, equals: first}
    do: [{rename: {a: b}}]
    examples:
      - EXAMPLE
"""


@pytest.mark.parametrize(
    ("example", "told"),
    [
        ("{in: {kind: first, a: 1}, out: null}", "0 messages expected, 1 got"),
        ("{in: {kind: other}, out: {}}", "the rule does not match `in`"),
        ("{in: {kind: first, a: 1, b: 2}, out: {}}", "the rule cannot be carried out"),
        ("{in: {kind: first, a: 1}, out: {kind: first}}", "+ b: 1"),
        ("{in: {kind: first, a: 1}, out: {kind: first, b: 1, c: 2}}", "- c: 2"),
    ],
)
def test_each_way_to_fail_says_what_was_wrong(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], example: str, told: str
) -> None:
    file = tmp_path / "parts.yaml"
    file.write_text(MAPPING.replace("EXAMPLE", example), encoding="utf-8")
    assert main(["test", str(file)]) == 1
    assert told in capsys.readouterr().out


@pytest.mark.parametrize(
    ("out", "code", "told"),
    [
        ("[{kind: first, i: 1}, {kind: first, i: 2}]", 0, "all hold"),
        ("[{kind: first, i: 1}]", 1, "1 messages expected, 2 got"),
        ("[{kind: first, i: 1}, {kind: first, i: 3}]", 1, "- i: 3"),
    ],
)
def test_several_messages_are_compared_one_by_one(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], out: str, code: int, told: str
) -> None:
    file = tmp_path / "parts.yaml"
    text = MAPPING.replace("rename: {a: b}", "split: {field: is, into: i}")
    example = f"{{in: {{kind: first, is: [1, 2]}}, out: {out}}}"
    file.write_text(text.replace("EXAMPLE", example), encoding="utf-8")
    assert main(["test", str(file)]) == code
    assert told in capsys.readouterr().out


def test_mapping_that_would_not_load_fails_though_its_examples_hold(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "parts.yaml"
    text = MAPPING.replace("EXAMPLE", "{in: {kind: first, a: 1}, out: {kind: first, b: 1}}")
    again = text[text.index("  - name: first") :].replace("name: first", "name: second")
    file.write_text(text + again, encoding="utf-8")
    assert main(["test", str(file)]) == 1
    out = capsys.readouterr().out
    assert "`first`" in out
    assert f"{file}:{line_of(file, 'name: second')}" in out


def test_file_that_is_no_mapping_is_told_with_its_lines(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "parts.yaml"
    file.write_text(MAPPING.replace("do: [", "doo: ["), encoding="utf-8")
    assert main(["test", str(file)]) == 1
    assert f"{file}:8:" in capsys.readouterr().out


def test_recorded_examples_beside_a_mapping_are_run(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    beside = project / "mappings/old-to-new.examples.jsonl"
    good = '{"in": {"kind": "jobStatus"}, "out": {"kind": "status"}}\n'
    beside.write_text(good * 2, encoding="utf-8")
    assert run(project, "old-to-new") == 0
    assert "2 recorded: all hold" in capsys.readouterr().out
    beside.write_text(good + good.replace('"status"', '"state"'), encoding="utf-8")
    assert run(project, "old-to-new") == 1
    out = capsys.readouterr().out
    assert f"{beside}:2:" in out
    assert out.splitlines()[-1].endswith("2 recorded: 1 failed")


def test_mappings_are_named_by_name_or_file(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for named in ("new-to-old", str(project / "mappings/new-to-old.yaml")):
        assert run(project, named) == 0
        out = capsys.readouterr().out
        assert out.startswith("new-to-old (")
        assert "\n1 mapping, 4 rules" in out


def test_unknown_name_and_missing_file_are_1(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for named in ("new-to-odl", "nowhere/parts.yaml"):
        assert run(project, named) == 1
        out, err = capsys.readouterr()
        assert out == ""
        assert err.startswith(f"{named}: ")


def test_without_any_mapping_nothing_holds(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    directory = project / "mappings"
    for file in directory.iterdir():
        file.unlink()
    assert run(project) == 1
    assert f"{directory}: there are no mappings" in capsys.readouterr().err
    directory.rmdir()
    assert run(project) == 1
    assert f"{directory}: mappings.directory: no such file" in capsys.readouterr().err


def test_file_that_would_be_passed_over_fails(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    directory = project / "mappings"
    stray = directory / "new.examples.jsonl"
    stray.touch()
    assert run(project) == 1
    out = capsys.readouterr().out
    assert f"FAIL  {stray}: there is no new.yaml beside it" in out
    assert out.endswith(": 1 failed\n")
    stray.unlink()
    misnamed = (directory / "old-to-new.yaml").rename(directory / "old-to-new.yml")
    assert run(project) == 1
    assert f"{misnamed}: only *.yaml is read" in capsys.readouterr().err


def test_empty_file_is_called_by_its_name(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "parts.yaml"
    file.touch()
    assert main(["test", str(file)]) == 1
    assert capsys.readouterr().out.startswith(f"parts ({file})\n")


def test_results_as_json(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(project, "--json") == 0
    told = json.loads(capsys.readouterr().out)
    assert [each["name"] for each in told["mappings"]] == ["new-to-old", "old-to-new"]
    assert {each["failed"] for each in told["mappings"]} == {0}
    file = project / "mappings/old-to-new.yaml"
    text = file.read_text(encoding="utf-8").replace("- set: {kind: status}", "- set: {kind: state}")
    file.write_text(text, encoding="utf-8")
    assert run(project, "--json", "old-to-new") == 1
    (told,) = json.loads(capsys.readouterr().out)["mappings"]
    failed = next(each for each in told["rules"] if each["failures"])
    assert failed["name"] == "job-status"
    assert ["kind", '"status"', '"state"'] in failed["failures"][0]["differing"]
    (project / "mappings/stray.examples.jsonl").touch()
    assert run(project, "--json") == 1
    assert json.loads(capsys.readouterr().out)["problems"]
