"""The Autobahn test suite with Segue in the middle: `python -m tools.autobahn SUITE`.

The suite plays the client against an echo server, and the server against an echo client; each of
them directly, through Segue, and through Segue with every text message held for a mapping. No case
may fail, and none may be worse than it is without Segue.

A message that is held goes on when it is whole, so a peer behind it sees invalid text later than
one that reads along. For the cases that look at this (6.4: "fail fast") the suite calls both
conformant, the later one `NON-STRICT`.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
import os
import socket
import sys
import tempfile
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

from tools.autobahn import peers, report

HERE: Final = Path(__file__).resolve().parent
ROOT: Final = HERE.parents[1]

DIRECT, THROUGH, HELD = "direct", "segue", "segue-held"
_VERSION: Final = "client_version=2"
_FAIL_FAST: Final = ("6.4.1", "6.4.2", "6.4.3", "6.4.4")
_PATIENCE: Final = 20.0
"""Seconds for a program to start or to end."""


async def main() -> int:
    """Run everything; 0 where no case failed or became worse."""
    parser = argparse.ArgumentParser(prog="python -m tools.autobahn", description=__doc__)
    parser.add_argument("suite", type=Path, help="the directory that tools/autobahn/setup made")
    parser.add_argument("--table", type=Path, help="also write the table of outcomes to this file")
    parser.add_argument("--seconds", type=float, default=900.0, help="give up after that many")
    arguments = parser.parse_args()
    logging.disable()  # The library says of each case that it failed the connection, as it should.
    with tempfile.TemporaryDirectory() as directory:
        suite = Suite(arguments.suite.resolve(), Path(directory))
        try:
            async with asyncio.timeout(arguments.seconds):
                client = await suite.play_client()
                server = await suite.play_server()
        except TimeoutError:
            print(f"not done within {arguments.seconds:.0f} s", file=sys.stderr)
            return 1
    table = (
        "The suite as client, in front of an echo server:\n\n"
        f"{report.table(client)}\n"
        "The suite as server, behind an echo client:\n\n"
        f"{report.table(server)}"
    )
    print(table)
    if arguments.table is not None:
        arguments.table.write_text(table, encoding="utf-8")
    found = [
        problem
        for name, runs in (("fuzzing client", client), ("fuzzing server", server))
        for run, tolerated in ((THROUGH, ()), (HELD, _FAIL_FAST))
        for problem in report.problems(f"{name}, {run}", runs[run], runs[DIRECT], tolerated)
    ]
    print("\n".join(found) or "No case failed, and none is worse than without Segue.")
    return 1 if found else 0


class Suite:
    """The installed suite, and a directory for what it writes."""

    def __init__(self, installed: Path, directory: Path) -> None:
        self._wstest = installed / "wstest"
        self._directory = directory

    async def play_client(self) -> dict[str, dict[str, report.Outcome]]:
        """Fuzz a server: the outcomes by run."""
        out = self._directory / "servers"
        async with peers.echo_server() as port, segue(port) as proxy:
            urls = {
                DIRECT: f"ws://127.0.0.1:{port}",
                THROUGH: f"ws://{proxy}",
                HELD: f"ws://{proxy}/?{_VERSION}",
            }
            servers = [{"agent": agent, "url": url} for agent, url in urls.items()]
            async with self._run(
                "fuzzingclient", {"outdir": str(out), "servers": servers}
            ) as suite:
                await suite.wait()
        return report.read(out / "index.json")

    async def play_server(self) -> dict[str, dict[str, report.Outcome]]:
        """Fuzz a client: the outcomes by run."""
        out, port = self._directory / "clients", _free_port()
        spec = {"outdir": str(out), "url": f"ws://127.0.0.1:{port}"}
        async with self._run("fuzzingserver", spec), segue(port) as proxy:
            await peers.wait_for(port, _PATIENCE)
            await peers.run_cases(f"ws://127.0.0.1:{port}", DIRECT)
            await peers.run_cases(f"ws://{proxy}", THROUGH)
            await peers.run_cases(f"ws://{proxy}", HELD, f"&{_VERSION}")
        return report.read(out / "index.json")

    @asynccontextmanager
    async def _run(
        self, mode: str, spec: Mapping[str, object]
    ) -> AsyncIterator[asyncio.subprocess.Process]:
        path = self._directory / f"{mode}.json"
        cases = [f"{section}.*" for section in report.SECTIONS]
        path.write_text(json.dumps({**spec, "cases": cases, "exclude-cases": []}))
        process = await asyncio.create_subprocess_exec(
            *(self._wstest, "--mode", mode, "--spec", path, "--webport", "0"),
            stdout=asyncio.subprocess.DEVNULL,
        )
        async with _ending(process):
            yield process


@asynccontextmanager
async def segue(port: int) -> AsyncIterator[str]:
    """Run Segue in front of a port of this machine; where it listens."""
    environment = {name: text for name, text in os.environ.items() if not name.startswith("SEGUE_")}
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "proxy", "run", "--config", HERE / "config.yaml"),
        *("--upstream", f"http://127.0.0.1:{port}"),
        cwd=ROOT,
        env={**environment, "SEGUE_LOG__FORMAT": "json"},
        stderr=asyncio.subprocess.PIPE,
    )
    assert process.stderr is not None
    async with _ending(process):
        async with asyncio.timeout(_PATIENCE):
            address = await _listening(process.stderr)
        swallow = asyncio.create_task(_swallow(process.stderr))
        try:
            yield address
        finally:
            swallow.cancel()


async def _listening(log: asyncio.StreamReader) -> str:
    while line := await log.readline():
        try:
            entry = json.loads(line)
        except ValueError:
            continue
        if entry.get("event") == "listening":
            return str(entry["address"])
    raise RuntimeError("Segue ended without listening")


async def _swallow(log: asyncio.StreamReader) -> None:
    while await log.read(65536):
        pass


@asynccontextmanager
async def _ending(process: asyncio.subprocess.Process) -> AsyncIterator[None]:
    try:
        yield
    finally:
        if process.returncode is None:
            process.terminate()
            try:
                async with asyncio.timeout(_PATIENCE):
                    await process.wait()
            except TimeoutError:
                process.kill()
                await process.wait()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
