"""The vault: what is sealed opens again, and changing the master key loses nothing."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import Connection, Engine, LargeBinary, insert, select, update

from abyssal.config import MasterKeySource
from abyssal.stores.master_key import open_master_keys, ring_line
from abyssal.stores.sealing import Place, SealError, key_id_of
from abyssal.stores.sql.database import open_database, sqlite_url
from abyssal.stores.sql.rewrap import SEALED
from abyssal.stores.sql.schema import (
    credentials,
    idempotency_keys,
    master_keys,
    metadata,
    organizations,
    platform_secrets,
    projects,
    secrets,
    token_keys,
)
from abyssal.stores.sql.vault import PLATFORM, Vault, current_key_id
from abyssal.wire.errors import ConfigurationError, LocalError


@pytest.fixture
def engine(each_database: str) -> Iterator[Engine]:
    engine = open_database(each_database)
    yield engine
    engine.dispose()


def prepared(engine: Engine, data: Path, source: MasterKeySource | None = None, **environ: str) -> Vault:
    vault = Vault(engine, open_master_keys(source or MasterKeySource(), data, environ))
    vault.prepare(now_ns=1)
    return vault


def ring(data: Path) -> tuple[str, ...]:
    return open_master_keys(MasterKeySource(), data, {}).ring


def add_tenants(connection: Connection) -> None:
    for number in (1, 2):
        connection.execute(insert(organizations).values(id=f"org_{number}", name="o", created_at=1))
        connection.execute(
            insert(projects).values(
                id=f"proj_{number}", organization_id=f"org_{number}", name="p", created_at=1, revision=1
            )
        )
        connection.execute(
            insert(credentials).values(
                id=f"client_{number}",
                kind="client",
                project_id=f"proj_{number}",
                name="c",
                scopes="[]",
                created_at=1,
                revision=1,
            )
        )


def add_secret(vault: Vault, connection: Connection, row: str, tenant: int = 1) -> None:
    sealed = vault.seal(connection, row.encode(), Place(f"org_{tenant}", "secrets", row))
    connection.execute(
        insert(secrets).values(
            id=row, credential_id=f"client_{tenant}", sealed=sealed, hint="h", created_at=1
        )
    )


def fill(vault: Vault, engine: Engine, count: int) -> None:
    """Secrets of two tenants, one that is no sealed one, and a row in each other table."""
    with engine.begin() as connection:
        add_tenants(connection)
        for number in range(count):
            add_secret(vault, connection, f"sec_{number}", 1 + number % 2)
        connection.execute(
            insert(secrets).values(
                id="sec_plain", credential_id="client_1", digest=b"d" * 32, hint="h", created_at=1
            )
        )
        connection.execute(
            insert(token_keys).values(
                id="tk_1",
                sealed=vault.seal(connection, b"tk_1", Place(PLATFORM, "token_keys", "tk_1")),
                public_pem=b"",
                created_at=1,
                active_at=1,
                revision=1,
            )
        )
        for key in ("a", "b"):
            place = Place(PLATFORM, "idempotency_keys", f"key_1/{key}")
            connection.execute(
                insert(idempotency_keys).values(
                    caller="key_1",
                    key=key,
                    request=b"r",
                    status=200,
                    sealed=vault.seal(connection, key.encode(), place),
                    created_at=1,
                )
            )


def opened_secrets(vault: Vault, engine: Engine) -> int:
    """How many there are; each was opened and is what it was."""
    with engine.connect() as connection:
        found = connection.execute(
            select(secrets.c.id, secrets.c.sealed, projects.c.organization_id)
            .select_from(secrets.join(credentials).join(projects))
            .where(secrets.c.sealed.is_not(None))
        ).all()
        answers = connection.execute(select(idempotency_keys.c.key, idempotency_keys.c.sealed)).all()
    for row in found:
        assert vault.open(row.sealed, Place(row.organization_id, "secrets", row.id)) == row.id.encode()
    for row in answers:
        place = Place(PLATFORM, "idempotency_keys", f"key_1/{row.key}")
        assert vault.open(row.sealed, place) == row.key.encode()
    return len(found)


def keys_in_use(engine: Engine) -> set[str]:
    with engine.connect() as connection:
        values = [
            value
            for sealed in SEALED
            for value in connection.execute(select(sealed.table.c.sealed)).scalars()
            if value is not None
        ]
    return {key_id_of(value) for value in values}


# First start


def test_a_new_database_gets_a_master_key_and_a_hash_key(engine: Engine, tmp_path: Path) -> None:
    first = prepared(engine, tmp_path)
    assert len(first.hash_key()) == 32
    assert ring(tmp_path) == (current_key_id(engine),)
    assert prepared(engine, tmp_path).hash_key() == first.hash_key()
    assert len(ring(tmp_path)) == 1
    stored = b"".join(path.read_bytes() for path in tmp_path.glob("abyssal.db*"))
    assert first.hash_key() not in stored


def test_of_two_first_starts_at_once_one_makes_the_keys(engine: Engine, tmp_path: Path) -> None:
    vaults = [Vault(engine, open_master_keys(MasterKeySource(), tmp_path, {})) for _ in range(4)]
    threads = [threading.Thread(target=vault.prepare, kwargs={"now_ns": 1}) for vault in vaults]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({vault.hash_key() for vault in vaults}) == 1


def test_a_lost_master_key_is_not_made_anew(engine: Engine, tmp_path: Path) -> None:
    prepared(engine, tmp_path)
    (tmp_path / "master.key").unlink()
    with pytest.raises(ConfigurationError, match=r"master\.key does not have the master key mk_.*restore it"):
        prepared(engine, tmp_path)
    assert not (tmp_path / "master.key").exists()


def test_another_key_under_the_same_id_is_noticed(engine: Engine, tmp_path: Path) -> None:
    prepared(engine, tmp_path)
    path = tmp_path / "master.key"
    key_id = path.read_text().split()[0]
    path.write_text(f"{key_id} {ring_line().split()[1]}\n")
    with pytest.raises(ConfigurationError, match=f"has a key {key_id}, but not the one"):
        prepared(engine, tmp_path)


def test_before_it_is_prepared_it_says_so(engine: Engine, tmp_path: Path) -> None:
    vault = Vault(engine, open_master_keys(MasterKeySource(), tmp_path, {}))
    with pytest.raises(RuntimeError, match="prepare"):
        vault.hash_key()
    with engine.begin() as connection, pytest.raises(RuntimeError, match="prepare"):
        vault.seal(connection, b"x", Place("a", "b", "c"))


# Sealing


def test_a_value_opens_in_its_own_row_only(engine: Engine, tmp_path: Path) -> None:
    vault = prepared(engine, tmp_path)
    fill(vault, engine, 2)
    with engine.connect() as connection:
        values = dict(connection.execute(select(secrets.c.id, secrets.c.sealed)).all())
    assert vault.open(values["sec_1"], Place("org_2", "secrets", "sec_1")) == b"sec_1"
    for place in (
        Place("org_1", "secrets", "sec_1"),
        Place("org_2", "secrets", "sec_0"),
        Place("org_2", "token_keys", "sec_1"),
    ):
        with pytest.raises(SealError):
            vault.open(values["sec_1"], place)
    with pytest.raises(SealError):
        vault.open(b"", Place("org_2", "secrets", "sec_1"))


def test_a_value_whose_key_is_lost_is_as_unreadable(engine: Engine, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    vault = prepared(engine, tmp_path)
    elsewhere = open_database(sqlite_url(tmp_path / "other.db"))
    stranger = prepared(elsewhere, tmp_path / "other")
    with elsewhere.begin() as connection:
        sealed = stranger.seal(connection, b"x", Place("a", "b", "c"))
    elsewhere.dispose()
    with pytest.raises(SealError):
        vault.open(sealed, Place("a", "b", "c"))


# Changing the master key


def test_every_sealed_column_of_the_schema_is_rewrapped() -> None:
    with_seals = {
        table.name
        for table in metadata.tables.values()
        if "sealed" in table.c and isinstance(table.c.sealed.type, LargeBinary)
    }
    assert with_seals == {sealed.table.name for sealed in SEALED}


def test_another_master_key(engine: Engine, tmp_path: Path) -> None:
    vault = prepared(engine, tmp_path)
    fill(vault, engine, 1203)  # more than two batches
    (before,) = ring(tmp_path)
    assert vault.rewrap() == {
        "platform_secrets": 1,
        "secrets": 1203,
        "token_keys": 1,
        "idempotency_keys": 2,
        "conversations": 0,
        "turns": 0,
    }
    (after,) = ring(tmp_path)
    assert after != before
    assert keys_in_use(engine) == {after} == {current_key_id(engine)}
    fresh = prepared(engine, tmp_path)
    assert fresh.hash_key() == vault.hash_key()
    assert opened_secrets(fresh, engine) == 1203


def test_who_was_there_before_seals_and_opens_on(engine: Engine, tmp_path: Path) -> None:
    old = prepared(engine, tmp_path)
    fill(old, engine, 3)
    prepared(engine, tmp_path).rewrap()
    with engine.begin() as connection:
        add_secret(old, connection, "sec_new")
    assert opened_secrets(old, engine) == 4
    assert keys_in_use(engine) == {*ring(tmp_path)}


def test_while_others_write(engine: Engine, each_database: str, tmp_path: Path) -> None:
    fill(prepared(engine, tmp_path), engine, 1500)
    begun, done, written = threading.Event(), threading.Event(), 0

    def write() -> None:
        nonlocal written
        own = open_database(each_database)
        vault = prepared(own, tmp_path)
        while not done.is_set():
            with own.begin() as connection:
                add_secret(vault, connection, f"sec_w{written}")
            written += 1
            begun.set()
        own.dispose()

    writer = threading.Thread(target=write)
    writer.start()
    assert begun.wait(30)
    before = written
    try:
        for number in range(100):  # others get a turn, how soon is the machine's matter
            prepared(engine, tmp_path).rewrap()
            if number >= 2 and written > before + 3:
                break
    finally:
        done.set()
        writer.join()
    assert written > before + 3
    assert keys_in_use(engine) == {*ring(tmp_path)}
    assert opened_secrets(prepared(engine, tmp_path), engine) == 1500 + written


KILLED = """
import os, sys
from pathlib import Path
from sqlalchemy import event
from abyssal.config import MasterKeySource
from abyssal.stores.master_key import open_master_keys
from abyssal.stores.sql.database import open_database
from abyssal.stores.sql.vault import Vault

