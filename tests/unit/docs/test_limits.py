"""What the documents of operation say of the settings is what the settings are."""

from __future__ import annotations

import re

import pytest
import yaml
from pydantic import BaseModel

from proxy import errors
from proxy.configuration.audit import AuditSettings
from proxy.configuration.sections import Config, LimitSettings, Timeouts
from proxy.configuration.sessions import SessionSettings, StoreSettings
from proxy.configuration.units import duration, size
from proxy.configuration.upstream import Ejection, HealthCheck, Upstream
from proxy.configuration.websocket import SocketBound
from proxy.mapping.engine.compiled import MAX_VALUES
from proxy.memory import Kind
from tests.support.checkout import ROOT

DOCS = ROOT / "docs"
MIB = 1 << 20


def rows(name: str) -> list[list[str]]:
    """The cells of all table rows of a document, heads and rules left out."""
    lines = (DOCS / name).read_text(encoding="utf-8").splitlines()
    tables = [line.strip("|").split("|") for line in lines if line.startswith("| `")]
    return [[cell.strip() for cell in cells] for cells in tables]


def settings() -> dict[str, float | None]:
    """Every setting that is a limit, with its default; None where it is off."""
    sections: dict[str, type[BaseModel]] = {
        "limits": LimitSettings,
        "timeouts": Timeouts,
        "sessions": SessionSettings,
        "store": StoreSettings,
        "audit": AuditSettings,
        "upstream": Upstream,
        "upstream.ejection": Ejection,
        "upstream.health": HealthCheck,
        "websocket.per_session[]": SocketBound,
    }
    return {
        f"{section}.{key}": None if field.default is None else float(field.default)
        for section, model in sections.items()
        for key, field in model.model_fields.items()
        if (type(field.default) in (int, float) and key not in ("close_code", "code"))
        or (section == "limits" and field.default is None)
    }


def documented() -> dict[str, list[str]]:
    """Rows by key. The names of limits that are counted, which have no dot, are another test's."""
    return {cells[0].strip("`"): cells[1:] for cells in rows("limits.md") if "." in cells[0]}


def test_every_limit_is_documented_and_nothing_else() -> None:
    assert documented().keys() == settings().keys()


@pytest.mark.parametrize(("key", "default"), settings().items())
def test_documented_default_is_the_one_that_applies(key: str, default: float | None) -> None:
    written = documented()[key][0]
    if default is None:
        assert written == "off"
        return
    read = duration if written.endswith(" s") else size
    assert read(written) == default


def test_every_limit_says_what_happens() -> None:
    assert [key for key, cells in documented().items() if not all(cells[1:3])] == []


def test_every_kind_of_what_is_held_is_documented() -> None:
    text = (DOCS / "limits.md").read_text(encoding="utf-8")
    assert re.findall(r"^\| \*\*(\w+)\*\* \|", text, re.MULTILINE) == [*Kind]


def test_what_a_process_can_reach_is_under_what_the_manifest_allows_it() -> None:
    text = (DOCS / "limits.md").read_text(encoding="utf-8")
    sums = text.partition("**The sum.**")[2].partition("**Measured**")[0]
    process, held, rewritten, connections = (
        int(found) for found in re.findall(r"^\| .*\| (\d+) MiB", sums, re.MULTILINE)
    )
    assert held == LimitSettings().memory * 2 / MIB
    assert rewritten >= MAX_VALUES * 212 / MIB
    assert rewritten >= 6 * max(LimitSettings().body, LimitSettings().message) / MIB
    manifest = (ROOT / "deploy/kubernetes/deployment.yaml").read_text(encoding="utf-8")
    (container,) = yaml.safe_load(manifest)["spec"]["template"]["spec"]["containers"]
    allowed = container["resources"]["limits"]["memory"]
    assert f"allows {allowed.removesuffix('Mi')} MiB" in sums
    assert process + held + rewritten + connections < int(allowed.removesuffix("Mi"))


def test_errors_that_limits_name_are_labels() -> None:
    labels = {each.label for each in vars(errors).values() if hasattr(each, "label")}
    cells = [cell for row in documented().values() for cell in re.findall(r"`([a-z_]+)`", row[-1])]
    assert {cell for cell in cells if not cell.startswith("segue_")} - {
        "stopped",
        "fault",
    } <= labels


def test_every_section_of_the_settings_says_when_a_change_applies() -> None:
    told = {
        name for cells in rows("operations.md") for name in re.findall(r"`(\w+)[.\w]*`", cells[0])
    }
    assert set(Config.model_fields) <= told
