"""The pages of the site that are not in `docs/`, and links that lead out of it (a hook of MkDocs).

In the repository, documents link to files anywhere in it. The site has some of these files as
pages; links to all others are shown as what they say, without a link. What does not exist is left
as it is, for MkDocs to complain of.
"""

from __future__ import annotations

import posixpath
import re
from pathlib import Path
from typing import Final

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT: Final = Path(__file__).resolve().parent.parent
PAGES: Final = {
    "README.md": "index.md",
    "CHANGELOG.md": "CHANGELOG.md",
    "SECURITY.md": "SECURITY.md",
    "bench/results/results.md": "benchmark.md",
    "bench/results/results.svg": "results.svg",
}
"""A file of the repository, and what it is called in the site."""

_LINK: Final = re.compile(r"(!?)\[((?:[^][]|\[[^]]*\])*)\]\(([^)#\s]*)(#[^)\s]*)?\)")


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages that are elsewhere in the repository."""
    for path, name in PAGES.items():
        files.append(File.generated(config, name, abs_src_path=str(ROOT / path)))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Have links lead to where their targets are in the site."""
    del config
    origins = {name: path for path, name in PAGES.items()}
    here = page.file.src_uri
    base = posixpath.dirname(origins.get(here, "docs/" + here))
    return relinked(markdown, here, base, {file.src_uri for file in files})


def relinked(markdown: str, here: str, base: str, known: set[str]) -> str:
    """Return a page with its links as the site has them; code blocks stay as they are.

    Args:
        markdown: of the page.
        here: its name in the site.
        base: the folder of the repository that its links start from.
        known: the names of all files of the site.
    """

    def link(match: re.Match[str]) -> str:
        image, label, target, anchor = match[1], match[2], match[3], match[4] or ""
        if not target or re.match(r"[a-z]+:", target):
            return match[0]
        path = posixpath.normpath(posixpath.join(base, target))
        name = PAGES.get(path, path.removeprefix("docs/"))
        if name not in known and (ROOT / path).exists():
            return label
        start = posixpath.dirname(here) or "."
        return f"{image}[{label}]({posixpath.relpath(name, start)}{anchor})"

    parts = re.split(r"(^```.*?^```)", markdown, flags=re.MULTILINE | re.DOTALL)
    return "".join(part if part.startswith("```") else _LINK.sub(link, part) for part in parts)
