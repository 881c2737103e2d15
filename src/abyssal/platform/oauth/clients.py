"""Decides whether a client is who it says it is. It does not know what it then may do with that.

1. Whatever is wrong, the same work is done: one statement, the same number of secrets opened and compared.
   Where the client has fewer, or does not exist, a decoy is opened, whose secret nobody knows.
2. Only with the right secret does it matter whether the client is revoked, expired, archived or calls from a
   network that it may not use; the answer stays the same.
3. A secret that cannot be opened proves nobody, as in the workers; another of the same client does.
"""

from __future__ import annotations

import hashlib
import hmac
import logging
import secrets

from sqlalchemy import Connection

from abyssal.platform.oauth.errors import InvalidClientError
from abyssal.platform.oauth.form import Presented, may_exist, shown
from abyssal.stores.sealing import Place, SealError
from abyssal.stores.sql.clients import ClientRow, SealedSecret, find_client
from abyssal.stores.sql.vault import Vault
from abyssal.wire.addresses import Networks

_log = logging.getLogger("abyssal.platform")

_TABLE = "secrets"
_MOST_SECRETS = 2  # that are live at once: two while a client is rotated
_DECOY = Place("platform", _TABLE, "decoy")


class Clients:
    """Proves clients. Belongs to the thread that SQL is on."""

    def __init__(self, vault: Vault) -> None:
        self._vault = vault
        self._decoy = b""

    def prove(self, connection: Connection, presented: Presented, address: str, *, now_ns: int) -> ClientRow:
        """The client that `presented` is, calling from `address`; InvalidClientError if it is not."""
        known = presented.client_id if may_exist(presented.client_id) else ""
        client = find_client(connection, known)
        claimed = shown(presented.client_id)
        if not self._has_secret(connection, client, presented.secret, now_ns):
            raise InvalidClientError("unknown" if client is None else "wrong_secret", claimed)
        assert client is not None
        reason = why_ended(client, now_ns)
        if reason:
            raise InvalidClientError(reason, claimed, stranger=False)
        if not all(address in Networks.parse(allowed) for allowed in client.networks):
            raise InvalidClientError("network", claimed)
        return client

    def _has_secret(
        self, connection: Connection, client: ClientRow | None, offered: str, now_ns: int
    ) -> bool:
        digest = hashlib.sha256(offered.encode()).digest()
        live = () if client is None else client.secrets
        live = [secret for secret in live if secret.expires_at is None or now_ns < secret.expires_at]
        right = False
        for secret in live:
            assert client is not None
            kept = self._opened(client, secret)
            right |= hmac.compare_digest(hashlib.sha256(kept or b"").digest(), digest) and kept is not None
        for _ in range(_MOST_SECRETS - len(live)):
            hmac.compare_digest(hashlib.sha256(self._open_decoy(connection)).digest(), digest)
        return right

    def _opened(self, client: ClientRow, secret: SealedSecret) -> bytes | None:
        try:
            return self._vault.open(secret.sealed, Place(client.organization, _TABLE, secret.id))
        except SealError as error:
            _log.error("the secret %s of %s proves nobody: %s", secret.id, client.id, error)
            return None

    def _open_decoy(self, connection: Connection) -> bytes:
        if not self._decoy:
            secret = b"cs_" + secrets.token_urlsafe(32).encode()
            self._decoy = self._vault.seal(connection, secret, _DECOY)
        return self._vault.open(self._decoy, _DECOY)


def why_ended(client: ClientRow, now_ns: int) -> str:
    """Why a client is no longer one, "" while it is."""
    if client.revoked_at is not None:
        return "revoked"
    if client.archived:
        return "archived"
    # To whole seconds, as tokens count: who has less than one left could not be given any.
    if client.expires_at is not None and client.expires_at // 10**9 <= now_ns // 10**9:
        return "expired"
    return ""
