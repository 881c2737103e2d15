"""Makes what proves a credential: a random text that is shown once, or a key that its owner brought."""

from __future__ import annotations

import secrets

from abyssal.platform.identity.ids import new_id
from abyssal.platform.identity.public_keys import hint_of, read_public_key
from abyssal.platform.identity.transaction import Transaction
from abyssal.stores.api_keys import digest_of, new_key
from abyssal.stores.sealing import Place
from abyssal.stores.sql.credential_secrets import SecretRow
from abyssal.stores.sql.credentials import CredentialRow

_PREFIXES = {"client": "cs_", "signing_key": "ss_"}


def new_secret(turn: Transaction, row: CredentialRow, public_key: str | None) -> tuple[SecretRow, str | None]:
    """A secret for the credential `row`, not stored yet, and its text to be shown.

    `public_key` is what a caller sent for a credential of that kind, whose text is None: there is nothing
    to keep. Raises BadRequestError when it is no ed25519 public key.
    """
    secret_id = new_id("sec")
    if public_key is not None:
        raw = read_public_key(public_key)
        return SecretRow(secret_id, row.id, hint_of(raw), turn.now_ns, public_key=raw), None
    if row.kind == "api_key":
        text = new_key()
        digest = digest_of(text.encode(), turn.vault.hash_key())
        return SecretRow(secret_id, row.id, text[-4:], turn.now_ns, digest=digest), text
    text = _PREFIXES[row.kind] + secrets.token_urlsafe(32)
    place = Place(row.organization_id, "secrets", secret_id)
    sealed = turn.vault.seal(turn.connection, text.encode(), place)
    return SecretRow(secret_id, row.id, text[-4:], turn.now_ns, sealed=sealed), text
