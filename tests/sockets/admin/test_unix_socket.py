"""The Unix socket of the state directory: whose it is, and what becomes of those that are left."""

from __future__ import annotations

import os
import socket
import stat
from pathlib import Path

import aiohttp
import pytest

from proxy.control.loading import load
from proxy.errors import ConfigError
from proxy.process.server import Server
from tests.support.administered import ADMIN, UNKNOWN, administered, bearer
from tests.support.rig import CONFIG, Segue, segue

NOBODY = "http://127.0.0.1:9"


def at(directory: Path) -> dict[str, str]:
    return {"SEGUE_STATE_DIR": str(directory)}


async def answers(path: Path, target: str = "/api/v1/recordings", **order: object) -> int:
    async with (
        aiohttp.ClientSession(connector=aiohttp.UnixConnector(path=str(path))) as client,
        client.post(f"http://localhost{target}", json=order) as response,
    ):
        return response.status


def names(directory: Path) -> list[str]:
    """The sockets there, and what stands in the place of one."""
    return sorted(each.name for each in directory.iterdir() if each.name.startswith("admin"))


def recordings(proxy: Segue) -> int:
    """How many recordings this process has been asked for."""
    return proxy.log.getvalue().count('"recording started"')


@pytest.mark.parametrize("umask", [0o000, 0o022, 0o077])
async def test_it_is_for_its_user_alone_whatever_the_umask(tmp_path: Path, umask: int) -> None:
    before = os.umask(umask)
    try:
        async with segue(NOBODY, at(tmp_path / "state")) as proxy:
            path = tmp_path / "state" / "admin.sock"
            assert proxy.server.admin_socket == path
            status = path.lstat()
            assert stat.S_ISSOCK(status.st_mode)
            assert (stat.S_IMODE(status.st_mode), status.st_uid) == (0o600, os.geteuid())
            assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
            assert names(path.parent) == ["admin.sock"]
            modes = {each.name: stat.S_IMODE(each.stat().st_mode) for each in path.parent.iterdir()}
            assert set(modes.values()) == {0o600}, modes
    finally:
        os.umask(before)


async def test_its_user_may_do_everything_and_is_the_author(tmp_path: Path) -> None:
    async with administered(tmp_path) as running, running.proxy.admin() as client:
        async with client.post("/api/v1/recordings", json={"count": 1}) as response:
            assert response.status == 201
        (line,) = running.lines("admin request")
        assert (line["author"], line["by"]) == (f"uid {os.geteuid()}", "socket")
        assert (line["role"], line["peer"]) == ("admin", "local")
        (line,) = running.lines("recording started")
        assert line["author"] == f"uid {os.geteuid()} (socket)"


async def test_pages_of_other_sites_get_nothing_by_it_either(tmp_path: Path) -> None:
    """Whatever forwards to it."""
    async with administered(tmp_path) as running, running.proxy.admin() as client:
        for fields in (
            {"Host": "evil.example"},
            {"Origin": "https://evil.example"},
            {"Sec-Fetch-Site": "cross-site"},
        ):
            async with client.get("/api/v1/sessions", headers=fields) as response:
                assert response.status == 403
        async with client.get(f"/api/v1/sessions?token={ADMIN}") as response:
            assert response.status == 400


async def test_it_is_gone_with_the_process(tmp_path: Path) -> None:
    async with segue(NOBODY, at(tmp_path)):
        assert names(tmp_path) == ["admin.sock"]
        assert len(list(tmp_path.glob("process-*"))) == 1
    assert names(tmp_path) == []
    assert list(tmp_path.glob("process-*")) == []


@pytest.mark.parametrize("left", ["socket", "file", "link"])
async def test_what_was_left_there_is_replaced(tmp_path: Path, left: str) -> None:
    path, other = tmp_path / "admin.sock", tmp_path / "other"
    other.write_text("not touched")
    match left:
        case "socket":
            with socket.socket(socket.AF_UNIX) as dead:
                dead.bind(str(path))
        case "file":
            path.write_text("")
        case "link":
            path.symlink_to(other)
    async with segue(NOBODY, at(tmp_path)):
        assert await answers(path) == 201
    assert not path.exists()
    assert other.read_text() == "not touched"


async def test_successor_takes_it_over_and_keeps_it_when_its_predecessor_ends(
    tmp_path: Path,
) -> None:
    path = tmp_path / "admin.sock"
    async with segue(NOBODY, at(tmp_path)) as old:
        assert await answers(path) == 201
        new = segue(NOBODY, at(tmp_path))
        successor = await new.__aenter__()
        try:
            assert await answers(path) == 201
            assert (recordings(old), recordings(successor)) == (1, 1)
            await old.server.drain()
            assert await answers(path) == 409
        finally:
            await new.__aexit__(None, None, None)
    assert not path.exists()


async def test_process_that_cannot_start_takes_it_from_nobody(tmp_path: Path) -> None:
    async with segue(NOBODY, at(tmp_path)) as proxy:
        inode = (tmp_path / "admin.sock").lstat().st_ino
        with socket.create_server(("127.0.0.1", 0)) as taken:
            address = f"127.0.0.1:{taken.getsockname()[1]}"
            flags = {"listen": address, "admin": "127.0.0.1:0", "upstream": NOBODY}
            env = at(tmp_path) | {"SEGUE_SESSIONS__ENABLED": "false"}
            server = Server(load(CONFIG, env, flags), proxy.server._log)
            with pytest.raises(ConfigError):
                await server.start()
            await server.close()
        assert (tmp_path / "admin.sock").lstat().st_ino == inode
        assert await answers(tmp_path / "admin.sock") == 201


async def test_long_name_of_the_state_directory_is_no_hindrance(tmp_path: Path) -> None:
    directory = tmp_path / ("d" * 100) / ("e" * 100)
    async with segue(NOBODY, at(directory)):
        assert stat.S_ISSOCK((directory / "admin.sock").lstat().st_mode)
        opened = os.open(directory, os.O_RDONLY)
        assert await answers(Path(f"/proc/self/fd/{opened}/admin.sock")) == 201
        os.close(opened)
    assert names(directory) == []


@pytest.mark.parametrize("hindrance", ["file", "directory"])
async def test_traffic_does_not_depend_on_it(tmp_path: Path, hindrance: str) -> None:
    place = tmp_path / "state"
    if hindrance == "file":
        place.write_text("")
    else:
        place.mkdir(mode=0o700)
        (place / "admin.sock").mkdir()
    async with segue(NOBODY, at(place)) as proxy:
        assert proxy.server.admin_socket is None
        assert '"no admin socket"' in proxy.log.getvalue()
        assert await proxy.metrics()
    if hindrance == "directory":
        assert names(place) == ["admin.sock"]


async def test_token_shown_to_it_changes_nothing(tmp_path: Path) -> None:
    async with administered(tmp_path) as running, running.proxy.admin() as client:
        name, _, value = bearer(UNKNOWN).partition(": ")
        async with client.get("/api/v1/sessions", headers={name: value}) as response:
            assert response.status == 404
