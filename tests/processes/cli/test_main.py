"""The command line: exit codes, and what is printed where."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from importlib.metadata import version
from pathlib import Path

import pytest

from proxy.cli.main import main
from proxy.configuration.sessions import StoreSettings
from proxy.sessions.store.opening import open_store
from proxy.tokens.sealing import new_key
from tests.support.checkout import ROOT


@pytest.fixture
def config(tmp_path: Path) -> Path:
    shutil.copytree(ROOT / "mappings", tmp_path / "mappings")
    return Path(shutil.copy(ROOT / "config.yaml", tmp_path))


def test_version_is_that_of_the_distribution(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["version"]) == 0
    assert capsys.readouterr().out == f"segue {version('segue-proxy')}\n"


def test_validate_shows_what_a_start_would_do(
    config: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SEGUE_VERSIONS__DEFAULT", '"1.0"')
    arguments = ["--listen", ":8081", "--upstream", "http://old:8000", "--admin", "[::1]:9091"]
    assert main(["validate", "--config", str(config), *arguments]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    assert out.splitlines() == [
        f"{config}: valid",
        "  listen    :8081",
        "  admin     [::1]:9091",
        "  upstream  http://old:8000",
        "  mappings  new-to-old, old-to-new",
        "  cohort    modern >=2: to client: old-to-new",
        "  cohort    legacy <2: to client: new-to-old",
        "  default   1.0",
        "  sessions  kept for 604800 s, 86400 s of them idle; bound to nothing but tokens",
    ]
    monkeypatch.setenv("SEGUE_SESSIONS__ENABLED", "false")
    assert main(["validate", "--config", str(config), *arguments]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == "  sessions  off"


def test_validate_says_what_was_understood_of_sessions_sockets_and_shared_answers(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SEGUE_STATE_DIR", str(tmp_path / "state"))
    config = tmp_path / "config.yaml"
    config.write_text(
        """\
upstream: {url: "http://127.0.0.1:1"}
sessions: {enabled: true, idle: 2h}
coalescing:
  - {name: plain, path: /api/plain/}
  - {name: any, path: "/api/any/{id}/", fresh_until: {message: {data.id: id}}, settle: 50ms}
  - name: job
    path: /api/jobs/{id}/
    fresh_until: {message: {jobId: id}, socket: "/ws/jobs/{id}/"}
    at_most: 60s
