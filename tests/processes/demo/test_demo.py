"""The demonstration: what it shows, that it notices what is wrong, and that it clears up."""

from __future__ import annotations

import asyncio
import io
import os
import re
import shutil
import signal
import socket
import stat
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, asynccontextmanager, suppress
from pathlib import Path

import pytest

from demo.invitation import invitation
from demo.screen import Screen, columns_of
from demo.stage import Where
from tests.support.checkout import ROOT
from tests.support.screens import on_a_terminal, standing
from tests.support.waiting import PATIENCE

TRANSFORMATIONS = {
    "jobStatus": "status",
    "agentDialogue": "step",
    "stageUpdate": "chat",
    "prdReady": "app",
}
USUAL_PORTS = (8000, 8080, 9090)


def demo(temporary: Path, *arguments: str, columns: int = 100) -> subprocess.CompletedProcess[str]:
    """`segue demo` to its end, its temporary files and its logs in directories of the test's."""
    (temporary / "temporary").mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", "proxy", "demo", "--once", "--fast"]
    return subprocess.run(
        [*command, "--logs", str(temporary / "logs"), *arguments],
        cwd=ROOT,
        env={**os.environ, "TMPDIR": str(temporary / "temporary"), "COLUMNS": str(columns)},
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )


def left_behind(temporary: Path) -> list[Path]:
    """What is still there of what a demonstration needed only while it ran."""
    return list((temporary / "temporary").iterdir())


def log_of(temporary: Path, name: str) -> str:
    return (temporary / "logs" / name).read_text(encoding="utf-8")


def logs_said(output: str) -> list[str]:
    """The logs that it names in the end."""
    return output.partition("Logs, kept until the next time:\n")[2].split()


@pytest.fixture(scope="module")
def shown(tmp_path_factory: pytest.TempPathFactory) -> subprocess.CompletedProcess[str]:
    """One run with everything as it should be."""
    temporary = tmp_path_factory.mktemp("demo")
    done = demo(temporary, "--no-color")
    assert left_behind(temporary) == []
    return done


def test_demo_once_shows_all_four_transformations_and_ends_with_0(
    shown: subprocess.CompletedProcess[str],
) -> None:
    assert shown.returncode == 0, shown.stdout + shown.stderr
    assert shown.stderr == ""
    for old, new in TRANSFORMATIONS.items():
        row = rf"^ +{old} +\d+ +→ {new} += {old} +→ {new}$"
        assert re.search(row, shown.stdout, re.MULTILINE), shown.stdout
    assert "Everything arrived as it should." in shown.stdout


def test_demo_puts_each_frame_of_the_server_beside_what_each_client_got(
    shown: subprocess.CompletedProcess[str],
) -> None:
    firsts = re.findall(r"^ *(\d+) (\w+) .*│ new client +(\w+) +✓", shown.stdout, re.MULTILINE)
    assert [kind for _, kind, _ in firsts] == [
        "stageUpdate",
        "jobStatus",
        "jobStatus",
        "agentDialogue",
        "stageUpdate",
        "agentDialogue",
        "jobStatus",
        "agentDialogue",
        "prdReady",
        "jobStatus",
        "error",
    ]
    assert [number for number, _, _ in firsts] == [str(n) for n in range(1, 12)]
    for _, old, new in firsts:
        assert new == TRANSFORMATIONS.get(old, old)


def test_demo_shows_the_metrics_counts_of_its_own_messages(
    shown: subprocess.CompletedProcess[str],
) -> None:
    first, _, _ = shown.stdout.partition("Second act")
    rows = re.findall(r"^ +([\w-]+) +(to_\w+) +(\w+) +(\d+)$", first, re.MULTILINE)
    assert rows == [
        ("new-to-old", "to_client", "passed", "11"),
        ("none", "to_server", "passed", "4"),
        ("old-to-new", "to_client", "mapped", "20"),
        ("old-to-new", "to_client", "passed", "2"),
    ]


