"""The management commands on a data directory, in this process: no platform has to run."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from sqlalchemy import insert, select, text

from abyssal.cli.app import app
from abyssal.config import MasterKeySource
from abyssal.platform.first_key import ensure_first_key
from abyssal.stores.api_keys import digest_of
from abyssal.stores.master_key import open_master_keys
from abyssal.stores.sql.database import open_database, sqlite_url
from abyssal.stores.sql.schema import api_keys
from abyssal.stores.sql.vault import Vault
from abyssal.wire.errors import ConfigurationError

FIRST = "sk-first-of-the-platform"
Run = Callable[..., str]


def first_start(data: Path, url: str) -> None:
    """What the first start leaves."""
    engine = open_database(url)
    vault = Vault(engine, open_master_keys(MasterKeySource(), data, {}))
    vault.prepare(now_ns=1)
    ensure_first_key(engine, vault, data, FIRST, now_ns=1)
    engine.dispose()


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A data directory after the first start."""
    first_start(tmp_path, sqlite_url(tmp_path / "abyssal.db"))
    return tmp_path


@pytest.fixture
def run(data: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Runs a command; what it prints on standard output."""
    for name in ("ABYSSAL_BASE_URL", "ABYSSAL_API_KEY", "ABYSSAL_DATABASE_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("ABYSSAL_DATA", str(data))

    def run(*arguments: str) -> str:
        app(list(arguments), standalone_mode=False)
        printed = capsys.readouterr()
        assert printed.err == ""
        return printed.out

    return run


def test_a_person_alone_names_no_organisation_and_no_project(run: Run) -> None:
    key = run("keys", "create", "laptop").strip()
    assert key.startswith("sk-")
    assert [line.split("\t")[1] for line in run("keys", "list").splitlines()] == ["first", "laptop"]
    assert "is revoked now" in run("keys", "revoke", "laptop")


def test_on_postgresql_it_is_the_same(
    run: Run,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path_factory: pytest.TempPathFactory,
    postgres_database: str,
) -> None:
    data = tmp_path_factory.mktemp("postgresql")
    first_start(data, postgres_database)
    monkeypatch.setenv("ABYSSAL_DATA", str(data))
    monkeypatch.setenv("ABYSSAL_DATABASE_URL", postgres_database)
    run("keys", "create", "laptop")
    run("members", "create", "ada@example.com", "--role", "admin")
    run("clients", "create", "hers", "--user", "ada@example.com", "--expires", "1h")
    run("keys", "rotate", "laptop", "--overlap", "1h")
    with pytest.raises(ConfigurationError, match="near ones: laptop"):
        run("keys", "revoke", "lapotp")
    assert [line.split("\t")[1] for line in run("keys", "list").splitlines()] == ["first", "laptop"]
    run("members", "remove", "ada@example.com")
    (client,) = json.loads(run("clients", "list", "--json"))
    assert client["revoked_at"] is not None
    assert [path.name for path in data.iterdir()] == ["master.key"]


def test_what_is_stored_is_what_the_data_plane_looks_for(run: Run, data: Path) -> None:
    key = run("keys", "create", "laptop").strip()
    engine = open_database(sqlite_url(data / "abyssal.db"))
    vault = Vault(engine, open_master_keys(MasterKeySource(), data, {}))
    vault.prepare(now_ns=1)
    with engine.connect() as connection:
        digests = set(connection.execute(text("SELECT digest FROM secrets")).scalars())
    engine.dispose()
    assert {digest_of(key.encode(), vault.hash_key()), digest_of(FIRST.encode(), vault.hash_key())} == digests


def test_a_refusal_leaves_nothing_behind(run: Run) -> None:
    before = run("keys", "list", "--json")
    with pytest.raises(ConfigurationError, match=r"^--scope: there is no scope 'chatt'.*models:train"):
        run("keys", "create", "x", "--scope", "chat", "--scope", "chatt")
    with pytest.raises(ConfigurationError, match=r"^--network: '10\.0\.0\.0/33'"):
        run("keys", "create", "x", "--network", "10.0.0.0/33")
    with pytest.raises(ConfigurationError, match="near ones: first"):
        run("keys", "revoke", "frist")
    assert run("keys", "list", "--json") == before


def test_injection_goes_nowhere(run: Run) -> None:
    name = "x'); DROP TABLE credentials; --"
    run("keys", "create", name)
    assert [key["name"] for key in json.loads(run("keys", "list", "--json"))] == ["first", name]
    with pytest.raises(ConfigurationError):
        run("keys", "show", "' OR '1'='1")
    run("keys", "revoke", name)


def test_before_the_first_start_of_this_version_nothing_is_done(
    run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> None:
    old = tmp_path_factory.mktemp("old")
    monkeypatch.setenv("ABYSSAL_DATA", str(old))
    engine = open_database(sqlite_url(old / "abyssal.db"))
    with pytest.raises(ConfigurationError, match=r"no platform of this version .*abyssal serve"):
        run("keys", "list")
    row = {"id": "key_0123456789abcdef", "name": "old", "digest": b"d" * 32, "hint": "wxyz", "created_at": 5}
    with engine.begin() as connection:
        connection.execute(insert(api_keys).values(**row, revoked_at=None))
    with pytest.raises(ConfigurationError, match=r"abyssal serve.*keys of the version before"):
        run("keys", "create", "x")
    with engine.connect() as connection:
        assert connection.execute(select(api_keys.c.id)).scalars().all() == [row["id"]]
    engine.dispose()
    assert not (old / "master.key").exists()


def test_looking_changes_nothing(run: Run, data: Path) -> None:
    names = {path.name for path in data.iterdir()}
    for command in (("keys", "list"), ("keys", "show", "first"), ("orgs", "list"), ("members", "list")):
        before = run("keys", "list", "--json")
        run(*command)
        assert run("keys", "list", "--json") == before
    assert {path.name for path in data.iterdir()} <= names | {"abyssal.db-wal", "abyssal.db-shm"}


def test_without_the_master_key_nothing_is_made_up(run: Run, data: Path) -> None:
    (data / "master.key").unlink()
    with pytest.raises(ConfigurationError, match=r"master\.key"):
        run("keys", "create", "x")
    assert not (data / "master.key").exists()


def test_a_directory_without_a_platform_is_left_as_it_is(
    run: Run, tmp_path_factory: pytest.TempPathFactory
) -> None:
    empty = tmp_path_factory.mktemp("empty")
    for command in (("keys", "list"), ("keys", "create", "x"), ("orgs", "list"), ("members", "remove", "x")):
        with pytest.raises(ConfigurationError, match="abyssal serve"):
            run(*command, "--data", str(empty))
    assert list(empty.iterdir()) == []
