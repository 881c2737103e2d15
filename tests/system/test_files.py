"""Files on a running server, with the unchanged OpenAI SDK and after `kill -9`."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import openai
import pytest
from openai import OpenAI

from abyssal import DeepSeekClient
from abyssal.testing import RunningServer

from .calls import table
from .identities import Identities

LIMIT = 3_000_000


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    config = table("[files]", max_size=LIMIT) + table("[server]", max_body=100_000)
    with RunningServer(config, tmp_path_factory.mktemp("files")) as running:
        yield running
        assert "Traceback" not in running.log()


@pytest.fixture
def client(server: RunningServer) -> Iterator[OpenAI]:
    with OpenAI(api_key=server.api_key, base_url=server.base_url, max_retries=0, timeout=20) as made:
        yield made


def test_a_file_s_life(client: OpenAI, server: RunningServer) -> None:
    content = os.urandom(50_000)
    made = client.files.create(file=("报告 1.bin", content), purpose="user_data")
    assert (made.filename, made.bytes, made.status) == ("报告 1.bin", len(content), "processed")
    assert client.files.retrieve(made.id) == made
    given = client.files.content(made.id)
    assert given.read() == content
    assert given.response.headers["x-content-type-options"] == "nosniff"
    others = [client.files.create(file=(f"{n}.jsonl", b'{"a": 1}\n'), purpose="batch").id for n in range(3)]
    assert [one.id for one in client.files.list(purpose="batch", limit=2)] == others[::-1]  # two pages
    assert client.files.delete(made.id).deleted
    with pytest.raises(openai.NotFoundError):
        client.files.retrieve(made.id)


def test_an_end_of_its_own(client: OpenAI) -> None:
    ends: Any = {"anchor": "created_at", "seconds": 7200}
    made = client.files.create(file=b"content", purpose="vision", expires_after=ends)
    assert made.expires_at == made.created_at + 7200


def test_our_own_sdk(server: RunningServer, tmp_path: Path) -> None:
    path = tmp_path / 'a "quoted" näme.md'
    path.write_text("# Hello")
    with DeepSeekClient(server.api_key, base_url=server.base_url) as client:
        made = client.files.create(file=path, purpose="assistants")
        assert (made.filename, made.content_type) == (path.name, "text/markdown")
        assert made.sha256 == hashlib.sha256(b"# Hello").hexdigest()
        assert client.files.retrieve(made.id) == made
        assert client.files.content(made.id) == b"# Hello"
        assert client.files.list(purpose="assistants").data == [made]
        with path.open("rb") as opened:
            assert client.files.create(file=opened).filename == path.name
        assert client.files.delete(made.id).deleted


def test_who_may_not(server: RunningServer) -> None:
    powerless = Identities(server).create("keys", scopes=["chat"])["secret"]
    with OpenAI(api_key=powerless, base_url=server.base_url, max_retries=0) as client:
        with pytest.raises(openai.PermissionDeniedError, match="scope `files`"):
            client.files.list()
        with pytest.raises(openai.PermissionDeniedError, match="scope `files`"):
            client.files.create(file=b"x" * 50_000, purpose="batch")


def test_what_was_answered_survives_kill_9(tmp_path: Path) -> None:
    with RunningServer(None, tmp_path) as server:
        kept = {}
        with OpenAI(api_key=server.api_key, base_url=server.base_url, max_retries=0) as client:
            for size in (1, 4096, 1_500_000):
                content = os.urandom(size)
                kept[client.files.create(file=content, purpose="user_data").id] = content
        server.kill()
    with (
        RunningServer(None, tmp_path, environ={"ABYSSAL_API_KEY": server.api_key}) as server,
        OpenAI(api_key=server.api_key, base_url=server.base_url, max_retries=0) as client,
    ):
        assert {one.id for one in client.files.list()} == set(kept)
        for file_id, content in kept.items():
            assert client.files.content(file_id).read() == content
