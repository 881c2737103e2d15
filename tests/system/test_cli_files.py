"""`abyssal files` against a running platform."""

from __future__ import annotations

import json
import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from abyssal.testing import RunningServer

from .calls import table
from .cli_here import abyssal_here
from .cli_process import COMMAND, abyssal, environment


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    with RunningServer(table("[files]", max_size=100_000), tmp_path_factory.mktemp("files")) as running:
        yield running


@pytest.fixture
def settings(server: RunningServer) -> dict[str, str]:
    return {"ABYSSAL_BASE_URL": server.base_url, "ABYSSAL_API_KEY": server.api_key}


def printed(settings: dict[str, str], *arguments: str) -> str:
    done = abyssal_here("files", *arguments, **settings)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def test_a_file_s_life(settings: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("data.jsonl").write_bytes(b'{"a": 1}\n')
    file_id = printed(settings, "upload", "data.jsonl", "--purpose", "batch", "--expires", "30d").strip()
    assert re.fullmatch("file-api-[0-9a-f]{24}", file_id)
    row = printed(settings, "list", "--purpose", "batch").strip("\n").split("\t")
    assert row[:5] == [file_id, "data.jsonl", "9", "application/jsonl", "batch"]
    assert all(re.fullmatch(r"\d{4}-\d\d-\d\d \d\d:\d\d", moment) for moment in row[5:7])
    shown = dict(line.split("\t") for line in printed(settings, "show", file_id).splitlines())
    assert (shown["id"], shown["bytes"], len(shown["sha256"])) == (file_id, "9", 64)
    listed = json.loads(printed(settings, "list", "--json"))
    assert json.loads(printed(settings, "show", file_id, "--json")) in listed
    Path("data.jsonl").unlink()
    assert printed(settings, "download", file_id) == "data.jsonl\n"
    assert Path("data.jsonl").read_bytes() == b'{"a": 1}\n'
    there = abyssal_here("files", "download", file_id, **settings)
    assert (there.returncode, "--force" in there.stderr) == (2, True)
    printed(settings, "download", file_id, "--force")
    assert printed(settings, "download", file_id, "--output", "other") == "other\n"
    assert Path("other").read_bytes() == b'{"a": 1}\n'
    assert printed(settings, "delete", file_id) == f"{file_id} is deleted\n"
    assert printed(settings, "list", "--purpose", "batch") == ""


def test_standard_input_and_output(settings: dict[str, str]) -> None:
    content = os.urandom(20_000)
    made = abyssal("files", "upload", "-", "--name", "x.bin", "--json", stdin=content, **settings)
    found = json.loads(made.stdout)
    assert (found["filename"], found["bytes"]) == ("x.bin", len(content))
    command = [*COMMAND, "files", "download", found["id"], "--output", "-"]
    given = subprocess.run(command, capture_output=True, env=environment(settings), timeout=20, check=True)
    assert given.stdout == content
    assert json.loads(printed(settings, "delete", found["id"], "--json"))["deleted"] is True


def test_what_is_the_user_s_to_fix(settings: dict[str, str], tmp_path: Path) -> None:
    large = tmp_path / "large"
    large.write_bytes(bytes(100_001))
    for arguments, said in (
        (("show", "file-api-none"), "There is no file"),
        (("upload", str(tmp_path / "none")), "cannot be read"),
        (("upload", str(large)), "over 100000 bytes"),
        (("upload", str(large), "--purpose", "fun"), "purpose"),
        (("upload", str(large), "--expires", "soon"), "--expires"),
    ):
        done = abyssal_here("files", *arguments, **settings)
        assert (done.returncode, done.stdout) == (2, ""), arguments
        assert said in done.stderr
