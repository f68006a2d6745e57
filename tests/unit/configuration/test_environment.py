"""What the environment and the command line say over the file."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from proxy.configuration.environment import (
    Kind,
    Override,
    applied,
    attributed,
    from_environment,
    from_flags,
    is_within,
)
from proxy.errors import ConfigError, Diagnostic

KNOWN: Mapping[tuple[str, ...], Kind] = {
    ("upstream",): Kind.SECTION,
    ("upstream", "url"): Kind.SCALAR,
    ("upstream", "tls"): Kind.SECTION,
    ("upstream", "tls", "ca_file"): Kind.SCALAR,
    ("versions", "default"): Kind.SCALAR,
    ("cohorts",): Kind.LIST,
}
FILES = {"/run/secrets/url": "http://a\r\n", "/run/secrets/list": "[1]\n", "/empty": ""}


def read_file(name: str) -> str:
    if name == "/not/text":
        raise ConfigError([Diagnostic(name, 0, 0, "", "not UTF-8 text")])
    if name not in FILES:
        raise FileNotFoundError(2, "No such file or directory")
    return FILES[name]


def overrides(env: Mapping[str, str]) -> dict[str, object]:
    found, problems = from_environment(env, KNOWN, read_file)
    assert problems == []
    return {".".join(override.path): override.value for override in found}


def problems(env: Mapping[str, str]) -> list[str]:
    return [str(problem) for problem in from_environment(env, KNOWN, read_file)[1]]


def test_two_underscores_part_section_and_key_in_any_case() -> None:
    assert overrides({"SEGUE_UPSTREAM__URL": "http://a"}) == {"upstream.url": "http://a"}
    assert overrides({"SEGUE_upstream__Tls__CA_FILE": "x"}) == {"upstream.tls.ca_file": "x"}


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1.10", "1.10"),
        ('"1.10"', "1.10"),
        ("'1.10'", "1.10"),
        ("[::1]:8080", "[::1]:8080"),
        (">=2", ">=2"),
        ("a: b #c", "a: b #c"),
        ("", None),
        ("~", None),
        ("null", None),
        ('"null"', "null"),
    ],
)
def test_a_scalar_is_taken_as_it_stands(text: str, value: object) -> None:
    assert overrides({"SEGUE_VERSIONS__DEFAULT": text}) == {"versions.default": value}


def test_lists_and_sections_are_yaml() -> None:
    env = {
        "SEGUE_COHORTS": '[{name: a, versions: ">=2"}]',
        "SEGUE_UPSTREAM": "{url: http://a}",
    }
    assert overrides(env) == {
        "cohorts": [{"name": "a", "versions": ">=2"}],
        "upstream": {"url": "http://a"},
    }


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("header", ["header"]),
        ("header,query", ["header", "query"]),
        (" header , query, ", ["header", "query"]),
        ("header query\nsession", ["header", "query", "session"]),
        ("::1/128,10.0.0.0/8", ["::1/128", "10.0.0.0/8"]),
        ('"a,b","1.0"', ['"a', 'b"', "1.0"]),
        ("1.10,a: b", ["1.10", "a: b"]),
        ("a,,b", ["a", None, "b"]),
        (",", [None]),
        ("[a, b]", ["a", "b"]),
        (" [a, b]", ["a", "b"]),
        ("- a\n- b", ["a", "b"]),
        ("", None),
        ("null", None),
        ("{a: b}", {"a": "b"}),
    ],
)
def test_a_list_is_yaml_or_has_commas(text: str, value: object) -> None:
    found, told = from_environment({"SEGUE_COHORTS": text}, KNOWN, read_file)
    if text.startswith('"a,'):
        # Quotes are for one element: what is left of them cannot be read.
        assert [str(problem).split(": ")[0] for problem in told] == ["SEGUE_COHORTS"]
        return
    assert ([each.value for each in found], told) == ([value], [])


def test_a_file_holds_the_value_without_its_line_break() -> None:
    assert overrides({"SEGUE_UPSTREAM__URL_FILE": "/run/secrets/url"}) == {
        "upstream.url": "http://a"
    }
    assert overrides({"SEGUE_COHORTS_FILE": "/run/secrets/list"}) == {"cohorts": [1]}
    assert overrides({"SEGUE_VERSIONS__DEFAULT_FILE": "/empty"}) == {"versions.default": ""}


def test_a_key_that_ends_in_file_is_a_key() -> None:
    assert overrides({"SEGUE_UPSTREAM__TLS__CA_FILE": "/run/secrets/url"}) == {
        "upstream.tls.ca_file": "/run/secrets/url"
    }
    assert overrides({"SEGUE_UPSTREAM__TLS__CA_FILE_FILE": "/run/secrets/url"}) == {
        "upstream.tls.ca_file": "http://a"
    }


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("PATH", "/bin"),
        ("segue_upstream__urk", "x"),
        ("SEGUE_CONFIG", "config.yaml"),
        ("SEGUE_STATE_DIR", "/var/lib"),
        ("SEGUE_DEMO_PORT", "1"),
        ("SEGUE_SERVICE_HOST", "10.0.0.1"),
        ("SEGUE_SERVICE_PORT", "80"),
        ("SEGUE_SERVICE_PORT_HTTP", "80"),
        ("SEGUE_PORT", "tcp://10.0.0.1:80"),
        ("SEGUE_PORT_80_TCP", "tcp://10.0.0.1:80"),
        ("SEGUE_ADMIN_PORT_9090_TCP_ADDR", "10.0.0.1"),
        ("SEGUE_ADMIN_PORT", "tcp://10.0.0.1:9090"),
    ],
)
def test_what_is_no_setting_of_segue_plays_no_part(name: str, value: str) -> None:
    assert overrides({name: value}) == {}


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("SEGUE_UPSTREAM__URK", "no setting has this name; did you mean SEGUE_UPSTREAM__URL?"),
        ("SEGUE_UPSTREAM_URL", "no setting has this name; did you mean SEGUE_UPSTREAM__URL?"),
        ("SEGUE_XYZZY", "no setting has this name"),
        ("SEGUE_XYZZY_FILE", "no setting has this name"),
        ("SEGUE_", "no setting has this name"),
        ("SEGUE_PORT_FORWARD", "no setting has this name"),
        ("SEGUE_COHORTS__0__NAME", "a list is set whole, as YAML or with commas, by SEGUE_COHORTS"),
    ],
)
def test_a_variable_that_names_no_setting_is_an_error(name: str, message: str) -> None:
    assert problems({name: "hunter2"}) == [f"{name}: {message}"]


def test_a_setting_is_set_once() -> None:
    env = {"SEGUE_UPSTREAM__URL": "http://a", "SEGUE_UPSTREAM__URL_FILE": "/run/secrets/url"}
    (problem,) = problems(env)
    assert problem.startswith(
        "SEGUE_UPSTREAM__URL_FILE: upstream.url: also set by SEGUE_UPSTREAM__URL"
    )
    assert len(problems({"SEGUE_UPSTREAM__URL": "", "SEGUE_UPSTREAM__url": ""})) == 1


def test_values_that_cannot_be_read_are_all_reported_and_not_repeated() -> None:
    env = {
        "SEGUE_COHORTS": "[hunter2",
        "SEGUE_UPSTREAM__URL_FILE": "/missing",
        "SEGUE_UPSTREAM__TLS__CA_FILE_FILE": "/not/text",
        "SEGUE_VERSIONS__DEFAULT": '"hunter2',
    }
    found = problems(env)
    assert [line.split(": ")[0] for line in found] == sorted(env)
    assert "no such file or directory" in "".join(found)
    assert "not UTF-8 text" in "".join(found)
    assert "hunter2" not in "".join(found)


def test_an_error_of_the_system_without_words_is_reported_too() -> None:
    def fail(name: str) -> str:
        raise OSError(name)

    _, (problem,) = from_environment({"SEGUE_UPSTREAM__URL_FILE": "x"}, KNOWN, fail)
    assert problem.message == "the file that it names cannot be read: no reason given"


def test_flags_that_were_given_override() -> None:
    assert from_flags({"listen": ":1", "upstream": None, "admin": ":2"}) == [
        Override("--listen", ("listen", "address"), ":1"),
        Override("--admin", ("admin", "address"), ":2"),
    ]


def test_overrides_are_put_in_place_and_the_original_stays() -> None:
    data = {"upstream": {"url": "old", "tls": None}, "log": {"level": "info"}}
    env = {
        "SEGUE_UPSTREAM__TLS__CA_FILE": "ca",
        "SEGUE_UPSTREAM__URL": "new",
        "SEGUE_VERSIONS__DEFAULT": "2",
    }
    found, _ = from_environment(env, KNOWN, read_file)
    assert applied(data, found) == {
        "upstream": {"url": "new", "tls": {"ca_file": "ca"}},
        "log": {"level": "info"},
        "versions": {"default": "2"},
    }
    assert data == {"upstream": {"url": "old", "tls": None}, "log": {"level": "info"}}


def test_a_key_wins_over_its_section() -> None:
    env = {"SEGUE_UPSTREAM__URL": "key", "SEGUE_UPSTREAM": "{url: section, x: 1}"}
    found, _ = from_environment(env, KNOWN, read_file)
    assert applied(None, found) == {"upstream": {"url": "key", "x": 1}}


def test_what_is_no_section_in_the_file_keeps_its_error() -> None:
    override = Override("SEGUE_UPSTREAM__URL", ("upstream", "url"), "x")
    assert applied({"upstream": 5}, [override]) == {"upstream": 5}
    assert applied([1], [override]) == [1]


def test_problems_are_said_of_whoever_set_the_value() -> None:
    section = Override("SEGUE_UPSTREAM", ("upstream",), {})
    key = Override("SEGUE_UPSTREAM__URL", ("upstream", "url"), "x")
    flag = Override("--upstream", ("upstream", "url"), "y")
    paths = ["upstream.url", "upstream.tls", "upstreams", "upstream[0]", ""]
    found = attributed([Diagnostic("f", 3, 4, path, "m") for path in paths], [section, key, flag])
    assert [problem.file for problem in found] == [
        "--upstream",
        "SEGUE_UPSTREAM",
        "f",
        "SEGUE_UPSTREAM",
        "f",
    ]
    assert [(problem.line, problem.column) for problem in found[:3]] == [(0, 0), (0, 0), (3, 4)]


def test_within_goes_by_whole_keys() -> None:
    assert is_within("a.b", "a")
    assert is_within("a[0].b", "a")
    assert not is_within("ab", "a")
    assert not is_within("a", "a.b")


def test_a_secret_is_not_in_the_representation() -> None:
    assert "hunter2" not in repr(Override("X", ("x",), "hunter2"))
