"""Repair `tools_as_functions`: `tools`, for old servers that know only `functions` and `function_call`.

1. Tools become functions, `tool_choice` a `function_call`. To be forced to call any of several functions is
   beyond the old form: refused.
2. An earlier turn with several `tool_calls` becomes as many turns, each with its answer behind it.
3. A `function_call` in the answer, plain or streamed, comes to the client as the only one of `tool_calls`.
"""

from __future__ import annotations

from typing import Any

import msgspec

from abyssal.gateway.repairs.events import Fields, Rewriter, fields_of_value
from abyssal.wire.chat_request import ChatRequest
from abyssal.wire.errors import BadRequestError

_message = msgspec.json.Decoder(dict[str, Any])
_tools = msgspec.json.Decoder(list[dict[str, msgspec.Raw]])
_encode = msgspec.json.Encoder().encode


def as_functions(fields: Fields, messages: list[msgspec.Raw], request: ChatRequest) -> bool:
    """Put the tools in `fields` and `messages` into the old form; whether there were any.

    Raises BadRequestError for a choice that the old form cannot say.
    """
    changed = _old_turns(messages)
    if not request.tools:
        return changed
    fields["functions"] = [tool["function"] for tool in _tools.decode(fields.pop("tools"))]
    fields.pop("parallel_tool_calls", None)
    fields.pop("tool_choice", None)
    choice = request.tool_choice
    if choice == "required":
        if len(request.tools) > 1:
            raise BadRequestError(
                'This model\'s upstream knows no "required" among several tools; name the function to call.',
                param="tool_choice",
                code="unsupported_value",
            )
        fields["function_call"] = {"name": request.tools[0].function.name}
    elif isinstance(choice, dict):
        function: Any = choice.get("function")
        fields["function_call"] = {"name": fields_of_value(function).get("name")}
    elif choice is not None:
        fields["function_call"] = choice
    return True


def _old_turns(messages: list[msgspec.Raw]) -> bool:
    if not any(b'"tool_call' in bytes(raw) for raw in messages):
        return False
    old: list[Fields | msgspec.Raw] = []
    names: dict[str, Any] = {}  # of calls, by id
    places: dict[str, int] = {}  # of the turns that wait for an answer
    for raw in messages:
        said = _message.decode(raw)
        calls = said.get("tool_calls")
        if said.get("role") == "assistant" and isinstance(calls, list):
            rest = {name: value for name, value in said.items() if name != "tool_calls"}
            for call in calls:  # pyright: ignore[reportUnknownVariableType]
                fields = fields_of_value(call)
                function = fields_of_value(fields.get("function"))
                called = str(fields.get("id"))
                names[called], places[called] = function.get("name"), len(old)
                old.append(rest | {"function_call": function})
                rest = {"role": "assistant", "content": None}
            if not calls:
                old.append(rest)
        elif said.get("role") == "tool":
            called = str(said.get("tool_call_id"))
            answer = {"role": "function", "name": names.get(called, ""), "content": said.get("content")}
            place = places.pop(called, None)
            if place is None:
                old.append(answer)
            else:
                old.insert(place + 1, answer)
                places = {one: at + (at > place) for one, at in places.items()}
        else:
            old.append(raw)
    messages[:] = [one if isinstance(one, msgspec.Raw) else msgspec.Raw(_encode(one)) for one in old]
    return True


class ToolAnswer(Rewriter):
    """Answers a client that sent `tools`; `call_id` names the call."""

    __slots__ = ("_begun", "_call_id")

    needle = b"function_call"  # the field, and the finish reason

    def __init__(self, call_id: str) -> None:
        self._call_id = call_id
        self._begun: set[Any] = set()  # choices whose call has its id

    def rewrite(self, choice: Fields, said: Fields, *, whole: bool) -> bool:
        changed = False
        function = said.pop("function_call", None)
        if isinstance(function, dict):
            changed = True
            call: Fields = {"function": function}
            if choice.get("index") not in self._begun:
                self._begun.add(choice.get("index"))
                call = {"id": self._call_id, "type": "function", **call}
            said["tool_calls"] = [call if whole else {"index": 0, **call}]
        if choice.get("finish_reason") == "function_call":
            choice["finish_reason"] = "tool_calls"
            changed = True
        return changed
