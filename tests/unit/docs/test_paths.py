"""Every file and folder of the repository that the documents name exists."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.support.checkout import ROOT

DOCUMENTS = [ROOT / "README.md", ROOT / "SECURITY.md", *sorted((ROOT / "docs").glob("*.md"))]
FOLDERS = ("bench", "demo", "deploy", "docs", "examples", "mappings", "proxy", "requirements")
PATH = re.compile(rf"`((?:{'|'.join((*FOLDERS, 'schemas', 'tests', 'tools'))})/[\w./*{{}}-]*)[`:(]")
MADE_BY_A_COMMAND = ("bench/results/",)


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_paths_that_a_document_names_exist(document: Path) -> None:
    named = set(PATH.findall(document.read_text(encoding="utf-8")))
    missing = [path for path in named if not list(ROOT.glob(path.rstrip("/")))]
    assert [path for path in missing if not path.startswith(MADE_BY_A_COMMAND)] == []


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_files_that_a_document_links_to_exist(document: Path) -> None:
    links = re.findall(r"\]\(([^)#:\s]+)(?:#[^)]*)?\)", document.read_text(encoding="utf-8"))
    assert [link for link in links if not (document.parent / link).exists()] == []
