"""`segue test`: every example of every rule, and the example files beside the mappings.

What a load of the mappings would find besides (a rule that can never match, a way back that
differs) is told too, so that a mapping that passes here also loads.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import pydantic

from proxy.cli.comparison import shown
from proxy.cli.configuration import Subparsers, add_config, mappings_directory, read_text, reading
from proxy.cli.parser import add_json
from proxy.cli.screen import Screen
from proxy.cli.styled import Line, Span, Style
from proxy.cli.terminal import counted
from proxy.configuration.document import Document, parse, problems_from, render_path
from proxy.control.explain import texts
from proxy.control.loading import mapping_files
from proxy.errors import ConfigError, Diagnostic
from proxy.mapping.catalog import build
from proxy.mapping.checks.comparison import Difference, differences
from proxy.mapping.checks.examples import check_example_file
from proxy.mapping.compiler.compiler import compile_mapping
from proxy.mapping.engine.explanation import MessageOutcome
from proxy.mapping.engine.program import Program
from proxy.mapping.json.literals import encode
from proxy.mapping.language import model

EXAMPLES: Final = ".examples.jsonl"
"""What the name of an example file has in place of its mapping's `.yaml`."""

_FAIL: Final = Span("FAIL", Style.BAD)


@dataclass(frozen=True, slots=True)
class Failure:
    """An example that does not hold.

    Attributes:
        where: `file:line` of the example.
        path: as problems have it.
        reason: what is wrong, where it is not the fields.
        differing: the fields.
    """

    where: str
    path: str
    reason: str = ""
    differing: tuple[Difference, ...] = ()


@dataclass(slots=True)
class RuleResult:
    """What the examples of one rule gave."""

    name: str
    where: str
    examples: int
    failures: list[Failure] = field(default_factory=list)


@dataclass(slots=True)
class MappingResult:
    """What a mapping's examples gave.

    Attributes:
        recorded: the number of examples in the file beside it; None where there is no such file.
        problems: what is wrong besides, the recorded examples included.
    """

    name: str
    file: str
    rules: list[RuleResult] = field(default_factory=list)
    recorded: int | None = None
    problems: list[Diagnostic] = field(default_factory=list)

    @property
    def failed(self) -> int:
        """How many things are wrong."""
        return sum(len(rule.failures) for rule in self.rules) + len(self.problems)


