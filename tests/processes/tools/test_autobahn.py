"""What is made of the suite's report, and that its peers echo. `make autobahn` runs the suite."""

from __future__ import annotations

import asyncio
import json
import shutil
import subprocess
from pathlib import Path

import pytest
from websockets.asyncio.client import connect
from websockets.asyncio.server import ServerConnection, serve

from tests.support.checkout import ROOT
from tests.support.waiting import PATIENCE
from tools.autobahn import peers
from tools.autobahn.report import CASES, Outcome, problems, read, table

OK = Outcome("OK", "OK")
LATE = Outcome("NON-STRICT", "OK")
ALL_OK = {f"{1 + number % 7}.{number}": OK for number in range(CASES)}


def test_a_report_is_read_by_agent_and_case(tmp_path: Path) -> None:
    index = tmp_path / "index.json"
    case = {"behavior": "OK", "behaviorClose": "UNCLEAN", "duration": 2}
    index.write_text(json.dumps({"direct": {"1.1.1": case}}))
    assert read(index) == {"direct": {"1.1.1": Outcome("OK", "UNCLEAN")}}


@pytest.mark.parametrize("text", ["{", "[]", '{"a": 1}', '{"a": {"1": {}}}'])
def test_what_is_no_report_is_said_to_be_none(tmp_path: Path, text: str) -> None:
    index = tmp_path / "index.json"
    index.write_text(text)
    with pytest.raises(ValueError):  # noqa: PT011 (json's own is one too)
        read(index)


def test_a_run_that_is_like_the_one_without_the_proxy_has_no_problem() -> None:
    outcomes = {**ALL_OK, "1.0": LATE, "2.1": Outcome("INFORMATIONAL", "INFORMATIONAL")}
    assert list(problems("run", outcomes, outcomes)) == []
    assert list(problems("run", ALL_OK, outcomes)) == []


@pytest.mark.parametrize(
    "outcome",
    [
        Outcome("FAILED", "OK"),
        Outcome("OK", "FAILED BY CLIENT"),
        Outcome("OK", "WRONG CODE"),
        Outcome("OK", "UNCLEAN"),
        Outcome("UNIMPLEMENTED", "OK"),
        Outcome("a word of a later release", "OK"),
    ],
)
def test_a_case_that_fails_is_a_problem_even_where_it_fails_without_the_proxy(
    outcome: Outcome,
) -> None:
    outcomes = {**ALL_OK, "1.0": outcome}
    (problem,) = problems("run", outcomes, outcomes, tolerated=["1.0"])
    assert problem.startswith(f"run: 1.0 is {outcome}")


def test_a_case_that_is_worse_than_without_the_proxy_is_a_problem_unless_tolerated() -> None:
    outcomes = {**ALL_OK, "1.0": LATE}
    assert list(problems("run", outcomes, ALL_OK)) == [
        "run: 1.0 is NON-STRICT, but OK without the proxy"
    ]
    assert list(problems("run", outcomes, ALL_OK, tolerated=["1.0"])) == []


def test_cases_that_were_not_run_are_a_problem() -> None:
    some = {number: outcome for number, outcome in ALL_OK.items() if number != "1.0"}
    assert list(problems("run", some, ALL_OK)) == [
        f"run: {CASES - 1} of {CASES} cases were run",
        "run: 1.0 was run only without the proxy",
    ]
    assert list(problems("run", ALL_OK, some)) == ["run: 1.0 was run only with the proxy"]


def test_the_table_counts_outcomes_by_section() -> None:
    direct = {"1.1": OK, "1.2": LATE, "10.1": OK}
    lines = table({"direct": direct, "segue": {**direct, "1.1": LATE}}).splitlines()
    assert lines[0] == "| section | cases | direct | segue |"
    assert lines[2] == "| 1 | 2 | 1 NON-STRICT, 1 OK | 2 NON-STRICT |"
    assert lines[-2] == "| 10 | 1 | 1 OK | 1 OK |"
    assert lines[-1] == "| all | 3 | 2 OK, 1 NON-STRICT | 2 NON-STRICT, 1 OK |"


async def test_the_server_sends_every_message_back() -> None:
    async with peers.echo_server() as port:
        async with connect(f"ws://127.0.0.1:{port}", proxy=None) as connection:
            for message in ("text", b"\x00\xff", ""):
                await connection.send(message)
                assert await connection.recv() == message


async def test_the_client_takes_each_case_and_asks_for_the_report() -> None:
    visits: list[tuple[str, object]] = []

    async def fuzz(connection: ServerConnection) -> None:
        assert connection.request is not None
        path = connection.request.path
        answer: object = None
        if path == "/getCaseCount":
            await connection.send("2")
        elif path.startswith("/runCase"):
            await connection.send("ping?")
            answer = await connection.recv()
        visits.append((path, answer))

    async with serve(fuzz, "127.0.0.1", 0) as server:
        port = next(iter(server.sockets)).getsockname()[1]
        async with asyncio.timeout(PATIENCE):
            await peers.wait_for(port, PATIENCE)
            visits.clear()
            await peers.run_cases(f"ws://127.0.0.1:{port}", "me", "&client_version=2")
    assert visits == [
        ("/getCaseCount", None),
        ("/runCase?case=1&agent=me&client_version=2", "ping?"),
        ("/runCase?case=2&agent=me&client_version=2", "ping?"),
        ("/updateReports?agent=me&client_version=2", None),
    ]


def test_a_machine_without_debians_tools_is_told_so(tmp_path: Path) -> None:
    for command in ("bash", "dirname", "env", "realpath", "timeout"):
        found = shutil.which(command)
        assert found is not None
        (tmp_path / command).symlink_to(found)
    script = ROOT / "tools/autobahn/setup"
    done = subprocess.run(
        [script, "python3", tmp_path / "suite"],
        env={"PATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert "There is no apt-get here" in done.stderr
    assert not (tmp_path / "suite").exists()
