"""Types as the schemas of the document: msgspec's, with the names and words that it cannot know.

1. A schema has the name of its type. Types of several formats share names (`Tool`), so those of a format
   have its name before theirs.
2. A field that is typed loosely because another format checks it has that format's schema.
3. `null` is what an absent field means everywhere; it is not said of each.
4. What generators of clients stumble over is said in other words of the same meaning: an array of anything
   has `items`, and `false` alone is a `const`.
"""

from __future__ import annotations

import copy
import inspect
from collections import Counter
from collections.abc import Iterable
from typing import Any, cast

import msgspec

from abyssal.contract.fields import ALWAYS, FIELDS, HIDDEN, LOOSE, NAMES, REFUSED
from abyssal.platform.identity import drafts
from abyssal.wire.chat_request import ChatRequest

REF = "#/components/schemas/"

_PREFIXES = {
    "abyssal.gateway.dialects.anthropic_request": "Anthropic",
    "abyssal.gateway.dialects.responses_request": "Responses",
    "abyssal.gateway.dialects.responses_object": "Response",
    "abyssal.wire.chat_request": "Chat",
}


class Components:
    """The schemas of all `types`, by name, and how to refer to one."""

    def __init__(self, types: Iterable[Any]) -> None:
        wanted = list(dict.fromkeys(types))
        classes = _classes(wanted)
        often = Counter(_short(cls) for cls in classes)
        theirs = {(_short(cls) if often[_short(cls)] == 1 else _long(cls)): cls for cls in classes}
        names = {said: _name(cls) for said, cls in theirs.items()}
        if len(set(names.values())) != len(names):
            twice = [name for name, count in Counter(names.values()).items() if count > 1]
            raise ValueError(f"two types of the contract are called {', '.join(twice)}; rename one")
        schemas, components = msgspec.json.schema_components(wanted, ref_template=REF + "{name}")
        self.schemas: dict[str, dict[str, Any]] = {
            names[said]: _renamed(schema, names) for said, schema in components.items()
        }
        self._of = dict(zip(wanted, (_renamed(schema, names) for schema in schemas), strict=True))
        chat = self.schemas.get("ChatRequest", {}).get("properties", {})
        for said, cls in theirs.items():
            self._tell(self.schemas[names[said]], cls, chat)

    def of(self, kind: Any) -> dict[str, Any]:
        """The schema of `kind`: a reference where it is a type with a name."""
        return copy.deepcopy(self._of[kind])

    @staticmethod
    def _tell(schema: dict[str, Any], cls: Any, chat: dict[str, Any]) -> None:
        origin = getattr(cls, "__origin__", cls)
        schema.pop("title", None)
        if origin.__doc__ and "description" in schema:
            schema["description"] = inspect.cleandoc(origin.__doc__)
        properties = schema.get("properties", {})
        for name in HIDDEN.get(origin, ()):
            del properties[name]
        required = [*schema.get("required", ()), *ALWAYS.get(origin, ())]
        for name, field in properties.items():
            if field in ({"default": None}, {}) and origin in LOOSE and name in chat:
                field.update(_or_null(copy.deepcopy(chat[name])))
            if origin.__module__ == drafts.__name__ and name in NAMES:
                _enumerate(field, NAMES[name])
            if name in REFUSED.get(origin, ()):
                field["anyOf"] = [{"type": "null"}, {"const": False}]
            default = field.get("default", ...)
            if default is None:
                del field["default"]
            elif name == "object" and isinstance(default, str):
                del field["default"]
                field["const"] = default
                required.append(name)
            said = FIELDS.get(origin, {}).get(name) or (
                FIELDS[ChatRequest].get(name) if origin in LOOSE else None
            )
            if said:
                field["description"] = said
        schema["required"] = list(dict.fromkeys(required))
        if not schema["required"]:
            del schema["required"]


def _or_null(schema: dict[str, Any]) -> dict[str, Any]:
    return schema if "anyOf" in schema else {"anyOf": [schema, {"type": "null"}]}


def _enumerate(schema: dict[str, Any], values: tuple[str, ...]) -> None:
    """Say which strings there are, wherever in `schema` a string is."""
    if schema.get("type") == "string":
        schema.pop("maxLength", None)
        schema["enum"] = list(values)
    for inner in (*schema.get("anyOf", ()), schema.get("items")):
        if inner:
            _enumerate(inner, values)


def _classes(types: Iterable[Any]) -> list[Any]:
    """Every struct that `types` reach, in the order in which they are met."""
    found: dict[Any, None] = {}

    def visit(info: Any) -> None:
        if isinstance(info, msgspec.inspect.StructType):
            if info.cls in found:
                return
            found[info.cls] = None
        if isinstance(info, msgspec.inspect.Type | msgspec.inspect.Field):
            for name in info.__struct_fields__:
                value = getattr(info, name)
                for item in value if isinstance(value, tuple) else (value,):  # pyright: ignore[reportUnknownVariableType]
                    visit(item)

    for info in msgspec.inspect.multi_type_info(types):
        visit(info)
    return list(found)


def _short(cls: Any) -> str:
    return _plain(cls.__name__ if isinstance(cls, type) else _generic(cls))


def _long(cls: Any) -> str:
    return _plain(f"{cls.__module__}.{cls.__qualname__}")


def _generic(cls: Any) -> str:
    arguments = ",".join(argument.__name__ for argument in cls.__args__)
    return f"{cls.__origin__.__name__}[{arguments}]"


def _plain(name: str) -> str:
    return "".join(char if char.isalnum() or char in "._" else "_" for char in name)


def _name(cls: Any) -> str:
    if not isinstance(cls, type):
        return "".join(argument.__name__.removesuffix("Object") for argument in cls.__args__) + "Page"
    prefix = _PREFIXES.get(cls.__module__, "")
    name = cls.__name__
    return name if name.startswith(prefix) else prefix + name


def _renamed(schema: Any, names: dict[str, str]) -> Any:
    """`schema` with its references under the names that types have here, and as rule 4 wants it."""
    if isinstance(schema, dict):
        pairs = cast("dict[str, Any]", schema)
        made = {key: _renamed(value, names) for key, value in pairs.items()}
        if made.get("type") == "array" and "prefixItems" not in made:
            made.setdefault("items", {})
        if made.get("enum") == [False]:
            made["const"] = made.pop("enum")[0]
        return made
    if isinstance(schema, list):
        items = cast("list[Any]", schema)
        return [_renamed(item, names) for item in items]
    if isinstance(schema, str) and schema.startswith(REF):
        return REF + names[schema.removeprefix(REF)]
    return schema
