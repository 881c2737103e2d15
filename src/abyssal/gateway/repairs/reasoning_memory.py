"""What assistants thought, kept for clients that do not send it back. Bounded: the oldest go first.

1. An entry is found by its tenant (the project) and the turn's digest (`turns`), never by another tenant's.
2. It lives for `lifetime` seconds after it was last stored or used.
3. There are never more than `most_entries`, nor more than `most_bytes` of text; one that is larger than
   `most_bytes_each` is not kept.

Each worker has a memory of its own, and it is gone when the worker is. What it is to remember it shares
with the node's other workers, if the moment allows: a client's next request may come to any of them.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable

_MIB = 1024 * 1024
_Key = tuple[str, bytes]

Share = Callable[[str, bytes, bytes], None]
"""Tells the other workers: the tenant, the turn's digest, and the thought in UTF-8."""


class ReasoningMemory:
    """See the module. `now` gives loop time, in seconds; `share` is None where there is one worker."""

    def __init__(
        self,
        now: Callable[[], float],
        share: Share | None = None,
        *,
        lifetime: float = 6 * 3600.0,
        most_entries: int = 100_000,
        most_bytes: int = 64 * _MIB,
        most_bytes_each: int = _MIB,
    ) -> None:
        self._now = now
        self._share = share
        self._lifetime = lifetime
        self._most_entries, self._most_bytes, self._most_each = most_entries, most_bytes, most_bytes_each
        self._entries: OrderedDict[_Key, tuple[bytes, float]] = OrderedDict()  # the oldest first
        self.bytes = 0

    def __len__(self) -> int:
        return len(self._entries)

    def remember(self, tenant: str, digest: bytes, reasoning: str) -> None:
        """Keep what was thought before the turn `digest`."""
        text = reasoning.encode("utf-8", "surrogatepass")
        if len(text) <= self._most_each:
            self._put((tenant, digest), text)
            if self._share is not None:
                self._share(tenant, digest, text)

    def hear(self, tenant: str, digest: bytes, text: bytes) -> None:
        """Keep what another worker shared."""
        self._put((tenant, digest), text)

    def recall(self, tenant: str, digest: bytes) -> str | None:
        """What was thought before the turn `digest`; None when it is not known."""
        key = (tenant, digest)
        found = self._entries.get(key)
        if found is None:
            return None
        if found[1] <= self._now():
            self._drop(key)
            return None
        self._put(key, found[0])
        return found[0].decode("utf-8", "surrogatepass")

    def _put(self, key: _Key, text: bytes) -> None:
        if key in self._entries:
            self._drop(key)
        now, entries = self._now(), self._entries
        entries[key] = (text, now + self._lifetime)
        self.bytes += len(text)
        while entries:
            oldest = next(iter(entries))
            full = self.bytes > self._most_bytes or len(entries) > self._most_entries
            if not full and entries[oldest][1] > now:
                return
            self._drop(oldest)

    def _drop(self, key: _Key) -> None:
        self.bytes -= len(self._entries.pop(key)[0])
