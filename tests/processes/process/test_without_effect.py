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


@pytest.mark.parametrize(
    ("limits", "told"),
    [
        ({}, []),
        ({"body": "30MiB", "message": "30MiB", "shared_body": "30MiB"}, []),
        ({"body": "31MiB"}, [("limits.body", "set that to 83MiB or more")]),
        ({"body": "31MiB", "memory": "83MiB"}, []),
        ({"memory": "40MiB"}, [("limits.message", "set that to 43MiB or more")]),
        (
            {"message": "1GiB", "shared_body": "48MiB"},
            [
                ("limits.message", "1024 MiB is never reached: an address has 30 MiB"),
                ("limits.shared_body", "set that to 128MiB or more"),
            ],
        ),
    ],
)
def test_what_is_held_whole_fits_into_the_share_of_one_address(
    limits: dict[str, str], told: list[tuple[str, str]]
) -> None:
    upstream = {"url": "http://127.0.0.1:9"}
    parsed = Config.model_validate({"upstream": upstream, "limits": limits})
    with capture_logs() as lines:
        check(parsed, structlog.get_logger())
    assert [line["key"] for line in lines] == [key for key, _ in told]
    assert all(part in line["reason"] for line, (_, part) in zip(lines, told, strict=True))
