"""Tokens at rest: unreadable without a key, found again after the keys were rotated."""

from __future__ import annotations

import base64
import hashlib
import hmac

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.tokens.sealing import Sealer, Unsealable, new_key, read_key

OLD, NEW, OTHER = (base64.urlsafe_b64encode(bytes([n]) * 32).decode() for n in (1, 2, 3))
TOKENS = st.text(st.characters(), max_size=400)


@given(TOKENS)
def test_what_is_sealed_is_what_comes_back(token: str) -> None:
    sealer = Sealer([NEW])
    assert sealer.unseal(sealer.seal(token)) == token
    assert len(sealer.digest(token)) == 32


@given(st.text(min_size=4, max_size=100))
def test_sealing_shows_nothing_of_the_token(token: str) -> None:
    sealer = Sealer([NEW])
    sealed = base64.urlsafe_b64decode(sealer.seal(token))
    assert token.encode() not in sealed
    assert sealer.seal(token) != sealer.seal(token)


def test_the_time_of_sealing_is_not_told() -> None:
    assert base64.urlsafe_b64decode(Sealer([NEW]).seal("token"))[1:9] == bytes(8)


@pytest.mark.parametrize("position", [0, 10, 40, 70, -1])
def test_what_was_altered_is_refused(position: int) -> None:
    sealer = Sealer([NEW])
    raw = bytearray(base64.urlsafe_b64decode(sealer.seal("token")))
    raw[position] ^= 1
    with pytest.raises(Unsealable):
        sealer.unseal(base64.urlsafe_b64encode(bytes(raw)))


@given(st.binary(max_size=200))
def test_other_bytes_are_refused(data: bytes) -> None:
    with pytest.raises(Unsealable) as raised:
        Sealer([NEW]).unseal(data)
    assert raised.value.__suppress_context__


def test_a_rotated_key_opens_what_it_sealed_and_a_removed_one_does_not() -> None:
    sealed = Sealer([OLD]).seal("token")
    assert Sealer([NEW, OLD]).unseal(sealed) == "token"
    with pytest.raises(Unsealable):
        Sealer([NEW]).unseal(sealed)


def test_the_first_key_seals() -> None:
    assert Sealer([NEW]).unseal(Sealer([NEW, OLD]).seal("token")) == "token"


def test_a_handle_is_found_under_every_key_and_written_under_the_first() -> None:
    before, after = Sealer([OLD]), Sealer([NEW, OLD])
    assert after.digests("token") == (after.digest("token"), before.digest("token"))
    assert after.digest("token") == Sealer([NEW]).digest("token")


def test_a_digest_is_a_keyed_hash_with_a_derived_key() -> None:
    digest = Sealer([OLD]).digest("token")
    assert len(digest) == 32
    assert digest != hashlib.sha256(b"token").digest()
    # RFC 5869 with an empty salt, and one block of output.
    extracted = hmac.digest(bytes(32), bytes([1]) * 32, "sha256")
    derived = hmac.digest(extracted, b"segue: digests of handles\x01", "sha256")
    assert digest == hmac.digest(derived, b"token", "sha256")
    assert digest != Sealer([OTHER]).digest("token")


@given(st.binary(min_size=32, max_size=32))
def test_keys_are_read_in_both_alphabets(raw: bytes) -> None:
    url_safe = base64.urlsafe_b64encode(raw).decode()
    assert read_key(url_safe) == read_key(base64.b64encode(raw).decode()) == url_safe


@pytest.mark.parametrize(
    "text",
    [
        "",
        "short",
        "geheim" * 10,
        "é" * 44,
        base64.b64encode(bytes(31)).decode(),
        base64.b64encode(bytes(33)).decode(),
        OLD.rstrip("="),
        f" {OLD}",
        f"{OLD}\n",
    ],
)
def test_what_is_no_key_is_refused_without_repeating_it(text: str) -> None:
    with pytest.raises(ValueError, match=r"openssl rand -base64 32") as raised:
        read_key(text)
    assert not text.strip() or text not in str(raised.value)


def test_a_sealer_needs_a_key() -> None:
    with pytest.raises(ValueError, match="at least one"):
        Sealer([])


def test_new_keys_are_keys_and_differ() -> None:
    assert read_key(new_key()) != new_key()
