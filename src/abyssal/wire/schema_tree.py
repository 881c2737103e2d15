"""A JSON Schema as a tree that others judge: its nodes, and where a reference leads. Pure.

Source: JSON Schema 2020-12, and the older `definitions` and lists of `items` beside it.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

Schema = dict[str, Any]

_MAPS = ("properties", "patternProperties", "$defs", "definitions", "dependentSchemas")
_LISTS = ("anyOf", "oneOf", "allOf", "prefixItems")
_SINGLE = ("items", "additionalProperties", "not", "if", "then", "else", "contains", "propertyNames",
           "unevaluatedItems", "unevaluatedProperties")  # fmt: skip


def as_schema(value: Any) -> Schema:
    """`value` as a schema object; true, false and what is none are an empty one."""
    return value if isinstance(value, dict) else {}  # pyright: ignore[reportUnknownVariableType]


def as_list(value: Any) -> list[Any]:
    """`value` as a list; what is none is an empty one."""
    return value if isinstance(value, list) else []  # pyright: ignore[reportUnknownVariableType]


def children(node: Schema) -> Iterator[tuple[str, Any]]:
    """The schemas right below `node`, with their paths from it. They may be anything that JSON knows."""
    for name in _MAPS:
        for key, child in as_schema(node.get(name)).items():
            yield f"{name}.{key}", child
    for name in (*_LISTS, "items"):
        for place, child in enumerate(as_list(node.get(name))):
            yield f"{name}[{place}]", child
    for name in _SINGLE:
        child = node.get(name)
        if isinstance(child, dict):
            yield name, child


def nodes(root: Schema, where: str, most: int) -> Iterator[tuple[str, Schema]]:
    """Every schema of the tree with its path, `where` first; one more than `most` at the most."""
    waiting: list[tuple[str, Any]] = [(where, root)]
    for _ in range(most + 1):
        if not waiting:
            return
        path, node = waiting.pop()
        if isinstance(node, dict):
            node = as_schema(node)
            yield path, node
            waiting += [(f"{path}.{below}", child) for below, child in children(node)]


def target_of(root: Schema, reference: Any) -> Any:
    """What a `$ref` of the form `#/…` leads to (RFC 6901); None when that is nothing."""
    if reference == "#":
        return root
    if not isinstance(reference, str) or not reference.startswith("#/"):
        return None
    found: Any = root
    for step in reference[2:].split("/"):
        key = step.replace("~1", "/").replace("~0", "~")
        if isinstance(found, list):
            items = as_list(found)
            found = items[int(key)] if key.isdecimal() and len(key) < 6 and int(key) < len(items) else None
        else:
            found = as_schema(found).get(key)
        if found is None:
            return None
    return found
