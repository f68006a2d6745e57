"""The file of a store: what has its name, and is none."""

from __future__ import annotations

from pathlib import Path

import pytest

from proxy.errors import StoreAway
from proxy.storage.sqlite_file import check, make, reason_of


@pytest.mark.parametrize("there", [True, False])
def test_a_symbolic_link_is_not_followed(tmp_path: Path, *, there: bool) -> None:
    elsewhere = tmp_path / "elsewhere"
    if there:
        elsewhere.write_bytes(b"")
    link = tmp_path / "sessions.sqlite3"
    link.symlink_to(elsewhere)
    with pytest.raises(OSError, match="symbolic link") as refused:
        make(link)
    assert reason_of(refused.value) == (
        "cannot be used: it is a symbolic link; name the file itself"
    )
    with pytest.raises(StoreAway, match="symbolic link"):
        check(link)
    assert elsewhere.exists() is there
    make(elsewhere)
    assert elsewhere.stat().st_mode & 0o077 == 0 or there