def test_the_second_act_turns_a_switch_and_shows_what_each_client_gets(
    shown: subprocess.CompletedProcess[str],
) -> None:
    _, _, rest = shown.stdout.partition("Second act")
    played, _, rest = rest.partition("Verdict of the second act")
    verdict, _, _ = rest.partition("Third act")
    steps = re.findall(r"^  revision (\d)  (.*)$", played, re.MULTILINE)
    assert [(number, text.partition("  ")[0]) for number, text in steps] == [
        ("0", "on, by the configuration"),
        ("1", "off"),
        ("2", "shadow"),
        ("3", "canary 50%"),
        ("4", "on"),
        ("5", "undo: canary 50%"),
        ("6", "undo to the start: on"),
    ]
    for _, text in steps[1:]:
        assert re.search(r"  \S.*; by \S.*$", text), text
    states = re.findall(
        r"^  modern/old-to-new  (.+?) +revision (\d)  sockets behind: 0$", played, re.MULTILINE
    )
    assert [state for state, _ in states] == [
        *("on", "off", "shadow", "canary 50%", "on", "canary 50%", "on"),
    ]
    # A row is written when it has changed; at each step everybody is told something.
    by_client = dict[str, list[tuple[str, str]]]()
    row = r"^  (user \d(?:, again)?|old client) +[\d.]+ +(old|new) +\w+ +([oN|]+)$"
    for client, gets, so_far in re.findall(row, played, re.MULTILINE):
        by_client.setdefault(client, []).append((gets, so_far))
    assert len(by_client) == 10
    canary = set()
    for client, rows in by_client.items():
        gets = [each for each, _ in rows[:7]]
        if client == "old client":
            assert set(gets) == {"old"}
            continue
        canary.add((client.partition(",")[0], gets[3]))
        assert gets == ["new", "old", "old", gets[3], "new", gets[3], "new"], (client, rows)
        assert rows[-1][1].count("|") == 6
    assert len(canary) == 8
    inside = sum(gets == "new" for _, gets in canary)
    assert verdict.count("✓") == 11, verdict
    assert f"canary 50%: {inside} of 8 users got new frames\n" in verdict
    assert re.search(r"in shadow [1-9]\d* messages would have been mapped", verdict)


def test_the_live_table_is_drawn_in_its_place_on_a_terminal(tmp_path: Path) -> None:
    command = ("-m", "demo", "--once", "--fast", "--logs", str(tmp_path / "logs"))
    text = "\n".join(standing(on_a_terminal(80, *command)))
    _, _, rest = text.partition("Second act")
    played, _, _ = rest.partition("Verdict of the second act")
    # The steps, and below them one table, which is that of the end.
    assert re.findall(r"^  revision (\d)", played, re.MULTILINE) == list("0123456")
    assert re.findall(r"^  modern/old-to-new  (\w+)", played, re.MULTILINE) == ["on"]
    assert len(re.findall(r"^  user \d.* new .*[oN|]+\|o*N+$", played, re.MULTILINE)) == 9
    shown, _, _ = text.partition("Logs, ")
    assert max(map(columns_of, shown.splitlines())) <= 80


def test_a_switch_that_cannot_be_turned_ends_it_with_1_and_says_why(tmp_path: Path) -> None:
    config = tmp_path / "config.yaml"
    text = (ROOT / "config.yaml").read_text(encoding="utf-8")
    config.write_text(f"{text}\nswitching: {{authority: file}}\n", encoding="utf-8")
    shutil.copytree(ROOT / "mappings", tmp_path / "mappings")
    done = demo(tmp_path, "--config", str(config))
    assert done.returncode == 1, done.stdout + done.stderr
    # A step down is taken there too; the file itself is the first revision.
    assert "  revision 2  off" in done.stdout
    assert "✗ shadow: the change: the admin API answered 409: " in done.stdout
    assert left_behind(tmp_path) == []


