"""Replay the Dockerfile where there is no engine: each step in an empty Debian, by chroot.

    sudo python3 -m tools.replay_image [--root DIRECTORY]

Every stage begins as a Debian with nothing in it but Python and its headers (by debootstrap;
`--root` names one that is there, and is left as it is), which stands in for the base image. The
`COPY` steps see what `.dockerignore` lets through, the `RUN` steps run as they are written, with
the locked wheels and no index. In the end Segue serves from what the last stage became, as the
user that the image names.
Needs root, debootstrap, and the network for `apt-get`.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from tools.dockerfile import Ignored, Stage, Step, copy_of, filled, stages

ROOT: Final = Path(__file__).resolve().parent.parent
_PATH: Final = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_MOUNTED: Final = """
set -e
mount -t proc proc "$1/proc"
mount --rbind /dev "$1/dev"
shift
exec "$@"
"""
"""What a step sees beside its files; it is gone with the step."""
_NOT_REPLAYED: Final = {"EXPOSE", "HEALTHCHECK", "ENTRYPOINT", "CMD", "ARG"}


class Failed(Exception):
    """A step that cannot be carried out."""


@dataclass
class Built:
    """A stage as it becomes.

    Attributes:
        root: its files.
        variables: its environment.
        directory: where its steps run.
        user: who runs its steps; a number, or empty for root.
    """

    root: Path
    variables: dict[str, str] = field(default_factory=lambda: {"PATH": _PATH, "HOME": "/root"})
    directory: str = "/"
    user: str = ""

    def inside(self, path: str) -> Path:
        """Where a path of the stage is on this machine."""
        return self.root / os.path.normpath(str(Path(self.directory) / path)).lstrip("/")

    def run(self, *command: str, more: Mapping[str, str] | None = None) -> None:
        """Run something in it.

        Raises:
            Failed: it does not end with 0.
        """
        entering = 'cd "$1" && shift && exec "$@"'
        who = ["--userspec", f"{self.user}:{self.user}"] if self.user else []
        chroot = ["chroot", *who, str(self.root), "sh", "-c", entering, "sh", self.directory]
        mounted = ["unshare", "--mount", "sh", "-c", _MOUNTED, "sh", str(self.root)]
        done = subprocess.run(
            [*mounted, *chroot, *command], env={**self.variables, **(more or {})}, check=False
        )
        if done.returncode:
            raise Failed(f"{' '.join(command)}: ended with {done.returncode}")


class Replay:
    """One replay, in a directory of its own.

    Args:
        base: the empty Debian that each stage begins as.
        directory: where stages, context and wheels are.
    """

    def __init__(self, base: Path, directory: Path) -> None:
        self._base = base
        self._directory = directory
        self._context = directory / "context"
        self._built: dict[str, Built] = {}

    def run(self) -> None:
        """Replay the checkout's Dockerfile, and let Segue serve.

        Raises:
            Failed: a step cannot be carried out.
        """
        self._send_context()
        self._download()
        text = (ROOT / "Dockerfile").read_text(encoding="utf-8")
        built = [self._stage(stage) for stage in stages(text)][-1]
        shutil.copy(ROOT / "tools" / "smoke.py", built.root / "tmp" / "smoke.py")
        print("-- it serves, as the image's user, with the image's variables", flush=True)
        built.run("segue", "version")
        built.run("segue", "validate")
        config = built.variables["SEGUE_CONFIG"]
        python = built.variables["PATH"].split(":")[0] + "/python"
        built.run(python, "-I", "/tmp/smoke.py", "--compiled", config)  # noqa: S108 (the chroot's)

    def _send_context(self) -> None:
        ignored = Ignored((ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines())
        listed = subprocess.run(
            ["git", "-c", "safe.directory=*", "ls-files", "-z"],  # noqa: S607 (this machine's git)
            cwd=ROOT,
            check=True,
            capture_output=True,
            text=True,
        )
        for name in filter(None, listed.stdout.split("\0")):
            if not ignored(name):
                target = self._context / name
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(ROOT / name, target)

    def _download(self) -> None:
        """Fetch what the lock files name, with this machine's pip, for the Python of the base."""
        found = sorted(self._base.glob("usr/lib/python3.*/venv"))
        if not found:
            raise Failed(f"{self._base} has no Python that makes virtual environments")
        version = found[-1].parent.name.removeprefix("python")
        for name in ("redis", "build", "compile"):
            text = (ROOT / "requirements" / f"{name}.txt").read_text(encoding="utf-8")
            # Whatever its Python needs: markers are asked of this one's.
            lines = self._directory / f"{name}.txt"
            lines.write_text(re.sub(r" ;[^\\\n]*", " ", text), encoding="utf-8")
            done = subprocess.run(
                [
                    *(sys.executable, "-m", "pip", "--quiet", "download"),
                    *("--no-deps", "--require-hashes", "--only-binary", ":all:"),
                    *("--python-version", version, "--dest", str(self._directory / "wheels")),
                    *("--requirement", str(lines)),
                ],
                check=False,
            )
            if done.returncode:
                raise Failed(f"requirements/{name}.txt cannot be downloaded")

    def _stage(self, stage: Stage) -> Built:
        print(f"-- stage {stage.name}, from {stage.base}", flush=True)
        root = self._directory / f"stage-{stage.name}"
        subprocess.run(["cp", "-a", str(self._base), str(root)], check=True)  # noqa: S607
        built = self._built[stage.name] = Built(root)
        # The base image has `python` where Debian has none.
        (root / "usr/local/bin/python").symlink_to("/usr/bin/python3")
        shutil.copy("/etc/resolv.conf", root / "etc/resolv.conf")
        shutil.copytree(self._directory / "wheels", root / "wheels")
        for step in stage.steps:
            print(f"   {step.instruction} {step.text[:90]}", flush=True)
            self._step(built, step)
        shutil.rmtree(root / "wheels")
        return built

    def _step(self, built: Built, step: Step) -> None:
        match step.instruction:
            case "ENV":
                for word in step.text.split():
                    name, _, value = word.partition("=")
                    built.variables[name] = filled(value, built.variables)
            case "WORKDIR":
                built.directory = str(Path(built.directory) / step.text)
                built.inside(".").mkdir(parents=True, exist_ok=True)
            case "USER":
                built.user = step.text
            case "COPY":
                self._copy(built, step)
            case "RUN":
                wheels = {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": "/wheels"}
                built.run("sh", "-c", step.text, more=wheels)
            case other if other not in _NOT_REPLAYED:
                raise Failed(f"{other} is not known here: teach it to tools/replay_image.py")

    def _copy(self, built: Built, step: Step) -> None:
        stage, sources, target = copy_of(step)
        for source in sources:
            copied = self._context / source if stage is None else self._built[stage].inside(source)
            if not copied.exists():
                raise Failed(f"COPY {source}: it is not there; does .dockerignore leave it out?")
            into = built.inside(target)
            if copied.is_dir():
                shutil.copytree(copied, into, symlinks=True, dirs_exist_ok=True)
                continue
            if target.endswith("/"):
                into.mkdir(parents=True, exist_ok=True)
                into /= copied.name
            shutil.copy2(copied, into)


def bootstrap(target: Path) -> None:
    """Make an empty Debian, of this machine's own release and from where it has its packages.

    Raises:
        Failed: it cannot be made.
    """
    uri = subprocess.run(
        ["apt-get", "indextargets", "--format", "$(REPO_URI)", "Created-By: Packages"],  # noqa: S607
        check=True,
        capture_output=True,
        text=True,
    ).stdout.split()
    release = dict(
        line.split("=", 1) for line in Path("/etc/os-release").read_text().splitlines() if line
    )["VERSION_CODENAME"]
    command = ["debootstrap", "--variant=minbase", "--include=python3,python3-dev,python3-venv"]
    done = subprocess.run([*command, release, str(target), *uri[:1]], check=False)
    if done.returncode:
        raise Failed("debootstrap failed")


def main() -> int:
    """0 where every step could be carried out, and Segue serves."""
    parser = argparse.ArgumentParser(prog="python -m tools.replay_image", description=__doc__)
    parser.add_argument("--root", type=Path, help="an empty Debian with python3-venv")
    options = parser.parse_args()
    if os.geteuid() != 0 or shutil.which("debootstrap") is None:
        print("It needs root, and debootstrap: apt install debootstrap", file=sys.stderr)
        return 1
    with tempfile.TemporaryDirectory(prefix="segue-image-") as made:
        directory = Path(made)
        # The user of the image has to get to its files.
        directory.chmod(0o755)
        try:
            base = options.root
            if base is None:
                base = directory / "base"
                bootstrap(base)
            Replay(base, directory).run()
        except Failed as error:
            print(f"FAILED  {error}", file=sys.stderr)
            return 1
    print("Every step of the Dockerfile could be carried out, and Segue serves.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
