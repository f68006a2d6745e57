"""An old server and a proxy before it, both running: what each half of the demonstration needs."""

from __future__ import annotations

import json
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import aiohttp

from demo.faults import ShowFailed
from demo.programs import HOST, Program, clean_environment, running, unless_one_dies
from demo.rest import Rest


class Where(NamedTuple):
    """Where everything is.

    Attributes:
        proxy, admin, backend: `host:port`.
        proxy_state: the proxy's state directory, by which commands find it.
    """

    proxy: str
    admin: str
    backend: str
    proxy_state: Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """How the two are started.

    Attributes:
        prefix: what the names of the programs and of their logs begin with.
        config: the proxy's configuration file.
        settings: what wins over it, by environment variable.
        flags: of the server.
        server_state: the server's state directory.
        proxy_state: the proxy's.
        logs: the directory of their logs.
        ports: those that the server, the proxy and its admin listener take where they are free.
    """

    prefix: str = ""
    config: Path
    settings: Mapping[str, str]
    flags: tuple[str, ...]
    server_state: Path
    proxy_state: Path
    logs: Path
    ports: tuple[int, int, int] = (0, 0, 0)


class Stage:
    """The two programs.

    Attributes:
        where: where they listen.
    """

    def __init__(self, backend: Program, proxy: Program, where: Where) -> None:
        self.where = where
        self._backend = backend
        self._proxy = proxy

    async def play(self, work: Awaitable[None]) -> None:
        """Do the work; the end of a program ends it too.

        Raises:
            ShowFailed: it failed, or a program ended; with the end of a log.
        """
        try:
            await unless_one_dies(work, (self._backend, self._proxy))
        except ShowFailed as failure:
            if failure.details:
                raise
            said = [f"The end of the log of {self._proxy.name}:", *self._proxy.said()]
            raise ShowFailed(str(failure), said) from None


@asynccontextmanager
async def on_stage(http: aiohttp.ClientSession, plan: Plan) -> AsyncIterator[Stage]:
    """Both programs, until the body ends.

    Raises:
        ShowFailed: one of them did not start.
    """
    name, file = (f"{plan.prefix} ", f"{plan.prefix}-") if plan.prefix else ("", "")
    backend = Program(f"the {name}backend", plan.logs / f"{file}backend.log")
    proxy = Program(f"the {name}proxy", plan.logs / f"{file}proxy.log")
    async with AsyncExitStack() as stack:
        (backend_port,) = await stack.enter_async_context(
            running(
                backend,
                plan.ports[:1],
                _backend_command(plan),
                _says_that_it_listens,
                clean_environment(),
            )
        )
        proxy_port, admin_port = await stack.enter_async_context(
            running(
                proxy,
                plan.ports[1:],
                _proxy_command(plan, backend_port),
                lambda program, ports: _is_ready(http, program, ports[1]),
                clean_environment(
                    SEGUE_STATE_DIR=str(plan.proxy_state),
                    # Whatever the configuration says: the log tells that it listens.
                    SEGUE_LOG__FORMAT="json",
                    SEGUE_LOG__LEVEL="info",
                    **plan.settings,
                ),
            )
        )
        where = Where(
            proxy=f"{HOST}:{proxy_port}",
            admin=f"{HOST}:{admin_port}",
            backend=f"{HOST}:{backend_port}",
            proxy_state=plan.proxy_state,
        )
        yield Stage(backend, proxy, where)


def _backend_command(plan: Plan) -> Callable[[tuple[int, ...]], list[str]]:
    command = [sys.executable, "-m", "demo.backend", "--host", HOST]
    command += ["--state-dir", str(plan.server_state), *plan.flags]
    return lambda ports: [*command, "--port", str(ports[0])]


def _proxy_command(plan: Plan, backend_port: int) -> Callable[[tuple[int, ...]], list[str]]:
    command = [sys.executable, "-m", "proxy", "run", "--config", str(plan.config)]
    command += ["--upstream", f"http://{HOST}:{backend_port}"]
    return lambda ports: [
        *command,
        *("--listen", f"{HOST}:{ports[0]}"),
        *("--admin", f"{HOST}:{ports[1]}"),
    ]


async def _says_that_it_listens(program: Program, _: tuple[int, ...]) -> bool:
    return any(line.startswith("listening on ") for line in program.said())


async def _is_ready(http: aiohttp.ClientSession, program: Program, port: int) -> bool:
    """Whether this very proxy listens, by its log, and says that it is ready."""
    if not any(_event(line) == "listening" for line in program.said()):
        return False
    try:
        answer = await Rest(http, f"http://{HOST}:{port}").call("GET", "/readyz")
    except ShowFailed:
        return False
    return answer.status == 200


def _event(line: str) -> object:
    try:
        entry = json.loads(line)
    except ValueError:
        return None
    return entry.get("event") if isinstance(entry, dict) else None
