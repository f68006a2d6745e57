"""Groups that are repeated possessively match too much in Python 3.11 up to 3.11.4.

Debian 12 has 3.11.2. Where an alternative of such a group fails behind its beginning, what it took
of the text counts as matched all the same (https://github.com/python/cpython/issues/106052). One
character, or a class of them, may be repeated possessively, and so may a group whose alternatives
are one of those, or end the whole match where they fail.
"""

from __future__ import annotations

import re

from tests.support.checkout import ROOT

POSSESSIVE = re.compile(r"\)(?:[*+?]|\{[\d,]+\})\+(?![+\],])")
SAFE = (
    ("http/chunk_extensions.py", "_QUOTED: Final"),
    ("http/chunk_extensions.py", "_BEGUN: Final"),
    ("mapping/json/depth.py", "_STRING: Final"),
    ("mapping/language/patterns.py", r"\{([0-9]+)"),
    ("recording/placeholders.py", "(?P<key>"),
    ("recording/placeholders.py", "(?P<text>"),
)
"""Compared with greedy ones for all short texts, in 3.11.2."""


def test_groups_that_are_repeated_possessively_are_those_that_were_looked_at() -> None:
    found = [
        (str(path.relative_to(ROOT / "proxy")), line.strip())
        for path in sorted((ROOT / "proxy").rglob("*.py"))
        for line in path.read_text().splitlines()
        if POSSESSIVE.search(line)
    ]
    for (file, line), (safe, part) in zip(found, SAFE, strict=True):
        assert (file, part in line) == (safe, True), line
