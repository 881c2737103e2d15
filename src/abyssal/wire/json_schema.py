"""Does a value conform to a JSON Schema? Within a bounded number of steps, since strangers write schemas.

1. Known are the keywords of `_CHECKS` and those that only describe; `format` describes (2020-12, §7.2.1).
   What would bind and is not known is refused when the validator is made: `pattern` among them, because a
   regular expression can take for ever.
2. A reference leads to a place in the schema itself.
3. Every schema that meets a value is a step, and so is every member that is looked at; over `MOST_STEPS` the
   answer is `SchemaTooCostlyError`.

Source: JSON Schema 2020-12, Core and Validation.
"""

from __future__ import annotations

from collections.abc import Callable
from math import inf, isfinite
from typing import Any

from abyssal.wire.errors import BadRequestError
from abyssal.wire.schema_tree import Schema, as_list, as_schema, nodes, target_of

MOST_STEPS = 20_000
MOST_NODES = 2000

_UNKNOWN = (
    "pattern", "patternProperties", "dependentSchemas", "dependentRequired", "dependencies",
    "unevaluatedItems", "unevaluatedProperties", "$dynamicRef", "$recursiveRef", "contains",
)  # fmt: skip


class SchemaTooCostlyError(Exception):
    """The schema and the value take too many steps."""


class Validator:
    """Judges values by one schema; `where` is the schema's path in the request.

    Raises BadRequestError (`unsupported_schema`) for a schema that it cannot judge by.
    """

    def __init__(self, schema: Any, where: str) -> None:
        if not isinstance(schema, dict):
            raise _refusal(where, "must be an object")
        self.root = as_schema(schema)
        self._steps = 0
        for count, (path, node) in enumerate(nodes(self.root, where, MOST_NODES), 1):
            if count > MOST_NODES:
                raise _refusal(where, f"has over {MOST_NODES} parts")
            for name in _UNKNOWN:
                if name in node:
                    raise _refusal(f"{path}.{name}", "is not checked here; leave it out")
            if "$ref" in node and target_of(self.root, node["$ref"]) is None:
                raise _refusal(f"{path}.$ref", "must lead to a place inside the schema, such as #/$defs/name")

    def accepts(self, value: Any) -> bool:
        """Whether `value` (as JSON gives it) conforms. Raises SchemaTooCostlyError."""
        self._steps = 0
        try:
            return self.conforms(value, self.root)
        except RecursionError:
            raise SchemaTooCostlyError from None

    def conforms(self, value: Any, schema: Any) -> bool:
        """As `accepts`, for a part of the schema."""
        self.step(1)
        if isinstance(schema, bool):
            return schema
        node = as_schema(schema)
        return all(
            _CHECKS[name](self, value, wanted, node) for name, wanted in node.items() if name in _CHECKS
        )

    def step(self, count: int) -> None:
        """So much was done."""
        self._steps += count
        if self._steps > MOST_STEPS:
            raise SchemaTooCostlyError


_Check = Callable[[Validator, Any, Any, Schema], bool]

# Each check: whether `value` is as the keyword wants it; `node` is the schema that the keyword stands in.


def _reference(judge: Validator, value: Any, wanted: Any, node: Schema) -> bool:
    return judge.conforms(value, target_of(judge.root, wanted))


def _type(judge: Validator, value: Any, wanted: Any, node: Schema) -> bool:
    return any(_is(value, kind) for kind in as_list(wanted) or [wanted])


def _enum(judge: Validator, value: Any, wanted: Any, node: Schema) -> bool:
    options = as_list(wanted)
    judge.step(len(options))
    return any(same(value, one) for one in options)


def _const(judge: Validator, value: Any, wanted: Any, node: Schema) -> bool:
    return same(value, wanted)


def _all_of(judge: Validator, value: Any, wanted: Any, node: Schema) -> bool:
    return all(judge.conforms(value, one) for one in as_list(wanted))


def _any_of(judge: Validator, value: Any, wanted: Any, node: Schema) -> bool:
    return any(judge.conforms(value, one) for one in as_list(wanted))


def _one_of(judge: Validator, value: Any, wanted: Any, node: Schema) -> bool:
    return sum(judge.conforms(value, one) for one in as_list(wanted)) == 1


def _not(judge: Validator, value: Any, wanted: Any, node: Schema) -> bool:
    return not judge.conforms(value, wanted)


def _if(judge: Validator, value: Any, wanted: Any, node: Schema) -> bool:
    branch = "then" if judge.conforms(value, wanted) else "else"
    return judge.conforms(value, node.get(branch, True))


def _properties(judge: Validator, value: Any, wanted: Any, node: Schema) -> bool:
    if not isinstance(value, dict):
        return True
    return all(judge.conforms(value[name], one) for name, one in as_schema(wanted).items() if name in value)


