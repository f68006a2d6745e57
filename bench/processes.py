"""Starting, pinning, observing and ending processes; only those that were started here."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, Final

START_SECONDS: Final = 20.0
STOP_SECONDS: Final = 5.0


class Failed(Exception):
    """A program of the benchmark did not do what it should; the text says which and what."""


class Process:
    """A program on one core, in a process group of its own.

    Attributes:
        pid: of the program itself.
    """

    def __init__(
        self,
        command: Sequence[str],
        core: int,
        log: Path,
        *,
        directory: Path,
        environment: Mapping[str, str] | None = None,
        pipes: bool = False,
    ) -> None:
        """Start it.

        Args:
            command: program and arguments.
            core: the number of the core that it may run on.
            log: the file for its error stream and, without `pipes`, its output.
            directory: where it runs.
            environment: added to this process's own.
            pipes: whether input and output are wanted as `stdin` and `stdout`.
        """
        with log.open("ab") as stream:
            self._process = subprocess.Popen(  # noqa: S603 (programs that this package names)
                ["taskset", "--cpu-list", str(core), *command],  # noqa: S607 (found by PATH)
                cwd=directory,
                env=os.environ | dict(environment or {}),
                stdin=subprocess.PIPE if pipes else subprocess.DEVNULL,
                stdout=subprocess.PIPE if pipes else stream,
                stderr=stream,
                start_new_session=True,
            )
        self.pid = self._process.pid
        self._log = log
        self._name = Path(command[0]).name

    @property
    def stdin(self) -> IO[bytes]:
        assert self._process.stdin is not None
        return self._process.stdin

    @property
    def stdout(self) -> IO[bytes]:
        assert self._process.stdout is not None
        return self._process.stdout

    def pids(self) -> list[int]:
        """The process and all its descendants."""
        found = [self.pid]
        for pid in found:
            with contextlib.suppress(OSError):
                for task in Path(f"/proc/{pid}/task").iterdir():
                    found += map(int, (task / "children").read_text().split())
        return found

    def cpu(self) -> float:
        """Seconds of user and system time of all its processes and threads."""
        ticks = 0
        for pid in self.pids():
            with contextlib.suppress(OSError):
                fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
                ticks += int(fields[11]) + int(fields[12])
        return ticks / os.sysconf("SC_CLK_TCK")

    def resident(self) -> int:
        """Bytes of resident memory of all its processes."""
        pages = 0
        for pid in self.pids():
            with contextlib.suppress(OSError):
                pages += int(Path(f"/proc/{pid}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE")

    def wait_for_port(self, port: int) -> None:
        """Wait until something accepts connections there.

        Raises:
            Failed: the process ended, or took too long.
        """
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline:
            self.check()
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
                return
            time.sleep(0.05)
        raise Failed(
            f"{self._name} does not listen after {START_SECONDS:.0f} s{self._last_words()}"
        )

    def check(self) -> None:
        """Is it alive?

        Raises:
            Failed: it has ended.
        """
        if self._process.poll() is not None:
            raise Failed(f"{self._name} ended with {self._process.returncode}{self._last_words()}")

    def stop(self) -> None:
        """End it, first kindly, with everything that it started."""
        if self._process.poll() is None:
            self._process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(STOP_SECONDS)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)  # Its own group, for what it left behind.
        self._process.wait()
        for stream in (self._process.stdin, self._process.stdout):
            if stream is not None:
                with contextlib.suppress(OSError):
                    stream.close()

    def _last_words(self) -> str:
        lines = self._log.read_text(errors="replace").splitlines()[-3:]
        return ": " + " / ".join(lines) if lines else ""


def free_port() -> int:
    """A port of the loopback interface that nothing uses."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
