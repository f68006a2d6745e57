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

from proxy.mapping.checks.knowledge import Loss, State, Value, Walk, facts_of, residue_of
from proxy.mapping.json.literals import encode, scalar
from proxy.mapping.language import actions, matches, model
from proxy.mapping.language.fields import FieldPath
from proxy.mapping.language.formats import TIMES, Format


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
    walk = _walk(rule)
    if walk.obstacle:
        raise Irreversible(f"the rule `{rule.name}` cannot be undone: {walk.obstacle}")
    if not walk.back:
        return {}
    asked: list[object] = [
        _ask(path, fact)
        for path, fact in walk.facts.items()
        if fact is not State.PRESENT or not _implied(path, walk.facts)
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
        "do": walk.back[::-1],
        "examples": examples,
    }


def _implied(path: FieldPath, facts: Mapping[FieldPath, State | Value]) -> bool:
    """Tell whether what is known of inner fields says that this object is there."""
    return any(
        len(other) > len(path) and other[: len(path)] == path and fact is not State.ABSENT
        for other, fact in facts.items()
    )


def _ask(path: FieldPath, fact: State | Value) -> dict[str, Any]:
    if isinstance(fact, Value):
        return {"field": path, "equals": fact.value}
    return {"field": path, "exists": fact is State.PRESENT}


def _walk(rule: model.Rule) -> Walk:
    walk = Walk(facts_of(rule.match))
    touched = _touched(rule.do)
    for part in residue_of(rule.match):
        if _meet(matches.fields_of(part), touched):
            walk.obstacle = "its match asks more of a field that it changes than `equals`"
    _steps(walk, rule.do)
    return walk


def _steps(walk: Walk, do: Iterable[actions.Action]) -> None:
    do = tuple(do)
    touched = _touched(do)
    for operation in do:
        before = len(walk.back)
        _step(operation, walk)
        if operation.when is None:
            continue
        if _meet(matches.fields_of(operation.when), touched):
            walk.obstacle = "the condition of an operation asks for a field that the rule changes"
        for undo in walk.back[before:]:
            undo["when"] = operation.when
        for path in _touched([operation]):
            walk.forget(path)


def _give(walk: Walk, operation: str, path: FieldPath, value: object) -> None:
    """Walk what `set` or `default` does to one field."""
    fact, vacant = walk.facts.get(path), walk.vacant(path)
    if operation == "default" and fact not in (None, State.ABSENT):
        return
    if vacant is not None:
        walk.back.append({"remove": [vacant]})
    elif isinstance(fact, Value):
        walk.back.append({"set": {path: fact.value}})
    else:
        walk.lose(operation, path)
    if operation == "set" or vacant is not None:
        walk.learn(path, value)
    else:
        walk.forget(path)


@singledispatch
def _step(operation: object, _: Walk) -> None:
    """Walk one operation."""
    raise TypeError(f"{type(operation).__name__} is not an operation")


@_step.register
def _(operation: actions.Set, walk: Walk) -> None:
    for path, value in operation.set.items():
        _give(walk, "set", path, value)


@_step.register
def _(operation: actions.Default, walk: Walk) -> None:
    for path, value in operation.default.items():
        _give(walk, "default", path, value)


@_step.register
def _(operation: actions.Rename, walk: Walk) -> None:
    for path, key in operation.rename.items():
        target = (*path[:-1], key)
        walk.back.append({"rename": {target: [path[-1]]}})
        walk.moved(path, target)


@_step.register
def _(operation: actions.Move, walk: Walk) -> None:
    for source, target in operation.move.items():
        walk.back.append({"move": {target: source}})
        walk.moved(source, target)


@_step.register
def _(operation: actions.Copy, walk: Walk) -> None:
    for target in operation.copy_.values():
        # Removing the copy would leave an object that was made for it.
        if len(target) > 1 and walk.facts.get(target[:-1]) is not State.PRESENT:
            walk.lose("copy", target[:-1])
        walk.back.append({"remove": [target]})
        walk.forget(target)


