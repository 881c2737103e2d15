"""What the contract says of answers, as validators of real ones; and where docs/api.md shows an operation."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path
from typing import Any

import msgspec
from jsonschema import Draft202012Validator

from abyssal.contract.document import document_bytes
from abyssal.contract.operation import Operation

PAGE = Path(__file__).parents[1] / "docs" / "api.md"
ALIKE = re.compile(r"^/v1/platform/(clients|signing-keys|public-keys)(?=/|$)")  # have the lines of keys


@cache
def document() -> dict[str, Any]:
    return msgspec.json.decode(document_bytes())


def described(operation: Operation) -> dict[str, Any]:
    """What the document says of an operation."""
    return document()["paths"][operation.path][operation.method.lower()]


def validator(schema: dict[str, Any]) -> Draft202012Validator:
    """Validates values against a schema of the document."""
    return Draft202012Validator(schema | {"components": document()["components"]})


def response(operation: Operation, status: int) -> dict[str, Any]:
    """What the document says of answers with `status`. Fails the test when it says nothing."""
    responses = described(operation)["responses"]
    assert str(status) in responses, f"{operation.id}: the status {status} is not documented"
    found = responses[str(status)]
    if "$ref" in found:
        return document()["components"]["responses"][found["$ref"].rpartition("/")[2]]
    return found


def check_answer(operation: Operation, status: int, headers: dict[str, str], body: bytes) -> None:
    """Hold an answer against the document. `headers` have lower-case names."""
    said = response(operation, status)
    for name, header in said.get("headers", {}).items():
        assert name in headers or not _is_required(header), f"{operation.id}: no {name}"
    content = said.get("content", {})
    if not content:
        assert body == b"", body
        return
    content = {media.partition(";")[0]: body_of for media, body_of in content.items()}
    media = headers["content-type"].partition(";")[0]  # an upstream may name the charset
    assert media in content, f"{operation.id}: {media} is not one of {list(content)}"
    if media == "application/json":
        validator(content[media]["schema"]).validate(msgspec.json.decode(body))
    elif media == "text/event-stream":
        for data in re.findall(rb"^data: (.*)$", body, re.MULTILINE):
            if data != b"[DONE]":
                validator(content[media]["x-event"]).validate(msgspec.json.decode(data))


def blocks(language: str) -> list[str]:
    """The fenced blocks of the page."""
    text = PAGE.read_text(encoding="utf-8")
    return re.findall(rf"^```{language}\n(.*?)^```", text, re.DOTALL | re.MULTILINE)


def lines_on_the_page(language: str) -> list[str]:
    """The examples, a line each; the lines that those for Python begin with are in no operation."""
    return [line for block in blocks(language) if "import " not in block for line in block.splitlines()]


def has_lines_of_its_own(operation: Operation) -> bool:
    """Whether the page must have the operation's lines, and not those of one that is like it."""
    return not ALIKE.match(operation.path) or "$PUBLIC_KEY" in (operation.example or {}).values()


def _is_required(header: dict[str, Any]) -> bool:
    reference = header.get("$ref", "")
    if reference:
        header = document()["components"]["headers"][reference.rpartition("/")[2]]
    return bool(header.get("required"))