data, place, number = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
engine = open_database(sys.argv[4])
vault = Vault(engine, open_master_keys(MasterKeySource(), data, {}))
vault.prepare(now_ns=1)
seen = 0

def stop(*_):
    global seen
    seen += 1
    if seen == number:
        os.kill(os.getpid(), 9)

event.listen(engine, place, stop)
vault.rewrap()
"""


@pytest.mark.parametrize(
    ("place", "number"), [("commit", 1), ("commit", 2), ("commit", 4), ("commit", 6), ("begin", 3)]
)
def test_killed_in_the_middle_it_is_finished_by_the_next(
    engine: Engine, each_database: str, tmp_path: Path, place: str, number: int
) -> None:
    """`commit` 1 names the new key, 2 to 5 are batches; the last one takes the old key out of the file."""
    vault = prepared(engine, tmp_path)
    fill(vault, engine, 600)
    (before,) = ring(tmp_path)
    engine.dispose()
    arguments = [sys.executable, "-c", KILLED, str(tmp_path), place, str(number), each_database]
    assert subprocess.run(arguments, check=False).returncode == -9

    between = prepared(engine, tmp_path)
    assert between.hash_key() == vault.hash_key()
    assert opened_secrets(between, engine) == 600
    between.rewrap()
    (after,) = ring(tmp_path)
    assert after != before
    assert keys_in_use(engine) == {after}
    assert opened_secrets(prepared(engine, tmp_path), engine) == 600


def test_a_damaged_value_stays_and_keeps_the_old_key(engine: Engine, tmp_path: Path) -> None:
    vault = prepared(engine, tmp_path)
    fill(vault, engine, 5)
    (before,) = ring(tmp_path)
    with engine.begin() as connection:
        moved = connection.execute(select(secrets.c.sealed).where(secrets.c.id == "sec_1")).scalar_one()
        connection.execute(update(secrets).where(secrets.c.id == "sec_0").values(sealed=moved))
        connection.execute(update(secrets).where(secrets.c.id == "sec_2").values(sealed=b"garbage"))
    with pytest.raises(LocalError, match=r"2 sealed values.*\(secrets sec_0, secrets sec_2\)"):
        vault.rewrap()
    assert ring(tmp_path)[0] == before
    with engine.begin() as connection:
        connection.execute(secrets.delete().where(secrets.c.id.in_(["sec_0", "sec_2"])))
    vault.rewrap()
    assert before not in ring(tmp_path)
    assert opened_secrets(vault, engine) == 3


def test_the_operator_s_own_source_has_the_new_key_last(engine: Engine, tmp_path: Path) -> None:
    source = MasterKeySource(env="RING")
    one, two = ring_line(), ring_line()
    vault = prepared(engine, tmp_path, source, RING=one)
    assert set(vault.rewrap().values()) == {0}
    both = prepared(engine, tmp_path, source, RING=f"{one}\n{two}")
    assert current_key_id(engine) == one.split()[0]  # a new line alone changes nothing
    assert both.rewrap()["platform_secrets"] == 1
    assert current_key_id(engine) == two.split()[0]
    assert prepared(engine, tmp_path, source, RING=two).hash_key() == vault.hash_key()
    with (
        engine.begin() as connection,
        pytest.raises(ConfigurationError, match="does not have the master key"),
    ):
        vault.seal(connection, b"x", Place("a", "b", "c"))


def test_a_file_that_cannot_be_written_changes_nothing(engine: Engine, tmp_path: Path) -> None:
    vault = prepared(engine, tmp_path)
    before = (tmp_path / "master.key").read_text()
    (tmp_path / ".master.key.new").mkdir()  # in the way of the new file
    with pytest.raises(ConfigurationError, match="cannot be replaced"):
        vault.rewrap()
    assert (tmp_path / "master.key").read_text() == before
    assert prepared(engine, tmp_path).hash_key() == vault.hash_key()


def test_a_database_that_names_a_key_which_nobody_has(engine: Engine, tmp_path: Path) -> None:
    prepared(engine, tmp_path)
    with engine.begin() as connection:
        connection.execute(platform_secrets.delete())
        connection.execute(update(master_keys).values(key_id="mk_abcd"))
    with pytest.raises(ConfigurationError, match="does not have the master key mk_abcd"):
        prepared(engine, tmp_path)