def test_the_third_act_shows_words_for_the_server_a_body_and_a_renewal(
    shown: subprocess.CompletedProcess[str],
) -> None:
    _, _, rest = shown.stdout.partition("Third act")
    third, _, _ = rest.partition("Fourth act")
    for row in (
        r"  client 3.0 says +{\"kind\": \"say\", \"text\": \"And a shopping list, please\"}",
        r"  said to the server +error +\"Unknown kind of message; expected chat.\"",
        r"  said through Segue +stageUpdate +\"And a shopping list, please\"",
        r"  requirements_summary \".* │ summary \".*",
        r"  steps\[2\].agent_name \"Writer\" +│ steps\[2\].agent \"Writer\"",
        r"  GET /api/auth/me/  401  the server itself",
        r"  GET /api/auth/me/  200  through Segue",
    ):
        assert re.search(rf"^{row}$", third, re.MULTILINE), third
    assert third.count("✓") == 5
    assert "✗" not in third


def test_in_the_fourth_act_a_guard_takes_a_broken_mapping_back(
    shown: subprocess.CompletedProcess[str],
) -> None:
    _, _, fourth = shown.stdout.partition("Fourth act")
    for row in (
        r"  next/numbered-errors: canary 10%; \d+ users, and 2 of them are in it",
        r"  revision 1  canary 1%  by guard",
        r"    failed messages: 100% \(\d+ of \d+; .*",
    ):
        assert re.search(rf"^{row}$", fourth, re.MULTILINE), fourth
    assert fourth.count("✓") == 3
    assert "✗" not in fourth


