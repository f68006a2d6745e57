"""One target under the fuzzer: started by `python -m tools.fuzz`, with libFuzzer's arguments."""

from __future__ import annotations

import sys

import atheris

with atheris.instrument_imports(include=["proxy"]):
    from tools.fuzz.targets import TARGETS

if __name__ == "__main__":
    target = TARGETS[sys.argv.pop(1)]
    atheris.Setup(sys.argv, target)
    atheris.Fuzz()
