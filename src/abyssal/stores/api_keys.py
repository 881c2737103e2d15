"""What an API key is: how one is made, what of it is stored, which may be brought along. Pure."""

from __future__ import annotations

import hashlib
import re
import secrets

from abyssal.wire.errors import ConfigurationError

_WELL_FORMED = re.compile(r"[A-Za-z0-9._~-]{20,512}")


def new_key() -> str:
    """A fresh key: `sk-` and 160 random bits, URL-safe."""
    return "sk-" + secrets.token_urlsafe(20)


def digest_of(key: str) -> bytes:
    """What is stored of a key: its SHA-256, 32 bytes. With 160 random bits a fast hash is enough."""
    return hashlib.sha256(key.encode()).digest()


def check_given_key(key: str) -> None:
    """Raise ConfigurationError unless `key` (empty: none was given) may become the first key."""
    if key and not _WELL_FORMED.fullmatch(key):
        raise ConfigurationError(
            "ABYSSAL_API_KEY: a first key has 20 or more characters from A-Z a-z 0-9 . _ ~ -; "
            "choose a longer one, or unset it and one is made"
        )
