"""Telling systemd what the process is doing, by the protocol of sd_notify(3).

Lines of `KEY=VALUE` in a datagram to the Unix socket that `NOTIFY_SOCKET` names. Without that
variable nobody has to be told, and nothing is done.
"""

from __future__ import annotations

import asyncio
import os
import socket
import time
from collections.abc import Mapping
from typing import Final

from structlog.typing import FilteringBoundLogger

from proxy.control.reload import ReloadOutcome

_SOCKET: Final = "NOTIFY_SOCKET"
_WATCHDOG: Final = "WATCHDOG_USEC"
_WATCHDOG_PID: Final = "WATCHDOG_PID"

_PATIENCE: Final = 1.0
"""Seconds for which a full socket is waited for: a lost READY=1 would end the process."""

_MICROSECONDS: Final = 1_000_000

_MOST_DIGITS: Final = 15
"""Of the watchdog's time, which is read: 30 years. What is longer is no limit."""

_SHORTEST: Final = 0.01
"""Seconds between two signs of life at least, whatever is asked for: traffic comes first."""


class Supervisor:
    """Whoever has started the process and wants to be told."""

    def __init__(self, env: Mapping[str, str], log: FilteringBoundLogger) -> None:
        """Nothing is told yet.

        Args:
            env: the environment.
            log: told where the supervisor cannot be.
        """
        self._address = _address(env.get(_SOCKET, ""))
        self._log = log
        self._stopping = False
        self._interval = _watchdog(env) if self._address else None
        self._timer: asyncio.TimerHandle | None = None

    def ready(self, serving: str) -> None:
        """Traffic is welcome; the watchdog runs from now on.

        Args:
            serving: the digest of the configuration.
        """
        self._tell("READY=1", f"STATUS=serving {serving}")
        if self._interval is not None and self._timer is None:
            self._alive(self._interval)

    def reloading(self) -> None:
        """Everything is about to be read again."""
        # On CLOCK_MONOTONIC, by which systemd tells a reload of ours from one that it has ordered.
        now = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
        self._tell("RELOADING=1", f"MONOTONIC_USEC={now}", "STATUS=reloading")

    def reloaded(self, outcome: ReloadOutcome) -> None:
        """It was, and either serves or was refused."""
        status = f"serving {outcome.serving}"
        if not outcome.succeeded:
            status = f"reload failed ({len(outcome.problems)} problems), {status}"
        self._tell("READY=1", f"STATUS={status}")

    def stopping(self, seconds: float) -> None:
        """The drain begins; nothing but the watchdog is told any more.

        Args:
            seconds: what it takes at most.
        """
        # What is asked for is the drain's own time, and some for what follows it.
        longest = int((seconds + 10) * _MICROSECONDS)
        self._tell("STOPPING=1", f"EXTEND_TIMEOUT_USEC={longest}", "STATUS=draining")
        self._stopping = True

    def close(self) -> None:
        """The process ends."""
        if self._timer is not None:
            self._timer.cancel()

    def _alive(self, interval: float) -> None:
        self._send("WATCHDOG=1", 0)
        loop = asyncio.get_running_loop()
        self._timer = loop.call_later(interval, self._alive, interval)

    def _tell(self, *lines: str) -> None:
        if not self._stopping:
            self._send("\n".join(lines), _PATIENCE)

    def _send(self, text: str, patience: float) -> None:
        if not self._address:
            return
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sending:
                sending.settimeout(patience)
                sending.sendto(text.encode(), self._address)
        except OSError as error:
            reason = (error.strerror or "no room in its socket").lower()
            self._log.warning("supervisor not told", message=text.partition("\n")[0], reason=reason)


def _address(named: str) -> str:
    """The address of a socket: a file, or an abstract one; empty for what is neither."""
    if named.startswith("@"):
        return f"\0{named[1:]}"
    return named if named.startswith("/") else ""


def _watchdog(env: Mapping[str, str]) -> float | None:
    """Seconds between two signs of life, half of what is asked for; None where none is wanted."""
    limit, pid = env.get(_WATCHDOG, ""), env.get(_WATCHDOG_PID, "")
    is_number = limit.isascii() and limit.isdigit() and len(limit) <= _MOST_DIGITS
    if not (is_number and int(limit)) or pid not in ("", str(os.getpid())):
        return None
    return max(int(limit) / _MICROSECONDS / 2, _SHORTEST)
