"""What opening promises, on SQLite and on PostgreSQL."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Iterator

import pytest
from sqlalchemy import Engine, event, select, text, update
from sqlalchemy.exc import IntegrityError

from abyssal.stores.sql.database import migration_status, open_database
from abyssal.stores.sql.migrations import HEAD, MODULES, revision_of
from abyssal.stores.sql.revision import current_revision, next_revision
from abyssal.stores.sql.schema import metadata, organizations, projects
from abyssal.wire.errors import ConfigurationError

COUNT = """
import sys
from abyssal.stores.sql.database import open_database
from abyssal.stores.sql.revision import next_revision

engine = open_database(sys.argv[1])
for _ in range(40):
    with engine.begin() as connection:
        print(next_revision(connection))
engine.dispose()
"""


@pytest.fixture
def engine(each_database: str) -> Iterator[Engine]:
    engine = open_database(each_database)
    yield engine
    engine.dispose()


def password_of(url: str) -> str:
    return url.partition("tester:")[2].partition("@")[0]


def test_a_new_database_has_every_table_and_revision_zero(engine: Engine) -> None:
    with engine.connect() as connection:
        assert current_revision(connection) == 0
        for table in metadata.tables.values():
            connection.execute(select(table)).all()


def test_it_is_opened_again_with_what_was_in_it(each_database: str, engine: Engine) -> None:
    with engine.begin() as connection:
        connection.execute(organizations.insert().values(id="org_1", name="名", created_at=2**62))
    again = open_database(each_database)
    with again.connect() as connection:
        assert connection.execute(select(organizations.c.name, organizations.c.created_at)).one() == (
            "名",
            2**62,
        )
    again.dispose()


def test_several_processes_open_a_new_one_at_once_and_lose_no_change(each_database: str) -> None:
    writers = [
        subprocess.Popen([sys.executable, "-c", COUNT, each_database], stdout=subprocess.PIPE, text=True)
        for _ in range(4)
    ]
    said = [writer.communicate(timeout=60)[0].split() for writer in writers]
    assert [writer.returncode for writer in writers] == [0, 0, 0, 0]
    assert sorted(int(number) for numbers in said for number in numbers) == list(range(1, 161))
    for numbers in said:
        assert numbers == sorted(numbers, key=int)


def test_one_that_another_process_makes_between_two_looks(postgres_database: str) -> None:
    def make(*_: object) -> None:
        nonlocal made
        if not made:
            made = True
            open_database(postgres_database).dispose()

    made = False
    event.listen(Engine, "after_cursor_execute", make)
    try:
        assert migration_status(postgres_database).current in ("", HEAD)
    finally:
        event.remove(Engine, "after_cursor_execute", make)
    assert made


def test_a_transaction_that_fails_leaves_nothing(engine: Engine) -> None:
    def fail() -> None:
        with engine.begin() as connection:
            next_revision(connection)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    with engine.connect() as connection:
        assert current_revision(connection) == 0


def test_the_status_makes_and_changes_nothing(each_database: str) -> None:
    fresh = migration_status(each_database)
    assert (fresh.current, fresh.head, fresh.pending) == ("", HEAD, tuple(map(revision_of, MODULES)))
    assert migration_status(each_database) == fresh
    assert password_of(each_database) not in repr(fresh) or not password_of(each_database)
    open_database(each_database).dispose()
    made = migration_status(each_database)
    assert (made.current, made.pending) == (HEAD, ())


def test_without_migrating_it_must_be_there(each_database: str) -> None:
    with pytest.raises(ConfigurationError, match="abyssal db upgrade"):
        open_database(each_database, migrate=False)
    assert migration_status(each_database).current == ""
    open_database(each_database).dispose()
    open_database(each_database, migrate=False).dispose()


@pytest.mark.parametrize("found", ["9999", "9d2f4c81aa07"])
def test_a_newer_program_s_database_is_refused(each_database: str, engine: Engine, found: str) -> None:
    with engine.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = :found"), {"found": found})
    for opening in (open_database, migration_status):
        with pytest.raises(ConfigurationError, match=rf"revision {found}.*does not know.*0001 to {HEAD}"):
            opening(each_database)
    with engine.connect() as connection:
        assert connection.execute(text("SELECT version_num FROM alembic_version")).scalar_one() == found


def test_another_program_s_tables_are_left_alone(each_database: str) -> None:
    engine = open_database(each_database)
    with engine.begin() as connection:
        metadata.drop_all(connection)
        connection.execute(text("DROP TABLE alembic_version"))
        connection.execute(text("CREATE TABLE users (name TEXT)"))
    engine.dispose()
    with pytest.raises(ConfigurationError, match=r"another program's \(users\)") as refusal:
        open_database(each_database)
    assert not password_of(each_database) or password_of(each_database) not in refusal.value.message


def test_tables_with_other_names_do_not_disturb(each_database: str) -> None:
    engine = open_database(each_database)
    with engine.begin() as connection:
        metadata.drop_all(connection)
        connection.execute(text("DROP TABLE alembic_version"))
        connection.execute(text("CREATE TABLE of_somebody_else (name TEXT)"))
    engine.dispose()
    open_database(each_database).dispose()
    assert migration_status(each_database).current == HEAD


def test_a_reader_does_not_wait_for_a_writer(each_database: str, engine: Engine) -> None:
    other = open_database(each_database)
    with engine.begin() as writing:
        next_revision(writing)
        with other.connect() as reading:
            assert current_revision(reading) == 0
    with other.connect() as reading:
        assert current_revision(reading) == 1
    other.dispose()


def test_a_reference_to_nothing_is_refused(engine: Engine) -> None:
    row = {"id": "proj_1", "organization_id": "org_none", "name": "p", "created_at": 1, "revision": 1}
    with pytest.raises(IntegrityError), engine.begin() as connection:
        connection.execute(projects.insert().values(row))


def test_what_was_committed_survives_the_loss_of_every_connection(postgres_database: str) -> None:
    engine = open_database(postgres_database, one_connection=True)
    with engine.begin() as connection:
        next_revision(connection)
    other = open_database(postgres_database)
    with other.connect() as connection:
        connection.execute(
            text(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                "WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )
        )
    with engine.begin() as connection:  # the pool finds out before it hands a connection on
        assert next_revision(connection) == 2
    engine.dispose()
    other.dispose()


def test_a_server_that_is_not_there_is_named_without_the_password() -> None:
    url = "postgresql://joe:geheim@127.0.0.1:1/shop?connect_timeout=3&password=also"
    for opening in (open_database, migration_status):
        with pytest.raises(ConfigurationError, match="cannot be opened") as refusal:
            opening(url)
        assert "joe:***@127.0.0.1:1/shop" in refusal.value.message
        assert "geheim" not in refusal.value.message
        assert "also" not in refusal.value.message


def test_a_wrong_password_is_not_shown(postgres_database: str) -> None:
    wrong = postgres_database.replace(password_of(postgres_database), "not-the-password")
    with pytest.raises(ConfigurationError, match="authentication failed") as refusal:
        open_database(wrong)
    assert "not-the-password" not in refusal.value.message


def test_two_writers_take_turns(each_database: str, engine: Engine) -> None:
    """The second waits for the first, and sees what it wrote."""
    other = open_database(each_database)
    begun, seen = threading.Event(), []

    def second() -> None:
        begun.set()
        with other.begin() as connection:
            seen.append(next_revision(connection))

    thread = threading.Thread(target=second)
    with engine.begin() as connection:
        connection.execute(update(organizations).values(name="x"))
        assert next_revision(connection) == 1
        thread.start()
        begun.wait()
        thread.join(0.2)
        assert thread.is_alive()
        assert seen == []
    thread.join(10)
    assert seen == [2]
    other.dispose()
