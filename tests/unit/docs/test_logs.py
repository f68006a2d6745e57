"""Every event that the code can log is in docs/logs.md, with a level it can have."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from typing import Final

import pytest

from tests.support.checkout import ROOT

LEVELS: Final = {"debug", "info", "warning", "error", "line", "detail", "write"}


def events() -> Iterator[tuple[str, str]]:
    """(event, level) of every call of a log in the code whose event is written there."""
    for path in sorted((ROOT / "proxy").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute):
                continue
            owner = ast.unparse(node.func.value)
            if node.func.attr not in LEVELS or not owner.endswith(("log", "_warnings")):
                continue
            if node.args and isinstance(node.args[0], ast.Constant):
                level = {"line": "info", "detail": "debug", "write": "warning"}.get(
                    node.func.attr, node.func.attr
                )
                yield str(node.args[0].value), level


def documented() -> dict[str, str]:
    """The level of each event, from the tables."""
    text = (ROOT / "docs/logs.md").read_text()
    rows = re.findall(
        r"^\| (`[^|]+`) \| ((?:debug|info|warning|error)[^|]*) \|", text, re.MULTILINE
    )
    return {event: level for names, level in rows for event in re.findall(r"`([^`]+)`", names)}


@pytest.mark.parametrize(("event", "level"), sorted(set(events())))
def test_an_event_is_documented_with_its_level(event: str, level: str) -> None:
    assert level in re.split(r", | or ", documented().get(event, ""))


def test_no_event_is_documented_that_is_never_written() -> None:
    assert set(documented()) == {event for event, _ in events()}
