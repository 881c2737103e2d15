"""Files on a running server, with the unchanged OpenAI SDK and after `kill -9`."""

from __future__ import annotations

import base64
import hashlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import openai
import pytest
from anthropic import Anthropic
from openai import OpenAI

from abyssal import DeepSeekClient
from abyssal.testing import RawConnection, RunningServer, ScriptedUpstream

from .calls import table, upstream, wait_for
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


def test_it_may_be_far_larger_than_other_bodies(client: OpenAI, server: RunningServer) -> None:
    content = os.urandom(LIMIT)
    made = client.files.create(file=content, purpose="user_data")
    assert client.files.content(made.id).read() == content
    assert len(list((server.data / "files" / "transit").iterdir())) == 0


@pytest.mark.parametrize("size", [LIMIT + 1, LIMIT + 200_000, 40_000_000])
def test_over_the_limit(client: OpenAI, server: RunningServer, size: int) -> None:
    with pytest.raises(openai.APIStatusError) as refused:
        client.files.create(file=bytes(size), purpose="user_data")
    assert (refused.value.status_code, refused.value.code) == (413, "payload_too_large")
    assert list((server.data / "files" / "transit").iterdir()) == []


def test_a_client_that_leaves_midway_leaves_nothing(server: RunningServer) -> None:
    transit = server.data / "files" / "transit"
    with RawConnection(server.url, timeout=10) as connection:
        lines = ["POST /v1/files HTTP/1.1", "Host: a", f"Authorization: Bearer {server.api_key}"]
        lines += ["Content-Type: multipart/form-data; boundary=b", "Content-Length: 2900000", "", ""]
        start = b'--b\r\ncontent-disposition: form-data; name="file"; filename="a"\r\n\r\n'
        connection.send("\r\n".join(lines).encode() + start + bytes(1_500_000))
        wait_for(lambda: any(transit.iterdir()), "the upload to reach the disk")
    wait_for(lambda: not any(transit.iterdir()), "what came of it to be removed")


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
    transit = tmp_path / "files" / "transit"
    key = next(iter(kept)).removeprefix("file-api-")
    (tmp_path / "files" / key[:2] / key[2:4] / key).rename(transit / key)  # as in the middle of a step
    (transit / ("ab" * 12)).write_bytes(b"half of an upload")
    for path in transit.iterdir():
        os.utime(path, (0, 0))
    with (
        RunningServer(None, tmp_path, environ={"ABYSSAL_API_KEY": server.api_key}) as server,
        OpenAI(api_key=server.api_key, base_url=server.base_url, max_retries=0) as client,
    ):
        assert {one.id for one in client.files.list()} == set(kept)
        for file_id, content in kept.items():
            assert client.files.content(file_id).read() == content
        wait_for(lambda: not any(transit.iterdir()), "what the crash left to be seen to")
        for file_id, content in kept.items():
            assert client.files.content(file_id).read() == content


def test_a_kept_conversation_names_its_files(behind: tuple[RunningServer, ScriptedUpstream]) -> None:
    """Its turns keep the file's id, and each call reads the file anew."""
    server, scripted = behind
    with OpenAI(api_key=server.api_key, base_url=server.base_url, max_retries=0) as client:
        notes = client.files.create(file=("notes.md", b"# One"), purpose="user_data").id
        conversation: Any = {"conversation_id": client.post("/conversations", cast_to=object, body={})["id"]}  # type: ignore[index]
        part: Any = {"type": "file", "file": {"file_id": notes}}
        client.chat.completions.create(
            model="plain", messages=[{"role": "user", "content": [part]}], extra_body=conversation
        )
        client.chat.completions.create(
            model="plain", messages=[{"role": "user", "content": "again"}], extra_body=conversation
        )
        said = scripted.requests[-1].json()["messages"]
        assert said[0]["content"] == [{"type": "text", "text": "File notes.md:\n\n# One"}]
        assert said[-1]["content"] == "again"
        client.files.delete(notes)
        client.chat.completions.create(
            model="plain", messages=[{"role": "user", "content": "and now?"}], extra_body=conversation
        )
        (part,) = scripted.requests[-1].json()["messages"][0]["content"]
        assert part["type"] == "text"
        assert notes in part["text"]


