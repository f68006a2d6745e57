"""The list of the pure floors: each has a file, and tests of its name."""

from __future__ import annotations

from pathlib import Path

import pytest

from tools import pure_coverage


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for name in ("proxy/a.py", "proxy/b/c.py", "proxy/d/e.py", "proxy/d/f/g.py"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    for name in ("test_a.py", "test_a_more.py", "test_ab.py", "b/test_c.py", "d/test_f.py"):
        (tmp_path / "tests" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "tests" / name).touch()
    return tmp_path


def contract(root: Path, *modules: str) -> None:
    (root / "pyproject.toml").write_text(
        f"[[tool.importlinter.contracts]]\nid = 'pure'\nsource_modules = {list(modules)}\n"
    )


def test_modules_and_packages_have_their_files_and_tests(root: Path) -> None:
    contract(root, "proxy.a", "proxy.b.c", "proxy.d")
    assert pure_coverage.missing(root) == []
    assert pure_coverage.tests_of(root, "a") == [
        root / "tests/test_a.py",
        root / "tests/test_a_more.py",
    ]
    assert pure_coverage.tests_of(root, "b.c") == [root / "tests/b/test_c.py"]
    assert pure_coverage.tests_of(root, "d") == [root / "tests/d"]
    assert pure_coverage.sources_of(root, "d") == [root / "proxy/d/e.py", root / "proxy/d/f/g.py"]


def test_a_module_without_a_file_or_a_test_is_an_error(root: Path) -> None:
    contract(root, "proxy.a", "proxy.b.x", "proxy.d.e")
    assert pure_coverage.missing(root) == [
        "the contract `pure` names proxy.b.x, which has no file",
        "proxy.d.e has no test: expected tests/**/test_*.py of its name",
    ]
