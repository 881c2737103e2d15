"""What the data plane reads instead of a database: an immutable picture, replaced whole when it changes."""

from __future__ import annotations

import msgspec


class KeyRecord(msgspec.Struct, frozen=True, array_like=True):
    """An API key as the data plane knows it. `digest` is the SHA-256 of the key (32 bytes)."""

    id: str
    name: str
    digest: bytes


class Snapshot(msgspec.Struct, frozen=True, array_like=True):
    """Everything the control plane publishes. `version` grows with every change."""

    version: int
    keys: tuple[KeyRecord, ...]
