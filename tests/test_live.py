"""Reading the configuration and the mappings into one snapshot, or not at all."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from proxy.errors import ConfigError, Problem
from proxy.live import MAX_FILE, load
from proxy.versions import Version
from tests.rig import ROOT

MAPPING = (ROOT / "mappings" / "old-to-new.yaml").read_text(encoding="utf-8")


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """The shipped configuration with its mappings, in a directory of its own."""
    shutil.copytree(ROOT / "mappings", tmp_path / "mappings")
    return Path(shutil.copy(ROOT / "config.yaml", tmp_path))


def problems_of(file: Path, env: dict[str, str] | None = None) -> tuple[Problem, ...]:
    with pytest.raises(ConfigError) as caught:
        load(file, env or {}, {})
    return caught.value.problems


def test_shipped_configuration_has_its_cohorts_and_mappings(config: Path) -> None:
    snapshot = load(config, {}, {})
    assert snapshot.catalog.names == ("new-to-old", "old-to-new")
    modern, legacy = snapshot.catalog.for_cohort("modern"), snapshot.catalog.for_cohort("legacy")
    assert modern.to_client is not None
    assert modern.to_client.name == "old-to-new"
    assert legacy.to_client is not None
    assert legacy.to_client.name == "new-to-old"
    assert modern.to_server is legacy.to_server is None
    assert snapshot.catalog.for_cohort(None).to_client is None
    version = Version.parse("2.0")
    assert version is not None
    assert snapshot.versions.cohorts.find(version) == "modern"
    assert snapshot.version_header == b"x-client-version"
    assert snapshot.upstream_authority == b"127.0.0.1:8000"


def test_mappings_are_beside_the_configuration_wherever_it_is_read_from(
    config: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir("/")
    config.parent.joinpath("mappings").rename(config.parent / "rules")
    snapshot = load(config, {"SEGUE_MAPPINGS__DIRECTORY": "rules"}, {})
    assert "old-to-new" in snapshot.catalog.names


def test_version_header_is_none_where_it_is_no_source(config: Path) -> None:
    assert load(config, {"SEGUE_VERSIONS__SOURCES": "[query]"}, {}).version_header == b""


def test_invariant_5_all_errors_of_all_mappings_are_reported_at_once(config: Path) -> None:
    directory = config.parent / "mappings"
    (directory / "a.yaml").write_text("name: [unclosed\n")
    (directory / "b.yaml").write_text(MAPPING.replace("direction: to_client", "direction: up"))
    (directory / "c.yaml").write_bytes(b"name: \xff\n")
    (directory / "d.yaml").mkdir()
    problems = problems_of(config)
    by_file = {Path(problem.file).name: problem for problem in problems}
    assert set(by_file) >= {"a.yaml", "b.yaml", "c.yaml", "d.yaml"}
    assert by_file["a.yaml"].line > 0
    assert by_file["b.yaml"].path == "direction"
    assert by_file["b.yaml"].line == MAPPING[: MAPPING.index("direction:")].count("\n") + 1
    assert by_file["c.yaml"].message == "not UTF-8 text"
    assert by_file["d.yaml"].message == "is a directory"


def test_cohort_that_names_a_mapping_which_does_not_exist_is_an_error(config: Path) -> None:
    shutil.rmtree(config.parent / "mappings")
    messages = [str(problem) for problem in problems_of(config)]
    assert any("old-to-new" in message for message in messages)
    assert any("new-to-old" in message for message in messages)


def test_configuration_that_cannot_be_read_is_named_with_the_reason(tmp_path: Path) -> None:
    missing = tmp_path / "missing.yaml"
    assert problems_of(missing) == (Problem(str(missing), 0, 0, "", "no such file or directory"),)
    assert problems_of(tmp_path)[0].message == "is a directory"
    binary = tmp_path / "binary.yaml"
    binary.write_bytes(b"\xff\xfe\x00")
    assert problems_of(binary)[0].message == "not UTF-8 text"


def test_file_beyond_the_limit_is_not_read(tmp_path: Path) -> None:
    large = tmp_path / "large.yaml"
    with large.open("wb") as file:
        file.truncate(MAX_FILE + 1)
    assert problems_of(large)[0].message == f"larger than {MAX_FILE} bytes"


def test_value_from_a_file_that_is_missing_is_an_error_with_its_variable(config: Path) -> None:
    missing = str(config.parent / "missing")
    [problem] = problems_of(config, {"SEGUE_UPSTREAM__URL_FILE": missing})
    assert "SEGUE_UPSTREAM__URL_FILE" in str(problem)


def test_value_from_a_file_is_read(config: Path) -> None:
    file = config.parent / "url"
    file.write_text("http://old.example.com:81\n")
    snapshot = load(config, {"SEGUE_UPSTREAM__URL_FILE": str(file)}, {})
    assert snapshot.upstream_authority == b"old.example.com:81"
