"""What the state directory has for the commands of this machine; traffic does not depend on it."""

from __future__ import annotations

import os
import time
from contextlib import suppress
from pathlib import Path

from structlog.typing import FilteringBoundLogger

from proxy.admin.application import AdminListener
from proxy.errors import ConfigError
from proxy.storage.processes import Announcement, RunningProcess
from proxy.storage.state_directory import prepare_directory


class LocalAccess:
    """The Unix socket of the admin listener, and the file that says where the listener is."""

    def __init__(self, directory: Path, config: Path, log: FilteringBoundLogger) -> None:
        """Nothing is made yet.

        Args:
            directory: the state directory.
            config: the configuration file.
            log: told why it cannot be used.
        """
        self._directory = directory
        self._config = str(config.absolute())
        self._log = log
        self._announcement: Announcement | None = None

    async def open(self, admin: AdminListener, url: str) -> Path | None:
        """Let this process be found; return where the socket is, None where it cannot be made.

        Args:
            admin: answers there.
            url: of its listener.
        """
        process = RunningProcess(os.getpid(), time.time(), self._config, url)
        try:
            prepare_directory(self._directory)
            path = await admin.start_locally(self._directory)
        except ConfigError as error:
            path, reason = None, error.problems[0].message
        except OSError as error:
            path, reason = None, (error.strerror or "not possible").lower()
        else:
            reason = ""
        with suppress(OSError):
            self._announcement = Announcement(self._directory, process)
        if path is None:
            self._log.warning("no admin socket", directory=str(self._directory), reason=reason)
        return path

    def close(self) -> None:
        """The process ends."""
        if self._announcement is not None:
            self._announcement.withdraw()
            self._announcement = None
