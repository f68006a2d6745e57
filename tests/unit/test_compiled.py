"""What `make test-compiled` is about: that the tests beside this one meet compiled code."""

from __future__ import annotations

import os
import tomllib
from importlib import import_module
from pathlib import Path

import pytest

from tests.support.checkout import ROOT

pytestmark = pytest.mark.skipif(
    "TESTS_COMPILED" not in os.environ, reason="for the package as it is shipped"
)

PROJECT = ROOT / "pyproject.toml"


def included() -> list[str]:
    """The modules that pyproject.toml has compiled."""
    build = tomllib.loads(PROJECT.read_text())["tool"]["hatch"]["build"]
    files: list[str] = build["targets"]["wheel"]["hooks"]["mypyc"]["include"]
    return [file.removeprefix("/").removesuffix(".py").replace("/", ".") for file in files]


@pytest.mark.parametrize("name", included())
def test_the_module_is_compiled(name: str) -> None:
    assert str(import_module(name).__file__).endswith(".so")


def test_everything_else_is_python() -> None:
    package = Path(str(import_module("proxy").__file__)).parent
    compiled = {
        ".".join((*path.parent.relative_to(package.parent).parts, path.name.partition(".")[0]))
        for path in package.rglob("*.so")
    }
    assert compiled == set(included())
