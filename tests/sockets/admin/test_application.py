"""The admin listener: probes and metrics, and nothing of what clients send."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import aiohttp
import pytest
import structlog
from aiohttp import web
from pytest_aiohttp import AiohttpClient

from proxy.admin.access import Access
from proxy.admin.application import ProcessState, application, probes
from proxy.configuration.admin import Admin
from proxy.configuration.audit import AuditSettings
from proxy.configuration.sessions import StoreSettings
from proxy.control.audit import Audit
from proxy.observability.metrics import Metrics
from tests.support.rig import RawPeer, answering, raw_server, segue

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
SECRET = b"eyJhbGciOiJIUzI1NiJ9.c2VjcmV0.c2lnbmF0dXJl"


def serving(state: ProcessState = ProcessState.READY, *, store: str = "") -> web.Application:
    log = structlog.get_logger()
    audit = Audit(Path("unused"), StoreSettings(), AuditSettings, log)
    access = Access(Admin, log, Counter(), audit)
    return application(probes(Metrics("1.2.3"), lambda: state, lambda: store), access)


@pytest.mark.parametrize(
    ("state", "ready"),
    [(ProcessState.STARTING, 503), (ProcessState.READY, 200), (ProcessState.DRAINING, 503)],
)
async def test_process_is_alive_in_every_state_and_ready_in_one(
    aiohttp_client: AiohttpClient, state: ProcessState, ready: int
) -> None:
    client = await aiohttp_client(serving(state))
    async with client.get("/healthz") as response:
        assert response.status == 200
        assert await response.json() == {"status": "ok"}
    async with client.get("/readyz") as response:
        assert response.status == ready
        assert await response.json() == {"status": state.value}


@pytest.mark.parametrize("trouble", ["away", "read-only"])
async def test_a_store_in_trouble_is_told_and_takes_no_process_out_of_service(
    aiohttp_client: AiohttpClient, trouble: str
) -> None:
    client = await aiohttp_client(serving(store=trouble))
    async with client.get("/readyz") as response:
        assert response.status == 200
        assert await response.json() == {"status": "ready", "store": trouble}


async def test_metrics_are_in_the_text_format_and_say_which_build_runs(
    aiohttp_client: AiohttpClient,
) -> None:
    client = await aiohttp_client(serving())
    async with client.get("/metrics") as response:
        assert response.status == 200
        assert response.headers["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8"
        text = await response.text()
    assert 'segue_build_info{python="' in text
    assert 'version="1.2.3"' in text
    assert "process_resident_memory_bytes" in text


@pytest.mark.parametrize("path", ["/", "/metrics/", "/readyz?x=1", "/../healthz"])
async def test_nothing_else_is_served(aiohttp_client: AiohttpClient, path: str) -> None:
    client = await aiohttp_client(serving())
    async with client.get(path) as response:
        assert response.status == (200 if path in ("/readyz?x=1", "/../healthz") else 404)
    async with client.post("/metrics") as response:
        assert response.status == 405


async def test_admin_paths_of_the_public_listener_belong_to_the_server() -> None:
    heads: list[bytes] = []
    async with raw_server(answering(OK, heads)) as origin, segue(origin.url) as proxy:
        for path in (b"/metrics", b"/healthz", b"/readyz"):
            await proxy.ask(b"GET %b HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n" % path)
    assert [head.split(b" ")[1] for head in heads] == [b"/metrics", b"/healthz", b"/readyz"]


async def test_requests_are_counted_by_cohort_code_and_source() -> None:
    async with raw_server(answering(OK)) as origin, segue(origin.url) as proxy:
        for field in (b"X-Client-Version: 2.1", b"X-Client-Version: 1.0", b"X-Client-Version: x"):
            await proxy.ask(b"GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n%b\r\n\r\n" % field)
        await proxy.ask(b"GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n")
        await proxy.ask(b"nonsense\r\n\r\n")
        counts = await proxy.metrics()

    def requests(cohort: str, code: str) -> float:
        key = ("segue_requests_total", frozenset({("cohort", cohort), ("code", code)}))
        return counts[key]

    def sources(source: str) -> float:
        return counts["segue_version_sources_total", frozenset({("source", source)})]

    assert requests("modern", "200") == requests("legacy", "200") == 1
    assert requests("none", "200") == 2
    assert requests("none", "400") == 1
    assert sources("header") == 2
    assert sources("unreadable") == sources("none") == 1


@pytest.mark.parametrize(
    "request_bytes",
    [
        b"GET /ws/1/?token=%b&access_token=%b HTTP/1.1\r\nHost: h\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer %b\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: h\r\nCookie: access=%b\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: h\r\nX-Client-Version: %b\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: h\r\nX-Request-Id: %b\r\n\r\n",
        b"GET /%b HTTP/1.1\r\nHost: h\r\n\r\n",
        b"GET http://%b/ HTTP/1.1\r\nHost: h\r\n\r\n",
    ],
    ids=["query", "authorization", "cookie", "version", "request id", "path", "host"],
)
@pytest.mark.parametrize("broken", [False, True], ids=["answered", "server broken"])
async def test_invariant_7_token_of_a_request_is_in_no_log_no_metric_and_no_error(
    request_bytes: bytes, broken: bool
) -> None:
    heads: list[bytes] = []

    async def script(peer: RawPeer) -> None:
        heads.append(await peer.read_head())
        # The server, too, can quote the token where it breaks the rules.
        await peer.send(b"HTTP/1.1 200 %b\r\nX:\0%b\r\n\r\n" % (SECRET, SECRET) if broken else OK)

    async with raw_server(script) as origin, segue(origin.url) as proxy:
        async with proxy.client() as client:
            await client.send(request_bytes.replace(b"%b", SECRET))
            head, body = await client.read_response()
        async with (
            aiohttp.ClientSession() as http,
            http.get(f"http://{proxy.server.admin_address}/metrics") as response,
        ):
            metrics = await response.text()
    assert head.startswith(b"HTTP/1.1 502" if broken else b"HTTP/1.1 200")
    assert any(SECRET in seen for seen in heads) or b"X-Request-Id" in request_bytes
    for text in (head.decode("latin-1"), body.decode(), proxy.log.getvalue(), metrics):
        assert SECRET.decode() not in text
        assert SECRET.decode().lower() not in text
