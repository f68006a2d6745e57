"""TLS on either side of Segue, with certificates made for each run."""

from __future__ import annotations

import asyncio
import datetime as dt
import gc
import ssl
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
import trustme

from proxy.control.loading import load
from proxy.errors import ConfigError
from proxy.process.assembly import listener_tls, upstream_tls
from tests.support.rfc6455 import BINARY, CLOSE, TEXT, wire
from tests.support.rig import CONFIG, RawPeer, Segue, answering, raw_server, segue
from tests.support.sockets import (
    LONGEST,
    MASK,
    Origin,
    accept_of,
    closing,
    fields_of,
    gone,
    handshake,
    open_pair,
    origin,
    shake_hands_in_pieces,
    status_of,
    switch,
)
from tests.support.waiting import PATIENCE


@dataclass(frozen=True)
class Pki:
    """An authority that both sides trust, its certificate for `localhost`, and a strange one."""

    server: ssl.SSLContext
    client: ssl.SSLContext
    certificate: str
    key: str
    ca_file: str
    strange_ca_file: str


@pytest.fixture(scope="module")
def pki(tmp_path_factory: pytest.TempPathFactory) -> Pki:
    directory = tmp_path_factory.mktemp("pki")
    authority, strange = trustme.CA(), trustme.CA()
    issued = authority.issue_cert("localhost")
    server = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    issued.configure_cert(server)
    client = ssl.create_default_context()
    authority.configure_trust(client)

    def written(name: str, blobs: list[trustme.Blob]) -> str:
        file = directory / name
        file.write_bytes(b"".join(blob.bytes() for blob in blobs))
        return str(file)

    return Pki(
        server,
        client,
        written("certificate.pem", issued.cert_chain_pems),
        written("key.pem", [issued.private_key_pem]),
        written("ca.pem", [authority.cert_pem]),
        written("strange.pem", [strange.cert_pem]),
    )


def listening(pki: Pki) -> dict[str, str]:
    return {
        "SEGUE_LISTEN__TLS__CERTIFICATE": pki.certificate,
        "SEGUE_LISTEN__TLS__KEY": pki.key,
    }


def trusting(ca_file: str) -> dict[str, str]:
    return {"SEGUE_UPSTREAM__TLS__CA_FILE": ca_file}


@asynccontextmanager
async def chain(
    pki: Pki, *, downstream: bool, upstream: bool, env: Mapping[str, str] | None = None
) -> AsyncIterator[tuple[Segue, Origin, ssl.SSLContext | None]]:
    """Segue and an origin, with TLS where it is said; and what a client connects with."""
    settings = {**(env or {}), **(listening(pki) if downstream else {})}
    if upstream:
        settings |= trusting(pki.ca_file)
    async with (
        origin(pki.server if upstream else None) as server,
        segue(server.url, settings) as proxy,
    ):
        yield proxy, server, pki.client if downstream else None


async def handshakes(proxy: Segue) -> dict[str, float]:
    return {
        result: await proxy.metric("segue_tls_handshakes_total", result=result)
        for result in ("success", "failure")
    }


SIDES = pytest.mark.parametrize(
    ("downstream", "upstream"),
    [(True, False), (False, True), (True, True)],
    ids=["client", "server", "both"],
)


@SIDES
async def test_every_cut_of_handshake_and_first_frames_gives_the_same_stream_over_tls(
    pki: Pki, downstream: bool, upstream: bool
) -> None:
    async with chain(pki, downstream=downstream, upstream=upstream) as (proxy, server, tls):
        for position in range(LONGEST + 1):
            await shake_hands_in_pieces(proxy, server, position / LONGEST, tls)
        await gone(proxy)


@SIDES
async def test_large_messages_and_a_close_go_both_ways_over_tls(
    pki: Pki, downstream: bool, upstream: bool
) -> None:
    async with chain(pki, downstream=downstream, upstream=upstream) as (proxy, server, tls):
        pair = await open_pair(proxy, server, tls=tls)
        for one, other in ((pair.client, pair.server), (pair.server, pair.client)):
            sent = await one.send(BINARY, bytes(range(256)) * 8000)
            assert await other.peer.read(len(sent)) == sent
        await pair.server.send(CLOSE, closing(4003, "not yours"))
        assert await pair.client.close_frame() == (4003, "not yours")
        await pair.client.send(CLOSE, closing(4003))
        assert await pair.server.close_frame() == (4003, "")
        await pair.server.peer.close()
        await pair.client.ended()
        await pair.client.peer.close()
        await gone(proxy)


LAST_WORDS = (
    wire(TEXT, b"one"),
    wire(BINARY, bytes(range(256)) * 40),
    wire(CLOSE, closing(4003, "not yours")),
)


