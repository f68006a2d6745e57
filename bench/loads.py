"""The loads, and the programs that make them: `bench/load` for WebSockets, `wrk` for HTTP."""

from __future__ import annotations

import json
import os
import re
import select
import shutil
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from bench.peers import HERE, Running
from bench.processes import Failed, Process, free_port
from bench.traffic import REQUEST_FIELDS, SOCKET_QUERY, frames_file, small_body

WARM_SECONDS: Final = 1.2
"""CPU time of the proxy before a measurement begins: Node compiles its code while it runs."""

_HANDSHAKES_AT_ONCE: Final = 16
_PATIENCE: Final = 60.0
"""Seconds beyond its own time after which a load program is considered hung."""


@dataclass(frozen=True, slots=True)
class Reading:
    """One measurement. `None` is what a load does not measure.

    Attributes:
        cost: what one unit of work costs the proxy: microseconds of CPU time, or KiB of memory.
        rate: units per second.
        p50, p99: latencies in milliseconds.
        resident: the proxy's resident memory behind the load, MiB.
        busy: the share of its core that the proxy used.
        load_busy: the same for the other core, by origin and load generator.
    """

    cost: float
    rate: float | None
    p50: float | None
    p99: float | None
    resident: float
    busy: float | None
    load_busy: float | None


class Generator:
    """The running `bench/load`: the origin of all proxies, and the clients of the socket loads.

    Attributes:
        port: of the origin.
    """

    def __init__(self, directory: Path, core: int) -> None:
        compiler = shutil.which("cc") or shutil.which("gcc")
        if compiler is None:
            raise Failed("there is no C compiler: `python -m bench install`")
        program, frames, body = (directory / name for name in ("load", "frames", "small.json"))
        sources = [str(path) for path in sorted((HERE / "load").glob("*.c"))]
        subprocess.run(  # noqa: S603 (our own source)
            [compiler, "-O2", "-Wall", "-Wextra", "-o", str(program), *sources], check=True
        )
        frames.write_bytes(frames_file())
        body.write_bytes(small_body())
        self.port = free_port()
        self._process = Process(
            [str(program), str(self.port), str(frames), str(body)],
            core,
            directory / "load.log",
            directory=directory,
            pipes=True,
        )
        self._answer(_PATIENCE)

    @property
    def process(self) -> Process:
        """The program."""
        return self._process

    def ask(self, command: str, seconds: float = 0.0) -> dict[str, Any]:
        """Give a command that takes that long; return the answer.

        Raises:
            Failed: the program says so, or says nothing.
        """
        self._process.check()
        self._process.stdin.write(command.encode() + b"\n")
        self._process.stdin.flush()
        answer = self._answer(seconds + _PATIENCE)
        if "error" in answer:
            raise Failed(str(answer["error"]))
        return answer

    def stop(self) -> None:
        """End it."""
        self._process.stop()

    def _answer(self, seconds: float) -> dict[str, Any]:
        # A line is written at once, so that the rest of it is there when its start is.
        if not select.select([self._process.stdout], [], [], seconds)[0]:
            raise Failed("the load generator does not answer")
        line = self._process.stdout.readline()
        if not line:
            raise Failed("the load generator has ended")
        answer: dict[str, Any] = json.loads(line)
        return answer


Measure = Callable[[Generator, Running, float], Reading]
"""Puts a load on a running proxy for that many seconds."""


@dataclass(frozen=True, slots=True)
class Load:
    """One kind of work.

    Attributes:
        name: short, for options.
        title: for people.
        unit: what `Reading.cost` is, and of what.
        measure: see there.
    """

    name: str
    title: str
    unit: str
    measure: Measure


def _frames(connections: int, burst: int) -> Measure:
    def measure(generator: Generator, running: Running, seconds: float) -> Reading:
        command = f"frames {running.port} {connections} {burst}"
        return _socket_load(generator, running, seconds, command)

    return measure


def _handshakes(generator: Generator, running: Running, seconds: float) -> Reading:
    command = f"handshakes {running.port} {_HANDSHAKES_AT_ONCE}"
    return _socket_load(generator, running, seconds, command)


def _socket_load(generator: Generator, running: Running, seconds: float, command: str) -> Reading:
    pids = ",".join(map(str, running.process.pids()))
    times = f"{round(WARM_SECONDS * 1000)} {round(seconds * 1000)}"
    query = SOCKET_QUERY + running.peer.query
    # Opening the connections takes a time of its own, which the program limits.
    answer = generator.ask(f"{command} {times} {query} {pids}", seconds + 30)
    running.process.check()
    units, took = answer["units"], answer["seconds"]
    return Reading(
        cost=answer["cpu"] / units * 1e6,
        rate=units / took,
        p50=answer["p50"] / 1000,
        p99=answer["p99"] / 1000,
        resident=running.process.resident() / 2**20,
        busy=answer["cpu"] / took,
        load_busy=answer["load_cpu"] / took,
    )


