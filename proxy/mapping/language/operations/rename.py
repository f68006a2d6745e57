"""`rename`: give fields new keys, where they stand."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from proxy.mapping.engine.compiled import Transform, Unable
from proxy.mapping.json.objects import Object
from proxy.mapping.language.fields import FieldKey, FieldPath, Key, render
from proxy.mapping.language.operation import Operation
from proxy.mapping.language.places import Change, below, in_place
from proxy.mapping.language.symbolic import SymbolicState


class Rename(Operation):
    """Give fields new keys, in their place. Fails where the new key is taken."""

    rename: Annotated[dict[FieldKey, Key], Field(min_length=1)]

    def touches(self) -> list[FieldPath]:
        return [*self.rename, *((*path[:-1], key) for path, key in self.rename.items())]

    def transform(self) -> Transform:
        return in_place([_rename(path, key) for path, key in self.rename.items()])

    def walk(self, state: SymbolicState) -> None:
        for path, key in self.rename.items():
            target = (*path[:-1], key)
            state.back.append({"rename": {target: [path[-1]]}})
            state.moved(path, target)


def _rename(path: FieldPath, new: str) -> Change:
    old = path[-1]

    def change(parent: Object) -> bool:
        if old not in parent or old == new:
            return False
        if new in parent:
            raise Unable(
                f"rename: `{render(path)}` cannot become `{new}`, which is taken", "rename", path
            )
        members = [(new if key == old else key, value) for key, value in parent.items()]
        parent.clear()
        parent.update(members)
        return True

    return below(path, change)
