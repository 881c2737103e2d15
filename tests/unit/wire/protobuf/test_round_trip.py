"""Any JSON object of a format is written as a message and read back as the same object."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from abyssal.wire.chat_request import ChatRequest
from abyssal.wire.errors import BadRequestError, ProtocolError
from abyssal.wire.protobuf import (
    CHAT,
    COMPLETIONS,
    EMBEDDINGS,
    FORMATS,
    Format,
    decode_answer,
    decode_error,
    decode_request,
    encode_answer,
    encode_error,
    encode_request,
    schema,
)
from abyssal.wire.protobuf.fields import Field, Kind, Message, Names

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
WILD = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=8,
)


def values(field: Field) -> st.SearchStrategy[Any]:
    """What a field is made for."""
    if field.kind is Kind.MESSAGE or field.kind is Kind.LIST:
        assert isinstance(field.of, Message)
        one = objects(field.of) if not field.of.wraps else values(field.of.fields[0])
    elif field.kind is Kind.ENUM:
        assert isinstance(field.of, Names)
        one = st.sampled_from(sorted(field.of.numbers))
    else:
        one = {
            Kind.STRING: TEXT,
            Kind.BOOL: st.booleans(),
            Kind.INT: st.integers(),
            Kind.DOUBLE: st.floats(allow_nan=False, allow_infinity=False) | st.integers(),
            Kind.OCTETS: st.lists(st.integers(-1, 256), max_size=4),
            Kind.JSON: WILD,
            Kind.MAP: st.dictionaries(TEXT, st.floats(-100, 100), max_size=3),
        }[field.kind]
    return st.lists(one, max_size=3) if field.repeated else one


def objects(message: Message) -> st.SearchStrategy[dict[str, Any]]:
    """Objects that a message is made for, with some that it is not."""
    known = {}
    for field in message.fields:
        known[field.key] = known[field.key] | values(field) if field.key in known else values(field)
    return st.builds(
        lambda fields, wild: {**fields, **wild},
        st.fixed_dictionaries({}, optional=known),
        st.dictionaries(TEXT | st.sampled_from(sorted(known)), WILD, max_size=2),
    )


def read(body: bytes) -> Any:
    return json.loads(body, parse_float=Decimal)


def without_nulls(value: Any, message: Message) -> Any:
    """`value` without nulls where `message` and those in it have a field for them."""
    if message.wraps or not isinstance(value, dict):
        return value
    fields = {field.key: field for field in message.fields}
    out: dict[str, Any] = {}
    for key, item in value.items():
        field = fields.get(key)
        if field is not None and item is None:
            continue
        if field is not None and field.kind is Kind.LIST:
            assert isinstance(field.of, Message)
            field = field.of.fields[0]
        if field is not None and field.kind is Kind.MESSAGE:
            assert isinstance(field.of, Message)
            of = field.of
            if field.repeated and isinstance(item, list) and all(isinstance(one, dict) for one in item):
                item = [without_nulls(one, of) for one in item]
            elif not field.repeated:
                item = without_nulls(item, of)
        out[key] = item
    return out


@pytest.mark.parametrize("form", FORMATS.values(), ids=list(FORMATS))
def test_requests(form: Format) -> None:
    @given(objects(form.request))
    def same(value: dict[str, Any]) -> None:
        body = json.dumps(value).encode()
        assert json.loads(decode_request(form, encode_request(form, body))) == json.loads(body)

    same()


@pytest.mark.parametrize("form", FORMATS.values(), ids=list(FORMATS))
def test_answers_but_for_nulls(form: Format) -> None:
    @given(objects(form.answer))
    def same(value: dict[str, Any]) -> None:
        body = json.dumps(value).encode()
        expected = without_nulls(json.loads(body), form.answer)
        assert (
            without_nulls(json.loads(decode_answer(form, encode_answer(form, body))), form.answer) == expected
        )

    same()


@given(objects(schema.ERROR))
def test_errors(value: dict[str, Any]) -> None:
    body = json.dumps({"error": value}).encode()
    expected = {"error": without_nulls(value, schema.ERROR)}
    assert json.loads(decode_error(encode_error(body))) == expected


def test_every_parameter_that_the_gateway_reads_has_a_field() -> None:
    known = {field.key for field in schema.CHAT_REQUEST.fields}
    assert set(ChatRequest.__struct_fields__) <= known


@pytest.mark.parametrize(
    "number", ["0.1", "1e400", "0.12345678901234567890123", "18446744073709551616", "-0.0", "1E-7", "100"]
)
def test_digits_are_kept_where_no_field_reads_them(number: str) -> None:
    schema_text = '{"type":"number","multipleOf":%s}' % number
    body = '{"x_%s":%s,"tools":[{"type":"function","function":{"name":"f","parameters":%s}}]}'
    text = (body % ("new", number, schema_text)).encode()
    assert read(decode_request(CHAT, encode_request(CHAT, text))) == read(text)


@pytest.mark.parametrize(
    ("given_", "expected"),
    [
        ("0.1", "0.1"),
        ("1", "1"),
        ("1.0", "1"),
        ("-0.0", "-0.0"),
        ("1e400", "1E+400"),  # no double: it stays what it is, for the range to be checked
        ("9007199254740993", "9007199254740993"),
        ("0.30000000000000004", "0.30000000000000004"),
    ],
)
def test_a_double_is_the_number_that_was_meant(given_: str, expected: str) -> None:
    body = b'{"temperature":%s}' % given_.encode()
    assert decode_request(CHAT, encode_request(CHAT, body)) == b'{"temperature":%s}' % expected.encode()


def test_absent_empty_and_null_differ() -> None:
    for content in ('"content":""', '"content":[]', '"content":null', ""):
        body = b'{"messages":[{%s}],"tools":[],"stop":[],"logit_bias":{}}' % content.encode()
        assert read(decode_request(CHAT, encode_request(CHAT, body))) == read(body)


def test_not_an_object() -> None:
    for body in (b"[]", b"1", b"", b"{", b'"' + b"x" * 9, b"[" * 100_000):
        with pytest.raises(BadRequestError) as caught:
            encode_request(COMPLETIONS, body)
        assert caught.value.code == "invalid_json"
        with pytest.raises(ProtocolError):
            encode_answer(EMBEDDINGS, body)
        assert read(decode_error(encode_error(body))) == {"error": {"message": body[:500].decode()}}


def test_an_error_s_code_may_be_a_number() -> None:
    body = b'{"error":{"message":"m","type":"t","param":null,"code":7}}'
    assert read(decode_error(encode_error(body))) == {"error": {"message": "m", "type": "t", "code": 7}}


def test_the_bytes_of_embeddings_are_doubles() -> None:
    vector = [index / 7 for index in range(512)]
    body = msgspec.json.encode({"object": "list", "data": [{"index": 0, "embedding": vector}]})
    data = encode_answer(EMBEDDINGS, body)
    assert len(data) < 512 * 8 + 32
    assert json.loads(decode_answer(EMBEDDINGS, data))["data"][0]["embedding"] == vector
