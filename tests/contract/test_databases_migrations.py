"""Old databases become new ones, whole or not at all, on SQLite and on PostgreSQL."""

from __future__ import annotations

import importlib
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import sqlalchemy as sa
from alembic import op
from alembic.autogenerate import compare_metadata
from alembic.operations import Operations
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, Engine, create_engine, inspect, select, text

from abyssal.stores.sql import migrations
from abyssal.stores.sql.address import parse_database_url
from abyssal.stores.sql.database import engine_for, migration_status, open_database
from abyssal.stores.sql.migrations import HEAD, MODULES, revision_of
from abyssal.stores.sql.migrations.apply import bring_up_to_date
from abyssal.stores.sql.schema import api_keys, metadata, revisions, usage
from abyssal.wire.errors import ConfigurationError

# What version 0.1 made of its two tables, taken from a database that it made.
VERSION_0_1 = (
    "CREATE TABLE api_keys (id VARCHAR(40) NOT NULL, name VARCHAR(200) NOT NULL, digest {blob} NOT NULL, "
    "hint VARCHAR(8) NOT NULL, created_at BIGINT NOT NULL, revoked_at BIGINT, PRIMARY KEY (id), UNIQUE (digest))",
    "CREATE TABLE usage (id VARCHAR(40) NOT NULL, at BIGINT NOT NULL, key_id VARCHAR(40) NOT NULL, "
    "model VARCHAR(256) NOT NULL, upstream VARCHAR(200) NOT NULL, stream BOOLEAN NOT NULL, "
    "status INTEGER NOT NULL, code VARCHAR(80) NOT NULL, prompt_tokens BIGINT NOT NULL, "
    "completion_tokens BIGINT NOT NULL, cached_tokens BIGINT NOT NULL, reasoning_tokens BIGINT NOT NULL, "
    "estimated BOOLEAN NOT NULL, first_byte_us BIGINT NOT NULL, total_us BIGINT NOT NULL, "
    "PRIMARY KEY (id)){without_rowid}",
)

AFTER_0_1 = tuple(revision_of(name) for name in MODULES)[1:]
NEXT = f"{int(HEAD) + 1:04}"


def schema_of(connection: Connection) -> dict[str, Any]:
    """All that the database itself says of its tables."""
    tables = inspect(connection)
    found: dict[str, Any] = {}
    for name in tables.get_table_names():
        columns = [(c["name"], str(c["type"]), c["nullable"], c["default"]) for c in tables.get_columns(name)]
        found[name] = {
            "columns": columns,
            "primary key": tables.get_pk_constraint(name),
            "foreign keys": sorted(map(repr, tables.get_foreign_keys(name))),
            "indexes": sorted(map(repr, tables.get_indexes(name))),
            "unique": sorted(map(repr, tables.get_unique_constraints(name))),
        }
    return found


@pytest.fixture
def empty(each_database: str) -> Iterator[Engine]:
    """The database without anything in it."""
    engine = create_engine(parse_database_url(each_database))
    yield engine
    engine.dispose()


@pytest.fixture
def old(empty: Engine) -> Engine:
    """The database as version 0.1 left it, with a key and two calls."""
    dialect = {"blob": "BLOB", "without_rowid": " WITHOUT ROWID"}
    if empty.dialect.name == "postgresql":
        dialect = {"blob": "BYTEA", "without_rowid": ""}
    with empty.begin() as connection:
        for statement in VERSION_0_1:
            connection.execute(text(statement.format(**dialect)))
        connection.execute(
            api_keys.insert().values(id="key_1", name="first", digest=b"d" * 32, hint="abcd", created_at=5)
        )
        call = dict.fromkeys((column.name for column in usage.columns), 1)
        texts = {
            "key_id": "key_1",
            "model": "m",
            "upstream": "u",
            "code": "",
            "stream": True,
            "estimated": False,
        }
        connection.execute(usage.insert(), [{**call, **texts, "id": "a"}, {**call, **texts, "id": "b"}])
    return empty


def new_revision(monkeypatch: pytest.MonkeyPatch, name: str, upgrade: Callable[[], None]) -> str:
    """A revision file's module; gives its name."""
    module = ModuleType(f"revisions_of_the_test.{name}")
    vars(module).update(upgrade=upgrade, revision=revision_of(module.__name__), down_revision=HEAD)
    monkeypatch.setitem(sys.modules, "revisions_of_the_test", ModuleType("revisions_of_the_test"))
    monkeypatch.setitem(sys.modules, module.__name__, module)
    return module.__name__


def test_the_revisions_are_files_that_alembic_reads_too() -> None:
    script = ScriptDirectory(str(Path(migrations.__file__).parent))
    assert [each.revision for each in script.walk_revisions()] == [revision_of(name) for name in MODULES][
        ::-1
    ]
    assert script.get_heads() == [HEAD]


def test_migrating_from_nothing_gives_the_tables_of_a_new_database(each_database: str, empty: Engine) -> None:
    open_database(each_database).dispose()
    with empty.begin() as connection:
        made = schema_of(connection)
        assert set(made) == {*metadata.tables, "alembic_version"}
        version = made.pop("alembic_version")
        metadata.drop_all(connection)
        connection.execute(text("DROP TABLE alembic_version"))
        context = MigrationContext.configure(connection, opts={"target_metadata": metadata})
        with Operations.context(context):
            for module in MODULES:
                importlib.import_module(module).upgrade()
        assert schema_of(connection) == made
        assert compare_metadata(context, metadata) == []
        assert connection.execute(select(revisions)).all() == [("identity", 0)]
        context.stamp(ScriptDirectory(str(Path(migrations.__file__).parent)), "head")
        assert schema_of(connection)["alembic_version"] == version


