"""The `segue run` that is soaked: a process of its own, and what it says."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from pathlib import Path
from typing import Final

import aiohttp
from prometheus_client.parser import text_string_to_metric_families

from bench.soak.accounts import Samples

_ROOT: Final = Path(__file__).resolve().parents[2]
_LONGEST_LINE: Final = 1024 * 1024
_PATIENCE: Final = 30.0

_SUSPECT: Final = (b"internal error", b"Traceback", b"Warning", b"Exception")
"""What no line of the log may hold, whatever clients do."""


class Segue:
    """A `segue run` in a process of its own.

    Attributes:
        address, admin: of its listeners.
        lines: of its log, so far.
        reloads: those of them that say how a reload ended.
        suspect: lines of its log that should not be there.
    """

    def __init__(self, config: Path) -> None:
        """Start nothing yet.

        Args:
            config: its configuration file.
        """
        self._config = config
        self._child: asyncio.subprocess.Process | None = None
        self._reading: asyncio.Task[None] | None = None
        self._listening = asyncio.Event()
        self.address = ""
        self.admin = ""
        self.lines = 0
        self.reloads = 0
        self.suspect: list[str] = []

    async def start(self) -> None:
        """Start it, and wait until it listens."""
        self._child = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "proxy", "run", "--config", str(self._config)),
            *("--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0"),
            env={**os.environ, "SEGUE_LOG__FORMAT": "json"},
            cwd=_ROOT,
            stderr=asyncio.subprocess.PIPE,
            limit=_LONGEST_LINE,
        )
        self._reading = asyncio.create_task(self._read())
        async with asyncio.timeout(_PATIENCE):
            await self._listening.wait()

    async def _read(self) -> None:
        assert self._child is not None
        assert self._child.stderr is not None
        async for line in self._child.stderr:
            self.lines += 1
            if not self.address and b'"listening"' in line:
                started = json.loads(line)
                self.address, self.admin = started["address"], started["admin"]
                self._listening.set()
            self.reloads += b'"reloaded"' in line or b'"reload failed"' in line
            if any(word in line for word in _SUSPECT):
                self.suspect.append(line.decode(errors="replace").strip()[:300])

    def resident(self) -> int:
        """Bytes of resident memory."""
        assert self._child is not None
        pages = Path(f"/proc/{self._child.pid}/statm").read_text(encoding="ascii").split()[1]
        return int(pages) * os.sysconf("SC_PAGE_SIZE")

    def cpu(self) -> float:
        """Seconds of processor time so far."""
        assert self._child is not None
        stat = Path(f"/proc/{self._child.pid}/stat").read_text(encoding="ascii")
        user, system = stat.rpartition(")")[2].split()[11:13]
        return (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")

    @property
    def is_alive(self) -> bool:
        """Whether it runs."""
        return self._child is not None and self._child.returncode is None

    def hang_up(self) -> None:
        """Have it reload."""
        assert self._child is not None
        self._child.send_signal(signal.SIGHUP)

    async def metrics(self) -> Samples:
        """The metrics page."""
        async with (
            aiohttp.ClientSession() as client,
            client.get(f"http://{self.admin}/metrics") as response,
        ):
            text = await response.text()
        return {
            (sample.name, frozenset(sample.labels.items())): sample.value
            for family in text_string_to_metric_families(text)
            for sample in family.samples
        }

    async def stop(self) -> int:
        """Stop it as a supervisor does; its exit code."""
        assert self._child is not None
        if self._child.returncode is None:
            self._child.terminate()
        try:
            async with asyncio.timeout(_PATIENCE):
                code = await self._child.wait()
        except TimeoutError:
            self._child.kill()
            code = await self._child.wait()
        if self._reading is not None:
            await self._reading
        return code
