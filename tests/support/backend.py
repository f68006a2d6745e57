"""The demo backend as a real server process, for every test that wants the old server."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Final
from uuid import uuid4

import aiohttp

from tests.support.checkout import ROOT
from tests.support.waiting import PATIENCE

OLD_KINDS: Final = (
    "stageUpdate",
    "jobStatus",
    "jobStatus",
    "agentDialogue",
    "stageUpdate",
    "agentDialogue",
    "jobStatus",
    "agentDialogue",
    "prdReady",
    "jobStatus",
)
"""What a client of the old dialect gets for its first chat message: its own words, the script."""

NEW_KINDS: Final = (
    "chat",
    "status",
    "status",
    "step",
    "chat",
    "step",
    "status",
    "step",
    "app",
    "status",
)
"""The same in the new dialect."""


class Backend:
    """`python -m demo.backend` on a free port, with its own state directory.

    Options are those of its command line, with underscores: `Backend(tmp_path, dialect="new",
    access_lifetime=2, allow_job_purge="on", script_delay=0)`. Without a `script_delay`, frames
    follow each other without a pause. It may be started again after it was stopped; a stopped
    server's state stays.
    """

    def __init__(self, state_dir: Path, **options: object) -> None:
        self.state_dir = state_dir
        self._options = {"script_delay": 0, "port": 0, **options}
        self._process: subprocess.Popen[str] | None = None
        self.url = ""
        self.ws_url = ""

    @property
    def pid(self) -> int:
        """The server's process."""
        return self._running().pid

    @property
    def errors(self) -> str:
        """What it wrote to standard error so far, over all its runs."""
        return self._error_file.read_text(encoding="utf-8")

    @property
    def _error_file(self) -> Path:
        return self.state_dir / "stderr.txt"

    def _running(self) -> subprocess.Popen[str]:
        assert self._process is not None, "the backend is not running"
        return self._process

    async def start(self) -> None:
        """Starts the process and waits until it listens.

        Raises:
            RuntimeError: it ended instead, or took too long; with what it said.
        """
        self.state_dir.mkdir(parents=True, exist_ok=True)
        command = [sys.executable, "-m", "demo.backend", "--state-dir", str(self.state_dir)]
        for name, value in self._options.items():
            command += [f"--{name.replace('_', '-')}", str(value)]
        environment = {k: v for k, v in os.environ.items() if not k.startswith("SEGUE_DEMO_")}
        with self._error_file.open("a", encoding="utf-8") as errors:
            self._process = subprocess.Popen(
                command,
                cwd=ROOT,
                env=environment,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
            )
        assert self._process.stdout is not None
        try:
            line = await asyncio.wait_for(
                asyncio.to_thread(self._process.stdout.readline), PATIENCE
            )
        except TimeoutError:
            line = ""
        if not line.startswith("listening on http://"):
            await self.stop()
            raise RuntimeError(f"the backend did not start: {line}{self.errors}")
        self.url = line.removeprefix("listening on ").strip()
        self.ws_url = self.url.replace("http", "ws", 1)

    async def stop(self, with_signal: signal.Signals = signal.SIGTERM) -> int:
        """Ends the process; its exit code."""
        process = self._running()
        process.send_signal(with_signal)
        try:
            code = await asyncio.to_thread(process.wait, PATIENCE)
        except subprocess.TimeoutExpired:
            process.kill()
            code = await asyncio.to_thread(process.wait)
        assert process.stdout is not None
        process.stdout.close()
        self._process = None
        return code

    async def __aenter__(self) -> Backend:
        await self.start()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._process is not None:
            await self.stop()


@dataclass(frozen=True, slots=True)
class Account:
    """Somebody who is logged in."""

    email: str
    password: str
    access: str
    refresh: str

    @property
    def headers(self) -> dict[str, str]:
        """The header that authenticates a request."""
        return {"Authorization": f"Bearer {self.access}"}


async def register(http: aiohttp.ClientSession, url: str) -> Account:
    """Makes a new user with an address of its own; `url` is the backend's or a proxy's."""
    email, password = f"{uuid4().hex}@example.org", "correct horse"
    body = {"email": email, "password": password}
    async with http.post(f"{url}/api/auth/register/", json=body) as response:
        assert response.status == 201, await response.text()
        tokens = await response.json()
    return Account(email, password, tokens["access"], tokens["refresh"])


async def create_job(
    http: aiohttp.ClientSession, url: str, account: Account, prompt: str = "A recipe box"
) -> dict[str, Any]:
    """A new job of this account, as the API shows it."""
    async with http.post(
        f"{url}/api/jobs/", json={"prompt": prompt}, headers=account.headers
    ) as response:
        assert response.status == 201, await response.text()
        job: dict[str, Any] = await response.json()
    return job
