"""Two nodes on one PostgreSQL and one directory of files: what one has taken, the other has; quotas count both."""

from __future__ import annotations

import secrets
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import openai
import pytest
from openai import OpenAI
from tests.services.postgres import PostgresCluster

from abyssal.testing import RunningServer, ScriptedUpstream

from .calls import upstream

PER_PROJECT = 100_000


def test_nodes_share_files(postgres: PostgresCluster, tmp_path: Path) -> None:
    database = f"files_{secrets.token_hex(4)}"
    postgres.execute(f"CREATE DATABASE {database}")
    key = {"ABYSSAL_API_KEY": f"sk-test-{secrets.token_urlsafe(24)}"}
    with ExitStack() as stack:
        scripted = stack.enter_context(ScriptedUpstream())
        config = (
            f'[stores]\ndatabase_url = "{postgres.url(database)}"\n'
            f'[identity]\nmaster_key = {{ file = "{tmp_path / "master.key"}" }}\n'
            f'[files]\ndirectory = "{tmp_path / "files"}"\nper_project = {PER_PROJECT}\n'
            + upstream("open", scripted.base_url)
        )
        servers = [
            stack.enter_context(RunningServer(config, tmp_path / name, environ=key)) for name in ("a", "b")
        ]
        one, other = (
            stack.enter_context(OpenAI(api_key=server.api_key, base_url=server.base_url, max_retries=0))
            for server in servers
        )

        made = one.files.create(file=("note.txt", b"The code is 7381."), purpose="user_data")
        assert other.files.content(made.id).read() == b"The code is 7381."
        other.chat.completions.create(
            model="open",
            messages=[{"role": "user", "content": [{"type": "file", "file": {"file_id": made.id}}]}],
        )
        assert b"The code is 7381." in scripted.requests[-1].body
        assert other.files.delete(made.id).deleted
        with pytest.raises(openai.NotFoundError):
            one.files.content(made.id)

        def upload(number: int) -> str | None:
            try:
                (one, other)[number % 2].files.create(file=("f", b"x" * 30_000), purpose="batch")
            except openai.APIStatusError as refusal:
                return refusal.code
            return None

        with ThreadPoolExecutor(6) as pool:
            ends = list(pool.map(upload, range(8)))
        taken = ends.count(None)
        assert taken == PER_PROJECT // 30_000
        assert set(ends) == {None, "files_quota_exceeded"}
        assert len(one.files.list().data) == taken
        assert sum(path.is_file() for path in (tmp_path / "files").rglob("*")) == taken
