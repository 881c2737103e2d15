"""What an API key is: how one is made and recognised, what of it is stored, which may be brought along. Pure.

`sk-` + 27 random characters of base 62 (160.7 bits) + 6 characters of checksum. The checksum is the CRC-32 of
what comes before it, in base 62: a typo, or something that only looks like a key, is known without a look-up.
Stored is HMAC-SHA256(hash key, SHA-256(key)); the hash key is the platform's own and rests sealed.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
import zlib

from abyssal.wire.errors import ConfigurationError

PREFIX = "sk-"
_ALPHABET = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_BODY, _CHECKSUM = 27, 6
_OURS = re.compile(rb"sk-[0-9A-Za-z]{33}")
_WELL_FORMED = re.compile(r"[A-Za-z0-9._~-]{20,512}")


def new_key() -> str:
    """A fresh key."""
    body = PREFIX + "".join(secrets.choice(_ALPHABET) for _ in range(_BODY))
    return body + _checksum(body.encode())


def is_mistyped(key: bytes) -> bool:
    """Whether `key` has the form of ours and a checksum that does not fit."""
    return _OURS.fullmatch(key) is not None and _checksum(key[:-_CHECKSUM]).encode() != key[-_CHECKSUM:]


def digest_of(key: bytes, hash_key: bytes) -> bytes:
    """What is stored of a key (32 bytes). With 160 random bits a fast hash is enough."""
    return hmac.digest(hash_key, hashlib.sha256(key).digest(), "sha256")


class KeyDigest:
    """`digest_of` under one hash key, for whoever needs it often: HMAC (RFC 2104) from prepared states."""

    __slots__ = ("_inner", "_outer")

    def __init__(self, hash_key: bytes) -> None:
        padded = hash_key.ljust(64, b"\0")
        self._inner = hashlib.sha256(bytes(byte ^ 0x36 for byte in padded))
        self._outer = hashlib.sha256(bytes(byte ^ 0x5C for byte in padded))

    def __call__(self, key: bytes) -> bytes:
        inner, outer = self._inner.copy(), self._outer.copy()
        inner.update(hashlib.sha256(key).digest())
        outer.update(inner.digest())
        return outer.digest()


def rekeyed(plain_digest: bytes, hash_key: bytes) -> bytes:
    """`digest_of` from a key's SHA-256 alone, which is what version 0.1 stored."""
    return hmac.digest(hash_key, plain_digest, "sha256")


def check_given_key(key: str) -> None:
    """Raise ConfigurationError unless `key` (empty: none was given) may become the first key."""
    if key and not _WELL_FORMED.fullmatch(key):
        raise ConfigurationError(
            "ABYSSAL_API_KEY: a first key has 20 or more characters from A-Z a-z 0-9 . _ ~ -; "
            "choose a longer one, or unset it and one is made"
        )


def _checksum(body: bytes) -> str:
    number, digits = zlib.crc32(body), ""
    for _ in range(_CHECKSUM):
        number, place = divmod(number, len(_ALPHABET))
        digits = _ALPHABET[place] + digits
    return digits
