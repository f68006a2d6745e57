"""A plugin of pytest's: ends a test that hangs, with its process, so that the others are run.

What a test left open may be waited for inside C, where no exception gets to: nothing but the end of
the process is sure. Under pytest-xdist that is a worker's. Its test has failed, and another worker
goes on behind it.
"""

from __future__ import annotations

import faulthandler
import os
import signal
import sys
import threading
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final, TextIO

import pytest
from xdist.scheduler import LoadFileScheduling
from xdist.workermanage import WorkerController

STDERR: Final = pytest.StashKey[TextIO]()
"""The standard error of the run, which is not captured."""

GRACE: Final = 10.0
"""Seconds after the limit, at which C ends a process whose threads do not get their turn."""


def pytest_addoption(parser: pytest.Parser) -> None:
    about = "seconds in which each of a test's setup, call and teardown has to end (default: 600)"
    parser.addini("hang_limit", about, default="600")


def pytest_configure(config: pytest.Config) -> None:
    # Nothing is captured at this point.
    stderr = os.fdopen(os.dup(sys.__stderr__.fileno() if sys.__stderr__ else 2), "w")
    config.stash[STDERR] = stderr
    config.add_cleanup(stderr.close)


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> Generator[None, None, None]:
    with limited(item, "setup"):
        return (yield)


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, None, None]:
    with limited(item, "call"):
        return (yield)


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_teardown(item: pytest.Item) -> Generator[None, None, None]:
    with limited(item, "teardown"):
        return (yield)


@contextmanager
def limited(item: pytest.Item, phase: str) -> Iterator[None]:
    """End the process if what is done within takes longer than the limit."""
    limit = float(item.config.getini("hang_limit"))
    stderr = item.config.stash[STDERR]
    what = f"{item.nodeid} hangs: its {phase} has taken {limit:g} seconds"
    timer = threading.Timer(limit, end_process, (what, stderr))
    timer.daemon = True
    timer.start()
    faulthandler.dump_traceback_later(limit + GRACE, exit=True, file=stderr)
    try:
        yield
    finally:
        faulthandler.cancel_dump_traceback_later()
        timer.cancel()


def end_process(what: str, stderr: TextIO) -> None:
    """Say what hangs and where, and end this process with those that it started."""
    print(f"\n{what}", file=stderr, flush=True)
    faulthandler.dump_traceback(stderr)
    for pid in descendants(os.getpid()):
        os.kill(pid, signal.SIGKILL)
    os._exit(1)


def descendants(pid: int) -> list[int]:
    """The processes that a process started, and those that these did."""
    found = []
    for path in Path(f"/proc/{pid}/task").glob("*/children"):
        for child in map(int, path.read_text().split()):
            found += [child, *descendants(child)]
    return found


class FileScheduling(LoadFileScheduling):  # type: ignore[misc]  # xdist publishes no types.
    """`--dist loadfile`, which would begin again with the test at which a worker ended."""

    def remove_node(self, node: WorkerController) -> str | None:
        """Hand what a worker has not run to others; return the test at which it ended, if any."""
        units: dict[str, dict[str, bool]] = self.assigned_work[node]
        unit, test = next(
            ((unit, test) for unit in units.values() for test, done in unit.items() if not done),
            ({}, None),
        )
        if test is not None:
            unit[test] = True
        # A file without any test left would be all that the successor is given, and never ends.
        for file in [file for file, unit in units.items() if all(unit.values())]:
            del units[file]
        super().remove_node(node)
        return test

    def schedule(self) -> None:
        """Give each worker, also one that came later, more than the one test that it waits with."""
        super().schedule()
        for node in self.nodes:
            self._reschedule(node)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: object) -> FileScheduling | None:
    """Take the scheduler above for `--dist loadfile`."""
    return FileScheduling(config, log) if config.getoption("dist") == "loadfile" else None
