"""Protobuf and compressed bodies on a running server, with Google's library as the client of one side."""

from __future__ import annotations

import gzip
import json
import sys
import time
from collections.abc import Iterator
from typing import Any

import pytest
from tests.compiled import compiled
from tests.documented import blocks
from tests.system.calls import table, upstream
from tests.system.identities import Identities

from abyssal import DeepSeekClient, NotFoundError
from abyssal.testing import RunningServer, ScriptedUpstream, WireResponse
from abyssal.wire.protobuf import SCHEMA, StreamReader

if sys.version_info < (3, 14):
    from backports import zstd
else:
    from compression import zstd

PATH = "/v1/chat/completions"
ASKED: dict[str, Any] = {
    "model": "deepseek-chat",
    "messages": [{"role": "user", "content": "Say hello."}],
    "temperature": 0,
    "stop": ["never", "ever"],
}
JSON = {"Content-Type": "application/json"}
PROTOBUF = {"Content-Type": "application/x-protobuf"}


@pytest.fixture(scope="module")
def ours(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Identities]:
    with ScriptedUpstream(models=("upstream-model",)) as scripted:
        config = upstream("open", scripted.base_url) + table("[[models]]", name="deepseek-chat")
        config += 'targets = [{ upstream = "open", model = "upstream-model" }]\n'
        with RunningServer(config, tmp_path_factory.mktemp("bodies")) as server:
            yield Identities(server)
            assert "Traceback" not in server.log()


