"""The way back: what a rule loses, and the mapping that undoes another.

A rule is walked operation by operation with what is known of the message: what its match asks for,
and then what the operations make of that. `set` over a value that the match names loses nothing,
and is undone by setting that value again; over any other it loses what was there. What a rule loses
has to be declared (`loses`). What undoes its operations, in the opposite order, is the rule of the
inverse.

Lossless means: for messages of the dialect that the mapping translates from. They have no fields
yet under the names that a rule gives, and no values that only a table gives; their times are
written in the `digits` and `offset` that the rule says.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from proxy.mapping.language import model
from proxy.mapping.language.fields import FieldPath
from proxy.mapping.language.matches import fields_of
from proxy.mapping.language.operation import meet, touched, walk
from proxy.mapping.language.symbolic import (
    FieldState,
    KnownValue,
    Loss,
    SymbolicState,
    constraints_of,
    residue_of,
)


class Irreversible(Exception):
    """No rule can be made that undoes this one. Its text says why."""


def losses(rule: model.Rule) -> list[Loss]:
    """List what a rule loses and does not declare."""
    declared = rule.loses
    return [
        loss
        for loss in _walk(rule).losses
        if not any(loss.path[: len(path)] == path for path in declared)
        and not (declared and not loss.path)
    ]


def invert(mapping: model.MappingFile, asked: model.Derivation) -> model.MappingFile:
    """Make the mapping that leads back.

    Rules that drop or split messages, and those that lose all that they do, have no counterpart.

    Raises:
        Irreversible: a rule cannot be undone.
    """
    rules = [
        _invert(rule)
        for rule in mapping.rules
        if not any(operation.ends() or operation.makes == "many" for operation in rule.do)
    ]
    if not any(rules):
        raise Irreversible("no rule has a way back")
    return model.MappingFile.model_validate(
        {
            "name": asked.derive,
            "description": f"Leads back from `{mapping.name}`.",
            "channel": mapping.channel,
            "direction": asked.direction or mapping.direction,
            "on_error": mapping.on_error,
            "inverse": mapping.name,
            "rules": [rule for rule in rules if rule],
        }
    )


def _invert(rule: model.Rule) -> dict[str, Any]:
    state = _walk(rule)
    if state.obstacle:
        raise Irreversible(f"the rule `{rule.name}` cannot be undone: {state.obstacle}")
    if not state.back:
        return {}
    asked: list[object] = [
        _ask(path, constraint)
        for path, constraint in state.constraints.items()
        if constraint is not FieldState.PRESENT or not _implied(path, state.constraints)
    ]
    asked += residue_of(rule.match)
    if not asked:
        raise Irreversible(f"nothing tells the messages of the rule `{rule.name}` from others")
    examples = [
        {"in": example.after, "out": example.before}
        for example in rule.examples
        if isinstance(example.after, dict)
    ]
    if not examples:
        raise Irreversible(f"the rule `{rule.name}` has no example with one message as `out`")
    return {
        "name": rule.name,
        "match": asked[0] if len(asked) == 1 else {"all": asked},
        "do": state.back[::-1],
        "examples": examples,
    }


def _implied(path: FieldPath, constraints: Mapping[FieldPath, FieldState | KnownValue]) -> bool:
    """Tell whether what is known of inner fields says that this object is there."""
    return any(
        len(other) > len(path)
        and other[: len(path)] == path
        and constraint is not FieldState.ABSENT
        for other, constraint in constraints.items()
    )


def _ask(path: FieldPath, constraint: FieldState | KnownValue) -> dict[str, Any]:
    if isinstance(constraint, KnownValue):
        return {"field": path, "equals": constraint.value}
    return {"field": path, "exists": constraint is FieldState.PRESENT}


def _walk(rule: model.Rule) -> SymbolicState:
    state = SymbolicState(constraints_of(rule.match))
    changed = touched(rule.do)
    for part in residue_of(rule.match):
        if meet(fields_of(part), changed):
            state.obstacle = "its match tests a field that the rule changes by more than `equals`"
    walk(rule.do, state)
    return state
