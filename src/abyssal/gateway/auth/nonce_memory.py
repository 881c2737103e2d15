"""Nonces in memory, and in files beside it when they must outlive the process. For one worker alone.

1. A nonce is let go when its `until` has come, never sooner: when there is no room, new ones are refused.
2. Nonces rest in buckets of one second, so letting go costs the same for each however many there are.
3. What was let go raises a floor that only rises. A claim that ends at or below it is stale, so a clock that
   is set back brings nothing back.
4. With a folder, a nonce is in a file before it is taken (`nonce_file`): a process that was killed knows it
   again. A nonce that the file cannot take is refused as if there were no room.

A nonce is known by 16 bytes of BLAKE2b; to meet another's by accident takes 2^64 of them.
"""

from __future__ import annotations

from hashlib import blake2b
from heapq import heappop, heappush
from pathlib import Path

from abyssal.gateway.auth.nonce_file import NonceFile
from abyssal.gateway.auth.nonces import Verdict

_SECOND = 1_000_000_000


class MemoryNonces:
    """See the module. `capacity` is in nonces, about 110 bytes each; `path` is a folder or None.

    Raises ConfigurationError when the folder cannot be used, or another process uses it.
    """

    def __init__(self, path: Path | None, *, capacity: int) -> None:
        self._capacity = capacity
        self._known: set[bytes] = set()
        self._buckets: dict[int, list[bytes]] = {}  # by the second in which they have ended
        self._order: list[int] = []  # a heap of the seconds
        self._floor = 0  # seconds
        self._file = None if path is None else NonceFile(path)
        if self._file is not None:
            nonces, self._floor = self._file.load()
            for digest, second in nonces.items():
                self._remember(digest, second)

    def __len__(self) -> int:
        return len(self._known)

    def claim(self, nonce: bytes, until: int, now_ns: int) -> Verdict:
        """See `Nonces`. Nothing here waits."""
        now = now_ns // _SECOND
        if self._order and self._order[0] <= now:
            self._let_go(now)
        second = -(-until // _SECOND)
        if second <= self._floor or second <= now:
            return Verdict.STALE
        digest = blake2b(nonce, digest_size=16).digest()
        if digest in self._known:
            return Verdict.SEEN
        if len(self._known) >= self._capacity:
            return Verdict.FULL
        file = self._file
        if file is not None:
            if not file.append(digest, second):
                return Verdict.FULL
            if file.is_long:
                file.take_turns(self._buckets, self._floor)
        self._remember(digest, second)
        return Verdict.FRESH

    def close(self) -> None:
        """Let go of the files; nothing else happens. Safe to do twice."""
        if self._file is not None:
            self._file.close()

    def _remember(self, digest: bytes, second: int) -> None:
        self._known.add(digest)
        bucket = self._buckets.get(second)
        if bucket is None:
            self._buckets[second] = [digest]
            heappush(self._order, second)
        else:
            bucket.append(digest)

    def _let_go(self, now: int) -> None:
        while self._order and self._order[0] <= now:
            second = heappop(self._order)
            self._known.difference_update(self._buckets.pop(second))
            self._floor = max(self._floor, second)
