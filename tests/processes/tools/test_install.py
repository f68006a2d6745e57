"""`deploy/install`: what is on a server then, what an upgrade leaves alone, what is refused."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.checkout import ROOT
from tools.newer_releases import write_wheel


class Server:
    """An empty root, and a checkout whose locked dependencies are one small wheel."""

    def __init__(self, directory: Path) -> None:
        self.root = directory / "ser ver"
        self.checkout = directory / "check out"
        self.index = directory / "index"
        self.root.mkdir()
        self.index.mkdir()
        for name in ("deploy", "tools", "mappings", "schemas"):
            shutil.copytree(ROOT / name, self.checkout / name)
        shutil.copy(ROOT / "config.yaml", self.checkout)
        (self.checkout / "requirements").mkdir()
        for name in ("runtime", "redis"):
            _, digest = write_wheel(self.index, name, "1.0")
            line = f"{name}==1.0 --hash=sha256:{digest}\n"
            (self.checkout / f"requirements/{name}.txt").write_text(line)

    def build(self, version: str) -> Path:
        """A wheel whose `segue` tells its version."""
        built = self.checkout / "build" / "wheel"
        shutil.rmtree(built, ignore_errors=True)
        source = self.checkout / f"source-{version}"
        (source / "proxy").mkdir(parents=True)
        (source / "proxy/__init__.py").write_text(f"def main():\n    print('segue {version}')\n")
        (source / "pyproject.toml").write_text(
            '[build-system]\nrequires = ["hatchling"]\nbuild-backend = "hatchling.build"\n'
            f'[project]\nname = "segue-proxy"\nversion = "{version}"\n'
            '[project.scripts]\nsegue = "proxy:main"\n'
            '[tool.hatch.build.targets.wheel]\npackages = ["proxy"]\n'
        )
        pip = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps"]
        flags = ["--no-index", "--no-build-isolation", "--wheel-dir", str(built), str(source)]
        subprocess.run([*pip, *flags], check=True)
        (wheel,) = built.glob("*.whl")
        return wheel

    def install(self, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
        inherited = {name: text for name, text in os.environ.items() if "PIP_" not in name}
        index = {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": self.index.as_uri()}
        return subprocess.run(
            [self.checkout / "deploy/install", *arguments],
            env={**inherited, **index, "DESTDIR": str(self.root)},
            cwd="/",
            capture_output=True,
            text=True,
            check=False,
        )

    def segue(self) -> str:
        program = self.root / "opt/segue/bin/segue"
        return subprocess.run([program], capture_output=True, text=True, check=True).stdout

    def environments(self) -> list[str]:
        return sorted(each.name for each in (self.root / "opt").iterdir() if not each.is_symlink())


@pytest.fixture
def server(tmp_path: Path) -> Server:
    return Server(tmp_path)


def test_a_server_has_environment_configuration_and_unit(server: Server) -> None:
    server.build("1.0")
    done = server.install()
    assert done.returncode == 0, done.stderr
    assert server.segue() == "segue 1.0\n"
    assert "set upstream.url in it" in done.stdout
    unit = "etc/systemd/system/segue.service"
    assert (server.root / unit).read_bytes() == (ROOT / "deploy/systemd/segue.service").read_bytes()
    for name in ("config.yaml", "mappings/old-to-new.yaml", "schemas/mapping.schema.json"):
        assert (server.root / "etc/segue" / name).read_bytes() == (ROOT / name).read_bytes()
    (environment,) = server.environments()
    assert environment.startswith("segue-1.0-")
    assert list((server.root / "opt" / environment).glob("lib/*/site-packages/runtime-1.0*"))


def test_an_upgrade_leaves_the_configuration_and_what_ran_before(server: Server) -> None:
    server.build("1.0")
    assert server.install().returncode == 0
    config = server.root / "etc/segue/config.yaml"
    config.write_text("upstream: {url: http://old:8000}\n")
    schema = server.root / "etc/segue/schemas/config.schema.json"
    schema.write_text("of the version before")
    wheel = server.build("2.0")
    done = server.install("--redis", wheel)
    assert done.returncode == 0, done.stderr
    assert server.segue() == "segue 2.0\n"
    assert config.read_text() == "upstream: {url: http://old:8000}\n"
    assert schema.read_bytes() == (ROOT / "schemas/config.schema.json").read_bytes()
    assert not (schema.parent / "schemas").exists()
    old, new = server.environments()
    assert list((server.root / "opt" / new).glob("lib/*/site-packages/redis-1.0*"))
    # The way back, as the documents have it.
    subprocess.run(["ln", "-sfn", old, server.root / "opt/segue"], check=True)
    assert server.segue() == "segue 1.0\n"


def test_what_cannot_be_installed_leaves_what_was_there(server: Server) -> None:
    done = server.install()
    assert (done.returncode, server.root.joinpath("opt").exists()) == (1, False)
    assert "run `make wheel`" in done.stderr
    server.build("1.0")
    assert server.install().returncode == 0
    server.build("2.0")
    lock = server.checkout / "requirements/runtime.txt"
    lock.write_text(f"runtime==1.0 --hash=sha256:{'0' * 64}\n")
    assert server.install().returncode != 0
    assert len(server.environments()) == 1
    assert server.segue() == "segue 1.0\n"
    assert server.install("--nonsense").returncode == 2