def _memory(first: int, connections: int) -> Measure:
    def measure(generator: Generator, running: Running, _: float) -> Reading:
        query = SOCKET_QUERY + running.peer.query
        # The first ones load code and fill what the allocator had left over from the start; only
        # what comes on top of them tells what a connection costs.
        generator.ask(f"open {running.port} {first} {query}", 30)
        time.sleep(0.5)
        before = running.process.resident()
        generator.ask(f"open {running.port} {first + connections} {query}", 30)
        time.sleep(0.5)
        after = running.process.resident()
        generator.ask("close")
        return Reading(
            cost=(after - before) / connections / 1024,
            rate=None,
            p50=None,
            p99=None,
            resident=after / 2**20,
            busy=None,
            load_busy=None,
        )

    return measure


_WRK_TIMES: Final = {"us": 1e-3, "ms": 1.0, "s": 1e3, "m": 6e4}


def _http(connections: int, target: str, *, big: bool) -> Measure:
    def measure(generator: Generator, running: Running, seconds: float) -> Reading:
        command = ["wrk", "--threads", "1", "--connections", str(connections), "--latency"]
        command += ["--timeout", "20s", f"http://127.0.0.1:{running.port}{target}"]
        for each in REQUEST_FIELDS:
            command += ["--header", each]
        if big:
            command += ["--script", str(HERE / "load" / "post.lua")]
        origin = generator.process
        cold = running.process.cpu()
        for _ in range(4):
            _wrk([*command, "--duration", "1s"])
            if running.process.cpu() - cold >= WARM_SECONDS:
                break
        cpu, origin_cpu = running.process.cpu(), origin.cpu()
        children = os.times()
        text = _wrk([*command, "--duration", f"{max(1, round(seconds))}s"])
        cpu, origin_cpu = running.process.cpu() - cpu, origin.cpu() - origin_cpu
        after = os.times()
        wrk_cpu = after.children_user + after.children_system
        wrk_cpu -= children.children_user + children.children_system
        running.process.check()
        found = re.search(r"(\d+) requests in ([\d.]+)(us|ms|s|m)", text)
        if found is None or not int(found[1]):
            raise Failed("wrk: no request was finished in that time")
        trouble = re.search(r"Non-2xx.*|Socket errors.*", text)
        if trouble is not None:
            raise Failed(f"wrk: {trouble[0].strip()}")
        units, took = int(found[1]), float(found[2]) * _WRK_TIMES[found[3]] / 1e3
        return Reading(
            cost=cpu / units * 1e6,
            rate=units / took,
            p50=_wrk_latency(text, "50%"),
            p99=_wrk_latency(text, "99%"),
            resident=running.process.resident() / 2**20,
            busy=cpu / took,
            load_busy=(wrk_cpu + origin_cpu) / took,
        )

    return measure


def _wrk(command: list[str]) -> str:
    if shutil.which("wrk") is None:
        raise Failed("wrk is not installed: `python -m bench install`")
    done = subprocess.run(  # noqa: S603 (see above)
        command, capture_output=True, text=True, timeout=_PATIENCE * 2, check=False
    )
    if done.returncode:
        raise Failed(f"wrk: {done.stderr.strip() or done.stdout.strip()}")
    return done.stdout


def _wrk_latency(text: str, share: str) -> float | None:
    found = re.search(rf"^\s+{re.escape(share)}\s+([\d.]+)(us|ms|s|m)", text, re.MULTILINE)
    return None if found is None else float(found[1]) * _WRK_TIMES[found[2]]


LOADS: Final = (
    # First, while the processes are fresh.
    Load(
        "memory",
        "Memory of an open idle socket pair (1,000 more, beside 1,000)",
        "KiB a pair",
        _memory(1000, 1000),
    ),
    Load(
        "one-50", "WebSocket, one frame per wake-up, 50 connections", "µs a frame", _frames(50, 1)
    ),
    Load(
        "one-2000",
        "WebSocket, one frame per wake-up, 2,000 connections",
        "µs a frame",
        _frames(2000, 1),
    ),
    Load("bursts", "WebSocket, bursts of 50 frames, 50 connections", "µs a frame", _frames(50, 50)),
    Load("handshakes", "WebSocket handshakes: open and close", "µs each", _handshakes),
    Load(
        "http-small",
        "HTTP, small JSON, 64 connections",
        "µs a request",
        _http(64, "/api/jobs/0b9c1f62-5c0a-4d0e-9a53-6f3a7d1c2b10/", big=False),
    ),
    Load(
        "http-big",
        "HTTP, 1 MiB each way, 64 connections",
        "µs a request",
        _http(64, "/api/big/", big=True),
    ),
)
