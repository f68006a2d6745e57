"""`drop`: send nothing."""

from __future__ import annotations

from typing import Literal

from proxy.mapping.engine.compiled import Transform
from proxy.mapping.language.fields import FieldPath
from proxy.mapping.language.operation import Operation
from proxy.mapping.language.symbolic import SymbolicState


class Drop(Operation):
    """Send nothing. Comes last, unless it has a condition."""

    makes = "none"

    drop: Literal[True]

    def touches(self) -> tuple[FieldPath, ...]:
        return ()

    def transform(self) -> Transform:
        return lambda _: ()

    def walk(self, state: SymbolicState) -> None:
        """Do nothing: a message that is not sent has no way back, and needs no declaration."""
