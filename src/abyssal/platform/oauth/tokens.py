"""Access tokens: JSON Web Tokens as RFC 9068 wants them, signed with ES256. It does not know where keys rest.

1. The header is `{"alg": "ES256", "typ": "at+jwt", "kid"}` and nothing else: whoever brings `crit`, `jwk`,
   `jku`, `x5u` or another algorithm brings no token of ours (RFC 8725 §3.1, §3.5, §3.10).
2. The claims are `iss`, `aud`, `sub`, `client_id`, `scope`, `iat`, `exp` and `jti`; the issuer is also the
   audience, and a client is its own subject (RFC 9068 §2.2, §3).
3. A token has one spelling: base64url without padding and without loose bits.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from typing import TYPE_CHECKING, Literal

import msgspec

if TYPE_CHECKING:
    from joserfc.jwk import ECKey

ALGORITHM = "ES256"
MOST_BYTES = 4096  # of a token that is worth reading; ours have some 600
_JTI_BYTES = 16


class AccessToken(msgspec.Struct, frozen=True):
    """What a token says. `scope` as RFC 6749 §3.3 writes it; times are Unix seconds."""

    jti: str
    client_id: str
    scope: str
    issued_at: int
    expires_at: int


class _Header(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    alg: Literal["ES256"]
    typ: Literal["at+jwt"]
    kid: str


class _Claims(msgspec.Struct, frozen=True):
    iss: str
    aud: str
    sub: str
    client_id: str
    scope: str
    iat: int
    exp: int
    jti: str


_header = msgspec.json.Decoder(_Header)
_claims = msgspec.json.Decoder(_Claims)


def new_jti() -> str:
    """A token's own name: 128 random bits."""
    return secrets.token_urlsafe(_JTI_BYTES)


def sign_token(token: AccessToken, *, issuer: str, kid: str, key: ECKey) -> str:
    """`token` as it goes over the wire."""
    from joserfc import jws

    claims = _Claims(
        iss=issuer,
        aud=issuer,
        sub=token.client_id,
        client_id=token.client_id,
        scope=token.scope,
        iat=token.issued_at,
        exp=token.expires_at,
        jti=token.jti,
    )
    header = {"alg": ALGORITHM, "typ": "at+jwt", "kid": kid}
    return jws.serialize_compact(header, msgspec.json.encode(claims), key, [ALGORITHM])


def read_token(text: str, *, issuer: str, keys: Mapping[str, ECKey], now_ns: int) -> AccessToken | None:
    """What `text` says if it is a token of ours that has not ended; None for everything else.

    `keys` are the published ones by id. Whether it was revoked is not known here.
    """
    from joserfc import jws
    from joserfc.errors import JoseError
    from joserfc.util import urlsafe_b64decode

    if len(text) > MOST_BYTES or text.count(".") != 2:
        return None
    try:
        header = _header.decode(urlsafe_b64decode(text.partition(".")[0].encode("ascii")))
        key = keys.get(header.kid)
        if key is None:
            return None
        payload = jws.deserialize_compact(text, key, [ALGORITHM]).payload
        claims = _claims.decode(payload or b"")
    except (JoseError, ValueError):  # msgspec's and base64's errors are ValueErrors
        return None
    if claims.iss != issuer or claims.aud != issuer or claims.sub != claims.client_id:
        return None
    if now_ns >= claims.exp * 10**9:
        return None
    return AccessToken(claims.jti, claims.client_id, claims.scope, claims.iat, claims.exp)
