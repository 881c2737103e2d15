"""A project's files in SQL: whose request it is, what is there, what is added and taken away.

Everything here runs on the thread that SQL belongs to, and touches no file.
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec
from sqlalchemy import Connection

from abyssal.config import FilesConfig
from abyssal.platform.files.objects import file_list
from abyssal.platform.files.rules import checked_purpose, is_file_id, no_such_file
from abyssal.platform.identity.caller import load_caller
from abyssal.platform.identity.transaction import Proof
from abyssal.platform.plane import ControlPlane
from abyssal.stores.rights import BITS
from abyssal.stores.sql import files as rows
from abyssal.stores.sql.files import FileRow
from abyssal.wire.errors import (
    AuthenticationError,
    BadRequestError,
    NotFoundError,
    PayloadTooLargeError,
    PermissionDeniedError,
)
from abyssal.wire.files import FileList

QUERY = ("purpose", "limit", "after", "order")
MOST_LISTED = 10_000
_USUAL = 1000


class Owner(msgspec.Struct, frozen=True):
    """Whose files it is about, and the bytes that they have left."""

    project: str
    room: int


def find_owner(plane: ControlPlane, proof: Proof | None) -> Owner:
    """The project of who asks.

    Raises AuthenticationError for nobody, PermissionDeniedError without the scope `files`.
    """
    if proof is None:
        raise AuthenticationError("Files need credentials; send a key with the scope files.")
    now_ns = plane.clock.unix_ns()
    with plane.engine.connect() as connection:
        caller = load_caller(connection, proof.credential, proof.scopes, now_ns=now_ns)
        if not caller.limits.scopes & BITS["files"]:
            raise PermissionDeniedError(
                "This credential lacks the scope `files`; use one that has it, or have it added.",
                code="scope_missing",
            )
        used = rows.stored_bytes(connection, caller.project)
    plane.uses.note(plane.engine, proof.credential, now_ns=now_ns)
    return Owner(caller.project, max(0, plane.files.per_project - used))


def store_file(plane: ControlPlane, row: FileRow) -> None:
    """Add one. Raises PayloadTooLargeError when others have taken the project's room meanwhile."""
    with plane.engine.begin() as connection:
        rows.lock_project(connection, row.project_id)
        used = rows.stored_bytes(connection, row.project_id)
        if used + max(row.size, rows.BLOCK) > plane.files.per_project:
            raise no_room(plane.files)
        rows.add_file(connection, row)


def list_files(plane: ControlPlane, owner: Owner, query: Mapping[str, str]) -> FileList:
    """A page, newest first unless `order` is "asc"; `after` is the id of the last one of the page before."""
    limit = query.get("limit", str(_USUAL))
    if not (limit.isascii() and limit.isdigit() and len(limit) <= 5 and 1 <= int(limit) <= MOST_LISTED):
        raise BadRequestError(
            f'"limit": an integer from 1 to {MOST_LISTED}.', param="limit", code="invalid_value"
        )
    order = query.get("order", "desc")
    if order not in ("asc", "desc"):
        raise BadRequestError('"order": "asc" or "desc".', param="order", code="invalid_value")
    purpose = checked_purpose(query["purpose"]) if "purpose" in query else None
    now_ns = plane.clock.unix_ns()
    with plane.engine.connect() as connection:
        after = None
        if "after" in query:
            after = _last_of_before(connection, owner, query["after"], now_ns)
        found = rows.page_files(
            connection,
            owner.project,
            purpose=purpose,
            after=after,
            oldest_first=order == "asc",
            count=int(limit) + 1,
            now_ns=now_ns,
        )
    return file_list(found[: int(limit)], has_more=len(found) > int(limit))


def show_file(plane: ControlPlane, owner: Owner, file_id: str) -> FileRow:
    """One. Raises NotFoundError, the same for another project's."""
    with plane.engine.connect() as connection:
        return _found(connection, owner, file_id, plane.clock.unix_ns())


def forget_file(plane: ControlPlane, owner: Owner, file_id: str) -> None:
    """Take one away; its bytes are in transit by now. Raises NotFoundError when somebody else was quicker."""
    with plane.engine.begin() as connection:
        _found(connection, owner, file_id, plane.clock.unix_ns())
        rows.remove_files(connection, [file_id])


def no_room(limits: FilesConfig) -> PayloadTooLargeError:
    """The answer when the project's files would be too much."""
    return PayloadTooLargeError(
        f"The project's files would be over {limits.per_project} bytes; delete some, or let some expire.",
        param="file",
        code="files_quota_exceeded",
    )


def _last_of_before(connection: Connection, owner: Owner, file_id: str, now_ns: int) -> FileRow:
    try:
        return _found(connection, owner, file_id, now_ns)
    except NotFoundError:
        raise BadRequestError(
            '"after": this is the id of none of your files; send the "last_id" of the page before.',
            param="after",
            code="invalid_value",
        ) from None


def _found(connection: Connection, owner: Owner, file_id: str, now_ns: int) -> FileRow:
    row = None
    if is_file_id(file_id):
        row = rows.find_file(connection, owner.project, file_id, now_ns=now_ns)
    if row is None:
        raise no_such_file(file_id)
    return row
