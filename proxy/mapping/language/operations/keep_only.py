"""`keep_only`: take all fields out but some."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated

from pydantic import Field

from proxy.mapping.engine.compiled import Transform
from proxy.mapping.json.objects import Object
from proxy.mapping.language.fields import FieldPath, FieldReference
from proxy.mapping.language.operation import Operation
from proxy.mapping.language.places import Change, in_place, inside
from proxy.mapping.language.symbolic import Loss, SymbolicState


class KeepOnly(Operation):
    """Take out all fields but these. `meta.id` keeps nothing else of `meta`."""

    keep_only: Annotated[tuple[FieldReference, ...], Field(min_length=1)]

    def transform(self) -> Transform:
        return in_place([_keep_only(self.keep_only)])

    def walk(self, state: SymbolicState) -> None:
        state.losses.append(Loss("keep_only", ()))
        for path in list(state.constraints):
            if not any(path[: len(keep)] == keep for keep in self.keep_only):
                del state.constraints[path]


def _keep_only(paths: Iterable[FieldPath]) -> Change:
    """Keep whole fields, and of those only named in part, the parts."""
    inner: dict[str, list[FieldPath]] = {}
    for first, *rest in paths:
        inner.setdefault(first, []).append(tuple(rest))
    parts = {
        key: inside((key,), _keep_only(deeper), create="")
        for key, deeper in inner.items()
        if all(deeper)
    }

    def change(parent: Object) -> bool:
        unwanted = [key for key in parent if key not in inner]
        for key in unwanted:
            del parent[key]
        changed = bool(unwanted)
        for part in parts.values():
            changed |= part(parent)
        return changed

    return change
