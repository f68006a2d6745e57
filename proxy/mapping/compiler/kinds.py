"""Which kind a message is of, for the metrics: nothing is rewritten by it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from proxy.mapping.json.literals import spellings
from proxy.mapping.json.objects import open_object
from proxy.mapping.language import model

OTHER: Final = "other"
"""The label of every kind that a mapping does not list, so that no client makes up labels."""


def compile_kinds(kinds: model.Kinds) -> Callable[[bytes], str]:
    """Return what names the kind of a message; it is asked of those alone that pass unmapped."""
    names = {spelling: known for known in kinds.known for spelling in spellings(("text", known))}
    field = kinds.field

    def kind_of(message: bytes) -> str:
        members = open_object(message)
        value = None if members is None else members.get(field)
        return OTHER if value is None else names.get(bytes(value), OTHER)

    return kind_of
