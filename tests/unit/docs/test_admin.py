"""The page about access: its configurations are valid, its commands are understood."""

from __future__ import annotations

import re
import shlex

import pytest
import yaml

from proxy.cli.main import parser
from proxy.types import Role
from tests.support.checkout import ROOT
from tests.support.configured import MINIMAL, read

PAGE = (ROOT / "docs/admin.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)


COMMANDS = [
    re.sub(r"^(?:sudo -u segue|kubectl exec \S+ --) ", "", line)
    for block in blocks("console")
    for line in block.splitlines()
]


@pytest.mark.parametrize("block", [block for block in blocks("yaml") if block.startswith("admin:")])
def test_configuration_of_the_page_is_valid(block: str) -> None:
    assert read(MINIMAL + block).admin != read().admin


def test_scrape_configuration_of_the_page_is_what_prometheus_reads() -> None:
    (block,) = [block for block in blocks("yaml") if not block.startswith("admin:")]
    (job,) = yaml.safe_load(block)["scrape_configs"]
    assert job["authorization"] == {"type": "Bearer", "credentials_file": "segue-token"}


@pytest.mark.parametrize("line", COMMANDS)
def test_command_of_the_page_is_understood(line: str) -> None:
    program, *arguments = shlex.split(line)
    assert program == "segue"
    assert parser().parse_args(arguments).command in ("sessions", "token")


def test_every_role_is_on_the_page() -> None:
    rows = re.findall(r"^\| `(\w+)` \| ", PAGE, re.MULTILINE)
    assert rows == [role.value for role in Role]
