"""What the old server needs and the proxy does not."""

from __future__ import annotations

from importlib.util import find_spec
from typing import Final

NEEDED: Final = {
    "django": "django",
    "rest_framework": "djangorestframework",
    "rest_framework_simplejwt": "djangorestframework-simplejwt",
    "corsheaders": "django-cors-headers",
    "channels": "channels",
    "daphne": "daphne",
}
"""Its modules, and the packages that they are in: the group `demo` of pyproject.toml."""


def missing() -> list[str]:
    """The packages that are not installed."""
    return [package for module, package in NEEDED.items() if find_spec(module) is None]
