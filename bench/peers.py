"""The proxies that are compared: how each is configured and started.

All of them listen on one port of the loopback interface, forward to one origin over kept
connections, add the usual forwarding fields, and write one access line for each request or
connection to a file. None compresses.
"""

from __future__ import annotations

import getpass
import os
import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from bench.processes import Failed, Process, free_port
from tools import interpreters

HERE: Final = Path(__file__).resolve().parent
CHECKOUT: Final = HERE.parent
SHIPPED: Final = CHECKOUT / "build" / "wheel" / "package"
"""Where `make wheel` unpacks what it has built."""

CACHE: Final = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "segue-bench"
"""Where `python -m bench install` puts what is not a system package."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a proxy runs.

    Attributes:
        port: it listens there.
        origin: it forwards there.
        directory: its own, for configuration and logs.
        core: it is pinned there.
    """

    port: int
    origin: int
    directory: Path
    core: int

    def write(self, template: str, **also: str) -> Path:
        """Fill a configuration of `bench/peers/` in: `{{port}}`, `{{origin}}`, `{{directory}}`."""
        text = (HERE / "peers" / template).read_text(encoding="utf-8")
        values = {"port": self.port, "origin": self.origin, "directory": self.directory} | also
        for name, value in values.items():
            text = text.replace("{{" + name + "}}", str(value))
        path = self.directory / template
        path.write_text(text, encoding="utf-8")
        return path


@dataclass(frozen=True, slots=True)
class Peer:
    """One proxy.

    Attributes:
        name: short, for options and the table.
        rewrites: whether it rewrites frames; otherwise it only passes them through.
        what: one line about it, for the report.
        start: gives the command line for a place, or raises `Failed` where it is not installed.
        version: gives the command that prints its version.
        query: appended to the target of handshakes.
        loads: the loads that it takes part in; None: in all.
        environment: added to the process's own.
    """

    name: str
    rewrites: bool
    what: str
    start: Callable[[Place], list[str]]
    version: Callable[[], list[str]]
    query: str = ""
    loads: frozenset[str] | None = None
    environment: dict[str, str] = field(default_factory=dict)


class Running:
    """A peer that has been started.

    Attributes:
        peer: which.
        port: where it listens.
        process: its process.
    """

    def __init__(self, peer: Peer, origin: int, directory: Path, core: int) -> None:
        directory.mkdir()
        place = Place(free_port(), origin, directory, core)
        self.peer = peer
        self.port = place.port
        # The output of those that know no file is their access log.
        self.process = Process(
            peer.start(place),
            core,
            directory / "output.log",
            directory=CHECKOUT,
            environment=peer.environment,
        )
        try:
            self.process.wait_for_port(self.port)
        except Failed:
            self.process.stop()
            raise


def _program(name: str, *places: Path) -> str:
    for place in places:
        if (place / name).is_file():
            return str(place / name)
    found = shutil.which(name)
    if found is None:
        raise Failed(f"{name} is not installed: `python -m bench install`")
    return found


def _envoy() -> str:
    return _program("envoy", CACHE / "envoy" / "bin")


def _mitmdump() -> str:
    return _program("mitmdump", CACHE / "mitmproxy" / "bin")


def _node_module(name: str) -> None:
    if not (CACHE / "node" / "node_modules" / name).is_dir():
        raise Failed(f"the npm package {name} is not installed: `python -m bench install`")


def _node(script: str, module: str) -> Callable[[Place], list[str]]:
    def start(place: Place) -> list[str]:
        _node_module(module)
        # Modules are looked for beside the script, so that it has to be copied there.
        target = CACHE / "node" / script
        target.write_bytes((HERE / "peers" / script).read_bytes())
        arguments = (str(place.port), str(place.origin), str(place.directory / "access.log"))
        return [_program("node"), str(target), *arguments]

    return start


def _node_version(module: str) -> Callable[[], list[str]]:
    # Read as a file, because packages need not let their description be imported.
    file = str(CACHE / "node" / "node_modules" / module / "package.json")
    code = "console.log(JSON.parse(fs.readFileSync(process.argv[1])).version, 'on Node',"
    return lambda: [_program("node"), "-e", code + " process.version)", file]


def _segue(place: Place) -> list[str]:
    config = place.write("segue.yaml", mappings=str(CHECKOUT / "mappings"), admin=str(free_port()))
    return [*_segue_command(), "run", "--config", str(config)]


def _segue_shipped(place: Place) -> list[str]:
    if not (SHIPPED / "proxy").is_dir():
        raise Failed("the package is not built: `make wheel`")
    return _segue(place)


def _segue_command() -> list[str]:
    # -P: not from the directory it runs in, which is the checkout.
    return [sys.executable, "-P", "-m", "proxy"]


_AS_SHIPPED: Final = {"PYTHONPATH": str(SHIPPED)}
_AS_SOURCE: Final = {"PYTHONPATH": str(CHECKOUT)}


