"""All mappings of a configuration, checked against each other and bound to the cohorts."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Final

import pydantic

from proxy.configuration.document import Document, Path, problems_from, render_path
from proxy.errors import ConfigError, Diagnostic
from proxy.http.routing import Routes, check_pattern
from proxy.mapping.checks.checks import Entry, problems_of_inverse, problems_of_rules
from proxy.mapping.checks.inverse import Irreversible, invert
from proxy.mapping.compiler.compiler import compile_mapping
from proxy.mapping.engine.compiled import CompiledMapping
from proxy.mapping.engine.program import Program
from proxy.mapping.language import model
from proxy.mapping.programs import NO_PROGRAMS, Programs, RoutePrograms
from proxy.types import MAX_DEPTH, Channel, Direction

__all__ = [
    "NO_PROGRAMS",
    "Catalog",
    "CohortBinding",
    "Programs",
    "RouteBinding",
    "RoutePrograms",
    "build",
]


@dataclass(frozen=True, slots=True)
class RouteBinding:
    """The mappings of the JSON bodies of one route.

    Attributes:
        path: a pattern of the path: `{}` is one segment, `/**` at the end any rest.
        methods: such as `GET`; empty for all.
        to_server: names of mappings for request bodies, first to last.
        to_client: the same for response bodies.
    """

    path: str
    methods: tuple[str, ...] = ()
    to_server: tuple[str, ...] = ()
    to_client: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class CohortBinding:
    """The mappings of one cohort.

    Attributes:
        to_client: names of mappings for WebSocket messages, first to last; the output of one is the
            input of the next.
        to_server: the same, the other way.
        http: the routes whose bodies are mapped; the first that fits a request counts.
        document: the file that says so, if there is one, for problems to point to.
        path: where in that file; the names stand below it at `to_client[0]` and so on.
        http_path: where in that file the routes stand.
    """

    to_client: tuple[str, ...] = ()
    to_server: tuple[str, ...] = ()
    http: tuple[RouteBinding, ...] = ()
    document: Document | None = field(default=None, compare=False, repr=False)
    path: Path = field(default=(), compare=False, repr=False)
    http_path: Path = field(default=(), compare=False, repr=False)

    def problem(self, cohort: str, chain: Chain, index: int | None, message: str) -> Diagnostic:
        """Make a problem that points to a name in a chain, or to the route that the chain is of."""
        if chain.route is None:
            place: Path = self.path
            short: Path = (cohort,)
        else:
            place = (*self.http_path, chain.route)
            short = (cohort, "http", chain.route)
        below: Path = ("path",) if index is None else (chain.direction.value, index)
        if self.document is None:
            return Diagnostic("", 0, 0, render_path((*short, *below)), message)
        return self.document.problem((*place, *below), message)


@dataclass(frozen=True, slots=True)
class Chain:
    """The mappings that are bound in one place.

    Attributes:
        direction: that their messages go.
        names: of the mappings, first to last.
        route: the position of the HTTP route; None for WebSocket messages.
    """

    direction: Direction
    names: tuple[str, ...]
    route: int | None = None


@dataclass(frozen=True, slots=True)
class Catalog:
    """The compiled mappings.

    Attributes:
        names: of all mappings, in the order of the files; a derived inverse follows its mapping.
        programs: of each cohort that is bound.
        mappings: each mapping for itself, by its name.
        bindings: what each cohort names.
        inverses: of each mapping that has one, its name.
        files: what the file of each says; of a derived inverse, what was made for it.
        derived_from: of each derived inverse, the name of the mapping it was derived from.
    """

    names: tuple[str, ...]
    programs: Mapping[str, Programs]
    mappings: Mapping[str, Program] = field(default_factory=dict, compare=False, repr=False)
    bindings: Mapping[str, CohortBinding] = field(default_factory=dict, compare=False, repr=False)
    inverses: Mapping[str, str] = field(default_factory=dict, compare=False, repr=False)
    files: Mapping[str, model.MappingFile] = field(default_factory=dict, compare=False, repr=False)
    derived_from: Mapping[str, str] = field(default_factory=dict, compare=False, repr=False)
    _composer: Composer | None = field(default=None, compare=False, repr=False)

    def for_cohort(self, name: str | None) -> Programs:
        """Give a cohort's programs; none for no cohort, and for one that is not bound."""
        return NO_PROGRAMS if name is None else self.programs.get(name, NO_PROGRAMS)

    def without(self, cohort: str, left_out: frozenset[str]) -> Programs:
        """Give what is left of a cohort's programs when some mappings are the identity.

        Args:
            cohort: which is bound.
            left_out: names of mappings.
        """
        if not left_out:
            return self.for_cohort(cohort)
        assert self._composer is not None
        return self._composer.programs(self.bindings[cohort], left_out)


