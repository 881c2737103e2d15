"""Nonces that were used: each is good once. The protocol of the stores; each store is a file."""

from __future__ import annotations

import asyncio
from enum import Enum
from typing import Protocol


class Verdict(Enum):
    """What a store says of a nonce."""

    FRESH = "fresh"  # it was not there, and is now
    SEEN = "seen"
    FULL = "full"  # it cannot be remembered, so it must not be accepted
    STALE = "stale"  # so old that its like may have been forgotten
    DOWN = "down"  # the store cannot be reached


class Nonces(Protocol):
    """Set-if-absent, in one atomic step. A nonce is not forgotten before `until` (Unix nanoseconds)."""

    def claim(self, nonce: bytes, until: int, now_ns: int) -> Verdict | asyncio.Future[Verdict]: ...

    def close(self) -> None: ...
