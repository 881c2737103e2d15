"""A function's signature as a JSON schema, and a model's arguments checked against it. Both by msgspec.

Known are all types that msgspec knows: str, int, float, bool, list, dict, Optional and other unions, Literal,
Enum, dataclasses, msgspec.Struct, TypedDict, dates. What has no annotation takes anything. A parameter with a
default need not be given, and may be null; the function's own default then holds. Strict schemas
(DeepSeek API, "Function Calling", strict mode) require every property and allow no other.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Annotated, Any, cast, get_args, get_origin, get_type_hints

import msgspec

from abyssal.wire.errors import ConfigurationError

_SHOWN_DEFAULTS = (str, int, float, bool)


class Signature:
    """What a function takes. Raises ConfigurationError when a model could not call it.

    `name` is used in errors, `told` has what is said of each parameter.
    """

    __slots__ = ("_decoder", "_fields", "_name", "_nullable", "schema")

    def __init__(self, function: Callable[..., Any], name: str, told: dict[str, str]) -> None:
        if inspect.isclass(function):
            raise ConfigurationError(f"The tool {name} is a class; give a function that makes one of it.")
        try:
            parameters = inspect.signature(function).parameters.values()
        except ValueError as error:
            raise ConfigurationError(f"The tool {name} does not say what it takes: {error}.") from error
        hints = _hints(function, name)
        fields: list[tuple[Any, ...]] = []
        for parameter in parameters:
            if parameter.kind not in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY):
                raise ConfigurationError(
                    f"The tool {name} takes {parameter}, but a model gives each argument by its name; wrap "
                    "it in a function whose parameters all have one."
                )
            fields.append(_field(parameter, hints.get(parameter.name, Any), told.get(parameter.name)))
        self._name = name
        self._fields = [field[0] for field in fields]
        self._nullable = {
            field[0] for field in fields if len(field) == 3 and not _takes_none(hints.get(field[0], Any))
        }
        taken = [
            (field[0], field[1] | None, *field[2:]) if field[0] in self._nullable else field
            for field in fields
        ]
        try:
            struct = msgspec.defstruct(name, fields, kw_only=True, forbid_unknown_fields=True)
            self.schema = _schema(struct)
            taken_struct = msgspec.defstruct(name, taken, kw_only=True, forbid_unknown_fields=True)
            self._decoder = msgspec.json.Decoder(taken_struct)
        except TypeError as error:
            raise ConfigurationError(f"The tool {name} cannot be described as JSON: {error}.") from error

    def arguments(self, text: str) -> dict[str, Any]:
        """The arguments in `text`, a model's JSON. Raises msgspec.DecodeError that says what is wrong."""
        values = self._decoder.decode(text.strip() or "{}")
        given = ((name, getattr(values, name)) for name in self._fields)
        return {
            name: value
            for name, value in given
            if value is not msgspec.UNSET and not (value is None and name in self._nullable)
        }

    def strict_schema(self) -> dict[str, Any]:
        """`schema` with every property required and no others allowed; null stands for a default.

        Raises ConfigurationError for a function that takes a dict of any keys: no strict schema can.
        """
        optional = {*self.schema["properties"]} - {*self.schema.get("required", ())}
        schema = _strict(self.schema, self._name)
        for name in optional & self._nullable:
            schema["properties"][name] = {"anyOf": [schema["properties"][name], {"type": "null"}]}
        return schema


def _takes_none(hint: Any) -> bool:
    return hint in (Any, None) or type(None) in get_args(hint)


def _strict(schema: Any, name: str) -> Any:
    """A copy in which each object is closed."""
    if isinstance(schema, list):
        return [_strict(part, name) for part in cast("list[Any]", schema)]
    if not isinstance(schema, dict):
        return schema
    parts = {key: _strict(part, name) for key, part in cast("dict[str, Any]", schema).items()}
    if parts.get("type") == "object":
        if "properties" not in parts:
            raise ConfigurationError(
                f"The tool {name} takes a dict of any keys, which no strict schema can say; give it a "
                "dataclass or a TypedDict, or leave out strict."
            )
        parts["required"] = list(parts["properties"])
        parts["additionalProperties"] = False
    return parts


def _hints(function: Callable[..., Any], name: str) -> dict[str, Any]:
    while isinstance(function, functools.partial):
        function = function.func
    holder = function if inspect.isroutine(function) else type(function).__call__
    try:
        return get_type_hints(holder, include_extras=True)
    except NameError as error:
        raise ConfigurationError(
            f"The tool {name} has an annotation that cannot be looked up: {error}. Define the type at the "
            "top of its module."
        ) from error


def _field(parameter: inspect.Parameter, hint: Any, told: str | None) -> tuple[Any, ...]:
    """A struct's field: name, type, and UNSET as its default if the parameter has one."""
    if get_origin(hint) is Annotated:
        texts = [said for said in get_args(hint)[1:] if isinstance(said, str)]
        told = texts[0] if texts else told
    extra: dict[str, Any] = {}
    default = parameter.default
    if default is parameter.empty:
        return parameter.name, Annotated[hint, msgspec.Meta(description=told)]
    if isinstance(default, _SHOWN_DEFAULTS):
        extra = {"default": msgspec.to_builtins(default)}
    meta = msgspec.Meta(description=told, extra_json_schema=extra or None)
    return parameter.name, Annotated[hint | msgspec.UnsetType, meta], msgspec.UNSET


def _schema(struct: type[msgspec.Struct]) -> dict[str, Any]:
    """The schema of `struct` with what it refers to in `$defs`; its own is at the top."""
    (reference,), parts = msgspec.json.schema_components([struct], ref_template="{name}")
    name = reference["$ref"]
    (reference,), parts = msgspec.json.schema_components([struct], ref_template="#/$defs/{name}")
    schema = parts.pop(name)
    schema.pop("title", None)
    return {**schema, "$defs": parts} if parts else schema
