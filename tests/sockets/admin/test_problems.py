"""Refusals of the admin listener: problem documents, whoever makes them, with nothing of theirs."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest

from proxy.admin.orders import INVALID, MAX_BODY
from tests.support.administered import (
    ADMIN,
    OPERATOR,
    VIEWER,
    Administered,
    Answer,
    administered,
    bearer,
)
from tests.support.rig import RawPeer

ORDER = "/api/v1/recordings"


@pytest.fixture
async def running(tmp_path: Path) -> AsyncIterator[Administered]:
    async with administered(tmp_path) as found:
        yield found


def problem(answer: Answer) -> dict[str, Any]:
    """The document of a refusal, whose form holds for each."""
    found: dict[str, Any] = json.loads(answer.body)
    assert "Content-Type: application/problem+json" in answer.head
    assert "Cache-Control: no-store" in answer.head
    assert found["status"] == answer.status
    assert found["title"]
    assert found["type"] == (f"/problems/{INVALID}" if "errors" in found else "about:blank")
    return found


async def order(running: Administered, body: str) -> Answer:
    return await running.ask(ORDER, bearer(OPERATOR), method="POST", body=body)


async def test_unknown_path_says_which_there_are_and_repeats_nothing(
    running: Administered,
) -> None:
    for path in ("/secret-of-mine", "/api/v1/secret-of-mine", "/api/v2/status", "/sessions"):
        answer = await running.ask(path)
        found = problem(answer)
        assert (answer.status, found["title"]) == (404, "Not Found")
        assert "/api/v1/sessions" in found["detail"]
        assert "/readyz" in found["detail"]
        assert "secret" not in answer.body + answer.head


async def test_method_that_a_path_does_not_take_is_told_which_it_takes(
    running: Administered,
) -> None:
    answer = await running.ask("/api/v1/log/watches", bearer(ADMIN), method="PUT", body="{}")
    assert (answer.status, problem(answer)["title"]) == (405, "Method Not Allowed")
    assert "Allow: GET,HEAD,POST\r\n" in answer.head
    assert answer.detail == "this path takes GET,HEAD,POST"


async def test_body_that_is_too_large_is_refused(running: Administered) -> None:
    answer = await order(running, '{"keep": ["' + "x" * MAX_BODY + '"]}')
    assert (answer.status, answer.detail) == (413, f"the body has more than {MAX_BODY} bytes")
    problem(answer)


async def test_what_is_no_http_is_refused_as_a_problem(running: Administered) -> None:
    answer = await running.ask("/api/v1/status", "A secret: x", method="GET")
    assert answer.status == 400
    problem(answer)
    assert "secret" not in answer.body


async def test_unknown_expectation_is_refused(running: Administered) -> None:
    answer = await running.ask("/api/v1/status", bearer(VIEWER), "Expect: miracles")
    assert answer.status == 417
    assert "miracles" not in json.dumps(problem(answer))


async def test_failure_of_segues_own_tells_no_details(
    running: Administered, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(_: object) -> None:
        raise RuntimeError("a detail that nobody is told")

    monkeypatch.setattr(type(running.proxy.server._data.access_log.versions), "most", broken)
    answer = await running.ask("/api/v1/versions", bearer(VIEWER))
    assert (answer.status, answer.detail) == (500, "something failed in Segue; its log says what")
    assert "a detail" not in json.dumps(problem(answer))


@pytest.mark.parametrize(
    ("body", "pointers"),
    [
        ("{", ["#"]),
        ("[]", ["#"]),
        ('{"count": 0, "seconds": -1}', ["#/count", "#/seconds"]),
        ('{"count": "5"}', ["#/count"]),
        ('{"count": 5.5}', ["#/count"]),
        ('{"count": 1e400}', ["#/count"]),
        ('{"raw": 1}', ["#/raw"]),
        ('{"raw": 1.0}', ["#/raw"]),
        ('{"keep": ["a", ""]}', ["#/keep/1"]),
        ('{"a/b~c": 1}', ["#/a~1b~0c"]),
        ('{"mapping": "\\ud800"}', ["#"]),
    ],
)
async def test_everything_that_is_wrong_with_a_body_has_its_place(
    running: Administered, body: str, pointers: list[str]
) -> None:
    answer = await order(running, body)
    assert answer.status == 400
    found = problem(answer)
    assert [each["pointer"] for each in found["errors"]] == pointers
    assert all(each["detail"] for each in found["errors"])


@pytest.mark.parametrize(
    ("query", "parameter"),
    [
        ("limit=0", "limit"),
        ("limit=1_0", "limit"),
        ("limit=%201", "limit"),
        ("limit=1&limit=2", "limit"),
        ("older_than_reload=yes", "older_than_reload"),
        ("older_than_reload=1", "older_than_reload"),
        ("unknown=1", "unknown"),
    ],
)
async def test_everything_that_is_wrong_with_a_query_has_its_parameter(
    running: Administered, query: str, parameter: str
) -> None:
    answer = await running.ask(f"/api/v1/sockets?{query}", bearer(VIEWER))
    assert answer.status == 400
    (fault,) = problem(answer)["errors"]
    assert fault["parameter"] == parameter


async def test_number_without_a_fraction_is_whole_however_it_is_written(
    running: Administered,
) -> None:
    assert (await order(running, '{"count": 5.0}')).status == 201


async def test_number_of_faults_that_are_told_is_bounded(running: Administered) -> None:
    names = ", ".join(f'"{"x" * 1000}{number}": 1' for number in range(500))
    answer = await order(running, f"{{{names}}}")
    assert len(problem(answer)["errors"]) == 20
    assert len(answer.body) < 20_000


def pieces(order: bytes) -> Iterator[bytes]:
    for begin in range(0, len(order), 7):
        yield order[begin : begin + 7]


async def test_refusals_leave_the_connection_usable(running: Administered) -> None:
    peer = RawPeer(*await asyncio.open_connection(*running.place))
    for target, expected in (("/none", b"404"), ("/api/v1/reload", b"405"), ("/readyz", b"200")):
        request = f"GET {target} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode()
        for piece in pieces(request):
            await peer.send(piece)
        head, _ = await peer.read_response()
        assert head.split(b" ")[1] == expected
    await peer.close()
