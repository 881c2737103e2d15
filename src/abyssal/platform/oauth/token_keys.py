"""The keys that access tokens are signed with: when one is made, signs, and is withdrawn.

1. The first key is made when there is a client, or when a token is wanted, and signs at once.
2. A key signs for `days`. Its successor is made, and published, a day before it takes over, so that whoever
   keeps our key set for some hours has it by then. A successor that is late (nobody was there to make it)
   still gets its day.
3. The key that signs is the one that took over last. It stays published for a day and an hour after it was
   succeeded: the last token it signed has ended by then, whatever `token_lifetime` was.
4. Several replicas may do this at once: who finds something to do takes the lock of `next_revision`, looks
   again, and does what is left of it.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple, cast

from sqlalchemy import Connection, Engine

from abyssal.stores.sealing import Place
from abyssal.stores.snapshot import KEPT_REVOKED
from abyssal.stores.sql.revision import next_revision
from abyssal.stores.sql.tokens import (
    TokenKeyRow,
    add_token_key,
    are_there_clients,
    are_there_ended_revocations,
    drop_token_keys,
    forget_revocations,
    read_token_keys,
)
from abyssal.stores.sql.vault import Vault

if TYPE_CHECKING:
    from joserfc.jwk import ECKey

_S = 10**9
DAY = 86_400 * _S
_MARGIN = 3600 * _S  # clocks of replicas and of those who read tokens may differ


class Step(NamedTuple):
    """What there is to do: when a new key would start to sign (None: no new one), and which to withdraw."""

    active_at: int | None
    drop: tuple[str, ...]


def next_step(keys: Sequence[TokenKeyRow], *, now_ns: int, days: int, wanted: bool) -> Step | None:
    """Rules 1 to 3 for `keys`, in the order in which they sign. None: nothing to do. Pure."""
    drop = tuple(key.id for key in keys if _is_over(key, now_ns))
    active_at = None
    if not keys:
        active_at = now_ns if wanted else None
    elif now_ns >= keys[-1].active_at + (days - 1) * DAY:
        active_at = max(now_ns + DAY, keys[-1].active_at + days * DAY)
    return Step(active_at, drop) if drop or active_at is not None else None


def signing_key(keys: Sequence[TokenKeyRow], *, now_ns: int) -> TokenKeyRow | None:
    """The key that signs now, None without any. After a clock was set back it is the first there is."""
    taken_over = [key for key in keys if key.active_at <= now_ns]
    return taken_over[-1] if taken_over else keys[0] if keys else None


def rotate_if_due(engine: Engine, vault: Vault, *, now_ns: int, days: int) -> bool:
    """Do what is due, whenever asked (once a minute is enough); True when the published keys changed.

    Revocations of tokens that have ended are removed along the way.
    """
    with engine.connect() as connection:
        wanted = are_there_clients(connection)
        forget = are_there_ended_revocations(connection, now_ns - KEPT_REVOKED)
    if forget:
        with engine.begin() as connection:
            forget_revocations(connection, now_ns - KEPT_REVOKED)
    return _rotate(engine, vault, now_ns=now_ns, days=days, wanted=wanted)


def make_first_key(engine: Engine, vault: Vault, *, now_ns: int, days: int) -> None:
    """See that there is a key, now that one is wanted."""
    _rotate(engine, vault, now_ns=now_ns, days=days, wanted=True)


def _rotate(engine: Engine, vault: Vault, *, now_ns: int, days: int, wanted: bool) -> bool:
    with engine.connect() as connection:
        if next_step(read_token_keys(connection), now_ns=now_ns, days=days, wanted=wanted) is None:
            return False
    with engine.begin() as connection:
        revision = next_revision(connection)  # from here on no other replica
        step = next_step(read_token_keys(connection), now_ns=now_ns, days=days, wanted=wanted)
        if step is None:
            return False  # the number is drawn for nothing, which harms nobody
        if step.drop:
            drop_token_keys(connection, step.drop, revision=revision)
        if step.active_at is not None:
            key = _make(connection, vault, created_at=now_ns, active_at=step.active_at)
            add_token_key(connection, key, revision=revision)
    return True


class KeyRing:
    """Keys that can be used, made once from their rows. Belongs to the thread that SQL is on."""

    def __init__(self, vault: Vault) -> None:
        self._vault = vault
        self._private: dict[str, ECKey] = {}
        self._public: dict[str, ECKey] = {}

    def private(self, row: TokenKeyRow) -> ECKey:
        """The key that signs; SealError when the vault cannot open it."""
        if row.id not in self._private:
            opened = self._vault.open(row.sealed, _place(row.id))
            self._private = {row.id: _import(opened)}  # the one before is not needed any more
        return self._private[row.id]

    @property
    def known(self) -> dict[str, ECKey]:
        """What `public` gave last."""
        return self._public

    def public(self, rows: Sequence[TokenKeyRow]) -> dict[str, ECKey]:
        """The published keys by id."""
        known = self._public
        self._public = {row.id: known[row.id] if row.id in known else _import(row.public_pem) for row in rows}
        return self._public


def public_jwk(key_id: str, key: ECKey) -> dict[str, str]:
    """A key as a member of our key set (RFC 7517 §4, RFC 7518 §6.2.1); nothing private."""
    described = key.as_dict(private=False, kid=key_id, use="sig", alg="ES256")
    return {name: cast(str, described[name]) for name in ("kty", "crv", "x", "y", "kid", "use", "alg")}


def _is_over(key: TokenKeyRow, now_ns: int) -> bool:
    return key.retired_at is not None and now_ns >= key.retired_at + DAY + _MARGIN


def _make(connection: Connection, vault: Vault, *, created_at: int, active_at: int) -> TokenKeyRow:
    from joserfc.jwk import ECKey

    key_id = "tk_" + secrets.token_hex(10)
    key = ECKey.generate_key("P-256")
    return TokenKeyRow(
        id=key_id,
        sealed=vault.seal(connection, key.as_pem(private=True), _place(key_id)),
        public_pem=key.as_pem(private=False),
        created_at=created_at,
        active_at=active_at,
        retired_at=None,
    )


def _import(pem: bytes) -> ECKey:
    from joserfc.jwk import ECKey

    return ECKey.import_key(pem)


def _place(key_id: str) -> Place:
    return Place("platform", "token_keys", key_id)
