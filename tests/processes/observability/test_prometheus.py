"""What Prometheus and Grafana are given: checked by promtool, and asked of a real Prometheus."""

from __future__ import annotations

import asyncio
import json
import re
import subprocess
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import trustme
import yaml

from tests.support.administered import METRICS, TOKENS, administered
from tests.support.authority import Authority, Client, Received
from tests.support.checkout import ROOT
from tests.support.prometheus import PROMETHEUS, prometheus, queries
from tests.support.rfc6455 import CLOSE, TEXT
from tests.support.rig import RawPeer, Segue, raw_server, segue
from tests.support.sockets import Socket, accept_of, closing, fields_of, handshake
from tests.support.waiting import PATIENCE
from tools.metrics_doc import TARGET, families, main, render

RECORDING = PROMETHEUS / "segue-recording.yml"
ALERTS = PROMETHEUS / "segue-alerts.yml"
TESTS = (PROMETHEUS / "segue-alerts.test.yml", PROMETHEUS / "segue-recording-absent.test.yml")
DASHBOARD = ROOT / "deploy" / "grafana" / "segue.json"
RUNBOOKS = ROOT / "docs" / "runbooks.md"

MODERN = b"X-Client-Version: 2.1"

MAPPING = """\
name: m
description: Rules that succeed, add, drop and fail.
channel: websocket
direction: to_client
kinds: {field: kind, known: [known]}
rules:
  - name: mapped
    match: {field: kind, equals: old}
    do: [set: {kind: new}]
    examples: [{in: {kind: old}, out: {kind: new}}]
  - name: clash
    match: {field: kind, equals: clash}
    do: [rename: {a: b}]
    examples: [{in: {kind: clash, a: 1}, out: {kind: clash, b: 1}}]
"""

CONFIGURATION = """\
upstream: {url: "http://127.0.0.1:1"}
cohorts:
  - name: modern
    versions: ">=2"
    websocket: {to_client: [m]}
  - name: canary
    versions: ">=1,<2"
    websocket: {to_client: [m]}
  - name: shadowed
    versions: "<1"
    websocket: {to_client: [m]}
switching: {switches: {canary/m: canary 50%, shadowed/m: shadow}}
coalescing:
  - {name: polled, path: /polled}
  - {name: told, path: "/told/{id}", fresh_until: {message: {id: id}}}
"""

ENDED = 0.1
"""Seconds that an access token lives, so that the next round of traffic has one that has ended."""


def recording_rules() -> list[dict[str, str]]:
    (group,) = yaml.safe_load(RECORDING.read_text(encoding="utf-8"))["groups"]
    rules: list[dict[str, str]] = group["rules"]
    return rules


def alerting_group() -> list[dict[str, Any]]:
    (group,) = yaml.safe_load(ALERTS.read_text(encoding="utf-8"))["groups"]
    rules: list[dict[str, Any]] = group["rules"]
    return rules


def alerts() -> list[dict[str, Any]]:
    return [rule for rule in alerting_group() if "alert" in rule]


def setting() -> dict[str, Any]:
    """The rule that says where the runbooks are."""
    (rule,) = [rule for rule in alerting_group() if "record" in rule]
    return rule


def compared(expression: str) -> list[str]:
    """What has data while an alert does not fire: what it compares, or says is absent."""
    if absent := re.fullmatch(r"absent\((.+)\)", expression):
        return [absent[1]]
    if len(sides := expression.split(" unless on ")) == 2:
        return [sides[0], sides[1].partition(") ")[2]]
    threshold = re.fullmatch(r"(.+) (?:==|>|<) [\d.]+", expression)
    assert threshold is not None, expression
    return [threshold[1]]


def panels() -> list[dict[str, Any]]:
    shown: list[dict[str, Any]] = json.loads(DASHBOARD.read_text(encoding="utf-8"))["panels"]
    return shown


def expressions() -> list[str]:
    """Every expression of rules and dashboard, with the dashboard's variables filled in.

    Of an alert's, the part left of the threshold: the whole gives data only while it fires, which
    `segue-alerts.test.yml` is about.
    """
    found = [rule["record"] for rule in recording_rules()]
    found += [rule["expr"] for rule in recording_rules()]
    found += [expression for alert in alerts() for expression in compared(alert["expr"])]
    found.append(setting()["record"])
    asked = [target["expr"] for panel in panels() for target in panel.get("targets", ())]
    marks = json.loads(DASHBOARD.read_text(encoding="utf-8"))["annotations"]["list"]
    # The process is not started anew: what would tell is there.
    asked += [
        mark["expr"].partition(" > ")[0] if mark["name"] == "Starts" else mark["expr"]
        for mark in marks
    ]
    for expression in asked:
        filled = expression.replace("$__rate_interval", "1m")
        found.append(filled.replace("$job", "segue").replace("$instance", ".*"))
    assert not any("$" in expression for expression in found)
    return found


