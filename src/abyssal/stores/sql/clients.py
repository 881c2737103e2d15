"""What proves an OAuth client and what it may do, read in one go. Times are Unix nanoseconds."""

from __future__ import annotations

import msgspec
from sqlalchemy import Connection, bindparam, literal, select

from abyssal.stores.rights import ALL_SCOPES, BITS
from abyssal.stores.sql.schema import credentials, organizations, projects, secrets


class SealedSecret(msgspec.Struct, frozen=True):
    """A client's secret as it rests; its place is (organisation, "secrets", `id`)."""

    id: str
    sealed: bytes
    expires_at: int | None


class ClientRow(msgspec.Struct, frozen=True):
    """A client with the limits of its project and organisation folded in.

    `scopes` are bits of `stores.rights`. `networks` are allow-lists, each of which must have the address.
    `archived`: its project or its organisation is no more. `secrets` are all that it has, the live ones and
    others, newest first.
    """

    id: str
    organization: str
    scopes: int
    networks: tuple[tuple[str, ...], ...]
    expires_at: int | None
    revoked_at: int | None
    archived: bool
    secrets: tuple[SealedSecret, ...]


# There is always a row, empty for nobody: looking for someone who does not exist takes the same time.
_ONE_ROW = select(literal(1).label("one")).subquery()
_CLIENT = (
    select(
        credentials.c.id,
        projects.c.organization_id,
        credentials.c.scopes,
        projects.c.scopes,
        organizations.c.scopes,
        credentials.c.networks,
        projects.c.networks,
        organizations.c.networks,
        credentials.c.expires_at,
        credentials.c.revoked_at,
        projects.c.archived_at,
        organizations.c.archived_at,
        secrets.c.id,
        secrets.c.sealed,
        secrets.c.expires_at,
    )
    .select_from(_ONE_ROW)
    .outerjoin(credentials, (credentials.c.id == bindparam("client_id")) & (credentials.c.kind == "client"))
    .outerjoin(projects, credentials.c.project_id == projects.c.id)
    .outerjoin(organizations, projects.c.organization_id == organizations.c.id)
    .outerjoin(secrets, secrets.c.credential_id == credentials.c.id)
    .order_by(secrets.c.created_at.desc(), secrets.c.id)
)
_list = msgspec.json.Decoder(tuple[str, ...])


def find_client(connection: Connection, client_id: str) -> ClientRow | None:
    """The client of that id, whatever its state; None when there is none. The same work either way."""
    rows = connection.execute(_CLIENT, {"client_id": client_id}).all()
    (own_id, organization, own, project, above, *lists) = rows[0][:8]
    expires_at, revoked_at, ended, ended_above = rows[0][8:12]
    client = ClientRow(
        id=own_id,
        organization=organization,
        scopes=_mask(own) & _mask(project) & _mask(above),
        networks=tuple(_list.decode(text) for text in lists if text is not None),
        expires_at=expires_at,
        revoked_at=revoked_at,
        archived=ended is not None or ended_above is not None,
        secrets=tuple(SealedSecret(*row[12:]) for row in rows if row[13] is not None),
    )
    return None if own_id is None else client


def _mask(scopes: str | None) -> int:
    """The bits of a list of scopes; all for no list. A name that no longer means anything gives no right."""
    if scopes is None:
        return ALL_SCOPES
    mask = 0
    for scope in _list.decode(scopes):
        mask |= BITS.get(scope, 0)
    return mask
