"""`abyssal keys` beside a platform that is running: it takes changes over by itself."""

from __future__ import annotations

import json
import re
import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from abyssal import AuthenticationError, DeepSeekClient
from abyssal.testing import RunningServer, ScriptedUpstream, gateway_config

from .cli_process import Terminal, abyssal

TAKEN_OVER_WITHIN = 5.0  # seconds; one, on a machine with nothing else to do


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    with (
        ScriptedUpstream() as upstream,
        RunningServer(gateway_config(upstream), tmp_path_factory.mktemp("keys")) as server,
    ):
        yield server


def is_taken(server: RunningServer, key: str) -> bool:
    with DeepSeekClient(key, base_url=server.base_url) as client:
        try:
            client.models.list()
        except AuthenticationError:
            return False
        return True


def becomes(server: RunningServer, key: str, taken: bool) -> bool:
    deadline = time.monotonic() + TAKEN_OVER_WITHIN
    while is_taken(server, key) is not taken:
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True


def test_a_key_from_its_making_to_its_end(server: RunningServer) -> None:
    data = str(server.data)
    made = abyssal("keys", "create", "the build [bot]", "--data", data)
    assert (made.returncode, made.stderr) == (0, "")
    key = made.stdout.strip()
    assert re.fullmatch(r"sk-[A-Za-z0-9_-]{20,}", key)
    assert becomes(server, key, True)

    rows = [line.split("\t") for line in abyssal("keys", "list", "--data", data).stdout.splitlines()]
    assert [row[1] for row in rows] == ["first", "the build [bot]"]
    key_id, _, hint, _, revoked = rows[1]
    assert (hint, revoked) == (f"...{key[-4:]}", "")

    ended = abyssal("keys", "revoke", key_id, "--data", data)
    assert (ended.returncode, ended.stderr) == (0, "")
    assert "revoked" in ended.stdout
    assert becomes(server, key, False)
    assert is_taken(server, server.api_key)

    again = abyssal("keys", "revoke", key_id, "--data", data)
    assert again.returncode == 0
    assert "before" in again.stdout
    assert abyssal("keys", "list", "--data", data).stdout.splitlines()[1].split("\t")[4] != ""


def test_json(server: RunningServer) -> None:
    made = json.loads(abyssal("keys", "create", "j", "--json", ABYSSAL_DATA=str(server.data)).stdout)
    key = made.pop("key")
    assert made.keys() == {"id", "name", "hint", "created_at", "revoked_at"}
    assert (made["name"], made["hint"], made["revoked_at"]) == ("j", key[-4:], None)
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", made["created_at"])
    listed = json.loads(abyssal("keys", "list", "--json", ABYSSAL_DATA=str(server.data)).stdout)
    assert made in listed
    ended = json.loads(abyssal("keys", "revoke", made["id"], "--json", ABYSSAL_DATA=str(server.data)).stdout)
    assert ended["revoked_at"] is not None


def test_a_key_is_kept_nowhere_but_where_it_was_shown(server: RunningServer) -> None:
    key = abyssal("keys", "create", "secret", "--data", str(server.data)).stdout.strip()
    for file in server.data.glob("abyssal.db*"):
        assert key.encode() not in file.read_bytes()
    assert key not in abyssal("keys", "list", "--json", "--data", str(server.data)).stdout


def test_on_a_terminal_a_new_key_stands_on_a_line_of_its_own(server: RunningServer) -> None:
    with Terminal("keys", "create", "t", "--data", str(server.data)) as terminal:
        assert terminal.wait_end() == 0
    lines = terminal.plain.splitlines()
    assert re.fullmatch(r"sk-[A-Za-z0-9_-]{20,}", lines[0])
    assert "shown this once" in lines[1]
    with Terminal("keys", "list", "--data", str(server.data)) as terminal:
        assert terminal.wait_end() == 0
    assert terminal.plain.splitlines()[0].split() == ["id", "name", "key", "made", "revoked"]


@pytest.mark.parametrize("name", ["", "   ", "a\tb", "x" * 201, "\x1b[31m"])
def test_a_name_that_cannot_be_shown_is_refused(server: RunningServer, name: str) -> None:
    done = abyssal("keys", "create", "--data", str(server.data), "--", name)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.count("\n") == 1


def test_revoking_by_name_names_the_ids(server: RunningServer) -> None:
    made = json.loads(abyssal("keys", "create", "by name", "--json", "--data", str(server.data)).stdout)
    done = abyssal("keys", "revoke", "by name", "--data", str(server.data))
    assert done.returncode == 2
    assert made["id"] in done.stderr
    assert "keys list" in abyssal("keys", "revoke", "nobody", "--data", str(server.data)).stderr


def test_a_directory_without_a_platform_is_left_as_it_is(tmp_path: Path) -> None:
    for command in (("create", "x"), ("list",), ("revoke", "x")):
        done = abyssal("keys", *command, "--data", str(tmp_path / "no"))
        assert (done.returncode, done.stdout) == (2, "")
        assert "abyssal serve" in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_a_database_that_is_none_is_named(tmp_path: Path) -> None:
    (tmp_path / "abyssal.db").write_text("not a database at all")
    done = abyssal("keys", "list", "--data", str(tmp_path))
    assert (done.returncode, done.stdout) == (2, "")
    assert "abyssal.db" in done.stderr


def test_a_table_that_lacks_columns_is_named(tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / "abyssal.db") as database:
        database.execute("CREATE TABLE api_keys (id TEXT)")
    database.close()
    done = abyssal("keys", "list", "--data", str(tmp_path))
    assert (done.returncode, done.stdout) == (1, "")
    assert "abyssal.db" in done.stderr
