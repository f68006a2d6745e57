"""What can be known about a match without a message.

A match is brought into alternatives, each a set of demands on fields. Demands are values, presence
and absence; what they cannot express (a negated comparison) is left out, and the alternative is
marked as wider than the match. That is enough to find the field that tells a mapping's rules apart,
and rules that can never match because earlier ones take all they want.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from math import prod
from typing import Final, Literal

from proxy.mapping.json.literals import encode, scalar
from proxy.mapping.language import matches
from proxy.mapping.language.fields import FieldPath

MAX_ALTERNATIVES: Final = 256
"""Matches with more alternatives than this count as undecided."""

MAX_CASES: Final = 4_096
"""Rules that want more combinations of values than this count as reachable."""

Demand = frozenset[Hashable] | Literal["present", "absent"]
"""What a field must be: one of these values, there, or not there."""


@dataclass(frozen=True, slots=True)
class Alternative:
    """One way to satisfy a match.

    Attributes:
        demands: what fields must be, all of it.
        exact: whether this is all that the match asks for.
    """

    demands: Mapping[FieldPath, Demand]
    exact: bool = True


PRESENCE: Final = ("present", "absent")

UNDECIDED: Final = (Alternative({}, exact=False),)


def alternatives(match: object, *, negated: bool = False) -> Sequence[Alternative]:
    """List the ways to satisfy a match; none where it contradicts itself.

    Together they let through every message that the match does, and no other where all are exact.
    """
    found: Sequence[Alternative] = UNDECIDED
    match match:
        case matches.Exists(field=path, exists=exists):
            found = (Alternative({path: "present" if exists != negated else "absent"}),)
        case matches.Equals(field=path, equals=value) if not negated:
            found = (Alternative({path: frozenset([scalar(encode(value))])}),)
        case matches.OneOf(field=path, one_of=values) if not negated:
            found = (Alternative({path: frozenset(scalar(encode(value)) for value in values)}),)
        case matches.Not(inner=inner):
            found = alternatives(inner, negated=not negated)
        case matches.All(all=parts) | matches.AnyOf(any=parts):
            ways = [alternatives(part, negated=negated) for part in parts]
            if isinstance(match, matches.All) != negated:
                found = _all_of(ways)
            else:
                found = [way for part in ways for way in part]
    return found if len(found) <= MAX_ALTERNATIVES else UNDECIDED


def _all_of(parts: Sequence[Sequence[Alternative]]) -> Sequence[Alternative]:
    if prod(map(len, parts)) > MAX_ALTERNATIVES:
        return UNDECIDED
    joined = (_join(combination) for combination in product(*parts))
    return [alternative for alternative in joined if alternative is not None]


def _join(parts: Sequence[Alternative]) -> Alternative | None:
    demands: dict[FieldPath, Demand] = {}
    for part in parts:
        for path, demand in part.demands.items():
            both = _both(demands.get(path), demand)
            if not both:
                return None
            demands[path] = both
    for path, demand in demands.items():
        # A field of an object can only be there if the object is, and is one.
        if demand != "absent" and any(
            demands.get(path[:length], "present") != "present" for length in range(1, len(path))
        ):
            return None
    return Alternative(demands, all(part.exact for part in parts))


def _both(one: Demand | None, other: Demand) -> Demand | None:
    """Join two demands on the same field; None or nothing where they contradict each other."""
    if one is None or one == other:
        return other
    if "absent" in (one, other):
        return None
    if isinstance(one, frozenset):
        return one & other if isinstance(other, frozenset) else one
    return other


def values_wanted(match: object, field: str) -> frozenset[Hashable] | None:
    """Tell which values of a top-level field a match can accept; None where that is not limited."""
    wanted: set[Hashable] = set()
    for alternative in alternatives(match):
        demand = alternative.demands.get((field,))
        if not isinstance(demand, frozenset):
            return None
        wanted |= demand
    return frozenset(wanted)


def is_value_test(match: object, field: str) -> bool:
    """Tell whether a match asks for a top-level field's value, one of those wanted, and no more."""
    return all(
        each.exact and set(each.demands) == {(field,)} and each.demands[field,] not in PRESENCE
        for each in alternatives(match)
    )


def covering(match: object, earlier: Sequence[object]) -> set[int] | None:
    """Find the earlier matches that together take all that a match wants.

    Returns:
        Their positions; none where the match contradicts itself; None where something is left for
        the match, or it cannot be decided.
    """
    takers: set[int] = set()
    taken = [
        (position, alternative.demands)
        for position, other in enumerate(earlier)
        for alternative in alternatives(other)
        if alternative.exact
    ]
    for alternative in alternatives(match):
        sizes = (len(one) for one in alternative.demands.values() if isinstance(one, frozenset))
        if prod(sizes) > MAX_CASES:
            return None
        for case in _cases(alternative.demands):
            taker = next((index for index, demands in taken if _meets(case, demands)), None)
            if taker is None:
                return None
            takers.add(taker)
    return takers


def _cases(demands: Mapping[FieldPath, Demand]) -> Iterator[dict[FieldPath, Demand]]:
    choices = [
        [frozenset([value]) for value in demand] if isinstance(demand, frozenset) else [demand]
        for demand in demands.values()
    ]
    for combination in product(*choices):
        yield dict(zip(demands, combination, strict=True))


def _meets(case: Mapping[FieldPath, Demand], demands: Mapping[FieldPath, Demand]) -> bool:
    return all(_implies(case, path, demand) for path, demand in demands.items())


def _implies(case: Mapping[FieldPath, Demand], path: FieldPath, demand: Demand) -> bool:
    """Tell whether every message of this case fulfils a demand."""
    known = case.get(path)
    if isinstance(demand, frozenset):
        return isinstance(known, frozenset) and known <= demand
    if demand == "present":
        return any(
            other[: len(path)] == path and state != "absent" for other, state in case.items()
        )
    return known == "absent" or any(
        case.get(path[:length], "present") != "present" for length in range(1, len(path))
    )
