"""The list of the pure floors: each has a file, and tests of its name."""

from __future__ import annotations

from pathlib import Path

import pytest

from tools import pure_coverage


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A project with a module, a module of a package, and a package with one inside it."""
    for name in ("a.py", "b/c.py", "d/e.py", "d/f/g.py", "h/i.py"):
        make(tmp_path / "proxy" / name)
    for name in ("test_a.py", "test_a_more.py", "test_ab.py", "b/test_c.py", "d/f/test_g.py"):
        make(tmp_path / "tests/unit" / name)
    (tmp_path / "tests/unit/h").mkdir()
    return tmp_path


def make(file: Path) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.touch()


def contract(root: Path, *modules: str) -> None:
    (root / "pyproject.toml").write_text(
        f"[[tool.importlinter.contracts]]\nid = 'pure'\nsource_modules = {list(modules)}\n"
    )


def test_modules_and_packages_have_their_files_and_tests(root: Path) -> None:
    contract(root, "proxy.a", "proxy.b.c", "proxy.d")
    assert pure_coverage.missing(root) == []
    unit = root / "tests/unit"
    assert pure_coverage.tests_of(root, "a") == [unit / "test_a.py", unit / "test_a_more.py"]
    assert pure_coverage.tests_of(root, "b.c") == [unit / "b/test_c.py"]
    assert pure_coverage.tests_of(root, "d") == [unit / "d/f/test_g.py"]
    assert pure_coverage.sources_of(root, "d") == [root / "proxy/d/e.py", root / "proxy/d/f/g.py"]


def test_a_module_without_a_file_or_a_test_is_an_error(root: Path) -> None:
    contract(root, "proxy.a", "proxy.b.x", "proxy.h")
    assert pure_coverage.missing(root) == [
        "the contract `pure` names proxy.b.x, which has no file",
        "proxy.h has no test of its name in tests/unit",
    ]
