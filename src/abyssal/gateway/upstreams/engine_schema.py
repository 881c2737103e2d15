"""Which schemas the engine may be asked to bind an answer by.

llama.cpp makes a grammar of a schema, and a grammar can stall the engine for all callers: its one thread
looks for a next token that there is not, or among endlessly many. So:

1. A schema is an object of at most `MOST_BYTES` and `MOST_NODES`, with at most `MOST_PROPERTIES` in an object
   and `MOST_VALUES` in its enumerations.
2. A reference leads to a definition of the same schema, and not back to itself without anything in between.
3. A lower bound is not above its upper one, and neither is above `MOST_REPEATED` where it counts.
4. A pattern is of the form that the grammar can hold (`engine_patterns`).
5. Alternatives that begin alike are tried side by side, and multiply with those inside of them: at most
   `MOST_AMBIGUOUS` ways at once, and at most one of them leads back to where it came from. Objects whose
   first property is required, and a constant of its own, do not begin alike.

Found by trying; `tests/system/test_engine_schemas.py` tries it again.
"""

from __future__ import annotations

from typing import Any

import msgspec

from abyssal.gateway.upstreams.engine_ambiguity import ways_at_once
from abyssal.gateway.upstreams.engine_patterns import pattern_trouble
from abyssal.wire.errors import BadRequestError
from abyssal.wire.schema_tree import Schema, as_list, as_schema, nodes, target_of

MOST_BYTES = 64 * 1024
MOST_NODES = 2000
MOST_PROPERTIES = 300
MOST_VALUES = 1000
MOST_REPEATED = 2000
MOST_AMBIGUOUS = 64

_BOUNDS = (("minItems", "maxItems"), ("minLength", "maxLength"), ("minProperties", "maxProperties"))
_encode = msgspec.json.Encoder().encode


def check_engine_schema(schema: Any, where: str) -> None:
    """Raise BadRequestError, `param` the path in the request, for a schema that the engine is not asked."""
    if not isinstance(schema, dict):
        raise _refusal(where, "must be an object")
    root = as_schema(schema)
    if len(_encode(root)) > MOST_BYTES:
        raise _refusal(where, f"is over {MOST_BYTES} bytes")
    values = 0
    for seen, (path, node) in enumerate(nodes(root, where, MOST_NODES), 1):
        values += len(as_list(node.get("enum")))
        if seen > MOST_NODES or values > MOST_VALUES:
            raise _refusal(where, f"has over {MOST_NODES} parts, or {MOST_VALUES} values in enumerations")
        _check_node(root, node, path)
    if ways_at_once(root) > MOST_AMBIGUOUS:
        raise _refusal(
            where, f"has alternatives that begin alike or contain themselves, over {MOST_AMBIGUOUS}"
        )


def _check_node(root: Schema, node: Schema, path: str) -> None:
    if len(as_schema(node.get("properties"))) > MOST_PROPERTIES:
        raise _refusal(path, f"has over {MOST_PROPERTIES} properties")
    reference = node.get("$ref")
    if reference is not None and (reference == "#" or not isinstance(target_of(root, reference), dict)):
        raise _refusal(f"{path}.$ref", "must lead to a definition inside the schema, such as #/$defs/name")
    for low, high in _BOUNDS:
        least, most = _number(node.get(low), 0), _number(node.get(high), MOST_REPEATED)
        if least > min(most, MOST_REPEATED) or (high in node and most > MOST_REPEATED):
            raise _refusal(f"{path}.{low}", f"must not be over {high}, nor either over {MOST_REPEATED}")
    if not _has_numbers(node):
        raise _refusal(path, "leaves no number between its minimum and maximum")
    if "pattern" in node:
        trouble = pattern_trouble(node["pattern"])
        if trouble:
            raise _refusal(f"{path}.pattern", trouble)


def _number(value: Any, otherwise: float) -> float:
    return value if isinstance(value, int | float) and not isinstance(value, bool) else otherwise


def _has_numbers(node: Schema) -> bool:
    low, high = _number(node.get("minimum"), -1e308), _number(node.get("maximum"), 1e308)
    above, below = _number(node.get("exclusiveMinimum"), -1e308), _number(node.get("exclusiveMaximum"), 1e308)
    if "integer" in (node.get("type"), *as_list(node.get("type"))):
        first = max(-(-low // 1), above // 1 + 1)
        last = min(high // 1, -(-below // 1) - 1)
        return first <= last
    return low <= high and above < below and above < high and low < below


def _refusal(where: str, why: str) -> BadRequestError:
    return BadRequestError(
        f"{where} {why}; the embedded engine cannot be bound by it.",
        param=where[:300],
        code="unsupported_schema",
    )
