"""Credentials that a request names by id: found, tried, and what their nonces are called in a store.

Who names none that there is costs as much as who has the wrong secret: something is always tried.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable

from abyssal.gateway.auth.directory import Directory
from abyssal.gateway.auth.proof import live_secrets
from abyssal.gateway.principal import Credential

_ID = re.compile(r"[a-z]{1,16}_[0-9A-Za-z]{1,64}").fullmatch
# A point of the curve, so that an ed25519 signature is tried in earnest; as good as any for an HMAC.
_NOBODY = bytes.fromhex("3b6a27bcceb6a42d62a3a8d02a6f0d73653215771de243a63ac048a18b59da29")
_AT_LEAST = 2  # tries before a request is refused, so that a rotation under way does not show in the time


def find(directory: Directory, name: str, kind: str) -> Credential | None:
    """The credential whose id is `name`, if it is of that kind (`stores.rights.KINDS`)."""
    if not _ID(name):
        return None
    found = directory.of_id(name)
    return found if found is not None and found.kind == kind else None


def named(name: str) -> str:
    """`name` if it has the form of an id, else "": what is claimed, whether there is such a one or not."""
    return name if _ID(name) else ""


def is_proven(credential: Credential | None, now_ns: int, proves: Callable[[bytes], bool]) -> bool:
    """Whether `proves` says so of a live secret of `credential`; never for None.

    Before it says no it has tried at least twice, with a secret of nobody's where there are too few. What
    comes of those tries does not matter: everybody knows that secret.
    """
    tried = 0
    if credential is not None:
        for secret in live_secrets(credential, now_ns):
            if proves(secret):
                return True
            tried += 1
    for _ in range(tried, _AT_LEAST):
        proves(_NOBODY)
    return False


def nonce_of(credential: Credential, nonce: bytes) -> bytes:
    """What a store is asked about: of bounded length, and another's nonce is never ours."""
    return credential.id.encode() + b"\0" + hashlib.sha256(nonce).digest()
