"""JWTs that a client signs itself: HS256 with its own secret, as RFC 8725 says.

1. HS256 and nothing else, whatever a token says. The key is always a client's secret, found by `iss`:
   no public key is ever at hand here, so none can be taken for a secret (RFC 8725 §2.1).
2. `typ` is absent or JWT; `kid`, where there is one, is the client's id.
3. Times as `claims` says. `aud`, where there is one, has this platform's issuer; `scope` narrows.

HMAC is the standard library's: a JOSE library would cost each worker 9 MiB and check less.
"""

from __future__ import annotations

import hmac
from typing import Any, cast

from abyssal.gateway.auth import claims as rules
from abyssal.gateway.auth.by_id import find, is_proven
from abyssal.gateway.auth.directory import Directory
from abyssal.gateway.auth.proof import Unproven
from abyssal.gateway.principal import Credential, Principal
from abyssal.wire.jwt import Jwt, read_object

_TYPES = ("jwt", "application/jwt")


class SelfIssued:
    """See the module."""

    def __init__(self, directory: Directory, issuer: str) -> None:
        self._directory = directory
        self._issuer = issuer

    def claimed(self, token: Jwt) -> str:
        """Whose it says it is. Raises JwtError."""
        issuer: object = read_object(token.payload).get("iss")
        return issuer if type(issuer) is str else ""

    def prove(self, token: Jwt, now_ns: int) -> tuple[Principal, int]:
        """Whose it is, and until when that needs no second look. Raises Unproven, JwtError."""
        header = token.header
        if header.get("alg") != "HS256":
            raise Unproven("algorithm")
        kind: object = header.get("typ", "JWT")
        if type(kind) is not str or kind.lower() not in _TYPES:
            raise Unproven("malformed")
        claims = read_object(token.payload)
        issuer: object = claims.get("iss")
        if type(issuer) is not str or header.get("kid", issuer) != issuer:
            raise Unproven("malformed")
        found = find(self._directory, issuer, "client")

        def proves(secret: bytes) -> bool:
            return hmac.compare_digest(hmac.digest(secret, token.signed, "sha256"), token.signature)

        if not is_proven(found, now_ns, proves) or found is None:
            raise Unproven("unknown" if found is None else "signature", "" if found is None else found.id)
        ends = rules.end_of(claims, now_ns, found.id)
        self._check_audience(claims, found.id)
        if type(claims.get("sub", "")) is not str:
            raise Unproven("malformed", found.id, counts=False)
        principal = found.principal
        if "scope" in claims:
            principal = Principal(found, rules.scopes(claims, found.id))
        return principal, min([ends, *_ends_of_secrets(found, now_ns)])

    def _check_audience(self, claims: dict[str, Any], credential: str) -> None:
        if "aud" not in claims:
            return
        audience: Any = claims["aud"]
        named: list[Any] = cast("list[Any]", audience) if isinstance(audience, list) else [audience]
        if not all(isinstance(name, str) for name in named):
            raise Unproven("malformed", credential, counts=False)
        if self._issuer not in named:
            raise Unproven("audience", credential, counts=False)


def _ends_of_secrets(credential: Credential, now_ns: int) -> list[int]:
    """When what is proven now may have been proven by a secret that has ended."""
    return [secret.expires_at for secret in credential.secrets if secret.expires_at > now_ns]
