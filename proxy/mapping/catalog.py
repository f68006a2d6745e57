"""All mappings of a configuration, checked against each other and bound to the cohorts."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import pydantic

from proxy.documents import Document, Path, problems_from
from proxy.errors import ConfigError, Problem
from proxy.mapping import analysis, model
from proxy.mapping.compiler import compile_mapping
from proxy.mapping.engine import Link, Program
from proxy.mapping.examples import check_example, check_round_trip
from proxy.values import Direction


@dataclass(frozen=True, slots=True)
class CohortBinding:
    """The mappings of one cohort on the WebSocket channel.

    Attributes:
        to_client: names of mappings, first to last; the output of one is the input of the next.
        to_server: the same, the other way.
        document: the file that says so, if there is one, for problems to point to.
        path: where in that file; the names stand below it at `to_client[0]` and so on.
    """

    to_client: tuple[str, ...] = ()
    to_server: tuple[str, ...] = ()
    document: Document | None = field(default=None, compare=False, repr=False)
    path: Path = field(default=(), compare=False, repr=False)

    def problem(self, direction: Direction, index: int, cohort: str, message: str) -> Problem:
        """Make a problem that points to one of the names."""
        if self.document is None:
            return Problem("", 0, 0, f"{cohort}.{direction}[{index}]", message)
        return self.document.problem((*self.path, direction.value, index), message)


@dataclass(frozen=True, slots=True)
class Programs:
    """What is done to one client's messages; None where nothing is."""

    to_client: Program | None = None
    to_server: Program | None = None


NO_PROGRAMS = Programs()


@dataclass(frozen=True, slots=True)
class Catalog:
    """The compiled mappings.

    Attributes:
        names: of all mappings, in the order of the files.
        programs: of each cohort that is bound.
    """

    names: tuple[str, ...]
    programs: Mapping[str, Programs]

    def for_cohort(self, name: str | None) -> Programs:
        """Give a cohort's programs; none for no cohort, and for one that is not bound."""
        return NO_PROGRAMS if name is None else self.programs.get(name, NO_PROGRAMS)


@dataclass(frozen=True, slots=True)
class _Entry:
    document: Document
    file: model.MappingFile
    link: Link


def build(documents: Sequence[Document], bindings: Mapping[str, CohortBinding]) -> Catalog:
    """Compile mapping files and bind them to cohorts.

    Args:
        documents: the parsed files, one mapping each.
        bindings: by the cohort's name.

    Raises:
        ConfigError: with everything that is wrong in any of the files and bindings.
    """
    problems: list[Problem] = []
    entries: dict[str, _Entry] = {}
    # A mapping that could not be read is there all the same: to call it unknown would mislead.
    unread: set[str] = set()
    for document in documents:
        try:
            file = model.MappingFile.model_validate(document.data)
        except pydantic.ValidationError as error:
            problems += problems_from(document, error, model.MappingFile)
            if isinstance(document.data, dict):
                unread.add(str(document.data.get("name")))
            continue
        if file.name in entries:
            first = entries[file.name].document.file
            message = f"the name `{file.name}` is taken by {first}"
            problems.append(document.problem(("name",), message))
            continue
        entries[file.name] = _Entry(document, file, compile_mapping(file))

    for entry in entries.values():
        problems += _problems_of_rules(entry)
        problems += _problems_of_inverse(entry, entries, unread)
    for cohort, binding in bindings.items():
        problems += _problems_of_binding(cohort, binding, entries, unread)
    if problems:
        raise ConfigError(problems)

    programs: dict[tuple[str, ...], Program] = {}

    def program(names: tuple[str, ...]) -> Program | None:
        if names and names not in programs:
            programs[names] = Program([entries[name].link for name in names])
        return programs.get(names)

    bound = {
        cohort: Programs(program(binding.to_client), program(binding.to_server))
        for cohort, binding in bindings.items()
    }
    return Catalog(tuple(entries), bound)


def _problems_of_rules(entry: _Entry) -> Iterator[Problem]:
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
                f"earlier rules take all it wants: {listed}" if takers else "it contradicts itself"
            )
            message = f"the rule can never match: {reason}"
            yield entry.document.problem(("rules", index, "match"), message)
            continue
        for position, example in enumerate(rule.examples):
            wrong = check_example(entry.link, rule, example)
            if wrong is not None:
                path = ("rules", index, "examples", position)
                yield entry.document.problem(path, f"the example fails: {wrong}")


def _problems_of_inverse(
    entry: _Entry, entries: Mapping[str, _Entry], unread: set[str]
) -> Iterator[Problem]:
    name = entry.file.inverse
    if name is None or name in unread:
        return
    inverse = entries.get(name)
    if inverse is None:
        yield entry.document.problem(("inverse",), f"there is no mapping `{name}`")
        return
    if inverse.file.inverse != entry.file.name:
        message = f"`{name}` does not name `{entry.file.name}` as its inverse"
        yield entry.document.problem(("inverse",), message)
    for index, rule in enumerate(entry.file.rules):
        for position, example in enumerate(rule.examples):
            wrong = check_round_trip(entry.link, inverse.link, rule, example)
            if wrong is not None:
                path = ("rules", index, "examples", position)
                message = f"the way back through `{name}` differs: {wrong}"
                yield entry.document.problem(path, f"{message} (what is lost goes into `loses`)")


def _problems_of_binding(
    cohort: str, binding: CohortBinding, entries: Mapping[str, _Entry], unread: set[str]
) -> Iterator[Problem]:
    chains = {Direction.TO_CLIENT: binding.to_client, Direction.TO_SERVER: binding.to_server}
    for direction, names in chains.items():
        for index, name in enumerate(names):
            if name in unread:
                continue
            entry = entries.get(name)
            if entry is None:
                known = ", ".join(entries) or "none"
                message = f"there is no mapping `{name}`; there are: {known}"
                yield binding.problem(direction, index, cohort, message)
            elif entry.file.direction is not direction:
                message = f"`{name}` is a mapping {entry.file.direction}, not {direction}"
                yield binding.problem(direction, index, cohort, message)