def promtool(*arguments: str | Path) -> None:
    done = subprocess.run(
        ["promtool", *arguments], cwd=PROMETHEUS, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.needs_prometheus
def test_promtool_finds_nothing_wrong_with_the_rules_and_the_example() -> None:
    promtool("check", "rules", RECORDING.name, ALERTS.name)
    promtool("check", "config", "prometheus.yml")


@pytest.mark.needs_prometheus
def test_each_alert_fires_for_what_it_is_about_and_none_for_a_proxy_that_works() -> None:
    promtool("test", "rules", *(file.name for file in TESTS))


def test_each_alert_is_shown_to_fire_and_to_stop() -> None:
    shown: dict[str, list[bool]] = {}
    for file in TESTS:
        for test in yaml.safe_load(file.read_text(encoding="utf-8"))["tests"]:
            for case in test["alert_rule_test"]:
                if case["alertname"] == test["name"]:
                    shown.setdefault(test["name"], []).append(bool(case["exp_alerts"]))
    assert shown == {alert["alert"]: [True, False] for alert in alerts()}


def test_each_alert_has_its_section_in_the_runbooks_and_its_absolute_address() -> None:
    sections = re.findall(r"^## (\w+)\n\n\*\*Means:\*\*", RUNBOOKS.read_text("utf-8"), re.MULTILINE)
    assert sections == [alert["alert"] for alert in alerts()]
    base = setting()
    assert base["record"] == "segue:runbooks:info"
    assert re.fullmatch(r"https://[^#\s]+", base["labels"]["url"])
    # Rules of one group are evaluated in their order.
    assert alerting_group()[0] == base
    prefix = '{{ with query "segue:runbooks:info" }}{{ . | first | label "url" }}{{ end }}'
    for alert in alerts():
        assert alert["annotations"]["runbook_url"] == f"{prefix}#{alert['alert'].lower()}"


def test_the_panels_of_the_dashboard_do_not_overlap() -> None:
    taken: set[tuple[int, int]] = set()
    for panel in panels():
        place = panel["gridPos"]
        cells = {
            (place["x"] + x, place["y"] + y) for x in range(place["w"]) for y in range(place["h"])
        }
        assert not cells & taken, panel["title"]
        assert max(x for x, _ in cells) < 24
        taken |= cells
    assert len({panel["id"] for panel in panels()}) == len(panels())


def test_the_documentation_of_the_metrics_is_what_the_registry_says() -> None:
    assert main(["--check"]) == 0, "run: python -m tools.metrics_doc"


async def test_a_changed_registry_is_noticed() -> None:
    shown = await families()
    assert render(shown) == TARGET.read_text(encoding="utf-8")
    assert render(shown[1:]) != TARGET.read_text(encoding="utf-8")


# A running Segue, a real Prometheus.


async def serve(peer: RawPeer) -> None:
    """A server that answers, refuses, fails, breaks off, issues tokens, and speaks WebSocket."""
    authority = Authority(access=ENDED)
    while True:
        head = await peer.read_head()
        if head.startswith(b"POST /api/auth/"):
            (length,) = fields_of(head, b"content-length")
            received = Received(head, await peer.read(int(length)), 0)
            await peer.send(authority.usual(received))
            continue
        if head.startswith(b"GET /broken "):
            return
        keys = fields_of(head, b"sec-websocket-key")
        if b"/refused " in head:
            await peer.send(b"HTTP/1.1 403 No\r\nContent-Length: 0\r\n\r\n")
        elif keys:
            await peer.send(
                b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n"
                b"Connection: Upgrade\r\nSec-WebSocket-Accept: " + accept_of(keys[0]) + b"\r\n\r\n"
            )
            await speak(Socket(peer, is_client=False))
            return
        else:
            await peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")


async def speak(server: Socket) -> None:
    for text in (b'{"kind":"old"}', b'{"kind":"clash","a":1,"b":2}', b'{"kind":"x"}'):
        await server.send(TEXT, text)
    await server.message()
    await server.send(CLOSE, closing(1000))
    await server.peer.read_all()


async def traffic(proxy: Segue, user: Client) -> None:
    """A little of everything that is counted; `user` has logged in and knows no newer token."""

    async def ask(target: bytes, *fields: bytes) -> None:
        lines = (b"GET " + target + b" HTTP/1.1", b"Host: h", b"Connection: close", *fields)
        await proxy.ask(b"\r\n".join(lines) + b"\r\n\r\n")

    await ask(b"/", MODERN)
    await ask(b"/", b"X-Client-Version: none that I know")
    await ask(b"/broken", MODERN)
    await ask(b"/long", b"X: " + b"x" * 20_000)
    await proxy.ask(handshake(b"/refused", MODERN))
    await ask(b"/polled")
    assert await user.get("/") == 200
    for version in (b"1.5", b"0.5"):
        await speak_with(proxy, b"X-Client-Version: " + version)
    assert await speak_with(proxy, MODERN) == b'{"kind":"new"}'


async def speak_with(proxy: Segue, version: bytes) -> bytes:
    """Have the server speak to a client until both have closed; its first message."""
    async with proxy.client() as client:
        await client.send(handshake(b"/ws", version))
        await client.read_head()
        socket = Socket(client, is_client=True)
        first = await socket.message()
        await socket.send(TEXT, b"done")
        with suppress(asyncio.IncompleteReadError):
            while (await socket.receive()).opcode != CLOSE:
                pass
    return first


async def turn(proxy: Segue, percent: int) -> None:
    """Make revisions: a canary, and a ramp that is paused."""
    place = "/api/v1/switches/canary/m"
    async with proxy.admin() as client:
        async with client.get(place) as answer:
            tag = answer.headers["ETag"]
        order = {"state": "canary", "percent": percent, "reason": "a test"}
        async with client.put(place, json=order, headers={"If-Match": tag}) as answer:
            assert answer.status == 200, await answer.text()
            tag = f'"{(await answer.json())["revision"]["number"]}"'
        ramp = {"steps": ["60%", "on"], "every": 3600, "reason": "a test"}
        async with client.post(f"{place}/ramp", json=ramp, headers={"If-Match": tag}) as answer:
            assert answer.status == 200, await answer.text()
        async with client.post(f"{place}/ramp/pause", json={"reason": "a test"}) as answer:
            assert answer.status == 200, await answer.text()


@pytest.mark.needs_prometheus
async def test_prometheus_reads_protected_metrics_with_a_token_from_a_file(tmp_path: Path) -> None:
    (tmp_path / "segue-token").write_text(METRICS, encoding="utf-8")
    right = {"type": "Bearer", "credentials_file": str(tmp_path / "segue-token")}
    async with administered(tmp_path, tokens=TOKENS, protect_metrics=True) as running:
        target = running.proxy.server.admin_address
        for scrape, up in (({"authorization": right}, "1"), ({}, "0")):
            directory = tmp_path / up
            directory.mkdir()
            with prometheus(directory, target, scrape=scrape) as address:
                async with queries(address) as query:
                    deadline = time.monotonic() + PATIENCE
                    found: list[Any] = []
                    while not found:
                        assert time.monotonic() < deadline
                        await asyncio.sleep(0.2)
                        with suppress(aiohttp.ClientConnectionError):
                            found = await query(f"up == {up}")


@pytest.mark.needs_prometheus
async def test_every_expression_of_rules_and_dashboard_has_data(tmp_path: Path) -> None:
    (tmp_path / "mappings").mkdir()
    (tmp_path / "mappings" / "m.yaml").write_text(MAPPING, encoding="utf-8")
    config = tmp_path / "config.yaml"
    config.write_text(CONFIGURATION, encoding="utf-8")
    missing = set(expressions())
    issued = trustme.CA().issue_cert("127.0.0.1")
    issued.private_key_and_cert_chain_pem.write_to_path(tmp_path / "admin.pem")
    everything = {
        "SEGUE_SESSIONS__ENABLED": "true",
        "SEGUE_STATE_DIR": str(tmp_path / "state"),
        "SEGUE_ADMIN__TLS__CERTIFICATE": str(tmp_path / "admin.pem"),
        "SEGUE_ADMIN__TLS__KEY": str(tmp_path / "admin.pem"),
    }
    tls = {"scheme": "https", "tls_config": {"insecure_skip_verify": True}}
    async with raw_server(serve) as server, segue(server.url, everything, config) as proxy:
        user = Client(proxy)
        await user.log_in()
        # What is open now is not shown once it has ended.
        open_one = await proxy.connect()
        await open_one.send(handshake(b"/ws", MODERN))
        await open_one.read_head()
        with prometheus(tmp_path, proxy.server.admin_address, scrape=tls) as address:
            async with queries(address) as query:
                deadline, rounds = time.monotonic() + PATIENCE, 0
                while missing:
                    # Each other one is refused.
                    rounds += 1
                    odd = "misspelt: 1" if rounds % 2 else f"# {rounds}"
                    config.write_text(f"{CONFIGURATION}{odd}\n", encoding="utf-8")
                    proxy.server.reload()
                    await turn(proxy, 50 + rounds % 2)
                    await traffic(proxy, user)
                    # It would look by itself, and read what the fleet has seen, in a minute.
                    await proxy.server._sunset.step()
                    await proxy.server._sunset.read_all()
                    await asyncio.sleep(0.5)
                    with suppress(aiohttp.ClientConnectionError):  # It has not started yet.
                        for expression in sorted(missing):
                            if await query(expression):
                                missing.discard(expression)
                    if time.monotonic() > deadline:
                        log = (tmp_path / "prometheus.log").read_text(encoding="utf-8")
                        pytest.fail("no data for:\n" + "\n".join(sorted(missing)) + "\n" + log)
                # And the data are those of this proxy.
                (sample,) = await query('segue_messages_total{mapping="m",outcome="failed"}')
                assert float(sample["value"][1]) >= 1
                (sample,) = await query('segue_unmapped_kinds_total{mapping="m"}')
                assert sample["metric"]["kind"] == "other"
                (sample,) = await query('segue_coalescing_upstream_requests_total{route="polled"}')
                assert float(sample["value"][1]) >= 1
                renewed = 'segue_session_refreshes_total{trigger="expiry",result="renewed"}'
                (sample,) = await query(renewed)
                assert float(sample["value"][1]) >= 1
        await open_one.close()