def build(
    documents: Sequence[Document],
    bindings: Mapping[str, CohortBinding],
    deepest: int = MAX_DEPTH,
    directory: str = "",
) -> Catalog:
    """Compile mapping files and bind them to cohorts.

    Args:
        documents: the parsed files, one mapping each.
        bindings: by the cohort's name.
        deepest: how many objects and arrays of a message may stand inside each other.
        directory: where the files are, for problems; empty where that is nowhere.

    Raises:
        ConfigError: with everything that is wrong in any of the files and bindings.
    """
    problems: list[Diagnostic] = []
    # A mapping that could not be read is there all the same: to call it unknown would mislead.
    entries, unread = _read(documents, problems)
    for entry in entries.values():
        if entry.derived_from is None:
            problems += problems_of_rules(entry)
        problems += problems_of_inverse(entry, entries, unread)
    for cohort, binding in bindings.items():
        problems += _problems_of_binding(cohort, binding, entries, unread, directory)
    if problems:
        raise ConfigError(problems)

    composer = Composer({name: entry.compiled for name, entry in entries.items()}, deepest)
    return Catalog(
        names=tuple(entries),
        programs={
            cohort: composer.programs(binding, frozenset()) for cohort, binding in bindings.items()
        },
        mappings={name: composer.chain((name,)) for name in entries},
        bindings=bindings,
        inverses=_inverses(entries.values()),
        files={name: entry.file for name, entry in entries.items()},
        derived_from={
            name: entry.derived_from for name, entry in entries.items() if entry.derived_from
        },
        _composer=composer,
    )


def _inverses(entries: Iterable[Entry]) -> dict[str, str]:
    pairs: dict[str, str] = {}
    for entry in entries:
        inverse = entry.file.inverse
        if inverse is not None:
            other = inverse.derive if isinstance(inverse, model.Derivation) else inverse
            pairs.setdefault(entry.file.name, other)
            pairs.setdefault(other, entry.file.name)
    return pairs


class Composer:
    """Makes programs of mappings that are compiled; each chain once, as long as it is remembered.

    While a switch is turned, some chains stand with a mapping left out. There can be as many of
    them as there are sets of mappings, so that only the newest `MOST_CHAINS` are remembered.
    """

    MOST_CHAINS: Final = 512

    def __init__(self, compiled: Mapping[str, CompiledMapping], deepest: int) -> None:
        self._compiled = compiled
        self._deepest = deepest
        self.chain = lru_cache(maxsize=self.MOST_CHAINS)(self._chain)

    def programs(self, binding: CohortBinding, left_out: frozenset[str]) -> Programs:
        """Compose what a cohort names, without some of the mappings."""

        def program(names: tuple[str, ...]) -> Program | None:
            applied = tuple([name for name in names if name not in left_out])
            return self.chain(applied) if applied else None

        routes = [
            RoutePrograms(
                route.path,
                frozenset(method.upper() for method in route.methods),
                program(route.to_server),
                program(route.to_client),
            )
            for route in binding.http
        ]
        return Programs(
            program(binding.to_client),
            program(binding.to_server),
            Routes(routes) if routes else None,
        )

    def _chain(self, names: tuple[str, ...]) -> Program:
        return Program([self._compiled[name] for name in names], self._deepest)


def _read(
    documents: Sequence[Document], problems: list[Diagnostic]
) -> tuple[dict[str, Entry], set[str]]:
    entries: dict[str, Entry] = {}
    unread: set[str] = set()

    def add(entry: Entry, *place: str) -> bool:
        name = entry.file.name
        if name not in entries:
            entries[name] = entry
            return True
        first = entries[name].document.file
        problems.append(entry.document.problem(place, f"the name `{name}` is taken by {first}"))
        return False

    for document in documents:
        try:
            file = model.MappingFile.model_validate(document.data)
        except pydantic.ValidationError as error:
            problems += problems_from(document, error, model.MappingFile)
            if isinstance(document.data, dict):
                unread.add(str(document.data.get("name")))
            continue
        add(Entry(document, file, compile_mapping(file)), "name")
        if not isinstance(file.inverse, model.Derivation):
            continue
        try:
            way_back = invert(file, file.inverse)
        except Irreversible as reason:
            problems.append(document.problem(("inverse",), f"it cannot be derived: {reason}"))
            unread.add(file.inverse.derive)
            continue
        compiled = compile_mapping(way_back)
        if not add(
            Entry(document, way_back, compiled, derived_from=file.name), "inverse", "derive"
        ):
            unread.add(file.inverse.derive)
    return entries, unread


def _chains(binding: CohortBinding) -> Iterator[Chain]:
    yield Chain(Direction.TO_CLIENT, binding.to_client)
    yield Chain(Direction.TO_SERVER, binding.to_server)
    for index, route in enumerate(binding.http):
        yield Chain(Direction.TO_SERVER, route.to_server, index)
        yield Chain(Direction.TO_CLIENT, route.to_client, index)


def _problems_of_binding(
    cohort: str,
    binding: CohortBinding,
    entries: Mapping[str, Entry],
    unread: set[str],
    directory: str,
) -> Iterator[Diagnostic]:
    for index, route in enumerate(binding.http):
        try:
            check_pattern(route.path)
        except ValueError as error:
            chain = Chain(Direction.TO_CLIENT, (), index)
            yield binding.problem(cohort, chain, None, str(error))
    for chain in _chains(binding):
        channel = Channel.WEBSOCKET if chain.route is None else Channel.HTTP
        for index, name in enumerate(chain.names):
            if name in unread:
                continue
            entry = entries.get(name)
            if entry is None:
                known = ", ".join(entries) or "none"
                place = f" in {directory}" if directory else ""
                message = f"there is no mapping `{name}`{place}; there are: {known}"
                yield binding.problem(cohort, chain, index, message)
            elif entry.file.direction is not chain.direction:
                message = f"`{name}` is a mapping {entry.file.direction}, not {chain.direction}"
                yield binding.problem(cohort, chain, index, message)
            elif entry.file.channel is not channel:
                message = f"`{name}` is a mapping for {entry.file.channel}, not {channel}"
                yield binding.problem(cohort, chain, index, message)
