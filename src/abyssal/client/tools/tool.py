"""A Python function as a tool: its name, its description, its schema. Calling it is the shells' matter."""

from __future__ import annotations

import functools
import inspect
import re
from collections.abc import Callable
from typing import Any, overload

from abyssal.client.tools.docstring import parse_docstring
from abyssal.client.tools.signature import Signature
from abyssal.wire.errors import ConfigurationError

_is_name = re.compile(r"[A-Za-z0-9_-]{1,64}").fullmatch  # DeepSeek API, "Create Chat Completion", tools


class Tool:
    """A function that a model may call; still callable as the function that it is.

    `name` and `description`: else the function's own name, and its docstring up to the first section.
    Raises ConfigurationError when a model could not call it.
    """

    def __init__(
        self, function: Callable[..., Any], *, name: str | None = None, description: str | None = None
    ) -> None:
        plain = function
        while isinstance(plain, functools.partial):
            plain = plain.func
        self.name = name or getattr(plain, "__name__", type(plain).__name__)
        if not _is_name(self.name):
            raise ConfigurationError(
                f"{self.name!r} cannot be a tool's name (1 to 64 letters, digits, - and _); "
                "give it one with abyssal.tool(function, name=...)."
            )
        told, parameters = parse_docstring(plain.__doc__)
        self.function = function
        self.description = told if description is None else description
        self._signature = Signature(function, self.name, parameters)
        functools.update_wrapper(self, plain, updated=())

    @property
    def is_async(self) -> bool:
        """Whether what a call gives has to be awaited."""
        function = self.function
        call = getattr(function, "__call__", None)  # noqa: B004 - of an object that is called like a function
        return inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(call)

    def as_param(self, *, strict: bool = False) -> dict[str, object]:
        """As an element of a request's `tools`; `strict` holds the model to the schema, where a service can.

        Raises ConfigurationError for a function whose schema cannot be strict.
        """
        function: dict[str, object] = {"name": self.name}
        if self.description:
            function["description"] = self.description
        if strict:
            function["strict"] = True
        function["parameters"] = self._signature.strict_schema() if strict else self._signature.schema
        return {"type": "function", "function": function}

    def arguments(self, text: str) -> dict[str, Any]:
        """A model's arguments (JSON), checked. Raises msgspec.DecodeError that says what is wrong."""
        return self._signature.arguments(text)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self.function(*args, **kwargs)

    def __get__(self, instance: object, owner: type | None = None) -> Any:
        # As a function does, so that `@tool` may stand before a method.
        if instance is None:
            return self
        bound = self.function.__get__(instance, owner)
        return Tool(bound, name=self.name, description=self.description)

    def __repr__(self) -> str:
        return f"Tool({self.name})"


@overload
def tool(function: Callable[..., Any], /) -> Tool: ...
@overload
def tool(
    function: Callable[..., Any], /, *, name: str | None = None, description: str | None = None
) -> Tool: ...
@overload
def tool(
    *, name: str | None = None, description: str | None = None
) -> Callable[[Callable[..., Any]], Tool]: ...


def tool(
    function: Callable[..., Any] | None = None,
    /,
    *,
    name: str | None = None,
    description: str | None = None,
) -> Tool | Callable[[Callable[..., Any]], Tool]:
    """Makes a function a tool, as a decorator (`@tool`, `@tool(name="...")`) or called with the function.

    Needed only to give it another name or description: `run_tools` takes plain functions too.
    """
    if function is None:
        return functools.partial(Tool, name=name, description=description)
    return Tool(function, name=name, description=description)
