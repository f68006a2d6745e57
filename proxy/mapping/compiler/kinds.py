"""Which kind a message is of, for the metrics: nothing is rewritten by it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from proxy.mapping.compiler.vocabulary import compared
from proxy.mapping.json.literals import spellings
from proxy.mapping.json.objects import open_object
from proxy.mapping.language import model
from proxy.rewriting import OTHER_KIND

_LONGEST: Final = 64
"""Characters of a kind that a rule names, as of those that are listed."""


def compile_kinds(kinds: model.Kinds) -> Callable[[bytes], str]:
    """Return what names the kind of a message; it is asked of those alone that pass unmapped."""
    return _namer(kinds.field, kinds.known)


def compile_received_kinds(
    kinds: model.Kinds, rules: Sequence[model.Rule]
) -> Callable[[bytes], str]:
    """Return what names the kind with which a message came, whether a rule maps it or not.

    It knows the kinds that the file lists, and those that its rules ask for.
    """
    asked = [
        value
        for rule in rules
        for path, values in compared(rule.match)
        if path == (kinds.field,)
        for value in values
        if isinstance(value, str) and len(value) <= _LONGEST
    ]
    return _namer(kinds.field, (*kinds.known, *asked))


def _namer(field: str, known: Sequence[str]) -> Callable[[bytes], str]:
    names = {spelling: each for each in known for spelling in spellings(("text", each))}

    def kind_of(message: bytes) -> str:
        members = open_object(message)
        value = None if members is None else members.get(field)
        return OTHER_KIND if value is None else names.get(bytes(value), OTHER_KIND)

    return kind_of
