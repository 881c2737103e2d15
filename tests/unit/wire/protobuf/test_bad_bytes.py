"""Bytes that are no message: each a 400 that names the field and says what is wrong, and never anything else."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from abyssal.wire.errors import BadRequestError
from abyssal.wire.protobuf import (
    CHAT,
    FORMATS,
    Format,
    WireError,
    decode_request,
    encode_request,
    read_message,
    schema,
)
from abyssal.wire.protobuf.reading import MOST_FIELDS
from abyssal.wire.protobuf.varint import encode_varint

GOOD = encode_request(CHAT, b'{"model":"m","messages":[{"role":"user","content":"hi"}],"x":1}')


def bytes_field(number: int, content: bytes) -> bytes:
    return encode_varint(number << 3 | 2) + encode_varint(len(content)) + content


def message(*fields: bytes) -> bytes:
    return bytes_field(2, b"".join(fields))


CODES = {
    "invalid_protobuf",
    "invalid_utf8",
    "invalid_json",
    "invalid_value",
    "duplicate_key",
    "too_many_fields",
}

BAD = [
    ("a tag alone", b"\x0a", "invalid_protobuf", None),
    ("a tag that does not end", b"\xff", "invalid_protobuf", None),
    ("a tag of eleven bytes", b"\xff" * 10 + b"\x01", "invalid_protobuf", None),
    ("a length alone", b"\x0a\x05", "invalid_protobuf", "model"),
    ("a length that lies", b"\x0a\x05abc", "invalid_protobuf", "model"),
    ("a length of 2**64-1", b"\x0a" + b"\xff" * 9 + b"\x01", "invalid_protobuf", "model"),
    ("a length of 65 bits", b"\x0a" + b"\xff" * 9 + b"\x02", "invalid_protobuf", None),
    ("a length that lies, one level down", message(b"\x12\x63hi"), "invalid_protobuf", "messages[0].content"),
    ("cut within a message", GOOD[:8], "invalid_protobuf", "messages"),
    ("a number of eleven bytes", b"\x28" + b"\x80" * 10 + b"\x00", "invalid_protobuf", None),
    ("a number of 70 bits", b"\x28" + b"\xff" * 9 + b"\x7f", "invalid_protobuf", None),
    ("a number that does not end", b"\x28\x80", "invalid_protobuf", None),
    ("half a double", b"\x39\x00\x00\x00", "invalid_protobuf", "temperature"),
    ("a string as a number", b"\x08\x01", "invalid_protobuf", "model"),
    ("a message as a number", b"\x10\x01", "invalid_protobuf", "messages"),
    ("a number as a string", bytes_field(5, b"9"), "invalid_protobuf", "max_tokens"),
    ("a double as a float", b"\x3d\x00\x00\x00\x00", "invalid_protobuf", "temperature"),
    ("a bool as a double", b"\x19" + bytes(8), "invalid_protobuf", "stream"),
    ("extra as a number", b"\x78\x01", "invalid_protobuf", "extra"),
    ("a group", b"\x0b\x0c", "invalid_protobuf", None),
    ("a bomb of unknown groups", encode_varint(900 << 3 | 3) * 100_000, "invalid_protobuf", None),
    ("wire type 6", b"\x0e", "invalid_protobuf", None),
    ("field 0", b"\x00\x00", "invalid_protobuf", None),
    ("a field number over 2**29", encode_varint(1 << 33) + b"\x00", "invalid_protobuf", None),
    ("a string that is not UTF-8", bytes_field(1, b"a\xff"), "invalid_utf8", "model"),
    ("half a character", message(bytes_field(2, "这".encode()[:2])), "invalid_utf8", "messages[0].content"),
    ("a surrogate", bytes_field(1, b"\xed\xa0\x80"), "invalid_utf8", "model"),
    ("extra that is not UTF-8", bytes_field(15, b'{"a":"\xff"}'), "invalid_utf8", "extra"),
    ("extra with a key that is not UTF-8", bytes_field(15, b'{"\xff":1}'), "invalid_utf8", "extra"),
    ("extra that is no object", bytes_field(15, b"[1]"), "invalid_json", "extra"),
    ("extra that is no JSON", bytes_field(15, b'{"a":}'), "invalid_json", "extra"),
    ("extra that goes on", bytes_field(15, b'{"a":1},"b":2'), "invalid_json", "extra"),
    ("empty extra", bytes_field(15, b""), "invalid_json", "extra"),
    ("a key told both ways", bytes_field(1, b"m") + bytes_field(15, b'{"model":"n"}'), "duplicate_key", "extra"),
    ("one told both ways below", message(b"\x08\x02", bytes_field(15, b'{"role":"system"}')), "duplicate_key", "messages[0].extra"),
    ("JSON that goes on", bytes_field(24, b'1,"model":"n"'), "invalid_json", "tool_choice"),
    ("JSON that is not UTF-8", bytes_field(24, b'"\xff"'), "invalid_utf8", "tool_choice"),
    ("JSON that nests without end", bytes_field(24, b"[" * 200_000 + b"]" * 200_000), "invalid_json", "tool_choice"),
    ("extra that nests without end", bytes_field(15, b'{"a":' * 200_000 + b"}" * 200_000), "invalid_json", "extra"),
    ("a role that is none", message(b"\x08\x63"), "invalid_value", "messages[0].role"),
    ("a negative role", message(b"\x08" + b"\xff" * 9 + b"\x01"), "invalid_value", "messages[0].role"),
    ("a part that is none", message(bytes_field(3, bytes_field(1, b"\x08\x09"))), "invalid_value", "messages[0].content.parts[0].type"),
    ("not a number", b"\x39" + struct.pack("<d", float("nan")), "invalid_value", "temperature"),
    ("infinity", b"\x39" + struct.pack("<d", float("inf")), "invalid_value", "temperature"),
    ("infinity in a map", bytes_field(17, b"\x11" + struct.pack("<d", float("-inf"))), "invalid_value", "logit_bias.value"),
    ("two bytes a message, without end", b"\x12\x00" * (MOST_FIELDS + 1), "too_many_fields", None),
    ("two bytes an unknown field, without end", b"\xa0\x1f\x00" * (MOST_FIELDS + 1), "too_many_fields", None),
    ("many fields one level down", message(b"\x40\x01" * (MOST_FIELDS + 1)), "too_many_fields", "messages[0]"),
]  # fmt: skip


@pytest.mark.parametrize(("data", "code", "param"), [row[1:] for row in BAD], ids=[row[0] for row in BAD])
def test_refused(data: bytes, code: str, param: str | None) -> None:
    with pytest.raises(BadRequestError) as caught:
        decode_request(CHAT, data)
    assert (caught.value.code, caught.value.param) == (code, param)
    assert "abyssal.v1.ChatRequest" in caught.value.message


def test_packed_numbers() -> None:
    for content, code in (
        (b"\x80", "invalid_protobuf"),
        (b"\x01" * 8 * (MOST_FIELDS + 1), "too_many_fields"),
    ):
        with pytest.raises(WireError) as caught:
            read_message(schema.TOKEN_LIST, bytes_field(1, content))
        assert (caught.value.code, caught.value.param) == (code, "values")
    for content in (bytes(7), struct.pack("<d", float("nan"))):
        with pytest.raises(WireError):
            read_message(schema.DOUBLE_LIST, bytes_field(1, content))
    assert read_message(schema.TOKEN_LIST, b"\x08\x05" + bytes_field(1, b"\x06\x07")) == {"values": [5, 6, 7]}
    double = struct.pack("<d", 0.5)
    assert read_message(schema.DOUBLE_LIST, b"\x09" + double + bytes_field(1, double)) == {
        "values": [0.5, 0.5]
    }


KEPT_OUT = [
    ("an unknown number", encode_varint(900 << 3) + b"\x05"),
    ("an unknown string, not UTF-8", bytes_field(900, b"\xff\xfe")),
    ("an unknown double", encode_varint(900 << 3 | 1) + bytes(8)),
    ("an unknown float", encode_varint(900 << 3 | 5) + bytes(4)),
    ("the role that is unspecified", message()[:0]),
]


@pytest.mark.parametrize("unknown", [row[1] for row in KEPT_OUT], ids=[row[0] for row in KEPT_OUT])
def test_unknown_fields_are_kept_out_of_the_way(unknown: bytes) -> None:
    assert decode_request(CHAT, unknown + GOOD + unknown) == decode_request(CHAT, GOOD)
    below = message(b"\x08\x02", unknown, bytes_field(2, b"hi"))
    assert decode_request(CHAT, below) == b'{"messages":[{"role":"user","content":"hi"}]}'


def test_what_stands_twice() -> None:
    assert decode_request(CHAT, bytes_field(1, b"a") + bytes_field(1, b"b")) == b'{"model":"b"}'
    twice = bytes_field(4, b"\x08\x01") + bytes_field(4, bytes_field(15, b'{"y":1}'))
    assert decode_request(CHAT, twice) == b'{"stream_options":{"include_usage":true,"y":1}}'
    string, parts = bytes_field(2, b"hi"), bytes_field(3, bytes_field(1, b"\x08\x01"))
    assert decode_request(CHAT, message(string, parts)) == b'{"messages":[{"content":[{"type":"text"}]}]}'
    assert decode_request(CHAT, message(parts, string)) == b'{"messages":[{"content":"hi"}]}'
    assert decode_request(CHAT, message(parts, parts)).count(b'"text"') == 2
    assert decode_request(CHAT, message(b"\x08\x00")) == b'{"messages":[{}]}'


@given(st.sampled_from(list(FORMATS.values())), st.binary(max_size=80))
def test_any_bytes(form: Format, data: bytes) -> None:
    code = "invalid_protobuf"
    try:
        decode_request(form, data)
    except BadRequestError as error:
        code = error.code
    assert code in CODES


@given(st.data())
def test_good_bytes_with_one_changed_or_cut(data: st.DataObject) -> None:
    at = data.draw(st.integers(0, len(GOOD) - 1))
    changed = bytearray(GOOD)
    changed[at] = data.draw(st.integers(0, 255))
    for one in (bytes(changed), GOOD[:at]):
        try:
            decode_request(CHAT, one)
        except BadRequestError:
            continue
