"""Access tokens that the platform issued: RFC 9068, ES256, checked without asking anybody.

1. ES256 and nothing else, with a key that is published now and that `kid` names. Which keys there are is
   no secret, so an unknown `kid` may be refused sooner than a wrong signature.
2. `iss` and `aud` are this platform's issuer, `sub` and `client_id` a client that exists; `exp`, `iat`,
   `jti` and `scope` are required, times as `claims` says.
3. A token that was revoked, or whose key was withdrawn, is refused from then on, however often it was seen.

`cryptography` is used as it is: what a JOSE library adds (3 MiB more in each worker and 40 ms at the first
token, in which no call is served) is the twenty lines below, and a choice of algorithms that must not be had.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from abyssal.gateway.auth import claims as rules
from abyssal.gateway.auth.by_id import find
from abyssal.gateway.auth.directory import Directory
from abyssal.gateway.auth.proof import Unproven
from abyssal.gateway.principal import Principal
from abyssal.stores.snapshot import TokenKey
from abyssal.wire.jwt import Jwt, read_object

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey

TYPES = ("at+jwt", "application/at+jwt")  # RFC 9068 §2.1


class AccessTokens:
    """See the module."""

    def __init__(self, directory: Directory, issuer: str) -> None:
        self._directory = directory
        self._issuer = issuer
        self._keys: dict[str, EllipticCurvePublicKey] = {}

    def claimed(self, token: Jwt) -> str:
        """Whose it says it is. Raises JwtError."""
        client: object = read_object(token.payload).get("client_id")
        return client if type(client) is str else ""

    def prove(self, token: Jwt, now_ns: int) -> tuple[Principal, int, str, str]:
        """Whose it is, when it ends (Unix nanoseconds), its `jti`, its key. Raises Unproven, JwtError."""
        if token.header.get("alg") != "ES256":
            raise Unproven("algorithm")
        key_id: object = token.header.get("kid")
        published = self._directory.token_keys.get(key_id) if type(key_id) is str else None
        if published is None:
            raise Unproven("unknown_key")
        if not _is_signed(token, self._key(published)):
            raise Unproven("signature")
        claims = read_object(token.payload)
        client = rules.text(claims, "client_id", "")
        found = find(self._directory, client, "client")
        if found is None:
            raise Unproven("unknown", counts=False)  # the client was revoked
        if claims.get("iss") != self._issuer:
            raise Unproven("issuer", client, counts=False)
        if claims.get("aud") != self._issuer:
            raise Unproven("audience", client, counts=False)
        if rules.text(claims, "sub", client) != client:
            raise Unproven("malformed", client, counts=False)
        token_id = rules.text(claims, "jti", client)
        scopes = rules.scopes(claims, client)
        ends = rules.end_of(claims, now_ns, client)
        if self._directory.is_revoked(token_id):
            raise Unproven("revoked", client, counts=False)
        return Principal(found, scopes), ends, token_id, published.id

    def is_good(self, token_id: str, key_id: str) -> bool:
        """Whether a token that was proven may still be taken: it is not revoked, its key is published."""
        return key_id in self._directory.token_keys and not self._directory.is_revoked(token_id)

    def _key(self, published: TokenKey) -> EllipticCurvePublicKey:
        key = self._keys.get(published.id)
        if key is None:
            self._keys = {kid: key for kid, key in self._keys.items() if kid in self._directory.token_keys}
            key = self._keys[published.id] = _loaded(published)
        return key


def _loaded(published: TokenKey) -> EllipticCurvePublicKey:
    from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePublicKey
    from cryptography.hazmat.primitives.serialization import load_pem_public_key

    key = load_pem_public_key(published.public_pem)
    if not isinstance(key, EllipticCurvePublicKey) or not isinstance(key.curve, SECP256R1):
        raise ValueError(f"the token key {published.id} that was published is not on P-256")
    return key


def _is_signed(token: Jwt, key: EllipticCurvePublicKey) -> bool:
    """ES256: r and s of 32 bytes each (RFC 7518 §3.4)."""
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric.ec import ECDSA
    from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
    from cryptography.hazmat.primitives.hashes import SHA256

    if len(token.signature) != 64:
        return False
    r, s = token.signature[:32], token.signature[32:]
    try:
        der = encode_dss_signature(int.from_bytes(r, "big"), int.from_bytes(s, "big"))
        key.verify(der, token.signed, ECDSA(SHA256()))
    except InvalidSignature:
        return False
    return True