def test_what_is_wrong_in_the_third_act_is_counted_and_ends_with_1(tmp_path: Path) -> None:
    for name in ("demo", "mappings"):
        shutil.copytree(ROOT / name, tmp_path / name)
    shutil.copy(ROOT / "config.yaml", tmp_path)
    for name, right, wrong in (
        ("say-to-chat", "content", "contents"),
        ("job-bodies", "summary", "summed_up"),
    ):
        file = tmp_path / "demo" / "third" / "mappings" / f"{name}.yaml"
        text = file.read_text(encoding="utf-8")
        file.write_text(re.sub(rf"\b{right}\b", wrong, text), encoding="utf-8")
    config = tmp_path / "demo" / "third" / "config.yaml"
    text = config.read_text(encoding="utf-8")
    config.write_text(text.replace("enabled: true", "enabled: false"), encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-m", "demo", "--once", "--fast", "--logs", str(tmp_path / "logs")],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert done.returncode == 1, done.stdout + done.stderr
    first, _, rest = done.stdout.partition("Third act")
    third, _, last = rest.partition("Fourth act")
    assert "✗" not in first
    for text in (
        "the server sent nothing, expected stageUpdate",
        "the fields are not id, ",
        "the proxy answered 401, expected 200",
        "the proxy's metrics count no token that was renewed",
    ):
        assert text in third, third
    assert re.search(r"^  \d differences found\.$", last, re.MULTILINE)


def test_demo_prints_no_token_and_no_escape_sequences(
    shown: subprocess.CompletedProcess[str],
) -> None:
    assert "eyJ" not in shown.stdout
    assert "\x1b" not in shown.stdout


def test_the_logs_are_kept_for_their_owner_alone_and_said_where(tmp_path: Path) -> None:
    (tmp_path / "logs").mkdir()
    for name in ("proxy.log", "third-proxy.log", "notes.txt"):
        (tmp_path / "logs" / name).write_text("of another time")
    done = demo(tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    written = [Path(file).name for file in logs_said(done.stdout)]
    for name in written:
        assert stat.S_IMODE((tmp_path / "logs" / name).stat().st_mode) == 0o600
        assert "of another time" not in log_of(tmp_path, name)
        assert "eyJ" not in log_of(tmp_path, name)
    assert '"event": "websocket"' in log_of(tmp_path, "proxy.log")
    assert "listening on http://" in log_of(tmp_path, "backend.log")
    found = {file.name for file in (tmp_path / "logs").iterdir()}
    assert found == {*written, "notes.txt"}


def test_logs_that_cannot_be_kept_end_it_with_1_before_anything_starts(tmp_path: Path) -> None:
    (tmp_path / "logs").write_text("a file")
    done = demo(tmp_path)
    assert done.returncode == 1
    assert f"the logs cannot be kept in {tmp_path / 'logs'}: File exists" in done.stdout
    assert "--logs" in done.stdout
    assert done.stderr == ""


@pytest.mark.parametrize("columns", [80, 160])
def test_demo_fits_the_terminal(tmp_path: Path, columns: int) -> None:
    done = demo(tmp_path, columns=columns)
    assert done.returncode == 0, done.stdout + done.stderr
    # But for the names of the logs, which are as long as they are.
    shown, _, _ = done.stdout.partition("Logs, ")
    assert max(map(columns_of, shown.splitlines())) <= columns


def test_a_mapping_that_maps_wrongly_is_a_difference_and_ends_with_1(tmp_path: Path) -> None:
    config = tmp_path / "config.yaml"
    shutil.copy(ROOT / "config.yaml", config)
    shutil.copytree(ROOT / "mappings", tmp_path / "mappings")
    for file in (tmp_path / "mappings").iterdir():
        text = re.sub(r"\bkind: chat\b", "kind: talk", file.read_text(encoding="utf-8"))
        text = text.replace("equals: chat}", "equals: talk}")
        file.write_text(text, encoding="utf-8")
    done = demo(tmp_path, "--config", str(config))
    assert done.returncode == 1, done.stdout + done.stderr
    assert 'frame 5, stageUpdate: the kind is "talk", expected "chat"' in done.stdout
    assert "✓ old client: 11 of 11 frames" in done.stdout
    _, _, verdict = done.stdout.partition("Verdict of the second act")
    assert 'user 2, frame 1: the kind is "talk", expected "chat"' in verdict
    assert "✓ the old client, of another cohort" in verdict
    found = re.search(r"^  (\d+) differences found\.$", verdict, re.MULTILINE)
    # Two frames of each of two clients, and then those of the second act.
    assert found is not None
    assert int(found[1]) > 4 + 9
    assert left_behind(tmp_path) == []


def test_a_config_that_is_wrong_ends_with_1_and_shows_what_the_proxy_said(tmp_path: Path) -> None:
    config = tmp_path / "config.yaml"
    config.write_text("upstream: {url: http://127.0.0.1:1}\nlisten: {adress: x}\n")
    done = demo(tmp_path, "--config", str(config))
    assert done.returncode == 1
    assert "the proxy ended with exit code 1" in done.stdout
    assert "adress" in done.stdout
    assert "adress" in log_of(tmp_path, "proxy.log")
    assert logs_said(done.stdout) == [
        str(tmp_path / "logs" / n) for n in ("proxy.log", "backend.log")
    ]
    assert left_behind(tmp_path) == []


@pytest.fixture
def usual_ports_in_use() -> Iterator[None]:
    """Listeners on the ports that the demonstration would take; others may hold them already."""
    with ExitStack() as held:
        for port in USUAL_PORTS:
            listener = held.enter_context(socket.socket())
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            with suppress(OSError):
                listener.bind(("127.0.0.1", port))
                listener.listen()
        yield


@pytest.mark.usefixtures("usual_ports_in_use")
def test_ports_in_use_are_avoided(tmp_path: Path) -> None:
    done = demo(tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    ports = set(map(int, re.findall(r"http://127\.0\.0\.1:(\d+)", done.stdout)))
    assert len(ports) == 3
    assert ports.isdisjoint(USUAL_PORTS)


async def test_several_demonstrations_at_the_same_time_do_not_meet(tmp_path: Path) -> None:
    done = await asyncio.gather(
        *(asyncio.to_thread(demo, tmp_path / str(number)) for number in range(3))
    )
    assert [one.returncode for one in done] == [0, 0, 0], "".join(one.stdout for one in done)
    ports = [re.findall(r"http://127\.0\.0\.1:(\d+)", one.stdout) for one in done]
    assert all(len(own) == 3 for own in ports)


class Running:
    """`python -m demo` that keeps running."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self.output: list[str] = []

    def signal(self, number: signal.Signals) -> None:
        self._process.send_signal(number)

    def children(self) -> dict[str, int]:
        """The process ids of the programs that it started, by module."""
        pid = self._process.pid
        found = {}
        for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split():
            command = Path(f"/proc/{child}/cmdline").read_bytes().split(b"\0")
            found[command[command.index(b"-m") + 1].decode()] = int(child)
        return found

    async def read_until(self, text: str) -> None:
        assert self._process.stdout is not None
        async with asyncio.timeout(PATIENCE):
            while text not in "".join(self.output[-1:]):
                line = await self._process.stdout.readline()
                assert line, "".join(self.output)
                self.output.append(line.decode())

    async def end(self) -> int:
        """Read the rest of its output; its exit code."""
        assert self._process.stdout is not None
        async with asyncio.timeout(PATIENCE):
            rest = await self._process.stdout.read()
            code = await self._process.wait()
        self.output.append(rest.decode())
        return code


@asynccontextmanager
async def running_demo(temporary: Path, *arguments: str) -> AsyncIterator[Running]:
    (temporary / "temporary").mkdir()
    command = (sys.executable, "-W", "error", "-m", "demo", "--logs", str(temporary / "logs"))
    process = await asyncio.create_subprocess_exec(
        *command,
        *arguments,
        cwd=ROOT,
        env={**os.environ, "TMPDIR": str(temporary / "temporary")},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    try:
        yield Running(process)
    finally:
        if process.returncode is None:
            process.terminate()
            await process.wait()


def is_alive(pid: int) -> bool:
    return Path(f"/proc/{pid}").exists()


async def test_it_keeps_running_until_ctrl_c_and_then_leaves_nothing_behind(
    tmp_path: Path,
) -> None:
    async with running_demo(tmp_path, "--fast") as demonstration:
        await demonstration.read_until("Ctrl-C ends it.")
        children = demonstration.children()
        assert children.keys() == {"demo.backend", "proxy"}
        demonstration.signal(signal.SIGINT)
        assert await demonstration.end() == 0, "".join(demonstration.output)
    assert not any(map(is_alive, children.values()))
    assert left_behind(tmp_path) == []


async def test_the_commands_that_it_suggests_work(tmp_path: Path) -> None:
    async with running_demo(tmp_path, "--fast") as demonstration:
        await demonstration.read_until("Ctrl-C ends it.")
        _, _, suggested = "".join(demonstration.output).partition("Try it\n")
        script, _, _ = suggested.partition("\n\n")
        assert script.count("curl ") == 3
        # The test must not need curl: Python's own client stands in for it.
        (tmp_path / "bin").mkdir()
        curl = tmp_path / "bin" / "curl"
        curl.write_text(CURL.format(python=sys.executable))
        curl.chmod(0o755)
        shell = await asyncio.create_subprocess_exec(
            *("sh", "-e", "-c", script),
            env={**os.environ, "PATH": f"{curl.parent}:{os.environ['PATH']}"},
            stdout=asyncio.subprocess.PIPE,
        )
        output, _ = await shell.communicate()
        assert shell.returncode == 0
        assert b'segue_messages_total{direction="to_client",mapping="old-to-new"' in output
        assert b'"status":"done"' in output
        assert b"modern/old-to-new on -> off" in output
        assert b"modern/old-to-new off -> on" in output


CURL = """#!{python}
import sys, urllib.request
arguments, headers, data = sys.argv[1:], {{}}, None
assert arguments.pop(0) == "-s"
url = arguments.pop(0)
while arguments:
    option, value = arguments.pop(0), arguments.pop(0)
    if option == "-H":
        name, _, text = value.partition(":")
        headers[name] = text.strip()
    else:
        assert option == "-d"
        data = value.encode()
with urllib.request.urlopen(urllib.request.Request(url, data, headers), timeout=30) as answer:
    sys.stdout.write(answer.read().decode())
"""


async def suggested(commands: str) -> list[str]:
    """What each of the commands says, comments left out; all of them in one shell."""
    lines = [line for line in commands.splitlines() if line.strip()]
    script = "\n".join(f"{line}\necho '<end>'" for line in lines if not line.startswith("  #"))
    shell = await asyncio.create_subprocess_exec(
        *("sh", "-c", script),
        cwd=ROOT,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    async with asyncio.timeout(PATIENCE):
        output, _ = await shell.communicate()
    return output.decode().split("<end>\n")[:-1]


async def test_a_mapping_is_edited_while_it_runs_by_the_commands_that_it_suggests(
    tmp_path: Path,
) -> None:
    config = tmp_path / "config.yaml"
    shutil.copy(ROOT / "config.yaml", config)
    shutil.copytree(ROOT / "mappings", tmp_path / "mappings")
    async with running_demo(tmp_path, "--fast", "--config", str(config)) as demonstration:
        await demonstration.read_until("Ctrl-C ends it.")
        output = "".join(demonstration.output)
        _, _, rest = output.partition("Edit the mapping while it runs\n")
        edit, _, rest = rest.partition("\nMake a mistake: the mapping of before goes on serving\n")
        mistake, _, _ = rest.partition("\nCtrl-C")

        explained, _, reloaded, watched = await suggested(edit)
        assert '{"kind": "step"}' in explained
        assert reloaded.startswith("reloaded: ")
        assert kinds_of(watched) == "chat status status stride chat stride status stride app status"

        _, validated, refused, logged, watched, _ = await suggested(mistake)
        fault = f"{tmp_path / 'mappings' / 'old-to-new.yaml'}:20:9: rules[0].do[0]: `sett`"
        for told in (validated, refused, logged):
            assert fault in told
            assert "did you mean `set`?" in told
        assert "goes on serving" in refused
        assert kinds_of(watched) == "chat status status stride chat stride status stride app status"
        for file in (tmp_path / "mappings").iterdir():
            assert file.read_text() == (ROOT / "mappings" / file.name).read_text()

        # Saving is enough: it looks at the files by itself.
        watch = next(line for line in mistake.splitlines() if "demo.watch" in line)
        async with asyncio.timeout(PATIENCE):
            while "step" not in kinds_of(watched):
                (watched,) = await suggested(watch)
        demonstration.signal(signal.SIGINT)
        assert await demonstration.end() == 0
    assert "eyJ" not in log_of(tmp_path, "proxy.log")


def kinds_of(watched: str) -> str:
    return " ".join(re.findall(r"^ *\d+  (\w+) +\{", watched, re.MULTILINE))


def test_what_is_suggested_fits_the_configuration(tmp_path: Path) -> None:
    written = io.StringIO()
    where = Where("127.0.0.1:1", "127.0.0.1:2", "127.0.0.1:3", tmp_path)
    invitation(Screen(written, {}), where, tmp_path / "config.yaml", tmp_path)
    # There is no such mapping beside this configuration: nothing is said of editing it.
    assert "Try it" in written.getvalue()
    assert "Edit the mapping" not in written.getvalue()


async def test_sigterm_in_the_middle_ends_everything(tmp_path: Path) -> None:
    async with running_demo(tmp_path) as demonstration:
        await demonstration.read_until("│ new client")
        children = demonstration.children()
        demonstration.signal(signal.SIGTERM)
        assert await demonstration.end() == 128 + signal.SIGTERM
    assert len(children) == 2
    assert not any(map(is_alive, children.values()))
    assert left_behind(tmp_path) == []


@pytest.mark.parametrize(
    ("module", "name", "moment", "pace"),
    [
        ("proxy", "the proxy", "│ new client", ()),
        ("demo.backend", "the backend", "Ctrl-C ends it.", ("--fast",)),
    ],
)
async def test_the_death_of_a_program_ends_it_with_1(
    tmp_path: Path, module: str, name: str, moment: str, pace: tuple[str, ...]
) -> None:
    async with running_demo(tmp_path, *pace) as demonstration:
        await demonstration.read_until(moment)
        children = demonstration.children()
        os.kill(children[module], signal.SIGKILL)
        assert await demonstration.end() == 1
    assert f"{name} was ended by signal 9" in demonstration.output[-1]
    assert "Traceback" not in demonstration.output[-1]
    assert not any(map(is_alive, children.values()))
    assert left_behind(tmp_path) == []
