"""Failed attempts to prove who one is: who has made too many. Pure; time is an argument, memory is bounded.

1. A `Brake` keeps one token bucket for each name: `burst` failures at once, refilled at `per_minute`. An
   empty bucket blocks until there is one token again; failures while it is empty cost nothing more, so a
   block ends at most `60 / per_minute` seconds after the last failure.
2. A bucket is kept as one number, the time at which it will be full again, in the order of last failures.
   Full buckets are let go along the way.
3. At `capacity` the name that failed longest ago makes room, unless it is blocked; if the eight oldest are,
   the newcomer is not remembered: who has 100 000 addresses is not stopped by counting addresses, and must
   not be able to free the others by it.
4. `Attempts` joins a brake by address and one by credential. Who proved itself is not braked at its address
   for an hour, so that guessing at a client's id from elsewhere does not lock the client out.

Secrets here have 160 bits and more; the brake is there against load and noise, not against luck.
"""

from __future__ import annotations

from collections import OrderedDict
from ipaddress import IPv4Address
from itertools import islice
from math import inf

from abyssal.wire.addresses import parse_address

_ROUNDING = 1e-6  # seconds: far below any wait, far above what adding floats loses
_OLDEST = 8
_TIDIED = 2  # full buckets let go per failure: more than the one it can add
_PROVEN_FOR = 3600.0  # seconds
_FRESH = 60.0  # seconds in which it need not be noted again
_LONGEST_NAME = 64


class Brake:
    """See rules 1 to 3. `now` is monotonic seconds and never smaller than before; every call is O(1)."""

    def __init__(self, *, per_minute: int, burst: int | None = None, capacity: int = 100_000) -> None:
        """ValueError unless all numbers are positive. `burst` is `per_minute` when it is not given."""
        burst = per_minute if burst is None else burst
        if per_minute < 1 or burst < 1 or capacity < 1:
            raise ValueError(
                f"a brake needs positive numbers, not per_minute={per_minute}, burst={burst}, "
                f"capacity={capacity}"
            )
        self._interval = 60.0 / per_minute
        self._most = burst * self._interval
        self._free = self._most - self._interval + _ROUNDING
        self._capacity = capacity
        self._full_at = OrderedDict[str, float]()  # a plain dict walks over all that left at its head
        self._latest = -inf  # when the last of them will be full

    def engaged(self, now: float) -> bool:
        """Whether anybody's bucket is not full; False says that `blocked` would be 0.0 for all."""
        return now < self._latest

    def blocked(self, who: str, now: float) -> float:
        """Seconds until `who` may try again, 0.0 for at once."""
        full_at = self._full_at.get(who)
        if full_at is None:
            return 0.0
        debt = full_at - now
        return debt - self._free if debt > self._free else 0.0

    def failed(self, who: str, now: float) -> None:
        """Count one failure of `who`."""
        buckets = self._full_at
        debt = max(0.0, buckets.pop(who, now) - now)
        for oldest in list(islice(buckets, _TIDIED)):
            if buckets[oldest] <= now:
                del buckets[oldest]
        if len(buckets) >= self._capacity and not self._make_room(now):
            return
        buckets[who] = full_at = now + min(debt + self._interval, self._most)
        self._latest = max(self._latest, full_at)

    def __len__(self) -> int:
        return len(self._full_at)

    def _make_room(self, now: float) -> bool:
        for oldest in islice(self._full_at, _OLDEST):
            if not self.blocked(oldest, now):
                del self._full_at[oldest]
                return True
        return False


class Attempts:
    """See rule 4. `credential` is the id that an attempt claims, "" where it names none."""

    def __init__(self, *, per_address: int, per_credential: int, capacity: int = 100_000) -> None:
        """Failures per minute, of each address and of each credential."""
        self._by_address = Brake(per_minute=per_address, capacity=capacity)
        self._by_credential = Brake(per_minute=per_credential, capacity=capacity)
        self._proven = OrderedDict[tuple[str, str], float]()
        self._capacity = capacity

    def engaged(self, now: float) -> bool:
        """Whether anybody may be blocked."""
        return self._by_address.engaged(now) or self._by_credential.engaged(now)

    def blocked(self, credential: str, address: str, now: float) -> float:
        """Seconds until this attempt would be looked at, 0.0 for at once."""
        if not self.engaged(now):
            return 0.0
        bucket = bucket_of(address)
        wait = self._by_address.blocked(bucket, now)
        if credential:
            wait = max(wait, self._by_credential.blocked(credential[:_LONGEST_NAME], now))
        if wait and self._proven.get((credential, bucket), -_PROVEN_FOR) + _PROVEN_FOR > now:
            return 0.0
        return wait

    def failed(self, credential: str, address: str, now: float, *, stranger: bool = True) -> None:
        """Count a failure.

        `stranger` is False where the secret was right and is no longer good: that is held against the
        credential alone, for behind one address there may be others.
        """
        if stranger:
            self._by_address.failed(bucket_of(address), now)
        if credential:
            self._by_credential.failed(credential[:_LONGEST_NAME], now)

    def proved(self, credential: str, address: str, now: float) -> None:
        """`credential` proved itself from `address`. Nobody else is remembered, so nobody can flood it."""
        proven, pair = self._proven, (credential, bucket_of(address))
        if now - proven.get(pair, -inf) < _FRESH:
            return
        proven.pop(pair, None)
        if len(proven) >= self._capacity:
            proven.popitem(last=False)
        proven[pair] = now


def bucket_of(address: str) -> str:
    """What an address is counted as: itself for IPv4, its /64 for IPv6 (one customer has at least that much).

    An IPv4-mapped IPv6 address is the IPv4 address; text that is no address is itself, cut to 64 characters.
    """
    if ":" not in address:
        return address[:_LONGEST_NAME]
    parsed = parse_address(address)
    if parsed is None:
        return address[:_LONGEST_NAME]
    return str(parsed) if isinstance(parsed, IPv4Address) else f"{int(parsed) >> 64:x}::/64"