@SIDES
@pytest.mark.parametrize("number", range(1, 4))
async def test_what_a_server_says_at_once_is_relayed_whole_though_it_hangs_up(
    pki: Pki, downstream: bool, upstream: bool, number: int
) -> None:
    # 101, frames and the end of the connection, TLS's own included, come in one piece.
    said = b"".join(LAST_WORDS[-number:])
    async with chain(pki, downstream=downstream, upstream=upstream) as (proxy, server, tls):
        client = await proxy.connect(tls)
        await client.send(handshake())
        peer = await server.connection()
        (key,) = fields_of(await peer.read_head(), b"sec-websocket-key")
        peer.writer.write(switch(accept=accept_of(key)) + said)
        peer.writer.close()
        assert status_of(await client.read_head()) == 101
        assert await client.read(len(said)) == said
        await client.send(wire(CLOSE, closing(4003), key=MASK))
        assert await client.read_all() == b""
        await client.close()
        await gone(proxy)
        assert await proxy.metric("segue_websocket_closes_total", side="server", code="4003") == 1


@SIDES
@pytest.mark.parametrize("who", ["client", "server"])
async def test_an_abnormal_end_stays_abnormal_over_tls(
    pki: Pki, downstream: bool, upstream: bool, who: str
) -> None:
    async with chain(pki, downstream=downstream, upstream=upstream) as (proxy, server, tls):
        pair = await open_pair(proxy, server, tls=tls)
        one, other = (pair.client, pair.server) if who == "client" else (pair.server, pair.client)
        one.peer.abort()
        if who == "server":
            assert (await other.close_frame())[0] == 1001
            await other.send(CLOSE, closing(1001))
        await other.ended()
        await other.peer.close()
        await gone(proxy)


@SIDES
async def test_a_violation_is_told_over_tls(pki: Pki, downstream: bool, upstream: bool) -> None:
    # The client who is told of its violation has no answer to that.
    env = {"SEGUE_TIMEOUTS__WEBSOCKET_CLOSE": "500ms"}
    async with chain(pki, downstream=downstream, upstream=upstream, env=env) as (
        proxy,
        server,
        tls,
    ):
        pair = await open_pair(proxy, server, tls=tls)
        await pair.client.peer.send(wire(TEXT, b"without a mask"))
        assert (await pair.client.close_frame())[0] == 1002
        assert (await pair.server.close_frame())[0] == 1001
        await pair.server.send(CLOSE, closing(1001))
        await pair.client.peer.close()
        await pair.server.peer.close()
        await gone(proxy)


@SIDES
async def test_a_drain_is_told_over_tls(pki: Pki, downstream: bool, upstream: bool) -> None:
    async with chain(pki, downstream=downstream, upstream=upstream) as (proxy, server, tls):
        pair = await open_pair(proxy, server, tls=tls)
        proxy.server._data.connections._open.copy().popitem()[0].drain()
        assert (await pair.client.close_frame())[0] == 1012
        assert (await pair.server.close_frame())[0] == 1001
        await pair.client.send(CLOSE, closing(1012))
        await pair.server.send(CLOSE, closing(1001))
        await pair.client.ended()
        await pair.server.ended()
        await pair.client.peer.close()
        await pair.server.peer.close()
        await gone(proxy)


@SIDES
async def test_a_peer_that_never_answers_is_given_up_over_tls(
    pki: Pki, downstream: bool, upstream: bool
) -> None:
    quick = {"SEGUE_TIMEOUTS__WEBSOCKET_CLOSE": "200ms"}
    async with chain(pki, downstream=downstream, upstream=upstream, env=quick) as made:
        proxy, server, tls = made
        pair = await open_pair(proxy, server, tls=tls)
        for socket in (pair.client, pair.server):
            socket.peer.writer.transport.pause_reading()  # type: ignore[attr-defined]
        await pair.client.send(CLOSE, closing(1000))
        await gone(proxy)
        for socket in (pair.client, pair.server):
            socket.peer.abort()


