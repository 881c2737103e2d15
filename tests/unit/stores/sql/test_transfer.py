"""Copies and backups: every row and type survives, only an empty database is written, whole or not at all."""

from __future__ import annotations

import os
import sqlite3
import stat
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, event, insert, select, update

from abyssal.config import MasterKeySource
from abyssal.stores.master_key import open_master_keys
from abyssal.stores.sql.backup import opened_backup, write_backup
from abyssal.stores.sql.database import open_database, sqlite_url
from abyssal.stores.sql.schema import (
    credentials,
    files,
    members,
    metadata,
    organizations,
    projects,
    revisions,
    secrets,
    usage,
    users,
)
from abyssal.stores.sql.transfer import copy_database, row_counts
from abyssal.stores.sql.vault import Vault
from abyssal.wire.errors import ConfigurationError

Open = Callable[..., Engine]

PAIRS = pytest.mark.parametrize(
    ("here", "there"), [("sqlite", "sqlite"), ("sqlite", "postgresql"), ("postgresql", "sqlite")]
)


@pytest.fixture
def database(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Open]:
    """Makes and opens databases by name, one of them on PostgreSQL if need be; closed in the end."""
    engines: list[Engine] = []

    def opened(name: str, kind: str = "sqlite") -> Engine:
        on_server = kind == "postgresql"
        url = (
            request.getfixturevalue("postgres_database") if on_server else sqlite_url(tmp_path / f"{name}.db")
        )
        engines.append(open_database(url))
        return engines[-1]

    yield opened
    for engine in engines:
        engine.dispose()


def call(number: int) -> dict[str, Any]:
    return {
        "id": f"call_{number}",
        "at": 2**62 + number,
        "key_id": "key_1",
        "model": "深度求索 '; DROP TABLE usage; --",
        "upstream": "",
        "stream": number % 2 == 0,
        "status": 200,
        "code": "",
        "prompt_tokens": 2**63 - 1,
        "completion_tokens": 0,
        "cached_tokens": -1,
        "reasoning_tokens": 7,
        "estimated": False,
        "first_byte_us": 1,
        "total_us": 2,
    }


def fill(engine: Engine, calls: int = 12) -> None:
    """A tenant with all that hangs on it, and each kind of value: NULL, truth, blob, the largest number."""
    with engine.begin() as connection:
        connection.execute(
            insert(organizations).values(id="org_1", name="o", scopes='["chat"]', created_at=1)
        )
        connection.execute(insert(users).values(id="user_1", email="a@b", operator=True, created_at=1))
        connection.execute(
            insert(members).values(
                organization_id="org_1", user_id="user_1", name="a", role="owner", created_at=1
            )
        )
        connection.execute(
            insert(projects).values(id="proj_1", organization_id="org_1", name="p", created_at=1, revision=3)
        )
        connection.execute(
            insert(credentials).values(
                id="key_1",
                kind="api_key",
                project_id="proj_1",
                name="k",
                scopes="[]",
                created_at=1,
                revision=3,
            )
        )
        connection.execute(
            insert(secrets).values(
                id="sec_1", credential_id="key_1", digest=bytes(range(32)), hint="h", created_at=1
            )
        )
        connection.execute(
            insert(files).values(
                id="file-api-1",
                project_id="proj_1",
                name="报告.md",
                purpose="batch",
                media_type="text/markdown",
                size=2**40,
                sha256=bytes(range(32)),
                created_at=1,
            )
        )
        connection.execute(insert(usage), [call(number) for number in range(calls)])
        connection.execute(update(revisions).values(value=3))


def content(engine: Engine) -> dict[str, list[tuple[Any, ...]]]:
    with engine.connect() as connection:
        return {
            table.name: [
                tuple(row) for row in connection.execute(select(table).order_by(*table.primary_key)).all()
            ]
            for table in metadata.sorted_tables
        }


# Copying


@PAIRS
@pytest.mark.parametrize("batch", [1, 5, 12, 5000])
def test_every_row_and_every_type_arrives(database: Open, batch: int, here: str, there: str) -> None:
    source, target = database("a", here), database("b", there)
    fill(source)
    counts = copy_database(source, target, batch=batch)
    assert content(target) == content(source)
    assert counts["usage"] == 12
    assert counts["members"] == counts["secrets"] == counts["revisions"] == 1
    assert counts["notifications"] == 0
    assert list(counts) == [table.name for table in metadata.sorted_tables]
    with target.connect() as connection:
        assert row_counts(connection) == counts
        row = connection.execute(select(usage).where(usage.c.id == "call_1")).mappings().one()
    assert dict(row) == call(1)
    assert row["stream"] is False