def _nginx(place: Place) -> list[str]:
    # Only root may name a user; without, the worker could not write into the directory.
    user = f"user {getpass.getuser()};" if os.geteuid() == 0 else ""
    config = place.write("nginx.conf", user=user)
    log = str(place.directory / "error.log")
    return [_program("nginx"), "-e", log, "-p", str(place.directory), "-c", str(config)]


def _aiohttp(place: Place) -> list[str]:
    script = str(HERE / "peers" / "aiohttp_proxy.py")
    log = str(place.directory / "access.log")
    return [sys.executable, script, str(place.port), str(place.origin), log]


def _mitmproxy(place: Place) -> list[str]:
    addon = place.write("mitmproxy_addon.py")
    options = {
        "confdir": place.directory,
        "keep_host_header": "true",
        "connection_strategy": "lazy",
    }
    command = [_mitmdump(), "--quiet", "--mode", f"reverse:http://127.0.0.1:{place.origin}"]
    command += ["--listen-host", "127.0.0.1", "--listen-port", str(place.port)]
    command += ["--scripts", str(addon)]
    for name, value in options.items():
        command += ["--set", f"{name}={value}"]
    return command


def _on_python(version: str) -> Peer:
    """Segue as it is shipped, on another Python: `make wheel PYTHON=...` builds both."""
    package = CHECKOUT / "build" / f"wheel-{version}" / "package"
    python = CHECKOUT / f".venv-{version}" / "bin" / "python"

    def start(place: Place) -> list[str]:
        if not (package / "proxy").is_dir():
            raise Failed(f"the package is not built: `make wheel PYTHON=python{version}`")
        return [str(python), *_segue(place)[1:]]

    return Peer(
        f"segue-{version}",
        rewrites=True,
        what=f"as it is shipped, on Python {version}",
        start=start,
        version=lambda: [str(python), *_segue_command()[1:], "version"],
        query="&client_version=2.0",
        environment={"PYTHONPATH": str(package)},
    )


_FRAME_LOADS: Final = frozenset({"one-50", "one-2000", "bursts"})

PEERS: Final = (
    Peer(
        "segue",
        rewrites=True,
        what="the package as it is shipped (`make wheel`), `segue run`, with the shipped mappings",
        start=_segue_shipped,
        version=lambda: [*_segue_command(), "version"],
        query="&client_version=2.0",
        environment=_AS_SHIPPED,
    ),
    Peer(
        "segue-pass",
        rewrites=False,
        what="the same, for a client that no mapping applies to",
        start=_segue_shipped,
        version=lambda: [*_segue_command(), "version"],
        loads=_FRAME_LOADS,
        environment=_AS_SHIPPED,
    ),
    Peer(
        "segue-source",
        rewrites=True,
        what="Segue from a checkout, where nothing is compiled",
        start=_segue,
        version=lambda: [*_segue_command(), "version"],
        query="&client_version=2.0",
        loads=_FRAME_LOADS,
        environment=_AS_SOURCE,
    ),
    Peer(
        "nginx",
        rewrites=False,
        what="one worker",
        start=_nginx,
        version=lambda: [_program("nginx"), "-v"],
    ),
    Peer(
        "haproxy",
        rewrites=False,
        what="one thread",
        start=lambda place: [_program("haproxy"), "-db", "-f", str(place.write("haproxy.cfg"))],
        version=lambda: [_program("haproxy"), "-v"],
    ),
    Peer(
        "envoy",
        rewrites=False,
        what="one worker thread",
        start=lambda place: [
            *(_envoy(), "-c", str(place.write("envoy.yaml"))),
            *("--concurrency", "1", "--use-dynamic-base-id", "--log-level", "error"),
        ],
        version=lambda: [_envoy(), "--version"],
    ),
    Peer(
        "http-proxy-3",
        rewrites=False,
        what="Node's http-proxy, with a keep-alive agent",
        start=_node("http_proxy_3.mjs", "http-proxy-3"),
        version=_node_version("http-proxy-3"),
    ),
    Peer(
        "node-ws",
        rewrites=True,
        what="Node with `ws` and `http.request` by the book: parse, change, stringify",
        start=_node("node_ws.mjs", "ws"),
        version=_node_version("ws"),
    ),
    Peer(
        "aiohttp",
        rewrites=True,
        what="aiohttp by the book, on uvloop: `WebSocketResponse`, `ws_connect`, `ClientSession`",
        start=_aiohttp,
        version=lambda: [
            *(sys.executable, "-c"),
            "import aiohttp; print(f'aiohttp {aiohttp.__version__}')",
        ],
    ),
    Peer(
        "mitmproxy",
        rewrites=True,
        what="mitmdump as a reverse proxy, with an addon",
        start=_mitmproxy,
        version=lambda: [_mitmdump(), "--version"],
    ),
)

OTHER_PYTHONS: Final = tuple(_on_python(version) for version in interpreters.SUPPORTED)
"""Measured only where they are asked for, to compare Pythons and not proxies."""