# In chats


@pytest.fixture
def behind(tmp_path: Path) -> Iterator[tuple[RunningServer, ScriptedUpstream]]:
    """Models `plain` and `reader`, whose upstream takes files."""
    with ScriptedUpstream(models=("upstream-model",)) as scripted:
        url = scripted.base_url
        config = upstream("plain", url) + upstream("reader", url, takes_files=True)
        with RunningServer(config, tmp_path) as running:
            yield running, scripted
            assert "Traceback" not in running.log()


def content_of(scripted: ScriptedUpstream) -> Any:
    return scripted.requests[-1].json()["messages"][-1]["content"]


PNG = b"\x89PNG\r\n\x1a\n" + os.urandom(300_000)
PICTURE = f"data:image/png;base64,{base64.b64encode(PNG).decode()}"


def test_every_dialect_puts_files_in(behind: tuple[RunningServer, ScriptedUpstream]) -> None:
    server, scripted = behind
    with OpenAI(api_key=server.api_key, base_url=server.base_url, max_retries=0) as client:
        notes = client.files.create(file=("notes.md", "# 深度\n".encode() * 20_000), purpose="user_data").id
        picture = client.files.create(file=("cat.png", PNG), purpose="vision").id
        paper = client.files.create(file=("paper.pdf", b"%PDF-1.7\n\xff"), purpose="user_data").id
        text = {"type": "text", "text": "File notes.md:\n\n" + "# 深度\n" * 20_000}
        image = {"type": "image_url", "image_url": {"url": PICTURE}}

        parts: Any = [
            {"type": "file", "file": {"file_id": notes}},
            {"type": "image_url", "image_url": {"url": picture}},
        ]
        client.chat.completions.create(model="plain", messages=[{"role": "user", "content": parts}])
        assert content_of(scripted) == [text, image]

        given: Any = [
            {
                "role": "user",
                "content": [
                    {"type": "input_file", "file_id": notes},
                    {"type": "input_image", "file_id": picture, "detail": "auto"},
                ],
            }
        ]
        client.responses.create(model="plain", input=given)
        assert content_of(scripted) == [text, image]

        parts = [{"type": "file", "file": {"file_id": paper}}]
        with pytest.raises(openai.BadRequestError, match="takes files") as refused:
            client.chat.completions.create(model="plain", messages=[{"role": "user", "content": parts}])
        assert refused.value.code == "unsupported_content"
        client.chat.completions.create(model="reader", messages=[{"role": "user", "content": parts}])
        assert content_of(scripted)[0]["file"]["filename"] == "paper.pdf"

        client.files.delete(notes)
        with pytest.raises(openai.NotFoundError):
            client.chat.completions.create(
                model="plain",
                messages=[{"role": "user", "content": [{"type": "file", "file": {"file_id": notes}}]}],
            )
    with Anthropic(api_key=server.api_key, base_url=f"{server.url}/anthropic", max_retries=0) as anthropic:
        blocks: Any = [{"type": "image", "source": {"type": "file", "file_id": picture}}]
        anthropic.messages.create(model="plain", max_tokens=9, messages=[{"role": "user", "content": blocks}])
        assert content_of(scripted) == [image]


def test_another_project_s_file_is_not_there(behind: tuple[RunningServer, ScriptedUpstream]) -> None:
    server, scripted = behind
    with OpenAI(api_key=server.api_key, base_url=server.base_url, max_retries=0) as client:
        theirs = client.files.create(file=b"private", purpose="user_data").id
    identities = Identities(server)
    project = identities.create("projects")["id"]
    key = identities.create("keys", project=project)["secret"]
    part: Any = {"type": "file", "file": {"file_id": theirs}}
    with (
        OpenAI(api_key=key, base_url=server.base_url, max_retries=0) as client,
        pytest.raises(openai.NotFoundError),
    ):
        client.chat.completions.create(model="plain", messages=[{"role": "user", "content": [part]}])
    assert scripted.requests == []
