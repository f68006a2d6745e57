"""The parts of `make proof`: what each runs, for how long at most, and which code it is about."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

MINUTE: Final = 60


@dataclass(frozen=True, slots=True)
class Part:
    """One proof.

    Attributes:
        shows: what holds where it passes.
        command: run in the checkout, as a user would run it.
        about: the paths whose code it is about; when they change, the result is old.
        minutes: it is ended after that many, and has failed.
    """

    shows: str
    command: tuple[str, ...]
    about: tuple[str, ...]
    minutes: int


PARTS: Final = {
    "soak": Part(
        "ten minutes of mixed traffic: memory is flat, every account balances",
        ("make", "-s", "soak"),
        ("proxy", "bench/soak", "requirements/runtime.txt"),
        20,
    ),
    "sunset": Part(
        "ninety simulated days of a fleet: no mapping is called safe to delete wrongly, or late",
        ("make", "-s", "sunset", "ARGS=2"),
        (
            *("proxy/switching/sunset_days.py", "proxy/switching/sunset_watch.py"),
            *("proxy/switching/sunset_verdict.py", "proxy/switching/canary.py"),
            *("proxy/control/sunset.py", "proxy/control/switch_store/memory.py"),
            "tools/sunset_simulation.py",
        ),
        30,
    ),
    "freshness": Part(
        "1,000 runs of a page that polls, with messages before, at and after their commit, show"
        " nothing stale; in Chromium, with 255 WebSockets, the server is asked once for a message",
        ("make", "-s", "freshness"),
        (
            *("proxy", "demo/backend", "requirements/runtime.txt", "requirements/demo.txt"),
            *("tests/browser", "tests/sockets/gateway/test_freshness_runs.py"),
            *("tests/support/refetching_page.py", "tests/support/refetching_runs.py"),
        ),
        15,
    ),
    "fuzz": Part(
        "a minute of coverage-guided fuzzing for each target finds nothing",
        ("make", "-s", "fuzz"),
        ("proxy", "tools/fuzz", "tests/corpus", "requirements/runtime.txt"),
        30,
    ),
    "autobahn": Part(
        "the Autobahn suite on both sides of Segue: nothing fails, nothing is worse than without",
        ("make", "-s", "autobahn"),
        ("proxy", "tools/autobahn", "requirements/runtime.txt"),
        15,
    ),
    "guards": Part(
        "of a thousand simulated rollouts of a healthy mapping guards take back no more than is"
        " stated, and of a broken one all",
        ("make", "-s", "guard-runs"),
        ("proxy/switching", "tools/guard_runs.py"),
        20,
    ),
    "pure-parser": Part(
        "all tests with aiohttp's parser that is written in Python",
        ("make", "-s", "test-pure"),
        ("proxy", "tests", "requirements/runtime.txt"),
        30,
    ),
    "pythons": Part(
        "all tests on every supported Python that the machine has, beside the default one",
        ("make", "-s", "test-pythons"),
        ("proxy", "demo", "tests", "requirements"),
        60,
    ),
    "busy": Part(
        "all tests, three times in a row, beside six busy loops",
        ("tools/proof/busy", "6", "3", "make", "-s", "test"),
        ("proxy", "demo", "tests", "requirements"),
        150,
    ),
    "fresh": Part(
        "the README's commands in a clone in an empty folder, with an empty environment, on an"
        " index in which everything has a newer release than the lock files name",
        ("tools/proof/fresh",),
        ("proxy", "demo", "tests", "tools", "Makefile", "pyproject.toml", "requirements"),
        45,
    ),
    "image": Part(
        "every step of the Dockerfile, replayed in an empty Debian, and Segue serving from there",
        ("python3", "-m", "tools.replay_image"),
        (
            *("proxy", "mappings", "config.yaml", "Dockerfile", ".dockerignore", "pyproject.toml"),
            *("requirements/build.txt", "requirements/compile.txt", "requirements/redis.txt"),
            *("tools/replay_image.py", "tools/dockerfile.py", "tools/smoke.py"),
        ),
        20,
    ),
}
"""Name to part, in the order in which `make proof` runs them."""
