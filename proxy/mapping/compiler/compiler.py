"""From a mapping file to a link of a program: closures, made once, at load."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Hashable, Sequence

from proxy.mapping.compiler import analysis
from proxy.mapping.compiler.kinds import compile_kinds, compile_received_kinds
from proxy.mapping.compiler.splice import compile_splice, constant
from proxy.mapping.compiler.vocabulary import vocabulary_of
from proxy.mapping.engine.compiled import Candidate, CompiledMapping, CompiledRule, Shortcut, Step
from proxy.mapping.json.literals import is_plain, spellings
from proxy.mapping.json.objects import Object
from proxy.mapping.language import model
from proxy.mapping.language.predicates import compile_match, compile_reason

Choice = Callable[[Object], Sequence[Candidate]]


def compile_mapping(mapping: model.MappingFile) -> CompiledMapping:
    """Turn a mapping file into a link."""
    rules = tuple(compile_rule(rule) for rule in mapping.rules)
    choose, shortcut = _choice(mapping.rules, rules)
    return CompiledMapping(
        mapping.name,
        mapping.direction,
        mapping.on_error,
        rules,
        choose,
        mapping.channel,
        None if mapping.kinds is None else compile_kinds(mapping.kinds),
        shortcut,
        vocabulary_of(mapping),
        None if mapping.kinds is None else compile_received_kinds(mapping.kinds, mapping.rules),
    )


def compile_rule(rule: model.Rule) -> CompiledRule:
    """Turn a rule into closures."""
    return CompiledRule(
        rule.name,
        tuple(operation.compile() for operation in rule.do),
        tuple(
            Step(
                operation.key(),
                None if operation.when is None else compile_reason(operation.when),
            )
            for operation in rule.do
        ),
        compile_reason(rule.match),
    )


def _choice(
    written: Sequence[model.Rule], rules: Sequence[CompiledRule]
) -> tuple[Choice, Shortcut | None]:
    """Make the closure that gives the rules a message can match, and the way around it if any.

    Most mappings tell their rules apart by one field, such as `kind`: there, the bytes of that
    field's value lead straight to the rule, whatever the number of rules.
    """
    matches = [rule.match for rule in written]
    candidates = [(rule, compile_match(match)) for rule, match in zip(rules, matches, strict=True)]
    field = _distinguishing_field(matches)
    if field is None:
        return lambda _: candidates, None

    by_value: dict[bytes, list[Candidate]] = {}
    wanted = [analysis.values_wanted(match, field) for match in matches]
    for value in frozenset[Hashable]().union(*(values for values in wanted if values)):
        chosen_by_value: list[Candidate] = [
            (rule, None if analysis.is_value_test(match, field) else test)
            for (rule, test), match, values in zip(candidates, matches, wanted, strict=True)
            if values is None or value in values
        ]
        by_value.update(dict.fromkeys(spellings(value), chosen_by_value))
    others = [
        candidate for candidate, values in zip(candidates, wanted, strict=True) if values is None
    ]

    def choose(message: Object) -> Sequence[Candidate]:
        found = message.get(field)
        if found is None:
            return others
        text = bytes(found)
        chosen = by_value.get(text)
        if chosen is not None:
            return chosen
        # Escapes, and other spellings of a number, may still mean a value that a rule names.
        return others if is_plain(text) else candidates

    does = {rule.name: constant(of.do, field) for rule, of in zip(rules, written, strict=True)}
    constants = {
        text: None if test is not None else does[rule.name]
        for text, ((rule, test), *_) in by_value.items()
    }
    return choose, compile_splice(field, constants, undecided=bool(others))


def _distinguishing_field(matches: Sequence[object]) -> str | None:
    """Find the top-level field whose value the most rules name; the first of equals."""
    counts: Counter[str] = Counter()
    for match in matches:
        named = {
            path[0]
            for alternative in analysis.alternatives(match)
            for path in alternative.demands
            if len(path) == 1
        }
        counts.update(
            field for field in sorted(named) if analysis.values_wanted(match, field) is not None
        )
    return counts.most_common(1)[0][0] if counts else None
