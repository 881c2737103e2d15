"""What workers are told, on both databases: the whole picture, what changed, and nothing that is over."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, update

from abyssal.config import MasterKeySource
from abyssal.gateway.auth.directory import Directory
from abyssal.stores.api_keys import digest_of
from abyssal.stores.master_key import open_master_keys
from abyssal.stores.rights import ALL_SCOPES, BITS
from abyssal.stores.sealing import Place
from abyssal.stores.snapshot import KEPT_REVOKED
from abyssal.stores.sql import publication
from abyssal.stores.sql.credential_secrets import SecretRow, add_secrets
from abyssal.stores.sql.credentials import CredentialRow, add_credentials
from abyssal.stores.sql.database import open_database
from abyssal.stores.sql.publication import Publication
from abyssal.stores.sql.revision import next_revision
from abyssal.stores.sql.schema import (
    credentials,
    organizations,
    projects,
    revoked_tokens,
    secrets,
    token_keys,
)
from abyssal.stores.sql.vault import Vault
from abyssal.testing import ManualClock

SECOND = 10**9


class Books:
    """A database with one project, and a directory that is kept current as a worker's is."""

    def __init__(self, url: str, data: Path) -> None:
        self.clock = ManualClock()
        self.engine: Engine = open_database(url, one_connection=True)
        self.vault = Vault(self.engine, open_master_keys(MasterKeySource(), data, {}))
        self.vault.prepare(now_ns=1)
        self.publication = Publication(self.engine, self.vault, self.clock)
        self.version = 0
        with self.engine.begin() as connection:
            connection.execute(organizations.insert().values(id="org_1", name="o", created_at=1))
            connection.execute(
                projects.insert().values(
                    id="proj_1",
                    organization_id="org_1",
                    name="p",
                    created_at=1,
                    revision=next_revision(connection),
                )
            )

    @property
    def now(self) -> int:
        return self.clock.unix_ns()

    def whole(self) -> Directory:
        """The directory of a worker that begins."""
        directory = Directory()
        piece = self.publication.begin()
        assert not directory.take(piece)
        after = ""
        while not piece.last:
            piece, after = self.publication.page(piece.version, after)
            directory.take(piece)
        assert directory.version == piece.version
        self.version = piece.version
        return directory

    def catch_up(self, directory: Directory) -> bool:
        """Tell it what changed since; whether anything did."""
        piece = self.publication.since(self.version)
        if piece is None:
            return False
        assert directory.take(piece)
        self.version = piece.version
        return True

    def add(self, name: str, kind: str = "api_key", secret: str = "", **fields: Any) -> None:
        row = CredentialRow(name, kind, "proj_1", None, name, ("chat",), None, None, 1)
        secret = secret or f"sk-{name}"
        with self.engine.begin() as connection:
            add_credentials(connection, [row], next_revision(connection))
            if fields:
                connection.execute(update(credentials).where(credentials.c.id == name).values(**fields))
            self._add_secret(connection, name, kind, f"sec_{name}", secret)

    def _add_secret(self, connection: Any, name: str, kind: str, row: str, secret: str) -> None:
        given: dict[str, Any] = {}
        if kind == "api_key":
            given["digest"] = digest_of(secret.encode(), self.vault.hash_key())
        elif kind == "public_key":
            given["public_key"] = secret.encode()
        else:
            given["sealed"] = self.vault.seal(connection, secret.encode(), Place("org_1", "secrets", row))
        add_secrets(connection, [SecretRow(row, name, secret[-4:], 1, **given)])

    def rotate(self, name: str, secret: str, ends: int) -> None:
        """A second secret; the first one ends then."""
        with self.engine.begin() as connection:
            connection.execute(update(secrets).where(secrets.c.credential_id == name).values(expires_at=ends))
            self._add_secret(connection, name, "api_key", f"sec_{name}_2", secret)
            self._stamp(connection, name)

    def change(self, name: str, **fields: Any) -> None:
        with self.engine.begin() as connection:
            connection.execute(update(credentials).where(credentials.c.id == name).values(**fields))
            self._stamp(connection, name)

    def _stamp(self, connection: Any, name: str) -> None:
        revision = next_revision(connection)
        connection.execute(update(credentials).where(credentials.c.id == name).values(revision=revision))


@pytest.fixture
def books(each_database: str, tmp_path: Path) -> Iterator[Books]:
    books = Books(each_database, tmp_path)
    yield books
    books.engine.dispose()


def test_every_kind_is_told_with_what_proves_it(books: Books) -> None:
    books.add("key_1", networks='["10.0.0.0/8"]', models='["m"]', scopes='["chat","admin"]')
    books.add("client_1", "client", "cs_secret")
    books.add("pub_1", "public_key", "p" * 32)
    directory = books.whole()
    key = directory.of_key(b"sk-key_1")
    assert key is not None
    assert (key.id, key.scopes, key.models) == ("key_1", BITS["chat"] | BITS["admin"], frozenset({"m"}))
    assert key.admits("10.1.1.1")
    assert not key.admits("192.0.2.1")
    client, public = directory.of_id("client_1"), directory.of_id("pub_1")
    assert client is not None
    assert public is not None
    assert [secret.material for secret in client.secrets] == [b"cs_secret"]
    assert [secret.material for secret in public.secrets] == [b"p" * 32]
    assert directory.of_id("key_1") is None


def test_what_is_over_is_not_told(books: Books) -> None:
    books.add("key_1", revoked_at=5)
    books.add("key_2", expires_at=books.now)
    books.add("key_3", expires_at=books.now + SECOND)
    directory = books.whole()
    found = [directory.of_key(f"sk-key_{number}".encode()) for number in (1, 2, 3)]
    assert [one is not None for one in found] == [False, False, True]
    assert found[2] is not None
    assert found[2].expires_at == books.now + SECOND


