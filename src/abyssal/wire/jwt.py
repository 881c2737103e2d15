"""A JSON Web Token taken apart, more strictly than most libraries do. It knows no key and no clock.

1. Compact form, three parts, at most 4 KiB (RFC 7515 §7.1; RFC 8725 §3.11 asks for bounds).
2. Each part is base64url in its one spelling: no padding, no other character, no spare bits. So two texts
   never are the same token.
3. Header and claims are JSON objects in UTF-8 in which no member comes twice, at any depth, and no number
   is beyond what a double holds: two readers cannot see two things (RFC 8725 §2.4; RFC 7519 §4).
4. A header that brings its own key, names where one lies, or needs an extension is refused (RFC 8725 §3.10).
"""

from __future__ import annotations

import json
import math
from base64 import urlsafe_b64decode, urlsafe_b64encode
from typing import Any, NamedTuple, NoReturn

MAX_TOKEN = 4096  # bytes

_REFUSED = frozenset(("crit", "b64", "zip", "enc", "jwk", "jku", "x5u", "x5c", "x5t", "x5t#S256"))


class JwtError(ValueError):
    """The text is no token that anyone should read further."""


class Jwt(NamedTuple):
    """A token in parts. `payload` is JSON text, not read yet; `signed` is what the signature covers."""

    header: dict[str, Any]
    payload: bytes
    signed: bytes
    signature: bytes


def take_apart(token: bytes) -> Jwt:
    """The parts of `token`. Raises JwtError."""
    if len(token) > MAX_TOKEN:
        raise JwtError(f"the token is over {MAX_TOKEN} bytes")
    parts = token.split(b".")
    if len(parts) != 3:
        raise JwtError(f"a signed token has three parts, this one has {len(parts)}")
    header = read_object(_decoded(parts[0]))
    if not _REFUSED.isdisjoint(header):
        raise JwtError("the header has " + ", ".join(sorted(_REFUSED & header.keys())))
    payload, signature = _decoded(parts[1]), _decoded(parts[2])
    return Jwt(header, payload, token[: token.rindex(b".")], signature)


def read_object(text: bytes) -> dict[str, Any]:
    """The JSON object that `text` is. Raises JwtError for what two readers could read differently."""
    try:
        found = json.loads(
            text.decode(), object_pairs_hook=_object, parse_constant=_no_constant, parse_float=_finite
        )
    except JwtError:
        raise
    except (ValueError, RecursionError) as error:
        raise JwtError(f"not JSON that can be relied on: {type(error).__name__}") from None
    if type(found) is not dict:
        raise JwtError("not a JSON object")
    return found  # pyright: ignore[reportUnknownVariableType]


def _decoded(part: bytes) -> bytes:
    try:
        data = urlsafe_b64decode(part + b"=" * (-len(part) % 4))
    except ValueError:
        raise JwtError("a part is not base64url") from None
    if not data or urlsafe_b64encode(data).rstrip(b"=") != part:
        raise JwtError("a part is empty or not base64url in its one spelling")
    return data


def _object(members: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(members)
    if len(found) != len(members):
        raise JwtError("a member comes twice")
    return found


def _no_constant(name: str) -> NoReturn:
    raise JwtError(f"{name} is no JSON")


def _finite(digits: str) -> float:
    number = float(digits)
    if not math.isfinite(number):
        raise JwtError("a number is out of range")
    return number
