"""The JSON Schemas: they are generated, they fit what is shipped, and they refuse what is wrong."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema import Draft202012Validator

from proxy.cli.main import main
from proxy.cli.schema import SCHEMAS
from proxy.configuration.reading import load
from proxy.errors import ConfigError
from tests.support.checkout import ROOT

FOLDERS = [ROOT / "mappings", ROOT / "examples", ROOT / "deploy", ROOT / "demo"]
SHIPPED = [
    ROOT / "config.yaml",
    *sorted(
        file
        for folder in FOLDERS
        for file in folder.rglob("*.yaml")
        if file.name == "config.yaml" or file.parent.name == "mappings"
    ),
]
FIRST_LINE = re.compile(r"# yaml-language-server: \$schema=(\S+)")


def validator(what: str) -> Draft202012Validator:
    schema = json.loads((ROOT / f"schemas/{what}.schema.json").read_text(encoding="utf-8"))
    Draft202012Validator.check_schema(schema)
    return Draft202012Validator(schema)


@pytest.mark.parametrize("what", sorted(SCHEMAS))
def test_committed_schema_is_the_one_that_the_models_give(
    what: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["schema", what]) == 0
    committed = (ROOT / f"schemas/{what}.schema.json").read_text(encoding="utf-8")
    assert capsys.readouterr().out == committed, "run: make schemas"


@pytest.mark.parametrize("file", SHIPPED, ids=lambda file: str(file.relative_to(ROOT)))
def test_shipped_file_names_its_schema_in_its_first_line_and_fits_it(file: Path) -> None:
    text = file.read_text(encoding="utf-8")
    named = FIRST_LINE.fullmatch(text.splitlines()[0])
    assert named is not None
    schema = (file.parent / named[1]).resolve()
    assert schema.parent == ROOT / "schemas"
    what = schema.name.removesuffix(".schema.json")
    assert what == ("config" if file.name == "config.yaml" else "mapping")
    assert [error.message for error in validator(what).iter_errors(yaml.safe_load(text))] == []


@pytest.mark.parametrize(
    "settings",
    [
        "upstream: {url: 'http://a'}\ntimeouts: {drain: 500ms, header: 3}",
        "upstream: {url: 'http://a'}\nlimits: {message: 1MiB, buffer: 65536}",
        "upstream: {url: 'http://a'}\ncors:",
        "upstream: {url: 'http://a'}\nlisten: {trusted_proxies: [10.0.0.0/8], tls: }",
        "upstream: {url: 'http://a'}\nversions: {default: '1.10', sources: [query, cookie]}",
    ],
)
def test_schema_takes_what_the_loader_takes(settings: str) -> None:
    load(settings, "config.yaml", {}, {}, str)
    data = yaml.safe_load(settings)
    assert [error.message for error in validator("config").iter_errors(data)] == []


@pytest.mark.parametrize(
    "settings",
    [
        "upstream: {url: 'http://a'}\ntimeouts: {drian: 1s}",
        "upstream: {url: 'http://a'}\ntimeouts: {header: [1]}",
        "upstream: {url: 'http://a'}\nlimits: {headers: 1}",
        "upstream: {url: 'http://a'}\nversions: {sources: [referer]}",
        "listen: {}",
    ],
)
def test_schema_refuses_what_the_loader_refuses(settings: str) -> None:
    with pytest.raises(ConfigError):
        load(settings, "config.yaml", {}, {}, str)
    assert list(validator("config").iter_errors(yaml.safe_load(settings))) != []


def properties(schema: dict[str, Any]) -> dict[str, Any]:
    return {
        f"{name}.{key}": described
        for name, section in schema["$defs"].items()
        for key, described in section.get("properties", {}).items()
    }


def test_every_setting_is_described_and_its_default_written_as_in_a_file() -> None:
    found = properties(SCHEMAS["config"]())
    assert [name for name, described in found.items() if "description" not in described] == []
    assert found["Timeouts.drain"]["default"] == "30s"
    assert found["LimitSettings.message"]["default"] == "16MiB"
    assert found["Admin.address"]["default"] == "127.0.0.1:9090"
    assert found["LimitSettings.headers"]["minimum"] == 8


def test_mapping_schema_refuses_an_unknown_operation() -> None:
    text = (ROOT / "mappings/old-to-new.yaml").read_text(encoding="utf-8")
    data = yaml.safe_load(text.replace("set: {kind: status}", "sett: {kind: status}"))
    assert list(validator("mapping").iter_errors(data)) != []


def test_schema_of_something_else_is_a_mistake_in_the_command_line() -> None:
    with pytest.raises(SystemExit) as raised:
        main(["schema", "frames"])
    assert raised.value.code == 2
