"""The OpenAPI document: valid, made from the types that decode, with every field of a request described."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest
from jsonschema import Draft202012Validator
from openapi_spec_validator import OpenAPIV31SpecValidator

from abyssal.contract.components import Components
from abyssal.contract.document import build_document, document_bytes
from abyssal.contract.fields import ALWAYS, FIELDS, HIDDEN, LOOSE, REFUSED
from abyssal.contract.operation import FORM, JSON, Answer, Body, Operation
from abyssal.contract.operations import OPERATIONS
from abyssal.contract.operations.files import MULTIPART
from abyssal.stores.rights import SCOPES
from abyssal.wire.chat_request import ChatRequest

DOCUMENT = build_document()
SCHEMAS = DOCUMENT["components"]["schemas"]
REQUESTS = sorted(
    {body.schema for operation in OPERATIONS for body in operation.bodies if body.schema},
    key=lambda kind: kind.__name__,
)


def validator(schema: dict[str, Any]) -> Draft202012Validator:
    return Draft202012Validator(schema | {"components": DOCUMENT["components"]})


def described(operation: Operation) -> dict[str, Any]:
    return DOCUMENT["paths"][operation.path][operation.method.lower()]


def test_it_is_openapi() -> None:
    assert list(OpenAPIV31SpecValidator(DOCUMENT).iter_errors()) == []
    assert DOCUMENT["openapi"].startswith("3.1")


def test_it_is_sent_as_it_is_made() -> None:
    assert json.loads(document_bytes()) == json.loads(json.dumps(DOCUMENT))


def nested(value: Any) -> Iterator[dict[str, Any]]:
    """Every JSON object in `value`, at any depth."""
    if isinstance(value, dict):
        yield value
    for inner in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from nested(inner)


def test_generators_of_clients_can_read_it() -> None:
    for schema in nested(SCHEMAS):
        if schema.get("type") == "array":
            assert schema.keys() & {"items", "prefixItems"}, schema
        if "enum" in schema:
            assert all(isinstance(value, str) for value in schema["enum"]), schema
    refused = SCHEMAS["ResponsesRequest"]["properties"]["background"]
    for value, taken in ((None, True), (False, True), (0, False), (True, False)):
        assert validator(refused).is_valid(value) is taken, value


def test_nothing_of_the_source_is_in_it() -> None:
    assert b"abyssal." not in document_bytes()


@pytest.mark.parametrize("kind", REQUESTS, ids=lambda kind: kind.__name__)
def test_every_field_of_a_request_is_described(kind: Any) -> None:
    words = FIELDS[ChatRequest] | FIELDS.get(kind, {}) if kind in LOOSE else FIELDS.get(kind, {})
    if kind.__name__.endswith("Form"):
        return  # RFC 6749 has the words
    fields = set(kind.__struct_encode_fields__)
    assert fields - set(words) == set(), "describe it in abyssal/contract/fields.py"


@pytest.mark.parametrize(
    "words", [FIELDS, ALWAYS, HIDDEN, REFUSED], ids=["words", "always", "hidden", "refused"]
)
def test_what_is_said_of_a_field_is_said_of_one_that_there_is(words: dict[Any, Any]) -> None:
    credentials = {"CredentialChange", "MemberChange", "MemberDraft", "CredentialDraft", "Rotation"}
    for kind, names in words.items():
        shared = kind.__name__ in credentials or kind.__name__.startswith("PublicKey")
        if not shared:  # those take their words from one list
            assert set(names) <= set(kind.__struct_encode_fields__), kind


@pytest.mark.parametrize(
    "operation", [item for item in OPERATIONS if item.example is not None], ids=lambda item: item.id
)
def test_an_example_is_what_its_type_takes(operation: Operation) -> None:
    body = operation.bodies[0]
    msgspec.json.decode(json.dumps(operation.example), type=body.schema)
    schema = described(operation)["requestBody"]["content"][JSON]["schema"]
    validator(schema).validate(operation.example)


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda item: item.id)
def test_a_json_body_has_an_example(operation: Operation) -> None:
    media = [body.media for body in operation.bodies]
    assert (operation.example is not None) == (JSON in media)
    assert not media or media[0] in (JSON, FORM, MULTIPART)
    assert "$BASE" in operation.curl_line
    compile(operation.python_line, operation.id, "exec")


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda item: item.id)
def test_who_may_ask_is_said(operation: Operation) -> None:
    security = described(operation)["security"]
    if operation.scope is None:
        assert security == []
        return
    assert operation.scope in ("", *SCOPES)
    assert {"accessToken": [operation.scope] if operation.scope else []} in security
    assert {"401", "403", "429"} <= set(described(operation)["responses"])


def test_fields_that_the_chat_checks_have_its_schema() -> None:
    assert SCHEMAS["CompletionRequest"]["properties"]["temperature"]["anyOf"][0]["maximum"] == 2
    assert SCHEMAS["ResponsesRequest"]["properties"]["thinking"]["anyOf"][0]["$ref"].endswith("ChatThinking")
    assert {"type": "null"} in SCHEMAS["CompletionRequest"]["properties"]["model"]["anyOf"]
    assert SCHEMAS["MemberDraft"]["properties"]["role"]["enum"] == ["owner", "admin", "member", "viewer"]
    assert SCHEMAS["CredentialDraft"]["properties"]["scopes"]["anyOf"][0]["items"]["enum"] == list(SCOPES)
    loose = {
        (kind, name)
        for kind in ("CompletionRequest", "ResponsesRequest", "ChatRequest")
        for name, field in SCHEMAS[kind]["properties"].items()
        if not {"type", "anyOf", "enum", "$ref"} & set(field)
    }
    assert loose == set()


def test_a_body_that_may_be_empty_may_be_absent() -> None:
    paths = DOCUMENT["paths"]
    assert paths["/v1/chat/completions"]["post"]["requestBody"]["required"] is True
    assert paths["/v1/platform/keys/{id}"]["patch"]["requestBody"]["required"] is False
    assert paths["/v1/platform/members/{id}"]["patch"]["requestBody"]["required"] is True


def test_what_only_the_sdk_adds_is_not_in_answers() -> None:
    assert "request_id" not in SCHEMAS["ChatCompletion"]["properties"]
    assert {"id", "choices", "model"} <= set(SCHEMAS["ChatCompletion"]["required"])
    assert SCHEMAS["ProjectObject"]["properties"]["object"]["const"] == "project"


class Tool(msgspec.Struct):
    """Another of this name."""

    shape: str


def test_two_types_of_one_name_are_refused() -> None:
    first = msgspec.defstruct("Tool", [("a", int)], module="one")
    second = msgspec.defstruct("Tool", [("b", int)], module="two")
    with pytest.raises(ValueError, match="Tool"):
        Components([first, second])


def test_two_rows_for_one_route_are_refused() -> None:
    answer = (Answer("It.", (Body(JSON, Tool),)),)
    row = Operation(id="a", method="GET", path="/a", tag="Chat", summary="A", answers=answer)
    with pytest.raises(ValueError, match="twice"):
        build_document([row, msgspec.structs.replace(row, id="b")])