@pytest.fixture(scope="module")
def abyssal_v1(ours: Identities, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """What `protoc` makes of the schema that the server publishes."""
    folder = tmp_path_factory.mktemp("schema")
    published = ours.send("GET", "/v1/schema.proto", {})
    assert published.status == 200
    assert published.body == SCHEMA.read_bytes()
    (folder / "published.proto").write_bytes(published.body)
    return compiled(folder / "published.proto", folder)


def ask(ours: Identities, content: bytes, headers: dict[str, str], path: str = PATH) -> WireResponse:
    return ours.send("POST", path, {"Authorization": f"Bearer {ours.server.api_key}", **headers}, content)


def request(abyssal_v1: Any, **fields: Any) -> bytes:
    said = abyssal_v1.ChatRequest(model="deepseek-chat", temperature=0, **fields)
    said.messages.add(role=abyssal_v1.ROLE_USER, content="Say hello.")
    said.stop_list.values.extend(["never", "ever"])
    return said.SerializeToString()


def test_google_s_library_as_the_client(ours: Identities, abyssal_v1: Any) -> None:
    in_json = ask(ours, json.dumps(ASKED).encode(), JSON).json()
    answer = ask(ours, request(abyssal_v1), PROTOBUF)
    assert (answer.status, answer.header("content-type")) == (200, "application/x-protobuf")
    read = abyssal_v1.ChatCompletion.FromString(answer.body)
    assert read.choices[0].message.content == in_json["choices"][0]["message"]["content"]
    assert read.choices[0].finish_reason == in_json["choices"][0]["finish_reason"]
    assert read.usage.total_tokens == in_json["usage"]["total_tokens"]
    assert read.model == in_json["model"]


def test_a_stream_of_messages(ours: Identities, abyssal_v1: Any) -> None:
    answer = ask(ours, request(abyssal_v1, stream=True), PROTOBUF)
    assert (answer.status, answer.header("content-encoding")) == (200, None)
    reader = StreamReader()
    events = reader.feed(answer.body)
    assert events[-1].data == b"[DONE]"
    assert (reader.ended, reader.midway) == (True, False)
    said = "".join(
        json.loads(event.data)["choices"][0]["delta"].get("content") or "" for event in events[:-1]
    )
    assert said == ask(ours, json.dumps(ASKED).encode(), JSON).json()["choices"][0]["message"]["content"]
    length, first = answer.body[0], abyssal_v1.StreamEvent()
    first.ParseFromString(answer.body[1 : 1 + length])
    assert first.WhichOneof("event") == "chat"


def test_errors_are_messages(ours: Identities, abyssal_v1: Any) -> None:
    for content, headers, status, code in (
        (b"\x08\x01", PROTOBUF, 400, "invalid_protobuf"),
        (request(abyssal_v1), PROTOBUF | {"Authorization": "Bearer sk-nobody"}, 401, "invalid_api_key"),
        (b"{", JSON | {"Accept": "application/x-protobuf"}, 400, "invalid_json"),
    ):
        answer = ask(ours, content, headers)
        error = abyssal_v1.Error.FromString(answer.body)
        assert (answer.status, error.code) == (status, code)
        assert error.message


@pytest.mark.parametrize("way", ["signed", "message_signed"])
def test_signatures_are_over_the_bytes_as_sent(ours: Identities, abyssal_v1: Any, way: str) -> None:
    sign = getattr(ours, way)
    plain = request(abyssal_v1)
    sent = gzip.compress(plain)
    headers = PROTOBUF | {"Content-Encoding": "gzip"}
    assert ours.send("POST", PATH, headers | sign("POST", PATH, sent), sent).status == 200
    assert ours.send("POST", PATH, headers | sign("POST", PATH, plain), sent).status == 401


@pytest.mark.parametrize("coding", ["gzip", "zstd"])
def test_compressed_both_ways(ours: Identities, coding: str) -> None:
    text = "word " * 600_000  # 3 MB: inflated beside the loop
    body = json.dumps({**ASKED, "messages": [{"role": "user", "content": text}]}).encode()
    sent = gzip.compress(body) if coding == "gzip" else zstd.compress(body)
    answer = ask(ours, sent, JSON | {"Content-Encoding": coding, "Accept-Encoding": coding})
    assert answer.status == 200
    listing = ours.send("GET", "/v1/schema.proto", {"Accept-Encoding": coding})
    assert listing.header("content-encoding") == coding
    inflated = gzip.decompress(listing.body) if coding == "gzip" else zstd.decompress(listing.body)
    assert inflated == SCHEMA.read_bytes()


def test_a_bomb_is_refused_and_others_are_answered_meanwhile(ours: Identities) -> None:
    bomb = gzip.compress(bytes(400 << 20), 9)
    before = time.monotonic()
    answer = ask(ours, bomb, JSON | {"Content-Encoding": "gzip"})
    assert (answer.status, answer.json()["error"]["code"]) == (413, "payload_too_large")
    assert time.monotonic() - before < 30
    assert ask(ours, json.dumps(ASKED).encode(), JSON).status == 200


def test_management_takes_compressed_bodies(ours: Identities) -> None:
    body = gzip.compress(json.dumps({"name": "by gzip", "scopes": ["chat"]}).encode())
    answer = ask(ours, body, JSON | {"Content-Encoding": "gzip"}, "/v1/platform/keys")
    assert answer.status == 201
    assert answer.json()["name"] == "by gzip"
    token = ask(
        ours, gzip.compress(b"grant_type=client_credentials"), {"Content-Encoding": "gzip"}, "/oauth/token"
    )
    assert token.status == 400


def test_the_sdk_asks_in_protobuf(ours: Identities) -> None:
    said: list[str] = []
    for wire_format in ("json", "protobuf"):
        with DeepSeekClient(ours.server.api_key, base_url=ours.server.url, wire_format=wire_format) as client:
            whole = client.chat.completions.create(**ASKED)
            parts = [
                chunk.choices[0].delta.content or ""
                for chunk in client.chat.completions.create(**ASKED, stream=True)
                if chunk.choices
            ]
            with pytest.raises(NotFoundError) as caught:
                client.chat.completions.create(model="none", messages=ASKED["messages"])
        said += [whole.choices[0].message.content or "", "".join(parts)]
        assert caught.value.code == "model_not_found"
    assert len(set(said)) == 1


def test_the_example_of_the_page(ours: Identities) -> None:
    beginning, example = (block for block in blocks("python") if "import " in block)
    names: dict[str, Any] = {"key": ours.server.api_key, "base": ours.server.url}
    exec("import json, os\nfrom urllib.request import urlopen\n" + example, names)
    assert "from urllib.request import urlopen" in beginning
    last = example.strip().splitlines()[-1]
    assert eval(last, names)["choices"][0]["message"]["content"]
