"""Who there is for the tests of the ways in: clients, keys, their secrets; and what they send."""

from __future__ import annotations

import base64
import hmac
import itertools
import json
from functools import cache
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from joserfc import jwt
from joserfc.jwk import ECKey, OctKey

from abyssal.gateway.auth.directory import Directory
from abyssal.gateway.auth.proof import Proof, Unproven, Way
from abyssal.gateway.exchange import Exchange, RequestHead
from abyssal.stores.rights import ALL_SCOPES
from abyssal.stores.snapshot import (
    CredentialRecord,
    Entry,
    ProjectRecord,
    RevokedToken,
    SecretRecord,
    Snapshot,
    TokenKey,
    encode_record,
)

ISSUER = "https://abyssal.test"
NOW = 1_800_000_000
NOW_NS = NOW * 10**9

CLIENT, OTHER_CLIENT = "client_" + "1" * 20, "client_" + "2" * 20
SIGNING_KEY, PUBLIC_KEY = "sig_" + "3" * 20, "pub_" + "4" * 20
CLIENT_SECRET, OTHER_SECRET, SIGNING_SECRET = "cs_" + "c" * 43, "cs_" + "o" * 43, "ss_" + "s" * 43
ED25519 = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))


@cache
def token_key(name: str) -> tuple[bytes, bytes]:
    """An access token key: its private and public PEM."""
    key = ec.generate_private_key(ec.SECP256R1())
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    public = key.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    return private, public


class People:
    """A directory, and changes to it."""

    def __init__(self) -> None:
        self.directory = Directory()
        self._versions = itertools.count(1)
        project = ProjectRecord("proj_1", "org_1", ALL_SCOPES, None, (), True)
        self.publish(projects=(project,), token_keys=(TokenKey("tk_1", token_key("tk_1")[1]),), whole=True)
        self.credential(CLIENT, "client", CLIENT_SECRET.encode())
        self.credential(OTHER_CLIENT, "client", OTHER_SECRET.encode())
        self.credential(SIGNING_KEY, "signing_key", SIGNING_SECRET.encode())
        self.credential(PUBLIC_KEY, "public_key", ED25519.public_key().public_bytes_raw())

    def publish(self, **piece: Any) -> None:
        self.directory.take(Snapshot(next(self._versions), **piece))

    def credential(
        self, name: str, kind: str, *secrets: bytes | tuple[bytes, int], scopes: int = ALL_SCOPES
    ) -> None:
        """There is such a credential now. A secret may have an end, in Unix seconds."""
        records = tuple(
            SecretRecord(secret, 0)
            if isinstance(secret, bytes)
            else SecretRecord(secret[0], secret[1] * 10**9)
            for secret in secrets
        )
        record = CredentialRecord(name, kind, "proj_1", "", scopes, None, None, 0, records)
        self.publish(entries=(Entry(name.encode(), encode_record(record)),))

    def revoke(self, name: str) -> None:
        self.publish(entries=(Entry(name.encode(), b""),))

    def revoke_token(self, token_id: str) -> None:
        self.publish(revoked_tokens=(RevokedToken(token_id, (NOW + 3600) * 10**9),))


class Somebody:
    """The client's side of an exchange."""

    def __init__(self, scheme: bytes = b"http") -> None:
        self.scheme = scheme


def exchange(
    method: str = "POST",
    target: str = "/v1/chat/completions",
    body: bytes = b"",
    *,
    scheme: bytes = b"http",
    host: str = "api.test",
    lines: bytes = b"",
    **fields: str | None,
) -> Exchange:
    """A request; `fields` by header name with `_` for `-`. Those of proofs go where the front puts them."""
    head = RequestHead()
    head.method, head.target, head.host = method.encode(), target.encode(), host.encode()
    path, _, query = target.partition("?")
    head.path, head.query, head.forwarded = path.encode(), query.encode(), lines
    for name, value in fields.items():
        if value is None:
            continue
        if name == "authorization":
            head.authorization = value.encode("latin-1")
        elif name == "x_api_key":
            head.x_api_key = value.encode("latin-1")
        else:
            head.proof = head.proof or {}
            head.proof[name.replace("_", "-").encode()] = value.encode("latin-1")
    made = Exchange("call-1", Somebody(scheme), head)  # type: ignore[arg-type]
    made.body = body
    return made


def refused(way: Way, request: Exchange, now: float = NOW) -> Unproven:
    """Why `way` finds nothing proven."""
    with pytest.raises(Unproven) as caught:
        way.prove(request, int(now * 10**9))
    return caught.value


def proven(way: Way, request: Exchange, now: float = NOW) -> Proof:
    return way.prove(request, int(now * 10**9))


def b64url(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def bearer(token: str) -> Exchange:
    return exchange(authorization=f"Bearer {token}")


def self_issued(
    claims: dict[str, Any] | None = None, *, header: dict[str, Any] | None = None, secret: str = CLIENT_SECRET
) -> str:
    """A client's own token, made by another library. A claim or header that is `...` is left out."""
    said = {"iss": CLIENT, "iat": NOW - 10, "exp": NOW + 3600} | (claims or {})
    said = {name: value for name, value in said.items() if value is not ...}
    return jwt.encode({"alg": "HS256"} | (header or {}), said, OctKey.import_key(secret), ["HS256"])


def raw_token(header: str | bytes, payload: str | bytes, secret: str = CLIENT_SECRET) -> str:
    """A token of whatever texts, with a good HS256 signature."""
    parts = [part.encode() if isinstance(part, str) else part for part in (header, payload)]
    signed = ".".join(b64url(part) for part in parts)
    return f"{signed}.{b64url(hmac.digest(secret.encode(), signed.encode(), 'sha256'))}"


def raw_self_issued(payload: str, header: str = '{"alg":"HS256"}') -> str:
    return raw_token(header, payload)


def access_token(
    claims: dict[str, Any] | None = None, *, header: dict[str, Any] | None = None, key: str = "tk_1"
) -> str:
    """An access token as the platform issues them, made by another library."""
    said = {
        "iss": ISSUER, "aud": ISSUER, "sub": CLIENT, "client_id": CLIENT, "scope": "chat",
        "iat": NOW - 10, "exp": NOW + 3600, "jti": "jti-1",
    } | (claims or {})  # fmt: skip
    said = {name: value for name, value in said.items() if value is not ...}
    top = {"alg": "ES256", "typ": "at+jwt", "kid": key} | (header or {})
    top = {name: value for name, value in top.items() if value is not ...}
    return jwt.encode(top, said, ECKey.import_key(token_key(key)[0]), ["ES256"], default_type=None)


def payload_of(token: str) -> dict[str, Any]:
    part = token.split(".")[1]
    return json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))
