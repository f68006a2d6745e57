"""What a rule can ask of a message, as types."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, Field, StrictBool, Tag

from proxy.mapping.language.fields import FieldPath, FieldReference, MappingSection, Scalar, by_key
from proxy.mapping.language.patterns import MAX_PATTERN, compile_pattern


class Equals(MappingSection):
    """The field is there and holds this value.

    Equal as in JSON Schema: types are kept apart (`true` is not 1, "1" is not 1), numbers are
    equal by their value however written (1, 1.0 and 10e-1 are), text by its characters however
    escaped. `null` is a value: a field that is not there does not equal it.
    """

    field: FieldReference
    equals: Scalar


class OneOf(MappingSection):
    """The field is there and holds one of these values."""

    field: FieldReference
    one_of: Annotated[tuple[Scalar, ...], Field(min_length=1)]


class Exists(MappingSection):
    """The field is there, `null` included; with `false`, it is not."""

    field: FieldReference
    exists: StrictBool


def _check_pattern(pattern: str) -> str:
    compile_pattern(pattern)
    return pattern


class Matches(MappingSection):
    """The field holds text in which this regular expression is found; `^` and `$` bind it.

    The syntax is that of Rust's `regex`: Perl's without look-around and back-references. A text of
    more than 4,096 characters matches nothing.
    """

    field: FieldReference
    matches: Annotated[str, Field(max_length=MAX_PATTERN), AfterValidator(_check_pattern)]


class All(MappingSection):
    """Each of these matches."""

    all: Annotated[tuple[Match, ...], Field(min_length=1)]


class AnyOf(MappingSection):
    """At least one of these matches."""

    any: Annotated[tuple[Match, ...], Field(min_length=1)]


class Not(MappingSection):
    """This does not match."""

    inner: Match = Field(alias="not")


Match = Annotated[
    Annotated[Equals, Tag("by equals")]
    | Annotated[OneOf, Tag("by one_of")]
    | Annotated[Exists, Tag("by exists")]
    | Annotated[Matches, Tag("by matches")]
    | Annotated[All, Tag("by all")]
    | Annotated[AnyOf, Tag("by any")]
    | Annotated[Not, Tag("by not")],
    by_key("equals", "one_of", "exists", "matches", "all", "any", "not"),
]

# They were declared before `Match` was, and pydantic leaves their fields open until then.
All.model_rebuild()
AnyOf.model_rebuild()
Not.model_rebuild()


def fields_of(match: object) -> set[FieldPath]:
    """List the fields that a match looks at.

    Raises:
        TypeError: it is not a match.
    """
    match match:
        case All(all=parts) | AnyOf(any=parts):
            return set[FieldPath]().union(*map(fields_of, parts))
        case Not(inner=inner):
            return fields_of(inner)
        case Equals(field=path) | OneOf(field=path) | Exists(field=path) | Matches(field=path):
            return {path}
    raise TypeError(f"{type(match).__name__} is not a match")
