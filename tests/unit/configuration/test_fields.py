"""Single keys of the configuration: what each takes, and what it says of anything else."""

from __future__ import annotations

import pytest

from tests.support.configured import MINIMAL, problems


@pytest.mark.parametrize(
    ("text", "path", "message"),
    [
        ("", "upstream", "required"),
        ("# nothing\n", "upstream", "required"),
        ("upstream:\n", "upstream.url", "required"),
        ("- a\n", "", "expected a mapping"),
        ("5\n", "", "expected a mapping"),
        (MINIMAL + "listen: 5\n", "listen", "expected a mapping"),
        (MINIMAL + "listen: {address: 8080}\n", "listen.address", "expected an address"),
        (MINIMAL + "listen: {address: null}\n", "listen.address", "expected an address"),
        (MINIMAL + "cohorts: {modern: x}\n", "cohorts", "expected a list"),
        (
            MINIMAL + "cohorts: [{name: a, versions: 2}]\n",
            "cohorts[0].versions",
            "has to begin with",
        ),
        (MINIMAL + "cohorts: [{name: a, versions: []}]\n", "cohorts[0].versions", "a range such"),
        (
            MINIMAL + "cohorts: [{name: a, versions: '>2', http: [{path: /a, methods: [get]}]}]\n",
            "cohorts[0].http[0].methods[0]",
            "a method in capitals",
        ),
        (MINIMAL + "coalescing: [{name: Job, path: /a}]\n", "coalescing[0].name", "small letters"),
        (
            MINIMAL + "coalescing: [{name: a, path: 'a?b'}]\n",
            "coalescing[0].path",
            "expected a path",
        ),
        (
            MINIMAL
            + "coalescing: [{name: a, path: /a}, {name: b, path: /b}, {name: a, path: /c}]\n",
            "coalescing[2].name",
            "taken by coalescing[0]",
        ),
        (
            MINIMAL + "coalescing: [{name: a, path: '/a/{Id}/'}]\n",
            "coalescing[0].path",
            "expected a path",
        ),
        (
            MINIMAL + "coalescing: [{name: a, path: '/a/{id}/{id}/'}]\n",
            "coalescing[0].path",
            "stands there twice",
        ),
        (
            MINIMAL + "coalescing: [{name: a, path: '/a/{id}/', fresh_until: {}}]\n",
            "coalescing[0].fresh_until.message",
            "required",
        ),
        (
            MINIMAL + "coalescing: [{name: a, path: '/a/{id}/', fresh_until: {message: []}}]\n",
            "coalescing[0].fresh_until.message",
            "expected fields of messages",
        ),
        (
            MINIMAL + "coalescing: [{name: a, path: '/a/{id}/', fresh_until: {message: {}}}]\n",
            "coalescing[0].fresh_until.message",
            "expected fields of messages",
        ),
        (
            MINIMAL
            + "coalescing: [{name: a, path: '/a/{id}/', fresh_until: {message: {a: [id]}}}]\n",
            "coalescing[0].fresh_until.message",
            "the name of a placeholder",
        ),
        (
            MINIMAL
            + "coalescing: [{name: a, path: '/a/{id}/', fresh_until: {message: {'.a': id}}}]\n",
            "coalescing[0].fresh_until.message",
            "expected a field",
        ),
        (
            MINIMAL + "coalescing: [{name: a, path: '/a/{}/', fresh_until: {message: {a: id}}}]\n",
            "coalescing[0].fresh_until.message",
            "no placeholder",
        ),
        (
            MINIMAL
            + "coalescing: [{name: a, path: '/{b}/{id}', fresh_until: {message: {a: id, b: b}}}]\n",
            "coalescing[0].fresh_until",
            "add `socket`",
        ),
        (
            MINIMAL
            + "coalescing: [{name: a, path: '/{id}',"
            + " fresh_until: {message: {a: id}, socket: '/ws/'}}]\n",
            "coalescing[0].fresh_until.socket",
            "expected the placeholders",
        ),
        (
            MINIMAL
            + "coalescing: [{name: a, path: '/{id}',"
            + " fresh_until: {message: {a: id}, socket: '/{id}/{b}'}}]\n",
            "coalescing[0].fresh_until.socket",
            "expected the placeholders",
        ),
        (
            MINIMAL + "coalescing: [{name: a, path: '/{id}', at_most: 0}]\n",
            "coalescing[0].at_most",
            "",
        ),
        (
            MINIMAL + "coalescing: [{name: a, path: '/{id}', settle: 11s}]\n",
            "coalescing[0].settle",
            "",
        ),
        (MINIMAL + "cohorts: [{name: none, versions: '>=2'}]\n", "cohorts[0].name", "another name"),
        (MINIMAL + "cohorts: [{name: A b, versions: '>=2'}]\n", "cohorts[0].name", "small letters"),
        (
            MINIMAL + "cohorts: [{name: a, versions: '>2', websocket: {to_client: b}}]\n",
            "cohorts[0].websocket.to_client",
            "expected a list",
        ),
        (MINIMAL + "versions: {default: [2]}\n", "versions.default", "a version such as"),
        (MINIMAL + "versions: {sources: [header, header]}\n", "versions.sources", "listed twice"),
        (MINIMAL + "versions: {sources: [default]}\n", "versions.sources[0]", "expected one of"),
        (MINIMAL + "versions: {sources: [[]]}\n", "versions.sources[0]", "expected one of"),
        (MINIMAL + "mappings: {directory: ''}\n", "mappings.directory", "at least 1"),
        (
            MINIMAL + "sessions: {paths: {refresh: '/api/token?x=1'}}\n",
            "sessions.paths.refresh",
            "without a query",
        ),
        (MINIMAL + "sessions: {paths: {login: [login]}}\n", "sessions.paths.login[0]", "a path"),
        (MINIMAL + "cors: {origins: '*'}\n", "cors.origins", "expected a list"),
        (MINIMAL + "cors: {origins: [null]}\n", "cors.origins[0]", "expected an origin"),
    ],
)
def test_each_fault_says_where_and_what_was_expected(text: str, path: str, message: str) -> None:
    (found,) = problems(text)
    assert found.path == path
    assert message in found.message
