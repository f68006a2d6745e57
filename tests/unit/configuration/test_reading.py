"""The configuration: one value, or every problem at once with its place."""

from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.configuration import reading
from proxy.configuration.units import Address
from proxy.errors import ConfigError
from proxy.versions.sources import VersionSource
from tests.support.checkout import ROOT
from tests.support.configured import MINIMAL, places, problems, read

SHIPPED = ROOT / "config.yaml"


def test_the_shipped_file_is_valid_and_maps_both_ways() -> None:
    config = read(SHIPPED.read_text("utf-8"))
    assert config.versions.default is None
    assert [
        (cohort.name, str(cohort.versions), cohort.websocket.to_client) for cohort in config.cohorts
    ] == [("modern", ">=2", ("old-to-new",)), ("legacy", "<2", ("new-to-old",))]
    directory = SHIPPED.parent / config.mappings.directory
    for cohort in config.cohorts:
        for name in cohort.websocket.to_client:
            assert (directory / f"{name}.yaml").is_file()


def test_what_the_shipped_file_suggests_is_valid_too() -> None:
    """Every commented key, with its comment sign taken away, is a setting that exists."""
    lines = SHIPPED.read_text("utf-8").splitlines()
    suggested = []
    for line in lines:
        bare = line.lstrip()
        body = bare.removeprefix("# ").lstrip().removeprefix("# ")
        if bare.startswith("# ") and body.split(":")[0].replace("_", "").isalpha():
            suggested.append(line.replace("# ", "", 1))
        elif not bare.startswith("#"):
            suggested.append(line)
    config = read("\n".join(suggested))
    assert config.listen.trusted_proxies
    assert config.versions.default is not None
    assert config.cors.origins
    assert config.coalescing
    assert {"response", "drain"} <= config.timeouts.model_fields_set


def test_all_problems_come_at_once_each_with_its_place() -> None:
    text = """\
listen:
  adress: :80
  tls: {certificate: c}
  trusted_proxies: [10.0.0.1/8]
upstream:
  url: http://user:hunter2@server
timeouts: {idle: 5 parsecs, body: 0, header: 1000h}
limits: {headers: true, message: 1}
versions: {default: newest, sources: [header, carrier-pigeon], header: "a b", query: "a&b"}
cohorts:
  - {name: modern, versions: ">=2"}
  - {name: modern, versions: ">=3"}
log: {level: LOUD}
"""
    found = problems(text)
    assert places(found) == [
        ("config.yaml", 2, 3, "listen.adress"),
        ("config.yaml", 3, 8, "listen.tls.key"),
        ("config.yaml", 4, 21, "listen.trusted_proxies[0]"),
        ("config.yaml", 6, 8, "upstream.url"),
        ("config.yaml", 7, 18, "timeouts.idle"),
        ("config.yaml", 7, 35, "timeouts.body"),
        ("config.yaml", 7, 46, "timeouts.header"),
        ("config.yaml", 8, 19, "limits.headers"),
        ("config.yaml", 8, 34, "limits.message"),
        ("config.yaml", 9, 21, "versions.default"),
        ("config.yaml", 9, 47, "versions.sources[1]"),
        ("config.yaml", 9, 72, "versions.header"),
        ("config.yaml", 9, 86, "versions.query"),
        ("config.yaml", 12, 12, "cohorts[1].name"),
        ("config.yaml", 12, 30, "cohorts[1].versions"),
        ("config.yaml", 13, 14, "log.level"),
    ]
    assert "did you mean `address`?" in found[0].message
    assert "hunter2" not in str([str(problem) for problem in found])


def test_duplicate_keys_are_refused() -> None:
    (found,) = problems(MINIMAL + "listen: {}\nlisten: {}\n")
    assert places([found]) == [("config.yaml", 3, 1, "listen")]


def test_precedence_is_defaults_file_environment_flags() -> None:
    text = "listen: {address: ':1'}\nadmin: {address: ':2'}\nupstream: {url: http://file}\n"
    env = {"SEGUE_ADMIN__ADDRESS": ":3", "SEGUE_UPSTREAM__URL": "http://env"}
    flags = {"upstream": "http://flag", "listen": None}
    config = read(text, env, flags)
    assert config.listen.address.port == 1
    assert config.admin.address.port == 3
    assert config.upstream.url == "http://flag"
    assert config.log.level == "info"


