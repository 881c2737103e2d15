"""A throw-away PostgreSQL cluster: one per run, made at the first test that wants it; a database per test."""

from __future__ import annotations

import os
import pwd
import secrets
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from .debian import program
from .server import Server, free_port

# Nothing of it is to survive, and the tests' machine is small.
_SETTINGS = {
    "listen_addresses": "127.0.0.1",
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
    "shared_buffers": "32MB",
    "max_connections": "60",
    "autovacuum": "off",
}


class PostgresCluster:
    """A server on a free port of 127.0.0.1, its data in `directory`, which is removed by `remove`."""

    def __init__(self) -> None:
        initdb, server = program("initdb", "postgresql"), program("postgres", "postgresql")
        self._password = secrets.token_urlsafe(12)
        # Not under pytest's directories: PostgreSQL does not run as root, and nobody else may read those.
        self._directory = Path(tempfile.mkdtemp(prefix="abyssal-postgres-"))
        owner = _unprivileged()
        if owner:
            os.chown(self._directory, owner["user"], owner["group"])
        self._port = free_port()
        try:
            self._make(initdb, owner)
        except BaseException:
            self.remove()
            raise
        settings = {**_SETTINGS, "port": str(self._port), "unix_socket_directories": ""}
        command = [server, "-D", str(self._directory / "data")]
        for name, value in settings.items():
            command += ["-c", f"{name}={value}"]
        self._server = Server(
            command,
            log=self._directory / "log",
            ready=self._ready,
            stop_with=signal.SIGINT,  # "fast": connections are ended
            cwd=self._directory,
            **owner,
        )

    def url(self, database: str = "postgres") -> str:
        """The address of one of its databases, password and all."""
        return f"postgresql://tester:{self._password}@127.0.0.1:{self._port}/{database}"

    def start(self) -> None:
        self._server.start()

    def stop(self) -> None:
        """Stop it as an operator would; `start` brings it back with its data."""
        self._server.stop()

    def remove(self) -> None:
        shutil.rmtree(self._directory, ignore_errors=True)

    def execute(self, statement: str) -> None:
        """One statement, outside of a transaction, in the database `postgres`."""
        import psycopg  # only those who wait for a server wait for its driver

        with psycopg.connect(self.url(), autocommit=True) as connection:
            connection.execute(statement.encode())

    def _make(self, initdb: str, owner: dict[str, Any]) -> None:
        password_file = self._directory / "password"
        password_file.write_text(self._password)
        password_file.chmod(0o644)  # its directory is its owner's alone
        command = [
            initdb,
            "-D",
            str(self._directory / "data"),
            "-U",
            "tester",
            "--pwfile",
            str(password_file),
        ]
        command += ["--auth", "scram-sha-256", "--encoding", "UTF8", "--no-locale", "--no-sync"]
        done = subprocess.run(command, cwd=self._directory, capture_output=True, text=True, **owner)
        if done.returncode:
            raise RuntimeError(f"initdb failed:\n{done.stdout}{done.stderr}")

    def _ready(self) -> bool:
        import psycopg

        try:
            psycopg.connect(self.url(), connect_timeout=2).close()
        except psycopg.OperationalError:
            return False
        return True


def _unprivileged() -> dict[str, Any]:
    """Whom to run as, for subprocess: somebody else when the tests run as root."""
    if os.geteuid() != 0:
        return {}
    for name in ("postgres", "nobody"):
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            continue
        return {"user": entry.pw_uid, "group": entry.pw_gid, "extra_groups": []}
    return pytest.fail(
        "PostgreSQL does not run as root, and there is neither a user postgres nor nobody", pytrace=False
    )


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresCluster]:
    """The cluster, running. A test that stops it starts it again."""
    cluster = PostgresCluster()
    try:
        cluster.start()
        yield cluster
    finally:
        cluster.stop()
        cluster.remove()


@pytest.fixture(scope="session")
def postgres_url(postgres: PostgresCluster) -> str:
    """The address of the cluster's first database."""
    return postgres.url()


@pytest.fixture
def postgres_database(postgres: PostgresCluster) -> Iterator[str]:
    """The address of an empty database of the test's own."""
    name = f"test_{secrets.token_hex(6)}"
    postgres.execute(f"CREATE DATABASE {name}")
    yield postgres.url(name)
    postgres.execute(f"DROP DATABASE {name} WITH (FORCE)")
