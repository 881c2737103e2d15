"""What an embeddings request may say, and the exact sentence for what it may not."""

from __future__ import annotations

import json
from typing import Any

import pytest

from abyssal.wire.embedding_request import MOST_INPUTS, parse_embedding_request
from abyssal.wire.errors import BadRequestError


def read(**fields: Any) -> Any:
    return parse_embedding_request(json.dumps({"model": "m", "input": "hi"} | fields).encode())


@pytest.mark.parametrize(
    ("given", "inputs"),
    [
        ("hi", ["hi"]),
        (["a", "b"], ["a", "b"]),
        ([1, 2], [[1, 2]]),
        ([[1, 2], [3]], [[1, 2], [3]]),
        (["a"] * MOST_INPUTS, ["a"] * MOST_INPUTS),
        ([7] * 5000, [[7] * 5000]),  # tokens of one input
    ],
)
def test_the_four_forms_of_input(given: Any, inputs: Any) -> None:
    request = read(input=given)
    assert request.inputs() == inputs
    assert request.stream is False


def test_what_is_asked_beside_it() -> None:
    request = read(dimensions=5, encoding_format="base64", user="ada", unknown={"a": 1}, stream=True)
    assert (request.dimensions, request.encoding, request.user) == (5, "base64", "ada")
    assert request.stream is False
    assert read(dimensions=None, encoding_format=None).encoding == "float"


REFUSED: list[tuple[bytes, str | None, str, str]] = [
    (b"", None, "invalid_json", "The body is not JSON: Input data was truncated; send one JSON object."),
    (b"[]", None, "invalid_json", "The body must be a JSON object: Expected `object`, got `array`."),
    (b"\xff", None, "invalid_utf8", "The body is not UTF-8: byte 0 is invalid; send JSON encoded as UTF-8."),
    (b'{"input":"a"}', "model", "missing_field", '"model" is missing; it is required.'),
    (b'{"model":"m"}', "input", "missing_field", '"input" is missing; it is required.'),
    (b'{"model":"","input":"a"}', "model", "invalid_value", '"model": expected `str` of length >= 1.'),
    (b'{"model":1,"input":"a"}', "model", "invalid_value", '"model": expected `str`, got `int`.'),
    (b'{"model":"m","input":null}', "input", "invalid_value",
     '"input": expected `str | array`, got `null`.'),
    (b'{"model":"m","input":{}}', "input", "invalid_value",
     '"input": expected `str | array`, got `object`.'),
    (b'{"model":"m","input":""}', "input", "invalid_value",
     '"input" is empty; send what is to be embedded.'),
    (b'{"model":"m","input":[]}', "input", "invalid_value",
     '"input" is empty; send what is to be embedded.'),
    (b'{"model":"m","input":["a",""]}', "input[1]", "invalid_value",
     '"input[1]" is empty; send what is to be embedded.'),
    (b'{"model":"m","input":[[1],[]]}', "input[1]", "invalid_value",
     '"input[1]" is empty; send what is to be embedded.'),
    (b'{"model":"m","input":["a",1]}', "input[1]", "invalid_value",
     '"input[1]": texts, tokens and lists of tokens are mixed; send one kind in a call.'),
    (b'{"model":"m","input":[1,[1]]}', "input[1]", "invalid_value",
     '"input[1]": texts, tokens and lists of tokens are mixed; send one kind in a call.'),
    (b'{"model":"m","input":[1.5]}', "input[0]", "invalid_value",
     '"input[0]": expected `int | str | array`, got `float`.'),
    (b'{"model":"m","input":[true]}', "input[0]", "invalid_value",
     '"input[0]": expected `int | str | array`, got `bool`.'),
    (b'{"model":"m","input":[-1]}', "input[0]", "invalid_value", '"input[0]": expected `int` >= 0.'),
    (b'{"model":"m","input":[2147483648]}', "input[0]", "invalid_value",
     '"input[0]": expected `int` <= 2147483647.'),
    (b'{"model":"m","input":[[1,"a"]]}', "input[0][1]", "invalid_value",
     '"input[0][1]": expected `int`, got `str`.'),
    (b'{"model":"m","input":[[1],' + b"[1]," * 2047 + b"[1]]}", "input", "invalid_value",
     '"input": 2049 inputs in one call; at most 2048 are taken, so send them in several.'),
    (b'{"model":"m","input":"a","dimensions":0}', "dimensions", "invalid_value",
     '"dimensions": expected `int` >= 1.'),
    (b'{"model":"m","input":"a","dimensions":65537}', "dimensions", "invalid_value",
     '"dimensions": expected `int` <= 65536.'),
    (b'{"model":"m","input":"a","dimensions":"8"}', "dimensions", "invalid_value",
     '"dimensions": expected `int | null`, got `str`.'),
    (b'{"model":"m","input":"a","encoding_format":"hex"}', "encoding_format", "invalid_value",
     "\"encoding_format\": invalid enum value 'hex'."),
    (b'{"model":"m","input":"a","user":7}', "user", "invalid_value",
     '"user": expected `str | null`, got `int`.'),
    (b'{"model":"m","input":"a","Input":"b"}', "input", "duplicate_key",
     'The key "input" is ambiguous: "Input" differs from it only in letter case. Send each key once.'),
    (b'{"model":"m","input":"a","\\u0069nput":"b"}', "input", "duplicate_key",
     'The key "input" is ambiguous: it stands there twice. Send each key once.'),
    (b'{"model":"m","input":' + b"[" * 130 + b"]" * 130 + b"}", None, "nested_too_deeply",
     "The body nests more than 128 levels deep; flatten it."),
]  # fmt: skip


@pytest.mark.parametrize("case", REFUSED, ids=[case[0][:60].decode(errors="replace") for case in REFUSED])
def test_what_is_refused(case: tuple[bytes, str | None, str, str]) -> None:
    body, param, code, message = case
    with pytest.raises(BadRequestError) as refusal:
        parse_embedding_request(body)
    assert (refusal.value.param, refusal.value.code, refusal.value.message) == (param, code, message)
