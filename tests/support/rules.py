"""Mappings for the tests, from the YAML of their rules."""

from __future__ import annotations

from textwrap import indent

from proxy.configuration.document import parse
from proxy.mapping.compiler.compiler import compile_mapping
from proxy.mapping.engine.compiled import CompiledMapping
from proxy.mapping.engine.program import Program
from proxy.mapping.language.model import MappingFile

HEAD = """
name: {name}
description: For a test.
channel: {channel}
direction: to_client
on_error: {on_error}
rules:
"""

EXAMPLE = """
  examples:
    - in: {}
      out: {}
"""


def compiled(
    rules: str, *, name: str = "tested", on_error: str = "pass", channel: str = "websocket"
) -> CompiledMapping:
    """Compile rules: `name`, `match` and `do` of each, without examples."""
    text = "".join(
        f"- {rule.strip()}{EXAMPLE}" for rule in rules.split("\n- ") if rule.strip("\n- ")
    )
    head = HEAD.format(name=name, on_error=on_error, channel=channel)
    document = parse(head + indent(text, "  "), "rules.yaml")
    return compile_mapping(MappingFile.model_validate(document.data))


def program(rules: str) -> Program:
    return Program([compiled(rules)])


def rewrite(rule: str, message: bytes) -> bytes | None:
    """Apply one rule's `do` to a message that it matches; None where it is left alone."""
    result = program(
        f"\n- name: only\n  match: {{all: [{{not: {{field: nope, exists: true}}}}]}}\n  do: {rule}"
    ).apply(message)
    if result is None:
        return None
    (rewritten,) = result
    return rewritten
