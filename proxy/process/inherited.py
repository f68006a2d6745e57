"""A listening socket that a supervisor hands over, so that no client meets a closed door."""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping
from typing import Final

_FIRST_INHERITED: Final = 3
"""The descriptor of the first socket that is handed over (sd_listen_fds(3))."""


def inherited_socket(env: Mapping[str, str]) -> socket.socket | None:
    """Return the listening socket that a supervisor handed over, None where there is none.

    The protocol is systemd's (sd_listen_fds(3)). The supervisor holds the socket too, so clients
    that connect between the end of one process and the start of the next wait in its queue. With
    SO_REUSEPORT each process has a queue of its own, and what waits in it is reset when the
    process closes it.

    Raises:
        OSError: the descriptor is no socket.
    """
    if env.get("LISTEN_PID") != str(os.getpid()) or env.get("LISTEN_FDS", "0") == "0":
        return None
    inherited = socket.socket(fileno=_FIRST_INHERITED)
    inherited.settimeout(0)
    return inherited
