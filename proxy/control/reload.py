"""Reading the configuration again while traffic flows: on a signal, or because files changed.

Files are looked at every few seconds, by a thread. That is slower than inotify and sees more:
inotify watches inodes, and a Kubernetes ConfigMap changes by a symbolic link two directories up
that is exchanged; it is silent on network and many overlay file systems; and it tells of each of
the writes of one change, where only the last matters. A look costs one `stat` for each file.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from structlog.typing import FilteringBoundLogger

from proxy.control.file_authority import NOTHING_ENDED, EndedByFile
from proxy.control.loading import load, needs_restart, retained, stamp
from proxy.control.sunset import Removed
from proxy.errors import ConfigError, Diagnostic
from proxy.snapshot import Live, Snapshot, Stamp

_TRIES: Final = 20
_PAUSE: Final = 0.05
"""How often, and with which seconds between, files are read anew that changed meanwhile."""

KEPT: Final = 20
"""Attempts that are remembered, the newest ones."""

_KEPT_PROBLEMS: Final = 20
"""Of each of them."""

_MOST_AUTHORS: Final = 16
"""Of one attempt: whoever asks while it waits for its turn."""

Commit = Callable[[], None]
"""Puts to work what was prepared; it cannot fail, and runs between two steps of the loop."""


class Stopping(Exception):
    """The process ends; nothing is read any more."""


@dataclass(frozen=True, slots=True)
class _Reading:
    """What came of reading everything once.

    Attributes:
        wanted: the snapshot as the files say it; None where something was wrong.
        serving: the same, with the old values of what needs a restart.
        commit: puts it to work.
        problems: what was wrong.
        files: everything that was looked at, as it was then.
    """

    files: Mapping[Path, Stamp]
    wanted: Snapshot | None = None
    serving: Snapshot | None = None
    commit: Commit | None = None
    problems: tuple[Diagnostic, ...] = ()


@dataclass(frozen=True, slots=True)
class ReloadOutcome:
    """What came of an attempt.

    Attributes:
        reason: `asked`, or `files`.
        ended: when, in seconds since 1970.
        problems: what was wrong; empty where it succeeded.
        needs_restart: the keys whose new values only a restart brings.
        serving: the digest of what serves since.
        authors: who asked for it at the admin listener, each with a role; empty for a signal, or
            files that changed.
        ends: what it ends of what was set of switches.
        removed: mappings that it takes from cohorts and that may be needed.
    """

    reason: str
    ended: float
    problems: tuple[Diagnostic, ...]
    needs_restart: tuple[str, ...]
    serving: str
    authors: tuple[tuple[str, str], ...] = ()
    ends: EndedByFile = NOTHING_ENDED
    removed: tuple[Removed, ...] = ()

    @property
    def succeeded(self) -> bool:
        """Whether what was read serves."""
        return not self.problems


class Reloads:
    """Reads everything again when it is due, and swaps it in if all of it is right.

    Attributes:
        last: what came of the newest attempt; None before the first.
        recent: the same of the newest `KEPT`, that one first, with their first problems.
        succeeded, failed: how often, since the start.
        last_succeeded: whether the newest one did; the start counts.
        succeeded_at: the Unix time of the newest success; the start counts.
    """

    def __init__(
        self,
        live: Live,
        prepare: Callable[[Snapshot], Commit],
        interval: Callable[[], float | None],
        log: FilteringBoundLogger,
        on_begin: Callable[[], None] = lambda: None,
        on_end: Callable[[ReloadOutcome], None] = lambda _: None,
        dressed: Callable[[Snapshot], Snapshot] = lambda snapshot: snapshot,
        ends: Callable[[Snapshot], Awaitable[EndedByFile]] | None = None,
        removes: Callable[[Snapshot], tuple[Removed, ...]] = lambda _: (),
    ) -> None:
        """Nothing is read yet.

        Args:
            live: holds what serves.
            prepare: builds what a snapshot needs, in a thread; raises ConfigError.
            interval: seconds between two looks at the files; None does not look.
            log: told of each attempt, and of each problem.
            on_begin: told that an attempt begins.
            on_end: told what came of it.
            dressed: gives what was read the switches that are in force.
            ends: tells what the same will end of what was set of them.
            removes: tells which mappings it lacks that may be needed.
        """
        self._live = live
        self._prepare = prepare
        self._interval = interval
        self._log = log
        self._on_begin = on_begin
        self._on_end = on_end
        self._dressed = dressed
        self._ends = ends
        self._removes = removes
        self._asked = asyncio.Event()
        # Of the attempt that begins next; everybody who asks before that waits for the same one.
        self._next: asyncio.Future[ReloadOutcome] | None = None
        self._authors: list[tuple[str, str]] = []
        self._stopped = False
        self.last: ReloadOutcome | None = None
        self.recent: deque[ReloadOutcome] = deque(maxlen=KEPT)
        self._known = dict(live.current.files)
        self.succeeded = 0
        self.failed = 0
        self.last_succeeded = True
        self.succeeded_at = time.time()

    def ask(self) -> None:
        """Have everything read again, soon; asking twice meanwhile is asking once."""
        self._asked.set()

    async def carried_out(self, author: str, role: str) -> ReloadOutcome:
        """Have everything read again, from now on, and wait for what comes of it.

        Args:
            author: who asks.
            role: what they may do.

        Raises:
            Stopping: the process ends before that.
        """
        if self._stopped:
            raise Stopping
        if self._next is None:
            self._next = asyncio.get_running_loop().create_future()
        waited = self._next
        if (author, role) not in self._authors and len(self._authors) < _MOST_AUTHORS:
            self._authors.append((author, role))
        self.ask()
        try:
            return await asyncio.shield(waited)
        except asyncio.CancelledError:
            if waited.cancelled():
                raise Stopping from None
            raise

    async def run(self) -> None:
        """Reload whenever it is due, until cancelled."""
        waited: asyncio.Future[ReloadOutcome] | None = None
        try:
            while True:
                reason = await self._due()
                waited, self._next = self._next, None
                authors, self._authors = tuple(self._authors), []
                self._on_begin()
                self.last = replace(await self._attempt(reason), authors=authors)
                kept = self.last.problems[:_KEPT_PROBLEMS]
                self.recent.appendleft(replace(self.last, problems=kept))
                self._on_end(self.last)
                if waited is not None and not waited.done():
                    waited.set_result(self.last)
        finally:
            self._stopped = True
            for future in (waited, self._next):
                if future is not None:
                    future.cancel()

    async def _attempt(self, reason: str) -> ReloadOutcome:
        try:
            return await self._reload(reason)
        except Exception as error:  # noqa: BLE001 (a fault here must not end what serves)
            self._count_failure()
            fault = type(error).__name__
            self._log.error("reload failed", reason=reason, fault=fault)
            name = str(self._live.current.source.file)
            return self._failed(
                reason, [Diagnostic(name, 0, 0, "", f"a fault of Segue's: {fault}")]
            )

    def _failed(self, reason: str, problems: Iterable[Diagnostic]) -> ReloadOutcome:
        serving = self._live.current.digest
        return ReloadOutcome(reason, time.time(), tuple(problems), (), serving)

    async def _due(self) -> str:
        """Wait until somebody asks, or the files have changed and stayed so for two looks.

        A file that is being written is not read half.
        """
        before: dict[Path, Stamp] = {}
        while True:
            try:
                async with asyncio.timeout(self._interval()):
                    await self._asked.wait()
            except TimeoutError:
                now = await asyncio.to_thread(_looked_at, self._known)
                if now == before and now != self._known:
                    return "files"
                before = now
            else:
                self._asked.clear()
                return "asked"

    async def _reload(self, reason: str) -> ReloadOutcome:
        """Read everything in a thread; then, in one step of the loop, swap it in or keep the old.

        What is built from the configuration comes first (`commit`), because requests that see the
        new snapshot are to meet it.
        """
        reading = await asyncio.to_thread(self._read)
        # What an attempt that failed has read is watched too: that is where it will be mended.
        self._known = {**self._live.current.files, **reading.files}
        if reading.commit is None or reading.serving is None or reading.wanted is None:
            self._count_failure()
            for problem in reading.problems:
                self._log.error("configuration problem", problem=str(problem))
            self._log.error(
                "reload failed",
                reason=reason,
                problems=len(reading.problems),
                serving=self._live.current.digest,
            )
            return self._failed(reason, reading.problems)
        keys = needs_restart(self._live.current.config, reading.wanted.config)
        ends = NOTHING_ENDED if self._ends is None else await self._ends(reading.serving)
        removed = self._removes(reading.serving)
        reading.commit()
        self._live.replace(self._dressed(reading.serving))
        self._known = dict(reading.files)
        self.succeeded += 1
        self.last_succeeded = True
        self.succeeded_at = time.time()
        for each in removed:
            self._log.warning(
                "a mapping is removed that may be needed",
                switch=each.switch,
                verdict=each.judgement.verdict.value,
                last_needed=each.judgement.last,
                users=each.users,
                watched=round(each.judgement.watched, 4),
            )
        if keys:
            self._log.warning("a restart is needed for some changes", keys=list(keys))
        self._log.info(
            "reloaded",
            reason=reason,
            serving=reading.serving.digest,
            mappings=list(reading.serving.catalog.names),
        )
        return ReloadOutcome(
            reason,
            self.succeeded_at,
            (),
            keys,
            reading.serving.digest,
            ends=ends,
            removed=removed,
        )

    def _count_failure(self) -> None:
        self.failed += 1
        self.last_succeeded = False

    def _read(self) -> _Reading:
        """Read all files as they were at one moment: again, if one was exchanged meanwhile."""
        files: Mapping[Path, Stamp] = {}
        for _ in range(_TRIES):
            reading = self._read_once()
            files = reading.files
            if _looked_at(files) == files:
                return reading
            time.sleep(_PAUSE)
        name = str(self._live.current.source.file)
        problem = Diagnostic(name, 0, 0, "", "the files change while they are read")
        return _Reading(files, problems=(problem,))

    def _read_once(self) -> _Reading:
        current = self._live.current
        source = current.source
        seen: dict[Path, Stamp] = {}
        try:
            flags, required = source.flags, source.required
            wanted = load(source.file, source.env, flags, seen, required=required)
            serving = retained(current.config, wanted)
            commit = self._prepare(serving)
        except ConfigError as error:
            return _Reading(seen, problems=error.problems)
        return _Reading(seen, wanted, serving, commit)


def _looked_at(files: Mapping[Path, Stamp]) -> dict[Path, Stamp]:
    return {path: stamp(path) for path in files}
