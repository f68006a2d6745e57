"""`segue config`: the effective values, where they came from, and no secret among them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from proxy.cli.config import HIDDEN, settings
from proxy.cli.main import main
from proxy.configuration import reading
from proxy.configuration.document import render_path
from proxy.configuration.environment import Override
from proxy.configuration.reading import ConfigReading, read
from proxy.tokens.sealing import new_key
from tests.support.checkout import ROOT

TEXT = """\
listen:
  tls:
    certificate: chain.pem
    key: private.pem
upstream:
  url: https://old.example
  tls: {ca_file: ca.pem}
cohorts:
  - name: modern
    versions: ">=2"
    websocket: {to_client: [old-to-new]}
timeouts:
  drain: 1500ms
  header: 120
"""


def read_nothing(name: str) -> str:
    raise OSError(name)


@pytest.fixture
def config(tmp_path: Path) -> Path:
    file = tmp_path / "config.yaml"
    file.write_text(TEXT, encoding="utf-8")
    return file


def listed(
    config: Path, capsys: pytest.CaptureFixture[str], *flags: str
) -> dict[str, tuple[Any, str]]:
    assert main(["config", "--config", str(config), "--show-origin", "--json", *flags]) == 0
    found = json.loads(capsys.readouterr().out)
    return {each["path"]: (each["value"], each["origin"]) for each in found}


def test_each_value_tells_whether_it_came_from_default_file_variable_or_flag(
    config: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    secret = tmp_path / "server-name"
    secret.write_text("hidden.example\n", encoding="utf-8")
    monkeypatch.setenv("SEGUE_LIMITS__HEADERS", "99")
    monkeypatch.setenv("SEGUE_CORS", "{origins: ['https://a.example']}")
    monkeypatch.setenv("SEGUE_UPSTREAM__TLS__SERVER_NAME_FILE", str(secret))
    found = listed(config, capsys, "--listen", ":8443")
    assert found["listen.address"] == (":8443", "--listen")
    assert found["admin.address"] == ("127.0.0.1:9090", "default")
    assert found["upstream.url"] == ("https://old.example", f"{config}:6")
    assert found["upstream.tls.ca_file"] == ("ca.pem", f"{config}:7")
    assert found["cohorts[0].versions"] == (">=2", f"{config}:10")
    assert found["cohorts[0].websocket.to_client"] == (["old-to-new"], f"{config}:11")
    assert found["timeouts.drain"] == ("1500ms", f"{config}:13")
    assert found["timeouts.header"] == ("120s", f"{config}:14")
    assert found["limits.headers"] == (99, "SEGUE_LIMITS__HEADERS")
    assert found["cors.origins"] == (["https://a.example"], "SEGUE_CORS")
    assert found["limits.buffer"] == ("64KiB", "default")


def test_what_a_section_set_by_a_variable_leaves_out_has_its_default(
    config: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SEGUE_TIMEOUTS", "{drain: 5s}")
    found = listed(config, capsys)
    assert found["timeouts.drain"] == ("5s", "SEGUE_TIMEOUTS")
    assert found["timeouts.header"] == ("15s", "default")


def test_invariant_7_secrets_are_hidden_in_every_form(
    config: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    secret = tmp_path / "secret"
    secret.write_text("swordfish", encoding="utf-8")
    monkeypatch.setenv("SEGUE_UPSTREAM__TLS__SERVER_NAME_FILE", str(secret))
    for form in ([], ["--json"], ["--show-origin"], ["--json", "--show-origin"]):
        assert main(["config", "--config", str(config), *form]) == 0
        out, err = capsys.readouterr()
        assert "swordfish" not in out + err
        assert "private.pem" not in out + err
        assert HIDDEN in out


def test_invariant_7_user_and_password_of_a_url_are_hidden() -> None:
    text = f"""
upstream: {{url: 'http://a'}}
store: {{url: 'redis://me:swordfish@store:6379/0', keys: ["{new_key()}"]}}
"""
    made = read(text, "c.yaml", {}, {}, read_nothing)
    shown = {render_path(each.path): each.value for each in settings(made)}
    assert shown["store.url"] == f"redis://{HIDDEN}@store:6379/0"
    assert shown["store.keys"] == HIDDEN


def test_what_is_printed_can_be_read_again_and_means_the_same(
    config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = TEXT.replace("    key: private.pem\n", "    key: (hidden)\n")
    config.write_text(text, encoding="utf-8")
    for flags in ([], ["--show-origin"]):
        assert main(["config", "--config", str(config), *flags]) == 0
        printed = capsys.readouterr().out
        again = reading.load(printed, "printed", {}, {}, read_nothing)
        assert again == reading.load(text, "config.yaml", {}, {}, read_nothing)


def test_shipped_configuration_says_where_its_values_stand(
    capsys: pytest.CaptureFixture[str],
) -> None:
    file = ROOT / "config.yaml"
    assert main(["config", "--config", str(file), "--show-origin"]) == 0
    lines = capsys.readouterr().out.splitlines()
    told = lines[lines.index("upstream:") + 1]
    assert told.lstrip().startswith("url:")
    number = int(told.rpartition(":")[2])
    assert file.read_text(encoding="utf-8").splitlines()[number - 1].strip().startswith("url:")


def test_faulty_configuration_is_told_like_everywhere(
    config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config.write_text("upstream: {url: ftp://old}\n", encoding="utf-8")
    assert main(["config", "--config", str(config)]) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith(f"{config}:1:")


def test_last_of_two_overrides_is_the_origin() -> None:
    made = read("upstream: {url: 'http://a'}", "c.yaml", {}, {}, read_nothing)
    overrides = (
        Override("SEGUE_LIMITS", ("limits",), {"headers": "10"}),
        Override("SEGUE_LIMITS__HEADERS", ("limits", "headers"), "11"),
    )
    origins = {
        render_path(each.path): each.origin
        for each in settings(ConfigReading(made.config, made.document, overrides))
    }
    assert origins["limits.headers"] == "SEGUE_LIMITS__HEADERS"
    assert origins["limits.buffer"] == "default"
