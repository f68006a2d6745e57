"""A relay of TCP connections that can be cut, as a network is: nothing that was sent arrives."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress


class Wire:
    """Leads to a port of this machine, unless it is cut.

    Attributes:
        port: where it begins.
        lost: how many bytes were thrown away, because the filter said so.
    """

    def __init__(self, port: int) -> None:
        self.port = 0
        self.lost = 0
        self._target = port
        self._is_cut = False
        self._losing = b""
        self._open: set[asyncio.StreamWriter] = set()

    @contextmanager
    def cut(self) -> Iterator[None]:
        """Have it lead nowhere: what is open breaks, what begins ends at once."""
        self._is_cut = True
        for writer in tuple(self._open):
            writer.transport.abort()
        try:
            yield
        finally:
            self._is_cut = False

    @contextmanager
    def losing(self, what: bytes) -> Iterator[None]:
        """Throw away whatever comes back and has this in it."""
        self._losing = what
        try:
            yield
        finally:
            self._losing = b""

    async def carry(self, near: asyncio.StreamReader, back: asyncio.StreamWriter) -> None:
        """Carry one connection."""
        if self._is_cut:
            back.transport.abort()
            return
        try:
            far, forth = await asyncio.open_connection("127.0.0.1", self._target)
        except OSError:
            back.transport.abort()
            return
        self._open |= {back, forth}
        try:
            await asyncio.gather(self._copy(near, forth), self._copy(far, back, comes_back=True))
        finally:
            self._open -= {back, forth}
            forth.close()
            back.close()

    async def _copy(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        *,
        comes_back: bool = False,
    ) -> None:
        with suppress(OSError):
            while data := await reader.read(65536):
                if comes_back and self._losing and self._losing in data:
                    self.lost += len(data)
                    continue
                writer.write(data)
                await writer.drain()
        writer.close()


@asynccontextmanager
async def wire(port: int) -> AsyncIterator[Wire]:
    """Lay a wire to this port."""
    laid = Wire(port)
    carrying: set[asyncio.Task[None]] = set()

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        carrying.add(task)
        task.add_done_callback(carrying.discard)
        await laid.carry(reader, writer)

    serving = await asyncio.start_server(accept, "127.0.0.1", 0)
    laid.port = serving.sockets[0].getsockname()[1]
    try:
        yield laid
    finally:
        serving.close()
        for task in tuple(carrying):
            task.cancel()
        await asyncio.gather(*carrying, return_exceptions=True)
