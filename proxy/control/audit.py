"""Who has done what, in files of the state directory that cannot be altered unseen.

Whoever does something that somebody may have to answer for calls `Audit.write`, which never waits.
A thread of its own appends the lines and has them on the disk; where it cannot, they wait, are
tried again, and beyond `MOST_WAITING` are given up, counted and logged. What the lines are:
`proxy.tokens.audit_chain`; the files: `proxy.storage.audit_files`.
"""

from __future__ import annotations

import asyncio
import datetime as dt
import time
from collections import deque
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Final, TypeVar

from structlog.typing import FilteringBoundLogger

from proxy.configuration.audit import AuditSettings
from proxy.configuration.sessions import StoreSettings
from proxy.control.audit_head import HeadKeeper, HeadStore
from proxy.errors import ConfigError
from proxy.storage.audit_files import Appended, AuditFiles
from proxy.storage.state_directory import development_key
from proxy.storage.worker import Worker
from proxy.tokens.audit_chain import LOST, MISSING, RESERVED, AuditKeys, Entry, Link
from proxy.tokens.redaction import redact
from proxy.types import SEGUE

_T = TypeVar("_T")

MOST_WAITING: Final = 1000
"""Lines that wait for the disk; of more, the new ones are lost."""

_BATCH: Final = 100
"""Lines that are appended in one step, for which the disk is waited for once."""

_RETRY: Final = 1.0
"""Seconds between two attempts to append what could not be."""

_MOST_AUTHOR: Final = 256


