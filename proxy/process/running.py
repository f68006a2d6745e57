"""A server from its start to its end, as a process: signals, and the supervisor."""

from __future__ import annotations

import asyncio
import signal

from proxy.observability.log import Log, Writer
from proxy.process import open_files, without_effect
from proxy.process.server import Server
from proxy.snapshot import Snapshot


async def run(snapshot: Snapshot, log: Log, writer: Writer | None = None) -> None:
    """Serve until a signal (SIGTERM, SIGINT) or an operator's order, then drain.

    A further signal cuts that short.

    SIGHUP reloads; whoever starts this may have blocked it until then.

    Raises:
        ConfigError: the server could not be started.
    """
    loop = asyncio.get_running_loop()
    signals: asyncio.Queue[int] = asyncio.Queue()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, signals.put_nowait, number)
    server = Server(snapshot, log, writer)
    loop.add_signal_handler(signal.SIGHUP, server.reload)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGHUP})
    await server.start()
    open_files.check(snapshot.config, log)
    without_effect.check(snapshot.config, log)
    told = asyncio.create_task(signals.get())
    ordered = asyncio.create_task(server.ending.wait())
    await asyncio.wait((told, ordered), return_when=asyncio.FIRST_COMPLETED)
    ordered.cancel()
    drain = asyncio.create_task(server.drain())
    # Where the end was ordered, no signal has come yet: the first one cuts the drain short.
    again = asyncio.create_task(signals.get()) if told.done() else told
    await asyncio.wait((drain, again), return_when=asyncio.FIRST_COMPLETED)
    again.cancel()
    if drain.done():
        drain.result()
    else:
        drain.cancel()
        await asyncio.wait((drain,))
        await server.close()
        log.warning("stopped before the drain was complete")
