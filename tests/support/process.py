"""`segue run` as an operator starts it: a process with a configuration of its own."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import socket
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
from prometheus_client.parser import text_string_to_metric_families

from tests.support.checkout import ROOT
from tests.support.waiting import PATIENCE

_INHERITED = 3


@dataclass
class Process:
    """A running `segue run`, and what it has logged so far: line by line, and as it came."""

    child: asyncio.subprocess.Process
    lines: list[dict[str, Any]] = field(default_factory=list)
    output: bytearray = field(default_factory=bytearray)
    _more: asyncio.Event = field(default_factory=asyncio.Event)
    _read: int = 0

    @property
    def address(self) -> str:
        return str(self._listening["address"])

    @property
    def admin(self) -> str:
        return str(self._listening["admin"])

    @property
    def _listening(self) -> dict[str, Any]:
        return next(line for line in self.lines if line["event"] == "listening")

    async def event(self, *names: str) -> dict[str, Any]:
        """Wait for the next line with one of these events, behind those already waited for."""
        async with asyncio.timeout(PATIENCE):
            while True:
                while self._read < len(self.lines):
                    line = self.lines[self._read]
                    self._read += 1
                    if line["event"] in names:
                        return line
                self._more.clear()
                await self._more.wait()

    def events(self, name: str) -> list[dict[str, Any]]:
        """All lines of one event."""
        return [line for line in self.lines if line["event"] == name]

    def hang_up(self) -> None:
        self.child.send_signal(signal.SIGHUP)

    def resident(self) -> int:
        """The bytes of memory that it has now."""
        status = Path(f"/proc/{self.child.pid}/status").read_text()
        found = re.search(r"^VmRSS:\s+(\d+) kB$", status, re.MULTILINE)
        assert found is not None
        return int(found[1]) << 10

    async def terminate(self) -> int:
        """Stop it as a supervisor does; its exit code."""
        self.child.send_signal(signal.SIGTERM)
        async with asyncio.timeout(PATIENCE):
            return await self.child.wait()

    async def ready(self) -> int:
        """The status of `/readyz`."""
        async with (
            aiohttp.ClientSession() as client,
            client.get(f"http://{self.admin}/readyz") as response,
        ):
            return response.status

    async def metrics(self) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
        """The metrics page: (sample name, its labels) to value."""
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

    async def total(self, name: str, **labels: str) -> float:
        """The sum of all samples of that name that have these labels."""
        wanted = labels.items()
        return sum(
            value
            for (found, pairs), value in (await self.metrics()).items()
            if found == name and wanted <= pairs
        )

    async def _pump(self) -> None:
        assert self.child.stderr is not None
        while line := await self.child.stderr.readline():
            self.output += line
            with suppress(json.JSONDecodeError):
                self.lines.append(json.loads(line))
            self._more.set()


@asynccontextmanager
async def running(
    config: Path,
    *,
    listen: str = "127.0.0.1:0",
    env: Mapping[str, str] | None = None,
    inherited: socket.socket | None = None,
    starting: Callable[[Process], Awaitable[None]] | None = None,
    open_files: tuple[int, int] | None = None,
) -> AsyncIterator[Process]:
    """Run it until the end of the test, or until the test stops it.

    Args:
        config: the configuration.
        listen: its listener.
        env: further environment.
        inherited: a listening socket to hand over, as systemd does.
        starting: called while the process starts.
        open_files: how many it may open, soft and hard; as this one where it is None.
    """
    command = [sys.executable, "-W", "error", "-m", "proxy", "run", "--config", str(config)]
    command += ["--listen", listen, "--admin", "127.0.0.1:0"]
    files: tuple[int, ...] = ()
    if inherited is not None:
        # LISTEN_PID is the process's own, which it has before it becomes Segue.
        number = inherited.fileno()
        shell = f'exec {_INHERITED}<&{number}; LISTEN_FDS=1 LISTEN_PID=$$ exec "$@"'
        command = ["bash", "-c", shell, "bash", *command]
        files = (number,)
    if open_files is not None:
        soft, hard = open_files
        command = [
            "bash",
            "-c",
            f'ulimit -Sn {soft} && ulimit -Hn {hard} && exec "$@"',
            "bash",
            *command,
        ]
    child = await asyncio.create_subprocess_exec(
        *command,
        env={**os.environ, "SEGUE_LOG__FORMAT": "json", **(env or {})},
        cwd=ROOT,
        stderr=asyncio.subprocess.PIPE,
        pass_fds=files,
    )
    process = Process(child)
    pump = asyncio.create_task(process._pump())
    try:
        if starting is not None:
            await starting(process)
        await process.event("listening")
        yield process
    finally:
        if child.returncode is None:
            child.kill()
        await child.wait()
        await pump
