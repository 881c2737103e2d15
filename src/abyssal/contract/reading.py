"""A schema as people read it: a row for each field, a type in words, references as links."""

from __future__ import annotations

import json
import re
from typing import Any, NamedTuple, cast

from markupsafe import Markup, escape

_MARKS = re.compile(r"`([^`]+)`|\*\*([^*]+)\*\*")
_LIMITS = (
    ("minimum", "maximum", ""),
    ("minLength", "maxLength", " characters"),
    ("minItems", "maxItems", " items"),
)


class Word(NamedTuple):
    """A piece of a type's words; `type` is the schema that it leads to, "" for none."""

    text: str
    type: str = ""


class Row(NamedTuple):
    """A field."""

    name: str
    words: list[Word]
    required: bool
    says: str
    default: str


def rows(schema: dict[str, Any]) -> list[Row]:
    """The fields of an object's schema, required ones first."""
    required = schema.get("required", ())
    found = [
        Row(name, words(field), name in required, field.get("description", ""), _default(field))
        for name, field in schema.get("properties", {}).items()
    ]
    return sorted(found, key=lambda row: not row.required)


def words(schema: dict[str, Any]) -> list[Word]:
    """A type: `array of ChatTool, at most 128`."""
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        return [Word(name, name)]
    if "anyOf" in schema:
        said: list[Word] = []
        for option in schema["anyOf"]:
            if option != {"type": "null"}:  # null is what an absent field means, and said of none
                said += [Word(" or "), *words(option)] if said else words(option)
        return said
    if "const" in schema:
        return [Word(_literal(schema["const"]))]
    if "enum" in schema:
        values = [_literal(value) for value in schema["enum"]]
        return [Word(values[0] if len(values) == 1 else "one of " + ", ".join(values))]
    kind = schema.get("type", "any value")
    if "exclusiveMinimum" in schema:
        return [Word(f"{kind}, over {schema['exclusiveMinimum']} to {schema['maximum']}")]
    said = [Word(kind + (f" ({schema['format']})" if "format" in schema else ""))]
    if kind == "array":
        said = [Word("array of "), *words(schema.get("items", {}))]
    elif kind == "object" and isinstance(schema.get("additionalProperties"), dict):
        said = [Word("object of "), *words(schema["additionalProperties"])]
    limits = [found + of for low, high, of in _LIMITS if (found := _range(schema, low, high))]
    return [*said, Word(", " + ", ".join(limits))] if limits else said


def reached(schemas: dict[str, Any], start: list[Any]) -> list[str]:
    """The names of schemas that `start` refers to, and what those refer to, in the order of reading."""
    found: dict[str, None] = {}

    def visit(value: Any) -> None:
        if isinstance(value, dict):
            pairs = cast("dict[str, Any]", value)
            reference = pairs.get("$ref")
            if isinstance(reference, str) and reference.startswith("#/components/schemas/"):
                name = reference.rpartition("/")[2]
                if name not in found:
                    found[name] = None
                    visit(schemas[name])
            for item in pairs.values():
                visit(item)
        elif isinstance(value, list):
            items = cast("list[Any]", value)
            for item in items:
                visit(item)

    for value in start:
        visit(value)
    return list(found)


def prose(text: str) -> Markup:
    """Paragraphs and lists with `code` and **strong** as HTML; everything else is text."""
    blocks = [block for block in text.strip().split("\n\n") if block.strip()]
    return Markup("\n").join(_block(block) for block in blocks)


def inline(text: str) -> Markup:
    """A sentence with `code` and **strong** as HTML."""
    return Markup(
        _MARKS.sub(
            lambda mark: f"<code>{mark[1]}</code>" if mark[1] else f"<strong>{mark[2]}</strong>",
            str(escape(text)),
        )
    )


def _block(block: str) -> Markup:
    if block.startswith("- "):
        items = re.split(r"\n?^- ", block, flags=re.MULTILINE)[1:]
        return Markup("<ul>%s</ul>") % Markup("").join(Markup("<li>%s</li>") % inline(item) for item in items)
    return Markup("<p>%s</p>") % inline(block)


def _range(schema: dict[str, Any], low: str, high: str) -> str:
    """The limits in words, "" where there are none."""
    least, most = schema.get(low), schema.get(high)
    if least is None:
        return f"up to {most}" if most is not None else ""
    return f"{least} or more" if most is None else f"{least} to {most}"


def _literal(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


def _default(field: dict[str, Any]) -> str:
    return _literal(field["default"]) if "default" in field else ""
