"""Reading the configuration and the mappings into one snapshot, or not at all."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from proxy.control.loading import MAX_FILE, load, needs_restart, retained, stamp
from proxy.errors import ConfigError, Diagnostic, MappingFailure
from proxy.snapshot import Stamp
from proxy.versions.version import Version
from tests.support.checkout import ROOT

MAPPING = (ROOT / "mappings" / "old-to-new.yaml").read_text(encoding="utf-8")


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """The shipped configuration with its mappings, in a directory of its own."""
    shutil.copytree(ROOT / "mappings", tmp_path / "mappings")
    return Path(shutil.copy(ROOT / "config.yaml", tmp_path))


def problems_of(file: Path, env: dict[str, str] | None = None) -> tuple[Diagnostic, ...]:
    with pytest.raises(ConfigError) as caught:
        load(file, env or {}, {})
    return caught.value.problems


def test_shipped_configuration_has_its_cohorts_and_mappings(config: Path) -> None:
    snapshot = load(config, {}, {})
    assert snapshot.catalog.names == ("new-to-old", "old-to-new")
    modern, legacy = snapshot.catalog.for_cohort("modern"), snapshot.catalog.for_cohort("legacy")
    assert modern.to_client is not None
    assert modern.to_client.name == "old-to-new"
    assert legacy.to_client is not None
    assert legacy.to_client.name == "new-to-old"
    assert modern.to_server is legacy.to_server is None
    assert snapshot.catalog.for_cohort(None).to_client is None
    version = Version.parse("2.0")
    assert version is not None
    assert snapshot.versions.cohorts.find(version) == "modern"
    assert snapshot.versions.header == b"X-Client-Version"
    assert snapshot.config.upstream.url == "http://127.0.0.1:8000"


def test_mappings_are_beside_the_configuration_wherever_it_is_read_from(
    config: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir("/")
    config.parent.joinpath("mappings").rename(config.parent / "rules")
    snapshot = load(config, {"SEGUE_MAPPINGS__DIRECTORY": "rules"}, {})
    assert "old-to-new" in snapshot.catalog.names


def test_version_header_is_none_where_it_is_no_source(config: Path) -> None:
    assert load(config, {"SEGUE_VERSIONS__SOURCES": "[query]"}, {}).versions.header == b""


def test_invariant_5_all_errors_of_all_mappings_are_reported_at_once(config: Path) -> None:
    directory = config.parent / "mappings"
    (directory / "a.yaml").write_text("name: [unclosed\n")
    (directory / "b.yaml").write_text(MAPPING.replace("direction: to_client", "direction: up"))
    (directory / "c.yaml").write_bytes(b"name: \xff\n")
    (directory / "d.yaml").mkdir()
    problems = problems_of(config)
    by_file = {Path(problem.file).name: problem for problem in problems}
    assert set(by_file) >= {"a.yaml", "b.yaml", "c.yaml", "d.yaml"}
    assert by_file["a.yaml"].line > 0
    assert by_file["b.yaml"].path == "direction"
    assert by_file["b.yaml"].line == MAPPING[: MAPPING.index("direction:")].count("\n") + 1
    assert by_file["c.yaml"].message == "not UTF-8 text"
    assert by_file["d.yaml"].message == "is a directory"


def test_cohort_that_names_a_mapping_which_does_not_exist_is_an_error(config: Path) -> None:
    shutil.rmtree(config.parent / "mappings")
    messages = [str(problem) for problem in problems_of(config)]
    assert any("old-to-new" in message for message in messages)
    assert any("new-to-old" in message for message in messages)


def test_configuration_that_cannot_be_read_is_named_with_the_reason(tmp_path: Path) -> None:
    missing = tmp_path / "missing.yaml"
    assert problems_of(missing) == (
        Diagnostic(str(missing), 0, 0, "", "no such file or directory"),
    )
    assert problems_of(tmp_path)[0].message == "is a directory"
    binary = tmp_path / "binary.yaml"
    binary.write_bytes(b"\xff\xfe\x00")
    assert problems_of(binary)[0].message == "not UTF-8 text"


def test_file_beyond_the_limit_is_not_read(tmp_path: Path) -> None:
    large = tmp_path / "large.yaml"
    with large.open("wb") as file:
        file.truncate(MAX_FILE + 1)
    assert problems_of(large)[0].message == f"larger than {MAX_FILE} bytes"


def test_value_from_a_file_that_is_missing_is_an_error_with_its_variable(config: Path) -> None:
    missing = str(config.parent / "missing")
    [problem] = problems_of(config, {"SEGUE_UPSTREAM__URL_FILE": missing})
    assert "SEGUE_UPSTREAM__URL_FILE" in str(problem)


def test_value_from_a_file_is_read(config: Path) -> None:
    file = config.parent / "url"
    file.write_text("http://old.example.com:81\n")
    snapshot = load(config, {"SEGUE_UPSTREAM__URL_FILE": str(file)}, {})
    assert snapshot.config.upstream.url == "http://old.example.com:81"


def test_faults_of_configuration_and_mappings_are_reported_at_once(config: Path) -> None:
    text = config.read_text()
    config.write_text(
        text.replace("to_client: [old-to-new]", "to_client: [nowhere]") + "limit: 1\n"
    )
    (config.parent / "mappings" / "a.yaml").write_text("name: [unclosed\n")
    problems = problems_of(config, {"SEGUE_TIMEOUTS__DRAIN": "soon"})
    found = {(Path(problem.file).name, problem.path) for problem in problems}
    assert ("config.yaml", "limit") in found
    assert ("SEGUE_TIMEOUTS__DRAIN", "timeouts.drain") in found
    assert ("config.yaml", "cohorts[0].websocket.to_client[0]") in found
    assert any(name == "a.yaml" for name, _ in found)


def test_binding_to_an_unknown_mapping_points_into_the_configuration(config: Path) -> None:
    text = config.read_text().replace("to_client: [old-to-new]", "to_client: [nowhere]")
    config.write_text(text)
    [problem] = problems_of(config)
    assert problem.file == str(config)
    assert problem.line == text[: text.index("nowhere")].count("\n") + 1
    assert problem.path == "cohorts[0].websocket.to_client[0]"
    assert f"there is no mapping `nowhere` in {config.parent / 'mappings'};" in problem.message


def test_file_that_is_only_nearly_named_as_a_mapping_is_not_passed_over(config: Path) -> None:
    directory = config.parent / "mappings"
    misnamed = (directory / "new-to-old.yaml").rename(directory / "another.yml")
    found = {(problem.file, problem.message) for problem in problems_of(config)}
    assert (str(misnamed), "only *.yaml is read: rename it to another.yaml") in found
    # A watch sees that it has been renamed.
    before = stamp(directory)
    misnamed.unlink()
    assert stamp(directory) != before


@pytest.mark.parametrize("by_variable", [False, True])
def test_directory_that_is_named_and_missing_is_told_in_place_of_what_would_be_in_it(
    config: Path, by_variable: bool
) -> None:
    env = {"SEGUE_MAPPINGS__DIRECTORY": "rules"} if by_variable else {}
    if not by_variable:
        config.write_text(f"{config.read_text()}\nmappings: {{directory: rules}}\n")
    [problem] = problems_of(config, env)
    assert problem.file == ("SEGUE_MAPPINGS__DIRECTORY" if by_variable else str(config))
    assert problem.path == "mappings.directory"
    assert problem.message == f"{config.parent / 'rules'}: no such file or directory"


def test_without_any_mapping_the_default_directory_may_be_missing(tmp_path: Path) -> None:
    config = tmp_path / "config.yaml"
    config.write_text("upstream: {url: 'http://127.0.0.1:8000'}\n")
    assert load(config, {}, {}).catalog.names == ()


def test_binding_in_the_environment_is_blamed_on_its_variable(config: Path) -> None:
    cohorts = "[{name: modern, versions: '>=2', websocket: {to_client: [nowhere]}}]"
    [problem] = problems_of(config, {"SEGUE_COHORTS": cohorts})
    assert (problem.file, problem.line) == ("SEGUE_COHORTS", 0)


@pytest.mark.parametrize("by_variable", [False, True])
def test_how_deep_messages_may_be_is_configured(config: Path, by_variable: bool) -> None:
    env = {"SEGUE_LIMITS__JSON_DEPTH": "3"} if by_variable else {}
    if not by_variable:
        config.write_text(f"{config.read_text()}\nlimits: {{json_depth: 3}}\n")
    program = load(config, env, {}).catalog.for_cohort("modern").to_client
    assert program is not None
    assert program.apply(b'{"kind": "jobStatus", "n": [[1]]}') is not None
    with pytest.raises(MappingFailure, match="deeper than 3 levels"):
        program.apply(b'{"kind": "jobStatus", "n": [[[1]]]}')


def test_a_wrong_limit_of_depth_is_told_once(config: Path) -> None:
    [problem] = problems_of(config, {"SEGUE_LIMITS__JSON_DEPTH": "0"})
    assert (problem.file, problem.path) == ("SEGUE_LIMITS__JSON_DEPTH", "limits.json_depth")


@pytest.mark.parametrize("mappings", ["mappings: 1", "mappings: {directory: []}", "- a list"])
def test_mappings_are_not_guessed_where_their_directory_is_unknown(
    config: Path, mappings: str
) -> None:
    (config.parent / "mappings" / "a.yaml").write_text("name: [unclosed\n")
    if mappings.startswith("-"):
        config.write_text(f"{mappings}\n")
    else:
        config.write_text(f"{config.read_text()}\n{mappings}\n")
    assert {Path(problem.file).name for problem in problems_of(config)} == {"config.yaml"}


def test_tls_files_are_beside_the_configuration_too(config: Path) -> None:
    env = {
        "SEGUE_LISTEN__TLS__CERTIFICATE": "tls/certificate.pem",
        "SEGUE_LISTEN__TLS__KEY": "/run/key.pem",
        "SEGUE_UPSTREAM__TLS__CA_FILE": "ca.pem",
    }
    snapshot = load(config, env, {"upstream": "https://old.example.com"})
    tls = snapshot.config.listen.tls
    assert tls is not None
    assert tls.certificate == str(config.parent / "tls" / "certificate.pem")
    assert tls.key == "/run/key.pem"
    assert snapshot.config.upstream.tls.ca_file == str(config.parent / "ca.pem")
    assert {Path(tls.certificate), Path(tls.key), config.parent / "ca.pem"} <= set(snapshot.files)


def test_everything_that_was_looked_at_is_told_also_where_it_could_not_be_read(
    config: Path,
) -> None:
    directory = config.parent / "mappings"
    (directory / "a.yaml").write_text("name: [unclosed\n")
    missing = config.parent / "missing"
    seen: dict[Path, Stamp] = {}
    with pytest.raises(ConfigError):
        load(config, {"SEGUE_UPSTREAM__URL_FILE": str(missing)}, {}, seen)
    assert seen == {
        path: stamp(path) for path in (config, missing, directory, *directory.iterdir())
    }
    assert seen[missing] is None
    assert seen[directory] == ("a.yaml", "new-to-old.yaml", "old-to-new.yaml")


def test_stamp_tells_a_file_from_the_one_that_took_its_place(tmp_path: Path) -> None:
    file, other = tmp_path / "a.yaml", tmp_path / "b.yaml"
    file.write_text("one")
    before = stamp(file)
    other.write_text("two")
    other.rename(file)
    assert stamp(file) != before
    file.unlink()
    assert stamp(file) is None


def test_digest_is_of_the_texts_and_not_of_their_places(config: Path, tmp_path: Path) -> None:
    digest = load(config, {}, {}).digest
    replica = Path(shutil.copytree(config.parent, tmp_path / "replica", dirs_exist_ok=True))
    assert load(replica / "config.yaml", {}, {}).digest == digest
    mapping = replica / "mappings" / "old-to-new.yaml"
    mapping.write_text(MAPPING + "# another text\n")
    assert load(replica / "config.yaml", {}, {}).digest != digest


def test_what_needs_a_restart_keeps_its_old_value_and_all_else_is_new(config: Path) -> None:
    tls = {"SEGUE_LISTEN__TLS__CERTIFICATE": "a.pem", "SEGUE_LISTEN__TLS__KEY": "a.pem"}
    old = load(config, {}, {})
    env = {
        "SEGUE_LISTEN__ADDRESS": "127.0.0.1:9999",
        "SEGUE_LISTEN__TRUSTED_PROXIES": "[10.0.0.0/8]",
        "SEGUE_LISTEN__ORIGINS": "['https://app.example.com']",
        "SEGUE_LOG__LEVEL": "error",
        "SEGUE_LIMITS__CONNECTIONS": "7",
        **tls,
    }
    new = load(config, env, {})
    assert needs_restart(old.config, new.config) == ("log.level", "listen.address", "listen.tls")
    serving = retained(old.config, new).config
    assert serving.listen.address == old.config.listen.address
    assert serving.listen.tls is None
    assert serving.log == old.config.log
    assert serving.limits.connections == 7
    assert serving.listen.trusted_proxies == new.config.listen.trusted_proxies
    assert serving.listen.origins == new.config.listen.origins != old.config.listen.origins
    assert retained(new.config, old).config.listen.tls == new.config.listen.tls


def test_time_of_a_tls_handshake_belongs_to_the_open_listener(config: Path) -> None:
    env = {"SEGUE_TIMEOUTS__TLS_HANDSHAKE": "3s", "SEGUE_TIMEOUTS__BODY": "4s"}
    old, new = load(config, {}, {}), load(config, env, {})
    assert needs_restart(old.config, new.config) == ("timeouts.tls_handshake",)
    serving = retained(old.config, new).config
    assert (serving.timeouts.tls_handshake, serving.timeouts.body) == (10, 4)


def test_other_files_of_an_open_tls_listener_need_no_restart(config: Path) -> None:
    def named(name: str) -> dict[str, str]:
        return {"SEGUE_LISTEN__TLS__CERTIFICATE": name, "SEGUE_LISTEN__TLS__KEY": name}

    old, new = load(config, named("a.pem"), {}), load(config, named("b.pem"), {})
    assert needs_restart(old.config, new.config) == ()
    assert retained(old.config, new) is new


def test_of_the_admin_listener_only_address_and_kind_of_tls_need_a_restart(config: Path) -> None:
    def named(*keys: str, **also: str) -> dict[str, str]:
        tls = {f"SEGUE_ADMIN__TLS__{key.upper()}": f"{key}.pem" for key in keys}
        return tls | {f"SEGUE_ADMIN__{key.upper()}": value for key, value in also.items()}

    pair = ("certificate", "key")
    live = {"hosts": "[segue.example]", "protect_metrics": "true", "allow_raw_recordings": "true"}
    old, new = load(config, named(), {}), load(config, named(*pair, **live, address=":1"), {})
    assert needs_restart(old.config, new.config) == ("admin.address", "admin.tls")
    serving = retained(old.config, new).config.admin
    assert (serving.address, serving.tls) == (old.config.admin.address, None)
    assert (serving.hosts, serving.protect_metrics) == (("segue.example",), True)
    assert serving.allow_raw_recordings
    asking = load(config, named(*pair, "client_ca"), {})
    assert needs_restart(load(config, named(*pair), {}).config, asking.config) == ("admin.tls",)
    other = load(config, named(*pair, "client_ca", tls__client_ca="other.pem"), {})
    assert needs_restart(asking.config, other.config) == ()
    # Their names are relative to the configuration, and they are looked at with it.
    assert asking.config.admin.tls is not None
    files = {config.parent / f"{key}.pem" for key in (*pair, "client_ca")}
    assert {Path(str(name)) for name in asking.config.admin.tls.model_dump().values()} == files
    assert files <= set(asking.files)


def test_new_upstream_may_not_be_the_listener_that_stays_until_the_restart(config: Path) -> None:
    old = load(config, {}, {})
    env = {
        "SEGUE_LISTEN__ADDRESS": "127.0.0.1:8081",
        "SEGUE_UPSTREAM__URL": "http://127.0.0.1:8080",
    }
    new = load(config, env, {})
    with pytest.raises(ConfigError, match="Segue would forward to itself"):
        retained(old.config, new)


def test_routes_are_bound_and_their_faults_point_to_them(config: Path) -> None:
    routed = (
        "cohorts:\n"
        "  - name: routed\n"
        "    versions: '<1'\n"
        "    http:\n"
        "      - {path: '/api/jobs/{}/', methods: [GET], to_client: [nowhere]}\n"
    )
    config.write_text(config.read_text().replace("cohorts:\n", routed, 1))
    [problem] = problems_of(config)
    assert problem.path == "cohorts[0].http[0].to_client[0]"
    assert config.read_text().splitlines()[problem.line - 1].strip().endswith("[nowhere]}")


def test_pipe_in_place_of_a_mapping_is_refused_and_not_waited_for(config: Path) -> None:
    os.mkfifo(config.parent / "mappings" / "a.yaml")
    [problem] = problems_of(config)
    assert Path(problem.file).name == "a.yaml"
    assert problem.message == "not a file but a pipe"


def test_a_configuration_that_nobody_named_need_not_be_there(tmp_path: Path) -> None:
    file = tmp_path / "config.yaml"
    env = {"SEGUE_UPSTREAM__URL": "http://old:8000"}
    seen: dict[Path, Stamp] = {}
    found = load(file, env, {}, seen, required=False)
    assert (found.config.upstream.urls, found.source.required) == (("http://old:8000",), False)
    # It is looked at, so that a reload notices when it comes.
    assert seen[file] is None
    assert problems_of(file, env)[0].message == "no such file or directory"
    file.write_text("versions: {default: '2'}\n")
    later = load(file, env, {}, required=False)
    assert str(later.config.versions.default) == "2"
    # What was read once has to stay: its cohorts would go with it, without a word.
    assert later.source.required


def test_an_empty_file_is_one_that_says_nothing(tmp_path: Path) -> None:
    file = tmp_path / "config.yaml"
    file.touch()
    assert load(file, {"SEGUE_UPSTREAM__URL": "http://a"}, {}).catalog.names == ()
