"""Which version of Segue this is."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version


def segue_version() -> str:
    """Return the version of the installed distribution."""
    try:
        return version("segue-proxy")
    except PackageNotFoundError:
        return "unknown"
