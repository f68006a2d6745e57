"""Reading a configuration in tests: one value, or every problem at once with its place."""

from __future__ import annotations

import base64
from collections.abc import Mapping

import pytest

from proxy.configuration.reading import Config, load
from proxy.errors import ConfigError, Diagnostic

KEYS = tuple(base64.urlsafe_b64encode(bytes([n]) * 32).decode() for n in (1, 2))
MINIMAL = "upstream: {url: http://server:8000}\n"


def read_file(name: str) -> str:
    if name != "/run/secrets/value":
        raise FileNotFoundError(2, "No such file or directory")
    return "1.10\n"


def read(
    text: str = MINIMAL,
    env: Mapping[str, str] | None = None,
    flags: Mapping[str, object] | None = None,
) -> Config:
    return load(text, "config.yaml", env or {}, flags or {}, read_file)


def problems(
    text: str = MINIMAL,
    env: Mapping[str, str] | None = None,
    flags: Mapping[str, object] | None = None,
) -> list[Diagnostic]:
    with pytest.raises(ConfigError) as raised:
        read(text, env, flags)
    return list(raised.value.problems)


def places(found: list[Diagnostic]) -> list[tuple[str, int, int, str]]:
    return [(problem.file, problem.line, problem.column, problem.path) for problem in found]
