"""What the claims of a verified JWT must be: their types, and the times between which it is good.

1. `iat` and `exp` are required, numbers and no strings; from one to the other it is 24 hours at most.
2. `exp` is exact: a token has ended when that second begins. `iat` and `nbf` may lie up to 60 seconds
   ahead, since clocks differ.

What is wrong with a token whose signature holds is no guess of a stranger's: it does not count as one.
"""

from __future__ import annotations

from typing import Any

from abyssal.gateway.auth.proof import Unproven
from abyssal.stores.rights import BITS

MAX_LIFE = 24 * 3600  # seconds
MAX_AHEAD = 60  # seconds

_SECOND = 1_000_000_000
_LATEST = 10**11  # seconds; what lies beyond is a number of milliseconds, or a mistake


def text(claims: dict[str, Any], name: str, credential: str) -> str:
    """A claim that must be there and be text. Raises Unproven."""
    found = claims.get(name)
    if type(found) is not str or not found:
        raise Unproven("malformed", credential, counts=False)
    return found


def end_of(claims: dict[str, Any], now_ns: int, credential: str) -> int:
    """When a token that is good now ends, in Unix nanoseconds. Raises Unproven for others."""
    issued, ends = _moment(claims, "iat", credential), _moment(claims, "exp", credential)
    begins = _moment(claims, "nbf", credential) if "nbf" in claims else issued
    if not 0 < ends - issued <= MAX_LIFE * _SECOND:
        raise Unproven("lifetime", credential, counts=False)
    if now_ns >= ends:
        raise Unproven("expired", credential, counts=False)
    if max(issued, begins) > now_ns + MAX_AHEAD * _SECOND:
        raise Unproven("early", credential, counts=False)
    return ends


def scopes(claims: dict[str, Any], credential: str) -> int:
    """The bits of the claim `scope`: names with blanks between (RFC 8693 §4.2). Unknown ones give nothing."""
    named = claims.get("scope")
    if type(named) is not str:
        raise Unproven("malformed", credential, counts=False)
    mask = 0
    for name in named.split(" "):
        mask |= BITS.get(name, 0)
    return mask


def _moment(claims: dict[str, Any], name: str, credential: str) -> int:
    """A NumericDate (RFC 7519 §2), which may have a fraction, in nanoseconds."""
    found: object = claims.get(name)
    if isinstance(found, bool) or not isinstance(found, int | float) or not 0 <= found < _LATEST:
        raise Unproven("malformed", credential, counts=False)
    return int(found * _SECOND)
