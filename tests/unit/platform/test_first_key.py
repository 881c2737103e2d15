"""A new platform has one key: the operator's own, or a fresh one in a private file; an old one keeps its keys."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import insert, select

from abyssal.platform.first_key import FILE_NAME, OPERATOR, FirstKey, ensure_first_key
from abyssal.stores.api_keys import digest_of
from abyssal.stores.rights import SCOPES
from abyssal.stores.sql.schema import (
    api_keys,
    credentials,
    members,
    metadata,
    organizations,
    projects,
    secrets,
    users,
)
from abyssal.wire.errors import ConfigurationError

from .identity.tenants import World, sqlite_world

GIVEN = "my-own-key-0123456789"
OLD = "sk-of-version-0.1-0123456789"


@pytest.fixture
def empty(tmp_path: Path) -> Iterator[World]:
    with sqlite_world(tmp_path) as world:
        yield world


def ensure(world: World, data: Path, given: str = "", now_ns: int = 5) -> FirstKey:
    return ensure_first_key(world.engine, world.vault, data, given, now_ns=now_ns)


def rows(world: World, *columns: Any) -> list[tuple[Any, ...]]:
    with world.engine.connect() as connection:
        return [tuple(row) for row in connection.execute(select(*columns))]


def digests(world: World) -> list[bytes]:
    return [digest for (digest,) in rows(world, secrets.c.digest)]


def old_key(world: World, key_id: str, key: str, revoked_at: int | None = None) -> None:
    digest = hashlib.sha256(key.encode()).digest()
    row = {"id": key_id, "name": key_id, "digest": digest, "hint": key[-4:], "created_at": 3}
    with world.engine.begin() as connection:
        connection.execute(insert(api_keys), row | {"revoked_at": revoked_at})


def test_one_is_made_and_kept_privately(empty: World, tmp_path: Path) -> None:
    first = ensure(empty, tmp_path)
    assert first.made
    assert first.key is not None
    assert first.key.startswith("sk-")
    file = tmp_path / FILE_NAME
    assert file.read_text() == first.key + "\n"
    assert file.stat().st_mode & 0o777 == 0o600
    assert digests(empty) == [digest_of(first.key.encode(), empty.vault.hash_key())]


def test_it_is_the_operators_who_owns_the_default_organisation(empty: World, tmp_path: Path) -> None:
    ensure(empty, tmp_path)
    [(key, kind, scopes, user)] = rows(
        empty, credentials.c.id, credentials.c.kind, credentials.c.scopes, credentials.c.user_id
    )
    assert kind == "api_key"
    assert rows(empty, users.c.id, users.c.email, users.c.operator) == [(user, OPERATOR, True)]
    assert rows(empty, members.c.user_id, members.c.role) == [(user, "owner")]
    assert rows(empty, organizations.c.name) == rows(empty, projects.c.name) == [("default",)]
    me = empty.ask(key, "GET", "/me").json
    assert (me["role"], me["scopes"]) == ("operator", list(SCOPES))
    assert scopes == '["' + '","'.join(SCOPES) + '"]'
    made = empty.ask(key, "POST", "/keys", {"name": "laptop"})
    assert made.status == 201


def test_a_given_one_is_taken_and_not_written(empty: World, tmp_path: Path) -> None:
    assert ensure(empty, tmp_path, GIVEN) == FirstKey(GIVEN, made=False)
    assert not (tmp_path / FILE_NAME).exists()
    assert digests(empty) == [digest_of(GIVEN.encode(), empty.vault.hash_key())]
    assert rows(empty, secrets.c.hint) == [(GIVEN[-4:],)]


@pytest.mark.parametrize("given", ["", GIVEN, "short"])
def test_where_there_are_keys_nothing_is_done(given: str, empty: World, tmp_path: Path) -> None:
    ensure(empty, tmp_path, "sk-already-there-012345")
    before = {table.name: rows(empty, table) for table in metadata.sorted_tables}
    assert ensure(empty, tmp_path, given) == FirstKey(None)
    assert {table.name: rows(empty, table) for table in metadata.sorted_tables} == before


def test_a_revoked_key_is_a_key(empty: World, tmp_path: Path) -> None:
    ensure(empty, tmp_path, GIVEN)
    [(key,)] = rows(empty, credentials.c.id)
    empty.ask(key, "POST", f"/keys/{key}/revoke")
    assert ensure(empty, tmp_path) == FirstKey(None)


@pytest.mark.parametrize("given", ["short", "has a blank in it 012345", "x" * 513, "línea-0123456789012345"])
def test_a_given_one_that_is_no_key_is_refused(given: str, empty: World, tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="ABYSSAL_API_KEY") as refusal:
        ensure(empty, tmp_path, given)
    assert given not in refusal.value.message
    assert rows(empty, organizations.c.id) == []
    assert ensure(empty, tmp_path).made


def test_a_file_of_a_crash_before_is_replaced(empty: World, tmp_path: Path) -> None:
    (tmp_path / FILE_NAME).write_text("sk-that-never-was-a-key")
    (tmp_path / FILE_NAME).chmod(0o644)
    first = ensure(empty, tmp_path)
    assert (tmp_path / FILE_NAME).read_text().strip() == first.key
    assert (tmp_path / FILE_NAME).stat().st_mode & 0o777 == 0o600


def test_a_link_in_its_place_is_not_followed(empty: World, tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.write_text("precious")
    (tmp_path / FILE_NAME).symlink_to(victim)
    ensure(empty, tmp_path)
    assert victim.read_text() == "precious"


def test_keys_of_version_0_1_go_on_working(empty: World, tmp_path: Path) -> None:
    old_key(empty, "key_0123456789abcdef", OLD)
    old_key(empty, "key_fedcba9876543210", OLD + "x", revoked_at=4)
    assert ensure(empty, tmp_path, GIVEN) == FirstKey(None)
    assert not (tmp_path / FILE_NAME).exists()
    assert rows(empty, api_keys.c.id) == []
    kept = {
        row[0]: row[1:]
        for row in rows(
            empty, *(credentials.c[n] for n in ("id", "name", "created_at", "revoked_at", "user_id"))
        )
    }
    assert kept == {
        "key_0123456789abcdef": ("key_0123456789abcdef", 3, None, None),
        "key_fedcba9876543210": ("key_fedcba9876543210", 3, 4, None),
    }
    stored = dict(rows(empty, secrets.c.credential_id, secrets.c.digest))
    assert stored["key_0123456789abcdef"] == digest_of(OLD.encode(), empty.vault.hash_key())
    assert {hint for (hint,) in rows(empty, secrets.c.hint)} == {"6789", "789x"}
    assert {revision for (revision,) in rows(empty, credentials.c.revision)} == {1}
    assert ensure(empty, tmp_path) == FirstKey(None)


def test_they_can_call_and_cannot_manage(empty: World, tmp_path: Path) -> None:
    old_key(empty, "key_0123456789abcdef", OLD)
    ensure(empty, tmp_path)
    assert '"chat"' in rows(empty, credentials.c.scopes)[0][0]
    assert empty.ask("key_0123456789abcdef", "GET", "/me").status == 403


def test_a_move_that_fails_halfway_has_not_begun(empty: World, tmp_path: Path) -> None:
    old_key(empty, "key_0123456789abcdef", OLD)
    with empty.engine.begin() as connection:  # a secret that is in the way of the last insert
        digest = digest_of(OLD.encode(), empty.vault.hash_key())
        connection.exec_driver_sql("PRAGMA defer_foreign_keys=ON")
        connection.exec_driver_sql(
            "CREATE TRIGGER stop BEFORE INSERT ON secrets BEGIN SELECT RAISE(ABORT, 'full'); END"
        )
    with pytest.raises(Exception, match="full"):
        ensure(empty, tmp_path)
    assert len(rows(empty, api_keys.c.id)) == 1
    assert rows(empty, credentials.c.id) == rows(empty, organizations.c.id) == []
    with empty.engine.begin() as connection:
        connection.exec_driver_sql("DROP TRIGGER stop")
    ensure(empty, tmp_path)
    assert digests(empty) == [digest]
