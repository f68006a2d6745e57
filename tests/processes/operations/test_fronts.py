"""The configurations of proxies in front of Segue: real nginx and HAProxy run theirs under load.

Traefik and Ingress controllers are not here to be run: theirs are read, and compared with what
Segue says of itself.
"""

from __future__ import annotations

import asyncio
import json
import shutil
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import yaml

from proxy.configuration.sections import Timeouts
from proxy.configuration.units import duration
from tests.support.checkout import ROOT
from tests.support.load import load, origin
from tests.support.process import Process, running
from tests.support.rig import answering, raw_server
from tests.support.waiting import PATIENCE

DEPLOY = ROOT / "deploy"
SHIPPED = ("10.0.0.11:8080", "10.0.0.12:8080")
KEEPALIVE = float(Timeouts.model_fields["keepalive"].default)
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"

FRONTS = [
    pytest.param("nginx", marks=pytest.mark.needs_nginx),
    pytest.param("haproxy", marks=pytest.mark.needs_haproxy),
]


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port


def nginx(directory: Path, port: int, servers: list[tuple[str, str]]) -> list[str]:
    text = (DEPLOY / "nginx" / "segue.conf").read_text(encoding="utf-8")
    for shipped, (address, _) in zip(SHIPPED, servers, strict=True):
        assert text.count(f"server {shipped} ") == 1
        text = text.replace(f"server {shipped} ", f"server {address} ")
    assert text.count("    listen 80;") == 1
    (directory / "segue.conf").write_text(text.replace("listen 80;", f"listen 127.0.0.1:{port};"))
    kinds = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    places = "".join(f"    {kind}_temp_path {directory}/{kind};\n" for kind in kinds)
    (directory / "nginx.conf").write_text(
        f"daemon off;\nmaster_process off;\npid {directory}/pid;\nerror_log stderr;\nevents {{}}\n"
        f"http {{\n    access_log off;\n{places}    include {directory}/segue.conf;\n}}\n"
    )
    return ["nginx", "-p", str(directory), "-e", "stderr", "-c", str(directory / "nginx.conf")]


def haproxy(directory: Path, port: int, servers: list[tuple[str, str]]) -> list[str]:
    text = (DEPLOY / "haproxy" / "haproxy.cfg").read_text(encoding="utf-8")
    for shipped, (address, admin) in zip(SHIPPED, servers, strict=True):
        line = f"{shipped} port 9090\n"
        assert text.count(line) == 1
        text = text.replace(line, f"{address} port {admin.rpartition(':')[2]}\n")
    assert text.count("    bind :80\n") == 1
    text = text.replace("bind :80\n", f"bind 127.0.0.1:{port}\n")
    (directory / "haproxy.cfg").write_text(text)
    return ["haproxy", "-db", "-f", str(directory / "haproxy.cfg")]


COMMANDS: dict[str, Callable[[Path, int, list[tuple[str, str]]], list[str]]] = {
    "nginx": nginx,
    "haproxy": haproxy,
}


@asynccontextmanager
async def front(name: str, directory: Path, servers: list[tuple[str, str]]) -> AsyncIterator[str]:
    """Run the shipped configuration in front of Segues, by both addresses of each; its address."""
    port = free_port()
    command = COMMANDS[name](directory, port, servers)
    with (directory / f"{name}.log").open("wb") as log:
        child = await asyncio.create_subprocess_exec(*command, stdout=log, stderr=log)
    try:
        async with asyncio.timeout(PATIENCE):
            while True:
                assert child.returncode is None, (directory / f"{name}.log").read_text()
                try:
                    _, writer = await asyncio.open_connection("127.0.0.1", port)
                except ConnectionRefusedError:
                    await asyncio.sleep(0.02)
                else:
                    writer.close()
                    break
        yield f"127.0.0.1:{port}"
    finally:
        if child.returncode is None:
            child.terminate()
        await child.wait()


@asynccontextmanager
async def segues(directory: Path, upstream: str, count: int = 2) -> AsyncIterator[list[Process]]:
    """Some Segues, with the shipped mappings, that trust what is in front of them."""
    shutil.copytree(ROOT / "mappings", directory / "mappings")
    config = directory / "config.yaml"
    shutil.copy(ROOT / "config.yaml", config)
    env = {"SEGUE_UPSTREAM__URL": upstream, "SEGUE_LISTEN__TRUSTED_PROXIES": "127.0.0.0/8"}
    async with AsyncExitStack() as stack:
        yield [await stack.enter_async_context(running(config, env=env)) for _ in range(count)]


@pytest.mark.parametrize("name", FRONTS)
async def test_nothing_is_lost_while_one_of_two_is_stopped(name: str, tmp_path: Path) -> None:
    async with origin() as server, segues(tmp_path, server.url) as (one, other):
        addresses = [(each.address, each.admin) for each in (one, other)]
        async with front(name, tmp_path, addresses) as address, load(address) as traffic:
            await traffic.pass_by(50)
            assert await one.terminate() == 0
            await traffic.pass_by(50)
            kinds = {each["kind"] for session in traffic.sessions for each in session.messages}
            assert kinds == {"status"}, (
                "the version did not come through, or no frame was rewritten"
            )
        assert server.requests == traffic.answered
        for each in (one, other):
            assert each.events("request"), "one of the two got nothing"


