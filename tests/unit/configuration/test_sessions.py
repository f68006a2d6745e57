"""The sections about sessions and their store."""

from __future__ import annotations

import pytest

from proxy.configuration.reading import load
from tests.support.configured import KEYS, MINIMAL, problems, read


@pytest.mark.parametrize(
    "text", ["\n".join(KEYS) + "\n", " ".join(KEYS), f"[{KEYS[0]}, {KEYS[1]}]"]
)
def test_keys_may_be_one_text_as_a_file_with_secrets_holds_them(text: str) -> None:
    env = {"SEGUE_STORE__KEYS_FILE": "/run/secrets/keys"}
    assert load(MINIMAL, "config.yaml", env, {}, lambda _: text).store.keys == KEYS
    assert read(env={"SEGUE_STORE__KEYS": KEYS[0]}).store.keys == KEYS[:1]


@pytest.mark.parametrize("wrong", ["hunter2", "[hunter2]", '["hunter2", 5]'])
def test_a_wrong_key_is_not_repeated(wrong: str) -> None:
    found = problems(f"{MINIMAL}store: {{keys: {wrong}}}\n")
    assert {each.path.partition("[")[0] for each in found} == {"store.keys"}
    assert "hunter2" not in str(found)


def test_keys_are_bounded() -> None:
    (found,) = problems(f"{MINIMAL}store: {{keys: '{' '.join(KEYS[:1] * 17)}'}}\n")
    assert "at most 16" in found.message


def test_a_shared_store_needs_shared_keys() -> None:
    (found,) = problems(MINIMAL + "store: {url: 'redis://store'}\n")
    assert (found.path, "need the same" in found.message) == ("store.keys", True)


def test_an_authority_without_tls_is_refused() -> None:
    (found,) = problems(MINIMAL + "store: {ca_file: ca.pem}\n")
    assert found.path == "store.ca_file"


def test_no_secret_is_in_the_text_of_a_configuration() -> None:
    store = f"store: {{url: 'redis://:hunter2@store', keys: [{KEYS[0]}]}}\n"
    text = repr(read(MINIMAL + store))
    assert "hunter2" not in text
    assert KEYS[0] not in text
