"""API keys: `Authorization: Bearer sk-...` or `x-api-key: sk-...`, looked up by hash in memory.

1. The key's SHA-256 is the index of a dictionary; no comparison depends on a secret's bytes.
2. Two different credentials in one request are refused.
3. The answer to a wrong key shows its last four characters, as the official service does, and no more.
"""

from __future__ import annotations

from hashlib import sha256

from abyssal.gateway.exchange import Exchange
from abyssal.stores.snapshot import KeyRecord, Snapshot
from abyssal.wire.errors import AuthenticationError, BadRequestError


class ApiKeys:
    """The stage *authenticate*. `publish` replaces all keys at once."""

    def __init__(self) -> None:
        self._keys: dict[bytes, KeyRecord] = {}

    def publish(self, snapshot: Snapshot) -> None:
        """From now on the keys of `snapshot` are in force, and no others."""
        self._keys = {record.digest: record for record in snapshot.keys}

    def authenticate(self, exchange: Exchange) -> None:
        """Set `exchange.key`, or raise AuthenticationError (401) or BadRequestError (400)."""
        key = presented_key(exchange)
        record = self._keys.get(sha256(key).digest())
        if record is None:
            hint = key[-4:].decode("latin-1") if len(key) >= 12 and key[-4:].isalnum() else ""
            raise AuthenticationError(
                f"Authentication Fails, Your api key: ****{hint} is invalid. Check the key; `abyssal keys "
                "list` shows the live ones by their last characters."
            )
        exchange.key = record


def presented_key(exchange: Exchange) -> bytes:
    """The key that a request carries. Raises when there is none, or more than one."""
    authorization, alone = exchange.authorization, exchange.x_api_key
    if authorization is None:
        if alone is None:
            raise AuthenticationError(
                "Authentication Fails (no API key). Send `Authorization: Bearer <key>`.",
                code="missing_api_key",
            )
        return alone.strip()
    scheme, _, key = authorization.partition(b" ")
    key = key.strip()
    if scheme.lower() != b"bearer" or not key:
        raise AuthenticationError(
            "Authentication Fails (the Authorization header is not `Bearer <key>`).",
            code="malformed_authorization",
        )
    if alone is not None and alone.strip() != key:
        raise BadRequestError(
            "Two different credentials: send `Authorization` or `x-api-key`.", code="two_credentials"
        )
    return key
