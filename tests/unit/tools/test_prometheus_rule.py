"""The PrometheusRule of the Kubernetes example is the rules of deploy/prometheus/, no others."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from tools import prometheus_rule


def test_it_is_up_to_date() -> None:
    assert prometheus_rule.main(["--check"]) == 0, "run: python -m tools.prometheus_rule"


def test_it_has_every_group_of_both_files() -> None:
    written = yaml.safe_load(prometheus_rule.TARGET.read_text(encoding="utf-8"))
    assert written["kind"] == "PrometheusRule"
    sources = [
        yaml.safe_load(source.read_text(encoding="utf-8"))["groups"]
        for source in prometheus_rule.SOURCES
    ]
    assert written["spec"]["groups"] == [group for groups in sources for group in groups]


def test_a_change_is_told_and_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    source, target = tmp_path / "rules.yml", tmp_path / "rule.yaml"
    source.write_text("# All.\ngroups:\n  - name: a\n    rules: []\n")
    monkeypatch.setattr(prometheus_rule, "ROOT", tmp_path)
    monkeypatch.setattr(prometheus_rule, "SOURCES", (source,))
    monkeypatch.setattr(prometheus_rule, "TARGET", target)
    assert prometheus_rule.main(["--check"]) == 1
    assert "run `python -m tools.prometheus_rule`" in capsys.readouterr().out
    assert prometheus_rule.main([]) == prometheus_rule.main(["--check"]) == 0
    source.write_text("groups:\n  - name: b\n    rules: []\n")
    assert prometheus_rule.main(["--check"]) == 1
    source.write_text("namespace: x\ngroups:\n")
    with pytest.raises(ValueError, match=r"rules\.yml: expected comments"):
        prometheus_rule.main([])