def test_a_difference_would_be_seen(each_database: str, empty: Engine) -> None:
    open_database(each_database).dispose()
    with empty.begin() as connection:
        connection.execute(text("DROP INDEX ix_members_user_id"))
        context = MigrationContext.configure(connection, opts={"target_metadata": metadata})
        assert [change[0] for change in compare_metadata(context, metadata)] == ["add_index"]


def test_a_database_of_version_0_1_goes_on_with_its_rows(each_database: str, old: Engine) -> None:
    assert migration_status(each_database).pending == AFTER_0_1
    assert open_closed(each_database).pending == ()
    with old.connect() as connection:
        assert connection.execute(select(usage.c.id).order_by(usage.c.id)).scalars().all() == ["a", "b"]
        assert connection.execute(select(api_keys.c.digest)).scalar_one() == b"d" * 32
        assert connection.execute(select(revisions)).all() == [("identity", 0)]
        changes = compare_metadata(MigrationContext.configure(connection), metadata)
    # 0.1 gave its constraints no names; nothing of ours refers to them.
    assert [change for change in changes if not is_name_of_the_keys_digest(change)] == []


def open_closed(url: str) -> Any:
    open_database(url).dispose()
    return migration_status(url)


def is_name_of_the_keys_digest(change: Any) -> bool:
    if change[0] not in ("add_constraint", "remove_constraint"):
        return False
    return change[1].table.name == "api_keys" and [column.name for column in change[1].columns] == ["digest"]


def test_what_is_in_the_way_stops_it_and_leaves_all_as_it_was(each_database: str, old: Engine) -> None:
    with old.begin() as connection:
        # The stamp is trusted; a table of the new revision's is there all the same.
        connection.execute(text("CREATE TABLE alembic_version (version_num VARCHAR(32) NOT NULL)"))
        connection.execute(text("INSERT INTO alembic_version VALUES ('0001')"))
        connection.execute(text("CREATE TABLE token_keys (id INTEGER)"))
        before = schema_of(connection)
    with pytest.raises(ConfigurationError, match=r"migration 0002 failed .*token_keys.* as it was, at 0001"):
        open_database(each_database)
    assert migration_status(each_database).current == "0001"
    with old.begin() as connection:
        assert schema_of(connection) == before
        assert connection.execute(select(usage.c.id)).all() != []
        connection.execute(text("DROP TABLE token_keys"))
    assert open_closed(each_database).current == HEAD


def test_a_migration_that_fails_after_its_changes_takes_them_back(
    each_database: str, old: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    def upgrade() -> None:
        op.create_table("half", sa.Column("id", sa.Integer, primary_key=True))
        op.add_column("usage", sa.Column("half", sa.Integer))
        op.execute("UPDATE usage SET model = 'changed'")
        raise LookupError("the second half is missing")

    broken = new_revision(monkeypatch, f"{NEXT}_broken", upgrade)
    with old.connect() as connection:
        before = schema_of(connection)
    engine = engine_for(parse_database_url(each_database))
    with pytest.raises(ConfigurationError, match=rf"migration {NEXT} failed .LookupError: the second half"):
        bring_up_to_date(engine, (*MODULES, broken))
    engine.dispose()
    assert migration_status(each_database).current == "0001"  # also those that had gone well are taken back
    with old.connect() as connection:
        assert schema_of(connection) == before
        assert set(connection.execute(select(usage.c.model)).scalars()) == {"m"}


def test_who_comes_second_waits_and_has_nothing_to_do(
    each_database: str, old: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    entered, go_on = threading.Event(), threading.Event()

    def upgrade() -> None:
        entered.set()
        assert go_on.wait(20)

    modules = (*MODULES, new_revision(monkeypatch, f"{NEXT}_slow", upgrade))
    applied: dict[str, tuple[str, ...]] = {}

    def bring_up(who: str) -> None:
        engine = engine_for(parse_database_url(each_database))
        applied[who] = bring_up_to_date(engine, modules)
        engine.dispose()

    first, second = (threading.Thread(target=bring_up, args=(who,)) for who in ("first", "second"))
    first.start()
    assert entered.wait(20)
    second.start()
    second.join(0.3)
    assert second.is_alive()
    go_on.set()
    first.join(20)
    second.join(20)
    assert applied == {"first": (*AFTER_0_1, NEXT), "second": ()}


def test_a_new_or_current_database_needs_no_alembic(tmp_path: Path) -> None:
    program = (
        "import sys\nfrom pathlib import Path\n"
        "from abyssal.stores.sql.database import migration_status, open_database, sqlite_url\n"
        "url = sqlite_url(Path(sys.argv[1]))\n"
        "open_database(url).dispose(); open_database(url).dispose(); migration_status(url)\n"
        "print('alembic' in sys.modules)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, tmp_path / "new.db"], capture_output=True, text=True
    )
    assert (done.stdout.strip(), done.stderr) == ("False", "")
