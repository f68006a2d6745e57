"""`POST /explain`, `GET /mappings` and `GET /upstreams`: what serves, told to viewers."""

from __future__ import annotations

import asyncio
import json
import shutil
from base64 import urlsafe_b64encode
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from proxy.admin.explain import MAX_FRAME
from proxy.cli.main import main
from proxy.gateway.identity import identity_of_user
from proxy.versions.version import Version
from tests.support.checkout import ROOT
from tests.support.rig import Segue, segue
from tests.support.turning import Operator, operator

FRAME = '{"kind": "jobStatus", "jobId": "j-1", "status": "running", "message": null}'


@pytest.fixture
def config(tmp_path: Path) -> Path:
    shutil.copytree(ROOT / "mappings", tmp_path / "mappings")
    return Path(shutil.copy(ROOT / "config.yaml", tmp_path))


@pytest.fixture
async def proxy(config: Path) -> AsyncIterator[Segue]:
    async with segue(None, config=config) as running:
        yield running


async def explained(proxy: Segue, **asked: object) -> tuple[int, Any]:
    async with proxy.admin() as admin, admin.post("/api/v1/explain", json=asked) as response:
        return response.status, await response.json()


async def test_endpoint_and_command_give_the_same_answer(
    proxy: Segue, config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for version in ("2.1.0", "1.0"):
        status, found = await explained(proxy, version=version, frame=FRAME)
        assert status == 200
        # The command has files alone.
        told = [found.pop(key) for key in ("revision", "all_off", "switches")]
        assert told[:2] == [0, False]
        arguments = ["--config", str(config), "--client-version", version, "--frame", FRAME]
        assert await asyncio.to_thread(main, ["explain", *arguments, "--json"]) == 0
        assert found == json.loads(capsys.readouterr().out)
    _, found = await explained(proxy, version="2.1.0", frame=FRAME)
    assert (found["cohort"], found["outcome"]) == ("modern", "mapped")
    assert found["changes"] == [{"path": "kind", "before": '"jobStatus"', "after": '"status"'}]


async def test_client_alone_can_be_asked_about(proxy: Segue) -> None:
    status, found = await explained(proxy, headers=["X-Client-Version: 2.0"])
    assert (status, found["cohort"], found["source"]) == (200, "modern", "header")
    assert found["outcome"] is None


@pytest.mark.parametrize(
    ("asked", "pointer"),
    [
        ({"headers": ["no colon"]}, "#/headers/0"),
        ({"route": "GET"}, "#/route"),
        ({"direction": "sideways"}, "#/direction"),
        ({"frame": "x" * (MAX_FRAME + 1)}, "#/frame"),
        ({"headers": ["a: b"] * 51}, "#/headers"),
        ({"frame": {"kind": "status"}}, "#/frame"),
    ],
)
async def test_what_cannot_be_answered_is_told_with_its_place(
    proxy: Segue, asked: dict[str, Any], pointer: str
) -> None:
    status, found = await explained(proxy, **asked)
    assert (status, found["errors"][0]["pointer"]) == (400, pointer)


@pytest.mark.parametrize(
    ("frame", "outcome"),
    [
        ("", "passed"),
        ("nonsense", "passed"),
        ("[" * 60_000, "failed"),
        ('{"kind": "jobStatus"' + " " * 60_000, "passed"),
        ("\x00\x1b[2J", "passed"),
    ],
)
async def test_hostile_frames_are_told_of_and_the_listener_lives(
    proxy: Segue, frame: str, outcome: str
) -> None:
    status, found = await explained(proxy, version="2.1.0", frame=frame)
    assert (status, found["outcome"]) == (200, outcome)


async def test_answer_stays_within_bounds_where_a_rule_multiplies(
    config: Path, tmp_path: Path
) -> None:
    rule = {
        "name": "many",
        "match": {"field": "kind", "equals": "many"},
        "do": [{"split": {"field": "items", "into": "item"}}, {"set": {"kind": "one"}}],
        "examples": [
            {
                "in": {"kind": "many", "items": [1], "rest": "x"},
                "out": {"kind": "one", "item": 1, "rest": "x"},
            }
        ],
    }
    mapping = {"description": "d", "channel": "websocket", "direction": "to_client"}
    (tmp_path / "mappings" / "many.yaml").write_text(
        json.dumps({"name": "many", **mapping, "rules": [rule]})
    )
    text = config.read_text().replace("to_client: [old-to-new]", "to_client: [many]")
    assert "[many]" in text
    config.write_text(text)
    frame = json.dumps({"kind": "many", "items": [0] * 1000, "rest": "r" * 50_000})
    async with segue(None, config=config) as proxy:
        status, found = await explained(proxy, version="2.1.0", frame=frame)
        assert (status, found["cut"], found["passes"]) == (200, True, [])


# What is in force, and not what was asked for.


@pytest.fixture
async def turning(proxy: Segue) -> AsyncIterator[Operator]:
    async with operator(Path(proxy.state_directory)) as asking:
        yield asking


SWITCH = "modern/old-to-new"


def deciding(found: Any) -> Any:
    (switch,) = [each for each in found["switches"] if each["switch"] == SWITCH]
    return switch


async def in_force(proxy: Segue, version: str = "2.1.0", **asked: object) -> Any:
    status, found = await explained(proxy, version=version, frame=FRAME, **asked)
    assert status == 200, found
    return found


async def test_a_switch_that_is_on_by_the_configuration_is_told_as_that(proxy: Segue) -> None:
    found = await in_force(proxy)
    assert (found["to_client"], found["outcome"], found["revision"]) == ("old-to-new", "mapped", 0)
    assert deciding(found) == {
        "switch": SWITCH,
        "state": "on",
        "percent": None,
        "exception": "",
        "applied": True,
        "revision": 0,
        "told": "on, by the configuration",
    }


@pytest.mark.parametrize("state", ["off", "shadow"])
async def test_a_switch_that_is_not_on_has_the_original_sent(
    proxy: Segue, turning: Operator, state: str
) -> None:
    await turning.turn(SWITCH, state)
    found = await in_force(proxy)
    assert (found["to_client"], found["outcome"], found["messages"]) == (None, "passed", [FRAME])
    switch = deciding(found)
    assert (switch["state"], switch["applied"], switch["revision"]) == (state, False, 1)
    assert switch["told"].startswith(f"{state}, by revision 1")


async def test_an_exception_is_for_its_versions(proxy: Segue, turning: Operator) -> None:
    await turning.turn(SWITCH, "off", versions="==2.1.3", name="broken")
    assert (await in_force(proxy))["outcome"] == "mapped"
    found = await in_force(proxy, "2.1.3")
    assert found["outcome"] == "passed"
    assert deciding(found)["told"] == "off, by the exception `broken`, by revision 1"
    assert deciding(found)["exception"] == "broken"


async def test_everything_off_decides_before_all_else(proxy: Segue, turning: Operator) -> None:
    await turning.turn(SWITCH, "canary", percent=50)
    await turning.order("/switches/all-off")
    found = await in_force(proxy)
    assert (found["all_off"], found["to_client"], found["to_server"]) == (True, None, None)
    assert deciding(found)["told"] == "everything is off, since revision 2 or before"
    await turning.order("/switches/restore", open_sockets="keep")
    assert deciding(await in_force(proxy))["revision"] == 1


async def test_a_canary_is_told_as_the_gateway_decides_it(proxy: Segue, turning: Operator) -> None:
    await turning.turn(SWITCH, "canary", percent=50)
    switches = proxy.server._live.current.switches
    version = Version.parse("2.1.0")
    outcomes = set()
    for number in range(16):
        user = f"user-{number}"
        found = await in_force(proxy, user=user)
        # The same token of the same user, as a request has it.
        decision = switches.decide("modern", version, partial(identity_of_user, user))
        program = decision.programs.to_client
        assert found["to_client"] == (None if program is None else program.name)
        outcomes.add(deciding(found)["told"].rpartition(": ")[2])
    assert outcomes == {"this user is in it", "this user is not in it"}
    found = await in_force(proxy)
    assert (found["outcome"], deciding(found)["percent"]) == ("passed", 50.0)
    assert "50 % of the users have it applied" in deciding(found)["told"]
    await turning.turn(SWITCH, "canary", percent=100)
    found = await in_force(proxy)
    assert found["outcome"] == "mapped"
    assert deciding(found)["told"] == "canary 100%, by revision 2: everybody is in it"


def jwt(user: str) -> str:
    """A token that names a user, as a server signs it."""
    parts = ({"alg": "HS256"}, {"sub": user, "marked": "S3CRET"})
    head, claims = (urlsafe_b64encode(json.dumps(each).encode()).rstrip(b"=") for each in parts)
    return b".".join((head, claims, b"c2lnbmF0dXJl")).decode()


@pytest.mark.parametrize("place", ["field", "query"])
async def test_a_canary_is_decided_by_the_token_that_the_client_sends(
    proxy: Segue, turning: Operator, place: str
) -> None:
    await turning.turn(SWITCH, "canary", percent=50)
    switches = proxy.server._live.current.switches
    version = Version.parse("2.1.0")
    outcomes = set()
    for number in range(16):
        token = jwt(f"user-{number}")
        sent: dict[str, Any] = {"headers": [f"authorization: bearer  {token}"]}
        if place == "query":
            sent = {"query": f"a=b&token={token}"}
        status, answer = await explained(proxy, version="2.1.0", frame=FRAME, **sent)
        assert (status, token in json.dumps(answer)) == (200, False)
        program = switches.decide(
            "modern", version, partial(identity_of_user, f"user-{number}")
        ).programs.to_client
        assert answer["to_client"] == (None if program is None else program.name)
        assert answer == await in_force(proxy, user=f"user-{number}")
        outcomes.add(deciding(answer)["told"].rpartition(": ")[2])
        # Who is asked about by name is that one, whatever else is sent.
        other = await in_force(proxy, user="user-0", **sent)
        assert other == await in_force(proxy, user="user-0")
    assert outcomes == {"this user is in it", "this user is not in it"}


async def test_a_token_is_read_where_the_gateway_reads_it_and_is_in_no_answer(
    proxy: Segue, turning: Operator
) -> None:
    await turning.turn(SWITCH, "canary", percent=50)
    token = jwt("user-1")
    # Bodies have no token in their query, two credentials are one nobody reads, and an opaque one
    # is somebody.
    nobody = "name a `user`"
    for told, sent in (
        (nobody, {"route": "GET /api/jobs/", "query": f"token={token}"}),
        (nobody, {"query": "token="}),
        ("this user", {"headers": [f"Authorization: Bearer {token}", "Authorization: Basic x"]}),
        ("this user", {"headers": ["Authorization: Bearer opaque-S3CRET"]}),
        ("this user", {"headers": ["Authorization: \x1b S3CRET"]}),
    ):
        status, answer = await explained(proxy, version="2.1.0", **sent)
        assert status == 200
        if "route" not in sent:
            assert told in deciding(answer)["told"]
    for wrong in (
        {"headers": [f"Authorization Bearer {token}"]},
        {"headers": [f"Authorization: Bearer {token}"], "route": f"GET {token}"},
        {"headers": [f"Authorization: Bearer {token}"], "version": "2", "extra": token},
        {"headers": [f"Authorization: Bearer {token * 100}"]},
    ):
        status, answer = await explained(proxy, **wrong)
        assert status in (400, 422)
        assert "S3CRET" not in json.dumps(answer)
        assert token not in json.dumps(answer)


async def test_asking_moves_no_figure(proxy: Segue, turning: Operator) -> None:
    await turning.turn(SWITCH, "canary", percent=50)
    for number in range(8):
        await in_force(proxy, user=f"user-{number}")
    assert not any(proxy.server._live.current.switches.counts().values())
    (users,) = [users for _, _, users in proxy.server._live.current.switches.users()]
    assert (users.inside.count(), users.outside.count()) == (0, 0)


@pytest.mark.parametrize("user", ["", "x" * 5000, 7, ["a"], "\ud800"])
async def test_a_user_that_is_none_is_refused_and_one_that_is_odd_is_nobody_special(
    proxy: Segue, turning: Operator, user: object
) -> None:
    await turning.turn(SWITCH, "canary", percent=50)
    status, found = await explained(proxy, version="2.1.0", frame=FRAME, user=user)
    assert status == 400
    assert "Traceback" not in json.dumps(found)
    assert (await in_force(proxy, user="\x00 \x1b[2J ☃"))["cohort"] == "modern"


async def test_a_mapping_tells_in_which_switches_it_stands(proxy: Segue, turning: Operator) -> None:
    async def shown() -> tuple[Any, Any]:
        async with proxy.admin() as admin, admin.get("/api/v1/mappings") as response:
            found = await response.json()
        (mapping,) = [each for each in found["mappings"] if each["name"] == "old-to-new"]
        (switch,) = [each for each in mapping["switches"] if each["switch"] == SWITCH]
        return found, switch

    _, switch = await shown()
    assert switch == {
        "switch": SWITCH,
        "state": "on",
        "percent": None,
        "exceptions": [],
        "revision": 0,
    }
    await turning.turn(SWITCH, "canary", percent=12.5)
    await turning.turn(SWITCH, "off", versions="==2.1.3", name="broken")
    found, switch = await shown()
    broken = {"name": "broken", "versions": "==2.1.3", "state": "off", "percent": None}
    assert (switch["state"], switch["percent"], switch["exceptions"]) == ("canary", 12.5, [broken])
    assert (found["revision"], found["all_off"], switch["revision"]) == (2, False, 2)
    await turning.order("/switches/all-off")
    found, switch = await shown()
    assert found["all_off"]
    assert (switch["state"], switch["exceptions"]) == ("off", [])


async def test_mappings_are_shown_with_rules_examples_and_uses(proxy: Segue) -> None:
    async with proxy.admin() as admin, admin.get("/api/v1/mappings") as response:
        found = await response.json()
    assert found["configuration"] == proxy.server._live.current.digest
    named = {each["name"]: each for each in found["mappings"]}
    mapping = named["old-to-new"]
    assert (mapping["inverse"], mapping["derived_from"]) == ("new-to-old", None)
    assert (mapping["channel"], mapping["direction"]) == ("websocket", "to_client")
    assert mapping["on_error"] == "pass"
    assert mapping["description"]
    first = mapping["rules"][0]
    assert first["match"]["equals"]
    assert first["do"][0]["set"]
    assert {"in", "out"} == set(first["examples"][0])
    assert {
        "cohort": "modern",
        "channel": "websocket",
        "direction": "to_client",
        "route": None,
        "methods": [],
        "position": 0,
        "chain": ["old-to-new"],
    } in mapping["used_by"]


async def test_upstreams_are_shown_as_status_shows_them(proxy: Segue) -> None:
    async with proxy.admin() as admin:
        upstreams = await (await admin.get("/api/v1/upstreams")).json()
        status = await (await admin.get("/api/v1/status")).json()
    assert upstreams["upstreams"] == status["upstreams"]
    assert len(upstreams["upstreams"]) == 1
