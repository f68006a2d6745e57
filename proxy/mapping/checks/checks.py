"""What is wrong with mappings that can be read: their rules, examples and ways back."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from proxy.configuration.document import Document
from proxy.errors import Diagnostic
from proxy.mapping.checks import inverse
from proxy.mapping.checks.examples import check_example, check_round_trip
from proxy.mapping.compiler import analysis
from proxy.mapping.engine.compiled import CompiledMapping
from proxy.mapping.language import model


@dataclass(frozen=True, slots=True)
class Entry:
    """A mapping and where it is written.

    Attributes:
        document: the file; for a derived inverse, that of the mapping it was derived from.
        file: what it says.
        compiled: its closures.
        derived_from: the name of the mapping that it was derived from, if it was.
    """

    document: Document
    file: model.MappingFile
    compiled: CompiledMapping
    derived_from: str | None = None


def problems_of_rules(entry: Entry) -> Iterator[Diagnostic]:
    """Find names that are taken, rules that never match, and examples that fail."""
    rules = entry.file.rules
    names: dict[str, int] = {}
    for index, rule in enumerate(rules):
        if names.setdefault(rule.name, index) != index:
            message = f"the name `{rule.name}` is taken by rules[{names[rule.name]}]"
            yield entry.document.problem(("rules", index, "name"), message)
        takers = analysis.covering(rule.match, [earlier.match for earlier in rules[:index]])
        if takers is not None:
            listed = ", ".join(f"`{rules[taker].name}`" for taker in sorted(takers))
            reason = (
                f"earlier rules match all of its messages: {listed}"
                if takers
                else "it contradicts itself"
            )
            message = f"the rule can never match: {reason}"
            yield entry.document.problem(("rules", index, "match"), message)
            continue
        for position, example in enumerate(rule.examples):
            wrong = check_example(entry.compiled, rule, example)
            if wrong is not None:
                path = ("rules", index, "examples", position)
                yield entry.document.problem(path, f"the example fails: {wrong}")


def problems_of_inverse(
    entry: Entry, entries: Mapping[str, Entry], unread: set[str]
) -> Iterator[Diagnostic]:
    """Find losses that are not declared, and examples that do not come back."""
    if entry.file.inverse is None:
        return
    name = entry.file.inverse
    if isinstance(name, model.Derivation):
        name = name.derive
    if name in unread:
        return
    way_back = entries.get(name)
    if way_back is None:
        yield entry.document.problem(("inverse",), f"there is no mapping `{name}`")
        return
    if entry.derived_from is None and way_back.derived_from is None:
        yield from _problems_of_naming(entry, way_back)
    for index, rule in enumerate(entry.file.rules):
        # What a derived inverse loses was declared by the mapping that it was derived from.
        for loss in inverse.losses(rule) if entry.derived_from is None else ():
            message = f"{loss}, and `{name}` cannot restore it: name it in `loses`"
            yield entry.document.problem(("rules", index, "do"), message)
        for position, example in enumerate(rule.examples):
            wrong = check_round_trip(entry.compiled, way_back.compiled, rule, example)
            if wrong is not None:
                yield _lost(entry, name, index, position, wrong)


def _problems_of_naming(entry: Entry, way_back: Entry) -> Iterator[Diagnostic]:
    if way_back.file.inverse != entry.file.name:
        message = f"`{way_back.file.name}` does not name `{entry.file.name}` as its inverse"
        yield entry.document.problem(("inverse",), message)


def _lost(entry: Entry, name: str, index: int, position: int, wrong: str) -> Diagnostic:
    if entry.derived_from is None:
        path: tuple[str | int, ...] = ("rules", index, "examples", position)
        hint = " (what is lost goes into `loses`)"
    else:
        path, hint = ("inverse",), ""
    message = f"the way back through `{name}` differs: {wrong}{hint}"
    return entry.document.problem(path, message)
