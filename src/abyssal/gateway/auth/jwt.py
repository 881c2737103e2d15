"""JWTs: `Authorization: Bearer` with two dots. `typ` in the header says which of the two kinds one is.

1. `at+jwt` is an access token of the platform's (`access_token`), anything else is a client's own
   (`self_issued`). Each kind has one algorithm; what a token says of itself only makes it fail.
2. A token that was proven is remembered by its text until it ends or a secret of its client does. It is
   looked at anew when its client was published anew, and refused once it or its key is withdrawn.
3. What is remembered is bounded; the least recently used goes. Only proven tokens are there, so strangers
   cannot push anyone's out.
"""

from __future__ import annotations

from collections import OrderedDict

from abyssal.gateway.auth.access_token import TYPES, AccessTokens
from abyssal.gateway.auth.by_id import named
from abyssal.gateway.auth.directory import Directory
from abyssal.gateway.auth.proof import Proof, Unproven
from abyssal.gateway.auth.self_issued import SelfIssued
from abyssal.gateway.exchange import Exchange
from abyssal.gateway.principal import Principal
from abyssal.wire.jwt import Jwt, JwtError, take_apart

_LONGEST_REMEMBERED = 2048  # bytes: real tokens are shorter


class _Seen:
    """A token that was proven. `token_id` and `key_id` are an access token's, "" for others."""

    __slots__ = ("credential", "key_id", "proof", "token_id", "until")

    def __init__(self, principal: Principal, until: int, token_id: str = "", key_id: str = "") -> None:
        self.proof = Proof(principal)
        self.credential = principal.credential
        self.until, self.token_id, self.key_id = until, token_id, key_id


class JsonWebTokens:
    """See the module. `issuer` is what `iss` and `aud` name this platform by."""

    name = "jwt"

    def __init__(self, directory: Directory, *, issuer: str, capacity: int = 4096) -> None:
        self._access_tokens = AccessTokens(directory, issuer)
        self._self_issued = SelfIssued(directory, issuer)
        self._capacity = capacity
        self._seen: OrderedDict[bytes, _Seen] = OrderedDict()

    def claimed(self, exchange: Exchange) -> str:
        field = _token(exchange)
        seen = self._seen.get(field)
        if seen is not None:
            return seen.credential.id
        try:
            token = take_apart(field)
            kind = self._access_tokens if _is_access_token(token) else self._self_issued
            return named(kind.claimed(token))
        except JwtError:
            return ""

    def prove(self, exchange: Exchange, now_ns: int) -> Proof:
        field = _token(exchange)
        seen = self._seen.get(field)
        if seen is not None:
            if (
                now_ns < seen.until
                and seen.credential.live
                and (not seen.key_id or self._access_tokens.is_good(seen.token_id, seen.key_id))
            ):
                self._seen.move_to_end(field)
                return seen.proof
            del self._seen[field]
        try:
            seen = self._prove(take_apart(field), now_ns)
        except JwtError:
            raise Unproven("malformed") from None
        if len(field) > _LONGEST_REMEMBERED:
            return seen.proof
        self._seen[field] = seen
        if len(self._seen) > self._capacity:
            self._seen.popitem(last=False)
        return seen.proof

    def _prove(self, token: Jwt, now_ns: int) -> _Seen:
        if _is_access_token(token):
            return _Seen(*self._access_tokens.prove(token, now_ns))
        return _Seen(*self._self_issued.prove(token, now_ns))


def _token(exchange: Exchange) -> bytes:
    return (exchange.head.authorization or b"").partition(b" ")[2].strip()


def _is_access_token(token: Jwt) -> bool:
    kind: object = token.header.get("typ")
    return type(kind) is str and kind.lower() in TYPES
