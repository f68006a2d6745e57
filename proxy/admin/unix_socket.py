"""The Unix socket in the state directory: who may open it, may do everything."""

from __future__ import annotations

import asyncio
import os
import secrets
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from aiohttp import web

SOCKET: Final = "admin.sock"
"""Its name in the state directory."""

_MODE: Final = 0o600


@contextmanager
def short_name(path: Path) -> Iterator[str]:
    """Yield a name for a socket's file that fits into an address, whatever the directory's length.

    The address of a Unix socket has 107 bytes (unix(7)), state directories can have more.

    Raises:
        OSError: there is no such directory.
    """
    directory = os.open(path.parent, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield f"/proc/self/fd/{directory}/{path.name}"
    finally:
        os.close(directory)


class UnixSocketSite(web.BaseSite):
    """Serves a runner's application on the socket of a state directory.

    The newest process of a state directory has the socket: it takes the place of one that was left
    by a process that is gone, and of that of its predecessor in an upgrade, in one step.
    """

    def __init__(self, runner: web.BaseRunner, directory: Path) -> None:
        super().__init__(runner)
        self.path = directory / SOCKET
        self._own: tuple[int, int] | None = None

    @property
    def name(self) -> str:
        """Where it is."""
        return f"unix:{self.path}"

    async def start(self) -> None:
        """Listen.

        Raises:
            OSError: the directory is not there, or nothing can be made in it.
        """
        draft = self.path.with_name(f".{SOCKET}.{secrets.token_hex(8)}")
        listening = _bound(draft)
        try:
            server = self._runner.server
            assert server is not None
            loop = asyncio.get_running_loop()
            self._server = await loop.create_unix_server(server, sock=listening)
            await super().start()
            status = draft.lstat()
            draft.replace(self.path)
        except BaseException:
            (listening if self._server is None else self._server).close()
            draft.unlink(missing_ok=True)
            raise
        self._own = status.st_dev, status.st_ino

    async def stop(self) -> None:
        """Listen no more, and take the file away, unless it is another process's by now."""
        with suppress(OSError):
            status = self.path.lstat()
            if (status.st_dev, status.st_ino) == self._own:
                self.path.unlink()
        await super().stop()


def _bound(path: Path) -> socket.socket:
    listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        listening.settimeout(0)
        # Before it has a name: the file is made with this mode, so that nobody can be quicker. The
        # umask, which is the whole process's, is left alone.
        os.fchmod(listening.fileno(), _MODE)
        with short_name(path) as name:
            listening.bind(name)
    except BaseException:
        listening.close()
        raise
    return listening
