"""Tokens of the admin listener, and their hashes."""

from __future__ import annotations

import hashlib
import secrets

import pytest

from proxy.tokens.admin_token import ANYWHERE, RANDOM_BYTES, hash_of, read_hash, token_from
from proxy.tokens.redaction import REDACTED, redact


def test_token_has_all_the_random_bits_and_is_known_by_its_looks() -> None:
    made = {token_from(secrets.token_bytes(RANDOM_BYTES)) for _ in range(100)}
    assert len(made) == 100
    assert all(ANYWHERE.fullmatch(token) for token in made)
    assert token_from(b"\xff" * 32) == "segue_admin_" + "_" * 42 + "8"


def test_hash_is_that_of_the_whole_text() -> None:
    token = token_from(bytes(32))
    assert hash_of(token) == "sha256:" + hashlib.sha256(token.encode()).hexdigest()
    assert read_hash(hash_of(token)) == hash_of(token)
    assert hash_of("\udcff") == "sha256:" + hashlib.sha256(b"\xff").hexdigest()


@pytest.mark.parametrize(
    "value", ["", "sha256:", "a" * 64, "sha256:" + "A" * 64, "md5:" + "a" * 64]
)
def test_what_is_no_hash_is_refused(value: str) -> None:
    with pytest.raises(ValueError, match="64 hexadecimal digits"):
        read_hash(value)


def test_token_in_place_of_its_hash_is_told_and_not_repeated() -> None:
    token = token_from(bytes(32))
    with pytest.raises(ValueError, match="this is a token") as raised:
        read_hash(token)
    assert token not in str(raised.value)


@pytest.mark.parametrize(
    "text", ["/{}", "/x/{}/y", "/?a={}", "/?a=b{}", "Bearer {}", "/sessions/{}?x=1", "said {} here"]
)
def test_invariant_7_token_is_taken_out_of_whatever_is_logged(text: str) -> None:
    token = token_from(bytes(range(32)))
    for written in (token, token.replace("_", "%5F")):
        redacted = redact(text.format(written))
        assert REDACTED in redacted
        assert token[12:] not in redacted


def test_metrics_of_segue_are_no_tokens() -> None:
    for name in (
        "segue_admin_requests_total",
        "segue_config_last_reload_success_timestamp_seconds",
    ):
        assert redact(f"/x/{name}") == f"/x/{name}"