websocket:
  per_session:
    - {path: "/ws/jobs/{id}/", most: 3, code: 4001, cookies: [sessionid]}
    - {path: /ws/**}
""",
        encoding="utf-8",
    )
    assert main(["validate", "--config", str(config)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[lines.index("  default   none (no mapping)") + 1 :] == [
        "  sessions  kept for 604800 s, 7200 s of them idle; bound to nothing but tokens",
        "  coalesce  plain GET /api/plain/: shared by those who ask at the same moment",
        (
            "  coalesce  any GET /api/any/{id}/: kept until a message with data.id = {id} on any"
            " WebSocket with that in its path, asked 0.05 s after it, 2 s at most"
        ),
        (
            "  coalesce  job GET /api/jobs/{id}/: kept until a message with jobId = {id} on"
            " /ws/jobs/{id}/, 60 s at most"
        ),
        (
            "  sockets   /ws/jobs/{id}/: 3 of a session, or cookies sessionid; of more, the oldest"
            " closes with 4001, at 4 handshakes/s"
        ),
        (
            "  sockets   /ws/**: 4 of a session; of more, the oldest closes with 1000, at 4"
            " handshakes/s"
        ),
    ]
    assert main(["validate", "--config", str(config), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["sessions"]["enabled"] is True
    assert [each["path"] for each in told["per_session"]] == ["/ws/jobs/{id}/", "/ws/**"]
    assert told["coalescing"][1]["fresh_until"] == {"message": {"data.id": "id"}, "socket": None}


@pytest.mark.parametrize("command", ["validate", "run"])
def test_invariant_5_bad_configuration_starts_nothing_and_all_its_errors_are_printed(
    config: Path, capsys: pytest.CaptureFixture[str], command: str
) -> None:
    text = config.read_text(encoding="utf-8")
    text = text.replace("url: http://127.0.0.1:8000", "url: ftp://127.0.0.1:8000")
    text = text.replace('versions: ">=2"', 'versions: "=>2"')
    config.write_text(text + "timeouts:\n  drian: 30s\n", encoding="utf-8")
    assert main([command, "--config", str(config)]) == 1
    out, err = capsys.readouterr()
    assert out == ""
    *problems, last = err.splitlines()
    assert last == "segue: 3 problems found"

    def place(part: str) -> str:
        lines = config.read_text(encoding="utf-8").splitlines()
        line = next(number for number, line in enumerate(lines) if part in line)
        return f"{config}:{line + 1}:"

    expected = {
        "upstream.url": place("ftp:"),
        "cohorts[0].versions": place("=>2"),
        "timeouts.drian": place("drian"),
    }
    assert len(problems) == 3
    for path, where in expected.items():
        [problem] = [problem for problem in problems if f": {path}: " in problem]
        assert re.match(re.escape(where) + r"\d+: ", problem)


def test_validate_as_json(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["validate", "--config", str(config), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["valid"] is True
    assert told["listen"] == {"address": "127.0.0.1:8080", "tls": False}
    assert [each["to_client"] for each in told["cohorts"]] == ["old-to-new", "new-to-old"]
    config.write_text(config.read_text(encoding="utf-8") + "timeouts: {drian: 1s}\n")
    assert main(["validate", "--config", str(config), "--json"]) == 1
    out, err = capsys.readouterr()
    told = json.loads(out)
    assert (told["valid"], err) == (False, "")
    (problem,) = told["problems"]
    assert (problem["path"], problem["column"]) == ("timeouts.drian", 12)
    assert "did you mean `drain`?" in problem["message"]


def test_variable_and_flag_are_named_where_they_are_wrong(
    config: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SEGUE_TIMEOUTS__HAEDER", "1s")
    assert main(["validate", "--config", str(config), "--listen", "nowhere"]) == 1
    err = capsys.readouterr().err
    assert "SEGUE_TIMEOUTS__HAEDER: " in err
    assert "--listen: " in err
    assert err.endswith("segue: 2 problems found\n")


def test_validate_finds_what_only_a_start_would_read(
    config: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SEGUE_LISTEN__TLS__CERTIFICATE", str(config))
    monkeypatch.setenv("SEGUE_LISTEN__TLS__KEY", str(config))
    assert main(["validate", "--config", str(config)]) == 1
    err = capsys.readouterr().err
    assert f"{config}: listen.tls.certificate: not PEM" in err
    assert f"{config}: listen.tls.key: not PEM" in err


def foreign(path: Path) -> None:
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE other (value)")


def damaged(path: Path) -> None:
    path.write_bytes(b"not a database" * 100)


def directory(path: Path) -> None:
    path.mkdir()


def bad_key(path: Path) -> None:
    path.touch(0o600)
    path.write_text("no key")


def open_key(path: Path) -> None:
    path.write_text(f"{new_key()}\n")
    path.chmod(0o644)


@pytest.mark.parametrize(
    ("name", "make", "told"),
    [
        ("sessions.sqlite3", foreign, "store.url: the file of sessions belongs to another program"),
        ("sessions.sqlite3", damaged, "store.url: the file of sessions is damaged, or not a file"),
        ("sessions.sqlite3", directory, "store.url: the file of sessions cannot be used: is a dir"),
        ("sessions.key", bad_key, "expected a key of 32 random bytes"),
        ("sessions.key", open_key, "others may read this key: chmod 600"),
    ],
)
@pytest.mark.parametrize("command", ["validate", "run"])
def test_validate_refuses_what_a_start_would_of_the_state_directory(
    config: Path,
    capsys: pytest.CaptureFixture[str],
    command: str,
    name: str,
    make: Callable[[Path], None],
    told: str,
) -> None:
    state = config.parent / "state"
    state.mkdir(mode=0o700)
    make(state / name)
    process = [sys.executable, "-m", "proxy", command, "--config", str(config)]
    arguments = ["--state-dir", str(state), "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0"]
    if command == "run":  # It would take the signals and the log of this process over.
        done = subprocess.run(
            [*process, *arguments], cwd=ROOT, capture_output=True, text=True, check=False
        )
        status, err = done.returncode, done.stderr
    else:
        status, err = main([*process[3:], *arguments]), capsys.readouterr().err
        assert {each.name for each in state.iterdir()} == {name}, "something was made"
    assert status == 1
    assert f"{state / name}: {told}" in err


def test_validate_says_what_keeps_a_start_from_a_state_directory_that_is_open(
    config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    state = config.parent / "state"
    state.mkdir()
    for mode, told in ((0o777, "others may write to it"), (0o755, "others may read it")):
        state.chmod(mode)
        assert main(["validate", "--config", str(config), "--state-dir", str(state)]) == 1
        err = capsys.readouterr().err
        assert f"{state}: state directory: {told} (mode {mode:04o}): chmod 700 {state}" in err
    state.chmod(0o700)
    assert main(["validate", "--config", str(config), "--state-dir", str(state)]) == 0


def test_validate_makes_no_state_directory_but_says_where_it_cannot_be(
    config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    state = config.parent / "new" / "state"
    arguments = ["validate", "--config", str(config), "--state-dir"]
    assert main([*arguments, str(state)]) == 0
    assert not state.parent.exists()
    assert main([*arguments, str(config / "state")]) == 1
    assert f"{config}: state directory: not a directory" in capsys.readouterr().err


async def test_validate_takes_the_file_of_sessions_of_a_process_that_runs(config: Path) -> None:
    state = config.parent / "state"
    store = open_store(StoreSettings(), state)
    try:
        # What it wrote is still in the write-ahead log alone.
        assert main(["validate", "--config", str(config), "--state-dir", str(state)]) == 0
    finally:
        await store.close()
    assert main(["validate", "--config", str(config), "--state-dir", str(state)]) == 0


@pytest.mark.parametrize(
    "what", ["sessions.sqlite3", "sessions.key", "store.ca_file", "tracing.ca_file"]
)
def test_validate_waits_for_no_fifo(
    config: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    state = config.parent / "odd"
    state.mkdir(mode=0o700)
    if what == "store.ca_file":
        monkeypatch.setenv("SEGUE_STORE__URL", "rediss://127.0.0.1:1/0")
        monkeypatch.setenv("SEGUE_STORE__KEYS", f"[{new_key()}]")
        monkeypatch.setenv("SEGUE_STORE__CA_FILE", str(state / what))
    if what == "tracing.ca_file":
        monkeypatch.setenv("SEGUE_TRACING__ENABLED", "true")
        monkeypatch.setenv("SEGUE_TRACING__CA_FILE", str(state / what))
    os.mkfifo(state / what, 0o600)
    assert main(["validate", "--config", str(config), "--state-dir", str(state)]) == 1
    assert str(state / what) in capsys.readouterr().err


def test_validate_says_that_the_package_or_the_authorities_for_redis_are_missing(
    config: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SEGUE_STORE__URL", "rediss://:hunter2@127.0.0.1:1/0")
    monkeypatch.setenv("SEGUE_STORE__KEYS", f"[{new_key()}]")
    monkeypatch.setenv("SEGUE_STORE__CA_FILE", "missing.pem")
    assert main(["validate", "--config", str(config)]) == 1
    assert f"{config.parent / 'missing.pem'}: store.ca_file: " in capsys.readouterr().err
    monkeypatch.setitem(sys.modules, "redis", None)
    for name in [each for each in sys.modules if each.startswith("proxy.") and "redis" in each]:
        monkeypatch.delitem(sys.modules, name)
    assert main(["validate", "--config", str(config)]) == 1
    err = capsys.readouterr().err
    assert "store.url: needs a package that is not installed" in err
    assert "hunter2" not in err
    monkeypatch.setenv("SEGUE_SESSIONS__ENABLED", "false")
    assert main(["validate", "--config", str(config)]) == 0


def test_configuration_is_found_by_its_variable(
    config: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SEGUE_CONFIG", str(config))
    assert main(["validate"]) == 0
    assert capsys.readouterr().out.startswith(f"{config}: valid\n")


@pytest.mark.parametrize(
    "arguments", [["fly"], ["run", "--nonsense"], ["validate", "extra"], ["run", "--listen"]]
)
def test_command_line_that_cannot_be_understood_is_2(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as caught:
        main(arguments)
    assert caught.value.code == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("segue")
    assert line.endswith(" --help`)")


def test_no_command_at_all_is_2_and_shows_which_there_are(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main([]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert "start the proxy" in err


def test_validate_shows_the_routes_whose_bodies_are_mapped(
    config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (config.parent / "mappings/jobs.yaml").write_text(
        """\
name: jobs
description: For this test.
channel: http
direction: to_client
rules:
  - name: prompt
    match: {field: initial_prompt, exists: true}
    do: [{rename: {initial_prompt: prompt}}]
    examples: [{in: {initial_prompt: a}, out: {prompt: a}}]
""",
        encoding="utf-8",
    )
    text = config.read_text(encoding="utf-8").replace(
        'versions: "<2"',
        'versions: "<2"\n    http: [{path: "/api/jobs/{}/", methods: [GET], to_client: [jobs]}]',
    )
    config.write_text(text, encoding="utf-8")
    assert main(["validate", "--config", str(config)]) == 0
    assert "    route   GET /api/jobs/{}/: to client: jobs\n" in capsys.readouterr().out


def test_a_thousand_problems_are_not_all_printed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = tmp_path / "config.yaml"
    origins = ", ".join(f"http://{number}:80" for number in range(1000))
    config.write_text(f"upstream: {{url: http://a}}\ncors: {{origins: [{origins}]}}\n")
    assert main(["validate", "--config", str(config)]) == 1
    *shown, more, count = capsys.readouterr().err.splitlines()
    assert len(shown) == 100
    assert (more, count) == ("... and 900 more", "segue: 1000 problems found")


def test_help_names_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["--help"])
    assert caught.value.code == 0
    out = capsys.readouterr().out
    commands = ("run", "validate", "test", "explain", "record", "config", "schema", "health")
    for command in (*commands, "demo", "version"):
        assert re.search(rf"^    {command} +\S", out, re.MULTILINE), command


@pytest.mark.parametrize("command", ["schema mapping", "version", "validate", "help run"])
def test_reader_that_has_seen_enough_is_no_fault(command: str) -> None:
    # Long and short: what is short is written at the end only, when nobody reads any more.
    script = f"{shlex.quote(sys.executable)} -m proxy {command} | true"
    done = subprocess.run(
        ["sh", "-c", script], check=True, capture_output=True, cwd=ROOT, text=True
    )
    assert done.stderr == ""


@pytest.mark.parametrize("command", ["schema mapping", "version"])
def test_a_full_disk_is_told_of_the_output(command: str) -> None:
    with Path("/dev/full").open("w", encoding="utf-8") as full:
        done = subprocess.run(
            [sys.executable, "-m", "proxy", *command.split()],
            check=False,
            stdout=full,
            stderr=subprocess.PIPE,
            cwd=ROOT,
            text=True,
        )
    assert done.stderr == "segue: the output cannot be written: No space left on device\n"
    assert done.returncode == 1


@pytest.mark.parametrize(
    ("number", "status"), [(signal.SIGHUP, 1), (signal.SIGINT, -signal.SIGINT)]
)
def test_signal_in_the_middle_of_the_imports_of_a_start(
    tmp_path: Path, number: signal.Signals, status: int
) -> None:
    """A reload waits, so that the missing configuration is found; Ctrl-C ends it, without words."""
    script = f"""
import os, sys
from proxy.__main__ import main

class Signal:
    def find_spec(self, name, path=None, target=None):
        if name == "uvloop":
            os.kill(os.getpid(), {int(number)})

sys.meta_path.insert(0, Signal())
sys.argv[1:] = ["run", "--config", "missing.yaml"]
sys.exit(main())
"""
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-c", script],
        cwd=tmp_path,
        env=env,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == status
    assert "Traceback" not in done.stderr
    assert ("missing.yaml" in done.stderr) == (number == signal.SIGHUP)


def test_installed_command_and_module_are_the_same() -> None:
    command = shutil.which("segue", path=str(Path(sys.executable).parent))
    if command is None:
        pytest.skip("needs the distribution: make install")
    outputs = [
        subprocess.run([*start, "version"], check=True, capture_output=True, cwd=ROOT).stdout
        for start in ([command], [sys.executable, "-m", "proxy"])
    ]
    assert outputs[0] == outputs[1] != b""