def add(commands: Subparsers[argparse.ArgumentParser]) -> None:
    """Put the command into place."""
    text = "run the examples of the mappings"
    command = commands.add_parser("test", help=text, description=text.capitalize() + ".")
    add_config(command)
    command.add_argument(
        "mappings",
        nargs="*",
        metavar="MAPPING",
        help="names, or files; without any: all of the configuration's directory",
    )
    add_json(command)
    command.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Run the examples; return 1 if any does not hold.

    Raises:
        ConfigError: a file cannot be read, or there is no such mapping.
    """
    results, strays = results_of(options)
    if options.json:
        print(json.dumps(_data(results, strays), indent=2))
        return 1 if strays or any(result.failed for result in results) else 0
    screen = Screen.of_stdout()
    for result in results:
        for line in _told(result):
            screen.line(*line)
    for stray in strays:
        screen.line(_FAIL, f"  {stray}")
    failed = sum(result.failed for result in results) + len(strays)
    rules = sum(len(result.rules) for result in results)
    examples = sum(rule.examples for result in results for rule in result.rules)
    recorded = sum(result.recorded or 0 for result in results)
    ran = [
        counted(len(results), "mapping"),
        counted(rules, "rule"),
        counted(examples, "example"),
        f"{recorded} recorded",
    ]
    end = Span(f"{failed} failed", Style.BAD) if failed else Span("all hold", Style.GOOD)
    screen.line(f"{', '.join(ran)}: ", end)
    return 1 if failed else 0


def results_of(options: argparse.Namespace) -> tuple[list[MappingResult], list[Diagnostic]]:
    """Run the examples of the mappings that the command line names.

    Returns what they gave, and the example files that belong to no mapping.

    Raises:
        ConfigError: a file cannot be read, or there is no such mapping.
    """
    files = [Path(each) for each in options.mappings if _is_file(each)]
    names = [each for each in options.mappings if not _is_file(each)]
    folders = {file.parent for file in files}
    own: Path | None = None
    if names or not files:
        own = mappings_directory(options, reading(options).config)
        folders.add(own)
    # The others are read too: a mapping can name one of them as its inverse.
    found = set(files)
    for folder in folders:
        beside, misnamed = _mapping_files(folder, required=folder == own)
        found.update(beside)
        told = [each for each in misnamed if not options.mappings or Path(each.file) in files]
        if told:
            raise ConfigError(told)
    if not found:
        raise ConfigError(
            [Diagnostic(str(own), 0, 0, "", "there are no mappings: nothing to test")]
        )
    documents = [
        parse(read_text(file), str(file))
        for file in sorted(found, key=lambda each: (each.parent, each))
    ]
    results = [
        result
        for document in documents
        if (result := _result(document)).name in names
        or Path(document.file) in files
        or (not options.mappings)
    ]
    known = {result.name for result in results}
    missing = [
        Diagnostic(name, 0, 0, "", f"there is no mapping of this name in {own}")
        for name in names
        if name not in known
    ]
    if missing:
        raise ConfigError(missing)
    _add_what_a_load_finds(documents, results)
    return results, [] if own is None or options.mappings else _strays(own)


def _mapping_files(folder: Path, *, required: bool) -> tuple[list[Path], list[Diagnostic]]:
    try:
        return mapping_files(folder)
    except OSError as error:
        if not required:
            return [], []  # A file that is named in it says so itself.
        reason = (error.strerror or "cannot be read").lower()
        raise ConfigError([Diagnostic(str(folder), 0, 0, "mappings.directory", reason)]) from None


def _strays(folder: Path) -> list[Diagnostic]:
    """The example files of a folder that no mapping is beside: nobody would ever run them."""
    return [
        Diagnostic(
            str(file), 0, 0, "", f"there is no {mapping.name} beside it, so nothing runs these"
        )
        for file in sorted(folder.glob(f"*{EXAMPLES}"))
        if not (mapping := file.with_name(f"{file.name.removesuffix(EXAMPLES)}.yaml")).is_file()
    ]


def _is_file(written: str) -> bool:
    return written.endswith((".yaml", ".yml")) or os.sep in written


def _result(document: Document) -> MappingResult:
    try:
        file = model.MappingFile.model_validate(document.data)
    except pydantic.ValidationError as error:
        name = document.data.get("name") if isinstance(document.data, dict) else None
        found = problems_from(document, error, model.MappingFile)
        called = Path(document.file).stem if name is None else str(name)
        return MappingResult(called, document.file, problems=found)
    program = Program((compile_mapping(file),))
    result = MappingResult(file.name, document.file)
    for index, rule in enumerate(file.rules):
        where = f"{document.file}:{document.locate(('rules', index))[0]}"
        failures = list(_failures(program, document, index, rule))
        result.rules.append(RuleResult(rule.name, where, len(rule.examples), failures))
    beside = Path(document.file).with_suffix(EXAMPLES)
    if beside.is_file():
        text = read_text(beside)
        # Only at line feeds: a JSON text may hold other line separators of Unicode.
        result.recorded = sum(1 for line in text.split("\n") if line.strip())
        result.problems += check_example_file(program, text, str(beside))
    return result


def _failures(
    program: Program, document: Document, index: int, rule: model.Rule
) -> Iterator[Failure]:
    for position, example in enumerate(rule.examples):
        path = ("rules", index, "examples", position)
        where = f"{document.file}:{document.locate(path)[0]}"
        reason, differing = _compared(program, rule, example)
        if reason or differing:
            yield Failure(where, render_path(path), reason, tuple(differing))


def _compared(
    program: Program, rule: model.Rule, example: model.Example
) -> tuple[str, Sequence[Difference]]:
    trace = program.trace(encode(example.before))
    if not trace.passes:
        return f"`in` is not mapped: {trace.note}", ()
    told = trace.passes[0]
    if told.applied is None:
        reasons = [each.why_not or "" for each in told.considered if each.rule == rule.name]
        return f"the rule does not match `in`: {'; '.join(reasons)}", ()
    if told.applied != rule.name:
        return f"the rule `{told.applied}`, which comes first, takes `in`", ()
    if trace.outcome is MessageOutcome.FAILED:
        wrong = next(
            (each.failure for each in told.carried if each.failure), "the result would be too large"
        )
        return f"the rule cannot be carried out: {wrong}", ()
    match example.after:
        case None:
            expected: list[bytes] = []
        case dict():
            expected = [encode(example.after)]
        case _:
            expected = [encode(each) for each in example.after]
    if len(expected) != len(trace.messages):
        return f"{len(expected)} messages expected, {len(trace.messages)} got", ()
    return "", [
        found
        for one, other in zip(expected, trace.messages, strict=True)
        for found in differences(one, other)
    ]


def _add_what_a_load_finds(documents: list[Document], results: list[MappingResult]) -> None:
    try:
        build(documents, {})
    except ConfigError as error:
        for result in results:
            # An example that fails has been told of with its fields.
            told = {failure.path for rule in result.rules for failure in rule.failures}
            result.problems += [
                problem
                for problem in error.problems
                if problem.file == result.file
                and problem.path not in told
                and problem not in result.problems
            ]


def _data(results: Sequence[MappingResult], strays: Sequence[Diagnostic]) -> dict[str, Any]:
    """What the examples gave, for machines."""
    return {
        "mappings": [
            {
                "name": result.name,
                "file": result.file,
                "recorded": result.recorded,
                "failed": result.failed,
                "rules": [
                    {
                        "name": rule.name,
                        "where": rule.where,
                        "examples": rule.examples,
                        "failures": [
                            {
                                "where": failure.where,
                                "reason": failure.reason or "it differs",
                                "differing": [texts(each) for each in failure.differing],
                            }
                            for failure in rule.failures
                        ],
                    }
                    for rule in result.rules
                ],
                "problems": [dataclasses.asdict(problem) for problem in result.problems],
            }
            for result in results
        ],
        "problems": [dataclasses.asdict(stray) for stray in strays],
    }


def _told(result: MappingResult) -> Iterator[Line]:
    yield Span(result.name, Style.HEADING), f" ({result.file})"
    for rule in result.rules:
        count = counted(rule.examples, "example")
        if not rule.failures:
            yield "  ", Span("ok", Style.GOOD), f"    {rule.name}: {count}"
            continue
        yield "  ", _FAIL, f"  {rule.name}: {len(rule.failures)} of {count} ({rule.where})"
        for failure in rule.failures:
            yield (f"        {failure.where}: {failure.reason or '- expected, + got'}",)
            for found in failure.differing:
                yield from (("          ", line) for line in shown(found))
    if result.recorded is not None:
        yield (f"  {Path(result.file).with_suffix(EXAMPLES).name}: {result.recorded} recorded",)
    for problem in result.problems:
        yield "  ", _FAIL, f"  {problem}"
