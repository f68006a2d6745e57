"""The image's builder gets what the Dockerfile copies, by `.dockerignore` as an engine reads it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.support.checkout import ROOT
from tools.dockerfile import Ignored, Stage, Step, copy_of, filled, stages

DOCKERFILE = (ROOT / "Dockerfile").read_text(encoding="utf-8")


def shipped_ignore() -> Ignored:
    return Ignored((ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines())


def copies() -> list[tuple[str | None, str]]:
    """From which stage, and what, for every source of a COPY."""
    steps = [step for stage in stages(DOCKERFILE) for step in stage.steps]
    found = [copy_of(step) for step in steps if step.instruction == "COPY"]
    return [(stage, source) for stage, sources, _ in found for source in sources]


def files(source: str) -> list[str]:
    """The files of a source that are no leftovers of Python's."""
    path = ROOT / source
    below = [path] if path.is_file() else path.rglob("*")
    names = [each.relative_to(ROOT).as_posix() for each in below if each.is_file()]
    return sorted(name for name in names if "__pycache__" not in name)


@pytest.mark.parametrize("source", sorted({name for stage, name in copies() if stage is None}))
def test_everything_that_the_image_copies_is_sent_to_its_builder(source: str) -> None:
    wanted = files(source)
    assert wanted, f"the Dockerfile copies {source}, which is not there"
    ignored = shipped_ignore()
    assert [name for name in wanted if ignored(name)] == []


def test_nothing_else_is_sent_to_the_builder() -> None:
    sources = {source for stage, source in copies() if stage is None}
    ignored = shipped_ignore()
    others = {each.name for each in ROOT.iterdir()} - {source.split("/")[0] for source in sources}
    assert sorted(name for name in others if not ignored(name)) == []
    assert ignored("requirements/dev.txt")
    assert ignored("proxy/cli/__pycache__/main.cpython-311.pyc")


def test_what_is_copied_from_a_stage_is_of_one_that_there_is() -> None:
    named = {stage.name for stage in stages(DOCKERFILE)}
    assert {stage for stage, _ in copies() if stage is not None} <= named


def test_both_stages_start_from_one_base_that_is_pinned_by_its_digest() -> None:
    (base,) = {stage.base for stage in stages(DOCKERFILE)}
    assert re.fullmatch(r"python:3\.11-slim@sha256:[0-9a-f]{64}", base)
    renewed = DOCKERFILE.replace(f"ARG BASE={base}", "ARG BASE=other@sha256:0")
    assert {stage.base for stage in stages(renewed)} == {"other@sha256:0"}


@pytest.mark.parametrize(
    ("lines", "path", "ignored"),
    [
        (["*"], "a/b", True),
        (["*", "!a"], "a/b", False),
        (["*", "!a/b"], "a/c", True),
        (["*", "!a/b"], "a/b/c", False),
        (["*", "!a", "a/b"], "a/b/c", True),
        (["!a", "*"], "a", True),
        (["*.py"], "a/b.py", False),
        (["**/*.py"], "a/b.py", True),
        (["**/*.py"], "b.py", True),
        (["**/*.py[co]"], "a/b.pyo", True),
        (["**/*.py[co]"], "a/b.pyx", False),
        (["a.b"], "aXb", False),
        (["a?b"], "aXb", True),
        (["# a", "", " /a/ "], "a/b", True),
    ],
)
def test_ignored(lines: list[str], path: str, ignored: bool) -> None:
    assert Ignored(lines)(path) is ignored


def test_stages() -> None:
    text = "# one\nARG A=x\nFROM ${A}:1 AS one\nRUN a \\\n    # why\n    && b\n\nFROM $A\nUSER 1\n"
    assert stages(text) == [
        Stage("x:1", "one", [Step("RUN", "a && b")]),
        Stage("x", "1", [Step("USER", "1")]),
    ]
    with pytest.raises(ValueError, match="RUN before the first FROM"):
        stages("RUN a")


def test_copy_and_variables() -> None:
    assert copy_of(Step("COPY", "--from=one --chown=1 /a b c/")) == ("one", ["/a", "b"], "c/")
    assert filled("$A/${B}:$C", {"A": "a", "B": "b"}) == "a/b:"


def test_the_smoke_run_looks_at_what_is_compiled() -> None:
    text = Path(ROOT / "pyproject.toml").read_text(encoding="utf-8")
    smoke = (ROOT / "tools" / "smoke.py").read_text(encoding="utf-8")
    included = [line.strip()[2:-2] for line in text.splitlines() if line.startswith('    "/proxy/')]
    assert included
    for name in included:
        assert f'"{name.removesuffix(".py").replace("/", ".")}"' in smoke
