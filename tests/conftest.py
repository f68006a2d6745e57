"""What all tests share: event loops, Hypothesis profiles, components, a look-out for leaks."""

from __future__ import annotations

import asyncio
import inspect
import os
import shutil
import signal
import tempfile
from collections.abc import AsyncIterator, Callable, Mapping
from pathlib import Path
from typing import Final

import pytest
import uvloop
from hypothesis import HealthCheck, settings

pytest_plugins = ["tests.support.hanging"]

REPOSITORY: Final = Path(__file__).parent.parent
LEAK_PATIENCE: Final = 10.0
"""Seconds in which the tasks of a test that has ended have to end too."""

LOOPS: Final[Mapping[str, Callable[[], asyncio.AbstractEventLoop]]] = {
    "uvloop": uvloop.new_event_loop,
    "asyncio": asyncio.new_event_loop,
}


def start_afresh() -> None:
    """Give up what this process inherited from whoever started it, and its children would inherit.

    Their settings for a Segue of their own; signals that they ignore or hold back, as shells do
    with SIGINT for what they start with `&` and `nohup` does with SIGHUP; their umask.
    """
    for name in [name for name in os.environ if name.startswith("SEGUE_")]:
        del os.environ[name]
    for number in (signal.SIGHUP, signal.SIGINT, signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2):
        if signal.getsignal(number) is signal.SIG_IGN:
            by_python = signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL
            signal.signal(number, by_python)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    os.umask(0o022)


start_afresh()

# A slow machine is no fault of the code, and the same commit gives the same result twice.
settings.register_profile(
    "ci", derandomize=True, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.register_profile("dev", deadline=None)
settings.load_profile("ci" if os.environ.get("CI") else "dev")


def system_components() -> dict[str, str]:
    """The programs that tests may need: command to Debian package."""
    lines = (REPOSITORY / "requirements/system.txt").read_text(encoding="utf-8").splitlines()
    pairs = (line.split() for line in lines if line and not line.startswith("#"))
    return {line[0]: line[1] for line in pairs}


def require_component(command: str) -> str:
    """The path of a program that a test cannot do without.

    Where it is missing the test is skipped with the reason, or fails when TESTS_REQUIRE_ALL=1.
    """
    package = system_components()[command]
    path = shutil.which(command)
    if path is not None:
        return path
    reason = f"needs {command}: apt install {package}"
    if os.environ.get("TESTS_REQUIRE_ALL") == "1":
        pytest.fail(reason, pytrace=False)
    pytest.skip(reason)


@pytest.fixture
def require() -> Callable[[str], str]:
    """`require("chromium")` is the program's path, or the end of the test."""
    return require_component


@pytest.fixture
async def no_leaked_tasks() -> AsyncIterator[None]:
    """Fails a test that leaves a task running when its fixtures are gone.

    Such a task holds a socket or a future that its owner forgot. It gets some time to end, because
    a transport tells its protocol only in a later turn of the loop that it is closed.
    """
    loop = asyncio.get_running_loop()
    before = asyncio.all_tasks()
    yield
    deadline = loop.time() + LEAK_PATIENCE
    while left := asyncio.all_tasks() - before - {asyncio.current_task()}:
        if loop.time() > deadline:
            names = "\n".join(sorted(repr(task) for task in left))
            pytest.fail(f"tasks still running after the test:\n{names}", pytrace=False)
        await asyncio.sleep(0.01)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--loop",
        choices=[*LOOPS, "all"],
        default="uvloop",
        help="the event loop of tests that do not name their own (default: uvloop, as in `run`)",
    )


def pytest_configure(config: pytest.Config) -> None:
    # Where the processes that tests start keep their sessions, if they keep any.
    state = tempfile.TemporaryDirectory(prefix="segue-tests-", ignore_cleanup_errors=True)
    config.add_cleanup(state.cleanup)
    os.environ["SEGUE_STATE_DIR"] = state.name
    for command, package in system_components().items():
        config.addinivalue_line(
            "markers", f"needs_{command}: runs {command} (Debian package {package})"
        )


def pytest_asyncio_loop_factories(
    config: pytest.Config, item: pytest.Item
) -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    marker = item.get_closest_marker("asyncio")
    if marker is not None and "loop_factories" in marker.kwargs:
        return LOOPS
    chosen: str = config.getoption("--loop")
    return LOOPS if chosen == "all" else {chosen: LOOPS[chosen]}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        # First to be set up is last to be torn down: after the servers that other fixtures run.
        if isinstance(item, pytest.Function) and inspect.iscoroutinefunction(item.obj):
            item.fixturenames.insert(0, "no_leaked_tasks")


def pytest_runtest_setup(item: pytest.Item) -> None:
    for marker in item.iter_markers():
        if marker.name.startswith("needs_"):
            require_component(marker.name.removeprefix("needs_"))