def test_a_picture_of_several_pages(books: Books, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(publication, "PAGE", 3)
    names = [f"key_{number:02}" for number in range(9)]
    for name in names:
        books.add(name)
    directory = books.whole()
    assert all(directory.of_key(f"sk-{name}".encode()) for name in names)


def test_a_change_between_two_pages_is_not_lost(books: Books, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(publication, "PAGE", 2)
    for number in range(4):
        books.add(f"key_{number}")
    directory = Directory()
    first = books.publication.begin()
    directory.take(first)
    piece, after = books.publication.page(first.version, "")
    directory.take(piece)
    books.change("key_0", revoked_at=5)
    books.add("key_00")
    while not piece.last:
        piece, after = books.publication.page(first.version, after)
        directory.take(piece)
    books.version = first.version
    assert books.catch_up(directory)
    assert directory.of_key(b"sk-key_0") is None
    assert directory.of_key(b"sk-key_00") is not None
    assert directory.of_key(b"sk-key_3") is not None


CHANGES: dict[str, Callable[[Books], None]] = {
    "revoked": lambda books: books.change("key_1", revoked_at=5),
    "expired": lambda books: books.change("key_1", expires_at=books.now),
}


@pytest.mark.parametrize("change", CHANGES)
def test_what_ends_is_taken_away(books: Books, change: str) -> None:
    books.add("key_1")
    books.add("key_2")
    directory = books.whole()
    assert not books.catch_up(directory)
    CHANGES[change](books)
    assert books.catch_up(directory)
    assert directory.of_key(b"sk-key_1") is None
    assert directory.of_key(b"sk-key_2") is not None


def test_rotation_each_secret_has_its_own_end(books: Books) -> None:
    books.add("key_1")
    directory = books.whole()
    books.rotate("key_1", "sk-second", books.now + 60 * SECOND)
    books.catch_up(directory)
    old, new = directory.of_key(b"sk-key_1"), directory.of_key(b"sk-second")
    assert old is not None
    assert new is not None
    assert (old.id, new.id) == ("key_1", "key_1")
    assert (old.expires_at, new.expires_at) == (books.now + 60 * SECOND, 0)
    books.clock.advance(61)
    books.change("key_1", last_used_at=1)
    books.catch_up(directory)
    assert directory.of_key(b"sk-key_1") is None
    assert directory.of_key(b"sk-second") is not None


def test_limits_of_organisation_and_project_are_joined(books: Books) -> None:
    books.add("key_1", scopes='["chat","files"]')
    with books.engine.begin() as connection:
        connection.execute(organizations.update().values(models='["a","b"]', networks='["10.0.0.0/8"]'))
        connection.execute(
            projects.update().values(
                scopes='["chat"]',
                models='["b","c"]',
                networks='["10.1.0.0/16"]',
                revision=next_revision(connection),
            )
        )
    key = books.whole().of_key(b"sk-key_1")
    assert key is not None
    assert key.principal.scopes == BITS["chat"]
    assert [key.principal.may_use(name) for name in "abc"] == [False, True, False]
    assert [key.admits(place) for place in ("10.1.0.1", "10.2.0.1")] == [True, False]


def test_an_archived_organisation_stops_its_projects(books: Books) -> None:
    books.add("key_1")
    directory = books.whole()
    key = directory.of_key(b"sk-key_1")
    assert key is not None
    assert key.project.scopes == ALL_SCOPES
    with books.engine.begin() as connection:
        connection.execute(organizations.update().values(archived_at=5))
        connection.execute(projects.update().values(revision=next_revision(connection)))
    books.catch_up(directory)
    assert not key.project.active


def test_tokens(books: Books) -> None:
    with books.engine.begin() as connection:
        revision = next_revision(connection)
        connection.execute(
            token_keys.insert().values(
                id="tk_1", sealed=b"", public_pem=b"PEM", created_at=1, active_at=1, revision=revision
            )
        )
    directory = books.whole()
    assert directory.token_keys["tk_1"].public_pem == b"PEM"
    with books.engine.begin() as connection:
        values = {"jti": "j1", "expires_at": books.now + SECOND, "revision": next_revision(connection)}
        connection.execute(revoked_tokens.insert().values(values))
    books.catch_up(directory)
    assert directory.is_revoked("j1")
    assert books.whole().is_revoked("j1")
    books.clock.advance(KEPT_REVOKED / SECOND + 2)
    assert not books.whole().is_revoked("j1")


def test_a_damaged_secret_is_nobody_s_and_stops_nobody_else(
    books: Books, caplog: pytest.LogCaptureFixture
) -> None:
    for name in ("client_1", "client_2"):
        books.add(name, "client", f"cs_{name}")
    with books.engine.begin() as connection:
        connection.execute(
            update(secrets).where(secrets.c.credential_id == "client_1").values(sealed=b"broken")
        )
    directory = books.whole()
    broken, good = directory.of_id("client_1"), directory.of_id("client_2")
    assert broken is not None
    assert good is not None
    assert broken.secrets == ()
    assert good.secrets
    assert "sec_client_1" in caplog.text
    books.change("client_1", last_used_at=1)
    books.change("client_2", revoked_at=5)
    assert books.catch_up(directory)
    assert directory.of_id("client_2") is None


def test_a_database_that_was_set_back(books: Books) -> None:
    directory = books.whole()
    piece = books.publication.since(directory.version + 5)
    assert piece is not None
    assert (piece.whole, piece.last, piece.version) == (True, False, directory.version)