@pytest.mark.parametrize("name", FRONTS)
async def test_the_server_learns_who_asked_and_nobody_can_write_it(
    name: str, tmp_path: Path
) -> None:
    heads: list[bytes] = []
    async with raw_server(answering(OK, heads)) as server, segues(tmp_path, server.url) as running:
        addresses = [(each.address, each.admin) for each in running]
        forged = {
            "X-Forwarded-For": "6.6.6.6",
            "X-Forwarded-Proto": "6.6.6.6",
            "X-Forwarded-Host": "6.6.6.6",
            "Forwarded": "for=6.6.6.6",
            "X-Real-IP": "6.6.6.6",
            "X-Request-Id": "6.6.6.6",
        }
        async with (
            front(name, tmp_path, addresses) as address,
            aiohttp.ClientSession() as client,
            client.get(
                f"http://{address}/a", headers={**forged, "Host": "app.example.com"}
            ) as answer,
        ):
            assert answer.status == 200
    lines = heads[0].decode().lower().split("\r\n")
    fields = dict(line.split(": ", 1) for line in lines[1:] if line)
    # The second address is that of what is in front, which Segue saw.
    assert fields["x-forwarded-for"].split(", ")[0] == "127.0.0.1"
    assert fields["x-forwarded-proto"] == "http"
    assert fields["host"] == fields["x-forwarded-host"] == "app.example.com"
    assert b"6.6.6.6" not in heads[0]


@pytest.mark.needs_haproxy
async def test_haproxy_asks_the_admin_port_whether_a_segue_takes_traffic(tmp_path: Path) -> None:
    async with raw_server(answering(OK)) as server, segues(tmp_path, server.url) as running:
        # Nobody answers at their admin ports: they count as away, although their own ports serve.
        addresses = [(each.address, f"127.0.0.1:{free_port()}") for each in running]
        async with (
            front("haproxy", tmp_path, addresses) as address,
            aiohttp.ClientSession() as client,
            asyncio.timeout(PATIENCE),
        ):
            status = 0
            while status != 503:
                async with client.get(f"http://{address}/a") as answer:
                    status = answer.status
                await asyncio.sleep(0.05)


def read(*path: str) -> Any:
    return yaml.safe_load(DEPLOY.joinpath(*path).read_text(encoding="utf-8"))


def test_traefik_is_told_what_segue_says_of_itself() -> None:
    assert set(read("traefik", "traefik.yaml")) == {"entryPoints", "providers"}
    dynamic = read("traefik", "segue.yaml")["http"]
    (router,) = dynamic["routers"].values()
    (middleware,) = (dynamic["middlewares"][name] for name in router["middlewares"])
    assert middleware == {"headers": {"customRequestHeaders": {"Forwarded": ""}}}
    assert router["entryPoints"] == list(read("traefik", "traefik.yaml")["entryPoints"])
    balancer = dynamic["services"][router["service"]]["loadBalancer"]
    assert [each["url"] for each in balancer["servers"]] == [f"http://{each}" for each in SHIPPED]
    assert balancer["passHostHeader"] is True
    check = balancer["healthCheck"]
    assert (check["path"], check["port"]) == ("/readyz", 9090)
    transport = dynamic["serversTransports"][balancer["serversTransport"]]
    assert duration(transport["forwardingTimeouts"]["idleConnTimeout"]) < KEEPALIVE


def test_connections_to_segue_end_before_segue_ends_them() -> None:
    nginx = (DEPLOY / "nginx/segue.conf").read_text(encoding="utf-8")
    assert "    keepalive_timeout 60s;\n" in nginx
    haproxy = (DEPLOY / "haproxy/haproxy.cfg").read_text(encoding="utf-8")
    assert "    timeout http-keep-alive 60s\n" in haproxy
    assert KEEPALIVE > 60


def test_the_ingress_leads_to_the_service_of_the_example() -> None:
    kubernetes = pytest.importorskip("kubernetes_validate")
    ingress = read("kubernetes", "ingress.yaml")
    kubernetes.validate(ingress, "1.32", strict=True)
    (rule,) = ingress["spec"]["rules"]
    (path,) = rule["http"]["paths"]
    service = read("kubernetes", "service.yaml")
    (port,) = service["spec"]["ports"]
    backend = path["backend"]["service"]
    assert (backend["name"], backend["port"]["name"]) == (service["metadata"]["name"], port["name"])
    assert path == {"path": "/", "pathType": "Prefix", "backend": path["backend"]}
    assert "ingress.yaml" not in json.dumps(read("kubernetes", "kustomization.yaml"))
