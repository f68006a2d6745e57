"""What is set and does nothing is told, by `segue validate` and at the start."""

from __future__ import annotations

from pathlib import Path

import pytest
import structlog
from structlog.testing import capture_logs

from proxy.cli.main import main
from proxy.configuration.reading import Config
from proxy.process.without_effect import check

ROUTES = [
    {"name": "a", "path": "/a/"},
    {"name": "b", "path": "/b/{id}/", "fresh_until": {"message": {"id": "id"}}},
]


@pytest.mark.parametrize("enabled", [False, True])
def test_answers_that_hold_need_sessions(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], enabled: bool
) -> None:
    config = tmp_path / "config.yaml"
    config.write_text(
        "upstream: {url: 'http://127.0.0.1:9'}\n"
        f"sessions: {{enabled: {str(enabled).lower()}}}\n"
        "coalescing:\n"
        "  - {name: a, path: /a/}\n"
        "  - {name: b, path: '/b/{id}/', fresh_until: {message: {id: id}}}\n"
    )
    state = str(tmp_path / "state")
    assert main(["validate", "--config", str(config), "--state-dir", state]) == 0
    warned = "coalescing[1].fresh_until: has no effect" in capsys.readouterr().err
    assert warned is not enabled
    upstream = {"url": "http://127.0.0.1:9"}
    sessions = {"enabled": enabled}
    parsed = Config.model_validate(
        {"upstream": upstream, "sessions": sessions, "coalescing": ROUTES}
    )
    with capture_logs() as lines:
        check(parsed, structlog.get_logger())
    told = [(line["event"], line["key"]) for line in lines]
    assert told == [("setting without effect", "coalescing[1].fresh_until")] * (not enabled)
