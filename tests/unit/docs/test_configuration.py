"""The document of the configuration is what the models say, and says from when a change counts."""

from __future__ import annotations

import pytest

from tools.configuration_doc import EFFECTS, RESTART, effect_of, keys, main


def test_the_document_is_the_one_that_the_models_give() -> None:
    assert main(["--check"]) == 0, "run: python -m tools.configuration_doc"


def test_every_key_says_what_it_is() -> None:
    found = list(keys())
    assert len(found) > 90
    assert [key.path for key in found if not (key.text and key.kind and key.default)] == []


def test_a_version_is_no_duration() -> None:
    kinds = {key.path: key.kind for key in keys()}
    assert kinds["versions.default"] == "version"
    assert kinds["timeouts.drain"] == "duration"


@pytest.mark.parametrize(
    ("path", "restart"),
    [
        ("listen.address", True),
        ("listen.origins", False),
        ("listen.tls.key", False),
        ("admin.allow_raw_recordings", False),
        ("admin.address", True),
        ("admin.tokens[].hash", False),
        ("admin.users", False),
        ("store.keys", True),
        ("log.level", True),
        ("sessions.enabled", True),
        ("sessions.paths.refresh", False),
        ("timeouts.tls_handshake", True),
        ("timeouts.drain", False),
        ("cohorts[].websocket.to_client", False),
    ],
)
def test_what_only_a_restart_brings_is_said(path: str, restart: bool) -> None:
    assert (effect_of(path) == RESTART) is restart


def test_a_key_that_nobody_has_decided_about_is_an_error() -> None:
    with pytest.raises(KeyError):
        effect_of("luck.amount")


def test_no_effect_is_said_of_what_is_not_there() -> None:
    paths = [key.path.replace("[]", "") for key in keys()]
    assert [
        name for name in EFFECTS if not any(f"{path}.".startswith(f"{name}.") for path in paths)
    ] == []
