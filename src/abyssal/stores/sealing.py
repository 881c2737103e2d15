"""How a secret rests: AES-256-GCM under a data key of its own, which a master key wraps. Pure.

1. A sealed value is, in this order: format (1 byte, `\\x01`), length of the master key's id (1 byte), that
   id, nonce (12 bytes) and wrapped data key (48), nonce (12) and ciphertext with its tag (16 more).
2. Each `seal` draws a data key and both nonces afresh (96 bits, NIST SP 800-38D §8.2.2), so no pair of key
   and nonce is used twice.
3. The place that a value belongs to (tenant, table, row) is associated data of both encryptions, the format
   and the master key's id that of the wrapping: a value that was moved, or that names another key, is as
   unreadable as one that was changed.
4. Another master key changes the wrapping only: the ciphertext stays byte for byte.

It does not know where master keys come from, nor what is sealed. A plaintext's length is no secret.
"""

from __future__ import annotations

import os
import re
from typing import NamedTuple

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from abyssal.wire.errors import LocalError

KEY_BYTES = 32
_FORMAT = 1
_NONCE = 12
_WRAPPED = KEY_BYTES + 16
_TAG = 16
_KEY_ID = re.compile(r"mk_[0-9a-f]{4,32}")


class SealError(LocalError):
    """A sealed value cannot be opened. It never says why: that would help who tries values out."""

    def __init__(self) -> None:
        super().__init__(
            "A sealed secret cannot be opened: it was changed, moved, or sealed with another master key; "
            "restore the database and the master key that belong together."
        )


class Place(NamedTuple):
    """Where a sealed value belongs. `row` is the row's primary key."""

    tenant: str
    table: str
    row: str


class MasterKey:
    """A key that data keys are wrapped with. `repr` shows its id, nothing shows its bytes."""

    __slots__ = ("_cipher", "head", "id")

    def __init__(self, key_id: str, key: bytes) -> None:
        """ValueError unless `key_id` is `mk_` and 4 to 32 hexadecimal digits, and `key` 32 bytes."""
        if not is_key_id(key_id) or len(key) != KEY_BYTES:
            raise ValueError("a master key has an id like mk_0a1b2c3d and 32 bytes")
        self.id = key_id
        self.head = head_of(key_id)
        self._cipher = AESGCM(key)

    def wrap(self, data_key: bytes, bound: bytes) -> bytes:
        """A fresh nonce and the encrypted data key."""
        nonce = os.urandom(_NONCE)
        return nonce + self._cipher.encrypt(nonce, data_key, self.head + bound)

    def unwrap(self, nonce: bytes, wrapped: bytes, bound: bytes) -> bytes:
        """InvalidTag when it is not this key's, or belongs elsewhere."""
        return self._cipher.decrypt(nonce, wrapped, self.head + bound)

    def __repr__(self) -> str:
        return f"MasterKey({self.id!r})"


def is_key_id(text: str) -> bool:
    """Whether `text` may be a master key's id."""
    return _KEY_ID.fullmatch(text) is not None


def head_of(key_id: str) -> bytes:
    """The bytes that everything sealed with the master key of that id begins with, and nothing else."""
    encoded = key_id.encode("ascii")
    return bytes((_FORMAT, len(encoded))) + encoded


def key_id_of(sealed: bytes) -> str:
    """The id of the master key that `sealed` names; SealError when it is no sealed value."""
    shortest = 2 + _NONCE + _WRAPPED + _NONCE + _TAG
    if len(sealed) < shortest or sealed[0] != _FORMAT or len(sealed) < shortest + sealed[1]:
        raise SealError
    try:
        return sealed[2 : 2 + sealed[1]].decode("ascii")
    except UnicodeDecodeError:
        raise SealError from None


def seal(plaintext: bytes, place: Place, key: MasterKey) -> bytes:
    """`plaintext` sealed for `place`."""
    bound = _bound(place)
    data_key, nonce = os.urandom(KEY_BYTES), os.urandom(_NONCE)
    ciphertext = AESGCM(data_key).encrypt(nonce, plaintext, bound)
    return key.head + key.wrap(data_key, bound) + nonce + ciphertext


def open_sealed(sealed: bytes, place: Place, key: MasterKey) -> bytes:
    """What was sealed for `place` with `key`; SealError for anything else."""
    return _open(sealed, _bound(place), key)[1]


def rewrapped(sealed: bytes, place: Place, old: MasterKey, new: MasterKey) -> bytes:
    """`sealed` with its data key wrapped by `new`. SealError when it is not `old`'s or not of `place`.

    All of it is opened first, so that nothing broken is given a good wrapping.
    """
    bound = _bound(place)
    data_key = _open(sealed, bound, old)[0]
    return new.head + new.wrap(data_key, bound) + sealed[len(old.head) + _NONCE + _WRAPPED :]


def _open(sealed: bytes, bound: bytes, key: MasterKey) -> tuple[bytes, bytes]:
    """The data key and the plaintext."""
    wrapped = len(key.head) + _NONCE
    payload = wrapped + _WRAPPED
    if not sealed.startswith(key.head) or len(sealed) < payload + _NONCE + _TAG:
        raise SealError
    try:
        data_key = key.unwrap(sealed[wrapped - _NONCE : wrapped], sealed[wrapped:payload], bound)
        nonce = sealed[payload : payload + _NONCE]
        return data_key, AESGCM(data_key).decrypt(nonce, sealed[payload + _NONCE :], bound)
    except InvalidTag:
        raise SealError from None


def _bound(place: Place) -> bytes:
    """A place as bytes: each part with its length before it, so that no two places give the same."""
    tenant, table, row = place.tenant.encode(), place.table.encode(), place.row.encode()
    lengths = (len(tenant) << 64 | len(table) << 32 | len(row)).to_bytes(12, "big")
    return lengths + tenant + table + row
