"""The page about installing: what it names is there, and what it types is understood."""

from __future__ import annotations

import os
import re
import shlex

import pytest

from proxy.cli.main import parser
from proxy.configuration.environment import RESERVED
from proxy.configuration.reading import load
from proxy.errors import ConfigError
from tests.support.checkout import ROOT

PAGE = (ROOT / "docs/install.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```sh\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
LINES = [line for block in BLOCKS for line in block.replace("\\\n", " ").splitlines()]
COMMANDS = sorted(
    {found for line in LINES for found in re.findall(r"(?:bin/| )segue ((?:run|health).*)$", line)}
    | {"validate"}
)


@pytest.mark.parametrize("line", COMMANDS)
def test_commands_of_the_page_are_understood(line: str) -> None:
    arguments = shlex.split(line)
    assert parser().parse_args(arguments).command == arguments[0]


def test_a_server_takes_three_commands_that_there_are() -> None:
    section = PAGE.partition("## On a server\n")[2]
    (block, *_) = re.findall(r"^```sh\n(.*?)^```", section, re.MULTILINE | re.DOTALL)
    make, install, start = block.splitlines()
    assert re.search(rf"^{make.split()[1]}:", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE)
    assert os.access(ROOT / install.split()[1], os.X_OK)
    assert (ROOT / "deploy/systemd" / f"{start.split()[-1]}.service").is_file()


def test_variables_of_the_page_are_settings() -> None:
    named = set(re.findall(r"SEGUE_[A-Z_]+", PAGE)) - RESERVED
    assert {"SEGUE_UPSTREAM__URL", "SEGUE_STORE__KEYS_FILE"} <= named
    with pytest.raises(ConfigError) as caught:
        load("", "config.yaml", dict.fromkeys(named, "x"), {}, str, is_there=False)
    unknown = [each for each in caught.value.problems if "no setting has this name" in each.message]
    assert unknown == []


def test_every_front_of_the_page_says_whether_a_test_runs_it() -> None:
    rows = re.findall(r"^\| (nginx|HAProxy|Traefik|Ingress) \|.*\| (.*) \|$", PAGE, re.MULTILINE)
    ran = {name: told.startswith("yes") for name, told in rows}
    assert ran == {"nginx": True, "HAProxy": True, "Traefik": False, "Ingress": False}
    test = (ROOT / "tests/processes/operations/test_fronts.py").read_text(encoding="utf-8")
    assert set(re.findall(r"needs_(nginx|haproxy)", test)) == {"nginx", "haproxy"}
