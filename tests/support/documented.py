"""The examples of `docs/sessions.md`, as its readers find them."""

from __future__ import annotations

import re
from typing import Final

from tests.support.checkout import ROOT

_PAGE: Final = ROOT / "docs/sessions.md"
_ROW: Final = re.compile(r"^\| (.+) \| `((?:tokens|carry|refused): .+)` \|$", re.MULTILINE)
_EXAMPLE: Final = re.compile(r"^\*\*(.+?)\*\*[^\n]*\n\n```yaml\n(.+?)```", re.MULTILINE | re.DOTALL)


def rows() -> dict[str, str]:
    """What servers do, and what is set in `sessions`, as YAML."""
    return {does: f"{{{keys}}}" for does, keys in _ROW.findall(_part())}


def examples() -> dict[str, str]:
    """Kinds of servers, and their whole configuration but for the server's address."""
    return dict(_EXAMPLE.findall(_part()))


def _part() -> str:
    text = _PAGE.read_text(encoding="utf-8")
    return text.partition("### Your server does")[2].partition("\n## ")[0]
