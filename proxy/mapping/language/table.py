"""The operations that there are, and the type of any of them."""

from __future__ import annotations

from functools import reduce
from operator import or_
from typing import TYPE_CHECKING, Annotated, Final

from pydantic import Tag

from proxy.mapping.language.fields import by_key
from proxy.mapping.language.operation import Operation
from proxy.mapping.language.operations.convert import Convert
from proxy.mapping.language.operations.copy import Copy
from proxy.mapping.language.operations.drop import Drop
from proxy.mapping.language.operations.for_each import Each, ForEach
from proxy.mapping.language.operations.keep_only import KeepOnly
from proxy.mapping.language.operations.move import Move
from proxy.mapping.language.operations.remove import Remove
from proxy.mapping.language.operations.rename import Rename
from proxy.mapping.language.operations.split import Split
from proxy.mapping.language.operations.translate import Translate
from proxy.mapping.language.operations.unwrap import Unwrap
from proxy.mapping.language.operations.values import Default, Set
from proxy.mapping.language.operations.wrap import Wrap

OPERATIONS: Final[tuple[type[Operation], ...]] = (
    Set,
    Default,
    Rename,
    Move,
    Copy,
    Remove,
    KeepOnly,
    Convert,
    Translate,
    Wrap,
    Unwrap,
    ForEach,
    Split,
    Drop,
)
"""In the order in which errors and the schema list them."""

if TYPE_CHECKING:
    AnyOperation = Operation
else:
    AnyOperation = Annotated[
        reduce(or_, (Annotated[kind, Tag(f"by {kind.key()}")] for kind in OPERATIONS)),
        by_key(*(kind.key() for kind in OPERATIONS)),
    ]

# They hold operations themselves, and were declared before `AnyOperation` was.
Each.model_rebuild()
ForEach.model_rebuild()
