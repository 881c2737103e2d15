"""What a credential may do, as values: scopes as bits of one integer, roles, kinds of credentials. Pure.

A right exists when the credential, its project and its organisation all have it: masks are joined with `&`,
allow-lists by asking each. Nothing here knows who asks.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal, get_args

Scope = Literal[
    "chat",
    "embeddings",
    "images",
    "audio",
    "batch",
    "files",
    "models:train",
    "usage:read",
    "audit:read",
    "admin",
]
SCOPES: tuple[str, ...] = get_args(Scope)
BITS: dict[str, int] = {scope: 1 << place for place, scope in enumerate(SCOPES)}
ALL_SCOPES = (1 << len(SCOPES)) - 1

Role = Literal["owner", "admin", "member", "viewer"]
ROLES: tuple[str, ...] = get_args(Role)

Kind = Literal["api_key", "client", "signing_key", "public_key"]
KINDS: tuple[str, ...] = get_args(Kind)
PREFIXES: dict[str, str] = {"api_key": "key", "client": "client", "signing_key": "sig", "public_key": "pub"}


def mask_of(scopes: Iterable[str]) -> int:
    """The bits of `scopes`; KeyError for a name that is none of SCOPES."""
    mask = 0
    for scope in scopes:
        mask |= BITS[scope]
    return mask


def scopes_of(mask: int) -> tuple[str, ...]:
    """The names of a mask's bits, in the order of SCOPES."""
    return tuple(scope for scope, bit in BITS.items() if mask & bit)