def _required(judge: Validator, value: Any, wanted: Any, node: Schema) -> bool:
    return not isinstance(value, dict) or all(name in value for name in as_list(wanted))


def _additional(judge: Validator, value: Any, wanted: Any, node: Schema) -> bool:
    if not isinstance(value, dict):
        return True
    known, members = as_schema(node.get("properties")), as_schema(value)
    return all(judge.conforms(member, wanted) for name, member in members.items() if name not in known)


def _property_names(judge: Validator, value: Any, wanted: Any, node: Schema) -> bool:
    return all(judge.conforms(name, wanted) for name in as_schema(value))


def _items(judge: Validator, value: Any, wanted: Any, node: Schema) -> bool:
    if isinstance(wanted, list):  # before 2020-12: one schema for each place
        return _prefix_items(judge, value, wanted, node)
    rest = as_list(value)[len(as_list(node.get("prefixItems"))) :]
    return all(judge.conforms(item, wanted) for item in rest)


def _prefix_items(judge: Validator, value: Any, wanted: Any, node: Schema) -> bool:
    return all(judge.conforms(*pair) for pair in zip(as_list(value), as_list(wanted), strict=False))


def _unique(judge: Validator, value: Any, wanted: Any, node: Schema) -> bool:
    items = as_list(value)
    if wanted is not True:
        return True
    judge.step(len(items) ** 2 // 2)
    return not any(same(one, other) for at, one in enumerate(items) for other in items[:at])


def _bound(kind: Callable[[Any], float | None], holds: Callable[[float, float], bool]) -> _Check:
    """A check of a size against the keyword's number; a value without such a size conforms."""

    def check(judge: Validator, value: Any, wanted: Any, node: Schema) -> bool:
        size = kind(value)
        return size is None or not _is(wanted, "number") or holds(size, wanted)

    return check


def _number(value: Any) -> float | None:
    return value if _is(value, "number") else None


def _length(value: Any) -> float | None:
    return len(value) if isinstance(value, str) else None


def _count(value: Any) -> float | None:
    return len(as_list(value)) if isinstance(value, list) else None


def _members(value: Any) -> float | None:
    return len(as_schema(value)) if isinstance(value, dict) else None


def _at_least(size: float, bound: float) -> bool:
    return size >= bound


def _at_most(size: float, bound: float) -> bool:
    return size <= bound


def _is_multiple(size: float, bound: float) -> bool:
    times = size / bound if bound > 0 else inf
    return isfinite(times) and abs(times - round(times)) < 1e-9


_CHECKS: dict[str, _Check] = {
    "$ref": _reference,
    "type": _type,
    "enum": _enum,
    "const": _const,
    "allOf": _all_of,
    "anyOf": _any_of,
    "oneOf": _one_of,
    "not": _not,
    "if": _if,
    "properties": _properties,
    "required": _required,
    "additionalProperties": _additional,
    "propertyNames": _property_names,
    "items": _items,
    "prefixItems": _prefix_items,
    "uniqueItems": _unique,
    "minimum": _bound(_number, _at_least),
    "maximum": _bound(_number, _at_most),
    "exclusiveMinimum": _bound(_number, lambda size, bound: size > bound),
    "exclusiveMaximum": _bound(_number, lambda size, bound: size < bound),
    "multipleOf": _bound(_number, _is_multiple),
    "minLength": _bound(_length, _at_least),
    "maxLength": _bound(_length, _at_most),
    "minItems": _bound(_count, _at_least),
    "maxItems": _bound(_count, _at_most),
    "minProperties": _bound(_members, _at_least),
    "maxProperties": _bound(_members, _at_most),
}


def _is(value: Any, kind: Any) -> bool:
    """Whether `value` is of a JSON type; 1.0 is an integer, true is no number."""
    if kind == "null":
        return value is None
    if kind == "boolean":
        return isinstance(value, bool)
    if kind == "string":
        return isinstance(value, str)
    if kind == "array":
        return isinstance(value, list)
    if kind == "object":
        return isinstance(value, dict)
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    return kind == "number" or (kind == "integer" and value == value // 1)


def same(one: Any, other: Any) -> bool:
    """Whether two JSON values are equal: 1 and 1.0 are, 1 and true are not."""
    if isinstance(one, bool) or isinstance(other, bool):
        return one is other
    if isinstance(one, list) and isinstance(other, list):
        ours, theirs = as_list(one), as_list(other)
        return len(ours) == len(theirs) and all(map(same, ours, theirs))
    if isinstance(one, dict) and isinstance(other, dict):
        mine, yours = as_schema(one), as_schema(other)
        return mine.keys() == yours.keys() and all(same(value, yours[name]) for name, value in mine.items())
    return bool(one == other)


def _refusal(where: str, why: str) -> BadRequestError:
    return BadRequestError(f"{where} {why}.", param=where[:300], code="unsupported_schema")
