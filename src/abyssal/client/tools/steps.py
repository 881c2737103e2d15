"""A run of calls between a model and tools: whose turn it is, and what goes into the messages. No I/O.

Rules:
 1. A step is one call of the model. It ends the run if it asks for no tool.
 2. Else each call that it asks for is answered by one `tool` message, in its order: by what the tool gave, or
    by what went wrong (no such tool, arguments that do not fit, an error of the tool), so that the model can
    try another way.
 3. A `tool_choice` that forces a call holds for the first step only: forced again, a run would never end.
 4. What the model thought goes back with its calls: services demand it (DeepSeek API, "Thinking Mode").
 5. After `max_steps` steps that all asked for tools the run fails; the messages so far are on the error.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

import msgspec

from abyssal.client.history import reply_of
from abyssal.client.params import ChatParams, MessageParam, ToolOptions
from abyssal.client.request import json_form
from abyssal.client.tools.tool import Tool
from abyssal.wire.chat import ChatCompletion, ToolCall, Usage
from abyssal.wire.errors import ConfigurationError, LocalError


class ToolStepsError(LocalError):
    """The model still asked for tools after `max_steps` steps. `messages` has all of it."""

    def __init__(self, message: str, messages: list[MessageParam]) -> None:
        super().__init__(message)
        self.messages = messages


class ToolRun(msgspec.Struct, frozen=True):
    """How a run ended. `messages` has what was sent, what came between, and the answer as the last one.

    `usage` has the tokens of all `steps` calls, where the service told them. As text it is its `content`.
    """

    content: str
    reasoning: str | None
    usage: Usage
    response: ChatCompletion
    messages: list[MessageParam]
    steps: int

    def __str__(self) -> str:
        return self.content


class Ready(NamedTuple):
    """A tool to call, and with what."""

    tool: Tool
    arguments: dict[str, Any]


class ToolSteps:
    """One run. `raise_errors`: an error of a tool is raised to the user instead of told to the model."""

    def __init__(
        self,
        model: str,
        messages: Sequence[MessageParam],
        tools: Iterable[Callable[..., Any]],
        max_steps: int,
        options: ToolOptions,
        *,
        raise_errors: bool,
        strict: bool = False,
    ) -> None:
        if isinstance(max_steps, bool) or max_steps < 1:
            raise ConfigurationError(f"max_steps={max_steps!r} must be 1 or more.")
        for name in ("tools", "functions", "function_call", "n", "stream"):
            if name in options:
                raise TypeError(f"run_tools() takes no {name}; use chat.completions.create() for it")
        self._tools = _by_name(tools)
        self._params = [tool.as_param(strict=strict) for tool in self._tools.values()]
        self._model = model
        self._messages: list[MessageParam] = [*messages]
        self._options = options
        self._max_steps = max_steps
        self._raise_errors = raise_errors
        self._steps = 0
        self._used: list[Usage] = []

    @property
    def tools(self) -> Iterable[Tool]:
        return self._tools.values()

    def params(self) -> ChatParams:
        """The arguments of the next step's call of the model."""
        params: ChatParams = {**self._options, "model": self._model, "messages": self._messages}
        if self._tools:
            params["tools"] = self._params
        choice = params.get("tool_choice")
        if self._steps and choice is not None and choice not in ("none", "auto"):
            params["tool_choice"] = None
        return params

    def take(self, completion: ChatCompletion) -> ToolRun | Sequence[ToolCall]:
        """The model has answered: the end, or the calls to answer. Raises ToolStepsError by rule 5."""
        reply = reply_of(completion)
        message = completion.choices[0].message
        self._steps += 1
        self._messages.append(message)
        if completion.usage is not None:
            self._used.append(completion.usage)
        if not message.tool_calls:
            usage = _sum(self._used)
            return ToolRun(reply.content, reply.reasoning, usage, completion, self._messages, self._steps)
        if self._steps >= self._max_steps:
            raise ToolStepsError(
                f"The model still asks for tools after {self._steps} steps; allow more with max_steps=, or "
                "look at the error's messages for what it is after.",
                self._messages,
            )
        return message.tool_calls

    def prepare(self, call: ToolCall) -> Ready | None:
        """The tool that `call` means; None if it cannot be called, which is then told to the model."""
        name = call.function.name
        tool = self._tools.get(name)
        if tool is None:
            self._tell(call, f"there is no tool {name!r}; there are: {', '.join(self._tools) or 'none'}")
            return None
        try:
            return Ready(tool, tool.arguments(call.function.arguments))
        except (msgspec.DecodeError, UnicodeEncodeError, RecursionError) as error:
            self._tell(call, f"the arguments do not fit: {error}")
            return None

    def finished(self, call: ToolCall, result: object) -> None:
        """The tool gave `result`: text as it is, all else as JSON; ConfigurationError if it has none."""
        if not isinstance(result, str):
            try:
                result = json_form(result).decode()
            except (TypeError, ValueError, RecursionError) as error:
                raise ConfigurationError(
                    f"The tool {call.function.name} gave a {type(result).__name__}, which has no JSON form: "
                    f"{error}. Let it return text, numbers, lists, dicts, dataclasses or structs."
                ) from error
        self._messages.append({"role": "tool", "tool_call_id": call.id, "content": result})

    def failed(self, call: ToolCall, error: Exception) -> None:
        """The tool raised `error`. Raises it again if errors are to be raised."""
        if self._raise_errors:
            raise error
        self._tell(call, f"{type(error).__name__}: {error}")

    def _tell(self, call: ToolCall, problem: str) -> None:
        content = json_form({"error": problem}).decode()
        self._messages.append({"role": "tool", "tool_call_id": call.id, "content": content})


def _by_name(tools: Iterable[Callable[..., Any]]) -> dict[str, Tool]:
    found: dict[str, Tool] = {}
    for each in tools:
        if not callable(each):  # pyright: ignore[reportUnnecessaryComparison]
            raise ConfigurationError(f"tools has {each!r}, which cannot be called; give Python functions.")
        tool = each if isinstance(each, Tool) else Tool(each)
        if tool.name in found:
            raise ConfigurationError(
                f"Two tools are called {tool.name}; rename one with abyssal.tool(function, name=...)."
            )
        found[tool.name] = tool
    return found


def _sum(used: Iterable[Usage]) -> Usage:
    total = Usage()
    for usage in used:
        total = Usage(
            prompt_tokens=total.prompt_tokens + usage.prompt_tokens,
            completion_tokens=total.completion_tokens + usage.completion_tokens,
            total_tokens=total.total_tokens + usage.total_tokens,
        )
    return total
