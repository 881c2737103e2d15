"""`/v1/embeddings` by the unchanged OpenAI SDK: an OpenAI-compatible upstream, and the embedded engine."""

from __future__ import annotations

import json
import math
import sqlite3
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from typing import Any

import openai
import pytest
from openai import OpenAI

from abyssal.testing import Answer, RunningServer, ScriptedUpstream, embedding_of

from .calls import Gateway, body, chunks, table, text_of, upstream, wait_for

TEXTS = ["How do I reset my password?", "The harbour is full of ships.", "我忘记了密码"]


@pytest.fixture(scope="module")
def platform(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    """The engine as `abyssal-tiny`, and one scripted upstream as `open` and as `official`."""
    with ScriptedUpstream() as scripted:
        config = (
            table("[[upstreams]]", name="engine", kind="engine", slots=2, embedding_tokens=1024)
            + table("[[models]]", name="abyssal-tiny")
            + 'targets = [{ upstream = "engine", model = "abyssal-tiny" }]\n'
            + upstream("open", scripted.base_url)
            + upstream("official", scripted.base_url, kind="deepseek")
        )
        with RunningServer(config, tmp_path_factory.mktemp("embeddings")) as server:
            yield Gateway(server, scripted)
            assert "Traceback" not in server.log()


@pytest.fixture
def client(platform: Gateway) -> Iterator[OpenAI]:
    server = platform.server
    with OpenAI(api_key=server.api_key, base_url=server.base_url, max_retries=0, timeout=30) as client:
        yield client


def test_an_openai_upstream(platform: Gateway, client: OpenAI) -> None:
    answer = client.embeddings.create(model="open", input=TEXTS, user="ada")
    for index, (item, text) in enumerate(zip(answer.data, TEXTS, strict=True)):
        assert item.index == index
        assert item.embedding == pytest.approx(embedding_of(text), rel=1e-6)
    asked = platform.upstream.requests[-1]
    assert asked.path == "/v1/embeddings"
    assert asked.fields == {
        "model": "upstream-model", "input": TEXTS, "user": "ada", "encoding_format": "base64",
    }  # fmt: skip
    assert answer.usage.prompt_tokens == answer.usage.total_tokens > 0


@pytest.mark.parametrize("encoding", [None, "float", "base64"])
@pytest.mark.parametrize("dimensions", [None, 4])
@pytest.mark.parametrize("knows", [True, False])
def test_vectors_are_as_asked_whatever_the_upstream_knows(
    platform: Gateway, client: OpenAI, encoding: Any, dimensions: int | None, knows: bool
) -> None:
    platform.upstream.enqueue(Answer.embeddings(base64=knows, dimensions=knows))
    options: dict[str, Any] = {} if encoding is None else {"encoding_format": encoding}
    if dimensions is not None:
        options["dimensions"] = dimensions
    answer = client.embeddings.create(model="open", input="hello", **options)
    vector: Any = answer.data[0].embedding
    if encoding == "base64":  # asked for by name, the SDK leaves it as it came
        assert isinstance(vector, str)
        return
    assert vector == pytest.approx(embedding_of("hello", dimensions or 16), rel=1e-5, abs=1e-7)


def test_a_large_answer_passes_and_is_converted(platform: Gateway, client: OpenAI) -> None:
    """Over what the relay holds: 512 KiB."""
    many = [f"text {number}" for number in range(2048)]
    for knows in (True, False):
        platform.upstream.enqueue(Answer.embeddings(base64=knows))
        answer = client.embeddings.create(model="open", input=many)
        assert len(answer.data) == 2048
        assert answer.data[2047].embedding == pytest.approx(embedding_of(many[2047]), rel=1e-6)


def test_the_engine_at_the_first_start(client: OpenAI) -> None:
    answer = client.embeddings.create(model="abyssal-tiny", input=TEXTS)
    assert [item.index for item in answer.data] == [0, 1, 2]
    for item in answer.data:
        assert len(item.embedding) == 128
        assert math.hypot(*item.embedding) == pytest.approx(1)
    assert answer.usage.prompt_tokens == answer.usage.total_tokens > 10
    assert answer.model == "abyssal-tiny"


def test_the_engine_gives_the_same_in_every_form_and_company(client: OpenAI) -> None:
    sdk = client.embeddings.create(model="abyssal-tiny", input=TEXTS)
    numbers = client.embeddings.create(model="abyssal-tiny", input=TEXTS, encoding_format="float")
    for one, other, text in zip(sdk.data, numbers.data, TEXTS, strict=True):
        assert one.embedding == pytest.approx(other.embedding, abs=1e-6)
        (alone,) = client.embeddings.create(model="abyssal-tiny", input=text).data
        assert alone.embedding == pytest.approx(one.embedding, abs=1e-6)


def test_the_engine_shortens(client: OpenAI) -> None:
    (whole,) = client.embeddings.create(model="abyssal-tiny", input="hello").data
    (short,) = client.embeddings.create(model="abyssal-tiny", input="hello", dimensions=32).data
    (number,) = client.embeddings.create(
        model="abyssal-tiny", input="hello", dimensions=32, encoding_format="float"
    ).data
    length = math.hypot(*whole.embedding[:32])
    assert short.embedding == pytest.approx([value / length for value in whole.embedding[:32]], abs=1e-5)
    assert number.embedding == pytest.approx(short.embedding, abs=1e-6)


def test_the_engine_takes_tokens(client: OpenAI) -> None:
    (one,) = client.embeddings.create(model="abyssal-tiny", input=[5, 6, 7]).data
    two = client.embeddings.create(model="abyssal-tiny", input=[[5, 6, 7], [8]]).data
    assert two[0].embedding == pytest.approx(one.embedding, abs=1e-6)
    assert len(two) == 2


def test_alike_texts_are_near(client: OpenAI) -> None:
    data = client.embeddings.create(
        model="abyssal-tiny",
        input=["The cat sat on the mat.", "The cat sat on a mat.", "def f(x): return x * 2 + 1"],
    ).data
    first, near, far = (item.embedding for item in data)

    def likeness(one: list[float], other: list[float]) -> float:
        return sum(a * b for a, b in zip(one, other, strict=True))

    assert likeness(first, near) > likeness(first, far)


REFUSED: list[tuple[str, dict[str, Any], str, str]] = [
    ("a dimension too many", {"input": "a", "dimensions": 129}, "dimensions", "invalid_value"),
    ("more tokens than it takes", {"input": ["a", [5] * 1025][1]}, "input", "context_length_exceeded"),
    ("one text of many too long", {"input": ["a", "x " * 20_000]}, "input[1]", "context_length_exceeded"),
    ("too long by tokens alone", {"input": ["a", "a b c d " * 700]}, "input", "context_length_exceeded"),
    ("a run of letters", {"input": "x" * 20_000}, "input", "unsupported_content"),
]


@pytest.mark.parametrize("case", REFUSED, ids=[case[0] for case in REFUSED])
def test_what_the_engine_cannot_embed(client: OpenAI, case: tuple[str, dict[str, Any], str, str]) -> None:
    _, fields, param, code = case
    with pytest.raises(openai.BadRequestError) as refusal:
        client.embeddings.create(model="abyssal-tiny", **fields)
    assert (refusal.value.param, refusal.value.code) == (param, code)
    assert client.embeddings.create(model="abyssal-tiny", input="well").data


def test_a_token_that_the_model_has_not(client: OpenAI) -> None:
    with pytest.raises(openai.BadRequestError):
        client.embeddings.create(model="abyssal-tiny", input=[2**31 - 1])
    assert client.embeddings.create(model="abyssal-tiny", input="well").data


def test_the_official_service_has_none_and_the_refusal_says_who_has(client: OpenAI) -> None:
    with pytest.raises(openai.BadRequestError) as refusal:
        client.embeddings.create(model="official", input="a")
    assert (refusal.value.param, refusal.value.code) == ("model", "no_embeddings")
    assert "abyssal-tiny, open" in refusal.value.message


def test_chats_and_embeddings_share_the_engine(platform: Gateway, client: OpenAI) -> None:
    call = body(
        "abyssal-tiny", said="Tell me about Abyssal.", stream=True, max_tokens=60, temperature=0, seed=1
    )
    alone = text_of(chunks(platform.ask(call).body))

    def embed(number: int) -> list[float]:
        return client.embeddings.create(model="abyssal-tiny", input=[f"text {number}"] * 20).data[7].embedding

    before = embed(0)
    with ThreadPoolExecutor(8) as pool:
        vectors = pool.map(embed, [0] * 20)
        said = [text_of(chunks(answer.body)) for answer in pool.map(platform.ask, [call] * 8)]
        for vector in vectors:
            assert vector == pytest.approx(before, abs=1e-6)
    assert all(text.startswith(alone[:20]) for text in said)


def test_a_call_is_booked(platform: Gateway, client: OpenAI) -> None:
    answer = client.embeddings.with_raw_response.create(model="abyssal-tiny", input=TEXTS)
    request_id = answer.headers["x-request-id"]
    used = json.loads(answer.text)["usage"]["prompt_tokens"]

    def row() -> Any:
        with closing(sqlite3.connect(platform.server.data / "abyssal.db")) as database:
            return database.execute(
                "SELECT model, status, prompt_tokens, completion_tokens, estimated FROM usage WHERE id = ?",
                (request_id,),
            ).fetchone()

    wait_for(lambda: row() is not None, "the usage row")
    assert row() == ("abyssal-tiny", 200, used, 0, 0)
