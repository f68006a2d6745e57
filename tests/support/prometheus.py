"""A real Prometheus with the shipped configuration and rules, faster than operators run it."""

from __future__ import annotations

import asyncio
import re
import socket
import subprocess
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path
from typing import Any, Final

import aiohttp
import yaml

from tests.support.checkout import ROOT
from tests.support.waiting import PATIENCE

PROMETHEUS: Final = ROOT / "deploy" / "prometheus"

Query = Callable[[str], Any]

_DURATION: Final = re.compile(r"\b(\d+)m\b")


def hurried(directory: Path) -> list[Path]:
    """Copies of the rules in which each minute is a second."""
    files = []
    for name in yaml.safe_load((PROMETHEUS / "prometheus.yml").read_text("utf-8"))["rule_files"]:
        text = (PROMETHEUS / name).read_text(encoding="utf-8")
        groups = yaml.safe_load(text)
        for group in groups["groups"]:
            for rule in group["rules"]:
                for key in {"expr", "for"} & rule.keys():
                    rule[key] = _DURATION.sub(r"\1s", rule[key])
        files.append(directory / name)
        files[-1].write_text(yaml.safe_dump(groups), encoding="utf-8")
    return files


@contextmanager
def prometheus(
    directory: Path,
    target: str,
    *,
    rules: list[Path] | None = None,
    scrape: Mapping[str, object] | None = None,
) -> Iterator[str]:
    """Run it on this target; its address.

    Args:
        directory: for its files.
        target: what it scrapes.
        rules: in place of the shipped ones.
        scrape: what else its job says.
    """
    config = yaml.safe_load((PROMETHEUS / "prometheus.yml").read_text(encoding="utf-8"))
    config["global"] = {"scrape_interval": "1s", "evaluation_interval": "1s"}
    shipped = [PROMETHEUS / name for name in config["rule_files"]]
    config["rule_files"] = [str(file) for file in rules or shipped]
    config["scrape_configs"][0]["static_configs"][0]["targets"] = [target]
    config["scrape_configs"][0].update(scrape or {})
    file = directory / "prometheus.yml"
    file.write_text(yaml.safe_dump(config), encoding="utf-8")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    with (directory / "prometheus.log").open("wb") as log:
        process = subprocess.Popen(
            [
                "prometheus",
                f"--config.file={file}",
                f"--storage.tsdb.path={directory / 'data'}",
                f"--web.listen-address={address}",
            ],
            stdout=log,
            stderr=subprocess.STDOUT,
        )
    try:
        yield f"http://{address}"
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


@asynccontextmanager
async def queries(address: str) -> AsyncIterator[Query]:
    """A function that asks Prometheus for an expression: the samples of the answer."""
    async with aiohttp.ClientSession(address) as client:

        async def query(expression: str) -> list[Any]:
            async with client.post("/api/v1/query", data={"query": expression}) as response:
                if response.status == 503:
                    raise aiohttp.ClientConnectionError("it is starting")
                answer = await response.json()
            assert answer["status"] == "success", (expression, answer)
            result: list[Any] = answer["data"]["result"]
            return result

        yield query


async def until(query: Query, expression: str, *, is_there: bool = True) -> list[Any]:
    """Wait until an expression has samples, or none any more."""
    async with asyncio.timeout(PATIENCE):
        while True:
            with suppress(aiohttp.ClientConnectionError):  # It has not started yet.
                found: list[Any] = await query(expression)
                if bool(found) is is_there:
                    return found
            await asyncio.sleep(0.2)
