"""How the process starts, says where it listens, and ends."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from pathlib import Path

import aiohttp
import pytest

from tests.support.backend import Backend, create_job, register
from tests.support.checkout import ROOT
from tests.support.waiting import PATIENCE

pytestmark = pytest.mark.asyncio


def run(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=ROOT,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )


@pytest.mark.parametrize("with_signal", [signal.SIGTERM, signal.SIGINT])
async def test_a_signal_ends_it_with_0_while_sockets_are_open(
    tmp_path: Path, http: aiohttp.ClientSession, with_signal: signal.Signals
) -> None:
    backend = Backend(tmp_path, script_delay=5)
    await backend.start()
    account = await register(http, backend.url)
    job = await create_job(http, backend.url, account)
    address = f"{backend.ws_url}/ws/jobs/{job['id']}/?token={account.access}"
    async with http.ws_connect(address) as socket:
        await socket.send_json({"kind": "chat", "content": "Go"})
        await socket.receive_str(timeout=PATIENCE)
        assert await backend.stop(with_signal) == 0  # A slow one is killed, which is not 0.
    assert backend.errors == ""


async def test_a_signal_at_once_after_the_announcement_ends_it_with_0(tmp_path: Path) -> None:
    backend = Backend(tmp_path)
    await backend.start()
    assert await backend.stop() == 0
    assert backend.errors == ""


async def test_its_state_survives_a_restart(tmp_path: Path, http: aiohttp.ClientSession) -> None:
    backend = Backend(tmp_path)
    async with backend:
        account = await register(http, backend.url)
    async with (
        backend,
        http.get(f"{backend.url}/api/auth/me/", headers=account.headers) as response,
    ):
        assert response.status == 200


async def test_the_signing_key_is_kept_for_its_owner_alone(tmp_path: Path) -> None:
    async with Backend(tmp_path):
        key_file = tmp_path / "secret_key"
        assert len(key_file.read_text(encoding="ascii")) >= 32
        assert key_file.stat().st_mode & 0o777 == 0o600


async def test_a_port_in_use_is_said_and_ends_it_with_1(backend: Backend, tmp_path: Path) -> None:
    port = backend.url.rpartition(":")[2]
    ended = await asyncio.to_thread(
        run, "-m", "demo.backend", "--port", port, "--state-dir", str(tmp_path)
    )
    assert ended.returncode == 1
    assert ended.stdout == ""
    assert "cannot listen" in ended.stderr


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--dialect", "newest"), "SEGUE_DEMO_DIALECT: expected old or new"),
        (("--access-lifetime", "-1"), "SEGUE_DEMO_ACCESS_LIFETIME: expected seconds"),
        (("--script-delay", "nan"), "SEGUE_DEMO_SCRIPT_DELAY: expected seconds"),
        (("--prd-size", "1e3"), "SEGUE_DEMO_PRD_SIZE: expected a number of characters"),
        (("--rotation", "maybe"), "SEGUE_DEMO_ROTATION: expected on or off"),
        (("--port", "65536"), "--port"),
        (("--unknown", "1"), "--unknown"),
    ],
)
async def test_a_bad_option_is_named_and_ends_it_with_2(
    tmp_path: Path, arguments: tuple[str, ...], said: str
) -> None:
    ended = await asyncio.to_thread(
        run, "-m", "demo.backend", "--state-dir", str(tmp_path), *arguments
    )
    assert ended.returncode == 2
    assert said in ended.stderr
    assert list(tmp_path.iterdir()) == []


async def test_a_short_key_is_refused_and_not_shown(tmp_path: Path) -> None:
    ended = await asyncio.to_thread(
        run,
        "-m",
        "demo.backend",
        "--state-dir",
        str(tmp_path),
        SEGUE_DEMO_SECRET_KEY="hunter2",
    )
    assert ended.returncode == 2
    assert "SEGUE_DEMO_SECRET_KEY: expected at least 32 characters" in ended.stderr
    assert "hunter2" not in ended.stderr


async def test_a_flag_wins_over_the_environment(tmp_path: Path) -> None:
    ended = await asyncio.to_thread(
        run,
        "-m",
        "demo.backend",
        "--state-dir",
        str(tmp_path),
        "--dialect",
        "wrong",
        SEGUE_DEMO_DIALECT="old",
    )
    assert ended.returncode == 2


async def test_it_imports_nothing_of_the_proxy(tmp_path: Path) -> None:
    script = (
        "import sys, os, django\n"
        "os.environ['DJANGO_SETTINGS_MODULE'] = 'demo.backend.settings'\n"
        "import daphne.server, demo.backend.__main__\n"
        "django.setup()\n"
        "import demo.backend.asgi, demo.backend.orchestrator\n"
        "assert not [name for name in sys.modules if name.partition('.')[0] == 'proxy']\n"
    )
    ended = await asyncio.to_thread(run, "-c", script, SEGUE_DEMO_STATE_DIR=str(tmp_path))
    assert (ended.returncode, ended.stderr) == (0, "")


async def test_the_migrations_match_the_models(tmp_path: Path) -> None:
    ended = await asyncio.to_thread(
        run,
        "-m",
        "django",
        "makemigrations",
        "--check",
        "--dry-run",
        DJANGO_SETTINGS_MODULE="demo.backend.settings",
        SEGUE_DEMO_STATE_DIR=str(tmp_path),
    )
    assert (ended.returncode, ended.stdout) == (0, "No changes detected\n")


async def test_no_token_is_written_to_standard_error(
    tmp_path: Path, http: aiohttp.ClientSession
) -> None:
    async with Backend(tmp_path) as backend:
        account = await register(http, backend.url)
        token = f"{account.access}x"
        with pytest.raises(aiohttp.WSServerHandshakeError):
            await http.ws_connect(f"{backend.ws_url}/ws/jobs/x/?token={token}")
        headers = {"Authorization": f"Bearer {token}"}
        async with http.get(
            f"{backend.url}/api/auth/me/?token={token}", headers=headers
        ) as response:
            assert response.status == 401
    assert account.access not in backend.errors
