"""Links of documents, as they are written for the repository and as the site has them."""

from __future__ import annotations

import pytest

from tools.site_pages import relinked

KNOWN = {"index.md", "admin.md", "mappings.md", "benchmark.md", "results.svg"}


@pytest.mark.parametrize(
    ("here", "base", "written", "shown"),
    [
        ("mappings.md", "docs", "[a](admin.md#roles)", "[a](admin.md#roles)"),
        ("mappings.md", "docs", "[a](../README.md)", "[a](index.md)"),
        ("mappings.md", "docs", "[`a`](../examples/ladder)", "`a`"),
        ("mappings.md", "docs", "[a](#here)", "[a](#here)"),
        ("mappings.md", "docs", "[a](nowhere.md)", "[a](nowhere.md)"),
        ("mappings.md", "docs", "[a](https://example.org/b)", "[a](https://example.org/b)"),
        ("index.md", "", "[a](docs/admin.md)", "[a](admin.md)"),
        ("index.md", "", "[a](bench/results/results.md)", "[a](benchmark.md)"),
        ("benchmark.md", "bench/results", "![a](results.svg)", "![a](results.svg)"),
        ("benchmark.md", "bench/results", "[a](../../docs/admin.md)", "[a](admin.md)"),
    ],
)
def test_a_link_leads_to_where_its_target_is_in_the_site(
    here: str, base: str, written: str, shown: str
) -> None:
    assert relinked(f"See {written}.", here, base, KNOWN) == f"See {shown}."


def test_what_stands_in_a_block_of_code_is_no_link() -> None:
    block = "```\n[a](../README.md)\n```\n"
    assert relinked(block, "mappings.md", "docs", KNOWN) == block
