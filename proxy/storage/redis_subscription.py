"""Hearing what is published on a channel of Redis, on a connection of its own.

A connection that ends is opened again by itself. One that ends without anybody being told of it (a
cable, a server that hangs) is found by asking it, when nothing has been heard for a while.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, Final

from redis import exceptions

from proxy.storage import cancellation
from proxy.storage.redis_client import CLOSED

_QUIET: Final = 2.0
"""Seconds without a word after which the server is asked whether it is there."""

_FIRST_PAUSE: Final = 0.05
_LONGEST_PAUSE: Final = 0.4
"""Seconds between two tries to connect: whoever is back is found well within a second."""


class RedisSubscription:
    """Tells whenever something has been published, and after every time when it was not heard."""

    def __init__(
        self, connect: Callable[[], Any], channel: str, told: Callable[[], None], timeout: float
    ) -> None:
        """Begin to hear; needs a running loop.

        Args:
            connect: makes a connection (`redis.asyncio.Connection`), which is not open yet.
            channel: the only one that is heard.
            told: is called for each message, and each time when hearing begins.
            timeout: seconds that an answer may take.
        """
        self._connect = connect
        self._channel = channel
        self._told = told
        self._timeout = timeout
        self._task = asyncio.get_running_loop().create_task(
            self._run(), name=f"redis: hear {channel}"
        )

    async def close(self) -> None:
        """Hear no more."""
        await cancellation.end(self._task)

    async def _run(self) -> None:
        pause = _FIRST_PAUSE
        while True:
            connection = self._connect()
            try:
                async with asyncio.timeout(self._timeout):
                    await connection.connect()
                    await connection.send_command("SUBSCRIBE", self._channel)
                    await connection.read_response()
                pause = _FIRST_PAUSE
                self._told()
                await self._hear(connection)
            except (exceptions.RedisError, OSError, CLOSED):
                pass  # Whoever uses the store says what is wrong with it.
            finally:
                await connection.disconnect(nowait=True)
            await asyncio.sleep(pause)
            pause = min(2 * pause, _LONGEST_PAUSE)

    async def _hear(self, connection: Any) -> None:
        """Tell of what comes, as long as the connection is there."""
        while True:
            heard = await connection.read_response(timeout=_QUIET)
            if heard is None:
                await connection.send_command("PING")
                heard = await connection.read_response(timeout=self._timeout)
                if heard is None:
                    return
            # An answer to being asked is no message.
            if isinstance(heard, list) and heard and heard[0] == b"message":
                self._told()
