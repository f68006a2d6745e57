"""`segue explain`: selection, mapping and rules, from the programs that serve traffic."""

from __future__ import annotations

import io
import json
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest

from proxy.cli.main import main
from tests.support.checkout import ROOT

FRAME = '{"kind": "jobStatus", "jobId": "j-1", "status": "running", "message": null}'


@pytest.fixture
def config(tmp_path: Path) -> Path:
    shutil.copytree(ROOT / "mappings", tmp_path / "mappings")
    return Path(shutil.copy(ROOT / "config.yaml", tmp_path))


@pytest.fixture
def explain(config: Path, capsys: pytest.CaptureFixture[str]) -> Any:
    def run(*arguments: str, code: int = 0) -> str:
        assert main(["explain", "--config", str(config), *arguments]) == code
        out, err = capsys.readouterr()
        return out or err

    return run


def test_mapped_frame_is_told_rule_by_rule_with_what_changed(explain: Any) -> None:
    lines = explain("--client-version", "2.1.0", "--frame", FRAME, "--diff").splitlines()
    assert lines[:4] == [
        "version   2.1.0, from the header",
        "cohort    modern (>=2)",
        "to client old-to-new",
        "to server no mapping",
    ]
    assert "  job-status  matches" in lines
    assert "    1. set: done" in lines
    end = lines.index("outcome   mapped")
    assert json.loads(lines[end + 1]) == {**json.loads(FRAME), "kind": "status"}
    assert lines[end + 2 :] == ['  - kind: "jobStatus"', '  + kind: "status"']


def test_frame_that_no_rule_takes_says_why_of_each(explain: Any) -> None:
    out = explain("--client-version", "1.9", "--frame", FRAME)
    assert "cohort    legacy (<2)" in out
    for rule in ("status", "step", "chat", "app"):
        assert f"\n  {rule:<6}  no: `kind` must be" in out
    assert "no rule matches" in out
    assert "passed as it came" in out


@pytest.mark.parametrize(
    ("arguments", "source", "cohort"),
    [
        (["--client-version", "2"], "header", "modern"),
        (["--header", "x-client-version: 1.0"], "header", "legacy"),
        (["--subprotocol", "client-version.2"], "subprotocol", "modern"),
        (["--query", "?a=b&client_version=1"], "query", "legacy"),
        (["--cookie", "client_version=2"], "cookie", "modern"),
        (["--header", "Cookie: a=b; client_version=2"], "cookie", "modern"),
        (["--header", "X-Client-Version: 1", "--query", "client_version=2"], "header", "legacy"),
        (["--client-version", "banana"], "unreadable", None),
        ([], "none", None),
    ],
)
def test_source_and_cohort_are_those_that_a_request_would_get(
    explain: Any, arguments: list[str], source: str, cohort: str | None
) -> None:
    told = json.loads(explain("--json", *arguments))
    assert (told["source"], told["cohort"]) == (source, cohort)


def test_client_that_tells_nothing_gets_the_default(
    explain: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SEGUE_VERSIONS__DEFAULT", "1.0")
    told = json.loads(explain("--json"))
    assert (told["version"], told["source"], told["cohort"]) == ("1.0", "default", "legacy")
    assert "by versions.default" in explain()


def test_version_is_told_where_the_configuration_looks(
    explain: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    for sources, source in (("[query]", "query"), ("[cookie]", "cookie")):
        monkeypatch.setenv("SEGUE_VERSIONS__SOURCES", sources)
        assert json.loads(explain("--client-version", "2", "--json"))["source"] == source
    monkeypatch.setenv("SEGUE_VERSIONS__SOURCES", "[]")
    assert explain("--client-version", "2", code=1).startswith("--client-version: ")


@pytest.mark.parametrize("way", ["text", "file", "standard input"])
def test_frame_is_given_as_text_file_or_standard_input(
    explain: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    file = tmp_path / "frame.json"
    file.write_text(FRAME + "\n", encoding="utf-8")
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(FRAME.encode() + b"\r\n")))
    given = {"text": FRAME, "file": f"@{file}", "standard input": "-"}[way]
    told = json.loads(explain("--client-version", "2", "--frame", given, "--json"))
    assert told["outcome"] == "mapped"
    assert json.loads(told["messages"][0])["kind"] == "status"
    assert told["changes"] == [{"path": "kind", "before": '"jobStatus"', "after": '"status"'}]
    assert told["passes"][0]["applied"] == "job-status"


def test_invariant_8_frame_beyond_the_limit_is_refused(
    explain: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SEGUE_LIMITS__MESSAGE", "1KiB")
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"x" * 1025)))
    assert "larger than 1024 bytes" in explain("--frame", "-", code=1)


@pytest.mark.parametrize("frame", ["", "hello", "[1]", '{"a": }', '{"kind":' * 900])
def test_frame_that_is_nothing_to_map_passes(explain: Any, frame: str) -> None:
    assert "passed as it came" in explain("--client-version", "2", "--frame", frame)


