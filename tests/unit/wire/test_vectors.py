"""Vectors as numbers and as base64, shortened or whole; whatever else an answer says stays."""

from __future__ import annotations

import base64
import json
import math
import struct
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from abyssal.wire.embeddings import floats_of
from abyssal.wire.vectors import as_asked, encoding_in, packed, shortened

FLOATS = st.lists(st.floats(width=32, allow_nan=False), max_size=50)


@given(FLOATS)
def test_base64_is_little_endian_float32(vector: list[float]) -> None:
    assert base64.b64decode(packed(vector)) == b"".join(struct.pack("<f", value) for value in vector)
    assert list(floats_of(packed(vector))) == vector


@pytest.mark.parametrize("text", ["AAAA", "not base64!", "AAAAAA", "é"])
def test_what_is_no_vector_in_base64(text: str) -> None:
    with pytest.raises(ValueError, match="base64"):
        floats_of(text)


def test_a_number_beyond_float32_is_no_vector() -> None:
    with pytest.raises(ValueError, match="float32"):
        packed([1e300])


@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=40), st.integers(1, 60))
def test_a_shortened_vector_is_a_unit_vector_in_the_same_direction(
    vector: list[float], dimensions: int
) -> None:
    short = shortened(vector, dimensions)
    if len(vector) <= dimensions:
        assert short is vector
        return
    assert len(short) == dimensions
    length = math.hypot(*vector[:dimensions])
    if length > 1e-150:
        assert math.hypot(*short) == pytest.approx(1)
        assert [value * length for value in short] == pytest.approx(vector[:dimensions])


def test_a_null_vector_stays_one() -> None:
    assert list(shortened([0.0, 0.0, 1.0], 2)) == [0.0, 0.0]


@pytest.mark.parametrize(
    ("answer", "encoding"),
    [
        (b'{"data":[{"object":"embedding","embedding":[1.0', "float"),
        (b'{"data":[{"object" : "embedding", "embedding" :\n "AAA', "base64"),
        (b'{"model":"\\"embedding\\":[","data":[{"embedding":"AA"}]}', "base64"),
        (b'{"data":[]}', None),
        (b"", None),
    ],
)
def test_how_vectors_came_is_seen_at_the_first(answer: bytes, encoding: str | None) -> None:
    assert encoding_in(answer) == encoding


def answer_of(*vectors: Any) -> bytes:
    data = [
        {"object": "embedding", "index": i, "embedding": v, "own": {"a": 1}} for i, v in enumerate(vectors)
    ]
    return json.dumps({"id": "e-1", "data": data, "usage": {"prompt_tokens": 3}, "more": [1.50]}).encode()


@pytest.mark.parametrize("came", ["float", "base64"])
@pytest.mark.parametrize("asked", ["float", "base64"])
@pytest.mark.parametrize("dimensions", [None, 2, 9])
def test_an_answer_is_made_as_asked(came: str, asked: Any, dimensions: int | None) -> None:
    vectors = [[0.5, 0.5, 0.5, 0.5], [1.0, 0.0, 0.0, 0.0]]
    given_ = [packed(vector) for vector in vectors] if came == "base64" else vectors
    made = json.loads(as_asked(answer_of(*given_), asked, dimensions))
    for item, vector in zip(made["data"], vectors, strict=True):
        assert (item["object"], item["own"]) == ("embedding", {"a": 1})
        expected = shortened(vector, dimensions or 4)
        if asked == "base64":
            assert item["embedding"] == packed(expected)
        else:
            assert item["embedding"] == pytest.approx(list(expected))
    assert (made["id"], made["usage"], made["more"]) == ("e-1", {"prompt_tokens": 3}, [1.5])


@pytest.mark.parametrize(
    "answer", [b"", b"[]", b"{}", b'{"data":{}}', b'{"data":[1]}', answer_of({"a": 1}), answer_of("!"),
               answer_of([1e300]), answer_of(["a"])],
)  # fmt: skip
def test_what_is_no_list_of_vectors(answer: bytes) -> None:
    with pytest.raises(ValueError):  # noqa: PT011  msgspec's errors among them
        as_asked(answer, "base64", None)


def test_a_vector_made_anew_does_not_say_how_it_was_written_before() -> None:
    item = {"embedding": packed([3.0, 4.0]), "index": 0, "encoding_format": "base64"}
    made = json.loads(as_asked(json.dumps({"data": [item]}).encode(), "float", 2))
    assert made == {"data": [{"embedding": [3.0, 4.0], "index": 0}]}