@PAIRS
@pytest.mark.parametrize("table", ["usage", "organizations", "revisions"])
def test_only_an_empty_database_is_written(database: Open, table: str, here: str, there: str) -> None:
    source, target = database("a", here), database("b", there)
    fill(source)
    with target.begin() as connection:
        if table == "usage":
            connection.execute(insert(usage), [call(1)])
        elif table == "organizations":
            connection.execute(insert(organizations).values(id="org_9", name="o", created_at=1))
        else:
            connection.execute(update(revisions).values(value=1))
    before = content(target)
    with pytest.raises(ConfigurationError, match=f": the table {table} has rows"):
        copy_database(source, target)
    assert content(target) == before


def test_what_the_target_does_not_take_leaves_it_as_it_was(database: Open) -> None:
    source, target = database("a"), database("b")
    fill(source)
    with closing(sqlite3.connect(str(source.url.database))) as raw, raw:
        raw.execute("DELETE FROM credentials")
    raw.close()
    empty = content(target)
    with pytest.raises(ConfigurationError, match=r"The table secrets could not be copied \(FOREIGN KEY"):
        copy_database(source, target)
    assert content(target) == empty


@pytest.mark.parametrize("name", ["a\0b", "n" * 201])
def test_what_postgresql_does_not_take_is_named(database: Open, name: str) -> None:
    source, target = database("a"), database("b", "postgresql")
    fill(source)
    with source.begin() as connection:
        connection.execute(update(organizations).values(name=name))
    with pytest.raises(ConfigurationError, match="The table organizations could not be copied"):
        copy_database(source, target)
    assert content(target)["usage"] == []


