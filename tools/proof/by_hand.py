"""The environment that a command has which is run by hand, whatever make runs this."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

_OF_MAKE: Final = {"MAKEFLAGS", "MAKELEVEL", "MAKEOVERRIDES", "MFLAGS", "ARGS", "PYTHON"}


def by_hand(environment: Mapping[str, str]) -> dict[str, str]:
    """Leave out the variables by which `make ARGS=... PYTHON=...` hands these down."""
    return {name: value for name, value in environment.items() if name not in _OF_MAKE}
