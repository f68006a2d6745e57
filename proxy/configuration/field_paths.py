"""Naming a field of a JSON text: one notation, in mappings and in the configuration."""

from __future__ import annotations

import re

from proxy.configuration.document import as_written
from proxy.types import FieldPath


def render(path: FieldPath) -> str:
    """Write a field as messages and errors name it: its keys, joined by dots."""
    return ".".join(path)


def read_path(written: object) -> FieldPath:
    r"""Read a field: `meta.id`, or the list of its keys where a key itself holds a dot.

    In the dotted form, `\.` is a dot that belongs to the key.

    Raises:
        ValueError: it names no field.
    """
    written = as_written(written)
    if isinstance(written, list | tuple) and written:
        keys = [as_written(key) for key in written]
        if all(isinstance(key, str) for key in keys):
            return tuple(str(key) for key in keys)
    elif isinstance(written, str):
        parts = re.split(r"(?<!\\)\.", written)
        if all(parts):
            return tuple(part.replace("\\.", ".") for part in parts)
    raise ValueError("expected a field: its key, keys joined by dots, or a list of keys")