class Audit:
    """Takes lines, and gets them into the files.

    Attributes:
        written: lines that are on the disk, since the start.
        lost: lines that were given up.
        failures: attempts to append that failed.
        trouble: why the newest attempt failed; empty where it did not.
        head: keeps the store up to date with the end of the files.
    """

    def __init__(
        self,
        directory: Path,
        store: StoreSettings,
        settings: Callable[[], AuditSettings],
        log: FilteringBoundLogger,
        heads: HeadStore | None = None,
    ) -> None:
        """Nothing is made yet.

        Args:
            directory: the state directory.
            store: for its keys; without any, the state directory's own is used.
            settings: gives the section of the configuration that serves.
            log: told what could not be written, and what was found at the end of the files.
            heads: where the head of the chain is kept; None for nowhere.
        """
        self._directory = directory
        self._store_keys = store.keys
        self._settings = settings
        self._log = log
        self._files: AuditFiles | None = None
        self._worker: Worker | None = None
        self._waiting: deque[Entry] = deque()
        self._due = asyncio.Event()
        self._emptied = asyncio.Event()
        self._emptied.set()
        self._running: asyncio.Task[None] | None = None
        self._untold = 0
        self.written = 0
        self.lost = 0
        self.failures = 0
        self.trouble = ""
        self.head = HeadKeeper(heads, self._contradicts, self._missing, log)

    @property
    def waiting(self) -> int:
        """Lines that are not on the disk yet."""
        return len(self._waiting)

    def write(self, event: str, *, author: str, role: str, **details: object) -> None:
        """Have a line written, soon. To be called in the loop; never fails, and never waits.

        Args:
            event: what happened: a few words, always the same.
            author: who did it, by a name that is no secret.
            role: what they were allowed then; empty where that is nobody's.
            details: what else; JSON. What looks like a token is taken out.
        """
        assert event not in RESERVED
        if len(self._waiting) >= MOST_WAITING:
            self._lose(event, author, role)
            return
        self._waiting.append(Entry(_now(), event, author[:_MOST_AUTHOR], role, details))
        self._emptied.clear()
        self._due.set()

    def start(self) -> None:
        """Begin to write."""
        self._worker = Worker("audit")
        self._running = asyncio.create_task(self._run())
        self.head.start()

    async def flushed(self, timeout: float) -> bool:
        """Wait until nothing waits for the disk any more; return whether that is so."""
        try:
            async with asyncio.timeout(timeout):
                await self._emptied.wait()
        except TimeoutError:
            return False
        return True

    async def close(self, timeout: float) -> None:
        """Write what waits, for `timeout` seconds, and end; what is left then is lost."""
        if self._running is not None:
            begin = time.monotonic()
            if not self.trouble:
                await self.flushed(timeout)
            await self.head.close(max(timeout - (time.monotonic() - begin), 0))
            self._running.cancel()
            await asyncio.wait((self._running,))
            self._running = None
        for entry in self._waiting:
            self._lose(entry.event, entry.author, entry.role)
        self._waiting.clear()
        if self._worker is not None:
            self._worker.end()

    async def _run(self) -> None:
        while True:
            await self._due.wait()
            try:
                await self._append_some()
            except (OSError, ConfigError) as error:
                self._failed(error)
                await asyncio.sleep(_RETRY)
                continue
            except Exception as error:  # noqa: BLE001 (what cannot be written must not hold up the rest)
                self._log.error("audit failed", fault=type(error).__name__)
                for entry in [self._waiting.popleft() for _ in range(self._batch)]:
                    self._lose(entry.event, entry.author, entry.role)
            if not self._waiting and not self._untold:
                self._due.clear()
                self._emptied.set()

    @property
    def _batch(self) -> int:
        return min(_BATCH, len(self._waiting))

    async def _append_some(self) -> None:
        """Append the next lines.

        Raises:
            ConfigError: the state directory cannot be used, or its key.
            OSError: they could not be written.
        """
        batch = [self._waiting[index] for index in range(self._batch)]
        untold = self._untold
        lost = [Entry(_now(), LOST, SEGUE, "", {"lines": untold})] if untold else []
        settings = self._settings()
        appended = await self._in_thread(partial(self._append, [*lost, *batch], settings))
        for _ in batch:
            self._waiting.popleft()
        self._untold -= untold
        self.written += len(lost) + len(batch)
        if self.trouble:
            self.trouble = ""
            self._log.info("audit written again")
        for event in appended.found:
            self._log.error("audit damaged", found=event, line=appended.head.link.sequence)
        self.head.moved(appended.head)

    def _append(self, entries: list[Entry], settings: AuditSettings) -> Appended:
        """In the thread."""
        files = self._opened()
        told = [
            each._replace(author=redact(each.author), details=_redacted(each.details))
            for each in entries
        ]
        return files.append(told, _now(), max_size=settings.max_size, keep=settings.keep)

    def _opened(self) -> AuditFiles:
        if self._files is None:
            keys = AuditKeys(self._store_keys or [development_key(self._directory)])
            self._files = AuditFiles(self._directory, keys)
            self.head.keys = keys
        return self._files

    async def _contradicts(self, link: Link) -> bool:
        """Whether the files have another line in that place, or none."""
        return await self._in_thread(lambda: self._opened().contradict(link))

    async def _in_thread(self, work: Callable[[], _T]) -> _T:
        assert self._worker is not None
        return await asyncio.wrap_future(self._worker.submit(work))

    def _missing(self, sequence: int) -> None:
        """The store knows of a line that the files have no more: say so in them, for good."""
        self._waiting.append(Entry(_now(), MISSING, SEGUE, "", {"line": sequence}))
        self._emptied.clear()
        self._due.set()

    def _failed(self, error: OSError | ConfigError) -> None:
        self.failures += 1
        if isinstance(error, ConfigError):
            reason = str(error.problems[0])
        else:
            reason = (error.strerror or str(error) or "not possible").lower()
        if reason != self.trouble:
            self.trouble = reason
            self._log.error("audit not written", reason=reason, waiting=len(self._waiting))

    def _lose(self, event: str, author: str, role: str) -> None:
        self.lost += 1
        self._untold += 1
        self._log.error("audit line lost", lost=redact(event), author=redact(author), role=role)


def _now() -> str:
    return dt.datetime.now(dt.UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _redacted(value: Mapping[str, object]) -> dict[str, object]:
    return {redact(str(name)): _without_tokens(each) for name, each in value.items()}


def _without_tokens(value: object) -> object:
    match value:
        case str():
            return redact(value)
        case Mapping():
            return _redacted(value)
        case list() | tuple() | set() | frozenset():
            return [_without_tokens(each) for each in value]
    return value