@PAIRS
def test_what_is_written_meanwhile_is_not_in_the_copy(database: Open, here: str, there: str) -> None:
    """The source is one view: a tenant that comes while the first tables are copied has no half in it."""
    source, target, other = database("a", here), database("b", there), database("a", here)
    fill(source, calls=30)
    seen = content(source)
    wrote: list[str] = []

    def write(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        if not wrote and statement.startswith("INSERT"):
            wrote.append(statement)
            with other.begin() as connection:
                connection.execute(insert(usage), [call(number) for number in range(100, 200)])
                connection.execute(insert(organizations).values(id="org_2", name="o", created_at=1))

    event.listen(target, "before_cursor_execute", write)
    counts = copy_database(source, target, batch=10)
    assert wrote
    assert counts["usage"] == 30
    assert content(target) == seen
    assert len(content(source)["usage"]) == 130


# Backups


@PAIRS
def test_a_backup_is_one_private_file_that_comes_back(
    database: Open, tmp_path: Path, here: str, there: str
) -> None:
    source, target = database("a", here), database("b", there)
    fill(source)
    path = tmp_path / "backups" / "today"
    path.parent.mkdir()
    assert write_backup(source, path)["usage"] == 12
    assert [found.name for found in path.parent.iterdir()] == ["today"]
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    before = path.read_bytes()
    path.chmod(0o400)
    path.parent.chmod(0o500)
    with opened_backup(path, scratch=tmp_path) as backup:
        assert copy_database(backup, target)["usage"] == 12
    path.parent.chmod(0o700)
    assert content(target) == content(source)
    assert path.read_bytes() == before
    assert [found.name for found in path.parent.iterdir()] == ["today"]


def test_a_backup_replaces_nothing_unless_it_is_told_to(database: Open, tmp_path: Path) -> None:
    source = database("a")
    fill(source)
    path = tmp_path / "backup"
    path.write_text("something of value")
    with pytest.raises(ConfigurationError, match=r"is there already.*--force"):
        write_backup(source, path)
    assert path.read_text() == "something of value"
    write_backup(source, path, overwrite=True)
    with opened_backup(path, scratch=tmp_path) as backup:
        assert content(backup) == content(source)


def test_a_backup_is_never_the_database_itself(database: Open, tmp_path: Path) -> None:
    source = database("a")
    (tmp_path / "link").symlink_to(tmp_path / "a.db")
    for path in (tmp_path / "a.db", tmp_path / "link"):
        with pytest.raises(ConfigurationError, match="is the database itself"):
            write_backup(source, path, overwrite=True)


@pytest.mark.parametrize("name", ["", "no/such/backup"])
def test_a_place_where_no_file_can_be_is_named(database: Open, tmp_path: Path, name: str) -> None:
    with pytest.raises(ConfigurationError, match="is no place for a file"):
        write_backup(database("a"), tmp_path / name)


def test_a_device_is_not_replaced_by_a_file(database: Open, tmp_path: Path) -> None:
    path = tmp_path / "pipe"  # as good as /dev/full
    os.mkfifo(path)
    with pytest.raises(ConfigurationError, match="is no place for a file"):
        write_backup(database("a"), path, overwrite=True)
    assert path.is_fifo()


def test_a_backup_that_fails_leaves_nothing_behind(database: Open, tmp_path: Path) -> None:
    source = database("a")
    fill(source)
    with closing(sqlite3.connect(str(source.url.database))) as raw, raw:
        raw.execute("DELETE FROM projects")
    raw.close()
    directory = tmp_path / "backups"
    directory.mkdir()
    with pytest.raises(ConfigurationError, match="The table credentials could not be copied"):
        write_backup(source, directory / "today")
    assert list(directory.iterdir()) == []


def opening(path: Path) -> None:
    with opened_backup(path, scratch=path.parent):
        pass


def test_what_is_no_backup_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "x"
    with pytest.raises(ConfigurationError, match="there is no such file"):
        opening(path)
    path.write_bytes(b"anything but a database" * 100)
    with pytest.raises(ConfigurationError, match="is no backup"):
        opening(path)
    path.write_bytes(b"")
    with pytest.raises(ConfigurationError, match="has no platform's tables"):
        opening(path)


def test_a_backup_that_was_cut_off_is_refused(database: Open, tmp_path: Path) -> None:
    source, target = database("a"), database("b")
    fill(source, calls=5000)
    path = tmp_path / "backup"
    write_backup(source, path)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    empty = content(target)
    with pytest.raises(ConfigurationError), opened_backup(path, scratch=tmp_path) as backup:
        copy_database(backup, target)
    assert content(target) == empty


def test_a_backup_of_a_newer_program_is_refused(database: Open, tmp_path: Path) -> None:
    path = tmp_path / "backup"
    write_backup(database("a"), path)
    with closing(sqlite3.connect(path)) as raw, raw:
        raw.execute("UPDATE alembic_version SET version_num = '9999'")
    raw.close()
    with pytest.raises(ConfigurationError, match=r"9999.*newer"):
        opening(path)


def test_a_backup_of_version_0_1_is_brought_up_to_date_in_a_copy(database: Open, tmp_path: Path) -> None:
    path = tmp_path / "old"
    with closing(sqlite3.connect(path)) as raw, raw:
        raw.execute(
            "CREATE TABLE api_keys (id VARCHAR(40) PRIMARY KEY, name VARCHAR(200) NOT NULL, digest BLOB NOT NULL "
            "UNIQUE, hint VARCHAR(8) NOT NULL, created_at BIGINT NOT NULL, revoked_at BIGINT)"
        )
        columns = ", ".join(f"{column.name} {column.type} NOT NULL" for column in usage.columns)
        raw.execute(f"CREATE TABLE usage ({columns}, PRIMARY KEY (id)) WITHOUT ROWID")
        raw.execute("INSERT INTO api_keys VALUES ('key_1', 'first', x'00', 'hint', 1, NULL)")
    raw.close()
    before = path.read_bytes()
    target = database("b")
    with opened_backup(path, scratch=tmp_path) as backup:
        assert copy_database(backup, target)["api_keys"] == 1
    assert path.read_bytes() == before
    assert not list(tmp_path.glob(".restore-*"))


def test_secrets_come_back_with_the_master_key_and_not_without(database: Open, tmp_path: Path) -> None:
    source, target = database("a"), database("b")
    vault = Vault(source, open_master_keys(MasterKeySource(), tmp_path, {}))
    vault.prepare(now_ns=1)
    write_backup(source, tmp_path / "backup")
    with opened_backup(tmp_path / "backup", scratch=tmp_path) as backup:
        copy_database(backup, target)
    again = Vault(target, open_master_keys(MasterKeySource(), tmp_path, {}))
    again.prepare(now_ns=2)
    assert again.hash_key() == vault.hash_key()
    (tmp_path / "elsewhere").mkdir()
    with pytest.raises(ConfigurationError, match="restore it from where it was kept"):
        Vault(target, open_master_keys(MasterKeySource(), tmp_path / "elsewhere", {})).prepare(now_ns=3)
