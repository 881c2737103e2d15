"""How keys are made and recognised, what of them is kept, and which may be brought along."""

from __future__ import annotations

import hashlib
import hmac
import re
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from abyssal.stores.api_keys import check_given_key, digest_of, is_mistyped, new_key, rekeyed
from abyssal.wire.errors import ConfigurationError

ALPHABET = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
HASH_KEY = b"h" * 32


def test_keys_are_long_random_and_fit_for_an_url() -> None:
    keys = [new_key() for _ in range(2000)]
    assert len(set(keys)) == 2000
    assert all(re.fullmatch(r"sk-[0-9A-Za-z]{33}", key) for key in keys)
    assert 62**27 > 2**160
    # Each place of the body takes each character: about 32 times, never is one in 10^10.
    for place in range(3, 30):
        assert {key[place] for key in keys} == set(ALPHABET)


def test_the_checksum_is_the_crc_in_base_62() -> None:
    for key in [new_key() for _ in range(200)]:
        number = 0
        for digit in key[30:]:
            number = number * 62 + ALPHABET.index(digit)
        assert number == zlib.crc32(key[:30].encode())


def test_a_made_key_is_not_mistyped_and_may_be_brought_along() -> None:
    for _ in range(200):
        key = new_key()
        assert not is_mistyped(key.encode())
        check_given_key(key)


@given(st.integers(3, 35), st.sampled_from(ALPHABET))
def test_one_wrong_character_is_always_known(place: int, character: str) -> None:
    key = new_key()
    changed = key[:place] + character + key[place + 1 :]
    assert is_mistyped(changed.encode()) == (changed != key)


@given(st.integers(3, 34))
def test_two_neighbours_exchanged_are_always_known(place: int) -> None:
    key = new_key()
    changed = key[:place] + key[place + 1] + key[place] + key[place + 2 :]
    assert is_mistyped(changed.encode()) == (changed != key)


@given(st.text(ALPHABET, min_size=33, max_size=33))
def test_a_look_alike_is_known(body: str) -> None:
    number, digits = zlib.crc32(f"sk-{body[:27]}".encode()), ""
    for _ in range(6):
        number, digit = divmod(number, 62)
        digits = ALPHABET[digit] + digits
    assert is_mistyped(f"sk-{body}".encode()) == (digits != body[27:])


@pytest.mark.parametrize(
    "key",
    [b"", b"sk-", b"sk-" + b"a" * 32, b"sk-" + b"a" * 34, b"my-own-key-of-some-length", b"SK-" + b"a" * 33],
)
def test_what_has_another_form_may_be_a_key_that_was_brought_along(key: bytes) -> None:
    assert not is_mistyped(key)


@given(st.binary(max_size=64))
def test_any_bytes_can_be_asked_about(key: bytes) -> None:
    assert is_mistyped(key) in (True, False)
    assert not is_mistyped(b"sk-" + b"\xff" * 33)
    assert not is_mistyped(new_key().encode() + b"\n")


def test_what_is_stored_is_a_keyed_digest() -> None:
    digest = digest_of(b"sk-x", HASH_KEY)
    assert digest == hmac.new(HASH_KEY, hashlib.sha256(b"sk-x").digest(), "sha256").digest()
    assert len(digest) == 32
    assert digest != digest_of(b"sk-x", b"i" * 32)
    assert digest != digest_of(b"sk-y", HASH_KEY)


@given(st.binary(min_size=1, max_size=100))
def test_a_key_of_version_0_1_is_still_known(key: bytes) -> None:
    assert rekeyed(hashlib.sha256(key).digest(), HASH_KEY) == digest_of(key, HASH_KEY)


@pytest.mark.parametrize("key", ["", "a" * 20, "a" * 512, "A-Z.a_z~0123456789-09"])
def test_given_keys_that_are_taken(key: str) -> None:
    check_given_key(key)


@pytest.mark.parametrize(
    "key", ["a" * 19, "a" * 513, "a" * 20 + "\n", " " * 20, "a" * 19 + "é", "a" * 20 + "\x00"]
)
def test_given_keys_that_are_refused_without_being_shown(key: str) -> None:
    with pytest.raises(ConfigurationError, match="20 or more") as refusal:
        check_given_key(key)
    assert key not in refusal.value.message
