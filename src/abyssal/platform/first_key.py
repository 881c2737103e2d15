"""The first API key: given by the operator or made, so that a new platform can be called at once."""

from __future__ import annotations

import os
from pathlib import Path

import msgspec

from abyssal.stores.api_keys import check_given_key, new_key
from abyssal.stores.sql.keys import KeyStore

FILE_NAME = "first-key"


class FirstKey(msgspec.Struct, frozen=True):
    """What `ensure_first_key` did. `key` is None when there were keys already."""

    key: str | None
    made: bool = False


def ensure_first_key(keys: KeyStore, data: Path, given: str, *, now_ns: int) -> FirstKey:
    """Store the first key where there is none yet: `given`, or a fresh one that is kept in `data`.

    The file is mode 600 and is there before the key is, so a crash between leaves nobody locked out.
    """
    if keys.list():
        return FirstKey(None)
    if given:
        check_given_key(given)
        keys.add("first", given, now_ns=now_ns)
        return FirstKey(given)
    key = new_key()
    path = data / FILE_NAME
    path.unlink(missing_ok=True)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(key + "\n")
    keys.add("first", key, now_ns=now_ns)
    return FirstKey(key, made=True)
