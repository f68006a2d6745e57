"""The key that signs the tokens, kept in the state directory.

A demo's way: a real server is given its key from outside and never writes it beside its data.
"""

from __future__ import annotations

import os
import secrets
from pathlib import Path
from typing import Final

_FILE_NAME: Final = "secret_key"
_RANDOM_BYTES: Final = 48


def signing_key(state_dir: Path) -> str:
    """The key of this state directory; made at the first call, readable by its owner only.

    Two servers that start at the same moment on the same directory get the same key.

    Raises:
        OSError: the directory or the file cannot be made or read.
    """
    state_dir.mkdir(parents=True, exist_ok=True)
    path = state_dir / _FILE_NAME
    if not path.exists():
        # Written aside, then linked into place: nobody reads half a key, and the first one stays.
        draft = state_dir / f"{_FILE_NAME}.{secrets.token_hex(8)}"
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w", encoding="ascii") as file:
            file.write(secrets.token_urlsafe(_RANDOM_BYTES))
        try:
            os.link(draft, path)
        except FileExistsError:
            pass
        finally:
            draft.unlink()
    return path.read_text(encoding="ascii")