def test_a_frame_nested_too_deep_is_told_with_what_is_sent(explain: Any) -> None:
    said = explain("--client-version", "2", "--frame", '{"kind":' * 3000, code=1)
    assert "failed: the original is sent (on_error: pass)" in said
    assert "it is nested deeper than 1000 levels" in said


def test_frame_that_is_no_text_fails_as_its_mapping_says(explain: Any) -> None:
    told = explain("--client-version", "2", "--frame", "\udcff", code=1)
    assert "failed: the original is sent (on_error: pass)" in told
    assert "no rule was tried: it is not UTF-8" in told


def test_hostile_frame_does_not_act_on_the_terminal(explain: Any) -> None:
    out = explain("--client-version", "2", "--frame", '{"kind": "\x1b[2J\u202e"}')
    assert all(line.isprintable() for line in out.splitlines())


def test_arguments_of_any_bytes_are_taken(explain: Any) -> None:
    for flag in ("--client-version", "--query", "--cookie", "--subprotocol"):
        explain(flag, "client_version=\udcff")
    explain("--header", "X-Client-Version: \udcff", "--route", "GET /\udcff")


def test_direction_without_a_mapping_says_so(explain: Any) -> None:
    frame = '{"kind": "chat", "content": "hello"}'
    out = explain("--client-version", "2", "--direction", "to_server", "--frame", frame)
    assert out.splitlines()[-1] == "outcome   passed: no mapping is bound, it goes on as it came"


MAPPING = """\
name: every-outcome
description: For these tests.
channel: websocket
direction: to_client
on_error: close
rules:
  - name: silent
    match: {field: kind, equals: silent}
    do: [{drop: true}]
    examples: [{in: {kind: silent}, out: null}]
  - name: taken
    match: {field: kind, equals: taken}
    do: [{rename: {a: b}}]
    examples: [{in: {kind: taken, a: 1}, out: {kind: taken, b: 1}}]
"""


@pytest.mark.parametrize(
    ("frame", "outcome"),
    [
        ('{"kind": "silent"}', "dropped: a rule says so, nothing is sent"),
        ('{"kind": "taken", "a": 1, "b": 2}', "failed: the connection ends"),
        ('{"kind": "taken"}', "passed as it came: no rule has anything to do"),
    ],
)
def test_each_outcome_is_told(explain: Any, config: Path, frame: str, outcome: str) -> None:
    (config.parent / "mappings/every.yaml").write_text(MAPPING, encoding="utf-8")
    text = config.read_text(encoding="utf-8").replace("[old-to-new]", "[every-outcome]")
    config.write_text(text, encoding="utf-8")
    code = 1 if outcome.startswith("failed") else 0
    told = explain("--client-version", "2", "--frame", frame, "--diff", code=code)
    assert f"outcome   {outcome}" in told
    data = json.loads(explain("--client-version", "2", "--frame", frame, "--json", code=code))
    assert outcome.startswith(data["outcome"])
    assert (data["failure"] is not None) is outcome.startswith("failed")


ROUTES = """\
upstream: {url: "http://127.0.0.1:1"}
cohorts:
  - name: modern
    versions: ">=2"
    http: [{path: "/api/jobs/{}/", methods: [GET], to_client: [jobs]}]
"""

JOBS = """\
name: jobs
description: For these tests.
channel: http
direction: to_client
rules:
  - name: prompt
    match: {field: initial_prompt, exists: true}
    do: [{rename: {initial_prompt: prompt}}]
    examples: [{in: {initial_prompt: a}, out: {prompt: a}}]
"""


def test_body_of_a_route_is_told_as_the_route_maps_it(explain: Any, config: Path) -> None:
    config.write_text(ROUTES, encoding="utf-8")
    (config.parent / "mappings/jobs.yaml").write_text(JOBS, encoding="utf-8")
    body = '[{"id": 1}, {"initial_prompt": "x"}]'
    arguments = ["--client-version", "2", "--frame", body]
    out = explain(*arguments, "--route", "get /api/jobs/7/?page=2", "--diff")
    assert "route     /api/jobs/{}/\nto client jobs\n" in out
    assert "mapping   jobs, element 1" in out
    assert '+ [1].prompt: "x"' in out
    for route in ("GET /api/apps/7/", "POST /api/jobs/7/"):
        other = explain(*arguments, "--route", route)
        assert "to client no mapping" in other
        assert "no mapping is bound" in other


@pytest.mark.parametrize(
    "arguments", [["--header", "no colon"], ["--route", "GET"], ["--frame", "@nowhere.json"]]
)
def test_what_cannot_be_read_is_told(explain: Any, arguments: list[str]) -> None:
    assert explain(*arguments, code=1) != ""
