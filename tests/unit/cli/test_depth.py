"""A process reads what `limits.json_depth` allows without looking at each token."""

from __future__ import annotations

import subprocess
import sys

from tests.support.checkout import ROOT

PROGRAM = """
from proxy.cli.main import _allow_depth
from proxy.mapping.json import objects
from proxy.types import MAX_DEPTH

def called(depth, work):
    return work() if depth == 0 else called(depth - 1, work)

_allow_depth()
objects.tolerant = None
text = b'{"a":NaN,"b":' + b"[" * (MAX_DEPTH - 1) + b"]" * (MAX_DEPTH - 1) + b"}"
assert called(200, lambda: objects.open_object(text)) is not None
"""


def test_what_the_depth_allows_is_read_from_within_two_hundred_calls() -> None:
    command = [sys.executable, "-c", PROGRAM]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
