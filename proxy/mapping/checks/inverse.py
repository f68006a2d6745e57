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

from collections.abc import Iterable, Mapping
from functools import singledispatch
from typing import Any

from proxy.mapping.json.literals import encode, scalar
from proxy.mapping.language import actions, matches, model
from proxy.mapping.language.fields import FieldPath
from proxy.mapping.language.formats import TIMES, Format
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
    rules = [_invert(rule) for rule in mapping.rules if not _ends(rule.do)]
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


def _ends(do: Iterable[object]) -> bool:
    return any(
        isinstance(each, actions.Split) or (isinstance(each, actions.Drop) and each.when is None)
        for each in do
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
    touched = _touched(rule.do)
    for part in residue_of(rule.match):
        if _meet(matches.fields_of(part), touched):
            state.obstacle = "its match asks more of a field that it changes than `equals`"
    _steps(state, rule.do)
    return state


def _steps(state: SymbolicState, do: Iterable[actions.Action]) -> None:
    do = tuple(do)
    touched = _touched(do)
    for operation in do:
        before = len(state.back)
        _step(operation, state)
        if operation.when is None:
            continue
        if _meet(matches.fields_of(operation.when), touched):
            state.obstacle = "the condition of an operation asks for a field that the rule changes"
        for undo in state.back[before:]:
            undo["when"] = operation.when
        for path in _touched([operation]):
            state.forget(path)


def _give(state: SymbolicState, operation: str, path: FieldPath, value: object) -> None:
    """Walk what `set` or `default` does to one field."""
    constraint, vacant = state.constraints.get(path), state.vacant(path)
    if operation == "default" and constraint not in (None, FieldState.ABSENT):
        return
    if vacant is not None:
        state.back.append({"remove": [vacant]})
    elif isinstance(constraint, KnownValue):
        state.back.append({"set": {path: constraint.value}})
    else:
        state.lose(operation, path)
    if operation == "set" or vacant is not None:
        state.learn(path, value)
    else:
        state.forget(path)


@singledispatch
def _step(operation: object, _: SymbolicState) -> None:
    """Walk one operation."""
    raise TypeError(f"{type(operation).__name__} is not an operation")


@_step.register
def _(operation: actions.Set, state: SymbolicState) -> None:
    for path, value in operation.set.items():
        _give(state, "set", path, value)


@_step.register
def _(operation: actions.Default, state: SymbolicState) -> None:
    for path, value in operation.default.items():
        _give(state, "default", path, value)


@_step.register
def _(operation: actions.Rename, state: SymbolicState) -> None:
    for path, key in operation.rename.items():
        target = (*path[:-1], key)
        state.back.append({"rename": {target: [path[-1]]}})
        state.moved(path, target)


@_step.register
def _(operation: actions.Move, state: SymbolicState) -> None:
    for source, target in operation.move.items():
        state.back.append({"move": {target: source}})
        state.moved(source, target)


@_step.register
def _(operation: actions.Copy, state: SymbolicState) -> None:
    for target in operation.copy_.values():
        # Removing the copy would leave an object that was made for it.
        if len(target) > 1 and state.constraints.get(target[:-1]) is not FieldState.PRESENT:
            state.lose("copy", target[:-1])
        state.back.append({"remove": [target]})
        state.forget(target)


@_step.register
def _(operation: actions.Remove, state: SymbolicState) -> None:
    for path in operation.remove:
        constraint = state.constraints.get(path)
        if isinstance(constraint, KnownValue):
            state.back.append({"set": {path: constraint.value}})
        elif state.vacant(path) is None:
            state.lose("remove", path)
        state.forget(path)


@_step.register
def _(operation: actions.KeepOnly, state: SymbolicState) -> None:
    state.losses.append(Loss("keep_only", ()))
    for path in list(state.constraints):
        if not any(path[: len(keep)] == keep for keep in operation.keep_only):
            del state.constraints[path]


@_step.register
def _(operation: actions.Wrap, state: SymbolicState) -> None:
    into, keys = operation.wrap.into, operation.wrap.fields
    state.back.append({"unwrap": {"field": into, "fields": [[key] for key in keys]}})
    for key in keys:
        state.moved((*into[:-1], key), (*into, key))


@_step.register
def _(operation: actions.Unwrap, state: SymbolicState) -> None:
    path, keys = operation.unwrap.field, operation.unwrap.fields
    if not keys:
        state.obstacle = "`unwrap` has to list its `fields`"
    state.back.append({"wrap": {"into": path, "fields": [[key] for key in keys]}})
    for key in keys:
        state.moved((*path, key), (*path[:-1], key))
    state.forget(path)


@_step.register
def _(operation: actions.Convert, state: SymbolicState) -> None:
    for path, asked in operation.convert.items():
        spelled = asked.from_ is Format.ISO_8601 and None in (asked.digits, asked.offset)
        if asked.cut or spelled or asked.from_ is asked.to:
            state.lose("convert", path)
        back: dict[str, object] = {"from": asked.to, "to": asked.from_}
        if asked.from_ in TIMES:
            back |= {"digits": asked.digits, "offset": asked.offset}
        state.back.append({"convert": {path: back}})
        state.weaken(path)


@_step.register
def _(operation: actions.Translate, state: SymbolicState) -> None:
    asked = operation.translate
    given = {scalar(encode(after)) for _, after in asked.table}
    if asked.has_default or len(given) < len(asked.table):
        state.lose("translate", asked.field)
    else:
        table = [(after, before) for before, after in asked.table]
        state.back.append(
            {"translate": {"field": asked.field, "table": table, "otherwise": asked.otherwise}}
        )
    state.weaken(asked.field)


@_step.register
def _(operation: actions.ForEach, state: SymbolicState) -> None:
    asked = operation.for_each
    inner = SymbolicState({})
    _steps(inner, asked.do)
    for loss in inner.losses:
        state.lose(loss.operation, (*asked.field, *loss.path))
    if any(isinstance(each, actions.Drop) for each in asked.do):
        state.lose("drop", asked.field)
        state.obstacle = "elements that are dropped do not come back"
    state.obstacle = state.obstacle or inner.obstacle
    if inner.back:
        state.back.append({"for_each": {"field": asked.field, "do": inner.back[::-1]}})
    state.weaken(asked.field)


@_step.register
def _(operation: actions.Split, state: SymbolicState) -> None:
    path = operation.split.field
    state.lose("split", path)
    state.lose("split", (*path[:-1], operation.split.into or path[-1]))
    state.obstacle = "`split` makes several messages of one"


@_step.register
def _(operation: actions.Drop, state: SymbolicState) -> None:
    """A declaration of its own: a message that is not sent has no way back."""


def _touched(do: Iterable[actions.Action]) -> set[FieldPath]:
    return {path for operation in do for path in operation.touches()}


def _meet(some: Iterable[FieldPath], others: Iterable[FieldPath]) -> bool:
    """Tell whether any of the fields are the same, or one is inside another."""
    return any(
        one[: len(other)] == other or other[: len(one)] == one for one in some for other in others
    )
