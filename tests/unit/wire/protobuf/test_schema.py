"""The tables say what the published schema says, and Google's own library reads and writes what they do."""

from __future__ import annotations

import json
from typing import Any

import pytest
from google.protobuf.descriptor import FieldDescriptor
from tests.compiled import compiled

from abyssal.wire.protobuf import SCHEMA, read_message, schema
from abyssal.wire.protobuf.fields import EXTRA, Field, Kind, Message, Names
from abyssal.wire.protobuf.writing import writer_of

TABLES = {item.name: item for item in vars(schema).values() if isinstance(item, Message)}
ENUMS = {item.name: item for item in vars(schema).values() if isinstance(item, Names)}
TYPES = {
    Kind.STRING: FieldDescriptor.TYPE_STRING,
    Kind.BOOL: FieldDescriptor.TYPE_BOOL,
    Kind.INT: FieldDescriptor.TYPE_INT64,
    Kind.DOUBLE: FieldDescriptor.TYPE_DOUBLE,
    Kind.ENUM: FieldDescriptor.TYPE_ENUM,
    Kind.OCTETS: FieldDescriptor.TYPE_BYTES,
    Kind.JSON: FieldDescriptor.TYPE_BYTES,
    Kind.MESSAGE: FieldDescriptor.TYPE_MESSAGE,
    Kind.LIST: FieldDescriptor.TYPE_MESSAGE,
    Kind.MAP: FieldDescriptor.TYPE_MESSAGE,
}


@pytest.fixture(scope="module")
def generated(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """What `protoc` makes of the schema."""
    return compiled(SCHEMA, tmp_path_factory.mktemp("generated"))


def test_every_message_and_enum_has_a_table(generated: Any) -> None:
    file = generated.DESCRIPTOR
    assert file.package == "abyssal.v1"
    assert set(file.message_types_by_name) == set(TABLES)
    assert set(file.enum_types_by_name) == set(ENUMS)


@pytest.mark.parametrize("name", sorted(TABLES))
def test_fields_are_those_of_the_schema(generated: Any, name: str) -> None:
    described = generated.DESCRIPTOR.message_types_by_name[name]
    table = TABLES[name]
    expected = {field.number: _as_table(field, table) for field in described.fields}
    fields = {field.number: _told(field) for field in table.fields}
    if table.extra:
        fields[EXTRA] = ("extra", FieldDescriptor.TYPE_BYTES, False, None)
    assert fields == expected


@pytest.mark.parametrize("name", sorted(TABLES))
def test_presence_can_be_told(generated: Any, name: str) -> None:
    for field in generated.DESCRIPTOR.message_types_by_name[name].fields:
        assert field.is_repeated or field.has_presence, f"{name}.{field.name} wants `optional`"


@pytest.mark.parametrize("name", sorted(ENUMS))
def test_names_are_those_of_the_schema(generated: Any, name: str) -> None:
    described = generated.DESCRIPTOR.enum_types_by_name[name]
    enum = ENUMS[name]
    spelled = {
        number: enum.prefix + string.upper().replace(".", "_") for number, string in enum.strings.items()
    }
    assert {0: f"{enum.prefix}UNSPECIFIED", **spelled} == {
        value.number: value.name for value in described.values
    }


def test_google_s_library_reads_what_is_written_here(generated: Any) -> None:
    data = writer_of(schema.CHAT_REQUEST, True)(REQUEST)
    assert data is not None
    read = generated.ChatRequest.FromString(data)
    assert (read.model, read.temperature, read.stop_list.values[:]) == ("m", 0.7, ["a", "b"])
    assert read.HasField("stream")
    assert not read.stream
    assert read.messages[0].content == ""
    assert read.messages[0].WhichOneof("content_kind") == "content"
    assert read.messages[1].content_parts.parts[1].image_url.url == "data:,"
    assert read.messages[2].role == generated.ROLE_ASSISTANT
    assert json.loads(read.tools[0].function.parameters) == REQUEST["tools"][0]["function"]["parameters"]
    assert dict(read.logit_bias) == {"5": -100.0}
    assert read.seed == -3
    assert json.loads(read.extra) == {"x_new": {"a": [None]}, "tool_choice": None}


def test_what_google_s_library_writes_is_read_here(generated: Any) -> None:
    data = writer_of(schema.CHAT_REQUEST, True)(REQUEST)
    assert data is not None
    rewritten = generated.ChatRequest.FromString(data).SerializeToString(deterministic=True)
    read = json.loads(_json(read_message(schema.CHAT_REQUEST, rewritten)))
    assert read == REQUEST
    answer = generated.EmbeddingList(data=[generated.Embedding(index=0, embedding={"values": [0.5, -1.0]})])
    assert read_message(schema.EMBEDDING_LIST, answer.SerializeToString()) == {
        "data": [{"index": 0, "embedding": [0.5, -1.0]}]
    }


REQUEST: dict[str, Any] = {
    "model": "m",
    "messages": [
        {"role": "user", "content": ""},
        {
            "role": "user",
            "content": [
                {"type": "text", "text": "what is 这"},
                {"type": "image_url", "image_url": {"url": "data:,", "detail": "low"}},
            ],
        },
        {
            "role": "assistant",
            "content": None,
            "reasoning_content": "hm",
            "tool_calls": [{"id": "c", "type": "function", "function": {"name": "f", "arguments": "{"}}],
        },
        {"role": "tool", "tool_call_id": "c", "content": "x" * 300},
    ],
    "stream": False,
    "temperature": 0.7,
    "stop": ["a", "b"],
    "seed": -3,
    "logit_bias": {"5": -100},
    "tools": [{"type": "function", "function": {"name": "f", "parameters": {"type": "object", "z": 1e300}}}],
    "tool_choice": None,
    "x_new": {"a": [None]},
}


def _json(value: object) -> bytes:
    import msgspec

    return msgspec.json.encode(value)


def _as_table(field: Any, table: Message) -> tuple[str, int, bool, str | None]:
    of = None
    if field.message_type is not None and not field.message_type.GetOptions().map_entry:
        of = field.message_type.name
    elif field.enum_type is not None:
        of = field.enum_type.name
    del table
    return field.name, field.type, field.is_repeated, of


def _told(field: Field) -> tuple[str, int, bool, str | None]:
    of = field.of.name if field.of is not None else None
    return field.name or field.key, TYPES[field.kind], field.repeated or field.kind is Kind.MAP, of
