"""`abyssal keys` beside a platform that is running: it takes changes over by itself."""

from __future__ import annotations

import json
import re
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from abyssal import AuthenticationError, DeepSeekClient
from abyssal.testing import RunningServer, ScriptedUpstream, gateway_config

from .cli_here import abyssal_here
from .cli_process import Terminal, abyssal

TAKEN_OVER_WITHIN = 5.0  # seconds; one, on a machine with nothing else to do
KEY = r"sk-[A-Za-z0-9]{33}"
FIELDS = {
    "id", "object", "name", "project", "organization", "user", "scopes", "models", "networks", "hint",
    "created_at", "expires_at", "revoked_at", "last_used_at", "secrets",
}  # fmt: skip


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
    assert re.fullmatch(KEY, key)
    assert becomes(server, key, True)

    rows = [line.split("\t") for line in abyssal("keys", "list", "--data", data).stdout.splitlines()]
    assert [row[1] for row in rows] == ["first", "the build [bot]"]
    key_id, _, hint, _, revoked, *_ = rows[1]
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


def test_rotation_leaves_both_keys_good_for_a_while(server: RunningServer) -> None:
    data = str(server.data)
    first = abyssal_here("keys", "create", "rotated", "--data", data).stdout.strip()
    assert becomes(server, first, True)
    done = abyssal_here("keys", "rotate", "rotated", "--data", data)
    assert (done.returncode, done.stderr) == (0, "")
    second = done.stdout.strip()
    assert becomes(server, second, True)
    assert is_taken(server, first)
    third = abyssal_here("keys", "rotate", "rotated", "--overlap", "0", "--data", data).stdout.strip()
    assert becomes(server, third, True)
    assert becomes(server, first, False)
    assert becomes(server, second, False)


def test_a_key_with_an_end_stops_by_itself(server: RunningServer) -> None:
    key = abyssal_here(
        "keys", "create", "short", "--expires", "2s", "--data", str(server.data)
    ).stdout.strip()
    assert becomes(server, key, True)
    assert becomes(server, key, False)


def test_json(server: RunningServer) -> None:
    made = json.loads(abyssal_here("keys", "create", "j", "--json", ABYSSAL_DATA=str(server.data)).stdout)
    key = made.pop("secret")
    assert made.keys() == FIELDS
    assert (made["name"], made["hint"], made["revoked_at"]) == ("j", key[-4:], None)
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", made["created_at"])
    listed = json.loads(abyssal_here("keys", "list", "--json", ABYSSAL_DATA=str(server.data)).stdout)
    assert made in listed
    shown = json.loads(abyssal_here("keys", "show", "j", "--json", ABYSSAL_DATA=str(server.data)).stdout)
    assert shown == made
    ended = json.loads(
        abyssal_here("keys", "revoke", made["id"], "--json", ABYSSAL_DATA=str(server.data)).stdout
    )
    assert ended["revoked_at"] is not None


def test_what_was_not_asked_for_is_not_given(server: RunningServer) -> None:
    made = json.loads(abyssal_here("keys", "create", "plain", "--json", "--data", str(server.data)).stdout)
    assert "chat" in made["scopes"]
    assert {"admin", "models:train"}.isdisjoint(made["scopes"])
    assert (made["models"], made["networks"], made["expires_at"]) == (None, None, None)


def test_a_key_is_kept_nowhere_but_where_it_was_shown(server: RunningServer) -> None:
    key = abyssal_here("keys", "create", "secret", "--data", str(server.data)).stdout.strip()
    for file in server.data.rglob("*"):
        assert not file.is_file() or key.encode() not in file.read_bytes(), file
    for command in ("list", "show"):
        named = ("secret",) if command == "show" else ()
        assert key not in abyssal_here("keys", command, *named, "--json", "--data", str(server.data)).stdout


def test_on_a_terminal_a_new_key_stands_on_a_line_of_its_own(server: RunningServer) -> None:
    with Terminal("keys", "create", "t", "--data", str(server.data)) as terminal:
        assert terminal.wait_end() == 0
    lines = terminal.plain.splitlines()
    assert re.fullmatch(KEY, lines[0])
    assert "shown this once" in lines[1]


def test_on_a_terminal_the_list_has_no_empty_columns_and_no_project(server: RunningServer) -> None:
    abyssal_here("keys", "create", "seen", "--data", str(server.data))
    abyssal_here("keys", "revoke", "seen", "--data", str(server.data))
    with Terminal("keys", "list", "--data", str(server.data)) as terminal:
        assert terminal.wait_end() == 0
    heads = terminal.plain.splitlines()[0].split()
    assert heads[:5] == ["id", "name", "key", "made", "revoked"]
    assert "project" not in heads


@pytest.mark.parametrize("name", ["", "   ", "a\tb", "x" * 201, "\x1b[31m"])
def test_a_name_that_cannot_be_shown_is_refused(server: RunningServer, name: str) -> None:
    done = abyssal_here("keys", "create", "--data", str(server.data), "--", name)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.count("\n") == 1


def test_a_name_that_two_keys_have_names_their_ids(server: RunningServer) -> None:
    create = ("keys", "create", "by name", "--json", "--data", str(server.data))
    ids = [json.loads(abyssal_here(*create).stdout)["id"] for _ in range(2)]
    done = abyssal_here("keys", "revoke", "by name", "--data", str(server.data))
    assert done.returncode == 2
    assert all(key_id in done.stderr for key_id in ids)
    assert abyssal_here("keys", "revoke", ids[0], "--data", str(server.data)).returncode == 0
    assert ids[1] in abyssal_here("keys", "revoke", "by name", "--data", str(server.data)).stdout
    assert "keys list" in abyssal_here("keys", "revoke", "nobody", "--data", str(server.data)).stderr


def test_a_directory_without_a_platform_is_left_as_it_is(tmp_path: Path) -> None:
    for command in (("create", "x"), ("list",), ("show", "x"), ("rotate", "x"), ("revoke", "x")):
        done = abyssal_here("keys", *command, "--data", str(tmp_path / "no"))
        assert (done.returncode, done.stdout) == (2, "")
        assert "abyssal serve" in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_a_database_that_is_none_is_named(tmp_path: Path) -> None:
    (tmp_path / "abyssal.db").write_text("not a database at all")
    done = abyssal_here("keys", "list", "--data", str(tmp_path))
    assert (done.returncode, done.stdout) == (2, "")
    assert "abyssal.db" in done.stderr


def test_a_table_that_lacks_columns_is_named(tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / "abyssal.db")) as database, database:
        database.execute("CREATE TABLE api_keys (id TEXT)")
    database.close()
    done = abyssal_here("keys", "list", "--data", str(tmp_path))
    assert done.returncode != 0
    assert done.stdout == ""
    assert "abyssal.db" in done.stderr