@_step.register
def _(operation: actions.Remove, walk: Walk) -> None:
    for path in operation.remove:
        fact = walk.facts.get(path)
        if isinstance(fact, Value):
            walk.back.append({"set": {path: fact.value}})
        elif walk.vacant(path) is None:
            walk.lose("remove", path)
        walk.forget(path)


@_step.register
def _(operation: actions.KeepOnly, walk: Walk) -> None:
    walk.losses.append(Loss("keep_only", ()))
    for path in list(walk.facts):
        if not any(path[: len(keep)] == keep for keep in operation.keep_only):
            del walk.facts[path]


@_step.register
def _(operation: actions.Wrap, walk: Walk) -> None:
    into, keys = operation.wrap.into, operation.wrap.fields
    walk.back.append({"unwrap": {"field": into, "fields": [[key] for key in keys]}})
    for key in keys:
        walk.moved((*into[:-1], key), (*into, key))


@_step.register
def _(operation: actions.Unwrap, walk: Walk) -> None:
    path, keys = operation.unwrap.field, operation.unwrap.fields
    if not keys:
        walk.obstacle = "`unwrap` has to list its `fields`"
    walk.back.append({"wrap": {"into": path, "fields": [[key] for key in keys]}})
    for key in keys:
        walk.moved((*path, key), (*path[:-1], key))
    walk.forget(path)


@_step.register
def _(operation: actions.Convert, walk: Walk) -> None:
    for path, asked in operation.convert.items():
        spelled = asked.from_ is Format.ISO_8601 and None in (asked.digits, asked.offset)
        if asked.cut or spelled or asked.from_ is asked.to:
            walk.lose("convert", path)
        back: dict[str, object] = {"from": asked.to, "to": asked.from_}
        if asked.from_ in TIMES:
            back |= {"digits": asked.digits, "offset": asked.offset}
        walk.back.append({"convert": {path: back}})
        walk.weaken(path)


@_step.register
def _(operation: actions.Translate, walk: Walk) -> None:
    asked = operation.translate
    given = {scalar(encode(after)) for _, after in asked.table}
    if asked.has_default or len(given) < len(asked.table):
        walk.lose("translate", asked.field)
    else:
        table = [(after, before) for before, after in asked.table]
        walk.back.append(
            {"translate": {"field": asked.field, "table": table, "otherwise": asked.otherwise}}
        )
    walk.weaken(asked.field)


@_step.register
def _(operation: actions.ForEach, walk: Walk) -> None:
    asked = operation.for_each
    inner = Walk({})
    _steps(inner, asked.do)
    for loss in inner.losses:
        walk.lose(loss.operation, (*asked.field, *loss.path))
    if any(isinstance(each, actions.Drop) for each in asked.do):
        walk.lose("drop", asked.field)
        walk.obstacle = "elements that are dropped do not come back"
    walk.obstacle = walk.obstacle or inner.obstacle
    if inner.back:
        walk.back.append({"for_each": {"field": asked.field, "do": inner.back[::-1]}})
    walk.weaken(asked.field)


@_step.register
def _(operation: actions.Split, walk: Walk) -> None:
    path = operation.split.field
    walk.lose("split", path)
    walk.lose("split", (*path[:-1], operation.split.into or path[-1]))
    walk.obstacle = "`split` makes several messages of one"


@_step.register
def _(operation: actions.Drop, walk: Walk) -> None:
    """A declaration of its own: a message that is not sent has no way back."""


def _touched(do: Iterable[actions.Action]) -> set[FieldPath]:
    return {path for operation in do for path in operation.touches()}


def _meet(some: Iterable[FieldPath], others: Iterable[FieldPath]) -> bool:
    """Tell whether any of the fields are the same, or one is inside another."""
    return any(
        one[: len(other)] == other or other[: len(one)] == one for one in some for other in others
    )
