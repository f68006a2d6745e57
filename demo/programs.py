"""The backend and the proxy as child processes: free ports, readiness, logs, the end.

Whoever starts a program ends it, by its own process id and within a bound. The programs are in
process groups of their own, so that Ctrl-C in a terminal reaches the demonstration alone, which
then ends them in order.
"""

from __future__ import annotations

import asyncio
import os
import socket
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import ExitStack, asynccontextmanager, suppress
from pathlib import Path
from typing import Final

from demo import logs
from demo.faults import ProgramDied, ShowFailed

HOST: Final = "127.0.0.1"
ROOT: Final = Path(__file__).resolve().parents[1]
"""The checkout."""

_START_TIMEOUT: Final = 60.0
_STOP_TIMEOUT: Final = 10.0
_POLL: Final = 0.05
_ATTEMPTS: Final = 5
_TAIL: Final = 20
_LAST_WORDS_TIMEOUT: Final = 1.0


def free_ports(preferred: Sequence[int]) -> tuple[int, ...]:
    """Distinct ports that nobody listens on: those preferred where free, else the system's choice.

    A port may be taken by somebody else before it is used: see `running`.
    """
    with ExitStack() as held:
        return tuple(held.enter_context(_bound(port)).getsockname()[1] for port in preferred)


def _bound(port: int) -> socket.socket:
    listener = socket.socket()
    # As servers do: a port whose last connections linger in TIME_WAIT is free for a listener.
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((HOST, port))
        # Bound is not enough: two sockets with SO_REUSEADDR may be, only one may listen.
        listener.listen()
    except OSError:
        listener.close()
        if not port:
            raise
        return _bound(0)
    return listener


class Program:
    """One child process whose output goes to a log file.

    Attributes:
        name: what it is called in messages.
        log: the file with its standard output and standard error.
    """

    def __init__(self, name: str, log: Path) -> None:
        self.name = name
        self.log = log
        self._process: asyncio.subprocess.Process | None = None
        self._copying: asyncio.Task[None] | None = None

    async def start(self, command: Sequence[str], environment: Mapping[str, str]) -> None:
        """Start it in the directory of the checkout; its log begins anew."""
        with ExitStack() as unless_copied:
            log = unless_copied.enter_context(logs.opened(self.log))
            self._process = await asyncio.create_subprocess_exec(
                *command,
                cwd=ROOT,
                env=dict(environment),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.STDOUT,
                start_new_session=True,
            )
            assert self._process.stdout is not None
            self._copying = asyncio.create_task(logs.copy(self._process.stdout, log))
            unless_copied.pop_all()

    @property
    def running(self) -> bool:
        """Whether it was started and has not ended."""
        return self._process is not None and self._process.returncode is None

    async def ended(self) -> None:
        """Wait until it has ended, and its last words are in the log."""
        if self._process is not None:
            await self._process.wait()
        if self._copying is not None:
            # A bound: whatever it has started may hold its output open.
            await asyncio.wait((self._copying,), timeout=_LAST_WORDS_TIMEOUT)

    async def stop(self) -> None:
        """End it: SIGTERM, 10 seconds, SIGKILL. Nothing happens if it ended before."""
        if self._process is None or not self.running:
            return
        self._process.terminate()
        try:
            with suppress(TimeoutError):
                async with asyncio.timeout(_STOP_TIMEOUT):
                    await self._process.wait()
        finally:
            # Also where the wait was cancelled: nothing is left behind.
            if self.running:
                self._process.kill()
        await self.ended()

    def said(self) -> list[str]:
        """The last lines of its log, at most 20."""
        try:
            with self.log.open(encoding="utf-8", errors="replace") as log:
                return [line.rstrip() for line in deque(log, _TAIL)]
        except OSError:
            return []

    def death(self) -> ProgramDied:
        """The error that says that it ended, with what it said last."""
        code = self._process.returncode if self._process is not None else None
        if code is None:
            how = "ended"
        elif code < 0:
            how = f"was ended by signal {-code}"
        else:
            how = f"ended with exit code {code}"
        return ProgramDied(f"{self.name} {how}; the end of its log:", self.said())


Command = Callable[[tuple[int, ...]], Sequence[str]]
Ready = Callable[[Program, tuple[int, ...]], Awaitable[bool]]


@asynccontextmanager
async def running(
    program: Program,
    preferred: Sequence[int],
    command: Command,
    ready: Ready,
    environment: Mapping[str, str],
) -> AsyncIterator[tuple[int, ...]]:
    """A program that listens on free ports, which are given to the body; ended after it.

    A port may be taken by somebody else between the choice and its use. The program ends then, and
    other ports are tried, five times at most. `ready` must know the program itself, by its log:
    whoever took the port may answer there just as well.

    Raises:
        ProgramDied: it ended before it was ready.
        ShowFailed: it was not ready after 60 seconds.
    """
    try:
        yield await _listening(program, preferred, command, ready, environment)
    finally:
        await program.stop()


async def _listening(
    program: Program,
    preferred: Sequence[int],
    command: Command,
    ready: Ready,
    environment: Mapping[str, str],
) -> tuple[int, ...]:
    wanted = tuple(preferred)
    for attempt in range(1, _ATTEMPTS + 1):
        ports = free_ports(wanted)
        await program.start(command(ports), environment)
        try:
            await _wait_until_ready(program, ports, ready)
        except ProgramDied:
            # Well-known ports may have been taken and given back by now: another demonstration.
            suspicious = any(wanted) or free_ports(ports) != ports
            if attempt == _ATTEMPTS or not suspicious:
                raise
            wanted = (0,) * len(wanted)
        else:
            return ports
    raise AssertionError("the last attempt returns or raises")


async def _wait_until_ready(program: Program, ports: tuple[int, ...], ready: Ready) -> None:
    try:
        async with asyncio.timeout(_START_TIMEOUT):
            while not await ready(program, ports) or not program.running:
                if not program.running:
                    await program.ended()
                    raise program.death()
                await asyncio.sleep(_POLL)
    except TimeoutError:
        raise ShowFailed(
            f"{program.name} was not ready after {_START_TIMEOUT:g} seconds; the end of its log:",
            program.said(),
        ) from None


async def unless_one_dies(work: Awaitable[None], programs: Sequence[Program]) -> None:
    """Do the work; the end of a program ends it too, and explains what failed because of that.

    Raises:
        ProgramDied: a program ended.
        ShowFailed: the work failed, and all programs live.
    """
    task = asyncio.ensure_future(work)
    deaths = {asyncio.create_task(program.ended()): program for program in programs}
    try:
        await asyncio.wait((task, *deaths), return_when=asyncio.FIRST_COMPLETED)
        if task.done() and task.exception() is not None:
            # What the work saw first may be the consequence: sockets close before a process ends.
            await asyncio.wait(deaths, timeout=1, return_when=asyncio.FIRST_COMPLETED)
        for death, program in deaths.items():
            if death.done():
                raise program.death()
        await task
    finally:
        for pending in (task, *deaths):
            pending.cancel()
        await asyncio.gather(task, *deaths, return_exceptions=True)


def clean_environment(**additions: str) -> dict[str, str]:
    """The environment for a program, without the user's own settings of Segue."""
    own = {name: value for name, value in os.environ.items() if not name.startswith("SEGUE_")}
    return own | additions


def shown_path(path: Path) -> str:
    """The path as whoever stands in the current directory would write it."""
    try:
        return str(path.absolute().relative_to(Path.cwd()))
    except (OSError, ValueError):
        return str(path)
