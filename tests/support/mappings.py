"""Mappings that tests of recordings and of the tail load, as files have them."""

JOBS = """\
name: jobs
description: What a job looks like for the new clients.
channel: http
direction: to_client
rules:
  - name: prompt
    match: {field: initial_prompt, exists: true}
    do: [{rename: {initial_prompt: prompt}}]
    examples: [{in: {initial_prompt: a}, out: {prompt: a}}]
"""
"""Bodies of `GET /api/jobs/`: one field gets another name."""

PARTS = """\
name: parts
description: A field gets another name, unless that is taken.
channel: websocket
direction: to_client
kinds: {field: kind, known: [taken]}
rules:
  - name: taken
    match: {field: kind, equals: taken}
    do: [{rename: {a: b}}]
    examples: [{in: {kind: taken, a: 1}, out: {kind: taken, b: 1}}]
"""
"""Messages of the kind `taken`: one rule, which fails where the new name is taken."""
