"""No copy of the process's memory, where the keys and tokens of all users are, gets to a disk."""

from __future__ import annotations

import ctypes
import resource
import sys
from contextlib import suppress
from typing import Final

_SET_DUMPABLE: Final = 4
"""PR_SET_DUMPABLE of prctl(2)."""


def forbid() -> None:
    """Leave no core dump at a crash, and let no other process of this user look into the memory.

    Who may trace any process (root, with CAP_SYS_PTRACE) still can, which is how to debug it. Where
    the system lacks one of both, or does not permit it, the other one does for core dumps.
    """
    with suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if sys.platform == "linux":
        with suppress(OSError, AttributeError):
            ctypes.CDLL(None).prctl(_SET_DUMPABLE, 0, 0, 0, 0)
