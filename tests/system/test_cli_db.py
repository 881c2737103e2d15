"""`abyssal db` as an operator types it: beside a platform that serves, and before one starts."""

from __future__ import annotations

import json
import sqlite3
import stat
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from abyssal import DeepSeekClient
from abyssal.testing import RunningServer, ScriptedUpstream, gateway_config

from .cli_process import Terminal, abyssal


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    with (
        ScriptedUpstream() as upstream,
        RunningServer(gateway_config(upstream), tmp_path_factory.mktemp("db")) as server,
    ):
        yield server


def lines(text: str) -> dict[str, str]:
    return dict(line.split("\t") for line in text.splitlines())


def test_status_of_a_platform_that_runs(server: RunningServer) -> None:
    done = abyssal("db", "status", "--data", str(server.data))
    assert (done.returncode, done.stderr) == (0, "")
    shown = lines(done.stdout)
    assert shown["database"] == str(server.data / "abyssal.db")
    assert shown["revision"] == shown["head"]
    assert int(shown["credentials"]) >= 1
    told = json.loads(abyssal("db", "status", "--json", "--data", str(server.data)).stdout)
    assert told["revision"] == shown["head"]
    assert told["pending"] == []
    assert told["tables"]["credentials"] == int(shown["credentials"])


def test_on_a_terminal_the_rows_are_a_table(server: RunningServer) -> None:
    with Terminal("db", "status", "--data", str(server.data)) as terminal:
        assert terminal.wait_end() == 0
    assert ["table", "rows"] in [line.split() for line in terminal.plain.splitlines()]


def test_a_platform_moves_to_another_directory_by_backup_and_master_key(
    server: RunningServer, tmp_path: Path
) -> None:
    backup = tmp_path / "backup"
    done = abyssal("db", "backup", str(backup), "--data", str(server.data))
    assert done.returncode == 0, done.stderr
    assert "master.key" in done.stderr
    assert stat.S_IMODE(backup.stat().st_mode) == 0o600
    assert server.api_key.encode() not in backup.read_bytes()

    again = abyssal("db", "backup", str(backup), "--data", str(server.data))
    assert (again.returncode, again.stdout) == (2, "")
    assert "--force" in again.stderr
    assert abyssal("db", "backup", str(backup), "--force", "--data", str(server.data)).returncode == 0

    new = tmp_path / "new"
    restored = abyssal("db", "restore", str(backup), "--data", str(new))
    assert restored.returncode == 0, restored.stderr
    assert restored.stdout == done.stdout  # the same count for each table
    assert f"Before the platform can start: {new / 'master.key'}" in restored.stderr
    (new / "master.key").write_bytes((server.data / "master.key").read_bytes())
    (new / "master.key").chmod(0o600)

    with ScriptedUpstream() as upstream, RunningServer(gateway_config(upstream), new) as moved:
        with DeepSeekClient(server.api_key, base_url=moved.base_url) as client:
            assert client.models.list()
        refused = abyssal("db", "restore", str(backup), "--data", str(new))
        assert (refused.returncode, refused.stdout) == (2, "")
        assert "another abyssal is using this data directory" in refused.stderr
    over = abyssal("db", "restore", str(backup), "--data", str(new))
    assert (over.returncode, over.stdout) == (2, "")
    assert "only an empty database" in over.stderr


def test_a_copy_into_another_database(server: RunningServer, tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'copy.db'}"
    done = abyssal("db", "copy", "--to", url, "--data", str(server.data))
    assert done.returncode == 0, done.stderr
    assert "A platform runs" in done.stderr
    assert url in done.stderr
    copied = lines(abyssal("db", "status", "--database-url", url).stdout)
    assert copied.items() >= lines(done.stdout).items()
    assert abyssal("db", "copy", "--to", url, "--data", str(server.data)).returncode == 2


def test_the_database_is_the_environment_s_or_the_file_s(tmp_path: Path) -> None:
    one, two = f"sqlite:///{tmp_path / 'one.db'}", f"sqlite:///{tmp_path / 'two.db'}"
    (tmp_path / "config.toml").write_text(f'[stores]\ndatabase_url = "{two}"\n')
    by_environment = abyssal("db", "upgrade", "--json", ABYSSAL_DATABASE_URL=one)
    assert json.loads(by_environment.stdout)["database"] == str(tmp_path / "one.db")
    by_file = abyssal(
        "db", "upgrade", "--json", "--config", str(tmp_path / "config.toml"), ABYSSAL_DATABASE_URL=one
    )
    assert json.loads(by_file.stdout)["database"] == str(tmp_path / "two.db")


def test_upgrade_makes_brings_up_to_date_and_says_so(tmp_path: Path) -> None:
    data = tmp_path / "data"
    before = abyssal("db", "status", "--data", str(data))
    assert (before.returncode, lines(before.stdout)["revision"]) == (0, "none")
    assert "db upgrade" in before.stderr
    assert not data.exists()
    made = json.loads(abyssal("db", "upgrade", "--json", "--data", str(data)).stdout)
    assert made["before"] is None
    assert stat.S_IMODE((data / "abyssal.db").stat().st_mode) == 0o600
    assert "already" in abyssal("db", "upgrade", "--data", str(data)).stdout


def test_tables_of_a_newer_program_stop_everything(tmp_path: Path) -> None:
    assert abyssal("db", "upgrade", "--data", str(tmp_path)).returncode == 0
    with closing(sqlite3.connect(tmp_path / "abyssal.db")) as raw, raw:
        raw.execute("UPDATE alembic_version SET version_num = '9999'")
    raw.close()
    for command in (
        ["status"],
        ["upgrade"],
        ["backup", str(tmp_path / "x")],
        ["copy", "--to", "sqlite:////x/y"],
    ):
        done = abyssal("db", *command, "--data", str(tmp_path))
        assert (done.returncode, done.stdout) == (2, ""), command
        assert "9999" in done.stderr


def test_where_no_platform_ever_ran_nothing_is_made(tmp_path: Path) -> None:
    data = tmp_path / "no"
    for command in (["backup", str(tmp_path / "b")], ["copy", "--to", f"sqlite:///{tmp_path / 'c'}"]):
        done = abyssal("db", *command, "--data", str(data))
        assert (done.returncode, done.stdout) == (2, "")
        assert "there is no database" in done.stderr
    assert list(tmp_path.iterdir()) == []
    done = abyssal("db", "restore", str(tmp_path / "b"), "--data", str(data))
    assert (done.returncode, done.stdout) == (2, "")
    assert "there is no such file" in done.stderr
    assert not (data / "abyssal.db").exists()


def test_a_password_is_never_shown(tmp_path: Path) -> None:
    url = "postgresql://someone:hunter2@127.0.0.1:1/abyssal?application_name=hunter2"
    (tmp_path / "config.toml").write_text(f'[stores]\ndatabase_url = "{url}"\n')
    assert abyssal("db", "upgrade", "--data", str(tmp_path)).returncode == 0
    for arguments in (
        ["status", "--database-url", url],
        ["upgrade", "--config", str(tmp_path / "config.toml")],
        ["copy", "--to", url, "--data", str(tmp_path)],
        ["status", "--database-url", "hunter2:hunter2@hunter2"],
        ["status", "--database-url", "mysql://someone:hunter2@127.0.0.1/x"],
    ):
        done = abyssal("db", *arguments, "--json")
        assert (done.returncode, done.stdout) == (2, ""), arguments
        assert "hunter2" not in done.stderr
        assert done.stderr.count("\n") == 1