@SIDES
async def test_http_goes_through_over_tls_and_the_server_learns_the_scheme(
    pki: Pki, downstream: bool, upstream: bool
) -> None:
    body = b"x" * 300_000

    async def script(peer: RawPeer) -> None:
        head = await peer.read_head()
        (scheme,) = fields_of(head, b"x-forwarded-proto")
        await peer.send(
            b"HTTP/1.1 200 OK\r\nX-Scheme: " + scheme + b"\r\nContent-Length: 300000\r\n\r\n" + body
        )

    settings = listening(pki) if downstream else {}
    if upstream:
        settings |= trusting(pki.ca_file)
    async with (
        raw_server(script, pki.server if upstream else None) as server,
        segue(server.url, settings) as proxy,
    ):
        client = await proxy.connect(pki.client if downstream else None)
        await client.send(b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        head = await client.read_head()
        assert fields_of(head, b"x-scheme") == [b"https" if downstream else b"http"]
        assert await client.read_all() == body
        await client.close()


@pytest.mark.parametrize("upgrade", [True, False])
@pytest.mark.parametrize(
    ("wrong", "reason"),
    [("authority", "is issued by an untrusted CA"), ("name", "is for another name")],
    ids=["authority", "name"],
)
async def test_a_server_with_a_certificate_that_is_not_trusted_gives_502(
    pki: Pki, wrong: str, reason: str, upgrade: bool
) -> None:
    settings = trusting(pki.strange_ca_file if wrong == "authority" else pki.ca_file)
    if wrong == "name":
        settings["SEGUE_UPSTREAM__TLS__SERVER_NAME"] = "other.example.com"

    async with origin(pki.server) as server, segue(server.url, settings) as proxy:
        client = await proxy.connect()
        plain = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
        await client.send(handshake() if upgrade else plain)
        assert status_of(await client.read_head()) == 502
        await client.close()
        assert await proxy.metric("segue_errors_total", error="upstream_unreachable") == 1
        if not server.arrived.empty():  # Its side of TLS may have been content.
            peer = await server.connection()
            assert await peer.read_all() == b""
            await peer.close()
    assert f'"detail": "the server\'s certificate {reason}"' in proxy.log.getvalue()


@pytest.mark.parametrize(
    ("start", "end", "reason"), [(-20, -10, "has expired"), (10, 20, "is not valid yet")]
)
async def test_a_server_whose_certificate_is_out_of_its_time_gives_502(
    tmp_path: Path, start: int, end: int, reason: str
) -> None:
    authority = trustme.CA()
    now = dt.datetime.now(dt.UTC)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert(
        "localhost",
        not_before=now + dt.timedelta(days=start),
        not_after=now + dt.timedelta(days=end),
    ).configure_cert(context)
    (tmp_path / "ca.pem").write_bytes(authority.cert_pem.bytes())
    settings = trusting(str(tmp_path / "ca.pem"))
    async with origin(context) as server, segue(server.url, settings) as proxy:
        response = await proxy.ask(b"GET / HTTP/1.0\r\n\r\n")
        assert status_of(response) == 502
        while not server.arrived.empty():
            await (await server.connection()).close()
    assert f'"detail": "the server\'s certificate {reason}"' in proxy.log.getvalue()


async def test_a_server_that_speaks_no_tls_gives_502() -> None:
    async def script(peer: RawPeer) -> None:
        await peer.reader.read(1)
        await peer.send(b"HTTP/1.1 400 Bad Request\r\n\r\n")

    async with raw_server(script) as server:
        async with segue(server.url.replace("http://", "https://")) as proxy:
            assert status_of(await proxy.ask(b"GET / HTTP/1.0\r\n\r\n")) == 502
    assert (
        "the TLS handshake with the server failed; does its port speak TLS?" in proxy.log.getvalue()
    )


@pytest.mark.parametrize("name", [None, "other.example.com"])
async def test_the_server_learns_the_name_that_is_asked_for_and_must_bear_it(
    tmp_path: Path, name: str | None
) -> None:
    authority = trustme.CA()
    asked: list[str | None] = []
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert(name or "localhost").configure_cert(context)
    context.sni_callback = lambda _, host, __: asked.append(host)
    (tmp_path / "ca.pem").write_bytes(authority.cert_pem.bytes())
    settings = trusting(str(tmp_path / "ca.pem"))
    if name is not None:
        settings["SEGUE_UPSTREAM__TLS__SERVER_NAME"] = name
    response = b"HTTP/1.1 204 No Content\r\n\r\n"
    async with raw_server(answering(response), context) as server:
        async with segue(server.url, settings) as proxy:
            assert status_of(await proxy.ask(b"GET / HTTP/1.0\r\n\r\n")) == 204
    assert asked == [name or "localhost"]


def test_tls_before_1_2_is_spoken_on_neither_side(pki: Pki) -> None:
    config = load(CONFIG, {**listening(pki)}, {"upstream": "https://h"}).config
    for context in (listener_tls(config), upstream_tls(config)):
        assert context is not None
        assert context.minimum_version is ssl.TLSVersion.TLSv1_2


async def test_a_client_of_tls_1_1_gets_no_handshake(pki: Pki) -> None:
    version = b"\x03\x02"
    hello = version + bytes(32) + b"\x00" + b"\x00\x04\x00\x2f\x00\x35" + b"\x01\x00"
    message = b"\x01" + len(hello).to_bytes(3, "big") + hello
    record = b"\x16" + version + len(message).to_bytes(2, "big") + message
    async with chain(pki, downstream=True, upstream=False) as (proxy, server, _):
        # An alert, where the loop sends it before it closes, but no handshake.
        assert (await proxy.ask(record))[:1] in (b"", b"\x15")
        assert await handshakes(proxy) == {"success": 0, "failure": 1}
        assert server.arrived.empty()


async def test_a_client_that_does_not_shake_hands_is_given_up(pki: Pki) -> None:
    env = {"SEGUE_TIMEOUTS__TLS_HANDSHAKE": "200ms"}
    async with chain(pki, downstream=True, upstream=False, env=env) as (proxy, server, _):
        assert await proxy.ask(b"") == b""
        assert await proxy.ask(b"\x16\x03\x01") == b""
        assert server.arrived.empty()
        async with asyncio.timeout(PATIENCE):
            while (await handshakes(proxy))["failure"] < 2:
                gc.collect()
                await asyncio.sleep(0.01)
        assert await handshakes(proxy) == {"success": 0, "failure": 2}


@SIDES
async def test_handshakes_are_counted_where_clients_speak_tls(
    pki: Pki, downstream: bool, upstream: bool
) -> None:
    async with chain(pki, downstream=downstream, upstream=upstream) as (proxy, server, tls):
        for _ in range(3):
            pair = await open_pair(proxy, server, tls=tls)
            await pair.client.peer.close()
            await pair.server.peer.close()
        count = 3 if downstream else 0
        assert await handshakes(proxy) == {"success": count, "failure": 0}


async def test_verification_can_be_turned_off_by_name(pki: Pki) -> None:
    settings = {"SEGUE_UPSTREAM__TLS__VERIFY": "false"}
    async with origin(pki.server) as server, segue(server.url, settings) as proxy:
        pair = await open_pair(proxy, server)
        await pair.server.send(TEXT, b"hello")
        assert await pair.client.message() == b"hello"
        await pair.client.peer.close()
        await pair.server.peer.close()


async def test_plain_http_to_a_tls_listener_gets_nowhere(pki: Pki) -> None:
    async with chain(pki, downstream=True, upstream=False) as (proxy, server, _):
        client = await proxy.connect()
        await client.send(handshake() + wire(TEXT, b"x", key=MASK))
        assert b"HTTP/1.1 101" not in await client.read_all()
        assert server.arrived.empty()
        await client.close()


@pytest.mark.parametrize("setting", ["listen.tls.certificate", "upstream.tls.ca_file"])
async def test_a_file_that_is_no_certificate_stops_the_start(
    pki: Pki, tmp_path: Path, setting: str
) -> None:
    bad = tmp_path / "bad.pem"
    bad.write_text("not a certificate", encoding="utf-8")
    settings = (
        {**listening(pki), "SEGUE_LISTEN__TLS__CERTIFICATE": str(bad)}
        if setting == "listen.tls.certificate"
        else trusting(str(bad))
    )
    with pytest.raises(ConfigError) as caught:
        async with segue("https://localhost:1", settings):
            pass
    assert [problem.path for problem in caught.value.problems] == [setting]


EXPIRY = "segue_certificate_expiry_timestamp_seconds"


async def test_the_end_of_each_listeners_certificate_is_shown_and_changes_with_a_reload(
    tmp_path: Path,
) -> None:
    authority = trustme.CA()
    ends = [dt.datetime(2090 + year, 1, 1, tzinfo=dt.UTC) for year in range(3)]

    def issue(name: str, end: dt.datetime) -> None:
        issued = authority.issue_cert("localhost", not_after=end)
        issued.private_key_and_cert_chain_pem.write_to_path(tmp_path / name)

    issue("public.pem", ends[0])
    issue("admin.pem", ends[1])
    config = tmp_path / "config.yaml"
    config.write_text(
        "upstream: {url: 'http://127.0.0.1:1'}\n"
        "listen: {tls: {certificate: public.pem, key: public.pem}}\n"
        "admin: {tls: {certificate: admin.pem, key: admin.pem}}\n"
    )
    async with raw_server(answering(b"")) as server, segue(server.url, config=config) as proxy:

        async def shown() -> dict[str, float]:
            async with proxy.admin() as client, client.get("/metrics") as page:
                lines = (await page.text()).splitlines()
            found = [line.split() for line in lines if line.startswith(EXPIRY)]
            return {name.split('"')[1]: float(value) for name, value in found}

        expected = {"listen": ends[0].timestamp(), "admin": ends[1].timestamp()}
        assert await shown() == expected
        issue("public.pem", ends[2])
        proxy.server.reload()
        async with asyncio.timeout(PATIENCE):
            while await shown() == expected:  # noqa: ASYNC110 (it tells nobody)
                await asyncio.sleep(0.02)
        assert await shown() == {**expected, "listen": ends[2].timestamp()}


async def test_a_listener_without_tls_shows_no_certificate() -> None:
    async with raw_server(answering(b"")) as server, segue(server.url) as proxy:
        assert not [name for name, _ in await proxy.metrics() if name == EXPIRY]