def test_every_kind_of_value_can_come_from_the_environment() -> None:
    config = read(
        "",
        {
            "SEGUE_UPSTREAM__URL": "https://a",
            "SEGUE_UPSTREAM__TLS__VERIFY": "false",
            "SEGUE_UPSTREAM__CONNECTIONS": "7",
            "SEGUE_LISTEN__ADDRESS": "[::1]:0",
            "SEGUE_LISTEN__TRUSTED_PROXIES": "[10.0.0.0/8]",
            "SEGUE_TIMEOUTS__IDLE": "2m",
            "SEGUE_LIMITS__MESSAGE": "1MiB",
            "SEGUE_VERSIONS__DEFAULT_FILE": "/run/secrets/value",
            "SEGUE_VERSIONS__SOURCES": "[query]",
            "SEGUE_COHORTS": "[{name: a, versions: '>=2'}]",
            "SEGUE_LOG": "{level: error}",
        },
    )
    assert config.upstream.tls.verify is False
    assert config.upstream.connections == 7
    assert config.listen.address == Address("::1", 0)
    assert len(config.listen.trusted_proxies) == 1
    assert config.timeouts.idle == 120
    assert config.limits.message == 1_048_576
    assert str(config.versions.default) == "1.10"
    assert config.versions.sources == (VersionSource.QUERY,)
    assert config.cohorts[0].name == "a"
    assert config.log.level == "error"


def test_problems_of_file_environment_and_flags_come_together() -> None:
    found = problems(
        "upstream: {url: http://a}\nlog: {level: LOUD}\nlimits: {buffer: 1}\n",
        {
            "SEGUE_LIMITS__BUFFER": "2",
            "SEGUE_TIMEOUTS__IDLE_FILE": "/missing",
            "SEGUE_LISTEN": "{adress: x}",
            "SEGUE_XYZZY": "x",
        },
        {"upstream": "ftp://hunter2@a"},
    )
    assert places(found) == [
        ("--upstream", 0, 0, "upstream.url"),
        ("SEGUE_LIMITS__BUFFER", 0, 0, "limits.buffer"),
        ("SEGUE_LISTEN", 0, 0, "listen.adress"),
        ("SEGUE_TIMEOUTS__IDLE_FILE", 0, 0, "timeouts.idle"),
        ("SEGUE_XYZZY", 0, 0, ""),
        ("config.yaml", 2, 14, "log.level"),
    ]
    assert "hunter2" not in "".join(map(str, found))


def test_a_value_that_could_not_be_read_is_not_reported_as_missing_too() -> None:
    (found,) = problems("", {"SEGUE_UPSTREAM": "{url: ["})
    assert found.file == "SEGUE_UPSTREAM"


def test_a_file_that_is_no_yaml_does_not_hide_what_the_environment_has_wrong() -> None:
    found = problems("listen: [\n", {"SEGUE_XYZZY": "x"})
    assert {problem.file for problem in found} == {"config.yaml", "SEGUE_XYZZY"}


def test_a_broken_section_does_not_hide_what_others_have_wrong_together() -> None:
    text = "upstream: {url: http://localhost:81}\nlisten: {address: ':81'}\nlog: {level: x}\n"
    assert [problem.path for problem in problems(text)] == ["upstream.url", "log.level"]


yaml_like = st.text("{}[]:,-#&*!|>'\"%@ \n\tabul/.0123456789", max_size=60)


@given(yaml_like, yaml_like, st.sampled_from(["LISTEN", "COHORTS", "VERSIONS__DEFAULT", "X"]))
def test_no_text_breaks_the_reader(text: str, value: str, key: str) -> None:
    with suppress(ConfigError):
        read(text, {f"SEGUE_{key}": value})


def without_a_file(env: dict[str, str]) -> list[str]:
    """What is wrong with variables alone."""
    with pytest.raises(ConfigError) as caught:
        reading.load("", "config.yaml", env, {}, str, is_there=False)
    return [str(problem) for problem in caught.value.problems]


def test_without_a_file_variables_alone_are_a_configuration() -> None:
    env = {
        "SEGUE_UPSTREAM__URL": "http://old:8000",
        "SEGUE_VERSIONS__SOURCES": "header,query",
        "SEGUE_COHORTS": '[{name: modern, versions: ">=2"}]',
    }
    config = reading.load("", "config.yaml", env, {}, str, is_there=False)
    assert config.upstream.urls == ("http://old:8000",)
    assert config.versions.sources == (VersionSource.HEADER, VersionSource.QUERY)
    assert [cohort.name for cohort in config.cohorts] == ["modern"]


def test_without_a_file_the_variable_is_named_that_is_missing_or_wrong() -> None:
    note = (
        "config.yaml: no such file, so only variables and flags count; --config names another one"
    )
    required = "upstream.url: required, or `targets` where there are several servers"
    assert without_a_file({}) == [f"SEGUE_UPSTREAM__URL: {required}", note]
    env = {"SEGUE_UPSTREAM__URL": "http://a", "SEGUE_VERSIONS__SOURCES": "header,querry"}
    source, *rest = without_a_file(env)
    assert source.startswith("SEGUE_VERSIONS__SOURCES: versions.sources[1]: expected one of header")
    assert rest == [note]
