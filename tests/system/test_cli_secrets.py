"""`abyssal secrets` beside a platform that serves, and with keys from a secret manager."""

from __future__ import annotations

import json
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from abyssal import DeepSeekClient
from abyssal.testing import RunningServer, ScriptedUpstream, gateway_config

from .cli_process import Terminal, abyssal


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    with (
        ScriptedUpstream() as upstream,
        RunningServer(gateway_config(upstream), tmp_path_factory.mktemp("secrets")) as server,
    ):
        yield server


def is_taken(server: RunningServer, key: str) -> bool:
    with DeepSeekClient(key, base_url=server.base_url) as client:
        return bool(client.models.list())


def test_the_master_key_changes_while_the_platform_serves(server: RunningServer) -> None:
    data, path = str(server.data), server.data / "master.key"
    client = json.loads(abyssal("clients", "create", "billing", "--json", "--data", data).stdout)
    before = path.read_text()
    done = abyssal("secrets", "rewrap", "--data", data)
    assert done.returncode == 0, done.stderr
    counts = dict(line.split("\t") for line in done.stdout.splitlines())
    assert int(counts["platform_secrets"]) == 1
    assert int(counts["secrets"]) >= 1
    assert path.read_text() != before
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    (old,), (new,) = ([line.split() for line in text.splitlines()] for text in (before, path.read_text()))
    assert old[0] != new[0]
    assert old[1] not in done.stdout + done.stderr
    assert new[1] not in done.stdout + done.stderr

    assert is_taken(server, server.api_key)
    shown = abyssal("clients", "show", client["id"], "--data", data)
    assert shown.returncode == 0, shown.stderr
    assert abyssal("clients", "rotate", client["id"], "--data", data).returncode == 0

    again = json.loads(abyssal("secrets", "rewrap", "--json", "--data", data).stdout)
    assert again["tables"]["secrets"] == int(counts["secrets"]) + 1
    assert path.read_text().startswith(again["key"])


def test_on_a_terminal_the_counts_are_a_table(server: RunningServer) -> None:
    with Terminal("secrets", "rewrap", "--data", str(server.data)) as terminal:
        assert terminal.wait_end() == 0
    assert terminal.plain.splitlines()[0].split() == ["table", "rewrapped"]


def test_a_fresh_key_is_a_line_of_a_ring() -> None:
    lines = {abyssal("secrets", "new-key").stdout for _ in range(2)}
    assert len(lines) == 2
    for line in lines:
        assert line.startswith("mk_")
        assert line.count("\n") == 1


def test_keys_of_a_variable_are_the_operator_s_to_change(tmp_path: Path) -> None:
    config = tmp_path / "config.toml"
    config.write_text('[identity]\nmaster_key = { env = "RING" }\n')
    one, two = (abyssal("secrets", "new-key").stdout for _ in range(2))
    options = ["--config", str(config), "--data", str(tmp_path)]
    assert abyssal("db", "upgrade", *options).returncode == 0

    same = abyssal("secrets", "rewrap", *options, RING=one)
    assert same.returncode == 0, same.stderr
    assert "already" in same.stderr
    changed = abyssal("secrets", "rewrap", "--json", *options, RING=one + two)
    assert json.loads(changed.stdout)["key"] == two.split()[0]
    assert one.split()[0] in changed.stderr
    assert abyssal("secrets", "rewrap", *options, RING=two).returncode == 0
    lost = abyssal("secrets", "rewrap", *options, RING=one)
    assert (lost.returncode, lost.stdout) == (2, "")
    assert f"does not have the master key {two.split()[0]}" in lost.stderr
    assert not (tmp_path / "master.key").exists()


@pytest.mark.parametrize("damage", ["lost", "readable", "damaged"])
def test_a_master_key_that_cannot_be_used_is_told_of(tmp_path: Path, damage: str) -> None:
    data = str(tmp_path)
    assert abyssal("db", "upgrade", "--data", data).returncode == 0
    assert abyssal("secrets", "rewrap", "--data", data).returncode == 0
    path = tmp_path / "master.key"
    key = path.read_text().split()[1]
    if damage == "lost":
        path.unlink()
    elif damage == "readable":
        path.chmod(0o644)
    else:
        path.write_text(path.read_text().replace("=", "!"))
    done = abyssal("secrets", "rewrap", "--data", data)
    assert (done.returncode, done.stdout) == (2, "")
    assert "master.key" in done.stderr
    assert done.stderr.count("\n") == 1
    assert key[:20] not in done.stderr


def test_where_no_platform_ever_ran_nothing_is_made(tmp_path: Path) -> None:
    done = abyssal("secrets", "rewrap", "--data", str(tmp_path / "no"))
    assert (done.returncode, done.stdout) == (2, "")
    assert "there is no database" in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_other_machines_need_too_is_told_of(tmp_path: Path, postgres_database: str) -> None:
    where = ("--data", str(tmp_path), "--database-url", postgres_database)
    assert abyssal("db", "upgrade", *where).returncode == 0
    done = abyssal("secrets", "rewrap", *where)
    assert done.returncode == 0, done.stderr
    assert "every other machine on this database" in done.stderr
