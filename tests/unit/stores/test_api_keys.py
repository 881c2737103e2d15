"""How keys are made, what of them is kept, and which may be brought along."""

from __future__ import annotations

import hashlib
import re

import pytest

from abyssal.stores.api_keys import check_given_key, digest_of, new_key
from abyssal.wire.errors import ConfigurationError


def test_keys_are_long_random_and_fit_for_an_url() -> None:
    keys = {new_key() for _ in range(1000)}
    assert len(keys) == 1000
    assert all(re.fullmatch(r"sk-[A-Za-z0-9_-]{27}", key) for key in keys)


def test_a_made_key_may_be_brought_along() -> None:
    for _ in range(100):
        check_given_key(new_key())


def test_what_is_stored_is_a_digest() -> None:
    assert digest_of("sk-x") == hashlib.sha256(b"sk-x").digest()


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
