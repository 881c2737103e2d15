"""What the data plane reads instead of a database: who may do what, in pieces that follow a version number.

1. The first pieces for a worker are the whole picture (`whole` on the first of them); from then on each is
   what changed. A piece is in force when the one with `last` has come; `version` only grows.
2. A credential is found by its *lookup*: the keyed hash of an API key, or the id of any other credential.
   An entry with an empty record takes its lookup away.
3. Records rest encoded until a call needs them, so a million of them are a dictionary and not a million
   objects.

Times are Unix nanoseconds, 0 for never.
"""

from __future__ import annotations

import msgspec

# For so long a revoked token is remembered after its end, so that a clock that jumps does not revive it.
KEPT_REVOKED = 25 * 3600 * 10**9  # nanoseconds; over the longest life of a token


class ProjectRecord(msgspec.Struct, frozen=True, array_like=True):
    """A project, with its organisation's limits folded in.

    `models`: names that may be used, None for all. `networks`: allow-lists in CIDR notation, each of which
    must have the address. An inactive project's credentials are nobody's.
    """

    id: str
    organization: str
    scopes: int
    models: tuple[str, ...] | None
    networks: tuple[tuple[str, ...], ...]
    active: bool


class SecretRecord(msgspec.Struct, frozen=True, array_like=True):
    """What proves a credential: an HMAC secret's UTF-8 bytes, or an ed25519 public key's 32 bytes."""

    material: bytes
    expires_at: int


class CredentialRecord(msgspec.Struct, frozen=True, array_like=True):
    """One credential. `secrets` is empty for an API key: its lookup is the proof.

    `kind` is one of `rights.KINDS`, `user` the person's id or "". For an API key `expires_at` is the
    sooner of the key's and of the secret's that the lookup belongs to.
    """

    id: str
    kind: str
    project: str
    user: str
    scopes: int
    models: tuple[str, ...] | None
    networks: tuple[str, ...] | None
    expires_at: int
    secrets: tuple[SecretRecord, ...] = ()


class Entry(msgspec.Struct, frozen=True, array_like=True):
    """`record` is a CredentialRecord in msgpack (`encode_record`); empty: there is none any more."""

    lookup: bytes
    record: bytes


class TokenKey(msgspec.Struct, frozen=True, array_like=True):
    """A key that access tokens are signed with: its id and its public half (PEM, SubjectPublicKeyInfo)."""

    id: str
    public_pem: bytes


class RevokedToken(msgspec.Struct, frozen=True, array_like=True):
    """An access token that was revoked: its `jti`, and when it would have ended."""

    jti: str
    expires_at: int


class Snapshot(msgspec.Struct, frozen=True, array_like=True):
    """One piece. `hash_key` (32 bytes) and `token_keys` are None when they are as they were."""

    version: int
    whole: bool = False
    last: bool = True
    projects: tuple[ProjectRecord, ...] = ()
    entries: tuple[Entry, ...] = ()
    hash_key: bytes | None = None
    token_keys: tuple[TokenKey, ...] | None = None
    revoked_tokens: tuple[RevokedToken, ...] = ()


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(CredentialRecord)


def encode_record(record: CredentialRecord) -> bytes:
    """A credential as an entry carries it."""
    return _encoder.encode(record)


def decode_record(record: bytes) -> CredentialRecord:
    """The other way; msgspec.DecodeError for anything else."""
    return _decoder.decode(record)
